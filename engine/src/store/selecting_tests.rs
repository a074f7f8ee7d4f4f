use super::delete_tests::Life;
use super::flush_tests::{ALL_TIME, floats};
use super::selecting::LABELS_AT_ONCE;
use super::*;
use crate::model::{Labels, Selection, Source};

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
