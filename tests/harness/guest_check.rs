//! `cargo run --release -p tests --bin guest-check -- PROMETHEUS`: a real Prometheus takes some hours
//! of samples, out of order too, deletes some, cuts blocks and stops; hearth takes over its data
//! directory, and has to answer the same requests as Prometheus did. Then once more with a
//! Prometheus that was killed. Budget: two minutes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::compare::{put_in_order, same};
use tests::http;
use tests::process::{Hearth, Options, unix_ms};
use tests::prometheus::start_prometheus_with;
use tests::remote_write::{self, Histogram, NativeHistogram, Series};
use tests::workspace::TemporaryFolder;

/// Steps of the data set and their distance: four hours.
const STEP_COUNT: i64 = 960;
const STEP_MS: i64 = 15_000;

/// Steps of one request.
const STEPS_PER_REQUEST: i64 = 20;

const CONFIG: &str = "storage: {tsdb: {out_of_order_time_window: 6h}}\nscrape_configs: []\n";

const ARGS: [&str; 4] = [
    "--web.enable-admin-api",
    "--enable-feature=native-histograms",
    "--storage.tsdb.min-block-duration=20m",
    "--storage.tsdb.max-block-duration=3h",
];

/// Series of gauges, counters that start anew, sparse and short ones.
fn floats(first_ms: i64, steps: std::ops::Range<i64>) -> Vec<Series<'static>> {
    let mut series = vec![];
    for instance in 0..40i64 {
        for (name, kind) in
            [("gauge", 0), ("total", 1), ("constant", 2), ("sparse", 3), ("short", 4)]
        {
            let value = |step: i64| match kind {
                0 => ((step * 7 + instance * 13) % 100) as f64 / 7.0,
                1 => ((step % (90 + instance)) * (3 + instance)) as f64,
                2 => instance as f64,
                3 => f64::from_bits(
                    0x3ff0_0000_0000_0000 + (step * instance) as u64 * 0x1234_5678_9abc,
                ),
                _ => f64::INFINITY,
            };
            let is_there = |step: &i64| match kind {
                3 => (step + instance) % 11 == 0,
                4 => (step / 100) % 3 == instance % 3,
                _ => true,
            };
            let samples: Vec<(i64, f64)> = steps
                .clone()
                .filter(is_there)
                .map(|step| (first_ms + step * STEP_MS + instance, value(step)))
                .collect();
            if !samples.is_empty() {
                let labels = vec![
                    ("__name__", format!("guest_{name}")),
                    ("instance", format!("host-{instance:02}")),
                    ("job", if instance % 2 == 0 { "even" } else { "odd" }.to_owned()),
                ];
                series.push(Series { labels, samples });
            }
        }
    }
    series
}

/// A histogram whose buckets come and go, and that is reset now and then.
fn native(step: i64) -> NativeHistogram {
    let since = step % 130 + 1;
    NativeHistogram {
        schema: 2,
        sum: since as f64 * 1.5,
        zero_threshold: 0.001,
        zero_count: since as u64,
        first_bucket: (step / 130 % 3) as i32,
        bucket_counts: (0..=(since / 40)).map(|bucket| ((bucket + 1) * since) as u64).collect(),
    }
}

fn custom(step: i64, timestamp_ms: i64) -> Histogram {
    Histogram {
        timestamp_ms,
        schema: -53,
        sum: step as f64,
        buckets: vec![step as u64 + 1, 2 * step as u64],
        custom_bounds: vec![0.5, 2.5],
        ..Histogram::default()
    }
}

fn accept(what: &str, answer: std::io::Result<http::Answer>) {
    let answer = answer.expect("Prometheus answers");
    assert!(answer.status / 100 == 2, "{what}: {} {}", answer.status, answer.text());
}

/// Sends everything, and the samples of a few series out of order.
fn send(address: SocketAddr, first_ms: i64) {
    for start in (0..STEP_COUNT).step_by(STEPS_PER_REQUEST as usize) {
        let steps = start..(start + STEPS_PER_REQUEST).min(STEP_COUNT);
        accept("floats", remote_write::send(address, &floats(first_ms, steps.clone())));
        let labels = ["a", "b"].map(|own| {
            vec![
                ("__name__".to_owned(), "guest_native".to_owned()),
                ("own".to_owned(), own.to_owned()),
            ]
        });
        let samples = |shift: i64| {
            steps
                .clone()
                .map(move |step| (first_ms + step * STEP_MS, native(step + shift)))
                .collect()
        };
        let [a, b] = labels;
        let native = [(a, samples(0)), (b, samples(50))];
        accept("native", remote_write::send_native_histograms(address, &native));
        let custom: Vec<Histogram> =
            steps.clone().map(|step| custom(step, first_ms + step * STEP_MS)).collect();
        accept(
            "custom",
            remote_write::send_histograms(address, &[("__name__", "guest_custom")], &custom),
        );
        if start % 200 == 100 {
            // Between the samples of the hour before.
            let late = (0..60).map(|at| first_ms + (start - 80 + at) * STEP_MS + 7_777);
            let late = late.filter(|&time_ms| time_ms > first_ms);
            let series = Series {
                labels: vec![
                    ("__name__", "guest_gauge".to_owned()),
                    ("instance", "host-03".to_owned()),
                    ("job", "odd".to_owned()),
                ],
                samples: late.map(|time_ms| (time_ms, 0.25)).collect(),
            };
            accept("out of order", remote_write::send(address, &[series]));
        }
    }
}

