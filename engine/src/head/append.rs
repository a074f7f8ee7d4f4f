//! Appending a batch.
//!
//! A sample's way to memory is four dependent misses: table row, labels, open chunk, slot. One
//! sample at a time waits for each of them. Here a group of series takes every step together, and
//! each pass asks for the lines of the next:
//!
//! ```text
//! pass 1   table rows       asked for
//! pass 2   candidates found, their labels asked for
//! pass 3   labels verified -> ids, new series made, open chunks asked for
//! pass 4   slots            asked for
//! pass 5   samples judged and appended
//! ```
//!
//! A sample that is not newer than its series' newest goes to `late.rs`, where the window takes it.
//!
//! Budget: 1000 samples of a million series touch about 6 lines each, 16 in flight at 80 ns: 30 ns
//! a sample, and as much again for comparing labels and judging.

use super::Head;
use super::late::{LateSamples, LateValue};
use super::open::{Open, Pushed};
use super::verdict::{Refusal, Verdict};
use crate::limits::LABEL_SET_BYTES_MAX;
use crate::model::{Batch, HistogramSample, LabelsRef, STALE_NAN_BITS, SeriesId};

/// Series that go through the passes together. Their lines must fit the first-level cache (six
/// each), and be more than the processor keeps in flight.
pub(super) const GROUP_COUNT: usize = 64;

/// Stands for a series that was not made.
pub(super) const NO_SERIES: u32 = u32::MAX;

/// What a batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendBounds {
    /// Newest timestamp allowed: the caller's clock and what it grants.
    pub max_timestamp_ms: i64,
    /// What the window of late samples is for.
    pub late: LateSamples,
}

impl AppendBounds {
    /// Takes late samples as the window says.
    pub fn until(max_timestamp_ms: i64) -> AppendBounds {
        AppendBounds { max_timestamp_ms, late: LateSamples::Taken }
    }
}

/// What became of a batch. Reused: `append` clears it.
#[derive(Clone, Debug, Default)]
pub struct AppendOutcome {
    /// Id of each of the batch's series; meaningful for those with an accepted sample.
    pub(crate) series: Vec<u32>,
    /// Accepted samples, as indices into the batch's sample columns, ascending.
    pub accepted: Vec<u32>,
    /// Of the accepted ones, apart: those that came out of order.
    pub late: Vec<u32>,
    /// Refused samples, ascending.
    pub refused: Vec<Refusal>,
    /// As `accepted`, `late` and `refused`, of the batch's native histograms.
    pub accepted_histograms: Vec<u32>,
    pub late_histograms: Vec<u32>,
    pub refused_histograms: Vec<Refusal>,
    /// Samples that were there already, of both kinds.
    pub repeated_count: usize,
    /// Series with accepted samples that were not named in this round of the log.
    pub(crate) unlogged: Vec<SeriesId>,
    /// Series made.
    pub new_series: Vec<SeriesId>,
}

impl AppendOutcome {
    fn clear(&mut self) {
        self.series.clear();
        self.accepted.clear();
        self.late.clear();
        self.refused.clear();
        self.accepted_histograms.clear();
        self.late_histograms.clear();
        self.refused_histograms.clear();
        self.unlogged.clear();
        self.new_series.clear();
        self.repeated_count = 0;
    }

    /// Id of each of the batch's series; `None` where it was not made.
    pub fn ids(&self) -> impl Iterator<Item = Option<SeriesId>> + '_ {
        self.series.iter().map(|&id| (id != NO_SERIES).then_some(SeriesId(id)))
    }

    /// Series of an accepted sample.
    #[inline]
    pub fn series_of(&self, batch: &Batch, sample: u32) -> SeriesId {
        SeriesId(self.series[batch.sample_series()[sample as usize] as usize])
    }

    /// Series of an accepted histogram.
    pub fn series_of_histogram(&self, batch: &Batch, histogram: u32) -> SeriesId {
        SeriesId(self.series[batch.histogram_series()[histogram as usize] as usize])
    }
}

/// Bounds of a batch, resolved when it begins.
#[derive(Clone, Copy)]
pub(super) struct Window {
    min_ms: i64,
    max_ms: i64,
    /// The oldest late sample taken; `None` without a window.
    late_min_ms: Option<i64>,
    late: LateSamples,
    /// The newest sample before the batch; the lowest timestamp without one.
    newest_ms: i64,
}

