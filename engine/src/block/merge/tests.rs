//! Merges of random sources against a naive model: the first source's sample stays, what was deleted
//! or lies outside is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::block::part::{Part, PartPlan, PartTombstones, PartWriter};
use crate::block::{Block, BlockId, Scratch, SeriesSamples, Tombstones};
use crate::encode;
use crate::model::histogram::{CounterReset, Side, Span};
use crate::model::{FloatHistogram, HistogramSample, Labels, Samples};

/// A float's bits, or a histogram's count and what is known about a reset before it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    Float(u64),
    Histogram(u32),
}

type Series = BTreeMap<i64, Point>;
type Model = BTreeMap<Labels, Series>;

fn labels(series: u32) -> Labels {
    Labels::from_pairs([("job", format!("{}", series % 3)), ("n", format!("{series}"))])
}

fn histogram(count: u32) -> FloatHistogram {
    let side = Side {
        spans: vec![Span { offset: 0, length: 1 + count % 2 }],
        buckets: vec![f64::from(count); 1 + count as usize % 2],
    };
    FloatHistogram { count: f64::from(count), positive: side, ..FloatHistogram::default() }
}

fn to_samples(series: &Series) -> SeriesSamples {
    let mut samples = SeriesSamples::default();
    for (&time_ms, point) in series {
        match *point {
            Point::Float(bits) => {
                samples.timestamps_ms.push(time_ms);
                samples.values.push(f64::from_bits(bits));
            }
            Point::Histogram(count) => {
                samples.histogram_timestamps_ms.push(time_ms);
                let histogram = histogram(count);
                samples.histograms.push(HistogramSample { histogram, is_integer: true });
            }
        }
    }
    samples
}

fn plan(id: u8) -> BlockPlan {
    BlockPlan { id: BlockId([id; 16]), shard_count: 1, level: 1, ..BlockPlan::default() }
}

fn open(bytes: Vec<u8>) -> Arc<Block> {
    Arc::new(Block::open(Arc::new(bytes)).unwrap())
}

fn block(id: u8, model: &Model) -> Arc<Block> {
    let mut out = vec![];
    let mut writer = BlockWriter::new(plan(id), &mut out);
    for (labels, series) in model {
        let hash = labels.as_ref().stable_hash();
        writer.push_series(labels.as_ref(), hash, &to_samples(series), &mut out).unwrap();
    }
    writer.finish(&mut out).unwrap();
    open(out)
}

/// A part of the same; the id of a series is the number in its label `n`.
fn part(number: u64, model: &Model) -> Arc<Part> {
    let mut out = vec![];
    let plan = PartPlan { number, shard_count: 1, ..PartPlan::default() };
    let mut writer = PartWriter::new(plan, &mut out);
    let by_id: BTreeMap<u32, &Series> =
        model.iter().map(|(labels, series)| (id_of(labels), series)).collect();
    let (mut work, mut chunk) = (encode::Columns::default(), vec![]);
    for (id, series) in by_id {
        let samples = to_samples(series);
        for start in (0..samples.values.len()).step_by(50) {
            let range = start..(start + 50).min(samples.values.len());
            chunk.clear();
            let timestamps_ms = &samples.timestamps_ms[range.clone()];
            encode::encode(timestamps_ms, &samples.values[range], &mut work, &mut chunk);
            writer.push_chunk(id, &chunk, false, &mut out);
        }
        let mut start = 0;
        while start < samples.histograms.len() {
            let (count, resets) = encode::histogram_run(&samples.histograms[start..], None);
            let range = start..start + count;
            chunk.clear();
            encode::encode_histograms(
                &samples.histogram_timestamps_ms[range.clone()],
                &[],
                &samples.histograms[range],
                resets,
                &mut work,
                &mut chunk,
            );
            writer.push_chunk(id, &chunk, false, &mut out);
            start += count;
        }
    }
    writer.finish(&mut out);
    Arc::new(Part::open(Arc::new(out)).unwrap())
}

fn id_of(labels: &Labels) -> u32 {
    std::str::from_utf8(labels.get(b"n")).unwrap().parse().unwrap()
}

fn lookup(series: u32, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(labels(series).as_ref().as_bytes());
    true
}

fn run(sources: Vec<MergeSource>, scope: MergeScope, work_max: usize) -> Arc<Block> {
    let mut out = vec![];
    let mut merge = Merge::new(sources, scope, plan(99), &mut out);
    loop {
        if let Progress::Done(meta) = merge.step(&mut lookup, work_max, &mut out).unwrap() {
            let block = open(out);
            assert_eq!(block.meta(), &meta);
            return block;
        }
    }
}

