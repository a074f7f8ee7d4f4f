//! A disk that is nearly full: samples are refused before nothing can be written at all.

use std::time::Duration;

use engine::disk::Tree;

use crate::runtime::sleep;
use crate::storage::Storage;

/// How often a shard asks how much room the disk has.
const SPACE_EVERY: Duration = Duration::from_secs(2);

/// The same while it refuses, which it does until it has asked again.
const SPACE_EVERY_WHILE_LOW: Duration = Duration::from_millis(250);

impl<T: Tree> Storage<T> {
    /// Refuses samples while the disk has less than [`super::KeepOptions::free_bytes_min`] left, so
    /// that what makes room (flushing, compaction, retention) still can: a task of its own.
    pub async fn watch_space(self) {
        let free_bytes_min = self.0.keep.free_bytes_min;
        loop {
            // What cannot be asked is found out by writing.
            let free_bytes = self.0.tree.free_bytes().await.unwrap_or(u64::MAX);
            let is_low = free_bytes < free_bytes_min;
            self.own_stats().disk_free_bytes.set(free_bytes);
            self.own_stats().is_space_low.set(u64::from(is_low));
            self.0.wal.refuse(is_low.then(|| {
                format!("{free_bytes} bytes are free on the disk, {free_bytes_min} are kept free")
            }));
            sleep(if is_low { SPACE_EVERY_WHILE_LOW } else { SPACE_EVERY }).await;
        }
    }
}
