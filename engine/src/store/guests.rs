//! Blocks of Prometheus beside the own ones.
//!
//! A block of Prometheus holds the series of all shards: each shard has a list of those that live on
//! it, and reads no others. [`AnyBlock`] is what a selection reads: either kind.

use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::Store;
use super::blocks::OpenBlock;
use crate::block::prometheus::PrometheusBlock;
use crate::block::{BlockError, BlockId, BlockMeta, Scratch, Tombstones};
use crate::disk::FileBytes;
use crate::index::{CompiledMatcher, Listing, Search};
use crate::model::{LabelsRef, Samples, TimeRange};

/// A block of Prometheus that queries read.
#[derive(Clone, Debug)]
pub struct OpenGuest {
    pub block: Arc<PrometheusBlock>,
    /// Of all shards, or of this one at least.
    pub tombstones: Arc<Tombstones>,
    /// The series that live here.
    pub series: Arc<RoaringBitmap>,
    /// Timestamps of the first and the last sample of the block, of all shards.
    pub min_ms: i64,
    pub max_ms: i64,
}

impl OpenGuest {
    fn overlaps(&self, range: TimeRange) -> bool {
        self.min_ms <= range.max_ms && range.min_ms <= self.max_ms
    }

    /// What it says about itself, as an own block of one shard would.
    pub fn summary(&self) -> BlockMeta {
        let meta = self.block.meta();
        BlockMeta {
            id: meta.id,
            shard: 0,
            shard_count: 1,
            level: meta.level,
            is_out_of_order: meta.is_out_of_order,
            parents: meta.parents.iter().map(|parent| parent.id).collect(),
            range_start_ms: meta.start_ms,
            range_end_ms: meta.end_ms,
            min_ms: self.min_ms,
            max_ms: self.max_ms,
            series_count: meta.stats.series_count,
            float_count: meta.stats.sample_count.saturating_sub(meta.stats.histogram_count),
            histogram_count: meta.stats.histogram_count,
            chunk_count: meta.stats.chunk_count,
        }
    }
}

/// A block of either kind.
#[derive(Clone, Debug)]
pub(super) enum AnyBlock {
    Own(OpenBlock),
    Guest(OpenGuest),
}

impl AnyBlock {
    pub fn min_ms(&self) -> i64 {
        match self {
            AnyBlock::Own(open) => open.block.meta().min_ms,
            AnyBlock::Guest(guest) => guest.min_ms,
        }
    }

    fn max_ms(&self) -> i64 {
        match self {
            AnyBlock::Own(open) => open.block.meta().max_ms,
            AnyBlock::Guest(guest) => guest.max_ms,
        }
    }

    pub fn id(&self) -> BlockId {
        match self {
            AnyBlock::Own(open) => open.block.id(),
            AnyBlock::Guest(guest) => guest.block.id(),
        }
    }

    /// Whether all its samples are in `range`.
    pub fn lies_within(&self, range: TimeRange) -> bool {
        range.min_ms <= self.min_ms() && self.max_ms() <= range.max_ms
    }

    /// What of `range` is between its first and its last sample.
    pub fn common(&self, range: TimeRange) -> TimeRange {
        TimeRange {
            min_ms: range.min_ms.max(self.min_ms()),
            max_ms: range.max_ms.min(self.max_ms()),
        }
    }

    /// Searches the series that match: begins, and goes on, see [`Search::step`].
    pub fn begin_search(&self) -> Search {
        match self {
            AnyBlock::Own(open) => Search::among(&*open.block, open.series.clone()),
            AnyBlock::Guest(guest) => Search::among(&*guest.block, Some(guest.series.clone())),
        }
    }

    pub fn search_more(
        &self,
        search: &mut Search,
        matchers: &[CompiledMatcher],
        work_max: usize,
    ) -> Result<usize, BlockError> {
        match self {
            AnyBlock::Own(open) => search.step(&*open.block, matchers, work_max),
            AnyBlock::Guest(guest) => search.step(&*guest.block, matchers, work_max),
        }
    }

    /// Of the series of a search those that live here.
    pub fn keep_own(&self, found: RoaringBitmap) -> RoaringBitmap {
        match self {
            AnyBlock::Own(open) => open.keep_own(found),
            AnyBlock::Guest(guest) => found & &*guest.series,
        }
    }

    /// All series here; `None`: all of the block, of an own one.
    pub fn own_series(&self) -> Option<RoaringBitmap> {
        match self {
            AnyBlock::Own(open) => open.series.as_deref().cloned(),
            AnyBlock::Guest(guest) => Some((*guest.series).clone()),
        }
    }

