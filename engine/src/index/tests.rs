use std::collections::BTreeMap;

use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::{CompiledMatcher, Index, Listing, PairMap, Stat};
use crate::model::{Labels, MatchOp, Matcher};

/// An index beside the label sets it was built from.
#[derive(Default)]
pub(super) struct Model {
    pub index: Index,
    pub series: BTreeMap<u32, Labels>,
}

impl Model {
    /// 3000 series: a label that is each one's own, one that some have, one of three values. Their values
    /// are kept as single series, lists and bitmaps.
    pub fn of_all_kinds() -> Model {
        let mut model = Model::default();
        for series in 0..3000u32 {
            let (own, some) = (format!("n{series}"), format!("s{}", series % 900 % 61));
            let group = format!("g{}", series % 3);
            let mut pairs = vec![("group", &*group), ("own", &*own)];
            if series % 10 < 7 {
                pairs.push(("some", &*some));
            }
            model.insert(series, Labels::from_pairs(pairs));
        }
        model
    }

    pub fn insert(&mut self, series: u32, labels: Labels) {
        self.index.insert(series, labels.as_ref()).unwrap();
        self.series.insert(series, labels);
    }

    /// The same by numbers of the labels.
    fn insert_numbered(&mut self, series: u32, labels: Labels, by: &mut Numbers) {
        let numbers: Vec<u32> = labels.iter().map(|label| by.number(label)).collect();
        let unused = Labels::from_pairs([("zz", "zz")]);
        let text = |number: u32| by.labels.get(number as usize).unwrap_or(&unused).as_ref();
        let handle = self.index.insert_numbered(series, &numbers, &mut by.map, text).unwrap();
        assert!(self.index.is_numbered_set(handle, &numbers, text));
        let others =
            [&numbers[1.min(numbers.len())..], &[u32::MAX], &[numbers.as_slice(), &[0]].concat()];
        for other in others.into_iter().filter(|other| **other != numbers) {
            assert!(!self.index.is_numbered_set(handle, other, text));
        }
        self.series.insert(series, labels);
    }

    pub fn remove(&mut self, removed: &RoaringBitmap) {
        self.index.remove(removed);
        self.series.retain(|series, _| !removed.contains(*series));
    }

    fn select(&self, matchers: &[CompiledMatcher]) -> RoaringBitmap {
        self.index.select(matchers)
    }

    pub fn select_naively(&self, matchers: &[CompiledMatcher]) -> RoaringBitmap {
        let matches = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.as_ref()));
        self.series
            .iter()
            .filter(|(_, labels)| matches(labels))
            .map(|(series, _)| *series)
            .collect()
    }

    /// All that can be asked about names and values agrees with the label sets.
    fn check_labels(&self, selection: Option<&RoaringBitmap>) {
        let (mut buffer, mut previous) = (vec![], None);
        for (&series, labels) in &self.series {
            assert_eq!(self.index.labels(series, &mut buffer), Some(labels.as_ref()));
            let handle = self.index.handle(series);
            assert_eq!(self.index.series_of(handle), series);
            assert!(self.index.is_set(handle, labels.as_ref()));
            if let Some((before, other)) = previous.replace((series, labels)) {
                assert_eq!(self.index.is_set(handle, other.as_ref()), labels == other);
                assert_eq!(self.index.compare(before, series), other.cmp(labels));
            }
        }
        let text_bytes = self.series.values().map(|labels| labels.as_ref().as_bytes().len());
        assert_eq!(self.index.text_bytes(), text_bytes.sum::<usize>());
        assert!(
            !self.index.contains(u32::MAX) && self.index.labels(u32::MAX, &mut buffer).is_none()
        );
        let mut values: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
        for (series, labels) in &self.series {
            if selection.is_none_or(|selection| selection.contains(*series)) {
                for (name, value) in labels.iter() {
                    values.entry(name).or_default().push(value);
                }
            }
        }
        let names: Vec<&[u8]> = values.keys().copied().collect();
        for work_max in [1, 50, 8192] {
            assert_eq!(listed(&self.index, None, selection, work_max), names);
        }
        for (name, mut values) in values {
            values.sort_unstable();
            values.dedup();
            for work_max in [1, 50, 8192] {
                assert_eq!(listed(&self.index, Some(name), selection, work_max), values);
            }
        }
    }
}

/// Names, or values of one, sorted; listed in steps.
pub(super) fn listed(
    index: &Index,
    name: Option<&[u8]>,
    selection: Option<&RoaringBitmap>,
    work_max: usize,
) -> Vec<Vec<u8>> {
    let listing = match name {
        None => Listing::names(selection.cloned()),
        Some(name) => Listing::values(name, selection.cloned()),
    };
    let Ok(all) = listing.in_steps(index, work_max);
    all
}

/// Numbers of labels, as a part gives them.
#[derive(Default)]
struct Numbers {
    labels: Vec<Labels>,
    map: PairMap,
}

