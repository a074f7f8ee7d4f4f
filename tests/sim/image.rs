//! The disk that is found after a crash.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::disk::SimTree;
use super::world::{Change, Dir, Node, NodeRef, World, some_sectors};
use crate::generate::Random;

/// What ends, and what it takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Crash {
    /// The process: what was written stays.
    Process,
    /// The power, and nothing that was not synced stays.
    Power,
    /// The power, and a part of what was not synced stays: sectors, lengths, entries.
    TornPower,
}

impl Crash {
    pub const ALL: [Crash; 3] = [Crash::Process, Crash::Power, Crash::TornPower];
}

/// Copies nodes once, so that names of the same file stay that.
#[derive(Default)]
struct Copies(BTreeMap<usize, NodeRef>);

impl Copies {
    fn of(&mut self, node: &NodeRef, copy: impl FnOnce(&Node) -> Node) -> NodeRef {
        let key = Rc::as_ptr(node) as usize;
        let made = self.0.entry(key).or_insert_with(|| Rc::new(RefCell::new(copy(&node.borrow()))));
        made.clone()
    }
}

/// Entries behind a power cut of which `survives` decides about each change.
fn survivors(dir: &Dir, mut survives: impl FnMut() -> bool) -> BTreeMap<String, NodeRef> {
    let mut entries = dir.synced.clone();
    for change in &dir.pending {
        if !survives() {
            continue;
        }
        match change {
            Change::Add(name, node) => drop(entries.insert(name.clone(), node.clone())),
            Change::Rename(from, to, node) => {
                entries.remove(from);
                entries.insert(to.clone(), node.clone());
            }
            Change::Remove(name) => drop(entries.remove(name)),
        }
    }
    entries
}

impl World {
    /// What is found after `crash`, now; `seed` decides about what may survive.
    pub fn after(&self, crash: Crash, seed: u64) -> SimTree {
        let mut copies = Copies::default();
        let random = RefCell::new(Random::new(seed));
        let dirs = self.dirs.borrow();
        let ghosts = self.ghosts.borrow();
        let mut found = BTreeMap::new();
        if crash == Crash::Process {
            let mut whole = |entries: &BTreeMap<String, NodeRef>| -> BTreeMap<String, NodeRef> {
                let copied =
                    entries.iter().map(|(name, node)| (name.clone(), copies.of(node, Node::clone)));
                copied.collect()
            };
            for (path, dir) in dirs.iter() {
                let entries = whole(&dir.entries);
                let synced = whole(&dir.synced);
                let pending = dir.pending.iter().map(|change| match change {
                    Change::Add(name, node) => {
                        let entry = BTreeMap::from([(name.clone(), node.clone())]);
                        Change::Add(name.clone(), whole(&entry)[name].clone())
                    }
                    Change::Rename(from, to, node) => {
                        let entry = BTreeMap::from([(to.clone(), node.clone())]);
                        Change::Rename(from.clone(), to.clone(), whole(&entry)[to].clone())
                    }
                    Change::Remove(name) => Change::Remove(name.clone()),
                });
                let pending = pending.collect();
                found.insert(path.clone(), Dir { entries, synced, pending });
            }
            let world = World::new(seed, found);
            world.ghosts.replace(ghosts.clone());
            return SimTree::of(world);
        }
        let keeps_some = crash == Crash::TornPower;
        let all = dirs.iter().chain(ghosts.iter().filter(|(path, _)| !dirs.contains_key(*path)));
        for (path, dir) in all {
            let entries = survivors(dir, || keeps_some && random.borrow_mut().one_in(2));
            let entries: BTreeMap<String, NodeRef> = entries
                .iter()
                .map(|(name, node)| {
                    let copied = copies.of(node, |node| {
                        let durable = node.durable();
                        let bytes = match keeps_some && **durable != *node.written {
                            true => {
                                let random = &mut random.borrow_mut();
                                Arc::new(some_sectors(durable, &node.written, random))
                            }
                            false => durable.clone(),
                        };
                        Node { written: bytes.clone(), synced: bytes, ..Node::default() }
                    });
                    (name.clone(), copied)
                })
                .collect();
            let synced = entries.clone();
            found.insert(path.clone(), Dir { entries, synced, pending: vec![] });
        }
        SimTree::of(World::new(seed, found))
    }
}

#[cfg(test)]
mod tests {
    use engine::disk::{DirUse, Disk, Tree};
    use shards::runtime::{Simulation, simulate};

    use super::*;

    fn content(tree: &SimTree) -> Vec<(String, Vec<u8>)> {
        tree.world.files().into_iter().map(|(path, bytes)| (path, bytes.to_vec())).collect()
    }

    #[test]
    fn only_what_was_synced_is_certain() {
        let tree = SimTree::new(1);
        let world = tree.world.clone();
        let main = async {
            let dir = tree.open("d", DirUse::default()).await.unwrap();
            let file = dir.create("a", 2048).await.unwrap();
            dir.write_at(&file, 0, vec![1; 2048]).await.0.unwrap();
            assert!(content(&world.after(Crash::Power, 1)).is_empty());
            assert_eq!(content(&world.after(Crash::Process, 1)), content(&tree));
            dir.sync_dir().await.unwrap();
            assert_eq!(content(&world.after(Crash::Power, 1)), [("d/a".to_owned(), vec![])]);
            let torn: Vec<_> =
                (0..20).map(|seed| content(&world.after(Crash::TornPower, seed))).collect();
            let has = |want: &dyn Fn(&[u8]) -> bool| torn.iter().any(|files| want(&files[0].1));
            assert!(has(&|bytes| bytes.len() < 2048) && has(&|bytes| bytes.contains(&1)));
            assert!(has(&|bytes| bytes.contains(&1) && bytes.contains(&0)));
            dir.sync(&file).await.unwrap();
            let whole = [("d/a".to_owned(), vec![1; 2048])];
            assert_eq!(content(&world.after(Crash::Power, 1)), whole);
            dir.rename("a", "b").await.unwrap();
            // The process ends first, then the power.
            let found = world.after(Crash::Process, 1);
            assert_eq!(content(&found)[0].0, "d/b");
            assert_eq!(content(&found.world.after(Crash::Power, 1)), whole);
            let names = |seed| content(&world.after(Crash::TornPower, seed))[0].0.clone();
            assert!(
                (0..20).any(|seed| names(seed) == "d/b")
                    && (0..20).any(|seed| names(seed) == "d/a")
            );
        };
        simulate(Simulation { seed: 1, unix_ms: 0, polls_max: 10_000 }, main).unwrap();
    }
}
