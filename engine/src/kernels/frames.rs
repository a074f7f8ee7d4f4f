//! Packed offsets to decimals in one pass, appended to a column.
//!
//! The twin in two passes: [`super::unpack`], then [`super::offsets_to_decimals`] or
//! [`super::steps_to_decimals`]. It takes over where an integer may not be small, and without AVX2.

use super::decimal::{OffsetScale, offsets_to_decimals, steps_to_decimals};
use super::unpack;
#[cfg(target_arch = "x86_64")]
use {
    super::MAGIC,
    super::decimal::{RECIPROCALS, Reciprocal, has_vectors},
    super::unpack::{Group, LOAD_BYTES, WIDTH_LOAD_MAX, WIDTH_NARROW_MAX, loadable},
    super::vectors::{store_new, sums},
    std::arch::x86_64::*,
    std::mem::MaybeUninit,
};

/// Offsets of a frame as [`super::unpack`] reads them, and upper bits of some of them.
#[derive(Clone, Copy, Debug)]
pub struct PackedOffsets<'a, Exceptions> {
    pub bytes: &'a [u8],
    /// Bits of each.
    pub width: u32,
    pub count: usize,
    pub scale: OffsetScale,
    /// Positions, ascending, and the bits that stand above the `width` lower ones.
    pub exceptions: Exceptions,
}

/// Appends the integer that each offset stands for, divided by `10^exponent`.
///
/// Cost: 0.2 to 0.4 ns a value, some more an exception, and nothing is cleared before. Panics as
/// [`super::unpack`] and [`offsets_to_decimals`], and on a position that is none.
pub fn append_offsets(
    packed: PackedOffsets<'_, impl Iterator<Item = (usize, u64)>>,
    exponent: u8,
    out: &mut Vec<f64>,
) {
    #[cfg(target_arch = "x86_64")]
    if packed.is_fast(0, 1) {
        let by = RECIPROCALS[usize::from(exponent)];
        let end = out.len() + packed.count;
        let room = packed.room(out);
        // SAFETY: `is_fast` has asked for what the function needs of the processor.
        unsafe { offsets_avx2(packed, by, room) };
        // SAFETY: the room holds `packed.count` values or more, and all of it was just initialised.
        return unsafe { out.set_len(end) };
    }
    let scale = packed.scale;
    offsets_to_decimals(packed.unpack_onto(out), scale, exponent);
}

/// As [`append_offsets`], where each offset stands for the difference to the integer before, the first
/// for that to `before`. Returns the last integer, from which the next frame goes on; `None` behind one
/// whose count is no multiple of eight, which none follows. Cost: 0.5 ns a value.
pub fn append_steps(
    packed: PackedOffsets<'_, impl Iterator<Item = (usize, u64)>>,
    before: i64,
    exponent: u8,
    out: &mut Vec<f64>,
) -> Option<i64> {
    let is_whole = packed.count.is_multiple_of(8);
    #[cfg(target_arch = "x86_64")]
    if packed.is_fast(before, packed.count + 8) {
        let by = RECIPROCALS[usize::from(exponent)];
        let end = out.len() + packed.count;
        let room = packed.room(out);
        // SAFETY: `is_fast` has asked for what the function needs of the processor.
        let last = unsafe { steps_avx2(packed, before, by, room) };
        // SAFETY: the room holds `packed.count` values or more, and all of it was just initialised.
        unsafe { out.set_len(end) };
        return is_whole.then_some(last);
    }
    let scale = packed.scale;
    let last = steps_to_decimals(packed.unpack_onto(out), before, scale, exponent);
    is_whole.then_some(last)
}

