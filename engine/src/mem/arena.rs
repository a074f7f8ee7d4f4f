//! Bytes of many sizes, pushed one after another, released in about the order they came.
//!
//! ```text
//! blocks   [ 4 MiB: entry entry entry … ] [ 4 MiB … ] …
//! ```
//!
//! A position is `block << 22 | offset`. A block counts its live bytes and gives its memory back
//! when the last entry is released: entries that were pushed together (chunks sealed in one
//! quarter of an hour, series of one deployment) die together, so nothing is ever moved.
//! Releasing out of order keeps a block alive longer, which is the price.

const BLOCK_SHIFT: u32 = 22;

/// Most bytes one entry may have.
pub const ENTRY_BYTES_MAX: usize = 1 << BLOCK_SHIFT;

#[derive(Clone, Debug, Default)]
pub struct ByteArena {
    blocks: Vec<Block>,
    /// Blocks without live entries, to be used again. Their memory is given back.
    free: Vec<u32>,
    /// Block that takes the next entry; meaningful while `blocks` is not empty.
    open: u32,
    live_bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// Bytes pushed and not released.
    live_bytes: u32,
}

impl ByteArena {
    /// Appends `parts` as one entry that starts at a multiple of `align`, and returns where.
    ///
    /// Cost: one copy; allocates a block of 4 MiB when the open one is full.
    ///
    /// # Panics
    ///
    /// On an entry longer than [`ENTRY_BYTES_MAX`] or an `align` that is no power of two.
    pub fn push(&mut self, parts: &[&[u8]], align: usize) -> u64 {
        assert!(align.is_power_of_two());
        let entry_bytes: usize = parts.iter().map(|part| part.len()).sum();
        assert!(entry_bytes <= ENTRY_BYTES_MAX, "an arena entry fits one block");
        let used = self.blocks.get(self.open as usize).map_or(ENTRY_BYTES_MAX, |b| b.bytes.len());
        if used.next_multiple_of(align) + entry_bytes > ENTRY_BYTES_MAX || self.blocks.is_empty() {
            self.open_block();
        }
        let block = &mut self.blocks[self.open as usize];
        let offset = block.bytes.len().next_multiple_of(align);
        block.bytes.resize(offset, 0);
        for part in parts {
            block.bytes.extend_from_slice(part);
        }
        block.live_bytes += entry_bytes as u32;
        self.live_bytes += entry_bytes;
        u64::from(self.open) << BLOCK_SHIFT | offset as u64
    }

    fn open_block(&mut self) {
        let previous = self.open;
        self.open = match self.free.pop() {
            Some(index) => index,
            None => {
                self.blocks.push(Block::default());
                self.blocks.len() as u32 - 1
            }
        };
        self.blocks[self.open as usize].bytes = Vec::with_capacity(ENTRY_BYTES_MAX);
        if previous != self.open && self.blocks[previous as usize].live_bytes == 0 {
            self.close_empty(previous);
        }
    }

    fn close_empty(&mut self, index: u32) {
        self.blocks[index as usize].bytes = Vec::new();
        self.free.push(index);
    }

    /// The bytes from `position` to the end of its block.
    ///
    /// # Panics
    ///
    /// On a position that no `push` returned.
    #[inline]
    pub fn from(&self, position: u64) -> &[u8] {
        let block = &self.blocks[(position >> BLOCK_SHIFT) as usize];
        &block.bytes[(position as usize) & (ENTRY_BYTES_MAX - 1)..]
    }

    /// The `bytes` long entry at `position`.
    #[inline]
    pub fn get(&self, position: u64, bytes: usize) -> &[u8] {
        &self.from(position)[..bytes]
    }

    /// Gives an entry up; `bytes` is the length it was pushed with.
    pub fn release(&mut self, position: u64, bytes: usize) {
        let index = (position >> BLOCK_SHIFT) as u32;
        let block = &mut self.blocks[index as usize];
        assert!(bytes <= block.live_bytes as usize, "an entry is released once");
        block.live_bytes -= bytes as u32;
        self.live_bytes -= bytes;
        if block.live_bytes == 0 && index != self.open && bytes > 0 {
            self.close_empty(index);
        }
    }

    /// Asks the processor to fetch the lines at `position .. position + bytes`.
    #[inline]
    pub fn prefetch(&self, position: u64, bytes: usize) {
        if let Some(block) = self.blocks.get((position >> BLOCK_SHIFT) as usize) {
            let offset = (position as usize) & (ENTRY_BYTES_MAX - 1);
            for line in (0..bytes).step_by(64) {
                crate::kernels::prefetch(&block.bytes, offset + line);
            }
        }
    }

    /// Bytes of live entries.
    pub fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes of memory in use: live entries, released ones in live blocks, and padding.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.bytes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteArena, ENTRY_BYTES_MAX};

    #[test]
    fn entries_come_back_and_memory_goes_back() {
        let mut arena = ByteArena::default();
        let entry = vec![7u8; 1000];
        let round = |arena: &mut ByteArena| -> Vec<u64> {
            (0..10_000u32).map(|n| arena.push(&[&n.to_le_bytes(), &entry], 8)).collect()
        };
        let first = round(&mut arena);
        assert!(first.iter().all(|position| position % 8 == 0));
        for (n, &position) in first.iter().enumerate() {
            assert_eq!(arena.get(position, 4), (n as u32).to_le_bytes());
        }
        let full = arena.bytes();
        for _ in 0..5 {
            let next = round(&mut arena);
            for &position in &next {
                arena.release(position, 1004);
            }
        }
        assert!(arena.bytes() < full + 3 * ENTRY_BYTES_MAX, "{} {full}", arena.bytes());
        assert_eq!(arena.live_bytes(), 10_040_000);
        assert_eq!(arena.get(first[9_999], 4), 9_999u32.to_le_bytes());
    }

    #[test]
    fn the_largest_entry_fits() {
        let mut arena = ByteArena::default();
        let position = arena.push(&[&vec![1; ENTRY_BYTES_MAX]], 8);
        assert_eq!(arena.get(position, ENTRY_BYTES_MAX).len(), ENTRY_BYTES_MAX);
        assert_eq!(arena.push(&[b"x"], 1), ENTRY_BYTES_MAX as u64);
    }
}
