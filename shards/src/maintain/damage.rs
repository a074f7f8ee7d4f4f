//! Parts and blocks that do not hold what was written. They show when something reads them.
//!
//! ```text
//! damaged ─► kept in quarantine ─► a file of the series that are whole takes its place, told
//! at a start, while its labels are missing: a part is taken away as a whole
//! ```

use std::sync::Arc;

use engine::block::part::{Part, PartRescue};
use engine::block::{BlockError, BlockId, MergeScope, MergeSource};
use engine::disk::{Disk, DiskError, DiskErrorKind, Tree};
use engine::store::OpenBlock;

use super::MaintainError;
use super::flush::part_name;
use super::merge::{NewBlock, block_name};
use super::scrub::{Paged, PagedFile, Rot};
use crate::disk::FileStream;
use crate::observe::Event;
use crate::runtime::blocking;
use crate::storage::Storage;

/// Pages that are verified in one call.
const PAGES_PER_LOOK: usize = 4096;

/// Groups of series that are taken over in one call.
const GROUPS_PER_LOOK: u64 = 64;

/// Reads all of a part.
fn verify(part: &Part) -> Result<(), BlockError> {
    let mut page = Some(0);
    while let Some(at) = page {
        page = part.verify(at, PAGES_PER_LOOK)?;
    }
    Ok(())
}

