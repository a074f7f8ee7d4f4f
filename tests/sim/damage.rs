//! Every bit of every file turned, files cut at every byte, sectors zeroed, exchanged and doubled:
//! each is told or does no harm, costs what it hit and no more, and never keeps hearth from starting.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::SimTree;
use super::image::Crash;
use super::ledger::{Found, SERIES_COUNT};
use super::life::{run, step_ms};
use super::planted::Bug;
use super::process::{Process, SharedLedger};
use super::world::SECTOR_BYTES;

/// Bytes behind the last frame of a log that are damaged too; what follows is like them.
const ZEROS_LOOKED_AT: usize = 2 * SECTOR_BYTES;

/// A small data directory in which every kind of file is.
pub struct Specimen {
    tree: SimTree,
    baseline: Found,
}

/// One way to damage a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    Bit(usize),
    Cut(usize),
    ZeroSector(usize),
    /// With the next one.
    SwapSectors(usize),
    /// The next one is as this one.
    DoubleSector(usize),
}

/// What became of the damaged files of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    pub count: u64,
    /// Told at the start, or by whoever reads what it hit.
    pub told_count: u64,
    /// Nothing is missing, nothing else is there.
    pub harmless_count: u64,
    /// Most samples that one of them cost.
    pub lost_max: usize,
}

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>) {
        let sector = |at: usize| at * SECTOR_BYTES..(at + 1) * SECTOR_BYTES;
        match self {
            Damage::Bit(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
            Damage::Cut(length) => bytes.truncate(length),
            Damage::ZeroSector(at) => {
                let end = bytes.len().min((at + 1) * SECTOR_BYTES);
                bytes[at * SECTOR_BYTES..end].fill(0);
            }
            Damage::SwapSectors(at) => {
                let (first, second) = bytes.split_at_mut((at + 1) * SECTOR_BYTES);
                first[at * SECTOR_BYTES..].swap_with_slice(&mut second[..SECTOR_BYTES]);
            }
            Damage::DoubleSector(at) => bytes.copy_within(sector(at), (at + 1) * SECTOR_BYTES),
        }
    }

    /// All ways for a file of which `looked_at` bytes matter.
    fn all(looked_at: usize) -> impl Iterator<Item = Damage> {
        let sectors = looked_at / SECTOR_BYTES;
        let pairs = sectors.saturating_sub(1);
        (0..looked_at * 8)
            .map(Damage::Bit)
            .chain((0..looked_at).map(Damage::Cut))
            .chain((0..looked_at.div_ceil(SECTOR_BYTES)).map(Damage::ZeroSector))
            .chain((0..pairs).map(Damage::SwapSectors))
            .chain((0..pairs).map(Damage::DoubleSector))
    }
}

/// What a file is, by its path.
fn kind(path: &str) -> &'static str {
    match path {
        "layout" => "layout",
        _ if path.ends_with(".wal") => "log",
        _ if path.ends_with(".part") => "part",
        _ if path.ends_with(".block") => "block",
        _ if path.ends_with("head.tombstones") => "head tombstones",
        _ if path.ends_with(".tombstones") => "block tombstones",
        _ if path.ends_with("/cut") => "cut",
        _ => "other",
    }
}

impl Specimen {
    /// Makes it by the life of one shard.
    pub fn make() -> Result<Specimen, String> {
        let tree = SimTree::new(1);
        let ledger = SharedLedger::default();
        let living = async {
            let hearth = Process::open(&tree, 1, None).await?;
            for step in 0..40 {
                hearth.ingest(&ledger, step_ms(step)).await?;
                match step {
                    16 | 27 => hearth.maintain().await?,
                    30 => hearth.delete(&ledger, 3, [step_ms(2), step_ms(5)]).await?,
                    31 => hearth.delete(&ledger, 5, [step_ms(28), step_ms(30)]).await?,
                    33 => {
                        let flushed = hearth.shards[0].flush_now().await;
                        flushed.map_err(|error| error.to_string())?;
                    }
                    _ => {}
                }
            }
            Ok::<_, String>(())
        };
        run(1, living)??;
        // Once through a start, which tidies up.
        let tree = tree.world.after(Crash::Process, 1);
        let reading = run(2, async { Process::open(&tree, 1, None).await?.read() })??;
        ledger.borrow().check(&reading.found)?;
        let tree = tree.world.after(Crash::Power, 2);
        Ok(Specimen { tree, baseline: reading.found })
    }

    /// Files that are damaged, with the bytes of each that matter.
    pub fn files(&self) -> Vec<(String, Arc<Vec<u8>>, usize)> {
        let files = self.tree.world.files().into_iter();
        let files = files.filter(|(path, bytes)| kind(path) != "other" && !bytes.is_empty());
        files
            .map(|(path, bytes)| {
                let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                let looked_at = (used + ZEROS_LOOKED_AT).min(bytes.len());
                (path, bytes, looked_at)
            })
            .collect()
    }

