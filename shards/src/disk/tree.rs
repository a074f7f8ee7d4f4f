//! The data directory of a process: directories as [`RingDisk`]s.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use engine::disk::{DirUse, DiskError, Tree};

use super::{RingDisk, disk_error, space};
use crate::observe::SharedReporter;
use crate::runtime::blocking;

/// A data directory on the file system. Cheap to clone.
#[derive(Clone)]
pub struct DirTree {
    root: PathBuf,
    reporter: SharedReporter,
}

/// Where damaged files are kept, below the root.
const QUARANTINE: &str = "quarantine";

impl DirTree {
    pub fn new(root: PathBuf, reporter: SharedReporter) -> DirTree {
        DirTree { root, reporter }
    }

    /// Runs `call` with the whole of `path`, off the shard.
    async fn call<R: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl FnOnce(&Path) -> io::Result<R> + Send + 'static,
    ) -> Result<R, DiskError> {
        let path = self.root.join(path);
        let (done, path) = blocking(move || (call(&path), path)).await;
        done.map_err(|error| disk_error(operation, &path, &error))
    }
}

impl Tree for DirTree {
    type Dir = RingDisk;

    async fn open(&self, path: &str, of: DirUse) -> Result<RingDisk, DiskError> {
        let path = self.root.join(path);
        let disk = RingDisk::open(path.clone(), of.is_direct, self.reporter.clone())
            .map_err(|error| disk_error("open", &path, &error))?;
        Ok(disk.with_quarantine(self.root.join(QUARANTINE), of.kept_prefix))
    }

    async fn directories(&self, path: &str) -> Result<Vec<String>, DiskError> {
        self.call("list", path, |path| {
            let mut names = Vec::new();
            let entries = match fs::read_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    names.extend(entry.file_name().into_string().ok());
                }
            }
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    async fn remove_all(&self, path: &str) -> Result<(), DiskError> {
        self.call("remove", path, |path| match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    async fn link(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let to = self.root.join(to);
        self.call("link", from, move |from| match fs::hard_link(from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // A file system without second names gets a copy.
            Err(_) => {
                fs::copy(from, &to)?;
                fs::File::open(&to)?.sync_all()
            }
            Ok(()) => Ok(()),
        })
        .await
    }

    async fn free_bytes(&self) -> Option<u64> {
        let space = self.call("ask for room", "", space).await.ok()?;
        Some(space.free_bytes)
    }
}
