//! Blocks of either kind to one block of Prometheus, series by series in order of their labels.
//!
//! ```text
//! own blocks, blocks of Prometheus ─► the least labels of all ─► their samples, without what was
//!     deleted ─► PrometheusWriter
//! ```
//!
//! Of two samples of one timestamp the source that stands first counts. What a histogram's chunk knew
//! of a reset before it is found out anew from the samples.

use std::cmp::Ordering;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::super::error::BlockError;
use super::super::merge_samples::merge_series_samples;
use super::super::read::{Block, Scratch};
use super::super::samples::SeriesSamples;
use super::super::tombstones::{Tombstones, delete_from_series};
use super::read::PrometheusBlock;
use super::write::{Pieces, PrometheusWriter};
use crate::model::{Labels, LabelsRef, TimeRange};

/// A block that is merged.
#[derive(Clone, Debug)]
pub struct Source {
    pub block: SourceBlock,
    /// What was deleted of it.
    pub tombstones: Arc<Tombstones>,
}

#[derive(Clone, Debug)]
pub enum SourceBlock {
    /// One of hearth's; of a block that another number of shards wrote a part of the series.
    Own(Arc<Block>, Option<Arc<RoaringBitmap>>),
    Prometheus(Arc<PrometheusBlock>),
}

impl SourceBlock {
    fn series(&self) -> Result<RoaringBitmap, BlockError> {
        match self {
            SourceBlock::Own(_, Some(series)) => Ok((**series).clone()),
            SourceBlock::Own(block, None) => {
                let mut all = RoaringBitmap::new();
                all.insert_range(0..block.series_count());
                Ok(all)
            }
            SourceBlock::Prometheus(block) => block.all_series(),
        }
    }

    fn labels<'b>(
        &self,
        series: u32,
        buffer: &'b mut Vec<u8>,
    ) -> Result<LabelsRef<'b>, BlockError> {
        match self {
            SourceBlock::Own(block, _) => block.labels(series, buffer),
            SourceBlock::Prometheus(block) => block.labels(series, buffer),
        }
    }

    fn read(
        &self,
        series: u32,
        range: TimeRange,
        out: &mut SeriesSamples,
        scratch: &mut Scratch,
    ) -> Result<(), BlockError> {
        match self {
            SourceBlock::Own(block, _) => block.read(series, range, out, scratch),
            SourceBlock::Prometheus(block) => block.series_samples(series, range, out),
        }
    }
}

/// Where a source is read.
struct Cursor {
    source: Source,
    series: roaring::bitmap::IntoIter,
    /// The next series to merge, with its labels; none: read to its end.
    next: Option<(u32, Labels)>,
    buffer: Vec<u8>,
}

impl Cursor {
    fn new(source: Source) -> Result<Cursor, BlockError> {
        let series = source.block.series()?.into_iter();
        let mut cursor = Cursor { source, series, next: None, buffer: vec![] };
        cursor.advance()?;
        Ok(cursor)
    }

    fn advance(&mut self) -> Result<(), BlockError> {
        self.next = match self.series.next() {
            Some(series) => {
                let labels = self.source.block.labels(series, &mut self.buffer)?;
                Some((series, labels.to_owned()))
            }
            None => None,
        };
        Ok(())
    }
}

/// A merge that goes on series by series: [`PrometheusMerge::step`] until it says that all are done.
pub struct PrometheusMerge {
    cursors: Vec<Cursor>,
    range: TimeRange,
    merged: SeriesSamples,
    own: SeriesSamples,
    scratch: Scratch,
    least: Vec<usize>,
}

impl PrometheusMerge {
    /// Merges the samples in `range` of `sources`.
    pub fn new(sources: Vec<Source>, range: TimeRange) -> Result<PrometheusMerge, BlockError> {
        Ok(PrometheusMerge {
            cursors: sources.into_iter().map(Cursor::new).collect::<Result<_, _>>()?,
            range,
            merged: SeriesSamples::default(),
            own: SeriesSamples::default(),
            scratch: Scratch::default(),
            least: vec![],
        })
    }

    /// Writes the next series; how many samples were read, `None` when there is no series any more.
    ///
    /// Cost: about 25 ns a float, and a look at the labels of each source.
    pub fn step(
        &mut self,
        writer: &mut PrometheusWriter,
        out: &mut Pieces,
    ) -> Result<Option<usize>, BlockError> {
        let PrometheusMerge { cursors, range, merged, own, scratch, least } = self;
        least.clear();
        let mut labels: Option<LabelsRef<'_>> = None;
        for (index, cursor) in cursors.iter().enumerate() {
            let Some((_, other)) = &cursor.next else { continue };
            let other = other.as_ref();
            match labels.map_or(Ordering::Less, |labels| other.compare(labels)) {
                Ordering::Less => {
                    least.clear();
                    least.push(index);
                    labels = Some(other);
                }
                Ordering::Equal => least.push(index),
                Ordering::Greater => {}
            }
        }
        let Some(labels) = labels else { return Ok(None) };
        merged.clear();
        let mut count = 0;
        for (at, &index) in least.iter().enumerate() {
            let Cursor { source, next, .. } = &cursors[index];
            let Some((series, _)) = next else { continue };
            let series = *series;
            let target = if at == 0 { &mut *merged } else { &mut *own };
            target.clear();
            source.block.read(series, *range, target, scratch)?;
            count += target.len();
            let deleted = source.tombstones.get(series);
            if !deleted.is_empty() {
                delete_from_series(target, deleted);
            }
            if at > 0 {
                merge_series_samples(merged, own, *range);
            }
        }
        writer.push_series(labels, merged, out)?;
        for index in std::mem::take(least) {
            cursors[index].advance()?;
        }
        Ok(Some(count))
    }
}
