//! Chunks of floats: XOR, and XOR2 with start timestamps.
//!
//! ```text
//! XOR    count: u16 | time: varint, value: 64 | delta: uvarint, xor | ( delta of delta, xor )*
//! XOR2   count: u16 | starts: 8 | time, value, start? | delta, xor2, start? | ( joint, start? )*
//!
//! delta of delta   0 | 10 + 14 bits | 110 + 17 | 1110 + 20 | 1111 + 64
//! xor              0 | 10 bits in the last window | 11 leading: 5, length: 6, bits
//! joint            0 neither changed | 10 value only: 0 in the last window, 1 a new one
//!                  | 110 + 13, 1110 + 20, 11110 + 64 bits of delta of delta, xor2
//!                  | 11111 on time and stale
//! xor2             0 | 10 in the last window | 110 a new one | 111 stale
//! ```
//!
//! Behind a staleness marker, XOR2 compares with the value before it.
//!
//! Source: Prometheus `tsdb/chunkenc/{xor,xor2}.go`.

use super::bits::{BitReader, BitWriter, fits, signed};
use super::starts::{StartsReader, StartsWriter};
use crate::model::sample::{STALE_NAN_BITS, is_stale_nan};

/// What a reader found wrong, to be said with the place.
pub(super) type Broken = &'static str;

/// The last window of bits that differ.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    leading: u32,
    trailing: u32,
}

impl Window {
    /// Before the first value that differs: a writer makes a window then, a reader has all bits.
    pub const NONE: Window = Window { leading: u32::MAX, trailing: 0 };

    fn bits(self) -> u32 {
        64 - self.leading - self.trailing
    }

    /// A new window and its bits, five and six bits before them.
    #[inline]
    fn take_new(&mut self, bits: &mut BitReader<'_>) -> u64 {
        let both = bits.take(11);
        let (leading, length) = ((both >> 6) as u32, (both & 63) as u32);
        let length = if length == 0 { 64 } else { length };
        // Longer than there is room: no writer says so. The reader stays within 64 bits.
        let length = length.min(64 - leading);
        *self = Window { leading, trailing: 64 - leading - length };
        bits.take(length) << self.trailing
    }

    #[inline]
    fn take_same(self, bits: &mut BitReader<'_>) -> u64 {
        bits.take(self.bits()) << self.trailing
    }

    /// Bits in which the value differs from the one before.
    #[inline]
    pub fn take_xor(&mut self, bits: &mut BitReader<'_>) -> u64 {
        let ahead = bits.peek() >> 62;
        match ahead {
            0 | 1 => {
                bits.skip(1);
                0
            }
            2 => {
                bits.skip(2);
                self.take_same(bits)
            }
            _ => {
                bits.skip(2);
                self.take_new(bits)
            }
        }
    }

    /// Whether the bits of `xor` fit the window; otherwise it becomes theirs.
    fn holds(&mut self, xor: u64) -> bool {
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        if self.leading != u32::MAX && leading >= self.leading && trailing >= self.trailing {
            return true;
        }
        *self = Window { leading, trailing };
        false
    }

    fn push_bits(self, xor: u64, is_new: bool, bits: &mut BitWriter) {
        if is_new {
            bits.push(u64::from(self.leading), 5);
            bits.push(u64::from(self.bits() & 63), 6);
        }
        bits.push(xor >> self.trailing, self.bits());
    }

    pub fn push_xor(&mut self, xor: u64, bits: &mut BitWriter) {
        if xor == 0 {
            return bits.push(0, 1);
        }
        let is_new = !self.holds(xor);
        bits.push(if is_new { 0b11 } else { 0b10 }, 2);
        self.push_bits(xor, is_new, bits);
    }
}

/// Appends the samples of an XOR chunk.
///
/// Cost: about 5 ns a sample. Errors: the bytes end early, or times do not ascend; `out` may then
/// hold some of the samples.
pub(super) fn decode_xor(
    chunk: &[u8],
    timestamps_ms: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), Broken> {
    let (count, bytes) = chunk.split_first_chunk().ok_or("chunk header")?;
    let count = usize::from(u16::from_be_bytes(*count));
    let mut bits = BitReader::new(bytes);
    let (mut time_ms, mut value) = (0i64, 0u64);
    let (mut delta_ms, mut window) = (0i64, Window::default());
    // A sample takes two bits at least.
    let room = count.min(bits.left() / 2 + 1);
    timestamps_ms.reserve(room);
    values.reserve(room);
    for index in 0..count {
        let before_ms = time_ms;
        match index {
            0 => {
                time_ms = bits.take_varint();
                value = bits.take(64);
            }
            1 => {
                delta_ms = bits.take_uvarint() as i64;
                time_ms = time_ms.wrapping_add(delta_ms);
                value ^= window.take_xor(&mut bits);
            }
            _ => {
                let ahead = bits.peek();
                if ahead >> 63 == 0 {
                    bits.skip(1);
                } else {
                    delta_ms = delta_ms.wrapping_add(take_delta_of_delta(&mut bits, ahead));
                }
                time_ms = time_ms.wrapping_add(delta_ms);
                value ^= window.take_xor(&mut bits);
            }
        }
        if index > 0 && time_ms <= before_ms {
            return Err("timestamps");
        }
        if bits.is_over() {
            return Err("values");
        }
        timestamps_ms.push(time_ms);
        values.push(f64::from_bits(value));
    }
    Ok(())
}