/// Of `parts` those that are whole. The others are kept aside, taken away, and told in `losses`.
///
/// Cost: reads every byte.
pub(crate) async fn whole_parts<D: Disk>(
    disk: &D,
    parts: Vec<Arc<Part>>,
    losses: &mut Vec<(String, String)>,
) -> Result<Vec<Arc<Part>>, DiskError> {
    let mut whole = vec![];
    for part in parts {
        let looked_at = part.clone();
        let Err(error) = blocking(move || verify(&looked_at)).await else {
            whole.push(part);
            continue;
        };
        let name = part_name(part.meta().number);
        match disk.quarantine(&name).await {
            Ok(kept) => {
                disk.remove(&name).await?;
                losses.push((name, format!("{error}; the part is kept as {kept}")));
            }
            // Another shard, which starts beside this one, has done it.
            Err(error) if error.kind == DiskErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

impl<T: Tree> Storage<T> {
    /// Reads a block that a merge could not, and puts it aside if it is damaged. The caller has the
    /// permit of maintenance.
    pub(super) async fn put_aside_if_damaged(
        &self,
        file: PagedFile,
    ) -> Result<bool, MaintainError> {
        match self.find_rot(file, None).await? {
            Some(Rot::Damaged(why)) => self.put_aside(file, &why).await.map(|()| true),
            Some(Rot::Unreadable(_)) | None => Ok(false),
        }
    }

    /// Reads all parts, and has those that are damaged give way. Whether there were any. The caller has
    /// the permit of maintenance.
    pub(super) async fn put_damaged_parts_aside(&self) -> Result<bool, MaintainError> {
        let numbers: Vec<u64> = {
            let store = self.0.store.borrow();
            store.parts().map(|part| part.meta().number).collect()
        };
        let mut are_some = false;
        for number in numbers {
            are_some |= self.put_aside_if_damaged(PagedFile::Part(number)).await?;
        }
        Ok(are_some)
    }

    /// Takes a damaged file out of use: it is kept, and one of those of its series that are whole takes
    /// its place. The caller has the permit of maintenance.
    pub(super) async fn put_aside(&self, file: PagedFile, why: &str) -> Result<(), MaintainError> {
        match file {
            PagedFile::Part(number) => self.put_part_aside(number, why).await,
            PagedFile::Block(id) => self.put_block_aside(id, why).await,
        }
    }

    async fn put_part_aside(&self, number: u64, why: &str) -> Result<(), MaintainError> {
        let inner = &self.0;
        let find =
            || inner.store.borrow().parts().find(|part| part.meta().number == number).cloned();
        let Some(part) = find() else { return Ok(()) };
        // A base behind it, so that nothing but its samples is needed.
        self.flush(true).await?;
        let name = part_name(number);
        let kept = inner.parts_disk.quarantine(&name).await?;
        // One that cannot be opened any more has no series that could be read.
        let rescued = match self.open_anew(PagedFile::Part(number)).await? {
            Some(Ok(Paged::Part(damaged))) => Some(self.rescue_part(damaged, &name).await?),
            _ => None,
        };
        let whole_count = rescued.as_ref().map_or(0, |rescued| rescued.meta().series_count);
        let is_gone = rescued.is_none();
        inner.store.borrow_mut().replace_part(number, rescued);
        if is_gone {
            inner.parts_disk.remove(&name).await?;
            inner.parts_disk.sync_dir().await?;
        }
        let meta = part.meta();
        let of = (meta.series_count, meta.min_ms, meta.max_ms);
        self.tell_damage(name, why, whole_count, of, &kept);
        Ok(())
    }

    /// Gives what can be read of a part the name of the part.
    async fn rescue_part(
        &self,
        damaged: Arc<Part>,
        name: &str,
    ) -> Result<Arc<Part>, MaintainError> {
        let inner = &self.0;
        let mut bytes = vec![];
        let mut rescue = PartRescue::new(damaged, &mut bytes);
        let mut stream = FileStream::create(&inner.parts_disk, name).await?;
        loop {
            let copied = blocking(move || {
                let is_done = rescue.step(GROUPS_PER_LOOK, &mut bytes);
                (rescue, bytes, is_done)
            });
            let is_done;
            (rescue, bytes, is_done) = copied.await;
            if let Err(error) = stream.push(&mut bytes).await {
                stream.abandon().await;
                return Err(error.into());
            }
            if is_done {
                break;
            }
        }
        rescue.finish(&mut bytes);
        stream.finish(&mut bytes).await?;
        Ok(Arc::new(Part::open(inner.parts_disk.map(name).await?)?))
    }

    async fn put_block_aside(&self, id: BlockId, why: &str) -> Result<(), MaintainError> {
        let inner = &self.0;
        let damaged =
            inner.store.borrow().blocks().iter().find(|open| open.block.id() == id).cloned();
        let Some(damaged) = damaged else { return Ok(()) };
        let kept = inner.blocks_disk.quarantine(&block_name(id)).await?;
        let rescued = self.rescue_block(&damaged).await?;
        if self.is_stopping() && rescued.is_none() {
            return Ok(());
        }
        let whole_count = rescued.as_ref().map_or(0, |open| open.block.meta().series_count);
        inner.store.borrow_mut().replace_blocks(&[id], rescued);
        let meta = damaged.block.meta();
        let of = (meta.series_count, meta.min_ms, meta.max_ms);
        self.tell_damage(block_name(id), why, whole_count, of, &kept);
        self.remove_blocks(&[id]).await
    }

    /// A block of the series of `damaged` that can be read.
    async fn rescue_block(&self, damaged: &OpenBlock) -> Result<Option<OpenBlock>, MaintainError> {
        let meta = damaged.block.meta();
        // Read anew: what the open one has seen whole may be damaged now.
        let Some(Ok(Paged::Block(block))) = self.open_anew(PagedFile::Block(meta.id)).await? else {
            return Ok(None);
        };
        let source = MergeSource::Block { block, tombstones: damaged.tombstones.clone() };
        let scope = MergeScope { skips_damaged: true, ..MergeScope::default() };
        self.merge(vec![source], scope, NewBlock::instead_of(meta)).await
    }

    /// Tells that a file gave way to `whole_count` of its series; `of` are their number and the time of
    /// their samples.
    fn tell_damage(
        &self,
        name: String,
        why: &str,
        whole_count: u64,
        of: (u64, i64, i64),
        kept: &str,
    ) {
        let (series_count, min_ms, max_ms) = of;
        let message = format!(
            "{why}; {whole_count} of its {series_count} series, {min_ms} to {max_ms} ms, are whole and \
             go on being served; the file is kept as {kept}"
        );
        self.own_stats().maintenance.damages.add(1);
        self.0.reporter.report(Event::LogDamaged { path: name.into(), message });
    }
}
