//! The seam: the few operations on files that durability needs.
//!
//! What hearth must find again after a power cut goes through a [`Disk`] and through nothing else,
//! so that a simulated disk can lose, tear and refuse whatever a real one may. `shards` implements
//! it on io_uring; [`mem::MemDisk`] is the one that knows what was synced.
//!
//! What the trait promises, and what it does not:
//!
//! - A completed [`Disk::write_at`] is visible to reads. It survives a power cut only after a
//!   [`Disk::sync`] of the same file that *started after the write completed* has succeeded. Until
//!   then any part of it may survive, in units of sectors, in any order.
//! - Names (create, rename, remove) survive a power cut only after [`Disk::sync_dir`].
//! - A failed `sync` is final for its file: what was not synced before is unknown and stays so.
//!   The caller writes the same bytes to a new file and never syncs the old one again.
//! - Files of [`Disk::create`] have their full size from the start. Only [`Disk::append`] makes a file
//!   grow, and what it wrote counts only once the whole file was synced and renamed: a size change
//!   beside a data sync is what real file systems lose. A file that is no longer written may be cut
//!   short.

pub mod mem;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// The content of a file.
pub type FileBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// What a write must be a multiple of, in offset, length and address, to pass by the page cache.
pub const DISK_ALIGN: usize = 4096;

/// An operation that failed: which, on what, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// `write`, `sync`, …
    pub operation: &'static str,
    pub path: String,
    pub kind: DiskErrorKind,
    /// The system's own words.
    pub cause: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskErrorKind {
    NotFound,
    /// Space or quota exhausted: goes away when someone makes room.
    NoSpace,
    /// Anything else: the device or the file system does not do what it should.
    Io,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.path, self.cause)
    }
}

impl std::error::Error for DiskError {}

/// How a directory of a [`Tree`] is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirUse {
    /// Its files are written in place and whole blocks at a time, past the page cache where that is
    /// possible: a log's.
    pub is_direct: bool,
    /// What the names of its damaged files begin with where they are kept.
    pub kept_prefix: String,
}

/// A data directory: a tree of directories, each a [`Disk`]. Paths are names joined by `/`, from its
/// root, which is the empty path.
pub trait Tree: Clone {
    type Dir: Disk + 'static;

    /// Opens directory `path`; it and those above it are there, durably, when this returns.
    fn open(&self, path: &str, of: DirUse) -> impl Future<Output = Result<Self::Dir, DiskError>>;

    /// Names of the directories in directory `path`, sorted; none when there is no `path`.
    fn directories(&self, path: &str) -> impl Future<Output = Result<Vec<String>, DiskError>>;

    /// Removes directory `path` with all that is in it, in any order. Nothing, if it is not there.
    fn remove_all(&self, path: &str) -> impl Future<Output = Result<(), DiskError>>;

    /// Gives file `from`, which never changes, the second name `to`, unless that is taken. Durable
    /// after [`Disk::sync_dir`] of the directory of `to`.
    fn link(&self, from: &str, to: &str) -> impl Future<Output = Result<(), DiskError>>;

    /// Bytes that may still be written; `None` when that is not known.
    fn free_bytes(&self) -> impl Future<Output = Option<u64>>;
}

/// One directory of one shard. Names are plain file names in it.
///
/// Futures are not `Send`: a disk belongs to its shard. Buffers of writes are owned by the
/// operation until it completes, because the kernel reads them after the call returned.
pub trait Disk {
    /// An open file; closed when dropped.
    type File;

    /// Creates `name` with `bytes` zeros written out, so that later writes change no size and
    /// allocate nothing. Fails if `name` exists. Durable after `sync` of the file and `sync_dir`.
    fn create(&self, name: &str, bytes: u64)
    -> impl Future<Output = Result<Self::File, DiskError>>;

    /// Creates `name` without content, to be written front to back by [`Disk::append`]; replaces
    /// what had that name. For files that are renamed when they are whole and synced.
    fn create_empty(&self, name: &str) -> impl Future<Output = Result<Self::File, DiskError>>;

    /// Appends `bytes` to a file of [`Disk::create_empty`], one call at a time. Gives the buffer
    /// back.
    fn append(
        &self,
        file: &Self::File,
        bytes: Vec<u8>,
    ) -> impl Future<Output = (Result<(), DiskError>, Vec<u8>)>;

    /// The content of `name`, which nobody writes any more, to be read in place: a mapping, where a
    /// disk can. It stays readable when the file is removed.
    fn map(&self, name: &str) -> impl Future<Output = Result<FileBytes, DiskError>>;

    /// Opens an existing file for writing.
    fn open(&self, name: &str) -> impl Future<Output = Result<Self::File, DiskError>>;

    /// Writes all of `buffer` at `offset` and gives the buffer back. The range lies in the file.
    fn write_at<B: AsRef<[u8]> + 'static>(
        &self,
        file: &Self::File,
        offset: u64,
        buffer: B,
    ) -> impl Future<Output = (Result<(), DiskError>, B)>;

    /// Makes all completed writes of `file` durable.
    fn sync(&self, file: &Self::File) -> impl Future<Output = Result<(), DiskError>>;

    /// As [`Disk::write_at`] and then [`Disk::sync`], where a disk can do both in one operation.
    /// A failure counts as that of a sync.
    fn write_durable<B: AsRef<[u8]> + 'static>(
        &self,
        file: &Self::File,
        offset: u64,
        buffer: B,
    ) -> impl Future<Output = (Result<(), DiskError>, B)> {
        async move {
            let (written, buffer) = self.write_at(file, offset, buffer).await;
            if written.is_err() {
                return (written, buffer);
            }
            (self.sync(file).await, buffer)
        }
    }

    /// Makes all completed creations, renames and removals durable.
    fn sync_dir(&self) -> impl Future<Output = Result<(), DiskError>>;

    /// The whole content of `name`.
    fn read(&self, name: &str) -> impl Future<Output = Result<Vec<u8>, DiskError>>;

    /// As [`Disk::read`], and how many bytes the file has: of a file that is zeros only, a disk may give
    /// the first of them alone.
    fn read_used(&self, name: &str) -> impl Future<Output = Result<(Vec<u8>, usize), DiskError>> {
        let read = self.read(name);
        async {
            let bytes = read.await?;
            let length = bytes.len();
            Ok((bytes, length))
        }
    }

    /// All names, sorted.
    fn list(&self) -> impl Future<Output = Result<Vec<String>, DiskError>>;

    /// Gives `from` the name `to`, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = Result<(), DiskError>>;

    fn remove(&self, name: &str) -> impl Future<Output = Result<(), DiskError>>;

    /// Keeps what `name`, which is damaged, holds now outside of this directory, for whoever looks
    /// into it; done before the file is cut or removed. Once: what is kept already stays. Returns
    /// where.
    fn quarantine(&self, name: &str) -> impl Future<Output = Result<String, DiskError>>;

    /// Cuts `name`, which nobody writes any more, to its first `bytes`; durable when it returns.
    fn shorten(&self, name: &str, bytes: u64) -> impl Future<Output = Result<(), DiskError>>;
}
