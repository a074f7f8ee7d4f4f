//! Short lists of words that grow: slots of a few sizes, each block holding one size.
//!
//! ```text
//! block of class 0   [ 6 6 6 6 6 6 … ]            528 KiB, words per slot
//! block of class 3   [ 12 12 12 … ]
//! …                  6, 8, 10, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, …
//! ```
//!
//! A slot is named by its class and its index, `block << 15 | place`. Growing takes a slot of the
//! next class, copies, and gives the old one back. Free slots of a block form a list through their
//! first words; blocks with free slots form a list per class. A block without taken slots gives
//! its memory back: what started together grows together, and would otherwise leave every
//! size it passed through behind. Where some grow slower than others, [`SlotPool::gather`] takes
//! them out of blocks that others left.
//!
//! Sizes lie closest where most slots are; the unused part of a slot is below a third, and mostly below
//! a fifth.

/// Ends a list.
const NONE: u32 = u32::MAX;

/// Words of a block (528 KiB) at least; a slot that is larger has a block of its own. The allocator keeps what is
/// up to 512 KiB in pages of several, and a block that is given back stays in memory until its neighbours
/// are, too; a larger one goes by itself.
const BLOCK_WORDS: usize = (1 << 17) + (1 << 12);

/// Bits of a slot's place in its block.
const PLACE_BITS: u32 = 15;

/// Classes that exist: the largest slot has twelve million words.
pub const CLASS_COUNT: u8 = 79;

const _: () = assert!(places_per_block(0) <= 1 << PLACE_BITS);

#[derive(Clone, Debug)]
pub struct SlotPool {
    blocks: Vec<Block>,
    /// Blocks without memory, to be used again.
    spare_blocks: Vec<u32>,
    /// By class: first block that has free slots.
    open_blocks: [u32; CLASS_COUNT as usize],
    /// The block that keeps its memory without taken slots for a while, if it still is without.
    idle_block: u32,
    live_bytes: usize,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Block {
    words: Box<[u32]>,
    class: u8,
    taken_count: u32,
    /// With fewer taken slots a good part of it is free.
    sparse_count: u32,
    /// Slots from here on were never taken.
    fresh_place: u32,
    free_first: u32,
    /// Neighbours in the list of the class's blocks with free slots.
    previous: u32,
    next: u32,
}

/// Words of the slots that four bits can name.
const SMALL_CLASSES: [usize; 16] = [6, 8, 10, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, 128, 192];

/// Words of a slot of `class`.
pub const fn class_words(class: u8) -> usize {
    match class as usize {
        class if class < SMALL_CLASSES.len() => SMALL_CLASSES[class],
        class => {
            let class = class - SMALL_CLASSES.len();
            (256 + 64 * (class % 4)) << (class / 4)
        }
    }
}

/// Smallest class whose slots hold `words`; `None` when there is none.
pub fn class_for(words: usize) -> Option<u8> {
    (0..CLASS_COUNT).find(|&class| class_words(class) >= words)
}

impl Default for SlotPool {
    fn default() -> Self {
        SlotPool {
            blocks: Vec::new(),
            spare_blocks: Vec::new(),
            open_blocks: [NONE; CLASS_COUNT as usize],
            idle_block: NONE,
            live_bytes: 0,
            bytes: 0,
        }
    }
}

/// Slots of a block of `class`.
#[inline]
const fn places_per_block(class: u8) -> u32 {
    BLOCK_WORDS.div_ceil(class_words(class)) as u32
}

#[inline]
fn split(index: u32) -> (usize, u32) {
    ((index >> PLACE_BITS) as usize, index & ((1 << PLACE_BITS) - 1))
}

impl SlotPool {
    /// Takes a slot of `class`. Its words are what a former owner left, or zero.
    ///
    /// Cost: O(1); allocates a block when no block of the class has a free slot.
    #[inline]
    pub fn take(&mut self, class: u8) -> u32 {
        if self.open_blocks[usize::from(class)] == NONE {
            self.add_block(class);
        }
        let number = self.open_blocks[usize::from(class)];
        let block = &mut self.blocks[number as usize];
        let words = class_words(class);
        let place = match block.free_first {
            NONE => {
                block.fresh_place += 1;
                block.fresh_place - 1
            }
            place => {
                block.free_first = block.words[place as usize * words];
                place
            }
        };
        block.taken_count += 1;
        if block.taken_count == places_per_block(class) {
            self.unlink(class, number);
        }
        self.live_bytes += words * size_of::<u32>();
        number << PLACE_BITS | place
    }

