//! Samples of one series from several places as one ascending run.
//!
//! Places are asked oldest first and mostly lie one behind the other, so that appending is all. Where
//! they overlap (samples out of order, a part that a block has taken over in part) they are merged,
//! and of two samples of one timestamp that of the earlier place counts.

use crate::model::histogram::CounterReset;
use crate::model::{Samples, TimeRange};

/// Where the samples of the series begin in columns that hold those of others before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    float: usize,
    histogram: usize,
}

/// Merges the samples of one series that several places have appended.
#[derive(Debug)]
pub(super) struct Combine {
    start: Start,
    /// Ends of what the places before the last one gave.
    end: Start,
    is_mixed: bool,
}

impl Start {
    fn of(out: &Samples) -> Start {
        Start { float: out.values.len(), histogram: out.histograms.len() }
    }
}

impl Combine {
    /// Before the first place appends.
    pub(super) fn begin(out: &Samples) -> Combine {
        let start = Start::of(out);
        Combine { start, end: start, is_mixed: false }
    }

    /// Removes samples outside of `range` from what the last place appended.
    pub(super) fn trim(&self, out: &mut Samples, range: TimeRange) {
        let bounds = |timestamps_ms: &[i64], start: usize| {
            let own = &timestamps_ms[start..];
            let end = start + own.partition_point(|&time_ms| time_ms <= range.max_ms);
            let first = start + own.partition_point(|&time_ms| time_ms < range.min_ms);
            (first.min(end), end)
        };
        fn keep<T>(column: &mut Vec<T>, start: usize, (first, end): (usize, usize)) {
            if !column.is_empty() {
                column.truncate(end);
                column.drain(start..first);
            }
        }
        let start = self.end.float;
        let kept = bounds(&out.timestamps_ms, start);
        keep(&mut out.timestamps_ms, start, kept);
        keep(&mut out.values, start, kept);
        keep(&mut out.starts_ms, start, kept);
        let start = self.end.histogram;
        let kept = bounds(&out.histogram_timestamps_ms, start);
        keep(&mut out.histogram_timestamps_ms, start, kept);
        keep(&mut out.histograms, start, kept);
        keep(&mut out.histogram_starts_ms, start, kept);
    }

    /// After each place: brings what it appended in order with what was there.
    pub(super) fn take(&mut self, out: &mut Samples) {
        let now = Start::of(out);
        let (had_floats, had_histograms) =
            (self.start.float < self.end.float, self.start.histogram < self.end.histogram);
        let (more_floats, more_histograms) =
            (self.end.float < now.float, self.end.histogram < now.histogram);
        if more_floats && had_floats {
            let at = self.end.float;
            if out.timestamps_ms[at] <= out.timestamps_ms[at - 1] {
                merge_floats(out, self.start.float, at);
            }
        }
        if more_histograms && had_histograms {
            let at = self.end.histogram;
            if out.histogram_timestamps_ms[at] <= out.histogram_timestamps_ms[at - 1] {
                merge_histograms(out, self.start.histogram, at);
            }
        }
        // A place has no timestamp twice; two places may, one as a float and one as a histogram.
        self.is_mixed |= (more_floats && had_histograms) || (more_histograms && had_floats);
        self.end = Start::of(out);
    }

    /// After the last place.
    pub(super) fn finish(self, out: &mut Samples) {
        if self.is_mixed {
            drop_doubles(out, self.start);
        }
    }
}

/// Order of the samples of two ascending runs, `start..middle` and from `middle` on, as one: places
/// in `timestamps_ms`, without the later of two equal ones.
fn merged(timestamps_ms: &[i64], start: usize, middle: usize) -> Vec<usize> {
    let end = timestamps_ms.len();
    let (mut left, mut right) = (start, middle);
    let mut order = Vec::with_capacity(end - start);
    while left < middle || right < end {
        if right == end || (left < middle && timestamps_ms[left] <= timestamps_ms[right]) {
            if right < end && timestamps_ms[left] == timestamps_ms[right] {
                right += 1;
            }
            order.push(left);
            left += 1;
        } else {
            order.push(right);
            right += 1;
        }
    }
    order
}

/// Puts the entries from `start` on into `order`.
fn reorder<T: Clone>(column: &mut Vec<T>, start: usize, order: &[usize]) {
    let ordered: Vec<T> = order.iter().map(|&at| column[at].clone()).collect();
    column.truncate(start);
    column.extend(ordered);
}

