//! Start and stop of all shards.
//!
//! ```text
//! probe ─► lock ─► layout ─► a thread per shard ─┬─► serve, from the first moment on
//!                                                └─► every log read ─► serve gets its shard
//! stop  ─► serve ends everywhere ─► lanes closed and drained ─► logs written out ─► joined
//! ```
//!
//! Reading takes seconds to minutes, so whoever serves runs meanwhile and can say so.

mod blocks;
mod open;
mod parts;
mod read;
mod rise;

pub use open::OpenPlan;
pub use read::open_to_read;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use engine::head::HeadOptions;
use engine::limits::SHARD_COUNT_MAX;

use crate::cancel::CancelToken;
use crate::disk::{DirTree, create_dir_durably, sync_dir};
use crate::guests::{Guests, ImportBarrier};
use crate::layout::{LOG, Layout, LayoutError};
use crate::maintain::{Adoption, KeepOptions};
use crate::memory::MemoryWatch;
use crate::observe::{Event, SharedReporter, Silent};
use crate::query::QueryOptions;
use crate::route::ShardId;
use crate::runtime::{ExecutorThread, Placement, probe, run, start as start_executor};
use crate::settings::StorageSettings;
use crate::shard::{Lanes, Shard};
use crate::stats::ShardStats;
use crate::topology::{allowed_cpus, default_shard_count, placement_order};
use crate::wal::{Replayed, WalOptions};
use crate::watchdog::Watchdog;

/// How long a former process may take to let go of the data directory: the kernel keeps files of
/// a ring open for a moment after its process is gone.
const LOCK_WAIT: Duration = Duration::from_secs(2);

pub struct BootOptions {
    /// `None`: one per physical core.
    pub shard_count: Option<usize>,
    pub data_dir: PathBuf,
    pub wal: WalOptions,
    /// Of the whole process: the series bound is divided among the shards.
    pub head: HeadOptions,
    pub query: QueryOptions,
    pub keep: KeepOptions,
    /// Memory that the process may use; `None`: no limit.
    pub memory_limit_bytes: Option<u64>,
    /// What may change while the shards run.
    pub settings: Arc<StorageSettings>,
    pub reporter: SharedReporter,
}

impl BootOptions {
    /// Defaults, on `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> BootOptions {
        BootOptions {
            shard_count: None,
            data_dir: data_dir.into(),
            wal: WalOptions::default(),
            head: HeadOptions::default(),
            query: QueryOptions::default(),
            keep: KeepOptions::default(),
            memory_limit_bytes: None,
            settings: Arc::default(),
            reporter: Arc::new(Silent),
        }
    }
}

/// Why the process does not start: one sentence with cause and remedy.
#[derive(Debug)]
pub struct BootError(String);

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BootError {}

impl From<LayoutError> for BootError {
    fn from(error: LayoutError) -> Self {
        BootError(error.to_string())
    }
}

/// What serves on a shard, before and after the shard is there.
pub struct Starting {
    id: ShardId,
    stats: Arc<[Arc<ShardStats>]>,
    stop: CancelToken,
    shard: async_channel::Receiver<Shard>,
}

impl Starting {
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Counters of all shards, by id.
    pub fn stats(&self) -> &Arc<[Arc<ShardStats>]> {
        &self.stats
    }

    /// Waits until all shards have read what they hold; `None` when the process stops instead.
    pub async fn ready(&self) -> Option<Shard> {
        self.shard.recv().await.ok()
    }

    /// As [`Shard::stopping`].
    pub async fn stopping(&self) {
        self.stop.canceled().await;
    }
}

/// Shards that serve and read what they hold.
pub struct Rising {
    running: Running,
    begun: Instant,
    ready: async_channel::Receiver<Ready>,
    go: async_channel::Sender<()>,
    reporter: SharedReporter,
}

impl Rising {
    pub fn stopper(&self) -> Stopper {
        self.running.stopper()
    }

