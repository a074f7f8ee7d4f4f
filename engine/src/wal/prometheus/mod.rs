//! The write-ahead log of Prometheus, read: it is imported once.
//!
//! ```text
//! segment    pages of 32 KiB
//! page       fragment* | zeros
//! fragment   type: 1 | length: 2 | CRC32C of the data: 4 | data
//!            type: 0 the page ends, 1 whole, 2 first, 3 middle, 4 last; + 8 snappy, + 16 zstd
//! ```
//!
//! A record is one whole fragment, or a first, some in the middle and a last, of one segment. What is
//! compressed is the record. A damaged page loses its records and the one that runs into it; reading
//! goes on at the next page.
//!
//! Source: Prometheus `tsdb/docs/format/wal.md`, `tsdb/wlog/reader.go`.

mod records;

pub use records::{Decoded, Malformed, PrometheusRecords};

use std::io::Read;

const PAGE_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;

const PAGE_END: u8 = 0;
const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
const TYPE_MASK: u8 = 7;
const SNAPPY: u8 = 8;
const ZSTD: u8 = 16;

/// Most bytes of a decompressed record: Prometheus writes some megabytes at most.
const RECORD_BYTES_MAX: usize = 1 << 28;

/// A place in a segment that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageDamage {
    /// In bytes.
    pub offset: usize,
    pub what: &'static str,
}

/// The records of a segment, one by one.
#[derive(Debug)]
pub struct PrometheusSegment<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The fragments of a record so far.
    joined: Vec<u8>,
    is_open: bool,
    /// The beginning of a record was damaged, which is told: the rest of it is passed over.
    is_lost: bool,
    plain: Vec<u8>,
}

