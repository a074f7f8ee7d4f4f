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
//! ```

pub mod fair;
pub mod mesh;
pub mod observe;
pub mod route;
pub mod runtime;
pub mod topology;

pub use observe::{Event, Reporter};
pub use route::ShardId;
