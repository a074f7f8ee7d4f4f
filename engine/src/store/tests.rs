//! A store, its log, and the store that the log makes.

use super::*;
use crate::model::{Labels, MatchOp, Matcher, Samples, Selection, Source, TimeRange};
use crate::wal::{DamageKind, SEGMENT_HEADER_BYTES, SegmentError};

const ALL_TIME: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

/// Samples `timestamp=value` of series `m{n="…"}`, in one batch.
fn batch(samples: &[(u32, i64, f64)]) -> Batch {
    let mut batch = Batch::default();
    for &(series, timestamp_ms, value) in samples {
        let labels = Labels::from_pairs([("__name__", "m"), ("n", &series.to_string())]);
        let index = batch.push_series(labels.as_ref());
        batch.push_sample(index, timestamp_ms, value);
    }
    batch
}

/// Every series and sample, as text and bits, sorted.
fn everything(store: &Store) -> Vec<(String, i64, u64)> {
    let mut all = vec![];
    let selection = store.select(&[], ALL_TIME).unwrap();
    for index in 0..selection.len() {
        let mut samples = Samples::default();
        store.samples(&selection, index, ALL_TIME, &mut samples).unwrap();
        let mut labels = String::new();
        store.with_labels(&selection, index, &mut |lent| labels = lent.to_string()).unwrap();
        let columns = samples.timestamps_ms.iter().zip(&samples.values);
        all.extend(columns.map(|(&t, v)| (labels.clone(), t, v.to_bits())));
    }
    all.sort();
    all
}

/// Appends `round_count` requests to a fresh segment.
fn write(store: &mut Store, segment: u64, rounds: std::ops::Range<u32>) -> Vec<u8> {
    let mut bytes = vec![];
    store.begin_segment(segment, &mut bytes);
    for round in rounds {
        let t = i64::from(round) * 15_000;
        let samples = [(0, t, 1.0), (round % 7 + 1, t + 3, f64::from(round)), (9, t, f64::NAN)];
        let report = store.append(&batch(&samples), i64::MAX, &mut bytes);
        assert_eq!((report.accepted_count, report.refused.len()), (3, 0));
    }
    bytes.resize(bytes.len() + 4096, 0);
    bytes
}

#[test]
fn a_log_makes_the_same_store() {
    let mut store = Store::new(StoreOptions::default());
    let first = write(&mut store, 0, 0..100);
    let second = write(&mut store, 1, 100..200);
    let mut again = Store::new(StoreOptions::default());
    let report = again.replay_segment(&first).unwrap();
    assert_eq!((report.frame_count, report.sample_count, report.appended_count), (100, 300, 300));
    assert_eq!((report.max_ms, report.lost.len()), (Some(99 * 15_000 + 3), 0));
    again.replay_segment(&second).unwrap();
    assert_eq!(everything(&again), everything(&store));
    assert_eq!(again.chain(), store.chain());
    // The second segment needs no other one to be understood.
    let mut alone = Store::new(StoreOptions::default());
    let report = alone.replay_segment(&second).unwrap();
    assert_eq!((report.orphaned_count, report.appended_count), (0, 300));
    // A third one goes on where the log ends, in a new epoch.
    let third = write(&mut again, 2, 200..210);
    let header = SegmentHeader::decode(&third).unwrap();
    assert_eq!((header.epoch, header.first_lsn, header.segment), (1, 201, 2));
    let mut last = Store::new(StoreOptions::default());
    for segment in [&first, &second, &third] {
        assert_eq!(last.replay_segment(segment).unwrap().lost, []);
    }
    assert_eq!(everything(&last), everything(&again));
}

#[test]
fn labels_are_logged_seldom_and_segments_without_them_need_the_ones_before() {
    let mut store = Store::new(StoreOptions::default());
    let many: Vec<_> = (0..500).map(|series| (series, 1000, 1.0)).collect();
    let mut segments = vec![vec![]];
    assert!(store.forget_logged());
    let header = |store: &Store, segment| SegmentHeader {
        shard: 0,
        shard_count: 1,
        epoch: store.epoch(),
        segment,
        first_lsn: store.chain().next_lsn,
        previous_crc: store.chain().last_crc,
    };
    header(&store, 0).encode(&mut segments[0]);
    store.append(&batch(&many), i64::MAX, &mut segments[0]);
    let mut named_count = 0;
    for segment in 1..60 {
        let mut bytes = vec![];
        header(&store, segment).encode(&mut bytes);
        let is_named = store.forget_logged();
        let next: Vec<_> = many.iter().map(|s| (s.0, 1000 + segment as i64, 2.0)).collect();
        store.append(&batch(&next), i64::MAX, &mut bytes);
        let mut alone = Store::new(StoreOptions::default());
        let report = alone.replay_segment(&bytes).unwrap();
        assert_eq!(report.appended_count, if is_named { 500 } else { 0 });
        assert_eq!(report.orphaned_count, if is_named { 0 } else { 500 });
        named_count += usize::from(is_named);
        segments.push(bytes);
    }
    assert!((1..10).contains(&named_count), "{named_count}");
    // A damaged header costs nothing, because records name their epoch.
    segments[3][20] ^= 1;
    let mut again = Store::new(StoreOptions::default());
    for (segment, bytes) in segments.iter().enumerate() {
        let report = again.replay_segment(bytes).unwrap();
        assert_eq!((report.orphaned_count, report.appended_count), (0, 500));
        assert_eq!(report.lost.len(), usize::from(segment == 3));
    }
    assert_eq!(everything(&again), everything(&store));
}

