//! A column most of whose elements are what they were at first, and then take no memory.
//!
//! ```text
//! blocks   [ 1024 elements ] [ none: all as at first ] [ … ]
//! ```
//!
//! A block is made when one of its elements becomes another than the first one, and given back when
//! the last of them is as at first again.

/// Elements per block, as a power of two. Elements that change do so with their neighbours; smaller
/// blocks would follow them closer, and be more to allocate.
const BLOCK_SHIFT: usize = 10;
const BLOCK_COUNT: usize = 1 << BLOCK_SHIFT;

#[derive(Clone, Debug)]
pub struct SparseColumn<T> {
    blocks: Vec<Option<Box<Block<T>>>>,
    block_count: usize,
}

#[derive(Clone, Debug)]
struct Block<T> {
    elements: [T; BLOCK_COUNT],
    /// Elements that are not as at first.
    changed_count: u32,
}

impl<T> Default for SparseColumn<T> {
    fn default() -> Self {
        SparseColumn { blocks: Vec::new(), block_count: 0 }
    }
}

impl<T: Copy + Default + PartialEq> SparseColumn<T> {
    /// The element at any index; the default where none was set.
    #[inline]
    pub fn get(&self, index: usize) -> T {
        match self.blocks.get(index >> BLOCK_SHIFT) {
            Some(Some(block)) => block.elements[index & (BLOCK_COUNT - 1)],
            _ => T::default(),
        }
    }

    /// Replaces the element at any index.
    ///
    /// Cost: O(1); allocates a block with its first element that is no default, and gives it back with
    /// the last.
    pub fn set(&mut self, index: usize, element: T) {
        let number = index >> BLOCK_SHIFT;
        let is_changed = element != T::default();
        if self.blocks.len() <= number {
            if !is_changed {
                return;
            }
            self.blocks.resize_with(number + 1, || None);
        }
        let slot = &mut self.blocks[number];
        if slot.is_none() {
            if !is_changed {
                return;
            }
            self.block_count += 1;
        }
        let block = slot.get_or_insert_with(|| {
            Box::new(Block { elements: [T::default(); BLOCK_COUNT], changed_count: 0 })
        });
        let former = &mut block.elements[index & (BLOCK_COUNT - 1)];
        let was_changed = *former != T::default();
        *former = element;
        block.changed_count += u32::from(is_changed);
        block.changed_count -= u32::from(was_changed);
        if block.changed_count == 0 {
            *slot = None;
            self.block_count -= 1;
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.block_count * size_of::<Block<T>>() + size_of_val(&*self.blocks)
    }

    /// Asks the processor to fetch an element that will be used soon, if it is in memory.
    #[inline]
    pub fn prefetch(&self, index: usize) {
        if let Some(Some(block)) = self.blocks.get(index >> BLOCK_SHIFT) {
            crate::kernels::prefetch(&block.elements, index & (BLOCK_COUNT - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{BLOCK_COUNT, SparseColumn};

    proptest! {
        #[test]
        fn it_is_a_map_with_a_default(
            steps in prop::collection::vec((0usize..4 * BLOCK_COUNT, 0u64..3), 0..300),
        ) {
            let mut column = SparseColumn::default();
            let mut twin = BTreeMap::new();
            for &(index, element) in &steps {
                let index = index / 97 * 97; // Few, so that some are set again.
                column.set(index, element);
                twin.insert(index, element);
                column.prefetch(index);
            }
            for index in (0..5 * BLOCK_COUNT).step_by(97) {
                prop_assert_eq!(column.get(index), twin.get(&index).copied().unwrap_or(0));
            }
            for &index in twin.keys() {
                column.set(index, 0);
            }
            prop_assert!(column.bytes() <= 4 * size_of::<usize>(), "nothing is left");
        }
    }
}
