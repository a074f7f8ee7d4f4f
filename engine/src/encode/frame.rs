//! Frames of reference: a column of integers as one base, equally wide offsets, and exceptions.
//!
//! ```text
//! base: zigzag varint | width: u8 | shift: u8 | exception_count: varint
//! | exceptions: ( position - previous position: varint, upper bits: varint )*
//! | offsets: count · width bits
//! ```
//!
//! A value is `base + (offset << shift)`. The shift drops the low bits that no offset has (memory
//! comes in pages). An offset that is wider than the others has its lower bits in place and the
//! upper ones among the exceptions; so one missed scrape, one counter reset, or a long tail does not
//! widen the whole column.
//!
//! Source: PFOR as in Zukowski et al., "Super-Scalar RAM-CPU Cache Compression", ICDE 2006; upper
//! bits apart as in Yan, Ding, Suel, "Inverted Index Compression and Query Processing with Optimized
//! Document Ordering", WWW 2009.

use crate::kernels::{self, OffsetScale, PackedOffsets};
use crate::mem::varint::{
    bytes_of_u64, push_i64, push_u64, take_bytes, take_i64, take_u64, zigzag,
};

/// How a column will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FramePlan {
    base: i64,
    shift: u32,
    /// Bits of an offset in place; those that need more, or lie below the base, are exceptions.
    width: u32,
    exception_count: usize,
    /// Bytes that the frame will take, or a few more.
    pub(super) bytes: usize,
}

/// Values of a frame where a column has many.
pub(super) const FRAME_COUNT: usize = 128;

/// In a row of frames: bit of the width that says that shift and exceptions follow.
const MORE: u8 = 0x80;

/// Bits that an exception costs of whose offset so many do not stand in place: its position, mostly
/// a byte, those bits in bytes of seven, and what it costs to decode.
fn exception_bits(upper_bits: usize) -> usize {
    const DECODING_BITS: usize = 4;
    8 + 8 * upper_bits.div_ceil(7) + DECODING_BITS
}

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
    let widest = (64 - range.leading_zeros()) as usize;
    let mut needs = Needs::default();
    if widest > 0 || below_count > 0 {
        needs.count(column, base);
    }
    let shift = if needs.used == 0 { 0 } else { needs.used.trailing_zeros() };
    // From the widest down: each step turns the values that need this width into exceptions.
    let cost = |width: usize| {
        let exceptions =
            needs.wider(width).map(|bits| needs.of(bits) * exception_bits(bits - width));
        column.len() * (width - (shift as usize).min(width)) + exceptions.sum::<usize>()
    };
    let mut width = widest;
    let mut best = cost(widest);
    // Those below the base have large offsets: mostly, as differences wrap, and so they are counted.
    let mut count = needs.wider(widest).map(|bits| needs.of(bits)).sum::<usize>();
    let mut exception_count = count;
    for narrower in (shift as usize..widest).rev() {
        count += needs.of(narrower + 1);
        // Worse from here on: exceptions cost more than a bit each.
        if count > column.len() / 4 + 1 {
            break;
        }
        let here = cost(narrower);
        if here < best {
            (best, width, exception_count) = (here, narrower, count);
        }
    }
    let head = bytes_of_u64(zigzag(base)) + 2 + bytes_of_u64(exception_count as u64);
    FramePlan {
        base,
        shift,
        width: (width as u32).saturating_sub(shift),
        exception_count,
        bytes: head + best.div_ceil(8),
    }
}

/// Offsets of a column by the bits they need.
struct Needs {
    /// Twice, for neighbours: a count that is raised again at once waits for itself.
    counts: [[u32; 65]; 2],
    /// Bit `n - 1` is set if an offset needs `n` bits.
    present: u64,
    /// All bits that any offset has.
    used: u64,
}

impl Default for Needs {
    fn default() -> Needs {
        Needs { counts: [[0; 65]; 2], present: 0, used: 0 }
    }
}

