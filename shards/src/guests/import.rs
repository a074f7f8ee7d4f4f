//! Importing what Prometheus's head held, once, before the shards are ready.
//!
//! ```text
//! every shard: chunks_head ─► newest checkpoint ─► segments behind it ─► wbl
//!     ─► its own series flushed to a part, and to blocks what came out of order
//! when all have: wal, wbl, chunks_head, chunk_snapshot.* ─► imported/<n>/, told
//! ```
//!
//! Nothing is moved before every shard has its share durably, and nothing is served before: a start
//! that is interrupted does it again from the beginning, and what was taken in already counts once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use engine::disk::FileBytes;
use engine::store::{Import, ImportReport, ImportedLog};
use engine::wal::prometheus::PrometheusSegment;
use futures_lite::future::or;

use super::Guests;
use crate::disk::{DirTree, Mapping, create_dir_durably, sync_dir};
use crate::observe::Event;
use crate::route::shard_of;
use crate::runtime::{blocking, now, park};
use crate::storage::Storage;

/// How long the store works in one go.
const PIECE: std::time::Duration = std::time::Duration::from_millis(2);

/// Where files are moved when they are imported.
const IMPORTED: &str = "imported";

/// A file of a log or of chunks, by number.
struct Numbered {
    path: PathBuf,
    number: u64,
}

/// What is there to import, in order.
#[derive(Default)]
struct Sources {
    head_chunks: Vec<Numbered>,
    checkpoint: Vec<Numbered>,
    segments: Vec<Numbered>,
    out_of_order: Vec<Numbered>,
    /// Everything that is moved away afterwards, from the root.
    moved: Vec<PathBuf>,
}

/// Files in a directory whose names are numbers of six digits or more, by number.
fn numbered(dir: &Path) -> io::Result<Vec<Numbered>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let mut files = vec![];
    for entry in entries {
        let entry = entry?;
        let number = entry
            .file_name()
            .to_str()
            .filter(|name| name.len() >= 6)
            .and_then(|name| name.parse().ok());
        if let Some(number) = number
            && entry.file_type()?.is_file()
        {
            files.push(Numbered { path: entry.path(), number });
        }
    }
    files.sort_unstable_by_key(|file| file.number);
    Ok(files)
}

/// Entries of a directory that are named `<prefix><number>` and perhaps more, by number, but for
/// those that were never finished.
fn with_prefix(dir: &Path, prefix: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let mut found = vec![];
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let finished = name.to_str().filter(|name| !name.ends_with(".tmp"));
        let number = finished.and_then(|name| name.strip_prefix(prefix));
        let number = number.and_then(|number| number.split('.').next()?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort_unstable();
    Ok(found)
}

impl Sources {
    fn find(root: &Path) -> io::Result<Sources> {
        let mut sources = Sources {
            head_chunks: numbered(&root.join("chunks_head"))?,
            segments: numbered(&root.join("wal"))?,
            out_of_order: numbered(&root.join("wbl"))?,
            ..Sources::default()
        };
        let checkpoints = with_prefix(&root.join("wal"), "checkpoint.")?;
        if let Some((number, path)) = checkpoints.last() {
            sources.checkpoint = numbered(path)?;
            sources.segments.retain(|file| file.number > *number);
        }
        let has_log = !sources.segments.is_empty() || !checkpoints.is_empty();
        sources.moved.extend(has_log.then(|| root.join("wal")));
        for name in ["wbl", "chunks_head"] {
            sources.moved.extend(Some(root.join(name)).filter(|path| path.exists()));
        }
        let snapshots = with_prefix(root, "chunk_snapshot.")?;
        sources.moved.extend(snapshots.into_iter().map(|(_, path)| path));
        Ok(sources)
    }

    fn is_empty(&self) -> bool {
        self.moved.is_empty()
    }
}

/// Where shards meet: the last one to have imported its share moves the files away.
#[derive(Default)]
pub(crate) struct ImportBarrier(Mutex<(usize, ImportReport)>);

impl ImportBarrier {
    /// Adds a shard's share; how many have, and all of it.
    fn add(&self, report: &ImportReport) -> (usize, ImportReport) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.0 += 1;
        all.1.add(report);
        *all
    }
}

