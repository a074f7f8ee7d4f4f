//! Inputs of a merge, each walked in order of labels.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::error::BlockError;
use super::super::part::{Part, PartTombstones};
use super::super::read::{Block, Scratch};
use super::super::samples::SeriesSamples;
use super::super::tombstones::Tombstones;
use super::{LabelLookup, MergeScope};
use crate::model::{LabelsRef, TimeRange};

/// What a merge reads.
#[derive(Clone, Debug)]
pub enum MergeSource {
    Block {
        block: Arc<Block>,
        tombstones: Arc<Tombstones>,
    },
    /// Parts of one epoch, the oldest first.
    Parts {
        parts: Vec<Arc<Part>>,
        /// The series to be merged, in order of their labels: see [`super::LabelOrder`].
        order: Vec<u32>,
        tombstones: Arc<PartTombstones>,
    },
}

/// A source and the series at which it stands.
#[derive(Debug)]
pub(super) struct Cursor {
    source: MergeSource,
    /// Of the block's series, or of the order.
    position: u32,
    /// Hash and labels of that series, once they were read.
    hash: Option<u64>,
    labels: Vec<u8>,
    room: Room,
}

/// Room for what is read of a series to see whether it can be.
#[derive(Debug, Default)]
struct Room {
    labels: Vec<u8>,
    samples: SeriesSamples,
    scratch: Scratch,
}

/// Whether everything of a series can be read.
fn is_whole(block: &Block, series: u32, room: &mut Room) -> bool {
    let all = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
    room.samples.clear();
    block.hash(series).is_ok()
        && block.labels(series, &mut room.labels).is_ok()
        && block.read(series, all, &mut room.samples, &mut room.scratch).is_ok()
}

impl Cursor {
    pub fn new(source: MergeSource) -> Cursor {
        Cursor { source, position: 0, hash: None, labels: vec![], room: Room::default() }
    }

    pub fn source(&self) -> &MergeSource {
        &self.source
    }

    /// The number of the series within its source.
    pub fn series(&self) -> u32 {
        match &self.source {
            MergeSource::Block { .. } => self.position,
            MergeSource::Parts { order, .. } => order[self.position as usize],
        }
    }

    /// Deleted intervals of the series, in the part `part` if the source is parts.
    pub fn deleted(&self, part: u64) -> Cow<'_, [TimeRange]> {
        match &self.source {
            MergeSource::Block { tombstones, .. } => tombstones.get(self.series()).into(),
            MergeSource::Parts { tombstones, .. } => tombstones.get(self.series(), part),
        }
    }

    /// Hash and labels of the series at which this stands; `None` at the end.
    pub fn current(&self) -> Option<(u64, LabelsRef<'_>)> {
        Some((self.hash?, LabelsRef::from_canonical(&self.labels)))
    }

    pub fn advance(&mut self) {
        self.position += 1;
        self.hash = None;
    }

    /// Goes on to the next series that is kept, and reads its labels, unless that was done. Returns
    /// how many series were looked at.
    pub fn settle(
        &mut self,
        scope: &MergeScope,
        lookup: &mut LabelLookup<'_>,
    ) -> Result<usize, BlockError> {
        let hashes = &scope.hashes;
        let mut seen = 0;
        while self.hash.is_none() {
            match &self.source {
                MergeSource::Block { block, .. } => {
                    if self.position >= block.series_count() {
                        break;
                    }
                    if !scope.skips_damaged || is_whole(block, self.position, &mut self.room) {
                        let hash = block.hash(self.position)?;
                        if hashes.contains(&hash) {
                            block.labels(self.position, &mut self.labels)?;
                            self.hash = Some(hash);
                            break;
                        }
                    }
                }
                MergeSource::Parts { order, .. } => {
                    let Some(&series) = order.get(self.position as usize) else { break };
                    self.labels.clear();
                    if lookup(series, &mut self.labels) {
                        let hash = LabelsRef::from_canonical(&self.labels).stable_hash();
                        if hashes.contains(&hash) {
                            self.hash = Some(hash);
                            break;
                        }
                    }
                }
            }
            self.position += 1;
            seen += 1;
        }
        Ok(seen)
    }
}
