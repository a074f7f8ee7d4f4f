//! A store that is flushed and started again holds what one holds that never was.

use super::*;
use crate::block::part::Part;
use crate::model::histogram::{Side, Span};
use crate::model::{
    FloatHistogram, HistogramSample, Labels, Samples, Selection, Source, TimeRange,
};

pub(super) const ALL_TIME: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

/// A stream of numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn labels(series: u64) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("n", &series.to_string())])
}

fn histogram(count: u64) -> HistogramSample {
    let count = count as f64;
    let positive = Side { spans: vec![Span { offset: 1, length: 1 }], buckets: vec![count] };
    let histogram = FloatHistogram { count, sum: count, positive, ..FloatHistogram::default() };
    HistogramSample { histogram, is_integer: true }
}

/// Everything in a range, as text, sorted; of histograms what does not depend on chunks.
fn everything(store: &Store, range: TimeRange) -> Vec<String> {
    let mut all = vec![];
    let selection = store.select(&[], range).unwrap();
    // What stands before in the columns stays.
    let mut samples = Samples::default();
    for index in 0..selection.len() {
        let (float, histogram) = (samples.values.len(), samples.histograms.len());
        store.samples(&selection, index, range, &mut samples).unwrap();
        let mut labels = String::new();
        store.with_labels(&selection, index, &mut |lent| labels = lent.to_string()).unwrap();
        let start = |starts_ms: &[i64], at: usize| starts_ms.get(at).copied().unwrap_or(0);
        assert!(samples.timestamps_ms[float..].is_sorted());
        for at in float..samples.values.len() {
            let (t, v) = (samples.timestamps_ms[at], samples.values[at].to_bits());
            all.push(format!("{labels} {t} {v} since {}", start(&samples.starts_ms, at)));
        }
        for at in histogram..samples.histograms.len() {
            let (t, h) = (samples.histogram_timestamps_ms[at], &samples.histograms[at]);
            let since = start(&samples.histogram_starts_ms, at);
            all.push(format!("{labels} {t} {} {:?} since {since}", h.count, h.positive.buckets));
        }
    }
    all.sort();
    all
}

/// What [`everything`] shows of floats, through a selection that was made before.
pub(super) fn floats(store: &Store, selection: &StoreSelection) -> Vec<(usize, i64, u64)> {
    let mut all = vec![];
    for index in 0..selection.len() {
        let mut samples = Samples::default();
        store.samples(selection, index, ALL_TIME, &mut samples).unwrap();
        let columns = samples.timestamps_ms.iter().zip(&samples.values);
        all.extend(columns.map(|(&time_ms, value)| (index, time_ms, value.to_bits())));
    }
    all
}

#[test]
fn a_query_that_a_flush_overtakes_sees_all_samples() {
    let (mut store, mut random) = (Store::new(StoreOptions::default()), Random(7));
    let mut log = vec![];
    store.begin_segment(0, &mut log);
    let mut times_ms = (1..).map(|step| step * 1000);
    let mut append_some = |store: &mut Store| {
        for time_ms in times_ms.by_ref().take(300) {
            append(&mut random, time_ms, &mut [store], &mut log);
        }
    };
    append_some(&mut store);
    // Before there is a part, and when there is one.
    for _ in 0..2 {
        let selection = store.select(&[], ALL_TIME).unwrap();
        let before = floats(&store, &selection);
        flush(&mut store, false, |store| assert_eq!(floats(store, &selection), before));
        assert_eq!(floats(&store, &selection), before);
        append_some(&mut store);
    }
}

/// Flushes to a part that is installed; `on_the_way` runs between pieces.
pub(super) fn flush(
    store: &mut Store,
    is_base: bool,
    mut on_the_way: impl FnMut(&mut Store),
) -> Arc<Part> {
    let mut out = vec![];
    let mut flush = store.begin_flush(is_base, &mut out);
    while !store.flush_some(&mut flush, &mut out, || true).unwrap() {
        on_the_way(store);
    }
    let (_, flushed) = store.end_flush(flush, &mut out);
    let part = Arc::new(Part::open(Arc::new(out)).unwrap());
    store.install_part(part.clone());
    on_the_way(store);
    for first in (0..flushed.id_count()).step_by(3) {
        store.forget_flushed(&flushed, first..first + 3).unwrap();
        on_the_way(store);
    }
    part
}

/// The store that parts and a log make.
pub(super) fn start_again(parts: &[Arc<Part>], log: &[Vec<u8>]) -> Store {
    let mut store = Store::new(StoreOptions::default());
    let mut restore = Restore::new(parts.to_vec()).unwrap();
    while !store.restore_some(&mut restore, || true).unwrap() {}
    store.begin_log_after(&store.flushed());
    for segment in log {
        let report = store.replay_segment(segment).unwrap();
        assert_eq!((report.lost.len(), report.orphaned_count), (0, 0), "{report:?}");
    }
    store
}

