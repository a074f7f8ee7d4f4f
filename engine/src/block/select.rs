//! Which series of a block match: Prometheus's semantics on frozen postings.
//!
//! The values of a name stand sorted, so that lists and prefixes are found by halving. A matcher
//! becomes two facts, as in `index`: whether series without the label match, and the values that
//! match, or those that do not, whichever are at hand. The candidates shrink from matcher to
//! matcher, the cheapest first; once they are few, their own labels are tested instead.
//!
//! Source: Prometheus `tsdb/querier.go`, `PostingsForMatchers`: the same sets, another order.

use std::ops::Range;

use roaring::RoaringBitmap;

use super::dictionary::{NAME_ROW_BYTES, PAIR_ROW_BYTES};
use super::error::BlockError;
use super::meta::SectionName;
use super::packed::packed_rows;
use super::pages::le_u32;
use super::postings;
use super::read::Block;
use crate::index::CompiledMatcher;
use crate::model::TimeRange;

/// Bytes of postings that are read in the time it takes to read the labels of one series and test
/// one of them; also the number of values tested.
const POSTINGS_BYTES_PER_SERIES: u64 = 64;
const VALUES_PER_SERIES: u64 = 4;

/// A name's row, and where the next begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameRow {
    pub strings: (u32, u32),
    pub pairs: (u32, u32),
    pub postings: (u32, u32),
}

struct Plan<'m> {
    matcher: &'m CompiledMatcher,
    name: u32,
    row: NameRow,
    /// Series without the label match.
    absent_matches: bool,
    values: Values,
    /// Bytes of postings and number of values that will be touched; orders the plans.
    cost: u64,
}