impl Numbers {
    fn number(&mut self, label: (&[u8], &[u8])) -> u32 {
        let label = Labels::from_pairs([label]);
        let found = self.labels.iter().position(|other| *other == label);
        if found.is_none() {
            self.labels.push(label);
        }
        found.unwrap_or(self.labels.len() - 1) as u32
    }
}

pub(super) fn matcher(text: &str) -> CompiledMatcher {
    let at = text.find(['=', '!']).expect("a matcher has an operator");
    let (name, rest) = text.split_at(at);
    let ops = [MatchOp::Regexp, MatchOp::NotRegexp, MatchOp::NotEqual, MatchOp::Equal];
    let op = ops.into_iter().find(|op| rest.starts_with(op.as_str())).unwrap();
    CompiledMatcher::new(&Matcher::new(name, op, &rest[op.as_str().len()..])).unwrap()
}

/// `matchers` (between spaces) select `expected` (values of `i` and `n`) out of five series.
#[track_caller]
fn check(matchers: &str, expected: &str) {
    let mut model = Model::default();
    for (series, (n, i)) in
        [("1", ""), ("1", "a"), ("1", "b"), ("2", ""), ("2.5", "")].into_iter().enumerate()
    {
        model.insert(series as u32, Labels::from_pairs([("n", n), ("i", i)]));
    }
    let matchers: Vec<_> = matchers.split_whitespace().map(matcher).collect();
    let found = model.select(&matchers);
    assert_eq!(found, model.select_naively(&matchers));
    let shown = found.iter().map(|series| {
        let labels = &model.series[&series];
        let [n, i] =
            ["n", "i"].map(|name| std::str::from_utf8(labels.get(name.as_bytes())).unwrap());
        format!("{n}{i}")
    });
    assert_eq!(shown.collect::<Vec<_>>().join(" "), expected);
}

/// Source of the cases: Prometheus `tsdb/querier_test.go`, `TestPostingsForMatchers`.
#[test]
fn matchers_select_as_in_prometheus() {
    check("", "1 1a 1b 2 2.5");
    check("n=1", "1 1a 1b");
    check("n=1 i=a", "1a");
    check("n=1 i=missing", "");
    check("missing=", "1 1a 1b 2 2.5");
    check("missing=x", "");
    check("n!=1", "2 2.5");
    check("i!=", "1a 1b");
    check("missing!=", "");
    check("n=1 i!=a", "1 1b");
    check("n=1 i!=", "1a 1b");
    check("n!=1 i=", "2 2.5");
    check("i=", "1 2 2.5");
    check("n=1 i=~a", "1a");
    check("n=1 i=~.*", "1 1a 1b");
    check("n=1 i=~.+", "1a 1b");
    check("i=~.+", "1a 1b");
    check("n=1 i=~a?", "1 1a");
    check("i=~a?", "1 1a 2 2.5");
    check("n=1 i!~a", "1 1b");
    check("n=1 i!~.*", "");
    check("n=1 i!~.+", "1");
    check("i!~.*", "");
    check("i!~", "1a 1b");
    check("n!~1", "2 2.5");
    check("n!~2.", "1 1a 1b 2 2.5");
    check("n!~2.*", "1 1a 1b");
    check("n=~[12].*", "1 1a 1b 2 2.5");
    check("n=~1|2", "1 1a 1b 2");
    check("n!~1|2", "2.5");
    check("n=~1|2.* i!=a", "1 1b 2 2.5");
    check("n=~1|missing i=~a|b|c", "1a 1b");
    check("i!~a|b|", "");
    check("n=1 i!=b i=~^(b|a).*$", "1a");
    check("n=1 i!=a i!=b", "1");
    check("n= i=", "");
}

#[test]
fn the_last_series_of_a_pair_takes_it_along() {
    let mut model = Model::default();
    for series in 0..1000 {
        let id = series.to_string();
        model.insert(
            series,
            Labels::from_pairs([("id", &*id), ("even", ["n", "y"][1 - series as usize % 2])]),
        );
    }
    let (_, bytes) = model.index.bytes();
    model.remove(&(0..1000).filter(|series| series % 2 == 0).collect());
    model.check_labels(None);
    assert_eq!(listed(&model.index, Some(b"even"), None, 9), [b"n"]);
    assert_eq!(model.index.series_count(), 500);
    model.remove(&(0..1000).filter(|series| series % 2 == 1).collect());
    model.check_labels(None);
    assert!(listed(&model.index, None, None, 9).is_empty());
    assert!(model.index.bytes().1 <= bytes + 8192, "dropped pairs leave lists of their ids only");
    model.insert(1003, Labels::from_pairs([("id", "three")]));
    model.insert(1007, Labels::from_pairs([("id", "seven")]));
    assert_eq!(model.select(&[matcher("id=~.+")]), [1003, 1007].into_iter().collect());
}