    /// Waits until every shard is ready, or the process was told to stop.
    ///
    /// Errors: what cannot be read; then everything has ended.
    pub fn ready(self) -> Result<Running, BootError> {
        let Rising { running, begun, ready, go, reporter } = self;
        let mut replayed = Vec::new();
        let mut failure = None;
        for _ in 0..running.stats.len() {
            match ready.recv_blocking() {
                Ok(Ok(shard)) => replayed.push(shard),
                Ok(Err(message)) => failure = failure.or(Some(message)),
                // A thread ended without a word: it panicked, or its executor did not start.
                Err(_) => failure = failure.or(Some(String::new())),
            }
        }
        if let Some(message) = failure {
            let was_told = running.stopper.0.is_canceled();
            running.stop();
            go.close();
            if was_told {
                return Ok(running);
            }
            let died = running.wait().err().unwrap_or_default();
            return Err(BootError(if message.is_empty() { died } else { message }));
        }
        report_replay(&reporter, &replayed, begun.elapsed());
        go.close();
        Ok(running)
    }
}

/// Running shards. Dropping it does not stop them: [`Running::stop`], then [`Running::wait`].
pub struct Running {
    threads: Vec<ExecutorThread<Result<(), String>>>,
    stopper: Stopper,
    stats: Arc<[Arc<ShardStats>]>,
    watchdog: Watchdog,
    memory: MemoryWatch,
    /// Held until all shards have ended.
    _lock: File,
}

/// Asks the process to stop, from any thread.
#[derive(Clone, Debug)]
pub struct Stopper(CancelToken);

impl Stopper {
    /// Serve futures are told by [`Shard::stopping`]; when they have ended the logs are written
    /// out. Returns at once.
    pub fn stop(&self) {
        self.0.cancel();
    }
}

impl Running {
    pub fn stop(&self) {
        self.stopper.stop();
    }

    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Counters of all shards, by id.
    pub fn stats(&self) -> &Arc<[Arc<ShardStats>]> {
        &self.stats
    }

