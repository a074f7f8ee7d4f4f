//! Inputs of a merge, each walked in order of labels.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::super::error::BlockError;
use super::super::part::Part;
use super::super::read::Block;
use super::super::tombstones::Tombstones;
use super::LabelLookup;
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
        /// By id of the head.
        tombstones: Arc<Tombstones>,
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
}

impl Cursor {
    pub fn new(source: MergeSource) -> Cursor {
        Cursor { source, position: 0, hash: None, labels: vec![] }
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

    /// Deleted intervals of the series.
    pub fn deleted(&self) -> &[TimeRange] {
        match &self.source {
            MergeSource::Block { tombstones, .. } | MergeSource::Parts { tombstones, .. } => {
                tombstones.get(self.series())
            }
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
        hashes: &RangeInclusive<u64>,
        lookup: &mut LabelLookup<'_>,
    ) -> Result<usize, BlockError> {
        let mut seen = 0;
        while self.hash.is_none() {
            match &self.source {
                MergeSource::Block { block, .. } => {
                    if self.position >= block.series_count() {
                        break;
                    }
                    let hash = block.hash(self.position)?;
                    if hashes.contains(&hash) {
                        block.labels(self.position, &mut self.labels)?;
                        self.hash = Some(hash);
                        break;
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
