//! The ring of one shard: whatever the shard waits for outside itself comes through it.
//!
//! ```text
//! operation ─► slot ─► submission queue ─► kernel ─► completion queue ─► slot ─► waker
//!                          one system call hands over and waits
//! bell: an eventfd that other threads write to while the shard sleeps
//! ```
//!
//! A slot has what the kernel may touch until the completion is there, also when nobody waits for it
//! any more. Completions are noticed by the shard when it looks, never by an interrupt.
#![allow(unsafe_code)]

use std::any::Any;
use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use slab::Slab;

/// Entries of the submission queue; more go over in several calls.
const SUBMISSION_ENTRIES: u32 = 256;

/// Entries of the completion queue; the kernel keeps what does not fit.
const COMPLETION_ENTRIES: u32 = 4096;

/// Completion tags that are no slots.
const BELL: u64 = u64::MAX;
const NOBODY: u64 = u64::MAX - 1;

/// How long to wait when the kernel has no memory for an operation.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(1);

/// Wakes a shard that sleeps, from any thread.
#[derive(Clone, Debug)]
pub(super) struct Bell(Arc<File>);

impl Bell {
    fn new() -> io::Result<Bell> {
        // SAFETY: no memory is passed.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel gave this descriptor to nobody else.
        let owned = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Bell(Arc::new(owned.into())))
    }

    /// Ends the sleep of the shard.
    pub fn ring(&self) {
        // It is never read, and takes 2^64 - 2 of these.
        (&*self.0).write_all(&1u64.to_ne_bytes()).expect("an eventfd can be written to");
    }
}

/// An operation that the kernel has, or is about to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotId(usize);

struct Slot {
    state: State,
    /// What the kernel may touch.
    kept: Option<Box<dyn Any>>,
}

enum State {
    UnderWay(Option<Waker>),
    Done(i32),
    /// Nobody wants to know.
    Abandoned,
}

/// How an operation ended: what was kept for it, and the kernel's answer.
pub type Completion = (Option<Box<dyn Any>>, io::Result<u32>);

/// How long [`Ring::turn`] waits for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    No,
    AtMost(Duration),
    Forever,
}

pub(super) struct Ring {
    ring: IoUring,
    slots: Slab<Slot>,
    bell: Bell,
    /// Whom completions wake, since the last turn.
    woken: Vec<Waker>,
}

impl Ring {
    pub fn new() -> io::Result<Ring> {
        let (slots, woken) = Default::default();
        let mut ring = Ring { ring: set_up()?, slots, bell: Bell::new()?, woken };
        ring.hear_bell();
        Ok(ring)
    }

    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Every write to the bell is a completion from now on.
    fn hear_bell(&mut self) {
        let events = libc::POLLIN as u32;
        let entry = opcode::PollAdd::new(types::Fd(self.bell.0.as_raw_fd()), events)
            .multi(true)
            .build()
            .user_data(BELL);
        // SAFETY: no memory is named.
        unsafe { self.push_entry(&entry) };
    }

    /// Waits for `events` of a descriptor, once.
    pub fn push_poll(&mut self, descriptor: RawFd, events: u32) -> SlotId {
        let entry = opcode::PollAdd::new(types::Fd(descriptor), events).build();
        // SAFETY: no memory is named.
        unsafe { self.push(entry, None) }
    }

    /// Queues an operation. It is handed to the kernel by the next turn.
    ///
    /// # Safety
    ///
    /// The memory that `entry` names is owned by `kept` and does not move with it, or lives for
    /// ever.
    pub unsafe fn push(&mut self, entry: squeue::Entry, kept: Option<Box<dyn Any>>) -> SlotId {
        let slot = self.slots.insert(Slot { state: State::UnderWay(None), kept });
        let entry = entry.user_data(slot as u64);
        // SAFETY: the caller's promise; the slot keeps `kept` until the completion is there.
        unsafe { self.push_entry(&entry) };
        SlotId(slot)
    }

