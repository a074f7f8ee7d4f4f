//! Files and directories in memory, as they are and as synced, and the operations on them.
//!
//! ```text
//! file        content as written, and as synced; sectors that differ may or may not survive
//! directory   entries as they are, and as synced; changes between are atomic each, in any subset
//! operation   delayed by the seed, numbered, shown to an observer, struck by a fault, then done
//! ```
//!
//! It is more hostile than file systems are: a synced file has no name before its directory is
//! synced, and unsynced changes survive in any combination.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::disk::{DiskError, DiskErrorKind};
use shards::runtime::{now, sleep};

use super::fault::{Fault, Faults, SyncFailure, When};
use super::planted::Bug;
use crate::generate::Random;

/// What a power cut leaves whole.
pub const SECTOR_BYTES: usize = 512;

/// Virtual time that an operation takes: mostly up to the first, sometimes up to the second.
const DELAY_MICROS: [usize; 2] = [200, 5_000];

/// How long a journal keeps what could not be moved to its place, once that was told.
const JOURNAL_KEPT: Duration = Duration::from_secs(5);

/// All files of a disk.
pub struct World {
    pub(super) dirs: RefCell<BTreeMap<String, Dir>>,
    /// Directories that were removed, durably never.
    pub(super) ghosts: RefCell<BTreeMap<String, Dir>>,
    operation_count: Cell<u64>,
    /// Counts what was changed, so that an unchanged disk shows.
    change_count: Cell<u64>,
    pub faults: RefCell<Faults>,
    pub planted: Cell<Option<Bug>>,
    pub(super) random: RefCell<Random>,
    /// Of what an observer sees of a write: the life is the same with and without one.
    tearing: RefCell<Random>,
    observer: RefCell<Option<Observer>>,
    pub capacity_bytes: Cell<u64>,
    /// Kind of every operation, by number.
    pub kinds: RefCell<Vec<Kind>>,
}

/// Hears of every moment at which a crash makes a difference.
pub type Observer = Box<dyn FnMut(&World)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Create,
    Write,
    Append,
    Sync,
    SyncDir,
    Rename,
    Remove,
    Link,
    Shorten,
    Quarantine,
    Open,
    Read,
    List,
}

impl Kind {
    pub fn is_change(self) -> bool {
        !matches!(self, Kind::Open | Kind::Read | Kind::List)
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Create => "create",
            Kind::Write | Kind::Append => "write",
            Kind::Sync | Kind::SyncDir => "sync",
            Kind::Rename => "rename",
            Kind::Remove => "remove",
            Kind::Link => "link",
            Kind::Shorten => "shorten",
            Kind::Quarantine => "quarantine",
            Kind::Open => "open",
            Kind::Read => "read",
            Kind::List => "list",
        }
    }
}

pub(super) type NodeRef = Rc<RefCell<Node>>;

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub written: Arc<Vec<u8>>,
    pub synced: Arc<Vec<u8>>,
    /// A sync failed and the system took the pages for clean: what was not synced never will be.
    pub is_poisoned: bool,
    /// A sync that succeeded put this into a journal only; the next sync tells that it failed.
    pub journal: Option<Journal>,
}

#[derive(Clone, Debug)]
pub(super) struct Journal {
    content: Arc<Vec<u8>>,
    /// When its room is used for something else.
    until: Option<Instant>,
}

impl Node {
    /// What a power cut leaves for certain.
    pub fn durable(&self) -> &Arc<Vec<u8>> {
        let journal = self.journal.as_ref();
        let journal = journal.filter(|journal| journal.until.is_none_or(|until| now() < until));
        journal.map_or(&self.synced, |journal| &journal.content)
    }
}

/// A change of a directory that is not synced.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Add(String, NodeRef),
    Rename(String, String, NodeRef),
    Remove(String),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Dir {
    pub entries: BTreeMap<String, NodeRef>,
    pub synced: BTreeMap<String, NodeRef>,
    pub pending: Vec<Change>,
}