#[test]
fn stats_name_the_largest() {
    let mut model = Model::default();
    for series in 0..10u32 {
        let instance = format!("i{}", series % 4);
        let name = if series < 7 { "up" } else { "down" };
        model.insert(series, Labels::from_pairs([("__name__", name), ("instance", &instance)]));
    }
    let stat = |name: &str, count| Stat { name: name.into(), count };
    let stats = model.index.stats(2);
    assert_eq!((stats.series_count, stats.label_pair_count), (10, 6));
    assert_eq!(stats.series_count_by_metric_name, [stat("up", 7), stat("down", 3)]);
    assert_eq!(stats.label_value_count_by_label_name, [stat("instance", 4), stat("__name__", 2)]);
    // Each length takes a byte: 7 * (9 + 3) + 3 * (9 + 5), 10 * (9 + 3).
    assert_eq!(stats.memory_bytes_by_label_name, [stat("__name__", 126), stat("instance", 120)]);
    let pairs = [stat("__name__=up", 7), stat("__name__=down", 3)];
    assert_eq!(stats.series_count_by_label_pair, pairs);
    let pairs = model.index.stats(4).series_count_by_label_pair;
    assert_eq!(pairs[2..], [stat("instance=i0", 3), stat("instance=i1", 3)]);
    assert!(model.index.stats(0).series_count_by_label_pair.is_empty());
}

pub(super) fn label_set() -> impl Strategy<Value = Labels> {
    let value = prop::sample::select(vec!["", "", "a", "b", "ab", "foo", "bar", "é"]);
    let id = 0u32..2000;
    (prop::collection::vec(value, 3), id).prop_map(|(values, id)| {
        let id = format!("id-{id}");
        Labels::from_pairs(["x", "y", "z"].into_iter().zip(values).chain([("id", &*id)]))
    })
}

pub(super) fn any_matcher() -> impl Strategy<Value = CompiledMatcher> {
    let name = prop::sample::select(vec!["x", "y", "z", "id", "absent"]);
    let op = prop::sample::select(vec!["=", "!=", "=~", "!~"]);
    let values = ["", "a", "b", "foo", ".*", ".+", "a|b", "a|", "a.*", "(a|b)?", "[^a]+", ".?"];
    let values = values.into_iter().chain(["id-1.*", "id-[0-9]{3}", "id-.*7", ".*o.*", "(?i)A"]);
    (name, op, prop::sample::select(values.collect::<Vec<_>>()))
        .prop_map(|(name, op, value)| matcher(&format!("{name}{op}{value}")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn selection_is_a_scan_over_all_label_sets(
        sets in prop::collection::vec(label_set(), 0..900),
        matchers in prop::collection::vec(prop::collection::vec(any_matcher(), 0..4), 12),
        removed in prop::collection::vec(0u32..900, 0..600),
        many in any::<bool>(),
        // Of so many series one comes by numbers: none, all, or some among others.
        numbered in 0usize..4,
    ) {
        let (mut model, mut by) = (Model::default(), Numbers::default());
        if many {
            model.index.begin_many();
        }
        let mut sets = sets;
        if many {
            sets.sort();
        }
        for (series, labels) in sets.iter().enumerate() {
            let id = series as u32 + u32::from(many) * (series as u32 / 700);
            match series.checked_rem(numbered) {
                Some(0) => model.insert_numbered(id, labels.clone(), &mut by),
                _ => model.insert(id, labels.clone()),
            }
        }
        model.index.end_many();
        for round in 0..3u32 {
            for matchers in &matchers {
                let found = model.select(matchers);
                prop_assert_eq!(&found, &model.select_naively(matchers), "round {}, {:?}", round, matchers);
                model.check_labels(Some(&found));
            }
            model.check_labels(None);
            if round == 0 {
                let here = |series: &u32| model.series.contains_key(series);
                let removed: RoaringBitmap = removed.iter().copied().filter(here).collect();
                model.remove(&removed);
                continue;
            }
            // Labels come back, under other ids.
            for (series, labels) in (1000 * round..).zip(sets.iter().rev()) {
                if series % 3 == 0 {
                    model.insert(series, labels.clone());
                }
            }
        }
    }
}

/// What a start does: many in a row, most of them like the one before.
#[test]
fn series_like_the_one_before_are_as_any_other() {
    let (mut model, mut plain) = (Model::default(), Model::default());
    model.index.begin_many();
    for series in 0..300u32 {
        let mut pairs = vec![("a", format!("{}", series / 40)), ("b", format!("{}", series % 3))];
        pairs.extend((series % 7 > 0).then(|| ("c", format!("{}", series / 9))));
        let labels = Labels::from_pairs(pairs);
        let id = series + series / 50;
        model.index.insert(id, labels.as_ref()).unwrap();
        model.series.insert(id, labels.clone());
        plain.insert(id, labels.clone());
    }
    model.index.end_many();
    model.check_labels(None);
    for value in 0..8 {
        for name in ["a", "b", "c"] {
            let matcher = Matcher::new(name, MatchOp::Equal, &value.to_string());
            let compiled = CompiledMatcher::compile(&[matcher]).unwrap();
            assert_eq!(model.select(&compiled), model.select_naively(&compiled));
            assert_eq!(model.select(&compiled), plain.select(&compiled));
        }
    }
}
