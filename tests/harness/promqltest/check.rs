//! Answers against expectations.
//!
//! Source: Prometheus `promql/promqltest/test.go`, `compareResult`, `checkAnnotations`, and
//! `util/almost`.

use engine::model::histogram::{Side, Span};
use engine::model::{FloatHistogram, Labels, is_stale_nan};
use engine::promql::series::Element;

use super::engine::{Answer, Point, Values};
use super::script::{Annotations, Expected, Range};

/// Relative difference of values that count as the same.
const EPSILON: f64 = 0.000_001;

/// Whether `a` and `b` are the same for a test: NaN is NaN, but a stale marker is only itself.
pub fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale_nan(a) || is_stale_nan(b) {
        return is_stale_nan(a) && is_stale_nan(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

pub fn check_annotations(expected: &Expected, answer: &Answer) -> Result<(), String> {
    check_severity("warning", &expected.warnings, &answer.warnings)?;
    check_severity("info", &expected.infos, &answer.infos)
}

fn check_severity(severity: &str, expected: &Annotations, got: &[String]) -> Result<(), String> {
    if expected.none && !got.is_empty() {
        return Err(format!("expected no {severity}, got {got:?}"));
    }
    for text in &expected.texts {
        if !got.iter().any(|annotation| text.matches(annotation)) {
            return Err(format!("expected {severity} {text:?}, got {got:?}"));
        }
    }
    let is_expected = |annotation: &&String| {
        expected.texts.is_empty() || expected.texts.iter().any(|text| text.matches(annotation))
    };
    match got.iter().find(|annotation| !is_expected(annotation)) {
        Some(annotation) => Err(format!("unexpected {severity} {annotation:?}")),
        None => Ok(()),
    }
}

/// `times`: when the points of rows are expected.
pub fn check_values(expected: &Expected, times: Range, values: &Values) -> Result<(), String> {
    match values {
        Values::Scalar(got) => match expected.scalar {
            Some(wanted) if almost_equal(wanted, *got) => Ok(()),
            Some(wanted) => Err(format!("expected scalar {wanted}, got {got}")),
            None => Err(format!("expected rows, got scalar {got}")),
        },
        Values::String(got) => {
            let wanted = expected.string.as_deref().unwrap_or_default();
            if wanted == got { Ok(()) } else { Err(format!("expected {wanted:?}, got {got:?}")) }
        }
        _ if expected.scalar.is_some() => Err(format!("expected a scalar, got {values:?}")),
        Values::Vector(rows) => check_vector(expected, rows),
        Values::Matrix(_) if expected.ordered => Err("expected an ordered vector".into()),
        Values::Matrix(rows) => check_matrix(expected, times, rows),
    }
}

fn check_vector(expected: &Expected, rows: &[(Labels, Point)]) -> Result<(), String> {
    for (position, (labels, got)) in rows.iter().enumerate() {
        let (index, values) = find(expected, labels, || show(got))?;
        if expected.ordered && index != position {
            return Err(format!("expected {labels} at {index}, got it at {position}"));
        }
        if !values.first().is_some_and(|wanted| same_point(wanted, got)) {
            let wanted = values.first().map(show_element);
            return Err(format!("expected {wanted:?} for {labels}, got {}", show(got)));
        }
    }
    check_none_missing(expected, |labels| rows.iter().any(|(got, _)| got == labels))
}

/// As people write it.
fn show(point: &Point) -> String {
    match point {
        Point::Float(value) => value.to_string(),
        Point::Histogram(histogram) => histogram.test_expression(),
    }
}

fn show_element(element: &Element) -> String {
    match element {
        Element::Omitted => "_".to_owned(),
        Element::Float(value) => value.to_string(),
        Element::Histogram { histogram, .. } => histogram.test_expression(),
    }
}

fn same_point(wanted: &Element, got: &Point) -> bool {
    match (wanted, got) {
        (Element::Float(wanted), Point::Float(got)) => almost_equal(*wanted, *got),
        (Element::Histogram { histogram, hint_written }, Point::Histogram(got)) => {
            same_histogram(histogram, got, *hint_written)
        }
        _ => false,
    }
}

/// Numbers may differ a little, empty buckets may be there or not. What is said about resets
/// counts only if the script says it.
fn same_histogram(wanted: &FloatHistogram, got: &FloatHistogram, compares_hint: bool) -> bool {
    let (mut wanted, mut got) = (wanted.clone(), got.clone());
    wanted.compact(0);
    got.compact(0);
    let numbers =
        |histogram: &FloatHistogram| [histogram.count, histogram.sum, histogram.zero_count];
    let same_side = |wanted: &Side<f64>, got: &Side<f64>| {
        let spans = |side: &Side<f64>| -> Vec<Span> { side.spans.clone() };
        spans(wanted) == spans(got) && all_almost_equal(&wanted.buckets, &got.buckets)
    };
    wanted.schema == got.schema
        && all_almost_equal(&numbers(&wanted), &numbers(&got))
        && (!wanted.uses_custom_bounds() || wanted.custom_bounds == got.custom_bounds)
        && wanted.zero_threshold == got.zero_threshold
        && same_side(&wanted.negative, &got.negative)
        && same_side(&wanted.positive, &got.positive)
        && (!compares_hint || wanted.counter_reset == got.counter_reset)
}

fn all_almost_equal(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| almost_equal(*a, *b))
}

fn check_matrix(
    expected: &Expected,
    times: Range,
    rows: &[(Labels, Vec<(i64, Point)>)],
) -> Result<(), String> {
    if !rows.is_sorted_by(|(a, _), (b, _)| a <= b) {
        return Err("rows are not sorted by labels".into());
    }
    for (labels, points) in rows {
        let shown = || {
            let points = points.iter().map(|(time_ms, point)| format!("{}@{time_ms}", show(point)));
            points.collect::<Vec<_>>().join(" ")
        };
        let (_, values) = find(expected, labels, shown)?;
        let wanted = expected_points(values, times)?;
        let same = |(wanted, got): (&(i64, &Element), &(i64, Point))| {
            wanted.0 == got.0 && same_point(wanted.1, &got.1)
        };
        if wanted.len() != points.len() || !wanted.iter().zip(points).all(same) {
            let wanted: Vec<String> = wanted
                .iter()
                .map(|(time_ms, element)| format!("{}@{time_ms}", show_element(element)))
                .collect();
            return Err(format!("expected {} for {labels}, got [{}]", wanted.join(" "), shown()));
        }
    }
    check_none_missing(expected, |labels| rows.iter().any(|(got, _)| got == labels))
}

/// The expected row of `labels`; the last one counts if there are several.
fn find<'a>(
    expected: &'a Expected,
    labels: &Labels,
    got: impl Fn() -> String,
) -> Result<(usize, &'a [Element]), String> {
    let index = expected.rows.iter().rposition(|(wanted, _)| wanted == labels);
    let index = index.ok_or_else(|| format!("unexpected {labels} in result: {}", got()))?;
    Ok((index, &expected.rows[index].1))
}

fn check_none_missing(
    expected: &Expected,
    is_there: impl Fn(&Labels) -> bool,
) -> Result<(), String> {
    match expected.rows.iter().find(|(labels, _)| !is_there(labels)) {
        Some((labels, values)) => Err(format!("expected {labels} {values:?}, which is not there")),
        None => Ok(()),
    }
}

fn expected_points(values: &[Element], times: Range) -> Result<Vec<(i64, &Element)>, String> {
    let mut points = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let time_ms = times.start_ms + index as i64 * times.step_ms;
        if time_ms > times.end_ms {
            return Err(format!("{} points do not fit between start and end", values.len()));
        }
        if !matches!(value, Element::Omitted) {
            points.push((time_ms, value));
        }
    }
    Ok(points)
}
