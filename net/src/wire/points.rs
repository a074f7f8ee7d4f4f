//! The floats of a matrix as JSON: points whose times every row shares.
//!
//! ```text
//! "],[12.050,"1.5"],[13.050,"2"],[14.050,"2.5"]]
//! ├─ head ──┤   ├─ head ──┤   ├─ head ──┤
//! ```
//!
//! What stands between two numbers is made once and copied for each row, with what stands behind it,
//! as the numbers are: a copy of fixed size is two instructions.

use engine::exec::row::RowRef;

use super::float::{PLACE_BYTES, place_f};
use super::json::{push_number, push_timestamp};

/// The end of a point, and what begins the next one.
const BETWEEN: &[u8] = b"\"],";

/// Of every timestamp that is an i64: sign, 16 digits, point, 3 digits; and what stands around.
const HEAD_BYTES: usize = 32;

/// Most that a point writes.
const POINT_BYTES: usize = HEAD_BYTES + PLACE_BYTES;

/// Text that is collected before it is appended.
const BLOCK_BYTES: usize = 2048;

/// The times of a grid as points begin with them.
#[derive(Clone, Debug, Default)]
pub struct PointHeads {
    heads: Vec<([u8; HEAD_BYTES], u8)>,
}

impl PointHeads {
    pub fn new(times_ms: impl Iterator<Item = i64>) -> PointHeads {
        let head = |time_ms| {
            let mut text = BETWEEN.to_vec();
            text.push(b'[');
            push_timestamp(&mut text, time_ms);
            text.extend_from_slice(b",\"");
            let mut head = [0; HEAD_BYTES];
            head[..text.len()].copy_from_slice(&text);
            (head, text.len() as u8)
        };
        PointHeads { heads: times_ms.map(head).collect() }
    }

    /// Appends `before` and the floats of a row as `[[12.050,"1.5"],…]`; of a row without floats,
    /// nothing.
    pub fn push_floats(&self, out: &mut Vec<u8>, before: &[u8], row: RowRef<'_>) {
        let mut block = Block { bytes: [0; BLOCK_BYTES], length: 0 };
        let mut is_first = true;
        row.for_each_float(|step, value| {
            if block.length > BLOCK_BYTES - POINT_BYTES {
                block.append_to(out, 0);
            }
            block.push_head(&self.heads[step]);
            if is_first {
                is_first = false;
                out.extend_from_slice(before);
                out.push(b'[');
                // Nothing ends before it.
                block.append_to(out, BETWEEN.len());
            }
            if !block.push_number(value) {
                block.append_to(out, 0);
                push_number(out, value);
            }
        });
        if !is_first {
            block.append_to(out, 0);
            out.extend_from_slice(b"\"]]");
        }
    }
}

struct Block {
    bytes: [u8; BLOCK_BYTES],
    length: usize,
}

impl Block {
    #[inline]
    fn push_head(&mut self, (head, length): &([u8; HEAD_BYTES], u8)) {
        self.bytes[self.length..][..HEAD_BYTES].copy_from_slice(head);
        self.length += usize::from(*length);
    }

    /// Whether it is a number as most are.
    #[inline]
    fn push_number(&mut self, value: f64) -> bool {
        let room = self.bytes[self.length..].first_chunk_mut::<PLACE_BYTES>();
        let placed = room.and_then(|room| place_f(room, value));
        self.length += placed.unwrap_or(0);
        placed.is_some()
    }

    /// Moves its text to `out`, without the first `skipped` bytes.
    fn append_to(&mut self, out: &mut Vec<u8>, skipped: usize) {
        out.extend_from_slice(&self.bytes[skipped..self.length]);
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use engine::exec::row::Row;
    use engine::model::FloatHistogram;

    use super::*;
    use crate::wire::json::push_point;

    /// What the points give one by one.
    fn expected(points: &[(i64, f64)]) -> Vec<u8> {
        let mut out = vec![];
        for (index, (time_ms, value)) in points.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"k[" } else { b"," });
            push_point(&mut out, *time_ms, *value);
        }
        if !points.is_empty() {
            out.push(b']');
        }
        out
    }

    #[track_caller]
    fn check(times_ms: &[i64], points: &[Option<f64>], histogram_at: Option<usize>) {
        let mut row = Row::default();
        row.reset(times_ms.len());
        let mut floats = vec![];
        for (step, value) in points.iter().enumerate() {
            let Some(value) = *value else { continue };
            row.set(step, value);
            if histogram_at == Some(step) {
                row.set_histogram(step, FloatHistogram::default().into());
            } else {
                floats.push((times_ms[step], value));
            }
        }
        let mut out = vec![];
        PointHeads::new(times_ms.iter().copied()).push_floats(&mut out, b"k", row.as_ref());
        assert_eq!(out.escape_ascii().to_string(), expected(&floats).escape_ascii().to_string());
    }

    #[test]
    fn rows_are_their_points() {
        let times_ms = [0, 999, -1, 1_435_781_451_781, 12_000, i64::MIN, i64::MAX];
        for value in
            [0.0, -1.5, f64::NAN, f64::INFINITY, 1e300, 1e-9, 0.1 + 0.2, -(1i64 << 52) as f64]
        {
            check(&times_ms, &[Some(value); 7], None);
            check(&times_ms, &[Some(value), None, Some(1.0), None, None, Some(value)], Some(2));
        }
        check(&times_ms, &[None; 7], None);
        check(&times_ms, &[Some(1.0)], Some(0));
        let times_ms: Vec<i64> = (0..1000).map(|step| step * 15_000 + 1_700_000_000_123).collect();
        let values: Vec<Option<f64>> =
            (0..1000).map(|step| (step % 7 != 0).then_some(f64::from(step) / 7.0)).collect();
        check(&times_ms, &values, Some(500));
    }
}
