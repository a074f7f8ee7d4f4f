//! Integers to the decimals they stand for.

/// Powers of ten that a double holds exactly, as far as decimals use them.
pub const POW10: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

use super::MAGIC;

/// Magnitude below which adding [`MAGIC`] is exact.
const MAGIC_BELOW: u64 = 1 << 51;

/// In place: every element is an offset; it becomes `base + (offset << shift)`, wrapping.
#[inline]
pub fn scale_offsets(values: &mut [u64], base: i64, shift: u32) {
    for value in values {
        *value = (base as u64).wrapping_add(*value << shift);
    }
}

/// In place: every element holds the bits of an `i64`; it becomes that integer divided by
/// `10^exponent`, rounded once.
///
/// Exact for what `encode` writes: the quotient of two doubles without rounding error is the
/// decimal's nearest double, the very one a parser returns. Cost: about 0.5 ns a value.
///
/// # Panics
///
/// On an exponent that [`POW10`] has not.
pub fn divide_decimals(values: &mut [f64], exponent: u8) {
    let divisor = POW10[usize::from(exponent)];
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, and the function asks for nothing else.
        return unsafe { divide_avx2(values, divisor) };
    }
    divide(values, divisor);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn divide_avx2(values: &mut [f64], divisor: f64) {
    divide(values, divisor);
}

#[inline(always)]
fn divide(values: &mut [f64], divisor: f64) {
    // One test for all decides the conversion: vector code has none for 64-bit integers below
    // AVX-512, but small ones convert by an addition.
    let mut reach = 0u64;
    for value in values.iter() {
        let integer = value.to_bits() as i64;
        reach |= (integer ^ (integer >> 63)) as u64;
    }
    if reach >= MAGIC_BELOW {
        return divide_scalar(values, divisor);
    }
    if divisor == 1.0 {
        for value in values {
            *value = small_to_double(value.to_bits());
        }
    } else {
        for value in values {
            *value = small_to_double(value.to_bits()) / divisor;
        }
    }
}

#[inline(always)]
fn small_to_double(integer: u64) -> f64 {
    f64::from_bits(MAGIC.to_bits().wrapping_add(integer)) - MAGIC
}

/// The scalar twin: the processor's own conversion.
fn divide_scalar(values: &mut [f64], divisor: f64) {
    for value in values {
        *value = value.to_bits() as i64 as f64 / divisor;
    }
}

#[cfg(test)]
mod tests {
    use super::{POW10, divide_decimals, divide_scalar, scale_offsets};

    #[test]
    fn both_conversions_agree() {
        let small = [0i64, 1, -1, 5, 123_456, -(1 << 50), (1 << 51) - 1, -(1 << 51)];
        let large = [0i64, 1 << 51, i64::MAX, i64::MIN, (1 << 53) + 1];
        for integers in [&small[..], &large] {
            for (exponent, &divisor) in POW10.iter().enumerate() {
                let column = |v: &i64| f64::from_bits(*v as u64);
                let mut fast: Vec<f64> = integers.iter().map(column).collect();
                let mut slow = fast.clone();
                divide_decimals(&mut fast, exponent as u8);
                divide_scalar(&mut slow, divisor);
                assert_eq!(fast, slow);
                assert_eq!(fast[1], integers[1] as f64 / divisor);
            }
        }
    }

    #[test]
    fn offsets_wrap() {
        let mut values = [0, 3, u64::MAX];
        scale_offsets(&mut values, -4, 1);
        assert_eq!(values.map(|value| value as i64), [-4, 2, -6]);
    }
}
