//! Counters of a shard: written by it alone, read by whoever answers `/metrics`.

mod latencies;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::head::{LATENESS_BOUNDS_MS, Lateness, Verdict};
pub use latencies::Latencies;

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

/// A count of events, and the time they took together.
#[derive(Debug, Default)]
pub struct Durations {
    pub count: Counter,
    pub total_ns: Counter,
}

impl Durations {
    pub fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.count.add(1);
        self.total_ns.add(ns);
    }
}

/// Counters of a shard's log.
#[derive(Debug, Default)]
pub struct WalStats {
    /// Frames that are durable by the sync policy.
    pub frames: Counter,
    /// Bytes written, padding included.
    pub bytes: Counter,
    /// Group writes that succeeded, each with its sync where every write has one.
    pub writes: Latencies,
    pub write_failures: Counter,
    pub sync_failures: Counter,
    /// Number of the segment that is written now.
    pub segment: Counter,
    /// Times that no segment could be prepared.
    pub prepare_failures: Counter,
    /// Bytes that wait to be written.
    pub queued_bytes: Counter,
    /// Segments that exist.
    pub segments: Counter,
    /// One while the disk takes nothing and requests are refused.
    pub is_read_only: Counter,
}

/// How far a shard has read its logs.
#[derive(Debug, Default)]
pub struct ReplayStats {
    pub bytes: Counter,
    pub samples: Counter,
    /// Segments found so far, and those of them that are read.
    pub segments: Counter,
    pub segments_read: Counter,
}

/// What a shard does with what it holds, beside serving it.
#[derive(Debug, Default)]
pub struct MaintenanceStats {
    /// Flushes of the head to parts.
    pub flushes: Durations,
    /// Flushes, cuts, compactions and the like that failed.
    pub failures: Counter,
    /// Bytes that the log had when the head was flushed last.
    pub flushed_log_bytes: Counter,
    /// Failed writes and syncs of the log before the last flush that was due to them.
    pub flushed_log_failures: Counter,
    pub parts: Counter,
    pub part_bytes: Counter,
    /// Times that complete ranges were moved to blocks.
    pub cuts: Durations,
    /// Times that series that ended were moved to blocks before their time, and that it failed.
    pub stale_compactions: Durations,
    pub stale_compaction_failures: Counter,
    /// Blocks that were merged or written anew.
    pub compactions: Durations,
    /// Times that retention removed blocks.
    pub time_retentions: Counter,
    pub size_retentions: Counter,
    /// Bounds in force; zero: none.
    pub retention_ms: Counter,
    pub retention_bytes: Counter,
    pub blocks: Counter,
    pub block_bytes: Counter,
    /// Bytes of blocks that were read to verify them, and how often all were.
    pub scrubbed_bytes: Counter,
    pub scrubs: Counter,
    /// Files that did not hold what was written, and places of logs that could not be read.
    pub damages: Counter,
}

