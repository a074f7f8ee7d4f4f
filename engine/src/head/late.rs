//! Samples out of order: what came too late to stand behind its series' newest, and is within the
//! window of them.
//!
//! ```text
//! series ─► open: up to 32 samples by time ─► chunks, encoded, in the order in which they were full
//! ```
//!
//! Chunks may overlap each other and what came in order; whoever reads merges, and of two samples of
//! one timestamp the one that came first counts. Series without late samples have no entry.
//!
//! Source: Prometheus `tsdb/ooo_head.go` and `tsdb/head_append.go` (`memSeries.insert`): a repetition
//! is noticed among the open samples only, and is no error whatever its value.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::encode::{self, Columns};
use crate::model::histogram::CounterReset;
use crate::model::{HistogramSample, Samples, TimeRange};

/// Samples that are not encoded yet, as Prometheus's `out-of-order-cap-max`. Raising it finds more
/// repetitions and makes an insertion move more.
const OPEN_COUNT_MAX: usize = 32;

/// Which late samples of a batch the window is for. Others are refused as out of order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LateSamples {
    #[default]
    Taken,
    /// Staleness markers are not: a target that came back has gone on already.
    MarkersRefused,
    Refused,
}

#[derive(Debug, Default)]
pub(super) struct Lates {
    entries: HashMap<u32, Late, RandomState>,
    /// Samples of all entries, and bounds of their time.
    sample_count: usize,
    min_ms: i64,
    max_ms: i64,
    chunk_count: usize,
    bytes: usize,
}

/// One series' entry.
#[derive(Clone, Debug)]
struct Late {
    /// Ascending by time, each time once.
    open: Vec<LateSample>,
    chunks: Vec<LateChunk>,
    /// Newest late sample here or in a part.
    newest_ms: i64,
}

#[derive(Clone, Debug)]
struct LateChunk {
    bytes: Box<[u8]>,
    sample_count: usize,
}

#[derive(Clone, Debug)]
struct LateSample {
    timestamp_ms: i64,
    /// Zero is unknown.
    start_ms: i64,
    value: LateValue,
}

#[derive(Clone, Debug)]
pub(super) enum LateValue {
    /// A float's bits.
    Float(u64),
    Histogram(Box<HistogramSample>),
}

impl LateValue {
    /// What is known about resets holds between neighbours in order, and these are none.
    pub(super) fn histogram(sample: &HistogramSample) -> LateValue {
        let mut sample = match sample.is_stale() {
            true => HistogramSample::stale(sample.is_integer),
            false => sample.clone(),
        };
        if sample.histogram.counter_reset != CounterReset::Gauge {
            sample.histogram.counter_reset = CounterReset::Unknown;
        }
        LateValue::Histogram(Box::new(sample))
    }

    fn bytes(&self) -> usize {
        match self {
            LateValue::Float(_) => 0,
            LateValue::Histogram(sample) => {
                let histogram = &sample.histogram;
                let buckets = histogram.positive.buckets.len() + histogram.negative.buckets.len();
                size_of::<HistogramSample>() + 8 * buckets
            }
        }
    }
}

impl Late {
    fn bytes(&self) -> usize {
        let values: usize = self.open.iter().map(|sample| sample.value.bytes()).sum();
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        values
            + chunks
            + self.open.capacity() * size_of::<LateSample>()
            + self.chunks.capacity() * size_of::<LateChunk>()
    }

    fn sample_count(&self) -> usize {
        self.open.len() + self.chunks.iter().map(|chunk| chunk.sample_count).sum::<usize>()
    }

    /// Encodes the open samples: floats, then histograms.
    fn seal(&mut self, work: &mut Columns) {
        let (mut floats, mut histograms) = (Columns3::default(), Columns3::default());
        for LateSample { timestamp_ms, start_ms, value } in self.open.drain(..) {
            match value {
                LateValue::Float(bits) => {
                    floats.push(timestamp_ms, start_ms, f64::from_bits(bits));
                }
                LateValue::Histogram(sample) => histograms.push(timestamp_ms, start_ms, *sample),
            }
        }
        let mut keep = |bytes: Vec<u8>, sample_count: usize| {
            self.chunks.push(LateChunk { bytes: bytes.into(), sample_count });
        };
        if !floats.values.is_empty() {
            let mut bytes = vec![];
            let Columns3 { timestamps_ms, starts_ms, values } = &floats;
            encode::encode_floats(timestamps_ms, starts_ms, values, work, &mut bytes);
            keep(bytes, values.len());
        }
        let Columns3 { timestamps_ms, starts_ms, values } = &histograms;
        let mut start = 0;
        while start < values.len() {
            let (count, resets) = encode::histogram_run(&values[start..], None);
            let run = start..start + count;
            let mut bytes = vec![];
            encode::encode_histograms(
                &timestamps_ms[run.clone()],
                &starts_ms[run.clone()],
                &values[run],
                resets,
                work,
                &mut bytes,
            );
            keep(bytes, count);
            start += count;
        }
    }
}