fn read_all(block: &Block) -> Model {
    let mut model = Model::new();
    let (mut buffer, mut scratch) = (vec![], Scratch::default());
    let all = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
    for series in 0..block.series_count() {
        let mut samples = Samples::default();
        block.samples(series, all, &mut samples, &mut scratch).unwrap();
        let floats = samples.timestamps_ms.iter().zip(&samples.values);
        let mut points: Series =
            floats.map(|(&time_ms, value)| (time_ms, Point::Float(value.to_bits()))).collect();
        let count = points.len() + samples.histograms.len();
        for (&time_ms, found) in samples.histogram_timestamps_ms.iter().zip(&samples.histograms) {
            assert!(found.equals(&histogram(found.count as u32)));
            points.insert(time_ms, Point::Histogram(found.count as u32));
        }
        assert_eq!(points.len(), count, "no timestamp stands twice");
        let labels = block.labels(series, &mut buffer).unwrap();
        assert_eq!(block.hash(series).unwrap(), labels.stable_hash());
        model.insert(labels.to_owned(), points);
    }
    assert_eq!(model.len(), block.series_count() as usize);
    model
}

/// What a merge must give.
fn merge_naively(models: &[(Model, Tombstones)], scope: &MergeScope) -> Model {
    let mut merged = Model::new();
    for (model, tombstones) in models {
        for (labels, series) in model {
            if !scope.hashes.contains(&labels.as_ref().stable_hash()) {
                continue;
            }
            for (&time_ms, &point) in series {
                let deleted = tombstones.get(id_of(labels));
                let is_deleted =
                    deleted.iter().any(|gone| gone.min_ms <= time_ms && time_ms <= gone.max_ms);
                if !is_deleted && scope.range.min_ms <= time_ms && time_ms <= scope.range.max_ms {
                    merged.entry(labels.clone()).or_default().entry(time_ms).or_insert(point);
                }
            }
        }
    }
    merged
}

/// The same tombstones, by the block's numbers of the series.
fn of_block(model: &Model, tombstones: &Tombstones) -> Arc<Tombstones> {
    let mut own = Tombstones::default();
    for (number, labels) in (0..).zip(model.keys()) {
        for &range in tombstones.get(id_of(labels)) {
            own.add(number, range);
        }
    }
    Arc::new(own)
}

fn source(number: usize, model: &Model, tombstones: &Tombstones, is_part: bool) -> MergeSource {
    if !is_part {
        let tombstones = of_block(model, tombstones);
        return MergeSource::Block { block: block(number as u8, model), tombstones };
    }
    let mut order = LabelOrder::new(model.keys().map(id_of).collect());
    let all: BTreeMap<u32, Labels> = model.keys().map(|l| (id_of(l), l.clone())).collect();
    let order = order.step(|one, other| all[&one].cmp(&all[&other]), usize::MAX).unwrap();
    // Two parts: the second has what the first has, and must not count twice.
    let parts = vec![part(1, model), part(2, model)];
    MergeSource::Parts { parts, order, tombstones: Arc::new(of_parts(tombstones, 2)) }
}

/// The same tombstones, of the parts up to `last_part`.
fn of_parts(tombstones: &Tombstones, last_part: u64) -> PartTombstones {
    let mut own = PartTombstones::default();
    for (series, intervals) in tombstones.iter() {
        for &interval in intervals {
            own.add(series, interval, last_part);
        }
    }
    own
}

fn any_series() -> impl Strategy<Value = Series> {
    let step = prop_oneof![6 => Just(15_000i64), 1 => 1..40_000i64, 1 => Just(3_600_000)];
    let point = prop_oneof![
        8 => (0..50u64).prop_map(|n| Point::Float((n as f64).to_bits())),
        1 => any::<u64>().prop_map(Point::Float),
        2 => (0..9u32).prop_map(Point::Histogram),
    ];
    let steps = prop_oneof![
        3 => prop::collection::vec((step.clone(), point.clone()), 1..40),
        1 => prop::collection::vec((step, point), 700),
    ];
    (0..20i64, steps).prop_map(|(start, steps)| {
        let mut time_ms = start * 300_000;
        let sample = |(step, point)| {
            time_ms += step;
            (time_ms, point)
        };
        steps.into_iter().map(sample).collect()
    })
}

fn any_model() -> impl Strategy<Value = Model> {
    let series = (0u32..12).prop_map(labels);
    prop::collection::btree_map(series, any_series(), 0..8)
}

