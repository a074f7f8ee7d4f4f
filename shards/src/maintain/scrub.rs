//! Looking for rot before a query meets it: every part and block is read, slowly, and held against its
//! checksums.
//!
//! ```text
//! a file ─► its pages in pieces, off the shard ─► whole
//!     └► damaged: see `damage`
//!     └► the disk does not give it out: told, and left, because it may another time
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use engine::block::part::Part;
use engine::block::{Block, BlockError, BlockId};
use engine::disk::{Disk, DiskErrorKind, FileBytes, Tree};

use super::MaintainError;
use super::flush::part_name;
use super::merge::block_name;
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

/// What is wrong with a file.
pub(crate) enum Rot {
    /// It does not hold what was written.
    Damaged(String),
    /// The disk does not give it out.
    Unreadable(String),
}

impl From<BlockError> for Rot {
    fn from(error: BlockError) -> Rot {
        Rot::Damaged(error.to_string())
    }
}

/// A file of pages.
#[derive(Clone, Copy, Debug)]
pub(super) enum PagedFile {
    Part(u64),
    Block(BlockId),
}

/// A view of one: pages that were verified in another are verified again.
pub(super) enum Paged {
    Part(Arc<Part>),
    Block(Arc<Block>),
}

impl Paged {
    fn bytes(&self) -> &FileBytes {
        match self {
            Paged::Part(part) => part.bytes(),
            Paged::Block(block) => block.bytes(),
        }
    }

    /// Reads and verifies the pages from `page` on; where to go on. Blocks.
    fn verify(&self, page: usize) -> Result<Option<usize>, Rot> {
        let bytes = (**self.bytes()).as_ref();
        let start = (page * PAGE_BYTES).min(bytes.len());
        read_in(self.bytes(), start..start + PAGES_PER_LOOK * PAGE_BYTES)?;
        Ok(match self {
            Paged::Part(part) => part.verify(page, PAGES_PER_LOOK),
            Paged::Block(block) => block.verify(page, PAGES_PER_LOOK),
        }?)
    }
}

/// Brings a range of a file into memory, so that touching it is safe. Blocks.
pub(crate) fn read_in(file: &FileBytes, range: std::ops::Range<usize>) -> Result<(), Rot> {
    let bytes = (**file).as_ref();
    let (start, end) = (range.start.min(bytes.len()), range.end.min(bytes.len()));
    populate(bytes, start..end)
        .map_err(|error: io::Error| Rot::Unreadable(format!("bytes {start} to {end}: {error}")))
}

impl<T: Tree> Storage<T> {
    /// Reads everything once a day until the process stops: parts, blocks, and what `rest` reads of
    /// other things with so many bytes a second.
    pub(crate) async fn scrub(self, rest: impl AsyncFn(u64)) {
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
            self.scrub_files(Some(bytes_per_second)).await;
            rest(bytes_per_second).await;
            if !self.is_stopping() {
                self.own_stats().maintenance.scrubs.add(1);
            }
        }
    }

    /// Reads all parts and blocks now, as fast as it goes.
    pub async fn scrub_now(&self) {
        self.scrub_files(None).await;
    }

    async fn scrub_files(&self, bytes_per_second: Option<u64>) {
        let files: Vec<PagedFile> = {
            let store = self.0.store.borrow();
            let parts = store.parts().map(|part| PagedFile::Part(part.meta().number));
            let own = store.blocks().iter().filter(|open| open.series.is_none());
            parts.chain(own.map(|open| PagedFile::Block(open.block.id()))).collect()
        };
        for file in files {
            if let Err(error) = self.scrub_file(file, bytes_per_second).await {
                self.own_stats().maintenance.failures.add(1);
                let (shard, message) = (self.id().index(), error.to_string());
                self.0.reporter.report(Event::MaintenanceFailed { shard, message });
            }
            if self.is_stopping() {
                return;
            }
        }
    }

    /// Reads one file; what is damaged is put aside.
    async fn scrub_file(
        &self,
        file: PagedFile,
        bytes_per_second: Option<u64>,
    ) -> Result<(), MaintainError> {
        match self.find_rot(file, bytes_per_second).await? {
            None => Ok(()),
            Some(Rot::Unreadable(why)) => {
                self.own_stats().maintenance.damages.add(1);
                Err(MaintainError::Data(why))
            }
            Some(Rot::Damaged(why)) => {
                let _permit = self.0.maintenance.acquire().await;
                self.put_aside(file, &why).await
            }
        }
    }

    /// Opens a file anew; `None` when it is not there: merged or forgotten meanwhile.
    pub(super) async fn open_anew(
        &self,
        file: PagedFile,
    ) -> Result<Option<Result<Paged, BlockError>>, MaintainError> {
        let mapped = match file {
            PagedFile::Part(number) => self.0.parts_disk.map(&part_name(number)).await,
            PagedFile::Block(id) => self.0.blocks_disk.map(&block_name(id)).await,
        };
        let bytes = match mapped {
            Ok(bytes) => bytes,
            Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(match file {
            PagedFile::Part(_) => Part::open(bytes).map(Arc::new).map(Paged::Part),
            PagedFile::Block(_) => Block::open(bytes).map(Arc::new).map(Paged::Block),
        }))
    }

    /// Reads a file, and says what is wrong with it.
    pub(super) async fn find_rot(
        &self,
        file: PagedFile,
        bytes_per_second: Option<u64>,
    ) -> Result<Option<Rot>, MaintainError> {
        let mut opened = match self.open_anew(file).await? {
            None => return Ok(None),
            Some(Ok(opened)) => opened,
            Some(Err(error)) => return Ok(Some(error.into())),
        };
        let file_bytes = (**opened.bytes()).as_ref().len() as u64;
        let mut page = Some(0);
        while let Some(at) = page {
            let begun = now();
            let looked = blocking(move || {
                let looked = opened.verify(at);
                (opened, looked)
            });
            let (looked_at, looked) = looked.await;
            opened = looked_at;
            page = match looked {
                Ok(next) => next,
                Err(Rot::Unreadable(why)) => {
                    return Ok(Some(Rot::Unreadable(format!("{file}, {why}"))));
                }
                Err(rot) => return Ok(Some(rot)),
            };
            let piece = (PAGES_PER_LOOK * PAGE_BYTES) as u64;
            self.own_stats().maintenance.scrubbed_bytes.add(piece.min(file_bytes));
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
}

impl std::fmt::Display for PagedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PagedFile::Part(number) => write!(f, "part {number}"),
            PagedFile::Block(id) => write!(f, "block {id}"),
        }
    }
}
