//! Telling the processor what will be read soon.

/// Starts fetching the cache line of `slice[index]`, and returns at once.
///
/// Any index is allowed: an address that is not mapped is ignored by the processor. Off x86-64
/// this does nothing.
#[inline(always)]
pub fn prefetch<T>(slice: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = slice.as_ptr().wrapping_add(index);
        // SAFETY: a prefetch is a hint. It reads nothing that the program can see and never
        // faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index);
}

#[cfg(test)]
mod tests {
    #[test]
    fn any_index_is_harmless() {
        super::prefetch(&[1u64, 2], 1);
        super::prefetch(&[1u64, 2], 1 << 40);
        super::prefetch::<u64>(&[], 0);
    }
}