    /// Waits until every shard has ended. `Err`: what went wrong on the first that did not end
    /// well.
    pub fn wait(self) -> Result<(), String> {
        let ended: Vec<_> = self.threads.into_iter().map(ExecutorThread::join).collect();
        self.watchdog.stop();
        self.memory.stop();
        for result in ended {
            result.map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}

/// What the boot thread hears from a shard: its log is read, or why it cannot be.
type Ready = Result<Replayed, String>;

/// Checks the machine, takes the data directory, starts the shards with `serve` on each, and has
/// them read what they hold side by side: see [`Rising::ready`]. A `serve` that returns or panics
/// stops the process.
pub fn start<F, Fut>(options: BootOptions, serve: F) -> Result<Rising, BootError>
where
    F: Fn(Starting) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    probe::probe().map_err(|missing| BootError(missing.to_string()))?;
    let shard_count = options.shard_count.unwrap_or_else(default_shard_count);
    if !(1..=SHARD_COUNT_MAX).contains(&shard_count) {
        return Err(BootError(format!("{shard_count} shards: 1 to {SHARD_COUNT_MAX} can be run")));
    }
    let data_dir = &options.data_dir;
    create_dir_durably(data_dir).map_err(|error| {
        BootError(format!("data directory {} cannot be made: {error}", data_dir.display()))
    })?;
    let lock = lock(data_dir)?;
    move_former_logs(data_dir).map_err(|error| {
        BootError(format!("logs in {} cannot be moved: {error}", data_dir.display()))
    })?;
    let tree = DirTree::new(data_dir.clone(), options.reporter.clone());
    let taken = {
        let (tree, reporter) = (tree.clone(), options.reporter.clone());
        run(move || async move { Layout::take(&tree, shard_count, &reporter).await })
    };
    let layout = taken.map_err(|error| BootError(error.to_string()))??;

    let guests = Guests::find(data_dir).map_err(|error| {
        BootError(format!("data directory {} cannot be read: {error}", data_dir.display()))
    })?;
    let (guests, import) = (Arc::new(guests), Arc::<ImportBarrier>::default());

    let begun = Instant::now();
    let stopper = Stopper(CancelToken::default());
    let stats: Arc<[Arc<ShardStats>]> = (0..shard_count).map(|_| Arc::default()).collect();
    let (ready_sender, ready) = async_channel::bounded::<Ready>(shard_count);
    let (go_sender, go) = async_channel::bounded::<()>(1);
    // Closed when no shard serves any more.
    let (serving, served) = async_channel::bounded::<()>(1);
    let adoption = Arc::<Adoption>::default();
    let mut threads = Vec::new();
    let placements = placements(shard_count);
    for ((id, lanes), placement) in
        ShardId::all(shard_count).zip(Lanes::ends(shard_count)).zip(placements)
    {
        let storage = OpenPlan {
            id,
            tree: tree.clone(),
            layout: layout.clone(),
            wal: options.wal.normalized(),
            head: HeadOptions {
                series_count_max: options.head.series_count_max.div_ceil(shard_count),
                chunk_range_ms: options.keep.block_ms_min,
            },
            keep: options.keep.clone(),
            settings: options.settings.clone(),
            reporter: options.reporter.clone(),
            adoption: adoption.clone(),
            stop: stopper.0.clone(),
            stats: stats.clone(),
        };
        let (guests, import) = (guests.clone(), import.clone());
        let seed = rise::Seed { lanes, query: options.query, storage, guests, import };
        let gates = rise::Gates {
            ready: ready_sender.clone(),
            go: go.clone(),
            serving: serving.clone(),
            served: served.clone(),
        };
        let serve = serve.clone();
        let main = move || rise::run(seed, gates, serve);
        threads.push(
            start_executor(format!("shard-{}", id.0), placement, main)
                .map_err(|error| BootError(error.to_string()))?,
        );
    }
    let watchdog = Watchdog::start(stats.clone(), options.reporter.clone());
    let memory = MemoryWatch::start(
        options.memory_limit_bytes,
        options.settings.clone(),
        stats[0].clone(),
        options.reporter.clone(),
    );
    let running = Running { threads, stopper, stats, watchdog, memory, _lock: lock };
    Ok(Rising { running, begun, ready, go: go_sender, reporter: options.reporter })
}

fn report_replay(reporter: &SharedReporter, replayed: &[Replayed], elapsed: Duration) {
    for (path, message) in replayed.iter().flat_map(|shard| &shard.losses) {
        let (path, message) = (PathBuf::from(path), message.clone());
        reporter.report(Event::LogDamaged { path, message });
    }
    reporter.report(Event::ReplayFinished {
        frames: replayed.iter().map(|shard| shard.frame_count).sum(),
        samples: replayed.iter().map(|shard| shard.sample_count).sum(),
        bytes: replayed.iter().map(|shard| shard.bytes).sum(),
        elapsed,
    });
}

/// One pinned CPU per shard; more shards than CPUs run where the kernel puts them.
fn placements(shard_count: usize) -> Vec<Placement> {
    let cpus = placement_order(&allowed_cpus()).cpus;
    if shard_count > cpus.len() {
        return vec![Placement::Unpinned; shard_count];
    }
    cpus.into_iter().take(shard_count).map(Placement::Pinned).collect()
}

/// Logs stood in `wal` once, which is Prometheus's name for its own: moves their generations.
fn move_former_logs(data_dir: &Path) -> io::Result<()> {
    let (from, to) = (data_dir.join("wal"), data_dir.join(LOG));
    let entries = match fs::read_dir(&from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let is_generation =
            name.len() == 4 && name.to_str().is_some_and(|n| n.parse::<u16>().is_ok());
        if is_generation && entry.file_type()?.is_dir() {
            create_dir_durably(&to)?;
            fs::rename(entry.path(), to.join(name))?;
            sync_dir(&to)?;
            sync_dir(&from)?;
        }
    }
    Ok(())
}

/// Takes the data directory for this process.
fn lock(data_dir: &Path) -> Result<File, BootError> {
    let path = data_dir.join("lock");
    let failed = |error: io::Error| BootError(format!("{}: {error}", path.display()));
    let file =
        File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(BootError(format!(
                    "data directory {} is in use by another process: stop that one, or name \
                     another directory",
                    data_dir.display()
                )));
            }
        }
    }
}

#[cfg(test)]
mod tests;
