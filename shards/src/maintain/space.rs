//! A disk that is nearly full: samples are refused before nothing can be written at all.

use std::path::PathBuf;
use std::time::Duration;

use crate::disk::space;
use crate::runtime::{blocking, sleep};
use crate::shard::Shard;

/// How often a shard asks how much room the disk has. Short: it refuses until it has asked again.
const SPACE_EVERY: Duration = Duration::from_secs(2);

impl Shard {
    /// Refuses samples while the disk has less than `free_bytes_min` left, so that what makes room
    /// (flushing, compaction, retention) still can: a task of its own.
    pub(crate) async fn watch_space(self, data_dir: PathBuf, free_bytes_min: u64) {
        loop {
            let path = data_dir.clone();
            let space = blocking(move || space(&path)).await;
            // What cannot be asked is found out by writing.
            let free_bytes = space.map_or(u64::MAX, |space| space.free_bytes);
            let is_low = free_bytes < free_bytes_min;
            self.own_stats().disk_free_bytes.set(free_bytes);
            self.own_stats().is_space_low.set(u64::from(is_low));
            self.0.wal.refuse(is_low.then(|| {
                format!("{free_bytes} bytes are free on the disk, {free_bytes_min} are kept free")
            }));
            sleep(SPACE_EVERY).await;
        }
    }
}
