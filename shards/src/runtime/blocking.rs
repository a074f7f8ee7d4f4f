//! Slow calls on threads of their own: files, directories, name lookups.
//!
//! A few threads for the whole process, started with the first call, on no CPU of their own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;

use async_channel::{Receiver, Sender, bounded};

/// Threads of the pool: enough that one slow directory does not hold up a query's files.
const THREAD_COUNT: usize = 4;

/// Calls that wait for a thread; beyond, callers wait for a place.
const QUEUE_LENGTH: usize = 256;

type Call = Box<dyn FnOnce() + Send>;

/// Runs `call` off the shard and awaits its answer. Round trip about 40 us.
///
/// # Panics
///
/// As `call` does: the panic goes on in the awaiting task.
pub async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    if super::simulation::current().is_some() {
        super::park().await;
        return call();
    }
    let (answer, answered) = bounded(1);
    let call: Call = Box::new(move || {
        // The waiting task may be gone, then nobody wants the answer.
        let _ = answer.try_send(catch_unwind(AssertUnwindSafe(call)));
    });
    pool().send(call).await.expect("the pool's threads live as long as the process");
    match answered.recv().await.expect("every call answers") {
        Ok(value) => value,
        Err(panic) => resume_unwind(panic),
    }
}

/// As [`blocking`], on a thread of its own: for what takes longer than a look at a file, so that looks
/// at files do not wait for it.
///
/// Errors: the system gives no thread.
///
/// # Panics
///
/// As `call` does: the panic goes on in the awaiting task.
pub async fn on_thread<T: Send + 'static>(
    name: &str,
    call: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    if super::simulation::current().is_some() {
        super::park().await;
        return Ok(call());
    }
    let (answer, answered) = bounded(1);
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _ = answer.try_send(catch_unwind(AssertUnwindSafe(call)));
    })?;
    match answered.recv().await.expect("the call answers") {
        Ok(value) => Ok(value),
        Err(panic) => resume_unwind(panic),
    }
}

/// The whole file at `path`.
pub async fn read_file(path: impl Into<PathBuf>) -> io::Result<Vec<u8>> {
    let path = path.into();
    blocking(move || std::fs::read(path)).await
}

fn pool() -> &'static Sender<Call> {
    static POOL: OnceLock<Sender<Call>> = OnceLock::new();
    POOL.get_or_init(|| {
        let (sender, receiver) = bounded::<Call>(QUEUE_LENGTH);
        for number in 0..THREAD_COUNT {
            let receiver = receiver.clone();
            thread::Builder::new()
                .name(format!("blocking-{number}"))
                .spawn(move || work(&receiver))
                .expect("a process that runs shards can start a thread");
        }
        sender
    })
}

fn work(calls: &Receiver<Call>) {
    while let Ok(call) = calls.recv_blocking() {
        call();
    }
}
