//! A file written front to back that exists whole or not at all.
//!
//! ```text
//! <name>.tmp, appended and synced piece by piece ─► synced ─► renamed ─► the directory synced
//! ```

use engine::disk::{Disk, DiskError, DiskErrorKind};

use crate::route::ShardId;

/// Bytes are appended in pieces of about this size …
const PIECE_BYTES: usize = 1 << 20;

/// … and synced as often, so that the last sync is no burst that delays the log's.
const SYNC_BYTES: usize = 8 << 20;

pub struct FileStream<'d, D: Disk> {
    disk: &'d D,
    name: String,
    /// What it is called until it is whole.
    aside: String,
    file: D::File,
    unsynced_bytes: usize,
}

impl<'d, D: Disk> FileStream<'d, D> {
    pub async fn create(disk: &'d D, name: &str) -> Result<FileStream<'d, D>, DiskError> {
        FileStream::create_aside(disk, name, format!("{name}.tmp")).await
    }

    /// As [`FileStream::create`], where several shards may write `name` at once, each the same: each
    /// has its own file until it is whole.
    pub async fn create_by(
        disk: &'d D,
        name: &str,
        by: ShardId,
    ) -> Result<FileStream<'d, D>, DiskError> {
        FileStream::create_aside(disk, name, format!("{name}.{}.tmp", by.0)).await
    }

    async fn create_aside(
        disk: &'d D,
        name: &str,
        aside: String,
    ) -> Result<FileStream<'d, D>, DiskError> {
        let file = disk.create_empty(&aside).await?;
        Ok(FileStream { disk, name: name.to_owned(), aside, file, unsynced_bytes: 0 })
    }

    /// Takes what is in `bytes` when it is a piece, and leaves it empty.
    pub async fn push(&mut self, bytes: &mut Vec<u8>) -> Result<(), DiskError> {
        if bytes.len() < PIECE_BYTES { Ok(()) } else { self.append(bytes).await }
    }

    async fn append(&mut self, bytes: &mut Vec<u8>) -> Result<(), DiskError> {
        self.unsynced_bytes += bytes.len();
        let (appended, mut buffer) = self.disk.append(&self.file, std::mem::take(bytes)).await;
        buffer.clear();
        *bytes = buffer;
        appended?;
        if self.unsynced_bytes >= SYNC_BYTES {
            self.disk.sync(&self.file).await?;
            self.unsynced_bytes = 0;
        }
        Ok(())
    }

    /// Appends the rest; the file has its name, durably, when this returns. When it fails, what was
    /// written is removed, as long as it has no name.
    pub async fn finish(mut self, bytes: &mut Vec<u8>) -> Result<(), DiskError> {
        let named = async {
            self.append(bytes).await?;
            self.disk.sync(&self.file).await?;
            self.disk.rename(&self.aside, &self.name).await
        };
        if let Err(error) = named.await {
            self.abandon().await;
            return Err(error);
        }
        self.disk.sync_dir().await
    }

    /// Removes what was written.
    pub async fn abandon(self) {
        let FileStream { disk, aside, file, .. } = self;
        drop(file);
        // What stays is removed at the next start.
        let _ = disk.remove(&aside).await;
    }
}

/// Removes files that were never finished; returns the names of the others, sorted. Names are durable
/// then, so that what is acted upon is what a power cut leaves.
pub async fn finished_files<D: Disk>(disk: &D) -> Result<Vec<String>, DiskError> {
    let mut names = disk.list().await?;
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        match disk.remove(name).await {
            Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    disk.sync_dir().await?;
    names.retain(|name| !name.ends_with(".tmp"));
    Ok(names)
}

#[cfg(test)]
mod tests {
    use engine::disk::mem::MemDisk;

    use super::*;
    use crate::runtime::run;

    /// Writes a file of some pieces with a fault at operation `failing`.
    async fn write(disk: &MemDisk, failing: Option<u64>) -> Result<(), DiskError> {
        if let Some(failing) = failing {
            disk.fail_operation(disk.operation_count() + failing, DiskErrorKind::NoSpace);
        }
        let mut stream = FileStream::create(disk, "file").await?;
        let mut bytes = vec![];
        for piece in 0..5u8 {
            bytes.resize(bytes.len() + (700 << 10), piece);
            stream.push(&mut bytes).await?;
        }
        stream.finish(&mut bytes).await
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        run(|| async {
            let disk = MemDisk::default();
            write(&disk, None).await.unwrap();
            let operation_count = disk.operation_count();
            let whole = disk.power_cut(|_, _| false, |_| false).read("file").await.unwrap();
            assert_eq!(whole.len(), 5 * (700 << 10));
            assert!(operation_count >= 7);
            for failing in 0..operation_count {
                let disk = MemDisk::default();
                write(&disk, Some(failing)).await.unwrap_err();
                for survives in [false, true] {
                    let cut = disk.power_cut(|_, _| survives, |_| survives);
                    let names = finished_files(&cut).await.unwrap();
                    for name in &names {
                        assert_eq!(cut.read(name).await.unwrap(), whole, "{failing}");
                    }
                    assert_eq!(cut.list().await.unwrap(), names);
                }
            }
        })
        .unwrap();
    }
}
