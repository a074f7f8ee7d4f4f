//! The head against a naive twin: a sorted map for each series.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::index::PairMap;
use crate::model::source::Touched;
use crate::model::{Batch, Labels, Samples, TimeRange};

const RANGE_MS: i64 = 7_200_000;
const ALL_TIME: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

fn labels(series: u32) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("series", &series.to_string())])
}

/// Judges one sample at a time, and keeps everything.
#[derive(Default)]
struct Twin {
    series: BTreeMap<u32, BTreeMap<i64, u64>>,
    newest_ms: Option<i64>,
    series_count_max: usize,
}

impl Twin {
    fn append(&mut self, samples: &[(u32, i64, u64)], max_ms: i64) -> Vec<Verdict> {
        let first = samples.iter().map(|sample| sample.1).find(|&first_ms| first_ms <= max_ms);
        let newest_ms = self.newest_ms.or(first);
        let min_ms = newest_ms.map_or(i64::MIN, |newest_ms| newest_ms - RANGE_MS / 2);
        let mut judge = |&(series, timestamp_ms, bits): &(u32, i64, u64)| {
            if timestamp_ms > max_ms {
                return Verdict::TooFarInFuture;
            }
            if timestamp_ms < min_ms {
                return Verdict::OutOfBounds;
            }
            let is_full = self.series.len() >= self.series_count_max;
            if is_full && !self.series.contains_key(&series) {
                return Verdict::SeriesLimit;
            }
            let samples = self.series.entry(series).or_default();
            match samples.last_key_value() {
                Some((&newest_ms, _)) if timestamp_ms < newest_ms => Verdict::OutOfOrder,
                Some((&newest_ms, &existing)) if timestamp_ms == newest_ms => {
                    if existing == bits {
                        Verdict::Repeated
                    } else {
                        let [existing, new] = [existing, bits].map(f64::from_bits);
                        Verdict::Duplicate { existing, new }
                    }
                }
                _ => {
                    samples.insert(timestamp_ms, bits);
                    self.newest_ms = self.newest_ms.max(Some(timestamp_ms));
                    Verdict::Accepted
                }
            }
        };
        samples.iter().map(&mut judge).collect()
    }
}

/// Appends to the head as one batch; returns the verdict of every sample.
fn append(head: &mut Head, samples: &[(u32, i64, u64)], max_timestamp_ms: i64) -> Vec<Verdict> {
    let mut batch = Batch::default();
    let mut last = None;
    let mut index = 0;
    for &(series, timestamp_ms, bits) in samples {
        if last != Some(series) {
            index = batch.push_series(labels(series).as_ref());
            last = Some(series);
        }
        batch.push_sample(index, timestamp_ms, f64::from_bits(bits));
    }
    let mut outcome = AppendOutcome::default();
    head.append(&batch, AppendBounds::until(max_timestamp_ms), &mut outcome);
    let mut verdicts = vec![Verdict::Repeated; samples.len()];
    for &sample in &outcome.accepted {
        verdicts[sample as usize] = Verdict::Accepted;
        assert_eq!(
            head.labels(outcome.series_of(&batch, sample), &mut vec![]),
            Some(labels(samples[sample as usize].0).as_ref())
        );
    }
    for refusal in &outcome.refused {
        verdicts[refusal.sample as usize] = refusal.verdict;
    }
    let repeated = verdicts.iter().filter(|&&verdict| verdict == Verdict::Repeated).count();
    assert_eq!(repeated, outcome.repeated_count);
    verdicts
}

fn read(head: &Head, series: u32, range: TimeRange) -> Vec<(i64, u64)> {
    let Some(id) = head.find(labels(series).as_ref()) else { return vec![] };
    head.prefetch(&[id, SeriesId(u32::MAX)], Touched::ALL);
    let mut samples = Samples { timestamps_ms: vec![1], values: vec![2.0], ..Samples::default() };
    head.samples(id, range, &mut samples).unwrap();
    assert_eq!((samples.timestamps_ms[0], samples.values[0]), (1, 2.0));
    let values = samples.values[1..].iter().map(|value| value.to_bits());
    samples.timestamps_ms[1..].iter().copied().zip(values).collect()
}

