//! Parts: what a flush of the head leaves.
//!
//! ```text
//! header | groups of runs | rows of groups | labels | removed | metadata | exemplars | footer
//! ```
//!
//! Chunks stand by series id, as the head sealed them; labels only of series that no earlier part
//! names, or of all (a base). The part says from where on the log is still needed.

mod labels;
mod late;
mod place;
mod read;
mod rescue;
#[cfg(test)]
mod tests;
mod tombstones;
mod write;

pub use labels::PartLabels;
pub use place::PartPlace;
pub use read::{Part, PartChunk, PartGroup, PartRuns};
pub use rescue::PartRescue;
pub use tombstones::PartTombstones;
pub use write::{PartPlan, PartWriter};

use super::pages::{Section, le_u32, le_u64};
use crate::limits::SHARD_COUNT_MAX;
use crate::model::LabelsRef;

const MAGIC: &[u8; 8] = b"HEARTHPT";
/// In which labels are written by numbers; in the first, as bytes.
const VERSION: u32 = 2;
const VERSIONS: [u32; 2] = [1, VERSION];

/// Series of a group: a look-up walks through half of one.
const GROUP_COUNT: usize = 64;

/// Place: 8, first id: 4.
const GROUP_ROW_BYTES: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum SectionName {
    Groups = 0,
    Labels = 1,
    Removed = 2,
    Metadata = 3,
    Exemplars = 4,
}

const SECTION_COUNT: usize = 5;
type Sections = [Section; SECTION_COUNT];

/// Stands for the length of a chunk, which none has: those behind it are of late samples.
const LATE_FOLLOWS: u64 = 0;

/// The part names all series that live, not only new ones.
const BASE: u32 = 1;

/// Some of the chunks are of late samples.
const LATE: u32 = 2;

const BODY_BYTES: usize = 11 * 8 + 16 * SECTION_COUNT;

/// What a part says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartMeta {
    /// Parts of a shard are numbered in the order they were written.
    pub number: u64,
    pub shard: u16,
    pub shard_count: u16,
    /// Within it series ids mean what they mean here.
    pub epoch: u32,
    /// Whether the labels are those of all living series, and not only of new ones.
    pub is_base: bool,
    /// Whether some chunks are of samples that came out of order.
    pub has_late: bool,
    /// First frame of the log that neither this part nor an earlier one holds.
    pub next_lsn: u64,
    /// Timestamps of the first and the last sample; crossed when there is none.
    pub min_ms: i64,
    pub max_ms: i64,
    /// Series with chunks here.
    pub series_count: u64,
    pub chunk_count: u64,
    pub sample_count: u64,
    /// Series whose labels stand here.
    pub labels_count: u64,
    /// One more than the highest id that the head had given.
    pub id_count: u64,
}

impl PartMeta {
    fn encode(&self, sections: &Sections) -> Vec<u8> {
        let mut out = Vec::with_capacity(BODY_BYTES);
        let shards = u64::from(self.shard) | u64::from(self.shard_count) << 16;
        let flags = if self.is_base { BASE } else { 0 } | if self.has_late { LATE } else { 0 };
        let numbers = [
            self.number,
            shards | u64::from(flags) << 32,
            u64::from(self.epoch),
            self.next_lsn,
            self.min_ms as u64,
            self.max_ms as u64,
            self.series_count,
            self.chunk_count,
            self.sample_count,
            self.labels_count,
            self.id_count,
        ];
        for number in numbers {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for section in sections {
            out.extend_from_slice(&section.start.to_le_bytes());
            out.extend_from_slice(&section.bytes.to_le_bytes());
        }
        out
    }

    fn decode(body: &[u8]) -> Option<(PartMeta, Sections)> {
        if body.len() != BODY_BYTES {
            return None;
        }
        let number = |index: usize| le_u64(body, 8 * index);
        let meta = PartMeta {
            number: number(0),
            shard: number(1) as u16,
            shard_count: (number(1) >> 16) as u16,
            is_base: le_u32(body, 12) & BASE != 0,
            has_late: le_u32(body, 12) & LATE != 0,
            epoch: number(2) as u32,
            next_lsn: number(3),
            min_ms: number(4) as i64,
            max_ms: number(5) as i64,
            series_count: number(6),
            chunk_count: number(7),
            sample_count: number(8),
            labels_count: number(9),
            id_count: number(10),
        };
        let mut sections = Sections::default();
        for (index, section) in sections.iter_mut().enumerate() {
            let at = 11 * 8 + 16 * index;
            *section = Section { start: le_u64(body, at), bytes: le_u64(body, at + 8) };
        }
        let is_sound =
            meta.shard < meta.shard_count && usize::from(meta.shard_count) <= SHARD_COUNT_MAX;
        is_sound.then_some((meta, sections))
    }
}

/// What is known about a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartMetadata<'a> {
    pub family: &'a str,
    pub kind: &'a str,
    pub help: &'a str,
    pub unit: &'a str,
}

/// An example of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartExemplar<'a> {
    pub series: u32,
    pub timestamp_ms: i64,
    pub value: f64,
    pub labels: LabelsRef<'a>,
}
