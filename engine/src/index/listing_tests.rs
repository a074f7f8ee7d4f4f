//! Listings in steps, whatever happens between them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::Listing;
use super::tests::{Model, label_set, listed};
use crate::model::Labels;

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

/// The names of a label set, or its value of one.
fn texts(labels: &Labels, name: Option<&str>) -> Vec<Vec<u8>> {
    let pairs = labels.iter();
    match name {
        None => pairs.map(|(name, _)| name.to_vec()).collect(),
        Some(name) => pairs
            .filter(|(own, _)| *own == name.as_bytes())
            .map(|(_, value)| value.to_vec())
            .collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// What a series has that is there from begin to end is listed; nothing is that none ever had.
    #[test]
    fn a_listing_has_what_stays(
        sets in prop::collection::vec(label_set(), 0..80),
        selected in prop::option::of(prop::collection::vec(any::<bool>(), 80)),
        name in prop::sample::select(vec![None, Some("x"), Some("id"), Some("none")]),
        changes in prop::collection::vec(prop::collection::vec(any_change(), 0..6), 0..60),
        work_max in prop_oneof![Just(1usize), 1usize..400],
    ) {
        let mut model = Model::default();
        for (series, labels) in (0..).zip(&sets) {
            model.insert(series, labels.clone());
        }
        let selection: Option<RoaringBitmap> = selected.map(|selected| {
            (0..sets.len() as u32).filter(|&series| selected[series as usize]).collect()
        });
        let mut listing = match name {
            None => Listing::names(selection.clone()),
            Some(name) => Listing::values(name.as_bytes(), selection.clone()),
        };
        let (mut next, mut changes) = (sets.len() as u32, changes.into_iter());
        let mut ever = model.series.clone();
        let mut found = BTreeSet::new();
        loop {
            let Ok(work) = listing.step(&model.index, work_max, |text| {
                found.insert(text.to_vec());
            });
            let Some(work) = work else { break };
            // Some values are held against the selection together.
            prop_assert!(work > 0 && work <= work_max + 16 * (16 + 4 * 260), "{}", work);
            for change in changes.next().unwrap_or_default() {
                match change {
                    Change::Insert(labels) => {
                        ever.insert(next, labels.clone());
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
        }
        let is_selected = |series: &u32| selection.as_ref().is_none_or(|all| all.contains(*series));
        for (series, labels) in ever.iter().filter(|(series, _)| is_selected(series)) {
            let is_there = model.series.contains_key(series) && (*series as usize) < sets.len();
            for text in texts(labels, name).into_iter().filter(|_| is_there) {
                prop_assert!(found.contains(&text), "{text:?}");
            }
        }
        let all: BTreeSet<Vec<u8>> = ever
            .iter()
            .filter(|(series, _)| is_selected(series))
            .flat_map(|(_, labels)| texts(labels, name))
            .collect();
        prop_assert!(found.is_subset(&all));
    }
}

/// `count` names or values are listed of `selected` of 3000 series, in steps of any size.
#[track_caller]
fn check(model: &Model, name: Option<&str>, selected: impl Fn(u32) -> bool, count: usize) {
    let selection: RoaringBitmap = (0..3000).filter(|&series| selected(series)).collect();
    let living = model.series.iter().filter(|(series, _)| selection.contains(**series));
    let expected: BTreeSet<Vec<u8>> = living.flat_map(|(_, labels)| texts(labels, name)).collect();
    assert_eq!(expected.len(), count);
    let expected: Vec<Vec<u8>> = expected.into_iter().collect();
    for work_max in [1, 20, 300, 8192] {
        let name = name.map(str::as_bytes);
        assert_eq!(listed(&model.index, name, Some(&selection), work_max), expected, "{work_max}");
        if selection.len() == 3000 {
            assert_eq!(listed(&model.index, name, None, work_max), expected, "{work_max}");
        }
    }
}

/// Each way that names and values are found, over lists, bitmaps and series by themselves.
#[test]
fn each_way_is_gone_in_steps() {
    let model = Model::of_all_kinds();
    check(&model, None, |_| true, 3);
    check(&model, None, |series| series % 10 > 7, 2);
    check(&model, None, |series| series == 8, 2);
    check(&model, None, |_| false, 0);
    check(&model, Some("own"), |_| true, 3000);
    check(&model, Some("own"), |series| series % 2 == 0, 1500);
    check(&model, Some("own"), |series| series > 2990, 9);
    check(&model, Some("some"), |_| true, 61);
    check(&model, Some("some"), |series| series % 10 > 7, 0);
    check(&model, Some("some"), |series| series < 5, 5);
    check(&model, Some("group"), |series| series % 3 > 0, 2);
    check(&model, Some("absent"), |_| true, 0);
}
