//! A selection in the making, some series at a time: whoever selects a million shares its shard.
//!
//! ```text
//! matchers ─► search of the head ──► entries ─► hashes ─┐   once they are wanted
//!         └─► search of a block ───► labels, hash ──────┴─► found: a place more; else: an entry more
//!                              └───► known (`block_heads`) ────────► a place more
//! ```
//!
//! The store may change between two steps. Blocks are those of the begin, or of the end of the search
//! of the head, if series left that meanwhile: no series is missed between the two.

use std::vec;

use hashbrown::HashTable;
use roaring::bitmap;

use super::Store;
use super::block_heads::HeadsOf;
use super::guests::AnyBlock;
use super::select::source_error;
use super::selection::{NONE, StoreSelection};
use crate::index::{CompiledMatcher, Search};
use crate::model::{Matcher, SourceError, TimeRange};

/// What a search does at once, see [`Search::step`]: some 100 us.
pub(super) const SEARCH_WORK: usize = 8192;

/// Series of the head that become entries at once: some 100 us.
const HEADS_AT_ONCE: usize = 8192;

/// Series whose labels are looked at, at once: some 100 us.
pub(super) const LABELS_AT_ONCE: usize = 512;

/// What the labels of a series cost, in decoded samples.
pub(super) const LABELS_WORK: usize = 16;

/// What a step costs in any case.
pub(super) const STEP_WORK: usize = 256;

/// What is left to be done.
pub(super) struct Selecting {
    matchers: Vec<CompiledMatcher>,
    range: TimeRange,
    head: OfHead,
    /// Of the entries that were first, the first so many are in `known`, if they are wanted there.
    hashed_count: usize,
    wants_hashes: bool,
    known: Known,
    blocks: vec::IntoIter<AnyBlock>,
    of_block: Option<OfBlock>,
    search_work: usize,
    buffer: Vec<u8>,
    other_buffer: Vec<u8>,
}

/// Series of the head.
enum OfHead {
    Searched(Search),
    Found(bitmap::IntoIter),
    /// So many entries. Without any, as many as the first block that has some: nothing is the same yet.
    Taken(usize),
}

/// Series of a block.
enum OfBlock {
    Searched(AnyBlock, Search),
    /// Of the last block of the selection.
    Found(OfFound),
}

struct OfFound {
    left: bitmap::IntoIter,
    /// Taken from `left`, and to be taken again.
    again: Option<u32>,
    /// There are no entries before those of this block.
    are_first: bool,
    /// All of them have samples in range.
    are_all_in_range: bool,
    /// Those of the head with the same labels, as far as they are known.
    heads: Option<HeadsOf>,
    /// Behind the entry that was found last: mostly the next one is that of the block's next series.
    next: usize,
}

