//! Lookups in steps, against a walk over all series.

use std::collections::BTreeSet;
use std::ops::Range;

use proptest::prelude::*;

use super::delete_tests::Life;
use super::flush_tests::ALL_TIME;
use super::selecting::LABELS_AT_ONCE;
use super::*;
use crate::index::{CompiledMatcher, StatsFold};
use crate::mem::runs::RunMerge;
use crate::model::{Labels, MatchOp, Matcher, Samples, Selection, SeriesId, Source, TimeRange};

/// A series; a third of them have the label `odd`.
fn labels(number: usize) -> Labels {
    let (own, group) = (number.to_string(), format!("g{}", number % 5));
    let odd = if number.is_multiple_of(3) { "yes" } else { "" };
    Labels::from_pairs([("__name__", "m"), ("n", &*own), ("group", &*group), ("odd", odd)])
}

/// A sample at `time_ms` of each of `series`.
fn append(life: &mut Life, series: Range<usize>, time_ms: i64) {
    let mut batch = Batch::default();
    for number in series {
        let index = batch.push_series(labels(number).as_ref());
        batch.push_sample(index, time_ms, number as f64);
    }
    life.append(&batch);
}

/// Matchers of one set, `name=~expression` each.
fn set(matchers: &[(&str, &str)]) -> Vec<Matcher> {
    let matchers = matchers.iter();
    matchers.map(|(name, value)| Matcher::new(name, MatchOp::Regexp, value)).collect()
}

/// What is wanted of a label set.
fn texts(labels: &Labels, wanted: &Wanted) -> Vec<Vec<u8>> {
    match wanted {
        Wanted::Series => vec![labels.as_ref().as_bytes().to_vec()],
        Wanted::LabelNames => labels.iter().map(|(name, _)| name.to_vec()).collect(),
        Wanted::LabelValues(name) => {
            let value = labels.get(name.as_bytes());
            if value.is_empty() { vec![] } else { vec![value.to_vec()] }
        }
        Wanted::PairCounts { .. } => vec![],
    }
}

/// Label sets that match one set at least, of a head and of blocks that have anything of `range`.
fn matching(store: &Store, sets: &[Vec<Matcher>], range: TimeRange) -> BTreeSet<Labels> {
    let compiled: Vec<_> = sets.iter().map(|set| CompiledMatcher::compile(set).unwrap()).collect();
    let mut buffer = vec![];
    let mut all = BTreeSet::new();
    if store.overlaps(range) {
        for series in store.series_ids() {
            all.insert(store.indexed_labels(series, &mut buffer).to_owned());
        }
    }
    for open in store.blocks().iter().filter(|open| open.block.meta().overlaps(range)) {
        for series in 0..open.block.series_count() {
            all.insert(open.block.labels(series, &mut buffer).unwrap().to_owned());
        }
    }
    let is_met = |set: &Vec<CompiledMatcher>, labels: &Labels| {
        set.iter().all(|matcher| matcher.matches(labels.as_ref()))
    };
    all.retain(|labels| compiled.is_empty() || compiled.iter().any(|set| is_met(set, labels)));
    all
}

/// Label sets that match one set at least and have samples in `range`.
fn with_samples(store: &Store, sets: &[Vec<Matcher>], range: TimeRange) -> BTreeSet<Labels> {
    let mut all = BTreeSet::new();
    for matchers in sets {
        let selection = store.select(matchers, range).unwrap();
        for index in 0..selection.len() {
            let mut samples = Samples::default();
            store.samples(&selection, index, range, &mut samples).unwrap();
            if !samples.is_empty() {
                store
                    .with_labels(&selection, index, &mut |labels| {
                        all.insert(labels.to_owned());
                    })
                    .unwrap();
            }
        }
    }
    all
}

/// Sorted as a lookup sorts.
fn wanted_of(all: &BTreeSet<Labels>, wanted: &Wanted) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = all.iter().flat_map(|labels| texts(labels, wanted)).collect();
    found.sort_by(|a, b| wanted.order()(a, b));
    found.dedup();
    found
}

fn all_texts(lookup: Lookup) -> Vec<Vec<u8>> {
    let runs = lookup.into_found();
    runs.iter().flat_map(|run| run.iter()).map(<[u8]>::to_vec).collect()
}

/// Of blocks that have been cut, of the head and of its parts.
fn everywhere() -> Life {
    let mut life = Life::new();
    append(&mut life, 0..300, 10);
    append(&mut life, 200..400, 60);
    life.cut(50);
    life.store.expire_some(50, 0, u32::MAX);
    append(&mut life, 350..600, 100);
    life.flush();
    append(&mut life, 500..700, 150);
    life
}

