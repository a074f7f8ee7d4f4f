//! `tsdb analyze`: which labels a block has, and which of them come and go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use engine::index::CompiledMatcher;
use engine::promql::parse_selector;

use super::compaction;
use super::files::{Found, find, text};
use super::{Console, GOOD, say};
use crate::tools::arguments::Arguments;
use crate::tools::test_rules::go_duration;

/// What series with a label, or a pair of name and value, come to.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    series_count: u64,
    /// Time of the block that they do not cover, together.
    uncovered_ms: u64,
}

#[derive(Default)]
struct Labels {
    by_name: BTreeMap<String, Sum>,
    by_pair: HashMap<(String, String), Sum>,
    matched_count: usize,
    entry_count: usize,
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let selector = arguments.text("match");
    let matchers = match selector {
        "" => Vec::new(),
        selector => {
            let parsed = parse_selector(selector).map_err(|errors| errors.to_string())?;
            CompiledMatcher::compile(&parsed).map_err(text)?
        }
    };
    let (found, _) = find(Path::new(arguments.text("db path")))?;
    let blocks = chosen(&found, arguments.text("block id"))?;
    let Some(summary) = blocks.first().map(|found| found.block.summary()) else {
        return Err("no blocks found".to_owned());
    };
    let span_ms = (summary.end_ms - summary.start_ms).max(1) as u64;
    let mut labels = Labels::default();
    let mut series_count = 0;
    for found in &blocks {
        series_count += found.block.summary().series_count;
        found.block.each_series(&matchers, &mut |of_series, first_ms, last_ms| {
            labels.matched_count += 1;
            let uncovered_ms = span_ms.saturating_sub((last_ms - first_ms) as u64);
            for (name, value) in of_series.iter() {
                labels.entry_count += 1;
                let name = String::from_utf8_lossy(name).into_owned();
                let value = String::from_utf8_lossy(value).into_owned();
                let of_name = labels.by_name.entry(name.clone()).or_default();
                let of_pair = labels.by_pair.entry((name, value)).or_default();
                for sum in [of_name, of_pair] {
                    sum.series_count += 1;
                    sum.uncovered_ms += uncovered_ms;
                }
            }
        })?;
    }
    let ids: Vec<String> =
        blocks.iter().map(|found| found.block.summary().id.to_string()).collect();
    say!(console.out, "Block ID: {}", ids.join(", "));
    say!(console.out, "Duration: {}", go_duration(summary.end_ms - summary.start_ms));
    say!(console.out, "Total Series: {series_count}");
    if !selector.is_empty() {
        say!(console.out, "Matcher: {selector}");
    }
    say!(console.out, "Label names: {}", labels.by_name.len());
    if !selector.is_empty() {
        say!(console.out, "Matched series: {}", labels.matched_count);
    }
    say!(console.out, "Postings (unique label pairs): {}", labels.by_pair.len());
    say!(console.out, "Postings entries (total label pairs): {}", labels.entry_count);
    let limit = arguments.int("limit").unwrap_or(20).max(0) as usize;
    for (title, mut rows) in labels.lists(span_ms) {
        say!(console.out, "\n{title}:");
        rows.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
        for (number, key) in rows.iter().take(limit) {
            say!(console.out, "{number} {key}");
        }
    }
    if arguments.is_set("extended") {
        compaction::show(&blocks, &matchers, console)?;
    }
    Ok(GOOD)
}

/// The block of an id; without one the last, with those that other shards have of the same time.
fn chosen<'a>(found: &'a [Found], id: &str) -> Result<Vec<&'a Found>, String> {
    let of_id = |found: &&Found| found.block.summary().id.to_string() == id;
    if !id.is_empty() {
        return match found.iter().find(of_id) {
            Some(block) => Ok(vec![block]),
            None => Err(format!("block {id} not found")),
        };
    }
    let range = |found: &Found| {
        let summary = found.block.summary();
        (summary.start_ms, summary.end_ms)
    };
    let Some(last) = found.iter().max_by_key(|found| found.block.summary().id) else {
        return Ok(Vec::new());
    };
    let is_own = |found: &Found| matches!(found.block, super::files::AnyBlock::Own(_));
    if !is_own(last) {
        return Ok(vec![last]);
    }
    Ok(found.iter().filter(|found| is_own(found) && range(found) == range(last)).collect())
}

impl Labels {
    fn lists(&self, span_ms: u64) -> [(&'static str, Vec<(u64, String)>); 6] {
        let churn = |sum: &Sum| (sum.uncovered_ms as f64 / span_ms as f64) as u64;
        let pairs = |number: &dyn Fn(&Sum) -> u64| -> Vec<(u64, String)> {
            let row = |((name, value), sum): (&(String, String), &Sum)| {
                (number(sum), format!("{name}={value}"))
            };
            self.by_pair.iter().map(row).collect()
        };
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, value) in self.by_pair.keys() {
            values.entry(name).or_default().insert(value);
        }
        let of_values = |number: &dyn Fn(&BTreeSet<&str>) -> usize| -> Vec<(u64, String)> {
            let row = |(name, values): (&&str, &BTreeSet<&str>)| {
                (number(values) as u64, (*name).to_owned())
            };
            values.iter().map(row).collect()
        };
        let names = self.by_name.iter().map(|(name, sum)| (churn(sum), name.clone()));
        let metrics = self.by_pair.iter().filter(|((name, _), _)| name == "__name__");
        let metrics = metrics.map(|((_, value), sum)| (sum.series_count, value.clone()));
        [
            ("Label pairs most involved in churning", pairs(&churn)),
            ("Label names most involved in churning", names.collect()),
            ("Most common label pairs", pairs(&|sum| sum.series_count)),
            (
                "Label names with highest cumulative label value length",
                of_values(&|values| values.iter().map(|value| value.len()).sum()),
            ),
            ("Highest cardinality labels", of_values(&|values| values.len())),
            ("Highest cardinality metric names", metrics.collect()),
        ]
    }
}
