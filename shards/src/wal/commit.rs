//! The writer of a log: takes groups in order, one at a time, and keeps a segment in reserve.

use std::rc::Rc;
use std::time::{Duration, Instant};

use engine::disk::{Disk, DiskError, DiskErrorKind};

use super::groups::Group;
use super::log::{Inner, Spare};
use super::{SegmentNumber, WalSync, segment_name};
use crate::disk::BlockBuffer;
use crate::observe::Event;
use crate::runtime::{Class, now, sleep, spawn, timeout};

/// Room for a group that is kept between groups.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

pub(super) struct Commit<D: Disk> {
    inner: Rc<Inner<D>>,
    buffer: BlockBuffer,
    current: Option<(SegmentNumber, D::File)>,
    /// When the first write since the last sync was, where writes are not durable by themselves.
    unsynced_since: Option<Instant>,
    /// What was written to the segment in use since: acknowledged, so it is written again when
    /// the sync fails. At most a segment.
    unsynced: Vec<Group>,
    /// Syncs that failed one after the other.
    failed_syncs: u32,
}

/// So many syncs that fail one after the other are no accident: nothing new is taken.
const FAILED_SYNCS_MAX: u32 = 2;

/// The log is closing and the disk takes nothing.
struct GivenUp;

impl<D: Disk + 'static> Commit<D> {
    pub fn new(inner: Rc<Inner<D>>) -> Commit<D> {
        let (buffer, unsynced) = (BlockBuffer::default(), Vec::new());
        Commit { inner, buffer, current: None, unsynced_since: None, unsynced, failed_syncs: 0 }
    }

    /// Writes until the log is closed and nothing is left, beginning with segment `first`.
    pub async fn run(mut self, first: SegmentNumber, is_prepared: bool) {
        let preparing = self.inner.clone().prepare(first, is_prepared);
        spawn(Class::Storage, preparing).detach();
        while self.wait_for_work().await {
            if self.sync_deadline().is_some_and(|deadline| deadline <= now()) {
                self.sync_in_time().await;
            }
            let Some(group) = self.take_due() else { continue };
            if let Err(GivenUp) = self.commit(group).await {
                break;
            }
        }
        if self.sync().await.is_err() {
            // What was acknowledged has another segment to go to.
            self.requeue();
            while let Some(group) = self.take_due() {
                if self.commit(group).await.is_err() {
                    return;
                }
            }
            let _ = self.sync().await;
        }
    }

    /// Waits until a group or a sync is due; false when the log was closed and nothing is left.
    async fn wait_for_work(&self) -> bool {
        let inner = &*self.inner;
        loop {
            let mut deadline = self.sync_deadline();
            {
                let groups = inner.groups.borrow();
                match groups.front() {
                    Some(group) if group.is_urgent || inner.is_closing.get() => return true,
                    Some(_) => {
                        let oldest = inner.oldest.get().expect("set with the first group");
                        let due = oldest + inner.options.sync_delay_max;
                        deadline = Some(deadline.map_or(due, |deadline| deadline.min(due)));
                    }
                    None if inner.is_closing.get() => return false,
                    None => {}
                }
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(now())) {
                Some(Duration::ZERO) => return true,
                // Either way there is something to look at.
                Some(left) => drop(timeout(left, inner.news()).await),
                None => inner.news().await,
            }
        }
    }

    fn sync_deadline(&self) -> Option<Instant> {
        match self.inner.options.sync {
            WalSync::Interval(interval) => Some(self.unsynced_since? + interval),
            WalSync::Batch | WalSync::Os => None,
        }
    }

    /// The next group, if it is due.
    fn take_due(&self) -> Option<Group> {
        let inner = &*self.inner;
        let mut groups = inner.groups.borrow_mut();
        let first = groups.front()?;
        let delay_max = inner.options.sync_delay_max;
        let is_old = inner.oldest.get().is_none_or(|oldest| oldest + delay_max <= now());
        if !first.is_urgent && !is_old && !inner.is_closing.get() {
            return None;
        }
        let group = groups.pop();
        inner.oldest.set(groups.front().map(|_| now()));
        inner.stats.queued_bytes.set(groups.queued_bytes() as u64);
        group
    }

    /// Writes `group`, however often that must be tried.
    async fn commit(&mut self, mut group: Group) -> Result<(), GivenUp> {
        let mut attempt = 0u32;
        let mut start = now();
        while let Err(error) = self.try_commit(&group).await {
            let inner = &*self.inner;
            inner.stats.write_failures.add(1);
            if attempt == 0 {
                inner.reporter.report(Event::LogWriteFailed { message: error.to_string() });
            } else {
                self.give_up_waiters(&error.to_string());
                if inner.is_closing.get() {
                    return Err(GivenUp);
                }
                sleep(inner.options.retry_delay).await;
            }
            // Nothing is written to that file or synced again: what it holds is unknown. What was
            // acknowledged before it was synced goes first.
            let written = self.abandon();
            group = self.inner.groups.borrow_mut().retreat(written, group);
            attempt += 1;
            start = now();
        }
        let inner = &*self.inner;
        inner.stats.writes.record(now() - start);
        inner.stats.bytes.add(self.buffer.as_ref().len() as u64);
        let durable_lsn = inner.watermark.durable_lsn();
        inner.stats.frames.add(group.last_lsn.saturating_sub(durable_lsn));
        self.buffer.shrink(BUFFER_BYTES_KEPT);
        // What is written again, because its first segment could not be synced, was reached before.
        inner.watermark.advance(group.last_lsn.max(durable_lsn));
        if self.failed_syncs < FAILED_SYNCS_MAX {
            inner.set_trouble(None);
        }
        if attempt > 0 {
            inner.reporter.report(Event::LogWriteHealed);
        }
        if inner.options.sync == WalSync::Batch {
            inner.groups.borrow_mut().give_back(group.bytes);
        } else {
            self.unsynced.push(group);
        }
        Ok(())
    }

    /// Tells everybody who waits that it did not work. Their frames stay queued.
    fn give_up_waiters(&self, message: &str) {
        self.inner.set_trouble(Some(message.to_owned()));
        let last_lsn = self.inner.groups.borrow().last_lsn();
        self.inner.watermark.fail(last_lsn, message);
    }

    async fn try_commit(&mut self, group: &Group) -> Result<(), DiskError> {
        if self.current.as_ref().is_none_or(|(number, _)| *number != group.segment) {
            self.begin_segment(group).await?;
        }
        let (_, file) = self.current.as_ref().expect("begun above");
        let inner = &*self.inner;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.fill(&group.bytes);
        let offset = group.offset as u64;
        let written;
        if inner.options.sync == WalSync::Batch {
            (written, self.buffer) = inner.disk.write_durable(file, offset, buffer).await;
        } else {
            (written, self.buffer) = inner.disk.write_at(file, offset, buffer).await;
            self.unsynced_since = self.unsynced_since.or_else(|| Some(now()));
        }
        written
    }

    /// Takes the spare segment into use and has the next one prepared.
    async fn begin_segment(&mut self, group: &Group) -> Result<(), DiskError> {
        self.sync().await?;
        let inner = &*self.inner;
        let number = group.segment;
        let mut file = loop {
            let trouble = match inner.spare.replace(Spare::Preparing) {
                Spare::Ready(ready, file) => {
                    assert!(ready == number, "segments are used in order");
                    break file;
                }
                Spare::Failed(message) => {
                    inner.spare.replace(Spare::Failed(message.clone()));
                    Some(message)
                }
                Spare::Preparing => None,
            };
            if let Some(message) = trouble {
                self.give_up_waiters(&message);
                if inner.is_closing.get() {
                    return Err(DiskError {
                        operation: "create",
                        path: segment_name(number),
                        kind: DiskErrorKind::NoSpace,
                        cause: message,
                    });
                }
            }
            inner.news().await;
        };
        spawn(Class::Storage, self.inner.clone().prepare(number + 1, false)).detach();
        if group.segment_bytes > inner.options.segment_bytes {
            // Larger than the one in reserve; replaces it.
            file = inner.create_segment(number, group.segment_bytes).await?;
        }
        inner.stats.segment.set(number);
        self.current = Some((number, file));
        Ok(())
    }

    /// Syncs the segment in use, unless every write did.
    async fn sync(&mut self) -> Result<(), DiskError> {
        let Some((_, file)) = &self.current else { return Ok(()) };
        if self.unsynced_since.take().is_none() {
            return Ok(());
        }
        let inner = &*self.inner;
        if let Err(error) = inner.disk.sync(file).await {
            inner.stats.sync_failures.add(1);
            self.failed_syncs += 1;
            return Err(error);
        }
        self.failed_syncs = 0;
        self.unsynced.clear();
        Ok(())
    }

    /// Syncs because it is time to. When that fails, what was acknowledged since the last sync is
    /// queued again, for another segment; when it fails again and again, nothing new is taken
    /// until it works.
    async fn sync_in_time(&mut self) {
        let inner = self.inner.clone();
        let had_failed = self.failed_syncs > 0;
        match self.sync().await {
            Ok(()) if had_failed => {
                inner.set_trouble(None);
                inner.reporter.report(Event::LogWriteHealed);
            }
            Ok(()) => {}
            Err(error) => {
                if !had_failed {
                    inner.reporter.report(Event::LogWriteFailed { message: error.to_string() });
                }
                if self.failed_syncs >= FAILED_SYNCS_MAX {
                    inner.set_trouble(Some(error.to_string()));
                }
                self.requeue();
                if had_failed && !inner.is_closing.get() {
                    sleep(inner.options.retry_delay).await;
                }
            }
        }
    }

    /// Leaves the segment in use, and queues what was not synced for the next one.
    fn requeue(&mut self) {
        let Some((number, _)) = self.current else { return };
        let written = self.abandon();
        self.inner.groups.borrow_mut().leave(number, written);
    }

    /// Writes nothing more to the segment in use, and syncs it no more. Returns the groups in it
    /// that were acknowledged and not synced.
    fn abandon(&mut self) -> Vec<Group> {
        self.current = None;
        self.unsynced_since = None;
        std::mem::take(&mut self.unsynced)
    }
}