fn take_delta_of_delta(bits: &mut BitReader<'_>, ahead: u64) -> i64 {
    let (prefix, width) = match ahead.leading_ones() {
        1 => (2, 14),
        2 => (3, 17),
        3 => (4, 20),
        _ => (4, 64),
    };
    bits.skip(prefix);
    signed(bits.take(width), width)
}

fn push_delta_of_delta(bits: &mut BitWriter, value: i64) {
    match value {
        0 => bits.push(0, 1),
        _ if fits(value, 14) => {
            bits.push(0b10, 2);
            bits.push(value as u64, 14);
        }
        _ if fits(value, 17) => {
            bits.push(0b110, 3);
            bits.push(value as u64, 17);
        }
        _ if fits(value, 20) => {
            bits.push(0b1110, 4);
            bits.push(value as u64, 20);
        }
        _ => {
            bits.push(0b1111, 4);
            bits.push(value as u64, 64);
        }
    }
}

/// Bytes at which a chunk is full, whatever is left to be written: the largest sample still fits
/// 1,024 bytes.
const BYTES_GOOD: usize = 1024 - 19;

fn set_count(bits: &mut BitWriter, count: usize) {
    let count = u16::try_from(count).expect("chunks are short");
    bits.bytes[..2].copy_from_slice(&count.to_be_bytes());
}

/// Writes an XOR chunk of some samples, not none, until it is full; returns how many it took.
pub(super) fn encode_xor(timestamps_ms: &[i64], values: &[f64], bits: &mut BitWriter) -> usize {
    bits.begin(&[0; 2]);
    let (mut before_ms, mut before) = (0i64, 0u64);
    let (mut delta_ms, mut window) = (0i64, Window::NONE);
    let mut count = 0;
    for (&time_ms, value) in timestamps_ms.iter().zip(values) {
        if bits.bytes.len() > BYTES_GOOD {
            break;
        }
        let value = value.to_bits();
        let next_ms = time_ms.wrapping_sub(before_ms);
        match count {
            0 => {
                bits.push_varint(time_ms);
                bits.push(value, 64);
            }
            1 => {
                bits.push_uvarint(next_ms as u64);
                window.push_xor(value ^ before, bits);
            }
            _ => {
                push_delta_of_delta(bits, next_ms.wrapping_sub(delta_ms));
                window.push_xor(value ^ before, bits);
            }
        }
        delta_ms = if count == 0 { 0 } else { next_ms };
        (before_ms, before) = (time_ms, value);
        count += 1;
    }
    set_count(bits, count);
    count
}

/// Appends the samples of an XOR2 chunk, and to `starts_ms` a start for each of them if the chunk
/// has any.
///
/// Cost and errors: as [`decode_xor`].
pub(super) fn decode_xor2(
    chunk: &[u8],
    timestamps_ms: &mut Vec<i64>,
    values: &mut Vec<f64>,
    starts_ms: &mut Vec<i64>,
) -> Result<bool, Broken> {
    let (header, bytes) = chunk.split_first_chunk::<3>().ok_or("chunk header")?;
    let count = usize::from(u16::from_be_bytes([header[0], header[1]]));
    let mut starts = StartsReader::new(header[2]);
    let mut bits = BitReader::new(bytes);
    // The value to compare with: never a staleness marker, but for the first.
    let (mut time_ms, mut base) = (0i64, 0u64);
    let (mut delta_ms, mut window) = (0i64, Window::default());
    for index in 0..count {
        let before_ms = time_ms;
        let mut value = Value::Same;
        match index {
            0 => {
                time_ms = bits.take_varint();
                let first = bits.take(64);
                match first {
                    STALE_NAN_BITS => value = Value::Stale,
                    _ => base = first,
                }
            }
            1 => {
                delta_ms = bits.take_uvarint() as i64;
                time_ms = time_ms.wrapping_add(delta_ms);
                value = take_xor2(&mut bits, &mut window);
            }
            _ => {
                let width = match bits.peek().leading_ones() {
                    0 => {
                        bits.skip(1);
                        0
                    }
                    1 => {
                        bits.skip(2);
                        let is_new = bits.take(1) == 1;
                        let xor = if is_new {
                            window.take_new(&mut bits)
                        } else {
                            window.take_same(&mut bits)
                        };
                        value = Value::Xor(xor);
                        0
                    }
                    2 => {
                        bits.skip(3);
                        13
                    }
                    3 => {
                        bits.skip(4);
                        20
                    }
                    4 => {
                        bits.skip(5);
                        64
                    }
                    _ => {
                        bits.skip(5);
                        value = Value::Stale;
                        0
                    }
                };
                if width > 0 {
                    // Two's complement here, unlike elsewhere.
                    let change_ms = (bits.take(width) << (64 - width)) as i64 >> (64 - width);
                    delta_ms = delta_ms.wrapping_add(change_ms);
                    value = take_xor2(&mut bits, &mut window);
                }
                time_ms = time_ms.wrapping_add(delta_ms);
            }
        }
        starts.take(&mut bits, index, time_ms, before_ms);
        if index > 0 && time_ms <= before_ms {
            return Err("timestamps");
        }
        if bits.is_over() {
            return Err("values");
        }
        timestamps_ms.push(time_ms);
        let value = match value {
            Value::Same => base,
            Value::Xor(xor) => {
                base ^= xor;
                base
            }
            Value::Stale => STALE_NAN_BITS,
        };
        values.push(f64::from_bits(value));
        if starts.has_any() {
            starts_ms.push(starts.start_ms());
        }
    }
    Ok(starts.has_any())
}

