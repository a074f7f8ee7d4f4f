//! Which series of a block match: what [`Search`] asks of its index.

use std::ops::Range;

use roaring::RoaringBitmap;

use super::super::error::BlockError;
use super::index::Entry;
use super::read::PrometheusBlock;
use crate::index::{CompiledMatcher, ProbeFrom, Probed, Search, Searched, Set, United, Values};
use crate::model::TimeRange;

/// What it takes to get at the postings of a value, in postings.
const PAIR_WORK: usize = 16;

impl PrometheusBlock {
    /// The series for which all `matchers` hold. Without matchers: all series.
    ///
    /// Cost: reads the series of values that match; expressions test the values that begin with
    /// their prefix.
    pub fn select(&self, matchers: &[CompiledMatcher]) -> Result<RoaringBitmap, BlockError> {
        Search::at_once(self, matchers)
    }

    /// As [`PrometheusBlock::select`], those that have a chunk in `range`.
    pub fn select_in(
        &self,
        matchers: &[CompiledMatcher],
        range: TimeRange,
    ) -> Result<RoaringBitmap, BlockError> {
        let mut kept = vec![];
        for series in &self.select(matchers)? {
            if self.may_have_samples(series, range)? {
                kept.push(series);
            }
        }
        Ok(RoaringBitmap::from_sorted_iter(kept).expect("a bitmap ascends"))
    }

    /// Whether any of `series` has the value of an entry: looks at some.
    fn probe_entry(
        &self,
        entry: Entry<'_>,
        from: ProbeFrom,
        room: usize,
        series: &RoaringBitmap,
    ) -> Result<Probed, BlockError> {
        let (mut some, count) = (vec![], room.max(PAIR_WORK));
        let left = self.index.add_some_postings(entry, from.series, count, &mut some);
        let left = left.map_err(|what| self.error(what))?;
        let has_any = some.iter().any(|&one| series.contains(one));
        let next = ProbeFrom { series: from.series + count, ..from };
        let has_any = if left > 0 && !has_any { Err(next) } else { Ok(has_any) };
        Ok(Probed { work: PAIR_WORK + some.len(), has_any })
    }

    /// Names of labels, each with the number of its values and of the series that have it: for
    /// analyses. Reads all postings.
    pub fn label_counts(&self) -> Result<Vec<(&[u8], u32, u64)>, BlockError> {
        let mut counts = vec![];
        for name in self.index.names() {
            let mut series = vec![];
            for entry in self.index.entries(name) {
                self.index.add_postings(entry, &mut series).map_err(|what| self.error(what))?;
            }
            counts.push((&*name.name, name.count, series.len() as u64));
        }
        Ok(counts)
    }
}

/// A pair is the place of its entry in the table.
impl Searched for PrometheusBlock {
    type Error = BlockError;

    /// The labels of a series are verified and gathered from the symbols.
    const VALUES_PER_SERIES: u64 = 32;
    const COST_PER_SERIES: u64 = u64::MAX;
    const VALUE_COST: u64 = 1;
    /// The table has values only, with a list of series each.
    const HAS_SETS: bool = false;

    /// The one under which all series stand, too, which is empty.
    fn name_count(&self) -> u32 {
        self.index.all_names().count() as u32
    }

    fn name(&self, name: u32) -> Result<&[u8], BlockError> {
        Ok(&self.index.name(name as usize).name)
    }

    fn find_name(&self, name: &[u8]) -> Result<Option<u32>, BlockError> {
        Ok(self.index.name_number(name).map(|number| number as u32))
    }

    fn find_pair(&self, name: u32, value: &[u8]) -> Result<Option<u32>, BlockError> {
        let name = self.index.name(name as usize);
        Ok(self.index.entry(name, value).map(|entry| entry.place))
    }

    /// Those that begin with the prefix.
    fn values(&self, name: u32, prefix: &[u8]) -> Result<Values, BlockError> {
        let name = self.index.name(name as usize);
        let start = self.index.count_before(name, |value| value < prefix);
        let is_before = |value: &[u8]| value < prefix || value.starts_with(prefix);
        let end = self.index.count_before(name, is_before);
        Ok(Values { places: start..end, are_all: (start, end) == (0, name.count) })
    }

    fn each_value(
        &self,
        name: u32,
        places: Range<u32>,
        mut f: impl FnMut(u32, &[u8], u64),
    ) -> Result<(), BlockError> {
        let name = self.index.name(name as usize);
        // How many series each of them has stands with their postings, which need not be in memory.
        self.index.entries_at(name, places).for_each(|entry| f(entry.place, entry.value, 1));
        Ok(())
    }

    fn value_of<'b>(
        &'b self,
        series: u32,
        name: u32,
        buffer: &'b mut Vec<u8>,
    ) -> Result<Option<&'b [u8]>, BlockError> {
        let value = self.labels(series, buffer)?.get(&self.index.name(name as usize).name);
        Ok(Some(value).filter(|value| !value.is_empty()))
    }

    /// Values.
    fn cost(&self, set: Set) -> Result<u64, BlockError> {
        Ok(match set {
            Set::Name(name) => u64::from(self.index.name(name as usize).count),
            Set::Pair(_) => 1,
        })
    }

    fn all_series(&self) -> Result<RoaringBitmap, BlockError> {
        PrometheusBlock::all_series(self)
    }

    fn series(&self, set: Set) -> Result<RoaringBitmap, BlockError> {
        let series = match set {
            Set::Name(name) => self.index.series_of_name(self.index.name(name as usize)),
            Set::Pair(place) => self.index.postings_at(place),
        };
        series.map_err(|what| self.error(what))
    }

    fn unite(
        &self,
        pair: u32,
        from: usize,
        room: usize,
        _within: Option<&RoaringBitmap>,
        few: &mut Vec<u32>,
        _many: &mut RoaringBitmap,
    ) -> Result<United, BlockError> {
        let before = few.len();
        let entry = self.index.entry_at(pair).ok_or_else(|| self.error("postings table"))?;
        let count = room.max(1);
        let left = self.index.add_some_postings(entry, from, count, few);
        let left = left.map_err(|what| self.error(what))?;
        let next = (left > 0).then(|| from + count);
        Ok(United { work: PAIR_WORK + few.len() - before, next })
    }

    fn probe(
        &self,
        set: Set,
        mut from: ProbeFrom,
        room: usize,
        series: &RoaringBitmap,
    ) -> Result<Probed, BlockError> {
        let name = match set {
            Set::Name(name) => self.index.name(name as usize),
            Set::Pair(pair) => {
                let entry =
                    self.index.entry_at(pair).ok_or_else(|| self.error("postings table"))?;
                return self.probe_entry(entry, from, room, series);
            }
        };
        let mut work = 0;
        for entry in self.index.entries_at(name, from.value..name.count) {
            let probed = self.probe_entry(entry, from, room.saturating_sub(work), series)?;
            work += probed.work;
            match probed.has_any {
                Ok(false) => from = ProbeFrom { value: from.value + 1, series: 0 },
                has_any => return Ok(Probed { work, has_any }),
            }
            if work >= room {
                return Ok(Probed { work, has_any: Err(from) });
            }
        }
        Ok(Probed { work, has_any: Ok(false) })
    }
}
