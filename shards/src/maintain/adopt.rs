//! The end of former generations: their logs and parts go once every shard has its share of them in
//! parts of its own, their blocks once every shard has its share in blocks of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::disk::Tree;

use super::MaintainError;
use crate::layout::{Layout, LayoutError};
use crate::runtime::{now, sleep};
use crate::storage::Storage;

/// How long a deletion waits for the end of it at most, and how often it looks.
const WAIT_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How far the shards of a process are with what former generations left.
#[derive(Debug, Default)]
pub struct Adoption {
    pub(super) logs: Share,
    blocks: Share,
}

/// Shards that have their share; one more than there are: somebody removes what all have, and two:
/// that is gone.
#[derive(Debug, Default)]
pub(super) struct Share(AtomicUsize);

impl Share {
    pub(super) fn say(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn is_gone(&self, shard_count: usize) -> bool {
        self.0.load(Ordering::Acquire) > shard_count + 1
    }

    /// Whether all have their share, and the caller is to remove it and to call [`Share::end`].
    fn begin(&self, shard_count: usize) -> bool {
        let (all, busy) = (shard_count, shard_count + 1);
        self.0.compare_exchange(all, busy, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn end(&self, shard_count: usize, is_gone: bool) {
        self.0.store(shard_count + if is_gone { 2 } else { 0 }, Ordering::Release);
    }
}

impl<T: Tree> Storage<T> {
    /// Whether no start will take over logs and parts of former generations once more.
    pub(super) fn has_own_logs(&self) -> bool {
        !self.0.is_adopting || self.0.adoption.logs.is_gone(self.count())
    }

    /// Waits until [`Storage::has_own_logs`], which is so some seconds after a start, but no longer than
    /// a client does.
    pub(super) async fn adopted(&self) {
        let begun = now();
        while !self.has_own_logs() && !self.is_stopping() && now() - begun < WAIT_MAX {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether no block of another count of shards is left.
    pub(super) fn has_own_blocks(&self) -> bool {
        self.0.foreign_blocks.is_empty() || self.0.adoption.blocks.is_gone(self.count())
    }

    /// Removes of former generations what every shard has its share of.
    ///
    /// Errors: what is left. It is tried again.
    pub(super) async fn end_adoption(&self) -> Result<(), MaintainError> {
        let (inner, count) = (&self.0, self.count());
        if !inner.is_adopting {
            return Ok(());
        }
        if inner.adoption.logs.begin(count) {
            let ended = Layout::end_before(&inner.tree, inner.generation).await;
            inner.adoption.logs.end(count, ended.is_ok());
            ended.map_err(|error| match error {
                LayoutError::Disk(error) => MaintainError::Disk(error),
                LayoutError::Foreign(_) => MaintainError::Data(error.to_string()),
            })?;
        }
        let has_foreign = inner.store.borrow().blocks().iter().any(|open| open.series.is_some());
        if !has_foreign && !inner.has_adopted_blocks.replace(true) {
            inner.adoption.blocks.say();
        }
        if inner.adoption.blocks.begin(count) {
            let removed = self.remove_blocks(&inner.foreign_blocks).await;
            inner.adoption.blocks.end(count, removed.is_ok());
            removed?;
        }
        Ok(())
    }
}
