//! Opening what one shard stores: its parts, the blocks, what former generations left, its log.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use engine::block::part::{Part, PartTombstones};
use engine::disk::{DirUse, DiskError, Tree};
use engine::head::HeadOptions;
use engine::store::{Adopt, Flushed, Store, StoreOptions};

use super::blocks::open_blocks;
use super::parts::{adopt, open_parts, restore};
use crate::cancel::CancelToken;
use crate::fair::Semaphore;
use crate::layout::{LOG, Layout};
use crate::maintain::{Adoption, KeepOptions, read_cut, read_head_tombstones, whole_parts};
use crate::observe::SharedReporter;
use crate::route::ShardId;
use crate::settings::StorageSettings;
use crate::stats::ShardStats;
use crate::storage::{Storage, StorageInner};
use crate::turns::TurnQueue;
use crate::wal::{Replayed, Start, Wal, WalOptions, WalSync, Writer, replay};

/// What the storage of a shard is opened with.
pub struct OpenPlan<T: Tree> {
    pub id: ShardId,
    pub tree: T,
    pub layout: Layout,
    /// Normalized.
    pub wal: WalOptions,
    /// Of this shard.
    pub head: HeadOptions,
    pub keep: KeepOptions,
    pub settings: Arc<StorageSettings>,
    pub reporter: SharedReporter,
    /// Shared by the shards of a process.
    pub adoption: Arc<Adoption>,
    pub stop: CancelToken,
    /// Of all shards, by id.
    pub stats: Arc<[Arc<ShardStats>]>,
}

impl<T: Tree> OpenPlan<T> {
    /// Reads what the shard holds and opens its log for writing.
    ///
    /// Errors: what cannot be read. What is damaged is no error: it is kept aside and told.
    pub async fn open(self) -> Result<(Storage<T>, Replayed), String> {
        let shard_count = self.stats.len();
        let (shard, shard_count_u16) = (self.id.0, shard_count as u16); // At most SHARD_COUNT_MAX.
        let store_options = StoreOptions { shard, shard_count: shard_count_u16, head: self.head };
        let generation = self.layout.shard_counts.len();
        let mut total = Replayed::default();
        let parts_disk = self.open_parts(generation, self.id).await.map_err(text)?;
        let mut parts = open_parts(&parts_disk, &mut total.losses).await.map_err(text)?;
        let mut store = loop {
            let mut store = Store::new(store_options);
            self.settings.apply(&mut store, shard_count);
            match restore(&mut store, parts.clone(), &self.stop).await {
                Ok(()) => break store,
                Err(why) => self.only_whole(&parts_disk, &mut parts, &mut total, why).await?,
            }
        };
        if let Some((last_part, before_ms)) = read_cut(&parts_disk).await.map_err(text)? {
            store.take_cut(last_part, before_ms);
        }
        let last_part = parts.last().map_or(0, |part| part.meta().number);
        let deleted = read_head_tombstones(&parts_disk, last_part, &mut total.losses);
        store.set_head_tombstones(deleted.await.map_err(text)?);
        let flushed = store.flushed();
        let blocks_disk = self.tree.open("blocks", DirUse::default()).await.map_err(text)?;
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
        let disk = self.open_log(generation, self.id).await.map_err(text)?;
        let own = self.read(&disk, &flushed, &mut store, &mut total).await?;
        let writer = Writer { shard, shard_count: shard_count_u16, epoch: store.epoch() };
        let start = Start {
            writer,
            chain: store.chain(),
            segment: own.next_segment,
            is_prepared: own.is_prepared,
            starts: own.starts,
        };
        let stats = &self.stats[self.id.index()];
        stats.maintenance.damages.add(total.losses.len() as u64);
        let stats = stats.wal.clone();
        let wal = Wal::open(self.wal, disk, start, self.reporter.clone(), stats);
        let inner = StorageInner {
            id: self.id,
            store: RefCell::new(store),
            wal,
            turns: TurnQueue::default(),
            tree: self.tree,
            generation,
            parts_disk,
            blocks_disk,
            failed_merges: RefCell::default(),
            orphans: RefCell::default(),
            foreign_blocks: found.foreign,
            keep: self.keep,
            retention_clock: RefCell::default(),
            maintenance: Semaphore::new(1),
            is_adopting,
            has_flushed_adopted: Cell::default(),
            has_adopted_blocks: Cell::default(),
            adoption: self.adoption,
            reporter: self.reporter,
            stop: self.stop,
            settings: self.settings,
            stats: self.stats,
        };
        Ok((Storage(Rc::new(inner)), total))
    }

