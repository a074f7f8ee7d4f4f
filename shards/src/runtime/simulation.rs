//! An executor without a kernel: one thread, tasks in an order that a seed decides, time that passes
//! only when everybody waits or somebody looks at it. So that a test has the real code live through
//! an hour in milliseconds, and the same hour again from the same seed.
//!
//! While [`simulate`] runs on a thread, the functions of this room are its: tasks, timers, clocks,
//! random numbers, and blocking calls, which run in place. Sockets are not.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::task::panic_message;

/// What a look at the clock costs, at most: a power of two of nanoseconds, about a turn's half.
const LOOK_NANOS_MAX: u64 = 1 << 18;

/// How a life is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    pub seed: u64,
    /// What the wall clock shows when it begins.
    pub unix_ms: i64,
    /// Polls of tasks before it counts as endless.
    pub polls_max: u64,
}

/// Why a simulation ended before its main future did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimulationError {
    /// A task or the main future panicked, with these words.
    Panicked(String),
    /// Everybody waits, and for no timer.
    Stuck,
    /// [`Simulation::polls_max`] was reached.
    Endless,
}

/// The number that stands for the main future among the tasks.
const MAIN: u64 = 0;

pub(super) struct State {
    origin: Instant,
    unix_ms: i64,
    elapsed: Cell<Duration>,
    random: Cell<u64>,
    tasks: RefCell<BTreeMap<u64, Slot>>,
    next_task: Cell<u64>,
    ready: Arc<Mutex<Vec<Arc<TaskWaker>>>>,
    /// By deadline, then by number.
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    next_timer: Cell<u64>,
}

/// A task; its future is elsewhere while it is polled.
struct Slot {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Arc<TaskWaker>,
    end: Rc<End>,
}

/// The end of a task, for whoever awaits it.
#[derive(Default)]
struct End {
    is_over: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl End {
    fn come(&self) {
        self.is_over.set(true);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }
}

struct TaskWaker {
    task: u64,
    is_queued: AtomicBool,
    ready: Arc<Mutex<Vec<Arc<TaskWaker>>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::Relaxed) {
            let ready = self.ready.clone();
            ready.lock().expect("nobody panics while it is held").push(self);
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<State>>> = const { RefCell::new(None) };
}

/// The simulation that this thread is in.
pub(super) fn current() -> Option<Rc<State>> {
    CURRENT.with_borrow(Option::clone)
}

/// Runs `main` in a simulation and returns what it returns. Tasks that are left then are dropped, as
/// a crash would leave them. May be called within a simulation: that one stands still meanwhile.
pub fn simulate<F: Future>(simulation: Simulation, main: F) -> Result<F::Output, SimulationError> {
    let state = Rc::new(State {
        origin: Instant::now(),
        unix_ms: simulation.unix_ms,
        elapsed: Cell::default(),
        random: Cell::new(simulation.seed),
        tasks: RefCell::default(),
        next_task: Cell::new(MAIN + 1),
        ready: Arc::default(),
        timers: RefCell::default(),
        next_timer: Cell::default(),
    });
    let outer = CURRENT.replace(Some(state.clone()));
    let run = || {
        let mut main = std::pin::pin!(main);
        let ended = state.run(main.as_mut(), simulation.polls_max);
        // A future that is dropped may drop or wake others.
        loop {
            let left = state.tasks.borrow_mut().pop_first();
            if left.is_none() {
                break;
            }
        }
        state.timers.borrow_mut().clear();
        ended
    };
    let ended = catch_unwind(AssertUnwindSafe(run));
    CURRENT.replace(outer);
    ended.unwrap_or_else(|panic| Err(SimulationError::Panicked(panic_message(panic.as_ref()))))
}

impl State {
    fn run<F: Future>(
        &self,
        mut main: Pin<&mut F>,
        polls_max: u64,
    ) -> Result<F::Output, SimulationError> {
        let waker = self.waker(MAIN);
        waker.clone().wake();
        for _ in 0..polls_max {
            let Some(next) = self.take_ready() else { return Err(SimulationError::Stuck) };
            next.is_queued.store(false, Ordering::Relaxed);
            if next.task == MAIN {
                let polled = main.as_mut().poll(&mut Context::from_waker(&Waker::from(next)));
                if let Poll::Ready(output) = polled {
                    return Ok(output);
                }
                continue;
            }
            self.poll_task(next);
        }
        Err(SimulationError::Endless)
    }

    fn poll_task(&self, waker: Arc<TaskWaker>) {
        let task = waker.task;
        let taken = self.tasks.borrow_mut().get_mut(&task).and_then(|slot| slot.future.take());
        let Some(mut future) = taken else { return };
        let polled = future.as_mut().poll(&mut Context::from_waker(&Waker::from(waker)));
        if polled.is_ready() {
            let ended = self.tasks.borrow_mut().remove(&task);
            ended.inspect(|slot| slot.end.come());
        } else if let Some(slot) = self.tasks.borrow_mut().get_mut(&task) {
            slot.future = Some(future);
        }
    }

