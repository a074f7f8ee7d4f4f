//! Retention: forgetting samples that are too old.
//!
//! Time is measured at the newest sample of the shard, not at the clock, as Prometheus does: a
//! clock that jumps deletes nothing.

mod space;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::route::ShardId;
use crate::runtime::sleep;
use crate::shard::Shard;
use crate::turns::Work;

/// How often a shard looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What is kept, for how long, and when it moves from memory to disk.
#[derive(Clone, Debug)]
pub struct KeepOptions {
    pub retention: Arc<Retention>,
    /// Samples are refused while the disk has less than this left.
    pub free_bytes_min: u64,
}

impl Default for KeepOptions {
    fn default() -> Self {
        KeepOptions { retention: Arc::default(), free_bytes_min: 0 }
    }
}

/// How long and how much to keep, for the whole process. May change while it runs.
#[derive(Debug)]
pub struct Retention {
    /// Samples older than the newest one by this much are forgotten; zero: none.
    time_ms: AtomicI64,
    /// Most bytes of the whole data directory; zero: no bound.
    bytes: AtomicU64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { time_ms: AtomicI64::new(0), bytes: AtomicU64::new(0) }
    }
}

impl Retention {
    /// `None` sets no bound.
    pub fn set(&self, time_ms: Option<i64>, bytes: Option<u64>) {
        self.time_ms.store(time_ms.unwrap_or(0).max(0), Ordering::Relaxed);
        self.bytes.store(bytes.unwrap_or(0), Ordering::Relaxed);
    }

    pub fn time_ms(&self) -> Option<i64> {
        Some(self.time_ms.load(Ordering::Relaxed)).filter(|&time_ms| time_ms > 0)
    }

    pub fn bytes(&self) -> Option<u64> {
        Some(self.bytes.load(Ordering::Relaxed)).filter(|&bytes| bytes > 0)
    }
}

impl Shard {
    /// Forgets what retention has passed, for ever: a task of its own.
    pub(crate) async fn maintain(self, retention: Arc<Retention>) {
        loop {
            sleep(LOOK_EVERY).await;
            let Some(retention_ms) = retention.time_ms() else { continue };
            let span_ms = self.0.store.borrow().head().time_span_ms();
            let Some((oldest_ms, newest_ms)) = span_ms else { continue };
            let before_ms = newest_ms.saturating_sub(retention_ms);
            // A tenth more than asked for is kept, so that the head is walked seldom.
            if oldest_ms < before_ms.saturating_sub(retention_ms / 10) {
                self.expire(before_ms).await;
            }
        }
    }

    /// Forgets what is older than `before_ms`.
    pub(crate) async fn expire(&self, before_ms: i64) {
        let _turn = self.0.turns.begin(Work::Background).await;
        self.0.store.borrow_mut().expire(before_ms);
    }

    /// The shard on which metadata lives.
    pub(crate) const METADATA: ShardId = ShardId(0);
}
