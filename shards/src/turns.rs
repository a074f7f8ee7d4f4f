//! Turns: how CPU-heavy work shares a shard with everything else.
//!
//! Whoever computes for longer than a moment holds the shard's one [`Turn`], for about half a
//! millisecond, then lets the next one in line have it. Between two full turns the shard parks
//! once, so that its sockets, timers and channels are served: without that, many turns run back to
//! back and everybody else waits for all of them. Ingest and small requests take no turns; while
//! there is ingest, turns are shorter.
//!
//! Work of several classes is let in by stride: a class with twice the weight gets twice the turns
//! while both have somebody waiting.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::runtime::{now, park};

/// Length of a turn. Shorter ones lose more to what stands between two of them, longer ones make
/// everybody else wait longer.
pub const TURN: Duration = Duration::from_micros(500);

/// Length of a turn while somebody waits for acknowledgements: a request needs several shards, each
/// of them more than once, and waits for the turn of each.
pub const TURN_BESIDE_INGEST: Duration = Duration::from_micros(100);

/// For so long after it was served ingest is taken to go on.
const INGEST_RECENT: Duration = Duration::from_millis(20);

/// Classes of heavy work, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Recording and alerting rules.
    Rules,
    /// Queries of users.
    Query,
    /// Maintenance.
    Background,
}

/// By class: what a turn costs it. A quarter of the cost is four times the turns.
const STRIDES: [u64; 3] = [1, 2, 4];

/// The turns of one shard. Cheap to clone.
#[derive(Clone, Default)]
pub struct TurnQueue(Rc<Inner>);

#[derive(Default)]
struct Inner {
    lines: RefCell<[Line; 3]>,
    /// Somebody has the turn.
    is_busy: Cell<bool>,
    /// Nobody gets it before the shard has parked.
    needs_rest: Cell<bool>,
    /// Time in turns since the last park. Turns that were given back early add up to half a turn
    /// before the shard parks.
    worked: Cell<Duration>,
    /// When ingest was served last.
    ingest_at: Cell<Option<Instant>>,
    /// The task that parks.
    rester: Cell<Option<Waker>>,
}

/// Who waits for a turn of one class, in order, and what the class has had.
#[derive(Default)]
struct Line {
    waiters: VecDeque<Rc<Waiter>>,
    pass: u64,
}

#[derive(Default)]
struct Waiter {
    is_granted: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl TurnQueue {
    /// Parks between turns, for ever: a task of its own on the shard.
    pub async fn rest(self) {
        loop {
            poll_fn(|cx| {
                if self.0.needs_rest.get() {
                    return Poll::Ready(());
                }
                self.0.rester.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            if self.0.is_beside_ingest() {
                // Whoever else waits for this core, a sender perhaps: a thread that computes without
                // end is given milliseconds before the next one's turn.
                std::thread::yield_now();
            }
            park().await;
            self.0.worked.set(Duration::ZERO);
            self.0.needs_rest.set(false);
            self.0.let_in();
        }
    }

    /// Waits for a turn.
    pub fn begin(&self, work: Work) -> Begin {
        Begin { queue: self.0.clone(), work, waiter: None }
    }

    /// Somebody waits for the acknowledgement of what this shard appends now.
    pub fn note_ingest(&self) {
        self.0.ingest_at.set(Some(now()));
    }

    /// How many wait, over all classes.
    pub fn waiting_count(&self) -> usize {
        self.0.lines.borrow().iter().map(|line| line.waiters.len()).sum()
    }
}

impl Inner {
    /// Whether somebody waits for acknowledgements, as far as is known.
    fn is_beside_ingest(&self) -> bool {
        self.ingest_at.get().is_some_and(|at| now() - at < INGEST_RECENT)
    }

    /// The length of a turn that begins now.
    fn turn_length(&self) -> Duration {
        if self.is_beside_ingest() { TURN_BESIDE_INGEST } else { TURN }
    }

    /// Gives the turn to the next in line, if it can be given.
    fn let_in(&self) {
        if self.is_busy.get() || self.needs_rest.get() {
            return;
        }
        let mut lines = self.lines.borrow_mut();
        let waiting = lines.iter_mut().zip(STRIDES).filter(|(line, _)| !line.waiters.is_empty());
        let Some((line, stride)) = waiting.min_by_key(|(line, _)| line.pass) else { return };
        line.pass += stride;
        let next = line.waiters.pop_front().expect("only lines with waiters were compared");
        self.is_busy.set(true);
        next.is_granted.set(true);
        if let Some(waker) = next.waker.take() {
            waker.wake();
        }
    }

    /// Joins the line of `work`. A class that was away does not catch up on what it missed.
    fn join(&self, work: Work) -> Rc<Waiter> {
        let mut lines = self.lines.borrow_mut();
        let present = lines.iter().filter(|line| !line.waiters.is_empty());
        let least = present.map(|line| line.pass).min();
        let line = &mut lines[work as usize];
        if line.waiters.is_empty() {
            line.pass = line.pass.max(least.unwrap_or(line.pass));
        }
        let waiter = Rc::<Waiter>::default();
        line.waiters.push_back(waiter.clone());
        waiter
    }

    fn end(&self, used: Duration) {
        self.is_busy.set(false);
        self.worked.set(self.worked.get() + used);
        if self.worked.get() < self.turn_length() / 2 {
            return self.let_in();
        }
        self.needs_rest.set(true);
        if let Some(rester) = self.rester.take() {
            rester.wake();
        }
    }
}

/// See [`TurnQueue::begin`]. Dropping it leaves the line.
#[must_use = "waiting begins with the first poll"]
pub struct Begin {
    queue: Rc<Inner>,
    work: Work,
    waiter: Option<Rc<Waiter>>,
}

impl Future for Begin {
    type Output = Turn;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn> {
        if self.waiter.is_none() {
            self.waiter = Some(self.queue.join(self.work));
            self.queue.let_in();
        }
        let waiter = self.waiter.as_ref().expect("joined above");
        if waiter.is_granted.get() {
            self.waiter = None;
            let (queue, length) = (self.queue.clone(), self.queue.turn_length());
            return Poll::Ready(Turn { queue, begun: now(), length });
        }
        waiter.waker.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Begin {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        if waiter.is_granted.get() {
            return self.queue.end(Duration::ZERO);
        }
        let mut lines = self.queue.lines.borrow_mut();
        lines[self.work as usize].waiters.retain(|other| !Rc::ptr_eq(other, &waiter));
    }
}

/// The shard's time, until dropped.
pub struct Turn {
    queue: Rc<Inner>,
    begun: Instant,
    length: Duration,
}

impl Turn {
    /// Whether it has been used up.
    #[inline]
    pub fn is_over(&self) -> bool {
        now() - self.begun >= self.length
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.end(now() - self.begun);
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
