//! Blocks against a naive model of the same series, and against their own damage.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::*;
use crate::index::{CompiledMatcher, Index, Listing, Search};
use crate::model::{Labels, MatchOp, Matcher, Samples, TimeRange};

const ALL: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

/// Series with their floats.
type Model = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn plan(id: u8) -> BlockPlan {
    BlockPlan { id: BlockId([id; 16]), shard_count: 1, level: 1, ..BlockPlan::default() }
}

fn floats(series: &BTreeMap<i64, u64>) -> SeriesSamples {
    SeriesSamples {
        timestamps_ms: series.keys().copied().collect(),
        values: series.values().map(|&bits| f64::from_bits(bits)).collect(),
        ..SeriesSamples::default()
    }
}

fn write(model: &Model) -> Vec<u8> {
    let mut out = vec![];
    let mut writer = BlockWriter::new(plan(1), &mut out);
    for (labels, series) in model {
        let hash = labels.as_ref().stable_hash();
        writer.push_series(labels.as_ref(), hash, &floats(series), &mut out).unwrap();
    }
    writer.finish(&mut out).unwrap();
    out
}

fn open(bytes: &[u8]) -> Result<Block, BlockError> {
    Block::open(Arc::new(bytes.to_vec()))
}

fn bits(samples: &Samples) -> BTreeMap<i64, u64> {
    let values = samples.values.iter().map(|value| value.to_bits());
    samples.timestamps_ms.iter().copied().zip(values).collect()
}

/// All that can be read from a block, in a form that compares.
fn read_all(block: &Block) -> Result<Model, BlockError> {
    let (mut buffer, mut scratch) = (vec![], Scratch::default());
    let mut model = Model::new();
    for series in 0..block.series_count() {
        let mut samples = Samples::default();
        block.samples(series, ALL, &mut samples, &mut scratch)?;
        let labels = block.labels(series, &mut buffer)?;
        if block.hash(series)? != labels.stable_hash() {
            return Err(BlockError { file: "".into(), problem: Problem::Broken("hash") });
        }
        model.insert(labels.to_owned(), bits(&samples));
    }
    Ok(model)
}

fn matcher(text: &str) -> CompiledMatcher {
    let at = text.find(['=', '!']).expect("a matcher has an operator");
    let (name, rest) = text.split_at(at);
    let ops = [MatchOp::Regexp, MatchOp::NotRegexp, MatchOp::NotEqual, MatchOp::Equal];
    let op = ops.into_iter().find(|op| rest.starts_with(op.as_str())).unwrap();
    CompiledMatcher::new(&Matcher::new(name, op, &rest[op.as_str().len()..])).unwrap()
}

/// `matchers` select from `block` what they select from the model, and so do names and values.
#[track_caller]
fn check_select(block: &Block, model: &Model, matchers: &[CompiledMatcher]) {
    let selected = block.select(matchers).unwrap();
    for work_max in [1, 100] {
        assert_eq!(Search::in_steps(block, matchers, work_max).unwrap(), selected);
    }
    let expected: RoaringBitmap = (0..)
        .zip(model.keys())
        .filter(|(_, labels)| matchers.iter().all(|matcher| matcher.matches(labels.as_ref())))
        .map(|(series, _)| series)
        .collect();
    assert_eq!(selected, expected, "{matchers:?}");
    let mut names: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for (series, labels) in (0..).zip(model.keys()) {
        if selected.contains(series) {
            for (name, value) in labels.iter() {
                names.entry(name).or_default().push(value);
            }
        }
    }
    let expected: Vec<&[u8]> = names.keys().copied().collect();
    for work_max in [1, 100] {
        let found = Listing::names(Some(selected.clone())).in_steps(block, work_max).unwrap();
        assert_eq!(found, expected);
    }
    for (name, mut values) in names {
        values.sort_unstable();
        values.dedup();
        for work_max in [1, 100] {
            let selection = Some(&selected).filter(|_| selected.len() < model.len() as u64);
            let found = Listing::values(name, selection.cloned()).in_steps(block, work_max);
            assert_eq!(found.unwrap(), values);
        }
    }
}

#[test]
fn series_share_the_timestamps_of_their_scrape() {
    let scrape = |n: i64| n * 5000 + (n * 7919) % 13;
    let series = |value: i64| (0..1440).map(|n| (scrape(n), (value as f64).to_bits())).collect();
    let model: Model =
        (0..50).map(|n| (Labels::from_pairs([("n", format!("{n:02}"))]), series(n))).collect();
    let bytes = write(&model);
    let block = open(&bytes).unwrap();
    assert_eq!(block.meta().float_count, 50 * 1440);
    assert_eq!(block.meta().chunk_count, 50);
    assert_eq!(block.column_count(), 1);
    assert_eq!(read_all(&block).unwrap(), model);
    assert!(bytes.len() < 8192, "{} bytes", bytes.len());
}

