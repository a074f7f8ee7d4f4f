//! What storage costs on this machine: `cargo run --release -p engine --example storage`.
//!
//! Prints nanoseconds a sample for appending (by number of series, whole batches, series in random
//! order), for the log's frames, for replay, and for encoding and decoding each kind of column.

mod work;

use std::hint::black_box;
use std::time::{Duration, Instant};

use engine::encode::{self, ChunkHeader, Columns};
use engine::model::{Batch, Labels, Samples, Selection, Source, TimeRange};
use engine::store::{Store, StoreOptions};
use engine::wal::{Chain, FrameWriter, SampleColumns};
use work::{BATCH_SERIES, labels, nanoseconds, noise, value};

/// The shortest of five runs of `work`: the machine is shared.
fn best(mut work: impl FnMut()) -> Duration {
    let run = || {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    std::iter::repeat_with(run).take(5).min().expect("five runs")
}

/// The median of `times`, and the 99th percentile.
fn spread(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn append(series_count: usize, round_count: usize) {
    let sets: Vec<Labels> = (0..series_count).map(labels).collect();
    let mut order: Vec<usize> = (0..series_count).collect();
    for index in (1..series_count).rev() {
        order.swap(index, noise(index as u64) as usize % (index + 1));
    }
    let mut store = Store::new(StoreOptions::default());
    let (mut batch, mut log) = (Batch::default(), vec![]);
    let (mut first, mut others) = (vec![], vec![]);
    store.begin_segment(0, &mut log);
    for round in 0..round_count {
        for part in order.chunks(BATCH_SERIES) {
            batch.clear();
            for &series in part {
                let index = batch.push_series(sets[series].as_ref());
                batch.push_sample(index, round as i64 * 15_000, value(series, round));
            }
            if round > 1 {
                log.clear();
            }
            let start = Instant::now();
            let report = store.append(&batch, i64::MAX, &mut log);
            let took = start.elapsed();
            assert_eq!(report.accepted_count, part.len());
            if round == 0 {
                first.push(took)
            } else {
                others.push(took)
            };
        }
        if round == 1 {
            let mut again = Store::new(StoreOptions::default());
            let start = Instant::now();
            let report = again.replay_segment(&log).unwrap();
            let took = start.elapsed();
            assert_eq!(report.appended_count, 2 * series_count);
            let each = nanoseconds(took, 2 * series_count);
            println!("  replay of new series and two samples each: {each:.0} ns a sample");
        }
    }
    let bytes = store.bytes().head;
    let per_series = (bytes.total() - bytes.labels - bytes.index) / series_count;
    let (new, _) = spread(&mut first);
    let (known, slow) = spread(&mut others);
    println!(
        "  new series {:.0} ns, known series {:.0} ns a sample at the median batch, {:.0} ns at the \
         99th percentile\n  log {:.1} B a sample, memory {per_series} B a series after {round_count} \
         samples\n  {bytes:?}",
        nanoseconds(new, BATCH_SERIES),
        nanoseconds(known, BATCH_SERIES),
        nanoseconds(slow, BATCH_SERIES),
        log.len() as f64 / BATCH_SERIES as f64,
    );
    let start = Instant::now();
    let (mut samples, mut sample_count) = (Samples::default(), 0);
    let all_time = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
    let selection = store.select(&[], all_time).unwrap();
    for index in 0..selection.len() {
        samples.clear();
        store.samples(&selection, index, all_time, &mut samples).unwrap();
        sample_count += samples.values.len();
    }
    let took = start.elapsed();
    println!("  read of everything: {:.1} ns a sample", nanoseconds(took, sample_count));
    let start = Instant::now();
    let expired = store.expire((round_count as i64 / 2) * 15_000);
    let took = start.elapsed();
    let each = nanoseconds(took, series_count);
    println!("  expire: {each:.0} ns a series, {} chunks", expired.chunk_count);
}

fn frames() {
    let count = 1000;
    for (name, spread) in [("neighbours", 1u64), ("scattered over a million", 1_000_000)] {
        let series: Vec<u32> = (0..count as u64)
            .map(|n| if spread == 1 { n as u32 } else { (noise(n) % spread) as u32 })
            .collect();
        let values: Vec<f64> = (0..count).map(|n| n as f64 * 0.1).collect();
        for (kind, jitter) in [("same timestamp", 0), ("own timestamps", 50)] {
            let timestamps_ms: Vec<i64> =
                (0..count as u64).map(|n| (noise(n) % (jitter + 1)) as i64).collect();
            let (mut out, mut chain) = (vec![], Chain::default());
            let took = best(|| {
                for _ in 0..500 {
                    out.clear();
                    let mut frame = FrameWriter::begin(&mut out);
                    frame.samples(SampleColumns::plain(
                        black_box(&series),
                        &timestamps_ms,
                        &values,
                    ));
                    frame.finish(&mut chain);
                }
            });
            let each = nanoseconds(took, 500 * count);
            let bytes = out.len() as f64 / count as f64;
            println!("  {name}, {kind}: {each:.1} ns, {bytes:.1} B a sample");
        }
    }
}

fn chunks(count: usize) {
    let columns: [(&str, fn(u64) -> f64); 9] = [
        ("constant", |_| 1.0),
        ("even counter", |n| n as f64 * 15.0),
        ("small integers", |n| (noise(n) % 200) as f64),
        ("two decimals", |n| (noise(n) % 10_000) as f64 / 100.0),
        ("three decimals, wide", |n| (noise(n) % 100_000_000) as f64 / 1000.0),
        ("pages of memory", |n| ((1 << 20) + noise(n) % 256) as f64 * 4096.0),
        ("counter", |n| (1_000_000 + n * 1000 + noise(n) % 200) as f64),
        ("sine", |n| (n as f64 * 0.1).sin()),
        ("random bits", |n| f64::from_bits(noise(n))),
    ];
    for (name, column) in columns {
        let values: Vec<f64> = (0..count as u64).map(column).collect();
        for jitter in [0, 8] {
            let timestamps_ms: Vec<i64> =
                (0..count as u64).map(|n| (n * 15_000 + noise(n) % (jitter + 1)) as i64).collect();
            let (mut work, mut chunk) = (Columns::default(), vec![]);
            let rounds = 200_000 / count;
            let took = best(|| {
                for _ in 0..rounds {
                    chunk.clear();
                    encode::encode(black_box(&timestamps_ms), &values, &mut work, &mut chunk);
                }
            });
            let encode_ns = nanoseconds(took, rounds * count);
            let (mut t, mut v) = (vec![], vec![]);
            let took = best(|| {
                for _ in 0..rounds {
                    t.clear();
                    v.clear();
                    encode::decode(black_box(&chunk), &mut t, &mut v).unwrap();
                }
            });
            let decode_ns = nanoseconds(took, rounds * count);
            let header = ChunkHeader::decode(&chunk).unwrap();
            println!(
                "  {name:22} {:6} {:13}: encode {encode_ns:5.1} ns, decode {decode_ns:5.2} ns, {:.2} \
                 B a sample",
                format!("{:?}", header.timestamp_codec),
                format!("{:?}", header.value_codec),
                chunk.len() as f64 / count as f64,
            );
        }
    }
}

fn main() {
    for count in [64, 240] {
        println!("chunks of {count} samples");
        chunks(count);
    }
    println!("frames of the log");
    frames();
    for (series_count, round_count) in [(100_000, 80), (1_000_000, 20)] {
        println!("{series_count} series, batches of {BATCH_SERIES}");
        append(series_count, round_count);
    }
}
