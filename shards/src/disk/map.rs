//! Files as memory: read-only mappings, and bringing their pages in before they are touched.
//!
//! A page that is not in memory stalls the thread that touches it for as long as the disk takes,
//! up to tens of milliseconds. So a shard asks first whether the pages are there ([`is_resident`],
//! about a microsecond), and has those that are not read by the pool of blocking calls
//! ([`populate`]).
//!
//! A file that shrinks under its mapping would end the process with SIGBUS. Nobody here shortens a
//! part or a block: they are written under another name, renamed, and only ever removed.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

/// All bytes of a file, read-only. Unmapped when dropped; the file may be removed meanwhile.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is never written, and unmapped only by the one owner.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared reads are all there is.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the file at `path` as long as it is now. Blocks: open, fstat, mmap.
    pub fn open(path: &Path) -> io::Result<Mapping> {
        let file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if length == 0 {
            return Ok(Mapping { start: NonNull::dangling(), length });
        }
        // SAFETY: a new private mapping of an open file over no address of ours; the kernel
        // checks the descriptor, and the mapping outlives it.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(address.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Mapping { start, length })
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `length` bytes from `start` are mapped readable until `self` is dropped (or
        // `length` is zero and `start` aligned and not null), and nobody writes them: files that
        // are mapped are never written again.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: exactly what `open` mapped, and nothing borrows it any more.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        }
    }
}

fn page_bytes() -> usize {
    static PAGE_BYTES: OnceLock<usize> = OnceLock::new();
    *PAGE_BYTES.get_or_init(|| {
        // SAFETY: asks for a constant of the system.
        let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
    })
}

/// Addresses of the whole pages that `bytes[range]` touches: start and length.
fn pages(bytes: &[u8], range: &Range<usize>) -> (usize, usize) {
    let range = range.start.min(bytes.len())..range.end.min(bytes.len());
    let (base, page) = (bytes.as_ptr() as usize, page_bytes());
    let start = (base + range.start) & !(page - 1);
    let end = (base + range.end).next_multiple_of(page);
    (start, if range.is_empty() { 0 } else { end - start })
}

/// Whether every page of `bytes[range]` is in memory. For memory that is not of a file, and when
/// the kernel does not tell: yes.
pub fn is_resident(bytes: &[u8], range: Range<usize>) -> bool {
    /// Pages asked for at once.
    const PAGE_COUNT: usize = 256;
    let (mut start, mut length) = pages(bytes, &range);
    let mut states = [0u8; PAGE_COUNT];
    while length > 0 {
        let piece = length.min(PAGE_COUNT * page_bytes());
        // SAFETY: `start` is page-aligned, the pages hold borrowed bytes and so are mapped, and
        // `states` has a byte for each page of `piece`.
        let told = unsafe { libc::mincore(start as *mut libc::c_void, piece, states.as_mut_ptr()) };
        let count = piece.div_ceil(page_bytes());
        if told == 0 && states[..count].iter().any(|state| state & 1 == 0) {
            return false;
        }
        start += piece;
        length -= piece;
    }
    true
}

/// Reads the pages of `bytes[range]` into memory, as far as there is room. Blocks while the disk
/// reads.
///
/// Errors: the disk does not give them out, and who touches them ends the process. What fails for
/// another reason is left to the page fault.
pub fn populate(bytes: &[u8], range: Range<usize>) -> io::Result<()> {
    let (start, length) = pages(bytes, &range);
    if length == 0 {
        return Ok(());
    }
    let mut told = 0;
    for advice in [libc::MADV_WILLNEED, libc::MADV_POPULATE_READ] {
        // SAFETY: advice about whole pages that hold borrowed bytes; neither kind changes contents.
        told = unsafe { libc::madvise(start as *mut libc::c_void, length, advice) };
    }
    let why = if told == 0 { None } else { io::Error::last_os_error().raw_os_error() };
    match why {
        Some(libc::EFAULT | libc::EHWPOISON) => Err(io::Error::other("the disk cannot read it")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_mapping_shows_the_file_until_it_is_dropped() {
        let scratch = Scratch::new("map");
        let path = scratch.path().join("file");
        let content: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        fs::write(&path, &content).unwrap();
        let mapping = Mapping::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let shared = std::sync::Arc::new(mapping);
        let other = shared.clone();
        let read = std::thread::spawn(move || (*other).as_ref().to_vec()).join().unwrap();
        assert_eq!(read, content);
        for range in [0..0, 0..1, 4095..4097, 0..300_000, 299_999..300_000, 300_000..400_000] {
            populate((*shared).as_ref(), range.clone()).unwrap();
            assert!(is_resident((*shared).as_ref(), range));
        }
        assert!(Mapping::open(&path).is_err());
        fs::write(&path, "").unwrap();
        assert_eq!(Mapping::open(&path).unwrap().as_ref(), b"");
    }

    #[test]
    fn pages_that_nobody_can_read_are_an_error_and_not_the_end() {
        let scratch = Scratch::new("map");
        let path = scratch.path().join("file");
        fs::write(&path, vec![7; 100_000]).unwrap();
        let mapping = Mapping::open(&path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(50_000).unwrap();
        populate(mapping.as_ref(), 0..50_000).unwrap();
        let error = populate(mapping.as_ref(), 60_000..70_000).unwrap_err();
        assert_eq!(error.to_string(), "the disk cannot read it");
    }

    #[test]
    fn memory_of_the_process_is_resident() {
        let bytes = vec![1u8; 100_000];
        populate(&bytes, 10..90_000).unwrap();
        assert!(is_resident(&bytes, 0..bytes.len()));
        assert!(is_resident(&[], 0..10));
    }
}
