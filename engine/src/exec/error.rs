//! Why an evaluation ended without a result.

use std::fmt;

use crate::model::SourceError;
use crate::model::source::Interrupted;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecError {
    /// More samples at once than the query may hold.
    TooManySamples,
    /// More memory at once than the query may take.
    TooManyBytes {
        bytes_max: usize,
    },
    TimedOut,
    Canceled,
    /// The expression meets data for which it has no value: Prometheus's text.
    Evaluation(String),
    /// A source could not be read, or a shard could not be asked.
    Storage(String),
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExecError::TooManySamples => f.write_str(
                "query processing would load too many samples into memory in query execution",
            ),
            ExecError::TooManyBytes { bytes_max } => write!(
                f,
                "query processing would take more than {bytes_max} bytes of memory in query \
                 execution"
            ),
            ExecError::TimedOut => f.write_str("query timed out in expression evaluation"),
            ExecError::Canceled => f.write_str("query was canceled in expression evaluation"),
            ExecError::Evaluation(message) | ExecError::Storage(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ExecError {}

impl From<Interrupted> for ExecError {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::TimedOut => ExecError::TimedOut,
            Interrupted::Canceled => ExecError::Canceled,
        }
    }
}

impl From<SourceError> for ExecError {
    fn from(error: SourceError) -> Self {
        ExecError::Storage(error.message)
    }
}

/// The refusal of rows that would have the same labels at the same time.
pub fn same_labelset() -> ExecError {
    ExecError::Evaluation("vector cannot contain metrics with the same labelset".to_owned())
}
