//! Integers to the decimals they stand for.

/// Powers of ten that a double holds exactly, as far as decimals use them.
pub const POW10: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

#[cfg(target_arch = "x86_64")]
use super::MAGIC;
#[cfg(target_arch = "x86_64")]
use super::vectors::{load, store, sums};

/// Magnitude below which adding [`MAGIC`] is exact.
#[cfg(target_arch = "x86_64")]
const MAGIC_BELOW: u64 = 1 << 51;

/// One divided by a power of ten, in two doubles: the nearest, and what it lacks.
///
/// A product with both, rounded once, is the quotient, rounded once, for integers up to 2^53. Their
/// sum is off by 2^-106 of it, and what the product loses before it is rounded by 2^-105. A quotient
/// `a / 10^e` that is not halfway between two doubles is further from there: with `m` the odd
/// 54-bit integer of the halfway point, `2^s · a` and `m · 5^e` are different integers, hence apart
/// by 1 in `m · 5^e < 2^54 · 5^18 < 2^96`. It is never halfway: `m · 5^e` is odd or, times a power
/// of two, larger than `a`.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Reciprocal {
    pub high: f64,
    pub low: f64,
}

#[cfg(target_arch = "x86_64")]
pub(super) const RECIPROCALS: [Reciprocal; POW10.len()] = {
    let mut all = [Reciprocal { high: 1.0, low: 0.0 }; POW10.len()];
    let mut exponent = 1;
    while exponent < all.len() {
        all[exponent] = Reciprocal::of(POW10[exponent]);
        exponent += 1;
    }
    all
};

#[cfg(target_arch = "x86_64")]
impl Reciprocal {
    const fn of(divisor: f64) -> Reciprocal {
        let high = 1.0 / divisor;
        // The product without rounding (Dekker): both factors in halves of 26 bits.
        let (high_upper, high_lower) = halves(high);
        let (divisor_upper, divisor_lower) = halves(divisor);
        let product = high * divisor;
        let lost = high_upper * divisor_upper - product
            + high_upper * divisor_lower
            + high_lower * divisor_upper
            + high_lower * divisor_lower;
        Reciprocal { high, low: (1.0 - product - lost) / divisor }
    }

    /// `integer / divisor`, rounded once. Slow where the processor has no fused multiplication.
    #[inline(always)]
    fn times(self, integer: f64) -> f64 {
        integer.mul_add(self.high, integer * self.low)
    }
}

#[cfg(target_arch = "x86_64")]
const fn halves(value: f64) -> (f64, f64) {
    let scaled = value * 134_217_729.0; // 2^27 + 1
    let upper = scaled - (scaled - value);
    (upper, value - upper)
}

/// What the offsets of a frame stand for: `base + (offset << shift)`, wrapping.
#[derive(Clone, Copy, Debug)]
pub struct OffsetScale {
    pub base: i64,
    /// Below 64.
    pub shift: u32,
    /// No offset is larger.
    pub offset_max: u64,
}

impl OffsetScale {
    #[inline(always)]
    fn integer(&self, offset: u64) -> u64 {
        (self.base as u64).wrapping_add(offset << self.shift)
    }

    /// Whether the sum of `before` and `count` values, in any order, is small.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn is_small(&self, before: i64, count: usize) -> bool {
        let base = self.base.unsigned_abs();
        if base >= MAGIC_BELOW || self.offset_max >= MAGIC_BELOW >> self.shift {
            return false;
        }
        let reach = (base + (self.offset_max << self.shift)).checked_mul(count as u64);
        reach
            .and_then(|reach| reach.checked_add(before.unsigned_abs()))
            .is_some_and(|reach| reach < MAGIC_BELOW)
    }
}

/// In place: every element is an offset; it becomes what it stands for.
#[inline]
pub fn scale_offsets(values: &mut [u64], scale: OffsetScale) {
    for value in values {
        *value = scale.integer(*value);
    }
}

/// In place: every element becomes the sum of `before` and all up to it. Returns the last.
#[inline]
pub fn add_up(before: u64, values: &mut [u64]) -> u64 {
    let mut sum = before;
    for value in values {
        sum = sum.wrapping_add(*value);
        *value = sum;
    }
    sum
}

/// In place: every element holds the bits of an offset; it becomes the integer that this stands for,
/// divided by `10^exponent`, as by [`divide_decimals`].
///
/// Cost: about 0.3 ns a value. Panics on an exponent that [`POW10`] has not.
pub fn offsets_to_decimals(values: &mut [f64], scale: OffsetScale, exponent: u8) {
    #[cfg(target_arch = "x86_64")]
    if scale.is_small(0, 1) && has_vectors() {
        let by = RECIPROCALS[usize::from(exponent)];
        // SAFETY: the processor has what `has_vectors` asks for.
        return unsafe { offsets_avx2(values, scale, by) };
    }
    scale_offsets(bytemuck::cast_slice_mut(values), scale);
    divide_decimals(values, exponent);
}