/// Appends a random request to each of `stores`, and to the log of the first.
fn append(random: &mut Random, time_ms: i64, stores: &mut [&mut Store], log: &mut Vec<u8>) {
    append_late(random, time_ms, 3, stores, log);
}

/// As [`append`], with samples that may be as many steps behind `time_ms` as `late_max`. Whether a late
/// one is a repetition is not the same in all stores: it is noticed while it is not encoded.
fn append_late(
    random: &mut Random,
    time_ms: i64,
    late_max: u64,
    stores: &mut [&mut Store],
    log: &mut Vec<u8>,
) {
    let mut batch = Batch::default();
    let series_count = 3 + time_ms as u64 / 40_000;
    for _ in 0..=random.below(4) {
        let number = random.below(series_count);
        let series = batch.push_series(labels(number).as_ref());
        let late_ms = time_ms - 1000 * (random.below(3) * random.below(late_max) / 2) as i64;
        if number % 5 == 4 {
            batch.push_histogram(series, late_ms, histogram(random.below(100)));
            batch.set_histogram_start(1000 * random.below(2) as i64);
        } else {
            batch.push_sample(series, late_ms, random.below(5) as f64);
            if number % 5 == 3 {
                batch.set_start(1000 * random.below(3) as i64);
            }
        }
    }
    let mut reports = vec![];
    for (number, store) in stores.iter_mut().enumerate() {
        let mut ignored = vec![];
        let out = if number == 0 { &mut *log } else { &mut ignored };
        let mut report = store.append(&batch, i64::MAX, out);
        report.lsn = None;
        if late_max > 3 {
            report.accepted_count += report.repeated_count + report.accepted_histogram_count;
            (report.accepted_histogram_count, report.repeated_count) = (0, 0);
            (report.late_count, report.late_histogram_count) = (0, 0);
        }
        reports.push(report);
    }
    for report in &reports[1..] {
        assert_eq!(report, &reports[0]);
    }
}

#[test]
fn flushing_and_starting_again_changes_nothing() {
    for seed in 0..20 {
        // Every other time samples come late.
        let late_max = if seed % 2 == 0 { 3 } else { 90 };
        let window_ms = if seed % 2 == 0 { 0 } else { 60_000 };
        let mut random = Random(seed);
        let mut store = Store::new(StoreOptions::default());
        let mut twin = Store::new(StoreOptions::default());
        store.set_late_window(window_ms);
        twin.set_late_window(window_ms);
        let mut parts: Vec<Arc<Part>> = vec![];
        let mut log: Vec<Vec<u8>> = vec![vec![]];
        store.begin_segment(1, &mut log[0]);
        for round in 0..400 {
            let time_ms = i64::from(round) * 1000;
            let segment = log.last_mut().unwrap();
            append_late(&mut random, time_ms, late_max, &mut [&mut store, &mut twin], segment);
            match random.below(60) {
                0 => {
                    let is_base = random.below(3) == 0;
                    let segment = log.last_mut().unwrap();
                    let part = flush(&mut store, is_base, |store| {
                        append_late(
                            &mut random,
                            time_ms,
                            late_max,
                            &mut [store, &mut twin],
                            segment,
                        );
                    });
                    parts.push(part);
                }
                1 => {
                    // A crash, or the end of a process: the same.
                    store = start_again(&parts, &log);
                    store.set_late_window(window_ms);
                    let number = log.len() as u64 + 1;
                    log.push(vec![]);
                    store.begin_segment(number, log.last_mut().unwrap());
                }
                2 => {
                    let number = log.len() as u64 + 1;
                    log.push(vec![]);
                    store.begin_segment(number, log.last_mut().unwrap());
                }
                _ => {}
            }
            if round % 20 == 0 {
                assert_eq!(everything(&store, ALL_TIME), everything(&twin, ALL_TIME), "{seed}");
                let range = TimeRange { min_ms: time_ms / 3, max_ms: time_ms / 2 };
                assert_eq!(everything(&store, range), everything(&twin, range), "{seed}");
            }
        }
        assert!(seed > 0 || !parts.is_empty());
    }
}