impl Window {
    /// What the bounds say of a sample; `None`: it may stand behind its series' newest.
    #[inline]
    pub(super) fn judge(self, timestamp_ms: i64) -> Option<Verdict> {
        if timestamp_ms > self.max_ms {
            Some(Verdict::TooFarInFuture)
        } else if timestamp_ms < self.min_ms {
            Some(self.judge_late(timestamp_ms, Verdict::OutOfBounds))
        } else {
            None
        }
    }

    /// What becomes of a sample that cannot stand behind its series' newest: `without` a window that.
    #[inline]
    pub(super) fn judge_late(self, timestamp_ms: i64, without: Verdict) -> Verdict {
        match self.late_min_ms {
            None => without,
            Some(late_min_ms) if timestamp_ms < late_min_ms => Verdict::TooOld,
            Some(_) => Verdict::Late,
        }
    }

    /// How far behind the newest sample one of this verdict is, if it is out of order and that is
    /// not the writer's own choice.
    #[inline]
    pub(super) fn lateness_ms(self, verdict: Verdict, at_ms: i64, is_marker: bool) -> Option<i64> {
        let is_late = match verdict {
            Verdict::Late => self.takes(is_marker),
            verdict => matches!(verdict, Verdict::OutOfOrder | Verdict::TooOld),
        };
        is_late.then(|| self.newest_ms.saturating_sub(at_ms))
    }

    /// Whether a sample within the window is taken.
    pub(super) fn takes(self, is_marker: bool) -> bool {
        match self.late {
            LateSamples::Taken => true,
            LateSamples::MarkersRefused => !is_marker,
            LateSamples::Refused => false,
        }
    }
}

impl Head {
    /// Judges and appends all samples of `batch`. A series is made when a sample of it is within
    /// bounds.
    ///
    /// Cost: 40 to 120 ns a sample by number of series; allocates only as columns, arenas and the
    /// outcome grow.
    pub fn append(&mut self, batch: &Batch, bounds: AppendBounds, outcome: &mut AppendOutcome) {
        batch.assert_columns();
        self.assert_columns();
        outcome.clear();
        let window = self.window(batch, bounds);
        let series_count = batch.series_count();
        let mut sample = 0;
        for start in (0..series_count).step_by(GROUP_COUNT) {
            let end = (start + GROUP_COUNT).min(series_count);
            self.resolve(batch, start..end, window, outcome);
            for &id in &outcome.series[start..end] {
                if let Some(open) = self.open.get(id as usize) {
                    open.prefetch(&self.slots);
                }
            }
            sample = self.append_group(batch, sample, end as u32, window, outcome);
        }
        self.index.end_many();
        assert!(outcome.series.len() == series_count);
        assert!(sample == batch.sample_count());
        if batch.has_starts() || self.aside.has_starts {
            self.append_starts(batch, outcome);
        }
        if batch.histogram_count() > 0 {
            self.append_histograms(batch, window, outcome);
        }
    }

    /// The oldest and newest timestamps that this batch may have.
    ///
    /// Half a block range behind the newest sample of all shards, as Prometheus's appenders; the
    /// first batch of all is measured against its own first sample.
    fn window(&self, batch: &Batch, bounds: AppendBounds) -> Window {
        let max_ms = bounds.max_timestamp_ms;
        let newest_ms = match self.newest_known_ms() {
            Some(newest_ms) => Some(newest_ms),
            None => {
                let all_ms = batch.timestamps_ms().iter().chain(batch.histogram_timestamps_ms());
                all_ms.copied().find(|&first_ms| first_ms <= max_ms)
            }
        };
        self.window_behind(newest_ms, bounds)
    }

    /// The newest sample of this shard or, as far as told, of another.
    pub(super) fn newest_known_ms(&self) -> Option<i64> {
        let newest_ms = self.max_ms.max(self.told_newest_ms);
        (newest_ms > i64::MIN).then_some(newest_ms)
    }