impl<Exceptions: Iterator<Item = (usize, u64)>> PackedOffsets<'_, Exceptions> {
    /// Unpacks the offsets into `out`, which has room for all.
    pub fn unpack(self, out: &mut [u64]) {
        assert!(out.len() == self.count);
        unpack(self.bytes, self.width, out);
        for (position, upper) in self.exceptions {
            out[position] |= upper << self.width;
        }
    }

    /// Appends the bits of the offsets.
    fn unpack_onto(self, out: &mut Vec<f64>) -> &mut [f64] {
        let start = out.len();
        out.resize(start + self.count, 0.0);
        let offsets = &mut out[start..];
        self.unpack(bytemuck::cast_slice_mut(offsets));
        offsets
    }

    /// Room at the end of `out` for all groups.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn room<'o>(&self, out: &'o mut Vec<f64>) -> Room<'o> {
        assert!((self.count * self.width as usize).div_ceil(8) <= self.bytes.len());
        let group_count = self.count.div_ceil(8);
        out.reserve(8 * group_count);
        &mut out.spare_capacity_mut().as_chunks_mut().0[..group_count]
    }

    /// Whether the functions for AVX2 and fused multiplication may be called and hold every sum of
    /// `before` and `count` integers.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn is_fast(&self, before: i64, count: usize) -> bool {
        self.width <= WIDTH_LOAD_MAX && self.scale.is_small(before, count) && has_vectors()
    }

    /// Whether lanes of 32 bits hold the sum of eight offsets.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn is_narrow(&self) -> bool {
        self.width <= WIDTH_NARROW_MAX && self.scale.offset_max < 1 << 28
    }
}

/// Where groups of values will stand.
#[cfg(target_arch = "x86_64")]
type Room<'a> = &'a mut [[MaybeUninit<f64>; 8]];

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn offsets_avx2(
    packed: PackedOffsets<'_, impl Iterator<Item = (usize, u64)>>,
    by: Reciprocal,
    room: Room<'_>,
) {
    let to = Decimals::new(packed.scale, by);
    let mut none = Steps::new(0, 0);
    if packed.is_narrow() {
        fill::<true, false>(packed, &to, &mut none, room);
    } else {
        fill::<false, false>(packed, &to, &mut none, room);
    }
}

/// The last sum is that of all groups: it may go on behind the last value.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn steps_avx2(
    packed: PackedOffsets<'_, impl Iterator<Item = (usize, u64)>>,
    before: i64,
    by: Reciprocal,
    room: Room<'_>,
) -> i64 {
    let to = Decimals::new(packed.scale, by);
    let mut steps = Steps::new(before, packed.scale.base);
    if packed.is_narrow() {
        fill::<true, true>(packed, &to, &mut steps, room);
    } else {
        fill::<false, true>(packed, &to, &mut steps, room);
    }
    _mm256_cvtsd_f64(steps.sum) as i64
}

/// Initialises all groups with decimals of the offsets, or of their sums.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,fma")]
fn fill<const IS_NARROW: bool, const ARE_STEPS: bool>(
    packed: PackedOffsets<'_, impl Iterator<Item = (usize, u64)>>,
    to: &Decimals,
    steps: &mut Steps,
    room: Room<'_>,
) {
    let mut short = [0; LOAD_BYTES];
    let bytes = loadable(packed.bytes, &mut short);
    let width = packed.width as usize;
    let group = Group::<IS_NARROW>::new(width);
    let mut exceptions = packed.exceptions;
    let (position, upper) = exceptions.next().unwrap_or(NO_EXCEPTION);
    let mut offsets = Offsets { bytes, width, group, exceptions, position, upper };
    let fast_count = group.count_in(bytes).min(room.len());
    let mut place = 0;
    while place < room.len() {
        // Groups without exceptions, whose loads stay within the bytes, in a loop that asks for neither.
        let plain_end = fast_count.min(offsets.position / 8).max(place);
        for eight in &mut room[place..plain_end] {
            let (first, second) = match IS_NARROW {
                true => narrow::<ARE_STEPS>(group.narrow(bytes, place * width, false)),
                false => wide::<ARE_STEPS>(group.integers(bytes, place * width, false)),
            };
            let (first, second) = to.eight::<ARE_STEPS>(first, second, steps);
            store_new(eight, first, second);
            place += 1;
        }
        if let Some(eight) = room.get_mut(place) {
            let (first, second) = offsets.doubles::<ARE_STEPS>(place, place >= fast_count);
            let (first, second) = to.eight::<ARE_STEPS>(first, second, steps);
            store_new(eight, first, second);
            place += 1;
        }
    }
    assert!(offsets.position == usize::MAX, "exceptions are within the frame");
}

/// Stands for the exception behind the last.
#[cfg(target_arch = "x86_64")]
const NO_EXCEPTION: (usize, u64) = (usize::MAX, 0);

/// Offsets, group by group.
#[cfg(target_arch = "x86_64")]
struct Offsets<'a, Exceptions, const IS_NARROW: bool> {
    bytes: &'a [u8],
    width: usize,
    group: Group<IS_NARROW>,
    exceptions: Exceptions,
    /// The next exception.
    position: usize,
    upper: u64,
}

