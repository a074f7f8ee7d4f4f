//! Native histograms: sparse, with exponential buckets or with custom bounds.
//!
//! ```text
//! bucket i of schema s, positive side: (2^((i-1)/2^s), 2^(i/2^s)]     negative side: mirrored
//! zero bucket: [-zero_threshold, zero_threshold]
//! custom bounds (schema -53): bucket i is (bound[i-1], bound[i]], the last is open
//!
//! spans    (offset, length)*   which buckets are there: a gap, then a run
//! buckets  one number for each bucket of the runs
//! ```
//!
//! [`FloatHistogram`] holds counts as floats, absolute: PromQL computes with it. [`Histogram`]
//! holds whole counts, as differences from bucket to bucket: what is scraped and stored.
//!
//! A histogram is data that others made: nothing here panics on spans that do not fit the
//! buckets; [`FloatHistogram::validate`] says what is wrong with them.
//!
//! Source: Prometheus `model/histogram`; arithmetic to the bit, merging of spans by its own way.

mod arithmetic;
mod bounds;
mod bucket;
mod compact;
mod error;
mod float;
mod integer;
mod kahan;
mod merge;
mod reset;
mod sample;
mod side;
mod text;
mod trim;
mod validate;
mod zero;

#[cfg(test)]
mod tests;

pub use arithmetic::Merged;
pub use bucket::{Bucket, log2};
pub use error::{Error, ErrorKind};
pub use float::FloatHistogram;
pub use integer::Histogram;
pub use kahan::{Compensation, kahan_inc};
pub use sample::HistogramSample;
pub use side::{Side, Span};
pub use text::Whole;
pub use trim::Keep;

/// Finest schema that is computed with. Finer ones up to [`SCHEMA_RESERVED_MAX`] are read, and
/// reduced to it.
pub const SCHEMA_MAX: i32 = 8;
pub const SCHEMA_MIN: i32 = -4;
pub const SCHEMA_RESERVED_MAX: i32 = 52;
pub const SCHEMA_RESERVED_MIN: i32 = -9;

/// The schema of histograms with custom bounds.
pub const SCHEMA_CUSTOM: i32 = -53;

/// Whether buckets of `schema` grow exponentially, in a resolution that is computed with.
pub fn is_exponential_schema(schema: i32) -> bool {
    (SCHEMA_MIN..=SCHEMA_MAX).contains(&schema)
}

/// Whether `schema` is understood, though perhaps only after a reduction.
pub fn is_known_schema(schema: i32) -> bool {
    schema == SCHEMA_CUSTOM || (SCHEMA_RESERVED_MIN..=SCHEMA_RESERVED_MAX).contains(&schema)
}

/// What is known about resets between a histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CounterReset {
    /// Nothing: compare the buckets.
    #[default]
    Unknown = 0,
    /// The counter was reset just before this histogram.
    Reset = 1,
    /// The counter was not reset.
    NotReset = 2,
    /// A gauge, which knows no resets.
    Gauge = 3,
}
