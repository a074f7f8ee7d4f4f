//! What the head has, as a whole and of a series.

use super::Store;
#[cfg(doc)]
use super::Wanted;
use crate::index::Stats;
#[cfg(test)]
use crate::model::LabelsRef;
use crate::model::{SeriesId, SourceError, TimeRange};

/// What `/api/v1/status/tsdb` shows of one shard, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadStats {
    pub series_count: usize,
    /// Sealed chunks, and an open one for each series.
    pub chunk_count: usize,
    /// Timestamps of the oldest and newest sample; `None` while there is none.
    pub span_ms: Option<(i64, i64)>,
    pub index: Stats,
}

pub(super) fn source_error(error: impl std::fmt::Display) -> SourceError {
    SourceError { message: error.to_string() }
}

impl HeadStats {
    /// Adds the sizes of another shard.
    pub fn add_sizes(&mut self, other: &HeadStats) {
        self.series_count += other.series_count;
        self.chunk_count += other.chunk_count;
        self.span_ms = match (self.span_ms, other.span_ms) {
            (Some((min, max)), Some((other_min, other_max))) => {
                Some((min.min(other_min), max.max(other_max)))
            }
            (span, other) => span.or(other),
        };
    }
}

impl Store {
    /// The labels of a series that is in the index.
    #[cfg(test)]
    pub(super) fn indexed_labels<'b>(&self, series: u32, buffer: &'b mut Vec<u8>) -> LabelsRef<'b> {
        let labels = self.head.labels(SeriesId(series), buffer);
        labels.expect("the index holds living series only")
    }

    /// Whether the head may have any samples in `range`.
    pub(super) fn overlaps(&self, range: TimeRange) -> bool {
        let span_ms = self.head.time_span_ms();
        span_ms.is_some_and(|(min_ms, max_ms)| min_ms <= range.max_ms && range.min_ms <= max_ms)
            || self.head.may_have_late(range)
            || self.parts.in_range(range).any(|(part, _)| part.meta().has_late)
    }

    /// Whether a series lives in the head and has samples in `range`, there or in parts.
    pub(super) fn has_in_range(&self, series: SeriesId, range: TimeRange) -> bool {
        self.head.index().contains(series.0)
            && (self.head.may_have_samples(series, range)
                || self.head.newest_ms(series).is_some_and(|newest_ms| newest_ms >= range.min_ms)
                    && self.is_in_parts(series, range))
    }

    /// Whether a part has a chunk of the series that overlaps `range`.
    fn is_in_parts(&self, series: SeriesId, range: TimeRange) -> bool {
        self.parts.in_range(range).any(|(part, _)| {
            let Ok(mut chunks) = part.chunks(series.0) else { return true };
            chunks.any(|chunk| {
                chunk.map_or(true, |chunk| {
                    chunk.header.min_ms <= range.max_ms && range.min_ms <= chunk.header.max_ms
                })
            })
        })
    }

    /// Sizes, without what is in the index: that takes a lookup of [`Wanted::PairCounts`].
    pub fn head_sizes(&self) -> HeadStats {
        HeadStats {
            series_count: self.head.series_count(),
            chunk_count: self.head.sealed_chunk_count() + self.head.series_count(),
            span_ms: self.head.time_span_ms(),
            index: Stats::default(),
        }
    }
}
