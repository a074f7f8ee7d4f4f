//! What a deletion adds to tombstones, some series at a time.
//!
//! ```text
//! head or each block:  matching series ─► of each what is deleted ─► tombstones
//! ```

use std::{mem, vec};

use roaring::bitmap;

use super::Store;
use super::guests::AnyBlock;
use super::matching::{Matching, Place, compile_all};
use super::select::source_error;
use super::selecting::{SEARCH_WORK, STEP_WORK};
use crate::block::part::PartTombstones;
use crate::block::{BlockId, Tombstones};
use crate::index::CompiledMatcher;
use crate::model::{Matcher, SeriesId, SourceError, TimeRange};

/// Series of which something is deleted at once, or whose tombstones are copied: some 100 us.
const SERIES_AT_ONCE: usize = 512;

/// What each of them costs, in decoded samples.
const SERIES_WORK: usize = 16;

/// The samples in a range of the series that match, which are to be deleted from parts, or from blocks.
/// The caller keeps tombstones as they are until they are replaced by what was found.
pub struct Deletion {
    sets: Vec<Vec<CompiledMatcher>>,
    range: TimeRange,
    from: From,
    places: vec::IntoIter<Place>,
    doing: Doing,
    /// Of the block that is looked at.
    tombstones: Tombstones,
    /// Something was added to them.
    is_changed: bool,
    deleted: Deleted,
    /// A search does so much at once.
    work_max: usize,
}

/// What a deletion found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The head or parts may have samples in the range of series that match: see [`Deletion::of_head`].
    pub is_in_head: bool,
    /// The head's tombstones afterwards; `None` when nothing changes: see [`Deletion::from_parts`].
    pub parts: Option<PartTombstones>,
    /// The blocks that change. Of own ones, all tombstones afterwards: see [`Deletion::from_blocks`].
    /// Of Prometheus's, what is added to them: see [`Deletion::from_guests`].
    pub blocks: Vec<(BlockId, Tombstones)>,
}

enum From {
    /// Nothing yet: it is asked whether there may be anything.
    Head,
    /// The parts up to the last one.
    Parts(PartTombstones, u64),
    Blocks,
}

enum Doing {
    /// The next place is begun.
    Choosing,
    /// Tombstones of a block are copied, from those of a series on.
    Copying(AnyBlock, u32),
    Matching(Place, Matching),
    Taking(Place, bitmap::IntoIter),
}

impl Deletion {
    /// Asks whether the head or parts may have samples in `range` of series that match.
    ///
    /// Errors, as with the others: an expression of a matcher is none.
    pub fn of_head(matchers: &[Matcher], range: TimeRange) -> Result<Deletion, SourceError> {
        Deletion::new(matchers, range, From::Head, vec![Place::Head])
    }

