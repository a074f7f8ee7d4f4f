//! What a run says: alerts and samples as texts, and JUnit's XML.

use std::fmt::Write as _;

use engine::model::float::push_e;
use serde_json::{Value, json};

use crate::wire::quote::labels_text;

pub(super) type Pairs = Vec<(String, String)>;

/// An alert that is expected or was found; sorted as promtool sorts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ShownAlert {
    pub labels: Pairs,
    pub annotations: Pairs,
}

pub(super) fn pairs_text(pairs: &Pairs) -> String {
    labels_text(pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

/// Every line behind the first with `indent` before it.
pub(super) fn indented(text: &str, indent: &str) -> String {
    text.split('\n').collect::<Vec<_>>().join(&format!("\n{indent}"))
}

pub(super) fn alerts_text(alerts: &[ShownAlert]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let shown: Vec<String> = alerts
        .iter()
        .enumerate()
        .map(|(index, alert)| {
            let (labels, annotations) = (pairs_text(&alert.labels), pairs_text(&alert.annotations));
            let text = format!("\nLabels:{labels}\nAnnotations:{annotations}");
            format!("{index}:{}", indented(&text, "  "))
        })
        .collect();
    format!("[\n{}\n]", shown.join(",\n"))
}

/// As promtool compares alerts; where there are none, an empty one stands.
pub(super) fn alerts_json(alerts: &[ShownAlert]) -> Value {
    let object = |pairs: &Pairs| -> Value {
        pairs.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
    };
    let alert = |labels, annotations| json!({"Labels": labels, "Annotations": annotations});
    match alerts {
        [] => json!([alert(json!({}), json!({}))]),
        alerts => alerts
            .iter()
            .map(|shown| alert(object(&shown.labels), object(&shown.annotations)))
            .collect(),
    }
}

/// A sample that is expected or was found.
#[derive(Clone, Debug)]
pub(super) struct ShownSample {
    pub labels: Pairs,
    pub value: f64,
    /// In the notation of tests; empty for a float.
    pub histogram: String,
}

impl ShownSample {
    pub fn is_same(&self, other: &ShownSample, fuzzy: bool) -> bool {
        let (left, right) = (self.value, other.value);
        let values =
            left == right || fuzzy && (left.next_down() == right || left.next_up() == right);
        self.labels == other.labels && values && self.histogram == other.histogram
    }

    fn text(&self) -> String {
        let labels = pairs_text(&self.labels);
        if !self.histogram.is_empty() {
            return format!("{labels} {}", self.histogram);
        }
        let mut value = Vec::new();
        push_e(&mut value, self.value);
        let value = String::from_utf8_lossy(&value).into_owned();
        let value = if self.value.is_finite() { value.to_uppercase() } else { value };
        format!("{labels} {value}")
    }
}

pub(super) fn samples_text(samples: &[ShownSample]) -> String {
    match samples {
        [] => "nil".to_owned(),
        samples => samples.iter().map(ShownSample::text).collect::<Vec<_>>().join(", "),
    }
}

/// A Go duration: `1h2m3.5s`.
pub(in crate::tools) fn go_duration(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    if ms == 0 {
        return "0s".to_owned();
    }
    if ms < 1000 {
        return format!("{sign}{ms}ms");
    }
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let seconds = (ms % 60_000) as f64 / 1000.0;
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// The tests of one file.
#[derive(Debug)]
pub(super) struct Suite {
    name: String,
    began: jiff::Timestamp,
    /// Names, and what went wrong.
    cases: Vec<(String, Vec<String>)>,
    error: Option<String>,
}

impl Suite {
    pub fn new(name: &str) -> Suite {
        Suite {
            name: name.to_owned(),
            began: jiff::Timestamp::now(),
            cases: Vec::new(),
            error: None,
        }
    }

    pub fn add(&mut self, name: &str, faults: &[String]) {
        self.cases.push((name.to_owned(), faults.to_vec()));
    }

    /// The file could not be read.
    pub fn abort(&mut self, error: &str) {
        self.error = Some(error.to_owned());
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            '\0'..' ' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

pub(super) fn junit(suites: &[Suite]) -> String {
    let mut out = String::from("<testsuites>");
    for suite in suites {
        let failures: usize = suite.cases.iter().map(|(_, faults)| faults.len()).sum();
        let unknown = usize::from(suite.error.is_some() && suite.cases.is_empty());
        let began = suite.began.strftime("%Y-%m-%dT%H:%M:%S");
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{}\" \
             skipped=\"0\" timestamp=\"{began}\">",
            escaped(&suite.name),
            suite.cases.len() + unknown,
            usize::from(suite.error.is_some()),
        );
        for (name, faults) in &suite.cases {
            let _ = write!(out, "<testcase name=\"{}\">", escaped(name));
            for fault in faults {
                let _ = write!(out, "<failure>{}</failure>", escaped(fault));
            }
            out.push_str("</testcase>");
        }
        if let Some(error) = &suite.error {
            let error = escaped(error);
            let _ = write!(out, "<testcase name=\"unknown\"><error>{error}</error></testcase>");
        }
        out.push_str("</testsuite>");
    }
    out + "</testsuites>"
}
