//! Timestamps: strictly ascending, mostly on a grid.
//!
//! The chunk's header has the first, the last and the count, so that a column with a constant step
//! takes no bytes at all.

use super::frame;
use super::{Columns, DecodeError};

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

    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| *codec as u8 == code)
    }
}

/// Points of the straight line from the first timestamp to the last, `count` of them, each rounded
/// down to a millisecond. Exact in integers: encoder and decoder meet on every machine.
struct LinePoints {
    point_ms: i64,
    step_ms: u64,
    /// The step's fraction and what has gathered of it, in units of `1 / steps`.
    fraction: u64,
    gathered: u64,
    steps: u64,
}

impl LinePoints {
    fn new(first_ms: i64, last_ms: i64, count: usize) -> Self {
        let steps = (count as u64).saturating_sub(1).max(1);
        let span_ms = last_ms.wrapping_sub(first_ms) as u64;
        let (step_ms, fraction) = (span_ms / steps, span_ms % steps);
        LinePoints { point_ms: first_ms, step_ms, fraction, gathered: 0, steps }
    }

    #[inline]
    fn next(&mut self) -> i64 {
        let point_ms = self.point_ms;
        self.gathered += self.fraction;
        let carry = u64::from(self.gathered >= self.steps);
        self.gathered -= carry * self.steps;
        self.point_ms = point_ms.wrapping_add((self.step_ms + carry) as i64);
        point_ms
    }
}

/// Whether all steps of the column are equal.
fn has_equal_steps(timestamps_ms: &[i64]) -> bool {
    let [first, second, ..] = timestamps_ms else { return true };
    let step_ms = second.wrapping_sub(*first);
    timestamps_ms.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step_ms)
}

/// Fills `work` with what the frame of `codec` holds.
fn differences(timestamps_ms: &[i64], codec: TimestampCodec, work: &mut Vec<i64>) {
    work.clear();
    let (first_ms, last_ms) = (timestamps_ms[0], timestamps_ms[timestamps_ms.len() - 1]);
    match codec {
        TimestampCodec::Step => {}
        TimestampCodec::Deltas => {
            work.extend(timestamps_ms.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
        }
        TimestampCodec::Line => {
            let mut line = LinePoints::new(first_ms, last_ms, timestamps_ms.len());
            work.extend(timestamps_ms.iter().map(|&ms| ms.wrapping_sub(line.next())));
        }
    }
}

/// Appends the column with `codec`; `false` and nothing appended when the codec cannot hold it.
pub(super) fn push(
    out: &mut Vec<u8>,
    timestamps_ms: &[i64],
    codec: TimestampCodec,
    work: &mut Columns,
) -> bool {
    if codec == TimestampCodec::Step {
        return has_equal_steps(timestamps_ms);
    }
    differences(timestamps_ms, codec, &mut work.integers);
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
    differences(timestamps_ms, TimestampCodec::Deltas, &mut work.integers);
    differences(timestamps_ms, TimestampCodec::Line, &mut work.other_integers);
    let (deltas, line) = (frame::plan(&work.integers), frame::plan(&work.other_integers));
    if deltas.bytes <= line.bytes {
        frame::push(out, &work.integers, &deltas);
        TimestampCodec::Deltas
    } else {
        frame::push(out, &work.other_integers, &line);
        TimestampCodec::Line
    }
}

/// Decodes the section `bytes` into `out`, whose length is the count. The first and last timestamp
/// are the header's.
pub(super) fn decode(
    mut bytes: &[u8],
    codec: TimestampCodec,
    first_ms: i64,
    last_ms: i64,
    out: &mut [i64],
) -> Result<(), DecodeError> {
    let broken = DecodeError::Timestamps;
    let count = out.len();
    match codec {
        TimestampCodec::Step => {
            let step_ms = LinePoints::new(first_ms, last_ms, count).step_ms as i64;
            for (index, timestamp_ms) in out.iter_mut().enumerate() {
                *timestamp_ms = first_ms.wrapping_add(step_ms.wrapping_mul(index as i64));
            }
        }
        TimestampCodec::Deltas => {
            let deltas = bytemuck::cast_slice_mut(&mut out[1..]);
            frame::take(&mut bytes, deltas).ok_or(broken)?;
            out[0] = first_ms;
            let mut timestamp_ms = first_ms;
            for slot in &mut out[1..] {
                timestamp_ms = timestamp_ms.wrapping_add(*slot);
                *slot = timestamp_ms;
            }
        }
        TimestampCodec::Line => {
            frame::take(&mut bytes, bytemuck::cast_slice_mut(out)).ok_or(broken)?;
            let mut line = LinePoints::new(first_ms, last_ms, count);
            for timestamp_ms in out.iter_mut() {
                *timestamp_ms = timestamp_ms.wrapping_add(line.next());
            }
        }
    }
    let ascends = out.windows(2).fold(true, |ascends, pair| ascends & (pair[0] < pair[1]));
    let meets_header = out[0] == first_ms && out[count - 1] == last_ms;
    if bytes.is_empty() && ascends && meets_header { Ok(()) } else { Err(broken) }
}
