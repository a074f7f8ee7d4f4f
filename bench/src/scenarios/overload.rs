//! More than the server can take: the peak is found, then several times as much is offered by a
//! schedule, then what it takes easily. Accepted and refused must be all that was offered, what is
//! refused must say when to come again, the rest must be nearly the peak, and the server must go on
//! answering its health check.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use serde_json::json;

use super::{Common, Figures, Scenario, finish, unix_ms};
use crate::body::{Protocol, Template};
use crate::client::Connection;
use crate::options::Options;
use crate::report::{Outcome, Run};
use crate::server::Server;
use crate::workload::{Values, instance_series};

pub const SCENARIO: Scenario = Scenario {
    name: "overload",
    usage: ": the peak, then several times as much, then the peak again
  --protocol, --series, --request, --connections, --seed as of remote-write
  --multiples=LIST    of the peak, one after the other (2,5,10)
  --senders=idle|equal  whether senders give way to the server on shared cores (idle)
",
    run: run_with,
};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub protocol: Protocol,
    pub series_count: usize,
    pub series_per_request: usize,
    /// Connections at the peak; a load of N times it has N times as many.
    pub connection_count: usize,
    /// Loads that are offered one after the other, as multiples of the peak.
    pub multiples: Vec<usize>,
    /// Measured time of each.
    pub duration: Duration,
    /// Senders run when nothing else wants to.
    pub idle_senders: bool,
    pub seed: u64,
}

fn run_with(common: &Common, mut options: Options) -> std::result::Result<Run, String> {
    let parameters = Parameters {
        protocol: options.protocol()?,
        series_count: options.count("series", 100_000)?,
        series_per_request: options.count("request", 2000)?,
        connection_count: options.count("connections", 4)?,
        multiples: options.numbers("multiples", "2,5,10")?,
        duration: options.seconds(20.0)?,
        idle_senders: options.choice("senders", &[("idle", true), ("equal", false)])?,
        seed: options.number("seed", 1)?,
    };
    if parameters.multiples.contains(&0) {
        return Err("--multiples: must be above 0".to_owned());
    }
    let shown = json!({
        "protocol": format!("{:?}", parameters.protocol),
        "series": parameters.series_count,
        "series_per_request": parameters.series_per_request,
        "connections": parameters.connection_count,
        "multiples": parameters.multiples,
        "seconds": parameters.duration.as_secs_f64(),
        "idle_senders": parameters.idle_senders,
        "seed": parameters.seed,
    });
    finish(options, shown, || run(common, &parameters))
}

/// What is demanded of a server that is offered five times its peak.
const GOODPUT_SHARE_MIN: f64 = 0.9;
const READY_P99_MS_MAX: f64 = 50.0;

/// Samples are so far apart in their own time, and begin so far before now: a hundred thousand of
/// each series.
const INTERVAL_MS: i64 = 30;
const START_BEFORE_NOW_MS: i64 = 55 * 60 * 1000;

/// Closed loops over so many times the connections are tried; the best of them is the peak.
const PEAK_FACTORS: [usize; 3] = [1, 2, 4];

/// How often the health check is asked.
const READY_EVERY: Duration = Duration::from_millis(10);

pub fn run(common: &Common, parameters: &Parameters) -> Result<Vec<Outcome>> {
    common.each_server(parameters.protocol.leaves(), |server| measure(server, parameters))
}

/// What came of one load, in samples.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    offered: u64,
    accepted: u64,
    refused: u64,
    /// Refusals that did not say when to come again.
    without_retry: u64,
    seconds: f64,
    ready_p99_ms: f64,
}

