//! Floats, native histograms, staleness and start timestamps, mixed: against a naive twin, and
//! against what the log makes of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::head::{SeriesExemplars, Verdict};
use crate::model::histogram::{CounterReset, Side, Span};
use crate::model::sample::stale_nan;
use crate::model::{
    Exemplar, FloatHistogram, HistogramSample, Labels, MatchOp, Matcher, STALE_NAN_BITS, Samples,
    SeriesId, Source, TimeRange,
};

const ALL_TIME: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

fn labels(series: u32) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("n", &series.to_string())])
}

/// A histogram of `count` observations, all in one bucket.
fn histogram(count: u32, is_integer: bool) -> HistogramSample {
    let count = f64::from(count);
    let positive = Side { spans: vec![Span { offset: 1, length: 1 }], buckets: vec![count] };
    let histogram = FloatHistogram {
        schema: 2,
        count,
        sum: count * 1.5,
        positive,
        ..FloatHistogram::default()
    };
    HistogramSample { histogram, is_integer }
}

#[derive(Clone, Debug)]
enum Value {
    Float(f64),
    Histogram(HistogramSample),
}

use Value::{Float, Histogram};

impl Value {
    fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Float(left), Float(right)) => left.to_bits() == right.to_bits(),
            (Histogram(left), Histogram(right)) => left.equals(right),
            _ => false,
        }
    }

    /// What a query sees: the form is not told.
    fn text(&self, start_ms: i64) -> String {
        match self {
            Float(value) => format!("{:x} since {start_ms}", value.to_bits()),
            Histogram(sample) => {
                let mut histogram = sample.histogram.clone();
                if histogram.counter_reset == CounterReset::Reset {
                    histogram.counter_reset = CounterReset::Unknown;
                }
                format!("{histogram:?} since {start_ms}")
            }
        }
    }
}

/// A sample at `timestamp_ms` of `series`, whose counting began at `start_ms`.
#[derive(Clone, Debug)]
struct Point {
    series: u32,
    timestamp_ms: i64,
    start_ms: i64,
    value: Value,
}

fn point(series: u32, timestamp_ms: i64, value: Value) -> Point {
    Point { series, timestamp_ms, start_ms: 0, value }
}

/// Appends one point in a batch of its own; its verdict.
fn append(store: &mut Store, point: &Point, log: &mut Vec<u8>) -> Verdict {
    let mut batch = Batch::default();
    let series = batch.push_series(labels(point.series).as_ref());
    match &point.value {
        Float(value) => {
            batch.push_sample(series, point.timestamp_ms, *value);
            batch.set_start(point.start_ms);
        }
        Histogram(sample) => {
            batch.push_histogram(series, point.timestamp_ms, sample.clone());
            batch.set_histogram_start(point.start_ms);
        }
    }
    let start = log.len();
    let bytes_max = store.frame_bytes_max(&batch, &KnownSamples::default());
    let report = store.append(&batch, i64::MAX, log);
    assert!(log.len() - start <= bytes_max);
    let refused = report.refused.first().or(report.refused_histograms.first());
    let accepted_count = report.accepted_count + report.accepted_histogram_count;
    match (refused, accepted_count, report.repeated_count) {
        (Some(refusal), 0, 0) => refusal.verdict,
        (None, 1, 0) => Verdict::Accepted,
        (None, 0, 1) => Verdict::Repeated,
        other => panic!("{other:?}"),
    }
}

/// All samples of a series as timestamps and texts, ascending.
fn read(store: &Store, series: u32, range: TimeRange) -> Vec<(i64, String)> {
    let Some(id) = store.head().find(labels(series).as_ref()) else { return vec![] };
    let mut samples = Samples::default();
    store.samples(&StoreSelection::of_head(&[SeriesId(id.0)]), 0, range, &mut samples).unwrap();
    let start = |starts_ms: &[i64], count: usize, index: usize| {
        assert!(starts_ms.is_empty() || starts_ms.len() == count);
        starts_ms.get(index).copied().unwrap_or(0)
    };
    let mut all = vec![];
    for (index, &timestamp_ms) in samples.timestamps_ms.iter().enumerate() {
        let start_ms = start(&samples.starts_ms, samples.values.len(), index);
        all.push((timestamp_ms, Float(samples.values[index]).text(start_ms)));
    }
    for (index, &timestamp_ms) in samples.histogram_timestamps_ms.iter().enumerate() {
        let start_ms = start(&samples.histogram_starts_ms, samples.histograms.len(), index);
        let histogram = samples.histograms[index].clone();
        let sample = HistogramSample { histogram, is_integer: false };
        all.push((timestamp_ms, Histogram(sample).text(start_ms)));
    }
    assert!(samples.timestamps_ms.is_sorted() && samples.histogram_timestamps_ms.is_sorted());
    all.sort();
    all
}

