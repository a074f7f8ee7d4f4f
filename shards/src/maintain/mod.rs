//! What a shard does with what it holds, beside serving it: one task, one thing at a time.
//!
//! ```text
//! flush     head ─► part, and the log is cut      every ten minutes, by bytes of log, at a stop
//! adopt     what another count of shards left is made own
//! cut       parts ─► blocks                       when a range of time is complete
//! compact   blocks ─► larger blocks               as Prometheus plans it
//! stale     series that ended ─► blocks           when they are many
//! retain    blocks that retention has passed go
//! space     samples are refused before the disk is full
//! scrub     parts and blocks are read, slowly, before a query finds what is wrong with them
//! ```
//!
//! Work is done in turns of the class background, and between two of them the shard serves. What
//! fails is told, counted, and tried again; nothing is lost by it, because what a step replaces goes
//! only once the replacement is durable.

mod admin;
mod adopt;
mod compact;
mod cut;
mod damage;
mod flush;
mod imported;
mod merge;
mod retain;
mod scrub;
mod space;
mod stale;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::block::BlockError;
use engine::disk::{DiskError, Tree};
use engine::model::SourceError;

pub(crate) use admin::read_head_tombstones;
pub use adopt::Adoption;
pub(crate) use cut::read_cut;
pub(crate) use damage::whole_parts;
pub(crate) use flush::part_number;
pub(crate) use merge::{block_name, new_block_id, tombstones_name};
pub(crate) use retain::RetentionClock;
pub(crate) use scrub::{Rot, read_in};

use crate::observe::Event;
use crate::route::ShardId;
use crate::runtime::{now, sleep};
use crate::shard::Shard;
use crate::storage::Storage;
use crate::wal::WalError;

/// How often a shard looks whether there is anything to do, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pause after something failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Of so many failures in a row one is told.
const FAILURES_PER_REPORT: u32 = 10;

/// How often retention is looked after.
const RETAIN_EVERY: Duration = Duration::from_secs(60);

/// What is kept, for how long, and when it moves from memory to disk.
#[derive(Clone, Debug)]
pub struct KeepOptions {
    pub retention: Arc<Retention>,
    /// Samples are refused while the disk has less than this left.
    pub free_bytes_min: u64,
    /// The head is flushed so often …
    pub flush_every: Duration,
    /// … and whenever the log of a shard has grown by this.
    pub flush_log_bytes: u64,
    /// So much of parts and blocks is read and verified in a second, by all shards together; zero:
    /// nothing.
    pub scrub_bytes_per_second: u64,
    /// Time that a block spans at least, and at most.
    pub block_ms_min: i64,
    pub block_ms_max: i64,
}

impl Default for KeepOptions {
    fn default() -> Self {
        KeepOptions {
            retention: Arc::default(),
            free_bytes_min: 0,
            flush_every: Duration::from_secs(10 * 60),
            flush_log_bytes: 256 << 20,
            scrub_bytes_per_second: 8 << 20,
            block_ms_min: 2 * 60 * 60 * 1000,
            block_ms_max: 31 * 24 * 60 * 60 * 1000,
        }
    }
}

/// Why something was not done. It is tried again.
#[derive(Debug)]
pub enum MaintainError {
    Disk(DiskError),
    Wal(WalError),
    /// A file does not hold what was written, or memory was damaged.
    Data(String),
}

impl fmt::Display for MaintainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaintainError::Disk(error) => error.fmt(f),
            MaintainError::Wal(error) => error.fmt(f),
            MaintainError::Data(message) => f.write_str(message),
        }
    }
}

impl From<DiskError> for MaintainError {
    fn from(error: DiskError) -> Self {
        MaintainError::Disk(error)
    }
}

impl From<WalError> for MaintainError {
    fn from(error: WalError) -> Self {
        MaintainError::Wal(error)
    }
}

impl From<BlockError> for MaintainError {
    fn from(error: BlockError) -> Self {
        MaintainError::Data(error.to_string())
    }
}