    /// As [`Head::window`], with the newest sample known.
    pub(super) fn window_behind(&self, newest_ms: Option<i64>, bounds: AppendBounds) -> Window {
        let reach_ms = self.options.chunk_range_ms / 2;
        let oldest_ms = newest_ms.map_or(i64::MIN, |newest_ms| newest_ms.saturating_sub(reach_ms));
        // The lowest timestamp means "no sample yet" in other columns.
        let min_ms = oldest_ms.max(self.floor_ms).max(i64::MIN + 1);
        let newest_ms = newest_ms.unwrap_or(i64::MIN);
        let late_min_ms = (self.late_window_ms > 0)
            .then(|| newest_ms.saturating_sub(self.late_window_ms).max(i64::MIN + 1));
        let max_ms = bounds.max_timestamp_ms;
        Window { min_ms, max_ms, late_min_ms, late: bounds.late, newest_ms }
    }

    /// Passes 1 to 3: pushes the id of each series in `range` to the outcome.
    fn resolve(
        &mut self,
        batch: &Batch,
        range: std::ops::Range<usize>,
        window: Window,
        outcome: &mut AppendOutcome,
    ) {
        let hashes = &batch.hashes()[range.clone()];
        for &hash in hashes {
            self.table.prefetch(hash);
        }
        let mut candidates = std::mem::take(&mut self.work.candidates);
        candidates.clear();
        for &hash in hashes {
            let candidate = self.table.candidate(hash).unwrap_or(0);
            if candidate != 0 {
                self.index.prefetch_set(candidate);
            }
            candidates.push(candidate);
        }
        for ((series, &hash), &candidate) in range.zip(hashes).zip(&candidates) {
            let labels = batch.labels(series as u32);
            let mut known = None;
            if candidate != 0 {
                // Tags of 32 bits collide once in billions: then the slow way decides.
                known = match self.index.is_set(candidate, labels) {
                    true => Some(SeriesId(self.index.series_of(candidate))),
                    false => self.find_hashed(labels, hash),
                };
            }
            let id = match known {
                Some(id) => id.0,
                None => self.make(batch, series as u32, labels, hash, window, outcome),
            };
            self.open.prefetch(id as usize);
            outcome.series.push(id);
        }
        self.work.candidates = candidates;
    }

    /// Makes a series of the batch if one of its samples may be accepted.
    #[cold]
    fn make(
        &mut self,
        batch: &Batch,
        series: u32,
        labels: LabelsRef<'_>,
        hash: u64,
        window: Window,
        outcome: &mut AppendOutcome,
    ) -> u32 {
        // The same series may stand twice in the batch.
        if let Some(id) = self.find_hashed(labels, hash) {
            return id.0;
        }
        let is_any_within = |column: &[u32], timestamps_ms: &[i64]| {
            // Mostly each series has one sample, which then stands at the series' own place.
            let own = series as usize;
            let stands_there = column.get(own) == Some(&series)
                && own.checked_sub(1).is_none_or(|before| column[before] < series);
            let first = match stands_there {
                true => own,
                false => column.partition_point(|&earlier| earlier < series),
            };
            let own_samples = column[first..].iter().take_while(|&&one| one == series);
            let judge = |&at_ms: &i64| matches!(window.judge(at_ms), None | Some(Verdict::Late));
            timestamps_ms[first..].iter().zip(own_samples).any(|(at_ms, _)| judge(at_ms))
        };
        if !is_any_within(batch.sample_series(), batch.timestamps_ms())
            && !is_any_within(batch.histogram_series(), batch.histogram_timestamps_ms())
        {
            return NO_SERIES;
        }
        if !self.takes_series {
            return NO_SERIES;
        }
        self.index.begin_many();
        let Some(id) = self.insert(labels, hash) else { return NO_SERIES };
        outcome.new_series.push(id);
        id.0
    }

    /// Adds a series that is not there; `None` when it may not be added.
    pub(super) fn insert(&mut self, labels: LabelsRef<'_>, hash: u64) -> Option<SeriesId> {
        let is_full = self.live_count >= self.options.series_count_max
            || self.open.len() >= crate::limits::SERIES_COUNT_MAX;
        if is_full || labels.as_bytes().len() > LABEL_SET_BYTES_MAX {
            return None;
        }
        let id = SeriesId(self.open.len() as u32);
        let handle = self.index.insert(id.0, labels).ok()?;
        self.add_row(hash, handle, id);
        Some(id)
    }

