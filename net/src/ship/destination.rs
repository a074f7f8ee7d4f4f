//! Where blocks go: a directory, or, in builds with the feature `ship`, a bucket.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use shards::disk::{create_dir_durably, sync_dir};

use super::stats::ShipStats;
#[cfg(feature = "ship")]
use super::store::Store;

/// Bytes that are copied before they are counted.
const PIECE_BYTES: u64 = 8 << 20;

/// What `--storage.ship.to` names.
#[derive(Debug)]
pub enum Destination {
    Directory(PathBuf),
    #[cfg(feature = "ship")]
    Store(Store),
}

impl Destination {
    /// A path of a directory, which is made if need be, or a URL of a store.
    pub fn parse(to: &str) -> Result<Destination, String> {
        if to.contains("://") {
            #[cfg(feature = "ship")]
            return Ok(Destination::Store(Store::parse(to)?));
            #[cfg(not(feature = "ship"))]
            return Err(format!(
                "{to}: this binary was built without object stores (features ship-aws, ship-gcp and \
                 ship-azure); it copies to directories"
            ));
        }
        let path = PathBuf::from(to);
        create_dir_durably(&path).map_err(|error| format!("directory {to}: {error}"))?;
        Ok(Destination::Directory(path))
    }

    /// Bytes of the file `name`; none: it is not there.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, String> {
        match self {
            Destination::Directory(root) => match fs::metadata(root.join(name)) {
                Ok(found) => Ok(Some(found.len()).filter(|_| found.is_file())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(format!("{}: {error}", root.join(name).display())),
            },
            #[cfg(feature = "ship")]
            Destination::Store(store) => store.size(name).await,
        }
    }

    /// Sends a file, unless it is there with as many bytes. It is there whole or not at all.
    pub async fn send(&self, file: &Path, name: &str, stats: &ShipStats) -> Result<(), String> {
        let metadata =
            fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?;
        if self.size(name).await? == Some(metadata.len()) {
            stats.advance(metadata.len(), false);
            return Ok(());
        }
        match self {
            Destination::Directory(root) => {
                let to = root.join(name);
                copy(file, &to, stats).map_err(|error| format!("{}: {error}", to.display()))
            }
            #[cfg(feature = "ship")]
            Destination::Store(store) => store.send(file, name, stats).await,
        }
    }

    /// Sends bytes as the file `name`: it is there whole or not at all.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), String> {
        match self {
            Destination::Directory(root) => {
                let to = root.join(name);
                let placed = place(&to, |file| io::Write::write_all(file, &bytes));
                placed.map_err(|error| format!("{}: {error}", to.display()))
            }
            #[cfg(feature = "ship")]
            Destination::Store(store) => store.put(name, bytes).await,
        }
    }
}

fn copy(from: &Path, to: &Path, stats: &ShipStats) -> io::Result<()> {
    let mut source = File::open(from)?;
    place(to, |file| {
        loop {
            let copied = io::copy(&mut io::Read::take(&mut source, PIECE_BYTES), file)?;
            stats.advance(copied, true);
            if copied < PIECE_BYTES {
                return Ok(());
            }
        }
    })
}

/// Gives what `write` writes the name `to`, durably and when it is whole.
fn place(to: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let parent = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    create_dir_durably(parent)?;
    let aside = to.with_extension("upload");
    let mut file = File::create(&aside)?;
    write(&mut file)?;
    file.sync_all()?;
    fs::rename(&aside, to)?;
    sync_dir(parent)
}
