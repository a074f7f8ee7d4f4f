//! Functions about how a series moves: `rate`, `increase`, `delta`, `irate`, `changes`, ….

use crate::exec::error::ExecError;
use crate::promql::functions::FunctionId;

use super::regular::Inner;
use super::{Cursor, Points, Slide, Span};

/// `rate`, `increase`, `delta`, extrapolated to the edges of the window.
///
/// The resets of the series are found once; a window adds those inside it, in their order, as
/// Prometheus does, so the result has the same bits. O(1) a step while resets are rare.
pub(super) fn extrapolated(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let is_counter = slide.window.function != FunctionId::Delta;
    let per_second = slide.window.function == FunctionId::Rate;
    let range_seconds = slide.window.range_ms as f64 / 1000.0;
    let mut resets = std::mem::take(&mut slide.context.scratch.window.indices);
    resets.clear();
    if is_counter && falls(slide.points.values) {
        let values = slide.points.values;
        resets.extend((1..values.len() as u32).filter(|&index| {
            let index = index as usize;
            values[index] < values[index - 1]
        }));
    }
    let (mut next_reset, mut fit) = (0, Fit::default());
    if resets.is_empty()
        && let Some(inner) = slide.inner().filter(|inner| inner.hi - inner.lo >= 2)
    {
        slide.context.scratch.window.indices = resets;
        let mut cursor = Cursor::default();
        let mut plain = |span, points: Points<'_>| {
            let value = extrapolate(span, points, is_counter, std::iter::empty(), &mut fit);
            Ok(value.map(|factor_and_rise| finish(factor_and_rise, per_second, range_seconds)))
        };
        slide.try_each_of(0..inner.steps.start, &mut cursor, &mut plain)?;
        slide.pass_inner(&inner, &mut cursor)?;
        extrapolate_inner(slide, &inner, is_counter, per_second.then_some(range_seconds));
        return slide.try_each_of(inner.steps.end..slide.grid.step_count, &mut cursor, &mut plain);
    }
    let result = slide.each(|span, points| {
        while next_reset < resets.len() && resets[next_reset] as usize <= span.lo {
            next_reset += 1;
        }
        let inside = resets[next_reset..].iter().take_while(|&&index| (index as usize) < span.hi);
        let correction = inside.map(|&index| points.values[index as usize - 1]);
        extrapolate(span, points, is_counter, correction, &mut fit)
            .map(|factor_and_rise| finish(factor_and_rise, per_second, range_seconds))
    });
    slide.context.scratch.window.indices = resets;
    result
}

/// Products with rises from here on have their usual precision.
const RISE_MIN: f64 = 1e-290;

/// Whether any value is below the one before. Without an exit in the middle, so that it becomes
/// vector instructions.
fn falls(values: &[f64]) -> bool {
    let later = values.get(1..).unwrap_or_default();
    values.iter().zip(later).fold(false, |falls, (value, next)| falls | (next < value))
}

/// As [`extrapolate`] for windows that are all alike, over a series without resets: what lies beyond
/// the samples is the same for each, but where a counter is not to be extended below zero.
fn extrapolate_inner(
    slide: &mut Slide<'_, '_>,
    inner: &Inner,
    is_counter: bool,
    per_seconds: Option<f64>,
) {
    let (points, evaluation_ms) = (slide.points, slide.grid.time_ms(inner.steps.start));
    let end_ms = slide.lookup.time_ms(evaluation_ms);
    let start_ms = end_ms - slide.window.range_ms;
    let (step, lo, hi) = (inner.steps.start, inner.lo, inner.hi);
    let mut fit = Fit::default();
    fit.set(Span { step, lo, hi, evaluation_ms, start_ms, end_ms }, points);
    let Fit { sampled, to_start, to_end, .. } = fit;
    let factor_from = |to_start: f64| {
        let factor = (sampled + to_start + to_end) / sampled;
        per_seconds.map_or(factor, |seconds| factor / seconds)
    };
    let usual = factor_from(to_start);
    let firsts = points.values[inner.lo..].iter().step_by(inner.stride);
    let lasts = points.values[inner.hi - 1..].iter().step_by(inner.stride);
    let values = &mut slide.row.values[inner.steps.clone()];
    // A counter whose first value is so many times its rise is well above zero at the window's
    // start, however quotients are rounded; of a rise that is hardly a number nobody can say.
    let well_above = to_start / sampled * 1.001;
    let may_begin_inside = |first: f64, rise: f64| first <= rise * well_above || rise < RISE_MIN;
    for ((value, &first), &last) in values.iter_mut().zip(firsts).zip(lasts) {
        let rise = last - first;
        let mut factor = usual;
        if is_counter && rise > 0.0 && first >= 0.0 && may_begin_inside(first, rise) {
            let to_zero = sampled * (first / rise);
            if to_zero < to_start {
                factor = factor_from(to_zero);
            }
        }
        *value = rise * factor;
    }
}

