//! Two rows of samples become one: floats and histograms, starts along with them.

use super::samples::SeriesSamples;
use crate::model::{FloatHistogram, HistogramSample, Samples, TimeRange};

/// Merges the samples of `newer` in `range` into `out`, all of which is of one series and ascends.
/// Of two samples with one timestamp, that of `out` stays, whatever kind they are of.
///
/// Cost: nothing but copies when `newer` begins behind the end of `out`.
pub fn merge_samples(out: &mut Samples, newer: &Samples, range: TimeRange) {
    merge(columns(out), columns_ref(newer), range);
}

/// As [`merge_samples`], of samples on their way into a block.
pub fn merge_series_samples(out: &mut SeriesSamples, newer: &SeriesSamples, range: TimeRange) {
    let out = (
        Column {
            timestamps_ms: &mut out.timestamps_ms,
            values: &mut out.values,
            starts_ms: &mut out.starts_ms,
        },
        Column {
            timestamps_ms: &mut out.histogram_timestamps_ms,
            values: &mut out.histograms,
            starts_ms: &mut out.histogram_starts_ms,
        },
    );
    let newer = (
        ColumnRef {
            timestamps_ms: &newer.timestamps_ms,
            values: &newer.values,
            starts_ms: &newer.starts_ms,
        },
        ColumnRef {
            timestamps_ms: &newer.histogram_timestamps_ms,
            values: &newer.histograms,
            starts_ms: &newer.histogram_starts_ms,
        },
    );
    merge::<f64, HistogramSample>(out, newer, range);
}

struct Column<'a, T> {
    timestamps_ms: &'a mut Vec<i64>,
    values: &'a mut Vec<T>,
    starts_ms: &'a mut Vec<i64>,
}

#[derive(Clone, Copy)]
struct ColumnRef<'a, T> {
    timestamps_ms: &'a [i64],
    values: &'a [T],
    starts_ms: &'a [i64],
}

fn columns(samples: &mut Samples) -> (Column<'_, f64>, Column<'_, FloatHistogram>) {
    let floats = Column {
        timestamps_ms: &mut samples.timestamps_ms,
        values: &mut samples.values,
        starts_ms: &mut samples.starts_ms,
    };
    let histograms = Column {
        timestamps_ms: &mut samples.histogram_timestamps_ms,
        values: &mut samples.histograms,
        starts_ms: &mut samples.histogram_starts_ms,
    };
    (floats, histograms)
}

fn columns_ref(samples: &Samples) -> (ColumnRef<'_, f64>, ColumnRef<'_, FloatHistogram>) {
    let floats = ColumnRef {
        timestamps_ms: &samples.timestamps_ms,
        values: &samples.values,
        starts_ms: &samples.starts_ms,
    };
    let histograms = ColumnRef {
        timestamps_ms: &samples.histogram_timestamps_ms,
        values: &samples.histograms,
        starts_ms: &samples.histogram_starts_ms,
    };
    (floats, histograms)
}

fn merge<F: Clone, H: Clone>(
    (floats, histograms): (Column<'_, F>, Column<'_, H>),
    (newer_floats, newer_histograms): (ColumnRef<'_, F>, ColumnRef<'_, H>),
    range: TimeRange,
) {
    // What is of the other kind already keeps its timestamps.
    let float_times: Vec<i64> = match newer_histograms.timestamps_ms.is_empty() {
        true => vec![],
        false => floats.timestamps_ms.clone(),
    };
    floats.merge(newer_floats.within(range), histograms.timestamps_ms);
    histograms.merge(newer_histograms.within(range), &float_times);
}

impl<'a, T> ColumnRef<'a, T> {
    fn within(self, range: TimeRange) -> ColumnRef<'a, T> {
        let end = self.timestamps_ms.partition_point(|&time_ms| time_ms <= range.max_ms);
        let start = self.timestamps_ms.partition_point(|&time_ms| time_ms < range.min_ms);
        let within = start.min(end)..end;
        ColumnRef {
            timestamps_ms: &self.timestamps_ms[within.clone()],
            values: &self.values[within.clone()],
            starts_ms: self.starts_ms.get(within).unwrap_or_default(),
        }
    }
}

