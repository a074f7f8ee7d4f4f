//! Which series of a block match: what [`Search`] asks of its index.

use std::ops::Range;

use roaring::RoaringBitmap;

use super::super::error::BlockError;
use super::floats::Broken;
use super::index::Name;
use super::read::PrometheusBlock;
use crate::index::{CompiledMatcher, Search, Searched, Set, United, Values};
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

    fn has_any(&self, name: &Name, selection: &RoaringBitmap) -> Result<bool, Broken> {
        for entry in self.index.entries(name) {
            if !self.index.postings(entry)?.is_disjoint(selection) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The names that series have, of `selection` or of all, sorted; the first `count_max`.
    pub fn label_names(
        &self,
        selection: Option<&RoaringBitmap>,
        count_max: usize,
    ) -> Result<Vec<&[u8]>, BlockError> {
        let mut names: Vec<&[u8]> = vec![];
        for name in self.index.names() {
            if names.len() >= count_max {
                break;
            }
            let has_series = match selection {
                None => true,
                Some(selection) => {
                    self.has_any(name, selection).map_err(|what| self.error(what))?
                }
            };
            if has_series {
                names.push(&name.name);
            }
        }
        Ok(names)
    }

    /// The values that series have under `name`, of `selection` or of all, sorted; the first
    /// `count_max`.
    pub fn label_values(
        &self,
        name: &[u8],
        selection: Option<&RoaringBitmap>,
        count_max: usize,
    ) -> Result<Vec<&[u8]>, BlockError> {
        let Some(name) = self.index.find_name(name) else { return Ok(vec![]) };
        let mut values = vec![];
        for entry in self.index.entries(name) {
            if values.len() >= count_max {
                break;
            }
            let has_series = match selection {
                None => true,
                Some(selection) => {
                    let series = self.index.postings(entry).map_err(|what| self.error(what))?;
                    !series.is_disjoint(selection)
                }
            };
            if has_series {
                values.push(entry.value);
            }
        }
        Ok(values)
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
}
