//! Sealed chunks: encoded bytes in an arena, and for each series the list of its chunks.
//!
//! ```text
//! entry   first timestamp: i64 | arena position: 48, bytes: 16        ascending by timestamp
//! ```
//!
//! Chunks of all series are sealed about when they were filled, so an arena block holds chunks of
//! about one time, and its memory goes back when retention has passed them.

use crate::mem::slots::{CLASS_COUNT, class_for, class_words};
use crate::mem::{ByteArena, SlotPool, SparseColumn};

const ENTRY_WORDS: usize = 4;

/// Most bytes of one sealed chunk: its length shares a word with its position.
pub(super) const SEALED_BYTES_MAX: usize = u16::MAX as usize;

#[derive(Debug, Default)]
pub(super) struct SealedChunks {
    arena: ByteArena,
    /// By series. Most have none for most of the time: a flush takes all.
    lists: SparseColumn<ChunkList>,
    slots: SlotPool,
    chunk_count: usize,
}

/// The chunks of one series. Without chunks it is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ChunkList {
    slot: u32,
    /// Chunks, and above them eight bits of the class of the slot.
    count_and_class: u32,
}

const COUNT_BITS: u32 = 24;

/// The class of slots for so many entries.
fn fitting(entry_count: usize) -> u8 {
    class_for(entry_count * ENTRY_WORDS).expect("a list is smaller than the largest slot")
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

const _: () = assert!(class_words(CLASS_COUNT - 1) / ENTRY_WORDS < 1 << COUNT_BITS);

impl ChunkList {
    fn new(slot: u32, count: usize, class: u8) -> ChunkList {
        debug_assert!(count < 1 << COUNT_BITS);
        ChunkList { slot, count_and_class: count as u32 | u32::from(class) << COUNT_BITS }
    }

    #[inline]
    fn len(self) -> usize {
        (self.count_and_class & ((1 << COUNT_BITS) - 1)) as usize
    }

    #[inline]
    fn class(self) -> u8 {
        (self.count_and_class >> COUNT_BITS) as u8
    }
}

impl SealedChunks {
    /// Stores a chunk of a series, which is newer than all others of it.
    ///
    /// # Panics
    ///
    /// On a chunk longer than [`SEALED_BYTES_MAX`], and on more than three million chunks in one
    /// series: at a sample a second, retention would have to reach back two years.
    pub(super) fn push(&mut self, series: usize, min_ms: i64, chunk: &[u8]) {
        assert!(chunk.len() <= SEALED_BYTES_MAX);
        let entry = ChunkEntry {
            min_ms,
            position: self.arena.push(&[chunk], 1),
            bytes: chunk.len() as u16,
        };
        let list = self.lists.get(series);
        let (mut slot, mut class, start) = (list.slot, list.class(), list.len() * ENTRY_WORDS);
        if list.len() == 0 {
            class = fitting(1);
            slot = self.slots.take(class);
        } else if start + ENTRY_WORDS > class_words(class) {
            let larger = fitting(list.len() + 1);
            slot = self.slots.resize(class, slot, start, larger);
            class = larger;
        }
        let words = &mut self.slots.slot_mut(class, slot)[start..start + ENTRY_WORDS];
        words.copy_from_slice(&entry.to_words());
        self.lists.set(series, ChunkList::new(slot, list.len() + 1, class));
        self.chunk_count += 1;
    }

    fn words(&self, list: ChunkList) -> &[[u32; ENTRY_WORDS]] {
        match list.len() {
            0 => &[],
            count => &self.slots.slot(list.class(), list.slot).as_chunks().0[..count],
        }
    }

    /// Chunks of a series.
    #[inline]
    pub(super) fn count(&self, series: usize) -> usize {
        self.lists.get(series).len()
    }

    /// The chunks of a series that may have samples at or after `min_ms`, oldest first.
    pub(super) fn from(&self, series: usize, min_ms: i64) -> impl Iterator<Item = ChunkEntry> + '_ {
        let words = self.words(self.lists.get(series));
        let later = words.partition_point(|&words| ChunkEntry::from_words(words).min_ms <= min_ms);
        // The one before starts earlier and may reach into the range.
        words[later.saturating_sub(1)..].iter().map(|&words| ChunkEntry::from_words(words))
    }

    /// First timestamp of a series' chunks.
    pub(super) fn first_ms(&self, series: usize) -> Option<i64> {
        let words = self.words(self.lists.get(series));
        words.first().map(|&words| ChunkEntry::from_words(words).min_ms)
    }

    /// Asks for the line that says where the chunks of a series are.
    #[inline]
    pub(super) fn prefetch(&self, series: usize) {
        self.lists.prefetch(series);
    }

    pub(super) fn chunk(&self, entry: ChunkEntry) -> &[u8] {
        self.arena.get(entry.position, usize::from(entry.bytes))
    }

    /// Drops the oldest chunks of a series for which `is_expired` holds, up to the first for which
    /// it does not. Returns how many.
    pub(super) fn expire(
        &mut self,
        series: usize,
        is_expired: impl Fn(ChunkEntry, &[u8]) -> bool,
    ) -> usize {
        let list = self.lists.get(series);
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
        let left_count = list.len() - count;
        let (mut slot, mut class) = (list.slot, list.class());
        if left_count == 0 {
            self.slots.release(class, slot);
            self.lists.set(series, ChunkList::default());
            return count;
        }
        let used_words = list.len() * ENTRY_WORDS;
        self.slots.slot_mut(class, slot).copy_within(count * ENTRY_WORDS..used_words, 0);
        let left_words = left_count * ENTRY_WORDS;
        // One more is likely to come.
        let smaller = fitting(left_count + 1);
        if smaller < class {
            slot = self.slots.resize(class, slot, left_words, smaller);
            class = smaller;
        }
        self.lists.set(series, ChunkList::new(slot, left_count, class));
        count
    }

    pub(super) fn chunk_count(&self) -> usize {
        self.chunk_count
    }

    /// Gives back memory that is kept for lists to come.
    pub(super) fn release_idle(&mut self) {
        self.slots.release_idle();
    }

    /// Bytes of live chunks.
    pub(super) fn chunk_bytes(&self) -> usize {
        self.arena.live_bytes()
    }

    /// Bytes of memory: chunks with the dead among them, and lists.
    pub(super) fn bytes(&self) -> (usize, usize) {
        (self.arena.bytes(), self.slots.bytes() + self.lists.bytes())
    }
}