#[track_caller]
fn check(points: &[Point], expected: &[Verdict]) {
    let mut store = Store::new(StoreOptions::default());
    let mut log = vec![];
    let verdicts: Vec<_> = points.iter().map(|point| append(&mut store, point, &mut log)).collect();
    assert_eq!(verdicts, expected);
}

#[test]
fn histograms_are_judged_as_prometheus_judges() {
    use Verdict::{Accepted, DuplicateHistogram, InvalidHistogram, OutOfOrder, Repeated};
    let whole = |count| Histogram(histogram(count, true));
    let float = |count| Histogram(histogram(count, false));
    check(&[point(0, 10, whole(1)), point(0, 20, whole(2))], &[Accepted, Accepted]);
    check(&[point(0, 10, whole(1)), point(0, 10, whole(1))], &[Accepted, Repeated]);
    check(&[point(0, 10, whole(1)), point(0, 10, whole(2))], &[Accepted, DuplicateHistogram]);
    check(&[point(0, 10, whole(1)), point(0, 10, float(1))], &[Accepted, DuplicateHistogram]);
    check(&[point(0, 10, whole(1)), point(0, 9, whole(1))], &[Accepted, OutOfOrder]);
    check(&[point(0, 10, Float(1.0)), point(0, 10, whole(1))], &[Accepted, DuplicateHistogram]);
    let over = Verdict::DuplicateOfHistogram { new: 1.0 };
    check(&[point(0, 10, whole(1)), point(0, 10, Float(1.0))], &[Accepted, over]);
    check(
        &[point(0, 10, whole(1)), point(0, 20, Float(1.0)), point(0, 30, float(1))],
        &[Accepted; 3],
    );
    let mut wrong = histogram(1, true);
    wrong.histogram.count = 7.0;
    check(&[point(0, 10, Histogram(wrong.clone()))], &[InvalidHistogram]);
    wrong.is_integer = false;
    check(&[point(0, 10, Histogram(wrong))], &[Accepted]);
    check(
        &[point(0, 8_000_000, whole(1)), point(1, 1, whole(1))],
        &[Accepted, Verdict::OutOfBounds],
    );
}

/// The hints a query sees after these samples of one series, a second apart.
#[track_caller]
fn check_resets(values: &[Value], expected: &[CounterReset]) {
    let mut store = Store::new(StoreOptions::default());
    let mut log = vec![];
    for (value, second) in values.iter().zip(0..) {
        append(&mut store, &point(0, second * 1000, value.clone()), &mut log);
    }
    let mut samples = Samples::default();
    store.samples(&StoreSelection::of_head(&[SeriesId(0)]), 0, ALL_TIME, &mut samples).unwrap();
    let hints: Vec<_> = samples.histograms.iter().map(|one| one.counter_reset).collect();
    assert_eq!(hints, expected);
}

#[test]
fn what_is_known_about_resets_is_kept() {
    use CounterReset::{NotReset, Unknown};
    let whole = |count| Histogram(histogram(count, true));
    let float = |count| Histogram(histogram(count, false));
    let stale = || Float(stale_nan());
    check_resets(
        &[whole(1), whole(2), whole(1), whole(1)],
        &[Unknown, NotReset, Unknown, NotReset],
    );
    check_resets(&[float(1), float(2), float(1)], &[Unknown, NotReset, Unknown]);
    check_resets(&[whole(1), float(2), float(3)], &[Unknown, Unknown, NotReset]);
    check_resets(&[whole(1), stale(), whole(2)], &[Unknown, Unknown, Unknown]);
    check_resets(&[whole(1), Float(4.0), whole(2)], &[Unknown, Unknown]);
}

