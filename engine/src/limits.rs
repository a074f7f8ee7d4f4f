//! Every bound of the engine in one place, with the relations between them.
//!
//! A bound says what it protects. Bounds of the outside world (bodies, headers) live in `net`.

/// Most series one shard may hold: a series id is 32 bits, and the last quarter is kept free so
/// that arithmetic on ids never wraps.
pub const SERIES_COUNT_MAX: usize = 3 << 30;

/// Longest canonical label set in bytes. Protects the label arena and the WAL frame.
pub const LABEL_SET_BYTES_MAX: usize = 1 << 20;

/// Most labels in one label set.
pub const LABEL_COUNT_MAX: usize = 4096;

/// Most shards a process may run: a shard id is 16 bits.
pub const SHARD_COUNT_MAX: usize = 1024;

/// Most metric families whose metadata is kept, and most bytes of the texts of one. Protects memory
/// from senders that make up names; what is beyond goes unsaid.
pub const METADATA_FAMILY_COUNT_MAX: usize = 200_000;
pub const METADATA_BYTES_MAX: usize = 1 << 16;

/// Deepest nesting of parentheses, calls and unary operators that PromQL's parser follows.
/// Protects the stack: the parser recurses once per level, everything after it loops.
pub const PROMQL_DEPTH_MAX: usize = 2_000;

/// Longest PromQL expression in bytes. Positions in an expression are 32 bits.
pub const PROMQL_BYTES_MAX: usize = 1 << 24;

/// Most bytes of records in one frame of the write-ahead log: one request's part for one shard.
/// Protects the reader from a length that is not one.
pub const WAL_FRAME_BYTES_MAX: usize = 1 << 28;

const _: () = {
    assert!(LABEL_SET_BYTES_MAX < WAL_FRAME_BYTES_MAX);
    assert!(WAL_FRAME_BYTES_MAX <= u32::MAX as usize);
    assert!(SERIES_COUNT_MAX <= u32::MAX as usize);
    assert!(SHARD_COUNT_MAX <= u16::MAX as usize);
    assert!(LABEL_SET_BYTES_MAX <= u32::MAX as usize);
    assert!(PROMQL_BYTES_MAX <= u32::MAX as usize);
};
