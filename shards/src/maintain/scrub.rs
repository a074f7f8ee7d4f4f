//! Looking for rot before a query meets it: every block is read, slowly, and held against its
//! checksums.
//!
//! ```text
//! a block ─► its pages in pieces, off the shard ─► whole
//!     └► damaged: kept in quarantine ─► a block of the series that are whole takes its place
//!     └► the disk does not give it out: told, and left, because it may another time
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use engine::block::{Block, BlockId, MergeScope, MergeSource};
use engine::disk::{Disk, DiskErrorKind, Tree};
use engine::store::OpenBlock;

use super::MaintainError;
use super::merge::{NewBlock, block_name};
use crate::disk::populate;
use crate::observe::Event;
use crate::runtime::{blocking, now, sleep};
use crate::storage::Storage;

/// From the beginning of one pass to that of the next, if it is over by then.
const PASS_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The first pass begins so long after the start.
const FIRST_DELAY: Duration = Duration::from_secs(10 * 60);

/// How often a stop is looked for while nothing is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pages of 4096 bytes that are read in one go.
const PAGES_PER_LOOK: usize = 256;

const PAGE_BYTES: usize = 4096;

/// What is wrong with a block.
enum Rot {
    /// It does not hold what was written.
    Damaged(String),
    /// The disk does not give it out.
    Unreadable(String),
}

impl<T: Tree> Storage<T> {
    /// Reads all blocks once a day until the process stops: a task of its own.
    pub async fn scrub(self) {
        let bytes_per_second = self.0.keep.scrub_bytes_per_second / self.count() as u64;
        if bytes_per_second == 0 {
            return;
        }
        let mut due = now() + FIRST_DELAY;
        while !self.is_stopping() {
            if now() < due {
                sleep(LOOK_EVERY).await;
                continue;
            }
            due = now() + PASS_EVERY;
            self.scrub_blocks(Some(bytes_per_second)).await;
        }
    }

    /// Reads all blocks now, as fast as it goes.
    pub async fn scrub_now(&self) {
        self.scrub_blocks(None).await;
    }

    async fn scrub_blocks(&self, bytes_per_second: Option<u64>) {
        let ids: Vec<BlockId> = {
            let store = self.0.store.borrow();
            let own = store.blocks().iter().filter(|open| open.series.is_none());
            own.map(|open| open.block.id()).collect()
        };
        for id in ids {
            if let Err(error) = self.scrub_block(id, bytes_per_second).await {
                self.own_stats().maintenance.failures.add(1);
                let (shard, message) = (self.id().index(), error.to_string());
                self.0.reporter.report(Event::MaintenanceFailed { shard, message });
            }
            if self.is_stopping() {
                return;
            }
        }
        self.own_stats().maintenance.scrubs.add(1);
    }

    /// Reads one block; what is damaged is put aside.
    async fn scrub_block(
        &self,
        id: BlockId,
        bytes_per_second: Option<u64>,
    ) -> Result<(), MaintainError> {
        match self.find_rot(id, bytes_per_second).await? {
            None => Ok(()),
            Some(Rot::Unreadable(why)) => {
                self.own_stats().maintenance.damages.add(1);
                Err(MaintainError::Data(why))
            }
            Some(Rot::Damaged(why)) => {
                let _permit = self.0.maintenance.acquire().await;
                self.put_block_aside(id, &why).await
            }
        }
    }

    /// Reads a block that a merge could not, and puts it aside if it is damaged. The caller has the
    /// permit of maintenance.
    pub(super) async fn put_aside_if_damaged(&self, id: BlockId) -> Result<(), MaintainError> {
        match self.find_rot(id, None).await? {
            Some(Rot::Damaged(why)) => self.put_block_aside(id, &why).await,
            Some(Rot::Unreadable(_)) | None => Ok(()),
        }
    }