impl<D: Disk> Inner<D> {
    /// Why nothing new is taken from now on; `None`: it is.
    fn set_trouble(&self, message: Option<String>) {
        self.stats.is_read_only.set(u64::from(message.is_some()));
        self.trouble.replace(message);
    }

    /// Has segment `number` in reserve, however long the disk may be full.
    async fn prepare(self: Rc<Self>, number: SegmentNumber, is_prepared: bool) {
        let mut has_failed = false;
        loop {
            let prepared = match is_prepared && !has_failed {
                true => self.disk.open(&segment_name(number)).await,
                false => self.create_segment(number, self.options.segment_bytes).await,
            };
            let error = match prepared {
                Ok(file) => {
                    self.spare.replace(Spare::Ready(number, file));
                    break;
                }
                Err(error) => error,
            };
            self.stats.prepare_failures.add(1);
            self.spare.replace(Spare::Failed(error.to_string()));
            self.stats.is_read_only.set(1);
            if !std::mem::replace(&mut has_failed, true) {
                self.reporter.report(Event::LogWriteFailed { message: error.to_string() });
            }
            self.tell_writer();
            sleep(self.options.retry_delay).await;
            if self.is_closing.get() {
                return;
            }
        }
        if has_failed {
            self.stats.is_read_only.set(u64::from(self.trouble.borrow().is_some()));
            self.reporter.report(Event::LogWriteHealed);
        }
        self.tell_writer();
    }

    /// Makes a segment: zeros, synced, under its name, and that durable.
    async fn create_segment(
        &self,
        number: SegmentNumber,
        bytes: usize,
    ) -> Result<D::File, DiskError> {
        let aside = format!("{number:08}.tmp");
        match self.disk.remove(&aside).await {
            Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(&aside, bytes as u64).await?;
        self.disk.sync(&file).await?;
        self.disk.rename(&aside, &segment_name(number)).await?;
        self.disk.sync_dir().await?;
        Ok(file)
    }
}
