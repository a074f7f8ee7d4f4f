//! What a block says about itself: the body of its footer.
//!
//! ```text
//! id: 16 | shard: 2 | shards: 2 | level: 4 | flags: 4 | parents: 4
//! | range start: 8 | range end: 8 | first timestamp: 8 | last timestamp: 8
//! | series: 8 | floats: 8 | histograms: 8 | chunks: 8 | tombstones at writing: 8
//! | sections: ( start: 8, bytes: 8 ) * 9 | parents: 16 each
//! ```

use super::id::BlockId;
use super::pages::{Section, le_u32, le_u64};
use crate::limits::SHARD_COUNT_MAX;
use crate::model::TimeRange;

/// Sections of a block, in the order of the footer and of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum SectionName {
    Strings = 0,
    Names = 1,
    Pairs = 2,
    Postings = 3,
    LabelOffsets = 4,
    Labels = 5,
    Hashes = 6,
    Series = 7,
    Columns = 8,
}

pub(super) const SECTION_COUNT: usize = 9;
pub(super) type Sections = [Section; SECTION_COUNT];

/// The block holds samples that came out of order: it overlaps others.
const OUT_OF_ORDER: u32 = 1;

const FIXED_BYTES: usize = 16 + 4 + 12 + 9 * 8 + SECTION_COUNT * 16;

/// Identity, span and sizes of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockMeta {
    pub id: BlockId,
    /// Shard that wrote it, of how many: its series are those whose hash goes there.
    pub shard: u16,
    pub shard_count: u16,
    /// One for a cut of the head; of a merge one more than the highest of its parents.
    pub level: u32,
    pub is_out_of_order: bool,
    /// Blocks this one was made from and stands for.
    pub parents: Vec<BlockId>,
    /// The time that the block stands for, `start..end`: planning goes by it.
    pub range_start_ms: i64,
    pub range_end_ms: i64,
    /// Timestamps of the first and the last sample; crossed when there is none.
    pub min_ms: i64,
    pub max_ms: i64,
    pub series_count: u64,
    pub float_count: u64,
    pub histogram_count: u64,
    pub chunk_count: u64,
}

impl BlockMeta {
    pub fn sample_count(&self) -> u64 {
        self.float_count + self.histogram_count
    }

    /// Whether the block has samples in `range`, perhaps.
    pub fn overlaps(&self, range: TimeRange) -> bool {
        self.min_ms <= range.max_ms && range.min_ms <= self.max_ms
    }

    pub(super) fn encode(&self, sections: &Sections) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_BYTES + 16 * self.parents.len());
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.shard.to_le_bytes());
        out.extend_from_slice(&self.shard_count.to_le_bytes());
        let flags = if self.is_out_of_order { OUT_OF_ORDER } else { 0 };
        for number in [self.level, flags, self.parents.len() as u32] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for time_ms in [self.range_start_ms, self.range_end_ms, self.min_ms, self.max_ms] {
            out.extend_from_slice(&time_ms.to_le_bytes());
        }
        let counts = [self.series_count, self.float_count, self.histogram_count, self.chunk_count];
        for count in counts.into_iter().chain([0]) {
            out.extend_from_slice(&count.to_le_bytes());
        }
        for section in sections {
            out.extend_from_slice(&section.start.to_le_bytes());
            out.extend_from_slice(&section.bytes.to_le_bytes());
        }
        for parent in &self.parents {
            out.extend_from_slice(&parent.0);
        }
        out
    }

    /// `None` when the bytes are no such body, or name what cannot be.
    pub(super) fn decode(bytes: &[u8]) -> Option<(BlockMeta, Sections)> {
        let (fixed, parents) = bytes.split_at_checked(FIXED_BYTES)?;
        let id = BlockId(*fixed.first_chunk()?);
        let u16_at = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
        let (flags, parent_count) = (le_u32(fixed, 24), le_u32(fixed, 28) as usize);
        let number = |index: usize| le_u64(fixed, 32 + 8 * index);
        let mut sections = Sections::default();
        for (index, section) in sections.iter_mut().enumerate() {
            let at = 32 + 9 * 8 + 16 * index;
            *section = Section { start: le_u64(fixed, at), bytes: le_u64(fixed, at + 8) };
        }
        let meta = BlockMeta {
            id,
            shard: u16_at(16),
            shard_count: u16_at(18),
            level: le_u32(fixed, 20),
            is_out_of_order: flags & OUT_OF_ORDER != 0,
            parents: parents.as_chunks().0.iter().map(|&parent| BlockId(parent)).collect(),
            range_start_ms: number(0) as i64,
            range_end_ms: number(1) as i64,
            min_ms: number(2) as i64,
            max_ms: number(3) as i64,
            series_count: number(4),
            float_count: number(5),
            histogram_count: number(6),
            chunk_count: number(7),
        };
        let is_sound = parents.len() == 16 * parent_count
            && meta.shard < meta.shard_count
            && usize::from(meta.shard_count) <= SHARD_COUNT_MAX
            && meta.series_count <= u64::from(u32::MAX);
        is_sound.then_some((meta, sections))
    }
}
