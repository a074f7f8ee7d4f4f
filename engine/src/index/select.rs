//! Which series match: what [`Search`] asks of the index.

use std::convert::Infallible;
use std::ops::Range;

use roaring::RoaringBitmap;

use super::Index;
use super::matcher::CompiledMatcher;
use super::postings::View;
use super::search::Search;
use super::searched::{Census, ProbeFrom, Probed, Searched, Set, United, Values};

/// What it takes to get at the postings of a pair, in postings.
const PAIR_WORK: usize = 2;

/// Series of a bitmap that take as long as one of a list.
const BITMAP_SERIES_PER_WORK: usize = 64;

/// As [`BITMAP_SERIES_PER_WORK`], of two bitmaps that are held against each other.
const COMMON_SERIES_PER_WORK: usize = 32;

/// What it takes to look a series of a list up in a bitmap.
const LOOKUP_WORK: usize = 4;

impl Index {
    /// The series for which all `matchers` hold. Without matchers: all series.
    ///
    /// Cost: expressions that are no lists test each value of their name once, or each candidate.
    pub fn select(&self, matchers: &[CompiledMatcher]) -> RoaringBitmap {
        let Ok(found) = Search::at_once(self, matchers);
        found
    }

    fn view(&self, set: Set) -> View<'_> {
        match set {
            Set::Name(name) => self.name_view(name),
            Set::Pair(pair) => self.pair_view(pair),
        }
    }

    /// The pair that a series of the index has under a name.
    pub(super) fn pair_of(&self, series: u32, name_id: u32) -> Option<u32> {
        let mut pairs = self.sets.pairs(self.sets.handle(series));
        pairs.find(|&pair| self.dictionary.name_of_pair(pair) == name_id)
    }

    pub(super) fn pair_view(&self, pair_id: u32) -> View<'_> {
        debug_assert!(!self.is_many, "series are still added");
        self.store.view(&self.dictionary.pair_postings[pair_id as usize])
    }

    pub(super) fn pair_series_count(&self, pair_id: u32) -> u32 {
        self.dictionary.pair_postings[pair_id as usize].count()
    }

    pub(super) fn name_view(&self, name_id: u32) -> View<'_> {
        self.store.view(&self.dictionary.name_postings[name_id as usize])
    }
}

impl Searched for Index {
    type Error = Infallible;

    const VALUES_PER_SERIES: u64 = 4;
    /// Sets are intersected where they lie.
    const COST_PER_SERIES: u64 = u64::MAX;
    const VALUE_COST: u64 = 1;
    const HAS_SETS: bool = true;

    fn census(&self) -> Census {
        Census { id_end: self.sets.id_end(), removal_count: self.removal_count }
    }

    fn settle(&self, since: Census, found: &mut RoaringBitmap) {
        if self.sets.id_end() > since.id_end {
            found.remove_range(since.id_end..);
        }
        if self.removal_count > since.removal_count {
            self.store.view(&self.all).intersect(found);
        }
    }

    fn name_count(&self) -> u32 {
        self.dictionary.name_count()
    }

    fn name(&self, name: u32) -> Result<&[u8], Infallible> {
        Ok(self.dictionary.name(name))
    }

    fn find_name(&self, name: &[u8]) -> Result<Option<u32>, Infallible> {
        Ok(self.dictionary.find_name(name))
    }

    fn find_pair(&self, name: u32, value: &[u8]) -> Result<Option<u32>, Infallible> {
        Ok(self.dictionary.find_pair(name, value))
    }

    /// All: they stand in no order.
    fn values(&self, name: u32, _prefix: &[u8]) -> Result<Values, Infallible> {
        let count = self.dictionary.name_pairs[name as usize].len() as u32;
        Ok(Values { places: 0..count, are_all: true })
    }

    fn each_value(
        &self,
        name: u32,
        places: Range<u32>,
        mut f: impl FnMut(u32, &[u8], u64),
    ) -> Result<(), Infallible> {
        let pairs = &self.dictionary.name_pairs[name as usize];
        // Some may have been dropped since the places were given.
        let end = pairs.len().min(places.end as usize);
        for &pair in &pairs[end.min(places.start as usize)..end] {
            let count = self.pair_series_count(pair);
            if count > 0 {
                f(pair, self.dictionary.value(pair), u64::from(count));
            }
        }
        Ok(())
    }

    fn value_of<'b>(
        &'b self,
        series: u32,
        name: u32,
        _buffer: &'b mut Vec<u8>,
    ) -> Result<Option<&'b [u8]>, Infallible> {
        if !self.contains(series) {
            return Ok(None);
        }
        Ok(self.pair_of(series, name).map(|pair| self.dictionary.value(pair)))
    }

    /// Its series.
    fn cost(&self, set: Set) -> Result<u64, Infallible> {
        Ok(u64::from(match set {
            Set::Name(name) => self.dictionary.name_postings[name as usize].count(),
            Set::Pair(pair) => self.pair_series_count(pair),
        }))
    }

    fn all_series(&self) -> Result<RoaringBitmap, Infallible> {
        Ok(Index::all_series(self))
    }

    fn series(&self, set: Set) -> Result<RoaringBitmap, Infallible> {
        Ok(self.view(set).to_bitmap())
    }

    fn intersect(&self, set: Set, series: &mut RoaringBitmap) -> Result<(), Infallible> {
        self.view(set).intersect(series);
        Ok(())
    }

    fn subtract(&self, set: Set, series: &mut RoaringBitmap) -> Result<(), Infallible> {
        self.view(set).subtract(series);
        Ok(())
    }

    fn unite(
        &self,
        pair: u32,
        _from: usize,
        _room: usize,
        within: Option<&RoaringBitmap>,
        few: &mut Vec<u32>,
        many: &mut RoaringBitmap,
    ) -> Result<United, Infallible> {
        let view = self.pair_view(pair);
        match within {
            Some(within) => view.unite_common(within, few, many),
            None => {
                few.extend_from_slice(view.list);
                if let Some(bitmap) = view.bitmap {
                    *many |= bitmap;
                }
            }
        }
        let in_bitmap = self.pair_series_count(pair) as usize - view.list.len();
        let work = PAIR_WORK + view.list.len() + in_bitmap / BITMAP_SERIES_PER_WORK;
        Ok(United { work, next: None })
    }

    fn probe(
        &self,
        set: Set,
        _from: ProbeFrom,
        _room: usize,
        series: &RoaringBitmap,
    ) -> Result<Probed, Infallible> {
        let view = self.view(set);
        let in_bitmap = view.bitmap.map_or(0, |bitmap| bitmap.len().min(series.len()) as usize);
        let in_list = LOOKUP_WORK * view.list.len();
        let work = PAIR_WORK + in_list + in_bitmap / COMMON_SERIES_PER_WORK;
        Ok(Probed { work, has_any: Ok(view.intersects(series)) })
    }
}
