//! Files that are written once, front to back, and read anywhere: each page of 4096 bytes has a
//! checksum, which is compared when the page is first read.
//!
//! ```text
//! contents (the pages) | sums: 4 a page | footer | tail: 20
//!
//! footer   bytes of contents: 8 | CRC of each page of the sums: 4 each | body
//! tail     bytes of the footer: 4 | version: 4 | CRC of footer, its bytes and version: 4 | magic: 8
//! ```
//!
//! Opening reads tail and footer only. Every byte of the file is under a checksum, or says where
//! one is: no flipped bit is read unnoticed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crc32c::{crc32c, crc32c_append};

use super::error::{BlockError, Problem};

/// Bytes of a file: a mapping, or memory.
pub type FileBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

pub(super) const PAGE_BYTES: usize = 4096;
const TAIL_BYTES: usize = 20;
const SUM_BYTES: usize = 4;

/// Sections begin at multiples of this.
pub(super) const SECTION_ALIGN: u64 = 64;

/// Computes the checksums while a file is written.
#[derive(Debug, Default)]
pub(super) struct PageWriter {
    position: u64,
    /// Of the page that is not full yet.
    crc: u32,
    sums: Vec<u32>,
}

impl PageWriter {
    /// Bytes written so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn push(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend_from_slice(bytes);
        self.cover(bytes);
    }

    /// `bytes` were appended to the file.
    pub fn cover(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = (self.position % PAGE_BYTES as u64) as usize;
            let (here, rest) = bytes.split_at(bytes.len().min(PAGE_BYTES - used));
            self.crc = crc32c_append(self.crc, here);
            self.position += here.len() as u64;
            if self.position.is_multiple_of(PAGE_BYTES as u64) {
                self.sums.push(std::mem::take(&mut self.crc));
            }
            bytes = rest;
        }
    }

    /// Zeros up to where a section may begin.
    pub fn align(&mut self, out: &mut Vec<u8>) {
        let missing = (self.position.next_multiple_of(SECTION_ALIGN) - self.position) as usize;
        self.push(out, &[0; SECTION_ALIGN as usize][..missing]);
    }

    /// Appends what stands behind the contents: the file is complete.
    pub fn finish(mut self, out: &mut Vec<u8>, magic: &[u8; 8], version: u32, body: &[u8]) {
        if !self.position.is_multiple_of(PAGE_BYTES as u64) {
            self.sums.push(self.crc);
        }
        let start = out.len();
        for sum in &self.sums {
            out.extend_from_slice(&sum.to_le_bytes());
        }
        let mut footer = self.position.to_le_bytes().to_vec();
        for page in out[start..].chunks(PAGE_BYTES) {
            footer.extend_from_slice(&crc32c(page).to_le_bytes());
        }
        footer.extend_from_slice(body);
        let footer_bytes = footer.len() as u32;
        footer.extend_from_slice(&footer_bytes.to_le_bytes());
        footer.extend_from_slice(&version.to_le_bytes());
        let crc = crc32c(&footer);
        out.extend_from_slice(&footer);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(magic);
    }
}

/// Which of many pages were found whole.
struct Verified(Box<[AtomicU64]>);

