//! Columns to bytes and back: timestamps, floats, the chooser.
//!
//! A chunk holds the samples of one series over some time. It describes itself: count, first and
//! last timestamp, the codec and length of each column. `FORMAT.md` beside this file draws it.
//! The codec of each column is chosen per chunk by size. Every value comes back bit for bit.
//!
//! Decoding checks everything it reads: broken bytes are an error, never a panic, and never more
//! memory than [`CHUNK_COUNT_MAX`] samples. It cannot notice every flipped bit of a value; that is
//! the business of the checksums of whatever holds the chunk.

mod floats;
mod frame;
#[cfg(test)]
mod tests;
mod timestamps;
mod xor;

use std::fmt;

use crate::mem::varint::{push_i64, push_u64, take_bytes, take_i64, take_u64};

pub use floats::FloatCodec;
pub use timestamps::TimestampCodec;

/// Most samples one chunk may have. Bounds what a broken count can make a decoder allocate.
pub const CHUNK_COUNT_MAX: usize = 1 << 16;

/// Why bytes are not a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    Header,
    Timestamps,
    Values,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecodeError::Header => "broken chunk: header",
            DecodeError::Timestamps => "broken chunk: timestamps",
            DecodeError::Values => "broken chunk: values",
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
    /// The chunk's sections, until their lengths are known.
    sections: Vec<u8>,
}

/// What a chunk says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// Samples, at least one.
    pub count: usize,
    /// Timestamp of the first sample.
    pub min_ms: i64,
    /// Timestamp of the last sample.
    pub max_ms: i64,
    pub timestamp_codec: TimestampCodec,
    pub float_codec: FloatCodec,
    timestamp_bytes: usize,
    float_bytes: usize,
}

/// Appends a chunk of `timestamps_ms` and `values`, each column with the codec that suits it best.
///
/// Shapes: columns of equal length, 1 to [`CHUNK_COUNT_MAX`]; timestamps ascend strictly. Cost:
/// about 10 ns a sample; no allocation once `work` and `out` have room.
///
/// # Panics
///
/// On other shapes: a bug of the caller.
pub fn encode(timestamps_ms: &[i64], values: &[f64], work: &mut Columns, out: &mut Vec<u8>) {
    encode_by(timestamps_ms, values, work, out, |sections, work| {
        let timestamp_codec = timestamps::push_best(sections, timestamps_ms, work);
        let timestamp_bytes = sections.len();
        let float_codec = floats::push_best(sections, values, work);
        Some((timestamp_codec, timestamp_bytes, float_codec))
    });
}

/// As [`encode`] with given codecs: for tests and measurements. `false`, and nothing appended, when
/// one of them cannot hold its column.
pub fn encode_with(
    timestamp_codec: TimestampCodec,
    float_codec: FloatCodec,
    timestamps_ms: &[i64],
    values: &[f64],
    work: &mut Columns,
    out: &mut Vec<u8>,
) -> bool {
    encode_by(timestamps_ms, values, work, out, |sections, work| {
        if !timestamps::push(sections, timestamps_ms, timestamp_codec, work) {
            return None;
        }
        let timestamp_bytes = sections.len();
        floats::push(sections, values, float_codec, work).then_some((
            timestamp_codec,
            timestamp_bytes,
            float_codec,
        ))
    })
}

fn encode_by(
    timestamps_ms: &[i64],
    values: &[f64],
    work: &mut Columns,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>, &mut Columns) -> Option<(TimestampCodec, usize, FloatCodec)>,
) -> bool {
    assert!(timestamps_ms.len() == values.len());
    assert!(!values.is_empty() && values.len() <= CHUNK_COUNT_MAX);
    debug_assert!(timestamps_ms.is_sorted_by(|left, right| left < right));
    let mut sections = std::mem::take(&mut work.sections);
    sections.clear();
    let written = write(&mut sections, work);
    if let Some((timestamp_codec, timestamp_bytes, float_codec)) = written {
        let (min_ms, max_ms) = (timestamps_ms[0], timestamps_ms[values.len() - 1]);
        out.push(timestamp_codec as u8 | (float_codec as u8) << 3);
        push_u64(out, values.len() as u64);
        push_i64(out, min_ms);
        push_u64(out, max_ms.wrapping_sub(min_ms) as u64);
        push_u64(out, timestamp_bytes as u64);
        push_u64(out, (sections.len() - timestamp_bytes) as u64);
        out.extend_from_slice(&sections);
    }
    work.sections = sections;
    written.is_some()
}

impl ChunkHeader {
    /// Takes a header off the front of `bytes`.
    fn take(bytes: &mut &[u8]) -> Option<ChunkHeader> {
        let codecs = take_bytes(bytes, 1)?[0];
        let count = usize::try_from(take_u64(bytes)?).ok()?;
        let min_ms = take_i64(bytes)?;
        let max_ms = min_ms.checked_add_unsigned(take_u64(bytes)?)?;
        let header = ChunkHeader {
            count,
            min_ms,
            max_ms,
            timestamp_codec: TimestampCodec::from_code(codecs & 7)?,
            float_codec: FloatCodec::from_code(codecs >> 3)?,
            timestamp_bytes: usize::try_from(take_u64(bytes)?).ok()?,
            float_bytes: usize::try_from(take_u64(bytes)?).ok()?,
        };
        let is_counted =
            (1..=CHUNK_COUNT_MAX).contains(&count) && (count == 1) == (min_ms == max_ms);
        is_counted.then_some(header)
    }

    /// Reads the header at the start of `bytes`.
    pub fn decode(mut bytes: &[u8]) -> Result<ChunkHeader, DecodeError> {
        ChunkHeader::take(&mut bytes).ok_or(DecodeError::Header)
    }
}

/// Appends the samples of the chunk `bytes` (the whole of it and no more) to two columns.
///
/// Cost: 0.3 to 2 ns a sample by codec, about 5 with XOR; no allocation once the columns have
/// room.
///
/// # Errors
///
/// On bytes that no encoder wrote; the columns are then as they were.
pub fn decode(
    bytes: &[u8],
    timestamps_ms: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), DecodeError> {
    let mut rest = bytes;
    let header = ChunkHeader::take(&mut rest).ok_or(DecodeError::Header)?;
    let (timestamp_bytes, float_bytes) =
        rest.split_at_checked(header.timestamp_bytes).ok_or(DecodeError::Header)?;
    if float_bytes.len() != header.float_bytes {
        return Err(DecodeError::Header);
    }
    let (timestamp_start, value_start) = (timestamps_ms.len(), values.len());
    timestamps_ms.resize(timestamp_start + header.count, 0);
    let decoded = timestamps::decode(
        timestamp_bytes,
        header.timestamp_codec,
        header.min_ms,
        header.max_ms,
        &mut timestamps_ms[timestamp_start..],
    )
    .and_then(|()| floats::decode(float_bytes, header.float_codec, header.count, values));
    if decoded.is_err() {
        timestamps_ms.truncate(timestamp_start);
        values.truncate(value_start);
    }
    decoded
}
