//! Label sets, label names and label values of a shard, found some at a time: whoever asks for those
//! of a million series shares its shard.
//!
//! ```text
//! head, then each block:  matching series ─► labels of each, or names, or values ─► sorted runs
//! at the end:             runs ─► merged, the first ones
//! ```
//!
//! The store may change between two steps. The blocks are those that there are when the head is done:
//! what leaves the head meanwhile is in one of them, so that nothing is missed that is there all the
//! time.

use std::{mem, vec};

use roaring::{RoaringBitmap, bitmap};

use super::Store;
use super::block_heads::HeadsOf;
use super::guests::AnyBlock;
use super::matching::{Matching, Place, compile_all};
use super::select::source_error;
use super::selecting::{LABELS_AT_ONCE, LABELS_WORK, SEARCH_WORK, STEP_WORK};
use crate::index::{CompiledMatcher, Listing, PairScan};
use crate::mem::runs::{Order, Run, RunMerge, RunSort};
use crate::model::{LabelsRef, Matcher, SeriesId, SourceError, TimeRange};

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Label sets of the series that have samples in the range. Without matchers: none.
    Series,
    /// Names of labels. As in Prometheus, the range is held against the head and each block as a whole,
    /// not against each series. Without matchers: of all series.
    LabelNames,
    /// Values of the label of this name; otherwise as the names.
    LabelValues(String),
    /// Pairs of a name and a value that series of the head have, and how many: see [`pair_count`].
    /// Without matchers, of all time. `shard` tells those of several shards apart.
    PairCounts { shard: u16 },
}

/// Bytes behind the pair: shard and count.
const COUNT_BYTES: usize = 2 + 8;

/// The pair, which is one label, and how many series have it, of a text of [`Wanted::PairCounts`].
pub fn pair_count(text: &[u8]) -> Option<(LabelsRef<'_>, u64)> {
    let (pair, counted) = text.split_at_checked(text.len().checked_sub(COUNT_BYTES)?)?;
    let count = counted.last_chunk().map(|count| u64::from_be_bytes(*count));
    Some((LabelsRef::from_canonical(pair), count?))
}

/// What a text costs that is sorted, in decoded samples.
const SORT_WORK: usize = 16;

/// What it costs to look for a series in parts.
const PARTS_WORK: usize = 64;

/// Texts that are compared at once when runs are merged: some 100 us.
const MERGE_AT_ONCE: usize = 2048;

/// What it costs to compare one of them.
const MERGE_WORK: usize = 4;

/// A lookup in the making.
pub struct Lookup {
    wanted: Wanted,
    sets: Vec<Vec<CompiledMatcher>>,
    range: TimeRange,
    /// Those that are left; `None` while the head is looked at.
    blocks: Option<vec::IntoIter<AnyBlock>>,
    doing: Doing,
    sort: RunSort,
    /// Series of the head whose labels are taken.
    taken: RoaringBitmap,
    found: Vec<Run>,
    /// A search does so much at once, and a listing.
    work_max: usize,
    buffer: Vec<u8>,
}

enum Doing {
    /// The next place is begun.
    Choosing,
    Matching(Place, Matching),
    /// Names or values.
    Listing(Place, Listing),
    Reading(Reading),
    /// Pairs of the head.
    Counting(PairScan),
    Merging(RunMerge),
    Found,
}

/// Labels of series.
struct Reading {
    place: Place,
    left: bitmap::IntoIter,
    /// All of them have samples in the range.
    are_all_in_range: bool,
    /// Those of the head with the same labels, as far as they are known.
    heads: Option<HeadsOf>,
}

impl Wanted {
    /// The order in which it is found: label sets as [`LabelsRef::compare`] has it, others by their
    /// bytes.
    pub fn order(&self) -> Order {
        match self {
            // Label sets in runs are canonical: they come from an index.
            Wanted::Series => {
                |a, b| LabelsRef::from_canonical(a).compare(LabelsRef::from_canonical(b))
            }
            Wanted::LabelNames | Wanted::LabelValues(_) => <[u8]>::cmp,
            Wanted::PairCounts { .. } => |a, b| {
                let of_pair = |text| pair_count(text).map_or(LabelsRef::EMPTY, |(pair, _)| pair);
                of_pair(a).compare(of_pair(b)).then_with(|| a.cmp(b))
            },
        }
    }
}