fn requests(first_ms: i64, end_ms: i64) -> Vec<String> {
    let mut requests = vec![];
    let end_s = end_ms / 1000 + 1;
    let mut instant = |query: &str, at_s: i64| {
        requests.push(format!("/api/v1/query?query={}&time={at_s}", http::encode(query)));
    };
    // All samples there are.
    for name in ["gauge", "total", "constant", "sparse", "short", "native", "custom"] {
        instant(&format!("guest_{name}[5h]"), end_s);
    }
    for query in [
        "sum by (job) (rate(guest_total[5m]))",
        "count({__name__=~\"guest_.+\"})",
        "histogram_quantile(0.9, rate(guest_native[10m]))",
        "sum(guest_native)",
        "avg_over_time(guest_gauge{instance=~\"host-0[1-5]\"}[1h])",
        "guest_short unless on (instance) guest_gauge{job=\"odd\"}",
        "count_over_time(guest_sparse{job!=\"even\"}[2h])",
        "absent(guest_none)",
    ] {
        for back in [0, 3_000, 9_000, 13_000] {
            instant(query, end_s - back);
        }
    }
    let span = format!("start={}&end={end_s}", first_ms / 1000);
    for query in ["sum(rate(guest_total[5m]))", "guest_gauge", "increase(guest_native[20m])"] {
        requests.push(format!("/api/v1/query_range?query={}&{span}&step=97", http::encode(query)));
    }
    for selector in ["guest_gauge{job=\"odd\"}", "{instance=\"host-11\"}", "guest_short"] {
        let selector = http::encode(selector);
        requests.push(format!("/api/v1/series?match[]={selector}&{span}"));
        requests.push(format!("/api/v1/labels?match[]={selector}&{span}"));
        requests.push(format!("/api/v1/label/instance/values?match[]={selector}&{span}"));
    }
    requests.push(format!("/api/v1/labels?{span}"));
    requests.push(format!("/api/v1/label/__name__/values?{span}"));
    requests
}

/// The answer's data, with results in one order.
fn answer(address: SocketAddr, target: &str) -> Value {
    let answer = http::get(address, target).unwrap_or_else(|error| panic!("GET {target}: {error}"));
    let mut json: Value = answer.json();
    put_in_order(&mut json);
    json
}

/// Why an answer of Prometheus before 3.6, which is asked here, may be another.
fn explained(target: &str) -> Option<&'static str> {
    let is_increase = target.contains(&http::encode("increase(guest_native"));
    is_increase.then_some(
        "native histograms are extrapolated to when they were zero at most, since Prometheus 3.6",
    )
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is writable");
    for entry in fs::read_dir(from).expect("the directory is readable") {
        let entry = entry.expect("the directory is readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a kind").is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

/// Blocks that Prometheus has, when their number has not changed for a while.
fn wait_for_blocks(data: &Path) -> usize {
    let blocks = || {
        let names = fs::read_dir(data).expect("the directory is readable").flatten();
        names.filter(|entry| entry.path().join("meta.json").exists()).count()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut last, mut since) = (blocks(), Instant::now());
    while last < 3 || since.elapsed() < Duration::from_secs(4) {
        assert!(Instant::now() < deadline, "Prometheus cut {last} blocks only");
        std::thread::sleep(Duration::from_millis(100));
        let now = blocks();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

/// Differences between Prometheus and hearth on a directory that was left in this way.
fn compare(program: &str, is_killed: bool, shard_count: usize) -> usize {
    let folder = TemporaryFolder::new("prometheus");
    let (prometheus, address) = start_prometheus_with(program, &folder, CONFIG, &ARGS);
    let first_ms = (unix_ms() - STEP_COUNT * STEP_MS) / STEP_MS * STEP_MS;
    let end_ms = first_ms + (STEP_COUNT - 1) * STEP_MS;
    send(address, first_ms);
    let data = folder.path().join("data");
    let block_count = wait_for_blocks(&data);
    let deleted = format!(
        "/api/v1/admin/tsdb/delete_series?match[]={}&start={}&end={}",
        http::encode("guest_total{instance=\"host-07\"}"),
        first_ms / 1000 + 1_000,
        end_ms / 1000 - 60
    );
    accept("deletion", http::request(address, "POST", &deleted, &[], b""));
    let requests = requests(first_ms, end_ms);
    let expected: Vec<Value> = requests.iter().map(|target| answer(address, target)).collect();
    if is_killed {
        drop(prometheus);
    } else {
        prometheus.stop();
    }
    let own = TemporaryFolder::new("hearth");
    copy_all(&data, &own.path().join("data"));
    let begun = Instant::now();
    let hearth = Hearth::start_in(Options::receiver(shard_count), own);
    let log = hearth.log();
    let imported =
        log.lines().find(|line| line.contains("Imported what")).unwrap_or("nothing imported");
    println!("{block_count} blocks, ready in {:?}; {imported}", begun.elapsed());
    let mut difference_count = 0;
    for (target, expected) in requests.iter().zip(&expected) {
        let found = answer(hearth.address, target);
        if !same(&found["data"], &expected["data"]) {
            if let Some(why) = explained(target) {
                println!("differs, explained: {target}: {why}");
                continue;
            }
            difference_count += 1;
            let cut = |value: &Value| value.to_string().chars().take(300).collect::<String>();
            println!(
                "DIFFERS {target}\n  hearth     {}\n  prometheus {}",
                cut(&found),
                cut(expected)
            );
        }
    }
    println!("{} answers, {difference_count} differ", requests.len());
    difference_count
}

fn main() -> ExitCode {
    let Some(program) = std::env::args().nth(1) else {
        eprintln!("usage: guest-check PROMETHEUS");
        return ExitCode::FAILURE;
    };
    let difference_count = compare(&program, false, 2) + compare(&program, true, 3);
    if difference_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
