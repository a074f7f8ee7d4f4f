//! Where and when: one core, one shard.
//!
//! The rooms in reading order:
//!
//! ```text
//! observe stats  what a shard tells the outside: events, counters
//! topology       which CPUs there are, how many shards
//! runtime        executor, tasks, timers, sockets, blocking calls
//! fair cancel    waiting in order; telling work that it is not wanted any more
//! route          which shard a series lives on; splits batches; the record of it
//! mesh           requests and answers between shards, bounded by credits
//! disk           the seam to the disk, by io_uring
//! layout         how the data directory is laid out over shards
//! wal            the log: frames in groups, acknowledged when durable; replay
//! turns          heavy work, half a millisecond at a time
//! settings       what of the storage can change while it runs
//! storage        what one shard stores, over any tree of directories
//! message shard  what shards say to each other; what a core owns
//! ingest query   batches to their owners; expressions over all shards
//! maintain       upkeep of what is stored
//! memory         how much there is, and no new series when it is used
//! guests         blocks of Prometheus beside it, and its log, imported
//! copies         what blocks hold of a range, for whoever copies it elsewhere
//! watchdog boot  start, stop, and a look at whether every shard turns
//! ```

pub mod boot;
pub mod cancel;
mod copies;
pub mod disk;
pub mod fair;
pub mod guests;
pub mod ingest;
pub mod layout;
mod maintain;
pub mod memory;
pub mod mesh;
mod message;
pub mod observe;
pub mod query;
pub mod route;
pub mod runtime;
#[cfg(test)]
mod scratch;
mod settings;
mod shard;
pub mod stats;
pub mod storage;
pub mod topology;
pub mod turns;
pub mod wal;
mod watchdog;

pub use boot::{BootError, BootOptions, Rising, Running, Starting, Stopper, start};
pub use cancel::CancelToken;
pub use ingest::{FamilyMetadata, IngestError, IngestOptions, IngestReport, SeriesOwner};
pub use maintain::{Adoption, KeepOptions, MaintainError, Retention};
pub use observe::{Event, Reporter};
pub use query::{ActiveQuery, QueryError, QueryId, QueryOptions, QueryOutcome, QueryRequest};
pub use route::ShardId;
pub use settings::StorageSettings;
pub use shard::Shard;