    /// Adds the columns of a series that the index has now.
    #[inline]
    pub(super) fn add_row(&mut self, hash: u64, handle: u32, id: SeriesId) {
        self.table.insert(hash, handle);
        self.open.push(Open::new(id));
        self.live_count += 1;
    }

    /// The series with these labels, made if it is new; `None` when it may not be made.
    pub fn find_or_insert(&mut self, labels: LabelsRef<'_>) -> Option<SeriesId> {
        let hash = labels.stable_hash();
        self.find_hashed(labels, hash).or_else(|| self.insert(labels, hash))
    }

    /// Pass 5 for the samples from index `sample` whose series is below `series_end`; returns the
    /// index of the first other one.
    fn append_group(
        &mut self,
        batch: &Batch,
        mut sample: usize,
        series_end: u32,
        window: Window,
        outcome: &mut AppendOutcome,
    ) -> usize {
        let (sample_series, timestamps_ms) = (batch.sample_series(), batch.timestamps_ms());
        while let Some(&series) = sample_series.get(sample)
            && series < series_end
        {
            let (timestamp_ms, value) = (timestamps_ms[sample], batch.values()[sample]);
            let id = outcome.series[series as usize];
            let verdict = match window.judge(timestamp_ms) {
                Some(verdict) => verdict,
                None if id != NO_SERIES => {
                    self.append_sample(id, timestamp_ms, value, window, outcome)
                }
                None => self.not_made(batch, series),
            };
            let is_marker = value.to_bits() == STALE_NAN_BITS;
            if let Some(behind_ms) = window.lateness_ms(verdict, timestamp_ms, is_marker) {
                self.lateness.observe(behind_ms);
            }
            let verdict = match verdict {
                Verdict::Late => self.append_late(id, batch, sample, window, outcome),
                verdict => verdict,
            };
            match verdict {
                Verdict::Accepted => outcome.accepted.push(sample as u32),
                Verdict::Late => outcome.late.push(sample as u32),
                Verdict::Repeated => outcome.repeated_count += 1,
                _ => outcome.refused.push(Refusal { sample: sample as u32, verdict }),
            }
            sample += 1;
        }
        sample
    }

    /// Judges a sample within bounds by the newest of its series, and appends it if it is newer.
    #[inline]
    fn append_sample(
        &mut self,
        id: u32,
        timestamp_ms: i64,
        value: f64,
        window: Window,
        outcome: &mut AppendOutcome,
    ) -> Verdict {
        let open = &self.open[id as usize];
        if timestamp_ms <= open.newest_ms {
            return if timestamp_ms < open.newest_ms {
                window.judge_late(timestamp_ms, Verdict::OutOfOrder)
            } else if open.is_histogram() {
                Verdict::DuplicateOfHistogram { new: value }
            } else if value.to_bits() == open.newest_bits {
                Verdict::Repeated
            } else {
                Verdict::Duplicate { existing: f64::from_bits(open.newest_bits), new: value }
            };
        }
        if self.note_logged(id) {
            outcome.unlogged.push(SeriesId(id));
        }
        self.store(id, timestamp_ms, value.to_bits());
        Verdict::Accepted
    }

    /// Keeps a sample that the window takes, if the batch wants that.
    #[cold]
    fn append_late(
        &mut self,
        id: u32,
        batch: &Batch,
        sample: usize,
        window: Window,
        outcome: &mut AppendOutcome,
    ) -> Verdict {
        let (timestamp_ms, value) = (batch.timestamps_ms()[sample], batch.values()[sample]);
        if id == NO_SERIES {
            return self.not_made(batch, batch.sample_series()[sample]);
        }
        if !window.takes(value.to_bits() == STALE_NAN_BITS) {
            return Verdict::OutOfOrder;
        }
        if !self.store_late(id, timestamp_ms, batch.start_ms(sample), value) {
            return Verdict::Repeated;
        }
        if self.note_logged(id) {
            outcome.unlogged.push(SeriesId(id));
        }
        Verdict::Late
    }

