//! Runs a script: a verdict for each evaluation.

use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::exec::testing::Sample;
use engine::model::Labels;
use engine::plan::QueryTimes;
use engine::promql::series::Element;

use super::check::{check_annotations, check_values};
use super::engine::{Answer, Engine, Point, Values};
use super::nhcb;
use super::script::{Command, Eval, Load, Range, Times, parse_script};
use super::variants::{depends_on_query, pinned};

/// What came of a script.
#[derive(Debug, Default)]
pub struct Report {
    pub passed: usize,
    /// Line, expression, and what went wrong.
    pub failed: Vec<(usize, String, String)>,
}

impl Report {
    pub fn merge(&mut self, other: Report) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
    }
}

/// Runs `script` against `engine`, which holds nothing. Error: the script cannot be read.
pub fn run(script: &str, engine: &mut dyn Engine) -> Result<Report, String> {
    let mut report = Report::default();
    for command in parse_script(script)? {
        match command {
            Command::Clear => engine.clear(),
            Command::Load(load) => append(&load, engine)?,
            Command::Eval(eval) => {
                // A panic is a failure of one evaluation, not of all behind it.
                let verdict = catch_unwind(AssertUnwindSafe(|| evaluate(&eval, engine)))
                    .unwrap_or_else(|_| Err("panicked".into()));
                match verdict {
                    Ok(()) => report.passed += 1,
                    Err(message) => report.failed.push((eval.line, eval.text, message)),
                }
            }
        }
    }
    Ok(report)
}

fn append(load: &Load, engine: &mut dyn Engine) -> Result<(), String> {
    for series in &load.series {
        for (index, value) in series.values.iter().enumerate() {
            let time_ms = index as i64 * load.gap_ms;
            let start_ms = series.starts_ms.get(index).copied().flatten();
            let sample = match value {
                Element::Omitted => continue,
                Element::Float(value) => Sample::Float(*value),
                Element::Histogram { histogram, .. } => Sample::Histogram(histogram.clone()),
            };
            let start_ms = start_ms.map_or(0, |start_ms| time_ms + start_ms);
            engine.append(&series.labels, time_ms, start_ms, sample);
        }
    }
    if load.with_nhcb {
        for (labels, time_ms, histogram) in nhcb::convert(load)? {
            engine.append(&labels, time_ms, 0, Sample::Histogram(histogram));
        }
    }
    Ok(())
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
    let middle = |(labels, points): (Labels, Vec<(i64, Point)>)| {
        let point = points.into_iter().find(|(time_ms, _)| *time_ms == at_ms);
        point.map(|(_, value)| (labels, value))
    };
    let vector: Vec<_> = rows.into_iter().filter_map(middle).collect();
    let values = match (&answer.values, &vector[..]) {
        (Values::Scalar(_), [(_, Point::Float(value)), ..]) => Values::Scalar(*value),
        _ => Values::Vector(vector),
    };
    check_values(expected, instant, &values).map_err(|message| format!("in range mode: {message}"))
}
