//! The label sets of all series, each with its id before it, so that a row of the table leads to
//! both with one more line.
//!
//! ```text
//! entry   id: u32 | bytes: u32 | canonical label set        at a multiple of eight bytes
//! ```

use crate::mem::ByteArena;
use crate::model::{LabelsRef, SeriesId};

const ENTRY_ALIGN: usize = 8;
const ENTRY_HEADER_BYTES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct LabelStore {
    arena: ByteArena,
    /// Bytes of the longest set there was.
    longest_bytes: usize,
}

impl LabelStore {
    /// Stores a set and returns its handle, which is not zero; `None` when 32 GiB are full.
    pub(super) fn push(&mut self, id: SeriesId, labels: LabelsRef<'_>) -> Option<u32> {
        let bytes = labels.as_bytes();
        let length = (bytes.len() as u32).to_le_bytes();
        let position = self.arena.push(&[&id.0.to_le_bytes(), &length, bytes], ENTRY_ALIGN);
        let handle = u32::try_from(position / ENTRY_ALIGN as u64 + 1).ok();
        self.longest_bytes = self.longest_bytes.max(bytes.len());
        if handle.is_none() {
            self.arena.release(position, ENTRY_HEADER_BYTES + bytes.len());
        }
        handle
    }

    fn position(handle: u32) -> u64 {
        u64::from(handle - 1) * ENTRY_ALIGN as u64
    }

    /// The series and label set behind `handle`.
    #[inline]
    pub(super) fn get(&self, handle: u32) -> (SeriesId, LabelsRef<'_>) {
        let entry = self.arena.from(Self::position(handle));
        let (header, rest) = entry.split_at(ENTRY_HEADER_BYTES);
        let word = |at: usize| u32::from_le_bytes(*header[at..].first_chunk().expect("8 bytes"));
        (SeriesId(word(0)), LabelsRef::from_canonical(&rest[..word(4) as usize]))
    }

    pub(super) fn release(&mut self, handle: u32) {
        let bytes = self.get(handle).1.as_bytes().len();
        self.arena.release(Self::position(handle), ENTRY_HEADER_BYTES + bytes);
    }

    /// Asks for the lines of an entry whose set is probably `label_bytes` long.
    #[inline]
    pub(super) fn prefetch(&self, handle: u32, label_bytes: usize) {
        self.arena.prefetch(Self::position(handle), ENTRY_HEADER_BYTES + label_bytes);
    }

    pub(super) fn live_bytes(&self) -> usize {
        self.arena.live_bytes()
    }

    pub(super) fn longest_bytes(&self) -> usize {
        self.longest_bytes
    }

    pub(super) fn bytes(&self) -> usize {
        self.arena.bytes()
    }
}
