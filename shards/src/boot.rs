//! Start and stop of all shards.
//!
//! ```text
//! probe ─► lock ─► layout ─► a thread per shard ─► every log read ─► serve on every shard
//! stop  ─► serve ends everywhere ─► lanes closed and drained ─► logs written out ─► joined
//! ```

use std::cell::RefCell;
use std::fmt;
use std::fs::{File, TryLockError};
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use engine::head::HeadOptions;
use engine::limits::SHARD_COUNT_MAX;
use engine::store::{Store, StoreOptions};
use futures_util::FutureExt;

use crate::cancel::CancelToken;
use crate::disk::{RingDisk, create_dir_durably};
use crate::fair::Semaphore;
use crate::observe::{Event, SharedReporter, Silent};
use crate::query::QueryOptions;
use crate::route::{Layout, LayoutError, ShardId, Split};
use crate::runtime::{ExecutorThread, Placement, probe, set_reporter, start as start_executor};
use crate::shard::{Inner, Lanes, Shard};
use crate::stats::ShardStats;
use crate::topology::{allowed_cpus, by_physical_core, default_shard_count};
use crate::turns::TurnQueue;
use crate::wal::{Replayed, Start, Wal, WalOptions, WalSync, Writer, replay};
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
    /// Samples older than the newest one by this much are forgotten, a little later. `None`: none.
    pub retention_ms: Option<i64>,
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
            retention_ms: None,
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

/// Running shards. Dropping it does not stop them: [`Running::stop`], then [`Running::wait`].
pub struct Running {
    threads: Vec<ExecutorThread<Result<(), String>>>,
    stopper: Stopper,
    stats: Arc<[Arc<ShardStats>]>,
    watchdog: Watchdog,
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
        for result in ended {
            result.map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}

/// What the boot thread hears from a shard: its log is read, or why it cannot be.
type Ready = Result<Replayed, String>;

/// Checks the machine, takes the data directory, starts the shards, has them read their logs side
/// by side, and when all have, runs `serve` on every shard. A `serve` that returns or panics stops
/// the process.
pub fn start<F, Fut>(options: BootOptions, serve: F) -> Result<Running, BootError>
where
    F: Fn(Shard) -> Fut + Clone + Send + 'static,
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
    let layout = take_layout(data_dir, shard_count, &options.reporter)?;

    let begun = Instant::now();
    let stopper = Stopper(CancelToken::default());
    let stats: Arc<[Arc<ShardStats>]> = (0..shard_count).map(|_| Arc::default()).collect();
    let (ready_sender, ready) = async_channel::bounded::<Ready>(shard_count);
    let (go_sender, go) = async_channel::bounded::<()>(1);
    // Closed when no shard serves any more.
    let (serving, served) = async_channel::bounded::<()>(1);
    let mut threads = Vec::new();
    let placements = placements(shard_count);
    for ((id, lanes), placement) in
        ShardId::all(shard_count).zip(Lanes::ends(shard_count)).zip(placements)
    {
        let seed = Seed {
            id,
            lanes,
            layout: layout.clone(),
            data_dir: options.data_dir.clone(),
            wal: options.wal.normalized(),
            head: HeadOptions {
                series_count_max: options.head.series_count_max.div_ceil(shard_count),
                ..options.head
            },
            query: options.query,
            retention_ms: options.retention_ms,
            reporter: options.reporter.clone(),
            stop: stopper.0.clone(),
            stats: stats.clone(),
        };
        let gates = Gates {
            ready: ready_sender.clone(),
            go: go.clone(),
            serving: serving.clone(),
            served: served.clone(),
        };
        let serve = serve.clone();
        let main = move || run(seed, gates, serve);
        threads.push(
            start_executor(format!("shard-{}", id.0), placement, main)
                .map_err(|error| BootError(error.to_string()))?,
        );
    }
    drop((ready_sender, go, serving, served));