#[cfg(target_arch = "x86_64")]
impl<Exceptions: Iterator<Item = (usize, u64)>, const IS_NARROW: bool>
    Offsets<'_, Exceptions, IS_NARROW>
{
    /// The group at `place`, or its sums, as doubles; `is_late` as for [`Group::narrow`].
    #[target_feature(enable = "avx2,fma")]
    fn doubles<const ARE_STEPS: bool>(
        &mut self,
        place: usize,
        is_late: bool,
    ) -> (__m256d, __m256d) {
        let at = place * self.width;
        if IS_NARROW {
            let mut offsets = self.group.narrow(self.bytes, at, is_late);
            while self.position / 8 == place {
                let index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                let (lane, upper) = self.exception();
                let is_here = _mm256_cmpeq_epi32(index, _mm256_set1_epi32(lane as i32));
                let upper = _mm256_and_si256(is_here, _mm256_set1_epi32(upper as i32));
                offsets = _mm256_or_si256(offsets, upper);
            }
            return narrow::<ARE_STEPS>(offsets);
        }
        let (mut first, mut second) = self.group.integers(self.bytes, at, is_late);
        while self.position / 8 == place {
            let (one, two) = (_mm256_setr_epi64x(0, 1, 2, 3), _mm256_setr_epi64x(4, 5, 6, 7));
            let (lane, upper) = self.exception();
            let (lane, upper) = (_mm256_set1_epi64x(lane as i64), _mm256_set1_epi64x(upper as i64));
            let [is_one, is_two] = [_mm256_cmpeq_epi64(one, lane), _mm256_cmpeq_epi64(two, lane)];
            first = _mm256_or_si256(first, _mm256_and_si256(is_one, upper));
            second = _mm256_or_si256(second, _mm256_and_si256(is_two, upper));
        }
        wide::<ARE_STEPS>((first, second))
    }

    /// Takes an exception: its lane, and the bits to put into it.
    #[inline]
    fn exception(&mut self) -> (usize, u64) {
        let taken = (self.position % 8, self.upper << self.width);
        (self.position, self.upper) = self.exceptions.next().unwrap_or(NO_EXCEPTION);
        taken
    }
}

/// Eight integers below 2^31, or their sums, as doubles.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn narrow<const ARE_STEPS: bool>(integers: __m256i) -> (__m256d, __m256d) {
    let integers = if ARE_STEPS { sums_of_eight(integers) } else { integers };
    let first = _mm256_cvtepi32_pd(_mm256_castsi256_si128(integers));
    (first, _mm256_cvtepi32_pd(_mm256_extracti128_si256::<1>(integers)))
}

/// The same of twice four small integers.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn wide<const ARE_STEPS: bool>((first, second): (__m256i, __m256i)) -> (__m256d, __m256d) {
    if !ARE_STEPS {
        return (double(first), double(second));
    }
    let (first, second) = (sums(first), sums(second));
    let fourth = _mm256_permute4x64_epi64::<0b11_11_11_11>(first);
    (double(first), double(_mm256_add_epi64(second, fourth)))
}

/// Sums of eight integers, whose sum is below 2^31, from the first on.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn sums_of_eight(integers: __m256i) -> __m256i {
    let two = _mm256_add_epi32(integers, _mm256_slli_si256::<4>(integers));
    let four = _mm256_add_epi32(two, _mm256_slli_si256::<8>(two));
    let fourth = _mm256_permutevar8x32_epi32(four, _mm256_set1_epi32(3));
    let upper = _mm256_blend_epi32::<0b1111_0000>(_mm256_setzero_si256(), fourth);
    _mm256_add_epi32(four, upper)
}

/// Four small integers as doubles.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn double(integers: __m256i) -> __m256d {
    let magic = _mm256_set1_pd(MAGIC);
    let moved = _mm256_add_epi64(integers, _mm256_castpd_si256(magic));
    _mm256_sub_pd(_mm256_castsi256_pd(moved), magic)
}

/// From offsets to decimals. All integers are small, hence exact as doubles.
#[cfg(target_arch = "x86_64")]
struct Decimals {
    base: __m256d,
    unit: __m256d,
    high: __m256d,
    low: __m256d,
}

#[cfg(target_arch = "x86_64")]
impl Decimals {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(scale: OffsetScale, by: Reciprocal) -> Decimals {
        Decimals {
            base: _mm256_set1_pd(scale.base as f64),
            unit: _mm256_set1_pd((1u64 << scale.shift) as f64),
            high: _mm256_set1_pd(by.high),
            low: _mm256_set1_pd(by.low),
        }
    }

