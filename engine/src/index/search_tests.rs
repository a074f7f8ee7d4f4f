//! Searches in steps, whatever happens between them.

use std::cell::Cell;
use std::convert::Infallible;
use std::ops::Range;

use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::search::Search;
use super::searched::{Census, ProbeFrom, Probed, Searched, Set, United, Values};
use super::tests::{Model, any_matcher, label_set, matcher};
use super::{CompiledMatcher, Index};
use crate::model::Labels;

/// An index that counts what is asked of it.
struct Counted<'a> {
    index: &'a Index,
    /// Values tested, values looked up, labels of series read, work of postings that are united.
    values: Cell<usize>,
    found: Cell<usize>,
    labels: Cell<usize>,
    postings: Cell<usize>,
}

impl Counted<'_> {
    fn new(index: &Index) -> Counted<'_> {
        let [values, found, labels, postings] = [0; 4].map(Cell::new);
        Counted { index, values, found, labels, postings }
    }
}

fn add(cell: &Cell<usize>, count: usize) {
    cell.set(cell.get() + count);
}

impl Searched for Counted<'_> {
    type Error = Infallible;

    const VALUES_PER_SERIES: u64 = Index::VALUES_PER_SERIES;
    const COST_PER_SERIES: u64 = Index::COST_PER_SERIES;
    const VALUE_COST: u64 = Index::VALUE_COST;
    const HAS_SETS: bool = Index::HAS_SETS;

    fn census(&self) -> Census {
        self.index.census()
    }

    fn settle(&self, since: Census, found: &mut RoaringBitmap) {
        self.index.settle(since, found);
    }

    fn name_count(&self) -> u32 {
        self.index.name_count()
    }

    fn name(&self, name: u32) -> Result<&[u8], Infallible> {
        self.index.name(name)
    }

    fn find_name(&self, name: &[u8]) -> Result<Option<u32>, Infallible> {
        self.index.find_name(name)
    }

    fn find_pair(&self, name: u32, value: &[u8]) -> Result<Option<u32>, Infallible> {
        add(&self.found, 1);
        self.index.find_pair(name, value)
    }

    fn values(&self, name: u32, prefix: &[u8]) -> Result<Values, Infallible> {
        self.index.values(name, prefix)
    }

    fn each_value(
        &self,
        name: u32,
        places: Range<u32>,
        mut f: impl FnMut(u32, &[u8], u64),
    ) -> Result<(), Infallible> {
        self.index.each_value(name, places, |pair, value, cost| {
            add(&self.values, 1);
            f(pair, value, cost);
        })
    }

    fn value_of<'b>(
        &'b self,
        series: u32,
        name: u32,
        buffer: &'b mut Vec<u8>,
    ) -> Result<Option<&'b [u8]>, Infallible> {
        add(&self.labels, 1);
        self.index.value_of(series, name, buffer)
    }

    fn cost(&self, set: Set) -> Result<u64, Infallible> {
        self.index.cost(set)
    }

    fn all_series(&self) -> Result<RoaringBitmap, Infallible> {
        Searched::all_series(self.index)
    }

    fn series(&self, set: Set) -> Result<RoaringBitmap, Infallible> {
        self.index.series(set)
    }

    fn intersect(&self, set: Set, series: &mut RoaringBitmap) -> Result<(), Infallible> {
        self.index.intersect(set, series)
    }

    fn subtract(&self, set: Set, series: &mut RoaringBitmap) -> Result<(), Infallible> {
        self.index.subtract(set, series)
    }

    fn unite(
        &self,
        pair: u32,
        from: usize,
        room: usize,
        within: Option<&RoaringBitmap>,
        few: &mut Vec<u32>,
        many: &mut RoaringBitmap,
    ) -> Result<United, Infallible> {
        let united = self.index.unite(pair, from, room, within, few, many)?;
        add(&self.postings, united.work);
        Ok(united)
    }

    fn probe(
        &self,
        set: Set,
        from: ProbeFrom,
        room: usize,
        series: &RoaringBitmap,
    ) -> Result<Probed, Infallible> {
        let probed = self.index.probe(set, from, room, series)?;
        add(&self.postings, probed.work);
        Ok(probed)
    }
}

