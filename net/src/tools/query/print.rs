//! Answers of the API as text or as JSON.
//!
//! Source: prometheus/common `model/{value,metric,labelset,value_histogram}.go`.

use std::cmp::Ordering;

use engine::model::float::{format_f, format_g};
use serde_json::Value;

use crate::wire::json::push_html_text;
use crate::wire::quote::quoted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) enum Format {
    /// Like PromQL.
    Text,
    Json,
}

fn push_line(out: &mut Vec<u8>, line: &str) {
    out.extend_from_slice(line.as_bytes());
    out.push(b'\n');
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a query gave: `resultType` and `result`.
pub(in crate::tools) fn push_value(out: &mut Vec<u8>, data: &Value, format: Format) {
    let (kind, result) = (text(&data["resultType"]), &data["result"]);
    if format == Format::Json {
        return push_json(out, result);
    }
    match kind {
        "scalar" => push_line(out, &format!("scalar: {}", point(result))),
        "string" => push_line(out, text(&result[1])),
        "matrix" => {
            let mut streams: Vec<&Value> = items(result).iter().collect();
            streams.sort_by(|left, right| compare(&left["metric"], &right["metric"]));
            for stream in &streams {
                push_line(out, &format!("{} =>", metric(&stream["metric"])));
                items(&stream["values"]).iter().for_each(|one| push_line(out, &point(one)));
                let histograms = items(&stream["histograms"]).iter();
                histograms.for_each(|one| push_line(out, &histogram_point(one)));
            }
            // An empty value is an empty line.
            if streams.is_empty() {
                out.push(b'\n');
            }
        }
        _ => {
            for one in items(result) {
                let point = match one.get("histogram") {
                    Some(histogram) => histogram_point(histogram),
                    None => point(&one["value"]),
                };
                push_line(out, &format!("{} => {point}", metric(&one["metric"])));
            }
            if items(result).is_empty() {
                out.push(b'\n');
            }
        }
    }
}

/// Label sets, one a line.
pub(in crate::tools) fn push_series(out: &mut Vec<u8>, data: &Value, format: Format) {
    match format {
        Format::Json => push_json(out, data),
        Format::Text => {
            items(data).iter().for_each(|one| push_line(out, &format!("{{{}}}", pairs(one, ""))));
        }
    }
}

/// Values of a label, one a line.
pub(in crate::tools) fn push_values(out: &mut Vec<u8>, data: &Value, format: Format) {
    match format {
        Format::Json => push_json(out, data),
        Format::Text => items(data).iter().for_each(|one| push_line(out, text(one))),
    }
}

/// `a="1", b="2"`, without the label `but`.
fn pairs(labels: &Value, but: &str) -> String {
    let Some(labels) = labels.as_object() else { return String::new() };
    let kept = labels.iter().filter(|(name, _)| *name != but);
    let mut pairs: Vec<String> =
        kept.map(|(name, value)| format!("{name}={}", quoted(text(value).as_bytes()))).collect();
    pairs.sort();
    pairs.join(", ")
}

/// Fewer labels come first. Of as many, the one that lacks the least name that not both have; of the
/// same names, by their values.
fn compare(left: &Value, right: &Value) -> Ordering {
    let pairs = |labels: &Value| -> Vec<(String, String)> {
        let pair = |(name, value): (&String, &Value)| (name.clone(), text(value).to_owned());
        labels.as_object().into_iter().flatten().map(pair).collect()
    };
    let (left, right) = (pairs(left), pairs(right));
    let by_label = || {
        left.iter()
            .zip(&right)
            .map(|(left, right)| right.0.cmp(&left.0).then_with(|| left.1.cmp(&right.1)))
    };
    left.len()
        .cmp(&right.len())
        .then_with(|| by_label().find(|order| order.is_ne()).unwrap_or(Ordering::Equal))
}

/// A metric as PromQL writes it.
pub(super) fn metric(labels: &Value) -> String {
    let name = text(&labels["__name__"]);
    match pairs(labels, "__name__") {
        pairs if pairs.is_empty() && !name.is_empty() => name.to_owned(),
        pairs => format!("{name}{{{pairs}}}"),
    }
}

/// A timestamp as the model prints it.
fn stamp(value: &Value) -> String {
    value.as_f64().map(format_f).unwrap_or_default()
}

fn point(point: &Value) -> String {
    let value = text(&point[1]);
    // Go prints what it read.
    let value = value.parse().map_or_else(|_| value.to_owned(), format_f);
    format!("{value} @[{}]", stamp(&point[0]))
}

fn histogram_point(point: &Value) -> String {
    let histogram = &point[1];
    let number = |value: &Value| text(value).parse().unwrap_or(f64::NAN);
    let buckets: Vec<String> = items(&histogram["buckets"])
        .iter()
        .map(|bucket| {
            let boundaries = bucket[0].as_i64().unwrap_or_default();
            let open = if matches!(boundaries, 1 | 3) { '[' } else { '(' };
            let close = if matches!(boundaries, 0 | 3) { ']' } else { ')' };
            let (lower, upper) = (format_g(number(&bucket[1])), format_g(number(&bucket[2])));
            format!("{open}{lower},{upper}{close}:{}", format_f(number(&bucket[3])))
        })
        .collect();
    let fixed = |value: &Value| format!("{:.6}", number(value));
    format!(
        "Count: {}, Sum: {}, Buckets: [{}] @[{}]",
        fixed(&histogram["count"]),
        fixed(&histogram["sum"]),
        buckets.join(" "),
        stamp(&point[0])
    )
}

/// Fields of a sample or a series in Go's order; those of a label set by name.
const FIELDS: [&str; 5] = ["metric", "value", "values", "histogram", "histograms"];
const HISTOGRAM_FIELDS: [&str; 3] = ["count", "sum", "buckets"];

fn push_json(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => push_html_text(out, text.as_bytes()),
        Value::Array(values) => push_list(out, *b"[]", values.iter(), push_json),
        Value::Object(fields) => {
            let order = |name: &str| {
                let of = |known: &[&str]| known.iter().position(|known| *known == name);
                let is_sample = fields.contains_key("metric") && fields["metric"].is_object();
                let is_histogram = fields.contains_key("count") && fields["count"].is_string();
                match (is_sample, is_histogram) {
                    (true, _) => of(&FIELDS),
                    (_, true) => of(&HISTOGRAM_FIELDS),
                    _ => None,
                }
            };
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| (order(name).unwrap_or(usize::MAX), *name));
            push_list(out, *b"{}", fields.into_iter(), |out, (name, value)| {
                push_html_text(out, name.as_bytes());
                out.push(b':');
                push_json(out, value);
            });
        }
        plain => out.extend_from_slice(plain.to_string().as_bytes()),
    }
}

