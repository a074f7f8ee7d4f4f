//! Timestamps: strictly ascending, mostly on a grid.
//!
//! The chunk's header has the first, the last and the count, so that a column with a constant step
//! takes no bytes at all.

use super::frame;
use super::{Columns, DecodeError};
use crate::kernels;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TimestampCodec {
    /// Equal steps: nothing is written.
    Step = 0,
    /// A frame of the differences between neighbours.
    Deltas = 1,
    /// A frame of the differences to the straight line from the first to the last: scrapes that
    /// jitter around a grid.
    Line = 2,
}

impl TimestampCodec {
    pub const ALL: [TimestampCodec; 3] =
        [TimestampCodec::Step, TimestampCodec::Deltas, TimestampCodec::Line];

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| *codec as u8 == code)
    }
}

/// Longest span whose line is exact in doubles.
const LINE_SPAN_MS_MAX: u64 = 1 << 50;

/// Step of the straight line from the first timestamp to the last of `count`; `None` when the span
/// is too long for it.
fn line_step_ms(first_ms: i64, last_ms: i64, count: usize) -> Option<f64> {
    let span_ms = last_ms.wrapping_sub(first_ms) as u64;
    let steps = count.saturating_sub(1).max(1);
    (span_ms <= LINE_SPAN_MS_MAX).then(|| span_ms as f64 / steps as f64)
}

/// Whether all steps of the column are equal.
fn has_equal_steps(timestamps_ms: &[i64]) -> bool {
    let [first, second, ..] = timestamps_ms else { return true };
    let step_ms = second.wrapping_sub(*first);
    timestamps_ms.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step_ms)
}

fn push_deltas(work: &mut Vec<i64>, timestamps_ms: &[i64]) {
    work.clear();
    work.extend(timestamps_ms.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
}

/// Whether the column has a line; if so, `work` holds the differences to it.
fn push_line(work: &mut Vec<i64>, timestamps_ms: &[i64]) -> bool {
    work.clear();
    let (first_ms, last_ms) = (timestamps_ms[0], timestamps_ms[timestamps_ms.len() - 1]);
    let Some(step_ms) = line_step_ms(first_ms, last_ms, timestamps_ms.len()) else { return false };
    let difference = |(index, &timestamp_ms): (usize, &i64)| {
        timestamp_ms.wrapping_sub(kernels::line_point(index, first_ms, step_ms))
    };
    work.extend(timestamps_ms.iter().enumerate().map(difference));
    true
}

/// Appends the column with `codec`; `false` and nothing appended when the codec cannot hold it.
pub(super) fn push(
    out: &mut Vec<u8>,
    timestamps_ms: &[i64],
    codec: TimestampCodec,
    work: &mut Columns,
) -> bool {
    match codec {
        TimestampCodec::Step => return has_equal_steps(timestamps_ms),
        TimestampCodec::Deltas => push_deltas(&mut work.integers, timestamps_ms),
        TimestampCodec::Line if !push_line(&mut work.integers, timestamps_ms) => return false,
        TimestampCodec::Line => {}
    }
    let plan = frame::plan(&work.integers);
    frame::push(out, &work.integers, &plan);
    true
}

/// Appends the column with the codec that takes the fewest bytes.
pub(super) fn push_best(
    out: &mut Vec<u8>,
    timestamps_ms: &[i64],
    work: &mut Columns,
) -> TimestampCodec {
    if has_equal_steps(timestamps_ms) {
        return TimestampCodec::Step;
    }
    push_deltas(&mut work.integers, timestamps_ms);
    let deltas = frame::plan(&work.integers);
    if push_line(&mut work.other_integers, timestamps_ms) {
        let line = frame::plan(&work.other_integers);
        if line.bytes < deltas.bytes {
            frame::push(out, &work.other_integers, &line);
            return TimestampCodec::Line;
        }
    }
    frame::push(out, &work.integers, &deltas);
    TimestampCodec::Deltas
}

/// Appends the `count` timestamps of the section `bytes` to `out`; on an error it may have appended
/// anything. The first and last timestamp are the header's.
pub(super) fn decode(
    mut bytes: &[u8],
    codec: TimestampCodec,
    first_ms: i64,
    last_ms: i64,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), DecodeError> {
    let broken = DecodeError::Timestamps;
    let start = out.len();
    match codec {
        TimestampCodec::Step => {
            let span_ms = last_ms.wrapping_sub(first_ms) as u64;
            let steps = (count as u64 - 1).max(1);
            let step_ms = span_ms / steps;
            kernels::append_grid(out, count, first_ms, step_ms as i64);
            let is_even = step_ms * steps == span_ms && (step_ms > 0 || count == 1);
            return if is_even && bytes.is_empty() { Ok(()) } else { Err(broken) };
        }
        TimestampCodec::Deltas => {
            out.resize(start + count, first_ms);
            let deltas = bytemuck::cast_slice_mut(&mut out[start + 1..]);
            frame::take(&mut bytes, deltas).ok_or(broken)?;
            kernels::add_up(first_ms as u64, deltas);
        }
        TimestampCodec::Line => {
            let step_ms = line_step_ms(first_ms, last_ms, count).ok_or(broken)?;
            out.resize(start + count, 0);
            let out = &mut out[start..];
            frame::take(&mut bytes, bytemuck::cast_slice_mut(out)).ok_or(broken)?;
            kernels::add_line(out, first_ms, step_ms);
        }
    }
    let out = &out[start..];
    let meets_header = out[0] == first_ms && out[count - 1] == last_ms;
    if bytes.is_empty() && meets_header && kernels::ascends(out) { Ok(()) } else { Err(broken) }
}
