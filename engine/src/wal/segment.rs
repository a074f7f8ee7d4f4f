//! The header of a segment: who wrote it, where it stands in the log, and how hashes are made.

use std::fmt;

/// Bytes of an encoded [`SegmentHeader`]. Frames start right behind it.
pub const SEGMENT_HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"HEARTHWL";

/// What is written, and the oldest that is read. The first version wrote label sets whole.
const VERSION: u32 = 2;
const VERSION_MIN: u32 = 1;

/// Name of the hash over canonical label bytes that routes series to shards. A log written under
/// another name belongs to another version of hearth.
const HASH_NAME: [u8; 8] = *b"xxh3-64\0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub shard: u16,
    pub shard_count: u16,
    /// Starts of the process on this log before this one. Records name it again, because ids of
    /// series depend on it and this header may be damaged.
    pub epoch: u32,
    /// Number of this segment: the previous one's plus one.
    pub segment: u64,
    /// LSN of the first frame. Frames with lower ones are leftovers of the file's former life.
    pub first_lsn: u64,
    /// CRC of the last frame before this segment; zero in the first segment of a log.
    pub previous_crc: u32,
}

/// Why bytes are not a segment of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentError {
    /// Fewer than [`SEGMENT_HEADER_BYTES`].
    CutShort {
        bytes: usize,
    },
    /// All zero: the segment was allocated and never begun.
    Unused,
    NotASegment,
    Version {
        found: u32,
    },
    HashName {
        found: [u8; 8],
    },
    Checksum {
        stored: u32,
        computed: u32,
    },
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SegmentError::CutShort { bytes } => {
                write!(f, "segment header cut short: {bytes} of {SEGMENT_HEADER_BYTES} bytes")
            }
            SegmentError::Unused => f.write_str("segment was allocated and never begun"),
            SegmentError::NotASegment => f.write_str("not a write-ahead log segment"),
            SegmentError::Version { found } => {
                write!(f, "segment format version {found}, this version reads up to {VERSION}")
            }
            SegmentError::HashName { found } => write!(
                f,
                "segment was written with series hash {:?}, this version uses {:?}",
                String::from_utf8_lossy(found),
                String::from_utf8_lossy(&HASH_NAME)
            ),
            SegmentError::Checksum { stored, computed } => {
                write!(f, "segment header checksum is {stored:08x}, computed {computed:08x}")
            }
        }
    }
}

impl std::error::Error for SegmentError {}

impl SegmentHeader {
    /// Appends the [`SEGMENT_HEADER_BYTES`] of this header.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.shard.to_le_bytes());
        out.extend_from_slice(&self.shard_count.to_le_bytes());
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.first_lsn.to_le_bytes());
        out.extend_from_slice(&self.previous_crc.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&HASH_NAME);
        out.resize(start + SEGMENT_HEADER_BYTES - 4, 0);
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        assert!(out.len() - start == SEGMENT_HEADER_BYTES);
    }

    /// Reads the header at the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, SegmentError> {
        let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
            return Err(SegmentError::CutShort { bytes: bytes.len() });
        };
        if header.iter().all(|&byte| byte == 0) {
            return Err(SegmentError::Unused);
        }
        if header[..8] != MAGIC {
            return Err(SegmentError::NotASegment);
        }
        let (stored, computed) = (le_u32(header, 60), crc32c::crc32c(&header[..60]));
        if stored != computed {
            return Err(SegmentError::Checksum { stored, computed });
        }
        let version = le_u32(header, 8);
        if !(VERSION_MIN..=VERSION).contains(&version) {
            return Err(SegmentError::Version { found: version });
        }
        if header[44..52] != HASH_NAME {
            let found = *header[44..].first_chunk().expect("the header is longer");
            return Err(SegmentError::HashName { found });
        }
        Ok(SegmentHeader {
            shard: le_u32(header, 12) as u16,
            shard_count: (le_u32(header, 12) >> 16) as u16,
            segment: le_u64(header, 16),
            first_lsn: le_u64(header, 24),
            previous_crc: le_u32(header, 32),
            epoch: le_u32(header, 36),
        })
    }
}

/// Four bytes at `offset`, little end first. The caller has checked the length.
#[inline]
pub(super) fn le_u32(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(*bytes[offset..].first_chunk().expect("the caller checked the length"))
}

/// Eight bytes at `offset`, little end first. The caller has checked the length.
#[inline]
pub(super) fn le_u64(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(*bytes[offset..].first_chunk().expect("the caller checked the length"))
}
