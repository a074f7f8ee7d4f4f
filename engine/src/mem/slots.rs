//! Short lists of words that grow: slots of a few sizes, each size in blocks of its own.
//!
//! ```text
//! class 0   [ 8 8 8 8 8 8 … ]            words per slot
//! class 1   [ 16 16 16 … ]
//! …         8 · (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, …)
//! ```
//!
//! A slot is named by its class and its index. Growing takes a slot of the next class, copies, and
//! puts the old one on its class's free list, which runs through the first word of free slots.
//! Two sizes to each power of two keep the unused part of a slot below a third.

/// Ends a free list.
const NONE: u32 = u32::MAX;

/// Words a block has at least (256 KiB).
const BLOCK_WORDS: usize = 1 << 16;

/// Classes that exist: the largest slot has twelve million words. A block of a large class is one
/// slot.
pub const CLASS_COUNT: u8 = 41;

#[derive(Clone, Debug)]
pub struct SlotPool {
    classes: Vec<Class>,
}

#[derive(Clone, Debug)]
struct Class {
    words: u32,
    /// A block holds `1 << per_block_shift` slots.
    per_block_shift: u32,
    blocks: Vec<Box<[u32]>>,
    /// Slots handed out at least once.
    used_count: u32,
    free_first: u32,
    free_count: u32,
}

/// Words of a slot of `class`.
pub const fn class_words(class: u8) -> usize {
    match class {
        0 => 8,
        _ if class % 2 == 1 => 16 << (class / 2),
        _ => 24 << (class / 2 - 1),
    }
    // Class 1 is 16, 2 is 24, 3 is 32, 4 is 48, 5 is 64, 6 is 96, 7 is 128, …
}

/// Smallest class whose slots hold `words`; `None` when there is none.
pub fn class_for(words: usize) -> Option<u8> {
    (0..CLASS_COUNT).find(|&class| class_words(class) >= words)
}

impl Default for SlotPool {
    fn default() -> Self {
        let classes = (0..CLASS_COUNT).map(|class| {
            let words = class_words(class);
            Class {
                words: words as u32,
                per_block_shift: (BLOCK_WORDS / words).max(1).ilog2(),
                blocks: Vec::new(),
                used_count: 0,
                free_first: NONE,
                free_count: 0,
            }
        });
        SlotPool { classes: classes.collect() }
    }
}

impl SlotPool {
    /// Takes a slot of `class`. Its words are what the last owner left, or zero.
    ///
    /// Cost: O(1); allocates a block when the class has no free slot.
    #[inline]
    pub fn take(&mut self, class: u8) -> u32 {
        let class = &mut self.classes[usize::from(class)];
        if class.free_first != NONE {
            let index = class.free_first;
            class.free_first = class.slot(index)[0];
            class.free_count -= 1;
            return index;
        }
        let index = class.used_count;
        assert!(index < NONE, "a class holds fewer slots than its index has values");
        if index as usize >> class.per_block_shift == class.blocks.len() {
            let words = (class.words as usize) << class.per_block_shift;
            class.blocks.push(vec![0; words].into_boxed_slice());
        }
        class.used_count += 1;
        index
    }

    /// Puts a slot back.
    #[inline]
    pub fn release(&mut self, class: u8, index: u32) {
        let class = &mut self.classes[usize::from(class)];
        debug_assert!(index < class.used_count);
        let next = class.free_first;
        class.slot_mut(index)[0] = next;
        class.free_first = index;
        class.free_count += 1;
    }

    #[inline]
    pub fn slot(&self, class: u8, index: u32) -> &[u32] {
        self.classes[usize::from(class)].slot(index)
    }

    #[inline]
    pub fn slot_mut(&mut self, class: u8, index: u32) -> &mut [u32] {
        self.classes[usize::from(class)].slot_mut(index)
    }

