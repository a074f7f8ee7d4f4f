//! One thread with one executor.
#![allow(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::thread;

use super::local;

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
    Ring(io::Error),
    Pin(usize, io::Error),
    Panicked(String),
}

impl fmt::Display for ExecutorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExecutorError::Thread(error) => write!(f, "no thread for a shard: {error}"),
            ExecutorError::Ring(error) => write!(f, "no ring for a shard: {error}"),
            ExecutorError::Pin(cpu, error) => {
                write!(f, "a shard cannot be put on CPU {cpu}: {error}")
            }
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
            if let Placement::Pinned(cpu) = placement {
                pin(cpu).map_err(|error| ExecutorError::Pin(cpu, error))?;
            }
            local::run(async move { main().await }).map_err(ExecutorError::Ring)
        })
        .map_err(ExecutorError::Thread)?;
    Ok(ExecutorThread { thread })
}

/// Has this thread run on `cpu` only.
fn pin(cpu: usize) -> io::Result<()> {
    let mut cpus: libc::cpu_set_t =
        // SAFETY: a set of bits, of which all zeroes are the empty set.
        unsafe { mem::zeroed() };
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the set is ours, and the number is within it.
    unsafe { libc::CPU_SET(cpu, &mut cpus) };
    // SAFETY: the kernel reads a set of the size that it is told.
    let result = unsafe { libc::sched_setaffinity(0, mem::size_of_val(&cpus), &cpus) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
