//! Counters of a shard: written by it alone, read by whoever answers `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that one shard writes and any thread reads. Reads of several counters are not of one
/// moment.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, amount: u64) {
        // One writer: a load and a store are enough and cheaper than a locked addition.
        self.0.store(self.get().wrapping_add(amount), Ordering::Relaxed);
    }

    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A count of events, the time they took together, and the longest.
#[derive(Debug, Default)]
pub struct Durations {
    pub count: Counter,
    pub total_ns: Counter,
    pub longest_ns: Counter,
}

impl Durations {
    pub fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.count.add(1);
        self.total_ns.add(ns);
        self.longest_ns.set(self.longest_ns.get().max(ns));
    }
}

/// Counters of a shard's log.
#[derive(Debug, Default)]
pub struct WalStats {
    /// Frames that are durable by the sync policy.
    pub frames: Counter,
    /// Bytes written, padding included.
    pub bytes: Counter,
    /// Group writes that succeeded, and how long they took.
    pub writes: Durations,
    pub write_failures: Counter,
    pub sync_failures: Counter,
    /// Number of the segment that is written now.
    pub segment: Counter,
    /// Times that no segment could be prepared.
    pub prepare_failures: Counter,
    /// Bytes that wait to be written.
    pub queued_bytes: Counter,
}
