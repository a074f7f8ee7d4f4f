//! Chunks: which encodings there are, and how they stand in the files of a block.
//!
//! ```text
//! segment   magic: 0x85BD40DD | version: 1 | 3 zeros | chunk*             512 MiB at most
//! chunk     length of data: uvarint | encoding: 1 | data | CRC32C of encoding and data: 4
//! ```
//!
//! A chunk is named by the number of its segment, from zero, and its place there: 32 bits each.
//!
//! Source: Prometheus `tsdb/docs/format/chunks.md`, `tsdb/chunks/chunks.go`.

use std::ops::Range;

use super::super::samples::{SamplesOut, SeriesSamples};
use super::bits::BitWriter;
use super::floats::{Broken, decode_xor, decode_xor2, encode_xor, encode_xor2};
use super::histograms::{HistogramKind, HistogramsOut, decode_histograms, encode_histograms};
use crate::encode;
use crate::mem::varint::{push_u64, take_bytes, take_u64};
use crate::model::{FloatHistogram, HistogramSample};

pub(super) const SEGMENT_MAGIC: [u8; 8] = [0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0];

/// Samples of a chunk of floats.
const FLOAT_COUNT_GOOD: usize = 120;

/// Samples of a chunk of histograms at most: mostly it is full before.
const HISTOGRAM_COUNT_MAX: usize = 960;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ChunkEncoding {
    Xor = 1,
    Histogram = 2,
    FloatHistogram = 3,
    /// Floats with start timestamps: since Prometheus 3.14.
    Xor2 = 4,
    HistogramStarts = 5,
    FloatHistogramStarts = 6,
}

impl ChunkEncoding {
    pub fn from_byte(byte: u8) -> Option<ChunkEncoding> {
        Some(match byte {
            1 => ChunkEncoding::Xor,
            2 => ChunkEncoding::Histogram,
            3 => ChunkEncoding::FloatHistogram,
            4 => ChunkEncoding::Xor2,
            5 => ChunkEncoding::HistogramStarts,
            6 => ChunkEncoding::FloatHistogramStarts,
            _ => return None,
        })
    }

    /// Prometheus's word for it.
    pub fn name(self) -> &'static str {
        match self {
            ChunkEncoding::Xor => "XOR",
            ChunkEncoding::Histogram => "histogram",
            ChunkEncoding::FloatHistogram => "floathistogram",
            ChunkEncoding::Xor2 => "XOR2",
            ChunkEncoding::HistogramStarts => "histogramST",
            ChunkEncoding::FloatHistogramStarts => "floathistogramST",
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, ChunkEncoding::Xor | ChunkEncoding::Xor2)
    }

    fn histogram_kind(self) -> HistogramKind {
        use ChunkEncoding::*;
        HistogramKind {
            is_integer: matches!(self, Histogram | HistogramStarts),
            has_starts: matches!(self, HistogramStarts | FloatHistogramStarts),
        }
    }
}

/// The data of a chunk, in place.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    pub encoding: ChunkEncoding,
    pub data: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Samples in it, as its header says.
    pub fn sample_count(&self) -> usize {
        let Some(&number) = self.data.first_chunk() else { return 0 };
        let number = usize::from(u16::from_be_bytes(number));
        let has_starts = !self.encoding.is_float() && self.encoding.histogram_kind().has_starts;
        if has_starts { number & 0x3fff } else { number }
    }

    /// Whether all of the chunk at the front of `bytes` is there, going by its length.
    pub(super) fn is_within(bytes: &[u8]) -> bool {
        let mut rest = bytes;
        take_u64(&mut rest).is_some_and(|length| length.saturating_add(5) <= rest.len() as u64)
    }

    /// The chunk at the front of `bytes`, and the bytes it takes there.
    ///
    /// Errors: cut short, damaged, or of an encoding that is not known.
    pub(super) fn at(bytes: &'a [u8]) -> Result<(Chunk<'a>, usize), Broken> {
        let mut rest = bytes;
        let length = take_u64(&mut rest).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|&length| length <= rest.len()).ok_or("chunk length")?;
        let body = take_bytes(&mut rest, length + 1).ok_or("chunk length")?;
        let crc = take_bytes(&mut rest, 4).ok_or("chunk length")?;
        if crc32c::crc32c(body).to_be_bytes() != *crc {
            return Err("chunk checksum");
        }
        let encoding = ChunkEncoding::from_byte(body[0]).ok_or("chunk encoding")?;
        Ok((Chunk { encoding, data: &body[1..] }, bytes.len() - rest.len()))
    }

    /// Appends all samples. `histograms` is room.
    pub(in crate::block) fn decode(
        &self,
        out: &mut impl SamplesOut,
        histograms: &mut Vec<FloatHistogram>,
    ) -> Result<(), Broken> {
        if self.encoding.is_float() {
            let (timestamps_ms, values, starts_ms) = out.floats();
            let before = values.len();
            if !starts_ms.is_empty() {
                starts_ms.resize(before, 0);
            }
            let has_starts = match self.encoding {
                ChunkEncoding::Xor => {
                    decode_xor(self.data, timestamps_ms, values).map(|()| false)?
                }
                _ => {
                    // Those before had none, if there is no column yet.
                    let mut own = vec![];
                    let has = decode_xor2(self.data, timestamps_ms, values, &mut own)?;
                    push_starts(starts_ms, before, &own);
                    has
                }
            };
            if !has_starts && !starts_ms.is_empty() {
                starts_ms.resize(values.len(), 0);
            }
            return Ok(());
        }
        histograms.clear();
        let kind = self.encoding.histogram_kind();
        let (timestamps_ms, starts_ms) = out.histogram_times();
        let before = timestamps_ms.len();
        let mut own = vec![];
        let columns = HistogramsOut { timestamps_ms, histograms, starts_ms: &mut own };
        decode_histograms(self.data, kind, columns)?;
        push_starts(starts_ms, before, &own);
        let count = before + histograms.len();
        if !starts_ms.is_empty() {
            starts_ms.resize(count, 0);
        }
        out.push_histograms(histograms, kind.is_integer);
        Ok(())
    }
}

