//! Handing chunks over to a part.
//!
//! ```text
//! flush_series: its chunks, for the part ─► the part is durable ─► forget_flushed
//! ```
//!
//! Samples go on arriving meanwhile: what comes after [`Head::flush_series`] stays in the head. An open
//! chunk stays as it is until its samples are forgotten: were all sealed first, a head would need half as
//! much again while it is flushed.

use std::cell::Cell;
use std::ops::Range;

use super::Head;
use crate::encode::{self, DecodeError};
use crate::model::SeriesId;

/// What a part took of a head's series: two bytes for each id.
#[derive(Debug, Default)]
pub struct Flushed {
    /// By id.
    counts: Vec<Counts>,
    /// By ids, which ascend.
    more: Vec<(u32, More)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Sealed chunks of floats, from the oldest on; or [`MORE`].
    sealed: u8,
    /// Samples of the open chunk, from the oldest on.
    open: u8,
}

/// What there is to forget stands in `more`.
const MORE: u8 = u8::MAX;

#[derive(Clone, Copy, Debug, Default)]
struct More {
    sealed_count: u32,
    /// Chunks of late samples, from the first on.
    late_count: u32,
    /// Native histograms and start timestamps up to here.
    newest_ms: Option<i64>,
}

impl Flushed {
    /// Nothing yet, of `id_count` series.
    pub fn new(id_count: usize) -> Flushed {
        Flushed { counts: vec![Counts::default(); id_count], more: vec![] }
    }

    /// Ids that it was made for.
    pub fn id_count(&self) -> u32 {
        self.counts.len() as u32
    }

    /// Notes what was taken of a series, whose id is beyond those noted before.
    fn note(&mut self, series: SeriesId, open_count: usize, more: More) {
        let sealed = match u8::try_from(more.sealed_count) {
            Ok(sealed) if sealed < MORE && more.late_count == 0 && more.newest_ms.is_none() => {
                sealed
            }
            _ => {
                self.more.push((series.0, more));
                MORE
            }
        };
        // An open chunk has a byte for its count.
        self.counts[series.index()] = Counts { sealed, open: open_count as u8 };
    }

    fn of(&self, series: u32) -> (usize, More) {
        let counts = self.counts[series as usize];
        let more = match counts.sealed {
            MORE => {
                let found = self.more.binary_search_by_key(&series, |&(id, _)| id);
                found.map_or_else(|_| More::default(), |at| self.more[at].1)
            }
            sealed => More { sealed_count: u32::from(sealed), ..More::default() },
        };
        (usize::from(counts.open), more)
    }
}

