//! The file of what was deleted from a block.
//!
//! ```text
//! magic: 0x0130BA30 | version: 1 | ( series: uvarint, first: varint, last: varint )* | CRC32C: 4
//! ```
//!
//! The checksum is of what stands between version and checksum.
//!
//! Source: Prometheus `tsdb/tombstones/tombstones.go`.

use super::super::error::{BlockError, Problem};
use super::super::tombstones::Tombstones;
use crate::mem::varint::{push_i64, push_u64, take_i64, take_u64};
use crate::model::TimeRange;

const MAGIC: [u8; 4] = 0x0130_ba30u32.to_be_bytes();
const VERSION: u8 = 1;

/// The file of some tombstones.
pub fn encode_tombstones(tombstones: &Tombstones) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(VERSION);
    let start = out.len();
    for (series, intervals) in tombstones.iter() {
        for interval in intervals {
            push_u64(&mut out, u64::from(series));
            push_i64(&mut out, interval.min_ms);
            push_i64(&mut out, interval.max_ms);
        }
    }
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

/// Reads such a file.
///
/// Errors: it is none, or damaged.
pub fn decode_tombstones(file: &[u8]) -> Result<Tombstones, BlockError> {
    let error = |problem| BlockError { file: "tombstones".into(), problem };
    let contents = file.strip_prefix(&MAGIC).and_then(|rest| rest.split_first());
    let Some((&version, contents)) = contents else { return Err(error(Problem::Foreign)) };
    let Some((mut rest, crc)) = contents.split_last_chunk() else {
        return Err(error(Problem::Foreign));
    };
    if version != VERSION {
        return Err(error(Problem::Version(version.into())));
    }
    if crc32c::crc32c(rest) != u32::from_be_bytes(*crc) {
        return Err(error(Problem::Damaged { start: 0, end: file.len() as u64 }));
    }
    let mut tombstones = Tombstones::default();
    while !rest.is_empty() {
        let mut take = || {
            let series = u32::try_from(take_u64(&mut rest)?).ok()?;
            Some((series, take_i64(&mut rest)?, take_i64(&mut rest)?))
        };
        let Some((series, min_ms, max_ms)) = take() else {
            return Err(error(Problem::Broken("tombstones")));
        };
        if min_ms <= max_ms {
            tombstones.add(series, TimeRange { min_ms, max_ms });
        }
    }
    Ok(tombstones)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut tombstones = Tombstones::default();
        tombstones.add(7, TimeRange { min_ms: -5, max_ms: 1 << 40 });
        tombstones.add(9, TimeRange { min_ms: 0, max_ms: 0 });
        tombstones.add(9, TimeRange { min_ms: 5, max_ms: 9 });
        let file = encode_tombstones(&tombstones);
        assert_eq!(decode_tombstones(&file), Ok(tombstones));
        for bit in 0..8 * file.len() {
            let mut broken = file.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_tombstones(&broken).is_err());
            assert!(decode_tombstones(&file[..bit / 8]).is_err());
        }
    }

    #[test]
    fn no_tombstones_are_nine_bytes() {
        let file = encode_tombstones(&Tombstones::default());
        assert_eq!(file.len(), 9);
        assert_eq!(decode_tombstones(&file), Ok(Tombstones::default()));
    }
}