/// Appends the starts of a chunk behind `before` samples of which the last may have none.
fn push_starts(out: &mut Vec<i64>, before: usize, own: &[i64]) {
    if !own.is_empty() {
        out.resize(before, 0);
        out.extend_from_slice(own);
    }
}

/// A chunk as it was written, without its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoded {
    pub encoding: ChunkEncoding,
    /// Samples taken.
    pub count: usize,
    pub min_ms: i64,
    pub max_ms: i64,
}

/// Encodes floats of `range`, not none, from its start on as one chunk, into `bits`: the range is
/// divided evenly into chunks of [`FLOAT_COUNT_GOOD`] at most.
pub(super) fn encode_floats(
    samples: &SeriesSamples,
    range: Range<usize>,
    bits: &mut BitWriter,
) -> Encoded {
    let (start, left) = (range.start, range.len());
    let end = start + left.div_ceil(left.div_ceil(FLOAT_COUNT_GOOD));
    let timestamps_ms = &samples.timestamps_ms[start..end];
    let values = &samples.values[start..end];
    let starts_ms = samples.starts_ms.get(start..end).unwrap_or_default();
    let (encoding, count) = if starts_ms.iter().all(|&start_ms| start_ms == 0) {
        (ChunkEncoding::Xor, encode_xor(timestamps_ms, values, bits))
    } else {
        (ChunkEncoding::Xor2, encode_xor2(timestamps_ms, values, starts_ms, bits))
    };
    Encoded { encoding, count, min_ms: timestamps_ms[0], max_ms: timestamps_ms[count - 1] }
}

/// As [`encode_floats`], histograms; `before` is the one that stands before them in the series. A
/// chunk ends before a reset, a change of the layout or of the kind, and behind staleness markers.
pub(super) fn encode_some_histograms(
    samples: &SeriesSamples,
    range: Range<usize>,
    before: Option<&HistogramSample>,
    bits: &mut BitWriter,
) -> Encoded {
    let start = range.start;
    let most = range.end.min(start + HISTOGRAM_COUNT_MAX);
    let candidates = &samples.histograms[start..most];
    let (count, resets) = encode::histogram_run(candidates, before);
    let run = &candidates[..count];
    let timestamps_ms = &samples.histogram_timestamps_ms[start..start + count];
    let starts_ms = samples.histogram_starts_ms.get(start..start + count).unwrap_or_default();
    let kind = HistogramKind {
        is_integer: run[0].is_integer,
        has_starts: starts_ms.iter().any(|&start_ms| start_ms != 0),
    };
    let histograms = run.iter().map(|sample: &HistogramSample| &sample.histogram);
    let count = encode_histograms(kind, resets, timestamps_ms, histograms, starts_ms, bits);
    let encoding = match (kind.is_integer, kind.has_starts) {
        (true, false) => ChunkEncoding::Histogram,
        (false, false) => ChunkEncoding::FloatHistogram,
        (true, true) => ChunkEncoding::HistogramStarts,
        (false, true) => ChunkEncoding::FloatHistogramStarts,
    };
    Encoded { encoding, count, min_ms: timestamps_ms[0], max_ms: timestamps_ms[count - 1] }
}

/// Appends a chunk with its frame.
pub(super) fn push_chunk(out: &mut Vec<u8>, encoding: ChunkEncoding, data: &[u8]) {
    push_u64(out, data.len() as u64);
    let start = out.len();
    out.push(encoding as u8);
    out.extend_from_slice(data);
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
}
