//! The executor against a naive one: random queries over random series, from seeds.

use engine::exec::testing::{LocalScatter, Sample, block_on};
use engine::exec::{Value, evaluate};
use engine::model::FloatHistogram;
use engine::model::histogram::{Side, Span};
use engine::plan::{Plan, PlanOptions, QueryTimes, Rewrites};
use engine::promql::{ParseOptions, parse};
use tests::generate::{Dialect, Query, Random, Times, data, natives, query};
use tests::oracle::natives::{Native, NativeOracle, Point};
use tests::oracle::{self, Bounds, Failure, Oracle};
use tests::remote_write::NativeHistogram;

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

fn bounds(times: &QueryTimes) -> Bounds {
    Bounds {
        start_ms: times.start_ms,
        end_ms: times.end_ms,
        lookback_ms: times.lookback_ms,
        subquery_step_ms: times.subquery_step_ms,
    }
}

/// The naive answer. `None`: the oracle does not know.
fn expected(
    series: &[(engine::model::Labels, data::Samples)],
    ast: &engine::promql::Ast,
    times: &QueryTimes,
    steps: &[i64],
) -> Option<Result<Points, &'static str>> {
    let bounds = bounds(times);
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

/// Histograms and numbers of them by series and time.
type NativePoints = BTreeMap<oracle::LabelMap, BTreeMap<i64, Point>>;

/// What rounding may take: counts are some thousands at most, and differences of them may vanish.
const NATIVE_ERROR_MAX: f64 = 1e-7;

fn float_histogram(histogram: &NativeHistogram) -> FloatHistogram {
    let native = Native::from(histogram);
    let length = native.buckets.len() as u32;
    let spans = vec![Span { offset: histogram.first_bucket, length }];
    let positive = Side { spans, buckets: native.buckets.into_values().collect() };
    FloatHistogram {
        schema: native.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: native.zero_count,
        count: native.count,
        sum: native.sum,
        positive,
        ..FloatHistogram::default()
    }
}

fn native(histogram: &FloatHistogram) -> Native {
    assert!(histogram.negative.buckets.is_empty() && !histogram.uses_custom_bounds());
    Native {
        schema: histogram.schema,
        count: histogram.count,
        sum: histogram.sum,
        zero_count: histogram.zero_count,
        buckets: histogram.positive.iter().collect(),
    }
}

fn are_close(left: f64, right: f64) -> bool {
    same(left, right, RELATIVE_ERROR_MAX) || (left - right).abs() <= NATIVE_ERROR_MAX
}

fn are_like(left: &Point, right: &Point) -> bool {
    match (left, right) {
        (Point::Float(left), Point::Float(right)) => are_close(*left, *right),
        (Point::Histogram(left), Point::Histogram(right)) => {
            let bucket = |of: &Native, index| of.buckets.get(index).copied().unwrap_or(0.0);
            let mut indexes = left.buckets.keys().chain(right.buckets.keys());
            left.schema == right.schema
                && are_close(left.count, right.count)
                && are_close(left.sum, right.sum)
                && are_close(left.zero_count, right.zero_count)
                && indexes.all(|index| are_close(bucket(left, index), bucket(right, index)))
        }
        _ => false,
    }
}

fn executed_natives(plan: &Plan, scatter: &LocalScatter) -> NativePoints {
    let outcome = block_on(evaluate(plan, scatter)).expect("an expression that has a value");
    let mut points = NativePoints::new();
    for row in 0..outcome.value.row_count() {
        let labels = oracle::label_map(&outcome.value.labels(row).to_owned());
        let mut row_points = BTreeMap::new();
        outcome.value.for_each_point(row, |time_ms, value| {
            row_points.insert(time_ms, Point::Float(value));
        });
        outcome.value.for_each_histogram(row, |time_ms, histogram| {
            row_points.insert(time_ms, Point::Histogram(native(histogram)));
        });
        points.insert(labels, row_points);
    }
    points
}

fn run_natives(seed: u64, count: usize) {
    let mut random = Random::new(seed);
    let first_ms = 1_700_000_100_000;
    let series = data::native_histograms(&mut random, first_ms);
    let mut scatter = LocalScatter::new(3);
    for (labels, samples) in &series {
        for (time_ms, histogram) in samples {
            let sample = Sample::Histogram(float_histogram(histogram));
            scatter.append_sample(labels, *time_ms, 0, sample);
        }
    }
    let naive = |samples: &[(i64, NativeHistogram)]| {
        samples.iter().map(|(time_ms, histogram)| (*time_ms, Native::from(histogram))).collect()
    };
    let series: Vec<_> =
        series.iter().map(|(labels, samples)| (labels.clone(), naive(samples))).collect();
    for _ in 0..count {
        // The times of a query of any kind, and a text of this one.
        let query = query::query(&mut random, Dialect::Whole, first_ms);
        let query = Query { text: natives::expression(&mut random), ..query };
        let ast = parse(&query.text, &ParseOptions::ALL).expect("an expression");
        let (times, steps) = times(&query);
        let oracle = NativeOracle { series: &series, ast: &ast, bounds: bounds(&times) };
        let mut expected = NativePoints::new();
        for &time_ms in &steps {
            let points = oracle.at(time_ms).expect("an expression that the oracle knows");
            for (labels, point) in points {
                expected.entry(labels).or_default().insert(time_ms, point);
            }
        }
        for rewrites in [Rewrites::ALL, Rewrites::NONE] {
            let options = PlanOptions { rewrites, ..PlanOptions::default() };
            let plan = Plan::new(&ast, times, &options).expect("durations are literals");
            let answer = executed_natives(&plan, &scatter);
            let context = format!("seed {seed}: {} {:?} {rewrites:?}", query.text, query.times);
            let series = |points: &NativePoints| points.keys().cloned().collect::<Vec<_>>();
            assert_eq!(series(&answer), series(&expected), "{context}");
            for (labels, expected) in &expected {
                let answer = &answer[labels];
                assert_eq!(answer.len(), expected.len(), "{context}\n{labels:?}");
                for ((at_ms, own), (time_ms, naive)) in answer.iter().zip(expected) {
                    assert_eq!(at_ms, time_ms, "{context}\n{labels:?}");
                    assert!(
                        are_like(own, naive),
                        "{context}\n{labels:?} at {at_ms}\n{own:?}\n{naive:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_executor_answers_as_a_naive_one_of_native_histograms() {
    (1..=4).for_each(|seed| run_natives(seed, 120));
}
