//! remote_write, steady state: fixed series, closed loop over a few connections.
//!
//! Each connection owns a share of the instances and sends one request of `series_per_request`
//! series after the other: the next when the last was answered, or, with a rate, by a schedule. A
//! first round creates the series and is not measured. After the load, queries ask the server how
//! many series it has and how many samples it kept: a server that answers without storing fails the
//! run. With churn, instances give way to new ones; with queries, others ask meanwhile.

mod lane;

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{Common, Figures, figures, free_address, version};
use crate::body::Protocol;
use crate::client::{Connection, encode_component, query_scalar};
use crate::report::Outcome;
use crate::server::{Kind, Server, Setup};
use lane::{Lane, Load};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub protocol: Protocol,
    pub series_count: usize,
    pub series_per_instance: usize,
    pub series_per_request: usize,
    pub connection_count: usize,
    /// Distance of two samples of a series in their own time.
    pub interval_ms: i64,
    /// Offered load; `None`: as much as the server takes.
    pub samples_per_second: Option<u64>,
    /// Share of the instances that are replaced by new ones after each round.
    pub churn_per_round: f64,
    /// Connections that ask a heavy query again and again meanwhile.
    pub query_connection_count: usize,
    /// Measured wall time.
    pub duration: Duration,
    pub seed: u64,
}

/// How far before now the samples begin.
const START_BEFORE_NOW_MS: i64 = 150 * 60 * 1000;

/// How long after the load the check may take to see the newest samples (VictoriaMetrics shows
/// them after its in-memory flush).
const VISIBLE_WITHIN: Duration = Duration::from_secs(20);

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

/// Writes rounds from `start_ms` until they have caught up with the present; returns how many every
/// series has.
pub(super) fn fill(address: SocketAddr, parameters: &Parameters, start_ms: i64) -> Result<i64> {
    let load = Load::default();
    let barrier = Barrier::new(parameters.connection_count);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..parameters.connection_count)
            .map(|lane| {
                let (load, barrier) = (&load, &barrier);
                scope.spawn(move || {
                    let lane = Lane::new(parameters, lane);
                    lane.drive(address, parameters, start_ms, load, barrier)
                })
            })
            .collect();
        let mut rounds = i64::MAX;
        for lane in lanes {
            rounds = rounds.min(lane.join().map_err(|_| Error::other("a lane panicked"))??.rounds);
        }
        Ok(rounds)
    })
}

fn measure(server: &Server, parameters: &Parameters) -> Result<Figures> {
    let load = Load::default();
    let start_ms = unix_ms() - START_BEFORE_NOW_MS;
    let barrier = Barrier::new(parameters.connection_count + 1);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..parameters.connection_count)
            .map(|lane| {
                let (load, barrier, address) = (&load, &barrier, server.address);
                scope.spawn(move || {
                    let lane = Lane::new(parameters, lane);
                    lane.drive(address, parameters, start_ms, load, barrier)
                })
            })
            .collect();
        barrier.wait(); // All series exist.
        let queries: Vec<_> = (0..parameters.query_connection_count)
            .map(|_| scope.spawn(|| keep_asking(server.address, &load)))
            .collect();
        let before = server.usage()?;
        let totals_before = load.totals();
        load.measuring.store(true, Ordering::Relaxed);
        let mut peak_resident = before.resident_bytes;
        while before.at.elapsed() < parameters.duration
            && lanes.iter().any(|lane| !lane.is_finished())
        {
            std::thread::sleep(Duration::from_millis(100));
            peak_resident = peak_resident.max(server.usage()?.resident_bytes);
        }
        let after = server.usage()?;
        let totals_after = load.totals();
        load.stop.store(true, Ordering::Relaxed);
        let mut latency = Histogram::<u64>::new(3).map_err(Error::other)?;
        let mut rounds = i64::MAX; // Of the slowest lane: what every instance has.
        for lane in lanes {
            let lane = lane.join().map_err(|_| Error::other("a lane panicked"))??;
            latency.add(lane.latency_us).map_err(Error::other)?;
            rounds = rounds.min(lane.rounds);
        }
        let mut query_count = 0;
        for asker in queries {
            query_count += asker.join().map_err(|_| Error::other("a query panicked"))??;
        }
        let [samples, bytes, refused] =
            std::array::from_fn(|index| (totals_after[index] - totals_before[index]) as f64);
        let cpu = after.cpu_seconds - before.cpu_seconds;
        let wall = (after.at - before.at).as_secs_f64();
        if rounds > 0 {
            check(server, parameters, start_ms, rounds)?;
        }
        let total = load.totals()[0] as f64;
        Ok(figures([
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
            ("wire bytes per sample", bytes / samples),
            ("samples", samples),
            ("share of samples refused", refused / (samples + refused)),
            ("heavy queries answered meanwhile", query_count as f64),
        ]))
    })
}

/// Asks for the sums of all series over all the time there is, until the load ends. Returns how
/// often it was answered.
fn keep_asking(address: SocketAddr, load: &Load) -> Result<usize> {
    let mut connection = Connection::open(address)?;
    let query = encode_component("sum by (instance) ({job=\"node\"})");
    let mut count = 0;
    while !load.stop.load(Ordering::Relaxed) {
        let end = unix_ms() / 1000;
        let start = end - START_BEFORE_NOW_MS / 1000;
        let path = format!("/api/v1/query_range?query={query}&start={start}&end={end}&step=60");
        let answer = connection.get(&path)?;
        if answer.status != 200 {
            return Err(Error::other(String::from_utf8_lossy(&answer.body).into_owned()));
        }
        count += 1;
    }
    Ok(count)
}

/// The server must have every series, and every instance's samples of all `rounds`; where
/// instances are replaced, their samples together.
pub(super) fn check(
    server: &Server,
    parameters: &Parameters,
    start_ms: i64,
    rounds: i64,
) -> Result<()> {
    let last_ms = start_ms + (rounds - 1) * parameters.interval_ms;
    let at = last_ms as f64 / 1e3;
    let window_ms = (rounds * parameters.interval_ms).min(30 * 60 * 1000);
    let instances = parameters.series_count / parameters.series_per_instance;
    let wanted_samples = window_ms / parameters.interval_ms * instances as i64;
    let samples_query = format!("sum(count_over_time(node_procs_running[{window_ms}ms]))");
    let deadline = Instant::now() + VISIBLE_WITHIN;
    loop {
        let series = query_scalar(server.address, "count({job=\"node\"})", at)?.unwrap_or(0.0);
        let samples = query_scalar(server.address, &samples_query, at)?.unwrap_or(0.0);
        let has_series = match parameters.churn_per_round > 0.0 {
            true => series as usize >= parameters.series_count,
            false => series as usize == parameters.series_count,
        };
        if has_series && samples as i64 == wanted_samples {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::other(format!(
                "{} has {series} series of {} and {samples} samples of {wanted_samples}",
                server.kind.name(),
                parameters.series_count
            )));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

pub(super) fn unix_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is after 1970").as_millis() as i64
}
