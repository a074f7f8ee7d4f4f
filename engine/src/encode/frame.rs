//! Frames of reference: a column of integers as one base, equally wide offsets, and exceptions.
//!
//! ```text
//! base: zigzag varint | width: u8 | shift: u8 | exception_count: varint
//! | exceptions: ( position - previous position: varint, value - base: zigzag varint )*
//! | offsets: count · width bits
//! ```
//!
//! A value is `base + (offset << shift)`, an exception's is `base + difference`; its offset is
//! zero. The shift drops the low bits that no offset has (memory comes in pages). Exceptions keep
//! one missed scrape or one counter reset from widening the whole column.
//!
//! Source: PFOR as in Zukowski et al., "Super-Scalar RAM-CPU Cache Compression", ICDE 2006.

use crate::kernels;
use crate::mem::varint::{
    bytes_of_u64, push_i64, push_u64, take_bytes, take_i64, take_u64, zigzag,
};

/// How a column will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FramePlan {
    base: i64,
    /// Bits of an offset before the shift; values that need more, or lie below the base, are
    /// exceptions.
    reach_bits: u32,
    shift: u32,
    exception_count: usize,
    /// Bytes that the frame will take, or a few more.
    pub(super) bytes: usize,
}

/// Bytes that one exception costs, about: its position and its value.
const EXCEPTION_BITS: usize = 8 + 32;

/// Finds the cheapest frame for `column`. O(count), no allocation.
pub(super) fn plan(column: &[i64]) -> FramePlan {
    let (mut lowest, mut second, mut highest) = (i64::MAX, i64::MAX, i64::MIN);
    for &value in column {
        let larger = lowest.max(value);
        lowest = lowest.min(value);
        second = second.min(larger);
        highest = highest.max(value);
    }
    if column.is_empty() {
        lowest = 0;
    }
    let plain = plan_from(column, lowest, highest, 0);
    // One value far below the others (a counter's reset among its deltas) is an exception too.
    let gap = second.wrapping_sub(lowest) as u64;
    let rest = highest.wrapping_sub(second) as u64;
    if column.len() < 4 || second == i64::MAX || gap <= rest.saturating_mul(4) {
        return plain;
    }
    let above = plan_from(column, second, highest, 1);
    if above.bytes < plain.bytes { above } else { plain }
}

/// The cheapest frame on `base`, below which `below_count` values lie.
fn plan_from(column: &[i64], base: i64, highest: i64, below_count: usize) -> FramePlan {
    let range = highest.wrapping_sub(base) as u64;
    let widest = 64 - range.leading_zeros();
    let mut needing = [0u16; 65];
    let mut exponent_bits = [0u64; 65];
    if widest > 0 {
        for &value in column.iter().filter(|&&value| base <= value) {
            let offset = value.wrapping_sub(base) as u64;
            let bits = (64 - offset.leading_zeros()) as usize;
            needing[bits] += 1;
            exponent_bits[bits] |= offset;
        }
    }
    // From the widest down: each step turns the values that need this width into exceptions.
    let cost =
        |reach: u32, exceptions: usize| column.len() * reach as usize + exceptions * EXCEPTION_BITS;
    let (mut reach_bits, mut exception_count) = (widest, below_count);
    let (mut best, mut exceptions) = (cost(widest, below_count), below_count);
    for reach in (0..widest).rev() {
        exceptions += usize::from(needing[reach as usize + 1]);
        let here = cost(reach, exceptions);
        if here < best {
            (best, reach_bits, exception_count) = (here, reach, exceptions);
        }
    }
    let used = exponent_bits[..=reach_bits as usize].iter().fold(0, |all, bits| all | bits);
    let shift = if used == 0 { 0 } else { used.trailing_zeros() };
    let width = if used == 0 { 0 } else { reach_bits - shift };
    let head = bytes_of_u64(zigzag(base)) + 2 + bytes_of_u64(exception_count as u64);
    let offsets = (column.len() * width as usize).div_ceil(8);
    let bytes = head + offsets + exception_count * EXCEPTION_BITS / 8;
    FramePlan { base, reach_bits, shift, exception_count, bytes }
}

impl FramePlan {
    fn is_exception(&self, value: i64) -> bool {
        let offset = value.wrapping_sub(self.base) as u64;
        value < self.base || 64 - offset.leading_zeros() > self.reach_bits
    }

    fn width(&self, column: &[i64]) -> u32 {
        let all = column.iter().filter(|&&value| !self.is_exception(value));
        let used = all.fold(0, |used, value| used | value.wrapping_sub(self.base) as u64);
        if used == 0 { 0 } else { 64 - used.leading_zeros() - self.shift }
    }
}

