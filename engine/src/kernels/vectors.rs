//! Arrays to vector registers and back.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

#[inline]
#[target_feature(enable = "avx2")]
pub fn load(four: &[f64; 4]) -> __m256i {
    // SAFETY: an array of four doubles is 32 bytes that may be read; no alignment is asked for.
    unsafe { _mm256_loadu_si256(four.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub fn store(four: &mut [f64; 4], values: __m256d) {
    // SAFETY: an array of four doubles is 32 bytes that may be written; no alignment is asked for.
    unsafe { _mm256_storeu_pd(four.as_mut_ptr(), values) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub fn store_integers(eight: &mut [u64; 8], first: __m256i, second: __m256i) {
    let place: *mut __m256i = eight.as_mut_ptr().cast();
    // SAFETY: an array of eight integers is 64 bytes that may be written; no alignment is asked for.
    unsafe { _mm256_storeu_si256(place, first) };
    // SAFETY: as before; the second half begins 32 bytes behind the first.
    unsafe { _mm256_storeu_si256(place.wrapping_add(1), second) };
}

/// Afterwards all eight are initialised.
#[inline]
#[target_feature(enable = "avx2")]
pub fn store_new(eight: &mut [MaybeUninit<f64>; 8], first: __m256d, second: __m256d) {
    let place: *mut f64 = eight.as_mut_ptr().cast();
    // SAFETY: an array of eight doubles is 64 bytes that may be written; no alignment is asked for.
    unsafe { _mm256_storeu_pd(place, first) };
    // SAFETY: as before; the second half begins four doubles behind the first.
    unsafe { _mm256_storeu_pd(place.wrapping_add(4), second) };
}

/// Sixteen bytes at `low` and sixteen at `high`, which is not before, behind each other.
///
/// # Panics
///
/// When `bytes` ends before.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_halves(bytes: &[u8], low: usize, high: usize) -> __m256i {
    // One comparison: two slices would take four.
    assert!(low <= high && high < bytes.len().saturating_sub(15));
    let (low, high) = (bytes.as_ptr().wrapping_add(low), bytes.as_ptr().wrapping_add(high));
    // SAFETY: sixteen bytes from `low <= high <= bytes.len() - 16` on are within `bytes`; no
    // alignment is asked for.
    let low = unsafe { _mm_loadu_si128(low.cast()) };
    // SAFETY: as before.
    let high = unsafe { _mm_loadu_si128(high.cast()) };
    _mm256_set_m128i(high, low)
}

#[inline]
#[target_feature(enable = "avx2")]
pub fn load_bytes(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes may be read; no alignment is asked for.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Sums of the integers from the first on.
#[inline]
#[target_feature(enable = "avx2")]
pub fn sums(integers: __m256i) -> __m256i {
    let two = _mm256_add_epi64(integers, _mm256_slli_si256::<8>(integers));
    let second = _mm256_permute4x64_epi64::<0b01_01_01_01>(two);
    _mm256_add_epi64(two, _mm256_blend_epi32::<0b1111_0000>(_mm256_setzero_si256(), second))
}