#[test]
fn series_with_the_same_values_share_them() {
    let value = |series: i64, n: i64| (n * n % 1013 * series) as f64;
    let series = |own| (0..1000).map(|n| (n * 5000, value(own, n).to_bits())).collect();
    // Of each kind eight; between the first and the last stands more than a reader looks back.
    let kinds = (0..400).map(|n| n % 200 / 8 + 1);
    let labels = |n: usize| Labels::from_pairs([("n", format!("{n:03}"))]);
    let model: Model = kinds.enumerate().map(|(n, own)| (labels(n), series(own))).collect();
    let block = open(&write(&model)).unwrap();
    assert_eq!(read_all(&block).unwrap(), model);
    let shares = block.byte_shares().unwrap();
    assert_eq!(shares.values["shared"][0], 400 - 2 * 25);
    let sum: u64 = shares.values.values().map(|[.., bytes]| bytes).sum();
    let rest: u64 = shares.rest.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(sum + rest, block.file_bytes());
    for series in 0..400 {
        assert!(
            block.byte_range(series, TimeRange { min_ms: i64::MIN, max_ms: i64::MAX }).unwrap().end
                <= block.file_bytes()
        );
    }
}

fn label_set() -> impl Strategy<Value = Labels> {
    let value = prop::sample::select(vec!["", "", "a", "b", "ab", "foo", "bar", "é"]);
    let id = 0u32..2000;
    (prop::collection::vec(value, 3), id).prop_map(|(values, id)| {
        let id = format!("id-{id}");
        Labels::from_pairs(["x", "y", "z"].into_iter().zip(values).chain([("id", &*id)]))
    })
}

fn any_matcher() -> impl Strategy<Value = CompiledMatcher> {
    let name = prop::sample::select(vec!["x", "y", "z", "id", "absent"]);
    let op = prop::sample::select(vec!["=", "!=", "=~", "!~"]);
    let values = ["", "a", "b", "foo", ".*", ".+", "a|b", "a|", "a.*", "(a|b)?", "[^a]+", ".?"];
    let values = values.into_iter().chain(["id-1.*", "id-[0-9]{3}", "id-.*7", ".*o.*", "(?i)A"]);
    (name, op, prop::sample::select(values.collect::<Vec<_>>()))
        .prop_map(|(name, op, value)| matcher(&format!("{name}{op}{value}")))
}

fn any_series() -> impl Strategy<Value = BTreeMap<i64, u64>> {
    let step = prop_oneof![4 => Just(15_000i64), 1 => 1..40_000i64, 1 => Just(3_600_000)];
    let value = prop_oneof![4 => (0..50i64).prop_map(|n| (n as f64).to_bits()), 1 => any::<u64>()];
    (0..1_000_000i64, prop::collection::vec((step, value), 1..30)).prop_map(|(start, steps)| {
        let mut timestamp_ms = start;
        let sample = |(step, bits)| {
            timestamp_ms += step;
            (timestamp_ms, bits)
        };
        steps.into_iter().map(sample).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn blocks_give_back_series_and_select_as_a_scan_does(
        model in prop::collection::btree_map(label_set(), any_series(), 0..200),
        matchers in prop::collection::vec(prop::collection::vec(any_matcher(), 0..4), 12),
        ranges in prop::collection::vec((0..1_500_000i64, 0..600_000i64), 4),
    ) {
        let block = open(&write(&model)).unwrap();
        prop_assert_eq!(&read_all(&block).unwrap(), &model);
        prop_assert_eq!(block.verify(0, usize::MAX).unwrap(), None);
        let mut index = Index::default();
        for (series, labels) in (0..).zip(model.keys()) {
            index.insert(series, labels.as_ref()).unwrap();
        }
        prop_assert_eq!(block.stats(5).unwrap(), index.stats(5));
        for matchers in &matchers {
            check_select(&block, &model, matchers);
        }
        let mut scratch = Scratch::default();
        for (min_ms, length_ms) in ranges {
            let range = TimeRange { min_ms, max_ms: min_ms + length_ms };
            let may = block.select_in(&[], range).unwrap();
            for (series, expected) in (0..).zip(model.values()) {
                let expected: BTreeMap<i64, u64> = expected
                    .range(range.min_ms..=range.max_ms)
                    .map(|(&timestamp_ms, &bits)| (timestamp_ms, bits))
                    .collect();
                prop_assert!(may.contains(series) || expected.is_empty());
                let mut samples = Samples::default();
                samples.timestamps_ms.push(-1);
                samples.values.push(0.5);
                block.samples(series, range, &mut samples, &mut scratch).unwrap();
                prop_assert_eq!(samples.timestamps_ms.remove(0), -1);
                prop_assert_eq!(samples.values.remove(0), 0.5);
                prop_assert_eq!(bits(&samples), expected);
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_found_or_harmless() {
    let series = |n: i64| (0..30).map(move |k| (k * 1000 + n, ((n * k) as f64 * 0.37).to_bits()));
    let model: Model =
        (0..3).map(|n| (Labels::from_pairs([("n", n.to_string())]), series(n).collect())).collect();
    let bytes = write(&model);
    let matchers = [matcher("n=~1|2")];
    let expected: RoaringBitmap = [1, 2].into_iter().collect();
    for bit in 0..bytes.len() * 8 {
        let mut broken = bytes.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        let Ok(block) = open(&broken) else { continue };
        if let Ok(found) = read_all(&block) {
            assert_eq!(found, model, "bit {bit}");
        }
        if let Ok(found) = block.select(&matchers) {
            assert_eq!(found, expected, "bit {bit}");
        }
        assert!(block.verify(0, usize::MAX).is_err(), "bit {bit}");
    }
    for end in 0..bytes.len() {
        assert!(open(&bytes[..end]).is_err(), "cut at {end}");
        assert!(open(&bytes[bytes.len() - end..]).is_err(), "begins at {end}");
    }
}