    /// Moves the first `words` words of a slot into a new slot of `to`; returns its index.
    pub fn resize(&mut self, from: u8, index: u32, words: usize, to: u8) -> u32 {
        let target = self.take(to);
        if from != to {
            let (low, high) = self.classes.split_at_mut(usize::from(from.max(to)));
            let (source, sink) = if from < to {
                (low[usize::from(from)].slot(index), high[0].slot_mut(target))
            } else {
                (high[0].slot(index), low[usize::from(to)].slot_mut(target))
            };
            sink[..words].copy_from_slice(&source[..words]);
        } else {
            for word in 0..words {
                let value = self.slot(from, index)[word];
                self.slot_mut(to, target)[word] = value;
            }
        }
        self.release(from, index);
        target
    }

    /// Asks the processor to fetch word `word` of a slot. Out of range is harmless.
    #[inline]
    pub fn prefetch(&self, class: u8, index: u32, word: usize) {
        let Some(class) = self.classes.get(usize::from(class)) else { return };
        if let Some(block) = class.blocks.get(index as usize >> class.per_block_shift) {
            let slot = index as usize & ((1 << class.per_block_shift) - 1);
            crate::kernels::prefetch(block, slot * class.words as usize + word);
        }
    }

    /// Bytes of slots that are taken.
    pub fn live_bytes(&self) -> usize {
        let taken = |class: &Class| (class.used_count - class.free_count) as usize;
        self.classes.iter().map(|class| taken(class) * class.words as usize * 4).sum()
    }

    /// Bytes of slots that were ever taken: free ones keep their memory for the next owner.
    pub fn bytes(&self) -> usize {
        self.classes.iter().map(|class| class.used_count as usize * class.words as usize * 4).sum()
    }
}

impl Class {
    #[inline]
    fn place(&self, index: u32) -> (usize, usize) {
        let slot = index as usize & ((1 << self.per_block_shift) - 1);
        (index as usize >> self.per_block_shift, slot * self.words as usize)
    }

    #[inline]
    fn slot(&self, index: u32) -> &[u32] {
        let (block, start) = self.place(index);
        &self.blocks[block][start..start + self.words as usize]
    }

    #[inline]
    fn slot_mut(&mut self, index: u32) -> &mut [u32] {
        let (block, start) = self.place(index);
        &mut self.blocks[block][start..start + self.words as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::{CLASS_COUNT, SlotPool, class_for, class_words};

    #[test]
    fn classes_ascend_and_waste_less_than_a_half() {
        assert_eq!((0..8).map(class_words).collect::<Vec<_>>(), [8, 16, 24, 32, 48, 64, 96, 128]);
        for class in 1..CLASS_COUNT {
            let (previous, words) = (class_words(class - 1), class_words(class));
            assert!(previous < words && words <= 2 * previous);
            assert_eq!(class_for(previous + 1), Some(class));
            assert_eq!(class_for(words), Some(class));
        }
        assert_eq!(class_for(class_words(CLASS_COUNT - 1) + 1), None);
    }

    #[test]
    fn a_list_grows_and_its_old_slots_are_used_again() {
        let mut pool = SlotPool::default();
        let (mut class, mut index) = (0, pool.take(0));
        for word in 0..class_words(20) {
            if word == class_words(class) {
                index = pool.resize(class, index, word, class + 1);
                class += 1;
            }
            pool.slot_mut(class, index)[word] = word as u32;
        }
        let slot = pool.slot(class, index);
        assert!(slot.iter().enumerate().all(|(word, &value)| word as u32 == value));
        let bytes = pool.bytes();
        for class in 0..class {
            let again = pool.take(class);
            assert_eq!(again, 0);
        }
        assert_eq!(pool.bytes(), bytes);
    }

    #[test]
    fn slots_of_one_class_do_not_overlap() {
        let mut pool = SlotPool::default();
        for class in [0u8, 2, 7, 20] {
            let taken: Vec<u32> = (0..3).map(|_| pool.take(class)).collect();
            for &index in &taken {
                pool.slot_mut(class, index).fill(index + 1);
            }
            for &index in &taken {
                assert!(pool.slot(class, index).iter().all(|&word| word == index + 1));
                pool.prefetch(class, index, 0);
            }
            let moved = pool.resize(class, taken[0], 8, class);
            assert_eq!(pool.slot(class, moved)[..8], [taken[0] + 1; 8]);
        }
    }
}
