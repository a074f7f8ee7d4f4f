//! Handing chunks over to a part, and taking series back from parts.
//!
//! ```text
//! flush   flush_series: its chunks, for the part ─► the part is durable ─► forget_flushed
//! start   restore: each series under the id it had ─► set_newest
//! ```
//!
//! Samples go on arriving meanwhile: what comes after [`Head::flush_series`] stays in the head.

use std::cell::Cell;

use super::Head;
use super::open::Open;
use crate::encode::{self, ChunkHeader, DecodeError};
use crate::index::PairMap;
use crate::limits::SERIES_COUNT_MAX;
use crate::model::{HistogramSample, LabelsRef, Samples, SeriesId};

/// What a part took of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushedSeries {
    pub series: SeriesId,
    /// Sealed chunks of floats, from the oldest on.
    chunk_count: u32,
    /// Chunks of late samples, from the first on.
    late_count: u32,
    /// Native histograms up to here.
    newest_ms: i64,
}

/// The newest sample of a series, as those after it are judged by.
#[derive(Clone, Debug)]
pub enum Newest {
    /// A float's bits.
    Float(u64),
    Histogram(HistogramSample),
}

impl Head {
    /// Gives every sample of a series to `push`, as chunks of `encode`, in the order in which they
    /// count, and whether they came late: those come last. The open chunk is sealed. `None` when the
    /// series has no samples here.
    ///
    /// # Errors
    ///
    /// When a chunk in memory does not decode: memory was damaged, or the encoder has a bug.
    pub fn flush_series(
        &mut self,
        series: SeriesId,
        mut push_any: impl FnMut(&[u8], bool),
    ) -> Result<Option<FlushedSeries>, DecodeError> {
        let Some(open) = self.open.get(series.index()) else { return Ok(None) };
        let mut push = |chunk: &[u8]| push_any(chunk, false);
        let newest_ms = open.newest_ms;
        let has_aside = open.has_aside();
        if open.count() > 0 {
            self.seal(series.index());
            self.open[series.index()].spread(series);
        }
        let index = series.index();
        let chunk_count = self.sealed.count(index) as u32;
        let aside = if has_aside { self.aside.get(series.0) } else { None };
        let mut histogram_count = 0;
        match aside {
            None => {
                for entry in self.sealed.from(index, i64::MIN) {
                    push(self.sealed.chunk(entry));
                }
            }
            Some(aside) => {
                let work = &mut self.work;
                let mut starts_ms = vec![];
                for entry in self.sealed.from(index, i64::MIN) {
                    let chunk = self.sealed.chunk(entry);
                    if aside.starts.is_empty() {
                        push(chunk);
                        continue;
                    }
                    let (times, values) = (&mut work.timestamps_ms, &mut work.values);
                    times.clear();
                    values.clear();
                    starts_ms.clear();
                    encode::decode(chunk, times, values)?;
                    aside.starts.read(times, 0, &mut starts_ms);
                    if starts_ms.iter().all(|&start_ms| start_ms == 0) {
                        push(chunk);
                        continue;
                    }
                    work.chunk.clear();
                    let out = &mut work.chunk;
                    encode::encode_floats(times, &starts_ms, values, &mut work.columns, out);
                    push(out);
                }
                let (times, histograms) = aside.histograms.all()?;
                histogram_count = histograms.len();
                starts_ms.clear();
                aside.starts.read(&times, 0, &mut starts_ms);
                if starts_ms.iter().all(|&start_ms| start_ms == 0) {
                    starts_ms.clear();
                }
                let mut start = 0;
                while start < histograms.len() {
                    let before = start.checked_sub(1).map(|before| &histograms[before]);
                    let (count, resets) = encode::histogram_run(&histograms[start..], before);
                    let end = start + count;
                    work.chunk.clear();
                    encode::encode_histograms(
                        &times[start..end],
                        starts_ms.get(start..end).unwrap_or_default(),
                        &histograms[start..end],
                        resets,
                        &mut work.columns,
                        &mut work.chunk,
                    );
                    push(&work.chunk);
                    start = end;
                }
            }
        }
        let columns = &mut self.work.columns;
        let late_count = self.late.flush(series.0, columns, |chunk| push_any(chunk, true));
        let flushed = FlushedSeries { series, chunk_count, late_count, newest_ms };
        Ok((chunk_count > 0 || histogram_count > 0 || late_count > 0).then_some(flushed))
    }