#[test]
fn a_staleness_marker_is_of_the_kind_of_the_sample_before_it() {
    let mut store = Store::new(StoreOptions::default());
    let mut log = vec![];
    for (value, second) in [
        Histogram(histogram(1, true)),
        Float(stale_nan()),
        Float(stale_nan()),
        Float(2.0),
        Float(stale_nan()),
    ]
    .into_iter()
    .zip(0..)
    {
        assert!(append(&mut store, &point(0, second, value), &mut log).is_success());
    }
    let mut samples = Samples::default();
    store.samples(&StoreSelection::of_head(&[SeriesId(0)]), 0, ALL_TIME, &mut samples).unwrap();
    assert_eq!(samples.histogram_timestamps_ms, [0, 1, 2]);
    assert_eq!(samples.histograms[2].sum.to_bits(), STALE_NAN_BITS);
    assert_eq!((samples.timestamps_ms, samples.values[0]), (vec![3, 4], 2.0));
}

#[test]
fn exemplars_are_judged_logged_and_made_again() {
    let mut store = Store::new(StoreOptions::default());
    store.set_exemplar_count_max(10);
    let mut log = vec![];
    store.begin_segment(0, &mut log);
    let mut send =
        |store: &mut Store, series: u32, has_sample, exemplars: &[(Option<i64>, f64)]| {
            let mut batch = Batch::default();
            let index = batch.push_series(labels(series).as_ref());
            if has_sample {
                batch.push_sample(index, 50, 1.0);
            }
            for &(timestamp_ms, value) in exemplars {
                let labels = Labels::from_pairs([("trace_id", "x")]);
                batch.push_exemplar(Exemplar { series: index, labels, value, timestamp_ms });
            }
            let report = store.append(&batch, 100, &mut log);
            (report.exemplars.accepted_count, report.exemplars.refused)
        };
    use crate::head::ExemplarVerdict::{OutOfOrder, TooFarInFuture, UnknownSeries};
    assert_eq!(send(&mut store, 0, false, &[(Some(1), 1.0)]), (0, vec![(0, UnknownSeries)]));
    let all = [(Some(1), 1.0), (Some(1), 1.0), (Some(0), 1.0), (None, 2.0), (Some(101), 1.0)];
    let refused = vec![(2, OutOfOrder), (4, TooFarInFuture)];
    assert_eq!(send(&mut store, 0, true, &all), (2, refused));
    assert_eq!(send(&mut store, 1, true, &[(Some(7), 3.0)]), (1, vec![]));
    assert_eq!(send(&mut store, 1, false, &[(Some(8), 3.0)]), (1, vec![]));
    let matchers =
        |value: &str| vec![Matcher { name: "n".into(), op: MatchOp::Regexp, value: value.into() }];
    let read = |store: &Store, value: &str, min_ms| {
        let range = TimeRange { min_ms, max_ms: 100 };
        let mut lookup = ExemplarLookup::new(&[matchers(value)], range).unwrap();
        lookup.set_count_max(2);
        while lookup.step(store).is_some() {}
        let found: Vec<SeriesExemplars> = lookup.into_found().into_iter().collect();
        let times = |one: &SeriesExemplars| -> Vec<i64> {
            one.exemplars.iter().map(|exemplar| exemplar.timestamp_ms).collect()
        };
        found.iter().map(|one| (one.labels.to_string(), times(one))).collect::<Vec<_>>()
    };
    let of = |series: u32, times: &[i64]| (labels(series).to_string(), times.to_vec());
    let mut again = Store::new(StoreOptions::default());
    again.set_exemplar_count_max(10);
    again.replay_segment(&log).unwrap();
    for store in [&store, &again] {
        assert_eq!(read(store, ".*", 0), [of(0, &[1, 50]), of(1, &[7, 8])]);
        assert_eq!(read(store, "1", 8), [of(1, &[8])]);
        assert_eq!(read(store, "2", 0), []);
        assert_eq!(store.exemplar_counts().exemplars, 4);
    }
}

/// Keeps everything in a map, judged one by one.
#[derive(Default)]
struct Twin {
    series: BTreeMap<u32, BTreeMap<i64, (Value, i64)>>,
}

