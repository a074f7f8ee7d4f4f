//! A disk in memory that knows what was synced, for crash tests.
//!
//! Every file has its content as written and, sector by sector, as synced; the directory has its
//! entries as they are and as synced. [`MemDisk::power_cut`] returns the disk that a machine would
//! find after the power went: synced content for certain, and of the rest what a caller's choice
//! lets through. [`MemDisk::fail_operation`] makes one operation fail.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::{Disk, DiskError, DiskErrorKind, FileBytes};

/// What a power cut leaves whole.
pub const SECTOR_BYTES: usize = 512;

#[derive(Debug, Default)]
struct Content {
    written: Vec<u8>,
    synced: Vec<u8>,
    /// A sync failed: what was not synced before never will be.
    is_poisoned: bool,
}

type Entries = BTreeMap<String, Rc<RefCell<Content>>>;

#[derive(Debug, Default)]
pub struct MemDisk {
    entries: RefCell<Entries>,
    synced_entries: RefCell<Entries>,
    quarantined: RefCell<BTreeMap<String, Vec<u8>>>,
    operation_count: Cell<u64>,
    failing: Cell<Option<(u64, DiskErrorKind)>>,
}

/// An open file of a [`MemDisk`].
#[derive(Clone, Debug)]
pub struct MemFile {
    name: String,
    content: Rc<RefCell<Content>>,
}

impl MemDisk {
    /// Operations called so far, failed ones included.
    pub fn operation_count(&self) -> u64 {
        self.operation_count.get()
    }

    /// Makes the operation with this number (counted from zero) fail without effect. A failed sync
    /// poisons its file, as the kernel does.
    pub fn fail_operation(&self, number: u64, kind: DiskErrorKind) {
        self.failing.set(Some((number, kind)));
    }

    /// The disk after a power cut now. `survives(name, sector)` decides about each sector that was
    /// written and not synced, and `entry_survives(name)` about each name whose entry was not.
    pub fn power_cut(
        &self,
        mut survives: impl FnMut(&str, usize) -> bool,
        mut entry_survives: impl FnMut(&str) -> bool,
    ) -> MemDisk {
        let mut kept = self.synced_entries.borrow().clone();
        for (name, content) in self.entries.borrow().iter() {
            let synced = kept.get(name).is_some_and(|synced| Rc::ptr_eq(synced, content));
            if !synced && entry_survives(name) {
                kept.insert(name.clone(), content.clone());
            }
        }
        let entries: Entries = kept
            .into_iter()
            .map(|(name, content)| {
                let content = content.borrow();
                let mut bytes = content.synced.clone();
                bytes.resize(content.written.len(), 0);
                let sectors = content.written.chunks(SECTOR_BYTES);
                for (sector, written) in sectors.enumerate() {
                    let start = sector * SECTOR_BYTES;
                    let kept = &mut bytes[start..start + written.len()];
                    if kept != written && survives(&name, sector) {
                        kept.copy_from_slice(written);
                    }
                }
                let content = Content { written: bytes.clone(), synced: bytes, is_poisoned: false };
                (name, Rc::new(RefCell::new(content)))
            })
            .collect();
        MemDisk {
            synced_entries: RefCell::new(entries.clone()),
            entries: RefCell::new(entries),
            ..MemDisk::default()
        }
    }

    /// What [`Disk::quarantine`] keeps of `name`.
    pub fn quarantined(&self, name: &str) -> Option<Vec<u8>> {
        self.quarantined.borrow().get(name).cloned()
    }

    fn begin(&self, operation: &'static str, path: &str) -> Result<(), DiskError> {
        let number = self.operation_count.get();
        self.operation_count.set(number + 1);
        match self.failing.get() {
            Some((failing, kind)) if failing == number => {
                Err(error(operation, path, kind, "injected fault"))
            }
            _ => Ok(()),
        }
    }

    fn find(&self, operation: &'static str, name: &str) -> Result<MemFile, DiskError> {
        let entries = self.entries.borrow();
        let content = entries
            .get(name)
            .cloned()
            .ok_or_else(|| error(operation, name, DiskErrorKind::NotFound, "no such file"))?;
        Ok(MemFile { name: name.to_owned(), content })
    }
}

fn error(operation: &'static str, path: &str, kind: DiskErrorKind, cause: &str) -> DiskError {
    DiskError { operation, path: path.to_owned(), kind, cause: cause.to_owned() }
}

impl Disk for MemDisk {
    type File = MemFile;

    async fn create(&self, name: &str, bytes: u64) -> Result<MemFile, DiskError> {
        self.begin("create", name)?;
        if self.entries.borrow().contains_key(name) {
            return Err(error("create", name, DiskErrorKind::Io, "file exists"));
        }
        let content = Content { written: vec![0; bytes as usize], ..Content::default() };
        let content = Rc::new(RefCell::new(content));
        self.entries.borrow_mut().insert(name.to_owned(), content.clone());
        Ok(MemFile { name: name.to_owned(), content })
    }

    async fn create_empty(&self, name: &str) -> Result<MemFile, DiskError> {
        self.begin("create", name)?;
        let content = Rc::<RefCell<Content>>::default();
        self.entries.borrow_mut().insert(name.to_owned(), content.clone());
        Ok(MemFile { name: name.to_owned(), content })
    }

    async fn append(&self, file: &MemFile, bytes: Vec<u8>) -> (Result<(), DiskError>, Vec<u8>) {
        let begun = self.begin("write", &file.name);
        if begun.is_ok() {
            file.content.borrow_mut().written.extend_from_slice(&bytes);
        }
        (begun, bytes)
    }

    async fn map(&self, name: &str) -> Result<FileBytes, DiskError> {
        Ok(Arc::new(self.read(name).await?))
    }

