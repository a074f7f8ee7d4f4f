//! Executor, tasks, timers, sockets and blocking work of a shard.
//!
//! ```text
//! probe      can this machine run shards? one sentence when not
//! executor   a thread with its executor, pinned or not
//! local      that executor: its queue, its timers, how other threads reach it
//! ring       its io_uring: readiness, operations, sleep
//! task       spawn: every task's panic ends at its edge
//! time       clocks, sleep, timeout, the park between two turns
//! net        TCP: listeners that share a port, streams that read into uninitialised buffers
//! hyper_io   those streams as hyper's transport
//! memory     what was freed goes back to the system
//! blocking   files and other slow calls on threads of their own
//! simulation all of this but sockets, without a kernel, by a seed: for tests
//! ```
//!
//! Nothing is preempted: CPU-heavy work parks by itself, by [`park`]. Every task is caught.
//!
//! Everything here but [`probe`], [`run`] and [`simulate`] is called on a shard's thread.

mod blocking;
mod executor;
mod hyper_io;
mod local;
mod memory;
mod net;
mod operation;
pub mod probe;
mod ring;
mod simulation;
mod task;
#[cfg(test)]
mod tests;
mod time;

pub use blocking::{blocking, on_thread, read_file};
pub use executor::{ExecutorError, ExecutorThread, Placement, run, start};
pub use memory::{
    return_freed_memory, return_freed_memory_after, return_freed_memory_of_all, use_base_pages,
};
pub use net::{TcpListener, TcpStream, UnixStream, check_address_free};
pub(crate) use operation::Operation;
pub use simulation::{Simulation, SimulationError, simulate};
pub(crate) use task::panic_message;
pub use task::{Class, Task, count_rounds, panic_count, set_reporter, spawn};
pub use time::{Elapsed, now, park, random, sleep, timeout, unix_ms};