/// An open file.
#[derive(Clone)]
pub struct SimFile {
    pub(super) path: String,
    pub(super) node: NodeRef,
    /// By [`engine::disk::Disk::open`], as a start does.
    pub(super) is_reopened: bool,
}

/// A path of two.
pub(super) fn join(dir: &str, name: &str) -> String {
    match (dir.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (_, true) => dir.to_owned(),
        _ => format!("{dir}/{name}"),
    }
}

/// Directory and name of a path.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

pub(super) fn disk_error(kind: Kind, path: &str, error: DiskErrorKind, cause: &str) -> DiskError {
    DiskError {
        operation: kind.word(),
        path: path.to_owned(),
        kind: error,
        cause: cause.to_owned(),
    }
}

impl World {
    pub(super) fn new(seed: u64, dirs: BTreeMap<String, Dir>) -> World {
        World {
            dirs: RefCell::new(dirs),
            ghosts: RefCell::default(),
            operation_count: Cell::default(),
            change_count: Cell::default(),
            faults: RefCell::default(),
            planted: Cell::default(),
            random: RefCell::new(Random::new(seed)),
            tearing: RefCell::new(Random::new(!seed)),
            observer: RefCell::default(),
            capacity_bytes: Cell::new(u64::MAX),
            kinds: RefCell::default(),
        }
    }

    /// Operations so far, failed ones included.
    pub fn operation_count(&self) -> u64 {
        self.operation_count.get()
    }

    pub fn change_count(&self) -> u64 {
        self.change_count.get()
    }

    /// Has `observer` called at every moment at which the process or the power may end.
    pub fn observe(&self, observer: Observer) {
        self.observer.replace(Some(observer));
    }

    pub fn stop_observing(&self) {
        self.observer.take();
    }

    /// Every file, with its content as written.
    pub fn files(&self) -> Vec<(String, Arc<Vec<u8>>)> {
        let dirs = self.dirs.borrow();
        let files = dirs.iter().flat_map(|(path, dir)| {
            dir.entries.iter().map(|(name, node)| (join(path, name), node.borrow().written.clone()))
        });
        files.collect()
    }

    /// Replaces what a file holds, durably.
    pub fn set(&self, path: &str, bytes: Vec<u8>) {
        let node = self.find(Kind::Open, path).expect("a file that is there");
        let bytes = Arc::new(bytes);
        *node.borrow_mut() = Node { written: bytes.clone(), synced: bytes, ..Node::default() };
    }

