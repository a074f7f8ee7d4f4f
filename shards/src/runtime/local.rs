//! What the executor of one thread has: tasks that can go on, timers, the ring; and how other
//! threads reach it.
//!
//! ```text
//! round ─► every task that was ready when it began, once
//! look  ─► woken by other threads ─► timers ─► ring ─► those who parked ─► next round
//!                                                └─ sleeps here when nobody is ready
//! ```
//!
//! Who parks goes on behind everybody whom the look found: that is what parking is for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_task::{Runnable, Task};

use super::ring::{Bell, Ring, Wait};
use crate::stats::Latencies;

/// The half of an executor that other threads may touch.
struct Remote {
    woken: Mutex<Vec<Runnable>>,
    /// Length of `woken`.
    count: AtomicUsize,
    /// The shard sleeps, or is about to: whoever wakes one of its tasks rings.
    is_asleep: AtomicBool,
    bell: Bell,
}

impl Remote {
    fn woken(&self) -> MutexGuard<'_, Vec<Runnable>> {
        // A list of tasks, whole after every push and take.
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, runnable: Runnable) {
        {
            let mut woken = self.woken();
            woken.push(runnable);
            // Stands before the look at `is_asleep` for everybody, as the shard's own store there
            // stands before its look at `count`: one of the two sees the other.
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        if self.is_asleep.load(Ordering::SeqCst) && self.is_asleep.swap(false, Ordering::SeqCst) {
            self.bell.ring();
        }
    }
}

pub(super) struct Local {
    remote: Arc<Remote>,
    ready: RefCell<VecDeque<Runnable>>,
    parked: RefCell<Vec<Waker>>,
    /// By deadline, then by number.
    timers: RefCell<BTreeMap<(Instant, u64), Waker>>,
    next_timer: Cell<u64>,
    pub ring: RefCell<Ring>,
    /// When the round began, or whatever it is that the executor does without sleeping.
    begun: Cell<Instant>,
    /// Where the lengths of rounds are counted.
    rounds: RefCell<Option<Arc<Latencies>>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// Calls `f` with this thread's executor, if it has one (any more).
pub(super) fn with_local<T>(f: impl FnOnce(&Local) -> T) -> Option<T> {
    CURRENT.try_with(|current| current.borrow().as_deref().map(f)).ok().flatten()
}

/// As [`with_local`].
///
/// # Panics
///
/// Outside an executor.
pub(super) fn on_local<T>(f: impl FnOnce(&Local) -> T) -> T {
    with_local(f).expect("called on the thread of a shard")
}

/// Runs `main` on this thread to its end. Tasks that are left are never polled again and never
/// dropped.
///
/// Errors: the kernel gives no ring.
pub(super) fn run<F: Future + 'static>(main: F) -> io::Result<F::Output>
where
    F::Output: 'static,
{
    let ring = Ring::new()?;
    let remote = Remote {
        woken: Mutex::default(),
        count: AtomicUsize::default(),
        is_asleep: AtomicBool::default(),
        bell: ring.bell(),
    };
    let local = Rc::new(Local {
        remote: Arc::new(remote),
        ready: RefCell::default(),
        parked: RefCell::default(),
        timers: RefCell::default(),
        next_timer: Cell::default(),
        ring: RefCell::new(ring),
        begun: Cell::new(Instant::now()),
        rounds: RefCell::default(),
    });
    CURRENT.replace(Some(local.clone()));
    let _ended = Ended;
    let mut main = local.spawn(main);
    let mut woken = vec![];
    local.round();
    while !main.is_finished() {
        local.look(&mut woken);
        local.round();
    }
    match Pin::new(&mut main).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => unreachable!("a finished task has its output"),
    }
}

/// The end of an executor, also by a panic.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(local) = CURRENT.take() {
            // Dropping a future may ask for the executor, which is no more.
            std::mem::forget(local.ready.take());
            std::mem::forget(std::mem::take(&mut *local.remote.woken()));
        }
    }
}

impl Local {
    pub fn spawn<F: Future + 'static>(&self, future: F) -> Task<F::Output>
    where
        F::Output: 'static,
    {
        let remote = self.remote.clone();
        let schedule = move |runnable| {
            let mut runnable = Some(runnable);
            with_local(|local| {
                if Arc::ptr_eq(&local.remote, &remote) {
                    local.ready.borrow_mut().extend(runnable.take());
                }
            });
            if let Some(runnable) = runnable {
                remote.push(runnable);
            }
        };
        let (runnable, task) = async_task::spawn_local(future, schedule);
        runnable.schedule();
        task
    }

    /// Wakes after the next look at the ring.
    pub fn park(&self, waker: &Waker) {
        self.parked.borrow_mut().push(waker.clone());
    }

    pub fn timer_number(&self) -> u64 {
        self.next_timer.update(|number| number + 1);
        self.next_timer.get()
    }

    pub fn set_timer(&self, key: (Instant, u64), waker: &Waker) {
        self.timers.borrow_mut().insert(key, waker.clone());
    }

    pub fn remove_timer(&self, key: (Instant, u64)) {
        let removed = self.timers.borrow_mut().remove(&key);
        drop(removed);
    }

    fn round(&self) {
        let count = self.ready.borrow().len();
        for _ in 0..count {
            let next = self.ready.borrow_mut().pop_front();
            let Some(next) = next else { return };
            next.run();
        }
    }

    /// From now on the lengths of rounds are counted there.
    pub fn count_rounds(&self, rounds: Arc<Latencies>) {
        self.rounds.replace(Some(rounds));
    }

    fn look(&self, woken: &mut Vec<Waker>) {
        let now = Instant::now();
        let round = now - self.begun.replace(now);
        if let Some(rounds) = &*self.rounds.borrow() {
            rounds.record(round);
        }
        self.take_remote();
        self.fire_timers(now, woken);
        let is_idle =
            self.ready.borrow().is_empty() && self.parked.borrow().is_empty() && woken.is_empty();
        let wait = if is_idle { self.sleep_time() } else { Wait::No };
        if wait == Wait::No {
            self.ring.borrow_mut().turn(Wait::No, woken);
        } else {
            let remote = &self.remote;
            remote.is_asleep.store(true, Ordering::SeqCst);
            let has_news = remote.count.load(Ordering::SeqCst) > 0;
            self.ring.borrow_mut().turn(if has_news { Wait::No } else { wait }, woken);
            remote.is_asleep.store(false, Ordering::SeqCst);
            self.begun.set(Instant::now());
        }
        woken.drain(..).for_each(Waker::wake);
        let parked = std::mem::take(&mut *self.parked.borrow_mut());
        parked.into_iter().for_each(Waker::wake);
    }

    fn take_remote(&self) {
        let remote = &self.remote;
        if remote.count.load(Ordering::Relaxed) > 0 {
            let mut woken = remote.woken();
            remote.count.fetch_sub(woken.len(), Ordering::SeqCst);
            self.ready.borrow_mut().extend(woken.drain(..));
        }
    }

    /// Collects whom timers wake that are over.
    fn fire_timers(&self, now: Instant, woken: &mut Vec<Waker>) {
        let mut timers = self.timers.borrow_mut();
        while let Some(first) = timers.first_entry()
            && first.key().0 <= now
        {
            woken.push(first.remove());
        }
    }

    /// Until the next timer.
    fn sleep_time(&self) -> Wait {
        match self.timers.borrow().first_key_value() {
            None => Wait::Forever,
            Some((&(deadline, _), _)) => match deadline.saturating_duration_since(Instant::now()) {
                Duration::ZERO => Wait::No,
                left => Wait::AtMost(left),
            },
        }
    }
}
