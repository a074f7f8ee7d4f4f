//! `quantile_over_time`, `mad_over_time`: order statistics of a window.

use crate::exec::error::ExecError;
use crate::exec::functions::quantile::{is_valid, quantile as quantile_of, warn_invalid};

use super::Slide;

pub(super) fn quantile(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let mut window = std::mem::take(&mut slide.context.scratch.window.floats);
    let param = &slide.window.params[0];
    let position = slide.window.arg_positions[0];
    let mut invalid = Vec::new();
    let result = slide.each(|span, points| {
        let q = param.at(span.step);
        if !is_valid(q) {
            invalid.push(q);
        }
        window.clear();
        window.extend_from_slice(&points.values[span.lo..span.hi]);
        Some(quantile_of(q, &mut window))
    });
    for q in invalid {
        warn_invalid(slide.context.annotations, q, position);
    }
    slide.context.scratch.window.floats = window;
    result
}

/// The median of the distances from the median. One NaN makes it NaN.
pub(super) fn median_deviation(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let mut window = std::mem::take(&mut slide.context.scratch.window.floats);
    let result = slide.each(|span, points| {
        window.clear();
        window.extend_from_slice(&points.values[span.lo..span.hi]);
        if window.iter().any(|value| value.is_nan()) {
            return Some(f64::NAN);
        }
        let median = quantile_of(0.5, &mut window);
        window.iter_mut().for_each(|value| *value = (*value - median).abs());
        Some(quantile_of(0.5, &mut window))
    });
    slide.context.scratch.window.floats = window;
    result
}
