//! From the head to a part, and the log cut behind it.
//!
//! ```text
//! head, in turns ─► <number>.part, durable ─► installed ─► chunks leave the head, in turns
//!                                                      └─► segments before it are removed
//! ```
//!
//! A crash between any two steps leaves what is needed: the part counts once it has its name, and
//! the log is cut only then. What both hold counts once.

use std::sync::Arc;

use engine::block::part::Part;
use engine::disk::{Disk, Tree};

use super::MaintainError;
use crate::disk::FileStream;
use crate::runtime::now;
use crate::storage::Storage;
use crate::turns::Work;

/// Series forgotten in one go: about a tenth of a turn.
const FORGET_COUNT: usize = 256;

/// File name of the part `number`.
pub(super) fn part_name(number: u64) -> String {
    format!("{number:08}.part")
}

/// Number of the part with this file name.
pub(crate) fn part_number(name: &str) -> Option<u64> {
    name.strip_suffix(".part")?.parse().ok()
}

impl<T: Tree> Storage<T> {
    /// Writes what the head holds into a part and cuts the log; nothing when all is in parts
    /// already. As a base the part names all series. One at a time: the caller has the permit of
    /// [`crate::storage::StorageInner::maintenance`].
    pub(super) async fn flush(&self, is_base: bool) -> Result<(), MaintainError> {
        let inner = &self.0;
        if !is_base && !inner.store.borrow().has_unflushed() {
            return Ok(());
        }
        let begun = now();
        let mut bytes = vec![];
        let mut flush = inner.store.borrow_mut().begin_flush(is_base, &mut bytes);
        let name = part_name(flush.number());
        let mut stream = FileStream::create(&inner.parts_disk, &name).await?;
        loop {
            let is_done = {
                let turn = inner.turns.begin(Work::Background).await;
                let mut store = inner.store.borrow_mut();
                store.flush_some(&mut flush, &mut bytes, || turn.is_over())
            };
            let pushed = match is_done {
                Ok(is_done) => stream.push(&mut bytes).await.map(|()| is_done).map_err(Into::into),
                Err(error) => Err(MaintainError::from(error)),
            };
            match pushed {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    stream.abandon().await;
                    return Err(error);
                }
            }
        }
        let (meta, flushed) = inner.store.borrow().end_flush(flush, &mut bytes);
        stream.finish(&mut bytes).await?;
        let part = Part::open(inner.parts_disk.map(&name).await?)?;
        inner.store.borrow_mut().install_part(Arc::new(part));
        for first in (0..flushed.id_count()).step_by(FORGET_COUNT) {
            let _turn = inner.turns.begin(Work::Background).await;
            let ids = first..first.saturating_add(FORGET_COUNT as u32);
            inner.store.borrow_mut().forget_flushed(&flushed, ids)?;
        }
        self.own_stats().maintenance.flushes.record(now() - begun);
        self.own_stats().maintenance.flushed_log_bytes.set(self.own_stats().wal.bytes.get());
        self.cut_log(meta.next_lsn).await
    }

    /// Removes segments of the log whose frames are all before `next_lsn`.
    async fn cut_log(&self, next_lsn: u64) -> Result<(), MaintainError> {
        let inner = &self.0;
        // A frame that is still to be written is not cut away under its writer.
        inner.wal.durable(next_lsn - 1).await?;
        let left = inner.wal.cut(next_lsn).await?;
        self.own_stats().wal.segments.set(left as u64);
        Ok(())
    }
}
