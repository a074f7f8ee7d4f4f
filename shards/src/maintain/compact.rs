//! Blocks to larger blocks, and blocks of other shard counts to own ones.

use engine::block::{BlockId, MergeScope, PlannedBlock, block_ranges, hashes_of_shard, plan_merge};
use engine::disk::Tree;
use engine::store::OpenBlock;

use super::MaintainError;
use super::merge::{NewBlock, block_source};
use super::scrub::PagedFile;
use crate::runtime::now;
use crate::storage::Storage;

impl<T: Tree> Storage<T> {
    /// Own blocks as planning sees them.
    pub(super) fn planned_blocks(&self) -> Vec<PlannedBlock> {
        let store = self.0.store.borrow();
        let failed = self.0.failed_merges.borrow();
        let own = store.blocks().iter().filter(|open| open.series.is_none());
        own.map(|open| {
            let tombstones = open.tombstones.interval_count();
            let mut planned =
                PlannedBlock::new(open.block.meta(), tombstones, open.block.file_bytes());
            planned.has_failed = failed.contains(&planned.id);
            planned
        })
        .collect()
    }

    /// Merges what planning finds first. Whether there was anything.
    pub(super) async fn compact(&self) -> Result<bool, MaintainError> {
        let keep = &self.0.keep;
        let ranges_ms = block_ranges(keep.block_ms_min, keep.block_ms_max);
        let ids = plan_merge(&self.planned_blocks(), &ranges_ms);
        if ids.is_empty() {
            return Ok(false);
        }
        let merged = self.rewrite(&ids).await;
        if merged.is_err() {
            self.0.failed_merges.borrow_mut().extend(&ids);
        }
        if let Err(MaintainError::Data(_)) = merged {
            for id in ids {
                self.put_aside_if_damaged(PagedFile::Block(id)).await?;
            }
        }
        merged.map(|()| true)
    }

    /// Writes own blocks anew, as one and without what was deleted from them.
    pub(super) async fn rewrite(&self, ids: &[BlockId]) -> Result<(), MaintainError> {
        let begun = now();
        let sources: Vec<OpenBlock> = {
            let store = self.0.store.borrow();
            let blocks = store.blocks().iter();
            blocks.filter(|open| ids.contains(&open.block.id())).cloned().collect()
        };
        let metas = || sources.iter().map(|open| open.block.meta());
        let start_ms = metas().map(|meta| meta.range_start_ms).min().unwrap_or(0);
        let end_ms = metas().map(|meta| meta.range_end_ms).max().unwrap_or(0);
        let new = NewBlock {
            level: metas().map(|meta| meta.level).max().unwrap_or(0) + 1,
            parents: ids.to_vec(),
            range: start_ms..end_ms,
            is_out_of_order: metas().all(|meta| meta.is_out_of_order),
        };
        let merge_sources = sources.iter().map(block_source).collect();
        let block = self.merge(merge_sources, MergeScope::default(), new).await?;
        if self.is_stopping() && block.is_none() {
            return Ok(());
        }
        self.0.store.borrow_mut().replace_blocks(ids, block);
        self.remove_blocks(ids).await?;
        self.own_stats().maintenance.compactions.record(now() - begun);
        Ok(())
    }

    /// Takes the own series out of the blocks that another number of shards wrote. The files of
    /// those go when every shard has done so. One that is damaged stays as it is.
    pub(super) async fn adopt_blocks(&self) -> Result<(), MaintainError> {
        loop {
            let foreign = {
                let (store, failed) = (self.0.store.borrow(), self.0.failed_merges.borrow());
                let mut foreign = store.blocks().iter().filter(|open| open.series.is_some());
                foreign.find(|open| !failed.contains(&open.block.id())).cloned()
            };
            let Some(open) = foreign else { return Ok(()) };
            let meta = open.block.meta();
            let scope = MergeScope {
                hashes: hashes_of_shard(self.id().0, self.count() as u16),
                ..MergeScope::default()
            };
            let new = NewBlock::instead_of(meta);
            let merged = self.merge(vec![block_source(&open)], scope, new).await;
            if matches!(merged, Err(MaintainError::Data(_))) {
                self.0.failed_merges.borrow_mut().insert(meta.id);
            }
            let block = merged?;
            if self.is_stopping() && block.is_none() {
                return Ok(());
            }
            self.0.store.borrow_mut().replace_blocks(&[meta.id], block);
        }
    }
}
