//! Tasks whose panics end at their edge.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;

use super::local::{on_local, with_local};
use super::simulation;
use crate::observe::{Event, SharedReporter};
use crate::stats::Latencies;

/// What a task works for. Decides what its panic means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A connection or one of its requests.
    Request,
    /// Log, head, replay, mesh: a panic aborts the process, because a shard that is wrong must
    /// not acknowledge.
    Storage,
    /// A target's scrape loop.
    Scrape,
    /// Rules, maintenance, discovery.
    Background,
}

impl Class {
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Request => "request",
            Class::Storage => "storage",
            Class::Scrape => "scrape",
            Class::Background => "background",
        }
    }
}

thread_local! {
    static REPORTER: RefCell<Option<SharedReporter>> = const { RefCell::new(None) };
    static PANIC_COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Names who hears of panics on this thread.
pub fn set_reporter(reporter: SharedReporter) {
    REPORTER.with_borrow_mut(|slot| *slot = Some(reporter));
}

/// Counts how long this thread's executor takes from one look at its ring to the next.
pub fn count_rounds(rounds: Arc<Latencies>) {
    with_local(|local| local.count_rounds(rounds));
}

/// Panics caught on this thread so far.
pub fn panic_count() -> u64 {
    PANIC_COUNT.get()
}

/// A running task. Dropping it cancels; [`Task::detach`] lets it run to its end.
///
/// As a future it is ready when the task ended, by itself or by a panic.
#[must_use = "dropping a task cancels it"]
pub struct Task(Running);

enum Running {
    Real(async_task::Task<()>),
    Simulated(simulation::Task),
}

impl Task {
    pub fn detach(self) {
        match self.0 {
            Running::Real(task) => task.detach(),
            Running::Simulated(task) => task.detach(),
        }
    }

    /// Cancels and waits until the task's future is dropped.
    pub async fn cancel(self) {
        match self.0 {
            Running::Real(task) => drop(task.cancel().await),
            Running::Simulated(task) => drop(task),
        }
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Running::Real(task) => Pin::new(task).poll(cx),
            Running::Simulated(task) => Pin::new(task).poll(cx),
        }
    }
}

/// Starts `future` on this shard.
///
/// A panic in it is caught, counted and reported; of [`Class::Storage`] it aborts the process.
pub fn spawn(class: Class, future: impl Future<Output = ()> + 'static) -> Task {
    if let Some(simulation) = simulation::current() {
        // There a panic ends the simulation.
        return Task(Running::Simulated(simulation.spawn(future)));
    }
    let caught = async move {
        if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
            let message = panic_message(panic.as_ref());
            PANIC_COUNT.set(PANIC_COUNT.get() + 1);
            let reporter = REPORTER.with_borrow(Option::clone);
            if let Some(reporter) = reporter {
                reporter.report(Event::TaskPanicked { class: class.as_str(), message });
            }
            if class == Class::Storage {
                std::process::abort();
            }
        }
    };
    Task(Running::Real(on_local(|local| local.spawn(caught))))
}

/// What a panic said, if it said it in words.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without words".to_owned())
}