#[test]
fn replaying_twice_changes_nothing() {
    let mut store = Store::new(StoreOptions::default());
    let bytes = write(&mut store, 0, 0..50);
    let mut again = Store::new(StoreOptions::default());
    again.replay_segment(&bytes).unwrap();
    let mut twice = Store::new(StoreOptions::default());
    twice.replay_segment(&bytes).unwrap();
    let report = twice.replay_segment(&bytes).unwrap();
    assert_eq!((report.sample_count, report.appended_count), (150, 0));
    assert_eq!(everything(&twice), everything(&again));
}

#[test]
fn a_retried_request_is_a_success_and_leaves_no_frame() {
    let mut store = Store::new(StoreOptions::default());
    let mut out = vec![];
    store.begin_segment(0, &mut out);
    let request = batch(&[(0, 10, 1.0), (1, 10, 2.0)]);
    assert_eq!(store.append(&request, 100, &mut out).lsn, Some(1));
    let bytes = out.len();
    let report = store.append(&request, 100, &mut out);
    assert_eq!((report.accepted_count, report.repeated_count, report.lsn), (0, 2, None));
    assert_eq!(out.len(), bytes);
}

#[test]
fn a_damaged_frame_costs_its_own_samples_and_says_when_they_were() {
    let mut store = Store::new(StoreOptions::default());
    let mut bytes = write(&mut store, 0, 0..100);
    let middle = SEGMENT_HEADER_BYTES + (bytes.len() - 4096) / 2;
    bytes[middle] ^= 1;
    let mut again = Store::new(StoreOptions::default());
    let report = again.replay_segment(&bytes).unwrap();
    assert_eq!((report.frame_count, report.appended_count), (99, 297));
    let lost = &report.lost[0];
    assert!(lost.is_loss());
    assert_eq!(lost.damage.kind, DamageKind::Frames);
    let missing = lost.damage.lsns.start as i64 - 1;
    assert_eq!(lost.damage.lsns.end, lost.damage.lsns.start + 1);
    assert_eq!(lost.after_ms, Some((missing - 1) * 15_000 + 3));
    assert_eq!(lost.before_ms, Some((missing + 1) * 15_000 + 3));
}

#[test]
fn a_torn_tail_is_what_a_crash_leaves() {
    let mut store = Store::new(StoreOptions::default());
    let bytes = write(&mut store, 0, 0..20);
    let end = bytes.len() - 4096;
    let mut torn = bytes.clone();
    torn[end - 30..].fill(0);
    let mut again = Store::new(StoreOptions::default());
    let report = again.replay_segment(&torn).unwrap();
    assert_eq!((report.frame_count, report.lost.len()), (19, 1));
    assert!(!report.lost[0].is_loss());
    // The next segment continues what was whole, and the log stays readable.
    let next = write(&mut again, 1, 30..40);
    let mut last = Store::new(StoreOptions::default());
    last.replay_segment(&torn).unwrap();
    assert_eq!(last.replay_segment(&next).unwrap().lost, []);
    assert_eq!(everything(&last), everything(&again));
}

#[test]
fn an_unused_segment_is_the_end() {
    let mut store = Store::new(StoreOptions::default());
    assert_eq!(store.replay_segment(&[0; 4096]), Err(SegmentError::Unused));
    assert!(store.replay_segment(b"short").is_err());
}

#[test]
fn samples_of_a_series_that_was_lost_are_counted() {
    let mut store = Store::new(StoreOptions::default());
    let mut bytes = vec![];
    store.begin_segment(0, &mut bytes);
    store.append(&batch(&[(0, 1, 1.0)]), 100, &mut bytes);
    let second = bytes.len();
    store.append(&batch(&[(0, 2, 1.0), (1, 2, 1.0)]), 100, &mut bytes);
    bytes[second - 9] ^= 4;
    let mut again = Store::new(StoreOptions::default());
    let report = again.replay_segment(&bytes).unwrap();
    assert_eq!((report.orphaned_count, report.appended_count, report.lost.len()), (1, 1, 1));
}

