//! One thread with one executor.

use std::fmt;
use std::future::Future;
use std::io;
use std::thread;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement as GlommioPlacement};

/// Memory that glommio registers with the kernel, pinned three times a shard. Nothing of ours
/// goes through it; it is as small as glommio takes it.
const IO_MEMORY_BYTES: usize = 64 << 10;

/// Entries of each submission ring: sockets and timers only.
const RING_DEPTH: usize = 128;

/// Off, practically: see the rules in the room's documentation.
const PREEMPT_TIMER: Duration = Duration::from_secs(3600);

/// Where an executor's thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On this CPU only.
    Pinned(usize),
    /// Where the kernel puts it.
    Unpinned,
}

/// Why an executor did not start or end well.
#[derive(Debug)]
pub enum ExecutorError {
    Thread(io::Error),
    Start(String),
    Panicked(String),
}

impl fmt::Display for ExecutorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExecutorError::Thread(error) => write!(f, "no thread for a shard: {error}"),
            ExecutorError::Start(message) => write!(f, "executor does not start: {message}"),
            ExecutorError::Panicked(message) => write!(f, "shard panicked: {message}"),
        }
    }
}

impl std::error::Error for ExecutorError {}

/// A running executor.
pub struct ExecutorThread<T> {
    thread: thread::JoinHandle<Result<T, ExecutorError>>,
}

impl<T> ExecutorThread<T> {
    pub fn join(self) -> Result<T, ExecutorError> {
        self.thread.join().unwrap_or_else(|panic| {
            Err(ExecutorError::Panicked(super::task::panic_message(panic.as_ref())))
        })
    }
}

/// Starts a thread called `name` that runs `main` to its end.
///
/// Tasks that are left when `main` ends are never polled again and never dropped.
pub fn start<T, F, M>(
    name: String,
    placement: Placement,
    main: M,
) -> Result<ExecutorThread<T>, ExecutorError>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
    M: FnOnce() -> F + Send + 'static,
{
    let thread = thread::Builder::new()
        .name(name)
        .spawn(move || {
            let placement = match placement {
                Placement::Pinned(cpu) => GlommioPlacement::Fixed(cpu),
                Placement::Unpinned => GlommioPlacement::Unbound,
            };
            let executor = LocalExecutorBuilder::new(placement)
                .io_memory(IO_MEMORY_BYTES)
                .ring_depth(RING_DEPTH)
                .preempt_timer(PREEMPT_TIMER)
                .make()
                .map_err(|error| ExecutorError::Start(error.to_string()))?;
            Ok(executor.run(async move { main().await }))
        })
        .map_err(ExecutorError::Thread)?;
    Ok(ExecutorThread { thread })
}

/// Runs `main` on an executor of its own, unpinned, and waits for its end: for tests and tools
/// that need timers and sockets without a data directory.
pub fn run<T, F, M>(main: M) -> Result<T, ExecutorError>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
    M: FnOnce() -> F + Send + 'static,
{
    start("executor".into(), Placement::Unpinned, main)?.join()
}
