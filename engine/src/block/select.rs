//! Which series of a block match: what [`Search`] asks of frozen postings.
//!
//! The values of a name stand sorted, so that lists and prefixes are found by halving.

use std::ops::Range;

use roaring::RoaringBitmap;

use super::dictionary::{NAME_ROW_BYTES, PAIR_ROW_BYTES};
use super::error::BlockError;
use super::meta::SectionName;
use super::packed::packed_rows;
use super::pages::le_u32;
use super::postings;
use super::read::Block;
use crate::index::{CompiledMatcher, ProbeFrom, Probed, Search, Searched, Set, United, Values};
use crate::model::TimeRange;

/// What it takes to get at the postings of a pair, in postings.
const PAIR_WORK: usize = 16;

/// A name's row, and where the next begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameRow {
    pub strings: (u32, u32),
    pub pairs: (u32, u32),
    pub postings: (u32, u32),
}

impl Block {
    pub(super) fn name_count(&self) -> u32 {
        let rows = self.section(SectionName::Names).bytes / NAME_ROW_BYTES as u64;
        rows.saturating_sub(1) as u32
    }

    pub(super) fn name_row(&self, name: u32) -> Result<NameRow, BlockError> {
        let at = NAME_ROW_BYTES as u64 * u64::from(name);
        let names = self.section(SectionName::Names);
        let rows = names.get(&self.pages, at, 2 * NAME_ROW_BYTES)?;
        let bounds = |at: usize| (le_u32(rows, at), le_u32(rows, NAME_ROW_BYTES + at));
        Ok(NameRow { strings: bounds(0), pairs: bounds(4), postings: bounds(8) })
    }

    pub(super) fn string(&self, (start, end): (u32, u32)) -> Result<&[u8], BlockError> {
        let length = end.checked_sub(start).ok_or_else(|| self.pages.broken("dictionary"))?;
        self.section(SectionName::Strings).get(&self.pages, u64::from(start), length as usize)
    }

    pub(super) fn name(&self, name: u32) -> Result<&[u8], BlockError> {
        self.string(self.name_row(name)?.strings)
    }

    /// Bounds of a pair's string and of its postings.
    pub(super) fn pair_row(&self, pair: u32) -> Result<[(u32, u32); 2], BlockError> {
        let at = PAIR_ROW_BYTES as u64 * u64::from(pair);
        let pairs = self.section(SectionName::Pairs);
        if !self.has_plain_tables {
            let [start, end] = packed_rows::<2>(pairs, &self.pages, pair)?;
            return Ok([0, 1].map(|of| (start[of] as u32, end[of] as u32)));
        }
        let rows = pairs.get(&self.pages, at, 2 * PAIR_ROW_BYTES)?;
        Ok([0, 4].map(|at| (le_u32(rows, at), le_u32(rows, PAIR_ROW_BYTES + at))))
    }

    fn pair_value(&self, pair: u32) -> Result<&[u8], BlockError> {
        self.string(self.pair_row(pair)?[0])
    }

    /// The value at a place among those of a name.
    pub(super) fn value(&self, name: u32, value: u32) -> Result<&[u8], BlockError> {
        self.value_in_row(&self.name_row(name)?, value)
    }

    /// As [`Block::value`], of the name in this row.
    pub(super) fn value_in_row(&self, row: &NameRow, value: u32) -> Result<&[u8], BlockError> {
        let (start, end) = row.pairs;
        match start.checked_add(value).filter(|&pair| pair < end) {
            Some(pair) => self.pair_value(pair),
            None => Err(self.pages.broken("labels")),
        }
    }

    fn find_name(&self, name: &[u8]) -> Result<Option<u32>, BlockError> {
        let at = partition(0..self.name_count(), |at| Ok(self.name(at)? < name))?;
        Ok((at < self.name_count() && self.name(at)? == name).then_some(at))
    }

    pub(super) fn postings_bytes(&self, (start, end): (u32, u32)) -> Result<&[u8], BlockError> {
        let length = end.checked_sub(start).ok_or_else(|| self.pages.broken("postings"))?;
        self.section(SectionName::Postings).get(&self.pages, u64::from(start), length as usize)
    }

    /// Where the postings of a set begin and end.
    fn bounds(&self, set: Set) -> Result<(u32, u32), BlockError> {
        Ok(match set {
            Set::Name(name) => self.name_row(name)?.postings,
            Set::Pair(pair) => self.pair_row(pair)?[1],
        })
    }

    fn postings(&self, bounds: (u32, u32)) -> Result<RoaringBitmap, BlockError> {
        let bytes = self.postings_bytes(bounds)?;
        postings::decode(bytes, self.series_count()).ok_or_else(|| self.pages.broken("postings"))
    }

