//! Bits of chunks, the highest of a byte first, and numbers of variable width.
//!
//! ```text
//! number   0 | 10 + 3 bits | 110 + 6 | 1110 + 9 | 11110 + 12 | 111110 + 18 | 1111110 + 25
//!          | 11111110 + 56 | 11111111 + 64
//! ```
//!
//! A signed number of `n` bits lies in `-2^(n-1) + 1 ..= 2^(n-1)`.
//!
//! Source: Prometheus `tsdb/chunkenc/{bstream,varbit}.go`.

/// Widths of numbers, by the count of ones before them.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Bits that one look shows at least.
pub(super) const PEEK_BITS: u32 = 57;

/// Reads bits. What lies behind the end reads as zeros; [`BitReader::is_over`] says that it was.
#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits.
    position: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader { bytes, position: 0 }
    }

    /// Whether more was read than there is.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.position > 8 * self.bytes.len()
    }

    /// Bits that are left.
    pub fn left(&self) -> usize {
        (8 * self.bytes.len()).saturating_sub(self.position)
    }

    /// The next [`PEEK_BITS`] bits at least, at the top.
    #[inline]
    pub fn peek(&self) -> u64 {
        let at = self.position >> 3;
        let word = match self.bytes.get(at..at + 8) {
            Some(bytes) => u64::from_be_bytes(bytes.try_into().expect("eight bytes")),
            None => self.peek_end(at),
        };
        word << (self.position & 7)
    }

    #[cold]
    fn peek_end(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        let rest = self.bytes.get(at..).unwrap_or_default();
        word[..rest.len()].copy_from_slice(rest);
        u64::from_be_bytes(word)
    }

    #[inline]
    pub fn skip(&mut self, bits: u32) {
        self.position += bits as usize;
    }

    /// The next `bits` bits, 64 at most.
    #[inline]
    pub fn take(&mut self, bits: u32) -> u64 {
        if bits == 0 {
            return 0;
        }
        if bits <= PEEK_BITS {
            let value = self.peek() >> (64 - bits);
            self.skip(bits);
            return value;
        }
        let high = self.peek() >> 32;
        self.skip(32);
        let low = self.peek() >> (96 - bits);
        self.skip(bits - 32);
        high << (bits - 32) | low
    }

    /// A number of seven bits a byte, low first. Ten bytes at most are read.
    pub fn take_uvarint(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(8);
            value |= (byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    pub fn take_varint(&mut self) -> i64 {
        crate::mem::varint::unzigzag(self.take_uvarint())
    }

    /// Width of the number that comes, and its bits.
    #[inline]
    fn take_number(&mut self) -> (u32, u64) {
        let ones = self.peek().leading_ones().min(8);
        self.skip((ones + 1).min(8));
        let width = WIDTHS[ones as usize];
        (width, self.take(width))
    }

    #[inline]
    pub fn take_unsigned(&mut self) -> u64 {
        self.take_number().1
    }

    #[inline]
    pub fn take_signed(&mut self) -> i64 {
        let (width, bits) = self.take_number();
        signed(bits, width)
    }
}

/// The number that `bits` of a width stand for: all but the highest half are themselves.
#[inline]
pub(super) fn signed(bits: u64, width: u32) -> i64 {
    if width == 0 || width >= 64 || bits <= 1 << (width - 1) {
        return bits as i64;
    }
    bits.wrapping_sub(1 << width) as i64
}

/// Whether `value` is a signed number of `width` bits.
#[inline]
pub(super) fn fits(value: i64, width: u32) -> bool {
    -((1 << (width - 1)) - 1) <= value && value <= 1 << (width - 1)
}

/// Writes bits behind what `bytes` holds.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    pub bytes: Vec<u8>,
    /// Bits of the last byte that are free.
    free: u32,
}

impl BitWriter {
    /// Begins behind some whole bytes.
    pub fn begin(&mut self, header: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(header);
        self.free = 0;
    }

    /// Appends the lowest `count` bits, 64 at most.
    pub fn push(&mut self, bits: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let now = left.min(self.free);
            let piece = (bits >> (left - now)) & ((1 << now) - 1);
            let last = self.bytes.last_mut().expect("a byte was pushed");
            *last |= (piece << (self.free - now)) as u8;
            self.free -= now;
            left -= now;
        }
    }

    pub fn push_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.push(value, 8);
    }

    pub fn push_varint(&mut self, value: i64) {
        self.push_uvarint(crate::mem::varint::zigzag(value));
    }

    fn push_number(&mut self, value: u64, ones: usize) {
        let ones_bits = (1u64 << ones) - 1;
        match ones {
            8 => self.push(ones_bits, 8),
            _ => self.push(ones_bits << 1, ones as u32 + 1),
        }
        self.push(value, WIDTHS[ones]);
    }

    pub fn push_unsigned(&mut self, value: u64) {
        let bits = 64 - value.leading_zeros();
        let ones = WIDTHS.iter().position(|&width| bits <= width).unwrap_or(8);
        self.push_number(value, ones);
    }

    pub fn push_signed(&mut self, value: i64) {
        let ones = match value {
            0 => 0,
            _ => (1..8).find(|&ones| fits(value, WIDTHS[ones])).unwrap_or(8),
        };
        self.push_number(value as u64, ones);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let mut edges = vec![0i64, 1, -1, i64::MAX, i64::MIN];
        for width in &WIDTHS[1..8] {
            let half = 1i64 << (width - 1);
            edges.extend([half - 1, half, half + 1, 1 - half, -half, -half - 1, 2 * half]);
        }
        let mut bits = BitWriter::default();
        bits.begin(b"ab");
        for &value in &edges {
            bits.push_signed(value);
            bits.push_unsigned(value as u64);
            bits.push_varint(value);
            bits.push(value as u64 & 0x7f, 7);
            bits.push(value as u64, 64);
        }
        let mut reader = BitReader::new(&bits.bytes[2..]);
        for &value in &edges {
            assert_eq!(reader.take_signed(), value);
            assert_eq!(reader.take_unsigned(), value as u64);
            assert_eq!(reader.take_varint(), value);
            assert_eq!(reader.take(7), value as u64 & 0x7f);
            assert_eq!(reader.take(64), value as u64);
        }
        assert!(!reader.is_over() && reader.left() < 8);
        reader.take(64);
        assert!(reader.is_over());
        assert_eq!(reader.take_uvarint(), 0);
    }
}
