//! What makes a histogram valid.
//!
//! Source: Prometheus `Histogram.Validate`, `FloatHistogram.Validate`: the same order of checks,
//! the same words.

use std::fmt::Display;

use super::error::{Error, ErrorKind};
use super::{FloatHistogram, Histogram, SCHEMA_CUSTOM, Side, Span, is_exponential_schema};
use crate::model::go_float::GoFloat;

impl FloatHistogram {
    /// Checks that spans fit the buckets, that no count is negative, and that nothing is there
    /// that the schema has no use for. The count is not compared with the buckets: floats round.
    pub fn validate(&self) -> Result<(), Error> {
        if self.schema == SCHEMA_CUSTOM {
            check_custom(&self.custom_bounds, &self.positive)?;
            check_no_zero_bucket(self.zero_count != 0.0, self.zero_threshold)?;
            check_no_negative_side(&self.negative)?;
        } else if is_exponential_schema(self.schema) {
            check_spans(&self.positive).map_err(|error| error.within("positive side"))?;
            check_spans(&self.negative).map_err(|error| error.within("negative side"))?;
            check_counts(&self.negative.buckets).map_err(|error| error.within("negative side"))?;
            if self.zero_count < 0.0 {
                let count = GoFloat(self.zero_count);
                let context = format!("zero bucket has observation count of {count}: ");
                return Err(Error::new(ErrorKind::NegativeBucketCount, context));
            }
            if !self.custom_bounds.is_empty() {
                return Err(ErrorKind::ExponentialSchemaCustomBounds.into());
            }
        } else {
            return Err(Error::invalid_schema(self.schema));
        }
        if self.count < 0.0 {
            let context = format!("observation count is  {}: ", GoFloat(self.count));
            return Err(Error::new(ErrorKind::NegativeCount, context));
        }
        check_counts(&self.positive.buckets).map_err(|error| error.within("positive side"))
    }
}

impl Histogram {
    /// As [`FloatHistogram::validate`]; also the count has to be that of all buckets. Observations
    /// of NaN are in no bucket: if the sum is NaN, the count may be larger.
    pub fn validate(&self) -> Result<(), Error> {
        if self.schema == SCHEMA_CUSTOM {
            check_custom(&self.custom_bounds, &self.positive)?;
            check_no_zero_bucket(self.zero_count != 0, self.zero_threshold)?;
            check_no_negative_side(&self.negative)?;
        } else if is_exponential_schema(self.schema) {
            check_spans(&self.positive).map_err(|error| error.within("positive side"))?;
            check_spans(&self.negative).map_err(|error| error.within("negative side"))?;
        } else {
            return Err(Error::invalid_schema(self.schema));
        }
        let sum_of = |side: &Side<i64>, part| {
            sum_of_deltas(&side.buckets).map_err(|error: Error| error.within(part))
        };
        let negative_count = sum_of(&self.negative, "negative side")?;
        if self.schema != SCHEMA_CUSTOM && !self.custom_bounds.is_empty() {
            return Err(ErrorKind::ExponentialSchemaCustomBounds.into());
        }
        let positive_count = sum_of(&self.positive, "positive side")?;
        let found = negative_count.wrapping_add(positive_count).wrapping_add(self.zero_count);
        let mismatch = if self.sum.is_nan() {
            (found > self.count).then_some(ErrorKind::CountNotBigEnough)
        } else {
            (found != self.count).then_some(ErrorKind::CountMismatch)
        };
        mismatch.map_or(Ok(()), |kind| Err(Error::miscounted(kind, found, self.count)))
    }
}

fn check_spans<T>(side: &Side<T>) -> Result<(), Error> {
    for (number, span) in (1..).zip(&side.spans).skip(1) {
        check_offset(number, span)?;
    }
    check_bucket_count(side)
}

fn check_offset(number: usize, span: &Span) -> Result<(), Error> {
    if span.offset < 0 {
        let context = format!("span number {number} with offset {}: ", span.offset);
        return Err(Error::new(ErrorKind::SpanNegativeOffset, context));
    }
    Ok(())
}

fn check_bucket_count<T>(side: &Side<T>) -> Result<(), Error> {
    let need: u64 = side.spans.iter().map(|span| u64::from(span.length)).sum();
    let have = side.buckets.len();
    if need != have as u64 {
        let context = format!("spans need {need} buckets, have {have} buckets: ");
        return Err(Error::new(ErrorKind::SpansBucketsMismatch, context));
    }
    Ok(())
}

fn check_custom<T>(bounds: &[f64], positive: &Side<T>) -> Result<(), Error> {
    check_custom_bounds(bounds, positive).map_err(|error| error.within("custom buckets"))
}

fn check_custom_bounds<T>(bounds: &[f64], positive: &Side<T>) -> Result<(), Error> {
    let mut previous = f64::NEG_INFINITY;
    for (position, &bound) in bounds.iter().enumerate() {
        if bound.is_nan() {
            return Err(ErrorKind::CustomBucketsNan.into());
        }
        if position > 0 && bound <= previous {
            let (previous, bound) = (fixed(previous), fixed(bound));
            let context = format!("previous bound is {previous} and current is {bound}: ");
            return Err(Error::new(ErrorKind::CustomBucketsInvalid, context));
        }
        previous = bound;
    }
    if previous == f64::INFINITY {
        let context = "last +Inf bound must not be explicitly defined: ";
        return Err(Error::new(ErrorKind::CustomBucketsInfinite, context));
    }
    for (number, span) in (1..).zip(&positive.spans) {
        check_offset(number, span)?;
    }
    check_bucket_count(positive)?;
    let covered: i64 =
        positive.spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum();
    if (bounds.len() as i64) + 1 < covered {
        let context = format!(
            "only {} custom bounds defined which is insufficient to cover total span length of \
             {covered}: ",
            bounds.len()
        );
        return Err(Error::new(ErrorKind::CustomBucketsMismatch, context));
    }
    Ok(())
}

fn check_no_zero_bucket(populated: bool, threshold: f64) -> Result<(), Error> {
    if populated {
        return Err(ErrorKind::CustomBucketsZeroCount.into());
    }
    if threshold != 0.0 {
        return Err(ErrorKind::CustomBucketsZeroThreshold.into());
    }
    Ok(())
}

fn check_no_negative_side<T>(negative: &Side<T>) -> Result<(), Error> {
    if !negative.spans.is_empty() {
        return Err(ErrorKind::CustomBucketsNegativeSpans.into());
    }
    if !negative.buckets.is_empty() {
        return Err(ErrorKind::CustomBucketsNegativeBuckets.into());
    }
    Ok(())
}

fn check_counts(counts: &[f64]) -> Result<(), Error> {
    match counts.iter().position(|count| *count < 0.0) {
        None => Ok(()),
        Some(position) => Err(negative_count(position, GoFloat(counts[position]))),
    }
}

/// The sum of counts that are written as differences.
fn sum_of_deltas(deltas: &[i64]) -> Result<u64, Error> {
    let (mut count, mut sum) = (0i64, 0u64);
    for (position, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        if count < 0 {
            return Err(negative_count(position, count));
        }
        sum = sum.wrapping_add(count as u64);
    }
    Ok(sum)
}

fn negative_count(position: usize, count: impl Display) -> Error {
    let context = format!("bucket number {} has observation count of {count}: ", position + 1);
    Error::new(ErrorKind::NegativeBucketCount, context)
}

/// As Go's `%f`.
fn fixed(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { GoFloat(value).to_string() }
}
