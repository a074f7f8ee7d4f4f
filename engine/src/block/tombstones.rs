//! What was deleted from a block: intervals of time of its series, in a file beside it.
//!
//! ```text
//! magic "HEARTHTS" | version: 4 | id of the block: 16 | series: varint
//! | ( series - series before: varint, intervals: varint
//! |   ( start: zigzag, length: varint )* )* | CRC of all before: 4
//! ```
//!
//! Readers hide what lies in an interval; a merge leaves it out.

use std::collections::BTreeMap;

use super::envelope::Envelope;
use super::error::{BlockError, Problem};
use super::id::BlockId;
use super::samples::SeriesSamples;
use crate::mem::varint::{push_i64, push_u64, take_bytes, take_i64, take_u64};
use crate::model::{Samples, TimeRange};

pub(super) const ENVELOPE: Envelope = Envelope { magic: b"HEARTHTS", version: 1 };

/// Deleted intervals by series: of a block its numbers, of parts the head's ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    /// Intervals ascend, and neither overlap nor touch each other.
    series: BTreeMap<u32, Vec<TimeRange>>,
}

impl Tombstones {
    /// Deletes `range` of a series. Returns whether anything of it was not deleted before.
    pub fn add(&mut self, series: u32, range: TimeRange) -> bool {
        if range.min_ms > range.max_ms {
            return false;
        }
        let intervals = self.series.entry(series).or_default();
        if covers(intervals, range.min_ms, range.max_ms) {
            return false;
        }
        // All that overlap the range or touch it become one with it.
        let before = |interval: &TimeRange| interval.max_ms.saturating_add(1) < range.min_ms;
        let start = intervals.partition_point(before);
        let end = start
            + intervals[start..]
                .partition_point(|interval| interval.min_ms <= range.max_ms.saturating_add(1));
        let joined = intervals[start..end].iter().fold(range, |joined, interval| TimeRange {
            min_ms: joined.min_ms.min(interval.min_ms),
            max_ms: joined.max_ms.max(interval.max_ms),
        });
        intervals.splice(start..end, [joined]);
        true
    }

    /// Copies the intervals of some series from `from` on, `count` at most, to others of the same
    /// block. Returns where to go on.
    pub fn copy_some(&self, from: u32, count: usize, out: &mut Tombstones) -> Option<u32> {
        let mut left = self.series.range(from..);
        for (&series, intervals) in left.by_ref().take(count) {
            out.series.insert(series, intervals.clone());
        }
        left.next().map(|(&next, _)| next)
    }

    /// Deleted intervals of a series, ascending.
    pub fn get(&self, series: u32) -> &[TimeRange] {
        self.series.get(&series).map_or(&[], Vec::as_slice)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &[TimeRange])> {
        self.series.iter().map(|(&series, intervals)| (series, intervals.as_slice()))
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Series with deleted intervals.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    pub fn interval_count(&self) -> u64 {
        self.series.values().map(|intervals| intervals.len() as u64).sum()
    }

    /// The file for the tombstones of `block`.
    pub fn encode(&self, block: BlockId) -> Vec<u8> {
        ENVELOPE.seal(|out| {
            out.extend_from_slice(&block.0);
            self.push(out);
        })
    }

    /// Reads the file of the tombstones of `block`.
    ///
    /// Errors: it is none, it is that of another block, or it is damaged.
    pub fn decode(file: &[u8], block: BlockId) -> Result<Tombstones, BlockError> {
        let error =
            |problem| BlockError { file: format!("tombstones of block {block}").into(), problem };
        let mut bytes = ENVELOPE.open(file).map_err(error)?;
        if take_bytes(&mut bytes, block.0.len()).is_none_or(|id| *id != block.0) {
            return Err(error(Problem::Foreign));
        }
        Tombstones::take(&mut bytes)
            .filter(|_| bytes.is_empty())
            .ok_or_else(|| error(Problem::Broken("tombstones")))
    }
}

impl Tombstones {
    /// Appends the table of series and intervals.
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        push_u64(out, self.series.len() as u64);
        let mut previous = 0;
        for (&series, intervals) in &self.series {
            push_u64(out, u64::from(series - previous));
            push_u64(out, intervals.len() as u64);
            for interval in intervals {
                push_i64(out, interval.min_ms);
                push_u64(out, interval.max_ms.wrapping_sub(interval.min_ms) as u64);
            }
            previous = series;
        }
    }

