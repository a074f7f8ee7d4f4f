//! What Prometheus left in the data directory: its blocks, served where they stand, and its log,
//! imported once.
//!
//! ```text
//! <ULID>/                        opened once for all shards, each of which reads its own series
//! wal/ wbl/ chunks_head/         imported before the shards are ready, then moved to imported/<n>/
//! <ULID>.tmp-for-deletion/ …     removed, as Prometheus does at its start
//! ```
//!
//! A block is never refused: one that cannot be opened is told and left as it is. Deletions are
//! written where Prometheus looks for them, and blocks are merged into larger blocks of Prometheus, as
//! it would itself. So it may take the directory back at any time, with all but what came since.

mod compact;
mod copies;
mod import;
mod scrub;
mod upkeep;
mod write;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use engine::block::prometheus::{
    BlockFiles, PrometheusBlock, Survey, decode_tombstones, encode_tombstones,
};
use engine::block::{BlockId, Tombstones};
use engine::store::OpenGuest;

pub(crate) use import::ImportBarrier;
pub(crate) use upkeep::GUESTS;
pub use write::BlockDir;

use crate::cancel::CancelToken;
use crate::disk::{Mapping, create_dir_durably, sync_dir};
use crate::route::{ShardId, shard_of};

/// Ends of the names of directories that Prometheus had begun to make or to remove.
const UNFINISHED: [&str; 3] = [".tmp-for-creation", ".tmp-for-deletion", ".tmp"];
const DELETION: &str = ".tmp-for-deletion";

/// The blocks of Prometheus in a data directory. Shared by all shards.
pub(crate) struct Guests {
    root: PathBuf,
    blocks: Mutex<Vec<Arc<Found>>>,
    /// Blocks whose merge failed, or that are damaged: they are left alone.
    failed: Mutex<BTreeSet<BlockId>>,
    /// Blocks that are elsewhere already.
    uploaded: OnceLock<BTreeSet<BlockId>>,
    /// Held by whoever writes blocks anew.
    rewriting: Mutex<()>,
    /// Held by whoever copies or removes directories.
    moving: Mutex<()>,
}

struct Found {
    id: BlockId,
    /// Opened by whichever shard comes first; why not, if not.
    opened: OnceLock<Result<Arc<Guest>, String>>,
}

struct Guest {
    block: Arc<PrometheusBlock>,
    survey: Survey,
    /// Of all shards. Held while the file is written.
    tombstones: Mutex<Arc<Tombstones>>,
    /// Why the tombstones cannot be read.
    loss: Option<String>,
}

impl Guests {
    /// Looks for blocks below `root`, and removes what Prometheus had not finished.
    pub fn find(root: &Path) -> io::Result<Guests> {
        Guests::look(root, |unfinished| fs::remove_dir_all(unfinished))
    }

    /// Looks for blocks below `root`, and leaves all as it is.
    pub fn find_to_read(root: &Path) -> io::Result<Guests> {
        Guests::look(root, |_| Ok(()))
    }

