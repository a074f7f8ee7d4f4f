//! Differences with the same number of bits each, which are therefore found by their number.
//!
//! ```text
//! code   difference >> shift, folded (zigzag) if any is negative
//! slot   code 0 | code 1 | …      `width` bits each, the low ones first
//! ```
//!
//! Pages and kibibytes move by multiples of a power of two: the shift leaves out what is zero in all.

use crate::mem::varint::{unzigzag, zigzag};

/// Most bits of a code: one is read by a single load of 64 bits, from any bit of a byte on.
const WIDTH_MAX: u32 = 48;

/// A shift of less would mostly be met by chance, and end with the next difference.
const SHIFT_MIN: u32 = 6;
const SHIFT_MAX: u32 = 31;

/// How differences become codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) width: u32,
    shift: u32,
    is_signed: bool,
}

impl Coding {
    /// The narrowest one for all of them; `None` when a code has more bits than codes may have.
    pub(super) fn of(differences: &[i64]) -> Option<Coding> {
        let any = differences.iter().fold(0, |any, difference| any | difference);
        let shift = match any.trailing_zeros() {
            ..SHIFT_MIN => 0,
            zeros => zeros.min(SHIFT_MAX),
        };
        let unfit = Coding { width: 0, shift, is_signed: any < 0 };
        let codes = differences.iter().fold(0, |codes, &one| codes | unfit.fold(one >> shift));
        let width = u64::BITS - codes.leading_zeros();
        (width <= WIDTH_MAX).then_some(Coding { width, ..unfit })
    }

    #[inline]
    pub(super) fn to_bits(self) -> u16 {
        (self.width | self.shift << 6 | u32::from(self.is_signed) << 11) as u16
    }

    #[inline]
    pub(super) fn from_bits(bits: u16) -> Coding {
        let bits = u32::from(bits);
        Coding { width: bits & 0x3f, shift: bits >> 6 & 0x1f, is_signed: bits >> 11 != 0 }
    }

    #[inline]
    fn fold(self, shifted: i64) -> u64 {
        if self.is_signed { zigzag(shifted) } else { shifted as u64 }
    }

    /// `None` when the difference needs another coding.
    #[inline]
    pub(super) fn code(self, difference: i64) -> Option<u64> {
        let shifted = difference >> self.shift;
        let code = self.fold(shifted);
        (shifted << self.shift == difference && code >> self.width == 0).then_some(code)
    }

    #[inline]
    pub(super) fn difference(self, code: u64) -> i64 {
        (if self.is_signed { unzigzag(code) } else { code as i64 }) << self.shift
    }

    /// Words of so many codes.
    #[inline]
    pub(super) fn words(self, count: usize) -> usize {
        (count * self.width as usize).div_ceil(u32::BITS as usize)
    }

    /// Writes the code with the given number; those behind it become anything.
    ///
    /// # Panics
    ///
    /// When it ends behind `slot`, or `slot` has less than eight bytes.
    #[inline]
    pub(super) fn put(self, slot: &mut [u8], number: usize, code: u64) {
        let (at, shift) = self.place(slot.len(), number);
        let bytes = slot[at..].first_chunk_mut().expect("eight bytes");
        let below = u64::from_le_bytes(*bytes) & ((1 << shift) - 1);
        *bytes = (below | code << shift).to_le_bytes();
    }

    /// The code with the given number; panics like [`Coding::put`].
    #[inline]
    pub(super) fn get(self, slot: &[u8], number: usize) -> u64 {
        let (at, shift) = self.place(slot.len(), number);
        let bytes = slot[at..].first_chunk().expect("eight bytes");
        u64::from_le_bytes(*bytes) >> shift & ((1 << self.width) - 1)
    }

    /// The first of eight bytes of `slot_bytes` that a code stands in, and its lowest bit there. The last
    /// codes are seen from further before them.
    #[inline]
    fn place(self, slot_bytes: usize, number: usize) -> (usize, usize) {
        let bit = number * self.width as usize;
        let at = (bit / 8).min(slot_bytes - 8);
        (at, bit - 8 * at)
    }
}

#[cfg(test)]
mod tests {
    use super::Coding;

    #[track_caller]
    fn check(differences: &[i64], width: Option<u32>) {
        let coding = Coding::of(differences);
        assert_eq!(coding.map(|coding| coding.width), width);
        let Some(coding) = coding else { return };
        assert_eq!(Coding::from_bits(coding.to_bits()), coding);
        // What a former owner left.
        let mut slot = vec![0xa5; coding.words(differences.len()).max(2) * 4];
        for (number, &difference) in differences.iter().enumerate() {
            let code = coding.code(difference).expect("it was looked at");
            coding.put(&mut slot, number, code);
        }
        for (number, &difference) in differences.iter().enumerate() {
            assert_eq!(coding.difference(coding.get(&slot, number)), difference);
        }
    }

    #[test]
    fn differences_take_as_many_bits_as_the_largest() {
        check(&[0; 40], Some(0));
        check(&[0, 1, 1, 0, 1], Some(1));
        check(&[7, 0, 3], Some(3));
        check(&[7, 0, -3], Some(4));
        check(&[-1; 70], Some(1));
        check(&[100, 1499, 3, 1024].repeat(30), Some(11));
        // Pages; and what is no multiple of one.
        check(&[4096 * 31, -4096 * 32, 0, 4096], Some(6));
        check(&[4096 * 31, -4096 * 32, 0, 4095], Some(18));
        check(&[1 << 47, 1], Some(48));
        check(&[(1 << 48) - 1; 33], Some(48));
        check(&[1 << 48, 1], None);
        check(&[1 << 48], Some(18));
        check(&[i64::MIN], Some(33));
        check(&[i64::MIN, i64::MAX], None);
    }

    #[test]
    fn another_coding_is_needed_by_what_does_not_fit() {
        let coding = Coding::of(&[64, 64 * 200]).expect("eight bits");
        assert_eq!(coding.code(64 * 255), Some(255));
        assert_eq!(coding.code(64 * 256), None);
        assert_eq!(coding.code(64 + 32), None);
        assert_eq!(coding.code(-64), None);
        let coding = Coding::of(&[5, -8]).expect("four bits");
        assert_eq!(coding.code(7), Some(14));
        assert_eq!(coding.code(8), None);
        assert_eq!(coding.code(i64::MIN), None);
    }
}
