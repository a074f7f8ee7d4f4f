//! The blocks of a store, what was deleted from them and from the head, and moving samples from
//! parts to blocks.

use std::cmp::Ordering;
use std::ops::RangeInclusive;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{Parts, Store};
use crate::block::part::{Part, PartTombstones};
use crate::block::{Block, BlockError, BlockId, MergeSource, Tombstones};
use crate::head::Expired;
use crate::model::{SeriesId, TimeRange};

/// A block that queries read.
#[derive(Clone, Debug)]
pub struct OpenBlock {
    pub block: Arc<Block>,
    pub tombstones: Arc<Tombstones>,
    /// Of a block that another number of shards wrote, the series that live here; `None`: all.
    pub series: Option<Arc<RoaringBitmap>>,
}

impl OpenBlock {
    /// A block of which only the series with these stable hashes live here. Reads all hashes.
    pub fn of_hashes(
        block: Arc<Block>,
        tombstones: Arc<Tombstones>,
        hashes: &RangeInclusive<u64>,
    ) -> Result<OpenBlock, BlockError> {
        let mut own = RoaringBitmap::new();
        for series in 0..block.series_count() {
            if hashes.contains(&block.hash(series)?) {
                own.insert(series);
            }
        }
        Ok(OpenBlock { block, tombstones, series: Some(Arc::new(own)) })
    }

    pub(super) fn keep_own(&self, series: RoaringBitmap) -> RoaringBitmap {
        match &self.series {
            Some(own) => series & &**own,
            None => series,
        }
    }
}

impl Parts {
    /// Parts with samples in `range` that no block has.
    pub(super) fn in_range(&self, range: TimeRange) -> impl Iterator<Item = &(Arc<Part>, i64)> {
        self.list.iter().filter(move |(part, before_ms)| {
            part.overlaps(range) && *before_ms <= range.max_ms && *before_ms <= part.meta().max_ms
        })
    }
}

impl Store {
    /// The blocks, the oldest first; behind them those of late samples.
    pub fn blocks(&self) -> &[OpenBlock] {
        &self.blocks
    }

    /// Reads samples from `added` from now on, and from the blocks `removed` no more. One step: what
    /// moves from blocks to blocks is never there twice, and never missing.
    pub fn replace_blocks(&mut self, removed: &[BlockId], added: Option<OpenBlock>) {
        self.blocks.retain(|open| !removed.contains(&open.block.id()));
        self.blocks.extend(added);
        // Of two samples the first block's counts: those out of order came later than the others.
        self.blocks.sort_by_key(|open| {
            let meta = open.block.meta();
            let min_ms = if meta.is_out_of_order { i64::MIN } else { meta.min_ms };
            (meta.is_out_of_order, min_ms, open.block.id())
        });
    }

    /// Samples before `before_ms` of the parts up to `last_part` are in blocks now.
    pub fn mark_cut(&mut self, last_part: u64, before_ms: i64) {
        self.parts.cut_ms = self.parts.cut_ms.max(before_ms);
        for (part, cut_ms) in &mut self.parts.list {
            if part.meta().number <= last_part {
                *cut_ms = (*cut_ms).max(before_ms);
            }
        }
    }

    /// As [`Store::mark_cut`], at a start: the head's time begins there too.
    pub fn take_cut(&mut self, last_part: u64, before_ms: i64) {
        self.mark_cut(last_part, before_ms);
        if self.oldest_uncut_ms().is_none_or(|oldest_ms| oldest_ms >= before_ms) {
            self.head.expire_series(before_ms, 0..0);
        }
    }

    /// What a cut of `range` reads: parts with samples there that no block has; `None` when there
    /// are none. `order` are the head's series in order of their labels.
    pub fn cut_source(&self, range: TimeRange, order: &[u32]) -> Option<MergeSource> {
        let parts: Vec<Arc<Part>> = self
            .parts
            .in_range(range)
            .filter(|(_, before_ms)| *before_ms <= range.min_ms)
            .map(|(part, _)| part.clone())
            .collect();
        let tombstones = self.head_tombstones.clone();
        (!parts.is_empty()).then(|| MergeSource::Parts { parts, order: order.to_vec(), tombstones })
    }

    /// Blocks have been made of all ranges before this; late samples alone may be there that no block
    /// has.
    pub fn cut_ms(&self) -> i64 {
        self.parts.cut_ms
    }

