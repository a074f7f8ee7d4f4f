//! What of the storage can change while it runs, and what shards know of each other's time: written
//! by few, read by every append.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use engine::model::Batch;
use engine::store::Store;

/// Of the whole process. Whoever configures it writes it, at any time.
#[derive(Debug)]
pub struct StorageSettings {
    exemplar_count_max: AtomicUsize,
    late_window_ms: AtomicI64,
    /// Bits of the share of stale series that are moved to blocks; zero: never.
    stale_share: AtomicU64,
    /// Newest sample of all shards; the lowest timestamp: none yet.
    newest_ms: AtomicI64,
    /// There is memory for new series.
    takes_series: AtomicBool,
}

impl Default for StorageSettings {
    fn default() -> Self {
        StorageSettings {
            exemplar_count_max: AtomicUsize::new(0),
            late_window_ms: AtomicI64::new(0),
            stale_share: AtomicU64::new(0),
            newest_ms: AtomicI64::new(i64::MIN),
            takes_series: AtomicBool::new(true),
        }
    }
}

impl StorageSettings {
    /// How many exemplars all shards keep together; zero: none.
    pub fn set_exemplar_count_max(&self, count_max: usize) {
        self.exemplar_count_max.store(count_max, Ordering::Relaxed);
    }

    /// How far behind the newest sample samples out of order are taken; zero: none are.
    pub fn set_late_window(&self, window_ms: i64) {
        self.late_window_ms.store(window_ms, Ordering::Relaxed);
    }

    /// Which share of all series, 0 to 1, must have ended for those to leave memory; zero: they wait
    /// until their time is cut.
    pub fn set_stale_share(&self, share: f64) {
        self.stale_share.store(share.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn stale_share(&self) -> f64 {
        f64::from_bits(self.stale_share.load(Ordering::Relaxed))
    }

    pub(crate) fn late_window_ms(&self) -> i64 {
        self.late_window_ms.load(Ordering::Relaxed)
    }

    /// Whether batches may make series.
    pub(crate) fn set_takes_series(&self, takes_series: bool) {
        self.takes_series.store(takes_series, Ordering::Relaxed);
    }

    /// The newest sample of all shards, when `batch` comes in: by it all its parts are judged. While
    /// there is none, the first sample that `batch` may have.
    pub(crate) fn newest_ms(&self, batch: &Batch, max_timestamp_ms: i64) -> i64 {
        let known_ms = self.newest_ms.load(Ordering::Relaxed);
        if known_ms > i64::MIN {
            return known_ms;
        }
        let all_ms = batch.timestamps_ms().iter().chain(batch.histogram_timestamps_ms());
        all_ms.copied().find(|&first_ms| first_ms <= max_timestamp_ms).unwrap_or(known_ms)
    }

    /// A shard has samples up to here. A shared line is written only when time goes on.
    pub(crate) fn raise_newest(&self, store: &Store) {
        let Some((_, newest_ms)) = store.head().time_span_ms() else { return };
        if self.newest_ms.load(Ordering::Relaxed) < newest_ms {
            self.newest_ms.fetch_max(newest_ms, Ordering::Relaxed);
        }
    }

    /// Brings a store, one of `shard_count`, to what is set now. Cheap when nothing changed.
    pub(crate) fn apply(&self, store: &mut Store, shard_count: usize) {
        let exemplar_count_max = self.exemplar_count_max.load(Ordering::Relaxed);
        store.set_exemplar_count_max(exemplar_count_max.div_ceil(shard_count));
        store.set_late_window(self.late_window_ms.load(Ordering::Relaxed));
        store.set_takes_series(self.takes_series.load(Ordering::Relaxed));
    }
}
