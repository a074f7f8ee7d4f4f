//! Names of blocks: ULIDs, which sort by the time they were made.

use std::fmt;
use std::str::FromStr;

/// 48 bits of milliseconds since the Unix epoch, 80 random bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub [u8; 16]);

/// Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const TEXT_BYTES: usize = 26;

impl BlockId {
    /// `time_ms` beyond 48 bits loses what does not fit.
    pub fn new(time_ms: u64, random: [u8; 10]) -> BlockId {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&time_ms.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        BlockId(bytes)
    }

    /// When it was made, in milliseconds since the Unix epoch.
    pub fn time_ms(self) -> u64 {
        (u128::from_be_bytes(self.0) >> 80) as u64
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from_be_bytes(self.0);
        let mut text = [0; TEXT_BYTES];
        for (place, digit) in text.iter_mut().rev().enumerate() {
            *digit = DIGITS[(number >> (5 * place)) as usize & 31];
        }
        f.write_str(std::str::from_utf8(&text).expect("digits are ASCII"))
    }
}

/// The text is no ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a ULID")
    }
}

impl std::error::Error for NotAnId {}

impl FromStr for BlockId {
    type Err = NotAnId;

    /// Upper case only, as [`BlockId`] is printed.
    fn from_str(text: &str) -> Result<BlockId, NotAnId> {
        // The first digit has three bits: 26 digits would be 130.
        if text.len() != TEXT_BYTES || text.as_bytes()[0] > b'7' {
            return Err(NotAnId);
        }
        let mut number = 0u128;
        for byte in text.bytes() {
            let digit = DIGITS.iter().position(|&digit| digit == byte).ok_or(NotAnId)?;
            number = number << 5 | digit as u128;
        }
        Ok(BlockId(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::BlockId;

    #[test]
    fn ids_are_ulids() {
        // The example of the specification's time part, with a random part of our own.
        let id = BlockId::new(1_469_918_176_385, [0xff; 10]);
        assert_eq!(id.to_string(), "01ARYZ6S41ZZZZZZZZZZZZZZZZ");
        assert_eq!(id.time_ms(), 1_469_918_176_385);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(BlockId([0; 16]).to_string(), "0".repeat(26));
        for wrong in ["", "01ARYZ6S41", "81ARYZ6S41ZZZZZZZZZZZZZZZZ", "01ARYZ6S41ZZZZZZZZZZZZZZZI"]
        {
            assert!(wrong.parse::<BlockId>().is_err(), "{wrong}");
        }
    }
}