impl<T: Clone> Column<'_, T> {
    /// Takes over what has a timestamp that neither this column nor `taken_ms` has.
    fn merge(self, newer: ColumnRef<'_, T>, taken_ms: &[i64]) {
        let Some(&first_ms) = newer.timestamps_ms.first() else { return };
        let kept = self.timestamps_ms.partition_point(|&time_ms| time_ms < first_ms);
        let taken_from = taken_ms.partition_point(|&time_ms| time_ms < first_ms);
        let has_starts = !self.starts_ms.is_empty() || !newer.starts_ms.is_empty();
        if has_starts {
            self.starts_ms.resize(self.values.len(), 0);
        }
        let start_of = |index: usize| newer.starts_ms.get(index).copied().unwrap_or(0);
        if kept == self.timestamps_ms.len() && taken_from == taken_ms.len() {
            self.timestamps_ms.extend_from_slice(newer.timestamps_ms);
            self.values.extend_from_slice(newer.values);
            if has_starts {
                self.starts_ms.extend((0..newer.values.len()).map(start_of));
            }
            return;
        }
        let old_times_ms = self.timestamps_ms.split_off(kept);
        let old_starts_ms = if has_starts { self.starts_ms.split_off(kept) } else { vec![] };
        let mut old_values = self.values.split_off(kept).into_iter();
        let mut taken_ms = taken_ms[taken_from..].iter().copied().peekable();
        let mut old = 0;
        for (index, &time_ms) in newer.timestamps_ms.iter().enumerate() {
            while old < old_times_ms.len() && old_times_ms[old] < time_ms {
                self.timestamps_ms.push(old_times_ms[old]);
                self.values.extend(old_values.next());
                self.starts_ms.extend(old_starts_ms.get(old));
                old += 1;
            }
            while taken_ms.next_if(|&taken_ms| taken_ms < time_ms).is_some() {}
            let is_taken =
                old_times_ms.get(old) == Some(&time_ms) || taken_ms.peek() == Some(&time_ms);
            if !is_taken {
                self.timestamps_ms.push(time_ms);
                self.values.push(newer.values[index].clone());
                if has_starts {
                    self.starts_ms.push(start_of(index));
                }
            }
        }
        self.timestamps_ms.extend_from_slice(&old_times_ms[old..]);
        self.values.extend(old_values);
        self.starts_ms.extend(old_starts_ms.get(old..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::merge_samples;
    use crate::model::{FloatHistogram, Samples, TimeRange};

    /// `1f5` is a float of value 1 at 5, `2h9` a histogram of count 2 at 9; `@7`: with that start.
    fn samples(text: &str) -> Samples {
        let mut samples = Samples::default();
        for sample in text.split_whitespace() {
            let (sample, start) = sample.split_once('@').unwrap_or((sample, "0"));
            let start_ms: i64 = start.parse().unwrap();
            let at = sample.find(['f', 'h']).unwrap();
            let (value, time): (f64, i64) =
                (sample[..at].parse().unwrap(), sample[at + 1..].parse().unwrap());
            if sample.contains('f') {
                samples.timestamps_ms.push(time);
                samples.values.push(value);
                samples.starts_ms.push(start_ms);
            } else {
                samples.histogram_timestamps_ms.push(time);
                let histogram = FloatHistogram { count: value, ..FloatHistogram::default() };
                samples.histograms.push(histogram);
                samples.histogram_starts_ms.push(start_ms);
            }
        }
        for starts_ms in [&mut samples.starts_ms, &mut samples.histogram_starts_ms] {
            if starts_ms.iter().all(|&start_ms| start_ms == 0) {
                starts_ms.clear();
            }
        }
        samples
    }

    #[track_caller]
    fn check(older: &str, newer: &str, expected: &str) {
        let mut merged = samples(older);
        merge_samples(&mut merged, &samples(newer), TimeRange { min_ms: 0, max_ms: 100 });
        let expected = samples(expected);
        assert_eq!(merged.timestamps_ms, expected.timestamps_ms);
        assert_eq!(merged.values, expected.values);
        assert_eq!(merged.starts_ms, expected.starts_ms);
        assert_eq!(merged.histogram_timestamps_ms, expected.histogram_timestamps_ms);
        let counts = |samples: &Samples| {
            samples.histograms.iter().map(|histogram| histogram.count).collect::<Vec<_>>()
        };
        assert_eq!(counts(&merged), counts(&expected));
        assert_eq!(merged.histogram_starts_ms, expected.histogram_starts_ms);
    }

    #[test]
    fn the_first_written_stays() {
        check("", "", "");
        check("1f1 1f5", "", "1f1 1f5");
        check("", "1f1 1f5 2h7", "1f1 1f5 2h7");
        check("1f1 1f5", "2f6 2f7", "1f1 1f5 2f6 2f7");
        check("1f1 1f5 1f9", "2f0 2f5 2f6 2f20", "2f0 1f1 1f5 2f6 1f9 2f20");
        check("1f1 1f5", "2h1 2h3 2h5 2h7", "1f1 1f5 2h3 2h7");
        check("1h1 1h5", "2f1 2f3 2f5 2h4 2h5", "1h1 2h4 1h5 2f3");
        check("1f1 1f5", "2f3@2", "1f1 2f3@2 1f5");
        check("1f1@1 1f5", "2f3 2f7", "1f1@1 2f3 1f5 2f7");
        check("1f1", "2f3 2f7@6", "1f1 2f3 2f7@6");
        check("1f1", "2f100 2f101", "1f1 2f100");
    }
}