#[track_caller]
fn check_verdicts(samples: &[(u32, i64, f64)], max_ms: i64, expected: &[Verdict]) {
    let mut head = Head::new(HeadOptions { series_count_max: 2, ..HeadOptions::default() });
    let samples: Vec<_> = samples.iter().map(|&(s, t, v)| (s, t, v.to_bits())).collect();
    assert_eq!(append(&mut head, &samples, max_ms), expected);
}

#[test]
fn verdicts_are_prometheus_verdicts() {
    use Verdict::*;
    check_verdicts(&[], 100, &[]);
    check_verdicts(&[(0, 10, 1.0), (0, 20, 2.0)], 100, &[Accepted, Accepted]);
    check_verdicts(&[(0, 10, 1.0), (0, 10, 1.0)], 100, &[Accepted, Repeated]);
    let twice = Duplicate { existing: 0.0, new: -0.0 };
    check_verdicts(&[(0, 10, 0.0), (0, 10, -0.0)], 100, &[Accepted, twice]);
    check_verdicts(&[(0, 10, 1.0), (0, 9, 1.0)], 100, &[Accepted, OutOfOrder]);
    check_verdicts(&[(0, 100, 1.0), (0, 101, 1.0)], 100, &[Accepted, TooFarInFuture]);
    check_verdicts(
        &[(0, 4_000_000, 1.0), (1, 400_000, 1.0), (1, 399_999, 1.0)],
        9_000_000,
        &[Accepted, Accepted, OutOfBounds],
    );
    check_verdicts(
        &[(0, 1, 1.0), (1, 1, 1.0), (2, 1, 1.0), (1, 2, 1.0)],
        9,
        &[Accepted, Accepted, SeriesLimit, Accepted],
    );
    check_verdicts(&[(0, i64::MIN, 1.0)], 9, &[OutOfBounds]);
    check_verdicts(&[(0, i64::MIN + 1, 1.0), (0, i64::MAX, 1.0)], i64::MAX, &[Accepted; 2]);
}

#[test]
fn a_series_without_an_acceptable_sample_is_not_made() {
    let mut head = Head::new(HeadOptions::default());
    append(&mut head, &[(0, 10_000_000, 0)], i64::MAX);
    append(&mut head, &[(1, 5, 0), (2, i64::MAX, 0)], 20_000_000);
    assert_eq!((head.series_count(), head.id_count()), (1, 1));
    assert_eq!(head.find(labels(1).as_ref()), None);
}

#[test]
fn the_newest_sample_of_another_shard_moves_the_bound() {
    let mut head = Head::new(HeadOptions::default());
    append(&mut head, &[(0, 1000, 0)], i64::MAX);
    head.tell_newest(RANGE_MS);
    head.tell_newest(5);
    let bound_ms = RANGE_MS / 2;
    let samples = [(0, bound_ms - 1, 0), (0, bound_ms, 0)];
    let expected = [Verdict::OutOfBounds, Verdict::Accepted];
    assert_eq!(append(&mut head, &samples, i64::MAX), expected);
    assert_eq!(head.time_span_ms(), Some((1000, bound_ms)));
}

#[test]
fn a_label_set_too_long_is_refused() {
    let mut head = Head::new(HeadOptions::default());
    let value = "x".repeat(crate::limits::LABEL_SET_BYTES_MAX);
    let mut batch = Batch::default();
    let series = batch.push_series(Labels::from_pairs([("a", value)]).as_ref());
    batch.push_sample(series, 1, 1.0);
    let mut outcome = AppendOutcome::default();
    head.append(&batch, AppendBounds::until(5), &mut outcome);
    assert_eq!(outcome.refused, [Refusal { sample: 0, verdict: Verdict::LabelsTooLong }]);
}

