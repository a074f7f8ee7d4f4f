//! A fault at every operation of a life: nothing that is acknowledged before, meanwhile or later is
//! lost, nothing panics, and the life goes on once the disk works again.
//!
//! What is acknowledged right behind a fault is looked at at once: later the head is in parts, and a
//! log that lost it would not be missed.

use std::cell::RefCell;
use std::rc::Rc;

use engine::disk::DiskErrorKind;

use super::crash::Check;
use super::fault::{Fault, FaultPlan, SyncFailure, When};
use super::image::Crash;
use super::life::{Ending, Life, SHARD_COUNTS};
use super::planted::Bug;
use super::world::Kind;

/// Acknowledgements behind a fault after each of which a crash is looked at.
const WATCHED_COUNT: u32 = 3;

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    Once(Fault),
    /// So many operations.
    While(Fault, u64),
    /// Until the process has given up and is started again.
    ForGood(Fault),
}

/// All ways that are looked at.
pub fn ways() -> Vec<Failing> {
    use DiskErrorKind::{Io, NoSpace};
    let mut ways = vec![];
    for when in [When::Before, When::After, When::Short] {
        ways.push(Failing::Once(Fault::Error(Io, when)));
    }
    ways.push(Failing::Once(Fault::Error(NoSpace, When::Short)));
    for error in [Io, NoSpace] {
        ways.push(Failing::While(Fault::Error(error, When::Short), 30));
        ways.push(Failing::ForGood(Fault::Error(error, When::Before)));
    }
    ways.extend(SyncFailure::ALL.map(|failure| Failing::Once(Fault::Sync(failure))));
    ways
}

/// What a run has covered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coverage {
    pub life_count: u64,
    /// Faults that struck.
    pub struck_count: u64,
    pub acknowledged_count: u64,
    /// Processes that ended because the disk let nothing be done.
    pub given_up_count: u64,
    /// Crashes right behind a fault.
    pub watched_count: u64,
}

/// Lives once for one in `every` operations that `failing` can strike, beginning with `first`.
/// Errors: the first violation.
pub fn fail_everywhere(
    seed: u64,
    failing: Failing,
    every: usize,
    first: usize,
    planted: Option<Bug>,
) -> Result<Coverage, String> {
    let mut healthy = faulty_life(seed, None);
    healthy.live().map_err(|what| format!("seed {seed}, no fault: {what}"))?;
    let (Failing::Once(fault) | Failing::While(fault, _) | Failing::ForGood(fault)) = failing;
    let kinds = healthy.tree.world.kinds.borrow().clone();
    let strikes = |kind: Kind| match fault {
        Fault::Sync(_) => kind == Kind::Sync,
        Fault::Error(_, When::Short) => matches!(kind, Kind::Write | Kind::Append),
        Fault::Error(..) => true,
    };
    let places = kinds.iter().enumerate().filter(|(_, kind)| strikes(**kind));
    let mut coverage = Coverage::default();
    for (at, kind) in places.skip(first).step_by(every) {
        let lived = live_with(seed, failing, fault, at as u64, planted, &mut coverage);
        lived.map_err(|what| {
            format!("seed {seed}, {failing:?} at operation {at} ({kind:?}): {what}")
        })?;
    }
    Ok(coverage)
}

fn faulty_life(seed: u64, planted: Option<Bug>) -> Life {
    let mut life = Life::new(seed);
    life.is_faulty = true;
    life.tree.world.planted.set(planted);
    life
}

fn live_with(
    seed: u64,
    failing: Failing,
    fault: Fault,
    at: u64,
    planted: Option<Bug>,
    coverage: &mut Coverage,
) -> Result<(), String> {
    let count = match failing {
        Failing::Once(_) => 1,
        Failing::While(_, count) => count,
        Failing::ForGood(_) => u64::MAX,
    };
    let mut life = faulty_life(seed, planted);
    life.tree.world.faults.borrow_mut().set(FaultPlan { at, fault, count });
    let mut ended = Ending::Orderly;
    for process in 0..SHARD_COUNTS.len() {
        let watched = watch(&life, at);
        ended = life.live_process(process)?;
        let world = life.tree.world.clone();
        world.stop_observing();
        let (count, violation) = watched.take();
        coverage.watched_count += u64::from(count);
        violation.map_or(Ok(()), Err)?;
        let mut faults = world.faults.borrow_mut();
        if let Ending::GivenUp(_) = ended {
            coverage.given_up_count += 1;
            coverage.struck_count += faults.struck_count();
            faults.heal();
            drop(faults);
            // The machine is started anew, too: what the file system had not written is gone.
            let seed = world.operation_count();
            life.tree = world.after(Crash::TornPower, seed);
            life.tree.world.planted.set(planted);
        }
    }
    if let Ending::GivenUp(what) = ended {
        // The last process met the fault; one more must work.
        let again = life.live_process(SHARD_COUNTS.len());
        if let Ending::GivenUp(again) = again? {
            return Err(format!("{what}; and once it works again: {again}"));
        }
    }
    coverage.life_count += 1;
    coverage.struck_count += life.tree.world.faults.borrow().struck_count();
    coverage.acknowledged_count += life.ledger.borrow().acknowledged_count();
    life.tree.world.faults.borrow_mut().heal();
    let shard_count = *life.shard_count.borrow();
    for crash in Crash::ALL {
        let check = Check { crash, seed: seed ^ at, shard_count, is_damage_told: true };
        let tree = life.tree.world.after(crash, seed ^ at);
        tree.world.planted.set(planted);
        check
            .check(tree, &life.ledger.borrow(), &mut Default::default())
            .map_err(|what| format!("{crash:?} afterwards: {what}"))?;
    }
    Ok(())
}

/// Has the crashes looked at that come right behind a fault: how many, and the first violation.
fn watch(life: &Life, at: u64) -> Rc<RefCell<(u32, Option<String>)>> {
    let watched = Rc::<RefCell<(u32, Option<String>)>>::default();
    let (ledger, shared, shard_count) =
        (life.ledger.clone(), watched.clone(), life.shard_count.clone());
    let mut acknowledged_count = None;
    life.tree.world.observe(Box::new(move |world| {
        let mut watched = shared.borrow_mut();
        let (count, violation) = &mut *watched;
        let now = ledger.borrow().acknowledged_count();
        let has_struck = world.faults.borrow().struck_count() > 0;
        if !has_struck || *count == WATCHED_COUNT || acknowledged_count == Some(now) {
            return;
        }
        // The first look tells from where on.
        if acknowledged_count.replace(now).is_none() {
            return;
        }
        let crash = Crash::ALL[*count as usize % Crash::ALL.len()];
        *count += 1;
        let shard_count = *shard_count.borrow();
        let check = Check { crash, seed: at ^ now, shard_count, is_damage_told: true };
        let tree = world.after(crash, at ^ now);
        tree.world.planted.set(world.planted.get());
        if let Err(what) = check.check(tree, &ledger.borrow(), &mut Default::default()) {
            violation.get_or_insert_with(|| format!("{crash:?} right behind it: {what}"));
        }
    }));
    watched
}