    /// Keeps a late float; false if it was there. A staleness marker is of the kind of the series'
    /// newest sample.
    pub(super) fn store_late(
        &mut self,
        id: u32,
        timestamp_ms: i64,
        start_ms: i64,
        value: f64,
    ) -> bool {
        let bits = value.to_bits();
        let value = if bits == STALE_NAN_BITS && self.open[id as usize].is_histogram() {
            let newest = self.aside.get(id).map(|aside| aside.histograms.newest());
            let is_integer = newest.is_some_and(|newest| newest.is_integer);
            LateValue::histogram(&HistogramSample::stale(is_integer))
        } else {
            LateValue::Float(bits)
        };
        self.late.insert(id, timestamp_ms, start_ms, value, &mut self.work.columns)
    }

    /// Notes that a sample of the series is accepted; whether the series is to be named in this
    /// round of the log, because it was not yet.
    #[inline]
    pub(crate) fn note_logged(&mut self, id: u32) -> bool {
        let open = &mut self.open[id as usize];
        std::mem::replace(&mut open.logged_in, self.log_round) != self.log_round
    }

    /// Appends a sample that is newer than its series' newest.
    #[inline]
    pub(super) fn store(&mut self, id: u32, timestamp_ms: i64, bits: u64) {
        let open = &mut self.open[id as usize];
        let mut pushed = open.push(&mut self.slots, timestamp_ms, bits);
        if pushed == Pushed::SealFirst {
            self.seal(id as usize);
            pushed = self.open[id as usize].push(&mut self.slots, timestamp_ms, bits);
        }
        match pushed {
            Pushed::Done => {}
            Pushed::Full => self.seal(id as usize),
            Pushed::Histogram => self.mark_histograms_stale(id, timestamp_ms),
            Pushed::SealFirst => unreachable!("an empty chunk takes any sample"),
        }
        self.min_ms = self.min_ms.min(timestamp_ms);
        self.max_ms = self.max_ms.max(timestamp_ms);
    }

    /// Appends samples of known series, as a log's replay has them: what is not newer than its
    /// series' newest was there before and is passed over. Returns how many were appended.
    ///
    /// Shapes: three columns of equal length, and start timestamps as long or empty; ids of series
    /// that were not removed.
    pub fn append_replayed(
        &mut self,
        series: &[SeriesId],
        timestamps_ms: &[i64],
        values: &[f64],
        starts_ms: &[i64],
    ) -> usize {
        assert!(series.len() == values.len());
        assert!(timestamps_ms.len() == values.len());
        let mut appended_count = 0;
        for start in (0..series.len()).step_by(GROUP_COUNT) {
            let group = start..(start + GROUP_COUNT).min(series.len());
            for id in &series[group.clone()] {
                self.open.prefetch(id.index());
            }
            for id in &series[group.clone()] {
                self.open[id.index()].prefetch(&self.slots);
            }
            for sample in group {
                let (id, timestamp_ms) = (series[sample], timestamps_ms[sample]);
                if self.open[id.index()].newest_ms < timestamp_ms && self.floor_ms <= timestamp_ms {
                    self.store(id.0, timestamp_ms, values[sample].to_bits());
                    let start_ms = starts_ms.get(sample).copied().unwrap_or(0);
                    self.store_start(id.0, timestamp_ms, start_ms);
                    appended_count += 1;
                }
            }
        }
        appended_count
    }

    /// As [`Head::append_replayed`], of samples that the log says were late.
    pub fn append_replayed_late(
        &mut self,
        series: &[SeriesId],
        timestamps_ms: &[i64],
        values: &[f64],
        starts_ms: &[i64],
    ) -> usize {
        let columns = series.iter().zip(timestamps_ms).zip(values).enumerate();
        let appended = columns.filter(|&(index, ((id, &timestamp_ms), &value))| {
            let start_ms = starts_ms.get(index).copied().unwrap_or(0);
            self.store_late(id.0, timestamp_ms, start_ms, value)
        });
        appended.count()
    }

    /// Why a series of the batch that has a sample within bounds was not made.
    pub(super) fn not_made(&self, batch: &Batch, series: u32) -> Verdict {
        if batch.labels(series).as_bytes().len() > LABEL_SET_BYTES_MAX {
            Verdict::LabelsTooLong
        } else if !self.takes_series {
            Verdict::MemoryLimit
        } else {
            Verdict::SeriesLimit
        }
    }
}
