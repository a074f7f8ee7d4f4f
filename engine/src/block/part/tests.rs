//! Parts against what was written into them, and against their own damage.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::block::BlockError;
use crate::encode;
use crate::index::Index;
use crate::model::{Labels, Samples, TimeRange};

const ALL: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

fn chunk(start_ms: i64, values: &[f64]) -> Vec<u8> {
    let (mut work, mut out) = (encode::Columns::default(), vec![]);
    let timestamps_ms: Vec<i64> = (0..values.len() as i64).map(|n| start_ms + 10 * n).collect();
    encode::encode(&timestamps_ms, values, &mut work, &mut out);
    out
}

fn labels(series: u32) -> Labels {
    Labels::from_pairs([("__name__", "up".to_owned()), ("instance", format!("host-{series}:9100"))])
}

fn series_ids() -> impl Iterator<Item = u32> {
    (0..200).map(|n| 3 + n * 5)
}

/// The labels of all series.
fn index() -> Index {
    let mut index = Index::default();
    for id in series_ids() {
        index.insert(id, labels(id).as_ref()).unwrap();
    }
    index
}

/// A part of 200 series, each with two chunks and a third below them.
fn write() -> Vec<u8> {
    let mut out = vec![];
    let plan = PartPlan {
        number: 7,
        shard: 1,
        shard_count: 4,
        epoch: 2,
        is_base: true,
        next_lsn: 99,
        id_count: 1200,
    };
    let mut writer = PartWriter::new(plan, &mut out);
    for series in series_ids() {
        let base = f64::from(series);
        writer.push_chunk(series, &chunk(100, &[base, base + 0.5]), false, &mut out);
        writer.push_chunk(series, &chunk(200, &[base + 1.0; 3]), false, &mut out);
        writer.push_chunk(series, &chunk(105, &[-1.0; 2]), true, &mut out);
    }
    let index = index();
    for series in series_ids() {
        let hash = labels(series).as_ref().stable_hash();
        writer.push_labels(series, hash, &index, &mut out);
    }
    writer.push_removed(0);
    writer.push_removed(4);
    let up = PartMetadata { family: "up", kind: "gauge", help: "Whether it answers.", unit: "" };
    writer.push_metadata(up);
    let trace = Labels::from_pairs([("trace_id", "abc")]);
    writer.push_exemplar(PartExemplar {
        series: 8,
        timestamp_ms: -5,
        value: 0.25,
        labels: trace.as_ref(),
    });
    let meta = writer.finish(&mut out);
    assert_eq!(open(&out).unwrap().meta(), &meta);
    out
}

fn open(bytes: &[u8]) -> Result<Part, BlockError> {
    Part::open(Arc::new(bytes.to_vec()))
}

/// Everything that can be read, as text.
fn read_all(part: &Part) -> Result<String, BlockError> {
    let mut text = format!("{:?}\n", part.meta());
    let mut runs = part.runs();
    while let Some((series, chunks)) = runs.next(part)? {
        let mut samples = Samples::default();
        part.samples(series, ALL, &mut samples)?;
        text += &format!("{series}: {:?} {:?}", samples.timestamps_ms, samples.values);
        for chunk in chunks {
            let chunk = chunk?;
            let (header, late) = (chunk.header, if chunk.is_late { " late" } else { "" });
            text += &format!(" {}..{}{late}", header.min_ms, header.max_ms);
        }
        text.push('\n');
    }
    let mut labels = part.labels();
    while let Some((series, labels)) = labels.next(part)? {
        text += &format!("{series}: {labels}\n");
    }
    text += &format!("{:?} {:?} {:?}", part.removed()?, part.metadata()?, part.exemplars()?);
    Ok(text)
}

