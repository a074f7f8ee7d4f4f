//! Where and when: one core, one shard.
//!
//! The rooms in reading order:
//!
//! ```text
//! observe    what a shard tells the outside: events, counters
//! topology   which CPUs there are, how many shards
//! runtime    executor, tasks, timers, sockets, blocking work: the one room that knows glommio
//! fair       waiting in order
//! route      which shard a series lives on; splits batches
//! mesh       requests and answers between shards, bounded by credits
//! disk       the seam to the disk, by io_uring
//! wal        the log: frames in groups, acknowledged when durable; replay
//! ```

pub mod disk;
pub mod fair;
pub mod mesh;
pub mod observe;
pub mod route;
pub mod runtime;
#[cfg(test)]
mod scratch;
pub mod stats;
pub mod topology;
pub mod wal;

pub use observe::{Event, Reporter};
pub use route::ShardId;
