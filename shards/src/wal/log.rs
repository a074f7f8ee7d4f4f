//! Frames are appended, written in groups, and awaited.
//!
//! Appending and writing alternate on the shard's thread: what is appended while a group is under
//! way becomes the next group, so groups grow with the load and nobody waits for company.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use engine::disk::{Disk, DiskError};
use engine::limits::WAL_FRAME_BYTES_MAX;
use engine::wal::Chain;

use super::commit::Commit;
use super::groups::{Groups, Space, Writer};
use super::watermark::Watermark;
use super::{SegmentNumber, SegmentStarts, WalError, WalOptions, segment_number};
use crate::observe::SharedReporter;
use crate::runtime::{Class, Task, now, spawn};
use crate::stats::WalStats;

/// Where a log goes on.
#[derive(Clone, Debug)]
pub struct Start {
    pub writer: Writer,
    pub chain: Chain,
    /// Number of the first segment to write.
    pub segment: SegmentNumber,
    /// Whether that segment is there already, prepared by an earlier run.
    pub is_prepared: bool,
    /// Of the segments that are there.
    pub starts: SegmentStarts,
}

/// The log of one shard. Cheap to clone; its writer ends with [`Wal::close`].
pub struct Wal<D: Disk>(Rc<Inner<D>>);

impl<D: Disk> Clone for Wal<D> {
    fn clone(&self) -> Self {
        Wal(self.0.clone())
    }
}

pub(super) struct Inner<D: Disk> {
    pub options: WalOptions,
    pub disk: D,
    pub reporter: SharedReporter,
    pub stats: Arc<WalStats>,
    pub groups: RefCell<Groups>,
    pub watermark: Watermark,
    /// The segment after the one that is written.
    pub spare: RefCell<Spare<D::File>>,
    /// Why nothing can be written at present.
    pub trouble: RefCell<Option<String>>,
    /// Why nothing is to be taken, as the shard has it: the disk is nearly full.
    pub refusal: RefCell<Option<String>>,
    /// Where the segments begin that exist.
    pub starts: RefCell<SegmentStarts>,
    /// When the oldest queued group was begun.
    pub oldest: Cell<Option<Instant>>,
    pub is_closing: Cell<bool>,
    /// The writer, when it waits; and whether something changed since it last looked.
    writer: Cell<Option<Waker>>,
    has_news: Cell<bool>,
    task: RefCell<Option<Task>>,
}

pub(super) enum Spare<F> {
    Preparing,
    Ready(SegmentNumber, F),
    /// No segment can be made, and why. Tried again and again.
    Failed(String),
}

