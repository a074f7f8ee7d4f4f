//! `anchored` and `smoothed` windows: the value at the edges is known, nothing is extrapolated.
//!
//! Source: Prometheus `promql/functions.go`, `extendedRate`, `pickFirstSampleIndices`;
//! `promql/engine.go`, `extendFloats`.

use crate::exec::error::ExecError;
use crate::plan::part::Extend;
use crate::promql::functions::FunctionId;

use super::{Points, Slide, Span};

pub(super) fn run(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let smoothed = slide.window.extend == Extend::Smoothed;
    let function = slide.window.function;
    let range_seconds = slide.window.range_ms as f64 / 1000.0;
    match function {
        FunctionId::Rate | FunctionId::Increase | FunctionId::Delta => {
            let is_counter = function != FunctionId::Delta;
            slide.each(|span, points| {
                let rise = rise(span, points, smoothed, is_counter)?;
                Some(if function == FunctionId::Rate { rise / range_seconds } else { rise })
            })
        }
        _ => {
            let mut counted = std::mem::take(&mut slide.context.scratch.window.indices);
            super::counter::count_steps(slide.points.values, function, &mut counted);
            let result = slide.each(|span, points| {
                let after = points.times_ms[span.lo..span.hi]
                    .partition_point(|&time_ms| time_ms <= span.start_ms);
                let first = span.lo + after.saturating_sub(1);
                (span.lo + after < span.hi)
                    .then(|| f64::from(counted[span.hi - 1] - counted[first]))
            });
            slide.context.scratch.window.indices = counted;
            result
        }
    }
}

/// The samples that bound a window, by index, and the values at its edges.
#[derive(Clone, Copy, Debug)]
struct Edges {
    first: usize,
    last: usize,
    left: f64,
    right: f64,
}

fn edges(span: Span, points: Points<'_>, smoothed: bool, is_counter: bool) -> Option<Edges> {
    let times_ms = &points.times_ms[..span.hi];
    let mut last = span.hi - 1;
    // Of all but the last, the newest at or before the left edge.
    let inner = &times_ms[span.lo..last];
    let after = inner.partition_point(|&time_ms| time_ms <= span.start_ms);
    let first = span.lo + after.saturating_sub(1);
    if smoothed {
        last = span.lo + inner.partition_point(|&time_ms| time_ms < span.end_ms);
    }
    if times_ms[last] <= span.start_ms || smoothed && times_ms[first] > span.end_ms {
        return None;
    }
    let left = if smoothed && times_ms[first] < span.start_ms {
        interpolate(points, first, span.start_ms, is_counter)
    } else {
        points.values[first]
    };
    let right = if smoothed && last > span.lo && times_ms[last] > span.end_ms {
        interpolate(points, last - 1, span.end_ms, is_counter)
    } else {
        points.values[last]
    };
    Some(Edges { first, last, left, right })
}

/// On the line between samples `index` and `index + 1`; a counter that was reset between them
/// rises from zero.
fn interpolate(points: Points<'_>, index: usize, time_ms: i64, is_counter: bool) -> f64 {
    let (before_ms, after_ms) = (points.times_ms[index], points.times_ms[index + 1]);
    let (mut before, after) = (points.values[index], points.values[index + 1]);
    if is_counter && after < before {
        before = 0.0;
    }
    before + (after - before) * (time_ms - before_ms) as f64 / (after_ms - before_ms) as f64
}

fn rise(span: Span, points: Points<'_>, smoothed: bool, is_counter: bool) -> Option<f64> {
    let Edges { mut first, last, left, right } = edges(span, points, smoothed, is_counter)?;
    let mut rise = right - left;
    if !is_counter {
        return Some(rise);
    }
    // Resets at the edges are in the edges' values already.
    let mut end = last + 1;
    if points.times_ms[first] <= span.start_ms {
        first += 1;
    }
    if points.times_ms[last] >= span.end_ms {
        end -= 1;
    }
    let mut previous = left;
    let mut correction = 0.0;
    for &value in points.values[first.min(end)..end].iter().chain(&[right]) {
        if value < previous {
            correction += previous;
        }
        previous = value;
    }
    rise += correction;
    Some(rise)
}

/// The samples of a window as they are, with the values at its edges in place of the samples
/// beyond them.
pub fn extend(
    points: Points<'_>,
    start_ms: i64,
    end_ms: i64,
    smoothed: bool,
) -> Option<(Vec<i64>, Vec<f64>)> {
    if points.values.is_empty() {
        return None;
    }
    let hi = points.values.len();
    let span = Span { step: 0, lo: 0, hi, evaluation_ms: end_ms, start_ms, end_ms };
    let Edges { first, last, left, right } = edges(span, points, smoothed, false)?;
    let from = first + usize::from(points.times_ms[first] <= start_ms);
    let to = (last + 1 - usize::from(points.times_ms[last] >= end_ms)).max(from);
    let mut times_ms = vec![start_ms];
    let mut values = vec![left];
    times_ms.extend_from_slice(&points.times_ms[from..to]);
    values.extend_from_slice(&points.values[from..to]);
    times_ms.push(end_ms);
    values.push(right);
    Some((times_ms, values))
}
