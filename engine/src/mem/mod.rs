//! Memory that grows without ever moving what is there: columns, byte arenas, slots, varints.
//!
//! A shard's head holds ten million of most things. A `Vec` that doubles at that size copies for
//! tens of milliseconds inside one append; everything here grows block by block instead.

pub mod arena;
pub mod column;
pub mod slots;
pub mod sparse;
pub mod varint;

pub use arena::ByteArena;
pub use column::Column;
pub use slots::SlotPool;
pub use sparse::SparseColumn;
