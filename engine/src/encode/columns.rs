//! Single columns, for formats that keep count, span and codec elsewhere: `block`.

use super::floats::{self, FloatCodec};
use super::starts;
use super::timestamps::{self, TimestampCodec};
use super::{CHUNK_COUNT_MAX, Columns, DecodeError};
use super::{histogram, resting};
use crate::model::histogram::CounterReset;
use crate::model::{FloatHistogram, HistogramSample};

/// Appends timestamps, which ascend strictly, in the fewest bytes. First, last and count are not
/// among them.
pub fn push_timestamps(
    out: &mut Vec<u8>,
    timestamps_ms: &[i64],
    work: &mut Columns,
) -> TimestampCodec {
    assert!((1..=CHUNK_COUNT_MAX).contains(&timestamps_ms.len()));
    timestamps::push_best(out, timestamps_ms, work)
}

/// Appends the `count` timestamps of `bytes` to `out`, from `first_ms` to `last_ms`.
///
/// Errors: bytes that no encoder wrote; `out` is as it was.
pub fn decode_timestamps(
    bytes: &[u8],
    codec: TimestampCodec,
    first_ms: i64,
    last_ms: i64,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), DecodeError> {
    if !is_count(count, first_ms, last_ms) {
        return Err(DecodeError::Header);
    }
    let start = out.len();
    let decoded = timestamps::decode(bytes, codec, first_ms, last_ms, count, out);
    if decoded.is_err() {
        out.truncate(start);
    }
    decoded
}

/// Whether `count` samples can stand between two timestamps.
pub(super) fn is_count(count: usize, first_ms: i64, last_ms: i64) -> bool {
    (1..=CHUNK_COUNT_MAX).contains(&count)
        && first_ms <= last_ms
        && (count == 1) == (first_ms == last_ms)
}

/// Appends floats in the fewest bytes, or about that: for columns that are written once and rest.
pub fn push_floats(out: &mut Vec<u8>, values: &[f64], work: &mut Columns) -> FloatCodec {
    assert!((1..=CHUNK_COUNT_MAX).contains(&values.len()));
    resting::push_best(out, values, work)
}

/// Appends the `count` floats of `bytes` to `out`. Errors: as [`decode_timestamps`].
pub fn decode_floats(
    bytes: &[u8],
    codec: FloatCodec,
    count: usize,
    out: &mut Vec<f64>,
) -> Result<(), DecodeError> {
    if !(1..=CHUNK_COUNT_MAX).contains(&count) {
        return Err(DecodeError::Header);
    }
    let start = out.len();
    let decoded = floats::decode(bytes, codec, count, out);
    if decoded.is_err() {
        out.truncate(start);
    }
    decoded
}

/// The last of the values that [`decode_floats`] appends; `room` is what it may append to.
pub fn last_float(
    bytes: &[u8],
    codec: FloatCodec,
    count: usize,
    room: &mut Vec<f64>,
) -> Result<f64, DecodeError> {
    if !(1..=CHUNK_COUNT_MAX).contains(&count) {
        return Err(DecodeError::Header);
    }
    floats::last(bytes, codec, count, room)
}

/// Appends histograms that [`super::histogram_run`] put together, and what it said about resets.
pub fn push_histograms(
    out: &mut Vec<u8>,
    samples: &[HistogramSample],
    resets: CounterReset,
    work: &mut Columns,
) {
    assert!((1..=CHUNK_COUNT_MAX).contains(&samples.len()));
    histogram::push(out, samples, resets, work);
}

/// Appends the `count` histograms of `bytes` to `out`. Errors: as [`decode_timestamps`].
pub fn decode_histograms(
    bytes: &[u8],
    count: usize,
    out: &mut Vec<FloatHistogram>,
) -> Result<(), DecodeError> {
    if !(1..=CHUNK_COUNT_MAX).contains(&count) {
        return Err(DecodeError::Header);
    }
    let start = out.len();
    let decoded = histogram::decode(bytes, count, out);
    if decoded.is_err() {
        out.truncate(start);
    }
    decoded
}

/// Appends start timestamps.
pub fn push_starts(out: &mut Vec<u8>, starts_ms: &[i64], work: &mut Columns) {
    assert!((1..=CHUNK_COUNT_MAX).contains(&starts_ms.len()));
    starts::push(out, starts_ms, work);
}

/// Appends the `count` start timestamps of `bytes` to `out`. Errors: as [`decode_timestamps`].
pub fn decode_starts(bytes: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), DecodeError> {
    if !(1..=CHUNK_COUNT_MAX).contains(&count) {
        return Err(DecodeError::Header);
    }
    let start = out.len();
    out.resize(start + count, 0);
    let decoded = starts::decode(bytes, &mut out[start..]);
    if decoded.is_err() {
        out.truncate(start);
    }
    decoded
}
