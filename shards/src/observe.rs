//! What a shard tells the outside as it happens. Words and levels are `net`'s; here are facts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::store::ImportReport;

/// Something that an operator may want to read. Counted things are counters, not events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A task ended by a panic, which was caught at its edge. The shard lives.
    TaskPanicked { class: &'static str, message: String },
    /// A shard has not turned for at least `stalled`; told once per stall.
    ShardStalled { shard: usize, stalled: Duration },
    /// There is no memory left for new series: told whenever that begins.
    MemoryFull { used_bytes: u64, limit_bytes: u64 },
    /// The file system refuses direct writes; the log goes through the page cache.
    DirectWritesRefused { path: PathBuf },
    /// A write, sync or preparation of the log failed: told once, until it works again. What was
    /// not durable moves to another segment.
    LogWriteFailed { message: String },
    /// It works again.
    LogWriteHealed,
    /// Replay found damage; `path` holds it, everything else was read.
    LogDamaged { path: PathBuf, message: String },
    /// A flush, cut, compaction or removal failed, and is tried again. Nothing is lost by it.
    MaintenanceFailed { shard: usize, message: String },
    /// Recorded data was written by another number of shards and was routed anew.
    ShardCountChanged { recorded: usize, now: usize },
    /// What Prometheus's head held was taken in, and its files were moved to `kept`.
    PrometheusImported { report: ImportReport, kept: PathBuf },
    /// All logs were read back.
    ReplayFinished { frames: u64, samples: u64, bytes: u64, elapsed: Duration },
}

/// Receives [`Event`]s from any thread. Must not block: it is called on a shard.
pub trait Reporter: Send + Sync {
    fn report(&self, event: Event);
}

/// Drops every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _event: Event) {}
}

/// The reporter as it is handed through the rooms.
pub type SharedReporter = Arc<dyn Reporter>;