enum Values {
    /// The series of these pairs match, no other that has the label.
    Matching(Vec<u32>),
    /// The series of these pairs do not match, all others that have the label do.
    Refused(Vec<u32>),
    /// These pairs have to be tested; no other passes the test.
    Untested(Range<u32>),
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
        let (start, end) = self.name_row(name)?.pairs;
        match start.checked_add(value).filter(|&pair| pair < end) {
            Some(pair) => self.pair_value(pair),
            None => Err(self.pages.broken("labels")),
        }
    }

    fn find_name(&self, name: &[u8]) -> Result<Option<u32>, BlockError> {
        let at = partition(0..self.name_count(), |at| Ok(self.name(at)? < name))?;
        Ok((at < self.name_count() && self.name(at)? == name).then_some(at))
    }

    fn find_pair(&self, row: &NameRow, value: &[u8]) -> Result<Option<u32>, BlockError> {
        let (start, end) = row.pairs;
        let at = partition(start..end, |pair| Ok(self.pair_value(pair)? < value))?;
        Ok((at < end && self.pair_value(at)? == value).then_some(at))
    }

    /// The pairs of the name whose values begin with `prefix`.
    fn pairs_with_prefix(&self, row: &NameRow, prefix: &[u8]) -> Result<Range<u32>, BlockError> {
        let (start, end) = row.pairs;
        let start = partition(start..end, |pair| Ok(self.pair_value(pair)? < prefix))?;
        let end = partition(start..end, |pair| Ok(self.pair_value(pair)?.starts_with(prefix)))?;
        Ok(start..end)
    }

    pub(super) fn postings_bytes(&self, (start, end): (u32, u32)) -> Result<&[u8], BlockError> {
        let length = end.checked_sub(start).ok_or_else(|| self.pages.broken("postings"))?;
        self.section(SectionName::Postings).get(&self.pages, u64::from(start), length as usize)
    }

    fn postings(&self, bounds: (u32, u32)) -> Result<RoaringBitmap, BlockError> {
        let bytes = self.postings_bytes(bounds)?;
        postings::decode(bytes, self.series_count()).ok_or_else(|| self.pages.broken("postings"))
    }

    /// Bytes of the postings of some pairs.
    fn cost_of(&self, pairs: &[u32]) -> Result<u64, BlockError> {
        let mut bytes = 0;
        for &pair in pairs {
            let (start, end) = self.pair_row(pair)?[1];
            bytes += u64::from(end.saturating_sub(start));
        }
        Ok(bytes)
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
        let mut plans = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            match self.find_name(matcher.name())? {
                Some(name) => plans.push(self.plan(matcher, name)?),
                // No series has the label.
                None if matcher.matches_empty() => {}
                None => return Ok(RoaringBitmap::new()),
            }
        }
        plans.sort_by_key(|plan| (plan.absent_matches, plan.cost));
        let mut candidates = None;
        for plan in plans {
            let left = self.apply(plan, candidates)?;
            if left.is_empty() {
                return Ok(left);
            }
            candidates = Some(left);
        }
        Ok(candidates.unwrap_or_else(|| self.all_series()))
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

    fn plan<'m>(&self, matcher: &'m CompiledMatcher, name: u32) -> Result<Plan<'m>, BlockError> {
        let row = self.name_row(name)?;
        let values = match matcher.listed() {
            Some(values) => {
                let mut pairs = vec![];
                for value in values {
                    pairs.extend(self.find_pair(&row, value)?);
                }
                if matcher.is_negated() { Values::Refused(pairs) } else { Values::Matching(pairs) }
            }
            None if matcher.accepts_all_set() && matcher.is_negated() => Values::Matching(vec![]),
            None if matcher.accepts_all_set() => Values::Refused(vec![]),
            None => Values::Untested(self.pairs_with_prefix(&row, matcher.prefix())?),
        };
        let with_name = u64::from(row.postings.1.saturating_sub(row.postings.0));
        let cost = match &values {
            Values::Matching(pairs) => self.cost_of(pairs)?,
            Values::Refused(pairs) => with_name + self.cost_of(pairs)?,
            Values::Untested(pairs) => with_name + 16 * pairs.len() as u64,
        };
        let absent_matches = matcher.matches_empty();
        Ok(Plan { matcher, name, row, absent_matches, values, cost })
    }

    /// The candidates for which the plan's matcher holds; `None` are all series.
    fn apply(
        &self,
        plan: Plan<'_>,
        candidates: Option<RoaringBitmap>,
    ) -> Result<RoaringBitmap, BlockError> {
        if let Some(few) = &candidates {
            let tested = match &plan.values {
                Values::Untested(pairs) => pairs.len() as u64 / VALUES_PER_SERIES,
                _ => plan.cost / POSTINGS_BYTES_PER_SERIES,
            };
            if few.len() < tested {
                return self.test_series(&plan, few);
            }
        }
        let all = candidates.unwrap_or_else(|| self.all_series());
        let values = match plan.values {
            Values::Untested(pairs) => self.test_values(plan.matcher, &plan.row, pairs)?,
            values => values,
        };
        Ok(match (plan.absent_matches, values) {
            (false, Values::Matching(pairs)) => all & self.union(&pairs)?,
            (false, Values::Refused(pairs)) => {
                (all & self.postings(plan.row.postings)?) - self.union(&pairs)?
            }
            (true, Values::Matching(pairs)) => {
                let kept = &all & self.union(&pairs)?;
                (all - self.postings(plan.row.postings)?) | kept
            }
            (true, Values::Refused(pairs)) => all - self.union(&pairs)?,
            (_, Values::Untested(_)) => unreachable!("the values were tested above"),
        })
    }

    /// The candidates whose own labels pass.
    fn test_series(
        &self,
        plan: &Plan<'_>,
        candidates: &RoaringBitmap,
    ) -> Result<RoaringBitmap, BlockError> {
        let mut kept = vec![];
        for series in candidates {
            let passes = match self.value_number(series, plan.name)? {
                None => plan.absent_matches,
                Some(value) => plan.matcher.matches_value(self.value(plan.name, value)?),
            };
            if passes {
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

    /// Tests values; gives the side with fewer postings.
    fn test_values(
        &self,
        matcher: &CompiledMatcher,
        row: &NameRow,
        tested: Range<u32>,
    ) -> Result<Values, BlockError> {
        // What lies outside of the prefix fails the test; it is on the side that negation says.
        let mut sides = [(0u64, vec![]), (0, vec![])];
        for pair in tested.clone() {
            let [string, postings] = self.pair_row(pair)?;
            let matches = matcher.matches_value(self.string(string)?);
            let side = &mut sides[usize::from(matches)];
            side.0 += u64::from(postings.1.saturating_sub(postings.0));
            side.1.push(pair);
        }
        let [mut refused, mut matching] = sides;
        let untested = (row.pairs.0..tested.start).chain(tested.end..row.pairs.1);
        if matcher.is_negated() {
            if tested.len() < (row.pairs.1 - row.pairs.0) as usize {
                return Ok(Values::Refused(refused.1));
            }
            matching.1.extend(untested);
        } else {
            if tested.len() < (row.pairs.1 - row.pairs.0) as usize {
                return Ok(Values::Matching(matching.1));
            }
            refused.1.extend(untested);
        }
        Ok(if matching.0 <= refused.0 {
            Values::Matching(matching.1)
        } else {
            Values::Refused(refused.1)
        })
    }

    fn union(&self, pairs: &[u32]) -> Result<RoaringBitmap, BlockError> {
        let (mut few, mut union) = (vec![], RoaringBitmap::new());
        for &pair in pairs {
            let bytes = self.postings_bytes(self.pair_row(pair)?[1])?;
            postings::unite(bytes, self.series_count(), &mut few, &mut union)
                .ok_or_else(|| self.pages.broken("postings"))?;
        }
        few.sort_unstable();
        few.dedup();
        Ok(union | RoaringBitmap::from_sorted_iter(few).expect("the series ascend"))
    }

    /// The names that series have, of `selection` or of all, sorted; the first `count_max`.
    pub fn label_names(
        &self,
        selection: Option<&RoaringBitmap>,
        count_max: usize,
    ) -> Result<Vec<&[u8]>, BlockError> {
        let mut names = vec![];
        for name in 0..self.name_count() {
            if names.len() >= count_max {
                break;
            }
            let row = self.name_row(name)?;
            let has_series = match selection {
                None => true,
                Some(selection) => !self.postings(row.postings)?.is_disjoint(selection),
            };
            if has_series {
                names.push(self.string(row.strings)?);
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
        let Some(name) = self.find_name(name)? else { return Ok(vec![]) };
        let (start, end) = self.name_row(name)?.pairs;
        let mut values = vec![];
        match selection {
            Some(selection) if selection.len() < u64::from(end.saturating_sub(start)) => {
                let mut found = RoaringBitmap::new();
                for series in selection {
                    found.extend(self.value_number(series, name)?);
                }
                for value in found.iter().take(count_max) {
                    values.push(self.value(name, value)?);
                }
            }
            _ => {
                for pair in start..end {
                    if values.len() >= count_max {
                        break;
                    }
                    let [string, postings] = self.pair_row(pair)?;
                    let has_series = match selection {
                        None => true,
                        Some(selection) => !self.postings(postings)?.is_disjoint(selection),
                    };
                    if has_series {
                        values.push(self.string(string)?);
                    }
                }
            }
        }
        Ok(values)
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