    let mut replayed = Vec::new();
    let mut failure = None;
    for _ in 0..shard_count {
        match ready.recv_blocking() {
            Ok(Ok(shard)) => replayed.push(shard),
            Ok(Err(message)) => failure = failure.or(Some(message)),
            // A thread ended without a word: it panicked, or its executor did not start.
            Err(_) => failure = failure.or(Some(String::new())),
        }
    }
    if let Some(message) = failure {
        stopper.stop();
        go_sender.close();
        let ends: Vec<_> = threads.into_iter().map(ExecutorThread::join).collect();
        let died = ends.into_iter().find_map(Result::err).map(|error| error.to_string());
        let message = if message.is_empty() { died.unwrap_or_default() } else { message };
        return Err(BootError(message));
    }
    report_replay(&options.reporter, &replayed, begun.elapsed());
    go_sender.close();
    let watchdog = Watchdog::start(stats.clone(), options.reporter);
    Ok(Running { threads, stopper, stats, watchdog, _lock: lock })
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
    let cpus = by_physical_core(&allowed_cpus()).cpus;
    if shard_count > cpus.len() {
        return vec![Placement::Unpinned; shard_count];
    }
    cpus.into_iter().take(shard_count).map(Placement::Pinned).collect()
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

/// Reads the layout; begins a new generation when the number of shards changed.
fn take_layout(
    data_dir: &Path,
    shard_count: usize,
    reporter: &SharedReporter,
) -> Result<Layout, BootError> {
    let mut layout = Layout::read(data_dir)?.unwrap_or_default();
    let recorded = layout.shard_counts.last().copied();
    if recorded != Some(shard_count) {
        layout.shard_counts.push(shard_count);
        layout.write(data_dir)?;
        if let Some(recorded) = recorded {
            reporter.report(Event::ShardCountChanged { recorded, now: shard_count });
        }
    }
    Ok(layout)
}

/// What a shard is made of, on its way to its thread.
struct Seed {
    id: ShardId,
    lanes: Lanes,
    layout: Layout,
    data_dir: PathBuf,
    wal: WalOptions,
    head: HeadOptions,
    query: QueryOptions,
    retention_ms: Option<i64>,
    reporter: SharedReporter,
    stop: CancelToken,
    stats: Arc<[Arc<ShardStats>]>,
}

/// Where a shard waits for the others.
struct Gates {
    ready: async_channel::Sender<Ready>,
    /// Closed when all logs are read, or the start has failed.
    go: async_channel::Receiver<()>,
    /// Dropped when this shard serves no more; `served` is closed when all have dropped theirs.
    serving: async_channel::Sender<()>,
    served: async_channel::Receiver<()>,
}

/// The main future of a shard's thread.
async fn run<F, Fut>(seed: Seed, gates: Gates, serve: F) -> Result<(), String>
where
    F: Fn(Shard) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    set_reporter(seed.reporter.clone());
    let (stop, retention_ms) = (seed.stop.clone(), seed.retention_ms);
    let shard = match seed.grow().await {
        Ok((shard, replayed)) => {
            let _ = gates.ready.try_send(Ok(replayed));
            shard
        }
        Err(message) => {
            let _ = gates.ready.try_send(Err(message));
            return Ok(());
        }
    };
    drop(gates.ready);
    let _ = gates.go.recv().await;
    shard.start_services(retention_ms);
    let mut result = Ok(());
    if !stop.is_canceled() {
        let served = AssertUnwindSafe(async { serve(shard.clone()).await }).catch_unwind().await;
        result = served.map_err(|_| format!("shard {} panicked while serving", shard.id().0));
    }
    // One shard that serves no more is the end of all: parts of the data would be missing.
    stop.cancel();
    drop(gates.serving);
    let _ = gates.served.recv().await;
    shard.stop_services().await.map_err(|error| error.to_string())?;
    result
}

impl Seed {
    /// Reads the logs and opens the own one for writing.
    async fn grow(self) -> Result<(Shard, Replayed), String> {
        let shard_count = self.stats.len();
        let (shard, shard_count_u16) = (self.id.0, shard_count as u16); // At most SHARD_COUNT_MAX.
        let store_options = StoreOptions { shard, shard_count: shard_count_u16, head: self.head };
        let mut store = Store::new(store_options);
        let generation = self.layout.shard_counts.len();
        let mut total = Replayed::default();
        for (&logs, number) in self.layout.shard_counts[..generation - 1].iter().zip(1..) {
            for log in ShardId::all(logs) {
                let path = log_path(&self.data_dir, number, log);
                if path.exists() {
                    let disk = self.open(path)?;
                    self.read(&disk, &mut store, &mut total).await?;
                }
            }
        }
        let disk = self.open(log_path(&self.data_dir, generation, self.id))?;
        let own = self.read(&disk, &mut store, &mut total).await?;
        let writer = Writer { shard, shard_count: shard_count_u16, epoch: store.epoch() };
        let start = Start {
            writer,
            chain: store.chain(),
            segment: own.next_segment,
            is_prepared: own.is_prepared,
        };
        let stats = self.stats[self.id.index()].wal.clone();
        let wal = Wal::open(self.wal, disk, start, self.reporter.clone(), stats);
        let inner = Inner {
            id: self.id,
            store: RefCell::new(store),
            wal,
            lanes: self.lanes,
            spans: RefCell::new(own.spans),
            split: RefCell::new(Split::default()),
            turns: TurnQueue::default(),
            query_places: Semaphore::new(self.query.places(shard_count)),
            query_options: self.query,
            stop: self.stop,
            stats: self.stats,
        };
        Ok((Shard(Rc::new(inner)), total))
    }

    fn open(&self, path: PathBuf) -> Result<RingDisk, String> {
        let direct = self.wal.sync == WalSync::Batch;
        RingDisk::open(path.clone(), direct, self.reporter.clone())
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads one log for this shard's series.
    async fn read(
        &self,
        disk: &RingDisk,
        store: &mut Store,
        total: &mut Replayed,
    ) -> Result<Replayed, String> {
        let (own, count) = (self.id, self.stats.len());
        let keep = move |hash| crate::route::shard_of(hash, count) == own;
        let replay_stats = &self.stats[self.id.index()].replay;
        let (before_bytes, before_samples) = (total.bytes, total.sample_count);
        let progress = |replayed: &Replayed| {
            replay_stats.bytes.set(before_bytes + replayed.bytes);
            replay_stats.samples.set(before_samples + replayed.sample_count);
        };
        let replayed = replay(disk, self.wal.segment_bytes, store, keep, progress)
            .await
            .map_err(|error| error.to_string())?;
        total.frame_count += replayed.frame_count;
        total.sample_count += replayed.sample_count;
        total.bytes += replayed.bytes;
        total.losses.extend(replayed.losses.iter().cloned());
        Ok(replayed)
    }
}

/// Where the log of a shard of a generation stands.
fn log_path(data_dir: &Path, generation: usize, shard: ShardId) -> PathBuf {
    data_dir.join("wal").join(format!("{generation:04}")).join(format!("{:04}", shard.0))
}

#[cfg(test)]
#[path = "boot_tests.rs"]
mod tests;
