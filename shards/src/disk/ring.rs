//! The ring of durable writes: one operation at a time, awaited on the shard's own thread.
//!
//! The executor cannot await a foreign ring, but it can await a socket. So every operation is
//! linked to the send of one byte over a socket pair, whose other end the shard reads: no second
//! thread, no hand-over between threads.
#![allow(unsafe_code)]

use std::any::Any;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use io_uring::{IoUring, opcode, squeue, types};

use crate::runtime::Bell;

/// Completion tag of the bell's send. Operations count up from one.
const BELL: u64 = 0;

const ENTRIES: u32 = 4;

/// How long to wait when the kernel has no memory for an operation.
const RETRY_DELAY: Duration = Duration::from_millis(1);

pub struct WriteRing {
    ring: IoUring,
    /// The ring sends a byte here when an operation is done …
    bell: UnixStream,
    /// … and the shard hears it here.
    ear: Bell,
    /// What the kernel works on: kept here, not in the future that awaits it.
    under_way: Option<Operation>,
    last_tag: u64,
}

/// Everything the kernel may touch until the completion is there.
struct Operation {
    tag: u64,
    /// What is written from. On the heap: moving the owner does not move what the kernel reads.
    buffer: Box<dyn Any>,
    _file: Arc<File>,
    /// The byte of the bell.
    _byte: Box<u8>,
}

/// How an operation ended: the buffer it wrote from, and the kernel's answer.
pub type Completion = (Box<dyn Any>, io::Result<u32>);

impl WriteRing {
    /// Sets up the ring on the shard's thread.
    pub fn new() -> io::Result<WriteRing> {
        let (bell, ear) = UnixStream::pair()?;
        Ok(WriteRing {
            ring: IoUring::new(ENTRIES)?,
            bell,
            ear: Bell::new(ear),
            under_way: None,
            last_tag: BELL,
        })
    }

    pub fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Queues a write of all of `buffer` at `offset`; with `durable`, down to the medium
    /// (`RWF_DSYNC`). The ring was idle.
    pub fn push_write<B: AsRef<[u8]> + 'static>(
        &mut self,
        file: &Arc<File>,
        offset: u64,
        buffer: B,
        durable: bool,
    ) {
        let buffer = Box::new(buffer);
        let bytes = (*buffer).as_ref();
        let length = u32::try_from(bytes.len()).expect("a write is smaller than 4 GiB");
        let entry = opcode::Write::new(types::Fd(file.as_raw_fd()), bytes.as_ptr(), length)
            .offset(offset)
            .rw_flags(if durable { libc::RWF_DSYNC } else { 0 })
            .build();
        self.push(file, buffer, entry);
    }

    /// Queues `fdatasync`. The ring was idle.
    pub fn push_sync(&mut self, file: &Arc<File>) {
        let entry = opcode::Fsync::new(types::Fd(file.as_raw_fd()))
            .flags(types::FsyncFlags::DATASYNC)
            .build();
        self.push(file, Box::new(()), entry);
    }

    fn push(&mut self, file: &Arc<File>, buffer: Box<dyn Any>, entry: squeue::Entry) {
        assert!(self.is_idle(), "one operation at a time");
        self.last_tag += 1;
        let byte = Box::new(1u8);
        let bell = opcode::Send::new(types::Fd(self.bell.as_raw_fd()), &raw const *byte, 1)
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .build()
            .user_data(BELL);
        // A hard link: the bell rings after a failure, too.
        let entry = entry.user_data(self.last_tag).flags(squeue::Flags::IO_HARDLINK);
        let tag = self.last_tag;
        self.under_way = Some(Operation { tag, buffer, _file: file.clone(), _byte: byte });
        // SAFETY: what the entries name (the buffer, the byte, the file's descriptor) lives in
        // `under_way`, which only the completion empties, and dropping the ring waits for that;
        // the bell's descriptor lives as long as the ring.
        let pushed = unsafe { self.ring.submission().push_multiple(&[entry, bell]) };
        pushed.expect("an idle ring has room for an operation");
    }

    /// Hands what was pushed to the kernel; `Err` says after which time to try again.
    ///
    /// # Panics
    ///
    /// When the kernel takes nothing any more: then nothing can be acknowledged either.
    pub fn submit(&mut self) -> Result<(), Duration> {
        match self.ring.submit() {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Short of memory or of room for completions, for the moment.
                Some(libc::EAGAIN | libc::EBUSY | libc::EINTR) => Err(RETRY_DELAY),
                _ => panic!("the ring of durable writes takes nothing any more: {error}"),
            },
        }
    }

    /// Waits for the operation under way.
    pub fn poll_completed(&mut self, cx: &mut Context<'_>) -> Poll<Completion> {
        loop {
            if let Some(done) = self.reap() {
                return Poll::Ready(done);
            }
            match self.ear.poll_rung(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    panic!("the bell of the ring of durable writes is broken: {error}")
                }
            }
        }
    }

    /// Takes the completions that are there.
    fn reap(&mut self) -> Option<Completion> {
        let tag = self.under_way.as_ref()?.tag;
        let result = self.ring.completion().find(|entry| entry.user_data() == tag)?.result();
        let operation = self.under_way.take().expect("it was there a line above");
        let result =
            u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.wrapping_neg()));
        Some((operation.buffer, result))
    }
}

impl Drop for WriteRing {
    fn drop(&mut self) {
        while self.under_way.is_some() && self.reap().is_none() {
            let waited = self.ring.submit_and_wait(1);
            if waited.is_err_and(|error| error.raw_os_error() != Some(libc::EINTR)) {
                // The kernel may still read the buffer: better lost than freed.
                std::mem::forget(self.under_way.take());
            }
        }
    }
}