    fn look(root: &Path, found_unfinished: impl Fn(&Path) -> io::Result<()>) -> io::Result<Guests> {
        let mut blocks = vec![];
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !entry.file_type()?.is_dir() {
                continue;
            }
            if let Ok(id) = name.parse() {
                blocks.push(Arc::new(Found { id, opened: OnceLock::new() }));
            } else if let Some((id, end)) = name.split_once('.')
                && id.parse::<BlockId>().is_ok()
                && UNFINISHED.iter().any(|unfinished| unfinished[1..] == *end)
            {
                found_unfinished(&entry.path())?;
            }
        }
        blocks.sort_by_key(|found| found.id);
        Ok(Guests {
            root: root.to_owned(),
            blocks: Mutex::new(blocks),
            failed: Mutex::default(),
            uploaded: OnceLock::new(),
            rewriting: Mutex::default(),
            moving: Mutex::default(),
        })
    }

    fn blocks(&self) -> MutexGuard<'_, Vec<Arc<Found>>> {
        // Entries are added and removed whole.
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dir(&self, id: BlockId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Opens all blocks, together with the other shards that call this; `own` says where to begin.
    /// Blocks until all are open. What could not be done because `stop` was told is not served.
    pub fn open(&self, own: ShardId, shard_count: usize, stop: &CancelToken) {
        let blocks = self.blocks().clone();
        let first = own.index() * blocks.len() / shard_count.max(1);
        for at in 0..blocks.len() {
            let found = &blocks[(first + at) % blocks.len()];
            found.opened.get_or_init(|| {
                let opened = Guest::open(&self.dir(found.id), found.id, shard_count, stop);
                opened
                    .map(Arc::new)
                    .map_err(|why| format!("{why}; it is left as it is, and not served"))
            });
        }
    }

    fn opened(&self) -> Vec<(BlockId, Arc<Guest>)> {
        let blocks = self.blocks();
        let opened = blocks
            .iter()
            .filter_map(|found| Some((found.id, found.opened.get()?.as_ref().ok()?.clone())));
        opened.collect()
    }

    /// Blocks that others stand for, or that have no samples: they are not served and may go.
    fn replaced(&self) -> BTreeSet<BlockId> {
        let mut replaced = BTreeSet::new();
        for (id, guest) in self.opened() {
            let meta = guest.block.meta();
            replaced.extend(meta.parents.iter().map(|parent| parent.id));
            if meta.is_deletable {
                replaced.insert(id);
            }
        }
        replaced
    }

    /// What shard `own` reads of the blocks. They are open.
    pub fn of_shard(&self, own: ShardId) -> Vec<OpenGuest> {
        let replaced = self.replaced();
        let opened = self.opened().into_iter();
        opened
            .filter(|(id, _)| !replaced.contains(id))
            .map(|(_, guest)| guest.of_shard(own))
            .collect()
    }

    /// What cannot be read, with the reason.
    pub fn losses(&self) -> Vec<(String, String)> {
        let mut losses = vec![];
        for found in self.blocks().iter() {
            let why = match found.opened.get() {
                Some(Ok(guest)) => guest.loss.clone(),
                Some(Err(why)) => Some(why.clone()),
                None => None,
            };
            losses.extend(why.map(|why| (found.id.to_string(), why)));
        }
        losses
    }

    /// The end of the last block of samples in order: what the log has before it is in blocks.
    fn end_ms(&self) -> i64 {
        let opened = self.opened();
        let metas = opened.iter().map(|(_, guest)| guest.block.meta());
        let ends = metas.filter(|meta| !meta.is_out_of_order).map(|meta| meta.end_ms);
        ends.max().unwrap_or(i64::MIN)
    }

    /// Adds to what was deleted of a block, durably; what is deleted of it now. `None`: it is not
    /// there any more, and another may stand for it. Blocks.
    fn delete(&self, id: BlockId, added: &Tombstones) -> io::Result<Option<Arc<Tombstones>>> {
        let found = self.opened().into_iter().find(|(own, _)| *own == id);
        let Some((_, guest)) = found else { return Ok(None) };
        let mut tombstones = guest.tombstones();
        let mut all = (**tombstones).clone();
        for (series, intervals) in added.iter() {
            for &interval in intervals {
                all.add(series, interval);
            }
        }
        let dir = self.dir(id);
        replace_file(&dir, "tombstones", &encode_tombstones(&all))?;
        let mut meta = guest.block.meta().clone();
        meta.stats.tombstone_count = all.interval_count();
        if !meta_has_more(&dir) {
            replace_file(&dir, "meta.json", &meta.encode())?;
        }
        *tombstones = Arc::new(all);
        Ok(Some(tombstones.clone()))
    }

    /// Removes the directory of a block that nobody opens any more; queries that read it still have
    /// it mapped. Blocks.
    fn remove(&self, id: BlockId) -> io::Result<()> {
        let _alone = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        self.blocks().retain(|found| found.id != id);
        let (dir, going) = (self.dir(id), self.root.join(format!("{id}{DELETION}")));
        match fs::rename(&dir, &going) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }
        sync_dir(&self.root)?;
        fs::remove_dir_all(&going)
    }

    /// Gives all files of the served blocks a second name below `target`. Blocks.
    fn snapshot(&self, target: &Path) -> io::Result<()> {
        let _alone = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = self.replaced();
        for (id, _) in self.opened().into_iter().filter(|(id, _)| !replaced.contains(id)) {
            let from = self.dir(id);
            for dir in ["", "chunks"] {
                let to = target.join(id.to_string()).join(dir);
                create_dir_durably(&to)?;
                for entry in fs::read_dir(from.join(dir))? {
                    let entry = entry?;
                    let name = to.join(entry.file_name());
                    if entry.file_type()?.is_file() && fs::hard_link(entry.path(), &name).is_err() {
                        fs::copy(entry.path(), &name)?;
                    }
                }
                sync_dir(&to)?;
            }
        }
        Ok(())
    }
}

