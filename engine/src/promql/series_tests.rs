//! Series descriptions as text, and what they stand for.

use super::series::{HistogramLiteral, SequenceValue, parse_series_description};

/// Labels and values as short text: `{…} 1 _ stale {histogram} run`.
fn show(text: &str) -> String {
    let (labels, values) = match parse_series_description(text) {
        Ok(parsed) => parsed,
        Err(errors) => return format!("! {errors}"),
    };
    let mut out = labels.to_string();
    for value in values {
        out.push(' ');
        match value {
            SequenceValue::Omitted => out.push('_'),
            SequenceValue::Float(value) if crate::model::is_stale_nan(value) => out += "stale",
            SequenceValue::Float(value) => out += &crate::model::float::format_f(value),
            SequenceValue::Histogram(literal) => out += &show_histogram(&literal),
            SequenceValue::HistogramRun { base, step, subtract, times } => {
                let sign = if subtract { '-' } else { '+' };
                let (base, step) = (show_histogram(&base), show_histogram(&step));
                out += &format!("{base}{sign}{step}x{times}");
            }
        }
    }
    out
}

/// The fields that are not zero.
fn show_histogram(literal: &HistogramLiteral) -> String {
    let zero = HistogramLiteral::default();
    let fields = |literal: &HistogramLiteral| {
        let text = format!("{literal:#?}");
        let lines = text.lines().map(|line| line.trim().trim_end_matches(',').to_owned());
        lines.collect::<Vec<_>>().join(" ")
    };
    if *literal == zero { "{}".into() } else { fields(literal) }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(show(text), expected);
}

#[test]
fn floats_repeat_rise_and_fall() {
    check("{} 1 2 3", "{} 1 2 3");
    check("my_metric", r#"{__name__="my_metric"}"#);
    check("", "{}");
    check(r#"a{b="c",d='e'} -1 +2"#, r#"{__name__="a", b="c", d="e"} -1 2"#);
    check(r#"{"a.b", "c d"="e"}		0+50x2"#, r#"{__name__="a.b", "c d"="e"} 0 50 100"#);
    check("sum 1x0 1+1x0 3-10x4", r#"{__name__="sum"} 1 1 3 -7 -17 -27 -37"#);
    check("a 1 _ _x3 stale 5   ", r#"{__name__="a"} 1 _ _ _ _ stale 5"#);
    check("a stale NaN Inf -Inf .5", r#"{__name__="a"} stale NaN +Inf -Inf 0.5"#);
    check("a 0x2 0x0f", "! 1:9: parse error: bad number syntax: \"0\"");
    check("a{b=\"\\u70ac\"} 1e3", "{__name__=\"a\", b=\"炬\"} 1000");
}

#[test]
fn histograms_hold_what_was_written() {
    check("{} {{}} {{ }}x1", "{} {} {} {}");
    let (_, values) = parse_series_description(
        "{} {{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5.1 10 -Inf] \
         offset:-3 n_buckets:[4.1 5] n_offset:5 custom_values:[1 NaN] counter_reset_hint:gauge}}",
    )
    .expect("a histogram");
    let [SequenceValue::Histogram(literal)] = &values[..] else { panic!("one histogram") };
    assert_eq!((literal.schema, literal.sum, literal.count), (1, -0.3, 3.1));
    assert_eq!((literal.zero_count, literal.zero_threshold), (7.1, 0.05));
    assert_eq!(
        (&literal.positive_buckets[..], literal.positive_offset),
        (&[5.1, 10.0, f64::NEG_INFINITY][..], -3)
    );
    assert_eq!((&literal.negative_buckets[..], literal.negative_offset), (&[4.1, 5.0][..], 5));
    assert!(literal.custom_values[1].is_nan());
    assert_eq!(literal.counter_reset_hint, Some(super::series::CounterResetHint::Gauge));
    let (_, values) =
        parse_series_description("{} {{sum:1}}+{{sum:2}}x3 {{sum:9}}-{{sum:1 }}x1").expect("runs");
    assert_eq!(values.iter().map(SequenceValue::count).collect::<Vec<_>>(), [4, 2]);
}

#[test]
fn wrong_descriptions_are_refused_in_prometheus_words() {
    check(
        r#"{"http.requests"xx}		0+50x2"#,
        r#"! 1:17: parse error: unexpected identifier "xx" in label set, expected "," or "}""#,
    );
    check(
        r#"{"http.requests"=, x="y"}		0+50x2"#,
        r#"! 1:18: parse error: unexpected "," in label set, expected string"#,
    );
    check(r#"{"a}		0"#, "! 1:2: parse error: unterminated quoted string");
    check("{} 1+1", "! 1:7: parse error: unexpected end of input in series values");
    check("{} 1 _a4", "! 1:7: parse error: unexpected identifier \"a4\" in series values");
    check("{} -3-3 -3", "! 1:8: parse error: unexpected \" \" in series values");
    check("{} 3+3x4-4", "! 1:9: parse error: unexpected <op:-> in series values");
    check("{} 1x99999999999", "! 1:6: parse error: more than 16777216 values in one series");
    let count =
        "invalid repetition in series values: strconv.ParseUint: parsing \"1.5\": invalid syntax";
    check("{} 1x1.5", &format!("! 1:6: parse error: {count}"));
    check("{} {{schema:1 schema:2}}", "! 1:1: parse error: duplicate key \"schema\" in histogram");
    check("{} {{foo:1}}", "! 1:6: parse error: bad histogram descriptor found: \"foo\"");
    check("{} {{sum 1}}", "! 1:6: parse error: missing `:` for histogram descriptor");
    check("{} {{sum: 1}}", "! 1:10: parse error: unexpected \" \" in series values");
    check(
        "{} {{sum:1 count:}}",
        "! 1:18: parse error: unexpected \"}}\" in histogram description, expected histogram \
         description key, e.g. buckets:[5 10 7]",
    );
    check(
        "{} {{schema:1}}+{{schema:0}}x2",
        "! 1:30: parse error: error combining histograms: cannot merge from schema 0 to 1",
    );
}
