//! Blocks at a start: found, opened, and told apart.
//!
//! ```text
//! own shard of this count      opened; one that another stands for is removed
//! another count of shards      opened with the own series of it, unless an own block stands for them
//! another shard                nothing
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::block::{Block, BlockError, BlockId, Tombstones, hashes_of_shard};
use engine::disk::{Disk, DiskError, DiskErrorKind};
use engine::store::OpenBlock;

use crate::disk::finished_files;
use crate::maintain::{block_name, tombstones_name};
use crate::route::ShardId;
use crate::runtime::blocking;

/// What the directory of blocks held for a shard.
#[derive(Default)]
pub(super) struct Found {
    pub blocks: Vec<OpenBlock>,
    /// Blocks of another count of shards, those included that an own block stands for.
    pub foreign: Vec<BlockId>,
}

/// Opens the blocks of shard `own` of `count`. What cannot be read is kept aside, taken away, and
/// told in `losses`.
pub(super) async fn open_blocks<D: Disk>(
    disk: &D,
    own: ShardId,
    count: usize,
    losses: &mut Vec<(String, String)>,
) -> Result<Found, DiskError> {
    let mut opened = vec![];
    for name in finished_files(disk).await? {
        if !name.ends_with(".block") {
            continue;
        }
        let mapped = match disk.map(&name).await {
            // Its shard, which starts beside this one, has just removed what another stands for.
            Err(error) if error.kind == DiskErrorKind::NotFound => continue,
            mapped => mapped?,
        };
        match Block::open(mapped) {
            Ok(block) => opened.push(Arc::new(block)),
            Err(error) => put_aside(disk, &name, &error, losses).await?,
        }
    }
    let is_own = |block: &Block| {
        let meta = block.meta();
        usize::from(meta.shard_count) == count && meta.shard == own.0
    };
    let own_blocks = opened.iter().filter(|block| is_own(block));
    let replaced: BTreeSet<BlockId> =
        own_blocks.flat_map(|block| block.meta().parents.iter().copied()).collect();
    let mut found = Found::default();
    for block in opened {
        let id = block.id();
        let is_replaced = replaced.contains(&id);
        let is_foreign = usize::from(block.meta().shard_count) != count;
        if is_foreign {
            found.foreign.push(id);
        } else if !is_own(&block) {
            continue;
        } else if is_replaced {
            // The process ended between the two steps of a merge.
            remove(disk, &block_name(id)).await?;
            remove(disk, &tombstones_name(id)).await?;
        }
        if is_replaced {
            continue;
        }
        let tombstones = Arc::new(read_tombstones(disk, id, losses).await?);
        if !is_foreign {
            found.blocks.push(OpenBlock { block, tombstones, series: None });
            continue;
        }
        let hashes = hashes_of_shard(own.0, count as u16); // At most SHARD_COUNT_MAX.
        match blocking(move || OpenBlock::of_hashes(block, tombstones, &hashes)).await {
            Ok(open) => found.blocks.push(open),
            Err(error) => put_aside(disk, &block_name(id), &error, losses).await?,
        }
    }
    Ok(found)
}

async fn remove<D: Disk>(disk: &D, name: &str) -> Result<(), DiskError> {
    match disk.remove(name).await {
        Err(error) if error.kind != DiskErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Several shards may find the same damage, at the same time.
async fn put_aside<D: Disk>(
    disk: &D,
    name: &str,
    error: &BlockError,
    losses: &mut Vec<(String, String)>,
) -> Result<(), DiskError> {
    match disk.quarantine(name).await {
        Ok(kept) => {
            losses.push((name.to_owned(), format!("{error}; the file is kept as {kept}")));
            remove(disk, name).await
        }
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// What was deleted from a block; nothing when that cannot be read, which is told.
async fn read_tombstones<D: Disk>(
    disk: &D,
    id: BlockId,
    losses: &mut Vec<(String, String)>,
) -> Result<Tombstones, DiskError> {
    let name = tombstones_name(id);
    let bytes = match disk.read(&name).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(Tombstones::default()),
        Err(error) => return Err(error),
    };
    match Tombstones::decode(&bytes, id) {
        Ok(tombstones) => Ok(tombstones),
        Err(error) => {
            put_aside(disk, &name, &error, losses).await?;
            Ok(Tombstones::default())
        }
    }
}