/// A step of `search` in `index`, which is as short as it shall be.
#[track_caller]
fn step(search: &mut Search, index: &Index, matchers: &[CompiledMatcher], work_max: usize) {
    let counted = Counted::new(index);
    let Ok(work) = search.step(&counted, matchers, work_max);
    // One of each may go beyond; and a value takes eight, labels of a series as much as four values.
    let one_more = |each: usize| work_max.div_ceil(each) + 1;
    assert!(counted.values.get() <= one_more(8), "{} values", counted.values.get());
    assert!(counted.found.get() <= one_more(16), "{} values found", counted.found.get());
    assert!(counted.labels.get() <= one_more(32), "{} series", counted.labels.get());
    // The last set of postings is read as a whole: a list of 256, a bitmap at once.
    assert!(counted.postings.get() <= work_max + 300, "{} postings", counted.postings.get());
    assert!(work > 0 && work <= work_max + 400, "{work}");
}

/// What happens to an index between two steps.
#[derive(Clone, Debug)]
enum Change {
    Insert(Labels),
    /// Of the series that are there the one at this place, modulo their number.
    Remove(usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![label_set().prop_map(Change::Insert), any::<usize>().prop_map(Change::Remove)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Series that are there from begin to end are found if they match; none that came or went is.
    #[test]
    fn a_search_finds_what_stays_and_matches(
        sets in prop::collection::vec(label_set(), 0..120),
        matchers in prop::collection::vec(any_matcher(), 0..4),
        changes in prop::collection::vec(prop::collection::vec(any_change(), 0..6), 0..60),
        work_max in prop_oneof![Just(1usize), 1usize..400],
    ) {
        let mut model = Model::default();
        for (series, labels) in (0..).zip(&sets) {
            model.insert(series, labels.clone());
        }
        let at_begin = model.select_naively(&matchers);
        let mut search = Search::new(&model.index);
        let (mut next, mut changes) = (sets.len() as u32, changes.into_iter());
        let found = loop {
            step(&mut search, &model.index, &matchers, work_max);
            if let Some(found) = search.take_found() {
                break found;
            }
            for change in changes.next().unwrap_or_default() {
                match change {
                    Change::Insert(labels) => {
                        model.insert(next, labels);
                        next += 1;
                    }
                    Change::Remove(at) => {
                        let living = model.series.len().max(1);
                        let removed = model.series.keys().nth(at % living).copied();
                        model.remove(&removed.into_iter().collect());
                    }
                }
            }
        };
        prop_assert_eq!(found, at_begin & model.select_naively(&matchers));
    }
}

/// `matchers` (between spaces) find in steps of any size what they find at once and in a walk.
#[track_caller]
fn check(model: &Model, matchers: &str) {
    let matchers: Vec<_> = matchers.split_whitespace().map(matcher).collect();
    let expected = model.select_naively(&matchers);
    assert_eq!(model.index.select(&matchers), expected);
    for work_max in [1, 20, 300, 8192] {
        let mut search = Search::new(&model.index);
        let found = loop {
            step(&mut search, &model.index, &matchers, work_max);
            if let Some(found) = search.take_found() {
                break found;
            }
        };
        assert_eq!(found, expected, "{work_max}");
    }
}

/// Each way that a matcher is applied, over lists, bitmaps and series by themselves.
#[test]
fn each_way_is_gone_in_steps() {
    let model = Model::of_all_kinds();
    check(&model, "");
    check(&model, "own=n7");
    check(&model, "own=~n1.*");
    check(&model, "own!~n1.*");
    check(&model, "own=~n[0-8].*");
    check(&model, "own!~n[0-8].*");
    check(&model, "own=~n1|n20|n300|n4|none");
    check(&model, "own!~n1|n20|n300|n4|none");
    check(&model, "some=");
    check(&model, "some!=");
    check(&model, "some=~s1.*|");
    check(&model, "some=~s[2-9].*");
    check(&model, "some!~s[2-9].*|");
    check(&model, "some=~s1|s2|");
    check(&model, "group=~g[01] own=~.*1.*");
    check(&model, "group=g1 own=~.*1.*");
    check(&model, "own=n8 some=~s.*5");
    check(&model, "own=~n1|n20|n300 some!~s.*5");
    check(&model, "group=~g[01] group!~g.*1 some=~s1.+|s2");
    check(&model, "own=n8 group=g1");
    check(&model, "absent=x own=~.*1");
    check(&model, "absent=~x.* own=~.*1.*");
    check(&model, "absent!~x.* own=~.*1.*");
}
