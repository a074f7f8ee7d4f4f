//! Runs a script: a verdict for each evaluation.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::index::CompiledMatcher;
use engine::model::{Labels, LabelsBuilder};
use engine::plan::QueryTimes;
use engine::promql::functions::FunctionId;
use engine::promql::series::SequenceValue;
use engine::promql::{Expr, ParseOptions, parse};

use super::check::{check_annotations, check_values};
use super::engine::{Answer, Engine, Values};
use super::script::{Command, Eval, Load, Range, Times, parse_script};
use super::variants::{depends_on_query, pinned};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Skipped(Reason),
    Failed(String),
}

/// Why an evaluation is not run: it needs what is not there yet. Computed from the script, never
/// from a list of evaluations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It expects native histograms, or a selector of it matches series that hold them.
    NativeHistograms,
    /// A selector of it matches series whose samples have start timestamps.
    StartTimestamps,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::NativeHistograms => "native histograms are not stored",
            Reason::StartTimestamps => "start timestamps are not stored",
        })
    }
}

/// What came of a script.
#[derive(Debug, Default)]
pub struct Report {
    pub passed: usize,
    pub skipped: BTreeMap<Reason, usize>,
    /// Line, expression, and what went wrong.
    pub failed: Vec<(usize, String, String)>,
}

impl Report {
    fn add(&mut self, eval: &Eval, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Skipped(reason) => *self.skipped.entry(reason).or_default() += 1,
            Verdict::Failed(message) => self.failed.push((eval.line, eval.text.clone(), message)),
        }
    }

    pub fn merge(&mut self, other: Report) {
        self.passed += other.passed;
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        self.failed.extend(other.failed);
    }
}

/// Runs `script` against `engine`, which holds nothing. Error: the script cannot be read.
pub fn run(script: &str, engine: &mut dyn Engine) -> Result<Report, String> {
    let mut report = Report::default();
    let mut missing = Missing::default();
    for command in parse_script(script)? {
        match command {
            Command::Clear => {
                engine.clear();
                missing = Missing::default();
            }
            Command::Load(load) => append(&load, engine, &mut missing),
            Command::Eval(eval) => {
                let verdict = match missing.reason(&eval) {
                    Some(reason) => Verdict::Skipped(reason),
                    // A panic is a failure of one evaluation, not of all behind it.
                    None => catch_unwind(AssertUnwindSafe(|| evaluate(&eval, engine)))
                        .unwrap_or_else(|_| Err("panicked".into()))
                        .map_or_else(Verdict::Failed, |()| Verdict::Passed),
                };
                report.add(&eval, verdict);
            }
        }
    }
    Ok(report)
}

/// Series that were loaded in part or not at all, because something of them cannot be stored.
#[derive(Default)]
struct Missing {
    series: Vec<(Labels, Reason)>,
}

fn append(load: &Load, engine: &mut dyn Engine, missing: &mut Missing) {
    for series in &load.series {
        let mut time_ms = 0;
        let mut has_histograms = false;
        for value in &series.values {
            match value {
                SequenceValue::Omitted => {}
                SequenceValue::Float(value) => engine.append(&series.labels, time_ms, *value),
                _ => has_histograms = true,
            }
            time_ms += value.count() as i64 * load.gap_ms;
        }
        let labels = &series.labels;
        if has_histograms {
            missing.series.push((labels.clone(), Reason::NativeHistograms));
        }
        if series.has_start_timestamps {
            missing.series.push((labels.clone(), Reason::StartTimestamps));
        }
        if load.with_nhcb {
            missing.series.extend(nhcb_of(labels).map(|nhcb| (nhcb, Reason::NativeHistograms)));
        }
    }
}

/// The native histogram that a series of a classic one becomes a part of.
fn nhcb_of(labels: &Labels) -> Option<Labels> {
    let name = labels.as_ref().metric_name();
    let suffixes = [&b"_bucket"[..], b"_count", b"_sum"];
    let base = suffixes.iter().find_map(|suffix| name.strip_suffix(*suffix))?;
    let mut builder = LabelsBuilder::from_labels(labels.as_ref());
    builder.set(b"__name__", base);
    builder.remove(b"le");
    Some(builder.finish())
}