#[test]
fn metadata_lives_in_the_log() {
    let mut store = Store::new(StoreOptions::default());
    let mut bytes = vec![];
    store.begin_segment(0, &mut bytes);
    let record = MetadataRecord { family: "up", kind: "gauge", help: "is up", unit: "" };
    assert_eq!(store.append_metadata([record], &mut bytes), Some(1));
    assert_eq!(store.append_metadata([record], &mut bytes), None);
    assert_eq!(store.log_all_metadata(&mut bytes), Some(2));
    let mut again = Store::new(StoreOptions::default());
    again.replay_segment(&bytes).unwrap();
    assert_eq!(
        again.metadata().iter().collect::<Vec<_>>(),
        store.metadata().iter().collect::<Vec<_>>()
    );
}

#[test]
fn series_are_found_by_labels_and_time() {
    let mut store = Store::new(StoreOptions::default());
    let mut out = vec![];
    store.append(&batch(&[(1, 1000, 1.0), (2, 2000, 1.0), (3, 3000, 1.0)]), i64::MAX, &mut out);
    let matcher = |op, value| Matcher::new("n", op, value);
    let range = |min_ms, max_ms| TimeRange { min_ms, max_ms };
    let ids = |matchers: &[Matcher], range| -> Vec<u32> {
        let selection = store.select(matchers, range).unwrap();
        let has_samples = |index: &usize| {
            let mut samples = Samples::default();
            store.samples(&selection, *index, range, &mut samples).unwrap();
            !samples.is_empty()
        };
        let ids = selection.head_ids();
        (0..ids.len()).filter(has_samples).map(|index| ids[index]).collect()
    };
    assert_eq!(ids(&[matcher(MatchOp::Equal, "2")], ALL_TIME), [1]);
    assert_eq!(ids(&[matcher(MatchOp::Regexp, "1|3")], ALL_TIME), [0, 2]);
    assert_eq!(ids(&[matcher(MatchOp::NotEqual, "1")], range(0, 2000)), [1]);
    assert_eq!(ids(&[], range(1001, 2999)), [1]);
    assert_eq!(ids(&[], range(3001, 4000)), [0u32; 0]);
    assert!(store.select(&[matcher(MatchOp::Regexp, "(")], ALL_TIME).is_err());
    let look_up = |wanted: Wanted, sets: &[Vec<Matcher>], range, limit| {
        let mut lookup = Lookup::new(&store, wanted, sets, range, limit).unwrap();
        while lookup.step(&store).unwrap().is_some() {}
        let found = lookup.into_found();
        let texts = found.iter().flat_map(|run| run.iter());
        texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<String>>()
    };
    assert_eq!(look_up(Wanted::LabelNames, &[], ALL_TIME, 9), ["__name__", "n"]);
    assert_eq!(look_up(Wanted::LabelNames, &[], range(9000, 9001), 9), [""; 0]);
    let sets = [vec![matcher(MatchOp::Equal, "2")], vec![matcher(MatchOp::Equal, "3")]];
    let values = Wanted::LabelValues("n".to_owned());
    assert_eq!(look_up(values.clone(), &sets, ALL_TIME, 9), ["2", "3"]);
    assert_eq!(look_up(values, &[], ALL_TIME, 2), ["1", "2"]);
    assert_eq!(look_up(Wanted::Series, &sets, ALL_TIME, 9).len(), 2);
    let sizes = store.head_sizes();
    assert_eq!((sizes.series_count, sizes.span_ms), (3, Some((1000, 3000))));
}

#[test]
fn every_flipped_bit_of_a_log_is_detected_or_harmless() {
    let mut store = Store::new(StoreOptions::default());
    let mut bytes = write(&mut store, 0, 0..6);
    bytes.truncate(bytes.len() - 4000);
    let whole = everything(&store);
    for bit in 0..bytes.len() * 8 {
        let mut broken = bytes.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        let mut again = Store::new(StoreOptions::default());
        let report = again.replay_segment(&broken).unwrap();
        let found = everything(&again);
        if report.lost.is_empty() {
            assert_eq!(found, whole, "bit {bit}");
        }
        assert!(found.iter().all(|sample| whole.contains(sample)), "bit {bit}");
    }
}

#[test]
fn a_log_of_other_shards_is_read_by_hash() {
    let mut store = Store::new(StoreOptions::default());
    let bytes = write(&mut store, 0, 0..50);
    let mut parts = 0;
    for shard in 0..2 {
        let mut part = Store::new(StoreOptions::default());
        let report = part.replay_segment_of(&bytes, |hash| hash >> 63 == shard).unwrap();
        assert_eq!((report.appended_count, report.orphaned_count), (report.sample_count, 0));
        parts += report.sample_count;
        // Another log follows, whose frames continue nothing.
        part.begin_log();
        assert_eq!(part.chain(), Store::new(StoreOptions::default()).chain());
        assert_eq!(part.epoch(), 1);
    }
    assert_eq!(parts, 150);
}

