//! Bit-packed unsigned integers to 64-bit ones.
//!
//! ```text
//! value i stands at bits i·width .. (i+1)·width, counted from the lowest bit of the first byte
//! ```
//!
//! Eight values stand in `width` whole bytes, so every group of eight looks the same: a few
//! unaligned loads at fixed offsets, shifts by fixed amounts, one mask. With AVX2 bytes are moved to
//! the lanes of their values first.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
use super::vectors::{load_bytes, load_halves, store_integers};

/// Widest value that one unaligned load of eight bytes always holds.
pub(super) const WIDTH_LOAD_MAX: u32 = 57;

/// Unpacks `out.len()` values of `width` bits each.
///
/// Shapes: `bytes` holds at least `out.len() · width` bits, rounded up to bytes. A few bytes more
/// behind them let the last group take the fast path. Cost: 0.1 to 0.6 ns a value.
///
/// # Panics
///
/// On fewer bytes, or a width above 64.
pub fn unpack(bytes: &[u8], width: u32, out: &mut [u64]) {
    assert!(width <= 64);
    assert!((out.len() * width as usize).div_ceil(8) <= bytes.len());
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, and the function asks for nothing else.
        return unsafe { unpack_avx2(bytes, width, out) };
    }
    unpack_groups(bytes, width, out);
}

/// Widest value that stands in the 32 bits of a lane wherever it begins in a byte.
#[cfg(target_arch = "x86_64")]
pub(super) const WIDTH_NARROW_MAX: u32 = 25;

/// Where a vector of values of one width stands: of each byte of the lanes its place in the sixteen
/// bytes loaded, and how far each lane is shifted.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Lanes {
    places: [u8; 32],
    shifts: [u8; 32],
}

#[cfg(target_arch = "x86_64")]
impl Lanes {
    /// Lanes of `lane_bytes`; each half of the vector holds half of the values, the first of which
    /// begins at bit `starts[half]` of its sixteen bytes.
    const fn new(width: usize, lane_bytes: usize, starts: [usize; 2]) -> Lanes {
        let mut lanes = Lanes { places: [0; 32], shifts: [0; 32] };
        let per_half = 16 / lane_bytes;
        let mut byte = 0;
        while byte < 32 {
            let (half, lane) = (byte / 16, byte % 16 / lane_bytes);
            let bit = starts[half] + lane % per_half * width;
            lanes.places[byte] = (bit / 8 + byte % lane_bytes) as u8;
            // A number of four or eight bytes, low first.
            lanes.shifts[byte] = if byte % lane_bytes == 0 { (bit % 8) as u8 } else { 0 };
            byte += 1;
        }
        lanes
    }
}

/// Eight values in lanes of 32 bits, by width.
#[cfg(target_arch = "x86_64")]
static NARROW: [Lanes; WIDTH_NARROW_MAX as usize + 1] = {
    let mut all = [Lanes::new(0, 4, [0, 0]); WIDTH_NARROW_MAX as usize + 1];
    let mut width = 1;
    while width < all.len() {
        all[width] = Lanes::new(width, 4, [0, 4 * width % 8]);
        width += 1;
    }
    all
};

/// Twice four values in lanes of 64 bits, by width.
#[cfg(target_arch = "x86_64")]
static WIDE: [[Lanes; 2]; WIDTH_LOAD_MAX as usize + 1] = {
    let mut all = [[Lanes::new(0, 8, [0, 0]); 2]; WIDTH_LOAD_MAX as usize + 1];
    let mut width = 1;
    while width < all.len() {
        all[width] = [
            Lanes::new(width, 8, [0, 2 * width % 8]),
            Lanes::new(width, 8, [4 * width % 8, 6 * width % 8]),
        ];
        width += 1;
    }
    all
};

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn unpack_avx2(bytes: &[u8], width: u32, out: &mut [u64]) {
    match width {
        0 => out.fill(0),
        1..=WIDTH_NARROW_MAX => vectors::<true>(bytes, width as usize, out),
        _ if width <= WIDTH_LOAD_MAX => vectors::<false>(bytes, width as usize, out),
        _ => unpack_scalar(bytes, width, out),
    }
}