    async fn find_rot(
        &self,
        id: BlockId,
        bytes_per_second: Option<u64>,
    ) -> Result<Option<Rot>, MaintainError> {
        // A view of its own: pages that were verified once are verified again.
        let bytes = match self.0.blocks_disk.map(&block_name(id)).await {
            Ok(bytes) => bytes,
            // Merged or forgotten meanwhile.
            Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let block = match Block::open(bytes) {
            Ok(block) => Arc::new(block),
            Err(error) => return Ok(Some(Rot::Damaged(error.to_string()))),
        };
        let mut page = Some(0);
        while let Some(at) = page {
            let begun = now();
            let looked_at = block.clone();
            let looked = blocking(move || verify(&looked_at, at)).await;
            page = match looked {
                Ok(next) => next,
                Err(rot) => return Ok(Some(rot)),
            };
            let piece = (PAGES_PER_LOOK * PAGE_BYTES) as u64;
            self.own_stats().maintenance.scrubbed_bytes.add(piece.min(block.file_bytes()));
            if self.is_stopping() {
                return Ok(None);
            }
            if let Some(bytes_per_second) = bytes_per_second {
                let least = Duration::from_secs_f64(piece as f64 / bytes_per_second as f64);
                sleep(least.saturating_sub(now() - begun)).await;
            }
        }
        Ok(None)
    }

    /// Takes a damaged block out of use: it is kept, and a block of those of its series that are whole
    /// takes its place. The caller has the permit of maintenance.
    pub(super) async fn put_block_aside(
        &self,
        id: BlockId,
        why: &str,
    ) -> Result<(), MaintainError> {
        let inner = &self.0;
        let damaged =
            inner.store.borrow().blocks().iter().find(|open| open.block.id() == id).cloned();
        let Some(damaged) = damaged else { return Ok(()) };
        let kept = inner.blocks_disk.quarantine(&block_name(id)).await?;
        let rescued = self.rescue(&damaged).await?;
        if self.is_stopping() && rescued.is_none() {
            return Ok(());
        }
        let meta = damaged.block.meta();
        let whole_count = rescued.as_ref().map_or(0, |open| open.block.meta().series_count);
        let message = format!(
            "{why}; {whole_count} of its {} series, {} to {} ms, are whole and go on being served; \
             the file is kept as {kept}",
            meta.series_count, meta.min_ms, meta.max_ms
        );
        inner.store.borrow_mut().replace_blocks(&[id], rescued);
        self.own_stats().maintenance.damages.add(1);
        inner.reporter.report(Event::LogDamaged { path: block_name(id).into(), message });
        self.remove_blocks(&[id]).await
    }

    /// A block of the series of `damaged` that can be read.
    async fn rescue(&self, damaged: &OpenBlock) -> Result<Option<OpenBlock>, MaintainError> {
        let meta = damaged.block.meta();
        let new = NewBlock {
            level: meta.level,
            parents: vec![meta.id],
            range: meta.range_start_ms..meta.range_end_ms,
            is_out_of_order: meta.is_out_of_order,
        };
        // Read anew: what the open one has seen whole may be damaged now.
        let bytes = self.0.blocks_disk.map(&block_name(meta.id)).await?;
        let Ok(block) = Block::open(bytes) else { return Ok(None) };
        let tombstones = damaged.tombstones.clone();
        let source = MergeSource::Block { block: Arc::new(block), tombstones };
        let scope = MergeScope { skips_damaged: true, ..MergeScope::default() };
        self.merge(vec![source], scope, new).await
    }
}

/// Reads and verifies the pages from `page` on; where to go on. Blocks.
fn verify(block: &Block, page: usize) -> Result<Option<usize>, Rot> {
    let bytes = (**block.bytes()).as_ref();
    let start = (page * PAGE_BYTES).min(bytes.len());
    let end = (start + PAGES_PER_LOOK * PAGE_BYTES).min(bytes.len());
    populate(bytes, start..end).map_err(|error: io::Error| {
        Rot::Unreadable(format!("block {}, bytes {start} to {end}: {error}", block.id()))
    })?;
    block.verify(page, PAGES_PER_LOOK).map_err(|error| Rot::Damaged(error.to_string()))
}