#[inline]
fn finish((factor, rise): (f64, f64), per_second: bool, range_seconds: f64) -> f64 {
    rise * if per_second { factor / range_seconds } else { factor }
}

/// The rise between the first and the last sample, and the factor that extends it to the window.
///
/// A series whose samples end well inside the window is taken to begin or end there, half an
/// interval beyond its outermost sample; a counter is not extended below zero.
#[inline]
fn extrapolate(
    span: Span,
    points: Points<'_>,
    is_counter: bool,
    resets: impl Iterator<Item = f64>,
    fit: &mut Fit,
) -> Option<(f64, f64)> {
    if span.hi - span.lo < 2 {
        return None;
    }
    let first = points.values[span.lo];
    let mut rise = points.values[span.hi - 1] - first;
    for before_reset in resets {
        rise += before_reset;
    }
    fit.set(span, points);
    let Fit { sampled, mut to_start, to_end, .. } = *fit;
    if is_counter && rise > 0.0 && first >= 0.0 {
        let to_zero = sampled * (first / rise);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    let factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    Some((factor, rise))
}

/// How the samples lie in their window, in seconds. Windows that slide over regular samples are
/// mostly all alike, so the last one is kept: it costs four divisions.
#[derive(Clone, Copy, Default)]
struct Fit {
    count: usize,
    before_ms: i64,
    sampled_ms: i64,
    after_ms: i64,
    /// Between the first and the last sample.
    sampled: f64,
    /// How far the series is taken to reach before its first sample.
    to_start: f64,
    /// And beyond its last.
    to_end: f64,
}

impl Fit {
    #[inline]
    fn set(&mut self, span: Span, points: Points<'_>) {
        let count = span.hi - span.lo;
        let (first_ms, last_ms) = (points.times_ms[span.lo], points.times_ms[span.hi - 1]);
        let (before_ms, sampled_ms) = (first_ms - span.start_ms, last_ms - first_ms);
        let after_ms = span.end_ms - last_ms;
        let known = (self.count, self.before_ms, self.sampled_ms, self.after_ms);
        if known == (count, before_ms, sampled_ms, after_ms) {
            return;
        }
        let mut to_start = before_ms as f64 / 1000.0;
        let mut to_end = after_ms as f64 / 1000.0;
        let sampled = sampled_ms as f64 / 1000.0;
        let average = sampled / (count - 1) as f64;
        let threshold = average * 1.1;
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        *self = Fit { count, before_ms, sampled_ms, after_ms, sampled, to_start, to_end };
    }
}

/// Says so when the metric does not look like a counter.
pub(super) fn doubt(slide: &mut Slide<'_, '_>) {
    let context = &mut *slide.context;
    let name = context.metric_name;
    let position = slide.window.arg_positions[0];
    let message = match context.type_and_unit {
        _ if name.is_empty() => return,
        Some("counter" | "histogram") => return,
        Some(kind) => format!(
            "metric might not be a counter, __type__ label is not set to \"counter\" or \
             \"histogram\", got {kind:?}: {name:?}"
        ),
        None if ["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end)) => {
            return;
        }
        None => format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \
             {name:?}"
        ),
    };
    context.annotations.info(position, message);
}

/// `irate`, `idelta`: the last two samples.
pub(super) fn instant(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let is_rate = slide.window.function == FunctionId::Irate;
    slide.each(|span, points| {
        if span.hi - span.lo < 2 {
            return None;
        }
        let (last, previous) = (points.values[span.hi - 1], points.values[span.hi - 2]);
        let interval_ms = points.times_ms[span.hi - 1] - points.times_ms[span.hi - 2];
        // A counter that fell was reset: it rose from zero to what it is.
        let rise = if is_rate && last < previous { last } else { last - previous };
        Some(if is_rate { rise / (interval_ms as f64 / 1000.0) } else { rise })
    })
}

/// `changes`, `resets`: pairs of neighbours, counted by prefix sums.
pub(super) fn steps_between(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let mut counted = std::mem::take(&mut slide.context.scratch.window.indices);
    count_steps(slide.points.values, slide.window.function, &mut counted);
    let result = slide.each(|span, _| Some(f64::from(counted[span.hi - 1] - counted[span.lo])));
    slide.context.scratch.window.indices = counted;
    result
}

/// `counted[i]`: changes or resets up to sample `i`.
pub(super) fn count_steps(values: &[f64], function: FunctionId, counted: &mut Vec<u32>) {
    let is_step = |previous: f64, value: f64| match function {
        FunctionId::Resets => value < previous,
        _ => value != previous && !(value.is_nan() && previous.is_nan()),
    };
    counted.clear();
    let mut count = 0;
    for (index, &value) in values.iter().enumerate() {
        count += u32::from(index > 0 && is_step(values[index - 1], value));
        counted.push(count);
    }
}