    /// Parts with samples that no block has, and the time before which blocks have the rest of each.
    pub fn uncut_parts(&self) -> impl Iterator<Item = &(Arc<Part>, i64)> {
        let has_uncut = |(part, before_ms): &&(Arc<Part>, i64)| {
            part.meta().min_ms.max(*before_ms) <= part.meta().max_ms
        };
        self.parts.list.iter().filter(has_uncut)
    }

    /// Timestamp of the oldest sample of parts that no block has.
    pub fn oldest_uncut_ms(&self) -> Option<i64> {
        self.uncut_parts().map(|(part, before_ms)| part.meta().min_ms.max(*before_ms)).min()
    }

    /// Ids of the series that live, ascending.
    pub fn series_ids(&self) -> Vec<u32> {
        self.head.index().all_series().iter().collect()
    }

    /// Appends the labels of a series to `out`; false when it does not live.
    pub fn push_series_labels(&self, series: u32, out: &mut Vec<u8>) -> bool {
        self.head.index().push_labels(series, out)
    }

    /// Order of the labels of two series that live.
    pub fn compare_series(&self, series: u32, other: u32) -> Ordering {
        self.head.index().compare(series, other)
    }

    /// Forgets chunks and series older than `before_ms` among the series from `first` on, `count` of
    /// them at most; see [`crate::head::Head::expire`]. Returns where to go on.
    pub fn expire_some(&mut self, before_ms: i64, first: u32, count: u32) -> Option<u32> {
        let end = first.saturating_add(count).min(self.head.id_count() as u32);
        let expired: Expired = self.head.expire_series(before_ms, first..end);
        self.parts.note_removed(&expired.series);
        (end < self.head.id_count() as u32).then_some(end)
    }

    /// Appends to `out` the series that ended (see [`crate::head::Head::is_stale`]), of the `count` ids from `first`
    /// on. Returns where to go on.
    pub fn stale_series_some(&self, first: u32, count: u32, out: &mut Vec<u32>) -> Option<u32> {
        let end = first.saturating_add(count).min(self.head.id_count() as u32);
        out.extend((first..end).filter(|&series| self.head.is_stale(SeriesId(series))));
        (end < self.head.id_count() as u32).then_some(end)
    }

    /// Forgets those of `series` that ended and have no samples but in parts. Blocks have those.
    pub fn forget_ended(&mut self, series: &[u32]) {
        let has_ended = |id: &SeriesId| self.head.is_stale(*id) && !self.head.has_samples(*id);
        let ended: Vec<SeriesId> =
            series.iter().map(|&id| SeriesId(id)).filter(has_ended).collect();
        self.head.remove_series(&ended);
        self.parts.note_removed(&ended);
    }

    /// What was deleted of the head's series.
    pub fn head_tombstones(&self) -> &Arc<PartTombstones> {
        &self.head_tombstones
    }

    pub fn set_head_tombstones(&mut self, tombstones: PartTombstones) {
        self.head_tombstones = Arc::new(tombstones);
    }

    /// The head's tombstones with the deletion of these from all parts that there are; `None` when it
    /// changes nothing.
    pub(super) fn with_deleted(
        &self,
        deleted: impl Iterator<Item = (SeriesId, TimeRange)>,
    ) -> Option<PartTombstones> {
        let last_part = self.parts.last_number();
        let mut tombstones = (*self.head_tombstones).clone();
        let mut is_changed = false;
        for (series, range) in deleted {
            is_changed |= self.delete_from_parts(series, range, (&mut tombstones, last_part));
        }
        is_changed.then_some(tombstones)
    }

    /// The head's tombstones without those that are of no part any more; `None` when all are.
    pub fn needed_head_tombstones(&self) -> Option<PartTombstones> {
        let first_part = self.parts().next().map_or(u64::MAX, |part| part.meta().number);
        let needed = self.head_tombstones.since(first_part);
        (needed != *self.head_tombstones).then_some(needed)
    }

    /// Hides what `tombstones` delete of a block.
    pub fn set_block_tombstones(&mut self, id: BlockId, tombstones: Tombstones) {
        let tombstones = Arc::new(tombstones);
        for open in self.blocks.iter_mut().filter(|open| open.block.id() == id) {
            open.tombstones = tombstones.clone();
        }
    }
}
