//! What a query answers.

use crate::model::{FloatHistogram, LabelsRef};
use crate::plan::Grid;

use super::annotations::Annotations;
use super::matrix::Matrix;
use super::ranges::Ranges;
use super::stats::SampleStats;

#[derive(Clone, Debug)]
pub struct Outcome {
    pub value: Value,
    pub annotations: Annotations,
    pub stats: SampleStats,
}

/// A value of the query language, in the order in which it is shown.
#[derive(Clone, Debug)]
pub enum Value {
    Scalar {
        timestamp_ms: i64,
        value: f64,
    },
    String {
        timestamp_ms: i64,
        value: String,
    },
    /// An instant vector: the matrix has one step.
    Vector {
        timestamp_ms: i64,
        rows: Matrix,
    },
    /// A range query's answer, or a subquery's.
    Matrix {
        grid: Grid,
        rows: Matrix,
    },
    /// A range vector's samples at their own times.
    Ranges(Ranges),
}

impl Value {
    /// Rows of a vector or matrix; 1 of a scalar or string.
    pub fn row_count(&self) -> usize {
        match self {
            Value::Scalar { .. } | Value::String { .. } => 1,
            Value::Vector { rows, .. } | Value::Matrix { rows, .. } => rows.row_count(),
            Value::Ranges(ranges) => ranges.row_count(),
        }
    }

    /// Labels of a row of a vector or matrix.
    pub fn labels(&self, row: usize) -> LabelsRef<'_> {
        match self {
            Value::Scalar { .. } | Value::String { .. } => LabelsRef::EMPTY,
            Value::Vector { rows, .. } | Value::Matrix { rows, .. } => rows.labels(row),
            Value::Ranges(ranges) => ranges.labels(row),
        }
    }

    /// Calls `f` with the time and value of every float of a row, ascending by time.
    pub fn for_each_point(&self, row: usize, mut f: impl FnMut(i64, f64)) {
        match self {
            Value::Scalar { timestamp_ms, value } => f(*timestamp_ms, *value),
            Value::String { .. } => {}
            Value::Vector { timestamp_ms, rows } => {
                if rows.histograms(row).is_empty() {
                    f(*timestamp_ms, rows.values(row)[0]);
                }
            }
            Value::Matrix { grid, rows } => {
                rows.row(row).for_each_float(|step, value| f(grid.time_ms(step), value));
            }
            Value::Ranges(ranges) => {
                let (times_ms, values) = ranges.points(row);
                times_ms.iter().zip(values).for_each(|(&time_ms, &value)| f(time_ms, value));
            }
        }
    }

    /// As [`Value::for_each_point`], of native histograms.
    pub fn for_each_histogram(&self, row: usize, mut f: impl FnMut(i64, &FloatHistogram)) {
        match self {
            Value::Scalar { .. } | Value::String { .. } => {}
            Value::Vector { timestamp_ms, rows } => {
                rows.histograms(row).iter().for_each(|(_, histogram)| f(*timestamp_ms, histogram));
            }
            Value::Matrix { grid, rows } => {
                rows.histograms(row)
                    .iter()
                    .for_each(|(step, histogram)| f(grid.time_ms(step), histogram));
            }
            Value::Ranges(ranges) => {
                let (times_ms, histograms) = ranges.histograms(row);
                times_ms.iter().zip(histograms).for_each(|(&time_ms, h)| f(time_ms, h));
            }
        }
    }
}
