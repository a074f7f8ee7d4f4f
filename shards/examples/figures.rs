//! Prints the figures of the README on this machine: `cargo run --release -p shards --example
//! figures [directory]`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use engine::head::LateSamples;
use engine::model::{Batch, Labels};
use shards::runtime::{Class, sleep, spawn};
use shards::turns::Work;
use shards::{BootOptions, IngestOptions, Shard, ShardId};

const SHARDS: usize = 2;

fn main() {
    let directory = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let data_dir = directory.join(format!("hearth-figures-{}", std::process::id()));
    let mut options = BootOptions::new(&data_dir);
    options.shard_count = Some(SHARDS);
    let running = shards::start(options, |starting| async move {
        let Some(shard) = starting.ready().await else { return };
        if shard.id() != ShardId(0) {
            return shard.stopping().await;
        }
        measure(&shard).await;
    });
    match running.and_then(shards::Rising::ready) {
        Err(error) => eprintln!("{error}"),
        Ok(running) => running.wait().unwrap_or_else(|message| eprintln!("{message}")),
    }
    if let Err(error) = std::fs::remove_dir_all(&data_dir) {
        eprintln!("{}: {error}", data_dir.display());
    }
}

async fn measure(shard: &Shard) {
    let cpu = cpu_time();
    let begun = Instant::now();
    sleep(Duration::from_secs(5)).await;
    let share = (cpu_time() - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!("idle: {:.2} % of a core for {SHARDS} shards", share * 100.0);

    let mut hops = Vec::new();
    for _ in 0..2000 {
        let begun = Instant::now();
        shard.call(ShardId(1), |_| ()).await.expect("the other shard runs");
        hops.push(begun.elapsed());
    }
    print("call to another shard and back", hops);

    // On one shard about 64 KiB, on the other as much.
    let mut timestamp_ms = 0;
    let mut ingest = async |shard: &Shard, batch: &mut dyn FnMut(i64) -> Batch| {
        timestamp_ms += 1000;
        let batch = batch(timestamp_ms);
        let begun = Instant::now();
        let options =
            IngestOptions { wait: true, max_timestamp_ms: i64::MAX, late: LateSamples::Taken };
        let report = shard.ingest(&batch, options).await.expect("the disk takes it");
        assert_eq!(report.accepted, batch.sample_count() as u64);
        begun.elapsed()
    };
    let mut one = |timestamp_ms| batch(1, timestamp_ms);
    let mut many = |timestamp_ms| batch(12_000, timestamp_ms);
    ingest(shard, &mut many).await;
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        small.push(ingest(shard, &mut one).await);
    }
    let begun = Instant::now();
    for _ in 0..200 {
        large.push(ingest(shard, &mut many).await);
    }
    let rate = 200.0 * 12_000.0 / begun.elapsed().as_secs_f64();
    print("durable ingest of 1 sample", small);
    print("durable ingest of 12,000 samples", large);
    println!("one client: {:.2} million samples a second", rate / 1e6);

    for target in ShardId::all(SHARDS) {
        let heavy = |shard: &Shard| {
            for _ in 0..16 {
                let turns = shard.turns().clone();
                spawn(Class::Background, async move {
                    loop {
                        let turn = turns.begin(Work::Query).await;
                        while !turn.is_over() {
                            std::hint::spin_loop();
                        }
                    }
                })
                .detach();
            }
        };
        shard.call(target, heavy).await.expect("the other shard runs");
    }
    let (mut small, mut overshoots) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        small.push(ingest(shard, &mut one).await);
        let begun = Instant::now();
        sleep(Duration::from_millis(1)).await;
        overshoots.push(begun.elapsed() - Duration::from_millis(1));
    }
    print("durable ingest of 1 sample beside 32 heavy tasks", small);
    print("overshoot of a sleep of 1 ms beside 32 heavy tasks", overshoots);
    let stats = &shard.stats()[0].wal.writes;
    let mean = stats.total().as_micros() / u128::from(stats.count().max(1));
    println!("group writes of shard 0: {} of {mean} us on average", stats.count());
}

fn batch(series_count: u64, timestamp_ms: i64) -> Batch {
    let mut batch = Batch::default();
    for number in 0..series_count {
        let labels = Labels::from_pairs([("__name__", "m"), ("n", &number.to_string())]);
        let series = batch.push_series(labels.as_ref());
        batch.push_sample(series, timestamp_ms, number as f64);
    }
    batch
}

fn print(what: &str, mut durations: Vec<Duration>) {
    durations.sort_unstable();
    let at = |share: f64| durations[(durations.len() as f64 * share) as usize].as_micros();
    println!("{what}: p50 {} us, p99 {} us", at(0.5), at(0.99));
}

/// CPU time of the process so far.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10) // A hundred ticks a second on Linux.
}
