//! What became of a sample.
//!
//! Source: Prometheus `tsdb/head_append.go`, `memSeries.appendable`, and `storage/interface.go` for
//! the texts; `storage/remote/write_handler.go` for the bound in the future.

use std::fmt;

/// What became of one sample. All but the first three refuse it; none is an error of ours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    Accepted,
    /// Accepted out of order: the window of late samples reaches back to it.
    Late,
    /// The newest sample again, bit for bit: a retry. Nothing to store.
    Repeated,
    /// The newest timestamp with another value.
    Duplicate {
        existing: f64,
        new: f64,
    },
    /// The timestamp of the newest sample, which is a native histogram.
    DuplicateOfHistogram {
        new: f64,
    },
    /// A native histogram with the timestamp of the newest sample, which is another.
    DuplicateHistogram,
    /// A native histogram that is none: [`crate::model::HistogramSample::validate`] says why.
    InvalidHistogram,
    /// Older than the series' newest.
    OutOfOrder,
    /// Older than the head takes any more.
    OutOfBounds,
    /// Older than the out-of-order window reaches back.
    TooOld,
    /// Newer than the caller's clock allows.
    TooFarInFuture,
    /// The series is new and the shard has as many as it may.
    SeriesLimit,
    /// A new series, while the process has no memory left for one.
    MemoryLimit,
    /// The series is new and its label set is longer than a series may have.
    LabelsTooLong,
}

impl Verdict {
    /// Whether the sender was right to send it.
    pub fn is_success(self) -> bool {
        matches!(self, Verdict::Accepted | Verdict::Late | Verdict::Repeated)
    }
}

/// The text in Prometheus's words. A duplicate's needs the timestamp: see
/// [`Refusal`] and `net`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Accepted => "accepted",
            Verdict::Late => "accepted out of order",
            Verdict::Repeated => "repeated",
            Verdict::Duplicate { .. }
            | Verdict::DuplicateOfHistogram { .. }
            | Verdict::DuplicateHistogram => "duplicate sample for timestamp",
            Verdict::InvalidHistogram => "invalid native histogram",
            Verdict::OutOfOrder => "out of order sample",
            Verdict::OutOfBounds => "out of bounds",
            Verdict::TooOld => "too old sample",
            Verdict::TooFarInFuture => "out of bounds: timestamp is too far in the future",
            Verdict::SeriesLimit => "series limit of the shard reached",
            Verdict::MemoryLimit => {
                "memory limit reached: no new series are taken, known ones go on"
            }
            Verdict::LabelsTooLong => "label set too long",
        })
    }
}

/// A sample that was not stored, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal {
    /// Index into the batch's sample columns, or into those of its histograms.
    pub sample: u32,
    pub verdict: Verdict,
}
