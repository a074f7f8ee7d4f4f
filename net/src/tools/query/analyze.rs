//! `query analyze`: how many buckets of histograms are populated.
//!
//! Source: Prometheus `cmd/promtool/analyze.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use http::Method;
use serde_json::Value;

use super::print::metric;
use super::{MATCH, now_ms, seconds, time_ms};
use crate::tools::arguments::{Arguments, Flag, flag};
use crate::tools::server::{HTTP_CONFIG, Server};
use crate::tools::test_rules::go_duration;
use crate::tools::{Console, GOOD, Kind, say};
use crate::wire::quote::quoted;

pub(in crate::tools) const FLAGS: &[Flag] = &[
    flag("server", Kind::Url, "The server.").required(),
    flag("type", Kind::Text, "Type of metric: histogram.").required(),
    flag("duration", Kind::Duration, "Time frame to analyze.").or("1h"),
    flag("time", Kind::Text, "Query time (RFC 3339 or Unix timestamp)."),
    MATCH.required(),
    HTTP_CONFIG,
];

const HEADER: &str = "\
Bucket stats for each histogram series over time
------------------------------------------------
First the min, avg, and max number of populated buckets, followed by the total
number of buckets (only if different from the max number of populated buckets
which is typical for classic but not native histograms).
";

const FOOTER: &str = "
Aggregated bucket stats
-----------------------
Each line shows min/avg/max over the series above.";

/// Buckets of one histogram: populated ones at each time, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Buckets {
    min: usize,
    mean: f64,
    max: usize,
    total: usize,
}

impl Buckets {
    /// None for fewer than two times.
    fn of(populated: &[usize], total: usize) -> Option<Buckets> {
        let (min, max) = (*populated.iter().min()?, *populated.iter().max()?);
        let mean = populated.iter().sum::<usize>() as f64 / populated.len() as f64;
        (populated.len() > 1).then_some(Buckets { min, mean, max, total })
    }
}

impl fmt::Display for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:.3}/{}", self.min, self.mean, self.max)?;
        if self.max != self.total { write!(f, "/{}", self.total) } else { Ok(()) }
    }
}

pub(in crate::tools) fn run(
    arguments: &Arguments,
    console: &mut Console<'_>,
) -> Result<u8, String> {
    let kind = arguments.text("type");
    if kind != "histogram" {
        return Err(format!("analyze type is {kind}, must be 'histogram'"));
    }
    let mut server = Server::new(arguments, arguments.text("server"))?;
    let time = seconds(time_ms(arguments, "time", now_ms())?);
    let range = go_duration(arguments.duration("duration").ms());
    say!(console.out, "{HEADER}");
    let (mut native, mut classic) = (Vec::new(), Vec::new());
    for selector in arguments.values("match") {
        let query = format!("{selector}[{range}]");
        let pairs = [("query", &*query), ("time", &*time)];
        let data = server.ask(Method::POST, "api/v1/query", &pairs)?;
        if data["resultType"] != "matrix" {
            return Err("query of buckets resulted in non-Matrix".to_owned());
        }
        let mut by_metric: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for series in data["result"].as_array().into_iter().flatten() {
            if series["values"].as_array().is_none_or(Vec::is_empty) {
                if let Some(buckets) = of_native(series) {
                    say!(console.out, "- {} (native): {buckets}", metric(&series["metric"]));
                    native.push(buckets);
                }
            } else if let Some(key) = classic_key(&series["metric"]) {
                by_metric.entry(key).or_default().push(series);
            }
        }
        for (key, series) in by_metric {
            if let Some(buckets) = of_classic(series)? {
                say!(console.out, "- {key} (classic): {buckets}");
                classic.push(buckets);
            }
        }
    }
    say!(console.out, "{FOOTER}");
    for (name, all) in [("Native", native), ("Classic", classic)] {
        if !all.is_empty() {
            say!(console.out, "\n{name} {}", summary(&all));
        }
    }
    Ok(GOOD)
}

/// The histogram that a series is a bucket of; none if it is no bucket.
fn classic_key(labels: &Value) -> Option<String> {
    let labels = labels.as_object()?;
    labels.get("le")?;
    let name = labels.get("__name__")?.as_str()?;
    name.ends_with("_bucket").then(|| {
        let rest = labels.iter().filter(|(name, _)| *name != "__name__" && *name != "le");
        let pair = |(name, value): (&String, &Value)| {
            format!("{name}={}", quoted(value.as_str().unwrap_or_default().as_bytes()))
        };
        format!("{name}{{{}}}", rest.map(pair).collect::<Vec<_>>().join(", "))
    })
}

fn of_native(series: &Value) -> Option<Buckets> {
    let histograms = series["histograms"].as_array()?;
    let mut all = BTreeSet::new();
    let populated: Vec<usize> = histograms
        .iter()
        .map(|point| {
            let buckets = point[1]["buckets"].as_array().map_or(&[][..], Vec::as_slice);
            let bounds = |bucket: &Value| format!("{} {} {}", bucket[0], bucket[1], bucket[2]);
            all.extend(buckets.iter().map(bounds));
            buckets.len()
        })
        .collect();
    Buckets::of(&populated, all.len())
}

/// Of the buckets of one histogram, in any order. Errors: their times differ.
fn of_classic(mut series: Vec<&Value>) -> Result<Option<Buckets>, String> {
    let bound = |series: &&Value| -> f64 {
        series["metric"]["le"].as_str().and_then(|le| le.parse().ok()).unwrap_or_default()
    };
    series.sort_by(|left, right| bound(left).total_cmp(&bound(right)));
    let points: Vec<&[Value]> = series
        .iter()
        .map(|series| series["values"].as_array().map_or(&[][..], Vec::as_slice))
        .collect();
    let count = points.first().map_or(0, |points| points.len());
    let value = |point: &Value| -> f64 {
        point[1].as_str().and_then(|value| value.parse().ok()).unwrap_or_default()
    };
    let mut populated = Vec::new();
    for at in 0..count {
        let mut number = usize::from(value(&points[0][at]) as i64 != 0);
        for pair in points.windows(2) {
            // What is missing at the end counts as nothing, so that the others are shown.
            let (Some(before), Some(point)) = (pair[0].get(at), pair[1].get(at)) else { break };
            if before[0] != point[0] {
                return Err("matrix result is not time aligned".to_owned());
            }
            number += usize::from((value(point) - value(before)) as i64 != 0);
        }
        populated.push(number);
    }
    Ok(Buckets::of(&populated, points.len()))
}

fn summary(all: &[Buckets]) -> String {
    let spread = |number: &dyn Fn(&Buckets) -> usize| {
        let numbers: Vec<usize> = all.iter().map(number).collect();
        let mean = numbers.iter().sum::<usize>() as f64 / numbers.len() as f64;
        let (min, max) = (numbers.iter().min(), numbers.iter().max());
        format!("{}/{mean:.3}/{}", min.unwrap_or(&0), max.unwrap_or(&0))
    };
    let max = spread(&|buckets| buckets.max);
    let total = spread(&|buckets| buckets.total);
    let mut text = format!(
        "histogram series ({} in total):\n- min populated: {}\n- avg populated: {}\n- max \
         populated: {max}",
        all.len(),
        spread(&|buckets| buckets.min),
        spread(&|buckets| buckets.mean as usize),
    );
    if all.iter().any(|buckets| buckets.max != buckets.total) {
        text.push_str(&format!("\n- total: {total}"));
    }
    text
}
