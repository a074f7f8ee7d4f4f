//! A column: one element per dense id, growing block by block.
//!
//! ```text
//! blocks   [ 16 Ki elements ] [ 16 Ki elements ] [ …         ]
//! ```
//!
//! Invariant: every block but the last was filled, so an index splits into block and offset by a
//! shift and a mask. An element never moves once it is pushed. A filled block all of whose elements
//! were given up has no memory any more.

use std::ops::{Index, IndexMut};

/// Elements per block, as a power of two. Larger blocks waste more in a small shard; smaller ones
/// make the list of blocks outgrow the first-level cache (10 M series: 611 blocks).
const BLOCK_SHIFT: usize = 14;
const BLOCK_COUNT: usize = 1 << BLOCK_SHIFT;

#[derive(Clone, Debug)]
pub struct Column<T> {
    blocks: Vec<Vec<T>>,
    /// Elements given up, by block.
    gone_counts: Vec<u16>,
    /// Blocks without memory.
    freed_count: usize,
}

const _: () = assert!(BLOCK_COUNT <= u16::MAX as usize);

impl<T> Default for Column<T> {
    fn default() -> Self {
        Column { blocks: Vec::new(), gone_counts: Vec::new(), freed_count: 0 }
    }
}

impl<T> Column<T> {
    /// Elements pushed, those given up among them.
    pub fn len(&self) -> usize {
        match self.blocks.split_last() {
            Some((last, full)) => full.len() * BLOCK_COUNT + last.len(),
            None => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Appends an element. Allocates one block every 16 Ki elements, and never copies.
    #[inline]
    pub fn push(&mut self, element: T) {
        if self.blocks.last().is_none_or(|last| last.len() == BLOCK_COUNT) {
            // A block that is full is given back only behind its successor: see `len`.
            self.free_if_gone(self.blocks.len().wrapping_sub(1));
            self.blocks.push(Vec::with_capacity(BLOCK_COUNT));
            self.gone_counts.push(0);
        }
        let last = self.blocks.last_mut().expect("a block was just ensured");
        last.push(element);
    }

    /// Gives an element up, once: its memory goes when that of its block's others does. Until then it
    /// can be read.
    pub fn release(&mut self, index: usize) {
        let block = index >> BLOCK_SHIFT;
        self.gone_counts[block] += 1;
        if block + 1 < self.blocks.len() {
            self.free_if_gone(block);
        }
    }

    fn free_if_gone(&mut self, block: usize) {
        if self.gone_counts.get(block).is_some_and(|&count| usize::from(count) == BLOCK_COUNT) {
            self.blocks[block] = Vec::new();
            self.freed_count += 1;
        }
    }

    /// `None` behind the last element, and where the memory was given back.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.blocks.get(index >> BLOCK_SHIFT)?.get(index & (BLOCK_COUNT - 1))
    }

    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.blocks.get_mut(index >> BLOCK_SHIFT)?.get_mut(index & (BLOCK_COUNT - 1))
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.blocks.iter_mut().flatten()
    }

    /// Bytes of the elements in memory; the unused end of the last block is not touched memory.
    pub fn bytes(&self) -> usize {
        (self.len() - self.freed_count * BLOCK_COUNT) * size_of::<T>()
    }

    /// Asks the processor to fetch an element that will be used soon. Out of range is harmless.
    #[inline]
    pub fn prefetch(&self, index: usize) {
        if let Some(block) = self.blocks.get(index >> BLOCK_SHIFT) {
            crate::kernels::prefetch(block, index & (BLOCK_COUNT - 1));
        }
    }
}

impl<T> Index<usize> for Column<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        &self.blocks[index >> BLOCK_SHIFT][index & (BLOCK_COUNT - 1)]
    }
}

impl<T> IndexMut<usize> for Column<T> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.blocks[index >> BLOCK_SHIFT][index & (BLOCK_COUNT - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_COUNT, Column};

    #[test]
    fn elements_stay_where_they_are() {
        let mut column = Column::default();
        let count = 2 * BLOCK_COUNT + 3;
        for element in 0..count {
            assert_eq!(column.len(), element);
            column.push(element);
        }
        assert!((0..count).all(|index| column[index] == index));
        assert_eq!(column.get(count), None);
        assert_eq!(column.iter().count(), count);
        column[BLOCK_COUNT] = 7;
        assert_eq!(column[BLOCK_COUNT], 7);
        column.prefetch(count + BLOCK_COUNT);
    }

    #[test]
    fn blocks_that_nobody_needs_give_their_memory_back() {
        let mut column = Column::default();
        (0..2 * BLOCK_COUNT).for_each(|element| column.push(element));
        let bytes = column.bytes();
        (BLOCK_COUNT..2 * BLOCK_COUNT).for_each(|element| column.release(element));
        (1..BLOCK_COUNT).for_each(|element| column.release(element));
        assert_eq!((column.bytes(), column.len()), (bytes, 2 * BLOCK_COUNT));
        assert_eq!(column.get(BLOCK_COUNT), Some(&BLOCK_COUNT), "the last block stays");
        column.push(7);
        assert_eq!(column.get(BLOCK_COUNT), None);
        assert_eq!((column[0], column[2 * BLOCK_COUNT]), (0, 7));
        column.release(0);
        assert_eq!((column.get(0), column.bytes()), (None, size_of::<usize>()));
        assert_eq!((column.len(), column.iter().count()), (2 * BLOCK_COUNT + 1, 1));
        column.prefetch(0);
    }
}