/// Samples of one kind, as they are encoded.
struct Columns3<T> {
    timestamps_ms: Vec<i64>,
    starts_ms: Vec<i64>,
    values: Vec<T>,
}

impl<T> Default for Columns3<T> {
    fn default() -> Self {
        Columns3 { timestamps_ms: vec![], starts_ms: vec![], values: vec![] }
    }
}

impl<T> Columns3<T> {
    fn push(&mut self, timestamp_ms: i64, start_ms: i64, value: T) {
        self.timestamps_ms.push(timestamp_ms);
        self.starts_ms.push(start_ms);
        self.values.push(value);
    }
}

impl Lates {
    /// Changes a series' entry, made if there is none, and counts what it holds.
    fn update<R>(&mut self, series: u32, change: impl FnOnce(&mut Late) -> R) -> R {
        let entry = self.entries.entry(series).or_insert_with(|| Late {
            open: vec![],
            chunks: vec![],
            newest_ms: i64::MIN,
        });
        let before = (entry.bytes(), entry.sample_count(), entry.chunks.len());
        let result = change(entry);
        self.bytes = self.bytes + entry.bytes() - before.0;
        self.sample_count = self.sample_count + entry.sample_count() - before.1;
        self.chunk_count = self.chunk_count + entry.chunks.len() - before.2;
        result
    }

    /// Keeps a sample; false, and nothing kept, if an open one has its timestamp.
    pub(super) fn insert(
        &mut self,
        series: u32,
        timestamp_ms: i64,
        start_ms: i64,
        value: LateValue,
        work: &mut Columns,
    ) -> bool {
        if self.sample_count == 0 {
            (self.min_ms, self.max_ms) = (timestamp_ms, timestamp_ms);
        }
        let is_new = self.update(series, |late| {
            let open = &late.open;
            let at = open.binary_search_by_key(&timestamp_ms, |sample| sample.timestamp_ms);
            let Err(at) = at else { return false };
            if open.len() == OPEN_COUNT_MAX {
                late.seal(work);
            }
            let at = at.min(late.open.len());
            late.open.insert(at, LateSample { timestamp_ms, start_ms, value });
            late.newest_ms = late.newest_ms.max(timestamp_ms);
            true
        });
        if is_new {
            self.min_ms = self.min_ms.min(timestamp_ms);
            self.max_ms = self.max_ms.max(timestamp_ms);
        }
        is_new
    }

    /// Takes in that a part has late samples of a series up to here.
    pub(super) fn note(&mut self, series: u32, newest_ms: i64) {
        self.update(series, |late| late.newest_ms = late.newest_ms.max(newest_ms));
    }

    /// Whether no entry has samples in `range`.
    pub(super) fn is_beside(&self, range: TimeRange) -> bool {
        self.sample_count == 0 || self.max_ms < range.min_ms || range.max_ms < self.min_ms
    }

    /// Whether a series has samples here.
    pub(super) fn has(&self, series: u32) -> bool {
        self.sample_count > 0
            && self.entries.get(&series).is_some_and(|late| late.sample_count() > 0)
    }

    pub(super) fn newest_ms(&self, series: u32) -> Option<i64> {
        Some(self.entries.get(&series)?.newest_ms)
    }

    /// The encoded samples of a series, in the order in which they came.
    pub(super) fn chunks(&self, series: u32) -> impl Iterator<Item = &[u8]> {
        let late = self.entries.get(&series);
        late.into_iter().flat_map(|late| &late.chunks).map(|chunk| &*chunk.bytes)
    }

    /// Appends those samples in `range` that are not encoded yet, which came last; each kind
    /// ascends.
    pub(super) fn read_open(&self, series: u32, range: TimeRange, out: &mut Samples) {
        let open = self.entries.get(&series).map_or(&[][..], |late| &late.open);
        for LateSample { timestamp_ms, start_ms, value } in open {
            if !(range.min_ms..=range.max_ms).contains(timestamp_ms) {
                continue;
            }
            match value {
                LateValue::Float(bits) => {
                    push_start(&mut out.starts_ms, out.values.len(), *start_ms);
                    out.timestamps_ms.push(*timestamp_ms);
                    out.values.push(f64::from_bits(*bits));
                }
                LateValue::Histogram(sample) => {
                    let count = out.histograms.len();
                    push_start(&mut out.histogram_starts_ms, count, *start_ms);
                    out.histogram_timestamps_ms.push(*timestamp_ms);
                    out.histograms.push(sample.histogram.clone());
                }
            }
        }
    }

    /// Gives all samples of a series to `push`, encoded, the open ones too; returns how many chunks.
    pub(super) fn flush(
        &mut self,
        series: u32,
        work: &mut Columns,
        mut push: impl FnMut(&[u8]),
    ) -> u32 {
        if !self.has(series) {
            return 0;
        }
        self.update(series, |late| late.seal(work));
        let mut count = 0;
        for chunk in self.chunks(series) {
            push(chunk);
            count += 1;
        }
        count
    }

