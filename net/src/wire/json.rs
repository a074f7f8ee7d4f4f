//! Pieces of query results as JSON, byte for byte as Prometheus's API writes them.
//!
//! Labels are escaped as JSON demands and no further; other texts of an answer have Go's extra
//! escapes for HTML ([`push_html_text`]). A value stands in quotes, a timestamp in seconds with
//! either no or three decimals.
//!
//! Each function appends to the caller's buffer; structure (brackets, commas between results) is
//! the caller's.
//!
//! Source: Prometheus `web/api/v1/json_codec.go`, `util/jsonutil/marshal.go`; json-iterator
//! `stream_str.go`. Checked against a running Prometheus.

use engine::model::{FloatHistogram, LabelsRef};

use super::float;

/// Which bytes stand as they are, between the quotes of a string.
const PLAIN: u8 = 1;
/// Which of them stand as they are where HTML is escaped too.
const PLAIN_IN_HTML: u8 = 2;

static PLAIN_BYTES: [u8; 256] = {
    let mut table = [PLAIN | PLAIN_IN_HTML; 256];
    let mut byte = 0;
    while byte < 256 {
        if byte < 0x20 || byte as u8 == b'"' || byte as u8 == b'\\' {
            table[byte] = 0;
        }
        byte += 1;
    }
    table[b'<' as usize] = PLAIN;
    table[b'>' as usize] = PLAIN;
    table[b'&' as usize] = PLAIN;
    table
};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A label's name or value in quotes. Bytes that are not UTF-8 pass, as in Prometheus: names and
/// values are checked when they come in.
pub fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    push_escaped(out, text, PLAIN);
    out.push(b'"');
}

/// Any other text in quotes: `<`, `>`, `&`, U+2028 and U+2029 are escaped, what is not UTF-8 is
/// replaced.
pub fn push_html_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        // The two separators are the only characters beyond ASCII that Go escapes.
        while let Some(at) = rest.find(['\u{2028}', '\u{2029}']) {
            push_escaped(out, &rest.as_bytes()[..at], PLAIN_IN_HTML);
            out.extend_from_slice(if rest[at..].starts_with('\u{2028}') {
                b"\\u2028"
            } else {
                b"\\u2029"
            });
            rest = &rest[at + '\u{2028}'.len_utf8()..];
        }
        push_escaped(out, rest.as_bytes(), PLAIN_IN_HTML);
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