    pub fn is_planted(&self, bug: Bug) -> bool {
        self.planted.get() == Some(bug)
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.files().iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    pub(super) fn observed(&self) {
        let Some(mut observer) = self.observer.take() else { return };
        observer(self);
        self.observer.replace(Some(observer));
    }

    fn has_observer(&self) -> bool {
        self.observer.borrow().is_some()
    }

    fn below(&self, end: usize) -> usize {
        self.random.borrow_mut().below(end)
    }

    pub fn one_in(&self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn changed(&self) {
        self.change_count.set(self.change_count.get() + 1);
    }

    async fn delay(&self) {
        let micros = DELAY_MICROS[usize::from(self.one_in(20))];
        let micros = 1 + self.below(micros) as u64;
        sleep(Duration::from_micros(micros)).await;
    }

    /// Numbers an operation; what strikes it.
    fn begin(&self, kind: Kind) -> Option<Fault> {
        let number = self.operation_count.get();
        self.operation_count.set(number + 1);
        self.kinds.borrow_mut().push(kind);
        self.observed();
        if kind.is_change() {
            self.changed();
        }
        self.faults.borrow_mut().strike(number, kind)
    }

    /// One operation that is done whole or not at all.
    pub(super) async fn operate<R>(
        &self,
        kind: Kind,
        path: &str,
        effect: impl FnOnce(&World) -> Result<R, DiskError>,
    ) -> Result<R, DiskError> {
        self.delay().await;
        let done = match self.begin(kind) {
            Some(Fault::Error(error, When::Before | When::Short)) => {
                Err(disk_error(kind, path, error, "injected fault"))
            }
            Some(Fault::Error(error, When::After)) => {
                effect(self).and(Err(disk_error(kind, path, error, "injected fault")))
            }
            Some(Fault::Sync(_)) | None => effect(self),
        };
        self.delay().await;
        done
    }

    pub(super) fn find(&self, kind: Kind, path: &str) -> Result<NodeRef, DiskError> {
        let (dir, name) = split(path);
        let dirs = self.dirs.borrow();
        let node = dirs.get(dir).and_then(|dir| dir.entries.get(name)).cloned();
        node.ok_or_else(|| disk_error(kind, path, DiskErrorKind::NotFound, "no such file"))
    }

    pub(super) fn change(&self, dir: &str, change: Change) {
        let mut dirs = self.dirs.borrow_mut();
        let dir = dirs.entry(dir.to_owned()).or_default();
        match &change {
            Change::Add(name, node) => drop(dir.entries.insert(name.clone(), node.clone())),
            Change::Rename(from, to, node) => {
                dir.entries.remove(from);
                dir.entries.insert(to.clone(), node.clone());
            }
            Change::Remove(name) => drop(dir.entries.remove(name)),
        }
        dir.pending.push(change);
    }

    pub(super) fn sync_entries(&self, dir: &str) {
        if let Some(dir) = self.dirs.borrow_mut().get_mut(dir) {
            dir.synced = dir.entries.clone();
            dir.pending.clear();
        }
    }

    pub(super) fn add(&self, path: &str, written: Vec<u8>) -> NodeRef {
        let (dir, name) = split(path);
        let node = Node { written: Arc::new(written), ..Node::default() };
        let node = Rc::new(RefCell::new(node));
        self.change(dir, Change::Add(name.to_owned(), node.clone()));
        node
    }

    /// Writes `bytes` at `offset`, or at the end; a crash may come in the middle.
    pub(super) async fn write(
        &self,
        kind: Kind,
        file: &SimFile,
        offset: Option<u64>,
        bytes: &[u8],
    ) -> Result<(), DiskError> {
        self.delay().await;
        let fault = self.begin(kind);
        let done = self.write_now(kind, file, offset, bytes, fault);
        self.delay().await;
        done
    }

    fn write_now(
        &self,
        kind: Kind,
        file: &SimFile,
        offset: Option<u64>,
        bytes: &[u8],
        fault: Option<Fault>,
    ) -> Result<(), DiskError> {
        let failed = |error| Err(disk_error(kind, &file.path, error, "injected fault"));
        let free = self.capacity_bytes.get().saturating_sub(self.used_bytes());
        if offset.is_none() && bytes.len() as u64 > free {
            put(&file.node, offset, &bytes[..free as usize]);
            return Err(disk_error(kind, &file.path, DiskErrorKind::NoSpace, "no space left"));
        }
        let is_log = file.path.starts_with("log/");
        if self.is_planted(Bug::LosesWrites) && is_log && self.one_in(8) {
            return Ok(());
        }
        let mut offset = offset;
        if let Some(at) = &mut offset {
            let length = file.node.borrow().written.len() as u64;
            if *at + bytes.len() as u64 > length {
                let cause = "outside of the file";
                return Err(disk_error(kind, &file.path, DiskErrorKind::Io, cause));
            }
            let further = *at + 4096;
            let fits = further + bytes.len() as u64 <= length;
            if self.is_planted(Bug::MisdirectsWrites) && fits && self.one_in(8) {
                *at = further;
            }
        }
        match fault {
            Some(Fault::Error(error, When::Before)) => return failed(error),
            Some(Fault::Error(error, When::Short)) => {
                put(&file.node, offset, &bytes[..self.below(bytes.len().max(1))]);
                let hides = self.is_planted(Bug::HidesShortWrites);
                return if hides { Ok(()) } else { failed(error) };
            }
            _ => {}
        }
        if self.has_observer() && !bytes.is_empty() {
            // First some of it, in any order of sectors.
            let before = file.node.borrow().written.clone();
            put(&file.node, offset, bytes);
            let whole = file.node.borrow().written.clone();
            let torn = some_sectors(&before, &whole, &mut self.tearing.borrow_mut());
            file.node.borrow_mut().written = Arc::new(torn);
            self.changed();
            self.observed();
            file.node.borrow_mut().written = whole;
            self.changed();
        } else {
            put(&file.node, offset, bytes);
        }
        match fault {
            Some(Fault::Error(error, When::After)) => failed(error),
            _ => Ok(()),
        }
    }

    pub(super) async fn sync(&self, file: &SimFile) -> Result<(), DiskError> {
        self.delay().await;
        let fault = self.begin(Kind::Sync);
        let done = self.sync_now(file, fault);
        self.delay().await;
        done
    }

    fn sync_now(&self, file: &SimFile, fault: Option<Fault>) -> Result<(), DiskError> {
        let failed = |error| Err(disk_error(Kind::Sync, &file.path, error, "injected fault"));
        if self.planted.get().is_some_and(|bug| bug.skips_sync(&file.path, file.is_reopened, self))
        {
            return Ok(());
        }
        let mut node = file.node.borrow_mut();
        if fault.is_none()
            && let Some(journal) = &mut node.journal
        {
            // What was put into the journal could not be moved to its place, and is told now.
            journal.until.get_or_insert_with(|| now() + JOURNAL_KEPT);
            node.is_poisoned = true;
            return failed(DiskErrorKind::Io);
        }
        match fault {
            Some(Fault::Sync(SyncFailure::Late)) => {
                node.journal = Some(Journal { content: node.written.clone(), until: None });
                return Ok(());
            }
            Some(Fault::Sync(SyncFailure::Reverts)) => {
                node.written = node.synced.clone();
                return failed(DiskErrorKind::Io);
            }
            Some(Fault::Sync(SyncFailure::ShutsDown)) => {
                self.faults.borrow_mut().shut_down();
                return failed(DiskErrorKind::Io);
            }
            Some(
                Fault::Sync(SyncFailure::LosesPages) | Fault::Error(_, When::Before | When::Short),
            ) => {
                node.is_poisoned = true;
                if self.is_planted(Bug::RetriesFailedSyncs) {
                    return Ok(());
                }
                return failed(DiskErrorKind::Io);
            }
            _ => {}
        }
        // A sync after a failed one succeeds without effect: exactly the lie that kernels tell.
        if !node.is_poisoned {
            node.synced = node.written.clone();
        }
        match fault {
            Some(Fault::Error(error, When::After)) => failed(error),
            _ => Ok(()),
        }
    }
}

/// Between two contents of a file: each sector and the length of the one or of the other.
pub(super) fn some_sectors(before: &[u8], after: &[u8], random: &mut Random) -> Vec<u8> {
    let length = match before.len() < after.len() {
        true => before.len() + random.below(after.len() - before.len() + 1),
        false => after.len(),
    };
    let mut some = before[..before.len().min(length)].to_vec();
    some.resize(length, 0);
    for (at, sector) in after[..length].chunks(SECTOR_BYTES).enumerate() {
        let start = at * SECTOR_BYTES;
        let kept = &mut some[start..start + sector.len()];
        if kept != sector && random.one_in(2) {
            kept.copy_from_slice(sector);
        }
    }
    some
}

/// Writes into a node; what lies beyond its end makes it grow.
fn put(node: &NodeRef, offset: Option<u64>, bytes: &[u8]) {
    let mut node = node.borrow_mut();
    let written = Arc::make_mut(&mut node.written);
    match offset {
        Some(offset) => {
            let start = offset as usize;
            written[start..start + bytes.len()].copy_from_slice(bytes);
        }
        None => written.extend_from_slice(bytes),
    }
}
