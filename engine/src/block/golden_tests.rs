//! The bytes of a released format never change: a block, a part and tombstones, as they must look
//! and as they must still be read.

use std::sync::Arc;

use super::part::{Part, PartExemplar, PartMetadata, PartPlan, PartTombstones, PartWriter};
use super::*;
use crate::encode;
use crate::index::Index;
use crate::model::histogram::{CounterReset, Side, Span};
use crate::model::sample::stale_nan;
use crate::model::{FloatHistogram, HistogramSample, Labels, Samples, TimeRange};

const BLOCK: &[u8] = include_bytes!("golden/block");
/// Of the first version, in which the last two series were not.
const BLOCK_1: &[u8] = include_bytes!("golden/block-1");
const PART: &[u8] = include_bytes!("golden/part");
/// Of the first version.
const PART_1: &[u8] = include_bytes!("golden/part-1");
const TOMBSTONES: &[u8] = include_bytes!("golden/tombstones");
const PART_TOMBSTONES: &[u8] = include_bytes!("golden/part-tombstones");

const ALL: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

fn labels(job: &str) -> Labels {
    Labels::from_pairs([("__name__", "up"), ("job", job)])
}

fn histogram(count: f64) -> HistogramSample {
    let side = Side { spans: vec![Span { offset: -1, length: 2 }], buckets: vec![count, 1.0] };
    let histogram = FloatHistogram {
        schema: 2,
        count: count + 1.0,
        sum: 0.5 * count,
        positive: side,
        ..FloatHistogram::default()
    };
    HistogramSample { histogram, is_integer: true }
}

/// Two series that share their timestamps, one of them with histograms and starts, too; and two that
/// share their values, which are tokens.
fn series() -> [(Labels, SeriesSamples); 4] {
    let timestamps_ms = vec![-5, 14_995, 29_996, 44_995];
    let plain = SeriesSamples {
        timestamps_ms: timestamps_ms.clone(),
        values: vec![0.25, -1.5, 1e300, stale_nan()],
        ..SeriesSamples::default()
    };
    let rich = SeriesSamples {
        timestamps_ms,
        values: vec![1.0, 1.0, 1.0, 1.0],
        starts_ms: vec![-100, -100, 20_000, 20_000],
        histogram_timestamps_ms: vec![50_000, 65_000],
        histograms: vec![histogram(3.0), histogram(5.0)],
        histogram_starts_ms: vec![],
    };
    let tokens = SeriesSamples {
        timestamps_ms: (0..100).map(|n| n * 1000).collect(),
        values: (0..100).map(|n| f64::from(n * 1000 + 7_i32.pow(n as u32 % 6))).collect(),
        ..SeriesSamples::default()
    };
    let shared = tokens.clone();
    [(labels("a"), plain), (labels("b"), rich), (labels("c"), tokens), (labels("d"), shared)]
}

fn write_block() -> Vec<u8> {
    let mut out = vec![];
    let plan = BlockPlan {
        id: BlockId::new(1_760_000_000_000, *b"0123456789"),
        shard: 1,
        shard_count: 2,
        level: 2,
        is_out_of_order: true,
        parents: vec![BlockId([7; 16])],
        range_start_ms: -7_200_000,
        range_end_ms: 7_200_000,
    };
    let mut writer = BlockWriter::new(plan, &mut out);
    for (labels, samples) in series() {
        let hash = labels.as_ref().stable_hash();
        writer.push_series(labels.as_ref(), hash, &samples, &mut out).unwrap();
    }
    writer.finish(&mut out).unwrap();
    out
}

fn write_part() -> Vec<u8> {
    let mut out = vec![];
    let plan = PartPlan {
        number: 3,
        shard: 1,
        shard_count: 2,
        epoch: 4,
        is_base: true,
        next_lsn: 77,
        id_count: 9,
    };
    let mut writer = PartWriter::new(plan, &mut out);
    let (mut work, mut chunk) = (encode::Columns::default(), vec![]);
    encode::encode(&[10, 20, 30], &[1.0, 2.0, 3.0], &mut work, &mut chunk);
    writer.push_chunk(2, &chunk, false, &mut out);
    chunk.clear();
    let pair = [histogram(1.0), histogram(2.0)];
    encode::encode_histograms(&[5, 15], &[], &pair, CounterReset::Unknown, &mut work, &mut chunk);
    writer.push_chunk(5, &chunk, false, &mut out);
    let mut index = Index::default();
    for (series, job) in [(2, "a"), (5, "b")] {
        let labels = labels(job);
        index.insert(series, labels.as_ref()).unwrap();
        writer.push_labels(series, labels.as_ref().stable_hash(), &index, &mut out);
    }
    writer.push_removed(1);
    writer.push_metadata(PartMetadata { family: "up", kind: "gauge", help: "h", unit: "" });
    let trace = Labels::from_pairs([("trace_id", "abc")]);
    let labels = trace.as_ref();
    writer.push_exemplar(PartExemplar { series: 5, timestamp_ms: 15, value: 0.5, labels });
    writer.finish(&mut out);
    out
}

