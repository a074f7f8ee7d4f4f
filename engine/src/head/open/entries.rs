//! Differences as bytes that are appended at one end and read from there: the newest first, so that
//! a reader of a chunk's end stops where it has enough.
//!
//! ```text
//! entry   groups of seven bits of the zigzag, the highest first; all but the first byte have bit 7
//! ```
//!
//! Most differences of neighbouring samples take one byte or two.

use crate::mem::varint::{bytes_of_u64, unzigzag, zigzag};

/// Most bytes of one entry.
pub(super) const ENTRY_BYTES_MAX: usize = 10;

/// There are bytes of the same entry before this one.
const MORE: u8 = 0x80;

/// Writes `value` at `at`; returns where it ends.
///
/// # Panics
///
/// When `bytes` has less than [`ENTRY_BYTES_MAX`] left at `at`, and the entry does not fit.
#[inline]
pub(super) fn push(bytes: &mut [u8], at: usize, value: i64) -> usize {
    let zigzag = zigzag(value);
    if zigzag < 1 << 7 {
        bytes[at] = zigzag as u8;
        return at + 1;
    }
    let group_count = (64 - zigzag.leading_zeros() as usize).div_ceil(7);
    let entry = &mut bytes[at..at + group_count];
    for (index, byte) in entry.iter_mut().enumerate() {
        let group = (zigzag >> (7 * (group_count - 1 - index))) as u8 & !MORE;
        *byte = if index == 0 { group } else { group | MORE };
    }
    at + group_count
}

/// Bytes of the entry of `value`.
#[inline]
pub(super) fn bytes_of(value: i64) -> usize {
    bytes_of_u64(zigzag(value))
}

/// Reads entries from the end of some bytes.
pub(super) struct Backward<'a>(pub(super) &'a [u8]);

impl<'a> Backward<'a> {
    /// The entry at the end.
    ///
    /// # Panics
    ///
    /// When there is none: a bug of the caller.
    #[inline]
    pub(super) fn take(&mut self) -> i64 {
        let (&last, mut rest) = self.0.split_last().expect("an entry is there");
        let mut zigzag = u64::from(last & !MORE);
        let (mut byte, mut shift) = (last, 7);
        while byte & MORE != 0 {
            let (&next, before) = rest.split_last().expect("an entry is whole");
            zigzag |= u64::from(next & !MORE) << shift;
            (byte, rest, shift) = (next, before, shift + 7);
        }
        self.0 = rest;
        unzigzag(zigzag)
    }
}

#[cfg(test)]
mod tests {
    use super::{Backward, ENTRY_BYTES_MAX, push};

    #[test]
    fn what_was_pushed_last_is_taken_first() {
        let near = (0..63).flat_map(|bits| [1i64 << bits, (1 << bits) - 1, !(1 << bits)]);
        let values: Vec<i64> = near.chain([0, -1, 63, -64, 64, i64::MIN, i64::MAX]).collect();
        let mut bytes = vec![0; values.len() * ENTRY_BYTES_MAX];
        let mut end = 0;
        for &value in &values {
            let start = end;
            end = push(&mut bytes, end, value);
            assert!(end - start <= ENTRY_BYTES_MAX);
            assert_eq!(end - start == 1, (-64..64).contains(&value), "{value}");
            assert_eq!(end - start, super::bytes_of(value), "{value}");
        }
        let mut reader = Backward(&bytes[..end]);
        for &value in values.iter().rev() {
            assert_eq!(reader.take(), value);
        }
        assert!(reader.0.is_empty());
    }
}