    /// Takes what [`Tombstones::push`] appended.
    pub(super) fn take(bytes: &mut &[u8]) -> Option<Tombstones> {
        let mut tombstones = Tombstones::default();
        let mut series = 0u32;
        for _ in 0..take_u64(bytes)? {
            series = series.checked_add(u32::try_from(take_u64(bytes)?).ok()?)?;
            for _ in 0..take_u64(bytes)? {
                let min_ms = take_i64(bytes)?;
                let max_ms = min_ms.checked_add_unsigned(take_u64(bytes)?)?;
                tombstones.add(series, TimeRange { min_ms, max_ms });
            }
        }
        Some(tombstones)
    }
}

/// Whether `intervals` have anything of `min_ms..=max_ms`.
pub(super) fn touches(intervals: &[TimeRange], min_ms: i64, max_ms: i64) -> bool {
    let from = intervals.partition_point(|interval| interval.max_ms < min_ms);
    intervals.get(from).is_some_and(|interval| interval.min_ms <= max_ms)
}

/// Whether one of `intervals` has all of `min_ms..=max_ms`.
pub(super) fn covers(intervals: &[TimeRange], min_ms: i64, max_ms: i64) -> bool {
    let from = intervals.partition_point(|interval| interval.max_ms < max_ms);
    intervals.get(from).is_some_and(|interval| interval.min_ms <= min_ms)
}

/// Removes from two or three columns, from `start` on, what lies in `intervals`.
fn delete_from<T>(
    timestamps_ms: &mut Vec<i64>,
    values: &mut Vec<T>,
    starts_ms: &mut Vec<i64>,
    start: usize,
    intervals: &[TimeRange],
) {
    for interval in intervals {
        let read = &timestamps_ms[start..];
        let first = start + read.partition_point(|&time_ms| time_ms < interval.min_ms);
        let end = start + read.partition_point(|&time_ms| time_ms <= interval.max_ms);
        timestamps_ms.drain(first..end);
        values.drain(first..end);
        if !starts_ms.is_empty() {
            starts_ms.drain(first..end);
        }
    }
}

/// Removes what lies in `intervals` from the samples that were appended behind `before`, numbers of
/// floats and of histograms.
pub fn delete_intervals(out: &mut Samples, before: (usize, usize), intervals: &[TimeRange]) {
    let Samples { timestamps_ms, values, starts_ms, .. } = out;
    delete_from(timestamps_ms, values, starts_ms, before.0, intervals);
    let Samples { histogram_timestamps_ms, histograms, histogram_starts_ms, .. } = out;
    delete_from(histogram_timestamps_ms, histograms, histogram_starts_ms, before.1, intervals);
}