/// Whether `meta.json` has fields that [`engine::block::prometheus::Meta`] does not know: then it
/// is not written anew.
fn meta_has_more(dir: &Path) -> bool {
    let Ok(bytes) = fs::read(dir.join("meta.json")) else { return true };
    let written = engine::block::prometheus::Meta::decode(&bytes).map(|meta| meta.encode());
    written.map_or(true, |written| written != bytes)
}

/// Gives a file new content, whole or not at all.
fn replace_file(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = dir.join(format!("{name}.tmp"));
    fs::write(&aside, bytes)?;
    fs::File::open(&aside)?.sync_all()?;
    fs::rename(&aside, dir.join(name))?;
    sync_dir(dir)
}

/// The files of the block in `dir`, mapped anew. Errors: which of them, and why.
fn block_files(dir: &Path) -> Result<BlockFiles, (&'static str, io::Error)> {
    let failed = |what| move |error: io::Error| (what, error);
    let map = |path: &Path| Mapping::open(path).map(|mapping| Arc::new(mapping) as Arc<_>);
    let meta = fs::read(dir.join("meta.json")).map_err(failed("meta.json"))?;
    let mut segments = vec![];
    for entry in fs::read_dir(dir.join("chunks")).map_err(failed("chunks"))? {
        let name = entry.map_err(failed("chunks"))?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
        segments.extend(number.map(|number| (number, dir.join("chunks").join(name))));
    }
    segments.sort_unstable();
    let segments: io::Result<Vec<_>> = segments.iter().map(|(_, path)| map(path)).collect();
    Ok(BlockFiles {
        meta,
        index: map(&dir.join("index")).map_err(failed("index"))?,
        segments: segments.map_err(failed("chunks"))?,
    })
}

impl Guest {
    fn open(
        dir: &Path,
        id: BlockId,
        shard_count: usize,
        stop: &CancelToken,
    ) -> Result<Guest, String> {
        let files =
            block_files(dir).map_err(|(what, error)| format!("block {id}: {what}: {error}"))?;
        let block = PrometheusBlock::open(files).map_err(|error| format!("block {id}: {error}"))?;
        if block.id() != id {
            return Err(format!("block {id}: its meta.json is that of block {}", block.id()));
        }
        let shard = |hash| shard_of(hash, shard_count).index();
        let survey = block.survey(shard_count, shard, || stop.is_canceled());
        let survey = survey.map_err(|error| error.to_string())?.ok_or("stopped")?;
        let (tombstones, loss) = read_tombstones(dir, id);
        Ok(Guest {
            block: Arc::new(block),
            survey,
            tombstones: Mutex::new(Arc::new(tombstones)),
            loss,
        })
    }

    /// What shard `own` reads of it.
    fn of_shard(&self, own: ShardId) -> OpenGuest {
        OpenGuest {
            block: self.block.clone(),
            tombstones: self.tombstones().clone(),
            series: self.survey.of_shard[own.index()].clone(),
            min_ms: self.survey.min_ms,
            max_ms: self.survey.max_ms,
        }
    }

    fn tombstones(&self) -> MutexGuard<'_, Arc<Tombstones>> {
        // Only ever replaced whole.
        self.tombstones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was deleted of a block; nothing when that cannot be read, and why.
fn read_tombstones(dir: &Path, id: BlockId) -> (Tombstones, Option<String>) {
    let why = match fs::read(dir.join("tombstones")) {
        Ok(bytes) => match decode_tombstones(&bytes) {
            Ok(tombstones) => return (tombstones, None),
            Err(error) => error.to_string(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Default::default(),
        Err(error) => error.to_string(),
    };
    (Tombstones::default(), Some(format!("block {id}: what was deleted of it is not known: {why}")))
}
