//! Finding series and labels, and being a source of queries.

use std::cell::RefCell;
use std::ops::Range;

use roaring::RoaringBitmap;

use super::Store;
use crate::index::{CompiledMatcher, Stats};
use crate::model::{Labels, LabelsRef, Matcher, Samples, SeriesId, Source, SourceError, TimeRange};

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

fn source_error(error: impl std::fmt::Display) -> SourceError {
    SourceError { message: error.to_string() }
}

impl Store {
    /// The labels of a series that is in the index.
    fn indexed_labels(&self, series: u32) -> LabelsRef<'_> {
        self.head.labels(SeriesId(series)).expect("the index holds living series only")
    }

    fn matching(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, SourceError> {
        let compiled = CompiledMatcher::compile(matchers).map_err(source_error)?;
        Ok(self.head.index().select(&compiled, |series| self.indexed_labels(series)))
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

    fn overlaps(&self, range: TimeRange) -> bool {
        let span_ms = self.head.time_span_ms();
        span_ms.is_some_and(|(min_ms, max_ms)| min_ms <= range.max_ms && range.min_ms <= max_ms)
    }

    fn keep_in_range(&self, series: &RoaringBitmap, range: TimeRange) -> Vec<SeriesId> {
        if !self.overlaps(range) {
            return vec![];
        }
        let in_range = |&series: &SeriesId| self.head.may_have_samples(series, range);
        series.iter().map(SeriesId).filter(in_range).collect()
    }

    /// The label sets of series with samples in `range` that match one set of matchers at least,
    /// in order of id; at most `limit`.
    pub fn series(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Labels>, SourceError> {
        let Some(matching) = self.matching_any(matcher_sets)? else { return Ok(vec![]) };
        let series = self.keep_in_range(&matching, range);
        let labels = series.iter().take(limit).map(|id| self.indexed_labels(id.0).to_owned());
        Ok(labels.collect())
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
        let selection = self.matching_any(matcher_sets)?;
        if !self.overlaps(range) {
            return Ok(vec![]);
        }
        let names = self.head.index().label_names(selection.as_ref(), limit);
        Ok(names.into_iter().map(to_text).collect())
    }

    /// Values of the label `name`, sorted; otherwise as [`Store::label_names`].
    pub fn label_values(
        &self,
        name: &str,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, SourceError> {
        let selection = self.matching_any(matcher_sets)?;
        if !self.overlaps(range) {
            return Ok(vec![]);
        }
        let labels = |series| self.indexed_labels(series);
        let values =
            self.head.index().label_values(name.as_bytes(), selection.as_ref(), limit, labels);
        Ok(values.into_iter().map(to_text).collect())
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

/// Label bytes are checked to be UTF-8 where they come in.
fn to_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Source for Store {
    type Selection = Vec<SeriesId>;

    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<SeriesId>, SourceError> {
        Ok(self.keep_in_range(&self.matching(matchers)?, range))
    }

    fn with_labels(
        &self,
        selection: &Vec<SeriesId>,
        index: usize,
        f: &mut dyn FnMut(LabelsRef<'_>),
    ) {
        if let Some(labels) = self.head.labels(selection[index]) {
            f(labels);
        }
    }

    fn samples(
        &self,
        selection: &Vec<SeriesId>,
        index: usize,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        self.head.samples(selection[index], range, out).map_err(source_error)
    }

    async fn warm(
        &self,
        selection: &Vec<SeriesId>,
        indexes: Range<usize>,
        _range: TimeRange,
    ) -> Result<(), SourceError> {
        self.head.prefetch(&selection[indexes]);
        Ok(())
    }
}

/// A store that its shard shares between ingest and queries: borrowed for one call at a time.
impl Source for RefCell<Store> {
    type Selection = Vec<SeriesId>;

    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<SeriesId>, SourceError> {
        self.borrow().select(matchers, range)
    }

    fn with_labels(
        &self,
        selection: &Vec<SeriesId>,
        index: usize,
        f: &mut dyn FnMut(LabelsRef<'_>),
    ) {
        self.borrow().with_labels(selection, index, f);
    }

    fn samples(
        &self,
        selection: &Vec<SeriesId>,
        index: usize,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        self.borrow().samples(selection, index, range, out)
    }

    async fn warm(
        &self,
        selection: &Vec<SeriesId>,
        indexes: Range<usize>,
        _range: TimeRange,
    ) -> Result<(), SourceError> {
        self.borrow().head.prefetch(&selection[indexes]);
        Ok(())
    }
}
