//! Taking in, as samples of the own head, what shards of another count left in parts.

use std::sync::Arc;

use super::select::source_error;
use super::{Flushed, Store};
use crate::block::delete_intervals;
use crate::block::part::{Part, PartChunk, PartLabels, PartRuns, PartTombstones};
use crate::encode::{self, ValueCodec};
use crate::head::Head;
use crate::model::{HistogramSample, Samples, SeriesId, SourceError, TimeRange};

/// How samples get into the head: series, timestamps, values, starts.
type Append<T> = fn(&mut Head, &[SeriesId], &[i64], &[T], &[i64]) -> usize;
const FLOATS: Append<f64> = Head::append_replayed;
const LATE_FLOATS: Append<f64> = Head::append_replayed_late;
const HISTOGRAMS: Append<HistogramSample> = Head::append_replayed_histograms;
const LATE_HISTOGRAMS: Append<HistogramSample> = Head::append_replayed_late_histograms;

/// The parts of one shard that is no more, on their way into a head. In pieces.
pub struct Adopt {
    parts: Vec<Arc<Part>>,
    /// The part that is read.
    at: usize,
    /// Of that part. Labels of all parts come before the chunks of any: those of a series may stand
    /// in a later part than its chunks.
    labels: Option<PartLabels>,
    runs: PartRuns,
    /// The head's ids by those of the parts; `None` for series of other shards.
    ids: Vec<Option<SeriesId>>,
    /// The last part, and the time before which blocks have the samples of it and of those before.
    cut: (u64, i64),
    /// Of the parts.
    tombstones: PartTombstones,
}

impl Adopt {
    /// `parts` in order of number, without what `tombstones` delete of them. Of those up to the part
    /// `cut` names, samples before its time are passed over: blocks have them.
    pub fn new(
        parts: Vec<Arc<Part>>,
        cut: Option<(u64, i64)>,
        tombstones: PartTombstones,
    ) -> Adopt {
        let labels = parts.first().map(|part| part.labels());
        let cut = cut.unwrap_or((0, i64::MIN));
        let (runs, ids) = (PartRuns::default(), vec![]);
        Adopt { parts, at: 0, labels, runs, ids, cut, tombstones }
    }

    /// Where the log of that shard goes on behind its parts.
    pub fn flushed(&self) -> Flushed {
        let Some(last) = self.parts.last().map(|part| *part.meta()) else {
            return Flushed::default();
        };
        let ids = (0u32..).zip(self.ids.iter().copied()).collect();
        Flushed { next_lsn: last.next_lsn, epoch: Some(last.epoch), ids, is_former: true }
    }
}

impl Store {
    /// Takes series in whose stable hash `keep` wants, until `is_enough`; true when all are. What is
    /// not newer than a series' newest sample was there before, and is passed over.
    ///
    /// Errors: a part that cannot be read.
    pub fn adopt_some(
        &mut self,
        adopt: &mut Adopt,
        keep: impl Fn(u64) -> bool,
        mut is_enough: impl FnMut() -> bool,
    ) -> Result<bool, SourceError> {
        while let Some(part) = adopt.parts.get(adopt.at).cloned() {
            if let Some(labels) = &mut adopt.labels {
                match labels.next(&part).map_err(source_error)? {
                    Some((id, labels)) => {
                        let index = id as usize;
                        if adopt.ids.len() <= index {
                            adopt.ids.resize(index + 1, None);
                        }
                        adopt.ids[index] = match keep(labels.stable_hash()) {
                            true => self.head.find_or_insert(labels),
                            false => None,
                        };
                    }
                    None => {
                        adopt.labels = adopt.parts.get(adopt.at + 1).map(|part| part.labels());
                        adopt.at = if adopt.labels.is_some() { adopt.at + 1 } else { 0 };
                    }
                }
            } else {
                match adopt.runs.next(&part).map_err(source_error)? {
                    Some((id, chunks)) => {
                        if let Some(&Some(series)) = adopt.ids.get(id as usize) {
                            let (last, before_ms) = adopt.cut;
                            let is_cut = part.meta().number <= last;
                            let from_ms = if is_cut { before_ms } else { i64::MIN };
                            let deleted = adopt.tombstones.get(id, part.meta().number);
                            for chunk in chunks {
                                let chunk = chunk.map_err(source_error)?;
                                self.adopt_chunk(series, &chunk, from_ms, &deleted)?;
                            }
                        }
                    }
                    None => (adopt.at, adopt.runs) = (adopt.at + 1, PartRuns::default()),
                }
            }
            if is_enough() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the samples of a chunk in that are not before `from_ms`, and not `deleted`.
    fn adopt_chunk(
        &mut self,
        series: SeriesId,
        chunk: &PartChunk<'_>,
        from_ms: i64,
        deleted: &[TimeRange],
    ) -> Result<(), SourceError> {
        if chunk.header.max_ms < from_ms {
            return Ok(());
        }
        let mut samples = Samples::default();
        encode::decode_samples(chunk.bytes, &mut samples).map_err(source_error)?;
        if from_ms > i64::MIN {
            let passed = [TimeRange { min_ms: i64::MIN, max_ms: from_ms - 1 }];
            delete_intervals(&mut samples, (0, 0), &passed);
        }
        delete_intervals(&mut samples, (0, 0), deleted);
        // After a start that was interrupted they may be in own parts already, and deleted from those.
        delete_intervals(&mut samples, (0, 0), &self.head_tombstones.of_series(series.0));
        let (append, append_histograms) = match chunk.is_late {
            true => (LATE_FLOATS, LATE_HISTOGRAMS),
            false => (FLOATS, HISTOGRAMS),
        };
        append(
            &mut self.head,
            &vec![series; samples.values.len()],
            &samples.timestamps_ms,
            &samples.values,
            &samples.starts_ms,
        );
        let is_integer = chunk.header.value_codec == ValueCodec::Histograms { is_integer: true };
        let sample = |histogram| HistogramSample { histogram, is_integer };
        let histograms: Vec<HistogramSample> = samples.histograms.into_iter().map(sample).collect();
        append_histograms(
            &mut self.head,
            &vec![series; histograms.len()],
            &samples.histogram_timestamps_ms,
            &histograms,
            &samples.histogram_starts_ms,
        );
        Ok(())
    }
}
