//! Looking for planted bugs: each is to be found by the run that is made for its kind.

use super::crash::{Thoroughness, crash_everywhere};
use super::damage::Specimen;
use super::failing::{fail_everywhere, ways};
use super::life::Life;
use super::planted::{Bug, FoundBy};

/// What is found out about a process that has `bug`; nothing is `Ok`.
pub fn look_for(bug: Bug) -> Result<(), String> {
    match bug.found_by() {
        FoundBy::Crashes => (3..7).try_for_each(|seed| {
            let life = Life::new(seed);
            life.tree.world.planted.set(Some(bug));
            crash_everywhere(seed, Thoroughness { every: 3 }, life).map(drop)
        }),
        // What hides a fault shows only where nothing comes after it that would tell: closer, then.
        FoundBy::Faults => [20, 5, 1].into_iter().try_for_each(|every| {
            ways().into_iter().try_for_each(|way| {
                let failed = fail_everywhere(3, way, every, 3, Some(bug)).map(drop);
                failed.or_else(|what| if what.contains(bug.symptom()) { Err(what) } else { Ok(()) })
            })
        }),
        FoundBy::Damage => {
            let specimen = Specimen::make()?;
            match bug.symptom() {
                "" => specimen.damage(13, 0, Some(bug)).map(drop),
                symptom => specimen.find_symptom("log", 13, bug, symptom).map_or(Ok(()), Err),
            }
        }
    }
}
