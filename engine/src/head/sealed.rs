//! Sealed chunks: encoded bytes in an arena, and for each series the list of its chunks.
//!
//! ```text
//! entry   first timestamp: i64 | arena position: 48, bytes: 16        ascending by timestamp
//! ```
//!
//! Chunks of all series are sealed about when they were filled, so an arena block holds chunks of
//! about one time, and its memory goes back when retention has passed them.

use crate::mem::slots::{class_for, class_words};
use crate::mem::{ByteArena, SlotPool};

const ENTRY_WORDS: usize = 4;

/// Most bytes of one sealed chunk: its length shares a word with its position.
pub(super) const SEALED_BYTES_MAX: usize = u16::MAX as usize;

#[derive(Debug, Default)]
pub(super) struct SealedChunks {
    arena: ByteArena,
    lists: SlotPool,
    chunk_count: usize,
}

/// The chunks of one series.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChunkList {
    slot: u32,
    count: u32,
    class: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkEntry {
    pub(super) min_ms: i64,
    position: u64,
    bytes: u16,
}

impl ChunkEntry {
    fn to_words(self) -> [u32; ENTRY_WORDS] {
        let place = self.position << 16 | u64::from(self.bytes);
        let min_ms = self.min_ms as u64;
        [min_ms as u32, (min_ms >> 32) as u32, place as u32, (place >> 32) as u32]
    }

    fn from_words(words: [u32; ENTRY_WORDS]) -> Self {
        let [min_low, min_high, low, high] = words.map(u64::from);
        let place = low | high << 32;
        ChunkEntry {
            min_ms: (min_low | min_high << 32) as i64,
            position: place >> 16,
            bytes: place as u16,
        }
    }
}

impl ChunkList {
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }
}

impl SealedChunks {
    /// Stores a chunk that is newer than all of `list`.
    ///
    /// # Panics
    ///
    /// On a chunk longer than [`SEALED_BYTES_MAX`], and on more than three million chunks in one
    /// series: at a sample a second, retention would have to reach back two years.
    pub(super) fn push(&mut self, list: &mut ChunkList, min_ms: i64, chunk: &[u8]) {
        assert!(chunk.len() <= SEALED_BYTES_MAX);
        let entry = ChunkEntry {
            min_ms,
            position: self.arena.push(&[chunk], 1),
            bytes: chunk.len() as u16,
        };
        let start = list.len() * ENTRY_WORDS;
        if list.count == 0 {
            list.class = class_for(ENTRY_WORDS).expect("an entry is smaller than a slot");
            list.slot = self.lists.take(list.class);
        } else if start + ENTRY_WORDS > class_words(list.class) {
            list.slot = self.lists.resize(list.class, list.slot, start, list.class + 1);
            list.class += 1;
        }
        let words = &mut self.lists.slot_mut(list.class, list.slot)[start..start + ENTRY_WORDS];
        words.copy_from_slice(&entry.to_words());
        list.count += 1;
        self.chunk_count += 1;
    }

    fn words(&self, list: &ChunkList) -> &[[u32; ENTRY_WORDS]] {
        match list.count {
            0 => &[],
            _ => &self.lists.slot(list.class, list.slot).as_chunks().0[..list.len()],
        }
    }

    /// The chunks of a series that may have samples at or after `min_ms`, oldest first.
    pub(super) fn from(
        &self,
        list: &ChunkList,
        min_ms: i64,
    ) -> impl Iterator<Item = ChunkEntry> + '_ {
        let words = self.words(list);
        let later = words.partition_point(|&words| ChunkEntry::from_words(words).min_ms <= min_ms);
        // The one before starts earlier and may reach into the range.
        words[later.saturating_sub(1)..].iter().map(|&words| ChunkEntry::from_words(words))
    }

    /// First timestamp of a series' chunks.
    pub(super) fn first_ms(&self, list: &ChunkList) -> Option<i64> {
        self.words(list).first().map(|&words| ChunkEntry::from_words(words).min_ms)
    }

    pub(super) fn chunk(&self, entry: ChunkEntry) -> &[u8] {
        self.arena.get(entry.position, usize::from(entry.bytes))
    }

    /// Drops the oldest chunks of a series for which `is_expired` holds, up to the first for which
    /// it does not. Returns how many.
    pub(super) fn expire(
        &mut self,
        list: &mut ChunkList,
        is_expired: impl Fn(ChunkEntry, &[u8]) -> bool,
    ) -> usize {
        let mut count = 0;
        while let Some(&words) = self.words(list).get(count) {
            let entry = ChunkEntry::from_words(words);
            if !is_expired(entry, self.chunk(entry)) {
                break;
            }
            self.arena.release(entry.position, usize::from(entry.bytes));
            count += 1;
        }
        if count == 0 {
            return 0;
        }
        self.chunk_count -= count;
        let used_words = list.len() * ENTRY_WORDS;
        list.count -= count as u32;
        if list.count == 0 {
            self.lists.release(list.class, list.slot);
            return count;
        }
        let slot = self.lists.slot_mut(list.class, list.slot);
        slot.copy_within(count * ENTRY_WORDS..used_words, 0);
        let left_words = list.len() * ENTRY_WORDS;
        let class = class_for(left_words).expect("a shorter list fits a slot");
        if class + 1 < list.class {
            list.slot = self.lists.resize(list.class, list.slot, left_words, class + 1);
            list.class = class + 1;
        }
        count
    }

    pub(super) fn chunk_count(&self) -> usize {
        self.chunk_count
    }

    /// Bytes of live chunks.
    pub(super) fn chunk_bytes(&self) -> usize {
        self.arena.live_bytes()
    }

    /// Bytes of memory: chunks with the dead among them, and lists.
    pub(super) fn bytes(&self) -> (usize, usize) {
        (self.arena.bytes(), self.lists.bytes())
    }
}
