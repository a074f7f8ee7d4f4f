//! The result of a query as JSON, and its writing series by series as the client reads.
//!
//! Source: Prometheus `web/api/v1/json_codec.go`, `util/jsonutil/marshal.go`.

use std::ops::Range;

use engine::exec::Value;

use crate::http::Pull;
use crate::wire::json::{
    push_histogram_point, push_html_text, push_labels, push_point, push_timestamp, push_value,
};
use crate::wire::points::PointHeads;

/// Bytes after which a pull returns, between two series.
const PULL_BYTES: usize = 16 * 1024;

/// `{"resultType":…,"result":…}` with the first `row_count` rows of a value.
pub struct ValueText {
    value: Value,
    row_count: usize,
    /// The `stats` field, if it was asked for.
    stats: Option<Vec<u8>>,
    /// Of a matrix.
    heads: PointHeads,
}

impl ValueText {
    pub fn new(value: Value, row_count: usize, stats: Option<Vec<u8>>) -> ValueText {
        let heads = match &value {
            Value::Matrix { grid, .. } => PointHeads::new(grid.times_ms()),
            _ => PointHeads::default(),
        };
        ValueText { value, row_count, stats, heads }
    }

    /// Rows that [`ValueText::push_rows`] writes; none of a scalar or a string, which stand whole
    /// in what [`ValueText::open`] writes.
    pub fn row_count(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } | Value::String { .. } => 0,
            _ => self.row_count,
        }
    }

    /// Points that a row can have, where all rows are alike.
    pub fn row_points(&self) -> Option<usize> {
        match &self.value {
            Value::Vector { .. } => Some(1),
            Value::Matrix { grid, .. } => Some(grid.step_count),
            _ => None,
        }
    }

    /// What stands before the rows.
    pub fn open(&self, out: &mut Vec<u8>) {
        let kind = match &self.value {
            Value::Scalar { .. } => "scalar",
            Value::String { .. } => "string",
            Value::Vector { .. } => "vector",
            Value::Matrix { .. } | Value::Ranges(_) => "matrix",
        };
        out.extend_from_slice(br#"{"resultType":""#);
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(br#"","result":["#);
        match &self.value {
            Value::Scalar { timestamp_ms, value } => {
                push_timestamp(out, *timestamp_ms);
                out.push(b',');
                push_value(out, *value);
            }
            Value::String { timestamp_ms, value } => {
                push_timestamp(out, *timestamp_ms);
                out.push(b',');
                push_html_text(out, value.as_bytes());
            }
            Value::Vector { .. } | Value::Matrix { .. } | Value::Ranges(_) => {}
        }
    }

    /// Some rows, with the commas before them.
    pub fn push_rows(&self, rows: Range<usize>, out: &mut Vec<u8>) {
        for row in rows {
            if row > 0 {
                out.push(b',');
            }
            self.push_row(row, out);
        }
    }

    fn push_row(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"metric":"#);
        push_labels(out, self.value.labels(row));
        let is_vector = matches!(self.value, Value::Vector { .. });
        if let Value::Matrix { rows, .. } = &self.value {
            self.heads.push_floats(out, br#","values":"#, rows.row(row));
        } else {
            let mut list = List::new(is_vector, [br#","value":"#, br#","values":["#]);
            self.value.for_each_point(row, |time_ms, value| {
                list.begin_next(out);
                push_point(out, time_ms, value);
            });
            list.end(out);
        }
        let mut list = List::new(is_vector, [br#","histogram":"#, br#","histograms":["#]);
        self.value.for_each_histogram(row, |time_ms, histogram| {
            list.begin_next(out);
            push_histogram_point(out, time_ms, histogram);
        });
        list.end(out);
        out.push(b'}');
    }

    /// What stands behind the rows.
    pub fn close(&self, out: &mut Vec<u8>) {
        out.push(b']');
        if let Some(stats) = &self.stats {
            out.extend_from_slice(br#","stats":"#);
            out.extend_from_slice(stats);
        }
        out.push(b'}');
    }
}

/// Points of a row: of a vector it has one at most. A row has floats, histograms or both; what it has
/// none of is not named.
struct List {
    opening: &'static [u8],
    closing: &'static [u8],
    is_begun: bool,
}

impl List {
    fn new(is_vector: bool, [single, many]: [&'static [u8]; 2]) -> List {
        let (opening, closing): (_, &[u8]) = if is_vector { (single, b"") } else { (many, b"]") };
        List { opening, closing, is_begun: false }
    }

    fn begin_next(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_begun { b"," } else { self.opening });
        self.is_begun = true;
    }

    fn end(self, out: &mut Vec<u8>) {
        if self.is_begun {
            out.extend_from_slice(self.closing);
        }
    }
}

/// Writes a value row by row as the client reads.
pub struct ValueBody {
    text: ValueText,
    next_row: usize,
    opened: bool,
}

impl ValueBody {
    pub fn new(text: ValueText) -> ValueBody {
        ValueBody { text, next_row: 0, opened: false }
    }
}

impl Pull for ValueBody {
    fn pull(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.opened {
            self.opened = true;
            self.text.open(out);
        }
        let start = out.len();
        while self.next_row < self.text.row_count() {
            self.text.push_rows(self.next_row..self.next_row + 1, out);
            self.next_row += 1;
            if out.len() - start > PULL_BYTES && self.next_row < self.text.row_count() {
                return true;
            }
        }
        self.text.close(out);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::exec::Matrix;
    use engine::exec::row::Row;
    use engine::model::{FloatHistogram, LabelsRef};
    use engine::plan::Grid;

    use super::*;

    #[track_caller]
    fn check(value: Value, row_count: usize, expected: &str) {
        let mut body = ValueBody::new(ValueText::new(value, row_count, None));
        let mut out = vec![];
        while body.pull(&mut out) {}
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    /// Rows of a step or two: floats by value, a histogram of that count where it is named.
    fn rows(steps: &[&[Result<f64, f64>]]) -> Matrix {
        let mut rows = Matrix::new(steps[0].len());
        for points in steps {
            let mut row = Row::default();
            row.reset(points.len());
            for (step, point) in points.iter().enumerate() {
                match point {
                    Ok(value) => row.set(step, *value),
                    Err(count) => {
                        let histogram =
                            FloatHistogram { count: *count, ..FloatHistogram::default() };
                        row.set_histogram(step, Arc::new(histogram));
                    }
                }
            }
            rows.push_row(LabelsRef::EMPTY, false, row.as_ref());
        }
        rows
    }

    #[test]
    fn floats_and_histograms_have_keys_of_their_own() {
        check(
            Value::Vector { timestamp_ms: 1000, rows: rows(&[&[Ok(2.0)], &[Err(3.0)]]) },
            2,
            r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"2"]},{"metric":{},"histogram":[1,{"count":"3","sum":"0"}]}]}"#,
        );
        let grid = Grid::new(0, 1000, 1000);
        check(
            Value::Matrix { grid, rows: rows(&[&[Ok(2.0), Err(3.0)], &[Err(3.0), Err(4.0)]]) },
            2,
            r#"{"resultType":"matrix","result":[{"metric":{},"values":[[0,"2"]],"histograms":[[1,{"count":"3","sum":"0"}]]},{"metric":{},"histograms":[[0,{"count":"3","sum":"0"}],[1,{"count":"4","sum":"0"}]]}]}"#,
        );
    }

    #[test]
    fn scalars_and_strings() {
        check(
            Value::Scalar { timestamp_ms: 1_435_781_451_781, value: 0.5 },
            1,
            r#"{"resultType":"scalar","result":[1435781451.781,"0.5"]}"#,
        );
        check(
            Value::String { timestamp_ms: 1000, value: "<a>\"".into() },
            1,
            r#"{"resultType":"string","result":[1,"\u003ca\u003e\""]}"#,
        );
    }
}
