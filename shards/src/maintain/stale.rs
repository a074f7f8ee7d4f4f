//! Series that ended leave memory before their time, when they are a large share of all.
//!
//! ```text
//! share of stale series reaches the threshold ─► flushed ─► blocks of their samples alone ─► installed
//!     ─► the series leave the head
//! ```
//!
//! Such a block stands beside the one that the cut of its range will make of the other series, and
//! compaction merges the two. A crash in between leaves the samples in parts, too; what both hold
//! counts once.
//!
//! Source: Prometheus `tsdb/db.go`, `CompactStaleHead`, and `storage.tsdb.stale_series_compaction_threshold`:
//! looked at once a minute, and left to the cut when that comes soon.

use std::time::Duration;

use engine::disk::Tree;

use super::MaintainError;
use crate::runtime::now;
use crate::storage::Storage;
use crate::turns::Work;

/// How often the share of stale series is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(60);

/// When the next cut is nearer than this, it takes the stale series along.
const CUT_SOON_MS: i64 = 10 * 60 * 1000;

/// Series that are looked at, or forgotten, in one go.
const SERIES_COUNT: u32 = 4096;

impl<T: Tree> Storage<T> {
    /// Moves the series that ended to blocks if they are too many.
    pub(super) async fn move_stale(&self) -> Result<(), MaintainError> {
        let inner = &self.0;
        let stats = &self.own_stats().maintenance;
        let stale = self.stale_series().await;
        self.own_stats().stale_series.set(stale.len() as u64);
        let threshold = inner.settings.stale_share();
        let series_count = inner.store.borrow().head().series_count();
        let is_many = !stale.is_empty() && stale.len() as f64 >= threshold * series_count as f64;
        if threshold <= 0.0 || !is_many || self.is_cut_soon() {
            return Ok(());
        }
        let begun = now();
        self.flush(false).await?;
        let stale = self.stale_series().await;
        let order = self.label_order(stale).await;
        let newest_ms = inner.store.borrow().head().time_span_ms().map(|(_, newest_ms)| newest_ms);
        let (end_ms, range_ms) = (newest_ms.unwrap_or(i64::MIN) + 1, inner.keep.block_ms_min);
        for start_ms in self.uncut_ranges(end_ms, range_ms).await? {
            self.cut_range(start_ms..start_ms.saturating_add(range_ms), &order).await?;
            if self.is_stopping() {
                return Ok(());
            }
        }
        for some in order.chunks(SERIES_COUNT as usize) {
            let _turn = inner.turns.begin(Work::Background).await;
            inner.store.borrow_mut().forget_ended(some);
        }
        self.own_stats().stale_series.set(0);
        stats.stale_compactions.record(now() - begun);
        Ok(())
    }

    /// Ids of the series that ended.
    async fn stale_series(&self) -> Vec<u32> {
        let (mut stale, mut next) = (vec![], Some(0));
        while let Some(first) = next {
            let _turn = self.0.turns.begin(Work::Background).await;
            next = self.0.store.borrow().stale_series_some(first, SERIES_COUNT, &mut stale);
        }
        stale
    }

    /// Whether the next range will be complete soon.
    fn is_cut_soon(&self) -> bool {
        let store = self.0.store.borrow();
        let Some((_, newest_ms)) = store.head().time_span_ms() else { return false };
        let range_ms = self.0.keep.block_ms_min;
        let soon_ms = newest_ms.saturating_add(CUT_SOON_MS.min(range_ms / 10));
        super::cut::complete_before(soon_ms, range_ms)
            > super::cut::complete_before(newest_ms, range_ms)
    }
}
