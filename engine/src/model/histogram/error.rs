//! What is wrong with a histogram, in Prometheus's words.

use std::fmt;

use super::{SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN, SCHEMA_RESERVED_MAX, SCHEMA_RESERVED_MIN};

/// A histogram that is refused, or two that do not go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    /// The whole message, with what was found.
    message: String,
}

/// Source: Prometheus `model/histogram/generic.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    CountNotBigEnough,
    CountMismatch,
    NegativeCount,
    NegativeBucketCount,
    SpanNegativeOffset,
    SpansBucketsMismatch,
    CustomBucketsMismatch,
    CustomBucketsInvalid,
    CustomBucketsInfinite,
    CustomBucketsNan,
    CustomBucketsZeroCount,
    CustomBucketsZeroThreshold,
    CustomBucketsNegativeSpans,
    CustomBucketsNegativeBuckets,
    ExponentialSchemaCustomBounds,
    IncompatibleSchema,
    InvalidSchema,
    UnknownSchema,
}

impl ErrorKind {
    /// The message without what was found.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::CountNotBigEnough => {
                "histogram's observation count should be at least the number of observations \
                 found in the buckets"
            }
            ErrorKind::CountMismatch => {
                "histogram's observation count should equal the number of observations found in \
                 the buckets (in absence of NaN)"
            }
            ErrorKind::NegativeCount => "histogram's observation count is negative",
            ErrorKind::NegativeBucketCount => {
                "histogram has a bucket whose observation count is negative"
            }
            ErrorKind::SpanNegativeOffset => "histogram has a span whose offset is negative",
            ErrorKind::SpansBucketsMismatch => {
                "histogram spans specify different number of buckets than provided"
            }
            ErrorKind::CustomBucketsMismatch => "histogram custom bounds are too few",
            ErrorKind::CustomBucketsInvalid => {
                "histogram custom bounds must be in strictly increasing order"
            }
            ErrorKind::CustomBucketsInfinite => "histogram custom bounds must be finite",
            ErrorKind::CustomBucketsNan => "histogram custom bounds must not be NaN",
            ErrorKind::CustomBucketsZeroCount => "custom buckets: must have zero count of 0",
            ErrorKind::CustomBucketsZeroThreshold => {
                "custom buckets: must have zero threshold of 0"
            }
            ErrorKind::CustomBucketsNegativeSpans => "custom buckets: must not have negative spans",
            ErrorKind::CustomBucketsNegativeBuckets => {
                "custom buckets: must not have negative buckets"
            }
            ErrorKind::ExponentialSchemaCustomBounds => {
                "histogram with exponential schema must not have custom bounds"
            }
            ErrorKind::IncompatibleSchema => {
                "cannot apply this operation on histograms with a mix of exponential and custom \
                 bucket schemas"
            }
            ErrorKind::InvalidSchema => "histogram has an invalid schema",
            ErrorKind::UnknownSchema => "histogram has an unknown schema",
        }
    }
}

impl Error {
    /// `context` stands before the kind's own words.
    pub(super) fn new(kind: ErrorKind, context: impl fmt::Display) -> Error {
        Error { kind, message: format!("{context}{}", kind.as_str()) }
    }

    /// The buckets hold `found` observations, the histogram says `count`.
    pub(super) fn miscounted(
        kind: ErrorKind,
        found: impl fmt::Display,
        count: impl fmt::Display,
    ) -> Error {
        let context =
            format!("{found} observations found in buckets, but the Count field is {count}: ");
        Error::new(kind, context)
    }

    /// The same error found in a part of the histogram.
    pub(super) fn within(self, part: &str) -> Error {
        Error { kind: self.kind, message: format!("{part}: {}", self.message) }
    }

    /// A schema that is not computed with.
    pub fn invalid_schema(schema: i32) -> Error {
        Self::schema(ErrorKind::InvalidSchema, SCHEMA_MIN, SCHEMA_MAX, schema)
    }

    /// A schema that cannot even be reduced to one that is computed with.
    pub fn unknown_schema(schema: i32) -> Error {
        let kind = ErrorKind::UnknownSchema;
        Self::schema(kind, SCHEMA_RESERVED_MIN, SCHEMA_RESERVED_MAX, schema)
    }

    fn schema(kind: ErrorKind, min: i32, max: i32, schema: i32) -> Error {
        let message = format!(
            "{}, which must be between {min} and {max} for exponential buckets, or \
             {SCHEMA_CUSTOM} for custom buckets, got schema {schema}",
            kind.as_str()
        );
        Error { kind, message }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Error {
        Error::new(kind, "")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