    /// # Safety
    ///
    /// As [`Ring::push`], with a slot that keeps what is named.
    unsafe fn push_entry(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: the caller's promise.
            let pushed = unsafe { self.ring.submission().push(entry) };
            if pushed.is_ok() {
                return;
            }
            self.enter(Wait::No);
            // The kernel may take nothing before there is room for completions.
            self.reap();
        }
    }

    /// The end of an operation, once.
    pub fn poll(&mut self, id: SlotId, waker: &Waker) -> Poll<Completion> {
        let slot = &mut self.slots[id.0];
        match &mut slot.state {
            State::UnderWay(Some(known)) => known.clone_from(waker),
            State::UnderWay(known) => *known = Some(waker.clone()),
            &mut State::Done(result) => {
                let kept = self.slots.remove(id.0).kept;
                let result = u32::try_from(result)
                    .map_err(|_| io::Error::from_raw_os_error(result.wrapping_neg()));
                return Poll::Ready((kept, result));
            }
            State::Abandoned => unreachable!("an id is used up when its operation is abandoned"),
        }
        Poll::Pending
    }

    /// Nobody waits for the operation any more; `cancels` a poll.
    pub fn abandon(&mut self, id: SlotId, cancels: bool) {
        let slot = &mut self.slots[id.0];
        if let State::Done(_) = slot.state {
            self.slots.remove(id.0);
            return;
        }
        slot.state = State::Abandoned;
        if cancels {
            let entry = opcode::PollRemove::new(id.0 as u64).build().user_data(NOBODY);
            // SAFETY: no memory is named.
            unsafe { self.push_entry(&entry) };
        }
    }

    /// Whether the kernel has said something that was not looked at.
    fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// Hands over what was pushed, waits, and collects whom completions wake.
    pub fn turn(&mut self, wait: Wait, woken: &mut Vec<Waker>) {
        let has_news = self.has_completions() || !self.woken.is_empty();
        let wait = if has_news { Wait::No } else { wait };
        let is_quiet = {
            let submission = self.ring.submission();
            submission.is_empty() && !submission.taskrun() && !submission.cq_overflow()
        };
        if wait != Wait::No || !is_quiet {
            self.enter(wait);
        }
        self.reap();
        woken.append(&mut self.woken);
    }

    /// # Panics
    ///
    /// When the kernel takes nothing any more: then nothing can be acknowledged either.
    fn enter(&mut self, wait: Wait) {
        let submitter = self.ring.submitter();
        let entered = match wait {
            Wait::No => submitter.submit(),
            Wait::Forever => submitter.submit_and_wait(1),
            Wait::AtMost(longest) => {
                let time = types::Timespec::from(longest);
                let arguments = types::SubmitArgs::new().timespec(&time);
                submitter.submit_with_args(1, &arguments)
            }
        };
        let Err(error) = entered else { return };
        match error.raw_os_error() {
            // Time is over, or a signal came.
            Some(libc::ETIME | libc::EINTR) => {}
            // Short of memory, for the moment, or of room for completions, which are read next.
            Some(libc::EAGAIN | libc::EBUSY) => {
                if !self.has_completions() {
                    std::thread::sleep(SHORTAGE_PAUSE);
                }
            }
            _ => panic!("the ring of a shard takes nothing any more: {error}"),
        }
    }

    fn reap(&mut self) {
        let mut is_deaf = false;
        for entry in self.ring.completion() {
            match entry.user_data() {
                BELL => is_deaf |= !cqueue::more(entry.flags()),
                NOBODY => {}
                slot => {
                    let slot = slot as usize;
                    let done = State::Done(entry.result());
                    match mem::replace(&mut self.slots[slot].state, done) {
                        State::UnderWay(waker) => self.woken.extend(waker),
                        State::Abandoned => drop(self.slots.remove(slot)),
                        State::Done(_) => unreachable!("an operation ends once"),
                    }
                }
            }
        }
        if is_deaf {
            self.hear_bell();
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let is_kept = |slot: &Slot| slot.kept.is_some() && !matches!(slot.state, State::Done(_));
        while self.slots.iter().any(|(_, slot)| is_kept(slot)) {
            let waited = self.ring.submit_and_wait(1);
            if waited.is_err_and(|error| error.raw_os_error() != Some(libc::EINTR)) {
                // The kernel may still read what is kept: better lost than freed.
                mem::take(&mut self.slots).into_iter().for_each(mem::forget);
                return;
            }
            self.reap();
        }
    }
}

/// A ring whose completions wait until the shard looks; where the kernel cannot do that, one that
/// interrupts it.
fn set_up() -> io::Result<IoUring> {
    let mut cooperative = IoUring::builder();
    cooperative.setup_cqsize(COMPLETION_ENTRIES).setup_coop_taskrun().setup_taskrun_flag();
    match cooperative.build(SUBMISSION_ENTRIES) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            IoUring::builder().setup_cqsize(COMPLETION_ENTRIES).build(SUBMISSION_ENTRIES)
        }
        built => built,
    }
}
