//! What ingest hands on: many series with their samples as columns, labels in one arena.
//!
//! ```text
//! label_bytes   [ canonical set of series 0 | canonical set of series 1 | … ]
//! series        one column each: label_ends, hashes
//! samples       one column each: sample_series (index into series), timestamps_ms, values
//! histograms    native ones, apart: histogram_series, histogram_timestamps_ms, histograms
//! exemplars     by themselves; each names its series
//! ```
//!
//! Invariants between calls: `label_ends` ascends and its last element is `label_bytes.len()`;
//! the series columns are of equal length, and so are the sample columns; `sample_series` names
//! existing series and ascends (the samples of a series stand together, in the order received), and
//! so do the histograms' columns. Start timestamps are rare: their column is empty until the first
//! sample that has one, and then reaches to the last sample that has one.
//! A batch is reused: `clear` keeps the room.

use super::histogram::HistogramSample;
use super::labels::{Labels, LabelsRef, push_string};

/// An example of what a sample counted: usually a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Index of its series in the batch.
    pub series: u32,
    pub labels: Labels,
    pub value: f64,
    /// `None`: that of the sample beside it, for the receiver to fill in.
    pub timestamp_ms: Option<i64>,
}

#[derive(Clone, Debug, Default)]
pub struct Batch {
    label_bytes: Vec<u8>,
    /// End of each series' canonical label set in `label_bytes`.
    label_ends: Vec<u32>,
    /// Stable hash of each series' label set.
    hashes: Vec<u64>,
    /// Series (index into the series columns) of each sample.
    sample_series: Vec<u32>,
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    /// Start timestamps of the samples, zero where unknown; empty when none has one.
    starts_ms: Vec<i64>,
    histogram_series: Vec<u32>,
    histogram_timestamps_ms: Vec<i64>,
    histograms: Vec<HistogramSample>,
    /// As `starts_ms`, of the histograms.
    histogram_starts_ms: Vec<i64>,
    exemplars: Vec<Exemplar>,
}

impl Batch {
    pub fn clear(&mut self) {
        self.label_bytes.clear();
        self.label_ends.clear();
        self.hashes.clear();
        self.sample_series.clear();
        self.timestamps_ms.clear();
        self.values.clear();
        self.starts_ms.clear();
        self.histogram_series.clear();
        self.histogram_timestamps_ms.clear();
        self.histograms.clear();
        self.histogram_starts_ms.clear();
        self.exemplars.clear();
    }

    pub fn series_count(&self) -> usize {
        self.hashes.len()
    }

    pub fn sample_count(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Adds a series whose label set is canonical already; returns its index in this batch.
    #[inline]
    pub fn push_series(&mut self, labels: LabelsRef<'_>) -> u32 {
        self.push_series_hashed(labels, labels.stable_hash())
    }

    /// As [`Batch::push_series`] with the stable hash at hand.
    #[inline]
    pub fn push_series_hashed(&mut self, labels: LabelsRef<'_>, hash: u64) -> u32 {
        debug_assert!(hash == labels.stable_hash());
        let series = self.hashes.len() as u32;
        self.label_bytes.extend_from_slice(labels.as_bytes());
        self.label_ends.push(self.label_bytes.len() as u32);
        self.hashes.push(hash);
        series
    }

    /// Adds a series from pairs that ascend strictly by name and have no empty value: the form in
    /// which well-behaved senders write them. The caller has checked the order.
    #[inline]
    pub fn push_series_sorted<'a>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> u32 {
        self.push_series_with(|label_bytes| {
            for (name, value) in pairs {
                push_string(label_bytes, name);
                push_string(label_bytes, value);
            }
        })
    }

    /// Adds a series whose canonical bytes `write` appends to the arena it is given; returns its
    /// index. For decoders that find the pieces of a set in order: the bytes are written once.
    #[inline]
    pub fn push_series_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u32 {
        let written = self.push_series_if(|label_bytes| {
            write(label_bytes);
            true
        });
        written.expect("it was written")
    }

