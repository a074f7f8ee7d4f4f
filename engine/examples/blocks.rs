//! What samples cost in a block: `cargo run --release -p engine --example blocks [DATA [TOP]]`.
//!
//! DATA is a folder of blocks, or a file of pages: expositions one behind the other, each after a line
//! `@<milliseconds> [<job>]`. Without it a made-up node_exporter is taken: many constants, counters, gauges
//! with few decimals, all with the jitter of their scrape. Prints bytes a sample by codec, nanoseconds a sample of decoding, and the
//! TOP dearest series.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::block::{Block, BlockId, BlockPlan, BlockWriter, Scratch, SeriesSamples};
use engine::encode::{self, Columns};
use engine::model::{Labels, Samples, TimeRange};

/// Series by their labels.
type Model = BTreeMap<Labels, SeriesSamples>;

/// Scrambles `n`: reproducible noise.
fn noise(n: u64) -> u64 {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ mixed >> 32
}

/// Two hours of one target at 5 s: what its series do, and how many do so.
fn made_up() -> Model {
    type Value = fn(u64, u64) -> f64;
    /// So many of the values up to `n` counted with probability `share` in 1024.
    fn seldom(series: u64, n: u64, share: u64) -> u64 {
        (0..=n).filter(|&n| noise(series << 32 | n) % 1024 < share).count() as u64
    }
    let kinds: [(&str, u64, Value); 9] = [
        ("constant", 620, |series, _| series as f64),
        ("seldom_total", 90, |series, n| seldom(series, n, 16) as f64),
        ("often_total", 60, |series, n| (1000 * series + seldom(series, n, 400)) as f64),
        ("busy_total", 80, |series, n| {
            (n * 900 + noise(series << 32 | n) % 400 + series * 1_000_000) as f64
        }),
        ("network_bytes_total", 30, |series, n| {
            (n * 90_000 + noise(series << 32 | n) % 60_000 + series * 100_000_000) as f64
        }),
        ("cpu_seconds_total", 40, |series, n| {
            (seldom(series, n, 700) * 3 + series * 7919) as f64 / 100.0
        }),
        ("memory_bytes", 45, |series, n| {
            (((noise(series << 32 | n) % 512) + 100_000 * series) * 4096) as f64
        }),
        ("load", 15, |series, n| (noise((series << 32) | (n / 3)) % 200) as f64 / 100.0),
        ("seconds", 20, |series, n| (noise(series << 32 | n) % 40_000) as f64 / 1e6),
    ];
    let times: Vec<i64> =
        (0..1440).map(|n| 1_760_000_000_000 + 5000 * n + (noise(n as u64) % 7) as i64).collect();
    let mut model = Model::new();
    for (name, count, value) in kinds {
        for series in 0..count {
            let labels = Labels::from_pairs([
                ("__name__", format!("node_{name}")),
                ("device", format!("d{series}")),
                ("instance", "10.0.0.1:9100".to_owned()),
                ("job", "node".to_owned()),
            ]);
            let values = (0..times.len() as u64).map(|n| value(series, n)).collect();
            let samples =
                SeriesSamples { timestamps_ms: times.clone(), values, ..SeriesSamples::default() };
            model.insert(labels, samples);
        }
    }
    model
}

fn labels_of(series: &str, job: &str) -> Labels {
    let (name, rest) = series.split_once('{').unwrap_or((series, ""));
    let mut pairs = vec![("__name__".to_owned(), name.to_owned())];
    let mut rest = rest.trim_end_matches('}');
    while let Some((name, after)) = rest.split_once("=\"") {
        let end = after.find("\",").unwrap_or(after.len() - 1);
        pairs.push((name.trim_start_matches(',').to_owned(), after[..end].to_owned()));
        rest = after.get(end + 1..).unwrap_or("");
    }
    pairs.push(("instance".to_owned(), "10.0.0.1:9100".to_owned()));
    pairs.push(("job".to_owned(), job.to_owned()));
    Labels::from_pairs(pairs)
}

fn read_pages(path: &str) -> Model {
    let text = std::fs::read_to_string(path).expect("a file of pages");
    let mut model = Model::new();
    let (mut time_ms, mut job) = (0, "node");
    for line in text.lines() {
        if let Some(head) = line.strip_prefix('@') {
            let (time, target) = head.split_once(' ').unwrap_or((head, "node"));
            (time_ms, job) = (time.parse().expect("milliseconds"), target);
        } else if let Some((series, value)) = line.rsplit_once(' ')
            && let Ok(value) = value.parse()
        {
            let samples = model.entry(labels_of(series, job)).or_default();
            samples.timestamps_ms.push(time_ms);
            samples.values.push(value);
        }
    }
    model
}

