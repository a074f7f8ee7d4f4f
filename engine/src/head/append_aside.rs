//! Appending what lies aside: native histograms and start timestamps.
//!
//! Within a series, a batch's histograms come behind its floats, as remote_write has them. A
//! staleness marker of a series is of the kind of the sample before it.

use super::Head;
use super::append::{AppendOutcome, NO_SERIES, Window};
use super::late::LateValue;
use super::verdict::{Refusal, Verdict};
use crate::model::{Batch, HistogramSample, SeriesId};

impl Head {
    /// Judges and appends the histograms of a batch whose series are resolved.
    pub(super) fn append_histograms(
        &mut self,
        batch: &Batch,
        window: Window,
        outcome: &mut AppendOutcome,
    ) {
        let columns = batch.histogram_series().iter().zip(batch.histogram_timestamps_ms());
        for (index, (&series, &timestamp_ms)) in columns.enumerate() {
            let sample = &batch.histograms()[index];
            let id = outcome.series[series as usize];
            let verdict = match window.judge(timestamp_ms) {
                Some(verdict) => verdict,
                None if !sample.is_stale() && sample.validate().is_err() => {
                    Verdict::InvalidHistogram
                }
                None if id != NO_SERIES => self.judge_histogram(id, timestamp_ms, sample, window),
                None => self.not_made(batch, series),
            };
            if let Some(behind_ms) = window.lateness_ms(verdict, timestamp_ms, sample.is_stale()) {
                self.lateness.observe(behind_ms);
            }
            let start_ms = batch.histogram_start_ms(index);
            let verdict = match verdict {
                Verdict::Late if id == NO_SERIES => self.not_made(batch, series),
                Verdict::Late if !sample.is_stale() && sample.validate().is_err() => {
                    Verdict::InvalidHistogram
                }
                Verdict::Late if !window.takes(sample.is_stale()) => Verdict::OutOfOrder,
                Verdict::Late if !self.store_late_histogram(id, timestamp_ms, start_ms, sample) => {
                    Verdict::Repeated
                }
                verdict => verdict,
            };
            match verdict {
                Verdict::Late => {
                    if self.note_logged(id) {
                        outcome.unlogged.push(SeriesId(id));
                    }
                    outcome.late_histograms.push(index as u32);
                }
                Verdict::Accepted => {
                    if self.note_logged(id) {
                        outcome.unlogged.push(SeriesId(id));
                    }
                    self.store_histogram(id, timestamp_ms, sample);
                    self.store_start(id, timestamp_ms, start_ms);
                    outcome.accepted_histograms.push(index as u32);
                }
                Verdict::Repeated => outcome.repeated_count += 1,
                _ => outcome.refused_histograms.push(Refusal { sample: index as u32, verdict }),
            }
        }
    }

    /// Judges a valid histogram within bounds by the newest sample of its series.
    fn judge_histogram(
        &self,
        id: u32,
        timestamp_ms: i64,
        sample: &HistogramSample,
        window: Window,
    ) -> Verdict {
        let open = &self.open[id as usize];
        if timestamp_ms > open.newest_ms {
            return Verdict::Accepted;
        }
        if timestamp_ms < open.newest_ms {
            return window.judge_late(timestamp_ms, Verdict::OutOfOrder);
        }
        let newest = self.aside.get(id).filter(|_| open.is_histogram());
        match newest.is_some_and(|aside| aside.histograms.newest().equals(sample)) {
            true => Verdict::Repeated,
            false => Verdict::DuplicateHistogram,
        }
    }

    /// Keeps a valid late histogram; false if it was there.
    fn store_late_histogram(
        &mut self,
        id: u32,
        timestamp_ms: i64,
        start_ms: i64,
        sample: &HistogramSample,
    ) -> bool {
        let value = LateValue::histogram(sample);
        self.late.insert(id, timestamp_ms, start_ms, value, &mut self.work.columns)
    }

    /// Appends a valid histogram that is newer than its series' newest sample.
    pub(super) fn store_histogram(&mut self, id: u32, timestamp_ms: i64, sample: &HistogramSample) {
        self.seal(id as usize);
        let open = &mut self.open[id as usize];
        let is_behind = open.is_histogram();
        open.set_aside();
        open.set_histogram(timestamp_ms);
        self.aside.update(id, |aside| aside.histograms.push(timestamp_ms, sample, is_behind));
        self.min_ms = self.min_ms.min(timestamp_ms);
        self.max_ms = self.max_ms.max(timestamp_ms);
    }

    /// Appends a staleness marker to a series whose newest sample is a histogram.
    #[cold]
    pub(super) fn mark_histograms_stale(&mut self, id: u32, timestamp_ms: i64) {
        let newest = self.aside.get(id).map(|aside| aside.histograms.newest());
        let stale = HistogramSample::stale(newest.is_some_and(|newest| newest.is_integer));
        self.store_histogram(id, timestamp_ms, &stale);
    }

    /// Notes the start timestamps of the accepted floats of a batch.
    pub(super) fn append_starts(&mut self, batch: &Batch, outcome: &AppendOutcome) {
        for &sample in &outcome.accepted {
            let SeriesId(id) = outcome.series_of(batch, sample);
            let timestamp_ms = batch.timestamps_ms()[sample as usize];
            self.store_start(id, timestamp_ms, batch.start_ms(sample as usize));
        }
    }

    /// Notes the start of a sample that was appended just now; zero is unknown.
    #[inline]
    pub(super) fn store_start(&mut self, id: u32, timestamp_ms: i64, start_ms: i64) {
        let open = &mut self.open[id as usize];
        if start_ms == 0 && !open.has_aside() {
            return;
        }
        open.set_aside();
        self.aside.has_starts |= start_ms != 0;
        self.aside.update(id, |aside| aside.starts.push(timestamp_ms, start_ms));
    }

    /// Appends native histograms of known series, as [`Head::append_replayed`] does floats.
    ///
    /// Shapes: three columns of equal length.
    pub fn append_replayed_histograms(
        &mut self,
        series: &[SeriesId],
        timestamps_ms: &[i64],
        histograms: &[HistogramSample],
        starts_ms: &[i64],
    ) -> usize {
        assert!(series.len() == histograms.len());
        assert!(timestamps_ms.len() == histograms.len());
        let mut appended_count = 0;
        for (index, (id, &timestamp_ms)) in series.iter().zip(timestamps_ms).enumerate() {
            if self.open[id.index()].newest_ms < timestamp_ms && self.floor_ms <= timestamp_ms {
                self.store_histogram(id.0, timestamp_ms, &histograms[index]);
                self.store_start(id.0, timestamp_ms, starts_ms.get(index).copied().unwrap_or(0));
                appended_count += 1;
            }
        }
        appended_count
    }

    /// As [`Head::append_replayed_histograms`], of histograms that the log says were late.
    pub fn append_replayed_late_histograms(
        &mut self,
        series: &[SeriesId],
        timestamps_ms: &[i64],
        histograms: &[HistogramSample],
        starts_ms: &[i64],
    ) -> usize {
        let columns = series.iter().zip(timestamps_ms).zip(histograms).enumerate();
        let appended = columns.filter(|&(index, ((id, &timestamp_ms), histogram))| {
            let start_ms = starts_ms.get(index).copied().unwrap_or(0);
            self.store_late_histogram(id.0, timestamp_ms, start_ms, histogram)
        });
        appended.count()
    }
}
