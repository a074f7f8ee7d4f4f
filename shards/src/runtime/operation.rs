//! What a task waits for at the ring of its shard.
#![allow(unsafe_code)]

use std::any::Any;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::task::{Context, Poll, ready};

use io_uring::squeue;

use super::local::{on_local, with_local};
use super::ring::{Completion, SlotId};

/// An operation of this shard's ring, under way until [`Operation::poll`] was ready. Dropping it ends
/// nothing: the kernel goes on, and what it may touch is kept until it is done.
#[derive(Debug)]
pub struct Operation {
    slot: Option<SlotId>,
}

impl Operation {
    /// Begins an operation.
    ///
    /// # Safety
    ///
    /// The memory that `entry` names is owned by `kept` and does not move with it.
    pub unsafe fn begin(entry: squeue::Entry, kept: Box<dyn Any>) -> Operation {
        // SAFETY: the caller's promise.
        let push = || on_local(|local| unsafe { local.ring.borrow_mut().push(entry, Some(kept)) });
        Operation { slot: Some(push()) }
    }

    /// # Panics
    ///
    /// After it was ready.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Completion> {
        let slot = self.slot.expect("an operation ends once");
        let done = ready!(on_local(|local| local.ring.borrow_mut().poll(slot, cx.waker())));
        self.slot = None;
        Poll::Ready(done)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            with_local(|local| local.ring.borrow_mut().abandon(slot, false));
        }
    }
}

/// Waiting for one kind of readiness of one descriptor.
#[derive(Debug)]
pub(super) struct Readiness {
    events: u32,
    slot: Option<SlotId>,
}

impl Readiness {
    /// Something can be read, or the other side is gone.
    pub fn to_read() -> Readiness {
        Readiness { events: (libc::POLLIN | libc::POLLRDHUP) as u32, slot: None }
    }

    /// Something can be written.
    pub fn to_write() -> Readiness {
        Readiness { events: libc::POLLOUT as u32, slot: None }
    }

    /// Ready when the descriptor is, or has failed: the call that follows says so. The wait goes on
    /// when this is not polled any more, until it is dropped.
    pub fn poll(
        &mut self,
        descriptor: &impl AsRawFd,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let (raw, events): (RawFd, u32) = (descriptor.as_raw_fd(), self.events);
        let polled = on_local(|local| {
            let mut ring = local.ring.borrow_mut();
            let slot = *self.slot.get_or_insert_with(|| ring.push_poll(raw, events));
            ring.poll(slot, cx.waker())
        });
        let (_, result) = ready!(polled);
        self.slot = None;
        Poll::Ready(result.map(drop))
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            // A socket whose owner has closed it is open as long as the kernel waits for it.
            with_local(|local| local.ring.borrow_mut().abandon(slot, true));
        }
    }
}
