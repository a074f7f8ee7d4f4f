//! Which series of the head have the labels of a block's: remembered, because to find out takes the
//! labels of both.
//!
//! Labels of a block's series never change, nor do those of an id of the head, which no other series
//! gets: what was found once holds as long as the id is there.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Store;
use super::guests::AnyBlock;
use super::selection::NONE;
use crate::block::{Block, BlockId};

/// Series of blocks that are remembered for each that lives, four bytes each; and in any case.
const COUNT_PER_SERIES: usize = 4;
const COUNT_MIN: usize = 64 << 10;

/// Series of a block whose places are made at once: those of one metric stand together.
const PAGE_COUNT: usize = 256;

/// All that is remembered.
#[derive(Debug, Default)]
pub(super) struct BlockHeads(RefCell<Known>);

#[derive(Debug, Default)]
struct Known {
    of_blocks: HashMap<BlockId, HeadsOf, FixedState>,
    /// Places that were made, of all blocks.
    count: Arc<AtomicUsize>,
}

/// The head's ids of the series of one block. Shared by all who read it at a time.
#[derive(Clone, Debug)]
pub(super) struct HeadsOf {
    pages: Arc<[OnceLock<Box<Page>>]>,
    count: Arc<AtomicUsize>,
}

type Page = [AtomicU32; PAGE_COUNT];

impl BlockHeads {
    /// Those of `block`. If there is no room left, of `living` series in the head, others are forgotten;
    /// `None` of a block that is too large.
    pub fn of(&self, block: &Block, living: usize) -> Option<HeadsOf> {
        let known = &mut *self.0.borrow_mut();
        let count_max = COUNT_MIN.max(COUNT_PER_SERIES * living);
        if known.count.load(Ordering::Relaxed) > count_max {
            *known = Known::default();
        }
        let own = block.series_count() as usize;
        if own > count_max {
            return None;
        }
        let heads = known.of_blocks.entry(block.id()).or_insert_with(|| HeadsOf {
            pages: (0..own.div_ceil(PAGE_COUNT)).map(|_| OnceLock::new()).collect(),
            count: known.count.clone(),
        });
        Some(heads.clone())
    }

    /// Those of a block of which any are remembered.
    pub fn known(&self, id: BlockId) -> Option<HeadsOf> {
        self.0.borrow().of_blocks.get(&id).cloned()
    }
}

impl Store {
    /// What is remembered of a block. Of own blocks only: those of Prometheus hold what came before
    /// hearth did.
    pub(super) fn heads_of(&self, block: &AnyBlock) -> Option<HeadsOf> {
        let AnyBlock::Own(open) = block else { return None };
        self.block_heads.of(&open.block, self.head.series_count())
    }

    /// As [`Store::heads_of`], as far as that is there: makes no room.
    pub(super) fn known_heads_of(&self, block: &AnyBlock) -> Option<HeadsOf> {
        self.block_heads.known(block.id())
    }

    #[cfg(test)]
    pub(super) fn forget_block_heads(&mut self) {
        self.block_heads = BlockHeads::default();
    }
}

impl HeadsOf {
    /// The head's id of a series of the block; it may have left.
    pub fn get(&self, series: u32) -> Option<u32> {
        let page = self.pages.get(series as usize / PAGE_COUNT)?.get()?;
        let head = page[series as usize % PAGE_COUNT].load(Ordering::Relaxed);
        (head != NONE).then_some(head)
    }

    /// Remembers the head's id of a series of the block.
    pub fn set(&self, series: u32, head: u32) {
        let page = self.pages[series as usize / PAGE_COUNT].get_or_init(|| {
            self.count.fetch_add(PAGE_COUNT, Ordering::Relaxed);
            Box::new([const { AtomicU32::new(NONE) }; PAGE_COUNT])
        });
        page[series as usize % PAGE_COUNT].store(head, Ordering::Relaxed);
    }
}