    /// Deletes from the parts that there are now.
    pub fn from_parts(
        store: &Store,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Deletion, SourceError> {
        let tombstones = PartTombstones::clone(&store.head_tombstones);
        let parts = From::Parts(tombstones, store.parts.last_number());
        Deletion::new(matchers, range, parts, vec![Place::Head])
    }

    /// Deletes from the own blocks that there are now.
    pub fn from_blocks(
        store: &Store,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Deletion, SourceError> {
        Deletion::from_those(store, matchers, range, |block| matches!(block, AnyBlock::Own(_)))
    }

    /// Deletes from the blocks of Prometheus that there are now, series of this shard only.
    pub fn from_guests(
        store: &Store,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Deletion, SourceError> {
        Deletion::from_those(store, matchers, range, |block| matches!(block, AnyBlock::Guest(_)))
    }

    fn from_those(
        store: &Store,
        matchers: &[Matcher],
        range: TimeRange,
        is_one: impl Fn(&AnyBlock) -> bool,
    ) -> Result<Deletion, SourceError> {
        let blocks = store.blocks_in(range).into_iter().filter(is_one);
        Deletion::new(matchers, range, From::Blocks, blocks.map(Place::Block).collect())
    }

    fn new(
        matchers: &[Matcher],
        range: TimeRange,
        from: From,
        places: Vec<Place>,
    ) -> Result<Deletion, SourceError> {
        Ok(Deletion {
            sets: compile_all(&[matchers.to_vec()])?,
            range,
            from,
            places: places.into_iter(),
            doing: Doing::Choosing,
            tombstones: Tombstones::default(),
            is_changed: false,
            deleted: Deleted::default(),
            work_max: SEARCH_WORK,
        })
    }

    /// Searches do so much at once from now on.
    #[cfg(test)]
    pub fn set_search_work(&mut self, work_max: usize) {
        self.work_max = work_max;
    }

    /// Does the next step, in the same store. Returns what it cost, in decoded samples; `None` when
    /// nothing was left to do.
    ///
    /// Cost: some 100 us. Errors: those of a block that cannot be read; the deletion is over then.
    pub fn step(&mut self, store: &Store) -> Result<Option<usize>, SourceError> {
        let (doing, work) = match mem::replace(&mut self.doing, Doing::Choosing) {
            Doing::Choosing => match self.places.next() {
                None => return Ok(None),
                Some(Place::Block(block)) => (Doing::Copying(block, 0), STEP_WORK),
                Some(Place::Head) => (Doing::Matching(Place::Head, Matching::default()), STEP_WORK),
            },
            Doing::Copying(block, from) => {
                let next = match &block {
                    AnyBlock::Own(open) => {
                        open.tombstones.copy_some(from, SERIES_AT_ONCE, &mut self.tombstones)
                    }
                    AnyBlock::Guest(_) => None,
                };
                let doing = match next {
                    Some(next) => Doing::Copying(block, next),
                    None => Doing::Matching(Place::Block(block), Matching::default()),
                };
                (doing, STEP_WORK + SERIES_AT_ONCE * SERIES_WORK)
            }
            Doing::Matching(place, mut matching) => {
                match matching.step(store, &place, &self.sets, self.work_max)? {
                    Some(work) => (Doing::Matching(place, matching), work),
                    None => (Doing::Taking(place, matching.into_found().into_iter()), STEP_WORK),
                }
            }
            Doing::Taking(place, mut left) => match self.take_some(store, &place, &mut left)? {
                0 => {
                    self.end_place(&place);
                    (Doing::Choosing, STEP_WORK)
                }
                count => (Doing::Taking(place, left), STEP_WORK + count * SERIES_WORK),
            },
        };
        self.doing = doing;
        Ok(Some(work))
    }

    /// What was found, when no step is left.
    pub fn into_deleted(self) -> Deleted {
        self.deleted
    }

    /// Takes some series. Returns how many; zero when none is left.
    fn take_some(
        &mut self,
        store: &Store,
        place: &Place,
        left: &mut bitmap::IntoIter,
    ) -> Result<usize, SourceError> {
        let mut count = 0;
        let within = match place {
            Place::Head => self.range,
            Place::Block(block) => block.common(self.range),
        };
        for series in left.take(SERIES_AT_ONCE) {
            count += 1;
            match place {
                // It may have left the head since: its samples are in blocks.
                Place::Head if !store.head.index().contains(series) => {}
                Place::Head => match &mut self.from {
                    From::Parts(tombstones, last_part) => {
                        let (series, parts) = (SeriesId(series), (tombstones, *last_part));
                        self.is_changed |= store.delete_from_parts(series, within, parts);
                    }
                    From::Head | From::Blocks => {
                        let newest_ms = store.head.newest_ms(SeriesId(series));
                        self.deleted.is_in_head |= newest_ms >= Some(within.min_ms);
                    }
                },
                Place::Block(block) => {
                    if block.lies_within(self.range)
                        || block.may_have_samples(series, self.range).map_err(source_error)?
                    {
                        self.is_changed |= self.tombstones.add(series, within);
                    }
                }
            }
        }
        // One is enough.
        Ok(if self.deleted.is_in_head { 0 } else { count })
    }

    fn end_place(&mut self, place: &Place) {
        let tombstones = mem::take(&mut self.tombstones);
        if !mem::take(&mut self.is_changed) {
            return;
        }
        match (place, &mut self.from) {
            (Place::Block(block), _) => self.deleted.blocks.push((block.id(), tombstones)),
            (Place::Head, From::Parts(tombstones, _)) => {
                self.deleted.parts = Some(mem::take(tombstones));
            }
            (Place::Head, _) => {}
        }
    }
}

impl Store {
    /// Deletes `range` of a series of the head from the parts up to one. Returns whether that changed
    /// their tombstones.
    pub(super) fn delete_from_parts(
        &self,
        series: SeriesId,
        range: TimeRange,
        (tombstones, last_part): (&mut PartTombstones, u64),
    ) -> bool {
        let Some(newest_ms) = self.head.newest_ms(series) else { return false };
        let max_ms = range.max_ms.min(newest_ms);
        tombstones.add(series.0, TimeRange { min_ms: range.min_ms, max_ms }, last_part)
    }
}