    /// As [`Batch::push_series_with`]; where `write` returns false, what it wrote is taken back and
    /// there is no series.
    #[inline]
    pub fn push_series_if(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<u32> {
        let start = self.label_bytes.len();
        if !write(&mut self.label_bytes) {
            self.label_bytes.truncate(start);
            return None;
        }
        let hash = LabelsRef::from_canonical(&self.label_bytes[start..]).stable_hash();
        let series = self.hashes.len() as u32;
        self.label_ends.push(self.label_bytes.len() as u32);
        self.hashes.push(hash);
        Some(series)
    }

    /// Gives series other labels: those that `labels` returns, by index; none where they stay.
    ///
    /// Cost: all label sets are copied.
    pub fn change_labels(&mut self, mut labels: impl FnMut(u32, LabelsRef<'_>) -> Option<Labels>) {
        let mut changed = Batch::default();
        for series in 0..self.hashes.len() as u32 {
            let before = self.labels(series);
            match labels(series, before) {
                Some(after) => changed.push_series(after.as_ref()),
                None => changed.push_series_hashed(before, self.hashes[series as usize]),
            };
        }
        self.label_bytes = changed.label_bytes;
        self.label_ends = changed.label_ends;
        self.hashes = changed.hashes;
    }

    /// Adds a sample to the series pushed last (or to any later than the previous sample's).
    #[inline]
    pub fn push_sample(&mut self, series: u32, timestamp_ms: i64, value: f64) {
        debug_assert!((series as usize) < self.hashes.len());
        debug_assert!(self.sample_series.last().is_none_or(|&last| last <= series));
        self.sample_series.push(series);
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
    }

    /// As [`Batch::push_sample`], of a native histogram.
    pub fn push_histogram(&mut self, series: u32, timestamp_ms: i64, sample: HistogramSample) {
        debug_assert!((series as usize) < self.hashes.len());
        debug_assert!(self.histogram_series.last().is_none_or(|&last| last <= series));
        self.histogram_series.push(series);
        self.histogram_timestamps_ms.push(timestamp_ms);
        self.histograms.push(sample);
    }

    /// Says when what the sample pushed last counts began. Samples without a call have no start.
    pub fn set_start(&mut self, start_ms: i64) {
        if start_ms != 0 {
            let count = self.values.len();
            self.starts_ms.resize(count, 0);
            self.starts_ms[count - 1] = start_ms;
        }
    }

    /// As [`Batch::set_start`], of the histogram pushed last.
    pub fn set_histogram_start(&mut self, start_ms: i64) {
        if start_ms != 0 {
            let count = self.histograms.len();
            self.histogram_starts_ms.resize(count, 0);
            self.histogram_starts_ms[count - 1] = start_ms;
        }
    }

    pub fn push_exemplar(&mut self, exemplar: Exemplar) {
        debug_assert!((exemplar.series as usize) < self.hashes.len());
        self.exemplars.push(exemplar);
    }

    #[inline]
    pub fn labels(&self, series: u32) -> LabelsRef<'_> {
        let index = series as usize;
        let start = if index == 0 { 0 } else { self.label_ends[index - 1] as usize };
        LabelsRef::from_canonical(&self.label_bytes[start..self.label_ends[index] as usize])
    }

    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    pub fn label_bytes(&self) -> &[u8] {
        &self.label_bytes
    }

    pub fn label_ends(&self) -> &[u32] {
        &self.label_ends
    }

    pub fn sample_series(&self) -> &[u32] {
        &self.sample_series
    }

    pub fn timestamps_ms(&self) -> &[i64] {
        &self.timestamps_ms
    }

    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Start timestamp of a sample, zero where unknown.
    #[inline]
    pub fn start_ms(&self, sample: usize) -> i64 {
        self.starts_ms.get(sample).copied().unwrap_or(0)
    }

    pub fn has_starts(&self) -> bool {
        !self.starts_ms.is_empty() || !self.histogram_starts_ms.is_empty()
    }

    pub fn histogram_count(&self) -> usize {
        self.histograms.len()
    }

    pub fn histogram_series(&self) -> &[u32] {
        &self.histogram_series
    }

    pub fn histogram_timestamps_ms(&self) -> &[i64] {
        &self.histogram_timestamps_ms
    }

    pub fn histograms(&self) -> &[HistogramSample] {
        &self.histograms
    }

    /// As [`Batch::start_ms`], of a histogram.
    pub fn histogram_start_ms(&self, histogram: usize) -> i64 {
        self.histogram_starts_ms.get(histogram).copied().unwrap_or(0)
    }

    pub fn clear_exemplars(&mut self) {
        self.exemplars.clear();
    }

    pub fn exemplars(&self) -> &[Exemplar] {
        &self.exemplars
    }

    /// Every column agrees with its neighbours: asserted at the borders between rooms.
    pub fn assert_columns(&self) {
        assert!(self.label_ends.len() == self.hashes.len());
        assert!(self.label_ends.last().map_or(0, |&end| end as usize) == self.label_bytes.len());
        assert!(self.sample_series.len() == self.values.len());
        assert!(self.timestamps_ms.len() == self.values.len());
        assert!(self.starts_ms.len() <= self.values.len());
        assert!(self.histogram_series.len() == self.histograms.len());
        assert!(self.histogram_timestamps_ms.len() == self.histograms.len());
        assert!(self.histogram_starts_ms.len() <= self.histograms.len());
        for series in [&self.sample_series, &self.histogram_series] {
            assert!(series.last().is_none_or(|&last| (last as usize) < self.hashes.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Batch;
    use crate::model::Labels;

    #[test]
    fn a_batch_gives_back_what_was_pushed() {
        let mut batch = Batch::default();
        for round in 0..2 {
            let up = Labels::from_pairs([("__name__", "up")]);
            let first = batch.push_series(up.as_ref());
            batch.push_sample(first, 10, 1.0);
            batch.push_sample(first, 20, 2.0);
            let second = batch.push_series_sorted([(&b"a"[..], &b"1"[..]), (b"b", b"2")]);
            batch.push_sample(second, 10, f64::NAN);
            batch.assert_columns();
            assert_eq!(batch.labels(first), up.as_ref(), "round {round}");
            assert_eq!(batch.labels(second).to_string(), r#"{a="1", b="2"}"#);
            assert_eq!(batch.hashes()[1], batch.labels(second).stable_hash());
            assert_eq!(batch.sample_series(), [0, 0, 1]);
            assert_eq!((batch.series_count(), batch.sample_count()), (2, 3));
            batch.clear();
            assert!(batch.is_empty());
        }
    }
}
