//! Columns to bytes and back: timestamps, floats, native histograms, the chooser.
//!
//! A chunk holds the samples of one series over some time. It describes itself: count, first and
//! last timestamp, the codec and length of each column. `FORMAT.md` beside this file draws it.
//! The codec of each column is chosen per chunk by size. Every value comes back bit for bit.
//!
//! Decoding checks everything it reads: broken bytes are an error, never a panic, and never more
//! memory than [`CHUNK_COUNT_MAX`] samples. It cannot notice every flipped bit of a value; that is
//! the business of the checksums of whatever holds the chunk.

mod chunk;
mod columns;
mod floats;
mod frame;
mod histogram;
#[cfg(test)]
mod histogram_tests;
mod near;
mod one_histogram;
mod resting;
mod starts;
#[cfg(test)]
mod tests;
mod timestamps;
mod tokens;
mod xor;

use std::fmt;

pub use chunk::{
    ChunkHeader, ValueCodec, decode, decode_behind, decode_samples, decode_samples_behind, encode,
    encode_decimals, encode_floats, encode_histograms, encode_with, last_float,
};
pub use columns::{
    decode_floats, decode_histograms, decode_starts, decode_timestamps, push_floats,
    push_histograms, push_starts, push_timestamps,
};
pub use floats::FloatCodec;
pub(crate) use floats::{decimal, decimal_of};
pub(crate) use frame::BitPacker;
pub use histogram::{HISTOGRAM_CELLS_MAX, histogram_run, resets as histogram_resets};
pub use one_histogram::{histogram_bytes_max, push_histogram, take_histogram};
pub use timestamps::TimestampCodec;

/// Most samples one chunk may have. Bounds what a broken count can make a decoder allocate.
pub const CHUNK_COUNT_MAX: usize = 1 << 16;

/// Why bytes are not a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    Header,
    Timestamps,
    Values,
    Starts,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecodeError::Header => "broken chunk: header",
            DecodeError::Timestamps => "broken chunk: timestamps",
            DecodeError::Values => "broken chunk: values",
            DecodeError::Starts => "broken chunk: start timestamps",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Room that encoding works in, kept between calls so that they allocate nothing.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    integers: Vec<i64>,
    other_integers: Vec<i64>,
    positions: Vec<u32>,
    /// Distances from decimals, or differences of differences.
    steps: Vec<i64>,
    /// What states take up.
    taken: Vec<u8>,
    plans: Vec<frame::FramePlan>,
    other_plans: Vec<frame::FramePlan>,
    /// The chunk's sections, until their lengths are known.
    sections: Vec<u8>,
    /// One number of each histogram, and its bytes.
    cells: Vec<f64>,
    column_bytes: Vec<u8>,
}