fn measure(server: &Server, parameters: &Parameters) -> Result<Figures> {
    let mut lanes: Vec<Lane> = {
        let most = parameters.multiples.iter().max().copied().unwrap_or(1).max(1);
        let count = parameters.connection_count * most;
        (0..count).map(|lane| Lane::new(parameters, lane, count)).collect()
    };
    // Every lane makes its series, then closed loops over some connections find the peak.
    let all = lanes.len();
    let mut drive = |count: usize, pace| {
        drive(server, &mut lanes, count.min(all), pace, parameters.idle_senders)
    };
    drive(all, Pace::Once)?;
    let mut peak_rate = 0f64;
    for factor in PEAK_FACTORS {
        let count = parameters.connection_count * factor;
        let found = drive(count, Pace::Closed(parameters.duration))?;
        peak_rate = peak_rate.max(found.accepted as f64 / found.seconds);
    }
    let mut figures: Figures = vec![("peak, samples per second".into(), peak_rate)];
    let mut is_good = true;
    for &multiple in parameters.multiples.iter().chain(&[1]) {
        let count = parameters.connection_count * multiple;
        let rate = peak_rate * multiple as f64;
        let tally = drive(count, Pace::Open(rate, parameters.duration))?;
        let goodput = tally.accepted as f64 / tally.seconds / peak_rate;
        let unanswered = tally.offered - tally.accepted - tally.refused;
        figures.extend([
            (format!("{multiple} x: accepted, share of the peak").into(), goodput),
            (
                format!("{multiple} x: offered, share of the peak").into(),
                tally.offered as f64 / tally.seconds / peak_rate,
            ),
            (format!("{multiple} x: refused, samples").into(), tally.refused as f64),
            (format!("{multiple} x: refused without a time").into(), tally.without_retry as f64),
            (format!("{multiple} x: neither, samples").into(), unanswered as f64),
            (format!("{multiple} x: health check p99, ms").into(), tally.ready_p99_ms),
        ]);
        let is_enough = multiple == 1 || goodput >= GOODPUT_SHARE_MIN;
        is_good &= is_enough
            && unanswered == 0
            && tally.without_retry == 0
            && tally.ready_p99_ms <= READY_P99_MS_MAX;
    }
    figures.push(("verdict: 1 is good".into(), f64::from(u8::from(is_good))));
    Ok(figures)
}

#[derive(Clone, Copy, Debug)]
enum Pace {
    /// Each request once.
    Once,
    /// As fast as answers come.
    Closed(Duration),
    /// So many samples a second over all lanes, by a schedule; a lane whose answer is late sends
    /// what is due by then at once.
    Open(f64, Duration),
}

/// Lets `count` connections send at `pace`, each what an even share of the lanes has.
fn drive(
    server: &Server,
    lanes: &mut [Lane],
    count: usize,
    pace: Pace,
    idle_senders: bool,
) -> Result<Tally> {
    let (stop, begun) = (AtomicBool::new(false), Instant::now());
    let total = Counts::default();
    std::thread::scope(|scope| {
        let ready = scope.spawn(|| ask_ready(server.address, &stop));
        let senders = scope.spawn(|| {
            if idle_senders {
                lower_priority();
            }
            std::thread::scope(|scope| {
                let share = lanes.len().div_ceil(count);
                let sending: Vec<_> = lanes
                    .chunks_mut(share)
                    .enumerate()
                    .map(|(number, own)| {
                        let sender = Sender { number, count, pace, total: &total };
                        scope.spawn(move || sender.send(server.address, own))
                    })
                    .collect();
                sending.into_iter().map(|lane| lane.join()).collect::<Vec<_>>()
            })
        });
        let sent = senders.join().map_err(|_| Error::other("the senders panicked"))?;
        let seconds = begun.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        let ready_us = ready.join().map_err(|_| Error::other("the health check panicked"))??;
        for result in sent {
            result.map_err(|_| Error::other("a lane panicked"))??;
        }
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(Tally {
            offered: of(&total.offered),
            accepted: of(&total.accepted),
            refused: of(&total.refused),
            without_retry: of(&total.without_retry),
            seconds,
            ready_p99_ms: ready_us.value_at_quantile(0.99) as f64 / 1e3,
        })
    })
}

/// Lets everything else on this machine go before this thread and those that it starts, as if they
/// were elsewhere: hundreds of senders that are never tired would leave a server on the same cores a
/// hundredth of the time, and even at the lowest ordinary priority two thirds of it.
fn lower_priority() {
    let Ok(thread) = std::fs::read_link("/proc/thread-self") else { return };
    let Some(id) = thread.file_name() else { return };
    let is_idle = Command::new("chrt").args(["--idle", "--pid", "0"]).arg(id).output();
    if !is_idle.is_ok_and(|output| output.status.success()) {
        eprintln!("chrt does not work here: the senders take the server's time");
    }
}