impl Guests {
    /// Imports what Prometheus's head held for the series of one shard. What is damaged is told in
    /// `losses`. The shard serves nothing yet.
    ///
    /// Errors: what cannot be read or written; nothing is lost then, and the next start tries again.
    pub async fn import(
        self: &Arc<Self>,
        storage: &Storage<DirTree>,
        barrier: &ImportBarrier,
        losses: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        let root = self.root.clone();
        let sources = blocking(move || Sources::find(&root)).await;
        let sources = sources.map_err(|error| format!("import of Prometheus's log: {error}"))?;
        if sources.is_empty() {
            return Ok(());
        }
        let mut share = Share { guests: self, storage, losses };
        let report = share.take(&sources).await?;
        let (done, report) = barrier.add(&report);
        if done < storage.count() {
            return Ok(());
        }
        let guests = self.clone();
        let kept = blocking(move || guests.move_away(&sources.moved)).await;
        let kept = kept.map_err(|error| format!("moving Prometheus's log away: {error}"))?;
        storage.0.reporter.report(Event::PrometheusImported { report, kept });
        Ok(())
    }

    /// Moves files and directories to a new directory in `imported/`, which is returned.
    fn move_away(&self, moved: &[PathBuf]) -> io::Result<PathBuf> {
        let place = (1..).map(|number| self.root.join(IMPORTED).join(format!("{number:04}")));
        let place = place.into_iter().find(|place| !place.exists()).expect("numbers do not end");
        for path in moved {
            let inside = path.strip_prefix(&self.root).map_err(io::Error::other)?;
            let target = place.join(inside);
            let (from, to) = (path.parent(), target.parent());
            let (Some(from), Some(to)) = (from, to) else { continue };
            create_dir_durably(to)?;
            fs::rename(path, &target)?;
            sync_dir(to)?;
            sync_dir(from)?;
        }
        Ok(place)
    }
}

/// The import of one shard.
struct Share<'a> {
    guests: &'a Arc<Guests>,
    storage: &'a Storage<DirTree>,
    losses: &'a mut Vec<(String, String)>,
}

impl Share<'_> {
    async fn take(&mut self, sources: &Sources) -> Result<ImportReport, String> {
        let files = map_all(&sources.head_chunks).await?;
        let end_ms = self.guests.end_ms();
        let begun = blocking(move || Import::new(end_ms, files)).await;
        let (mut import, damaged) = begun;
        for number in damaged {
            let why = "damaged; the log has what it and those behind it hold";
            self.lose(&sources.head_chunks[number].path, why);
        }
        for file in sources.checkpoint.iter().chain(&sources.segments) {
            self.read(file, ImportedLog::InOrder, &mut import).await?;
        }
        for file in &sources.out_of_order {
            self.read(file, ImportedLog::OutOfOrder, &mut import).await?;
        }
        let rest = async {
            self.storage.clone().rest().await;
            Ok(())
        };
        or(self.storage.keep_imported(&mut import), rest).await.map_err(|e| e.to_string())?;
        Ok(*import.report())
    }

    fn lose(&mut self, path: &Path, why: &str) {
        // Every shard reads every file; one of them tells.
        if self.storage.id() == super::upkeep::GUESTS {
            self.losses.push((path.display().to_string(), why.to_owned()));
        }
    }

    /// Reads one file of a log, and has the shard park between pieces.
    async fn read(
        &mut self,
        file: &Numbered,
        log: ImportedLog,
        import: &mut Import,
    ) -> Result<(), String> {
        let bytes = map_all(std::slice::from_ref(file)).await?.remove(0);
        let (own, count) = (self.storage.id(), self.storage.count());
        let keep = |hash| shard_of(hash, count) == own;
        let mut segment = PrometheusSegment::new((*bytes).as_ref());
        let mut losses = vec![];
        loop {
            let begun = now();
            let is_done = {
                let mut store = self.storage.0.store.borrow_mut();
                loop {
                    match segment.next() {
                        None => break true,
                        Some(Ok(record)) => store.import_record(import, log, record, keep),
                        Some(Err(damage)) => losses.push(damage),
                    }
                    if begun.elapsed() >= PIECE {
                        break false;
                    }
                }
            };
            if is_done {
                break;
            }
            if self.storage.is_stopping() {
                return Err("stopped while Prometheus's log was imported".to_owned());
            }
            park().await;
        }
        for damage in losses {
            self.lose(&file.path, &format!("byte {}: {}", damage.offset, damage.what));
        }
        Ok(())
    }
}

async fn map_all(files: &[Numbered]) -> Result<Vec<FileBytes>, String> {
    let paths: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
    let mapped = blocking(move || {
        let map = |path: &PathBuf| {
            let mapping =
                Mapping::open(path).map_err(|error| format!("{}: {error}", path.display()));
            mapping.map(|mapping| Arc::new(mapping) as FileBytes)
        };
        paths.iter().map(map).collect::<Result<Vec<FileBytes>, String>>()
    });
    mapped.await
}