    /// Goes on with a listing, see [`Listing::step`].
    pub fn list_more(
        &self,
        listing: &mut Listing,
        work_max: usize,
        f: impl FnMut(&[u8]),
    ) -> Result<Option<usize>, BlockError> {
        match self {
            AnyBlock::Own(open) => listing.step(&*open.block, work_max, f),
            AnyBlock::Guest(guest) => listing.step(&*guest.block, work_max, f),
        }
    }

    /// Labels and their stable hash.
    pub fn labels<'b>(
        &self,
        series: u32,
        buffer: &'b mut Vec<u8>,
    ) -> Result<(LabelsRef<'b>, u64), BlockError> {
        match self {
            AnyBlock::Own(open) => {
                let hash = open.block.hash(series)?;
                Ok((open.block.labels(series, buffer)?, hash))
            }
            AnyBlock::Guest(guest) => {
                let labels = guest.block.labels(series, buffer)?;
                Ok((labels, labels.stable_hash()))
            }
        }
    }

    pub fn may_have_samples(&self, series: u32, range: TimeRange) -> Result<bool, BlockError> {
        match self {
            AnyBlock::Own(open) => open.block.may_have_samples(series, range),
            AnyBlock::Guest(guest) => guest.block.may_have_samples(series, range),
        }
    }

    pub fn samples(
        &self,
        series: u32,
        range: TimeRange,
        out: &mut Samples,
        scratch: &mut Scratch,
    ) -> Result<(), BlockError> {
        match self {
            AnyBlock::Own(open) => open.block.samples(series, range, out, scratch),
            AnyBlock::Guest(guest) => {
                guest.block.samples(series, range, out, &mut scratch.histograms)
            }
        }
    }

    /// What was deleted of a series.
    pub fn deleted(&self, series: u32) -> &[TimeRange] {
        match self {
            AnyBlock::Own(open) => open.tombstones.get(series),
            AnyBlock::Guest(guest) => guest.tombstones.get(series),
        }
    }

    /// Bytes of an own block's file that [`AnyBlock::samples`] reads; what cannot be read says so then.
    pub fn own_byte_range(&self, series: u32, range: TimeRange) -> Option<Range<usize>> {
        let AnyBlock::Own(open) = self else { return None };
        let bytes = open.block.byte_range(series, range).unwrap_or_default();
        Some(bytes.start as usize..bytes.end as usize)
    }

    /// The file of an own block.
    pub fn bytes(&self) -> Option<&FileBytes> {
        match self {
            AnyBlock::Own(open) => Some(open.block.bytes()),
            AnyBlock::Guest(_) => None,
        }
    }

    /// As [`AnyBlock::own_byte_range`], of a block of Prometheus, which has several files.
    pub fn guest_byte_ranges(
        &self,
        series: u32,
        range: TimeRange,
    ) -> Vec<(FileBytes, Range<usize>)> {
        let AnyBlock::Guest(guest) = self else { return vec![] };
        let ranges = guest.block.byte_ranges(series, range).into_iter();
        ranges.map(|(bytes, range)| (bytes.clone(), range)).collect()
    }
}

impl Store {
    /// Blocks of Prometheus, the oldest first.
    pub fn guests(&self) -> &[OpenGuest] {
        &self.guests
    }

    /// Reads from `added` from now on, and from the blocks `removed` no more. One step.
    pub fn replace_guests(&mut self, removed: &[BlockId], added: Vec<OpenGuest>) {
        self.guests.retain(|guest| !removed.contains(&guest.block.id()));
        self.guests.extend(added);
        self.guests.sort_by_key(|guest| (guest.min_ms, guest.block.id()));
    }

    /// Blocks of both kinds that may have samples in `range`, oldest first.
    pub(super) fn blocks_in(&self, range: TimeRange) -> Vec<AnyBlock> {
        let own = self.blocks.iter().filter(|open| open.block.meta().overlaps(range));
        let mut blocks: Vec<AnyBlock> = own.cloned().map(AnyBlock::Own).collect();
        let guests = self.guests.iter().filter(|guest| guest.overlaps(range));
        blocks.extend(guests.cloned().map(AnyBlock::Guest));
        // Of own and foreign samples of one timestamp those count that were there first.
        blocks.sort_by_key(AnyBlock::min_ms);
        blocks
    }

    /// Hides what `tombstones` delete of a block of Prometheus.
    pub fn set_guest_tombstones(&mut self, id: BlockId, tombstones: Arc<Tombstones>) {
        for guest in self.guests.iter_mut().filter(|guest| guest.block.id() == id) {
            guest.tombstones = tombstones.clone();
        }
    }
}
