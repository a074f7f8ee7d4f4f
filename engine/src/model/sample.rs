//! Values of samples: the two NaNs that carry meaning.
//!
//! Source: Prometheus `model/value/value.go`.

use crate::kernels;

/// Bits of an ordinary NaN as Prometheus stores it (a quiet NaN with payload one).
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Bits of the staleness marker: a signalling NaN that no computation produces.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether `value` is the staleness marker. Compares bits, because NaN equals nothing.
#[inline]
pub fn is_stale_nan(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// Whether any of `values` is the staleness marker. About 0.1 ns a value.
pub fn has_stale_nan(values: &[f64]) -> bool {
    kernels::has_bits(values, STALE_NAN_BITS)
}

/// The staleness marker as a value.
#[inline]
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// The ordinary NaN, with the payload that Prometheus gives it.
#[inline]
pub fn normal_nan() -> f64 {
    f64::from_bits(NORMAL_NAN_BITS)
}
