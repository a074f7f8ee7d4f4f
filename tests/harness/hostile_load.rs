//! `cargo run --release -p tests --bin hostile-load -- [SECONDS]`: a hundred hostile targets and a
//! hundred good ones, scraped together once a second. The good ones must be scraped as evenly as if
//! they were alone, and memory must not grow.
//!
//! The hostile ones run in a process of their own with little claim to the cores: what they cost is
//! to be what hearth spends on them, and not what they take from a machine that they share with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tests::hostile_targets::{BEHAVIOURS, serve};
use tests::{Hearth, Options};

const TARGET_COUNT: usize = 100;
const INTERVAL: Duration = Duration::from_secs(1);

/// Series of a good target.
const SERIES_COUNT: usize = 500;

/// Most by which the distance of two scrapes of a good target may differ from the interval, at the
/// 99th percentile, as a share of it.
const JITTER_MAX: f64 = 0.1;

/// Growth of resident memory in bytes, from the first seconds to the end.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// When each good target was asked.
type Arrivals = Arc<Mutex<Vec<Vec<Instant>>>>;

/// Argument of the process that serves the hostile targets.
const SERVE: &str = "serve";

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some(SERVE) {
        println!("{}", serve());
        // Until whoever started it is gone.
        let _ = std::io::stdin().read(&mut [0]);
        return ExitCode::SUCCESS;
    }
    let seconds = argument.and_then(|text| text.parse().ok()).unwrap_or(30);
    let arrivals: Arrivals = Arc::new(Mutex::new(vec![vec![]; TARGET_COUNT]));
    let good = serve_good(arrivals.clone());
    let (_process, hostile) = start_hostile();
    let harmful: Vec<&str> =
        BEHAVIOURS.iter().filter(|(_, error)| error.is_some()).map(|(name, _)| *name).collect();
    let mut config =
        "global: {scrape_interval: 1s, scrape_timeout: 500ms}\nscrape_configs:\n".to_owned();
    for index in 0..TARGET_COUNT {
        let path = harmful[index % harmful.len()];
        config += &job(&format!("hostile-{index}"), path, hostile);
        config += &job(&format!("good-{index}"), &index.to_string(), good);
    }
    let hearth = Hearth::start(Options { config: Some(config), args: vec![] });
    hearth.wait_query("sum(up)", |data| data["result"][0]["value"][1] == "100");
    // Series are made, buffers are as large as they get.
    std::thread::sleep(Duration::from_secs(3));
    let before = hearth.peak_resident_bytes();
    arrivals.lock().expect("no thread panicked").iter_mut().for_each(Vec::clear);
    std::thread::sleep(Duration::from_secs(seconds));
    let growth = hearth.peak_resident_bytes().saturating_sub(before);
    let arrivals = arrivals.lock().expect("no thread panicked").clone();
    let distances = arrivals.iter().flat_map(|times| times.windows(2));
    let mut jitters: Vec<f64> = distances
        .map(|pair| {
            let distance = pair[1].duration_since(pair[0]).as_secs_f64();
            (distance / INTERVAL.as_secs_f64() - 1.0).abs()
        })
        .collect();
    jitters.sort_unstable_by(f64::total_cmp);
    let scrape_count = jitters.len();
    let at =
        |share: f64| jitters.get((scrape_count as f64 * share) as usize).copied().unwrap_or(1.0);
    let (median, p99) = (at(0.5), at(0.99));
    println!(
        "{TARGET_COUNT} good and {TARGET_COUNT} hostile targets, {seconds} s: {scrape_count} scrapes \
         of good ones, distance off by {:.2} % (median), {:.2} % (p99); memory grew by {} MiB",
        median * 100.0,
        p99 * 100.0,
        growth >> 20
    );
    let is_good = p99 <= JITTER_MAX
        && growth <= GROWTH_BYTES_MAX
        && scrape_count as u64 >= TARGET_COUNT as u64 * (seconds - 2);
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts the process of the hostile targets; it ends when its input is closed.
fn start_hostile() -> (Child, SocketAddr) {
    let program = std::env::current_exe().expect("this program has a path");
    let mut process = Command::new("nice")
        .args(["-n", "15"])
        .arg(program)
        .arg(SERVE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nice runs");
    let mut address = String::new();
    let output = process.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut address).expect("an address");
    let address = address.trim().parse().expect("an address");
    (process, address)
}

fn job(name: &str, path: &str, address: SocketAddr) -> String {
    format!(
        "- job_name: {name}\n  metrics_path: /{path}\n  body_size_limit: 4MB\n  sample_limit: \
         1000\n  label_limit: 50\n  label_value_length_limit: 1000\n  static_configs: \
         [{{targets: ['{address}']}}]\n"
    )
}

/// Serves good pages, a thread a connection; all of them end with the process.
fn serve_good(arrivals: Arrivals) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let lines: String =
        (0..SERIES_COUNT).map(|index| format!("good_metric{{i=\"{index}\"}} {index}\n")).collect();
    let page = Arc::new(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{lines}",
        lines.len()
    ));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (arrivals, page) = (arrivals.clone(), page.clone());
            std::thread::spawn(move || answer(stream, &arrivals, &page));
        }
    });
    address
}

/// Answers until the client goes away.
fn answer(mut stream: TcpStream, arrivals: &Arrivals, page: &str) -> Option<()> {
    let mut head = Vec::new();
    loop {
        head.clear();
        let mut piece = [0; 1024];
        while !head.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            head.extend_from_slice(&piece[..count]);
        }
        let now = Instant::now();
        let text = String::from_utf8_lossy(&head);
        let target: usize = text.split(' ').nth(1)?.trim_start_matches('/').parse().ok()?;
        arrivals.lock().expect("no thread panicked").get_mut(target)?.push(now);
        stream.write_all(page.as_bytes()).ok()?;
    }
}