#[test]
fn what_retention_passed_is_gone_and_its_memory_is_used_again() {
    let mut head = Head::new(HeadOptions::default());
    let round = |head: &mut Head, series: u32, start_ms: i64| {
        for n in 0..300u32 {
            let timestamp_ms = start_ms + i64::from(n) * 1000;
            let sample = |s: u32| (series + s, timestamp_ms, f64::from(n * s % 97).to_bits());
            let samples: Vec<_> = (0..50).map(sample).collect();
            assert!(append(head, &samples, i64::MAX).iter().all(|v| v.is_success()));
        }
    };
    round(&mut head, 0, 0);
    round(&mut head, 50, 300_000);
    let bytes = head.bytes();
    assert_eq!(head.series_count(), 100);
    let expired = head.expire(300_000);
    assert_eq!(expired.series.len(), 50);
    assert!(expired.chunk_count > 50);
    assert_eq!((head.series_count(), head.id_count()), (50, 100));
    assert_eq!(head.find(labels(0).as_ref()), None);
    assert!(!head.has(SeriesId(0)));
    assert_eq!(head.index().series_count(), 50);
    assert_eq!(read(&head, 50, ALL_TIME).len(), 300);
    assert_eq!(head.time_span_ms(), Some((300_000, 599_000)));
    assert_eq!(append(&mut head, &[(0, 299_999, 0)], i64::MAX), [Verdict::OutOfBounds]);
    // The same labels come back as another series, in the memory of the dead.
    round(&mut head, 0, 600_000);
    assert_eq!(head.id_count(), 150);
    assert!(head.bytes().open_chunks <= bytes.open_chunks);
    assert_eq!(head.expire(i64::MAX).series.len(), 100);
    assert_eq!((head.series_count(), head.time_span_ms()), (0, None));
}

#[test]
fn idle_series_are_sealed_and_go_on() {
    let mut head = Head::new(HeadOptions::default());
    for n in 0..20 {
        append(&mut head, &[(0, n * 1000, n as u64), (1, n * 1000 + 500, n as u64)], i64::MAX);
    }
    assert_eq!(head.seal_idle(19_100), 1);
    assert_eq!((head.seal_idle(19_100), head.sealed_chunk_count()), (0, 1));
    assert_eq!(append(&mut head, &[(0, 19_000, 19)], i64::MAX), [Verdict::Repeated]);
    append(&mut head, &[(0, 20_000, 20)], i64::MAX);
    assert_eq!(read(&head, 0, ALL_TIME), (0..21).map(|n| (n * 1000, n as u64)).collect::<Vec<_>>());
}

/// Flushes a series after some of `values`, a sample each second, and forgets what was flushed when all
/// have come: what came first is in the chunks that were given away, and the rest here, each once.
#[track_caller]
fn check_flush(values: impl Fn(i64) -> f64, before: i64, count: i64) {
    let mut head = Head::new(HeadOptions::default());
    let samples: Vec<_> = (0..count).map(|n| (0, n * 1000, values(n).to_bits())).collect();
    let (first, later) = samples.split_at(before as usize);
    append(&mut head, first, i64::MAX);
    let (mut flushed, mut given) = (Flushed::new(1), Samples::default());
    let push = |chunk: &[u8], _| encode::decode_samples(chunk, &mut given).unwrap();
    head.flush_series(SeriesId(0), &mut flushed, push).unwrap();
    append(&mut head, later, i64::MAX);
    head.forget_flushed(&flushed, 0..1).unwrap();
    let mut all = given.timestamps_ms.to_vec();
    assert_eq!(all.len(), first.len());
    let kept = read(&head, 0, ALL_TIME);
    all.extend(kept.iter().map(|&(time_ms, _)| time_ms));
    assert!(all.into_iter().eq(samples.iter().map(|sample| sample.1)), "{before} of {count}");
    assert!(kept.iter().map(|&(_, bits)| bits).eq(later.iter().map(|sample| sample.2)));
}

#[test]
fn what_was_flushed_leaves_and_what_came_later_stays() {
    for (before, count) in [
        (0, 9),
        (1, 1),
        (1, 2),
        (10, 10),
        (10, 11),
        (30, 70),
        (50, 119),
        (50, 130),
        (50, 500),
        (250, 290),
    ] {
        check_flush(|_| 7.0, before, count);
        check_flush(|n| f64::from(n as i32 % 7), before, count);
        check_flush(|n| f64::from(n as i32).sqrt(), before, count);
        // Constant for long enough to be sealed as it is, behind what was flushed.
        check_flush(|n| f64::from((n as i32).min(12).max(n as i32 - 40)), before, count);
    }
}

#[test]
fn one_million_series_would_be_small() {
    let mut head = Head::new(HeadOptions::default());
    let series_count = 20_000;
    for n in 0..10u32 {
        // Half of the series never change, as on a real machine.
        let bits =
            |s: u32| f64::from(if s.is_multiple_of(2) { 1 } else { s * 31 + n * 7 }).to_bits();
        let samples: Vec<_> =
            (0..series_count).map(|s| (s, i64::from(n) * 15_000, bits(s))).collect();
        append(&mut head, &samples, i64::MAX);
    }
    let bytes = head.bytes();
    let per_series = (bytes.total() - bytes.labels - bytes.index) / series_count as usize;
    println!("{per_series} bytes a series with ten samples: {bytes:?}");
    assert!(per_series <= 300, "{per_series} bytes a series: {bytes:?}");
}

