//! Upkeep of Prometheus's blocks: retention, merges, deletion, snapshots. The first shard looks after
//! them for all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::block::BlockId;
use engine::model::{Matcher, TimeRange};
use engine::store::Deletion;

use super::Guests;
use crate::maintain::MaintainError;
use crate::observe::Event;
use crate::route::ShardId;
use crate::runtime::{blocking, sleep};
use crate::shard::Shard;

/// How often retention and merges are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long a deletion waits for a shard to read the block that stands for another now.
const SWAP_DELAY: Duration = Duration::from_millis(10);

/// The shard that looks after the blocks.
pub(crate) const GUESTS: ShardId = ShardId(0);

impl Shard {
    pub(super) fn guests(&self) -> &Arc<Guests> {
        &self.0.guests
    }

    /// Removes blocks that others stand for, and those that retention has passed, and merges the rest,
    /// until the process stops: a task of its own, on one shard.
    pub(crate) async fn keep_guests(self) {
        if self.id() != GUESTS || self.guests().blocks().is_empty() {
            return;
        }
        self.remove_guests(self.guests().replaced().into_iter().collect()).await;
        while !self.is_stopping() {
            let passed = self.0.storage.guests_passed();
            if !passed.is_empty() {
                let forgotten = passed.clone();
                let all = self.on_every_shard(move |shard| {
                    let forgotten = forgotten.clone();
                    async move {
                        shard.0.store.borrow_mut().replace_guests(&forgotten, vec![]);
                        Ok::<_, MaintainError>(())
                    }
                });
                if all.await.is_ok() {
                    self.remove_guests(passed).await;
                }
            }
            self.compact_guests().await;
            sleep(LOOK_EVERY).await;
        }
    }

    pub(super) fn tell_failure(&self, message: String) {
        self.own_stats().maintenance.failures.add(1);
        let shard = self.id().index();
        self.0.reporter.report(Event::MaintenanceFailed { shard, message });
    }

    pub(super) async fn remove_guests(&self, ids: Vec<BlockId>) {
        let guests = self.guests().clone();
        let removed = blocking(move || ids.into_iter().try_for_each(|id| guests.remove(id))).await;
        if let Err(error) = removed {
            // The next start finds them again.
            self.tell_failure(error.to_string());
        }
    }

    /// Deletes samples of this shard's series from the blocks of Prometheus, durably.
    pub(crate) async fn delete_in_guests(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<(), MaintainError> {
        loop {
            let deleted = self.0.storage.find_deleted(|store| {
                // Blocks that come meanwhile stand for these, which are not there any more then.
                Deletion::from_guests(store, matchers, range)
            });
            let mut is_done = true;
            for (id, added) in deleted.await?.blocks {
                let guests = self.guests().clone();
                let written = blocking(move || guests.delete(id, &added)).await;
                let written =
                    written.map_err(|error| MaintainError::Data(format!("block {id}: {error}")))?;
                match written {
                    Some(tombstones) => {
                        self.0.store.borrow_mut().set_guest_tombstones(id, tombstones);
                    }
                    // Another stands for it, which this shard is about to read, or retention has
                    // passed it.
                    None => is_done = false,
                }
            }
            if is_done || self.is_stopping() {
                return Ok(());
            }
            sleep(SWAP_DELAY).await;
        }
    }

    /// Puts the blocks of Prometheus into a snapshot.
    pub(crate) async fn snapshot_guests(&self, target: PathBuf) -> Result<(), String> {
        let guests = self.guests().clone();
        blocking(move || guests.snapshot(&guests.root.join(target)))
            .await
            .map_err(|error| format!("blocks of Prometheus: {error}"))
    }
}
