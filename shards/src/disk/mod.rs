//! The seam to the disk, by io_uring: one directory of one shard.
//!
//! Writes and syncs go through a ring of the shard's own; with `direct`, past the page cache. What
//! is rare and slow (create, list, read, rename) runs on the pool of blocking calls.

mod buffer;
mod map;
mod read_only;
mod ring;
mod space;
mod stream;
#[cfg(test)]
mod tests;
mod tree;
mod whole;

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::disk::{Disk, DiskError, DiskErrorKind, FileBytes};

pub use buffer::{BLOCK_BYTES, BlockBuffer, padded};
pub use map::{Mapping, is_resident, populate};
pub use read_only::{ReadOnlyDisk, ReadOnlyTree};
use ring::Line;
pub use space::{Space, space};
pub use stream::{FileStream, finished_files};
pub use tree::DirTree;
use whole::{read_used, read_whole};

use crate::observe::{Event, SharedReporter};
use crate::runtime::blocking;

/// Zeros of a new file are written in pieces of this size …
const FILL_BYTES: usize = 256 << 10;

/// … with this pause between two: a burst would delay the commits of the segment in use.
const FILL_PAUSE: Duration = Duration::from_millis(2);

/// One directory, on the thread of its shard.
pub struct RingDisk {
    path: PathBuf,
    /// Where damaged files are kept, and what their names begin with there.
    quarantine: Option<(PathBuf, String)>,
    /// Whether to write past the page cache. Off once the file system refused.
    is_direct: Cell<bool>,
    /// The first files are wanted at once, later ones without a burst.
    is_hurried: Cell<bool>,
    writes: Line,
    /// Beside the writes: a sync of one file takes as long as a commit of the file system's journal,
    /// and the log must not stand still because its next segment is made durable.
    syncs: Line,
    reporter: SharedReporter,
}

impl RingDisk {
    /// Opens `path`, creating it durably, on the shard's thread. With `direct`, writes go past the
    /// page cache unless the file system refuses, which is reported once.
    pub fn open(path: PathBuf, direct: bool, reporter: SharedReporter) -> io::Result<RingDisk> {
        create_dir_durably(&path)?;
        Ok(RingDisk {
            path,
            quarantine: None,
            is_direct: Cell::new(direct),
            is_hurried: Cell::new(true),
            writes: Line::default(),
            syncs: Line::default(),
            reporter,
        })
    }

    /// Keeps damaged files in `dir`, under names that begin with `prefix`.
    pub fn with_quarantine(mut self, dir: PathBuf, prefix: String) -> RingDisk {
        self.quarantine = Some((dir, prefix));
        self
    }

    /// From now on new files are written without a burst.
    pub fn take_time(&self) {
        self.is_hurried.set(false);
    }

    fn error(&self, operation: &'static str, name: &str, error: &io::Error) -> DiskError {
        disk_error(operation, &self.path.join(name), error)
    }

    /// Runs `call` with the path of `name`, off the shard.
    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        name: &str,
        call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, DiskError> {
        let path = self.path.join(name);
        blocking(move || call(&path)).await.map_err(|error| self.error(operation, name, &error))
    }

    async fn write<B: AsRef<[u8]> + 'static>(
        &self,
        file: &RingFile,
        offset: u64,
        buffer: B,
        durable: bool,
    ) -> (Result<(), DiskError>, B) {
        let length = buffer.as_ref().len();
        let (buffer, result) =
            self.writes.run(|writes| writes.begin_write(&file.file, offset, buffer, durable)).await;
        let result = result.and_then(|written| match written as usize == length {
            true => Ok(()),
            false => Err(io::Error::other(format!("only {written} of {length} bytes written"))),
        });
        let buffer = *buffer.downcast().expect("the ring gives back what it was given");
        (result.map_err(|error| self.error("write", &file.name, &error)), buffer)
    }

    /// Remembers and reports that the file system refused direct writes.
    fn opened(&self, name: &str, opened: Opened, wanted_direct: bool) -> RingFile {
        if wanted_direct && !opened.is_direct && self.is_direct.replace(false) {
            self.reporter.report(Event::DirectWritesRefused { path: self.path.clone() });
        }
        RingFile { name: name.into(), file: Arc::new(opened.file) }
    }
}

/// What the system said, as the seam has it.
fn disk_error(operation: &'static str, path: &Path, error: &io::Error) -> DiskError {
    let kind = match error.raw_os_error() {
        Some(libc::ENOENT) => DiskErrorKind::NotFound,
        Some(libc::ENOSPC | libc::EDQUOT) => DiskErrorKind::NoSpace,
        _ => DiskErrorKind::Io,
    };
    DiskError { operation, path: path.display().to_string(), kind, cause: error.to_string() }
}

/// A file of a [`RingDisk`].
#[derive(Clone, Debug)]
pub struct RingFile {
    /// Its name when it was opened: for messages.
    name: Box<str>,
    file: Arc<File>,
}

impl Disk for RingDisk {
    type File = RingFile;

    async fn create(&self, name: &str, bytes: u64) -> Result<RingFile, DiskError> {
        let (direct, pause) =
            (self.is_direct.get(), if self.is_hurried.get() { Duration::ZERO } else { FILL_PAUSE });
        let opened = self.call("create", name, move |path| create(path, bytes, direct, pause));
        Ok(self.opened(name, opened.await?, direct))
    }

