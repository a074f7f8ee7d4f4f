//! One shard on its way up: it serves, reads what it holds, and is handed to whoever serves.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use engine::disk::DiskError;
use engine::head::HeadOptions;
use engine::store::{Adopt, Flushed, Store, StoreOptions};
use futures_lite::future::or;
use futures_util::FutureExt;

use super::blocks::open_blocks;
use super::parts::{adopt, open_parts, parts_path, restore};
use super::{Ready, Starting};
use crate::cancel::CancelToken;
use crate::disk::RingDisk;
use crate::fair::Semaphore;
use crate::maintain::{KeepOptions, read_cut, read_head_tombstones};
use crate::observe::SharedReporter;
use crate::query::{ActiveQueries, QueryOptions};
use crate::route::{Layout, ShardId, Split};
use crate::runtime::{Class, set_reporter, sleep, spawn};
use crate::settings::StorageSettings;
use crate::shard::{HEARTBEAT, Inner, Lanes, Shard};
use crate::stats::ShardStats;
use crate::turns::TurnQueue;
use crate::wal::{Replayed, Start, Wal, WalOptions, WalSync, Writer, replay};

/// What a shard is made of, on its way to its thread.
pub(super) struct Seed {
    pub id: ShardId,
    pub lanes: Lanes,
    pub layout: Layout,
    pub data_dir: PathBuf,
    pub wal: WalOptions,
    pub head: HeadOptions,
    pub query: QueryOptions,
    pub keep: KeepOptions,
    pub settings: Arc<StorageSettings>,
    pub reporter: SharedReporter,
    pub adopted_count: Arc<AtomicUsize>,
    pub stop: CancelToken,
    pub stats: Arc<[Arc<ShardStats>]>,
}

/// Where a shard waits for the others.
pub(super) struct Gates {
    pub ready: async_channel::Sender<Ready>,
    /// Closed when all logs are read, or the start has failed.
    pub go: async_channel::Receiver<()>,
    /// Dropped when this shard serves no more; `served` is closed when all have dropped theirs.
    pub serving: async_channel::Sender<()>,
    pub served: async_channel::Receiver<()>,
}

/// The main future of a shard's thread.
pub(super) async fn run<F, Fut>(seed: Seed, gates: Gates, serve: F) -> Result<(), String>
where
    F: Fn(Starting) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    set_reporter(seed.reporter.clone());
    let (id, stop) = (seed.id, seed.stop.clone());
    let (hand_over, shard) = async_channel::bounded(1);
    let starting = Starting { id, stats: seed.stats.clone(), stop: stop.clone(), shard };
    let risen = Rc::new(RefCell::new(None));
    let Gates { ready, go, serving, served } = gates;
    let rising = spawn(Class::Storage, rise(seed, ready, go, hand_over, risen.clone()));

    let ended = AssertUnwindSafe(async { serve(starting).await }).catch_unwind().await;
    // One shard that serves no more is the end of all: parts of the data would be missing.
    stop.cancel();
    drop(serving);
    let _ = served.recv().await;
    rising.await;
    let shard: Option<Shard> = risen.take();
    if let Some(shard) = shard {
        shard.stop_services().await.map_err(|error| error.to_string())?;
    }
    ended.map_err(|_| format!("shard {} panicked while serving", id.0))
}

/// Reads what the shard holds, and hands it over when all shards have.
async fn rise(
    seed: Seed,
    ready: async_channel::Sender<Ready>,
    go: async_channel::Receiver<()>,
    hand_over: async_channel::Sender<Shard>,
    risen: Rc<RefCell<Option<Shard>>>,
) {
    let stop = seed.stop.clone();
    let stats = seed.stats[seed.id.index()].clone();
    let beat = async {
        loop {
            stats.heartbeats.add(1);
            sleep(HEARTBEAT).await;
        }
    };
    match or(seed.grow(), beat).await {
        Ok((shard, replayed)) => {
            let _ = ready.try_send(Ok(replayed));
            drop(ready);
            let _ = go.recv().await;
            shard.start_services();
            if !stop.is_canceled() {
                let _ = hand_over.try_send(shard.clone());
            }
            risen.replace(Some(shard));
        }
        Err(message) => drop(ready.try_send(Err(message))),
    }
}