    pub(super) fn all_series(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.series_count());
        all
    }

    /// The series for which all `matchers` hold. Without matchers: all series.
    ///
    /// Cost: a few reads for equality and lists; expressions test the values that begin with their
    /// prefix, once, or each candidate.
    pub fn select(&self, matchers: &[CompiledMatcher]) -> Result<RoaringBitmap, BlockError> {
        Search::at_once(self, matchers)
    }

    /// As [`Block::select`], those that may have samples in `range`, to the second.
    pub fn select_in(
        &self,
        matchers: &[CompiledMatcher],
        range: TimeRange,
    ) -> Result<RoaringBitmap, BlockError> {
        if !self.meta().overlaps(range) {
            return Ok(RoaringBitmap::new());
        }
        let selected = self.select(matchers)?;
        if range.min_ms <= self.meta().min_ms && self.meta().max_ms <= range.max_ms {
            return Ok(selected);
        }
        let mut kept = Vec::with_capacity(selected.len() as usize);
        for series in &selected {
            if self.may_have_samples(series, range)? {
                kept.push(series);
            }
        }
        Ok(RoaringBitmap::from_sorted_iter(kept).expect("a bitmap ascends"))
    }

    /// Place of the series' value among those of the name; `None` without the label.
    fn value_number(&self, series: u32, name: u32) -> Result<Option<u32>, BlockError> {
        for pair in self.label_numbers(series)? {
            let (own, value) = pair.ok_or_else(|| self.pages.broken("labels"))?;
            if own == name {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

impl Searched for Block {
    type Error = BlockError;

    const VALUES_PER_SERIES: u64 = 4;
    const COST_PER_SERIES: u64 = 64;
    const VALUE_COST: u64 = 16;
    const HAS_SETS: bool = true;

    fn name_count(&self) -> u32 {
        Block::name_count(self)
    }

    fn name(&self, name: u32) -> Result<&[u8], BlockError> {
        Block::name(self, name)
    }

    fn find_name(&self, name: &[u8]) -> Result<Option<u32>, BlockError> {
        Block::find_name(self, name)
    }

    fn find_pair(&self, name: u32, value: &[u8]) -> Result<Option<u32>, BlockError> {
        let (start, end) = self.name_row(name)?.pairs;
        let at = partition(start..end, |pair| Ok(self.pair_value(pair)? < value))?;
        Ok((at < end && self.pair_value(at)? == value).then_some(at))
    }

    /// Those that begin with the prefix. Places are pairs.
    fn values(&self, name: u32, prefix: &[u8]) -> Result<Values, BlockError> {
        let (first, last) = self.name_row(name)?.pairs;
        let start = partition(first..last, |pair| Ok(self.pair_value(pair)? < prefix))?;
        let end = partition(start..last, |pair| Ok(self.pair_value(pair)?.starts_with(prefix)))?;
        Ok(Values { places: start..end, are_all: (start, end) == (first, last) })
    }

    fn each_value(
        &self,
        _name: u32,
        places: Range<u32>,
        mut f: impl FnMut(u32, &[u8], u64),
    ) -> Result<(), BlockError> {
        for pair in places {
            let [string, (start, end)] = self.pair_row(pair)?;
            f(pair, self.string(string)?, u64::from(end.saturating_sub(start)));
        }
        Ok(())
    }

    fn value_of<'b>(
        &'b self,
        series: u32,
        name: u32,
        _buffer: &'b mut Vec<u8>,
    ) -> Result<Option<&'b [u8]>, BlockError> {
        let value = self.value_number(series, name)?;
        value.map(|value| self.value(name, value)).transpose()
    }

    /// Bytes of its postings.
    fn cost(&self, set: Set) -> Result<u64, BlockError> {
        let (start, end) = self.bounds(set)?;
        Ok(u64::from(end.saturating_sub(start)))
    }

    fn all_series(&self) -> Result<RoaringBitmap, BlockError> {
        Ok(Block::all_series(self))
    }

    fn series(&self, set: Set) -> Result<RoaringBitmap, BlockError> {
        self.postings(self.bounds(set)?)
    }

    fn unite(
        &self,
        pair: u32,
        _from: usize,
        _room: usize,
        _within: Option<&RoaringBitmap>,
        few: &mut Vec<u32>,
        many: &mut RoaringBitmap,
    ) -> Result<United, BlockError> {
        let bytes = self.postings_bytes(self.pair_row(pair)?[1])?;
        postings::unite(bytes, self.series_count(), few, many)
            .ok_or_else(|| self.pages.broken("postings"))?;
        Ok(United { work: PAIR_WORK + bytes.len(), next: None })
    }

    fn probe(
        &self,
        set: Set,
        _from: ProbeFrom,
        _room: usize,
        series: &RoaringBitmap,
    ) -> Result<Probed, BlockError> {
        let (start, end) = self.bounds(set)?;
        let has_any = !self.postings((start, end))?.is_disjoint(series);
        let work = PAIR_WORK + end.saturating_sub(start) as usize;
        Ok(Probed { work, has_any: Ok(has_any) })
    }
}

/// The first of `range` for which `is_before` does not hold; it holds for those before and for none
/// behind.
fn partition(
    range: Range<u32>,
    is_before: impl Fn(u32) -> Result<bool, BlockError>,
) -> Result<u32, BlockError> {
    let Range { mut start, mut end } = range;
    while start < end {
        let middle = start + (end - start) / 2;
        if is_before(middle)? {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    Ok(start)
}
