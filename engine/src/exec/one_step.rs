//! Series by tens through a grid of one step, into groups: what instant queries mostly ask of a shard.
//!
//! ```text
//! samples   ····|·····|···|····     of some series, one behind the other
//! keys        a |  b  | a |  c      numbers that stand for the labels of their groups
//! groups      0 |  1  | 0 |  2      found by key; by labels only where a key is new
//! ```
//!
//! A row of one step and its bookkeeping would cost several times what is done here for a series, and
//! building its labels as much again. Whatever is not plain goes the way of all series (`scan`):
//! staleness markers inside of a window, native histograms, labels that only a block has.

use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::model::labels::METRIC_NAME;
use crate::model::source::Touched;
use crate::model::{
    KeptLabels, LabelKeys, MatchOp, Samples, Source, SourceError, TimeRange, is_stale_nan,
};
use crate::plan::ask::Scan;
use crate::plan::part::{Extend, Finish, SelectOutput, ShardPart};
use crate::promql::functions::FunctionId;

use super::label_table::kept;
use super::part_run::PartRun;
use super::stats::StepCounts;
use super::window::{Extrapolation, has_doubtful_name};

/// Most series at a time.
const COUNT_MAX: usize = 32;

/// Samples after which no further series is taken in at once: what a turn can spare, and the cache hold.
const SAMPLES_MAX: usize = 4096;

/// What is seen of a series.
pub(super) enum Look {
    /// It has no samples.
    Nothing,
    /// It is not plain.
    Closer,
    /// The value at the step, if there is one, and the samples that were looked at.
    Seen { value: Option<f64>, samples: usize },
}

pub(super) struct OneStep {
    output: Output,
    range: TimeRange,
    kept: KeptLabels,
    groups: KnownGroups,
    samples: Samples,
    /// Of each series, in the columns of floats.
    ends: Vec<usize>,
    keys: LabelKeys,
    /// A series of the last ones had so many samples.
    samples_each: usize,
}

enum Output {
    /// The newest sample.
    Newest,
    /// A window, which is the whole range.
    Moved { extrapolation: Extrapolation, start_ms: i64, end_ms: i64 },
}

impl OneStep {
    /// `None` where the scan asks for something else.
    pub fn of(scan: &Scan, parts: &[ShardPart]) -> Option<OneStep> {
        let [select] = &scan.selects[..] else { return None };
        let [part] = select.parts[..] else { return None };
        let part = &parts[part];
        let Finish::Groups { grouping, .. } = &part.finish else { return None };
        let grid = part.select.grid;
        let is_plain = grid.step_count == 1
            && part.stages.is_empty()
            && select.also.is_empty()
            && select.range == scan.range
            && !part.start_timestamps
            && !part.type_and_unit;
        if !is_plain {
            return None;
        }
        let output = match &part.select.output {
            SelectOutput::Value => Output::Newest,
            SelectOutput::Window(window) if window.extend == Extend::No => {
                match window.function {
                    FunctionId::Delta => {}
                    // Of other metrics something is said, with their names.
                    FunctionId::Rate | FunctionId::Increase if is_counter_by_name(part) => {}
                    _ => return None,
                }
                let end_ms = part.select.lookup.time_ms(grid.start_ms);
                let start_ms = end_ms.saturating_sub(window.range_ms);
                Output::Moved { extrapolation: Extrapolation::of(window), start_ms, end_ms }
            }
            _ => return None,
        };
        Some(OneStep {
            output,
            range: scan.range,
            kept: kept(PartRun::renamed(part, part.select_drops_name()), grouping),
            groups: KnownGroups::default(),
            samples: Samples::default(),
            ends: Vec::new(),
            keys: LabelKeys::default(),
            samples_each: SAMPLES_MAX / 4,
        })
    }

    /// How many series are taken in at once, at most.
    pub fn count_max(&self) -> usize {
        (SAMPLES_MAX / self.samples_each.max(1)).clamp(1, COUNT_MAX)
    }

    /// What it looks at of all that is plain.
    pub fn touched(&self) -> Touched {
        let newest_only = matches!(self.output, Output::Newest);
        Touched { newest_only, labels: !self.kept.is_none() }
    }

    /// Reads what the next calls look at: samples and keys of the series at `indexes`.
    pub fn read<S: Source>(
        &mut self,
        source: &S,
        selection: &S::Selection,
        indexes: Range<usize>,
    ) -> Result<(), SourceError> {
        self.samples.clear();
        self.ends.clear();
        let newest_only = self.touched().newest_only;
        let (samples, ends) = (&mut self.samples, &mut self.ends);
        source.samples_of(selection, indexes.clone(), self.range, newest_only, samples, ends)?;
        self.samples_each = self.samples.len() / indexes.len();
        if self.kept.is_none() {
            // One group for all.
            self.keys.clear();
            indexes.for_each(|_| self.keys.push(|_, _| true));
        } else {
            source.label_keys(selection, indexes, &self.kept, &mut self.keys);
        }
        self.groups.keep_of(self.keys.epoch);
        Ok(())
    }