impl Twin {
    fn append(&mut self, point: &Point) -> Verdict {
        let samples = self.series.entry(point.series).or_default();
        let mut value = point.value.clone();
        if let Some((&newest_ms, (newest, _))) = samples.last_key_value() {
            if point.timestamp_ms < newest_ms {
                return Verdict::OutOfOrder;
            }
            if point.timestamp_ms == newest_ms {
                return match (newest, &value) {
                    (old, new) if old.is_same(new) => Verdict::Repeated,
                    (Float(existing), &Float(new)) => {
                        Verdict::Duplicate { existing: *existing, new }
                    }
                    (Histogram(_), &Float(new)) => Verdict::DuplicateOfHistogram { new },
                    _ => Verdict::DuplicateHistogram,
                };
            }
            if let (Histogram(before), Float(marker)) = (newest, &value)
                && marker.to_bits() == STALE_NAN_BITS
            {
                value = Histogram(HistogramSample::stale(before.is_integer));
            }
        }
        let previous = match samples.last_key_value() {
            Some((_, (Histogram(previous), _))) => Some(previous),
            _ => None,
        };
        if let Histogram(sample) = &mut value {
            sample.histogram.counter_reset = sample.reset_behind(previous);
        }
        samples.insert(point.timestamp_ms, (value, point.start_ms));
        Verdict::Accepted
    }

    fn read(&self, series: u32, range: TimeRange) -> Vec<(i64, String)> {
        let samples = self.series.get(&series).into_iter();
        let samples = samples.flat_map(|samples| samples.range(range.min_ms..=range.max_ms));
        samples.map(|(&at_ms, (value, start_ms))| (at_ms, value.text(*start_ms))).collect()
    }
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    let value = prop_oneof![
        2 => (0..3u32).prop_map(|value| Float(f64::from(value))),
        1 => Just(Float(stale_nan())),
        3 => (0..50u32).prop_map(|count| Histogram(histogram(count, true))),
        1 => (0..50u32).prop_map(|count| Histogram(histogram(count, false))),
        1 => Just(Histogram(HistogramSample::stale(true))),
    ];
    let start_ms = prop_oneof![3 => Just(0i64), 2 => 0..3i64];
    let step_ms = prop_oneof![8 => 1..100i64, 1 => -50..1i64];
    let step = (0..3u32, step_ms, start_ms, value);
    prop::collection::vec(step, 1..400).prop_map(|steps| {
        let mut newest_ms = [0; 3];
        let points = steps.into_iter().map(|(series, step_ms, start_ms, value)| {
            newest_ms[series as usize] += step_ms;
            Point { series, timestamp_ms: newest_ms[series as usize], start_ms, value }
        });
        points.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn it_keeps_what_the_twin_does_and_the_log_makes_it_again(
        points in points(),
        reads in prop::collection::vec((0..3u32, 0..20_000i64, 0..9_000i64), 8),
        before_ms in 0..9_000i64,
    ) {
        let (mut store, mut twin) = (Store::new(StoreOptions::default()), Twin::default());
        let mut log = vec![];
        store.begin_segment(0, &mut log);
        for point in &points {
            let (ours, theirs) = (append(&mut store, point, &mut log), twin.append(point));
            prop_assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        }
        let mut again = Store::new(StoreOptions::default());
        again.replay_segment(&log).unwrap();
        let twice = again.replay_segment(&log).unwrap();
        prop_assert_eq!((twice.appended_count, twice.malformed_count), (0, 0));
        for (series, min_ms, length_ms) in reads {
            let range = TimeRange { min_ms, max_ms: min_ms + length_ms };
            prop_assert_eq!(read(&store, series, range), twin.read(series, range));
            prop_assert_eq!(read(&again, series, range), twin.read(series, range));
        }
        store.expire(before_ms);
        let range = TimeRange { min_ms: before_ms, max_ms: i64::MAX };
        for series in 0..3 {
            prop_assert_eq!(read(&store, series, range), twin.read(series, range));
        }
        store.expire(i64::MAX);
        prop_assert_eq!((store.head().series_count(), store.bytes().head.aside < 4096), (0, true));
    }
}
