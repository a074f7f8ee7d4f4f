//! The chunks of one series within a block.
//!
//! ```text
//! run    chunk count: varint | heads | values and starts of each chunk, one behind the other
//! head   codec of the values, +128 if there are starts: 1 | timestamp column: varint
//!        | bytes of the values: varint | bytes of the starts: varint, if any
//! ```
//!
//! Chunks of floats ascend by time and share no time among themselves, and so do those of
//! histograms; a float's chunk and a histogram's may lie over each other.

use crate::encode::ValueCodec;
use crate::mem::varint::{push_u64, take_bytes, take_u64};

const HAS_STARTS: u8 = 1 << 7;

/// A chunk as its run describes it, with the bytes of its values and starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunChunk<'a> {
    pub codec: ValueCodec,
    pub column: u32,
    pub values: &'a [u8],
    /// Empty when the chunk has none.
    pub starts: &'a [u8],
}

/// Collects the chunks of a series.
#[derive(Debug, Default)]
pub(super) struct RunWriter {
    heads: Vec<u8>,
    bodies: Vec<u8>,
    count: usize,
}

impl RunWriter {
    pub fn clear(&mut self) {
        self.heads.clear();
        self.bodies.clear();
        self.count = 0;
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn push(&mut self, chunk: RunChunk<'_>) {
        let flag = if chunk.starts.is_empty() { 0 } else { HAS_STARTS };
        self.heads.push(chunk.codec.code() | flag);
        push_u64(&mut self.heads, u64::from(chunk.column));
        push_u64(&mut self.heads, chunk.values.len() as u64);
        if !chunk.starts.is_empty() {
            push_u64(&mut self.heads, chunk.starts.len() as u64);
        }
        self.bodies.extend_from_slice(chunk.values);
        self.bodies.extend_from_slice(chunk.starts);
        self.count += 1;
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        push_u64(out, self.count as u64);
        out.extend_from_slice(&self.heads);
        out.extend_from_slice(&self.bodies);
    }
}

/// Walks the chunks of a run; what stands behind it does not matter.
#[derive(Clone)]
pub(super) struct Run<'a> {
    heads: &'a [u8],
    bodies: &'a [u8],
    left: usize,
}

impl<'a> Run<'a> {
    /// `None` when the bytes are no run.
    pub fn new(mut bytes: &'a [u8]) -> Option<Run<'a>> {
        let left = usize::try_from(take_u64(&mut bytes)?).ok()?;
        let heads = bytes;
        // Each head takes three bytes at least.
        if left > bytes.len() / 3 {
            return None;
        }
        for _ in 0..left {
            take_head(&mut bytes)?;
        }
        Some(Run { heads, bodies: bytes, left })
    }
}

fn take_head(bytes: &mut &[u8]) -> Option<(ValueCodec, u32, usize, usize)> {
    let code = take_bytes(bytes, 1)?[0];
    let codec = ValueCodec::from_code(code & !HAS_STARTS)?;
    let column = u32::try_from(take_u64(bytes)?).ok()?;
    let value_bytes = usize::try_from(take_u64(bytes)?).ok()?;
    let start_bytes = match code & HAS_STARTS {
        0 => 0,
        _ => usize::try_from(take_u64(bytes)?).ok()?,
    };
    Some((codec, column, value_bytes, start_bytes))
}

impl<'a> Iterator for Run<'a> {
    /// `None` for a chunk that reaches beyond the run's bytes.
    type Item = Option<RunChunk<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let chunk = (|| {
            let (codec, column, value_bytes, start_bytes) = take_head(&mut self.heads)?;
            let values = take_bytes(&mut self.bodies, value_bytes)?;
            let starts = take_bytes(&mut self.bodies, start_bytes)?;
            Some(RunChunk { codec, column, values, starts })
        })();
        if chunk.is_none() {
            self.left = 0;
        }
        Some(chunk)
    }
}
