//! Finding series and labels in the head and in blocks.

use roaring::RoaringBitmap;

use super::Store;
use crate::index::{CompiledMatcher, Stats};
use crate::model::{Labels, LabelsRef, Matcher, SeriesId, SourceError, TimeRange};

/// What `/api/v1/status/tsdb` shows of one shard.
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

impl Store {
    /// The labels of a series that is in the index.
    pub(super) fn indexed_labels<'b>(&self, series: u32, buffer: &'b mut Vec<u8>) -> LabelsRef<'b> {
        let labels = self.head.labels(SeriesId(series), buffer);
        labels.expect("the index holds living series only")
    }

    pub(super) fn matching(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, SourceError> {
        let compiled = CompiledMatcher::compile(matchers).map_err(source_error)?;
        Ok(self.head.index().select(&compiled))
    }

    /// Series that match one set of matchers at least; `None` without sets: all series.
    fn matching_any(
        &self,
        matcher_sets: &[Vec<Matcher>],
    ) -> Result<Option<RoaringBitmap>, SourceError> {
        if matcher_sets.is_empty() {
            return Ok(None);
        }
        let mut all = RoaringBitmap::new();
        for matchers in matcher_sets {
            all |= self.matching(matchers)?;
        }
        Ok(Some(all))
    }

    /// Whether the head may have any samples in `range`.
    pub(super) fn overlaps(&self, range: TimeRange) -> bool {
        let span_ms = self.head.time_span_ms();
        span_ms.is_some_and(|(min_ms, max_ms)| min_ms <= range.max_ms && range.min_ms <= max_ms)
            || self.head.may_have_late(range)
            || self.parts.in_range(range).any(|(part, _)| part.meta().has_late)
    }

    fn keep_in_range(&self, series: &RoaringBitmap, range: TimeRange) -> Vec<SeriesId> {
        if !self.overlaps(range) {
            return vec![];
        }
        // Whether a part has a series is not asked: reading it says so.
        let is_in_parts = self.parts.in_range(range).next().is_some();
        let in_range = |&series: &SeriesId| {
            self.head.may_have_samples(series, range)
                || (is_in_parts
                    && self.head.newest_ms(series).is_some_and(|newest| newest >= range.min_ms))
        };
        series.iter().map(SeriesId).filter(in_range).collect()
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

    /// The label sets of series with samples in `range` that match one set of matchers at least,
    /// sorted, each once; at most `limit`.
    pub fn series(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Labels>, SourceError> {
        let Some(matching) = self.matching_any(matcher_sets)? else { return Ok(vec![]) };
        let mut series = self.keep_in_range(&matching, range);
        if !self.parts.list.is_empty() {
            let is_in_head = |id| self.head.may_have_samples(id, range);
            series.retain(|&id| is_in_head(id) || self.is_in_parts(id, range));
        }
        let mut buffer = vec![];
        let owned = |id: &SeriesId| self.indexed_labels(id.0, &mut buffer).to_owned();
        let mut labels: Vec<Labels> = series.iter().map(owned).collect();
        self.block_series(matcher_sets, range, &mut labels)?;
        labels.sort_unstable();
        labels.dedup();
        labels.truncate(limit);
        Ok(labels)
    }

    /// Names of labels, sorted, of series that match one set of matchers at least (of all series
    /// without sets); at most `limit`. As in Prometheus, `range` is held against the head as a
    /// whole, not against each series.
    pub fn label_names(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, SourceError> {
        let mut names = vec![];
        if self.overlaps(range) {
            let selection = self.matching_any(matcher_sets)?;
            let of_head = self.head.index().label_names(selection.as_ref(), limit);
            names.extend(of_head.into_iter().map(to_text));
        }
        self.block_texts(matcher_sets, range, &mut names, |block, selection| {
            let names = block.label_names(selection, limit).map_err(source_error)?;
            Ok(names.into_iter().map(to_text).collect())
        })?;
        Ok(sorted(names, limit))
    }

    /// Values of the label `name`, sorted; otherwise as [`Store::label_names`].
    pub fn label_values(
        &self,
        name: &str,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, SourceError> {
        let mut values = vec![];
        if self.overlaps(range) {
            let selection = self.matching_any(matcher_sets)?;
            let of_head =
                self.head.index().label_values(name.as_bytes(), selection.as_ref(), limit);
            values.extend(of_head.into_iter().map(to_text));
        }
        self.block_texts(matcher_sets, range, &mut values, |block, selection| {
            let values = block.label_values(name.as_bytes(), selection, limit);
            Ok(values.map_err(source_error)?.into_iter().map(to_text).collect())
        })?;
        Ok(sorted(values, limit))
    }

    /// Sizes, and the `count_max` largest of each kind of cardinality. O(label pairs).
    pub fn head_stats(&self, count_max: usize) -> HeadStats {
        HeadStats {
            series_count: self.head.series_count(),
            chunk_count: self.head.sealed_chunk_count() + self.head.series_count(),
            span_ms: self.head.time_span_ms(),
            index: self.head.index().stats(count_max),
        }
    }
}

/// The first `limit` of some texts, each once.
fn sorted(mut texts: Vec<String>, limit: usize) -> Vec<String> {
    texts.sort_unstable();
    texts.dedup();
    texts.truncate(limit);
    texts
}

/// Label bytes are checked to be UTF-8 where they come in.
fn to_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
