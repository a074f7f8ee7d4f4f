//! The samples of one series on their way into a block.

use crate::model::{FloatHistogram, HistogramSample, Samples, TimeRange};

/// Samples of one series: floats and histograms apart, each strictly ascending by timestamp. Start
/// timestamps are empty, or as long as the values beside them.
///
/// As [`Samples`], but a histogram still knows whether its counts were whole.
#[derive(Clone, Debug, Default)]
pub struct SeriesSamples {
    pub timestamps_ms: Vec<i64>,
    pub values: Vec<f64>,
    pub starts_ms: Vec<i64>,
    pub histogram_timestamps_ms: Vec<i64>,
    pub histograms: Vec<HistogramSample>,
    pub histogram_starts_ms: Vec<i64>,
}

impl SeriesSamples {
    pub fn clear(&mut self) {
        self.clear_floats();
        self.clear_histograms();
    }

    pub(super) fn clear_floats(&mut self) {
        self.timestamps_ms.clear();
        self.values.clear();
        self.starts_ms.clear();
    }

    pub(super) fn clear_histograms(&mut self) {
        self.histogram_timestamps_ms.clear();
        self.histograms.clear();
        self.histogram_starts_ms.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.histograms.is_empty()
    }

    pub fn len(&self) -> usize {
        self.values.len() + self.histograms.len()
    }

    /// Takes the first `count` floats out.
    pub(super) fn take_floats(&mut self, count: usize) -> SeriesSamples {
        let starts = count.min(self.starts_ms.len());
        SeriesSamples {
            timestamps_ms: self.timestamps_ms.drain(..count).collect(),
            values: self.values.drain(..count).collect(),
            starts_ms: self.starts_ms.drain(..starts).collect(),
            ..SeriesSamples::default()
        }
    }

    /// Takes the first `count` histograms out.
    pub(super) fn take_histograms(&mut self, count: usize) -> SeriesSamples {
        let starts = count.min(self.histogram_starts_ms.len());
        SeriesSamples {
            histogram_timestamps_ms: self.histogram_timestamps_ms.drain(..count).collect(),
            histograms: self.histograms.drain(..count).collect(),
            histogram_starts_ms: self.histogram_starts_ms.drain(..starts).collect(),
            ..SeriesSamples::default()
        }
    }

    pub(super) fn assert_columns(&self) {
        assert!(self.timestamps_ms.len() == self.values.len());
        assert!(self.histogram_timestamps_ms.len() == self.histograms.len());
        assert!(self.starts_ms.is_empty() || self.starts_ms.len() == self.values.len());
        let starts = self.histogram_starts_ms.len();
        assert!(starts == 0 || starts == self.histograms.len());
    }
}

/// Where samples are read into: those of queries and those of merges.
pub(super) trait SamplesOut {
    /// Columns of the floats: timestamps, values, starts.
    fn floats(&mut self) -> (&mut Vec<i64>, &mut Vec<f64>, &mut Vec<i64>);
    /// Columns of the histograms: timestamps, starts.
    fn histogram_times(&mut self) -> (&mut Vec<i64>, &mut Vec<i64>);
    fn push_histograms(&mut self, histograms: &mut Vec<FloatHistogram>, is_integer: bool);
    /// Removes the histograms from `end` on, and those of `start..first`.
    fn cut_histograms(&mut self, start: usize, first: usize, end: usize);
    /// Appends the samples of a series.
    fn append_series(&mut self, samples: SeriesSamples);

    /// Removes all but the first samples: so many floats, so many histograms.
    fn truncate(&mut self, (float_count, histogram_count): (usize, usize)) {
        let (timestamps_ms, values, starts_ms) = self.floats();
        timestamps_ms.truncate(float_count);
        values.truncate(float_count);
        starts_ms.truncate(float_count);
        let (timestamps_ms, starts_ms) = self.histogram_times();
        timestamps_ms.truncate(histogram_count);
        starts_ms.truncate(histogram_count);
        self.cut_histograms(histogram_count, histogram_count, histogram_count);
    }
}

/// Appends starts behind `before` samples, as long as `count` in all; nothing when nobody has any.
fn append_starts(out: &mut Vec<i64>, before: usize, mut own: Vec<i64>, count: usize) {
    if !out.is_empty() || !own.is_empty() {
        out.resize(before, 0);
        out.append(&mut own);
        out.resize(count, 0);
    }
}