    /// Drops the first `count` chunks of a series: a part holds them. What is known of its newest
    /// sample stays.
    pub(super) fn forget(&mut self, series: u32, count: u32) {
        if count > 0 {
            self.update(series, |late| {
                late.chunks.drain(..count as usize);
                late.chunks.shrink_to_fit();
                if late.open.is_empty() {
                    late.open = vec![];
                }
            });
        }
    }

    /// Whether a series has samples here, or later than `before_ms` in a part. Forgets it otherwise.
    pub(super) fn keeps(&mut self, series: u32, before_ms: i64) -> bool {
        let Some(late) = self.entries.get(&series) else { return false };
        let is_kept = late.sample_count() > 0 || late.newest_ms >= before_ms;
        if !is_kept {
            self.remove(series);
        }
        is_kept
    }

    pub(super) fn remove(&mut self, series: u32) {
        if let Some(late) = self.entries.remove(&series) {
            self.bytes -= late.bytes();
            self.sample_count -= late.sample_count();
            self.chunk_count -= late.chunks.len();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn chunk_count(&self) -> usize {
        self.chunk_count
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.entries.capacity() * size_of::<(u32, Late)>()
    }
}

/// Starts are known of all samples or of none.
fn push_start(starts_ms: &mut Vec<i64>, sample_count: usize, start_ms: i64) {
    if start_ms != 0 || !starts_ms.is_empty() {
        starts_ms.resize(sample_count, 0);
        starts_ms.push(start_ms);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{LateValue, Lates};
    use crate::encode::{Columns, decode_samples};
    use crate::model::{HistogramSample, Samples, TimeRange};

    const ALL_TIME: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

    fn histogram(count: f64) -> HistogramSample {
        let mut sample = HistogramSample::default();
        (sample.histogram.count, sample.histogram.zero_count) = (count, count);
        sample
    }

    /// Floats and histograms by time: what was inserted first counts.
    fn read(lates: &Lates, series: u32) -> BTreeMap<i64, (bool, f64, i64)> {
        let mut all = BTreeMap::new();
        let mut take = |samples: &Samples| {
            let start = |starts: &[i64], at: usize| starts.get(at).copied().unwrap_or(0);
            for (at, &time_ms) in samples.timestamps_ms.iter().enumerate() {
                let found = (false, samples.values[at], start(&samples.starts_ms, at));
                all.entry(time_ms).or_insert(found);
            }
            for (at, &time_ms) in samples.histogram_timestamps_ms.iter().enumerate() {
                let count = samples.histograms[at].count;
                let found = (true, count, start(&samples.histogram_starts_ms, at));
                all.entry(time_ms).or_insert(found);
            }
        };
        for chunk in lates.chunks(series) {
            let mut samples = Samples::default();
            decode_samples(chunk, &mut samples).unwrap();
            take(&samples);
        }
        let mut open = Samples::default();
        lates.read_open(series, ALL_TIME, &mut open);
        take(&open);
        all
    }

    proptest! {
        #[test]
        fn what_was_inserted_is_there(
            samples in prop::collection::vec((0u32..3, -200i64..200, any::<bool>(), 0i64..3), 1..400),
        ) {
            let (mut lates, mut work) = (Lates::default(), Columns::default());
            let mut twin: BTreeMap<(u32, i64), (bool, f64, i64)> = BTreeMap::new();
            for (number, &(series, time_ms, is_histogram, start_ms)) in samples.iter().enumerate() {
                let value = match is_histogram {
                    true => LateValue::histogram(&histogram(number as f64)),
                    false => LateValue::Float((number as f64).to_bits()),
                };
                lates.insert(series, time_ms, start_ms, value, &mut work);
                let new = (is_histogram, number as f64, start_ms);
                twin.entry((series, time_ms)).or_insert(new);
            }
            for series in 0..3 {
                let theirs = twin.range((series, i64::MIN)..(series + 1, i64::MIN));
                let theirs: BTreeMap<_, _> = theirs.map(|(&(_, time_ms), &s)| (time_ms, s)).collect();
                prop_assert_eq!(read(&lates, series), theirs.clone());
                prop_assert_eq!(lates.has(series), !theirs.is_empty());
                prop_assert_eq!(lates.newest_ms(series), theirs.keys().last().copied());
                let count = lates.flush(series, &mut work, |_| {});
                prop_assert_eq!(read(&lates, series), theirs);
                lates.forget(series, count);
                prop_assert!(!lates.has(series));
            }
            prop_assert_eq!(lates.chunk_count(), 0);
            for series in 0..3 {
                prop_assert!(!lates.keeps(series, 200));
            }
            prop_assert_eq!((lates.sample_count, lates.bytes), (0, 0));
        }
    }

    #[test]
    fn a_repetition_is_noticed_while_it_is_open() {
        let (mut lates, mut work) = (Lates::default(), Columns::default());
        let mut insert = |time_ms: i64| lates.insert(7, time_ms, 0, LateValue::Float(1), &mut work);
        assert!(insert(5));
        assert!(!insert(5));
        assert!((10..41).all(&mut insert));
        assert!(!insert(5));
        assert!(insert(50));
        assert!(insert(5));
    }
}