fn any_tombstones() -> impl Strategy<Value = Tombstones> {
    let deleted = (0u32..12, 0..8_000_000i64, 0..2_000_000i64);
    prop::collection::vec(deleted, 0..3).prop_map(|all| {
        let mut tombstones = Tombstones::default();
        for (series, min_ms, length_ms) in all {
            tombstones.add(series, TimeRange { min_ms, max_ms: min_ms + length_ms });
        }
        tombstones
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn merges_are_the_union_of_their_sources(
        models in prop::collection::vec((any_model(), any_tombstones()), 1..5),
        are_parts in prop::collection::vec(prop::bool::weighted(0.3), 5),
        cut in prop::option::of((0..6_000_000i64, 0..6_000_000i64)),
        work_max in prop_oneof![Just(1usize), Just(usize::MAX)],
    ) {
        let sources = || -> Vec<MergeSource> {
            let all = models.iter().zip(&are_parts).enumerate();
            all.map(|(n, ((model, gone), &is_part))| source(n, model, gone, is_part)).collect()
        };
        let range = match cut {
            None => MergeScope::default().range,
            Some((min_ms, length_ms)) => TimeRange { min_ms, max_ms: min_ms + length_ms },
        };
        let scope = MergeScope { range, ..MergeScope::default() };
        let merged = run(sources(), scope.clone(), work_max);
        prop_assert_eq!(read_all(&merged), merge_naively(&models, &scope));
        let mut series_count = 0;
        for shard in 0..3 {
            let hashes = hashes_of_shard(shard, 3);
            let scope = MergeScope { range, hashes, ..MergeScope::default() };
            let part = run(sources(), scope.clone(), work_max);
            prop_assert_eq!(read_all(&part), merge_naively(&models, &scope));
            series_count += part.series_count();
        }
        prop_assert_eq!(series_count, merged.series_count());
        // Once more: what is large and alone is handed on as it is.
        let tombstones = Arc::new(Tombstones::default());
        let again = MergeSource::Block { block: Arc::clone(&merged), tombstones };
        let again = run(vec![again], MergeScope::default(), work_max);
        prop_assert_eq!(read_all(&again), read_all(&merged));
    }
}

#[test]
fn shards_share_all_hashes() {
    for count in [1u16, 2, 3, 7, 1000] {
        assert_eq!(*hashes_of_shard(0, count).start(), 0);
        assert_eq!(*hashes_of_shard(count - 1, count).end(), u64::MAX);
        for shard in 0..count {
            let hashes = hashes_of_shard(shard, count);
            let shard_of = |hash: u64| ((u128::from(hash) * u128::from(count)) >> 64) as u16;
            assert_eq!((shard_of(*hashes.start()), shard_of(*hashes.end())), (shard, shard));
        }
    }
}

#[test]
fn neighbours_join_small_chunks_and_hand_on_large_ones() {
    let series = |start: i64, count: i64, step_ms: i64| -> Series {
        (0..count).map(|n| (start + n * step_ms, Point::Float((n as f64).to_bits()))).collect()
    };
    let hours = |n: i64| n * 3_600_000;
    #[track_caller]
    fn check(sources: Vec<Series>, chunk_count: u64) {
        let no_tombstones = Arc::new(Tombstones::default());
        let sources = (0..).zip(&sources).map(|(id, series)| MergeSource::Block {
            block: block(id, &Model::from([(labels(1), series.clone())])),
            tombstones: Arc::clone(&no_tombstones),
        });
        let merged = run(sources.collect(), MergeScope::default(), usize::MAX);
        assert_eq!(merged.meta().chunk_count, chunk_count);
    }
    // Two hours at 15 s stay as they are, at a minute they become one.
    check((0..3).map(|n| series(hours(2 * n), 480, 15_000)).collect(), 3);
    check((0..2).map(|n| series(hours(2 * n), 120, 60_000)).collect(), 1);
    // What overlaps is encoded anew, and ends at the grid.
    check(vec![series(0, 480, 15_000), series(hours(1), 480, 15_000)], 2);
}

/// What a merge that skips what is damaged keeps is as it was, whatever bit of the block is turned;
/// a turned sample costs its series, and the series that share its page.
#[test]
fn a_damaged_block_gives_its_whole_series() {
    let series = |number: u32| -> Series {
        let value = |n: i64| {
            let mixed = (u64::from(number) << 32 | n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            Point::Float(mixed ^ mixed >> 29)
        };
        (0..400).map(|n| (n * 15_000, value(n))).collect()
    };
    let model: Model = (0..12).map(|number| (labels(number), series(number))).collect();
    let whole = block(1, &model);
    let bytes = (**whole.bytes()).as_ref().to_vec();
    let mut kept_counts = vec![];
    for at in (0..bytes.len()).step_by(997) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        let Ok(damaged) = Block::open(Arc::new(damaged)) else { continue };
        let source = MergeSource::Block { block: Arc::new(damaged), tombstones: Arc::default() };
        let scope = MergeScope { skips_damaged: true, ..MergeScope::default() };
        let kept = read_all(&run(vec![source], scope, usize::MAX));
        for (labels, series) in &kept {
            assert_eq!(series, &model[labels], "byte {at}");
        }
        kept_counts.push(kept.len());
    }
    assert!(kept_counts.len() > 20, "{kept_counts:?}");
    let partly = kept_counts.iter().filter(|&&count| count > 6 && count < 12).count();
    assert!(partly * 2 > kept_counts.len(), "most damage costs a few series: {kept_counts:?}");
}

#[test]
fn resets_that_were_said_stay_said() {
    let sample = |count, counter_reset| HistogramSample {
        histogram: FloatHistogram { counter_reset, ..histogram(count) },
        is_integer: true,
    };
    let all = [
        sample(1, CounterReset::Unknown),
        sample(3, CounterReset::Unknown),
        sample(5, CounterReset::Reset),
        sample(7, CounterReset::Unknown),
    ];
    let (mut work, mut out) = (encode::Columns::default(), vec![]);
    let mut writer = PartWriter::new(PartPlan { shard_count: 1, ..PartPlan::default() }, &mut out);
    for (start, end) in [(0, 2), (2, 4)] {
        let (count, resets) = encode::histogram_run(&all[start..end], None);
        assert_eq!(count, 2);
        let (times, mut chunk) = ([start as i64, start as i64 + 1], vec![]);
        encode::encode_histograms(&times, &[], &all[start..end], resets, &mut work, &mut chunk);
        writer.push_chunk(1, &chunk, false, &mut out);
    }
    writer.finish(&mut out);
    let source = MergeSource::Parts {
        parts: vec![Arc::new(Part::open(Arc::new(out)).unwrap())],
        order: vec![1],
        tombstones: Arc::new(PartTombstones::default()),
    };
    let merged = run(vec![source], MergeScope::default(), usize::MAX);
    assert_eq!(merged.meta().chunk_count, 2);
    let resets: Vec<_> = merged
        .chunks(0)
        .unwrap()
        .map(|chunk| encode::histogram_resets(chunk.unwrap().0.values).unwrap())
        .collect();
    assert_eq!(resets, [CounterReset::Unknown, CounterReset::Reset]);
}

#[test]
fn what_was_deleted_of_a_part_is_not_deleted_of_later_ones() {
    let of = |times_ms: std::ops::Range<i64>, value: f64| -> Model {
        let points = times_ms.map(|time_ms| (time_ms, Point::Float(value.to_bits())));
        Model::from([(labels(1), points.collect())])
    };
    #[track_caller]
    fn check(parts: &[Model], deleted: &[(i64, i64, u64)], expected: &[(i64, f64)]) {
        let mut tombstones = PartTombstones::default();
        for &(min_ms, max_ms, last_part) in deleted {
            tombstones.add(1, TimeRange { min_ms, max_ms }, last_part);
        }
        let parts = (1..).zip(parts).map(|(number, model)| part(number, model)).collect();
        let (order, tombstones) = (vec![1], Arc::new(tombstones));
        let source = MergeSource::Parts { parts, order, tombstones };
        let merged = run(vec![source], MergeScope::default(), usize::MAX);
        let found = read_all(&merged).remove(&labels(1)).unwrap_or_default();
        let expected = expected.iter().map(|&(time_ms, v)| (time_ms, Point::Float(v.to_bits())));
        assert_eq!(found, expected.collect());
    }
    let parts = [of(1..5, 1.0), of(2..4, 2.0), of(3..6, 3.0)];
    check(&parts, &[], &[(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 3.0)]);
    check(&parts, &[(2, 9, 1)], &[(1, 1.0), (2, 2.0), (3, 2.0), (4, 3.0), (5, 3.0)]);
    check(&parts, &[(2, 9, 1), (3, 3, 2)], &[(1, 1.0), (2, 2.0), (3, 3.0), (4, 3.0), (5, 3.0)]);
    check(&parts, &[(0, 9, 3)], &[]);
}
