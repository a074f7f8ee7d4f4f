//! Durable writes by the ring of the shard, one operation of a line at a time.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::RefCell;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use io_uring::{opcode, squeue, types};

use crate::fair::Semaphore;
use crate::runtime::Operation;

/// Operations in the order they were asked for, one at a time.
pub struct Line {
    writes: RefCell<Writes>,
    turns: Semaphore,
}

impl Default for Line {
    fn default() -> Line {
        Line { writes: RefCell::default(), turns: Semaphore::new(1) }
    }
}

impl Line {
    /// Runs one operation, behind those that were asked for before.
    pub async fn run(&self, begin: impl FnOnce(&mut Writes)) -> Written {
        let _turn = self.turns.acquire().await;
        if !self.writes.borrow().is_idle() {
            // Whoever began this one was dropped.
            let _ = poll_fn(|cx| self.writes.borrow_mut().poll_written(cx)).await;
        }
        begin(&mut self.writes.borrow_mut());
        poll_fn(|cx| self.writes.borrow_mut().poll_written(cx)).await
    }

    /// Has everybody wait for as long as the answer is kept.
    #[cfg(test)]
    pub async fn hold(&self) -> impl Drop + '_ {
        self.turns.acquire().await
    }
}

/// The operation under way, if there is one.
#[derive(Default)]
pub struct Writes {
    under_way: Option<Operation>,
}

/// Everything the kernel may touch until the completion is there.
struct Kept {
    /// What is written from. On the heap: moving the owner does not move what the kernel reads.
    buffer: Box<dyn Any>,
    _file: Arc<File>,
}

/// How an operation ended: the buffer it wrote from, and the kernel's answer.
pub type Written = (Box<dyn Any>, io::Result<u32>);

impl Writes {
    fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Begins a write of all of `buffer` at `offset`; with `durable`, down to the medium
    /// (`RWF_DSYNC`). Nothing was under way.
    pub fn begin_write<B: AsRef<[u8]> + 'static>(
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
        self.begin(file, buffer, entry);
    }

    /// Begins `fdatasync`. Nothing was under way.
    pub fn begin_sync(&mut self, file: &Arc<File>) {
        let entry = opcode::Fsync::new(types::Fd(file.as_raw_fd()))
            .flags(types::FsyncFlags::DATASYNC)
            .build();
        self.begin(file, Box::new(()), entry);
    }

    fn begin(&mut self, file: &Arc<File>, buffer: Box<dyn Any>, entry: squeue::Entry) {
        assert!(self.is_idle(), "one operation at a time");
        let kept = Box::new(Kept { buffer, _file: file.clone() });
        // SAFETY: what the entry names, the bytes on the heap and the descriptor, is in `kept`.
        self.under_way = Some(unsafe { Operation::begin(entry, kept) });
    }

    /// Waits for the operation under way.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Written> {
        let operation = self.under_way.as_mut().expect("somebody began an operation");
        let (kept, result) = ready!(operation.poll(cx));
        self.under_way = None;
        let kept = kept.and_then(|kept| kept.downcast::<Kept>().ok());
        let kept = kept.expect("the ring gives back what it was given");
        Poll::Ready((kept.buffer, result))
    }
}