/// Appends `column` as planned.
pub(super) fn push(out: &mut Vec<u8>, column: &[i64], plan: &FramePlan) {
    let width = plan.width(column);
    push_i64(out, plan.base);
    out.push(width as u8);
    out.push(plan.shift as u8);
    push_u64(out, plan.exception_count as u64);
    if plan.exception_count > 0 {
        let mut previous = 0;
        for (position, &value) in column.iter().enumerate() {
            if plan.is_exception(value) {
                push_u64(out, (position - previous) as u64);
                push_i64(out, value.wrapping_sub(plan.base));
                previous = position;
            }
        }
    }
    let mut bits = BitPacker::default();
    for &value in column {
        let offset = match plan.exception_count > 0 && plan.is_exception(value) {
            true => 0,
            false => value.wrapping_sub(plan.base) as u64 >> plan.shift,
        };
        bits.push(out, offset, width);
    }
    bits.finish(out);
}

/// Takes a frame of `out.len()` values off the front of `bytes` and decodes it into `out`, as the
/// bits of `i64`. `None` when the bytes are not a frame.
pub(super) fn take(bytes: &mut &[u8], out: &mut [u64]) -> Option<()> {
    let base = take_i64(bytes)?;
    let &[width, shift] = take_bytes(bytes, 2)?.first_chunk::<2>()?;
    if width > 64 || shift > 63 {
        return None;
    }
    let exception_count = take_u64(bytes)?;
    let mut exceptions = *bytes;
    for _ in 0..exception_count {
        take_u64(bytes)?;
        take_u64(bytes)?;
    }
    let offset_bytes = (out.len() * usize::from(width)).div_ceil(8);
    let offsets = *bytes;
    take_bytes(bytes, offset_bytes)?;
    // The bytes behind the offsets, if any, let the last group load whole words.
    kernels::unpack(offsets, u32::from(width), out);
    kernels::scale_offsets(out, base, u32::from(shift));
    let mut position = 0usize;
    for _ in 0..exception_count {
        position = position.checked_add(usize::try_from(take_u64(&mut exceptions)?).ok()?)?;
        let difference = take_i64(&mut exceptions)?;
        *out.get_mut(position)? = base.wrapping_add(difference) as u64;
    }
    Some(())
}

/// Collects values of some bits each into bytes, lowest bit first.
#[derive(Default)]
struct BitPacker {
    pending: u64,
    pending_bits: u32,
}

impl BitPacker {
    /// `value` has at most `width` bits.
    #[inline]
    fn push(&mut self, out: &mut Vec<u8>, value: u64, width: u32) {
        debug_assert!(width == 64 || value >> width == 0);
        if width == 0 {
            return;
        }
        self.pending |= value << self.pending_bits;
        let bits = self.pending_bits + width;
        if bits < 64 {
            self.pending_bits = bits;
            return;
        }
        out.extend_from_slice(&self.pending.to_le_bytes());
        let written = 64 - self.pending_bits;
        self.pending = if written == 64 { 0 } else { value >> written };
        self.pending_bits = bits - 64;
    }

    fn finish(self, out: &mut Vec<u8>) {
        let bytes = self.pending_bits.div_ceil(8) as usize;
        out.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
    }
}

#[cfg(test)]
mod tests {
    use super::{plan, push, take};

    /// Encodes `column`; expects it back and `bytes` at most.
    #[track_caller]
    fn check(column: &[i64], bytes: usize) {
        let mut out = vec![];
        let plan = plan(column);
        push(&mut out, column, &plan);
        assert!(out.len() <= bytes, "{} bytes", out.len());
        let mut back = vec![0; column.len()];
        let mut rest = &out[..];
        take(&mut rest, &mut back).unwrap();
        assert!(rest.is_empty());
        assert!(back.iter().zip(column).all(|(&back, &value)| back as i64 == value));
        for end in 0..out.len() {
            let _ = take(&mut &out[..end], &mut back);
        }
    }

    #[test]
    fn frames_are_as_narrow_as_their_values() {
        check(&[], 4);
        check(&[5; 100], 4);
        check(&[i64::MIN, i64::MAX], 40);
        check(&(0..64).collect::<Vec<_>>(), 4 + 48);
        check(&(0..64).map(|n| n << 12).collect::<Vec<_>>(), 4 + 48); // Pages.
        let mut gap = vec![15_000; 64];
        gap[20] = 3_600_000;
        check(&gap, 16);
        let mut reset = (0..64).map(|n| 100 + n % 4).collect::<Vec<_>>();
        reset[40] = -1_000_000_000;
        check(&reset, 32);
        let mut step = vec![3; 64];
        step[7] = -1_000_000;
        check(&step, 16);
    }
}