impl Verified {
    fn new(count: usize) -> Verified {
        Verified((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    #[inline]
    fn contains(&self, page: usize) -> bool {
        self.0[page / 64].load(Ordering::Relaxed) >> (page % 64) & 1 == 1
    }

    fn insert(&self, page: usize) {
        // Relaxed: whoever does not see the bit yet verifies the page again.
        self.0[page / 64].fetch_or(1 << (page % 64), Ordering::Relaxed);
    }
}

/// A file that was opened.
pub(super) struct Pages {
    bytes: FileBytes,
    pub name: Box<str>,
    pub version: u32,
    contents_bytes: usize,
    sums_bytes: usize,
    /// CRC of each page of the sums.
    top_sums: Box<[u32]>,
    verified: Verified,
    sums_verified: Verified,
}

#[inline]
pub(super) fn le_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the caller knows the length"))
}

#[inline]
pub(super) fn le_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the caller knows the length"))
}

/// Takes the tail and the footer apart: bytes of contents, and where the footer begins behind them.
fn split(bytes: &[u8], magic: &[u8; 8], versions: &[u32]) -> Result<(usize, usize), Problem> {
    let tail_start = bytes.len().checked_sub(TAIL_BYTES).ok_or(Problem::Foreign)?;
    let tail = &bytes[tail_start..];
    if tail[12..] != *magic {
        return Err(Problem::Foreign);
    }
    let footer_bytes = le_u32(tail, 0) as usize;
    let footer_start = tail_start.checked_sub(footer_bytes).ok_or(Problem::Foreign)?;
    let damaged = Problem::Damaged { start: footer_start as u64, end: bytes.len() as u64 };
    if crc32c(&bytes[footer_start..tail_start + 8]) != le_u32(tail, 8) || footer_bytes < 8 {
        return Err(damaged);
    }
    if !versions.contains(&le_u32(tail, 4)) {
        return Err(Problem::Version(le_u32(tail, 4)));
    }
    // What is under the footer's checksum is as it was written; its sizes must still be those of
    // this file, which may have lost a piece in the middle.
    let contents_bytes = usize::try_from(le_u64(bytes, footer_start)).map_err(|_| damaged)?;
    let sums_bytes = contents_bytes.div_ceil(PAGE_BYTES).checked_mul(SUM_BYTES).ok_or(damaged)?;
    let top_bytes = sums_bytes.div_ceil(PAGE_BYTES) * SUM_BYTES;
    let is_whole = contents_bytes.checked_add(sums_bytes) == Some(footer_start)
        && top_bytes + 8 <= footer_bytes;
    if is_whole { Ok((contents_bytes, footer_start)) } else { Err(damaged) }
}

impl Pages {
    /// Reads tail and footer, of one of `versions`; returns the footer's body, too.
    pub fn open(
        bytes: FileBytes,
        name: &str,
        magic: &[u8; 8],
        versions: &[u32],
    ) -> Result<(Pages, Vec<u8>), BlockError> {
        let file = (*bytes).as_ref();
        let (contents_bytes, footer_start) = split(file, magic, versions)
            .map_err(|problem| BlockError { file: name.into(), problem })?;
        let sums_bytes = footer_start - contents_bytes;
        let top_count = sums_bytes.div_ceil(PAGE_BYTES);
        let (top, body) =
            file[footer_start + 8..file.len() - TAIL_BYTES].split_at(SUM_BYTES * top_count);
        let top_sums = top.as_chunks().0.iter().map(|&sum| u32::from_le_bytes(sum)).collect();
        let body = body.to_vec();
        let pages = Pages {
            name: name.into(),
            version: le_u32(&file[file.len() - TAIL_BYTES..], 4),
            contents_bytes,
            sums_bytes,
            top_sums,
            verified: Verified::new(contents_bytes.div_ceil(PAGE_BYTES)),
            sums_verified: Verified::new(top_count),
            bytes,
        };
        Ok((pages, body))
    }

    pub fn error(&self, problem: Problem) -> BlockError {
        BlockError { file: self.name.clone(), problem }
    }

    pub fn broken(&self, what: &'static str) -> BlockError {
        self.error(Problem::Broken(what))
    }

    /// Bytes of the contents.
    pub fn contents_bytes(&self) -> u64 {
        self.contents_bytes as u64
    }

    pub fn bytes(&self) -> &FileBytes {
        &self.bytes
    }

    pub fn file_bytes(&self) -> u64 {
        (*self.bytes).as_ref().len() as u64
    }

    /// `length` bytes of the contents from `start` on, their pages verified.
    ///
    /// Cost: a bit for each page; the first time 0.3 µs for each page.
    #[inline]
    pub fn get(&self, start: u64, length: usize) -> Result<&[u8], BlockError> {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let end = start.checked_add(length).filter(|&end| end <= self.contents_bytes);
        let Some(end) = end else { return Err(self.broken("place in the file")) };
        if length > 0 {
            for page in start / PAGE_BYTES..=(end - 1) / PAGE_BYTES {
                if !self.verified.contains(page) {
                    self.verify(page)?;
                }
            }
        }
        Ok(&(*self.bytes).as_ref()[start..end])
    }

    fn damaged(&self, start: usize, end: usize) -> BlockError {
        self.error(Problem::Damaged { start: start as u64, end: end as u64 })
    }

