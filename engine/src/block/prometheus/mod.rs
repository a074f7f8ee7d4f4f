//! Blocks of Prometheus's own storage, read in place and written.
//!
//! ```text
//! <ULID>/meta.json         what it is                                meta
//! <ULID>/index             labels, postings, places of chunks        index
//! <ULID>/chunks/000001 …   samples                                   chunk, floats, histograms
//! <ULID>/tombstones        what was deleted                          tombstones
//! ```
//!
//! Bytes come in and values go out: files, and what a directory is called, are known elsewhere. Any
//! bytes may come in. What has a checksum is compared with it whenever it is read, so that a flipped
//! bit is an error that names the block, or is without effect.
//!
//! [`PrometheusWriter`] gives out the files of a block piece by piece; what it writes is what
//! Prometheus itself writes, and opens there. [`PrometheusMerge`] feeds it from other blocks. `FORMAT.md` says which parts of the formats are read and
//! written.

mod bits;
mod chunk;
mod floats;
mod head_chunks;
mod histograms;
mod index;
mod merge;
mod meta;
mod read;
mod select;
mod starts;
#[cfg(test)]
mod tests;
mod tombstones;
mod verify;
mod write;
mod write_index;

pub use chunk::{Chunk, ChunkEncoding};
pub use head_chunks::{HeadChunk, head_chunk_at, head_chunks};
pub use index::ChunkMeta;
pub use merge::{PrometheusMerge, Source, SourceBlock};
pub use meta::{Meta, Parent, Stats, uploaded_blocks};
pub use read::{BlockFiles, PrometheusBlock, Survey};
pub use tombstones::{decode_tombstones, encode_tombstones};
pub use write::{BlockFile, NewBlock, Pieces, PrometheusWriter, StartTimestamps};