/// Groups of eight by vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn vectors<const IS_NARROW: bool>(bytes: &[u8], width: usize, out: &mut [u64]) {
    let mut short = [0; LOAD_BYTES];
    let bytes = loadable(bytes, &mut short);
    let group = Group::<IS_NARROW>::new(width);
    let fast_count = group.count_in(bytes).min(out.len() / 8);
    let (fast, rest) = out.split_at_mut(fast_count * 8);
    for (place, values) in fast.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let (first, second) = group.integers(bytes, place * width, false);
        store_integers(values, first, second);
    }
    for (place, values) in rest.chunks_mut(8).enumerate() {
        let mut eight = [0; 8];
        let (first, second) = group.integers(bytes, (fast_count + place) * width, true);
        store_integers(&mut eight, first, second);
        values.copy_from_slice(&eight[..values.len()]);
    }
}

/// Bytes of a load.
#[cfg(target_arch = "x86_64")]
pub(super) const LOAD_BYTES: usize = 16;

/// `bytes`, or where these are fewer than a load, a copy with zeros behind.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn loadable<'a>(bytes: &'a [u8], short: &'a mut [u8; LOAD_BYTES]) -> &'a [u8] {
    if bytes.len() >= LOAD_BYTES {
        return bytes;
    }
    short[..bytes.len()].copy_from_slice(bytes);
    short
}

/// How eight values of a width are unpacked: narrow ones in lanes of 32 bits, others in lanes of 64.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Group<const IS_NARROW: bool> {
    width: usize,
    /// Places, shifts: of the first vector, and of the second, if values are wide.
    lanes: [(__m256i, __m256i); 2],
    mask: __m256i,
}

#[cfg(target_arch = "x86_64")]
impl<const IS_NARROW: bool> Group<IS_NARROW> {
    /// # Panics
    ///
    /// On a width that has no such lanes.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn new(width: usize) -> Self {
        let lanes = if IS_NARROW { [NARROW[width]; 2] } else { WIDE[width] };
        let [first, second] = lanes;
        let lanes = [
            (load_bytes(&first.places), load_bytes(&first.shifts)),
            (load_bytes(&second.places), load_bytes(&second.shifts)),
        ];
        let mask = (1u64 << width) - 1;
        let mask = if IS_NARROW { mask | mask << 32 } else { mask };
        Group { width, lanes, mask: _mm256_set1_epi64x(mask as i64) }
    }

    /// Groups at the front of `bytes` whose loads do not reach beyond the end.
    #[inline]
    pub fn count_in(&self, bytes: &[u8]) -> usize {
        let last = if IS_NARROW { self.width / 2 } else { 6 * self.width / 8 };
        match bytes.len().checked_sub(last + LOAD_BYTES) {
            Some(room) => room.checked_div(self.width).map_or(usize::MAX, |count| count + 1),
            None => 0,
        }
    }

    /// Eight narrow values from byte `at` on; with `is_late`, of a group that [`Group::count_in`] does not
    /// count.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn narrow(&self, bytes: &[u8], at: usize, is_late: bool) -> __m256i {
        let (places, shifts) = self.lanes[0];
        let lanes = load_lanes(bytes, [at, at + self.width / 2], places, is_late);
        _mm256_and_si256(_mm256_srlv_epi32(lanes, shifts), self.mask)
    }

    /// As [`Group::narrow`]: four values, and four, in 64 bits each.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn integers(&self, bytes: &[u8], at: usize, is_late: bool) -> (__m256i, __m256i) {
        if IS_NARROW {
            let lanes = self.narrow(bytes, at, is_late);
            let first = _mm256_cvtepu32_epi64(_mm256_castsi256_si128(lanes));
            return (first, _mm256_cvtepu32_epi64(_mm256_extracti128_si256::<1>(lanes)));
        }
        let [(places, shifts), (second_places, second_shifts)] = self.lanes;
        let quarters = [at, at + self.width / 4, at + self.width / 2, at + 6 * self.width / 8];
        let first = load_lanes(bytes, [quarters[0], quarters[1]], places, is_late);
        let second = load_lanes(bytes, [quarters[2], quarters[3]], second_places, is_late);
        (
            _mm256_and_si256(_mm256_srlv_epi64(first, shifts), self.mask),
            _mm256_and_si256(_mm256_srlv_epi64(second, second_shifts), self.mask),
        )
    }
}

