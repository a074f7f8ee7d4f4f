//! Forgetting what retention has passed.

use std::ops::Range;

use super::Head;
use super::open::Open;
use crate::encode::ChunkHeader;
use crate::model::{STALE_NAN_BITS, SeriesId};

/// What [`Head::expire`] removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Sealed chunks dropped.
    pub chunk_count: usize,
    /// Series that have no sample left; their ids are not given again.
    pub series: Vec<SeriesId>,
}

impl Head {
    /// Seals the open chunks of series whose newest sample is before `before_ms`: a series that
    /// ended keeps its samples in a tenth of the memory. Returns how many. Cost: O(series).
    pub fn seal_idle(&mut self, before_ms: i64) -> usize {
        let mut sealed_count = 0;
        for series in 0..self.open.len() {
            let is_idle = |open: &&Open| open.count() > 0 && open.newest_ms < before_ms;
            if self.open.get(series).filter(is_idle).is_some() {
                self.seal(series);
                sealed_count += 1;
            }
        }
        sealed_count
    }

    /// Drops sealed chunks whose last sample is before `before_ms`, and series whose newest sample
    /// is. From now on samples before `before_ms` are out of bounds.
    ///
    /// A chunk that reaches past `before_ms` stays whole: its older samples remain readable until
    /// the next call. Cost: O(series) plus the chunks dropped; run it seldom.
    pub fn expire(&mut self, before_ms: i64) -> Expired {
        self.expire_series(before_ms, 0..self.open.len() as u32)
    }

    /// As [`Head::expire`], of the series with these ids: for whoever goes through them in pieces.
    pub fn expire_series(&mut self, before_ms: i64, ids: Range<u32>) -> Expired {
        self.floor_ms = self.floor_ms.max(before_ms);
        let mut expired = Expired::default();
        for series in ids.map(SeriesId) {
            let index = series.index();
            if !self.index.contains(series.0) {
                continue;
            }
            let is_passed = |chunk: &[u8]| {
                ChunkHeader::decode(chunk).is_ok_and(|header| header.max_ms < before_ms)
            };
            expired.chunk_count += self
                .sealed
                .expire(index, |entry, chunk| entry.min_ms < before_ms && is_passed(chunk));
            if self.open[index].has_aside() {
                expired.chunk_count += self.aside.update(series.0, |aside| {
                    aside.starts.expire(before_ms);
                    aside.histograms.expire(before_ms)
                });
            }
            if self.open[index].newest_ms < before_ms && !self.late.keeps(series.0, before_ms) {
                expired.series.push(series);
            }
        }
        self.remove_series(&expired.series);
        if self.live_count == 0 {
            (self.min_ms, self.max_ms) = (i64::MAX, i64::MIN);
        } else {
            self.min_ms = self.min_ms.max(before_ms).min(self.max_ms);
        }
        expired
    }

    /// Whether the series is there and its newest sample is a staleness marker. Touches one line.
    pub fn is_stale(&self, series: SeriesId) -> bool {
        let Some(open) = self.open.get(series.index()) else { return false };
        let is_marked = match open.is_histogram() {
            true => {
                self.aside.get(series.0).is_some_and(|aside| aside.histograms.newest().is_stale())
            }
            false => open.newest_bits == STALE_NAN_BITS,
        };
        is_marked && self.index.contains(series.0)
    }

    /// Whether the head itself holds samples of the series, late ones included.
    pub fn has_samples(&self, series: SeriesId) -> bool {
        let index = series.index();
        let holds = |open: &Open| {
            open.count() > 0
                || self.sealed.count(index) > 0
                || open.has_aside()
                    && self.aside.get(series.0).is_some_and(|a| a.histograms.span_ms().is_some())
        };
        self.open.get(index).is_some_and(holds) || self.late.has(series.0)
    }

    /// Removes series that are there.
    pub fn remove_series(&mut self, series: &[SeriesId]) {
        for &series in series {
            self.remove(series);
        }
        self.index.remove(&series.iter().map(|series| series.0).collect());
    }

    /// Takes a series out of all but the index.
    fn remove(&mut self, series: SeriesId) {
        let index = series.index();
        let handle = self.index.handle(series.0);
        let labels = self.index.labels(series.0, &mut self.work.labels);
        let hash = labels.expect("a removed series is in the index").stable_hash();
        self.table.remove(hash, handle);
        self.open[index].clear(&mut self.slots);
        self.open[index].newest_ms = i64::MAX; // Whoever knows the id has nothing plain to add.
        self.sealed.expire(index, |_, _| true);
        self.aside.remove(series.0);
        self.late.remove(series.0);
        self.open.release(index);
        self.live_count -= 1;
    }
}
