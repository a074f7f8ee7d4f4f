//! Storage on a simulated disk, the short run: `cargo run --release -p tests --bin sim` is the long
//! one.

use tests::sim::crash::{Thoroughness, crash_everywhere};
use tests::sim::damage::Specimen;
use tests::sim::failing::{fail_everywhere, ways};
use tests::sim::hunt::look_for;
use tests::sim::life::Life;
use tests::sim::planted::Bug;

/// Part of the moments of one life, chosen by the seed.
const SHORT: Thoroughness = Thoroughness { every: 12 };

#[test]
fn a_crash_at_any_moment_of_a_life_loses_nothing_that_was_promised() {
    let coverage = crash_everywhere(1, SHORT, Life::new(1)).unwrap();
    // A run that has met nothing proves nothing.
    assert!(coverage.operation_count > 1_000 && coverage.image_count > 200, "{coverage:?}");
    assert!(coverage.acknowledged_count >= 780, "{coverage:?}");
    for name in ["open", "late", "flush", "maintain", "delete", "clean", "snapshot", "close"] {
        assert!(coverage.done.contains_key(name), "{name}: {coverage:?}");
    }
}

#[test]
fn a_life_is_the_same_again_from_the_same_seed() {
    let live = |seed| {
        let mut life = Life::new(seed);
        life.live().unwrap();
        (life.tree.world.kinds.borrow().clone(), life.tree.world.files())
    };
    assert!(live(7) == live(7));
}

#[test]
fn a_fault_in_a_life_loses_nothing_that_was_promised() {
    for (at, way) in ways().into_iter().enumerate() {
        let coverage = fail_everywhere(2, way, 400, 30 * at, None).unwrap();
        assert!(coverage.life_count > 0 && coverage.struck_count > 0, "{way:?}: {coverage:?}");
    }
}

/// A place here and there; all of them are the long run's.
#[test]
fn damage_is_told_or_harmless_and_keeps_nobody_from_starting() {
    let specimen = Specimen::make().unwrap();
    let splits = specimen.damage(601, 7, None).unwrap();
    for kind in ["log", "part", "block"] {
        let split = splits.get(kind).copied().unwrap_or_default();
        assert!(split.count > 20 && split.told_count > 10, "{kind}: {splits:?}");
        assert_eq!(split.told_count + split.harmless_count, split.count, "{kind}: {splits:?}");
    }
}

/// Those that are found within a second.
#[test]
fn planted_bugs_are_found() {
    for bug in [
        Bug::AcknowledgesBeforeSync,
        Bug::SyncsSomeDirectories,
        Bug::RenamesPartsUnsynced,
        Bug::StartsWithoutSync,
        Bug::LosesWrites,
        Bug::RemovesLogBeforePart,
        Bug::DropsLastFrame,
        Bug::SkipsChecksums,
        Bug::KeepsNothing,
    ] {
        assert!(look_for(bug).is_err(), "{bug:?} is not found");
    }
}