impl Seed {
    /// Reads the logs and opens the own one for writing.
    async fn grow(self) -> Result<(Shard, Replayed), String> {
        let shard_count = self.stats.len();
        let (shard, shard_count_u16) = (self.id.0, shard_count as u16); // At most SHARD_COUNT_MAX.
        let store_options = StoreOptions { shard, shard_count: shard_count_u16, head: self.head };
        let mut store = Store::new(store_options);
        self.settings.apply(&mut store, shard_count);
        let generation = self.layout.shard_counts.len();
        let mut total = Replayed::default();
        let parts_disk = self.open_parts(generation, self.id)?;
        let parts = open_parts(&parts_disk, &mut total.losses).await.map_err(text)?;
        restore(&mut store, parts, &self.stop).await?;
        if let Some((last_part, before_ms)) = read_cut(&parts_disk).await {
            store.take_cut(last_part, before_ms);
        }
        match read_head_tombstones(&parts_disk).await {
            Ok(tombstones) => store.set_head_tombstones(tombstones),
            Err(why) => total.losses.push(("head.tombstones".to_owned(), why)),
        }
        let flushed = store.flushed();
        let blocks_disk = self.open_blocks()?;
        let found = open_blocks(&blocks_disk, self.id, shard_count, &mut total.losses);
        let found = found.await.map_err(text)?;
        for block in found.blocks {
            store.replace_blocks(&[], Some(block));
        }
        let mut is_adopting = !found.foreign.is_empty();
        for (&logs, number) in self.layout.shard_counts[..generation - 1].iter().zip(1..) {
            for log in ShardId::all(logs) {
                is_adopting |= self.adopt(number, log, &mut store, &mut total).await?;
            }
        }
        let path = log_path(&self.data_dir, generation, self.id);
        let disk = self.open(path, generation, self.id)?;
        let own = self.read(&disk, &flushed, &mut store, &mut total).await?;
        let writer = Writer { shard, shard_count: shard_count_u16, epoch: store.epoch() };
        let start = Start {
            writer,
            chain: store.chain(),
            segment: own.next_segment,
            is_prepared: own.is_prepared,
            starts: own.starts,
        };
        let stats = self.stats[self.id.index()].wal.clone();
        let wal = Wal::open(self.wal, disk, start, self.reporter.clone(), stats);
        let inner = Inner {
            id: self.id,
            store: RefCell::new(store),
            wal,
            lanes: self.lanes,
            split: RefCell::new(Split::default()),
            turns: TurnQueue::default(),
            query_places: Semaphore::new(self.query.places(shard_count)),
            query_options: self.query,
            active_queries: ActiveQueries::default(),
            data_dir: self.data_dir,
            generation,
            parts_disk,
            blocks_disk,
            failed_merges: RefCell::default(),
            foreign_blocks: found.foreign,
            keep: self.keep,
            maintenance: Semaphore::new(1),
            is_adopting: Cell::new(is_adopting),
            has_flushed_adopted: Cell::default(),
            adopted_count: self.adopted_count,
            reporter: self.reporter,
            stop: self.stop,
            settings: self.settings,
            stats: self.stats,
        };
        Ok((Shard(Rc::new(inner)), total))
    }

    /// Takes this shard's series from the parts and the log of shard `log` of a former generation;
    /// whether there was anything.
    async fn adopt(
        &self,
        generation: usize,
        log: ShardId,
        store: &mut Store,
        total: &mut Replayed,
    ) -> Result<bool, String> {
        let mut former = Adopt::new(vec![]);
        let has_parts = parts_path(&self.data_dir, generation, log).exists();
        if has_parts {
            let disk = self.open_parts(generation, log)?;
            let parts = open_parts(&disk, &mut total.losses).await.map_err(text)?;
            former = Adopt::new(parts);
            adopt(store, &mut former, self.keeps(), &self.stop).await?;
        }
        let path = log_path(&self.data_dir, generation, log);
        let has_log = path.exists();
        if has_log {
            let disk = self.open(path, generation, log)?;
            self.read(&disk, &former.flushed(), store, total).await?;
        }
        Ok(has_parts || has_log)
    }

    /// Which series live here, by hash.
    fn keeps(&self) -> impl Fn(u64) -> bool + Copy + use<> {
        let (own, count) = (self.id, self.stats.len());
        move |hash| crate::route::shard_of(hash, count) == own
    }

    /// Opens the directory of the blocks of all shards.
    fn open_blocks(&self) -> Result<RingDisk, String> {
        let path = self.data_dir.join("blocks");
        let disk = RingDisk::open(path.clone(), false, self.reporter.clone())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(disk.with_quarantine(self.data_dir.join("quarantine"), String::new()))
    }

    /// Opens the directory of the parts of a shard of a generation.
    fn open_parts(&self, generation: usize, shard: ShardId) -> Result<RingDisk, String> {
        let path = parts_path(&self.data_dir, generation, shard);
        let disk = RingDisk::open(path.clone(), false, self.reporter.clone())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let prefix = format!("part-{generation:04}-{:04}-", shard.0);
        Ok(disk.with_quarantine(self.data_dir.join("quarantine"), prefix))
    }

    /// Opens the directory `path` of the log of shard `log` of a generation.
    fn open(&self, path: PathBuf, generation: usize, log: ShardId) -> Result<RingDisk, String> {
        let direct = self.wal.sync == WalSync::Batch;
        let disk = RingDisk::open(path.clone(), direct, self.reporter.clone())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let prefix = format!("wal-{generation:04}-{:04}-", log.0);
        Ok(disk.with_quarantine(self.data_dir.join("quarantine"), prefix))
    }

    /// Reads one log, behind what is `flushed`, for this shard's series.
    async fn read(
        &self,
        disk: &RingDisk,
        flushed: &Flushed,
        store: &mut Store,
        total: &mut Replayed,
    ) -> Result<Replayed, String> {
        let keep = self.keeps();
        let replay_stats = &self.stats[self.id.index()].replay;
        let (before_bytes, before_samples) = (total.bytes, total.sample_count);
        let (before_segments, before_read) = (total.segment_count, total.read_count);
        let progress = |replayed: &Replayed| {
            replay_stats.bytes.set(before_bytes + replayed.bytes);
            replay_stats.samples.set(before_samples + replayed.sample_count);
            replay_stats.segments.set(before_segments + replayed.segment_count);
            replay_stats.segments_read.set(before_read + replayed.read_count);
            !self.stop.is_canceled()
        };
        let replayed = replay(disk, self.wal.segment_bytes, store, flushed, keep, progress)
            .await
            .map_err(|error| error.to_string())?;
        total.frame_count += replayed.frame_count;
        total.sample_count += replayed.sample_count;
        total.bytes += replayed.bytes;
        total.segment_count += replayed.segment_count;
        total.read_count += replayed.read_count;
        total.losses.extend(replayed.losses.iter().cloned());
        Ok(replayed)
    }
}

fn text(error: DiskError) -> String {
    error.to_string()
}

/// Where the log of a shard of a generation stands.
fn log_path(data_dir: &Path, generation: usize, shard: ShardId) -> PathBuf {
    data_dir.join("wal").join(format!("{generation:04}")).join(format!("{:04}", shard.0))
}
