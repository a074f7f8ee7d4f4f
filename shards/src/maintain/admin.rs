//! What administrators ask for: deleting samples, writing blocks anew without what was deleted, and
//! a snapshot.
//!
//! ```text
//! delete     flushed ─► tombstones of the parts that there are, durable ─► hidden from queries
//! snapshot   flushed ─► a second name for each file in snapshots/<name>: a data directory of its own
//! ```

use engine::block::part::PartTombstones;
use engine::block::{BlockId, BlockMeta};
use engine::disk::{DirUse, Disk, DiskError, DiskErrorKind, Tree};
use engine::model::{Matcher, SourceError, TimeRange};
use engine::store::{Deleted, Deletion, Store};
use futures_util::future::try_join_all;

use super::MaintainError;
use super::merge::{block_name, tombstones_name};
use crate::disk::FileStream;
use crate::layout::LAYOUT;
use crate::message::{Job, unpack};
use crate::route::ShardId;
use crate::shard::Shard;
use crate::storage::Storage;
use crate::turns::Work;

/// File of what was deleted of the head's series, beside the parts.
const HEAD_TOMBSTONES: &str = "head.tombstones";

/// What was deleted of the head's series, in a directory whose last part is `last_part`. A damaged
/// file is kept aside, taken away, and told in `losses`: without it deleted samples are back.
pub(crate) async fn read_head_tombstones<D: Disk>(
    disk: &D,
    last_part: u64,
    losses: &mut Vec<(String, String)>,
) -> Result<PartTombstones, DiskError> {
    let bytes = match disk.read(HEAD_TOMBSTONES).await {
        Err(error) if error.kind == DiskErrorKind::NotFound => {
            return Ok(PartTombstones::default());
        }
        read => read?,
    };
    match PartTombstones::decode(&bytes, last_part) {
        Ok(tombstones) => Ok(tombstones),
        Err(error) => {
            let kept = disk.quarantine(HEAD_TOMBSTONES).await?;
            disk.remove(HEAD_TOMBSTONES).await?;
            losses.push((HEAD_TOMBSTONES.to_owned(), format!("{error}; kept as {kept}")));
            Ok(PartTombstones::default())
        }
    }
}

async fn write_file<D: Disk>(disk: &D, name: &str, mut bytes: Vec<u8>) -> Result<(), DiskError> {
    FileStream::create(disk, name).await?.finish(&mut bytes).await
}

impl Shard {
    /// Deletes the samples in `range` of all series that match, durably, on all shards. Samples that
    /// come later are not deleted, whatever their time; of those that come meanwhile some may be.
    ///
    /// Errors: why it may have been done in part only; to do it again is safe.
    pub async fn delete_series(
        &self,
        matchers: Vec<Matcher>,
        range: TimeRange,
    ) -> Result<(), String> {
        self.on_every_shard(move |shard| {
            let matchers = matchers.clone();
            async move {
                shard.0.storage.adopted().await;
                shard.0.storage.delete_here(&matchers, range).await?;
                shard.delete_in_guests(&matchers, range).await
            }
        })
        .await
        .map(drop)
    }

    /// Writes every block anew from which something was deleted, on all shards.
    pub async fn clean_tombstones(&self) -> Result<(), String> {
        self.on_every_shard(|shard| async move {
            shard.0.storage.clean_here().await?;
            shard.clean_guests().await
        })
        .await
        .map(drop)
    }

    /// Makes the directory `snapshots/<name>` below the data directory: what is stored now, or the
    /// blocks only, as a data directory.
    pub async fn snapshot(&self, name: &str, with_head: bool) -> Result<(), String> {
        let target = format!("snapshots/{name}");
        let begun = self.0.storage.begin_snapshot(&target).await;
        begun.map_err(|error| error.to_string())?;
        self.snapshot_guests(target.clone().into()).await?;
        self.on_every_shard(move |shard| {
            let target = target.clone();
            async move { shard.0.storage.snapshot_here(&target, with_head).await }
        })
        .await
        .map(drop)
    }

    /// What the blocks of all shards say about themselves, by time, and how much was deleted of
    /// each.
    pub async fn block_metas(&self) -> Result<Vec<(BlockMeta, u64)>, String> {
        let of_shards = self
            .on_every_shard(|shard| async move {
                let store = shard.0.store.borrow();
                let own = store
                    .blocks()
                    .iter()
                    .map(|open| (open.block.meta().clone(), open.tombstones.interval_count()));
                let guests = store
                    .guests()
                    .iter()
                    .map(|guest| (guest.summary(), guest.tombstones.interval_count()));
                Ok::<_, MaintainError>(own.chain(guests).collect::<Vec<_>>())
            })
            .await?;
        let mut metas: Vec<(BlockMeta, u64)> = of_shards.into_iter().flatten().collect();
        metas.sort_by_key(|(meta, _)| (meta.range_start_ms, meta.id));
        metas.dedup_by_key(|(meta, _)| meta.id);
        Ok(metas)
    }

    /// Runs `work` on all shards.
    pub(crate) async fn on_every_shard<R, F>(
        &self,
        work: impl Fn(Shard) -> F + Clone + Send + 'static,
    ) -> Result<Vec<R>, String>
    where
        R: Send + 'static,
        F: Future<Output = Result<R, MaintainError>> + 'static,
    {
        let asked = ShardId::all(self.count()).map(|target| {
            let work = work.clone();
            async move {
                if target == self.id() {
                    return work(self.clone()).await.map_err(|error| error.to_string());
                }
                let job = Job::new(move |shard: Shard| async move {
                    work(shard).await.map_err(|error| error.to_string())
                });
                let answer = self.0.lanes.control.ask(target, job).await;
                unpack(answer.map_err(|_| "server is stopping".to_owned())?)
            }
        });
        try_join_all(asked).await
    }
}