#[test]
fn parts_give_back_what_was_written() {
    let part = open(&write()).unwrap();
    let meta = part.meta();
    assert_eq!((meta.min_ms, meta.max_ms, meta.next_lsn), (100, 220, 99));
    assert_eq!((meta.series_count, meta.chunk_count, meta.sample_count), (200, 600, 1400));
    assert!(meta.has_late);
    let late = part.chunks(3).unwrap().map(|chunk| chunk.unwrap().is_late);
    assert!(late.eq([false, false, true]));
    for series in 0..1010 {
        let mut samples = Samples::default();
        part.samples(series, TimeRange { min_ms: 101, max_ms: 210 }, &mut samples).unwrap();
        if series >= 3 && (series - 3) % 5 == 0 && series < 3 + 1000 {
            let base = f64::from(series);
            assert_eq!(samples.timestamps_ms, [105, 110, 115, 200, 210]);
            assert_eq!(samples.values, [-1.0, base + 0.5, -1.0, base + 1.0, base + 1.0]);
            let (bytes, ids) = part.byte_range(series).unwrap();
            assert!(bytes.end <= part.file_bytes() && ids.contains(&series));
        } else {
            assert!(samples.is_empty(), "series {series}");
        }
    }
    let mut found = vec![];
    let mut all = part.labels();
    while let Some((series, own)) = all.next(&part).unwrap() {
        assert_eq!(own, labels(series).as_ref());
        found.push(series);
    }
    assert!(found.into_iter().eq(series_ids()));
    assert_eq!(part.removed().unwrap(), [0, 4]);
    assert_eq!(part.metadata().unwrap()[0].help, "Whether it answers.");
    assert_eq!(part.exemplars().unwrap()[0].labels.to_string(), r#"{trace_id="abc"}"#);
    assert_eq!(read_all(&part).unwrap().lines().count(), 402);
}

#[test]
fn chunks_are_found_near_any_other() {
    let part = open(&write()).unwrap();
    let mut place = PartPlace::default();
    for turn in 0..4u32 {
        for series in 0..1100 {
            // In order, back, and in leaps.
            let series =
                [series, 1100 - series, series * 7 % 1100, series * 463 % 1100][turn as usize];
            let near =
                part.chunks_near(series, &mut place).unwrap().map(|chunk| chunk.unwrap().bytes);
            assert!(near.eq(part.chunks(series).unwrap().map(|chunk| chunk.unwrap().bytes)));
        }
    }
    assert_eq!(part.chunks_near(u32::MAX, &mut place).unwrap().count(), 0);
}

#[test]
fn runs_go_on_at_any_series() {
    let part = open(&write()).unwrap();
    for series in 0..1010 {
        let mut runs = part.runs();
        for place in [0, series / 2, series] {
            runs.skip_to(&part, place).unwrap();
        }
        let mut rest = vec![];
        while let Some((id, _)) = runs.next(&part).unwrap() {
            rest.push(id);
        }
        // From the group of the series on.
        assert!(rest.len() <= series_ids().filter(|&id| id >= series).count() + 64);
        assert!(series_ids().filter(|&id| id >= series).all(|id| rest.contains(&id)));
        // It never goes back.
        runs.skip_to(&part, 0).unwrap();
        assert!(runs.next(&part).unwrap().is_none());
    }
}

#[test]
fn ranges_with_late_samples_are_found() {
    let part = open(&write()).unwrap();
    let check = |range_ms: i64, max_ms: i64, expected: &[i64], in_order_ms: Option<i64>| {
        let mut starts = BTreeSet::new();
        let range = TimeRange { min_ms: 101, max_ms };
        let found = part.late_ranges(range, range_ms, &mut starts).unwrap();
        assert_eq!((starts, found), (expected.iter().copied().collect(), in_order_ms));
    };
    // Late samples are at 105 and 115.
    check(50, 300, &[100], Some(101));
    check(10, 300, &[100, 110], Some(101));
    check(10, 110, &[100], Some(101));
    check(10, 104, &[], Some(101));
    check(10, 90, &[], None);
}

#[test]
fn an_empty_part_opens() {
    let mut out = vec![];
    let plan = PartPlan { shard_count: 1, ..PartPlan::default() };
    PartWriter::new(plan, &mut out).finish(&mut out);
    let part = open(&out).unwrap();
    assert!(part.runs().next(&part).unwrap().is_none());
    assert!(part.labels().next(&part).unwrap().is_none());
    let mut samples = Samples::default();
    part.samples(5, ALL, &mut samples).unwrap();
    assert!(samples.is_empty());
}

#[test]
fn every_flipped_bit_is_found_or_harmless() {
    let bytes = write();
    let expected = read_all(&open(&bytes).unwrap()).unwrap();
    // Each byte with one of its bits: all of them take a while.
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1 << (at % 8);
        let Ok(part) = open(&broken) else { continue };
        assert!(part.verify(0, usize::MAX).is_err(), "byte {at}");
        if at % 16 == 0
            && let Ok(found) = read_all(&part)
        {
            assert_eq!(found, expected, "byte {at}");
        }
    }
    for end in 0..bytes.len() {
        assert!(open(&bytes[..end]).is_err(), "cut at {end}");
    }
}