/// What is plain is stored by id as by labels; what is not is left open, and nothing of it is
/// stored.
#[test]
fn samples_of_known_series_are_stored_as_with_their_labels() {
    let (mut store, mut twin) =
        (Store::new(StoreOptions::default()), Store::new(StoreOptions::default()));
    let (mut log, mut twin_log) = (vec![], vec![]);
    store.begin_segment(0, &mut log);
    twin.begin_segment(0, &mut twin_log);
    let first: Vec<_> = (0..200).map(|series| (series, 1000, f64::from(series))).collect();
    for (store, log) in [(&mut store, &mut log), (&mut twin, &mut twin_log)] {
        store.append(&batch(&first), i64::MAX, log);
    }
    let ids: Vec<_> = store.appended_series().map(|id| id.unwrap()).collect();
    let mut open_count = 0;
    for round in 1..30i64 {
        if round == 12 {
            store.head.begin_log_round(); // Labels are logged anew, also of known series.
            twin.head.begin_log_round();
        }
        let sample = |series: u32| {
            let is_late = (i64::from(series) + round) % 17 == 0;
            let is_repeated = (i64::from(series) + round) % 23 == 0;
            let at = if is_late { 500 } else { 1000 + (round - i64::from(is_repeated)) * 15_000 };
            (series, at, f64::from(series % 5) + at as f64)
        };
        let samples: Vec<_> = (0..200).map(sample).collect();
        let mut known = KnownSamples::default();
        let by_id = samples.iter().filter(|(series, ..)| series % 3 != 0);
        by_id.for_each(|&(series, at, value)| known.push(ids[series as usize], at, value));
        let others: Vec<_> =
            samples.iter().copied().filter(|(series, ..)| series % 3 == 0).collect();
        let others = batch(&others);
        let (start, bytes_max) = (log.len(), store.frame_bytes_max(&others, &known));
        let report = store.append_all(&others, &known, AppendBounds::until(i64::MAX), &mut log);
        assert!(log.len() - start <= bytes_max);
        let twin_report = twin.append(&batch(&samples), i64::MAX, &mut twin_log);
        assert_eq!(report.accepted_count, twin_report.accepted_count, "round {round}");
        assert_eq!(report.repeated_count, twin_report.repeated_count);
        assert_eq!(report.open.len() + report.refused.len(), twin_report.refused.len());
        open_count += report.open.len();
    }
    assert!(open_count > 100, "{open_count}");
    assert_eq!(everything(&store), everything(&twin));
    log.resize(log.len() + 4096, 0);
    let mut again = Store::new(StoreOptions::default());
    assert_eq!(again.replay_segment(&log).unwrap().orphaned_count, 0);
    assert_eq!(everything(&again), everything(&twin));

    // A series that was removed, and an id that never was one.
    store.expire(i64::MAX - 1);
    let mut known = KnownSamples::default();
    known.push(ids[7], i64::MAX, 1.0);
    known.push(crate::model::SeriesId(u32::MAX - 5), 1_000_000, 1.0);
    store.append(&batch(&[(777, i64::MAX, 1.0)]), i64::MAX, &mut log);
    let report = store.append_all(&batch(&[]), &known, AppendBounds::until(i64::MAX), &mut log);
    assert_eq!((report.accepted_count, &*report.open), (0, &[0, 1][..]));
}

#[test]
fn a_series_by_its_labels_and_by_its_id_is_left_to_the_writer() {
    let mut store = Store::new(StoreOptions::default());
    let mut log = vec![];
    store.begin_segment(0, &mut log);
    store.append(&batch(&[(1, 1000, 1.0), (2, 1000, 1.0)]), i64::MAX, &mut log);
    let ids: Vec<_> = store.appended_series().map(|id| id.unwrap()).collect();
    let before = (log.len(), everything(&store));
    let mut known = KnownSamples::default();
    known.push(ids[0], 4000, 4.0);
    let both = batch(&[(3, 2000, 2.0), (1, 2000, 2.0), (1, 3000, 3.0)]);
    let report = store.append_all(&both, &known, AppendBounds::until(i64::MAX), &mut log);
    assert_eq!(report, AppendReport { is_left: true, ..AppendReport::default() });
    assert_eq!((log.len(), everything(&store)), before);
    // Another series, and one that is new, stand in nobody's way.
    let other = batch(&[(2, 2000, 2.0), (3, 2000, 2.0)]);
    let report = store.append_all(&other, &known, AppendBounds::until(i64::MAX), &mut log);
    assert_eq!((report.is_left, report.accepted_count), (false, 3));
}
