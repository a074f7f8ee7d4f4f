//! Blocks of Prometheus to larger blocks of Prometheus, and anew without what was deleted of them.
//!
//! ```text
//! planned as Prometheus plans it ─► one block of all series, durable ─► read by every shard
//!     ─► its parents go
//! ```
//!
//! They stay blocks of Prometheus, for all shards together, so that Prometheus and what copies its
//! blocks can go on with the directory. A crash leaves the new block beside its parents: it stands for
//! them at the next start.
//!
//! What is deleted while a block is written anew is not in the new one: then it is written once more.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use engine::block::prometheus::{NewBlock, Parent, Source, SourceBlock, StartTimestamps};
use engine::block::{BlockId, PlannedBlock, Tombstones, block_ranges, plan_merge};
use engine::disk::Tree as _;
use engine::model::TimeRange;

use super::{BlockDir, Found, GUESTS, Guest, Guests};
use crate::cancel::CancelToken;
use crate::maintain::{MaintainError, new_block_id};
use crate::runtime::{now, on_thread, panic_message, sleep};
use crate::shard::Shard;

/// Samples that are merged in one go: some milliseconds; as long a pause follows, so that a shard on
/// the same core is not in want of it.
const SAMPLES_PER_PIECE: usize = 1 << 18;

/// How often a rewrite is tried that deletions come in between.
const ATTEMPTS_MAX: u32 = 5;

/// Pause before a rewrite is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// What became of blocks that were to be written anew.
enum Rewritten {
    /// This stands for them; nothing, when all of them was deleted.
    As(Option<Arc<Guest>>),
    /// Something was deleted of them, or one is gone: nothing has changed.
    Changed,
    Stopped,
}

impl Guests {
    /// The blocks to be merged into one next; a single one is written anew.
    fn plan(&self, ranges_ms: &[i64]) -> Vec<BlockId> {
        let replaced = self.replaced();
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let opened = self.opened().into_iter().filter(|(id, _)| !replaced.contains(id));
        let mut planned: Vec<PlannedBlock> = opened
            .map(|(id, guest)| {
                let tombstones = guest.tombstones().interval_count();
                let bytes = guest.block.file_bytes();
                let mut planned =
                    PlannedBlock::new(&guest.of_shard(GUESTS).summary(), tombstones, bytes);
                planned.has_failed = failed.contains(&id);
                planned
            })
            .collect();
        // Planning leaves the newest block alone. None of these is: hearth's own follow.
        let (start_ms, end_ms) = (i64::MAX - 1, i64::MAX);
        planned.push(PlannedBlock { start_ms, end_ms, ..PlannedBlock::default() });
        plan_merge(&planned, ranges_ms)
    }

    /// Bytes of the files of `ids`.
    fn file_bytes(&self, ids: &[BlockId]) -> u64 {
        let opened = self.opened();
        let of_ids = opened.iter().filter(|(id, _)| ids.contains(id));
        of_ids.map(|(_, guest)| guest.block.file_bytes()).sum()
    }

    /// Writes `ids` anew as the block `new_id`, durable and opened. Blocks, for as long as that takes.
    fn rewrite(
        &self,
        ids: &[BlockId],
        new_id: BlockId,
        shard_count: usize,
        stop: &CancelToken,
    ) -> Result<Rewritten, String> {
        let _one = self.rewriting.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = self.opened().into_iter();
        let old: Vec<(BlockId, Arc<Guest>)> = opened.filter(|(id, _)| ids.contains(id)).collect();
        if old.is_empty() || old.len() < ids.len() {
            return Ok(Rewritten::Changed);
        }
        let deleted: Vec<Arc<Tombstones>> =
            old.iter().map(|(_, guest)| guest.tombstones().clone()).collect();
        let sources = old.iter().zip(&deleted).map(|((_, guest), tombstones)| Source {
            block: SourceBlock::Prometheus(guest.block.clone()),
            tombstones: tombstones.clone(),
        });
        let mut dir = BlockDir::create(&self.root, new_block(new_id, &old), StartTimestamps::Keep)?;
        let (mut piece, mut begun) = (0, Instant::now());
        let all = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
        dir.merge(sources.collect(), all, |sample_count| {
            piece += sample_count;
            if piece >= SAMPLES_PER_PIECE {
                std::thread::sleep(begun.elapsed());
                (piece, begun) = (0, Instant::now());
            }
            !stop.is_canceled()
        })?;
        if stop.is_canceled() {
            return Ok(Rewritten::Stopped);
        }
        let new = match dir.finish()? {
            None => None,
            Some(_) => match Guest::open(&self.dir(new_id), new_id, shard_count, stop) {
                Ok(guest) => Some(Arc::new(guest)),
                Err(why) => {
                    self.discard(new_id);
                    return Err(why);
                }
            },
        };
        let is_placed = self.replace(&old, &deleted, new.clone());
        if !is_placed {
            self.discard(new_id);
            return Ok(Rewritten::Changed);
        }
        Ok(Rewritten::As(new))
    }