impl From<SourceError> for MaintainError {
    fn from(error: SourceError) -> Self {
        MaintainError::Data(error.message)
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

/// When what comes round is due next.
struct Due {
    flush: Instant,
    retain: Instant,
    stale: Instant,
}

impl Due {
    fn now() -> Due {
        Due { flush: now(), retain: now(), stale: now() }
    }
}

impl<T: Tree> Storage<T> {
    /// Looks after what the shard holds until the process stops: a task of its own.
    pub async fn maintain(self) {
        let keep = &self.0.keep;
        // Shards take turns at writing.
        let share = (self.id().index() as u32 + 1, self.count() as u32);
        let mut due = Due { flush: now() + keep.flush_every * share.0 / share.1, ..Due::now() };
        let mut failures_in_a_row = 0u32;
        while !self.is_stopping() {
            sleep(LOOK_EVERY.min(keep.flush_every)).await;
            let _permit = self.0.maintenance.acquire().await;
            if self.is_stopping() {
                return;
            }
            let Err(error) = self.look(&mut due).await else {
                failures_in_a_row = 0;
                continue;
            };
            self.own_stats().maintenance.failures.add(1);
            if failures_in_a_row.is_multiple_of(FAILURES_PER_REPORT) {
                let (shard, message) = (self.id().index(), error.to_string());
                self.0.reporter.report(Event::MaintenanceFailed { shard, message });
            }
            failures_in_a_row = failures_in_a_row.wrapping_add(1);
            drop(_permit);
            sleep(RETRY_DELAY).await;
        }
    }

    /// Does what is due.
    async fn look(&self, due: &mut Due) -> Result<(), MaintainError> {
        let keep = &self.0.keep;
        let stats = self.own_stats();
        let log_bytes = stats.wal.bytes.get() - stats.maintenance.flushed_log_bytes.get();
        let is_adopting = self.0.is_adopting && !self.0.has_flushed_adopted.get();
        // After a failed write or sync it is not certain what earlier ones of the file are worth.
        let log_failures = stats.wal.write_failures.get() + stats.wal.sync_failures.get();
        let is_doubtful = log_failures > stats.maintenance.flushed_log_failures.get();
        let is_due = due.flush <= now() || log_bytes >= keep.flush_log_bytes;
        if is_due || is_adopting || is_doubtful {
            // What was adopted is in no frame of the own log: only a flush makes it durable here.
            self.flush(is_adopting || self.cut_due().is_some()).await?;
            if !self.0.has_flushed_adopted.replace(true) && self.0.is_adopting {
                self.0.adoption.logs.say();
            }
            stats.maintenance.flushed_log_failures.set(log_failures);
            due.flush = now() + keep.flush_every;
        }
        self.remove_orphans().await?;
        self.adopt_blocks().await?;
        self.end_adoption().await?;
        // A start that takes former generations over once more must find in parts what was deleted.
        if self.has_own_logs() {
            let cut = self.cut().await;
            if matches!(cut, Err(MaintainError::Data(_))) {
                self.put_damaged_parts_aside().await?;
            }
            if cut? {
                due.flush = now() + keep.flush_every;
                due.retain = now();
            }
            if due.stale <= now() {
                due.stale = now() + stale::LOOK_EVERY;
                if let Err(error) = self.move_stale().await {
                    stats.maintenance.stale_compaction_failures.add(1);
                    return Err(error);
                }
            }
        }
        // A block that stands for one of another count of shards must say so until that is gone.
        if self.has_own_blocks() {
            while !self.is_stopping() && self.compact().await? {}
        }
        if due.retain <= now() {
            self.retain().await?;
            due.retain = now() + RETAIN_EVERY;
        }
        Ok(())
    }

    /// Flushes what the head holds, so that a start has no log to read. What fails costs time at
    /// that start, and nothing else.
    pub(crate) async fn flush_at_stop(&self) {
        let _permit = self.0.maintenance.acquire().await;
        if let Err(error) = self.flush(false).await {
            let (shard, message) = (self.id().index(), error.to_string());
            self.0.reporter.report(Event::MaintenanceFailed { shard, message });
        }
    }

    /// Flushes now.
    pub async fn flush_now(&self) -> Result<(), MaintainError> {
        let _permit = self.0.maintenance.acquire().await;
        self.flush(false).await
    }

    /// Does all that is due now, and a flush.
    pub async fn maintain_now(&self) -> Result<(), MaintainError> {
        let _permit = self.0.maintenance.acquire().await;
        self.look(&mut Due::now()).await
    }
}

impl Shard {
    /// The shard on which metadata lives.
    pub(crate) const METADATA: ShardId = ShardId(0);
}
