//! Which series of the head have the labels of a block's: remembered, because to find out takes the
//! labels of both.
//!
//! Labels of a block's series never change, nor do those of an id of the head, which no other series
//! gets: what was found once holds as long as the id is there.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Store;
use super::guests::AnyBlock;
use super::selection::NONE;
use crate::block::{Block, BlockId};

/// Series of blocks that are remembered for each that lives, four bytes each; and in any case.
const COUNT_PER_SERIES: usize = 4;
const COUNT_MIN: usize = 64 << 10;

/// Of a block nothing is remembered for whoever wants less than one in so many of its series: their labels
/// are read sooner than there is room for all.
const WANTED_PART: usize = 16;

/// All that is remembered.
#[derive(Debug, Default)]
pub(super) struct BlockHeads(RefCell<Known>);

#[derive(Debug, Default)]
struct Known {
    of_blocks: HashMap<BlockId, HeadsOf, FixedState>,
    count: usize,
}

/// The head's ids of the series of one block. Shared by all who read it at a time.
#[derive(Clone, Debug)]
pub(super) struct HeadsOf(Arc<[AtomicU32]>);

impl BlockHeads {
    /// Those of `block`, of which `wanted` series are selected. If there is no room left, of `living` series
    /// in the head, others are forgotten; `None` of a block that is too large, or hardly wanted.
    pub fn of(&self, block: &Block, wanted: usize, living: usize) -> Option<HeadsOf> {
        let Known { of_blocks, count } = &mut *self.0.borrow_mut();
        if let Some(heads) = of_blocks.get(&block.id()) {
            return Some(heads.clone());
        }
        let (own, count_max) =
            (block.series_count() as usize, COUNT_MIN.max(COUNT_PER_SERIES * living));
        if own > count_max || wanted < own / WANTED_PART {
            return None;
        }
        if *count + own > count_max {
            of_blocks.clear();
            *count = 0;
        }
        let heads = HeadsOf((0..own).map(|_| AtomicU32::new(NONE)).collect());
        *count += own;
        of_blocks.insert(block.id(), heads.clone());
        Some(heads)
    }

    /// Those of a block of which any are remembered.
    pub fn known(&self, id: BlockId) -> Option<HeadsOf> {
        self.0.borrow().of_blocks.get(&id).cloned()
    }
}

impl Store {
    /// What is remembered of a block, of which `wanted` series are selected. Of own blocks only: those of
    /// Prometheus hold what came before hearth did.
    pub(super) fn heads_of(&self, block: &AnyBlock, wanted: usize) -> Option<HeadsOf> {
        let AnyBlock::Own(open) = block else { return None };
        self.block_heads.of(&open.block, wanted, self.head.series_count())
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
        let head = self.0.get(series as usize)?.load(Ordering::Relaxed);
        (head != NONE).then_some(head)
    }

    pub fn set(&self, series: u32, head: u32) {
        if let Some(place) = self.0.get(series as usize) {
            place.store(head, Ordering::Relaxed);
        }
    }
}
