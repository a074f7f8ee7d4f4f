//! Unsigned integers of variable length: seven bits a byte, low first, the top bit says "more".
//! Signed ones are folded first (zigzag), so that small magnitudes are short.

/// Longest encoding of 64 bits.
pub const VARINT_BYTES_MAX: usize = 10;

/// Appends `value`. At most [`VARINT_BYTES_MAX`] bytes.
#[inline]
pub fn push_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value`, folded.
#[inline]
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    push_u64(out, zigzag(value));
}

/// Bytes that [`push_u64`] writes for `value`.
#[inline]
pub fn bytes_of_u64(value: u64) -> usize {
    ((70 - (value | 1).leading_zeros()) / 7) as usize
}

/// Splits a value off the front of `bytes`; `None` when cut short or longer than 64 bits, and
/// `bytes` is then left anywhere.
#[inline]
pub fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    // Most values are short: what they take stands where it is needed.
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(u64::from(first));
    }
    take_long(first, rest, bytes)
}

/// The bit of each byte that says "more".
const MORE: u64 = 0x8080_8080_8080_8080;

/// Takes a value whose first byte says "more"; `rest` stands behind it.
fn take_long<'a>(first: u8, mut rest: &'a [u8], bytes: &mut &'a [u8]) -> Option<u64> {
    // At once, if it ends within eight bytes more: 63 bits at most.
    if let Some(&eight) = rest.first_chunk::<8>() {
        let word = u64::from_le_bytes(eight);
        let ends = !word & MORE;
        if ends != 0 {
            let count = ends.trailing_zeros() / 8 + 1;
            let word = word & (u64::MAX >> (64 - 8 * count));
            *bytes = &rest[count as usize..];
            return Some(u64::from(first & 0x7f) | sevens(word) << 7);
        }
    }
    let mut value = u64::from(first & 0x7f);
    let mut shift = 7;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            *bytes = rest;
            return Some(value);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

/// The lower seven bits of each byte, side by side.
#[inline]
fn sevens(word: u64) -> u64 {
    let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
    (word & 0x0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4
}

/// Splits `count` values off the front of `bytes` without looking at them: a value that is longer than
/// 64 bits passes, too. `None` when they are fewer. About a fifth of the time that taking them costs.
pub fn skip(bytes: &mut &[u8], count: usize) -> Option<()> {
    let (mut rest, mut left) = (*bytes, count);
    // Eight bytes end at most eight values.
    while left >= 8
        && let Some((&eight, behind)) = rest.split_first_chunk::<8>()
    {
        left -= (!u64::from_le_bytes(eight) & MORE).count_ones() as usize;
        rest = behind;
    }
    while left > 0 {
        let (&byte, behind) = rest.split_first()?;
        left -= usize::from(byte < 0x80);
        rest = behind;
    }
    *bytes = rest;
    Some(())
}

/// Splits a folded value off the front of `bytes`.
#[inline]
pub fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    take_u64(bytes).map(unzigzag)
}

/// Splits `count` bytes off the front of `bytes`.
#[inline]
pub fn take_bytes<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: u64, bytes: usize) {
        let mut out = vec![];
        push_u64(&mut out, value);
        assert_eq!(out.len(), bytes);
        assert_eq!(bytes_of_u64(value), bytes);
        for behind in [0, 1, 7, 8, 20] {
            out.resize(bytes + behind, 0xff);
            let mut rest = &out[..];
            assert_eq!(take_u64(&mut rest), Some(value));
            assert_eq!(rest.len(), behind);
        }
        out.truncate(bytes);
        for end in 0..out.len() {
            assert_eq!(take_u64(&mut &out[..end]), None);
        }
    }

    #[test]
    fn values_come_back_and_cut_ones_do_not() {
        for (value, bytes) in [(0, 1), (127, 1), (128, 2), (16383, 2), (16384, 3)] {
            check(value, bytes);
        }
        check(u64::MAX, VARINT_BYTES_MAX);
        check(1 << 63, VARINT_BYTES_MAX);
        check((1 << 63) - 1, 9);
        for bits in 0..64 {
            let value = 0x9b1d_5a7c_33e4_80f1u64 >> bits;
            check(value, bytes_of_u64(value));
        }
    }

    #[test]
    fn skipping_ends_where_taking_ends() {
        let mut out = vec![];
        let values: Vec<u64> = (0..200).map(|n| u64::MAX >> (n * 37 % 64)).collect();
        values.iter().for_each(|&value| push_u64(&mut out, value));
        for count in 0..=values.len() {
            let (mut taken, mut skipped) = (&out[..], &out[..]);
            (0..count).for_each(|_| assert!(take_u64(&mut taken).is_some()));
            skip(&mut skipped, count).unwrap();
            assert_eq!(taken, skipped);
        }
        assert_eq!(skip(&mut &out[..], values.len() + 1), None);
    }

    #[test]
    fn more_than_64_bits_is_refused() {
        assert_eq!(take_u64(&mut &[0xff; 11][..]), None);
        assert_eq!(take_u64(&mut &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"[..]), None);
    }

    #[test]
    fn folding_is_its_own_way_back() {
        for value in [0, 1, -1, 63, -64, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!(zigzag(-1), 1);
    }
}