impl<T: Tree> Storage<T> {
    /// As [`Shard::delete_series`], of this shard.
    ///
    /// Errors: also while something of former shard counts is left, see [`Storage::adopted`].
    pub async fn delete_here(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<(), MaintainError> {
        let inner = &self.0;
        let _permit = inner.maintenance.acquire().await;
        if !self.has_own_logs() {
            // A start that took it over once more would bring back what is deleted now.
            let why = "samples of another number of shards are being taken over: try again later";
            return Err(MaintainError::Data(why.to_owned()));
        }
        self.remove_orphans().await?;
        let of_head = self.find_deleted(|_| Deletion::of_head(matchers, range)).await?;
        if of_head.is_in_head {
            // What is stored now is in parts then, and what comes later is not in those. Ids of series
            // that only the log names may be others after a start, too.
            self.flush(false).await?;
            let from_parts =
                self.find_deleted(|store| Deletion::from_parts(store, matchers, range)).await?;
            if let Some(tombstones) = from_parts.parts {
                self.set_head_tombstones(tombstones).await?;
            }
        }
        let from_blocks =
            self.find_deleted(|store| Deletion::from_blocks(store, matchers, range)).await?;
        for (id, tombstones) in from_blocks.blocks {
            let bytes = tombstones.encode(id);
            write_file(&inner.blocks_disk, &tombstones_name(id), bytes).await?;
            inner.store.borrow_mut().set_block_tombstones(id, tombstones);
        }
        Ok(())
    }

    /// What a deletion finds, in turns.
    pub(crate) async fn find_deleted(
        &self,
        begin: impl FnOnce(&Store) -> Result<Deletion, SourceError>,
    ) -> Result<Deleted, MaintainError> {
        let inner = &self.0;
        let mut deletion = begin(&inner.store.borrow())?;
        loop {
            let turn = inner.turns.begin(Work::Background).await;
            let store = inner.store.borrow();
            loop {
                match deletion.step(&store)? {
                    None => return Ok(deletion.into_deleted()),
                    Some(_) if turn.is_over() => break,
                    Some(_) => {}
                }
            }
        }
    }

    pub(super) async fn set_head_tombstones(
        &self,
        tombstones: PartTombstones,
    ) -> Result<(), MaintainError> {
        let inner = &self.0;
        write_file(&inner.parts_disk, HEAD_TOMBSTONES, tombstones.encode()).await?;
        inner.store.borrow_mut().set_head_tombstones(tombstones);
        Ok(())
    }

    /// Forgets what was deleted of parts that are gone.
    pub(super) async fn forget_head_tombstones(&self) -> Result<(), MaintainError> {
        let needed = self.0.store.borrow().needed_head_tombstones();
        match needed {
            Some(needed) => self.set_head_tombstones(needed).await,
            None => Ok(()),
        }
    }

    /// As [`Shard::clean_tombstones`], of this shard.
    pub async fn clean_here(&self) -> Result<(), MaintainError> {
        let _permit = self.0.maintenance.acquire().await;
        let deleted: Vec<BlockId> = {
            let store = self.0.store.borrow();
            let own = store.blocks().iter().filter(|open| open.series.is_none());
            own.filter(|open| !open.tombstones.is_empty()).map(|open| open.block.id()).collect()
        };
        for id in deleted {
            self.rewrite(&[id]).await?;
        }
        Ok(())
    }

    /// Makes the directory of a snapshot at `target`, once for all shards.
    pub async fn begin_snapshot(&self, target: &str) -> Result<(), MaintainError> {
        let tree = &self.0.tree;
        let root = tree.open("", DirUse::default()).await?;
        let layout = root.read(LAYOUT).await?;
        let snapshot = tree.open(target, DirUse::default()).await?;
        Ok(write_file(&snapshot, LAYOUT, layout).await?)
    }

    /// This shard's share of a snapshot: its blocks and, if wanted, what is in its head.
    pub async fn snapshot_here(&self, target: &str, with_head: bool) -> Result<(), MaintainError> {
        let inner = &self.0;
        let _permit = inner.maintenance.acquire().await;
        if with_head {
            self.flush(false).await?;
        }
        let blocks: Vec<BlockId> =
            inner.store.borrow().blocks().iter().map(|open| open.block.id()).collect();
        let names = blocks.iter().flat_map(|&id| [block_name(id), tombstones_name(id)]);
        self.link_all("blocks", target, names).await?;
        if !with_head {
            return Ok(());
        }
        let parts = format!("parts/{:04}/{:04}", inner.generation, self.id().0);
        let names = inner.parts_disk.list().await?;
        self.link_all(&parts, target, names).await
    }

    /// Gives files of directory `dir` a second name in that of the same name below `target`. None of
    /// them is ever changed.
    async fn link_all(
        &self,
        dir: &str,
        target: &str,
        names: impl IntoIterator<Item = String>,
    ) -> Result<(), MaintainError> {
        let tree = &self.0.tree;
        let target = format!("{target}/{dir}");
        let snapshot = tree.open(&target, DirUse::default()).await?;
        for name in names {
            match tree.link(&format!("{dir}/{name}"), &format!("{target}/{name}")).await {
                // Not every block has tombstones.
                Err(error) if error.kind == DiskErrorKind::NotFound => {}
                linked => linked?,
            }
        }
        Ok(snapshot.sync_dir().await?)
    }
}