    /// Takes this shard's series from the parts and the log of shard `log` of a former generation,
    /// but for what was deleted of them; whether there was anything.
    async fn adopt(
        &self,
        generation: usize,
        log: ShardId,
        store: &mut Store,
        total: &mut Replayed,
    ) -> Result<bool, String> {
        let mut former = Adopt::new(vec![], None, PartTombstones::default());
        let has_parts = self.has("parts", generation, log).await.map_err(text)?;
        if has_parts {
            let disk = self.open_parts(generation, log).await.map_err(text)?;
            let mut parts = open_parts(&disk, &mut total.losses).await.map_err(text)?;
            let cut = read_cut(&disk).await.map_err(text)?;
            let last_part = parts.last().map_or(0, |part| part.meta().number);
            let deleted = read_head_tombstones(&disk, last_part, &mut total.losses);
            let deleted = deleted.await.map_err(text)?;
            loop {
                former = Adopt::new(parts.clone(), cut, deleted.clone());
                let keep = keeps(self.id, self.stats.len());
                match adopt(store, &mut former, keep, &self.stop).await {
                    Ok(()) => break,
                    // What was taken already is passed over the next time.
                    Err(why) => self.only_whole(&disk, &mut parts, total, why).await?,
                }
            }
        }
        let has_log = self.has(LOG, generation, log).await.map_err(text)?;
        if has_log {
            let disk = self.open_log(generation, log).await.map_err(text)?;
            self.read(&disk, &former.flushed(), store, total).await?;
        }
        Ok(has_parts || has_log)
    }

    /// Leaves the whole ones of `parts`, of which something could not be read.
    ///
    /// Errors: `why` not, when it is none of them.
    async fn only_whole(
        &self,
        disk: &T::Dir,
        parts: &mut Vec<Arc<Part>>,
        total: &mut Replayed,
        why: String,
    ) -> Result<(), String> {
        if self.stop.is_canceled() {
            return Err(why);
        }
        let count = parts.len();
        *parts = whole_parts(disk, std::mem::take(parts), &mut total.losses).await.map_err(text)?;
        if parts.len() < count { Ok(()) } else { Err(why) }
    }

    /// Opens the directory of the parts of a shard of a generation.
    async fn open_parts(&self, generation: usize, shard: ShardId) -> Result<T::Dir, DiskError> {
        let kept_prefix = format!("part-{generation:04}-{:04}-", shard.0);
        let of = DirUse { is_direct: false, kept_prefix };
        self.tree.open(&shard_path("parts", generation, shard), of).await
    }

    /// Opens the directory of the log of a shard of a generation.
    async fn open_log(&self, generation: usize, shard: ShardId) -> Result<T::Dir, DiskError> {
        let kept_prefix = format!("wal-{generation:04}-{:04}-", shard.0);
        let of = DirUse { is_direct: self.wal.sync == WalSync::Batch, kept_prefix };
        self.tree.open(&shard_path(LOG, generation, shard), of).await
    }

    /// Whether there is a directory `kind` of a shard of a generation.
    async fn has(&self, kind: &str, generation: usize, shard: ShardId) -> Result<bool, DiskError> {
        let names = self.tree.directories(&format!("{kind}/{generation:04}")).await?;
        Ok(names.contains(&format!("{:04}", shard.0)))
    }

    /// Reads one log, behind what is `flushed`, for this shard's series.
    async fn read(
        &self,
        disk: &T::Dir,
        flushed: &Flushed,
        store: &mut Store,
        total: &mut Replayed,
    ) -> Result<Replayed, String> {
        let keep = keeps(self.id, self.stats.len());
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
        let replayed =
            replay(disk, self.id, self.wal.segment_bytes, store, flushed, keep, progress)
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

/// Which series live on shard `own`, by hash.
fn keeps(own: ShardId, count: usize) -> impl Fn(u64) -> bool + Copy {
    move |hash| crate::route::shard_of(hash, count) == own
}

/// Where what a shard of a generation has of a kind stands.
fn shard_path(kind: &str, generation: usize, shard: ShardId) -> String {
    format!("{kind}/{generation:04}/{:04}", shard.0)
}