    /// Of the offsets of a group, or of their sums.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn eight<const ARE_STEPS: bool>(
        &self,
        first: __m256d,
        second: __m256d,
        steps: &mut Steps,
    ) -> (__m256d, __m256d) {
        if ARE_STEPS {
            return steps.go_on(first, second, self);
        }
        (self.decimals(first, self.base), self.decimals(second, self.base))
    }

    /// The offsets' integers above `base`, divided.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn decimals(&self, offsets: __m256d, base: __m256d) -> __m256d {
        let integers = _mm256_fmadd_pd(offsets, self.unit, base);
        _mm256_fmadd_pd(integers, self.high, _mm256_mul_pd(integers, self.low))
    }
}

/// Sums along steps, eight at a time.
#[cfg(target_arch = "x86_64")]
struct Steps {
    /// The integer reached so far, in all four.
    sum: __m256d,
    /// What the base alone adds up to each of eight, and in all four the whole of it.
    first_bases: __m256d,
    second_bases: __m256d,
    eight_bases: __m256d,
}

#[cfg(target_arch = "x86_64")]
impl Steps {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(before: i64, base: i64) -> Steps {
        let base = base as f64;
        let first_bases = _mm256_setr_pd(base, 2.0 * base, 3.0 * base, 4.0 * base);
        Steps {
            sum: _mm256_set1_pd(before as f64),
            first_bases,
            second_bases: _mm256_add_pd(first_bases, _mm256_set1_pd(4.0 * base)),
            eight_bases: _mm256_set1_pd(8.0 * base),
        }
    }

    /// The next eight decimals, of the sums of offsets from the first of these on. One waits for the
    /// other by one addition only.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn go_on(&mut self, first: __m256d, second: __m256d, to: &Decimals) -> (__m256d, __m256d) {
        let total = _mm256_permute4x64_pd::<0b11_11_11_11>(second);
        let first = to.decimals(first, _mm256_add_pd(self.sum, self.first_bases));
        let second = to.decimals(second, _mm256_add_pd(self.sum, self.second_bases));
        let added = _mm256_fmadd_pd(total, to.unit, self.eight_bases);
        self.sum = _mm256_add_pd(self.sum, added);
        (first, second)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::POW10;

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn one_pass_has_the_bits_of_two(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            width in prop_oneof![0u32..=64, 0u32..12],
            shift in prop_oneof![Just(0u32), 0u32..64],
            (base, base_narrower) in (any::<i64>(), 0u32..64),
            (before, before_narrower) in (any::<i64>(), 0u32..64),
            exponent in 0..POW10.len() as u8,
            spare in 0usize..40,
            (uppers, upper_narrower) in (prop::collection::btree_map(0usize..300, any::<u64>(), 0..20), 20u32..64),
        ) {
            let count = (bytes.len().saturating_sub(spare) * 8 / width.max(1) as usize).min(300);
            let mut offset_max = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            let mut uppers: Vec<(usize, u64)> = uppers.into_iter().filter(|(at, _)| *at < count).collect();
            for (_, upper) in &mut uppers {
                *upper = if width == 64 { 0 } else { *upper >> upper_narrower << width >> width };
                offset_max |= if width == 64 { 0 } else { *upper << width };
            }
            if width == 64 {
                uppers.clear();
            }
            let scale = OffsetScale { base: base >> base_narrower, shift, offset_max };
            let before = before >> before_narrower;
            let packed = || {
                let exceptions = uppers.iter().copied();
                PackedOffsets { bytes: &bytes, width, count, scale, exceptions }
            };

            let (mut fast, mut slow) = (vec![1.0], vec![1.0]);
            append_offsets(packed(), exponent, &mut fast);
            offsets_to_decimals(packed().unpack_onto(&mut slow), scale, exponent);
            prop_assert_eq!(bits(&fast), bits(&slow));

            let (mut fast, mut slow) = (vec![1.0], vec![1.0]);
            let last = append_steps(packed(), before, exponent, &mut fast);
            let slow_last = steps_to_decimals(packed().unpack_onto(&mut slow), before, scale, exponent);
            prop_assert_eq!(bits(&fast), bits(&slow));
            prop_assert_eq!(last, count.is_multiple_of(8).then_some(slow_last));
        }
    }
}