    /// Drops what [`Head::flush_series`] gave: a part holds it.
    pub fn forget_flushed(&mut self, flushed: FlushedSeries) {
        let FlushedSeries { series, chunk_count, late_count, newest_ms } = flushed;
        let Some(open) = self.open.get(series.index()) else { return };
        self.late.forget(series.0, late_count);
        let left = Cell::new(chunk_count);
        let is_flushed = |_, _: &[u8]| left.replace(left.get().saturating_sub(1)) > 0;
        self.sealed.expire(series.index(), is_flushed);
        if open.has_aside() {
            self.aside.update(series.0, |aside| {
                aside.histograms.expire(newest_ms.saturating_add(1));
                aside.starts.expire(newest_ms);
            });
        }
    }

    /// Asks for the line of the table that a series of this hash begins with.
    pub fn prefetch_hash(&self, hash: u64) {
        self.table.prefetch(hash);
    }

    /// Takes a series back under the id it had; `hash` is the stable one of its labels, which come as
    /// numbers: see [`Index::insert_numbered`]. Ids between are those of series that are gone.
    ///
    /// False when the series was not taken: ids ascend, no two series have the same labels, and
    /// the bounds of the head hold.
    pub fn restore<'l>(
        &mut self,
        series: SeriesId,
        hash: u64,
        numbers: &[u32],
        map: &mut PairMap,
        label: impl Fn(u32) -> LabelsRef<'l>,
    ) -> bool {
        let is_there = |handle| self.index.is_numbered_set(handle, numbers, &label);
        if series.index() < self.open.len()
            || series.index() >= SERIES_COUNT_MAX
            || self.live_count >= self.options.series_count_max
            || self.table.find(hash, is_there).is_some()
        {
            return false;
        }
        self.pass_ids(series.index());
        self.index.begin_many();
        let Ok(handle) = self.index.insert_numbered(series.0, numbers, map, label) else {
            return false;
        };
        self.add_row(hash, handle, series);
        true
    }

    /// So many series will be restored: their places are made at once.
    pub fn expect_series(&mut self, count: usize) {
        self.table.reserve(count);
    }

    /// All series are restored. Until then none can be searched by its labels.
    pub fn end_restore(&mut self) {
        self.index.end_many();
    }

    /// Gives no id below `id_count` any more: they were given in an earlier life.
    pub fn pass_ids(&mut self, id_count: usize) {
        while self.open.len() < id_count.min(SERIES_COUNT_MAX) {
            let index = self.open.len();
            let mut nobody = Open::new(SeriesId(index as u32));
            nobody.newest_ms = i64::MAX; // As that of a removed series.
            self.open.push(nobody);
            self.open.release(index);
        }
        self.index.pass_ids(self.open.len() as u32);
    }

    /// Says what the newest sample of a restored series is, which is in a part.
    pub fn set_newest(&mut self, series: SeriesId, timestamp_ms: i64, newest: Newest) {
        let open = &mut self.open[series.index()];
        match newest {
            Newest::Float(bits) => (open.newest_ms, open.newest_bits) = (timestamp_ms, bits),
            Newest::Histogram(sample) => {
                open.set_aside();
                open.set_histogram(timestamp_ms);
                self.aside.update(series.0, |aside| aside.histograms.set_newest(sample));
            }
        }
    }

    /// Says that a part has late samples of a restored series, up to here.
    pub fn note_late(&mut self, series: SeriesId, newest_ms: i64) {
        self.late.note(series.0, newest_ms);
    }

    /// Takes in that samples of this time are there, in parts.
    pub fn widen_span(&mut self, min_ms: i64, max_ms: i64) {
        self.min_ms = self.min_ms.min(min_ms);
        self.max_ms = self.max_ms.max(max_ms);
    }

    /// Timestamp of the newest sample of a series, late ones included; `None` before the first.
    pub fn newest_ms(&self, series: SeriesId) -> Option<i64> {
        let newest_ms = self.open.get(series.index())?.newest_ms;
        let late_ms = if self.late.is_empty() { None } else { self.late.newest_ms(series.0) };
        let newest_ms = late_ms.map_or(newest_ms, |late_ms| newest_ms.max(late_ms));
        (newest_ms != i64::MIN).then_some(newest_ms)
    }
}

/// The newest sample of a chunk. `samples` is room to decode in.
pub fn newest_of(chunk: &[u8], samples: &mut Samples) -> Result<Newest, DecodeError> {
    samples.clear();
    if let Some(value) = encode::last_float(chunk, &mut samples.values)? {
        return Ok(Newest::Float(value.to_bits()));
    }
    encode::decode_samples(chunk, samples)?;
    let histogram = samples.histograms.pop().ok_or(DecodeError::Values)?;
    let codec = ChunkHeader::decode(chunk)?.value_codec;
    let is_integer = codec == encode::ValueCodec::Histograms { is_integer: true };
    Ok(Newest::Histogram(HistogramSample { histogram, is_integer }))
}
