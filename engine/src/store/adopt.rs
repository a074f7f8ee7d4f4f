//! Taking in, as samples of the own head, what shards of another count left in parts.

use std::sync::Arc;

use super::select::source_error;
use super::{Flushed, Store};
use crate::block::part::{Part, PartChunk, PartLabels, PartRuns};
use crate::encode::{self, ValueCodec};
use crate::head::Head;
use crate::model::{HistogramSample, Samples, SeriesId, SourceError};

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
}

impl Adopt {
    /// `parts` in order of number.
    pub fn new(parts: Vec<Arc<Part>>) -> Adopt {
        let labels = parts.first().map(|part| part.labels());
        Adopt { parts, at: 0, labels, runs: PartRuns::default(), ids: vec![] }
    }

    /// Where the log of that shard goes on behind its parts.
    pub fn flushed(&self) -> Flushed {
        let Some(last) = self.parts.last().map(|part| *part.meta()) else {
            return Flushed::default();
        };
        let ids = (0u32..).zip(self.ids.iter().copied()).collect();
        Flushed { next_lsn: last.next_lsn, epoch: Some(last.epoch), ids }
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
                            for chunk in chunks {
                                self.adopt_chunk(series, &chunk.map_err(source_error)?)?;
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

    fn adopt_chunk(&mut self, series: SeriesId, chunk: &PartChunk<'_>) -> Result<(), SourceError> {
        let mut samples = Samples::default();
        encode::decode_samples(chunk.bytes, &mut samples).map_err(source_error)?;
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
