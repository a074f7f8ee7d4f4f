//! The seam over a [`World`]: a tree of directories in memory that loses, tears and refuses what a real
//! disk may.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use engine::disk::{DirUse, Disk, DiskError, DiskErrorKind, FileBytes, Tree};

use super::planted::{self, Bug};
use super::world::{Change, Kind, Node, NodeRef, SimFile, World, disk_error, join, split};

/// A tree of directories in memory; its root is a directory of the world.
#[derive(Clone)]
pub struct SimTree {
    pub world: Rc<World>,
    root: String,
}

/// A directory of a [`SimTree`].
#[derive(Clone)]
pub struct SimDir {
    world: Rc<World>,
    path: String,
}

impl SimTree {
    /// An empty disk.
    pub fn new(seed: u64) -> SimTree {
        SimTree::of(World::new(seed, BTreeMap::new()))
    }

    pub(super) fn of(world: World) -> SimTree {
        SimTree { world: Rc::new(world), root: String::new() }
    }

    /// The tree below directory `path`.
    pub fn below(&self, path: &str) -> SimTree {
        SimTree { world: self.world.clone(), root: self.path(path) }
    }

    fn path(&self, path: &str) -> String {
        join(&self.root, path)
    }
}

impl Tree for SimTree {
    type Dir = SimDir;

    async fn open(&self, path: &str, _of: DirUse) -> Result<SimDir, DiskError> {
        let path = self.path(path);
        let made = self.world.operate(Kind::Open, &path, |world| {
            world.dirs.borrow_mut().entry(path.clone()).or_default();
            Ok(())
        });
        made.await?;
        Ok(SimDir { world: self.world.clone(), path })
    }

    async fn directories(&self, path: &str) -> Result<Vec<String>, DiskError> {
        let path = self.path(path);
        self.world
            .operate(Kind::List, &path, |world| {
                let dirs = world.dirs.borrow();
                let below = dirs.keys().filter_map(|dir| match path.is_empty() {
                    true => Some(&**dir),
                    false => dir.strip_prefix(&*path)?.strip_prefix('/'),
                });
                let first = below.map(|rest| rest.split('/').next().unwrap_or_default().to_owned());
                let mut names: Vec<String> = first.filter(|name| !name.is_empty()).collect();
                names.dedup();
                Ok(names)
            })
            .await
    }

    async fn remove_all(&self, path: &str) -> Result<(), DiskError> {
        let path = self.path(path);
        let within = |dir: &str| dir == path || dir.starts_with(&format!("{path}/"));
        let dirs: Vec<String> =
            self.world.dirs.borrow().keys().filter(|dir| within(dir)).cloned().collect();
        for dir in dirs {
            let names: Vec<String> = {
                let dirs = self.world.dirs.borrow();
                dirs.get(&dir).map_or(vec![], |dir| dir.entries.keys().cloned().collect())
            };
            for name in names {
                let path = join(&dir, &name);
                let removed = self.world.operate(Kind::Remove, &path, |world| {
                    world.change(&dir, Change::Remove(name.clone()));
                    Ok(())
                });
                removed.await?;
            }
            let removed = self.world.operate(Kind::Remove, &dir, |world| {
                let removed = world.dirs.borrow_mut().remove(&dir);
                world.ghosts.borrow_mut().extend(removed.map(|removed| (dir.clone(), removed)));
                Ok(())
            });
            removed.await?;
        }
        Ok(())
    }

    async fn link(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let (from, to) = (self.path(from), self.path(to));
        self.world
            .operate(Kind::Link, &from, |world| {
                let node = world.find(Kind::Link, &from)?;
                let (dir, name) = split(&to);
                if world.find(Kind::Link, &to).is_err() {
                    world.change(dir, Change::Add(name.to_owned(), node));
                }
                Ok(())
            })
            .await
    }

    async fn free_bytes(&self) -> Option<u64> {
        Some(self.world.capacity_bytes.get().saturating_sub(self.world.used_bytes()))
    }
}

impl SimDir {
    fn path(&self, name: &str) -> String {
        join(&self.path, name)
    }

    fn file(&self, name: &str, node: NodeRef, is_reopened: bool) -> SimFile {
        SimFile { path: self.path(name), node, is_reopened }
    }
}

impl Disk for SimDir {
    type File = SimFile;

    async fn create(&self, name: &str, bytes: u64) -> Result<SimFile, DiskError> {
        let path = self.path(name);
        let node = self.world.operate(Kind::Create, &path, |world| {
            if world.find(Kind::Create, &path).is_ok() {
                return Err(disk_error(Kind::Create, &path, DiskErrorKind::Io, "file exists"));
            }
            if bytes > world.capacity_bytes.get().saturating_sub(world.used_bytes()) {
                let cause = "no space left";
                return Err(disk_error(Kind::Create, &path, DiskErrorKind::NoSpace, cause));
            }
            Ok(world.add(&path, vec![0; bytes as usize]))
        });
        Ok(self.file(name, node.await?, false))
    }

    async fn create_empty(&self, name: &str) -> Result<SimFile, DiskError> {
        let path = self.path(name);
        let node = self.world.operate(Kind::Create, &path, |world| {
            if world.is_planted(Bug::RemovesLogBeforePart) && name.ends_with(".part.tmp") {
                planted::remove_log(world, &self.path.replacen("parts", "log", 1));
            }
            Ok(world.add(&path, vec![]))
        });
        Ok(self.file(name, node.await?, false))
    }