/// As [`delete_intervals`], of all samples.
pub(super) fn delete_from_series(out: &mut SeriesSamples, intervals: &[TimeRange]) {
    let SeriesSamples { timestamps_ms, values, starts_ms, .. } = out;
    delete_from(timestamps_ms, values, starts_ms, 0, intervals);
    let SeriesSamples { histogram_timestamps_ms, histograms, histogram_starts_ms, .. } = out;
    delete_from(histogram_timestamps_ms, histograms, histogram_starts_ms, 0, intervals);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range((min_ms, max_ms): (i64, i64)) -> TimeRange {
        TimeRange { min_ms, max_ms }
    }

    /// Source of the cases: Prometheus `tsdb/tombstones/tombstones_test.go`, `TestAddingNewIntervals`.
    #[test]
    fn intervals_join_what_they_touch() {
        #[track_caller]
        fn check(old: &[(i64, i64)], new: (i64, i64), expected: &[(i64, i64)]) {
            let mut tombstones = Tombstones::default();
            for &interval in old {
                assert!(tombstones.add(7, range(interval)));
            }
            let before = tombstones.clone();
            assert_eq!(tombstones.add(7, range(new)), !before.get(7).eq(tombstones.get(7)));
            let expected: Vec<TimeRange> = expected.iter().map(|&pair| range(pair)).collect();
            assert_eq!(tombstones.get(7), expected);
            assert!(!tombstones.add(7, range(new)), "all of it is deleted");
            let id = BlockId([3; 16]);
            let file = tombstones.encode(id);
            assert_eq!(Tombstones::decode(&file, id), Ok(tombstones));
            assert!(Tombstones::decode(&file, BlockId([4; 16])).is_err());
            for bit in 0..file.len() * 8 {
                let mut broken = file.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                assert!(Tombstones::decode(&broken, id).is_err());
                assert!(Tombstones::decode(&file[..bit / 8], id).is_err());
            }
        }
        check(&[], (1, 2), &[(1, 2)]);
        check(&[(1, 2)], (1, 2), &[(1, 2)]);
        check(&[(1, 4), (6, 6)], (5, 6), &[(1, 6)]);
        check(&[(1, 10), (12, 20), (25, 30)], (21, 25), &[(1, 10), (12, 30)]);
        check(&[(1, 10), (12, 20), (25, 30)], (22, 23), &[(1, 10), (12, 20), (22, 23), (25, 30)]);
        check(&[(1, 2), (3, 5), (7, 7)], (6, 7), &[(1, 7)]);
        check(&[(1, 10), (12, 20), (25, 30)], (18, 23), &[(1, 10), (12, 23), (25, 30)]);
        check(&[(1, 10), (12, 20), (25, 30)], (9, 23), &[(1, 23), (25, 30)]);
        check(&[(1, 10), (12, 20), (25, 30)], (9, 230), &[(1, 230)]);
        check(&[(5, 10), (12, 20), (25, 30)], (1, 4), &[(1, 10), (12, 20), (25, 30)]);
        check(&[(5, 10), (12, 20), (25, 30)], (11, 14), &[(5, 20), (25, 30)]);
        check(&[(1, 3)], (i64::MIN, 2), &[(i64::MIN, 3)]);
        check(&[(1, 3)], (7, i64::MAX), &[(1, 3), (7, i64::MAX)]);
        check(&[(1, i64::MAX)], (i64::MIN, 0), &[(i64::MIN, i64::MAX)]);
    }

    #[test]
    fn tombstones_are_copied_some_at_a_time() {
        let mut all = Tombstones::default();
        for series in [3, 4, 9, 20, u32::MAX] {
            all.add(series, range((1, i64::from(series))));
        }
        for count in 1..7 {
            let (mut copy, mut next) = (Tombstones::default(), Some(0));
            while let Some(from) = next {
                next = all.copy_some(from, count, &mut copy);
            }
            assert_eq!(copy, all);
        }
    }

    #[test]
    fn deleted_samples_are_gone() {
        let mut samples = Samples {
            timestamps_ms: vec![1, 5, 1, 5, 9, 12],
            values: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            starts_ms: vec![0; 6],
            ..Samples::default()
        };
        let intervals = [range((0, 1)), range((6, 10))];
        delete_intervals(&mut samples, (2, 0), &intervals);
        assert_eq!(samples.timestamps_ms, [1, 5, 5, 12]);
        assert_eq!(samples.values, [0.0, 1.0, 3.0, 5.0]);
        assert_eq!(samples.starts_ms.len(), 4);
        assert!(touches(&intervals, 1, 5) && !touches(&intervals, 2, 5));
        assert!(covers(&intervals, 6, 9) && !covers(&intervals, 5, 9));
    }
}