#[test]
fn lookups_find_what_a_walk_finds() {
    #[track_caller]
    fn check(life: &Life, sets: &[Vec<Matcher>], (min_ms, max_ms): (i64, i64), count: usize) {
        let (store, range) = (&life.store, TimeRange { min_ms, max_ms });
        let all = matching(store, sets, range);
        assert_eq!(all.len(), count);
        let values = |name: &str| Wanted::LabelValues(name.to_owned());
        for wanted in [
            Wanted::Series,
            Wanted::LabelNames,
            values("n"),
            values("group"),
            values("odd"),
            values("absent"),
        ] {
            let mut expected = wanted_of(&all, &wanted);
            for limit in [usize::MAX, 0, 1, 3, 200, 699, 700] {
                for work_max in [1, 60, 8192] {
                    let mut lookup =
                        Lookup::new(store, wanted.clone(), sets, range, limit).unwrap();
                    lookup.set_work_max(work_max);
                    while let Some(work) = lookup.step(store).unwrap() {
                        assert!((1..20_000).contains(&work), "{work}");
                    }
                    let found = all_texts(lookup);
                    if wanted == Wanted::Series && limit == usize::MAX {
                        // Those of a chunk or a block that reaches into the range may be among them.
                        let exact = wanted_of(&with_samples(store, sets, range), &wanted);
                        assert!(exact.iter().all(|text| found.contains(text)));
                        assert!(found.iter().all(|text| expected.contains(text)));
                        assert!(range != ALL_TIME || found == exact);
                        expected.clone_from(&found);
                    }
                    assert_eq!(found, expected[..expected.len().min(limit)], "{wanted:?} {limit}");
                }
            }
        }
    }
    let life = everywhere();
    let (always, all) = ((i64::MIN, i64::MAX), [set(&[("__name__", "m")])]);
    check(&life, &[], always, 700);
    check(&life, &all, always, 700);
    check(&life, &all, (0, 49), 300);
    check(&life, &all, (0, 60), 700);
    check(&life, &all, (160, 900), 0);
    check(&life, &[set(&[("n", "7|42|680|none")])], always, 3);
    check(&life, &[set(&[("n", "7|42|680|none")])], (0, 20), 2);
    let two = [set(&[("group", "g1"), ("odd", "yes")]), set(&[("odd", ""), ("n", "1.*")])];
    check(&life, &two, always, 47 + 75);
    check(&life, &[set(&[("absent", ".+")])], always, 0);
    check(&life, &[set(&[("odd", "|x")]), set(&[("odd", "yes")])], (100, 100), 500);
    check(&Life::new(), &all, always, 0);
}

#[test]
fn an_expression_that_is_none_is_told() {
    let (store, sets) = (Store::new(StoreOptions::default()), [set(&[("n", "(")])]);
    assert!(Lookup::new(&store, Wanted::LabelNames, &sets, ALL_TIME, 9).is_err());
    assert!(ExemplarLookup::new(&sets, ALL_TIME).is_err());
    assert!(Deletion::of_head(&sets[0], ALL_TIME).is_err());
}

/// Pairs that are counted in steps, on two shards, make the stats of both.
#[test]
fn pairs_are_counted_in_steps() {
    let (mut own, mut other, mut both) = (Life::new(), Life::new(), Life::new());
    for life in [&mut own, &mut both] {
        append(life, 0..1100, 10);
    }
    for life in [&mut other, &mut both] {
        append(life, 2000..2700, 10);
    }
    let mut runs = vec![];
    for (shard, life) in [(0, &own), (300, &other)] {
        let wanted = Wanted::PairCounts { shard };
        let mut lookup = Lookup::new(&life.store, wanted, &[], ALL_TIME, usize::MAX).unwrap();
        while let Some(work) = lookup.step(&life.store).unwrap() {
            assert!((1..20_000).contains(&work), "{work}");
        }
        runs.push(lookup.into_found());
    }
    let order = Wanted::PairCounts { shard: 0 }.order();
    let mut merge = RunMerge::new(runs, order, usize::MAX);
    while merge.step(1).is_some() {}
    let mut counts: Vec<(Labels, u64)> = vec![];
    for text in merge.take_merged().iter().flat_map(|run| run.iter()) {
        let (pair, count) = pair_count(text).unwrap();
        match counts.last_mut() {
            Some((last, sum)) if last.as_ref() == pair => *sum += count,
            _ => counts.push((pair.to_owned(), count)),
        }
    }
    let mut counted = StatsFold::new(7);
    counts.iter().for_each(|(pair, count)| counted.add_pair(pair.as_ref(), *count));
    let index = both.store.head.index();
    assert_eq!(counted.finish(u64::from(index.series_count())), index.stats(7));
    assert!(pair_count(b"short").is_none());
}

/// Many series are looked up in steps that are short.
#[test]
fn many_series_are_looked_up_in_short_steps() {
    const COUNT: usize = 8 * LABELS_AT_ONCE;
    let mut life = Life::new();
    append(&mut life, 0..COUNT, 10);
    life.cut(50);
    append(&mut life, COUNT / 2..2 * COUNT, 100);
    let all = [set(&[("__name__", "m")])];
    let values = Wanted::LabelValues("n".to_owned());
    for (wanted, count, step_count) in
        [(Wanted::Series, 2 * COUNT, 60), (Wanted::LabelNames, 4, 5), (values, 2 * COUNT, 40)]
    {
        let mut lookup =
            Lookup::new(&life.store, wanted.clone(), &all, ALL_TIME, usize::MAX).unwrap();
        let mut steps = 0;
        while let Some(work) = lookup.step(&life.store).unwrap() {
            steps += 1;
            assert!((1..20_000).contains(&work), "{work}");
        }
        assert!(steps >= step_count, "{wanted:?}: {steps}");
        assert_eq!(all_texts(lookup).len(), count);
    }
}

