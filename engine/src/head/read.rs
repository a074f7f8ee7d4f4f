//! Reading the samples of a series.

use super::Head;
use super::aside::Aside;
use crate::encode::{self, ChunkHeader, DecodeError};
use crate::model::source::Touched;
use crate::model::{Samples, SeriesId, TimeRange};

impl Head {
    /// Timestamps of the oldest and newest sample of a series; `None` when it has none.
    pub fn series_span_ms(&self, series: SeriesId) -> Option<(i64, i64)> {
        let open = self.open.get(series.index())?;
        let first_float_ms = match self.sealed.first_ms(series.index()) {
            Some(first_ms) => Some(first_ms),
            None => (open.count() > 0).then(|| open.first_ms(&self.slots)),
        };
        let aside = self.aside_of(series).and_then(|aside| aside.histograms.span_ms());
        let first_ms = first_float_ms.into_iter().chain(aside.map(|(first_ms, _)| first_ms)).min();
        Some((first_ms?, open.newest_ms))
    }

    fn aside_of(&self, series: SeriesId) -> Option<&Aside> {
        let open = self.open.get(series.index())?;
        if open.has_aside() { self.aside.get(series.0) } else { None }
    }

    /// Whether `series` may have samples in `range`. Touches one line of the series when the range
    /// reaches to the head's newest sample.
    pub fn may_have_samples(&self, series: SeriesId, range: TimeRange) -> bool {
        let Some(open) = self.open.get(series.index()) else { return false };
        let may_in_order = range.min_ms <= open.newest_ms
            && (self.max_ms <= range.max_ms
                || self.series_span_ms(series).is_some_and(|(min_ms, _)| min_ms <= range.max_ms));
        may_in_order || self.may_have_late(range) && self.late.has(series.0)
    }

    /// Whether any series may have late samples in `range` here.
    pub fn may_have_late(&self, range: TimeRange) -> bool {
        !self.late.is_beside(range)
    }

    /// Whether a series has late samples here.
    pub fn has_late(&self, series: SeriesId) -> bool {
        self.late.has(series.0)
    }

    /// Chunks of the late samples of a series, in the order in which they came; they may overlap.
    pub fn late_chunks(&self, series: SeriesId) -> impl Iterator<Item = &[u8]> {
        self.late.chunks(series.0)
    }

    /// Appends the late samples of a series in `range` that are in none of [`Head::late_chunks`], and
    /// came last.
    pub fn open_late_samples(&self, series: SeriesId, range: TimeRange, out: &mut Samples) {
        self.late.read_open(series.0, range, out);
    }

    /// Asks for the memory that [`Head::samples`] touches first for each of `series`, and for its
    /// labels. For some tens at a time: more than the cache holds would push each other out.
    pub fn prefetch(&self, series: &[SeriesId], touched: Touched) {
        for id in series {
            self.open.prefetch(id.index());
            if !touched.newest_only {
                self.sealed.prefetch(id.index());
            }
            if touched.labels {
                self.index.prefetch_handle(id.0);
            }
        }
        if !touched.newest_only {
            for open in series.iter().filter_map(|id| self.open.get(id.index())) {
                open.prefetch_samples(&self.slots);
            }
        }
        if touched.labels {
            for id in series {
                let handle = self.index.handle(id.0);
                if handle != 0 {
                    self.index.prefetch_set(handle);
                }
            }
        }
    }

    /// Appends the newest float of `series`, if it has no newer sample and this one is in `range` and
    /// still open: then nothing else of the series need be touched.
    #[inline]
    pub fn push_newest(&self, series: SeriesId, range: TimeRange, out: &mut Samples) -> bool {
        let Some(open) = self.open.get(series.index()) else { return false };
        let is_in_range = range.min_ms <= open.newest_ms && open.newest_ms <= range.max_ms;
        if open.count() == 0 || open.has_aside() || !is_in_range {
            return false;
        }
        out.timestamps_ms.push(open.newest_ms);
        out.values.push(f64::from_bits(open.newest_bits));
        pad(&mut out.starts_ms, out.timestamps_ms.len());
        true
    }

    /// Appends the samples of `series` in `range` that came in order to `out`, each kind ascending.
    ///
    /// Cost: decodes the chunks that overlap the range. No allocation once `out` has room.
    ///
    /// # Errors
    ///
    /// When a chunk in memory does not decode: memory was damaged, or the encoder has a bug.
    pub fn samples(
        &self,
        series: SeriesId,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), DecodeError> {
        let Some(open) = self.open.get(series.index()) else { return Ok(()) };
        let start = out.timestamps_ms.len();
        for entry in self.sealed.from(series.index(), range.min_ms) {
            if entry.min_ms > range.max_ms {
                break;
            }
            let chunk = self.sealed.chunk(entry);
            let header = ChunkHeader::decode(chunk)?;
            if header.max_ms >= range.min_ms {
                let (timestamps_ms, values) = (&mut out.timestamps_ms, &mut out.values);
                encode::decode_behind(&header, chunk, timestamps_ms, values)?;
            }
        }
        if open.count() > 0 && range.min_ms <= open.newest_ms {
            open.read(&self.slots, range.min_ms, &mut out.timestamps_ms, &mut out.values);
        }
        trim(out, start, range);
        if let Some(aside) = self.aside_of(series) {
            let histogram_start = out.histogram_timestamps_ms.len();
            let Samples { histogram_timestamps_ms, histograms, .. } = out;
            aside.histograms.read(range, histogram_timestamps_ms, histograms)?;
            let starts = &aside.starts;
            starts.read(&out.timestamps_ms[start..], start, &mut out.starts_ms);
            starts.read(
                &out.histogram_timestamps_ms[histogram_start..],
                histogram_start,
                &mut out.histogram_starts_ms,
            );
        }
        pad(&mut out.starts_ms, out.timestamps_ms.len());
        pad(&mut out.histogram_starts_ms, out.histogram_timestamps_ms.len());
        Ok(())
    }
}

/// Start timestamps are known of all samples, or of none.
fn pad(starts_ms: &mut Vec<i64>, count: usize) {
    if !starts_ms.is_empty() {
        starts_ms.resize(count, 0);
    }
}

/// Removes samples outside of `range` from `out[start..]`, which ascends.
fn trim(out: &mut Samples, start: usize, range: TimeRange) {
    let read = &out.timestamps_ms[start..];
    if let [first_ms, .., last_ms] = *read
        && range.min_ms <= first_ms
        && last_ms <= range.max_ms
    {
        return;
    }
    let end = start + read.partition_point(|&timestamp_ms| timestamp_ms <= range.max_ms);
    let first = start + read.partition_point(|&timestamp_ms| timestamp_ms < range.min_ms);
    let first = first.min(end);
    out.timestamps_ms.truncate(end);
    out.values.truncate(end);
    out.timestamps_ms.drain(start..first);
    out.values.drain(start..first);
}
