//! The chunks of one series within a block.
//!
//! ```text
//! run    chunk count: varint | heads | values and starts of each chunk, one behind the other
//! head   codec of the values, +64 if they stand before the run, +128 if there are starts: 1
//!        | timestamp column: varint | bytes of the values: varint
//!        | start of the run - start of the values: varint, if they stand before it
//!        | bytes of the starts: varint, if any
//! ```
//!
//! Chunks of floats ascend by time and share no time among themselves, and so do those of
//! histograms; a float's chunk and a histogram's may lie over each other.
//!
//! Series that always have the same values (a histogram's upper buckets, what is counted under two
//! names) are neighbours mostly: the later ones name the place of the first one's values.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::encode::ValueCodec;
use crate::mem::varint::{push_u64, take_bytes, take_u64};

const STAND_BEFORE: u8 = 1 << 6;
const HAS_STARTS: u8 = 1 << 7;

/// Values that stand before a run begin so many bytes before it at most: whoever brings the run's pages
/// into memory brings these, too.
pub(super) const SHARED_BYTES_MAX: u64 = 16 << 10;

/// Shorter values are written again.
const SHARED_BYTES_MIN: usize = 12;

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
    chunks: Vec<PendingChunk>,
    /// Values and starts of the chunks.
    bytes: Vec<u8>,
    heads: Vec<u8>,
    bodies: Vec<u8>,
    recent: RecentValues,
}

#[derive(Clone, Copy, Debug)]
struct PendingChunk {
    codec: ValueCodec,
    column: u32,
    value_bytes: usize,
    start_bytes: usize,
}

impl RunWriter {
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.bytes.clear();
    }

    pub fn count(&self) -> usize {
        self.chunks.len()
    }

    pub fn push(&mut self, chunk: RunChunk<'_>) {
        self.chunks.push(PendingChunk {
            codec: chunk.codec,
            column: chunk.column,
            value_bytes: chunk.values.len(),
            start_bytes: chunk.starts.len(),
        });
        self.bytes.extend_from_slice(chunk.values);
        self.bytes.extend_from_slice(chunk.starts);
    }

    /// Appends the run, which will stand at `place` of the file.
    pub fn write(&mut self, place: u64, out: &mut Vec<u8>) {
        self.heads.clear();
        self.bodies.clear();
        self.recent.forget_before(place.saturating_sub(SHARED_BYTES_MAX));
        let mut own: Vec<(u64, usize, usize)> = vec![];
        let mut rest = &self.bytes[..];
        for chunk in &self.chunks {
            let (values, behind) = rest.split_at(chunk.value_bytes);
            let (starts, behind) = behind.split_at(chunk.start_bytes);
            rest = behind;
            let code = chunk.codec.code();
            let hash = xxh3_64_with_seed(values, code.into());
            let is_long = values.len() >= SHARED_BYTES_MIN;
            let before = if is_long { self.recent.place_of(hash, values) } else { None };
            self.heads.push(
                code | if before.is_some() { STAND_BEFORE } else { 0 }
                    | if starts.is_empty() { 0 } else { HAS_STARTS },
            );
            push_u64(&mut self.heads, u64::from(chunk.column));
            push_u64(&mut self.heads, values.len() as u64);
            match before {
                Some(before) => push_u64(&mut self.heads, place - before),
                None => {
                    if is_long {
                        own.push((hash, self.bodies.len(), values.len()));
                    }
                    self.bodies.extend_from_slice(values);
                }
            }
            if !starts.is_empty() {
                push_u64(&mut self.heads, starts.len() as u64);
            }
            self.bodies.extend_from_slice(starts);
        }
        let run_start = out.len();
        push_u64(out, self.chunks.len() as u64);
        out.extend_from_slice(&self.heads);
        let bodies_place = place + (out.len() - run_start) as u64;
        out.extend_from_slice(&self.bodies);
        for (hash, start, length) in own {
            let values = &self.bodies[start..start + length];
            self.recent.remember(hash, values, bodies_place + start as u64);
        }
    }
}

/// Values that were written lately.
#[derive(Debug, Default)]
struct RecentValues {
    by_hash: HashMap<u64, (u64, Box<[u8]>), FixedState>,
    /// Places and hashes, oldest first.
    order: VecDeque<(u64, u64)>,
}

impl RecentValues {
    /// Where values with this hash of theirs and their codec stand.
    fn place_of(&self, hash: u64, values: &[u8]) -> Option<u64> {
        let (place, known) = self.by_hash.get(&hash)?;
        (**known == *values).then_some(*place)
    }

    fn remember(&mut self, hash: u64, values: &[u8], place: u64) {
        self.by_hash.insert(hash, (place, values.into()));
        self.order.push_back((place, hash));
    }

    fn forget_before(&mut self, place: u64) {
        while let Some((_, hash)) = self.order.pop_front_if(|(first, _)| *first < place) {
            // What was written again in between stands further behind.
            if self.by_hash.get(&hash).is_some_and(|(known, _)| *known < place) {
                self.by_hash.remove(&hash);
            }
        }
    }
}

/// A chunk whose values may stand elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunHead<'a> {
    pub codec: ValueCodec,
    pub column: u32,
    pub values: RunValues<'a>,
    pub starts: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
pub(super) enum RunValues<'a> {
    Here(&'a [u8]),
    /// They begin so many bytes before the run.
    Before {
        distance: u64,
        bytes: usize,
    },
}

/// Walks the chunks of a run; what stands behind it does not matter.
#[derive(Clone)]
pub(super) struct Run<'a> {
    heads: &'a [u8],
    bodies: &'a [u8],
    left: usize,
}

/// What a head says.
struct Head {
    codec: ValueCodec,
    column: u32,
    value_bytes: usize,
    distance: Option<u64>,
    start_bytes: usize,
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

    /// How many bytes stand behind the run; `None` when a chunk reaches beyond its bytes.
    pub fn bytes_behind(&self) -> Option<usize> {
        let mut walk = self.clone();
        for chunk in walk.by_ref() {
            chunk?;
        }
        Some(walk.bodies.len())
    }

    fn take_chunk(&mut self) -> Option<RunHead<'a>> {
        let head = take_head(&mut self.heads)?;
        let values = match head.distance {
            Some(distance) => RunValues::Before { distance, bytes: head.value_bytes },
            None => RunValues::Here(take_bytes(&mut self.bodies, head.value_bytes)?),
        };
        let starts = take_bytes(&mut self.bodies, head.start_bytes)?;
        Some(RunHead { codec: head.codec, column: head.column, values, starts })
    }
}

fn take_head(bytes: &mut &[u8]) -> Option<Head> {
    let code = take_bytes(bytes, 1)?[0];
    let take_length = |bytes: &mut &[u8]| usize::try_from(take_u64(bytes)?).ok();
    Some(Head {
        codec: ValueCodec::from_code(code & !(HAS_STARTS | STAND_BEFORE))?,
        column: u32::try_from(take_u64(bytes)?).ok()?,
        value_bytes: take_length(bytes)?,
        distance: match code & STAND_BEFORE {
            0 => None,
            _ => Some(take_u64(bytes)?),
        },
        start_bytes: match code & HAS_STARTS {
            0 => 0,
            _ => take_length(bytes)?,
        },
    })
}

impl<'a> Iterator for Run<'a> {
    /// `None` for a chunk that reaches beyond the run's bytes.
    type Item = Option<RunHead<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let chunk = self.take_chunk();
        if chunk.is_none() {
            self.left = 0;
        }
        Some(chunk)
    }
}