/// What happens to a store between two steps.
#[derive(Clone, Debug)]
enum Change {
    /// Samples of so many series, some of them new.
    Append(Range<usize>),
    Flush,
    /// Moves what is before to a block, and out of the head.
    Cut(i64),
    /// A series leaves the head, and with it what no block has.
    Remove(usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (0..80usize, 1..9usize).prop_map(|(first, count)| Change::Append(first..first + count)),
        1 => Just(Change::Flush),
        1 => prop::sample::select(vec![50i64, 200]).prop_map(Change::Cut),
        2 => (0..80usize).prop_map(Change::Remove),
    ]
}

/// A life, and the label sets that left it for good.
struct Changing {
    life: Life,
    time_ms: i64,
    gone: BTreeSet<Labels>,
}

impl Changing {
    fn new() -> Changing {
        Changing { life: Life::new(), time_ms: 0, gone: BTreeSet::new() }
    }

    fn make(&mut self, change: Change) {
        let life = &mut self.life;
        match change {
            Change::Append(series) => {
                self.time_ms += 1;
                append(life, series, self.time_ms);
            }
            Change::Flush => life.flush(),
            Change::Cut(before_ms) if self.time_ms < before_ms => {
                life.cut(before_ms);
                life.store.expire_some(before_ms, 0, u32::MAX);
                self.time_ms = before_ms;
            }
            Change::Cut(_) => {}
            Change::Remove(number) => {
                let (ids, mut buffer) = (life.store.series_ids(), vec![]);
                let is_it = |id: &&u32| {
                    life.store.indexed_labels(**id, &mut buffer) == labels(number).as_ref()
                };
                if let Some(&id) = ids.iter().find(is_it) {
                    life.store.head.remove_series(&[SeriesId(id)]);
                    self.gone.insert(labels(number));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// What is there from begin to end is found; nothing is that never was.
    #[test]
    fn a_lookup_finds_what_stays(
        before in prop::collection::vec(any_change(), 0..12),
        changes in prop::collection::vec(any_change(), 0..40),
        every in 1..12usize,
        work_max in prop_oneof![Just(1usize), 1..400usize],
        wanted in prop::sample::select(vec!["", "names", "n", "group", "odd"]),
        sets in prop::sample::select(vec![
            vec![],
            vec![set(&[("__name__", "m")])],
            vec![set(&[("n", ".*[1357]")])],
            vec![set(&[("odd", "yes")]), set(&[("n", "1.*"), ("odd", "|no")])],
        ]),
        limit in prop_oneof![Just(usize::MAX), 0..9usize],
    ) {
        let wanted = match wanted {
            "" => Wanted::Series,
            "names" => Wanted::LabelNames,
            name => Wanted::LabelValues(name.to_owned()),
        };
        let mut changing = Changing::new();
        before.into_iter().for_each(|change| changing.make(change));
        changing.gone.clear();
        let mut lookup =
            Lookup::new(&changing.life.store, wanted.clone(), &sets, ALL_TIME, limit).unwrap();
        lookup.set_work_max(work_max);
        let mut stay = matching(&changing.life.store, &sets, ALL_TIME);
        let mut ever = stay.clone();
        let (mut steps, mut changes) = (0, changes.into_iter());
        while let Some(work) = lookup.step(&changing.life.store).unwrap() {
            prop_assert!((1..20_000).contains(&work), "{}", work);
            steps += 1;
            if steps % every == 0 && let Some(change) = changes.next() {
                changing.make(change);
                let now = matching(&changing.life.store, &sets, ALL_TIME);
                stay.retain(|labels| now.contains(labels));
                ever.extend(now);
            }
        }
        if wanted == Wanted::Series && sets.is_empty() {
            (stay, ever) = (BTreeSet::new(), BTreeSet::new());
        }
        // One that went and came is another series.
        stay.retain(|labels| !changing.gone.contains(labels));
        let (stay, ever) = (wanted_of(&stay, &wanted), wanted_of(&ever, &wanted));
        let found = all_texts(lookup);
        prop_assert!(found.len() <= limit);
        prop_assert!(found.is_sorted_by(|a, b| wanted.order()(a, b).is_lt()));
        prop_assert!(found.iter().all(|text| ever.contains(text)));
        let is_asked = |text: &&Vec<u8>| {
            let last = found.last().filter(|_| found.len() == limit);
            limit > 0 && last.is_none_or(|last| wanted.order()(text, last).is_le())
        };
        for text in stay.iter().filter(is_asked) {
            prop_assert!(found.contains(text), "{}", String::from_utf8_lossy(text));
        }
    }
}