/// Of sixteen bytes from each of `starts` on those at `places`. With `is_late` they may end before: the
/// last sixteen are loaded then, and what would stand behind them is anything.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn load_lanes(bytes: &[u8], [low, high]: [usize; 2], places: __m256i, is_late: bool) -> __m256i {
    if !is_late {
        return _mm256_shuffle_epi8(load_halves(bytes, low, high), places);
    }
    let last = bytes.len() - LOAD_BYTES;
    let starts = [low.min(last), high.min(last)];
    // Differences are below 128: a group is 57 bytes at most.
    let moved = _mm256_set_m128i(
        _mm_set1_epi8((high - starts[1]) as i8),
        _mm_set1_epi8((low - starts[0]) as i8),
    );
    let loaded = load_halves(bytes, starts[0], starts[1]);
    _mm256_shuffle_epi8(loaded, _mm256_add_epi8(places, moved))
}

/// The scalar twin of [`unpack`]: one value after the other.
pub fn unpack_scalar(bytes: &[u8], width: u32, out: &mut [u64]) {
    if width == 0 {
        return out.fill(0);
    }
    let mask = u64::MAX >> (64 - width);
    for (index, value) in out.iter_mut().enumerate() {
        let bit = index * width as usize;
        let mut window = [0u8; 16];
        let end = (bit + width as usize).div_ceil(8);
        let source = &bytes[bit / 8..end];
        window[..source.len()].copy_from_slice(source);
        *value = (u128::from_le_bytes(window) >> (bit % 8)) as u64 & mask;
    }
}

#[inline(always)]
fn unpack_groups(bytes: &[u8], width: u32, out: &mut [u64]) {
    match width {
        0 => out.fill(0),
        1..=8 => groups::<8>(bytes, width, out),
        9..=15 => groups::<4>(bytes, width, out),
        16 => groups::<4>(bytes, width, out),
        17..=28 => groups::<2>(bytes, width, out),
        29..=WIDTH_LOAD_MAX => groups::<1>(bytes, width, out),
        _ => unpack_scalar(bytes, width, out),
    }
}

/// Groups of eight, `PER_LOAD` values from each load; the rest by the scalar twin.
#[inline(always)]
fn groups<const PER_LOAD: usize>(bytes: &[u8], width: u32, out: &mut [u64]) {
    let group_bytes = width as usize;
    let mask = u64::MAX >> (64 - width);
    // A load may reach eight bytes beyond the group's start of its last value.
    let fast_count = (bytes.len().saturating_sub(8) / group_bytes).min(out.len() / 8);
    let (fast, rest) = out.split_at_mut(fast_count * 8);
    for (group, values) in fast.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let start = group * group_bytes;
        let source = &bytes[start..start + group_bytes + 8];
        for load in 0..8 / PER_LOAD {
            let bit = load * PER_LOAD * width as usize;
            let at = bit / 8;
            let word = u64::from_le_bytes(*source[at..].first_chunk().expect("eight bytes"));
            let word = word >> (bit % 8);
            for lane in 0..PER_LOAD {
                values[load * PER_LOAD + lane] = (word >> (lane as u32 * width)) & mask;
            }
        }
    }
    unpack_scalar(&bytes[fast_count * group_bytes..], width, rest);
}

#[cfg(test)]
mod tests {
    use super::{unpack, unpack_scalar};

    #[test]
    fn every_width_and_length_equals_the_scalar_twin() {
        let bytes: Vec<u8> =
            (0..8 * 100u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        for width in 0..=64u32 {
            for count in [0, 1, 7, 8, 9, 16, 63, 64, 65, 100usize] {
                let needed = (count * width as usize).div_ceil(8);
                for spare in [0, 3, 8] {
                    let source = &bytes[..(needed + spare).min(bytes.len())];
                    let (mut fast, mut slow) = (vec![1; count], vec![2; count]);
                    unpack(source, width, &mut fast);
                    unpack_scalar(source, width, &mut slow);
                    assert_eq!(fast, slow, "width {width} count {count} spare {spare}");
                }
            }
        }
    }

    #[test]
    fn bits_count_from_the_lowest() {
        let mut out = [0; 3];
        unpack_scalar(&[0b1101_0001, 0b0000_0010], 4, &mut out);
        assert_eq!(out, [0b0001, 0b1101, 0b0010]);
    }
}
