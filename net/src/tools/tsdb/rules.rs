//! `tsdb create-blocks-from rules`: recording rules evaluated over the past of a server, as blocks.
//!
//! A rule and a block at a time, in range queries: memory is that of one rule's samples of one block.

use std::path::Path;

use engine::model::LabelsBuilder;
use engine::rules::{GroupSpec, RuleKind, RuleSpec, Schedule};
use http::Method;
use serde_json::Value;

use super::files::open_prometheus;
use super::gather::Gathered;
use super::list::{row, table};
use super::progress::Progress;
use super::ranges::{block_ms, block_start};
use super::{Console, GOOD, say};
use crate::api::params::parse_time;
use crate::config::rules::{RuleGroups, RuleOptions};
use crate::tools::arguments::Arguments;
use crate::tools::query::{now_ms, seconds};
use crate::tools::server::Server;
use crate::wire::quote::quoted;

/// What is newer may still be in the head of the server.
const RECENT_MS: i64 = 3 * 3_600_000;

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let time = |name: &str, default_ms: i64| match arguments.text(name) {
        "" => Ok(default_ms),
        text => parse_time(text).map_err(|_| {
            let text = quoted(text.as_bytes());
            format!("error parsing {name} time: cannot parse {text} to a valid timestamp")
        }),
    };
    // Whole seconds, as the rules of Prometheus have them.
    let whole = |ms: i64| ms.div_euclid(1000) * 1000;
    let end_ms = whole(time("end", now_ms() - RECENT_MS)?);
    let start_ms = whole(time("start", 0)?);
    if start_ms >= end_ms {
        return Err("start time is not before end time".to_owned());
    }
    let mut groups = Vec::new();
    let default_ms = arguments.duration("eval-interval").ms();
    for file in arguments.values("rule-files") {
        let options = RuleOptions { promql: arguments.promql(), ..RuleOptions::default() };
        let read = RuleGroups::from_file(Path::new(file), &options)
            .map_err(|faults| format!("rule importer parse error: {}", faults.join("\n")))?;
        groups.extend(read.specs(file, default_ms));
    }
    let mut backfill = Backfill {
        server: Server::new(arguments, arguments.text("url"))?,
        out: arguments.text("output-dir"),
        length_ms: block_ms(arguments.duration("max-block-duration").ms()),
        start_ms,
        end_ms,
        is_quiet: arguments.is_set("quiet"),
        is_human: arguments.is_set("human-readable"),
        has_header: true,
    };
    let rules: Vec<(&GroupSpec, &RuleSpec)> = groups
        .iter()
        .flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
        .filter(|(_, rule)| matches!(rule.kind, RuleKind::Recording))
        .collect();
    let mut progress = Progress::new("backfill: rules");
    let mut faults = 0;
    for (done, (group, rule)) in rules.iter().enumerate() {
        if let Some(line) = progress.line(done, rules.len()) {
            say!(console.err, "{line}");
        }
        if let Err(why) = backfill.rule(group, rule, console) {
            say!(console.err, "rule importer error: {why}");
            faults += 1;
        }
    }
    if faults > 0 {
        return Err("error importing rules".to_owned());
    }
    Ok(GOOD)
}

struct Backfill<'a> {
    server: Server,
    out: &'a str,
    length_ms: i64,
    start_ms: i64,
    end_ms: i64,
    is_quiet: bool,
    is_human: bool,
    has_header: bool,
}

impl Backfill<'_> {
    /// Evaluates a rule at the times at which its group would have, block by block.
    fn rule(
        &mut self,
        group: &GroupSpec,
        rule: &RuleSpec,
        console: &mut Console<'_>,
    ) -> Result<(), String> {
        let mut block_ms = block_start(self.start_ms, self.length_ms);
        while block_ms <= self.end_ms {
            let first_ms = block_ms.max(self.start_ms);
            let last_ms = (block_ms + self.length_ms - 1000).min(self.end_ms);
            block_ms += self.length_ms;
            let before_ms = first_ms - 1;
            let schedule = Schedule::start(&group.file, &group.name, group.interval_ms, before_ms);
            let begin_ms = schedule.next_ms();
            if last_ms < begin_ms {
                continue;
            }
            let (start, end) = (seconds(begin_ms), seconds(last_ms));
            let step = seconds(group.interval_ms);
            let pairs = [("query", &*rule.text), ("start", &start), ("end", &end), ("step", &step)];
            let data = self
                .server
                .ask(Method::POST, "api/v1/query_range", &pairs)
                .map_err(|why| format!("query range: {why}"))?;
            if data["resultType"] != "matrix" {
                let kind = data["resultType"].as_str().unwrap_or_default();
                return Err(format!("rule result is wrong type {kind}"));
            }
            let mut gathered = Gathered::default();
            for series in data["result"].as_array().into_iter().flatten() {
                add_series(&mut gathered, rule, series)?;
            }
            self.write(&gathered, console)?;
        }
        Ok(())
    }

    fn write(&mut self, gathered: &Gathered, console: &mut Console<'_>) -> Result<(), String> {
        let out = Path::new(self.out);
        let Some(meta) = gathered.write(out)? else { return Ok(()) };
        if !self.is_quiet {
            let found = open_prometheus(&out.join(meta.id.to_string()))?;
            let row = row(&found.block.summary(), found.bytes, self.is_human);
            // A reader that went away does not stop the backfill.
            let _ = console.out.write_all(table(vec![row], self.has_header).as_bytes());
            self.has_header = false;
        }
        Ok(())
    }
}

/// The series under the rule's name and with its labels.
fn add_series(gathered: &mut Gathered, rule: &RuleSpec, series: &Value) -> Result<(), String> {
    let mut builder = LabelsBuilder::default();
    for (name, value) in series["metric"].as_object().into_iter().flatten() {
        builder.set(name.as_bytes(), value.as_str().unwrap_or_default().as_bytes());
    }
    for (name, value) in &rule.labels {
        builder.set(name.as_bytes(), value.as_bytes());
    }
    builder.set(b"__name__", rule.name.as_bytes());
    let labels = builder.finish();
    let time_ms = |point: &Value| {
        point[0].as_f64().map(|seconds| (seconds * 1000.0).round() as i64).unwrap_or_default()
    };
    for point in series["values"].as_array().into_iter().flatten() {
        let value = point[1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        gathered.add(labels.clone(), time_ms(point), value).map_err(|why| format!("add: {why}"))?;
    }
    if series["histograms"].as_array().is_some_and(|points| !points.is_empty()) {
        return Err(format!(
            "{} gives native histograms, whose schemas an answer of the API does not tell",
            rule.name
        ));
    }
    Ok(())
}