impl Needs {
    fn count(&mut self, column: &[i64], base: i64) {
        let mut pairs = column.chunks_exact(2);
        for pair in &mut pairs {
            self.count_one(0, pair[0].wrapping_sub(base) as u64);
            self.count_one(1, pair[1].wrapping_sub(base) as u64);
        }
        for &value in pairs.remainder() {
            self.count_one(0, value.wrapping_sub(base) as u64);
        }
    }

    #[inline(always)]
    fn count_one(&mut self, of: usize, offset: u64) {
        let bits = 64 - offset.leading_zeros();
        self.counts[of][bits as usize] += 1;
        self.present |= 1u64.wrapping_shl(bits.wrapping_sub(1)) & offset;
        self.used |= offset;
    }

    /// Offsets that need so many bits.
    #[inline]
    fn of(&self, bits: usize) -> usize {
        (self.counts[0][bits] + self.counts[1][bits]) as usize
    }

    /// The numbers of bits above `width` that offsets need.
    #[inline]
    fn wider(&self, width: usize) -> impl Iterator<Item = usize> {
        let mut left = self.present & u64::MAX.checked_shl(width as u32).unwrap_or(0);
        std::iter::from_fn(move || {
            let bits = (left != 0).then(|| left.trailing_zeros() as usize + 1)?;
            left &= left - 1;
            Some(bits)
        })
    }
}

impl FramePlan {
    fn offset(&self, value: i64) -> u64 {
        value.wrapping_sub(self.base) as u64 >> self.shift
    }

    /// The bits of an offset that do not stand in place.
    fn upper(&self, offset: u64) -> u64 {
        if self.width == 64 { 0 } else { offset >> self.width }
    }
}

/// Appends `column` as planned.
pub(super) fn push(out: &mut Vec<u8>, column: &[i64], plan: &FramePlan) {
    push_i64(out, plan.base);
    out.push(plan.width as u8);
    out.push(plan.shift as u8);
    push_u64(out, plan.exception_count as u64);
    push_exceptions(out, column, plan);
    push_offsets(out, column, plan);
}

fn push_exceptions(out: &mut Vec<u8>, column: &[i64], plan: &FramePlan) {
    if plan.exception_count > 0 {
        let mut previous = 0;
        for (position, &value) in column.iter().enumerate() {
            let upper = plan.upper(plan.offset(value));
            if upper != 0 {
                push_u64(out, (position - previous) as u64);
                push_u64(out, upper);
                previous = position;
            }
        }
    }
}

fn push_offsets(out: &mut Vec<u8>, column: &[i64], plan: &FramePlan) {
    if plan.width == 0 {
        return;
    }
    let mask = u64::MAX >> (64 - plan.width);
    let mut bits = BitPacker::default();
    for &value in column {
        bits.push(out, plan.offset(value) & mask, plan.width);
    }
    bits.finish(out);
}

/// Takes a frame of `out.len()` values off the front of `bytes` and decodes it into `out`, as the
/// bits of `i64`. `None` when the bytes are not a frame.
pub(super) fn take(bytes: &mut &[u8], out: &mut [u64]) -> Option<()> {
    Frame::take(bytes, out.len())?.integers(out);
    Some(())
}

/// A frame as it stands in bytes.
pub(super) struct Frame<'a>(PackedOffsets<'a, Exceptions<'a>>);

/// Exceptions that were found to be whole.
#[derive(Clone, Copy, Debug)]
struct Exceptions<'a> {
    bytes: &'a [u8],
    left_count: u64,
    position: usize,
}

impl Exceptions<'_> {
    fn take_one(&mut self) -> Option<(usize, u64)> {
        let step = usize::try_from(take_u64(&mut self.bytes)?).ok()?;
        self.position = self.position.checked_add(step)?;
        Some((self.position, take_u64(&mut self.bytes)?))
    }
}

impl Iterator for Exceptions<'_> {
    type Item = (usize, u64);

    #[inline]
    fn next(&mut self) -> Option<(usize, u64)> {
        self.left_count = self.left_count.checked_sub(1)?;
        self.take_one()
    }
}