    #[cold]
    fn verify(&self, page: usize) -> Result<(), BlockError> {
        let file = (*self.bytes).as_ref();
        let sums = &file[self.contents_bytes..self.contents_bytes + self.sums_bytes];
        let sums_page = page * SUM_BYTES / PAGE_BYTES;
        if !self.sums_verified.contains(sums_page) {
            let start = sums_page * PAGE_BYTES;
            let end = (start + PAGE_BYTES).min(sums.len());
            if crc32c(&sums[start..end]) != self.top_sums[sums_page] {
                return Err(self.damaged(self.contents_bytes + start, self.contents_bytes + end));
            }
            self.sums_verified.insert(sums_page);
        }
        let start = page * PAGE_BYTES;
        let end = (start + PAGE_BYTES).min(self.contents_bytes);
        if crc32c(&file[start..end]) != le_u32(sums, page * SUM_BYTES) {
            return Err(self.damaged(start, end));
        }
        self.verified.insert(page);
        Ok(())
    }

    /// Verifies the pages from `page` on that were not yet, `count` at most; returns where to go on,
    /// `None` behind the last.
    pub fn verify_some(&self, page: usize, count: usize) -> Result<Option<usize>, BlockError> {
        let page_count = self.contents_bytes.div_ceil(PAGE_BYTES);
        let end = page.saturating_add(count).min(page_count);
        for page in page..end {
            if !self.verified.contains(page) {
                self.verify(page)?;
            }
        }
        Ok((end < page_count).then_some(end))
    }
}

/// A run of rows of one width within the contents.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Section {
    pub start: u64,
    pub bytes: u64,
}

impl Section {
    /// `length` bytes at `offset` of the section.
    #[inline]
    pub fn get<'a>(
        &self,
        pages: &'a Pages,
        offset: u64,
        length: usize,
    ) -> Result<&'a [u8], BlockError> {
        if offset.checked_add(length as u64).is_none_or(|end| end > self.bytes) {
            return Err(pages.broken("place in a section"));
        }
        pages.get(self.start + offset, length)
    }

    #[inline]
    pub fn u64_at(&self, pages: &Pages, index: u64) -> Result<u64, BlockError> {
        Ok(le_u64(self.get(pages, index.saturating_mul(8), 8)?, 0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{PAGE_BYTES, PageWriter, Pages};
    use crate::block::Problem;

    const MAGIC: &[u8; 8] = b"TESTFILE";

    /// A file whose sums take more than one page themselves.
    #[test]
    fn a_large_file_is_verified_where_it_is_read() {
        let contents: Vec<u8> = (0..1500 * PAGE_BYTES + 77).map(|n| ((n * n) >> 7) as u8).collect();
        let (mut writer, mut file) = (PageWriter::default(), vec![]);
        for piece in contents.chunks(100_001) {
            writer.push(&mut file, piece);
        }
        writer.finish(&mut file, MAGIC, 3, b"body");
        let open = |file: &[u8]| Pages::open(Arc::new(file.to_vec()), "file", MAGIC, &[2, 3]);
        let (pages, body) = open(&file).unwrap();
        assert_eq!((&body[..], pages.version), (&b"body"[..], 3));
        assert_eq!(pages.get(5, contents.len() - 5).unwrap(), &contents[5..]);
        assert!(pages.get(5, contents.len()).is_err());
        assert!(pages.get(u64::MAX, 2).is_err());

        let last_page = 1500 * PAGE_BYTES;
        let last_sum = contents.len() + 1500 * 4;
        for (flipped, read, is_found) in [
            (9, 0, true),
            (9, PAGE_BYTES, false),
            (last_page + 76, last_page + 1, true),
            (last_page + 76, last_page - 1, false),
            (last_sum, last_page, true),
            (last_sum, 5 * PAGE_BYTES, false),
            (contents.len() + 8, 1023 * PAGE_BYTES, true),
        ] {
            let mut broken = file.clone();
            broken[flipped] ^= 4;
            let (pages, _) = open(&broken).unwrap();
            let found = pages.get(read as u64, 1);
            assert_eq!(found.is_err(), is_found, "byte {flipped} flipped, byte {read} read");
            if let Err(error) = found {
                assert!(matches!(error.problem, Problem::Damaged { .. }), "{error}");
            }
            assert!(pages.verify_some(0, usize::MAX).is_err());
        }
        assert!(Pages::open(Arc::new(file.clone()), "file", b"ANOTHER!", &[3]).is_err());
        let other = Pages::open(Arc::new(file.clone()), "file", MAGIC, &[2, 4]).err().unwrap();
        assert_eq!(other.problem, Problem::Version(3));
        file.drain(PAGE_BYTES..2 * PAGE_BYTES);
        assert!(open(&file).is_err());
    }
}