impl<D: Disk + 'static> Wal<D> {
    /// Opens the log for writing on the shard's thread and has its first segment prepared.
    pub fn open(
        options: WalOptions,
        disk: D,
        start: Start,
        reporter: SharedReporter,
        stats: Arc<WalStats>,
    ) -> Wal<D> {
        let groups = Groups::new(start.writer, options.segment_bytes, start.chain, start.segment);
        let inner = Rc::new(Inner {
            options,
            disk,
            reporter,
            stats,
            groups: RefCell::new(groups),
            watermark: Watermark::default(),
            spare: RefCell::new(Spare::Preparing),
            trouble: RefCell::default(),
            refusal: RefCell::default(),
            starts: RefCell::new(start.starts),
            oldest: Cell::default(),
            is_closing: Cell::default(),
            writer: Cell::default(),
            has_news: Cell::default(),
            task: RefCell::default(),
        });
        inner.watermark.advance(start.chain.next_lsn - 1);
        let writing = Commit::new(inner.clone()).run(start.segment, start.is_prepared);
        inner.task.replace(Some(spawn(Class::Storage, writing)));
        Wal(inner)
    }

    /// Whether a frame of at most `frame_bytes_max` bytes would be taken now. Asked before the
    /// frame's samples go anywhere, so that what is refused is nowhere.
    pub fn admit(&self, frame_bytes_max: usize) -> Result<(), WalError> {
        let inner = &*self.0;
        if inner.is_closing.get() {
            return Err(WalError::Closed);
        }
        if frame_bytes_max > WAL_FRAME_BYTES_MAX {
            return Err(WalError::Unwritable(format!(
                "a request of {frame_bytes_max} bytes does not fit a frame of {WAL_FRAME_BYTES_MAX}"
            )));
        }
        if let Some(message) = inner.trouble.borrow().as_ref().or(inner.refusal.borrow().as_ref()) {
            return Err(WalError::Unwritable(message.clone()));
        }
        let groups = inner.groups.borrow();
        if groups.would_roll(frame_bytes_max)
            && let Spare::Failed(message) = &*inner.spare.borrow()
        {
            return Err(WalError::Unwritable(message.clone()));
        }
        let queued = groups.queued_bytes();
        if queued > 0 && queued + frame_bytes_max > inner.options.queue_bytes_max {
            return Err(WalError::Overloaded);
        }
        Ok(())
    }

    /// Bytes of a segment.
    pub fn segment_bytes(&self) -> usize {
        self.0.options.segment_bytes
    }

    /// Refuses new frames with this message from now on; `None`: no more.
    pub fn refuse(&self, message: Option<String>) {
        self.0.refusal.replace(message);
    }

    /// Appends the frame that `write` writes: at most `frame_bytes_max` bytes, or nothing. Returns
    /// its answer, and the LSN to await. With `is_urgent` the frame is written at once, otherwise
    /// within [`WalOptions::sync_delay_max`].
    ///
    /// The caller was admitted, and nothing happened since.
    pub fn append<T>(
        &self,
        frame_bytes_max: usize,
        is_urgent: bool,
        write: impl FnOnce(Space<'_>) -> T,
    ) -> (T, u64) {
        let inner = &*self.0;
        let mut groups = inner.groups.borrow_mut();
        if groups.front().is_none() {
            inner.oldest.set(Some(now()));
        }
        let first_lsn = groups.last_lsn() + 1;
        let appended = groups.append(frame_bytes_max, is_urgent, |space| {
            if space.begins_segment {
                inner.starts.borrow_mut().record(space.segment, first_lsn);
            }
            write(space)
        });
        inner.stats.queued_bytes.set(groups.queued_bytes() as u64);
        drop(groups);
        inner.tell_writer();
        appended
    }

    /// Waits until the frame `lsn` is durable as the sync policy has it.
    pub async fn durable(&self, lsn: u64) -> Result<(), WalError> {
        self.0.watermark.reached(lsn).await.map_err(WalError::Unwritable)
    }

    /// Removes the segments whose frames are all before `lsn`: parts hold them. The segment in use
    /// stays. Returns how many segments are left.
    pub async fn cut(&self, lsn: u64) -> Result<usize, WalError> {
        let end = self.0.starts.borrow_mut().take_before(lsn);
        if let Some(end) = end {
            self.remove_before(end).await?;
        }
        Ok(self.0.starts.borrow().count())
    }

    async fn remove_before(&self, end: SegmentNumber) -> Result<(), WalError> {
        let disk = &self.0.disk;
        let removing = async {
            for name in disk.list().await? {
                if segment_number(&name).is_some_and(|number| number < end) {
                    disk.remove(&name).await?;
                }
            }
            disk.sync_dir().await
        };
        let removed: Result<(), DiskError> = removing.await;
        removed.map_err(|error| WalError::Unwritable(error.to_string()))
    }

    /// Writes out what is queued and waits for it.
    pub async fn flush(&self) -> Result<(), WalError> {
        let last_lsn = {
            let mut groups = self.0.groups.borrow_mut();
            groups.hurry();
            groups.last_lsn()
        };
        self.0.tell_writer();
        self.durable(last_lsn).await
    }

    /// Takes no more frames, writes out and syncs what is there, and ends the writer. When the
    /// disk takes nothing, what is queued is given up.
    pub async fn close(&self) -> Result<(), WalError> {
        self.0.is_closing.set(true);
        self.0.groups.borrow_mut().hurry();
        self.0.tell_writer();
        if let Some(task) = self.0.task.take() {
            task.await;
        }
        let last_lsn = self.0.groups.borrow().last_lsn();
        self.durable(last_lsn).await
    }

    /// Ends the writer as a crash would: what is queued is lost.
    pub async fn kill(&self) {
        self.0.is_closing.set(true);
        if let Some(task) = self.0.task.take() {
            task.cancel().await;
        }
    }
}

impl<D: Disk> Inner<D> {
    pub fn tell_writer(&self) {
        self.has_news.set(true);
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// Waits until something changed since the last time.
    pub async fn news(&self) {
        poll_fn(|cx| {
            if self.has_news.take() {
                return Poll::Ready(());
            }
            self.writer.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