    /// Has `new` stand for `old`, unless more was deleted of these than `deleted`. One step.
    fn replace(
        &self,
        old: &[(BlockId, Arc<Guest>)],
        deleted: &[Arc<Tombstones>],
        new: Option<Arc<Guest>>,
    ) -> bool {
        let now: Vec<_> = old.iter().map(|(_, guest)| guest.tombstones()).collect();
        if now.iter().zip(deleted).any(|(now, before)| !Arc::ptr_eq(now, before)) {
            return false;
        }
        let mut blocks = self.blocks();
        blocks.retain(|found| old.iter().all(|(id, _)| *id != found.id));
        if let Some(guest) = new {
            let id = guest.block.id();
            blocks.push(Arc::new(Found { id, opened: Ok(guest).into() }));
        }
        true
    }

    /// Removes a block that nobody reads, and that does not stand for its parents: before a start
    /// takes it for such.
    fn discard(&self, id: BlockId) {
        let dir = self.dir(id);
        // Without its meta it is no block, whatever else is left of it.
        let _ = fs::remove_file(dir.join("meta.json"));
        let _ = fs::remove_dir_all(dir);
    }
}

/// What a merge of `old` will be.
fn new_block(id: BlockId, old: &[(BlockId, Arc<Guest>)]) -> NewBlock {
    let metas = || old.iter().map(|(_, guest)| guest.block.meta());
    let level = metas().map(|meta| meta.level).max().unwrap_or(1);
    let sources: BTreeSet<BlockId> =
        metas().flat_map(|meta| meta.sources.iter().copied()).collect();
    // A sample may lie outside of what a meta says.
    let spans = || old.iter().map(|(_, guest)| (guest.survey.min_ms, guest.survey.max_ms));
    NewBlock {
        id,
        start_ms: metas()
            .map(|meta| meta.start_ms)
            .chain(spans().map(|(min_ms, _)| min_ms))
            .min()
            .unwrap_or(0),
        end_ms: metas()
            .map(|meta| meta.end_ms)
            .chain(spans().map(|(_, max_ms)| max_ms.saturating_add(1)))
            .max()
            .unwrap_or(0),
        level: if old.len() > 1 { level + 1 } else { level },
        sources: sources.into_iter().collect(),
        parents: metas()
            .map(|meta| Parent { id: meta.id, start_ms: meta.start_ms, end_ms: meta.end_ms })
            .collect(),
        is_out_of_order: metas().all(|meta| meta.is_out_of_order),
    }
}

impl Shard {
    /// Merges blocks of Prometheus as planned, until there is nothing to merge.
    pub(super) async fn compact_guests(&self) {
        let keep = &self.0.keep;
        let ranges_ms = block_ranges(keep.block_ms_min, keep.block_ms_max);
        while !self.is_stopping() {
            let ids = self.guests().plan(&ranges_ms);
            if ids.is_empty() {
                return;
            }
            let needed = self.guests().file_bytes(&ids).saturating_add(keep.free_bytes_min);
            if self.0.tree.free_bytes().await.is_some_and(|free_bytes| free_bytes < needed) {
                return; // Retention may make room.
            }
            if let Err(error) = self.rewrite_guests(&ids).await {
                let mut failed =
                    self.guests().failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.extend(&ids);
                drop(failed);
                self.tell_failure(error.to_string());
            }
        }
    }

    /// Writes every block of Prometheus anew from which something was deleted.
    pub(crate) async fn clean_guests(&self) -> Result<(), MaintainError> {
        if self.id() != GUESTS {
            return Ok(());
        }
        for (id, guest) in self.guests().opened() {
            if !guest.tombstones().is_empty() {
                self.rewrite_guests(&[id]).await?;
            }
        }
        Ok(())
    }

    /// Writes blocks anew as one, has every shard read that, and removes them.
    async fn rewrite_guests(&self, ids: &[BlockId]) -> Result<(), MaintainError> {
        let begun = now();
        for _ in 0..ATTEMPTS_MAX {
            let (guests, shard_count) = (self.guests().clone(), self.count());
            let (old, new_id, stop) = (ids.to_vec(), new_block_id(), self.0.stop.clone());
            let rewriting = move || {
                // Nothing is changed before all is written: what it stumbles over may stay as it is.
                let rewrite = || guests.rewrite(&old, new_id, shard_count, &stop);
                catch_unwind(AssertUnwindSafe(rewrite))
                    .unwrap_or_else(|panic| Err(panic_message(panic.as_ref())))
            };
            let rewritten = on_thread("guests", rewriting).await;
            let rewritten = rewritten.map_err(|error| MaintainError::Data(error.to_string()))?;
            match rewritten.map_err(MaintainError::Data)? {
                Rewritten::Changed => sleep(RETRY_DELAY).await,
                Rewritten::Stopped => return Ok(()),
                Rewritten::As(new) => {
                    self.read_instead(ids, new).await?;
                    self.own_stats().maintenance.compactions.record(now() - begun);
                    self.remove_guests(ids.to_vec()).await;
                    return Ok(());
                }
            }
        }
        Ok(()) // Deletions go on and on; the next look finds what is left to do.
    }

    /// Has every shard read `new` instead of the blocks `old`.
    async fn read_instead(
        &self,
        old: &[BlockId],
        new: Option<Arc<Guest>>,
    ) -> Result<(), MaintainError> {
        let old = old.to_vec();
        let swapped = self.on_every_shard(move |shard| {
            let (old, new) = (old.clone(), new.clone());
            async move {
                let added = new.iter().map(|guest| guest.of_shard(shard.id())).collect();
                shard.0.store.borrow_mut().replace_guests(&old, added);
                Ok::<_, MaintainError>(())
            }
        });
        swapped.await.map(drop).map_err(MaintainError::Data)
    }
}