fn push_list<T>(
    out: &mut Vec<u8>,
    brackets: [u8; 2],
    items: impl Iterator<Item = T>,
    push: impl Fn(&mut Vec<u8>, T),
) {
    out.push(brackets[0]);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(brackets[1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data: &str, shown: &str, json: &str) {
        let data: Value = serde_json::from_str(data).expect("test data is JSON");
        let push = |format| {
            let mut out = Vec::new();
            push_value(&mut out, &data, format);
            String::from_utf8(out).expect("texts are UTF-8")
        };
        assert_eq!((push(Format::Text).as_str(), push(Format::Json).as_str()), (shown, json));
    }

    #[test]
    fn values_are_printed_as_promtool_prints_them() {
        let vector = r#"[{"metric":{"__name__":"up","b":"<2>","a":"1"},"value":[1.5,"3e2"]}]"#;
        check(
            &format!(r#"{{"resultType":"vector","result":{vector}}}"#),
            "up{a=\"1\", b=\"<2>\"} => 300 @[1.5]\n",
            r#"[{"metric":{"__name__":"up","a":"1","b":"\u003c2\u003e"},"value":[1.5,"3e2"]}]"#,
        );
        check(r#"{"resultType":"vector","result":[]}"#, "\n", "[]");
        check(r#"{"resultType":"scalar","result":[2,"1"]}"#, "scalar: 1 @[2]\n", r#"[2,"1"]"#);
        check(r#"{"resultType":"string","result":[2,"x"]}"#, "x\n", r#"[2,"x"]"#);
        check(
            r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[2,"2"]]}]}"#,
            "{} =>\n1 @[1]\n2 @[2]\n",
            r#"[{"metric":{},"values":[[1,"1"],[2,"2"]]}]"#,
        );
        check(
            r#"{"resultType":"matrix","result":[{"metric":{"a":"1","b":"2"},"values":[[1,"1"]]},{"metric":{"c":"1"},"values":[[1,"1"]]}]}"#,
            "{c=\"1\"} =>\n1 @[1]\n{a=\"1\", b=\"2\"} =>\n1 @[1]\n",
            r#"[{"metric":{"a":"1","b":"2"},"values":[[1,"1"]]},{"metric":{"c":"1"},"values":[[1,"1"]]}]"#,
        );
        let histogram = r#"{"count":"2","sum":"1.5","buckets":[[3,"-0.5","0.5","2"]]}"#;
        let sample = format!(r#"[{{"metric":{{"__name__":"h"}},"histogram":[1,{histogram}]}}]"#);
        check(
            &format!(r#"{{"resultType":"vector","result":{sample}}}"#),
            "h => Count: 2.000000, Sum: 1.500000, Buckets: [[-0.5,0.5]:2] @[1]\n",
            &sample,
        );
    }
}
