//! A column: one element per dense id, growing block by block.
//!
//! ```text
//! blocks   [ 16 Ki elements ] [ 16 Ki elements ] [ …         ]
//! ```
//!
//! Invariant: every block but the last is full, so an index splits into block and offset by a
//! shift and a mask. An element never moves once it is pushed.

use std::ops::{Index, IndexMut};

/// Elements per block, as a power of two. Larger blocks waste more in a small shard; smaller ones
/// make the list of blocks outgrow the first-level cache (10 M series: 611 blocks).
const BLOCK_SHIFT: usize = 14;
const BLOCK_COUNT: usize = 1 << BLOCK_SHIFT;

#[derive(Clone, Debug)]
pub struct Column<T> {
    blocks: Vec<Vec<T>>,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Column { blocks: Vec::new() }
    }
}

impl<T> Column<T> {
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
            self.blocks.push(Vec::with_capacity(BLOCK_COUNT));
        }
        let last = self.blocks.last_mut().expect("a block was just ensured");
        last.push(element);
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.blocks.get(index >> BLOCK_SHIFT)?.get(index & (BLOCK_COUNT - 1))
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.blocks.iter_mut().flatten()
    }

    /// Bytes of the elements held; the unused end of the last block is not touched memory.
    pub fn bytes(&self) -> usize {
        self.len() * size_of::<T>()
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
}
