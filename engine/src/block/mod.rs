//! Samples at rest: blocks and parts, as bytes.
//!
//! ```text
//! part     what a flush of the head leaves: chunks by series id, new labels, the log's place
//! block    a time range of one shard: labels, postings, chunks; complete in itself
//!
//! parts ── Merge ──> block ── Merge ──> larger block
//! ```
//!
//! Both are one file each, written front to back and read in place: nothing is decoded when they are
//! opened. Every page has a checksum, which is compared when the page is first read; what does not
//! hold is an error that names the file and the place. `FORMAT.md` draws every byte. [`prometheus`]
//! reads and writes the blocks of Prometheus's own storage.
//!
//! Not here: files and their names, when to write and to merge (`shards`), which samples a query
//! gets from where (`store`).

mod columns;
mod dictionary;
mod envelope;
mod error;
mod finish;
#[cfg(test)]
mod golden_tests;
mod id;
mod merge;
mod merge_samples;
mod meta;
mod packed;
mod pages;
pub mod part;
mod plan;
mod postings;
pub mod prometheus;
mod read;
mod run;
mod samples;
mod select;
mod stats;
#[cfg(test)]
mod tests;
mod tombstones;
mod write;

pub use error::{BlockError, Problem};
pub use id::{BlockId, NotAnId};
pub use merge::{
    LabelLookup, LabelOrder, Merge, MergeScope, MergeSource, Progress, hashes_of_shard,
};
pub use merge_samples::{merge_samples, merge_series_samples};
pub use meta::BlockMeta;
pub use pages::FileBytes;
pub use plan::{PlannedBlock, beyond_size, beyond_time, block_ranges, plan_merge};
pub use read::{Block, Scratch};
pub use samples::SeriesSamples;
pub use stats::ByteShares;
pub use tombstones::{Tombstones, delete_intervals};
pub use write::{BlockPlan, BlockWriter};