impl Head {
    /// Gives every sample of a series to `push`, as chunks of `encode`, in the order in which they
    /// count, and whether they came late: those come last. Notes them in `flushed`; ids ascend.
    ///
    /// # Errors
    ///
    /// When a chunk in memory does not decode: memory was damaged, or the encoder has a bug.
    pub fn flush_series(
        &mut self,
        series: SeriesId,
        flushed: &mut Flushed,
        mut push_any: impl FnMut(&[u8], bool),
    ) -> Result<(), DecodeError> {
        let Some(&open) = self.open.get(series.index()) else { return Ok(()) };
        let mut push = |chunk: &[u8]| push_any(chunk, false);
        let index = series.index();
        let aside = if open.has_aside() { self.aside.get(series.0) } else { None };
        let mut newest_ms = None;
        match aside {
            None => {
                for entry in self.sealed.from(index, i64::MIN) {
                    push(self.sealed.chunk(entry));
                }
                if open.count() > 0 {
                    self.encode_open(index);
                    push(&self.work.chunk);
                }
            }
            Some(aside) => {
                let work = &mut self.work;
                let mut starts_ms = vec![];
                let with_starts = |times: &[i64], starts_ms: &mut Vec<i64>| {
                    starts_ms.clear();
                    aside.starts.read(times, 0, starts_ms);
                    if starts_ms.iter().all(|&start_ms| start_ms == 0) {
                        starts_ms.clear();
                    }
                };
                for entry in self.sealed.from(index, i64::MIN) {
                    let chunk = self.sealed.chunk(entry);
                    let (times, values) = (&mut work.timestamps_ms, &mut work.values);
                    times.clear();
                    values.clear();
                    if !aside.starts.is_empty() {
                        encode::decode(chunk, times, values)?;
                        with_starts(times, &mut starts_ms);
                    }
                    if times.is_empty() || starts_ms.is_empty() {
                        push(chunk);
                        continue;
                    }
                    work.chunk.clear();
                    let out = &mut work.chunk;
                    encode::encode_floats(times, &starts_ms, values, &mut work.columns, out);
                    push(out);
                }
                if open.count() > 0 {
                    let (times, values) = (&mut work.timestamps_ms, &mut work.values);
                    times.clear();
                    values.clear();
                    open.read(&self.slots, i64::MIN, times, values);
                    with_starts(times, &mut starts_ms);
                    work.chunk.clear();
                    let out = &mut work.chunk;
                    encode::encode_floats(times, &starts_ms, values, &mut work.columns, out);
                    push(out);
                }
                let (times, histograms) = aside.histograms.all()?;
                newest_ms = Some(open.newest_ms);
                with_starts(&times, &mut starts_ms);
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
        let sealed_count = self.sealed.count(index) as u32;
        let columns = &mut self.work.columns;
        let late_count = self.late.flush(series.0, columns, |chunk| push_any(chunk, true));
        flushed.note(series, open.count(), More { sealed_count, late_count, newest_ms });
        Ok(())
    }

    /// Drops what [`Head::flush_series`] gave of the series `ids`: a part holds it.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn forget_flushed(
        &mut self,
        flushed: &Flushed,
        ids: Range<u32>,
    ) -> Result<(), DecodeError> {
        for id in ids.start..ids.end.min(flushed.id_count()) {
            let (open_count, more) = flushed.of(id);
            let (series, index) = (SeriesId(id), id as usize);
            let Some(open) = self.open.get(index) else { continue };
            let has_aside = open.has_aside();
            self.late.forget(id, more.late_count);
            if open_count > 0 || more.sealed_count > 0 {
                self.forget_floats(series, more.sealed_count as usize, open_count)?;
            }
            if let Some(newest_ms) = more.newest_ms
                && has_aside
            {
                self.aside.update(id, |aside| {
                    aside.histograms.expire(newest_ms.saturating_add(1));
                    aside.starts.expire(newest_ms);
                });
            }
        }
        Ok(())
    }

    /// Drops the oldest sealed chunks of a series, and the oldest samples of what was its open chunk then.
    fn forget_floats(
        &mut self,
        series: SeriesId,
        sealed_count: usize,
        open_count: usize,
    ) -> Result<(), DecodeError> {
        let index = series.index();
        let was_sealed = self.sealed.count(index) > sealed_count;
        let left = Cell::new(sealed_count);
        let is_flushed = |_, _: &[u8]| left.replace(left.get().saturating_sub(1)) > 0;
        self.sealed.expire(index, is_flushed);
        if open_count == 0 {
            return Ok(());
        }
        if was_sealed {
            return self.forget_of_sealed(index, open_count);
        }
        let open = &mut self.open[index];
        if !open.forget_oldest_of_constant(open_count) {
            let (mut times, mut values) = (vec![], vec![]);
            if open_count < open.count() {
                open.read(&self.slots, i64::MIN, &mut times, &mut values);
            }
            open.clear(&mut self.slots);
            open.spread(series);
            for (&timestamp_ms, value) in times.iter().zip(&values).skip(open_count) {
                self.store(series.0, timestamp_ms, value.to_bits());
            }
        }
        Ok(())
    }

    /// Drops the oldest samples of the oldest sealed chunk: it was sealed while they were flushed.
    #[cold]
    fn forget_of_sealed(&mut self, index: usize, sample_count: usize) -> Result<(), DecodeError> {
        let chunks = self.sealed.from(index, i64::MIN);
        let chunks: Vec<(i64, Vec<u8>)> =
            chunks.map(|entry| (entry.min_ms, self.sealed.chunk(entry).to_vec())).collect();
        let (mut times, mut values) = (vec![], vec![]);
        if let Some((_, oldest)) = chunks.first() {
            encode::decode(oldest, &mut times, &mut values)?;
        }
        self.sealed.expire(index, |_, _| true);
        if sample_count < times.len() {
            let (times, values) = (&times[sample_count..], &values[sample_count..]);
            let work = &mut self.work;
            work.chunk.clear();
            encode::encode(times, values, &mut work.columns, &mut work.chunk);
            self.sealed.push(index, times[0], &work.chunk);
        }
        chunks.iter().skip(1).for_each(|(min_ms, chunk)| self.sealed.push(index, *min_ms, chunk));
        Ok(())
    }
}