/// The samples of all blocks in a folder, one behind the other.
fn read_blocks(path: &str) -> Model {
    let entries = std::fs::read_dir(path).expect("a folder").map(|entry| entry.expect("a file"));
    let paths = entries.map(|entry| entry.path());
    let mut blocks: Vec<Block> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "block"))
        .map(|path| Block::open(Arc::new(std::fs::read(path).expect("a block"))).expect("whole"))
        .collect();
    blocks.sort_by_key(|block| block.meta().min_ms);
    let mut model = Model::new();
    let (mut buffer, mut samples, mut scratch) = (vec![], Samples::default(), Scratch::default());
    let all = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
    for block in &blocks {
        let bytes = block.file_bytes() as f64;
        let meta = block.meta();
        println!(
            "{}: {} series, {} samples, {:.3} B a sample",
            meta.id,
            meta.series_count,
            meta.sample_count(),
            bytes / meta.sample_count() as f64
        );
        for series in 0..block.series_count() {
            samples.clear();
            block.samples(series, all, &mut samples, &mut scratch).expect("whole");
            let labels = block.labels(series, &mut buffer).expect("whole").to_owned();
            let own = model.entry(labels).or_default();
            own.timestamps_ms.append(&mut samples.timestamps_ms);
            own.values.append(&mut samples.values);
        }
    }
    model.retain(|_, samples| !samples.values.is_empty());
    model
}

/// The shortest of five runs of `work`: the machine is shared.
fn best(mut work: impl FnMut()) -> Duration {
    let run = || {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    std::iter::repeat_with(run).take(5).min().expect("five runs")
}

fn write(model: &Model) -> (Vec<u8>, u64) {
    let mut out = vec![];
    let plan = BlockPlan { id: BlockId([1; 16]), shard_count: 1, ..BlockPlan::default() };
    let mut writer = BlockWriter::new(plan, &mut out);
    for (labels, samples) in model {
        let hash = labels.as_ref().stable_hash();
        writer.push_series(labels.as_ref(), hash, samples, &mut out).expect("room");
    }
    let runs = writer.file_bytes();
    writer.finish(&mut out).expect("room");
    (out, runs)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let model = match arguments.next() {
        None => made_up(),
        Some(path) if std::path::Path::new(&path).is_dir() => read_blocks(&path),
        Some(path) => read_pages(&path),
    };
    let top: usize = arguments.next().map_or(0, |top| top.parse().expect("a number"));

    let (file, run_bytes) = write(&model);
    let file_bytes = file.len();
    let took = best(|| {
        black_box(write(&model));
    });
    let block = Block::open(Arc::new(file)).expect("it was just written");
    let meta = block.meta();
    let sample_count = meta.sample_count() as f64;
    println!(
        "{} series, {sample_count} samples, {} chunks, {} columns of timestamps",
        meta.series_count,
        meta.chunk_count,
        block.column_count()
    );
    println!(
        "{:.3} B a sample: {:.3} samples, {:.3} labels, index, tables; writing {:.1} ns a sample",
        file_bytes as f64 / sample_count,
        run_bytes as f64 / sample_count,
        (file_bytes as u64 - run_bytes) as f64 / sample_count,
        took.as_secs_f64() * 1e9 / sample_count,
    );
    let shares = block.byte_shares().expect("whole");
    let share = |bytes: u64| 100.0 * bytes as f64 / file_bytes as f64;
    for (codec, [chunks, samples, bytes]) in &shares.values {
        let each = *bytes as f64 / *samples as f64;
        println!(
            "  {codec:18} {:5.1} % of the file, {chunks:6} chunks, {samples:8} samples, {each:.3} B each",
            share(*bytes)
        );
    }
    for (what, bytes) in &shares.rest {
        println!("  {what:18} {:5.1} % of the file", share(*bytes));
    }
    let (mut samples, mut scratch) = (Samples::default(), Scratch::default());
    let all = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
    let took = best(|| {
        for series in 0..block.series_count() {
            samples.clear();
            block.samples(series, all, &mut samples, &mut scratch).expect("whole");
            black_box(&samples);
        }
    });
    println!("reading all: {:.2} ns a sample", took.as_secs_f64() * 1e9 / sample_count);

    let mut work = Columns::default();
    let mut by_codec: BTreeMap<String, (usize, usize, usize, f64)> = BTreeMap::new();
    let mut dearest = vec![];
    for (labels, samples) in &model {
        let (mut bytes, mut back) = (vec![], vec![]);
        let values = &samples.values;
        let codec = encode::push_floats(&mut bytes, values, &mut work);
        let took = best(|| {
            back.clear();
            encode::decode_floats(black_box(&bytes), codec, values.len(), &mut back)
                .expect("whole");
        });
        let entry = by_codec.entry(format!("{codec:?}")).or_default();
        entry.0 += 1;
        entry.1 += values.len();
        entry.2 += bytes.len();
        entry.3 += took.as_secs_f64();
        dearest.push((bytes.len(), format!("{codec:?}"), labels));
    }
    for (codec, (series, samples, bytes, seconds)) in by_codec {
        println!(
            "  {codec:14} {series:5} series, {:.3} B a sample, {:5.1} % of all bytes, decoding {:.2} ns",
            bytes as f64 / samples as f64,
            100.0 * bytes as f64 / run_bytes as f64,
            seconds * 1e9 / samples as f64,
        );
    }
    dearest.sort_by_key(|(bytes, ..)| std::cmp::Reverse(*bytes));
    for (bytes, codec, labels) in dearest.iter().take(top) {
        println!("  {bytes:6} {codec:14} {labels}");
    }
}