impl Missing {
    /// Why `eval` cannot give its answer, if it cannot.
    fn reason(&self, eval: &Eval) -> Option<Reason> {
        let is_histogram = |value: &SequenceValue| {
            matches!(value, SequenceValue::Histogram(_) | SequenceValue::HistogramRun { .. })
        };
        if eval.expected.rows.iter().any(|(_, values)| values.iter().any(is_histogram)) {
            return Some(Reason::NativeHistograms);
        }
        let ast = parse(&eval.text, &ParseOptions::ALL).ok()?;
        let mut reasons = ast.ids().filter_map(|id| match ast.expr(id) {
            Expr::Vector(vector) => {
                let matchers = CompiledMatcher::compile(&vector.matchers).ok()?;
                let matches = |labels: &Labels| {
                    matchers.iter().all(|matcher| matcher.matches(labels.as_ref()))
                };
                self.series.iter().find(|(labels, _)| matches(labels)).map(|(_, reason)| *reason)
            }
            Expr::Call { function: FunctionId::StartTimestamp, .. } => {
                Some(Reason::StartTimestamps)
            }
            _ => None,
        });
        reasons.next()
    }
}

fn evaluate(eval: &Eval, engine: &dyn Engine) -> Result<(), String> {
    match eval.times {
        Times::Range(range) => {
            let times = QueryTimes::range(range.start_ms, range.end_ms, range.step_ms);
            let Some(answer) = ask(eval, &eval.text, times, engine)? else { return Ok(()) };
            check_values(&eval.expected, range, &answer.values)
        }
        Times::Instant { at_ms } => {
            let end_ms = eval.expected.range_vector.map_or(at_ms, |range| range.end_ms);
            evaluate_at(eval, &eval.text, end_ms, engine)?;
            let Some((text, times_ms)) = pinned(&eval.text, end_ms) else { return Ok(()) };
            for time_ms in times_ms {
                evaluate_at(eval, &text, time_ms, engine)
                    .map_err(|message| format!("{message} (as {text} at {time_ms} ms)"))?;
            }
            Ok(())
        }
    }
}

/// Asks once and checks failure and annotations. `None`: it failed as it should.
fn ask(
    eval: &Eval,
    text: &str,
    times: QueryTimes,
    engine: &dyn Engine,
) -> Result<Option<Answer>, String> {
    match (engine.query(text, times), &eval.expected.fail) {
        (Err(message), Some(expected)) if expected.matches(&message) => Ok(None),
        (Err(message), Some(expected)) => Err(format!("expected failure {expected:?}: {message}")),
        (Err(message), None) => Err(format!("query failed: {message}")),
        (Ok(answer), Some(_)) => Err(format!("expected a failure, got {:?}", answer.values)),
        (Ok(answer), None) => {
            check_annotations(&eval.expected, &answer)?;
            Ok(Some(answer))
        }
    }
}

/// Asks for one time, then for a range with that time in its middle, which must give the same.
fn evaluate_at(eval: &Eval, text: &str, at_ms: i64, engine: &dyn Engine) -> Result<(), String> {
    let expected = &eval.expected;
    let Some(answer) = ask(eval, text, QueryTimes::instant(at_ms), engine)? else {
        return Ok(());
    };
    let instant = Range { start_ms: at_ms, end_ms: at_ms, step_ms: 1 };
    check_values(expected, expected.range_vector.unwrap_or(instant), &answer.values)?;
    let no_range = expected.range_vector.is_some() || expected.string.is_some();
    if no_range || expected.ordered || depends_on_query(text) {
        return Ok(());
    }
    let times = QueryTimes::range(at_ms - 60_000, at_ms + 60_000, 60_000);
    let in_range =
        engine.query(text, times).map_err(|message| format!("in range mode: {message}"))?;
    let Values::Matrix(rows) = in_range.values else {
        return Err(format!("in range mode: no matrix but {:?}", in_range.values));
    };
    if !rows.is_sorted_by(|(a, _), (b, _)| a <= b) {
        return Err("in range mode: rows are not sorted by labels".into());
    }
    let middle = |(labels, points): (Labels, Vec<(i64, f64)>)| {
        let point = points.into_iter().find(|(time_ms, _)| *time_ms == at_ms);
        point.map(|(_, value)| (labels, value))
    };
    let vector: Vec<_> = rows.into_iter().filter_map(middle).collect();
    let values = match (&answer.values, &vector[..]) {
        (Values::Scalar(_), [(_, value), ..]) => Values::Scalar(*value),
        _ => Values::Vector(vector),
    };
    check_values(expected, instant, &values).map_err(|message| format!("in range mode: {message}"))
}