    /// Damages one place in `every`, beginning with `first`, of all files. Errors: the first damage
    /// that is neither told nor harmless, or does worse.
    pub fn damage(
        &self,
        every: usize,
        first: usize,
        planted: Option<Bug>,
    ) -> Result<BTreeMap<&'static str, Split>, String> {
        let mut splits = BTreeMap::<_, Split>::new();
        for place in self.places().skip(first).step_by(every) {
            self.damage_one(place, planted, &mut splits)?;
        }
        Ok(splits)
    }

    /// What is found first of the damage of files of `kind_wanted`, one place in `every`, that says
    /// `symptom`.
    pub fn find_symptom(
        &self,
        kind_wanted: &str,
        every: usize,
        planted: Bug,
        symptom: &str,
    ) -> Option<String> {
        let mut splits = BTreeMap::new();
        let places = self.places().filter(|(path, ..)| kind(path) == kind_wanted);
        let mut found = places
            .step_by(every)
            .filter_map(|place| self.damage_one(place, Some(planted), &mut splits).err());
        found.find(|what| what.contains(symptom))
    }

    /// Every way to damage every file.
    fn places(&self) -> impl Iterator<Item = (String, Arc<Vec<u8>>, Damage)> {
        self.files().into_iter().flat_map(|(path, bytes, looked_at)| {
            Damage::all(looked_at).map(move |damage| (path.clone(), bytes.clone(), damage))
        })
    }

    fn damage_one(
        &self,
        (path, bytes, damage): (String, Arc<Vec<u8>>, Damage),
        planted: Option<Bug>,
        splits: &mut BTreeMap<&'static str, Split>,
    ) -> Result<(), String> {
        let mut damaged = (*bytes).clone();
        damage.apply(&mut damaged);
        if damaged == *bytes {
            return Ok(());
        }
        let split = splits.entry(kind(&path)).or_default();
        let checked = self.check(&path, damaged, planted, split);
        checked.map_err(|what| format!("{path}, {damage:?}: {what}"))
    }

    fn check(
        &self,
        path: &str,
        damaged: Vec<u8>,
        planted: Option<Bug>,
        split: &mut Split,
    ) -> Result<(), String> {
        let tree = self.tree.world.after(Crash::Power, 3);
        tree.world.set(path, damaged.clone());
        tree.world.planted.set(planted);
        split.count += 1;
        let (compacts, scrubs) =
            (split.count.is_multiple_of(8), split.count % 8 == 4 && kind(path) == "block");
        let is_cut = self.length(path) > Some(damaged.len());
        let (told, reading, later) = run(4, async {
            let hearth = Process::open(&tree, 1, None).await?;
            let mut reading = hearth.read()?;
            let mut told = hearth.told();
            told.append(&mut reading.errors);
            let mut later = None;
            if scrubs {
                hearth.scrub().await;
                let mut reading = hearth.read()?;
                if !reading.errors.is_empty() {
                    return Err(format!(
                        "a scrub leaves what cannot be read: {:?}",
                        reading.errors
                    ));
                }
                told = hearth.told();
                told.append(&mut reading.errors);
                later = Some(reading);
            }
            if compacts {
                // What fails by it is told, and tried again.
                told.extend(hearth.maintain().await.err());
                let mut reading = hearth.read()?;
                told.append(&mut reading.errors);
                later = Some(reading);
            }
            Ok::<_, String>((told, reading, later))
        })??;
        for reading in [Some(&reading), later.as_ref()].into_iter().flatten() {
            let lost = self.compare(kind(path), is_cut, &reading.found, &told)?;
            split.lost_max = split.lost_max.max(lost);
        }
        if told.is_empty() {
            split.harmless_count += 1;
        } else {
            split.told_count += 1;
        }
        let is_gone =
            tree.world.files().iter().all(|(file, bytes)| file != path || **bytes != damaged);
        let is_kept = tree
            .world
            .files()
            .iter()
            .any(|(file, bytes)| file.starts_with("quarantine/") && **bytes == damaged);
        if !told.is_empty() && is_gone && !is_kept {
            return Err(format!("the damaged file is gone and not kept: {told:?}"));
        }
        Ok(())
    }

    fn length(&self, path: &str) -> Option<usize> {
        let files = self.tree.world.files();
        files.iter().find(|(file, _)| file == path).map(|(_, bytes)| bytes.len())
    }

    /// Whether what is missing is all that there was from some time on.
    fn is_end_lost(&self, found: &Found) -> bool {
        let missing = self.baseline.keys().filter(|place| !found.contains_key(*place));
        let first_ms = missing.map(|(_, timestamp_ms)| *timestamp_ms).min();
        found.keys().all(|(_, timestamp_ms)| Some(*timestamp_ms) < first_ms)
    }

    /// How many samples are missing. Errors: what must not be.
    fn compare(
        &self,
        kind: &str,
        is_cut: bool,
        found: &Found,
        told: &[String],
    ) -> Result<usize, String> {
        for (place, bits) in found {
            match self.baseline.get(place) {
                Some(baseline) if baseline != bits => return Err(format!("{place:?} has changed")),
                None if !kind.ends_with("tombstones") || told.is_empty() => {
                    return Err(format!("{place:?} is there, and was not; told: {told:?}"));
                }
                _ => {}
            }
        }
        let lost = self.baseline.keys().filter(|place| !found.contains_key(*place)).count();
        // The last frame of a log looks, when it is damaged, like one that a crash has cut; and a log
        // that is cut looks as if it ended there.
        let is_end = kind == "log" && self.is_end_lost(found);
        if lost > 0 && told.is_empty() && !is_end {
            return Err(format!("{lost} samples are lost in silence"));
        }
        if kind == "log" && lost > usize::from(SERIES_COUNT) && !(is_cut && is_end) {
            return Err(format!("{lost} samples are lost, more than a frame has; told: {told:?}"));
        }
        if matches!(kind, "layout" | "cut") && lost > 0 {
            return Err(format!("{lost} samples are lost, which other files hold; told: {told:?}"));
        }
        Ok(lost)
    }
}
