//! A data directory that is looked at and stays as it is: what would be written goes into memory, and
//! is gone with it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::disk::mem::{MemDisk, MemFile};
use engine::disk::{DirUse, Disk, DiskError, DiskErrorKind, FileBytes, Tree};

use super::{Mapping, disk_error};

/// A data directory for tools. Calls block: nobody is served beside them.
#[derive(Clone, Debug)]
pub struct ReadOnlyTree {
    root: PathBuf,
}

impl ReadOnlyTree {
    pub fn new(root: PathBuf) -> ReadOnlyTree {
        ReadOnlyTree { root }
    }
}

/// Names of what `wanted` likes in a directory, sorted; none when it is not there.
fn names(path: &Path, wanted: fn(&fs::FileType) -> bool) -> Result<Vec<String>, DiskError> {
    let failed = |error: io::Error| disk_error("list", path, &error);
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(failed)?,
    };
    let mut names = vec![];
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if wanted(&entry.file_type().map_err(failed)?) {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    names.sort_unstable();
    Ok(names)
}

impl Tree for ReadOnlyTree {
    type Dir = ReadOnlyDisk;

    async fn open(&self, path: &str, _of: DirUse) -> Result<ReadOnlyDisk, DiskError> {
        let path = self.root.join(path);
        Ok(ReadOnlyDisk { path, hidden: RefCell::default(), over: MemDisk::default() })
    }

    async fn directories(&self, path: &str) -> Result<Vec<String>, DiskError> {
        names(&self.root.join(path), fs::FileType::is_dir)
    }

    async fn remove_all(&self, _path: &str) -> Result<(), DiskError> {
        Ok(())
    }

    async fn link(&self, _from: &str, _to: &str) -> Result<(), DiskError> {
        Ok(())
    }

    async fn free_bytes(&self) -> Option<u64> {
        None
    }
}

/// A directory of a [`ReadOnlyTree`].
#[derive(Debug)]
pub struct ReadOnlyDisk {
    path: PathBuf,
    /// Files of the directory that were removed, for those who look through this.
    hidden: RefCell<BTreeSet<String>>,
    /// What was written.
    over: MemDisk,
}

impl ReadOnlyDisk {
    fn find(&self, operation: &'static str, name: &str) -> Result<PathBuf, DiskError> {
        let path = self.path.join(name);
        if self.hidden.borrow().contains(name) {
            let kind = DiskErrorKind::NotFound;
            let cause = "removed".to_owned();
            return Err(DiskError { operation, path: path.display().to_string(), kind, cause });
        }
        Ok(path)
    }

    async fn is_over(&self, name: &str) -> bool {
        self.over.list().await.is_ok_and(|names| names.iter().any(|known| known == name))
    }

    /// Has the content of `name` in memory, where it may change.
    async fn lift(&self, name: &str) -> Result<(), DiskError> {
        if !self.is_over(name).await {
            let bytes = self.read(name).await?;
            let file = self.over.create_empty(name).await?;
            self.over.append(&file, bytes).await.0?;
        }
        Ok(())
    }
}

impl Disk for ReadOnlyDisk {
    type File = MemFile;

    async fn create(&self, name: &str, bytes: u64) -> Result<MemFile, DiskError> {
        self.over.create(name, bytes).await
    }

    async fn create_empty(&self, name: &str) -> Result<MemFile, DiskError> {
        self.over.create_empty(name).await
    }

    async fn append(&self, file: &MemFile, bytes: Vec<u8>) -> (Result<(), DiskError>, Vec<u8>) {
        self.over.append(file, bytes).await
    }

    async fn map(&self, name: &str) -> Result<FileBytes, DiskError> {
        if self.is_over(name).await {
            return self.over.map(name).await;
        }
        let path = self.find("map", name)?;
        let mapping = Mapping::open(&path).map_err(|error| disk_error("map", &path, &error))?;
        Ok(Arc::new(mapping))
    }

    async fn open(&self, name: &str) -> Result<MemFile, DiskError> {
        self.lift(name).await?;
        self.over.open(name).await
    }

    async fn write_at<B: AsRef<[u8]> + 'static>(
        &self,
        file: &MemFile,
        offset: u64,
        buffer: B,
    ) -> (Result<(), DiskError>, B) {
        self.over.write_at(file, offset, buffer).await
    }

    async fn sync(&self, _file: &MemFile) -> Result<(), DiskError> {
        Ok(())
    }

    async fn sync_dir(&self) -> Result<(), DiskError> {
        Ok(())
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, DiskError> {
        if self.is_over(name).await {
            return self.over.read(name).await;
        }
        let path = self.find("read", name)?;
        fs::read(&path).map_err(|error| disk_error("read", &path, &error))
    }

    async fn list(&self) -> Result<Vec<String>, DiskError> {
        let mut all: BTreeSet<String> =
            names(&self.path, fs::FileType::is_file)?.into_iter().collect();
        all.retain(|name| !self.hidden.borrow().contains(name));
        all.extend(self.over.list().await?);
        Ok(all.into_iter().collect())
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.lift(from).await?;
        self.over.rename(from, to).await?;
        self.hidden.borrow_mut().insert(from.to_owned());
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), DiskError> {
        if self.is_over(name).await {
            self.over.remove(name).await?;
        } else {
            self.find("remove", name)?;
        }
        self.hidden.borrow_mut().insert(name.to_owned());
        Ok(())
    }

    async fn quarantine(&self, name: &str) -> Result<String, DiskError> {
        // The directory stays as it is, the damaged file with it.
        Ok(self.path.join(name).display().to_string())
    }

    async fn shorten(&self, name: &str, bytes: u64) -> Result<(), DiskError> {
        self.lift(name).await?;
        self.over.shorten(name, bytes).await
    }
}