impl Selecting {
    /// What matches in the head and in all blocks: nothing of it is selected yet.
    pub fn new(
        store: &Store,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Selecting, SourceError> {
        let matchers = CompiledMatcher::compile(matchers).map_err(source_error)?;
        let blocks = store.blocks_in(range);
        // Whether a series has samples in the range is seen when it is read: to look now would
        // touch all of them, one after the other, and once more later. By the head's series those of
        // several blocks are told to be the same: by labels that takes longer.
        let head = match store.overlaps(range) || blocks.len() > 1 {
            true => OfHead::Searched(Search::new(store.head.index())),
            false => OfHead::Taken(0),
        };
        Ok(Selecting {
            matchers,
            range,
            head,
            hashed_count: 0,
            wants_hashes: false,
            known: Known::default(),
            blocks: blocks.into_iter(),
            of_block: None,
            search_work: SEARCH_WORK,
            buffer: vec![],
            other_buffer: vec![],
        })
    }

    /// A search does so much at once from now on.
    #[cfg(test)]
    pub fn set_search_work(&mut self, work_max: usize) {
        self.search_work = work_max;
    }

    /// Does the next step. Returns what it cost, in decoded samples; `None` when nothing was left to do.
    pub fn step(
        &mut self,
        store: &Store,
        selection: &mut StoreSelection,
    ) -> Result<Option<usize>, SourceError> {
        let OfHead::Taken(head_count) = self.head else {
            return Ok(Some(self.take_heads(store, selection)));
        };
        match &self.of_block {
            Some(OfBlock::Searched(..)) => self.search_block(store, selection).map(Some),
            Some(OfBlock::Found(_)) => {
                let work = match self.wants_hashes && self.hashed_count < head_count {
                    true => self.hash_entries(store, selection, head_count)?,
                    false => self.take_series(store, selection, head_count)?,
                };
                Ok(Some(STEP_WORK + work))
            }
            None => {
                let Some(block) = self.blocks.next() else { return Ok(None) };
                let search = block.begin_search();
                self.of_block = Some(OfBlock::Searched(block, search));
                self.search_block(store, selection).map(Some)
            }
        }
    }

    /// Searches the head, or makes entries of the series that were found.
    fn take_heads(&mut self, store: &Store, selection: &mut StoreSelection) -> usize {
        let mut work = 0;
        if let OfHead::Searched(search) = &mut self.head {
            let Ok(took) = search.step(store.head.index(), &self.matchers, self.search_work);
            work += took;
            let Some(mut found) = search.take_found() else { return work };
            if search.has_lost(store.head.index()) {
                // Perhaps into a block that there was not at the begin. Seldom: when heads are cut.
                let Ok(living) = Search::at_once(store.head.index(), &self.matchers);
                found = living;
                self.blocks = store.blocks_in(self.range).into_iter();
            }
            selection.heads.reserve_exact(found.len() as usize);
            self.head = OfHead::Found(found.into_iter());
        }
        if let OfHead::Found(left) = &mut self.head {
            let before = selection.heads.len();
            selection.heads.extend(left.by_ref().take(HEADS_AT_ONCE));
            let count = selection.heads.len() - before;
            work += STEP_WORK + count;
            if count < HEADS_AT_ONCE {
                self.head = OfHead::Taken(selection.heads.len());
            }
        }
        work
    }

    /// Searches the next block.
    fn search_block(
        &mut self,
        store: &Store,
        selection: &mut StoreSelection,
    ) -> Result<usize, SourceError> {
        let Some(OfBlock::Searched(block, mut search)) = self.of_block.take() else { return Ok(0) };
        let work = block.search_more(&mut search, &self.matchers, self.search_work);
        let work = STEP_WORK + work.map_err(source_error)?;
        let Some(found) = search.take_found() else {
            self.of_block = Some(OfBlock::Searched(block, search));
            return Ok(work);
        };
        let series = block.keep_own(found);
        if !series.is_empty() {
            self.of_block = Some(OfBlock::Found(OfFound {
                again: None,
                are_first: selection.heads.is_empty(),
                are_all_in_range: block.lies_within(self.range),
                heads: store.heads_of(&block),
                next: 0,
                left: series.into_iter(),
            }));
            selection.blocks.push(block);
        }
        Ok(work)
    }

    /// Makes the next of the entries that were first known.
    fn hash_entries(
        &mut self,
        store: &Store,
        selection: &StoreSelection,
        head_count: usize,
    ) -> Result<usize, SourceError> {
        let first = self.hashed_count;
        self.hashed_count = head_count.min(first + LABELS_AT_ONCE);
        for at in first..self.hashed_count {
            // A series that has left the head since stands for itself where a block has it.
            let hash = store
                .entry_labels(selection, at, &mut self.buffer, |labels| labels.stable_hash())?;
            if let Some(hash) = hash {
                self.known.insert(hash, at as u32);
            }
        }
        Ok((self.hashed_count - first) * LABELS_WORK)
    }

    /// Takes the next series of the block into the selection.
    fn take_series(
        &mut self,
        store: &Store,
        selection: &mut StoreSelection,
        head_count: usize,
    ) -> Result<usize, SourceError> {
        let Some(OfBlock::Found(found)) = &mut self.of_block else { return Ok(0) };
        let number = selection.blocks.len() - 1;
        let mut work = 0;
        while work < LABELS_AT_ONCE * LABELS_WORK {
            let Some(series) = found.again.take().or_else(|| found.left.next()) else {
                if found.are_first {
                    self.head = OfHead::Taken(selection.heads.len());
                }
                self.of_block = None;
                break;
            };
            work += 1;
            let block = &selection.blocks[number];
            if found.are_first {
                let at = selection.heads.len() as u32;
                selection.heads.push(NONE);
                selection.add_place(at, number as u32, series);
                continue;
            }
            let head = found.heads.as_ref().and_then(|heads| heads.get(series));
            let heads = &selection.heads[..head_count];
            let at = head.and_then(|head| match heads.get(found.next) {
                Some(&next) if next == head => Some(found.next),
                // They ascend.
                _ => heads.binary_search(&head).ok(),
            });
            if let Some(at) = at {
                found.next = at + 1;
                selection.add_place(at as u32, number as u32, series);
                continue;
            }
            if self.hashed_count < head_count {
                // Only now, because mostly all are known.
                self.wants_hashes = true;
                found.again = Some(series);
                break;
            }
            // Of others it is seen when they are read: to look here would take as long.
            if !found.are_all_in_range
                && !block.may_have_samples(series, self.range).map_err(source_error)?
            {
                continue;
            }
            work += LABELS_WORK;
            let (labels, hash) = block.labels(series, &mut self.buffer).map_err(source_error)?;
            let mut same = None;
            if let Some(candidate) = self.known.find(hash) {
                let is_same = store.entry_labels(
                    selection,
                    candidate as usize,
                    &mut self.other_buffer,
                    |other| other == labels,
                )?;
                same = (is_same == Some(true)).then_some(candidate);
            }
            let head = same.map_or(NONE, |at| selection.heads[at as usize]);
            if let Some(heads) = &found.heads
                && head != NONE
            {
                heads.set(series, head);
            }
            let at = same.unwrap_or_else(|| {
                let at = selection.heads.len() as u32;
                selection.heads.push(NONE);
                // Of two label sets with one hash the second is looked up in vain and stands
                // as often as blocks have it: a hash of 64 bits makes that unseen.
                self.known.insert(hash, at);
                at
            });
            selection.add_place(at, number as u32, series);
        }
        Ok(work)
    }
}

/// Tables that grow one at a time: to move a million entries at once takes a hundredth of a second.
const TABLE_COUNT: usize = 64;

/// Entries by the stable hash of their labels; of those with one hash the first.
struct Known(Box<[HashTable<(u64, u32)>]>);

impl Default for Known {
    fn default() -> Known {
        Known((0..TABLE_COUNT).map(|_| HashTable::new()).collect())
    }
}

impl Known {
    /// The top bits choose in a table, these choose the table.
    fn table(hash: u64) -> usize {
        (hash >> 32) as usize % TABLE_COUNT
    }

    fn find(&self, hash: u64) -> Option<u32> {
        let found = self.0[Known::table(hash)].find(hash, |&(other, _)| other == hash);
        found.map(|&(_, entry)| entry)
    }

    fn insert(&mut self, hash: u64, entry: u32) {
        let table = &mut self.0[Known::table(hash)];
        let place = table.entry(hash, |&(other, _)| other == hash, |&(other, _)| other);
        place.or_insert((hash, entry));
    }
}
