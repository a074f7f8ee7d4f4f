use super::delete_tests::Life;
use super::flush_tests::{ALL_TIME, floats};
use super::selecting::LABELS_AT_ONCE;
use super::*;
use crate::model::{Labels, MatchOp, Matcher, Selection, SeriesId, Source};

/// A sample at `time_ms` of each of `series`.
fn append(life: &mut Life, series: std::ops::Range<usize>, time_ms: i64) {
    let mut batch = Batch::default();
    for number in series {
        let labels = Labels::from_pairs([("__name__", "m"), ("n", &number.to_string())]);
        let index = batch.push_series(labels.as_ref());
        batch.push_sample(index, time_ms, number as f64);
    }
    life.append(&batch);
}

/// A selection over head and block is made in steps that are short, whatever happens between them.
#[test]
fn many_series_are_selected_in_short_steps() {
    const COUNT: usize = 3 * LABELS_AT_ONCE;
    let mut life = Life::new();
    append(&mut life, 0..COUNT, 10);
    life.cut(50);
    append(&mut life, COUNT / 2..2 * COUNT, 100);
    let whole = life.store.select(&[], ALL_TIME).unwrap();
    life.store.forget_block_heads();

    let mut selection = life.store.begin_select(&[], ALL_TIME).unwrap();
    let (mut steps, mut entries) = (0, 0);
    while let Some(work) = life.store.select_more(&mut selection).unwrap() {
        steps += 1;
        assert!(work > 0);
        entries = selection.len();
        append(&mut life, 10 * COUNT + steps..10 * COUNT + steps + 1, 100);
    }
    assert_eq!(entries, selection.len());
    assert!(steps > 2 * COUNT / LABELS_AT_ONCE, "{steps}");
    let found = floats(&life.store, &selection);
    assert_eq!(found, floats(&life.store, &whole));
    // Half of the block's series once more, and as many new ones.
    assert_eq!((selection.len(), found.len()), (2 * COUNT, COUNT + COUNT / 2 + COUNT));
}

/// Which series match is found in short steps, too, while series come and go: those of the head that go
/// meanwhile are found where a block has them.
#[test]
fn series_are_searched_in_short_steps() {
    let mut life = Life::new();
    append(&mut life, 0..300, 10);
    life.cut(50);
    append(&mut life, 150..600, 100);
    let cases = [(MatchOp::Regexp, ".*[13579]", 101), (MatchOp::NotRegexp, ".*[02468]|", 102)];
    for (op, expression, now_ms) in cases {
        let before = |n: usize| n < 300 || life.store.head.index().contains(n as u32);
        let mut expected: Vec<usize> = (1..600).step_by(2).filter(|&n| before(n)).collect();
        let matchers = [Matcher::new("n", op, expression)];
        let mut selection = life.store.begin_select(&matchers, ALL_TIME).unwrap();
        selection.set_search_work(1);
        let (mut steps, mut removed) = (0, if op == MatchOp::Regexp { 0..600 } else { 3..600 });
        while let Some(work) = life.store.select_more(&mut selection).unwrap() {
            // Steps that search do a bit only; those that copy ids and read labels have few series.
            assert!((1..10_000).contains(&work), "{work}");
            steps += 1;
            append(&mut life, 10_001 + 2 * steps..10_002 + 2 * steps, now_ms);
            if steps % 5 == 0
                && let Some(gone) = removed.nth(6)
                && life.store.head.index().contains(gone as u32)
            {
                life.store.head.remove_series(&[SeriesId(gone as u32)]);
                expected.retain(|&n| n != gone || n < 300);
            }
        }
        assert!(steps > 900, "{steps}");
        let mut found = vec![];
        for index in 0..selection.len() {
            life.store
                .with_labels(&selection, index, &mut |labels| {
                    found.push(str::from_utf8(labels.get(b"n")).unwrap().parse::<usize>().unwrap());
                })
                .unwrap();
        }
        found.sort_unstable();
        found.retain(|&n| n < 10_000);
        assert_eq!(found, expected);
    }
}

/// Series that leave the head for a block while it is searched are selected once, with their samples.
#[test]
fn series_that_are_cut_meanwhile_are_selected() {
    let mut life = Life::new();
    append(&mut life, 0..300, 10);
    append(&mut life, 200..400, 100);
    let matchers = [Matcher::new("n", MatchOp::Regexp, ".*[13579]")];
    let before = life.store.select(&matchers, ALL_TIME).unwrap();
    // In any order; each series has a value of its own.
    let samples = |life: &Life, selection: &StoreSelection| {
        let mut all: Vec<_> = floats(&life.store, selection);
        all.iter_mut().for_each(|(index, ..)| *index = 0);
        all.sort_unstable();
        all
    };
    let before = samples(&life, &before);
    assert_eq!(before.len(), 150 + 100);

    let mut selection = life.store.begin_select(&matchers, ALL_TIME).unwrap();
    selection.set_search_work(1);
    for _ in 0..50 {
        life.store.select_more(&mut selection).unwrap().unwrap();
    }
    life.cut(50);
    life.store.expire_some(50, 0, 400);
    assert!(!life.store.head.index().contains(1), "it has left");
    while life.store.select_more(&mut selection).unwrap().is_some() {}
    assert_eq!(samples(&life, &selection), before);
}

/// What is remembered of blocks changes nothing that is found, whatever came and went since.
#[test]
fn what_is_remembered_of_blocks_stays_true() {
    let mut life = Life::new();
    append(&mut life, 0..300, 10);
    append(&mut life, 100..400, 60);
    life.cut(200);
    append(&mut life, 150..250, 210);
    let samples = |life: &Life| {
        let selection = life.store.select(&[], ALL_TIME).unwrap();
        let mut all = floats(&life.store, &selection);
        all.iter_mut().for_each(|(index, ..)| *index = 0);
        all.sort_unstable();
        (selection.len(), all)
    };
    let first = samples(&life);
    assert_eq!((first.0, first.1.len()), (400, 300 + 300 + 100));
    assert_eq!(samples(&life), first);
    // Most leave the head, and some come back with other ids.
    life.store.expire_some(205, 0, 400);
    assert!(!life.store.head.index().contains(1));
    assert_eq!(samples(&life), first);
    append(&mut life, 0..50, 220);
    let second = samples(&life);
    assert_eq!((second.0, second.1.len()), (400, first.1.len() + 50));
    assert_eq!(samples(&life), second);
    life.store.forget_block_heads();
    assert_eq!(samples(&life), second);
}
