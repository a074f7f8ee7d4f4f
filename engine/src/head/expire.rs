//! Forgetting what retention has passed.

use std::ops::Range;

use super::Head;
use crate::encode::ChunkHeader;
use crate::model::SeriesId;
use roaring::RoaringBitmap;

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
            let open = &self.open[series];
            if open.count() > 0 && open.newest_ms < before_ms {
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
            if self.cold[index].label_handle == 0 {
                continue;
            }
            let is_passed = |chunk: &[u8]| {
                ChunkHeader::decode(chunk).is_ok_and(|header| header.max_ms < before_ms)
            };
            let chunks = &mut self.cold[index].chunks;
            expired.chunk_count += self
                .sealed
                .expire(chunks, |entry, chunk| entry.min_ms < before_ms && is_passed(chunk));
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
        let removed: RoaringBitmap = expired.series.iter().map(|series| series.0).collect();
        let handle = |series: u32| self.cold[series as usize].label_handle;
        self.index.remove(&removed, |series| self.labels.get(handle(series)).1);
        for &series in &expired.series {
            self.remove(series);
        }
        if self.live_count == 0 {
            (self.min_ms, self.max_ms) = (i64::MAX, i64::MIN);
        } else {
            self.min_ms = self.min_ms.max(before_ms).min(self.max_ms);
        }
        expired
    }

    fn remove(&mut self, series: SeriesId) {
        let index = series.index();
        let handle = std::mem::take(&mut self.cold[index].label_handle);
        let hash = self.labels.get(handle).1.stable_hash();
        self.table.remove(hash, handle);
        self.labels.release(handle);
        self.open[index].clear(&mut self.slots);
        self.open[index].newest_ms = i64::MAX; // Whoever knows the id has nothing plain to add.
        self.sealed.expire(&mut self.cold[index].chunks, |_, _| true);
        self.aside.remove(series.0);
        self.late.remove(series.0);
        self.live_count -= 1;
    }
}