/// Copies runs of plain bytes, escapes the others.
fn push_escaped(out: &mut Vec<u8>, text: &[u8], plain: u8) {
    let mut rest = text;
    loop {
        let is_special = |&byte: &u8| PLAIN_BYTES[usize::from(byte)] & plain == 0;
        let Some(at) = rest.iter().position(is_special) else { break };
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// `{"name":"value",…}`
pub fn push_labels(out: &mut Vec<u8>, labels: LabelsRef<'_>) {
    out.push(b'{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text(out, name);
        out.push(b':');
        push_text(out, value);
    }
    out.push(b'}');
}

/// A sample's value: a number in quotes.
pub fn push_value(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    push_number(out, value);
    out.push(b'"');
}

/// Digits, or with an exponent below 1e-6 and from 1e21 on. What is not finite is no JSON unless in
/// quotes.
pub fn push_number(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        float::push_e(out, value);
    } else {
        float::push_f(out, value);
    }
}

/// Milliseconds as seconds: `12`, `12.050`, `-0.001`.
pub fn push_timestamp(out: &mut Vec<u8>, timestamp_ms: i64) {
    if timestamp_ms < 0 {
        out.push(b'-');
    }
    let magnitude = timestamp_ms.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(magnitude / 1000).as_bytes());
    let fraction = magnitude % 1000;
    if fraction != 0 {
        let digit = |unit: u64| b'0' + (fraction / unit % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

/// `[12.050,"1.5"]`
pub fn push_point(out: &mut Vec<u8>, timestamp_ms: i64, value: f64) {
    out.push(b'[');
    push_timestamp(out, timestamp_ms);
    out.push(b',');
    push_value(out, value);
    out.push(b']');
}

/// `[12.050,{"count":"3","sum":"1.5","buckets":[[0,"0.5","1","3"]]}]`
pub fn push_histogram_point(out: &mut Vec<u8>, timestamp_ms: i64, histogram: &FloatHistogram) {
    out.push(b'[');
    push_timestamp(out, timestamp_ms);
    out.push(b',');
    push_histogram(out, histogram);
    out.push(b']');
}

/// A native histogram with its populated buckets, upwards. A bucket begins with a number that says
/// which of its bounds belong to it: 0 the upper one, 1 the lower one, 2 none, 3 both.
pub fn push_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    out.extend_from_slice(b"{\"count\":");
    push_value(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    push_value(out, histogram.sum);
    let mut opening = &b",\"buckets\":["[..];
    for bucket in histogram.all_buckets().filter(|bucket| bucket.count != 0.0) {
        out.extend_from_slice(opening);
        opening = b",";
        out.push(b'[');
        out.push(match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        });
        for number in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            push_value(out, number);
        }
        out.push(b']');
    }
    if opening == b"," {
        out.push(b']');
    }
    out.push(b'}');
}

/// An element of an instant query's vector.
pub fn push_sample(out: &mut Vec<u8>, labels: LabelsRef<'_>, timestamp_ms: i64, value: f64) {
    out.extend_from_slice(b"{\"metric\":");
    push_labels(out, labels);
    out.extend_from_slice(b",\"value\":");
    push_point(out, timestamp_ms, value);
    out.push(b'}');
}

/// An element of a range query's matrix.
///
/// Shapes: `timestamps_ms` and `values` hold one element a point.
///
/// # Panics
///
/// On unequal lengths.
pub fn push_series(
    out: &mut Vec<u8>,
    labels: LabelsRef<'_>,
    timestamps_ms: &[i64],
    values: &[f64],
) {
    assert!(timestamps_ms.len() == values.len());
    out.extend_from_slice(b"{\"metric\":");
    push_labels(out, labels);
    for (index, (&timestamp_ms, &value)) in timestamps_ms.iter().zip(values).enumerate() {
        out.extend_from_slice(if index == 0 { b",\"values\":[" } else { b"," });
        push_point(out, timestamp_ms, value);
    }
    if !values.is_empty() {
        out.push(b']');
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use engine::model::Labels;
    use engine::model::histogram::{SCHEMA_CUSTOM, Side, Span};
    use proptest::prelude::*;

    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check_text(input: &str, label: &str, other: &str) {
        assert_eq!(text(|out| push_text(out, input.as_bytes())), label);
        assert_eq!(text(|out| push_html_text(out, input.as_bytes())), other);
    }

    /// As a Prometheus answered for a label of this value, and for the label's list of values.
    #[test]
    fn texts_are_escaped_as_prometheus_escapes_them() {
        check_text(
            "<&>\"\u{2028}\u{2029} \\ \t\u{1}\u{7f}é😀\n\u{8}\u{c}\r/",
            "\"<&>\\\"\u{2028}\u{2029} \\\\ \\t\\u0001\u{7f}é😀\\n\\u0008\\u000c\\r/\"",
            "\"\\u003c\\u0026\\u003e\\\"\\u2028\\u2029 \\\\ \\t\\u0001\u{7f}é😀\\n\\u0008\\u000c\\r/\"",
        );
        check_text("", "\"\"", "\"\"");
        assert_eq!(text(|out| push_html_text(out, b"a\xffb")), "\"a\\ufffdb\"");
    }

    #[track_caller]
    fn check_value(value: f64, expected: &str) {
        assert_eq!(text(|out| push_value(out, value)), format!("\"{expected}\""));
    }

    /// As a Prometheus answered for samples of these values.
    #[test]
    fn values_are_written_as_prometheus_writes_them() {
        check_value(1e-7, "1e-07");
        check_value(1e-6, "0.000001");
        check_value(0.000001234, "0.000001234");
        check_value(1e20, "100000000000000000000");
        check_value(999999999999999999999.0, "1e+21");
        check_value(1e22, "1e+22");
        check_value(123456789012345678.0, "123456789012345680");
        check_value(9007199254740993.0, "9007199254740992");
        check_value(1533979136307259.2, "1533979136307259.2");
        check_value(0.1, "0.1");
        check_value(-12.5, "-12.5");
        check_value(100.0, "100");
        check_value(-0.0, "-0");
        check_value(5e-324, "5e-324");
        check_value(f64::MAX, "1.7976931348623157e+308");
        check_value(f64::NAN, "NaN");
        check_value(f64::INFINITY, "+Inf");
        check_value(f64::NEG_INFINITY, "-Inf");
    }

    #[track_caller]
    fn check_timestamp(timestamp_ms: i64, expected: &str) {
        assert_eq!(text(|out| push_timestamp(out, timestamp_ms)), expected);
    }

    #[test]
    fn timestamps_have_three_decimals_or_none() {
        check_timestamp(0, "0");
        check_timestamp(1000, "1");
        check_timestamp(1500, "1.500");
        check_timestamp(1050, "1.050");
        check_timestamp(1001, "1.001");
        check_timestamp(-1, "-0.001");
        check_timestamp(-2500, "-2.500");
        check_timestamp(1795220582870, "1795220582.870");
        check_timestamp(i64::MIN, "-9223372036854775.808");
    }

    #[test]
    fn results_have_prometheus_form() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
        assert_eq!(
            text(|out| push_sample(out, labels.as_ref(), 1500, 1.0)),
            r#"{"metric":{"__name__":"up","job":"a"},"value":[1.500,"1"]}"#
        );
        assert_eq!(
            text(|out| push_series(out, labels.as_ref(), &[0, 1000], &[1.0, f64::NAN])),
            r#"{"metric":{"__name__":"up","job":"a"},"values":[[0,"1"],[1,"NaN"]]}"#
        );
        assert_eq!(text(|out| push_series(out, LabelsRef::EMPTY, &[], &[])), r#"{"metric":{}}"#);
    }

    #[test]
    fn histograms_show_their_populated_buckets() {
        let side = |offset, buckets: &[f64]| Side {
            spans: vec![Span { offset, length: buckets.len() as u32 }],
            buckets: buckets.to_vec(),
        };
        let exponential = FloatHistogram {
            count: 12.5,
            sum: -3.0,
            zero_count: 2.0,
            zero_threshold: 0.25,
            positive: side(0, &[1.0, 0.0, 3.5]),
            negative: side(1, &[6.0]),
            ..FloatHistogram::default()
        };
        assert_eq!(
            text(|out| push_histogram_point(out, 1500, &exponential)),
            r#"[1.500,{"count":"12.5","sum":"-3","buckets":[[1,"-2","-1","6"],[3,"-0.25","0.25","2"],[0,"0.5","1","1"],[0,"2","4","3.5"]]}]"#
        );
        let custom = FloatHistogram {
            schema: SCHEMA_CUSTOM,
            count: 3.0,
            sum: f64::NAN,
            positive: side(0, &[1.0, 2.0]),
            custom_bounds: [5.0].into(),
            ..FloatHistogram::default()
        };
        assert_eq!(
            text(|out| push_histogram(out, &custom)),
            r#"{"count":"3","sum":"NaN","buckets":[[3,"-Inf","5","1"],[0,"5","+Inf","2"]]}"#
        );
        assert_eq!(
            text(|out| push_histogram(out, &FloatHistogram::default())),
            r#"{"count":"0","sum":"0"}"#
        );
    }

    proptest! {
        #[test]
        fn any_text_reads_back(input in any::<String>()) {
            for push in [push_text, push_html_text] {
                let json = text(|out| push(out, input.as_bytes()));
                prop_assert_eq!(&serde_json::from_str::<String>(&json).unwrap(), &input);
            }
        }

        #[test]
        fn any_value_reads_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let json = text(|out| push_value(out, value));
            let back: f64 = json.trim_matches('"').parse().unwrap();
            prop_assert_eq!(back.to_bits(), bits);
        }
    }
}