/// As [`offsets_to_decimals`], where an offset stands for the difference to the integer before, the
/// first for that to `before`. Returns the last integer.
///
/// Cost: about 0.4 ns a value.
pub fn steps_to_decimals(values: &mut [f64], before: i64, scale: OffsetScale, exponent: u8) -> i64 {
    #[cfg(target_arch = "x86_64")]
    if scale.is_small(before, values.len()) && has_vectors() {
        let by = RECIPROCALS[usize::from(exponent)];
        // SAFETY: the processor has what `has_vectors` asks for.
        return unsafe { steps_avx2(values, before, scale, by) };
    }
    let integers = bytemuck::cast_slice_mut(values);
    scale_offsets(integers, scale);
    let last = add_up(before as u64, integers);
    divide_decimals(values, exponent);
    last as i64
}

/// In place: every element holds the bits of an `i64`; it becomes that integer divided by
/// `10^exponent`, rounded once.
///
/// Exact for what `encode` writes: the quotient of two doubles without rounding error is the
/// decimal's nearest double, the very one a parser returns. Cost: about 0.3 ns a value.
///
/// # Panics
///
/// On an exponent that [`POW10`] has not.
pub fn divide_decimals(values: &mut [f64], exponent: u8) {
    let divisor = POW10[usize::from(exponent)];
    // One test for all decides the conversion: vector code has none for 64-bit integers below
    // AVX-512, but small ones convert by an addition.
    #[cfg(target_arch = "x86_64")]
    if has_vectors() {
        let by = RECIPROCALS[usize::from(exponent)];
        // SAFETY: the processor has what `has_vectors` asks for.
        let is_done = unsafe { divide_avx2(values, by) };
        if is_done {
            return;
        }
    }
    divide_scalar(values, divisor);
}

/// Whether functions for AVX2 and fused multiplication may be called.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn has_vectors() -> bool {
    std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn offsets_avx2(values: &mut [f64], scale: OffsetScale, by: Reciprocal) {
    for value in values {
        *value = by.times(small_to_double(scale.integer(value.to_bits())));
    }
}