impl<'a> PrometheusSegment<'a> {
    pub fn new(bytes: &'a [u8]) -> PrometheusSegment<'a> {
        PrometheusSegment {
            bytes,
            at: 0,
            joined: vec![],
            is_open: false,
            is_lost: false,
            plain: vec![],
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next record, or the next damage; `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "it lends from itself")]
    pub fn next(&mut self) -> Option<Result<&[u8], PageDamage>> {
        loop {
            let start = self.at;
            match self.fragment() {
                None => {
                    let is_torn = std::mem::take(&mut self.is_open);
                    let damage = PageDamage { offset: start, what: "a record that is cut short" };
                    return is_torn.then_some(Err(damage));
                }
                Some(Err(what)) => {
                    (self.is_open, self.is_lost) = (false, true);
                    self.at = (start / PAGE_BYTES + 1) * PAGE_BYTES;
                    return Some(Err(PageDamage { offset: start, what }));
                }
                Some(Ok(None)) => {}
                Some(Ok(Some(kind))) => {
                    let what = match self.decompress(kind) {
                        Ok(()) => return Some(Ok(&self.plain)),
                        Err(what) => what,
                    };
                    return Some(Err(PageDamage { offset: start, what }));
                }
            }
        }
    }

    /// Reads a fragment; with its type, when it ends a record. `None` at the end of the segment.
    fn fragment(&mut self) -> Option<Result<Option<u8>, &'static str>> {
        let page_left = PAGE_BYTES - self.at % PAGE_BYTES;
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let page = &rest[..page_left.min(rest.len())];
        let kind = page[0];
        if kind & TYPE_MASK == PAGE_END {
            if page.iter().any(|&byte| byte != 0) {
                return Some(Err("padding"));
            }
            self.at += page.len();
            return Some(Ok(None));
        }
        let Some((header, data)) = page.split_at_checked(HEADER_BYTES) else {
            return Some(Err("a fragment's header"));
        };
        let length = usize::from(u16::from_be_bytes([header[1], header[2]]));
        let Some(data) = data.get(..length) else { return Some(Err("a fragment's length")) };
        if crc32c::crc32c(data).to_be_bytes() != header[3..] {
            return Some(Err("a fragment's checksum"));
        }
        match (kind & TYPE_MASK, self.is_open) {
            (WHOLE | FIRST, false) => {
                self.joined.clear();
                self.is_lost = false;
            }
            (MIDDLE | LAST, true) => {}
            (MIDDLE | LAST, false) if self.is_lost => {
                self.at += HEADER_BYTES + length;
                return Some(Ok(None));
            }
            _ => return Some(Err("the order of fragments")),
        }
        self.at += HEADER_BYTES + length;
        self.joined.extend_from_slice(data);
        self.is_open = matches!(kind & TYPE_MASK, FIRST | MIDDLE);
        Some(Ok((!self.is_open).then_some(kind)))
    }

    fn decompress(&mut self, kind: u8) -> Result<(), &'static str> {
        self.plain.clear();
        if self.joined.is_empty() {
            return Ok(());
        }
        if kind & SNAPPY != 0 {
            let bytes = snap::raw::decompress_len(&self.joined).map_err(|_| "snappy")?;
            if bytes > RECORD_BYTES_MAX {
                return Err("snappy");
            }
            self.plain.resize(bytes, 0);
            let read = snap::raw::Decoder::new().decompress(&self.joined, &mut self.plain);
            self.plain.truncate(read.map_err(|_| "snappy")?);
        } else if kind & ZSTD != 0 {
            let decoder = ruzstd::decoding::StreamingDecoder::new(&self.joined[..]);
            let mut bounded = decoder.map_err(|_| "zstd")?.take(RECORD_BYTES_MAX as u64);
            bounded.read_to_end(&mut self.plain).map_err(|_| "zstd")?;
        } else {
            self.plain.extend_from_slice(&self.joined);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes records as pages, each compressed as `kind` says.
    fn segment(records: &[Vec<u8>], kind: u8) -> Vec<u8> {
        let mut out: Vec<u8> = vec![];
        for record in records {
            let compressed = match kind {
                SNAPPY => snap::raw::Encoder::new().compress_vec(record).unwrap(),
                _ => record.clone(),
            };
            let mut rest = &compressed[..];
            let mut is_first = true;
            loop {
                let left = PAGE_BYTES - out.len() % PAGE_BYTES;
                if left <= HEADER_BYTES {
                    out.resize(out.len() + left, 0);
                    continue;
                }
                let (now, after) = rest.split_at(rest.len().min(left - HEADER_BYTES));
                let fragment = match (is_first, after.is_empty()) {
                    (true, true) => WHOLE,
                    (true, false) => FIRST,
                    (false, false) => MIDDLE,
                    (false, true) => LAST,
                };
                out.push(fragment | kind);
                out.extend_from_slice(&(now.len() as u16).to_be_bytes());
                out.extend_from_slice(&crc32c::crc32c(now).to_be_bytes());
                out.extend_from_slice(now);
                (rest, is_first) = (after, false);
                if rest.is_empty() {
                    break;
                }
            }
        }
        out
    }

    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<PageDamage>) {
        let (mut records, mut damages) = (vec![], vec![]);
        let mut segment = PrometheusSegment::new(bytes);
        while let Some(record) = segment.next() {
            match record {
                Ok(record) => records.push(record.to_vec()),
                Err(damage) => damages.push(damage),
            }
        }
        (records, damages)
    }

    fn records() -> Vec<Vec<u8>> {
        let record = |length: usize| (0..length).map(|at| (at * at % 251) as u8).collect();
        [3, 10, 32_000, 750, 7, 100_000, 0, 90, 40_000].map(record).to_vec()
    }

    #[test]
    fn records_come_back_from_pages() {
        for kind in [0, SNAPPY] {
            let mut bytes = segment(&records(), kind);
            assert_eq!(read(&bytes), (records(), vec![]));
            bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
            assert_eq!(read(&bytes), (records(), vec![]));
        }
        assert_eq!(read(&[]), (vec![], vec![]));
    }

    #[test]
    fn what_is_damaged_is_told_and_the_next_page_is_read() {
        let bytes = segment(&records(), 0);
        for at in (0..bytes.len()).step_by(97) {
            let mut broken = bytes.clone();
            broken[at] ^= 0x21;
            let (read, damages) = read(&broken);
            assert!(!damages.is_empty() || read == records(), "byte {at}");
            assert!(read.iter().all(|record| records().contains(record)), "byte {at}");
        }
        let (read, damages) = read(&bytes[..bytes.len() - 1]);
        assert_eq!((read.len(), damages.len()), (8, 1));
    }

    /// A record as Prometheus compresses it: a zstd frame of `hearth`, made by the reference tool.
    #[test]
    fn zstd_is_read() {
        let frame = [
            0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x06, 0x31, 0x00, 0x00, b'h', b'e', b'a', b'r', b't',
            b'h',
        ];
        let mut bytes = vec![WHOLE | ZSTD, 0, frame.len() as u8];
        bytes.extend_from_slice(&crc32c::crc32c(&frame).to_be_bytes());
        bytes.extend_from_slice(&frame);
        assert_eq!(read(&bytes), (vec![b"hearth".to_vec()], vec![]));
    }
}