    /// Looks at the series that was read as number `at`.
    #[inline]
    pub fn look(&mut self, at: usize) -> Look {
        // Whose they are is not known.
        if !self.samples.histograms.is_empty() {
            return Look::Closer;
        }
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        let series = start..self.ends[at];
        let (times_ms, values) =
            (&self.samples.timestamps_ms[series.clone()], &self.samples.values[series]);
        let Some(&newest) = values.last() else { return Look::Nothing };
        match &mut self.output {
            Output::Newest => {
                let value = (!is_stale_nan(newest)).then_some(newest);
                Look::Seen { value, samples: usize::from(value.is_some()) }
            }
            Output::Moved { extrapolation, start_ms, end_ms } => {
                if values.iter().fold(false, |any, &value| any | is_stale_nan(value)) {
                    return Look::Closer;
                }
                let value = extrapolation.whole(times_ms, values, *start_ms, *end_ms);
                Look::Seen { value, samples: values.len() }
            }
        }
    }

    /// Counts the samples of one series that were looked at.
    #[inline]
    pub fn count(&self, samples: usize, counts: &mut StepCounts) {
        match self.output {
            // Each is read where it is looked at: that is said at the end.
            Output::Newest => counts.queryable[0] += samples as u64,
            Output::Moved { .. } => counts.count(0, samples as u64),
        }
    }

    /// How many of them were held for a moment.
    #[inline]
    pub fn held(&self, samples: usize) -> usize {
        if matches!(self.output, Output::Newest) { 0 } else { samples }
    }

    /// The group of the series that was read as number `at`, if it is known by its key.
    #[inline]
    pub fn known_group(&mut self, at: usize) -> Option<usize> {
        self.keys.get(at).and_then(|key| self.groups.find(key))
    }

    /// That group is `group`.
    pub fn learn_group(&mut self, at: usize, group: usize) {
        if let Some(key) = self.keys.get(at) {
            self.groups.insert(key, group);
        }
    }
}

/// Whether all series are of one metric whose name is a counter's.
fn is_counter_by_name(part: &ShardPart) -> bool {
    part.fixes_name()
        && part
            .matchers
            .iter()
            .filter(|matcher| {
                matcher.op == MatchOp::Equal && matcher.name.as_bytes() == METRIC_NAME
            })
            .all(|matcher| !has_doubtful_name(&matcher.value))
}

/// Places for entries that came last.
const RECENT_COUNT: usize = 64;

/// Groups by the keys of the labels that they have.
///
/// Mostly there are few, which come again and again: an entry that came before is looked for where
/// its key has a place among the recent ones, and in the table only if another one took that.
pub(super) struct KnownGroups {
    epoch: u64,
    entries: Vec<Entry>,
    recent: [u32; RECENT_COUNT],
    table: HashTable<u32>,
    ids: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Where its key stands in `ids`.
    start: u32,
    length: u32,
    group: u32,
}

impl Default for KnownGroups {
    fn default() -> KnownGroups {
        KnownGroups {
            epoch: 0,
            entries: vec![],
            recent: [0; RECENT_COUNT],
            table: HashTable::new(),
            ids: vec![],
        }
    }
}

impl KnownGroups {
    /// Forgets keys of another epoch.
    pub fn keep_of(&mut self, epoch: u64) {
        if self.epoch != epoch {
            *self = KnownGroups { epoch, ..KnownGroups::default() };
        }
    }

    #[inline]
    pub fn find(&mut self, key: &[u32]) -> Option<usize> {
        let place = recent_place(key);
        let recent = self.entries.get(self.recent[place] as usize)?;
        if are_equal(self.key(recent), key) {
            return Some(recent.group as usize);
        }
        let is_of = |&entry: &u32| are_equal(self.key(&self.entries[entry as usize]), key);
        let found = *self.table.find(hash(key), is_of)?;
        self.recent[place] = found;
        Some(self.entries[found as usize].group as usize)
    }

    #[inline]
    fn key(&self, entry: &Entry) -> &[u32] {
        &self.ids[entry.start as usize..][..entry.length as usize]
    }

    pub fn insert(&mut self, key: &[u32], group: usize) {
        let number = self.entries.len() as u32;
        let (start, length) = (self.ids.len() as u32, key.len() as u32);
        self.entries.push(Entry { start, length, group: group as u32 });
        self.ids.extend_from_slice(key);
        let mut table = std::mem::take(&mut self.table);
        let hash_of = |&entry: &u32| hash(self.key(&self.entries[entry as usize]));
        table.insert_unique(hash(key), number, hash_of);
        self.table = table;
        self.recent[recent_place(key)] = number;
    }
}

/// The place of a key among the recent ones.
#[inline]
fn recent_place(key: &[u32]) -> usize {
    let mixed = key.iter().fold(0u64, |mixed, &id| {
        (mixed ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    mixed as usize % RECENT_COUNT
}

/// Keys are short: a call would cost more than the comparison.
#[inline]
fn are_equal(key: &[u32], other: &[u32]) -> bool {
    key.len() == other.len() && key.iter().zip(other).all(|(id, other)| id == other)
}

#[inline]
fn hash(key: &[u32]) -> u64 {
    FixedState::default().hash_one(key)
}