    /// Gives a slot back.
    #[inline]
    pub fn release(&mut self, class: u8, index: u32) {
        let (number, place) = split(index);
        let words = class_words(class);
        let block = &mut self.blocks[number];
        debug_assert!(place < block.fresh_place);
        block.words[place as usize * words] = block.free_first;
        block.free_first = place;
        let was_full = block.taken_count == places_per_block(class);
        block.taken_count -= 1;
        let is_empty = block.taken_count == 0;
        self.live_bytes -= words * size_of::<u32>();
        if was_full {
            self.link(class, number as u32);
        }
        if is_empty {
            self.note_empty(class, number as u32);
        }
    }

    /// Gives back the memory of a block without taken slots, or of the one that became so before: one
    /// stays, or a slot that is taken and given back in turn would allocate each time.
    fn note_empty(&mut self, class: u8, number: u32) {
        let Block { previous, next, .. } = self.blocks[number as usize];
        let is_alone = previous == NONE && next == NONE;
        if !is_alone {
            return self.free(class, number);
        }
        if self.idle_block != number {
            self.release_idle();
            self.idle_block = number;
        }
    }

    /// Gives back the memory of the block without taken slots that is kept, if there is one.
    pub fn release_idle(&mut self) {
        let number = std::mem::replace(&mut self.idle_block, NONE);
        if let Some(block) = self.blocks.get(number as usize)
            && block.taken_count == 0
            && !block.words.is_empty()
        {
            self.free(block.class, number);
        }
    }

    fn free(&mut self, class: u8, number: u32) {
        self.unlink(class, number);
        let block = &mut self.blocks[number as usize];
        self.bytes -= size_of_val(&*block.words);
        block.words = Box::default();
        self.spare_blocks.push(number);
    }

    fn add_block(&mut self, class: u8) {
        let words = class_words(class) * places_per_block(class) as usize;
        let block = Block {
            words: vec![0; words].into_boxed_slice(),
            class,
            taken_count: 0,
            sparse_count: places_per_block(class) / 4 * 3,
            fresh_place: 0,
            free_first: NONE,
            previous: NONE,
            next: NONE,
        };
        self.bytes += words * size_of::<u32>();
        let number = match self.spare_blocks.pop() {
            Some(number) => {
                self.blocks[number as usize] = block;
                number
            }
            None => {
                self.blocks.push(block);
                self.blocks.len() as u32 - 1
            }
        };
        assert!(number < NONE >> PLACE_BITS, "slots of one pool take less than 128 GiB");
        self.link(class, number);
    }

    /// Puts a block at the head of its class's list.
    fn link(&mut self, class: u8, number: u32) {
        let next = std::mem::replace(&mut self.open_blocks[usize::from(class)], number);
        let block = &mut self.blocks[number as usize];
        (block.previous, block.next) = (NONE, next);
        if next != NONE {
            self.blocks[next as usize].previous = number;
        }
    }

    fn unlink(&mut self, class: u8, number: u32) {
        let Block { previous, next, .. } = self.blocks[number as usize];
        match previous {
            NONE => self.open_blocks[usize::from(class)] = next,
            previous => self.blocks[previous as usize].next = next,
        }
        if next != NONE {
            self.blocks[next as usize].previous = previous;
        }
        let block = &mut self.blocks[number as usize];
        (block.previous, block.next) = (NONE, NONE);
    }

    /// The class of a taken slot, for whoever does not keep it.
    #[inline]
    pub fn class_of(&self, index: u32) -> u8 {
        self.blocks[split(index).0].class
    }

    #[inline]
    pub fn slot(&self, class: u8, index: u32) -> &[u32] {
        let (number, place) = split(index);
        let words = class_words(class);
        &self.blocks[number].words[place as usize * words..][..words]
    }

    #[inline]
    pub fn slot_mut(&mut self, class: u8, index: u32) -> &mut [u32] {
        let (number, place) = split(index);
        let words = class_words(class);
        &mut self.blocks[number].words[place as usize * words..][..words]
    }

    /// The words of a slot, and to be written those of another one of another class.
    pub fn pair_mut(&mut self, source: (u8, u32), target: (u8, u32)) -> (&[u32], &mut [u32]) {
        let [(source_block, source_place), (target_block, target_place)] =
            [split(source.1), split(target.1)];
        let blocks = self.blocks.get_disjoint_mut([source_block, target_block]);
        let [from, to] = blocks.expect("slots of two classes stand in two blocks");
        let [from_words, to_words] = [class_words(source.0), class_words(target.0)];
        (
            &from.words[source_place as usize * from_words..][..from_words],
            &mut to.words[target_place as usize * to_words..][..to_words],
        )
    }

    /// Moves the first `words` words of a slot into a new slot of `to`; returns its index.
    pub fn resize(&mut self, from: u8, index: u32, words: usize, to: u8) -> u32 {
        let target = self.take(to);
        let (source_block, source_place) = split(index);
        let (target_block, target_place) = split(target);
        if source_block == target_block {
            let source_start = source_place as usize * class_words(from);
            let target_start = target_place as usize * class_words(to);
            let block = &mut self.blocks[source_block].words;
            block.copy_within(source_start..source_start + words, target_start);
        } else {
            let (source, sink) = self.pair_mut((from, index), (to, target));
            sink[..words].copy_from_slice(&source[..words]);
        }
        self.release(from, index);
        target
    }