enum Value {
    Same,
    Xor(u64),
    Stale,
}

fn take_xor2(bits: &mut BitReader<'_>, window: &mut Window) -> Value {
    match bits.peek().leading_ones() {
        0 => {
            bits.skip(1);
            Value::Same
        }
        1 => {
            bits.skip(2);
            Value::Xor(window.take_same(bits))
        }
        2 => {
            bits.skip(3);
            Value::Xor(window.take_new(bits))
        }
        _ => {
            bits.skip(3);
            Value::Stale
        }
    }
}

fn push_xor2(bits: &mut BitWriter, window: &mut Window, value: f64, base: u64) {
    let xor = value.to_bits() ^ base;
    if is_stale_nan(value) {
        bits.push(0b111, 3);
    } else if xor == 0 {
        bits.push(0, 1);
    } else if window.holds(xor) {
        bits.push(0b10, 2);
        window.push_bits(xor, false, bits);
    } else {
        bits.push(0b110, 3);
        window.push_bits(xor, true, bits);
    }
}

fn push_joint(bits: &mut BitWriter, window: &mut Window, change_ms: i64, value: f64, base: u64) {
    let xor = value.to_bits() ^ base;
    let (prefix, prefix_bits, width) = match change_ms {
        0 if is_stale_nan(value) => return bits.push(0b11111, 5),
        0 if xor == 0 => return bits.push(0, 1),
        0 => {
            bits.push(0b10, 2);
            let is_new = !window.holds(xor);
            bits.push(u64::from(is_new), 1);
            return window.push_bits(xor, is_new, bits);
        }
        -0x1000..=0xfff => (0b110, 3, 13),
        -0x8_0000..=0x7_ffff => (0b1110, 4, 20),
        _ => (0b11110, 5, 64),
    };
    bits.push(prefix, prefix_bits);
    bits.push(change_ms as u64, width);
    push_xor2(bits, window, value, base);
}

/// Writes an XOR2 chunk of some samples, not none, until it is full; returns how many it took.
/// `starts_ms` is as long as `values`, zero where unknown.
pub(super) fn encode_xor2(
    timestamps_ms: &[i64],
    values: &[f64],
    starts_ms: &[i64],
    bits: &mut BitWriter,
) -> usize {
    bits.begin(&[0; 3]);
    let mut starts = StartsWriter::default();
    let (mut before_ms, mut base) = (0i64, 0u64);
    let (mut delta_ms, mut window) = (0i64, Window::NONE);
    let mut count = 0;
    for ((&time_ms, &value), &start_ms) in timestamps_ms.iter().zip(values).zip(starts_ms) {
        if bits.bytes.len() > BYTES_GOOD {
            break;
        }
        let next_ms = time_ms.wrapping_sub(before_ms);
        match count {
            0 => {
                bits.push_varint(time_ms);
                bits.push(value.to_bits(), 64);
            }
            1 => {
                bits.push_uvarint(next_ms as u64);
                push_xor2(bits, &mut window, value, base);
            }
            _ => {
                let change_ms = next_ms.wrapping_sub(delta_ms);
                push_joint(bits, &mut window, change_ms, value, base);
            }
        }
        starts.push(bits, count, time_ms, before_ms, start_ms);
        delta_ms = if count == 0 { 0 } else { next_ms };
        before_ms = time_ms;
        if !is_stale_nan(value) {
            base = value.to_bits();
        }
        count += 1;
    }
    set_count(bits, count);
    bits.bytes[2] = starts.header();
    count
}
