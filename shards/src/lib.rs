//! Where and when: one core, one shard.
//!
//! The rooms in reading order:
//!
//! ```text
//! observe    what a shard tells the outside: events, counters
//! topology   which CPUs there are, how many shards
//! runtime    executor, tasks, timers, sockets, blocking work: the one room that knows glommio
//! ```

pub mod observe;
pub mod runtime;
pub mod topology;

pub use observe::{Event, Reporter};
