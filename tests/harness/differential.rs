//! `cargo run --release -p tests --bin differential -- PROMETHEUS`: the same samples into hearth
//! and a real Prometheus, then the requests of `corpus/http/targets.txt` to both; prints every
//! difference and, for lines that the corpus skips, whether their reason still holds. Budget: half
//! a minute.

use std::process::ExitCode;

use serde_json::Value;
use tests::compare::{put_in_order, same};
use tests::http::{self, Answer};
use tests::process::{Hearth, Options, unix_ms};
use tests::prometheus::start_prometheus;
use tests::remote_write::{self, Series};
use tests::workspace::{TemporaryFolder, root};

/// Steps of the data set and their distance.
const STEP_COUNT: i64 = 240;
const STEP_MS: i64 = 15_000;

/// A few instances with the metrics that the corpus asks for.
fn data(step: i64, timestamp_ms: i64) -> Vec<Series<'static>> {
    let mut series = Vec::new();
    for instance in 0..12i64 {
        let mut push = |name: &str, own: &[(&'static str, &str)], value: f64| {
            let mut labels = vec![
                ("__name__", name.to_owned()),
                ("cluster", "eu-1".to_owned()),
                ("instance", format!("host-{instance:05}:9100")),
                ("job", "node".to_owned()),
            ];
            labels.extend(own.iter().map(|(name, value)| (*name, (*value).to_owned())));
            labels.sort();
            series.push(Series { labels, samples: vec![(timestamp_ms, value)] });
        };
        let wave = ((step * 7 + instance * 13) % 100) as f64;
        push("node_load1", &[], wave / 10.0);
        push("node_load5", &[], wave / 12.5);
        push("node_intr_total", &[], (step * (100 + instance)) as f64);
        push("node_memory_MemFree_bytes", &[], 1e9 + wave * 4096.0);
        for (cpu, mode) in [("0", "idle"), ("0", "user"), ("1", "idle"), ("1", "user")] {
            // A counter that starts anew now and then.
            let value = ((step % (90 + instance)) * (3 + instance)) as f64 / 100.0;
            push("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], value);
        }
        for mount in ["/", "/data"] {
            push("node_filesystem_avail_bytes", &[("mountpoint", mount)], 1e12 - wave * 4096.0);
            push("node_filesystem_free_bytes", &[("mountpoint", mount)], 2e12 - wave * 8192.0);
            push("node_filesystem_readonly", &[("mountpoint", mount)], (instance % 2) as f64);
        }
        for device in ["eth0", "lo"] {
            push("node_network_receive_bytes_total", &[("device", device)], step as f64 * 1234.5);
        }
        push("node_disk_io_now", &[("device", "nvme0")], wave);
        push("node_disk_info", &[("device", "nvme0"), ("model", "X<&>\"1")], 1.0);
    }
    series
}

/// A line of the corpus.
struct Line<'a> {
    target: &'a str,
    keeps_order: bool,
    /// Why the answers may differ.
    reason: Option<&'a str>,
}

impl Line<'_> {
    fn parse(line: &str) -> Line<'_> {
        let (reason, rest) = match line.strip_prefix("skip ") {
            Some(skipped) => {
                let (reason, rest) = skipped.split_once(": ").expect("skip REASON: TARGET");
                (Some(reason), rest)
            }
            None => (None, line),
        };
        match rest.strip_prefix("order ") {
            Some(target) => Line { target, keeps_order: true, reason },
            None => Line { target: rest, keeps_order: false, reason },
        }
    }
}

/// Percent-encodes what the corpus writes as it is and a URI cannot hold. (Go's server takes such
/// bytes, hearth's refuses them.)
fn encode_raw(target: &str) -> String {
    let mut out = String::new();
    for byte in target.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => {
                out += &format!("%{byte:02X}");
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// The answer's JSON with results in one order, unless their order is asked for.
fn normal(answer: &Answer, keeps_order: bool) -> Value {
    let Ok(mut json) = serde_json::from_slice::<Value>(&answer.body) else {
        return Value::String(answer.text());
    };
    if !keeps_order {
        put_in_order(&mut json);
    }
    json
}

fn main() -> ExitCode {
    let Some(program) = std::env::args().nth(1) else {
        eprintln!("usage: differential PROMETHEUS");
        return ExitCode::FAILURE;
    };
    let folder = TemporaryFolder::new("prometheus");
    let (_prometheus, prometheus) = start_prometheus(&program, &folder, &[]);
    let hearth = Hearth::start(Options::receiver(2));
    let first_ms = (unix_ms() - STEP_COUNT * STEP_MS) / STEP_MS * STEP_MS;
    for step in 0..STEP_COUNT {
        let series = data(step, first_ms + step * STEP_MS);
        for address in [hearth.address, prometheus] {
            let answer = remote_write::send(address, &series).expect("a server answers");
            assert!(answer.status / 100 == 2, "{address}: {} {}", answer.status, answer.text());
        }
    }
    let end_s = (first_ms + (STEP_COUNT - 1) * STEP_MS) / 1000;
    let corpus = std::fs::read_to_string(root().join("tests/corpus/http/targets.txt"))
        .expect("the corpus is in the repository");
    let (mut same_count, mut explained_count, mut total) = (0, 0, 0);
    for line in corpus.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let line = Line::parse(line);
        let target = line
            .target
            .replace("{T}", &end_s.to_string())
            .replace("{S}", &(end_s - 1800).to_string());
        let target = encode_raw(&target);
        total += 1;
        let answers = [hearth.address, prometheus]
            .map(|address| http::get(address, &target).map_err(|error| error.to_string()));
        let [Ok(own), Ok(other)] = &answers else {
            println!("NO ANSWER {target}\n  {answers:?}");
            continue;
        };
        let [own_json, other_json] = [own, other].map(|answer| normal(answer, line.keeps_order));
        if own.status == other.status && same(&own_json, &other_json) {
            same_count += 1;
            continue;
        }
        if let Some(reason) = line.reason {
            explained_count += 1;
            println!("EXPLAINED {target}\n  {reason}");
            continue;
        }
        let cut = |value: &Value| value.to_string().chars().take(400).collect::<String>();
        println!(
            "DIFFERS {target}\n  hearth     {} {}\n  prometheus {} {}",
            own.status,
            cut(&own_json),
            other.status,
            cut(&other_json)
        );
    }
    let unexplained_count = total - same_count - explained_count;
    println!(
        "{total} answers: {same_count} the same, {explained_count} explained, \
         {unexplained_count} unexplained"
    );
    if unexplained_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
