//! What one shard stores: its store, its log and its directories, and nobody else.
//!
//! It is the part of a shard that needs a disk and no other shard, over any [`Tree`]: that of the
//! process, or a simulated one. Appending is in `ingest`, upkeep in `maintain`, opening in `boot`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use engine::block::BlockId;
use engine::disk::Tree;
use engine::store::Store;

use crate::cancel::CancelToken;
use crate::fair::Semaphore;
use crate::maintain::{Adoption, KeepOptions, RetentionClock};
use crate::observe::SharedReporter;
use crate::route::ShardId;
use crate::settings::StorageSettings;
use crate::stats::ShardStats;
use crate::turns::TurnQueue;
use crate::wal::{Wal, WalError};

/// The storage of a shard. Cheap to clone; stays on its thread.
pub struct Storage<T: Tree>(pub(crate) Rc<StorageInner<T>>);

impl<T: Tree> Clone for Storage<T> {
    fn clone(&self) -> Self {
        Storage(self.0.clone())
    }
}

pub(crate) struct StorageInner<T: Tree> {
    pub id: ShardId,
    pub store: RefCell<Store>,
    pub wal: Wal<T::Dir>,
    pub turns: TurnQueue,
    pub tree: T,
    /// Of the shard count in the layout.
    pub generation: usize,
    pub parts_disk: T::Dir,
    /// Of the blocks of all shards.
    pub blocks_disk: T::Dir,
    /// Blocks of which a merge failed.
    pub failed_merges: RefCell<BTreeSet<BlockId>>,
    /// Blocks that may be there and are not read: their making failed.
    pub orphans: RefCell<BTreeSet<BlockId>>,
    /// Blocks that another count of shards wrote, found at the start.
    pub foreign_blocks: Vec<BlockId>,
    pub keep: KeepOptions,
    pub retention_clock: RefCell<RetentionClock>,
    /// Held by whoever flushes, cuts, compacts or removes: one at a time.
    pub maintenance: Semaphore,
    /// Former generations had left something at the start.
    pub is_adopting: bool,
    /// What they left in logs and parts is in parts of this shard.
    pub has_flushed_adopted: Cell<bool>,
    /// What they left in blocks is in blocks of this shard.
    pub has_adopted_blocks: Cell<bool>,
    /// Of all shards.
    pub adoption: Arc<Adoption>,
    pub reporter: SharedReporter,
    pub stop: CancelToken,
    pub settings: Arc<StorageSettings>,
    /// Of all shards.
    pub stats: Arc<[Arc<ShardStats>]>,
}

impl<T: Tree> Storage<T> {
    pub fn id(&self) -> ShardId {
        self.0.id
    }

    /// Shards of the process.
    pub fn count(&self) -> usize {
        self.0.stats.len()
    }

    pub fn is_stopping(&self) -> bool {
        self.0.stop.is_canceled()
    }

    /// What is stored, to read it. Not held over an await.
    pub fn store(&self) -> &RefCell<Store> {
        &self.0.store
    }

    pub fn wal(&self) -> &Wal<T::Dir> {
        &self.0.wal
    }

    /// Parks between turns of heavy work, for ever: a task of its own beside everything else.
    pub async fn rest(self) {
        self.0.turns.clone().rest().await;
    }

    /// Flushes the head and writes the log out. Called when nobody asks any more.
    pub async fn close(&self) -> Result<(), WalError> {
        self.flush_at_stop().await;
        self.0.wal.close().await
    }

    pub(crate) fn own_stats(&self) -> &ShardStats {
        &self.0.stats[self.0.id.index()]
    }
}