    async fn open(&self, name: &str) -> Result<MemFile, DiskError> {
        self.begin("open", name)?;
        self.find("open", name)
    }

    async fn write_at<B: AsRef<[u8]> + 'static>(
        &self,
        file: &MemFile,
        offset: u64,
        buffer: B,
    ) -> (Result<(), DiskError>, B) {
        let write = || {
            self.begin("write", &file.name)?;
            let bytes = buffer.as_ref();
            let mut content = file.content.borrow_mut();
            let start = offset as usize;
            let target = content.written.get_mut(start..start.saturating_add(bytes.len()));
            let outside = || error("write", &file.name, DiskErrorKind::Io, "outside of the file");
            target.ok_or_else(outside)?.copy_from_slice(bytes);
            Ok(())
        };
        (write(), buffer)
    }

    async fn sync(&self, file: &MemFile) -> Result<(), DiskError> {
        let begun = self.begin("sync", &file.name);
        let mut content = file.content.borrow_mut();
        if let Err(error) = begun {
            content.is_poisoned = true;
            return Err(error);
        }
        // A sync after a failed one succeeds without effect: exactly the lie that kernels tell.
        if !content.is_poisoned {
            content.synced = content.written.clone();
        }
        Ok(())
    }

    async fn sync_dir(&self) -> Result<(), DiskError> {
        self.begin("sync", ".")?;
        *self.synced_entries.borrow_mut() = self.entries.borrow().clone();
        Ok(())
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, DiskError> {
        self.begin("read", name)?;
        Ok(self.find("read", name)?.content.borrow().written.clone())
    }

    async fn list(&self) -> Result<Vec<String>, DiskError> {
        self.begin("list", ".")?;
        Ok(self.entries.borrow().keys().cloned().collect())
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.begin("rename", from)?;
        let content = self.find("rename", from)?.content;
        let mut entries = self.entries.borrow_mut();
        entries.remove(from);
        entries.insert(to.to_owned(), content);
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.begin("remove", name)?;
        self.find("remove", name)?;
        self.entries.borrow_mut().remove(name);
        Ok(())
    }

    async fn quarantine(&self, name: &str) -> Result<String, DiskError> {
        self.begin("quarantine", name)?;
        let content = self.find("quarantine", name)?.content.borrow().written.clone();
        self.quarantined.borrow_mut().entry(name.to_owned()).or_insert(content);
        Ok(format!("quarantine/{name}"))
    }

    async fn shorten(&self, name: &str, bytes: u64) -> Result<(), DiskError> {
        self.begin("shorten", name)?;
        let file = self.find("shorten", name)?;
        let mut content = file.content.borrow_mut();
        content.written.truncate(bytes as usize);
        content.synced = content.written.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Every future of a memory disk is ready at once.
    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("a memory disk is ready at once"),
        }
    }

    #[test]
    fn only_what_was_synced_is_certain() {
        let disk = MemDisk::default();
        let file = now(disk.create("a", 1024)).unwrap();
        now(disk.write_at(&file, 0, vec![1; 1024])).0.unwrap();
        assert!(now(disk.power_cut(|_, _| true, |_| false).list()).unwrap().is_empty());
        now(disk.sync_dir()).unwrap();
        let read = |disk: &MemDisk| now(disk.read("a")).unwrap();
        assert_eq!(read(&disk.power_cut(|_, _| false, |_| false)), vec![0; 1024]);
        assert_eq!(read(&disk.power_cut(|_, sector| sector == 1, |_| false))[511..513], [0, 1]);
        now(disk.sync(&file)).unwrap();
        assert_eq!(read(&disk.power_cut(|_, _| false, |_| false)), vec![1; 1024]);
        now(disk.rename("a", "b")).unwrap();
        assert_eq!(now(disk.power_cut(|_, _| false, |_| false).list()).unwrap(), ["a"]);
        now(disk.sync_dir()).unwrap();
        now(disk.remove("b")).unwrap();
        assert_eq!(now(disk.power_cut(|_, _| false, |_| false).list()).unwrap(), ["b"]);
        assert_eq!(now(disk.open("b")).unwrap_err().kind, DiskErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_grows_is_whole_once_it_is_synced() {
        let disk = MemDisk::default();
        let file = now(disk.create_empty("a")).unwrap();
        for piece in [&b"front"[..], b" to ", b"back"] {
            let (appended, buffer) = now(disk.append(&file, piece.to_vec()));
            assert_eq!((appended, &*buffer), (Ok(()), piece));
        }
        now(disk.sync_dir()).unwrap();
        let cut = disk.power_cut(|_, _| false, |_| false);
        assert_eq!(now(cut.read("a")).unwrap(), [0; 13]);
        now(disk.sync(&file)).unwrap();
        let cut = disk.power_cut(|_, _| false, |_| false);
        assert_eq!((*now(cut.map("a")).unwrap()).as_ref(), b"front to back");
    }

    #[test]
    fn a_failed_sync_poisons_its_file() {
        let disk = MemDisk::default();
        let file = now(disk.create("a", 512)).unwrap();
        now(disk.sync_dir()).unwrap();
        now(disk.write_at(&file, 0, [7; 4])).0.unwrap();
        disk.fail_operation(disk.operation_count(), DiskErrorKind::Io);
        assert_eq!(now(disk.sync(&file)).unwrap_err().to_string(), "sync a: injected fault");
        now(disk.sync(&file)).unwrap();
        let after = disk.power_cut(|_, _| false, |_| false);
        assert_eq!(now(after.read("a")).unwrap()[..4], [0; 4]);
        assert!(now(disk.write_at(&file, 510, [7; 4])).0.is_err());
    }
}
