//! Merges of blocks of both kinds into a block of Prometheus.

use super::super::super::tombstones::Tombstones;
use super::*;

/// An own block of the same series.
fn own_block(series: &Series) -> Arc<crate::block::Block> {
    let plan =
        crate::block::BlockPlan { shard_count: 1, level: 1, ..crate::block::BlockPlan::default() };
    let mut out = vec![];
    let mut writer = crate::block::BlockWriter::new(plan, &mut out);
    for (labels, samples) in series {
        let hash = labels.as_ref().stable_hash();
        writer.push_series(labels.as_ref(), hash, samples, &mut out).unwrap();
    }
    writer.finish(&mut out).unwrap();
    Arc::new(crate::block::Block::open(Arc::new(out)).unwrap())
}

fn merge(sources: Vec<Source>, range: TimeRange) -> Files {
    let (mut files, mut pieces) = (Files::new(), Pieces::default());
    let mut writer = PrometheusWriter::new(new_block(), StartTimestamps::Keep);
    let mut merge = PrometheusMerge::new(sources, range).unwrap();
    while merge.step(&mut writer, &mut pieces).unwrap().is_some() {}
    while writer.finish(&mut pieces).unwrap().is_none() {}
    take(&mut pieces, &mut files);
    files
}

#[test]
fn a_merge_has_what_its_sources_have_and_nothing_that_was_deleted() {
    let golden = read(&golden()).unwrap();
    let all: Series = golden.iter().cloned().collect();
    let no_tombstones = || Arc::new(Tombstones::default());
    // Cut in two by time and in two by series, in blocks of both kinds.
    let middle_ms = 1_795_915_801_817 - 600_000;
    let (before, since) = (
        TimeRange { min_ms: i64::MIN, max_ms: middle_ms },
        TimeRange { min_ms: middle_ms + 1, max_ms: i64::MAX },
    );
    let guest = |range| {
        let block = SourceBlock::Prometheus(Arc::new(open(&super::golden()).unwrap()));
        let files = merge(vec![Source { block, tombstones: no_tombstones() }], range);
        SourceBlock::Prometheus(Arc::new(open(&files).unwrap()))
    };
    let own: Series = all.iter().step_by(2).map(|(l, s)| (l.clone(), s.clone())).collect();
    let sources = [guest(before), SourceBlock::Own(own_block(&own), None), guest(since)];
    let sources =
        sources.map(|block| Source { block, tombstones: no_tombstones() }).into_iter().collect();
    let merged = read(&merge(sources, ALL)).unwrap();
    assert_eq!(merged.len(), golden.len());
    for ((labels, found), (expected_labels, expected)) in merged.iter().zip(&golden) {
        assert_eq!(labels, expected_labels);
        assert_same(found, expected);
    }
    // Deleted samples are gone, and a series of which all is deleted.
    let block = Arc::new(open(&super::golden()).unwrap());
    let numbers: Vec<u32> = block.all_series().unwrap().iter().collect();
    let mut tombstones = Tombstones::default();
    tombstones.add(numbers[0], ALL);
    tombstones.add(numbers[1], before);
    let source = Source { block: SourceBlock::Prometheus(block), tombstones: Arc::new(tombstones) };
    let merged = read(&merge(vec![source], ALL)).unwrap();
    let labels: Vec<&Labels> = merged.iter().map(|(labels, _)| labels).collect();
    assert!(!labels.contains(&&golden[0].0));
    let left = merged.iter().find(|(labels, _)| *labels == golden[1].0);
    let times = left.map_or(&[][..], |(_, samples)| &samples.timestamps_ms);
    assert!(times.iter().all(|&time_ms| time_ms > middle_ms), "{times:?}");
}
