//! One merge from its sources to a block that is installed.
//!
//! ```text
//! sources ─► merge, in turns ─► <id>.block, durable ─► verified ─► opened
//! ```

use std::sync::Arc;

use engine::block::{
    Block, BlockId, BlockMeta, BlockPlan, Merge, MergeScope, MergeSource, Progress,
};
use engine::disk::{Disk, Tree};
use engine::store::OpenBlock;

use super::MaintainError;
use crate::disk::FileStream;
use crate::runtime::{blocking, random, unix_ms};
use crate::storage::Storage;
use crate::turns::Work;

/// Samples between two looks at the clock.
const WORK_PER_LOOK: usize = 2048;

/// File name of a block.
pub(crate) fn block_name(id: BlockId) -> String {
    format!("{id}.block")
}

/// File name of what was deleted from a block.
pub(crate) fn tombstones_name(id: BlockId) -> String {
    format!("{id}.tombstones")
}

/// A new id, now.
pub(crate) fn new_block_id() -> BlockId {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&random().to_le_bytes());
    bytes[8..].copy_from_slice(&random().to_le_bytes()[..2]);
    BlockId::new(unix_ms().max(0) as u64, bytes)
}

/// What a new block will be, beside its id and shard.
pub(super) struct NewBlock {
    pub level: u32,
    pub parents: Vec<BlockId>,
    /// The time it stands for.
    pub range: std::ops::Range<i64>,
    pub is_out_of_order: bool,
}

impl NewBlock {
    /// One that takes the place of another, for the same time.
    pub fn instead_of(meta: &BlockMeta) -> NewBlock {
        NewBlock {
            level: meta.level,
            parents: vec![meta.id],
            range: meta.range_start_ms..meta.range_end_ms,
            is_out_of_order: meta.is_out_of_order,
        }
    }
}

/// A block as a merge reads it.
pub(super) fn block_source(open: &OpenBlock) -> MergeSource {
    MergeSource::Block { block: open.block.clone(), tombstones: open.tombstones.clone() }
}

impl<T: Tree> Storage<T> {
    /// Merges `sources` into a block of this shard, durable and verified, which is not read yet.
    /// `None` when nothing of the sources is left, or the process stops.
    pub(super) async fn merge(
        &self,
        sources: Vec<MergeSource>,
        scope: MergeScope,
        new: NewBlock,
    ) -> Result<Option<OpenBlock>, MaintainError> {
        let inner = &self.0;
        let id = new_block_id();
        let plan = BlockPlan {
            id,
            shard: self.id().0,
            shard_count: self.count() as u16, // At most SHARD_COUNT_MAX.
            level: new.level,
            is_out_of_order: new.is_out_of_order,
            parents: new.parents,
            range_start_ms: new.range.start,
            range_end_ms: new.range.end,
        };
        let mut bytes = vec![];
        let mut merge = Merge::new(sources, scope, plan, &mut bytes);
        let mut stream = FileStream::create(&inner.blocks_disk, &block_name(id)).await?;
        let meta = loop {
            let stepped = {
                let turn = inner.turns.begin(Work::Background).await;
                let store = inner.store.borrow();
                let mut labels =
                    |series: u32, out: &mut Vec<u8>| store.push_series_labels(series, out);
                loop {
                    match merge.step(&mut labels, WORK_PER_LOOK, &mut bytes) {
                        Ok(Progress::More) if !turn.is_over() => {}
                        stepped => break stepped,
                    }
                }
            };
            let done = match stepped {
                Ok(Progress::Done(meta)) => Some(meta),
                Ok(Progress::More) => None,
                Err(error) => {
                    stream.abandon().await;
                    return Err(error.into());
                }
            };
            if let Err(error) = stream.push(&mut bytes).await {
                stream.abandon().await;
                return Err(error.into());
            }
            if done.is_some() || self.is_stopping() {
                break done;
            }
        };
        if meta.is_none_or(|meta| meta.series_count == 0) {
            stream.abandon().await;
            return Ok(None);
        }
        // It may have its name and not be read: nobody would know of it before the next start.
        inner.orphans.borrow_mut().insert(id);
        match self.finish_block(stream, &mut bytes, id).await {
            Ok(block) => {
                inner.orphans.borrow_mut().remove(&id);
                Ok(Some(OpenBlock { block, tombstones: Arc::default(), series: None }))
            }
            Err(error) => {
                // Its sources are still there. What cannot be removed now is removed later.
                let _ = self.remove_orphans().await;
                Err(error)
            }
        }
    }

    async fn finish_block(
        &self,
        stream: FileStream<'_, T::Dir>,
        bytes: &mut Vec<u8>,
        id: BlockId,
    ) -> Result<Arc<Block>, MaintainError> {
        stream.finish(bytes).await?;
        let mapped = self.0.blocks_disk.map(&block_name(id)).await?;
        let block = blocking(move || {
            let block = Arc::new(Block::open(mapped)?);
            let mut page = Some(0);
            while let Some(at) = page {
                page = block.verify(at, PAGES_PER_LOOK)?;
            }
            Ok::<_, engine::block::BlockError>(block)
        });
        Ok(block.await?)
    }

    /// Removes blocks whose making failed when they may have had their names: what is deleted must not
    /// be back with them at the next start.
    pub(super) async fn remove_orphans(&self) -> Result<(), MaintainError> {
        let orphans: Vec<BlockId> = self.0.orphans.borrow().iter().copied().collect();
        self.remove_blocks(&orphans).await?;
        self.0.orphans.borrow_mut().clear();
        Ok(())
    }

    /// Removes the files of blocks that nobody opens any more; queries that read them still have
    /// them mapped.
    pub(super) async fn remove_blocks(&self, ids: &[BlockId]) -> Result<(), MaintainError> {
        let disk = &self.0.blocks_disk;
        for &id in ids {
            for name in [block_name(id), tombstones_name(id)] {
                match disk.remove(&name).await {
                    Err(error) if error.kind != engine::disk::DiskErrorKind::NotFound => {
                        return Err(error.into());
                    }
                    _ => {}
                }
            }
        }
        if ids.is_empty() { Ok(()) } else { Ok(disk.sync_dir().await?) }
    }
}

/// Pages that are verified in one call.
const PAGES_PER_LOOK: usize = 4096;
