//! The executor against a naive one: random queries over random series, from seeds.

use engine::exec::testing::{LocalScatter, block_on};
use engine::exec::{Value, evaluate};
use engine::plan::{Plan, PlanOptions, QueryTimes, Rewrites};
use engine::promql::{ParseOptions, parse};
use tests::generate::{Dialect, Query, Random, Times, data, query};
use tests::oracle::{self, Bounds, Failure, Oracle};

use std::collections::BTreeMap;

/// Sums of several values have no order here, and deviations lose digits.
const RELATIVE_ERROR_MAX: f64 = 1e-9;
const DEVIATION_ERROR_MAX: f64 = 1e-4;

/// Points by series and time.
type Points = BTreeMap<oracle::LabelMap, BTreeMap<i64, f64>>;

fn times(query: &Query) -> (QueryTimes, Vec<i64>) {
    match query.times {
        Times::Instant { time_ms } => (QueryTimes::instant(time_ms), vec![time_ms]),
        Times::Range { start_ms, end_ms, step_ms } => {
            let steps = (0..=(end_ms - start_ms) / step_ms).map(|step| start_ms + step * step_ms);
            (QueryTimes::range(start_ms, end_ms, step_ms), steps.collect())
        }
    }
}

/// The naive answer. `None`: the oracle does not know.
fn expected(
    series: &[(engine::model::Labels, data::Samples)],
    ast: &engine::promql::Ast,
    times: &QueryTimes,
    steps: &[i64],
) -> Option<Result<Points, &'static str>> {
    let bounds = Bounds {
        start_ms: times.start_ms,
        end_ms: times.end_ms,
        lookback_ms: times.lookback_ms,
        subquery_step_ms: times.subquery_step_ms,
    };
    let oracle = Oracle { series, ast, bounds };
    let mut points = Points::new();
    for &time_ms in steps {
        match oracle.at(time_ms) {
            Err(Failure::Unknown) => return None,
            Err(Failure::Error(message)) => return Some(Err(message)),
            Ok(oracle::Value::Scalar(value)) => {
                points.entry(Default::default()).or_default().insert(time_ms, value);
            }
            Ok(oracle::Value::Vector(vector)) => {
                for (labels, value) in vector {
                    points.entry(labels).or_default().insert(time_ms, value);
                }
            }
            Ok(oracle::Value::Ranges(ranges)) => {
                for (labels, samples) in ranges {
                    points.entry(labels).or_default().extend(samples);
                }
            }
        }
    }
    Some(Ok(points))
}

fn executed(plan: &Plan, scatter: &LocalScatter) -> Result<Points, String> {
    let outcome = block_on(evaluate(plan, scatter)).map_err(|error| error.to_string())?;
    let value = &outcome.value;
    let mut points = Points::new();
    for row in 0..value.row_count() {
        let labels = oracle::label_map(&value.labels(row).to_owned());
        let row_points = points.entry(labels).or_default();
        value.for_each_point(row, |time_ms, value| {
            row_points.insert(time_ms, value);
        });
    }
    if let Value::String { .. } = value {
        return Err("a string".to_owned());
    }
    Ok(points)
}

fn same(left: f64, right: f64, error_max: f64) -> bool {
    left == right
        || left.is_nan() && right.is_nan()
        || (left - right).abs() <= error_max * left.abs().max(right.abs())
}

/// Asks `count` queries; returns how many the oracle knew.
fn run(seed: u64, count: usize) -> usize {
    let mut random = Random::new(seed);
    let first_ms = 1_700_000_100_000;
    let series = data::series(&mut random, first_ms);
    let mut scatter = LocalScatter::new(3);
    for (labels, samples) in &series {
        for &(time_ms, value) in samples {
            scatter.append(labels, time_ms, value);
        }
    }
    let mut known = 0;
    for _ in 0..count {
        let query = query::query(&mut random, Dialect::Whole, first_ms);
        let Ok(ast) = parse(&query.text, &ParseOptions::ALL) else { continue };
        let (times, steps) = times(&query);
        let Some(expected) = expected(&series, &ast, &times, &steps) else { continue };
        known += 1;
        let far = query.text.contains("std") || query.text.contains("ts_of");
        let error_max = if far { DEVIATION_ERROR_MAX } else { RELATIVE_ERROR_MAX };
        for rewrites in [Rewrites::ALL, Rewrites::NONE] {
            let options = PlanOptions { rewrites, ..PlanOptions::default() };
            let plan = Plan::new(&ast, times, &options).expect("durations are literals");
            let answer = executed(&plan, &scatter);
            let context = format!("seed {seed}: {} {:?} {rewrites:?}", query.text, query.times);
            match (&expected, answer) {
                (Err(_), Err(_)) => {}
                (Ok(expected), Ok(answer)) => {
                    let series = |points: &Points| points.keys().cloned().collect::<Vec<_>>();
                    assert_eq!(series(&answer), series(expected), "{context}");
                    for (labels, expected) in expected {
                        let answer = &answer[labels];
                        let is_same = answer.len() == expected.len()
                            && answer.iter().zip(expected).all(|(own, naive)| {
                                own.0 == naive.0 && same(*own.1, *naive.1, error_max)
                            });
                        assert!(is_same, "{context}\n{labels:?}\n{answer:?}\n{expected:?}");
                    }
                }
                (expected, answer) => panic!("{context}\n{answer:?}\nnaive: {expected:?}"),
            }
        }
    }
    known
}

#[test]
fn the_executor_answers_as_a_naive_one() {
    let known: usize = (1..=4).map(|seed| run(seed, 250)).sum();
    assert!(known > 500, "the oracle knew {known} of 1000 queries");
}
