//! `deriv`, `predict_linear`, `double_exponential_smoothing`.

use crate::exec::error::ExecError;
use crate::exec::sum::add;
use crate::plan::part::Window;
use crate::promql::functions::FunctionId;

use super::{Points, Slide, Span};

pub(super) fn linear(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let ahead = match slide.window.function {
        FunctionId::PredictLinear => Some(slide.window.params[0].clone()),
        _ => None,
    };
    slide.each(|span, points| {
        if span.hi - span.lo < 2 {
            return None;
        }
        Some(match &ahead {
            // Near the values, so that the squares of times stay small.
            None => least_squares(span, points, points.times_ms[span.lo]).0,
            Some(ahead) => {
                let (slope, intercept) = least_squares(span, points, span.evaluation_ms);
                slope * ahead.at(span.step) + intercept
            }
        })
    })
}

/// Slope per second and the value at `origin_ms` of the line through the window.
fn least_squares(span: Span, points: Points<'_>, origin_ms: i64) -> (f64, f64) {
    let values = &points.values[span.lo..span.hi];
    let times_ms = &points.times_ms[span.lo..span.hi];
    let first = values[0];
    if values.iter().all(|&value| value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut x_sum, mut y_sum) = ((0.0, 0.0), (0.0, 0.0));
    let (mut xy_sum, mut xx_sum) = ((0.0, 0.0), (0.0, 0.0));
    for (&time_ms, &y) in times_ms.iter().zip(values) {
        let x = (time_ms - origin_ms) as f64 / 1e3;
        x_sum = add(x, x_sum);
        y_sum = add(y, y_sum);
        xy_sum = add(x * y, xy_sum);
        xx_sum = add(x * x, xx_sum);
    }
    let n = values.len() as f64;
    let (x, y) = (x_sum.0 + x_sum.1, y_sum.0 + y_sum.1);
    let (xy, xx) = (xy_sum.0 + xy_sum.1, xx_sum.0 + xx_sum.1);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}

pub(super) fn smoothing(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let window = slide.window;
    slide.try_each(|span, points| {
        let [smoothing, trend] = check_factors(window, span.step)?;
        let values = &points.values[span.lo..span.hi];
        Ok((values.len() >= 2).then(|| smoothed(values, smoothing, trend)))
    })
}

/// The factors of smoothing and of the trend, which lie between 0 and 1.
pub(super) fn check_factors(window: &Window, step: usize) -> Result<[f64; 2], ExecError> {
    let [smoothing, trend] = [0, 1].map(|index| window.params[index].at(step));
    for (name, short, factor) in [("smoothing", "sf", smoothing), ("trend", "tf", trend)] {
        if factor <= 0.0 || factor >= 1.0 {
            return Err(ExecError::Evaluation(format!(
                "invalid {name} factor. Expected: 0 < {short} < 1, got: {factor:.6}"
            )));
        }
    }
    Ok([smoothing, trend])
}

fn smoothed(window: &[f64], smoothing: f64, trend: f64) -> f64 {
    let (mut before, mut smoothed) = (0.0, window[0]);
    let mut slope = window[1] - window[0];
    for (index, &value) in window.iter().enumerate().skip(1) {
        if index > 1 {
            slope = trend * (smoothed - before) + (1.0 - trend) * slope;
        }
        let level = smoothing * value + (1.0 - smoothing) * (smoothed + slope);
        (before, smoothed) = (smoothed, level);
    }
    smoothed
}
