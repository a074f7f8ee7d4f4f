//! The nouns of the field: label sets and their hash, matchers, samples, histograms, batches.

pub mod batch;
pub mod float;
pub mod go_float;
pub mod histogram;
pub mod known;
pub mod label_keys;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod quote;
pub mod sample;
pub mod series;
pub mod source;

pub use batch::{Batch, Exemplar};
pub use histogram::{FloatHistogram, Histogram, HistogramSample};
pub use known::KnownSamples;
pub use label_keys::{KeptLabels, LabelKeys};
pub use labels::{Labels, LabelsBuilder, LabelsRef};
pub use matcher::{MatchOp, Matcher};
pub use metadata::MetricType;
pub use sample::{STALE_NAN_BITS, has_stale_nan, is_stale_nan};
pub use series::SeriesId;
pub use source::{Samples, Selection, Source, SourceError, TimeRange};