/// Counters of a shard.
#[derive(Debug, Default)]
pub struct ShardStats {
    pub wal: Arc<WalStats>,
    pub replay: ReplayStats,
    pub maintenance: MaintenanceStats,
    pub samples_accepted: Counter,
    /// Samples that were there already.
    pub samples_repeated: Counter,
    /// Of the accepted ones, samples out of order.
    pub samples_late: Counter,
    pub samples_refused: Refusals,
    pub histograms_accepted: Counter,
    pub histograms_late: Counter,
    pub histograms_refused: Refusals,
    pub lateness: LatenessStats,
    pub exemplars_accepted: Counter,
    pub exemplars_out_of_order: Counter,
    /// Exemplars kept, series that have some, and how many may be kept.
    pub exemplars: Counter,
    pub exemplar_series: Counter,
    pub exemplars_max: Counter,
    /// Timestamp of the exemplar that is overwritten next; zero without any.
    pub exemplar_oldest_ms: Counter,
    /// Parts of requests that were refused as overload or by the disk.
    pub parts_refused: Counter,
    pub series: Counter,
    pub series_created: Counter,
    /// Timestamps of the oldest and the newest sample in memory, and of the oldest of all: `i64` in
    /// two's complement. Without any, the largest, the lowest and the largest that there is.
    pub head_oldest_ms: Counter,
    pub head_newest_ms: Counter,
    pub oldest_ms: Counter,
    /// Series whose newest sample is a staleness marker, when it was looked at last.
    pub stale_series: Counter,
    pub chunks: Counter,
    /// Bytes of memory that the store holds.
    pub store_bytes: Counter,
    pub queries: Counter,
    /// Queries that are being evaluated, and that wait for a place.
    pub queries_active: Counter,
    pub queries_waiting: Counter,
    /// Ranges of files that had to be read from the disk for queries.
    pub cold_ranges: Counter,
    /// Panics that ended a task and nothing else.
    pub task_panics: Counter,
    /// Bytes that may still be written to the disk, and whether that is too little.
    pub disk_free_bytes: Counter,
    /// Of the process, told by the first shard: anonymous memory, and what it may have of it; zero:
    /// no limit.
    pub memory_used_bytes: Counter,
    pub memory_limit_bytes: Counter,
    pub is_space_low: Counter,
    /// For how long the shard did not look at its ring, sockets and timers: what everybody on it
    /// waits for at most before anything happens. It sleeps outside of these times.
    pub rounds: Arc<Latencies>,
    /// Counts up while the shard turns; what the watchdog looks at.
    pub heartbeats: Counter,
    /// Stalls of more than a second that the watchdog saw.
    pub stalls: Counter,
}

/// How late samples out of order were: see [`Lateness`].
#[derive(Debug, Default)]
pub struct LatenessStats {
    counts: [Counter; LATENESS_BOUNDS_MS.len() + 1],
    sum_ms: Counter,
}

impl LatenessStats {
    pub fn set(&self, lateness: Lateness) {
        for (counter, count) in self.counts.iter().zip(lateness.counts) {
            counter.set(count);
        }
        self.sum_ms.set(lateness.sum_ms);
    }

    /// Adds these to `all`.
    pub fn add_to(&self, all: &mut Lateness) {
        for (count, counter) in all.counts.iter_mut().zip(&self.counts) {
            *count += counter.get();
        }
        all.sum_ms = all.sum_ms.saturating_add(self.sum_ms.get());
    }
}

/// Refused samples by verdict, in the order of [`Refusals::NAMES`].
#[derive(Debug, Default)]
pub struct Refusals([Counter; Refusals::NAMES.len()]);

impl Refusals {
    /// Names of the verdicts that refuse, as metrics label them.
    pub const NAMES: [&str; 9] = [
        "duplicate",
        "out_of_order",
        "out_of_bounds",
        "too_old",
        "too_far_in_future",
        "series_limit",
        "labels_too_long",
        "invalid_histogram",
        "memory_limit",
    ];

    pub fn count(&self, verdict: Verdict) {
        let index = match verdict {
            Verdict::Accepted | Verdict::Late | Verdict::Repeated => return,
            Verdict::Duplicate { .. }
            | Verdict::DuplicateOfHistogram { .. }
            | Verdict::DuplicateHistogram => 0,
            Verdict::OutOfOrder => 1,
            Verdict::OutOfBounds => 2,
            Verdict::TooOld => 3,
            Verdict::TooFarInFuture => 4,
            Verdict::SeriesLimit => 5,
            Verdict::LabelsTooLong => 6,
            Verdict::InvalidHistogram => 7,
            Verdict::MemoryLimit => 8,
        };
        self.0[index].add(1);
    }

    pub fn out_of_order(&self) -> u64 {
        self.0[1].get()
    }

    pub fn out_of_bounds(&self) -> u64 {
        self.0[2].get()
    }

    pub fn too_old(&self) -> u64 {
        self.0[3].get()
    }
}
