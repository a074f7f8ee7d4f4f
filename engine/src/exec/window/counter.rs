//! Functions about how a series moves: `rate`, `increase`, `delta`, `irate`, `changes`, ….

use crate::exec::error::ExecError;
use crate::promql::functions::FunctionId;

use super::extrapolation::{Extrapolation, Fit, falls};
use super::regular::Inner;
use super::{Cursor, Points, Slide, Span};

/// `rate`, `increase`, `delta`, extrapolated to the edges of the window.
///
/// The resets of the series are found once; a window adds those inside it, in their order, as
/// Prometheus does, so the result has the same bits. O(1) a step while resets are rare.
pub(super) fn extrapolated(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let mut extrapolation = Extrapolation::of(slide.window);
    let mut resets = std::mem::take(&mut slide.context.scratch.window.indices);
    resets.clear();
    if extrapolation.is_counter && falls(slide.points.values) {
        let values = slide.points.values;
        resets.extend((1..values.len() as u32).filter(|&index| {
            let index = index as usize;
            values[index] < values[index - 1]
        }));
    }
    if resets.is_empty()
        && let Some(inner) = slide.inner().filter(|inner| inner.hi - inner.lo >= 2)
    {
        slide.context.scratch.window.indices = resets;
        let mut cursor = Cursor::default();
        let mut plain = |span, points: Points<'_>| Ok(rise(span, points, [], &mut extrapolation));
        slide.try_each_of(0..inner.steps.start, &mut cursor, &mut plain)?;
        slide.pass_inner(&inner, &mut cursor)?;
        extrapolate_inner(slide, &inner);
        return slide.try_each_of(inner.steps.end..slide.grid.step_count, &mut cursor, &mut plain);
    }
    let mut next_reset = 0;
    let result = slide.each(|span, points| {
        while next_reset < resets.len() && resets[next_reset] as usize <= span.lo {
            next_reset += 1;
        }
        let inside = resets[next_reset..].iter().take_while(|&&index| (index as usize) < span.hi);
        let before = inside.map(|&index| points.values[index as usize - 1]);
        rise(span, points, before, &mut extrapolation)
    });
    slide.context.scratch.window.indices = resets;
    result
}

/// The extrapolated rise in one window; `before_resets`: the values before its resets.
#[inline]
fn rise(
    span: Span,
    points: Points<'_>,
    before_resets: impl IntoIterator<Item = f64>,
    extrapolation: &mut Extrapolation,
) -> Option<f64> {
    if span.hi - span.lo < 2 {
        return None;
    }
    let first = points.values[span.lo];
    let mut rise = points.values[span.hi - 1] - first;
    for before_reset in before_resets {
        rise += before_reset;
    }
    extrapolation.set(Fit::of(&points.times_ms[span.lo..span.hi], span.start_ms, span.end_ms));
    Some(extrapolation.value(first, rise))
}

/// As [`rise`] for windows that are all alike, over a series without resets.
fn extrapolate_inner(slide: &mut Slide<'_, '_>, inner: &Inner) {
    let points = slide.points;
    let end_ms = slide.lookup.time_ms(slide.grid.time_ms(inner.steps.start));
    let start_ms = end_ms - slide.window.range_ms;
    let mut extrapolation = Extrapolation::of(slide.window);
    extrapolation.set(Fit::of(&points.times_ms[inner.lo..inner.hi], start_ms, end_ms));
    let firsts = points.values[inner.lo..].iter().step_by(inner.stride);
    let lasts = points.values[inner.hi - 1..].iter().step_by(inner.stride);
    let values = &mut slide.row.values[inner.steps.clone()];
    for ((value, &first), &last) in values.iter_mut().zip(firsts).zip(lasts) {
        *value = extrapolation.value(first, last - first);
    }
}

/// Whether a metric does not look like a counter by its name.
pub fn has_doubtful_name(name: &str) -> bool {
    !["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end))
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
        None if !has_doubtful_name(name) => return,
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