#[test]
fn the_log_before_a_part_is_not_needed() {
    let mut random = Random(3);
    let mut store = Store::new(StoreOptions::default());
    let mut first = vec![];
    store.begin_segment(1, &mut first);
    for round in 0..50 {
        append(&mut random, round * 1000, &mut [&mut store], &mut first);
    }
    let part = flush(&mut store, false, |_| ());
    assert!(!store.has_unflushed());
    let expected = everything(&store, ALL_TIME);
    assert_eq!(everything(&start_again(std::slice::from_ref(&part), &[]), ALL_TIME), expected);
    let again = start_again(std::slice::from_ref(&part), &[]);
    assert_eq!((again.chain().next_lsn, again.epoch()), (store.chain().next_lsn, 1));

    // Behind it the log names no series that the part does.
    let mut second = vec![];
    store.begin_segment(2, &mut second);
    for round in 50..60 {
        append(&mut random, round * 1000, &mut [&mut store], &mut second);
    }
    let again = start_again(std::slice::from_ref(&part), std::slice::from_ref(&second));
    assert_eq!(everything(&again, ALL_TIME), everything(&store, ALL_TIME));

    // A segment that is missing between is noticed.
    let mut third = vec![];
    store.begin_segment(3, &mut third);
    append(&mut random, 70_000, &mut [&mut store], &mut third);
    let mut gapped = Store::new(StoreOptions::default());
    let mut restore = Restore::new(vec![part]).unwrap();
    while !gapped.restore_some(&mut restore, || false).unwrap() {}
    gapped.begin_log_after(&gapped.flushed());
    assert_eq!(gapped.replay_segment(&third).unwrap().lost.len(), 1);
}

#[test]
fn another_shard_takes_its_series_from_parts_and_log() {
    let mut random = Random(5);
    let mut store = Store::new(StoreOptions::default());
    store.set_late_window(60_000);
    let (mut parts, mut log) = (vec![], vec![]);
    store.begin_segment(1, &mut log);
    for round in 0..90 {
        append_late(&mut random, round * 1000, 90, &mut [&mut store], &mut log);
        if round % 40 == 39 {
            parts.push(flush(&mut store, false, |_| ()));
        }
    }
    let halves = [0, 1].map(|half| {
        let keep = |hash: u64| hash % 2 == half;
        let mut store = Store::new(StoreOptions::default());
        let mut adopt = Adopt::new(parts.clone(), None, PartTombstones::default());
        while !store.adopt_some(&mut adopt, keep, || true).unwrap() {}
        store.begin_log_after(&adopt.flushed());
        let report = store.replay_segment_of(&log, keep).unwrap();
        assert_eq!((report.orphaned_count, report.lost.len()), (0, 0));
        everything(&store, ALL_TIME)
    });
    assert!(halves.iter().all(|half| !half.is_empty()));
    let mut both = halves.concat();
    both.sort();
    assert_eq!(both, everything(&store, ALL_TIME));
}

#[test]
fn series_that_left_stay_away() {
    let mut random = Random(4);
    let mut store = Store::new(StoreOptions::default());
    let mut log = vec![];
    store.begin_segment(1, &mut log);
    for round in 0..30 {
        append(&mut random, round * 1000, &mut [&mut store], &mut log);
    }
    let first = flush(&mut store, false, |_| ());
    let mut batch = Batch::default();
    let series = batch.push_series(labels(0).as_ref());
    batch.push_sample(series, 3_000_000, 1.0);
    store.append(&batch, i64::MAX, &mut log);
    let gone = store.expire(2_000_000).series.len();
    assert!(gone >= 2, "{gone}");
    let second = flush(&mut store, false, |_| ());
    let again = start_again(&[first, second], &[]);
    assert_eq!(again.head().series_count(), 1);
    assert_eq!(again.head().id_count(), store.head().id_count());
}

/// One sample of one series, in a frame behind `log`.
fn append_one(store: &mut Store, time_ms: i64, log: &mut Vec<u8>) {
    let mut batch = Batch::default();
    let series = batch.push_series(labels(0).as_ref());
    batch.push_sample(series, time_ms, time_ms as f64);
    assert_eq!(store.append(&batch, i64::MAX, log).accepted_count, 1);
}

#[test]
fn a_log_that_lost_what_a_part_holds_gives_no_lsn_twice() {
    let mut store = Store::new(StoreOptions::default());
    let mut first = vec![];
    store.begin_segment(1, &mut first);
    append_one(&mut store, 1000, &mut first);
    // Flushed, but not durable in the log when the power went.
    append_one(&mut store, 2000, &mut vec![]);
    append_one(&mut store, 3000, &mut vec![]);
    let parts = [flush(&mut store, false, |_| {})];
    let mut store = start_again(&parts, &[first.clone()]);
    let mut second = vec![];
    store.begin_segment(2, &mut second);
    append_one(&mut store, 4000, &mut second);
    append_one(&mut store, 5000, &mut second);
    let again = start_again(&parts, &[first, second]);
    assert_eq!(everything(&again, ALL_TIME).len(), 5);
    assert_eq!(everything(&again, ALL_TIME), everything(&store, ALL_TIME));
}
