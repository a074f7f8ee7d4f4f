//! The files in `chunks_head`: chunks that Prometheus's head keeps out of memory.
//!
//! ```text
//! file    magic: 0x0130BC91 | version: 1 | 3 zeros | chunk* | zeros
//! chunk   series: 8 | first: 8 | last: 8 | encoding: 1 | length: uvarint | data | CRC32C: 4
//! ```
//!
//! The highest bit of the encoding says that the samples came out of order. The checksum is of all
//! before it.
//!
//! Source: Prometheus `tsdb/docs/format/head_chunks.md`, `tsdb/chunks/head_chunks.go`.

use super::super::samples::SeriesSamples;
use super::chunk::{Chunk, ChunkEncoding};
use crate::mem::varint::{take_bytes, take_u64};

const MAGIC: [u8; 5] = [0x01, 0x30, 0xbc, 0x91, 1];
const HEADER_BYTES: usize = 8;
const OUT_OF_ORDER: u8 = 0x80;

/// A chunk of the head.
#[derive(Clone, Copy, Debug)]
pub struct HeadChunk<'a> {
    /// The series, by its id in the log.
    pub series: u64,
    pub min_ms: i64,
    pub max_ms: i64,
    pub is_out_of_order: bool,
    chunk: Chunk<'a>,
}

impl HeadChunk<'_> {
    /// Its samples; `None` when the bytes make no sense.
    pub fn samples(&self) -> Option<SeriesSamples> {
        let mut samples = SeriesSamples::default();
        self.chunk.decode(&mut samples, &mut vec![]).ok()?;
        Some(samples)
    }
}

/// The chunks of a file, as far as they are whole, each with its place; and whether there is damage
/// behind them.
pub fn head_chunks(file: &[u8]) -> (Vec<(usize, HeadChunk<'_>)>, bool) {
    let mut chunks = vec![];
    if !file.starts_with(&MAGIC) || file.len() < HEADER_BYTES {
        return (chunks, !file.is_empty());
    }
    let mut rest = &file[HEADER_BYTES..];
    while rest.iter().take(24).any(|&byte| byte != 0) {
        let place = file.len() - rest.len();
        match head_chunk_at(file, place) {
            Some((chunk, after)) => {
                chunks.push((place, chunk));
                rest = after;
            }
            None => return (chunks, true),
        }
    }
    (chunks, false)
}

/// The chunk at a place, and what stands behind it.
pub fn head_chunk_at(file: &[u8], place: usize) -> Option<(HeadChunk<'_>, &[u8])> {
    let start = file.get(place..)?;
    let mut rest = start;
    let mut number =
        || -> Option<u64> { Some(u64::from_be_bytes(take_bytes(&mut rest, 8)?.try_into().ok()?)) };
    let (series, min_ms, max_ms) = (number()?, number()? as i64, number()? as i64);
    let encoding = *take_bytes(&mut rest, 1)?.first()?;
    let length = usize::try_from(take_u64(&mut rest)?).ok()?;
    let data = take_bytes(&mut rest, length)?;
    let covered = &start[..start.len() - rest.len()];
    let crc = take_bytes(&mut rest, 4)?;
    if crc32c::crc32c(covered).to_be_bytes() != *crc {
        return None;
    }
    let is_out_of_order = encoding & OUT_OF_ORDER != 0;
    let encoding = ChunkEncoding::from_byte(encoding & !OUT_OF_ORDER)?;
    let chunk = Chunk { encoding, data };
    Some((HeadChunk { series, min_ms, max_ms, is_out_of_order, chunk }, rest))
}
