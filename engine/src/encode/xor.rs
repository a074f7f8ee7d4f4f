//! Each value as the bits in which it differs from the one before: the last resort, for values
//! that are neither constant nor decimal.
//!
//! ```text
//! first value: 64 bits
//! then per value   0                                      same bits as before
//!                  10 | meaningful bits                   within the window of the one before
//!                  11 | leading: 6 | length - 1: 6 | bits a window of its own
//! ```
//!
//! Bits count from the highest of the first byte.
//!
//! Source: Pelkonen et al., "Gorilla", VLDB 2015, section 4.1.2, with six bits for `leading`.

pub(super) fn push(out: &mut Vec<u8>, values: &[f64]) {
    let mut bits = BitWriter { out, pending: 0, free_bits: 64 };
    let mut previous = values[0].to_bits();
    bits.push(previous, 64);
    let (mut leading, mut trailing) = (64u32, 0u32);
    for value in &values[1..] {
        let xor = value.to_bits() ^ previous;
        previous = value.to_bits();
        if xor == 0 {
            bits.push(0, 1);
            continue;
        }
        let fits =
            leading < 64 && leading <= xor.leading_zeros() && trailing <= xor.trailing_zeros();
        let own_bits = 64 - xor.leading_zeros() - xor.trailing_zeros();
        // A window of its own costs twelve bits more.
        if fits && 64 - leading - trailing <= own_bits + 12 {
            bits.push(0b10, 2);
            bits.push(xor >> trailing, 64 - leading - trailing);
        } else {
            (leading, trailing) = (xor.leading_zeros(), xor.trailing_zeros());
            bits.push(0b11, 2);
            bits.push(u64::from(leading), 6);
            bits.push(u64::from(own_bits - 1), 6);
            bits.push(xor >> trailing, own_bits);
        }
    }
    bits.finish();
}

/// Decodes `out.len()` values; `None` when the bytes end early, or say what no writer says.
pub(super) fn decode(bytes: &[u8], out: &mut [f64]) -> Option<()> {
    let mut bits = BitReader { bytes, window: 0, window_bits: 0 };
    let mut previous = bits.take(64)?;
    let (mut leading, mut length) = (64u32, 0u32);
    let (first, rest) = out.split_first_mut()?;
    *first = f64::from_bits(previous);
    for value in rest {
        if bits.take(1)? == 1 {
            if bits.take(1)? == 1 {
                leading = bits.take(6)? as u32;
                length = bits.take(6)? as u32 + 1;
            }
            // A first window must be given before it is used again.
            if length == 0 || leading + length > 64 {
                return None;
            }
            previous ^= bits.take(length)? << (64 - leading - length);
        }
        *value = f64::from_bits(previous);
    }
    // Only the last byte's padding may remain.
    (bits.bytes.is_empty() && bits.window_bits < 8).then_some(())
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    free_bits: u32,
}

impl BitWriter<'_> {
    /// Appends the low `count` bits of `value`; `count` is 1 to 64.
    fn push(&mut self, value: u64, count: u32) {
        let value = if count == 64 { value } else { value & ((1 << count) - 1) };
        if count < self.free_bits {
            self.free_bits -= count;
            self.pending |= value << self.free_bits;
            return;
        }
        let over = count - self.free_bits;
        self.out.extend_from_slice(&(self.pending | value >> over).to_be_bytes());
        self.pending = if over == 0 { 0 } else { value << (64 - over) };
        self.free_bits = 64 - over;
    }

    fn finish(self) {
        let bytes = (64 - self.free_bits).div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_be_bytes()[..bytes]);
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bits, at the top.
    window: u64,
    window_bits: u32,
}

impl BitReader<'_> {
    /// Takes `count` bits, 1 to 64.
    #[inline]
    fn take(&mut self, count: u32) -> Option<u64> {
        if count <= self.window_bits {
            let taken = self.window >> (64 - count);
            self.window = if count == 64 { 0 } else { self.window << count };
            self.window_bits -= count;
            return Some(taken);
        }
        let high_bits = self.window_bits;
        let high = if high_bits == 0 { 0 } else { self.window >> (64 - high_bits) };
        self.refill()?;
        let low_bits = count - high_bits;
        if low_bits > self.window_bits {
            return None;
        }
        let low = self.window >> (64 - low_bits);
        self.window = if low_bits == 64 { 0 } else { self.window << low_bits };
        self.window_bits -= low_bits;
        Some(if low_bits == 64 { low } else { high << low_bits | low })
    }

    fn refill(&mut self) -> Option<()> {
        let count = self.bytes.len().min(8);
        let mut word = [0; 8];
        word[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        self.window = u64::from_be_bytes(word);
        self.window_bits = count as u32 * 8;
        (count > 0).then_some(())
    }
}
