//! Answers against expectations.
//!
//! Source: Prometheus `promql/promqltest/test.go`, `compareResult`, `checkAnnotations`, and
//! `util/almost`.

use engine::model::{Labels, is_stale_nan};
use engine::promql::series::SequenceValue;

use super::engine::{Answer, Values};
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

fn check_vector(expected: &Expected, rows: &[(Labels, f64)]) -> Result<(), String> {
    for (position, (labels, got)) in rows.iter().enumerate() {
        let (index, values) = find(expected, labels, || got.to_string())?;
        if expected.ordered && index != position {
            return Err(format!("expected {labels} at {index}, got it at {position}"));
        }
        match values.first() {
            Some(SequenceValue::Float(wanted)) if almost_equal(*wanted, *got) => {}
            wanted => return Err(format!("expected {wanted:?} for {labels}, got {got}")),
        }
    }
    check_none_missing(expected, |labels| rows.iter().any(|(got, _)| got == labels))
}

fn check_matrix(
    expected: &Expected,
    times: Range,
    rows: &[(Labels, Vec<(i64, f64)>)],
) -> Result<(), String> {
    if !rows.is_sorted_by(|(a, _), (b, _)| a <= b) {
        return Err("rows are not sorted by labels".into());
    }
    for (labels, points) in rows {
        let (_, values) = find(expected, labels, || format!("{points:?}"))?;
        let wanted = expected_points(values, times)?;
        let same = |(wanted, got): (&(i64, f64), &(i64, f64))| {
            wanted.0 == got.0 && almost_equal(wanted.1, got.1)
        };
        if wanted.len() != points.len() || !wanted.iter().zip(points).all(same) {
            return Err(format!("expected {wanted:?} for {labels}, got {points:?}"));
        }
    }
    check_none_missing(expected, |labels| rows.iter().any(|(got, _)| got == labels))
}

/// The expected row of `labels`; the last one counts if there are several.
fn find<'a>(
    expected: &'a Expected,
    labels: &Labels,
    got: impl Fn() -> String,
) -> Result<(usize, &'a [SequenceValue]), String> {
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

fn expected_points(values: &[SequenceValue], times: Range) -> Result<Vec<(i64, f64)>, String> {
    let mut points = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let time_ms = times.start_ms + index as i64 * times.step_ms;
        if time_ms > times.end_ms {
            return Err(format!("{} points do not fit between start and end", values.len()));
        }
        match value {
            SequenceValue::Omitted => {}
            SequenceValue::Float(value) => points.push((time_ms, *value)),
            other => return Err(format!("histograms cannot be compared yet: {other:?}")),
        }
    }
    Ok(points)
}