/// Whether all were small; nothing is changed otherwise.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn divide_avx2(values: &mut [f64], by: Reciprocal) -> bool {
    let mut reach = 0u64;
    for value in values.iter() {
        let integer = value.to_bits() as i64;
        reach |= (integer ^ (integer >> 63)) as u64;
    }
    if reach >= MAGIC_BELOW {
        return false;
    }
    for value in values {
        *value = by.times(small_to_double(value.to_bits()));
    }
    true
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn steps_avx2(values: &mut [f64], before: i64, scale: OffsetScale, by: Reciprocal) -> i64 {
    use std::arch::x86_64::*;
    let base = _mm256_set1_epi64x(scale.base);
    let shift = _mm_cvtsi32_si128(scale.shift as i32);
    let magic = _mm256_set1_pd(MAGIC);
    let (high, low) = (_mm256_set1_pd(by.high), _mm256_set1_pd(by.low));
    let (eights, rest) = values.as_chunks_mut::<8>();
    let mut sum = _mm256_set1_epi64x(before);
    for eight in eights {
        let [first, second] = eight.as_chunks_mut::<4>().0 else { unreachable!("eight values") };
        // Sums within each four, then of the four before, then of all before: the loop waits for
        // one addition only.
        let sums_of =
            |four: &[f64; 4]| sums(_mm256_add_epi64(_mm256_sll_epi64(load(four), shift), base));
        let (first_sums, second_sums) = (sums_of(first), sums_of(second));
        let first_total = _mm256_permute4x64_epi64::<0b11_11_11_11>(first_sums);
        let second_total = _mm256_permute4x64_epi64::<0b11_11_11_11>(second_sums);
        let divided = |integers: __m256i| {
            let shifted = _mm256_add_epi64(integers, _mm256_castpd_si256(magic));
            let doubles = _mm256_sub_pd(_mm256_castsi256_pd(shifted), magic);
            _mm256_fmadd_pd(doubles, high, _mm256_mul_pd(doubles, low))
        };
        store(first, divided(_mm256_add_epi64(sum, first_sums)));
        let second_sums = _mm256_add_epi64(first_total, second_sums);
        store(second, divided(_mm256_add_epi64(sum, second_sums)));
        sum = _mm256_add_epi64(sum, _mm256_add_epi64(first_total, second_total));
    }
    let mut sum = _mm256_extract_epi64::<0>(sum) as u64;
    for value in rest {
        sum = sum.wrapping_add(scale.integer(value.to_bits()));
        *value = by.times(small_to_double(sum));
    }
    sum as i64
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn small_to_double(integer: u64) -> f64 {
    f64::from_bits(MAGIC.to_bits().wrapping_add(integer)) - MAGIC
}

/// The scalar twin: the processor's own conversion and division.
fn divide_scalar(values: &mut [f64], divisor: f64) {
    for value in values {
        *value = value.to_bits() as i64 as f64 / divisor;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(integers: &[i64]) -> Vec<f64> {
        integers.iter().map(|&integer| f64::from_bits(integer as u64)).collect()
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[track_caller]
    fn check(integers: &[i64]) {
        for (exponent, &divisor) in POW10.iter().enumerate() {
            let (mut fast, mut slow) = (column(integers), column(integers));
            divide_decimals(&mut fast, exponent as u8);
            divide_scalar(&mut slow, divisor);
            assert_eq!(bits(&fast), bits(&slow), "{integers:?} / {divisor}");
            assert_eq!(fast[0], integers[0] as f64 / divisor);
        }
    }

    #[test]
    fn both_conversions_agree() {
        check(&[1, 0, -1, 5, 123_456, -(1 << 50), (1 << 51) - 1, -(1 << 51)]);
        check(&[(1 << 53) + 1, 0, 1 << 51, i64::MAX, i64::MIN]);
        check(&[i64::MIN]);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn reciprocals_have_more_bits_than_a_double() {
        for (divisor, by) in POW10.into_iter().zip(RECIPROCALS) {
            assert_eq!(by.high, 1.0 / divisor);
            // What the first lacks is exact when it is computed without rounding.
            assert_eq!(by.low, (-by.high).mul_add(divisor, 1.0) / divisor);
        }
    }

    /// The hardest quotients: `a / 10^e` where `2^s · a` and `m · 5^e` differ by one or three, with
    /// `m` the integer of a middle between two doubles.
    #[test]
    fn quotients_beside_a_middle_are_rounded_to_the_right_side() {
        for exponent in 1..POW10.len() as u32 {
            let five = 5u128.pow(exponent);
            // Inverse of it modulo any power of two up to 128: each round doubles its good bits.
            let inverse = (0..7).fold(five, |inverse, _| {
                inverse.wrapping_mul(2u128.wrapping_sub(five.wrapping_mul(inverse)))
            });
            let mut integers = vec![];
            for s in 1..60 {
                for difference in [1u128, 3, 1u128.wrapping_neg(), 3u128.wrapping_neg()] {
                    let lowest = inverse.wrapping_mul(difference) % (1 << s);
                    let first = (1u128 << 53).next_multiple_of(1 << s) + lowest;
                    let middles = (0..64).map(|n| first + (n << s)).filter(|m| *m < 1 << 54);
                    let nearest = middles.map(|m| (m * five).wrapping_sub(difference) >> s);
                    integers.extend(nearest.filter(|a| *a < 1 << 51).map(|a| a as i64));
                }
            }
            assert!(integers.len() > 20);
            let (mut fast, mut slow) = (column(&integers), column(&integers));
            divide_decimals(&mut fast, exponent as u8);
            divide_scalar(&mut slow, POW10[exponent as usize]);
            assert_eq!(bits(&fast), bits(&slow), "exponent {exponent}");
        }
    }

    proptest! {
        #[test]
        fn offsets_and_steps_equal_their_twins(
            offsets in prop::collection::vec(any::<u64>(), 0..70),
            narrower in 0u32..64,
            shift in 0u32..20,
            (base, base_narrower) in (any::<i64>(), 0u32..64),
            (before, before_narrower) in (any::<i64>(), 0u32..64),
            exponent in 0..POW10.len() as u8,
        ) {
            let offsets: Vec<u64> = offsets.iter().map(|offset| offset >> narrower).collect();
            let offset_max = u64::MAX >> narrower;
            let scale = OffsetScale { base: base >> base_narrower, shift, offset_max };
            let before = before >> before_narrower;
            let divisor = POW10[usize::from(exponent)];
            let offset_column: Vec<f64> = offsets.iter().map(|&bits| f64::from_bits(bits)).collect();
            let mut integers: Vec<u64> = offsets.iter().map(|&one| scale.integer(one)).collect();

            let (mut fast, mut slow) = (offset_column.clone(), bytemuck::cast_slice(&integers).to_vec());
            offsets_to_decimals(&mut fast, scale, exponent);
            divide_scalar(&mut slow, divisor);
            prop_assert_eq!(bits(&fast), bits(&slow));

            let mut fast = offset_column;
            let last = add_up(before as u64, &mut integers);
            let mut slow = bytemuck::cast_slice(&integers).to_vec();
            prop_assert_eq!(steps_to_decimals(&mut fast, before, scale, exponent), last as i64);
            divide_scalar(&mut slow, divisor);
            prop_assert_eq!(bits(&fast), bits(&slow));
        }

        #[test]
        fn quotients_have_the_bits_of_a_division(
            integers in prop::collection::vec(any::<i64>(), 1..70),
            narrower in 0u32..64,
        ) {
            let integers: Vec<i64> = integers.iter().map(|integer| integer >> narrower).collect();
            check(&integers);
        }
    }
}