fn steps() -> impl Strategy<Value = Vec<(u32, i64, u64)>> {
    let step_ms = prop_oneof![6 => Just(15_000i64), 1 => Just(0), 1 => -20_000..60_000i64];
    let bits = prop_oneof![
        3 => Just(1.0f64.to_bits()),
        3 => (0..1000u32).prop_map(|n| (f64::from(n) / 10.0).to_bits()),
        1 => any::<u64>(),
    ];
    prop::collection::vec((0..6u32, step_ms, bits), 1..1500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn it_judges_and_keeps_what_the_twin_does(
        steps in steps(),
        cut in 1..200usize,
        reads in prop::collection::vec((0..6u32, any::<u16>(), any::<u16>()), 10),
    ) {
        let options = HeadOptions { series_count_max: 5, chunk_range_ms: RANGE_MS };
        let mut head = Head::new(options);
        let mut twin = Twin { series_count_max: 5, ..Twin::default() };
        let mut newest_ms = [0i64; 6];
        let samples: Vec<_> = steps
            .into_iter()
            .map(|(series, step_ms, bits)| {
                newest_ms[series as usize] += step_ms;
                (series, newest_ms[series as usize], bits)
            })
            .collect();
        for part in samples.chunks(cut) {
            let (ours, theirs) = (append(&mut head, part, 2_000_000), twin.append(part, 2_000_000));
            // As text, because a NaN equals nothing.
            prop_assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        }
        for series in 0..6 {
            let whole: Vec<_> = twin.series.get(&series).into_iter().flatten().collect();
            let ours = read(&head, series, ALL_TIME);
            prop_assert!(ours.iter().map(|(t, v)| (t, v)).eq(whole.iter().copied()));
        }
        for (series, start, length) in reads {
            let min_ms = i64::from(start) * 32;
            let range = TimeRange { min_ms, max_ms: min_ms + i64::from(length) * 16 };
            let samples = twin.series.get(&series);
            let theirs: Vec<_> = samples
                .into_iter()
                .flat_map(|samples| samples.range(range.min_ms..=range.max_ms))
                .collect();
            let ours = read(&head, series, range);
            prop_assert!(ours.iter().map(|(t, v)| (t, v)).eq(theirs.iter().copied()));
            if let Some(id) = head.find(labels(series).as_ref()) {
                prop_assert!(theirs.is_empty() || head.may_have_samples(id, range));
            }
        }
    }
}

#[test]
fn without_memory_known_series_go_on_and_no_new_ones_are_made() {
    let mut head = Head::new(HeadOptions::default());
    append(&mut head, &[(1, 1000, 1)], i64::MAX);
    head.set_takes_series(false);
    let verdicts = append(&mut head, &[(1, 2000, 2), (2, 2000, 2)], i64::MAX);
    assert_eq!(verdicts, [Verdict::Accepted, Verdict::MemoryLimit]);
    head.set_takes_series(true);
    assert_eq!(append(&mut head, &[(2, 3000, 2)], i64::MAX), [Verdict::Accepted]);
}

/// A label set has one series, also where parts number its labels anew.
#[test]
fn no_two_restored_series_have_the_same_labels() {
    let mut head = Head::new(HeadOptions::default());
    let all = [labels(1), labels(2)];
    let mut restore = |id: u32, of: &Labels, map: &mut PairMap| {
        let single: Vec<Labels> = of.iter().map(|label| Labels::from_pairs([label])).collect();
        let numbers: Vec<u32> = (0..single.len() as u32).collect();
        let label = |number: u32| single[number as usize].as_ref();
        head.restore(SeriesId(id), of.as_ref().stable_hash(), &numbers, map, label)
    };
    assert!(restore(0, &all[0], &mut PairMap::default()));
    assert!(restore(1, &all[1], &mut PairMap::default()));
    let mut map = PairMap::default();
    assert!(!restore(2, &all[0], &mut map));
    assert!(!restore(3, &all[1], &mut map));
    assert_eq!(head.series_count(), 2);
}