impl<'a> Frame<'a> {
    /// Takes a frame of `count` values off the front of `bytes`; `None` when the bytes are none.
    pub fn take(bytes: &mut &'a [u8], count: usize) -> Option<Frame<'a>> {
        let base = take_i64(bytes)?;
        let &[width, shift] = take_bytes(bytes, 2)?.first_chunk::<2>()?;
        let exception_count = take_u64(bytes)?;
        Frame::take_values(bytes, base, [width, shift], exception_count, count)
    }

    /// Takes exceptions and offsets.
    fn take_values(
        bytes: &mut &'a [u8],
        base: i64,
        [width, shift]: [u8; 2],
        exception_count: u64,
        count: usize,
    ) -> Option<Frame<'a>> {
        if width > 64 || shift > 63 || exception_count > count as u64 {
            return None;
        }
        let width = u32::from(width);
        let mut offset_max = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
        let exceptions = Exceptions { bytes, left_count: exception_count, position: 0 };
        let mut walked = exceptions;
        for _ in 0..exception_count {
            let (position, upper) = walked.take_one()?;
            offset_max |= upper.checked_shl(width)?;
            if position >= count {
                return None;
            }
        }
        // The bytes behind the offsets, if any, let the last group load whole words.
        let offsets = walked.bytes;
        *bytes = offsets;
        take_bytes(bytes, (count * width as usize).div_ceil(8))?;
        let scale = OffsetScale { base, shift: u32::from(shift), offset_max };
        Some(Frame(PackedOffsets { bytes: offsets, width, count, scale, exceptions }))
    }

    /// Decodes the values into `out`.
    fn integers(&self, out: &mut [u64]) {
        self.0.unpack(out);
        kernels::scale_offsets(out, self.0.scale);
    }

    /// Appends the values divided by `10^exponent`.
    pub fn append_decimals(&self, exponent: u8, out: &mut Vec<f64>) {
        kernels::append_offsets(self.0, exponent, out);
    }

    /// As [`Frame::append_decimals`], of the integers whose differences the values are, from `before`
    /// on. Replaces this by the last, behind a frame of [`FRAME_COUNT`].
    pub fn append_sums(&self, before: &mut i64, exponent: u8, out: &mut Vec<f64>) {
        let last = kernels::append_steps(self.0, *before, exponent, out);
        *before = last.unwrap_or(*before);
    }
}

const _: () = assert!(FRAME_COUNT.is_multiple_of(8)); // Then `append_steps` returns the last.

/// Finds the cheapest row of frames of [`FRAME_COUNT`] values each for `column`; returns the bytes it
/// will take, or a few more. The plans replace those of `plans`.
pub(super) fn plan_row(column: &[i64], plans: &mut Vec<FramePlan>) -> usize {
    plans.clear();
    plans.extend(column.chunks(FRAME_COUNT).map(plan));
    let mut previous = 0;
    let bytes = plans.iter().map(|plan| {
        let step = plan.base.wrapping_sub(previous);
        previous = plan.base;
        // The plan counts a base of its own, shift and exceptions, which most frames do not need.
        let head = bytes_of_u64(zigzag(plan.base)) + if plan.is_short() { 2 } else { 0 };
        plan.bytes + bytes_of_u64(zigzag(step)) - head
    });
    bytes.sum()
}

impl FramePlan {
    fn is_short(&self) -> bool {
        self.shift == 0 && self.exception_count == 0
    }
}

/// Appends `column` as a row of frames, as planned:
///
/// ```text
/// base - base before: zigzag | width, +128 if more follows: 1
/// | more: shift: u8 | exception_count: varint | exceptions | offsets
/// ```
pub(super) fn push_row(out: &mut Vec<u8>, column: &[i64], plans: &[FramePlan]) {
    let mut previous = 0;
    for (values, plan) in column.chunks(FRAME_COUNT).zip(plans) {
        push_i64(out, plan.base.wrapping_sub(previous));
        previous = plan.base;
        if plan.is_short() {
            out.push(plan.width as u8);
        } else {
            out.push(plan.width as u8 | MORE);
            out.push(plan.shift as u8);
            push_u64(out, plan.exception_count as u64);
            push_exceptions(out, values, plan);
        }
        push_offsets(out, values, plan);
    }
}

