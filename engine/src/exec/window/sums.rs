//! `sum_over_time`, `avg_over_time`, `stddev_over_time`, `stdvar_over_time`.
//!
//! Compensated sums run over each window anew: their bits depend on the first summand. Where all
//! samples are integers and no sum of them can leave 53 bits, every partial sum is exact, nothing
//! is ever lost, and a difference of prefix sums is the very same number: O(1) a step.

use crate::exec::error::ExecError;
use crate::exec::sum::{Mean, add};
use crate::promql::functions::FunctionId;

use super::Slide;

/// Integers up to here, and sums of them, are exact in a float.
pub(super) const EXACT_MAX: f64 = (1u64 << 53) as f64;

/// Whether a number is an integer. A negative zero is one whose sum has another sign: it is not.
pub(super) fn is_exact(value: f64) -> bool {
    value.trunc() == value && value.to_bits() != 1 << 63
}

/// Fills `prefixes` with the sums before each sample, if all of them are exact integers.
fn exact_prefixes(values: &[f64], prefixes: &mut Vec<f64>) -> bool {
    prefixes.clear();
    let (mut sum, mut magnitude) = (0.0, 0.0);
    prefixes.push(0.0);
    for &value in values {
        magnitude += value.abs();
        if !is_exact(value) || magnitude > EXACT_MAX {
            return false;
        }
        sum += value;
        prefixes.push(sum);
    }
    true
}

pub(super) fn sum(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let mut prefixes = std::mem::take(&mut slide.context.scratch.window.floats);
    let result = if exact_prefixes(slide.points.values, &mut prefixes) {
        slide.each(|span, _| Some(prefixes[span.hi] - prefixes[span.lo]))
    } else {
        slide.each(|span, points| {
            let window = &points.values[span.lo..span.hi];
            let (sum, lost) = window.iter().fold((0.0, 0.0), |sum, &value| add(value, sum));
            Some(if sum.is_infinite() { sum } else { sum + lost })
        })
    };
    slide.context.scratch.window.floats = prefixes;
    result
}

pub(super) fn average(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let mut prefixes = std::mem::take(&mut slide.context.scratch.window.floats);
    let result = if exact_prefixes(slide.points.values, &mut prefixes) {
        slide.each(|span, _| {
            Some((prefixes[span.hi] - prefixes[span.lo]) / (span.hi - span.lo) as f64)
        })
    } else {
        slide.each(|span, points| {
            let mut mean = Mean::first(points.values[span.lo]);
            points.values[span.lo + 1..span.hi].iter().for_each(|&value| mean.add(value));
            Some(mean.finish())
        })
    };
    slide.context.scratch.window.floats = prefixes;
    result
}

pub(super) fn variance(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let is_deviation = slide.window.function == FunctionId::StddevOverTime;
    slide.each(|span, points| {
        let (mut count, mut mean, mut squares) = (0.0, (0.0, 0.0), (0.0, 0.0));
        for &value in &points.values[span.lo..span.hi] {
            count += 1.0;
            let delta = value - (mean.0 + mean.1);
            mean = add(delta / count, mean);
            squares = add(delta * (value - (mean.0 + mean.1)), squares);
        }
        let variance = (squares.0 + squares.1) / count;
        Some(if is_deviation { variance.sqrt() } else { variance })
    })
}