/// Appends all of `own` but its histograms.
fn append_columns(out: &mut impl SamplesOut, own: &mut SeriesSamples) {
    let (timestamps_ms, values, starts_ms) = out.floats();
    let before = values.len();
    timestamps_ms.append(&mut own.timestamps_ms);
    values.append(&mut own.values);
    append_starts(starts_ms, before, std::mem::take(&mut own.starts_ms), timestamps_ms.len());
    let (timestamps_ms, starts_ms) = out.histogram_times();
    let before = timestamps_ms.len();
    timestamps_ms.append(&mut own.histogram_timestamps_ms);
    let own_starts_ms = std::mem::take(&mut own.histogram_starts_ms);
    append_starts(starts_ms, before, own_starts_ms, timestamps_ms.len());
}

impl SamplesOut for Samples {
    fn floats(&mut self) -> (&mut Vec<i64>, &mut Vec<f64>, &mut Vec<i64>) {
        (&mut self.timestamps_ms, &mut self.values, &mut self.starts_ms)
    }

    fn histogram_times(&mut self) -> (&mut Vec<i64>, &mut Vec<i64>) {
        (&mut self.histogram_timestamps_ms, &mut self.histogram_starts_ms)
    }

    fn push_histograms(&mut self, histograms: &mut Vec<FloatHistogram>, _is_integer: bool) {
        self.histograms.append(histograms);
    }

    fn append_series(&mut self, mut samples: SeriesSamples) {
        append_columns(self, &mut samples);
        self.histograms.extend(samples.histograms.into_iter().map(|sample| sample.histogram));
    }

    fn cut_histograms(&mut self, start: usize, first: usize, end: usize) {
        self.histograms.truncate(end);
        self.histograms.drain(start..first);
    }
}

impl SamplesOut for SeriesSamples {
    fn floats(&mut self) -> (&mut Vec<i64>, &mut Vec<f64>, &mut Vec<i64>) {
        (&mut self.timestamps_ms, &mut self.values, &mut self.starts_ms)
    }

    fn histogram_times(&mut self) -> (&mut Vec<i64>, &mut Vec<i64>) {
        (&mut self.histogram_timestamps_ms, &mut self.histogram_starts_ms)
    }

    fn push_histograms(&mut self, histograms: &mut Vec<FloatHistogram>, is_integer: bool) {
        let sample = |histogram| HistogramSample { histogram, is_integer };
        self.histograms.extend(histograms.drain(..).map(sample));
    }

    fn append_series(&mut self, mut samples: SeriesSamples) {
        append_columns(self, &mut samples);
        self.histograms.append(&mut samples.histograms);
    }

    fn cut_histograms(&mut self, start: usize, first: usize, end: usize) {
        self.histograms.truncate(end);
        self.histograms.drain(start..first);
    }
}

/// Removes what is not between `min_ms` and `max_ms` from the end of two columns and their starts,
/// from `start` on. Returns the place of the first that stays, and of the end, before the cut.
fn cut_times(
    timestamps_ms: &mut Vec<i64>,
    starts_ms: &mut Vec<i64>,
    start: usize,
    min_ms: i64,
    max_ms: i64,
) -> (usize, usize) {
    let read = &timestamps_ms[start..];
    let end = start + read.partition_point(|&timestamp_ms| timestamp_ms <= max_ms);
    let first = start + read.partition_point(|&timestamp_ms| timestamp_ms < min_ms);
    let first = first.min(end);
    timestamps_ms.truncate(end);
    timestamps_ms.drain(start..first);
    if !starts_ms.is_empty() {
        starts_ms.truncate(end);
        starts_ms.drain(start..first);
    }
    (first, end)
}

/// Removes what is not in `range` from the samples behind `before`, numbers of floats and of
/// histograms.
pub(super) fn cut_samples(out: &mut impl SamplesOut, before: (usize, usize), range: TimeRange) {
    let TimeRange { min_ms, max_ms } = range;
    let (timestamps_ms, values, starts_ms) = out.floats();
    let (first, end) = cut_times(timestamps_ms, starts_ms, before.0, min_ms, max_ms);
    values.truncate(end);
    values.drain(before.0..first);
    let (timestamps_ms, starts_ms) = out.histogram_times();
    let (first, end) = cut_times(timestamps_ms, starts_ms, before.1, min_ms, max_ms);
    out.cut_histograms(before.1, first, end);
}
