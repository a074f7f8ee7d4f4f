//! Buckets with their bounds.

use super::bounds::bound;
use super::{FloatHistogram, SCHEMA_CUSTOM, Side};
use crate::model::go_float::GoFloat;
use std::fmt;

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket<T = f64> {
    pub lower: f64,
    pub upper: f64,
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: T,
    /// Index in the schema; of the zero bucket it means nothing.
    pub index: i32,
}

impl Bucket<f64> {
    /// The part of the bucket, from 0 to 1, that lies at or below `value`, which is inside of its
    /// finite bounds. Linear for custom bounds and for the zero bucket, else on a logarithmic
    /// scale.
    pub fn fraction_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let log_lower = log2(self.lower.abs());
        let log_upper = log2(self.upper.abs());
        let log_value = log2(value.abs());
        if value > 0.0 {
            (log_value - log_lower) / (log_upper - log_lower)
        } else {
            1.0 - (log_value - log_upper) / (log_lower - log_upper)
        }
    }
}

/// As Go's `math.Log2`: exact for powers of two, else by the natural logarithm.
pub fn log2(value: f64) -> f64 {
    if !(value.is_normal() && value > 0.0) {
        return value.log2();
    }
    let bits = value.to_bits();
    let exponent = ((bits >> 52) as i64 - 1022) as f64;
    let fraction = f64::from_bits((bits & ((1 << 52) - 1)) | (1022 << 52));
    if fraction == 0.5 {
        return exponent - 1.0;
    }
    fraction.ln() * std::f64::consts::LOG2_E + exponent
}

impl<T: fmt::Display> fmt::Display for Bucket<T> {
    /// `(0.5,1]:3`, as intervals are written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.lower_inclusive { '[' } else { '(' };
        let close = if self.upper_inclusive { ']' } else { ')' };
        let (lower, upper) = (GoFloat(self.lower), GoFloat(self.upper));
        write!(f, "{open}{lower},{upper}{close}:{}", self.count)
    }
}

/// Gives the bucket of an index its bounds.
pub(super) fn bucket_at<T>(
    index: i32,
    count: T,
    positive: bool,
    schema: i32,
    custom_bounds: &[f64],
) -> Bucket<T> {
    let outer = bound(index, schema, custom_bounds);
    let inner = bound(index.wrapping_sub(1), schema, custom_bounds);
    let (lower, upper) = if positive { (inner, outer) } else { (-outer, -inner) };
    let custom = schema == SCHEMA_CUSTOM;
    let lower_inclusive = if custom { index == 0 } else { lower < 0.0 };
    let upper_inclusive = custom || upper > 0.0;
    Bucket { lower, upper, lower_inclusive, upper_inclusive, count, index }
}

impl FloatHistogram {
    /// The positive buckets, upwards from zero.
    pub fn positive_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.positive.iter().map(|bucket| self.with_bounds(bucket, true))
    }

    /// The negative buckets, downwards from zero.
    pub fn negative_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.negative.iter().map(|bucket| self.with_bounds(bucket, false))
    }

    /// The zero bucket.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        }
    }

    /// All buckets upwards, the zero bucket only if it is populated. Where the zero bucket
    /// overlaps others, these end at its threshold.
    pub fn all_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let negative = self.negative.iter_rev().map(|bucket| self.with_bounds(bucket, false));
        let positive = self.positive_buckets().map(|bucket| self.clipped(bucket));
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        negative.map(|bucket| self.clipped(bucket)).chain(zero).chain(positive)
    }

    /// As [`FloatHistogram::all_buckets`], downwards.
    pub fn all_buckets_rev(&self) -> impl Iterator<Item = Bucket> + '_ {
        let positive = self.positive.iter_rev().map(|bucket| self.with_bounds(bucket, true));
        let negative = self.negative_buckets().map(|bucket| self.clipped(bucket));
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        positive.map(|bucket| self.clipped(bucket)).chain(zero).chain(negative)
    }

    fn with_bounds(&self, (index, count): (i32, f64), positive: bool) -> Bucket {
        bucket_at(index, count, positive, self.schema, &self.custom_bounds)
    }

    fn clipped(&self, mut bucket: Bucket) -> Bucket {
        let threshold = self.zero_threshold;
        if bucket.upper < 0.0 && bucket.upper > -threshold {
            bucket.upper = -threshold;
        } else if bucket.lower > 0.0 && bucket.lower < threshold {
            bucket.lower = threshold;
        }
        bucket
    }
}

/// Index and count of each bucket of `side`, merged into the coarser `target` schema, without the
/// first ones that end at or below `start`.
pub(super) fn counts_in_schema(
    side: &Side<f64>,
    schema: i32,
    target: i32,
    start: f64,
) -> impl Iterator<Item = (i32, f64)> + '_ {
    let mut buckets = side
        .iter()
        .map(move |(index, count)| (target_index(index, schema, target), count))
        .peekable();
    let merged = std::iter::from_fn(move || {
        let (index, mut count) = buckets.next()?;
        while let Some((_, more)) = buckets.next_if(|(next, _)| *next == index) {
            count += more;
        }
        Some((index, count))
    });
    let skips = start != 0.0 && super::is_exponential_schema(target);
    merged.skip_while(move |(index, _)| skips && bound(*index, target, &[]) <= start)
}

/// The bucket of the coarser `target` schema that holds bucket `index` of `schema`.
pub(super) fn target_index(index: i32, schema: i32, target: i32) -> i32 {
    let shift = (i64::from(schema) - i64::from(target)).clamp(0, 63);
    (((i64::from(index) - 1) >> shift) + 1) as i32
}