impl Lookup {
    /// Begins to look up what series have that match one set of `matcher_sets` at least: the first
    /// `limit` of it, in order.
    ///
    /// Errors: an expression of a matcher is none.
    pub fn new(
        store: &Store,
        wanted: Wanted,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Lookup, SourceError> {
        let mut lookup = Lookup {
            sets: compile_all(matcher_sets)?,
            range,
            blocks: None,
            doing: Doing::Choosing,
            sort: RunSort::new(wanted.order(), limit),
            taken: RoaringBitmap::new(),
            found: vec![],
            work_max: SEARCH_WORK,
            buffer: vec![],
            wanted,
        };
        if let Wanted::PairCounts { .. } = lookup.wanted {
            lookup.blocks = Some(vec![].into_iter());
            lookup.doing = Doing::Counting(PairScan::default());
        } else if lookup.wanted == Wanted::Series && lookup.sets.is_empty() {
            lookup.doing = Doing::Found;
        } else if store.overlaps(range) {
            lookup.doing = lookup.begin(store, Place::Head);
        }
        Ok(lookup)
    }

    /// Searches and listings do so much at once from now on.
    #[cfg(test)]
    pub fn set_work_max(&mut self, work_max: usize) {
        self.work_max = work_max;
    }

    /// Does the next step, in the same store. Returns what it cost, in decoded samples; `None` when
    /// nothing was left to do.
    ///
    /// Cost: some 100 us. Errors: those of a block that cannot be read; the lookup is over then.
    pub fn step(&mut self, store: &Store) -> Result<Option<usize>, SourceError> {
        if let Some(count) = self.sort.sort_full() {
            return Ok(Some(STEP_WORK + count * SORT_WORK));
        }
        let (doing, work) = match mem::replace(&mut self.doing, Doing::Found) {
            Doing::Choosing => {
                let blocks =
                    self.blocks.get_or_insert_with(|| store.blocks_in(self.range).into_iter());
                match blocks.next() {
                    Some(block) => (self.begin(store, Place::Block(block)), STEP_WORK),
                    None => (Doing::Merging(self.sort.finish()), STEP_WORK),
                }
            }
            Doing::Matching(place, mut matching) => {
                match matching.step(store, &place, &self.sets, self.work_max)? {
                    Some(work) => (Doing::Matching(place, matching), work),
                    None => (self.take_up(store, place, Some(matching.into_found())), STEP_WORK),
                }
            }
            Doing::Listing(place, mut listing) => {
                let push = |text: &[u8]| self.sort.push(text);
                match place.list_more(store, &mut listing, self.work_max, push)? {
                    Some(work) => (Doing::Listing(place, listing), work),
                    None => (Doing::Choosing, STEP_WORK),
                }
            }
            Doing::Reading(mut reading) => match self.read(store, &mut reading)? {
                0 => (Doing::Choosing, STEP_WORK),
                work => (Doing::Reading(reading), work),
            },
            Doing::Counting(mut scan) => match self.count_pairs(store, &mut scan) {
                true => (Doing::Counting(scan), LABELS_AT_ONCE * LABELS_WORK),
                false => (Doing::Choosing, LABELS_AT_ONCE * LABELS_WORK),
            },
            Doing::Merging(mut merge) => match merge.step(MERGE_AT_ONCE) {
                Some(work) => (Doing::Merging(merge), work * MERGE_WORK),
                None => {
                    self.found = merge.take_merged();
                    (Doing::Found, STEP_WORK)
                }
            },
            Doing::Found => return Ok(None),
        };
        self.doing = doing;
        Ok(Some(work))
    }

    /// What was found, in order and each once, when no step is left: texts, or canonical bytes of
    /// label sets, see [`Wanted::order`].
    pub fn into_found(self) -> Vec<Run> {
        self.found
    }

    fn begin(&self, store: &Store, place: Place) -> Doing {
        match self.sets.is_empty() {
            true => {
                let own = place.own_series();
                self.take_up(store, place, own)
            }
            false => Doing::Matching(place, Matching::default()),
        }
    }

    /// Takes up what `series` of a place have; `None` are all.
    fn take_up(&self, store: &Store, place: Place, series: Option<RoaringBitmap>) -> Doing {
        if series.as_ref().is_some_and(RoaringBitmap::is_empty) {
            return Doing::Choosing;
        }
        match &self.wanted {
            Wanted::LabelNames => Doing::Listing(place, Listing::names(series)),
            Wanted::LabelValues(name) => {
                Doing::Listing(place, Listing::values(name.as_bytes(), series))
            }
            Wanted::PairCounts { .. } => Doing::Choosing,
            Wanted::Series => {
                let series = series.unwrap_or_default();
                let (are_all_in_range, heads) = match &place {
                    Place::Head => (false, None),
                    Place::Block(block) => {
                        (block.lies_within(self.range), store.known_heads_of(block))
                    }
                };
                Doing::Reading(Reading { left: series.into_iter(), place, are_all_in_range, heads })
            }
        }
    }

    /// Takes the labels of some series. Returns what that cost; zero when none is left.
    fn read(&mut self, store: &Store, reading: &mut Reading) -> Result<usize, SourceError> {
        let mut work = 0;
        while work < LABELS_AT_ONCE * LABELS_WORK
            && let Some(series) = reading.left.next()
        {
            work += 1;
            let block = match &reading.place {
                Place::Head => {
                    if !self.head_has(store, series, &mut work) {
                        continue;
                    }
                    let Some(labels) = store.head.labels(SeriesId(series), &mut self.buffer) else {
                        continue;
                    };
                    self.sort.push(labels.as_bytes());
                    self.taken.insert(series);
                    work += LABELS_WORK;
                    continue;
                }
                Place::Block(block) => block,
            };
            let head = reading.heads.as_ref().and_then(|heads| heads.get(series));
            if head.is_some_and(|head| self.taken.contains(head)) {
                continue;
            }
            if reading.are_all_in_range
                || block.may_have_samples(series, self.range).map_err(source_error)?
            {
                let (labels, _) = block.labels(series, &mut self.buffer).map_err(source_error)?;
                self.sort.push(labels.as_bytes());
                work += LABELS_WORK;
            }
        }
        Ok(work)
    }

    /// Takes some pairs. Returns whether more are left.
    fn count_pairs(&mut self, store: &Store, scan: &mut PairScan) -> bool {
        let Wanted::PairCounts { shard } = self.wanted else { return false };
        let (sort, buffer) = (&mut self.sort, &mut self.buffer);
        store.head.index().scan_pairs(scan, LABELS_AT_ONCE, |pair, count| {
            buffer.clear();
            buffer.extend_from_slice(pair.as_bytes());
            buffer.extend_from_slice(&shard.to_be_bytes());
            buffer.extend_from_slice(&count.to_be_bytes());
            sort.push(buffer);
        })
    }

    fn head_has(&self, store: &Store, series: u32, work: &mut usize) -> bool {
        let series = SeriesId(series);
        if !store.head.may_have_samples(series, self.range) {
            *work += PARTS_WORK;
        }
        store.has_in_range(series, self.range)
    }
}