fn tombstones() -> Tombstones {
    let mut tombstones = Tombstones::default();
    tombstones.add(1, TimeRange { min_ms: -5, max_ms: 7 });
    tombstones.add(1, TimeRange { min_ms: 9, max_ms: 9 });
    tombstones.add(300, ALL);
    tombstones
}

fn part_tombstones() -> PartTombstones {
    let mut tombstones = PartTombstones::default();
    tombstones.add(1, TimeRange { min_ms: -5, max_ms: 7 }, 3);
    tombstones.add(2, TimeRange { min_ms: 0, max_ms: 100 }, 3);
    tombstones.add(1, ALL, 300);
    tombstones
}

#[test]
fn bytes_are_as_they_were() {
    assert!(write_block() == BLOCK, "the bytes of a block changed");
    assert!(write_part() == PART, "the bytes of a part changed");
    let id = BlockId([9; 16]);
    assert!(tombstones().encode(id) == TOMBSTONES, "the bytes of tombstones changed");
    let of_parts = part_tombstones().encode();
    assert!(of_parts == PART_TOMBSTONES, "the bytes of tombstones of parts changed");
}

/// `bytes` are a block of the first series, with that many floats up to then.
#[track_caller]
fn check_block(bytes: &[u8], series_count: usize, max_ms: i64, float_count: u64) {
    let block = Block::open(Arc::new(bytes.to_vec())).unwrap();
    assert_eq!(block.id().to_string(), "01K742SG0060RK4CSM6MV3EE1S");
    let meta = block.meta();
    assert_eq!((meta.shard, meta.shard_count, meta.level), (1, 2, 2));
    assert_eq!((meta.min_ms, meta.max_ms, meta.float_count), (-5, max_ms, float_count));
    assert_eq!(block.series_count() as usize, series_count);
    assert!(block.select(&[]).unwrap().len() == series_count as u64);
    let (mut buffer, mut scratch) = (vec![], Scratch::default());
    for (number, (labels, expected)) in (0..).zip(series()).take(series_count) {
        assert_eq!(block.labels(number, &mut buffer).unwrap(), labels.as_ref());
        let mut samples = Samples::default();
        block.samples(number, ALL, &mut samples, &mut scratch).unwrap();
        assert_eq!(samples.timestamps_ms, expected.timestamps_ms);
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&samples.values), bits(&expected.values));
        assert_eq!(samples.starts_ms, expected.starts_ms);
        assert_eq!(samples.histogram_timestamps_ms, expected.histogram_timestamps_ms);
        for (found, expected) in samples.histograms.iter().zip(&expected.histograms) {
            assert!(found.equals(&expected.histogram));
        }
    }
}

#[track_caller]
fn check_part(bytes: &[u8]) {
    let part = Part::open(Arc::new(bytes.to_vec())).unwrap();
    assert_eq!((part.meta().number, part.meta().epoch, part.meta().next_lsn), (3, 4, 77));
    let mut samples = Samples::default();
    part.samples(2, ALL, &mut samples).unwrap();
    assert_eq!(samples.timestamps_ms, [10, 20, 30]);
    assert_eq!(samples.values, [1.0, 2.0, 3.0]);
    part.samples(5, ALL, &mut samples).unwrap();
    assert!(samples.histograms[1].equals(&histogram(2.0).histogram));
    let mut all = part.labels();
    for (series, job) in [(2, "a"), (5, "b")] {
        let labels = labels(job);
        assert_eq!(all.next(&part).unwrap(), Some((series, labels.as_ref())));
        let text: Vec<u8> =
            all.numbers().iter().flat_map(|&n| all.label(n).as_bytes().to_vec()).collect();
        assert_eq!(text, labels.as_ref().as_bytes());
    }
    assert_eq!(all.next(&part).unwrap(), None);
    assert_eq!(all.number_count(), 3);
    assert_eq!(part.exemplars().unwrap()[0].value, 0.5);
}

#[test]
fn bytes_of_before_are_read() {
    check_block(BLOCK_1, 2, 65_000, 8);
    check_block(BLOCK, 4, 99_000, 208);
    check_part(PART_1);
    check_part(PART);
    assert_eq!(Tombstones::decode(TOMBSTONES, BlockId([9; 16])), Ok(tombstones()));
    assert_eq!(PartTombstones::decode(PART_TOMBSTONES, 1), Ok(part_tombstones()));
}