/// Asks whether the server is ready, again and again; the time of each answer.
fn ask_ready(address: SocketAddr, stop: &AtomicBool) -> Result<Histogram<u64>> {
    let mut took_us = Histogram::<u64>::new(3).map_err(Error::other)?;
    let mut connection = Connection::open(address)?;
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let path = "/-/ready";
        let response = connection.get(path)?;
        if response.status != 200 {
            return Err(Error::other(format!("{path}: status {}", response.status)));
        }
        took_us.record((asked.elapsed().as_micros() as u64).max(1)).map_err(Error::other)?;
        std::thread::sleep(READY_EVERY);
    }
    Ok(took_us)
}

#[derive(Default)]
struct Counts {
    offered: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    without_retry: AtomicU64,
}

/// The requests of some series, one after the other.
struct Lane {
    templates: Vec<(Template, usize)>,
    headers: &'static str,
    values: Values,
    next: usize,
    timestamp_ms: i64,
}

impl Lane {
    fn new(parameters: &Parameters, lane: usize, lane_count: usize) -> Lane {
        let share = (parameters.series_count / lane_count).max(1);
        let all = instance_series(lane, share);
        let (mut templates, mut kinds) = (Vec::new(), Vec::new());
        for series in all.chunks(parameters.series_per_request) {
            templates.push((Template::new(parameters.protocol, series), kinds.len()));
            kinds.extend(series.iter().map(|one| one.kind));
        }
        let values = Values::new(kinds, parameters.seed + lane as u64);
        let (headers, timestamp_ms) =
            (parameters.protocol.headers(), unix_ms() - START_BEFORE_NOW_MS);
        Lane { templates, headers, values, next: 0, timestamp_ms }
    }

    /// Makes the next request in `body`; returns how many samples it has.
    fn fill(&mut self, encoder: &mut snap::raw::Encoder, body: &mut Vec<u8>) -> u64 {
        let (template, first_value) = &mut self.templates[self.next];
        template.fill(self.timestamp_ms, &mut self.values, *first_value, encoder, body);
        let samples = template.series_count() as u64;
        self.next += 1;
        if self.next == self.templates.len() {
            self.next = 0;
            self.timestamp_ms += INTERVAL_MS;
        }
        samples
    }
}

/// One connection of so many.
struct Sender<'a> {
    number: usize,
    count: usize,
    pace: Pace,
    total: &'a Counts,
}

impl Sender<'_> {
    /// Sends what the lanes have, in turn.
    fn send(&self, address: SocketAddr, lanes: &mut [Lane]) -> Result<()> {
        let mut connection = Connection::open(address)?;
        let (mut encoder, mut body) = (snap::raw::Encoder::new(), Vec::new());
        let begun = Instant::now();
        let samples_a_request = lanes[0].templates[0].0.series_count() as f64;
        // Connections take their turns evenly over the time of one request.
        let mut due_seconds = match self.pace {
            Pace::Open(rate, _) => samples_a_request * self.number as f64 / rate,
            _ => 0.0,
        };
        let once: usize = lanes.iter().map(|lane| lane.templates.len()).sum();
        let mut turns = (0..lanes.len()).cycle();
        for count in 0.. {
            match self.pace {
                Pace::Once if count == once => return Ok(()),
                Pace::Closed(duration) | Pace::Open(_, duration) if begun.elapsed() >= duration => {
                    return Ok(());
                }
                _ => {}
            }
            if let Pace::Open(rate, _) = self.pace {
                let due = begun + Duration::from_secs_f64(due_seconds);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                due_seconds += samples_a_request * self.count as f64 / rate;
            }
            let lane = &mut lanes[turns.next().expect("a sender has lanes")];
            let samples = lane.fill(&mut encoder, &mut body);
            self.total.offered.fetch_add(samples, Ordering::Relaxed);
            let response = connection.post("/api/v1/write", lane.headers, &body)?;
            match response.status {
                200..300 => self.total.accepted.fetch_add(samples, Ordering::Relaxed),
                429 | 503 => {
                    if !response.has_retry_after {
                        self.total.without_retry.fetch_add(samples, Ordering::Relaxed);
                    }
                    self.total.refused.fetch_add(samples, Ordering::Relaxed)
                }
                status => {
                    let text = String::from_utf8_lossy(&response.body).into_owned();
                    return Err(Error::new(
                        ErrorKind::InvalidData,
                        format!("status {status}: {text}"),
                    ));
                }
            };
        }
        Ok(())
    }
}