    async fn create_empty(&self, name: &str) -> Result<RingFile, DiskError> {
        let opened = self.call("create", name, |path| {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
            Ok(Opened { file, is_direct: false })
        });
        Ok(self.opened(name, opened.await?, false))
    }

    async fn append(&self, file: &RingFile, bytes: Vec<u8>) -> (Result<(), DiskError>, Vec<u8>) {
        let target = file.file.clone();
        let (written, bytes) = blocking(move || ((&*target).write_all(&bytes), bytes)).await;
        (written.map_err(|error| self.error("write", &file.name, &error)), bytes)
    }

    async fn map(&self, name: &str) -> Result<FileBytes, DiskError> {
        let mapping = self.call("map", name, Mapping::open).await?;
        Ok(Arc::new(mapping))
    }

    async fn open(&self, name: &str) -> Result<RingFile, DiskError> {
        let direct = self.is_direct.get();
        let opened = self.call("open", name, move |path| {
            open_direct(path, OpenOptions::new().write(true), direct)
        });
        Ok(self.opened(name, opened.await?, direct))
    }

    async fn write_at<B: AsRef<[u8]> + 'static>(
        &self,
        file: &RingFile,
        offset: u64,
        buffer: B,
    ) -> (Result<(), DiskError>, B) {
        self.write(file, offset, buffer, false).await
    }

    async fn write_durable<B: AsRef<[u8]> + 'static>(
        &self,
        file: &RingFile,
        offset: u64,
        buffer: B,
    ) -> (Result<(), DiskError>, B) {
        self.write(file, offset, buffer, true).await
    }

    async fn sync(&self, file: &RingFile) -> Result<(), DiskError> {
        let (_, result) = self.syncs.run(|writes| writes.begin_sync(&file.file)).await;
        result.map(drop).map_err(|error| self.error("sync", &file.name, &error))
    }

    async fn sync_dir(&self) -> Result<(), DiskError> {
        self.call("sync", "", sync_dir).await
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, DiskError> {
        self.call("read", name, read_whole).await
    }

    async fn read_used(&self, name: &str) -> Result<(Vec<u8>, usize), DiskError> {
        self.call("read", name, read_used).await
    }

    async fn list(&self) -> Result<Vec<String>, DiskError> {
        self.call("list", "", |path| {
            let mut names = Vec::new();
            for entry in fs::read_dir(path)? {
                // Names that are not text are not ours.
                names.extend(entry?.file_name().into_string().ok());
            }
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let to = self.path.join(to);
        self.call("rename", from, move |from| fs::rename(from, to)).await
    }

    async fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.call("remove", name, |path| fs::remove_file(path)).await
    }

    async fn quarantine(&self, name: &str) -> Result<String, DiskError> {
        let Some((dir, prefix)) = self.quarantine.clone() else {
            let error = io::Error::other("no directory for damaged files is known");
            return Err(self.error("quarantine", name, &error));
        };
        let to = dir.join(format!("{prefix}{name}"));
        let kept = to.display().to_string();
        self.call("quarantine", name, move |path| {
            create_dir_durably(&dir)?;
            // Nobody writes a damaged file any more, so a second name for it is as good as a copy,
            // and takes no room on a disk that may have none.
            match fs::hard_link(path, &to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
                Err(_) => {
                    fs::copy(path, &to)?;
                    File::open(&to)?.sync_all()?;
                }
                Ok(()) => {}
            }
            sync_dir(&dir)
        })
        .await?;
        Ok(kept)
    }

    async fn shorten(&self, name: &str, bytes: u64) -> Result<(), DiskError> {
        self.call("shorten", name, move |path| {
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(bytes)?;
            file.sync_all()
        })
        .await
    }
}

/// A file, and whether writes to it go past the page cache.
struct Opened {
    file: File,
    is_direct: bool,
}

/// Opens past the page cache if wanted and possible.
fn open_direct(path: &Path, options: &mut OpenOptions, direct: bool) -> io::Result<Opened> {
    if direct {
        match options.clone().custom_flags(libc::O_DIRECT).open(path) {
            Ok(file) => return Ok(Opened { file, is_direct: true }),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                // A file that was created before the flag was refused is in the way.
                options.create_new(false).create(true);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Opened { file: options.open(path)?, is_direct: false })
}

/// Creates `path` with `bytes` zeros; removes it again when that fails half way.
fn create(path: &Path, bytes: u64, direct: bool, pause: Duration) -> io::Result<Opened> {
    let opened = open_direct(path, OpenOptions::new().write(true).create_new(true), direct)?;
    fill(&opened.file, bytes, pause).inspect_err(|_| {
        // The space is needed. When this fails too, the caller removes it before it tries again.
        let _ = fs::remove_file(path);
    })?;
    Ok(opened)
}

fn fill(mut file: &File, bytes: u64, pause: Duration) -> io::Result<()> {
    let mut zeros = BlockBuffer::default();
    zeros.fill(&[0; FILL_BYTES]);
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(FILL_BYTES as u64);
        file.write_all(&zeros.as_ref()[..piece as usize])?; // Lossless: at most FILL_BYTES.
        left -= piece;
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    Ok(())
}

/// Makes the entries of a directory durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Creates `path` with all directories above it, durably.
pub fn create_dir_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir_durably(parent)?;
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created?,
        }
        return sync_dir(parent);
    }
    fs::create_dir(path)?;
    sync_dir(Path::new("."))
}
