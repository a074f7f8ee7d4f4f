//! Memory that grows without ever moving what is there: columns, byte arenas, slots, varints; and
//! sorted runs of texts.
//!
//! A shard's head holds ten million of most things. A `Vec` that doubles at that size copies for
//! tens of milliseconds inside one append; everything here grows block by block instead.

pub mod arena;
pub mod column;
pub mod runs;
pub mod slots;
pub mod sparse;
pub mod varint;

pub use arena::ByteArena;
pub use column::Column;
pub use slots::SlotPool;
pub use sparse::SparseColumn;

/// Bytes of the smallest page that a system hands out.
const PAGE_BYTES: usize = 4096;

/// So many zeros for a table that is read before it is written, page by page. A page of fresh memory
/// whose first touch is a read costs two faults, the second of which interrupts the other cores; here
/// each is written to at once.
pub fn written_zeros<T: Copy + Default>(count: usize) -> Vec<T> {
    let mut zeros = vec![T::default(); count];
    for page in zeros.chunks_mut(PAGE_BYTES / size_of::<T>()) {
        *std::hint::black_box(&mut page[0]) = T::default();
    }
    if let Some(last) = zeros.last_mut() {
        *std::hint::black_box(last) = T::default();
    }
    zeros
}

#[cfg(test)]
mod tests {
    #[test]
    fn zeros_are_zeros() {
        for count in [0, 1, 511, 512, 513, 5000] {
            assert_eq!(super::written_zeros::<u64>(count), vec![0; count]);
        }
    }
}