fn merge_floats(out: &mut Samples, start: usize, middle: usize) {
    let order = merged(&out.timestamps_ms, start, middle);
    if !out.starts_ms.is_empty() {
        out.starts_ms.resize(out.values.len(), 0);
        reorder(&mut out.starts_ms, start, &order);
    }
    reorder(&mut out.timestamps_ms, start, &order);
    reorder(&mut out.values, start, &order);
}

fn merge_histograms(out: &mut Samples, start: usize, middle: usize) {
    let order = merged(&out.histogram_timestamps_ms, start, middle);
    if !out.histogram_starts_ms.is_empty() {
        out.histogram_starts_ms.resize(out.histograms.len(), 0);
        reorder(&mut out.histogram_starts_ms, start, &order);
    }
    reorder(&mut out.histogram_timestamps_ms, start, &order);
    reorder(&mut out.histograms, start, &order);
    // What is known of a reset is known against the neighbour that a histogram had.
    for (at, pair) in (start + 1..).zip(order.windows(2)) {
        let counter_reset = &mut out.histograms[at].counter_reset;
        if pair[0] + 1 != pair[1] && *counter_reset != CounterReset::Gauge {
            *counter_reset = CounterReset::Unknown;
        }
    }
}

/// Removes histograms that have the timestamp of a float.
fn drop_doubles(out: &mut Samples, start: Start) {
    let floats = &out.timestamps_ms[start.float..];
    let is_double = |timestamp_ms: &i64| floats.binary_search(timestamp_ms).is_ok();
    let times = &out.histogram_timestamps_ms;
    if !times[start.histogram..].iter().any(is_double) {
        return;
    }
    let order: Vec<usize> =
        (start.histogram..times.len()).filter(|&at| !is_double(&times[at])).collect();
    if !out.histogram_starts_ms.is_empty() {
        reorder(&mut out.histogram_starts_ms, start.histogram, &order);
    }
    reorder(&mut out.histogram_timestamps_ms, start.histogram, &order);
    reorder(&mut out.histograms, start.histogram, &order);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FloatHistogram;

    /// Each place gives floats and histograms of some timestamps; a float's value and a histogram's
    /// count are the number of the place.
    #[track_caller]
    fn check(places: &[(&[i64], &[i64])], floats: &[(i64, f64)], histograms: &[(i64, f64)]) {
        // Samples of another series stand before.
        let mut out = Samples::default();
        out.timestamps_ms.push(77);
        out.values.push(-1.0);
        let mut combine = Combine::begin(&out);
        for (place, (float_ms, histogram_ms)) in places.iter().enumerate() {
            for &timestamp_ms in *float_ms {
                out.timestamps_ms.push(timestamp_ms);
                out.values.push(place as f64);
            }
            for &timestamp_ms in *histogram_ms {
                out.histogram_timestamps_ms.push(timestamp_ms);
                let count = place as f64;
                out.histograms.push(FloatHistogram { count, ..FloatHistogram::default() });
            }
            combine.take(&mut out);
        }
        combine.finish(&mut out);
        assert_eq!((out.timestamps_ms[0], out.values[0]), (77, -1.0));
        let found: Vec<(i64, f64)> =
            out.timestamps_ms.into_iter().zip(out.values).skip(1).collect();
        assert_eq!(found, floats);
        let counts = out.histograms.iter().map(|histogram| histogram.count);
        let found: Vec<(i64, f64)> = out.histogram_timestamps_ms.into_iter().zip(counts).collect();
        assert_eq!(found, histograms);
    }

    #[test]
    fn places_that_follow_each_other_are_appended() {
        check(&[(&[1, 2], &[]), (&[3], &[4])], &[(1, 0.0), (2, 0.0), (3, 1.0)], &[(4, 1.0)]);
        check(&[(&[], &[]), (&[], &[])], &[], &[]);
    }

    #[test]
    fn places_that_overlap_are_merged_and_the_earlier_counts() {
        check(
            &[(&[10, 20, 30], &[]), (&[5, 20, 25, 40], &[]), (&[1, 40, 41], &[])],
            &[(1, 2.0), (5, 1.0), (10, 0.0), (20, 0.0), (25, 1.0), (30, 0.0), (40, 1.0), (41, 2.0)],
            &[],
        );
        check(
            &[(&[10, 30], &[20]), (&[20, 40], &[10, 15, 50])],
            &[(10, 0.0), (20, 1.0), (30, 0.0), (40, 1.0)],
            &[(15, 1.0), (50, 1.0)],
        );
    }
}
