//! The samples of one series, as the scan has them from its source and as it works on them.

use std::sync::Arc;

use crate::model::histogram::CounterReset;
use crate::model::{FloatHistogram, Samples, TimeRange, has_stale_nan, is_stale_nan};
use crate::plan::part::ShardPart;

use super::histograms::sample_count;
use super::window::{HistogramPoints, Points};

/// Filled anew for every series. `source` is what came; [`SeriesSamples::prepare`] is called once
/// it is there.
#[derive(Debug, Default)]
pub struct SeriesSamples {
    pub source: Samples,
    histograms: Vec<Arc<FloatHistogram>>,
}

impl SeriesSamples {
    pub fn clear(&mut self) {
        self.source.clear();
        self.histograms.clear();
    }

    pub fn len(&self) -> usize {
        self.source.values.len() + self.source.histogram_timestamps_ms.len()
    }

    pub fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// Leaves of the samples what `part` asks for.
    pub fn prepare(&mut self, part: &ShardPart) {
        if !part.start_timestamps {
            self.source.starts_ms.clear();
            self.source.histogram_starts_ms.clear();
        }
        if self.source.histograms.is_empty() {
            return;
        }
        if part.select.skips_buckets {
            drop_buckets(&mut self.source.histograms);
        }
        self.histograms.extend(self.source.histograms.drain(..).map(Arc::new));
    }

    /// Windows do not see staleness markers.
    pub fn drop_stale(&mut self) {
        let Samples { timestamps_ms, values, starts_ms, .. } = &mut self.source;
        if has_stale_nan(values) {
            let kept: Vec<bool> = values.iter().map(|&value| !is_stale_nan(value)).collect();
            keep(timestamps_ms, &kept);
            keep(values, &kept);
            keep(starts_ms, &kept);
        }
        let Samples { histogram_timestamps_ms, histogram_starts_ms, .. } = &mut self.source;
        let histograms = &mut self.histograms;
        if histograms.iter().any(|histogram| is_stale_nan(histogram.sum)) {
            let is_kept = |histogram: &Arc<FloatHistogram>| !is_stale_nan(histogram.sum);
            let kept: Vec<bool> = histograms.iter().map(is_kept).collect();
            keep(histogram_timestamps_ms, &kept);
            keep(histogram_starts_ms, &kept);
            keep(histograms, &kept);
        }
    }

    pub fn points(&self) -> Points<'_> {
        Points {
            times_ms: &self.source.timestamps_ms,
            values: &self.source.values,
            starts_ms: &self.source.starts_ms,
            histograms: HistogramPoints {
                times_ms: &self.source.histogram_timestamps_ms,
                list: &self.histograms,
                starts_ms: &self.source.histogram_starts_ms,
            },
        }
    }
}

impl<'a> Points<'a> {
    /// Those in `range`. O(log samples).
    pub fn within(self, range: TimeRange) -> Points<'a> {
        let span = |times_ms: &[i64]| {
            let first = times_ms.partition_point(|&time_ms| time_ms < range.min_ms);
            first..times_ms.partition_point(|&time_ms| time_ms <= range.max_ms).max(first)
        };
        let (floats, own) = (span(self.times_ms), self.histograms);
        let histograms = span(own.times_ms);
        Points {
            times_ms: &self.times_ms[floats.clone()],
            values: &self.values[floats.clone()],
            starts_ms: self.starts_ms.get(floats).unwrap_or_default(),
            histograms: HistogramPoints {
                times_ms: &own.times_ms[histograms.clone()],
                list: &own.list[histograms.clone()],
                starts_ms: own.starts_ms.get(histograms).unwrap_or_default(),
            },
        }
    }

    /// Samples that they count as.
    pub fn sample_count(&self) -> usize {
        let of_histograms = self.histograms.list.iter().map(|histogram| sample_count(histogram));
        self.values.len() + of_histograms.sum::<usize>()
    }
}

/// Leaves the elements of a column whose flag is set; a column that is empty stays so.
fn keep<T>(column: &mut Vec<T>, kept: &[bool]) {
    let mut flags = kept.iter();
    column.retain(|_| *flags.next().expect("a flag for each sample"));
}

/// Leaves count and sum. What the buckets tell about resets is written down before they go.
///
/// Source: Prometheus `promql/histogram_stats_iterator.go`.
fn drop_buckets(histograms: &mut [FloatHistogram]) {
    let mut previous: Option<FloatHistogram> = None;
    for histogram in histograms {
        let mut left = FloatHistogram {
            counter_reset: histogram.counter_reset,
            schema: histogram.schema,
            count: histogram.count,
            sum: histogram.sum,
            ..FloatHistogram::default()
        };
        if is_stale_nan(histogram.sum) {
            *histogram = left;
            continue;
        }
        if histogram.counter_reset == CounterReset::Unknown
            && let Some(previous) = &previous
        {
            let is_reset = histogram.detect_reset(previous);
            left.counter_reset =
                if is_reset { CounterReset::Reset } else { CounterReset::NotReset };
        }
        previous = Some(std::mem::replace(histogram, left));
    }
}
