//! remote_write, steady state: fixed series, closed loop over a few connections.
//!
//! Each connection owns a share of the instances and sends one request of `series_per_request`
//! series after the other, the next when the last was answered. A first round creates the series
//! and is not measured. After the load, a query asks the server how many series it has and how
//! many samples of one instance it kept: a server that answers without storing fails the run.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{Common, free_address, version};
use crate::body::{Protocol, Template};
use crate::client::{Connection, query_scalar};
use crate::report::Outcome;
use crate::server::{Kind, Server, Setup};
use crate::workload::{Series, Values, instance_series};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub protocol: Protocol,
    pub series_count: usize,
    pub series_per_instance: usize,
    pub series_per_request: usize,
    pub connection_count: usize,
    /// Distance of two samples of a series in their own time.
    pub interval_ms: i64,
    /// Measured wall time.
    pub duration: Duration,
    pub seed: u64,
}

/// How far before now the samples begin.
const START_BEFORE_NOW_MS: i64 = 150 * 60 * 1000;

/// How long after the load the check may take to see the newest samples (VictoriaMetrics shows
/// them after its in-memory flush).
const VISIBLE_WITHIN: Duration = Duration::from_secs(20);

struct Load {
    acked_samples: AtomicU64,
    acked_bytes: AtomicU64,
    measuring: AtomicBool,
    stop: AtomicBool,
}

/// One connection's part of the workload.
struct Lane {
    templates: Vec<(Template, usize)>,
    values: Values,
}

impl Lane {
    fn new(parameters: &Parameters, lane: usize) -> Lane {
        let instances = parameters.series_count.div_ceil(parameters.series_per_instance);
        let mut templates = Vec::new();
        let mut kinds = Vec::new();
        let mut pending: Vec<Series> = Vec::new();
        for instance in (lane..instances).step_by(parameters.connection_count) {
            let left = parameters.series_count - instance * parameters.series_per_instance;
            pending.extend(instance_series(instance, 0, left.min(parameters.series_per_instance)));
            while pending.len() >= parameters.series_per_request {
                let rest = pending.split_off(parameters.series_per_request);
                push_template(parameters.protocol, &pending, &mut templates, &mut kinds);
                pending = rest;
            }
        }
        if !pending.is_empty() {
            push_template(parameters.protocol, &pending, &mut templates, &mut kinds);
        }
        Lane { templates, values: Values::new(kinds, parameters.seed + lane as u64) }
    }
}

fn push_template(
    protocol: Protocol,
    series: &[Series],
    templates: &mut Vec<(Template, usize)>,
    kinds: &mut Vec<crate::workload::families::Kind>,
) {
    templates.push((Template::new(protocol, series), kinds.len()));
    kinds.extend(series.iter().map(|one| one.kind));
}

pub fn run(common: &Common, parameters: &Parameters) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for &kind in &common.servers {
        let Some(program) = kind.find(&common.program_directories) else {
            eprintln!("{}: not installed, left out", kind.name());
            continue;
        };
        if parameters.protocol == Protocol::V2 && kind == Kind::VictoriaMetrics {
            eprintln!("{}: does not speak remote_write 2.0, left out", kind.name());
            continue;
        }
        let version = version(&program);
        let server = Server::start(&Setup {
            kind,
            program,
            directory: common.work_directory.join(kind.name()),
            address: free_address()?,
            config: None,
            hearth_args: common.hearth_args.clone(),
        })?;
        let figures = measure(&server, parameters)?;
        server.stop()?;
        outcomes.push(Outcome { kind, version, figures });
    }
    Ok(outcomes)
}

fn measure(server: &Server, parameters: &Parameters) -> Result<Vec<(&'static str, f64)>> {
    let load = Load {
        acked_samples: AtomicU64::new(0),
        acked_bytes: AtomicU64::new(0),
        measuring: AtomicBool::new(false),
        stop: AtomicBool::new(false),
    };
    let start_ms = unix_ms() - START_BEFORE_NOW_MS;
    let barrier = std::sync::Barrier::new(parameters.connection_count + 1);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..parameters.connection_count)
            .map(|lane| {
                let (load, barrier, address) = (&load, &barrier, server.address);
                scope.spawn(move || {
                    let lane = Lane::new(parameters, lane);
                    drive(address, lane, parameters, start_ms, load, barrier)
                })
            })
            .collect();
        barrier.wait(); // All series exist.
        let before = server.usage()?;
        let (samples_before, bytes_before) = load.totals();
        load.measuring.store(true, Ordering::Relaxed);
        let mut peak_resident = before.resident_bytes;
        while before.at.elapsed() < parameters.duration
            && lanes.iter().any(|lane| !lane.is_finished())
        {
            std::thread::sleep(Duration::from_millis(100));
            peak_resident = peak_resident.max(server.usage()?.resident_bytes);
        }
        let after = server.usage()?;
        let (samples_after, bytes_after) = load.totals();
        load.stop.store(true, Ordering::Relaxed);
        let mut latency = Histogram::<u64>::new(3).map_err(Error::other)?;
        let mut rounds = i64::MAX; // Of the slowest lane: what every instance has.
        for lane in lanes {
            let (lane_latency, lane_rounds) =
                lane.join().map_err(|_| Error::other("a lane panicked"))??;
            latency.add(lane_latency).map_err(Error::other)?;
            rounds = rounds.min(lane_rounds);
        }
        let samples = (samples_after - samples_before) as f64;
        let cpu = after.cpu_seconds - before.cpu_seconds;
        let wall = (after.at - before.at).as_secs_f64();
        check(server, parameters, start_ms, rounds)?;
        let total = load.totals().0 as f64;
        Ok(vec![
            ("samples per CPU second", samples / cpu),
            ("samples per second, wall", samples / wall),
            ("CPU ns per sample", cpu * 1e9 / samples),
            ("ack p50, ms", latency.value_at_quantile(0.5) as f64 / 1e3),
            ("ack p99, ms", latency.value_at_quantile(0.99) as f64 / 1e3),
            ("ack p99.9, ms", latency.value_at_quantile(0.999) as f64 / 1e3),
            (
                "resident bytes per series, peak",
                peak_resident as f64 / parameters.series_count as f64,
            ),
            ("bytes on disk per sample", server.disk_bytes() as f64 / total),
            ("wire bytes per sample", (bytes_after - bytes_before) as f64 / samples),
            ("samples", samples),
        ])
    })
}