    /// Moves the first `words` words of a slot into a fuller block of its class, if a good part of its own
    /// is free; returns its index. Whoever comes to a slot anyway calls it now and then: so blocks that most
    /// have left become empty.
    #[inline]
    pub fn gather(&mut self, class: u8, index: u32, words: usize) -> u32 {
        let block = &self.blocks[split(index).0];
        let target = self.open_blocks[usize::from(class)];
        if block.taken_count >= block.sparse_count
            || target as usize == split(index).0
            || self.blocks[target as usize].taken_count < block.taken_count
        {
            return index;
        }
        self.resize(class, index, words, class)
    }

    /// Asks the processor to fetch word `word` of a slot. Out of range is harmless.
    #[inline]
    pub fn prefetch(&self, class: u8, index: u32, word: usize) {
        let (number, place) = split(index);
        if let Some(block) = self.blocks.get(number) {
            crate::kernels::prefetch(&block.words, place as usize * class_words(class) + word);
        }
    }

    /// Bytes of slots that are taken.
    pub fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes of all blocks.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{CLASS_COUNT, SlotPool, class_for, class_words};

    #[test]
    fn classes_ascend_in_small_steps() {
        assert_eq!((0..8).map(class_words).collect::<Vec<_>>(), [6, 8, 10, 12, 16, 20, 24, 28]);
        for class in 1..CLASS_COUNT {
            let (previous, words) = (class_words(class - 1), class_words(class));
            assert!(previous < words && 2 * words <= 3 * previous);
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
        assert_eq!(pool.live_bytes(), class_words(class) * 4);
    }

    #[test]
    fn slots_that_grow_together_leave_no_block_behind() {
        let mut pool = SlotPool::default();
        let count = 20_000;
        let mut slots: Vec<u32> = (0..count).map(|_| pool.take(0)).collect();
        for class in 1..8 {
            for index in &mut slots {
                *index = pool.resize(class - 1, *index, 6, class);
            }
        }
        assert_eq!(pool.live_bytes(), count * class_words(7) * 4);
        assert!(pool.bytes() < pool.live_bytes() + 9 * 4 * super::BLOCK_WORDS);
        for index in slots {
            pool.release(7, index);
        }
        assert_eq!(pool.live_bytes(), 0);
        assert!(pool.bytes() <= 5 * super::BLOCK_WORDS && pool.bytes() > 0);
        pool.release_idle();
        assert_eq!(pool.bytes(), 0);
        let (first, second) = (pool.take(7), pool.take(7));
        pool.release(7, first);
        pool.release_idle();
        pool.slot_mut(7, second).fill(1);
    }

    #[test]
    fn slots_that_are_left_behind_gather() {
        let mut pool = SlotPool::default();
        let mut slots: Vec<u32> = (0..40_000).map(|_| pool.take(4)).collect();
        for (number, &index) in slots.iter().enumerate() {
            pool.slot_mut(4, index).fill(number as u32);
        }
        let gather = |pool: &mut SlotPool, slots: &mut Vec<u32>| {
            slots.iter_mut().for_each(|index| *index = pool.gather(4, *index, 16));
        };
        let before = slots.clone();
        gather(&mut pool, &mut slots);
        assert_eq!(slots, before, "full blocks stay");
        let (left, gone): (Vec<u32>, Vec<u32>) =
            slots.into_iter().partition(|&index| pool.slot(4, index)[0] % 8 == 0);
        gone.into_iter().for_each(|index| pool.release(4, index));
        let (mut slots, bytes) = (left, pool.bytes());
        for _ in 0..3 {
            gather(&mut pool, &mut slots);
        }
        assert!(pool.bytes() < bytes / 4, "{} {bytes}", pool.bytes());
        for (number, &index) in (0..).step_by(8).zip(&slots) {
            assert!(pool.slot(4, index).iter().all(|&word| word == number));
        }
        assert_eq!(slots.len(), 5000);
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
                assert_eq!(pool.class_of(index), class);
                pool.prefetch(class, index, 0);
            }
            let other = pool.take(class + 1);
            let (source, sink) = pool.pair_mut((class, taken[0]), (class + 1, other));
            sink[..6].copy_from_slice(&source[..6]);
            assert_eq!(pool.slot(class + 1, other)[..6], [taken[0] + 1; 6]);
            let moved = pool.resize(class, taken[0], 6, class);
            assert_eq!(pool.slot(class, moved)[..6], [taken[0] + 1; 6]);
        }
    }
}
