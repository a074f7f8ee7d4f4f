//! Memory that direct writes accept: whole blocks, aligned to a block.

use bytemuck::{Pod, Zeroable};
use engine::disk::DISK_ALIGN;

/// Block of a file: what the seam aligns to. Larger than what most disks ask for, and the size of
/// the sectors that a disk may lose together when a write is cut.
pub const BLOCK_BYTES: usize = DISK_ALIGN;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

const _: () = {
    assert!(size_of::<Block>() == BLOCK_BYTES);
    assert!(align_of::<Block>() == BLOCK_BYTES);
};

/// Blocks to write from. Reused: keeps its room.
#[derive(Default)]
pub struct BlockBuffer {
    blocks: Vec<Block>,
}

impl BlockBuffer {
    /// Replaces the contents by `bytes`, padded to a whole block with zeros.
    pub fn fill(&mut self, bytes: &[u8]) {
        let block_count = bytes.len().div_ceil(BLOCK_BYTES);
        self.blocks.resize(block_count, Block([0; BLOCK_BYTES]));
        let room = bytemuck::cast_slice_mut::<Block, u8>(&mut self.blocks);
        let (filled, padding) = room.split_at_mut(bytes.len());
        filled.copy_from_slice(bytes);
        padding.fill(0);
    }

    /// Frees the room if it is larger than `bytes_max`: after a rare giant.
    pub fn shrink(&mut self, bytes_max: usize) {
        if self.blocks.capacity() * BLOCK_BYTES > bytes_max {
            self.blocks = Vec::new();
        }
    }
}

impl AsRef<[u8]> for BlockBuffer {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.blocks)
    }
}

/// `bytes` rounded up to whole blocks.
pub fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES, BlockBuffer, padded};

    #[test]
    fn a_buffer_is_aligned_and_padded_with_zeros() {
        let mut buffer = BlockBuffer::default();
        for length in [BLOCK_BYTES + 1, 0, 1, BLOCK_BYTES, 3] {
            buffer.fill(&vec![7; length]);
            assert_eq!(buffer.as_ref().len(), padded(length));
            assert!(buffer.as_ref().as_ptr().addr().is_multiple_of(BLOCK_BYTES));
            assert!(buffer.as_ref()[..length].iter().all(|&byte| byte == 7));
            assert!(buffer.as_ref()[length..].iter().all(|&byte| byte == 0));
        }
        buffer.shrink(0);
        assert!(buffer.as_ref().is_empty());
    }
}
