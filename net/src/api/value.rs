//! The result of a query as JSON, written series by series as the client reads.
//!
//! Source: Prometheus `web/api/v1/json_codec.go`, `util/jsonutil/marshal.go`.

use engine::exec::Value;

use crate::http::Pull;
use crate::wire::float::{push_e, push_f};

use super::json::{Json, push_text};

/// Bytes after which a pull returns, between two series.
const PULL_BYTES: usize = 16 * 1024;

/// `{"resultType":…,"result":…}` with the first `row_count` rows of a value.
pub struct ValueBody {
    value: Value,
    row_count: usize,
    next_row: usize,
    opened: bool,
    /// The `stats` field, if it was asked for.
    stats: Option<Vec<u8>>,
}

impl ValueBody {
    pub fn new(value: Value, row_count: usize, stats: Option<Vec<u8>>) -> ValueBody {
        ValueBody { value, row_count, next_row: 0, opened: false, stats }
    }

    fn open(&mut self, out: &mut Vec<u8>) {
        self.opened = true;
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
                push_time(out, *timestamp_ms);
                out.push(b',');
                push_value(out, *value);
            }
            Value::String { timestamp_ms, value } => {
                push_time(out, *timestamp_ms);
                out.push(b',');
                push_text(out, value.as_bytes(), true);
            }
            Value::Vector { .. } | Value::Matrix { .. } | Value::Ranges(_) => return,
        }
        self.next_row = self.row_count;
    }

    fn push_row(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"metric":"#);
        Json::new(out).labels(self.value.labels(row));
        let is_vector = matches!(self.value, Value::Vector { .. });
        out.extend_from_slice(if is_vector { br#","value":"# } else { br#","values":["# });
        let mut is_first = true;
        self.value.for_each_point(row, |time_ms, value| {
            out.extend_from_slice(if is_first { b"[" } else { b",[" });
            is_first = false;
            push_time(out, time_ms);
            out.push(b',');
            push_value(out, value);
            out.push(b']');
        });
        out.extend_from_slice(if is_vector { b"}" } else { b"]}" });
    }

    fn close(&self, out: &mut Vec<u8>) {
        out.push(b']');
        if let Some(stats) = &self.stats {
            out.extend_from_slice(br#","stats":"#);
            out.extend_from_slice(stats);
        }
        out.push(b'}');
    }
}

impl Pull for ValueBody {
    fn pull(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.opened {
            self.open(out);
        }
        let start = out.len();
        while self.next_row < self.row_count {
            if self.next_row > 0 {
                out.push(b',');
            }
            self.push_row(self.next_row, out);
            self.next_row += 1;
            if out.len() - start > PULL_BYTES && self.next_row < self.row_count {
                return true;
            }
        }
        self.close(out);
        false
    }
}

/// Unix seconds with up to three decimals.
pub fn push_time(out: &mut Vec<u8>, time_ms: i64) {
    if time_ms < 0 {
        out.push(b'-');
    }
    let (seconds, ms) = (time_ms.unsigned_abs() / 1000, time_ms.unsigned_abs() % 1000);
    out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
    if ms > 0 {
        out.push(b'.');
        for digit in [ms / 100, ms / 10 % 10, ms % 10] {
            out.push(b'0' + digit as u8);
        }
    }
}

/// A sample's value, in quotes.
pub fn push_value(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    let magnitude = value.abs();
    let is_plain = magnitude == 0.0 || (1e-6..1e21).contains(&magnitude);
    if !is_plain && magnitude.is_finite() {
        push_e(out, value);
    } else {
        push_f(out, value);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Value, row_count: usize, expected: &str) {
        let mut body = ValueBody::new(value, row_count, None);
        let mut out = vec![];
        while body.pull(&mut out) {}
        assert_eq!(String::from_utf8(out).unwrap(), expected);
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

    #[test]
    fn times_and_values_are_written_as_prometheus_does() {
        let time = |ms| {
            let mut out = vec![];
            push_time(&mut out, ms);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            [0, 1, 20, 300, 1000, -1, -1500].map(time),
            ["0", "0.001", "0.020", "0.300", "1", "-0.001", "-1.500"]
        );
        let value = |value| {
            let mut out = vec![];
            push_value(&mut out, value);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            [0.0, -0.0, 1e-6, 1e-7, 1e20, 1e21, f64::NAN, f64::INFINITY, -f64::INFINITY].map(value),
            [
                "\"0\"",
                "\"-0\"",
                "\"0.000001\"",
                "\"1e-07\"",
                "\"100000000000000000000\"",
                "\"1e+21\"",
                "\"NaN\"",
                "\"+Inf\"",
                "\"-Inf\""
            ]
        );
    }
}