    /// One of those who can go on; lets time pass when there is none. `None`: there will be none.
    fn take_ready(&self) -> Option<Arc<TaskWaker>> {
        loop {
            let at = self.random();
            let mut ready = self.ready.lock().expect("nobody panics while it is held");
            if !ready.is_empty() {
                let at = (at % ready.len() as u64) as usize;
                return Some(ready.swap_remove(at));
            }
            drop(ready);
            let ((deadline, _), waker) = self.timers.borrow_mut().pop_first()?;
            self.elapsed.set(self.elapsed.get().max(deadline));
            waker.wake();
        }
    }

    fn waker(&self, task: u64) -> Arc<TaskWaker> {
        let is_queued = AtomicBool::new(false);
        Arc::new(TaskWaker { task, is_queued, ready: self.ready.clone() })
    }

    pub fn spawn(self: &Rc<Self>, future: impl Future<Output = ()> + 'static) -> Task {
        let task = self.next_task.get();
        self.next_task.set(task + 1);
        let (waker, end) = (self.waker(task), Rc::<End>::default());
        waker.clone().wake();
        let slot = Slot { future: Some(Box::pin(future)), waker, end: end.clone() };
        self.tasks.borrow_mut().insert(task, slot);
        Task { state: self.clone(), task, end, is_detached: false }
    }

    /// Monotonic time. A look costs some.
    pub fn now(&self) -> Instant {
        let cost = Duration::from_nanos(self.random() & (LOOK_NANOS_MAX - 1));
        self.elapsed.set(self.elapsed.get() + cost);
        self.origin + self.elapsed.get()
    }

    pub fn unix_ms(&self) -> i64 {
        let elapsed_ms = i64::try_from(self.elapsed.get().as_millis()).unwrap_or(i64::MAX);
        self.unix_ms.saturating_add(elapsed_ms)
    }

    /// SplitMix64.
    pub fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(state);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn timer(self: &Rc<Self>, duration: Duration) -> Timer {
        let number = self.next_timer.get();
        self.next_timer.set(number + 1);
        Timer { state: self.clone(), key: (self.elapsed.get() + duration, number) }
    }
}

/// See [`super::Task`].
pub(super) struct Task {
    state: Rc<State>,
    task: u64,
    end: Rc<End>,
    is_detached: bool,
}

impl Task {
    pub fn detach(mut self) {
        self.is_detached = true;
    }
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.end.is_over.get() {
            return Poll::Ready(());
        }
        self.end.waiter.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.is_detached || self.end.is_over.get() {
            return;
        }
        let slot = self.state.tasks.borrow_mut().remove(&self.task);
        slot.inspect(|slot| slot.waker.is_queued.store(true, Ordering::Relaxed));
        self.end.come();
    }
}

/// Ready at its deadline.
pub(super) struct Timer {
    state: Rc<State>,
    key: (Duration, u64),
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.key.0 <= self.state.elapsed.get() {
            return Poll::Ready(());
        }
        self.state.timers.borrow_mut().insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.state.timers.borrow_mut().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Class, blocking, now, park, random, sleep, spawn, timeout, unix_ms};
    use super::*;

    fn run<T>(seed: u64, main: impl Future<Output = T>) -> Result<T, SimulationError> {
        simulate(Simulation { seed, unix_ms: 5_000, polls_max: 10_000 }, main)
    }

    /// The order in which ten tasks come to their end, and the time that it took.
    fn order(seed: u64) -> (Vec<u64>, Duration) {
        let main = async {
            let (begun, order) = (now(), Rc::<RefCell<Vec<u64>>>::default());
            let tasks: Vec<_> = (0..10)
                .map(|number| {
                    let order = order.clone();
                    spawn(Class::Background, async move {
                        park().await;
                        sleep(Duration::from_millis(random() % 100)).await;
                        let number = blocking(move || number).await;
                        order.borrow_mut().push(number);
                    })
                })
                .collect();
            for task in tasks {
                task.await;
            }
            (order.take(), now() - begun)
        };
        run(seed, main).unwrap()
    }

    #[test]
    fn a_seed_decides_all() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn a_year_passes_at_once() {
        let main = async {
            let (begun, begun_ms) = (now(), unix_ms());
            let year = Duration::from_secs(364 * 86_400);
            assert!(timeout(Duration::from_secs(1), sleep(year)).await.is_err());
            sleep(year).await;
            assert!(now() - begun >= year);
            unix_ms() - begun_ms
        };
        assert!(run(3, main).unwrap() >= 364 * 86_400_000);
    }

    #[test]
    fn an_end_that_is_none_has_its_reason() {
        assert_eq!(run(1, std::future::pending::<()>()), Err(SimulationError::Stuck));
        let endless = async {
            loop {
                park().await;
            }
        };
        assert_eq!(run::<()>(1, endless), Err(SimulationError::Endless));
        let odd = async {
            spawn(Class::Storage, async { panic!("odd") }).await;
        };
        assert_eq!(run(1, odd), Err(SimulationError::Panicked("odd".to_owned())));
        let cancelled = async {
            let task = spawn(Class::Storage, std::future::pending());
            task.cancel().await;
            drop(spawn(Class::Storage, async { panic!("never polled") }));
            park().await;
        };
        assert_eq!(run(1, cancelled), Ok(()));
        // One within the other.
        let outer = async { run(2, async { sleep(Duration::from_secs(9)).await }) };
        assert_eq!(run(1, outer), Ok(Ok(())));
    }
}