    async fn append(&self, file: &SimFile, bytes: Vec<u8>) -> (Result<(), DiskError>, Vec<u8>) {
        (self.world.write(Kind::Append, file, None, &bytes).await, bytes)
    }

    async fn map(&self, name: &str) -> Result<FileBytes, DiskError> {
        Ok(Arc::new(self.read(name).await?))
    }

    async fn open(&self, name: &str) -> Result<SimFile, DiskError> {
        let path = self.path(name);
        let found = self.world.operate(Kind::Open, &path, |world| world.find(Kind::Open, &path));
        Ok(self.file(name, found.await?, true))
    }

    async fn write_at<B: AsRef<[u8]> + 'static>(
        &self,
        file: &SimFile,
        offset: u64,
        buffer: B,
    ) -> (Result<(), DiskError>, B) {
        let written = self.world.write(Kind::Write, file, Some(offset), buffer.as_ref()).await;
        let hides = self.world.is_planted(Bug::HidesWriteErrors);
        (if hides { Ok(()) } else { written }, buffer)
    }

    async fn sync(&self, file: &SimFile) -> Result<(), DiskError> {
        self.world.sync(file).await
    }

    async fn sync_dir(&self) -> Result<(), DiskError> {
        self.world
            .operate(Kind::SyncDir, &self.path, |world| {
                let is_skipped = world.is_planted(Bug::SyncsNoDirectory)
                    || (world.is_planted(Bug::SyncsSomeDirectories) && world.one_in(2));
                if !is_skipped {
                    world.sync_entries(&self.path);
                }
                Ok(())
            })
            .await
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, DiskError> {
        let path = self.path(name);
        let read = self.world.operate(Kind::Read, &path, |world| {
            Ok((*world.find(Kind::Read, &path)?.borrow().written).clone())
        });
        let mut bytes = read.await?;
        if let Some(bug) = self.world.planted.get() {
            bug.misreads(&path, &mut bytes);
        }
        Ok(bytes)
    }

    async fn list(&self) -> Result<Vec<String>, DiskError> {
        self.world
            .operate(Kind::List, &self.path, |world| {
                let dirs = world.dirs.borrow();
                let dir = dirs.get(&self.path);
                let mut names: Vec<String> =
                    dir.map_or(vec![], |dir| dir.entries.keys().cloned().collect());
                if world.is_planted(Bug::ListsAllButOne) && names.len() > 1 {
                    names.pop();
                }
                Ok(names)
            })
            .await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let (from_path, to_path) = (self.path(from), self.path(to));
        self.world
            .operate(Kind::Rename, &from_path, |world| {
                let node = world.find(Kind::Rename, &from_path)?;
                if world.is_planted(Bug::ForgetsTombstones) && to.ends_with(".tombstones") {
                    world.change(&self.path, Change::Remove(from.to_owned()));
                    return Ok(());
                }
                if world.is_planted(Bug::RenamesInTwoSteps)
                    && world.find(Kind::Rename, &to_path).is_ok()
                {
                    world.change(&self.path, Change::Remove(to.to_owned()));
                    world.sync_entries(&self.path);
                    world.observed();
                }
                let change = Change::Rename(from.to_owned(), to.to_owned(), node);
                world.change(&self.path, change);
                Ok(())
            })
            .await
    }

    async fn remove(&self, name: &str) -> Result<(), DiskError> {
        let path = self.path(name);
        self.world
            .operate(Kind::Remove, &path, |world| {
                world.find(Kind::Remove, &path)?;
                world.change(&self.path, Change::Remove(name.to_owned()));
                if world.is_planted(Bug::RemovesOneSegmentMore) && name.ends_with(".wal") {
                    planted::remove_next(world, &self.path, name);
                }
                Ok(())
            })
            .await
    }

    async fn quarantine(&self, name: &str) -> Result<String, DiskError> {
        let path = self.path(name);
        let kept = format!("quarantine/{}", path.replace('/', "-"));
        self.world
            .operate(Kind::Quarantine, &path, |world| {
                let bytes = world.find(Kind::Quarantine, &path)?.borrow().written.clone();
                if world.find(Kind::Quarantine, &kept).is_err()
                    && !world.is_planted(Bug::KeepsNothing)
                {
                    let node = world.add(&kept, vec![]);
                    *node.borrow_mut() =
                        Node { written: bytes.clone(), synced: bytes, ..Node::default() };
                    world.sync_entries("quarantine");
                }
                Ok(kept.clone())
            })
            .await
    }

    async fn shorten(&self, name: &str, bytes: u64) -> Result<(), DiskError> {
        let path = self.path(name);
        self.world
            .operate(Kind::Shorten, &path, |world| {
                let node = world.find(Kind::Shorten, &path)?;
                let mut node = node.borrow_mut();
                let mut bytes = bytes as usize;
                if world.is_planted(Bug::ShortensTooMuch) {
                    bytes = bytes.saturating_sub(4096);
                }
                Arc::make_mut(&mut node.written).truncate(bytes);
                node.synced = node.written.clone();
                Ok(())
            })
            .await
    }
}