impl Load {
    fn totals(&self) -> (u64, u64) {
        (self.acked_samples.load(Ordering::Relaxed), self.acked_bytes.load(Ordering::Relaxed))
    }
}

/// One connection: rounds over its requests until told to stop. Returns its latencies in
/// microseconds and the rounds it finished.
fn drive(
    address: SocketAddr,
    mut lane: Lane,
    parameters: &Parameters,
    start_ms: i64,
    load: &Load,
    barrier: &std::sync::Barrier,
) -> Result<(Histogram<u64>, i64)> {
    let mut latency = Histogram::<u64>::new(3).map_err(Error::other)?;
    let mut encoder = snap::raw::Encoder::new();
    let mut body = Vec::new();
    let mut connection = Connection::open(address);
    let headers = parameters.protocol.headers();
    let mut failure = None;
    let mut round = 0;
    'rounds: loop {
        let timestamp_ms = start_ms + round * parameters.interval_ms;
        if timestamp_ms > unix_ms() {
            break; // The workload has caught up with the present: nothing more to send in order.
        }
        for (template, first) in &mut lane.templates {
            if load.stop.load(Ordering::Relaxed) {
                break 'rounds;
            }
            template.fill(timestamp_ms, &mut lane.values, *first, &mut encoder, &mut body);
            let sent_at = Instant::now();
            let answer = match &mut connection {
                Ok(connection) => connection.post("/api/v1/write", headers, &body),
                Err(error) => Err(Error::other(error.to_string())),
            };
            match answer {
                Ok(response) if response.status / 100 == 2 => {
                    if load.measuring.load(Ordering::Relaxed) {
                        let elapsed_us = sent_at.elapsed().as_micros() as u64;
                        latency.record(elapsed_us.max(1)).map_err(Error::other)?;
                    }
                    let samples = template.series_count() as u64;
                    load.acked_samples.fetch_add(samples, Ordering::Relaxed);
                    load.acked_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
                }
                Ok(response) => {
                    let text = String::from_utf8_lossy(&response.body).into_owned();
                    failure = Some(Error::other(format!("status {}: {text}", response.status)));
                    break 'rounds;
                }
                Err(error) => {
                    failure = Some(error);
                    break 'rounds;
                }
            }
        }
        round += 1;
        if round == 1 {
            barrier.wait();
        }
    }
    if round == 0 {
        barrier.wait(); // Nobody waits for a lane that failed in its first round.
    }
    match failure {
        Some(error) => Err(error),
        None => Ok((latency, round)),
    }
}

/// The server must have every series, and the first instance's samples of all `rounds`.
fn check(server: &Server, parameters: &Parameters, start_ms: i64, rounds: i64) -> Result<()> {
    let last_ms = start_ms + (rounds - 1) * parameters.interval_ms;
    let at = last_ms as f64 / 1e3;
    let window_ms = (rounds * parameters.interval_ms).min(30 * 60 * 1000);
    let wanted = window_ms / parameters.interval_ms;
    let samples_query =
        format!("max(count_over_time(node_load1{{instance=~\"host-00000.*\"}}[{}ms]))", window_ms);
    let deadline = Instant::now() + VISIBLE_WITHIN;
    loop {
        let series = query_scalar(server.address, "count({job=\"node\"})", at)?.unwrap_or(0.0);
        let samples = query_scalar(server.address, &samples_query, at)?.unwrap_or(0.0);
        if series as usize == parameters.series_count && samples as i64 == wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::other(format!(
                "{} has {series} series of {} and {samples} samples of {wanted}",
                server.kind.name(),
                parameters.series_count
            )));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn unix_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is after 1970").as_millis() as i64
}