/// Reads a row, frame by frame.
#[derive(Default)]
pub(super) struct RowReader {
    /// Base of the frame before.
    base: i64,
}

impl RowReader {
    /// Takes the next frame off the front of `bytes`; all but the last of a row have
    /// [`FRAME_COUNT`] values.
    pub(super) fn take<'a>(&mut self, bytes: &mut &'a [u8], count: usize) -> Option<Frame<'a>> {
        self.base = self.base.wrapping_add(take_i64(bytes)?);
        let head = take_bytes(bytes, 1)?[0];
        let (shift, exception_count) = match head & MORE {
            0 => (0, 0),
            _ => (take_bytes(bytes, 1)?[0], take_u64(bytes)?),
        };
        Frame::take_values(bytes, self.base, [head & !MORE, shift], exception_count, count)
    }

    /// As [`take`], of the next frame.
    pub(super) fn take_integers(&mut self, bytes: &mut &[u8], out: &mut [u64]) -> Option<()> {
        self.take(bytes, out.len())?.integers(out);
        Some(())
    }
}

/// Collects values of some bits each into bytes, lowest bit first.
#[derive(Default)]
pub(crate) struct BitPacker {
    pending: u64,
    pending_bits: u32,
}

impl BitPacker {
    /// `value` has at most `width` bits.
    #[inline]
    pub fn push(&mut self, out: &mut Vec<u8>, value: u64, width: u32) {
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

    pub fn finish(self, out: &mut Vec<u8>) {
        let bytes = self.pending_bits.div_ceil(8) as usize;
        out.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
    }
}

#[cfg(test)]
mod tests {
    use super::{FRAME_COUNT, RowReader, plan, plan_row, push, push_row, take};

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
        check_row(column, usize::MAX);
    }

    fn take_row(bytes: &mut &[u8], out: &mut [u64]) -> Option<()> {
        let mut row = RowReader::default();
        out.chunks_mut(FRAME_COUNT).try_for_each(|values| row.take_integers(bytes, values))
    }

    /// As [`check`], for a row of frames.
    #[track_caller]
    fn check_row(column: &[i64], bytes: usize) {
        let (mut out, mut plans) = (vec![], vec![]);
        let planned = plan_row(column, &mut plans);
        push_row(&mut out, column, &plans);
        assert!(out.len() <= planned.min(bytes), "{} bytes, planned {planned}", out.len());
        let mut back = vec![0; column.len()];
        let mut rest = &out[..];
        take_row(&mut rest, &mut back).unwrap();
        assert!(rest.is_empty());
        assert!(back.iter().zip(column).all(|(&back, &value)| back as i64 == value));
        for end in 0..out.len() {
            assert!(take_row(&mut &out[..end], &mut back).is_none());
        }
    }

    #[test]
    fn rows_follow_their_values() {
        // Far away, and again elsewhere: each frame has its own base.
        let drift: Vec<i64> = (0..1440).map(|n| (n / 128) * 1_000_000 + n % 16).collect();
        check_row(&drift, 12 * (64 + 5));
        check_row(&[7; 1440], 25);
        let mut seldom = vec![0; 1440];
        seldom.iter_mut().step_by(50).for_each(|value| *value = 1);
        check_row(&seldom, 120);
    }

    #[test]
    fn frames_are_as_narrow_as_their_values() {
        check(&[], 4);
        check(&[5; 100], 4);
        check(&[i64::MIN, i64::MAX], 40);
        let max = i64::MAX;
        check(&[i64::MIN, max - 2, max - 1, max, max - 2, max - 1], 70);
        check(&[i64::MIN, max, max, max, max, max], 70);
        check(&[max, i64::MIN, i64::MIN + 1, i64::MIN + 2, i64::MIN], 70);
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
