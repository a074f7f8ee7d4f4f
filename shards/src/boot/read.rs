//! A data directory opened for tools: everything in it as the storage of one shard, and nothing of it
//! changed.
//!
//! The one shard is a generation of its own, of which the directory never hears: what all shards of
//! former ones left is adopted into it.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use engine::head::HeadOptions;

use super::open::OpenPlan;
use crate::cancel::CancelToken;
use crate::disk::ReadOnlyTree;
use crate::guests::Guests;
use crate::layout::Layout;
use crate::maintain::KeepOptions;
use crate::observe::{SharedReporter, Silent};
use crate::route::ShardId;
use crate::stats::ShardStats;
use crate::storage::Storage;
use crate::wal::{Replayed, WalOptions};

/// Opens the directory at `path` on this executor.
///
/// Cost: memory as the server that wrote it needs after a start; blocks are read in place. Errors:
/// there is no such directory, a server is using it, or it cannot be read. What is damaged is told in
/// the losses, and left out.
pub async fn open_to_read(path: &Path) -> Result<(Storage<ReadOnlyTree>, Replayed), String> {
    let shown = path.display();
    if !path.is_dir() {
        return Err(format!("{shown}: no such directory"));
    }
    // Without the file nobody uses it.
    if let Ok(lock) = File::open(path.join("lock"))
        && lock.try_lock().is_err()
    {
        return Err(format!(
            "{shown} is in use by a server; stop it, or read a snapshot made by \
             POST /api/v1/admin/tsdb/snapshot"
        ));
    }
    let tree = ReadOnlyTree::new(path.to_owned());
    let reporter: SharedReporter = Arc::new(Silent);
    let mut layout = Layout::take(&tree, 1, &reporter).await.map_err(|error| error.to_string())?;
    // A directory of one shard is adopted, too: its own log would go on being written.
    layout.shard_counts.push(1);
    let (keep, stop) = (KeepOptions::default(), CancelToken::default());
    let plan = OpenPlan {
        id: ShardId(0),
        tree,
        layout,
        wal: WalOptions { segment_bytes: 0, ..WalOptions::default() }.normalized(),
        head: HeadOptions { chunk_range_ms: keep.block_ms_min, ..HeadOptions::default() },
        keep,
        settings: Arc::default(),
        reporter,
        adoption: Arc::default(),
        stop: stop.clone(),
        stats: vec![Arc::<ShardStats>::default()].into(),
    };
    let (storage, mut replayed) = plan.open().await?;
    let guests = Guests::find_to_read(path).map_err(|error| format!("{shown}: {error}"))?;
    guests.open(ShardId(0), 1, &stop);
    storage.0.store.borrow_mut().replace_guests(&[], guests.of_shard(ShardId(0)));
    replayed.losses.extend(guests.losses());
    if has_log_of_prometheus(path) {
        let why = "what Prometheus has not cut to blocks yet is imported by a server, and not read";
        replayed.losses.push(("wal".to_owned(), why.to_owned()));
    }
    Ok((storage, replayed))
}

/// Whether there are segments of Prometheus's own log: files named by a number.
fn has_log_of_prometheus(path: &Path) -> bool {
    let names = fs::read_dir(path.join("wal")).into_iter().flatten().flatten();
    names
        .filter(|entry| entry.metadata().is_ok_and(|of| of.is_file() && of.len() > 0))
        .any(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
}
