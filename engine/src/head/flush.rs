//! Handing chunks over to a part, and taking series back from parts.
//!
//! ```text
//! flush   seal_open ─► chunks_of, for the part ─► the part is durable ─► forget_chunks
//! start   restore: each series under the id it had, with its newest sample
//! ```
//!
//! Samples go on arriving meanwhile: what is sealed after [`Head::chunks_of`] was asked stays in the
//! head, because chunks are only added at the end of a series' list.

use std::cell::Cell;

use super::open::Open;
use super::{Cold, Head};
use crate::limits::SERIES_COUNT_MAX;
use crate::model::{LabelsRef, SeriesId};

impl Head {
    /// Encodes the open chunk of a series, if it has samples.
    pub fn seal_open(&mut self, series: SeriesId) {
        if series.index() < self.open.len() {
            self.seal(series.index());
        }
    }

    /// The sealed chunks of a series, oldest first.
    pub fn chunks_of(&self, series: SeriesId) -> impl Iterator<Item = &[u8]> {
        let list = self.cold.get(series.index()).map(|cold| &cold.chunks);
        let entries = list.map(|list| self.sealed.from(list, i64::MIN));
        entries.into_iter().flatten().map(|entry| self.sealed.chunk(entry))
    }

    /// Drops the oldest `count` sealed chunks of a series: a part holds them.
    pub fn forget_chunks(&mut self, series: SeriesId, count: usize) {
        if series.index() >= self.cold.len() {
            return;
        }
        let left = Cell::new(count);
        self.sealed.expire(&mut self.cold[series.index()].chunks, |_, _| {
            left.replace(left.get().saturating_sub(1)) > 0
        });
    }

    /// Takes a series back under the id it had, with the newest of its samples as those after it
    /// are judged by. Ids between are those of series that are gone.
    ///
    /// False when the series was not taken: ids ascend, no two series have the same labels, and
    /// the bounds of the head hold.
    pub fn restore(
        &mut self,
        series: SeriesId,
        labels: LabelsRef<'_>,
        newest: Option<(i64, u64)>,
    ) -> bool {
        let hash = labels.stable_hash();
        if series.index() < self.open.len()
            || series.index() >= SERIES_COUNT_MAX
            || self.find_hashed(labels, hash).is_some()
        {
            return false;
        }
        while self.open.len() < series.index() {
            self.open.push(Open::new(SeriesId(self.open.len() as u32)));
            self.cold.push(Cold { label_handle: 0, chunks: Default::default() });
        }
        if self.insert(labels, hash) != Some(series) {
            return false;
        }
        if let Some((newest_ms, newest_bits)) = newest {
            let open = &mut self.open[series.index()];
            (open.newest_ms, open.newest_bits) = (newest_ms, newest_bits);
        }
        true
    }

    /// Takes in that samples of this time are there, in parts.
    pub fn widen_span(&mut self, min_ms: i64, max_ms: i64) {
        self.min_ms = self.min_ms.min(min_ms);
        self.max_ms = self.max_ms.max(max_ms);
    }

    /// Timestamp and bits of the newest sample of a series; `None` before the first.
    pub fn newest(&self, series: SeriesId) -> Option<(i64, u64)> {
        let open = self.open.get(series.index())?;
        (open.newest_ms != i64::MIN).then_some((open.newest_ms, open.newest_bits))
    }
}
