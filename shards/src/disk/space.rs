//! How much room a file system has left.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this process may still write.
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// The file system that holds `path`. Blocks.
pub fn space(path: &Path) -> io::Result<Space> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut stats = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: a string that ends in zero, and room for the answer.
    if unsafe { libc::statvfs(path.as_ptr(), stats.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it filled the answer in.
    let stats = unsafe { stats.assume_init() };
    let bytes = |blocks: u64| blocks.saturating_mul(stats.f_frsize);
    Ok(Space { free_bytes: bytes(stats.f_bavail), total_bytes: bytes(stats.f_blocks) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_has_room() {
        let space = space(Path::new("/")).unwrap();
        assert!(0 < space.total_bytes && space.free_bytes <= space.total_bytes);
        assert!(super::space(Path::new("/no/such/path")).is_err());
    }
}
