//! A crash at every moment of a life, in every way, and what is found then.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::disk::SimTree;
use super::image::Crash;
use super::ledger::Ledger;
use super::life::{Life, run, step_ms};
use super::process::{Process, Reading};
use super::world::World;
use crate::generate::Random;

/// What a run has covered.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    pub operation_count: u64,
    /// Moments at which a crash was looked at: before each operation and within each write.
    pub moment_count: u64,
    /// Disks that were found and opened.
    pub image_count: u64,
    /// Moments at which the disk and the promises were those of the moment before.
    pub unchanged_count: u64,
    pub acknowledged_count: u64,
    /// Crashes while a disk was opened.
    pub second_crash_count: u64,
    pub done: BTreeMap<&'static str, usize>,
}

impl Coverage {
    pub fn add(&mut self, other: &Coverage) {
        self.operation_count += other.operation_count;
        self.moment_count += other.moment_count;
        self.image_count += other.image_count;
        self.unchanged_count += other.unchanged_count;
        self.acknowledged_count += other.acknowledged_count;
        self.second_crash_count += other.second_crash_count;
        for (name, count) in &other.done {
            *self.done.entry(name).or_default() += count;
        }
    }
}

/// Which moments are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Thoroughness {
    /// One moment in so many.
    pub every: usize,
}

/// Lives the life of `seed` and looks at what a crash leaves, all along. Errors: the first
/// violation, with the moment and how to see it again.
pub fn crash_everywhere(seed: u64, how: Thoroughness, mut life: Life) -> Result<Coverage, String> {
    let state = Rc::new(RefCell::new((Coverage::default(), None::<String>)));
    let (ledger, shard_count, shared) =
        (life.ledger.clone(), life.shard_count.clone(), state.clone());
    let mut seen = None;
    let mut random = Random::new(seed ^ 0x5eed);
    life.tree.world.observe(Box::new(move |world| {
        let mut state = shared.borrow_mut();
        let (coverage, violation) = &mut *state;
        coverage.moment_count += 1;
        let now = (world.change_count(), ledger.borrow().version);
        if violation.is_some() || seen.replace(now) == Some(now) {
            coverage.unchanged_count += 1;
            return;
        }
        if !random.one_in(how.every) {
            return;
        }
        for crash in Crash::ALL {
            let check = Check {
                crash,
                seed: random.next_u64(),
                shard_count: *shard_count.borrow(),
                is_damage_told: false,
            };
            coverage.image_count += 1;
            if let Err(what) = check.run(world, &ledger.borrow(), coverage) {
                let operation = world.operation_count();
                *violation = Some(format!("seed {seed}, operation {operation}, {check:?}: {what}"));
                return;
            }
        }
    }));
    let lived = life.live();
    life.tree.world.stop_observing();
    let (mut coverage, violation) = state.borrow().clone();
    if let Some(violation) = violation {
        return Err(violation);
    }
    lived.map_err(|what| format!("seed {seed}: {what}"))?;
    coverage.operation_count = life.tree.world.operation_count();
    coverage.acknowledged_count = life.ledger.borrow().acknowledged_count();
    for name in life.done.borrow().iter() {
        *coverage.done.entry(name).or_default() += 1;
    }
    Ok(coverage)
}

/// What is done with one disk that was found.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    pub crash: Crash,
    pub seed: u64,
    /// Of the process that ended.
    pub shard_count: usize,
    /// A disk that has failed may hold what a start tells as damage.
    pub is_damage_told: bool,
}

impl Check {
    fn run(&self, world: &World, ledger: &Ledger, coverage: &mut Coverage) -> Result<(), String> {
        let tree = world.after(self.crash, self.seed);
        tree.world.planted.set(world.planted.get());
        self.check(tree, ledger, coverage)
    }

    /// Opens the disk: what was promised must be there. Then one of: the same again, a crash of the
    /// start at one of its operations, work and the same again, another count of shards.
    pub fn check(
        &self,
        tree: SimTree,
        ledger: &Ledger,
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        let mut random = Random::new(self.seed);
        let shard_count = match random.one_in(4) {
            true => 1 + random.below(3),
            false => self.shard_count,
        };
        let second = random.one_in(2).then(|| random.below(150) as u64);
        let second_crash = *random.choose(&Crash::ALL);
        let caught = Rc::new(RefCell::new(None));
        if let Some(after) = second {
            let (caught, seed) = (caught.clone(), self.seed);
            let mut left = after;
            tree.world.observe(Box::new(move |world| {
                if left == 0 && caught.borrow().is_none() {
                    caught.replace(Some(world.after(second_crash, seed ^ 1)));
                }
                left = left.saturating_sub(1);
            }));
        }
        let first = self.read(&tree, shard_count, ledger, 0).map_err(|what| at("start", &what))?;
        tree.world.stop_observing();
        if let Some(second) = caught.take() {
            coverage.second_crash_count += 1;
            second.world.planted.set(tree.world.planted.get());
            self.read(&second, shard_count, ledger, 2)
                .map_err(|what| at(&format!("start after {second_crash:?} in a start"), &what))?;
        }
        // What was found is promised from now on: also when the power ends now.
        let mut settled = ledger.clone();
        settled.settle(&first.found);
        let next = tree.world.after(second_crash, self.seed ^ 3);
        next.world.planted.set(tree.world.planted.get());
        let settled = Rc::new(RefCell::new(settled));
        if !random.one_in(3) {
            let again = self
                .read(&next, shard_count, &settled.borrow(), 4)
                .map_err(|what| at("second start", &what))?;
            if again.found != first.found {
                return Err("a second start finds something else".to_owned());
            }
            return Ok(());
        }
        let works_on = random.one_in(2);
        let working = async {
            let hearth = Process::open(&next, shard_count, ledger.retention_ms).await?;
            let newest = first.found.keys().map(|(_, timestamp_ms)| *timestamp_ms).max();
            let timestamp_ms = newest.unwrap_or(step_ms(0)) + 500;
            if !hearth.ingest(&settled, timestamp_ms).await? {
                return Err("nothing is acknowledged any more".to_owned());
            }
            // What is in the log only must be found as well as what is in parts.
            if works_on {
                hearth.maintain().await?;
            }
            settled.borrow().check(&hearth.read()?.found)
        };
        run(self.seed ^ 5, working)
            .and_then(|worked| worked)
            .map_err(|what| at("work after the start", &what))?;
        let last = next.world.after(second_crash, self.seed ^ 6);
        last.world.planted.set(tree.world.planted.get());
        self.read(&last, shard_count, &settled.borrow(), 7)
            .map(drop)
            .map_err(|what| at("third start", &what))
    }

    /// Opens and reads everything, and holds it against what was promised.
    fn read(
        &self,
        tree: &SimTree,
        shard_count: usize,
        ledger: &Ledger,
        salt: u64,
    ) -> Result<Reading, String> {
        let reading = run(self.seed ^ salt, async {
            let hearth = Process::open(tree, shard_count, ledger.retention_ms).await?;
            let reading = hearth.read()?;
            // A torn end of a log is what a crash leaves; damage is something else.
            match hearth.told().first() {
                Some(damage) if !self.is_damage_told => {
                    Err(format!("damage is told where there is none: {damage}"))
                }
                _ => Ok(reading),
            }
        })??;
        if let Some(error) = reading.errors.first() {
            return Err(at("read", error));
        }
        ledger.check(&reading.found)?;
        Ok(reading)
    }
}

fn at(place: &str, what: &str) -> String {
    format!("{place}: {what}")
}
