//! Many inputs become one block: a cut of the head's parts, a compaction, a rewrite without deleted
//! samples or for other shards.
//!
//! ```text
//! sources, each in order of labels ── the least labels ──> one series of all that have it
//!     chunks that overlap         decoded, merged, encoded anew
//!     small chunks                decoded and joined
//!     large chunks, untouched     taken over byte for byte
//! ```
//!
//! Of samples with one timestamp that of the first source stays, so sources come in the order in
//! which they were written. (Prometheus keeps one of them, which one it does not say.)
//!
//! Work is done in turns, a series at a time; memory is what the writer keeps and the samples of one
//! series that overlap.

mod order;
mod series;
mod source;
#[cfg(test)]
mod tests;

pub use order::LabelOrder;
pub use source::MergeSource;

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use super::error::BlockError;
use super::meta::BlockMeta;
use super::write::{BlockPlan, BlockWriter};
use crate::model::{LabelsRef, TimeRange};
use series::SeriesMerger;
use source::Cursor;

/// Gives the labels of the head's series: writes their canonical bytes behind those in the buffer;
/// `false` when the series is not known.
pub type LabelLookup<'a> = dyn FnMut(u32, &mut Vec<u8>) -> bool + 'a;

/// How far a merge is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    /// The block is complete. It may have no series; then it is of no use.
    Done(BlockMeta),
}

/// What a merge keeps of its sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeScope {
    pub range: TimeRange,
    /// Series with these stable hashes.
    pub hashes: RangeInclusive<u64>,
    /// Leaves out series of blocks of which something cannot be read, instead of failing. They are read
    /// twice then.
    pub skips_damaged: bool,
}

impl Default for MergeScope {
    fn default() -> Self {
        let range = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
        MergeScope { range, hashes: 0..=u64::MAX, skips_damaged: false }
    }
}

/// The stable hashes of the series of one shard of `count`: those whose product with `count` has
/// `shard` as its upper half.
pub fn hashes_of_shard(shard: u16, count: u16) -> RangeInclusive<u64> {
    assert!(shard < count);
    let first = |shard: u16| (u128::from(shard) << 64).div_ceil(u128::from(count));
    first(shard) as u64..=(first(shard + 1) - 1) as u64
}

/// A merge that is under way.
#[derive(Debug)]
pub struct Merge {
    cursors: Vec<Cursor>,
    scope: MergeScope,
    writer: Option<BlockWriter>,
    merger: SeriesMerger,
    /// Cursors that stand at the least labels.
    least: Vec<usize>,
    /// All series are written; what stands at the end is not.
    is_ending: bool,
}

impl Merge {
    /// Begins a block of what `scope` keeps of `sources`.
    pub fn new(
        sources: Vec<MergeSource>,
        scope: MergeScope,
        plan: BlockPlan,
        out: &mut Vec<u8>,
    ) -> Merge {
        Merge {
            merger: SeriesMerger::new(&sources),
            cursors: sources.into_iter().map(Cursor::new).collect(),
            scope,
            writer: Some(BlockWriter::new(plan, out)),
            least: vec![],
            is_ending: false,
        }
    }

    /// Series written so far.
    pub fn series_count(&self) -> usize {
        self.writer.as_ref().map_or(0, BlockWriter::series_count)
    }

    /// Bytes on the heap that grow with series, about.
    pub fn bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, BlockWriter::bytes)
    }

    /// Merges series until about `work_max` samples are done, and appends the block's next bytes to
    /// `out`. `labels` is asked for the labels of the head's series, and is the same in all turns.
    ///
    /// Errors: a source is damaged; the merge is of no use then.
    ///
    /// # Panics
    ///
    /// When it is called again after it was done, or after an error.
    pub fn step(
        &mut self,
        labels: &mut LabelLookup<'_>,
        work_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<Progress, BlockError> {
        let mut writer = self.writer.take().expect("a merge that goes on");
        let mut work = 0;
        while work < work_max && !self.is_ending {
            for cursor in &mut self.cursors {
                work += cursor.settle(&self.scope, labels)?;
            }
            if !self.find_least() {
                self.is_ending = true;
                break;
            }
            work += self.merger.merge(&self.cursors, &self.least, &self.scope, &mut writer, out)?;
            let first = &self.cursors[self.least[0]];
            let (hash, labels) = first.current().expect("it was found");
            writer.end_series(labels, hash, out)?;
            for &index in &self.least {
                self.cursors[index].advance();
            }
        }
        if self.is_ending
            && let Some(meta) = writer.finish_some(work_max.saturating_sub(work).max(1), out)?
        {
            return Ok(Progress::Done(meta));
        }
        self.writer = Some(writer);
        Ok(Progress::More)
    }

    /// Finds the cursors with the least labels; `false` when all are at their end.
    fn find_least(&mut self) -> bool {
        self.least.clear();
        let mut least: Option<LabelsRef<'_>> = None;
        for (index, cursor) in self.cursors.iter().enumerate() {
            let Some((_, labels)) = cursor.current() else { continue };
            match least.map_or(Ordering::Less, |least| labels.compare(least)) {
                Ordering::Less => {
                    least = Some(labels);
                    self.least.clear();
                    self.least.push(index);
                }
                Ordering::Equal => self.least.push(index),
                Ordering::Greater => {}
            }
        }
        !self.least.is_empty()
    }
}
