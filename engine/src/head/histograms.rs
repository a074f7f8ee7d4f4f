//! Native histograms of a series: runs of encoded ones, the newest decoded.
//!
//! ```text
//! run   ( timestamp - timestamp before: zigzag | histogram )*      behind each other, oldest first
//! ```
//!
//! A histogram stands in the form of `encode`, behind the one before it, so that a run takes a byte
//! or two a bucket. A run is read from its start; a full one is followed by another.

use crate::encode::{DecodeError, push_histogram, take_histogram};
use crate::mem::varint::{push_i64, take_i64};
use crate::model::histogram::CounterReset;
use crate::model::{FloatHistogram, HistogramSample, TimeRange};

/// Samples and bytes of a run at most, the last sample aside. Raising them compresses a little
/// better and lets a query of the end decode more.
const RUN_COUNT_MAX: usize = 120;
const RUN_BYTES_MAX: usize = 4096;

#[derive(Clone, Debug, Default)]
pub(super) struct Histograms {
    /// Ascending and apart in time.
    runs: Vec<Run>,
    /// Bytes of all runs but the last.
    full_bytes: usize,
    /// The newest histogram, with what is known about resets before it. Of no meaning while there
    /// are no runs.
    newest: HistogramSample,
}

#[derive(Clone, Debug)]
struct Run {
    first_ms: i64,
    newest_ms: i64,
    count: usize,
    bytes: Vec<u8>,
}

impl Run {
    fn is_full(&self) -> bool {
        self.count >= RUN_COUNT_MAX || self.bytes.len() >= RUN_BYTES_MAX
    }
}

impl Histograms {
    pub(super) fn newest(&self) -> &HistogramSample {
        &self.newest
    }

    /// The newest histogram of a series whose runs lie elsewhere.
    pub(super) fn set_newest(&mut self, newest: HistogramSample) {
        self.newest = newest;
    }

    /// Timestamps and histograms of all runs, with what is known about resets as it was told.
    ///
    /// Errors: see [`Histograms::read`].
    pub(super) fn all(&self) -> Result<(Vec<i64>, Vec<HistogramSample>), DecodeError> {
        let (mut timestamps_ms, mut histograms) = (vec![], vec![]);
        for run in &self.runs {
            let (mut rest, mut timestamp_ms) = (&run.bytes[..], run.first_ms);
            let mut sample = HistogramSample::default();
            for _ in 0..run.count {
                let step_ms = take_i64(&mut rest).ok_or(DecodeError::Values)?;
                take_histogram(&mut rest, &mut sample).ok_or(DecodeError::Values)?;
                timestamp_ms = timestamp_ms.wrapping_add(step_ms);
                timestamps_ms.push(timestamp_ms);
                histograms.push(sample.clone());
            }
        }
        Ok((timestamps_ms, histograms))
    }

    pub(super) fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Timestamps of the oldest and newest histogram.
    pub(super) fn span_ms(&self) -> Option<(i64, i64)> {
        Some((self.runs.first()?.first_ms, self.runs.last()?.newest_ms))
    }

    /// Adds a valid histogram that is newer than all of them. `is_behind`: the series' sample just
    /// before it is the newest one here.
    pub(super) fn push(&mut self, timestamp_ms: i64, sample: &HistogramSample, is_behind: bool) {
        let previous = (is_behind && !self.runs.is_empty()).then_some(&self.newest);
        let counter_reset = sample.reset_behind(previous);
        let mut sample = match sample.is_stale() {
            true => HistogramSample::stale(sample.is_integer),
            false => sample.clone(),
        };
        sample.histogram.counter_reset = counter_reset;
        match self.runs.last_mut().filter(|run| !run.is_full()) {
            Some(run) => {
                push_i64(&mut run.bytes, timestamp_ms.wrapping_sub(run.newest_ms));
                push_histogram(&mut run.bytes, &sample, Some(&self.newest));
                run.newest_ms = timestamp_ms;
                run.count += 1;
            }
            None => {
                if let Some(full) = self.runs.last_mut() {
                    full.bytes.shrink_to_fit();
                    self.full_bytes += full.bytes.capacity();
                }
                let mut bytes = vec![];
                push_i64(&mut bytes, 0);
                push_histogram(&mut bytes, &sample, None);
                let (first_ms, newest_ms) = (timestamp_ms, timestamp_ms);
                self.runs.push(Run { first_ms, newest_ms, count: 1, bytes });
            }
        }
        self.newest = sample;
    }

    /// Appends the histograms in `range`, ascending.
    ///
    /// # Errors
    ///
    /// When a run does not decode: memory was damaged, or the encoder has a bug.
    pub(super) fn read(
        &self,
        range: TimeRange,
        timestamps_ms: &mut Vec<i64>,
        histograms: &mut Vec<FloatHistogram>,
    ) -> Result<(), DecodeError> {
        let first = self.runs.partition_point(|run| run.newest_ms < range.min_ms);
        let runs = self.runs[first..].iter().take_while(|run| run.first_ms <= range.max_ms);
        for run in runs {
            let (mut rest, mut timestamp_ms) = (&run.bytes[..], run.first_ms);
            let mut sample = HistogramSample::default();
            for _ in 0..run.count {
                let step_ms = take_i64(&mut rest).ok_or(DecodeError::Values)?;
                take_histogram(&mut rest, &mut sample).ok_or(DecodeError::Values)?;
                timestamp_ms = timestamp_ms.wrapping_add(step_ms);
                if timestamp_ms > range.max_ms {
                    break;
                }
                if timestamp_ms >= range.min_ms {
                    timestamps_ms.push(timestamp_ms);
                    let mut histogram = sample.histogram.clone();
                    histogram.counter_reset = as_told(histogram.counter_reset);
                    histograms.push(histogram);
                }
            }
        }
        Ok(())
    }

    /// Drops runs that end before `before_ms`; returns how many.
    pub(super) fn expire(&mut self, before_ms: i64) -> usize {
        let passed = self.runs.partition_point(|run| run.newest_ms < before_ms);
        let was_last = passed == self.runs.len();
        let removed: usize = self.runs.drain(..passed).map(|run| run.bytes.capacity()).sum();
        self.full_bytes = if was_last { 0 } else { self.full_bytes - removed };
        passed
    }

    /// Buckets of the newest histogram.
    pub(super) fn bucket_count(&self) -> usize {
        let histogram = &self.newest.histogram;
        histogram.positive.buckets.len() + histogram.negative.buckets.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let open_bytes = self.runs.last().map_or(0, |run| run.bytes.capacity());
        self.full_bytes
            + open_bytes
            + self.runs.capacity() * size_of::<Run>()
            + 16 * self.bucket_count()
    }
}

/// What a query is told about resets. Prometheus's chunks begin at a reset, and the first histogram
/// of a chunk is told as unknown: something older may have come between since.
fn as_told(counter_reset: CounterReset) -> CounterReset {
    match counter_reset {
        CounterReset::Reset => CounterReset::Unknown,
        other => other,
    }
}
