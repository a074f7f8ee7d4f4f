//! Which series of a block match.
//!
//! A matcher that refuses the empty value keeps the series of the values that match; one that
//! accepts it removes those of the values that do not, because series without the label match too.
//!
//! Source: Prometheus `tsdb/querier.go`, `PostingsForMatchers`.

use roaring::RoaringBitmap;

use super::super::error::BlockError;
use super::floats::Broken;
use super::index::{Entry, Name};
use super::read::PrometheusBlock;
use crate::index::CompiledMatcher;
use crate::model::TimeRange;

impl PrometheusBlock {
    /// The series for which all `matchers` hold. Without matchers: all series.
    ///
    /// Cost: reads the series of values that match; expressions test the values that begin with
    /// their prefix.
    pub fn select(&self, matchers: &[CompiledMatcher]) -> Result<RoaringBitmap, BlockError> {
        self.select_broken(matchers).map_err(|what| self.error(what))
    }

    fn select_broken(&self, matchers: &[CompiledMatcher]) -> Result<RoaringBitmap, Broken> {
        // What keeps a few comes before what removes some.
        let (removing, keeping): (Vec<_>, Vec<_>) =
            matchers.iter().partition(|matcher| matcher.matches_empty());
        let mut candidates: Option<RoaringBitmap> = None;
        for matcher in keeping {
            let kept = self.union(matcher, true)?;
            let left = match candidates {
                Some(candidates) => candidates & kept,
                None => kept,
            };
            if left.is_empty() {
                return Ok(left);
            }
            candidates = Some(left);
        }
        let mut left = match candidates {
            Some(candidates) => candidates,
            None => self.index.all_series()?,
        };
        for matcher in removing {
            left -= self.union(matcher, false)?;
        }
        Ok(left)
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

    /// The series that have a value for which the matcher's answer is `wanted`.
    fn union(&self, matcher: &CompiledMatcher, wanted: bool) -> Result<RoaringBitmap, Broken> {
        let index = &self.index;
        let Some(name) = index.find_name(matcher.name()) else { return Ok(RoaringBitmap::new()) };
        let mut entries = vec![];
        // What the test accepts: wanted as it is, or wanted by a negation of what it refuses.
        let accepts = wanted != matcher.is_negated();
        match matcher.listed() {
            Some(values) if accepts => {
                entries.extend(values.iter().filter_map(|value| index.entry(name, value)));
            }
            None if accepts && !matcher.accepts_all_set() => {
                let prefix = matcher.prefix();
                let with_prefix = index.entries_since(name, prefix);
                let with_prefix = with_prefix.take_while(|entry| entry.value.starts_with(prefix));
                entries.extend(with_prefix.filter(|entry| is_wanted(matcher, entry, wanted)));
            }
            _ => entries
                .extend(index.entries(name).filter(|entry| is_wanted(matcher, entry, wanted))),
        }
        self.union_of(&entries)
    }

    fn union_of(&self, entries: &[Entry<'_>]) -> Result<RoaringBitmap, Broken> {
        match entries {
            [] => Ok(RoaringBitmap::new()),
            [one] => self.index.postings(*one),
            many => {
                let mut series = vec![];
                for entry in many {
                    self.index.add_postings(*entry, &mut series)?;
                }
                series.sort_unstable();
                series.dedup();
                Ok(RoaringBitmap::from_sorted_iter(series).expect("sorted above"))
            }
        }
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

fn is_wanted(matcher: &CompiledMatcher, entry: &Entry<'_>, wanted: bool) -> bool {
    matcher.matches_value(entry.value) == wanted
}
