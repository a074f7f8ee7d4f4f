//! Values that lie a few steps of their last bit beside a decimal: `n * 0.001`, `n / 1000 / 1000`.
//!
//! Programs that count in small units and show large ones compute their values, and rounding moves
//! them off the decimal that was meant. The decimal and the number of steps give the bits back.
//!
//! ```text
//! decimal head | first integer: zigzag | row of frames of differences | row of frames of steps
//! ```

use super::Columns;
use super::floats::{ROUND_BELOW, integer_deltas, push_decimal_head};
use super::frame;
use crate::kernels::{MAGIC, POW10};
use crate::mem::varint::push_i64;

/// Largest exponent that is tried: nanoseconds.
pub(super) const EXPONENT_MAX: u8 = 9;

/// Most steps beside the decimal.
const STEPS_MAX: i64 = 8;

/// Values by which an exponent is judged.
const JUDGED_COUNT: usize = 32;

/// The integer that stands for `value`, and the steps between its decimal and the value, if they are
/// few.
#[inline]
fn near(value: f64, exponent: u8) -> Option<(i64, i64)> {
    let power = POW10[usize::from(exponent)];
    let scaled = value * power;
    if scaled.abs() >= ROUND_BELOW || scaled.is_nan() {
        return None;
    }
    let rounded = (scaled + MAGIC) - MAGIC;
    let steps = value.to_bits().wrapping_sub((rounded / power).to_bits()) as i64;
    (-STEPS_MAX..=STEPS_MAX).contains(&steps).then_some((rounded as i64, steps))
}

/// Appends the column; `false` and nothing appended when too much of it lies beside no decimal.
pub(super) fn push(out: &mut Vec<u8>, values: &[f64], work: &mut Columns) -> bool {
    let judged = || values.iter().step_by(values.len().div_ceil(JUDGED_COUNT));
    let is_good = |&exponent: &u8| {
        let count = judged().filter(|&&value| near(value, exponent).is_some()).count();
        count * 8 >= judged().count() * 7
    };
    let Some(exponent) = (0..=EXPONENT_MAX).find(is_good) else { return false };
    work.integers.clear();
    work.positions.clear();
    work.steps.clear();
    let first = values.iter().find_map(|&value| near(value, exponent));
    let Some((mut previous, _)) = first else { return false };
    for (position, &value) in values.iter().enumerate() {
        let steps = match near(value, exponent) {
            Some((integer, steps)) => {
                previous = integer;
                steps
            }
            None => {
                work.positions.push(position as u32);
                0
            }
        };
        work.integers.push(previous);
        work.steps.push(steps);
    }
    if work.positions.len() > values.len() / 4 + 1 {
        return false;
    }
    integer_deltas(work);
    push_decimal_head(out, values, exponent, work);
    push_i64(out, work.integers[0]);
    frame::plan_row(&work.other_integers, &mut work.other_plans);
    frame::push_row(out, &work.other_integers, &work.other_plans);
    frame::plan_row(&work.steps, &mut work.plans);
    frame::push_row(out, &work.steps, &work.plans);
    true
}

/// Takes the steps off the front of `bytes`, and moves the decimals `out` by them.
pub(super) fn take(bytes: &mut &[u8], out: &mut [f64]) -> Option<()> {
    let mut steps = [0u64; frame::FRAME_COUNT];
    let mut row = frame::RowReader::default();
    for values in out.chunks_mut(frame::FRAME_COUNT) {
        let steps = &mut steps[..values.len()];
        row.take_integers(bytes, steps)?;
        for (value, step) in values.iter_mut().zip(steps) {
            *value = f64::from_bits(value.to_bits().wrapping_add(*step));
        }
    }
    Some(())
}
