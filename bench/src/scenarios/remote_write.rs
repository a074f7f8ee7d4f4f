//! remote_write, steady state: fixed series, closed loop over a few connections.
//!
//! A first round creates the series and is not measured. After the load, queries ask the server how
//! many series it has and how many samples it kept: a server that answers without storing fails the
//! run. With churn, instances give way to new ones; with queries, others ask meanwhile.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Common, Figures, Scenario, figures, finish, unix_ms};
use crate::client::{Connection, encode_component, query_scalar};
use crate::load::{self, Load, Shape};
use crate::options::{OptionError, Options};
use crate::report::{Outcome, Run};
use crate::server::{Kind, Server};
use crate::waits::Waits;

pub const SCENARIO: Scenario = Scenario {
    name: "remote-write",
    usage: "
  --protocol=1|2      remote_write version (1)
  --series=N          active series (100000)
  --request=N         series in a request (2000)
  --connections=N     connections, each a closed loop (4)
  --interval-ms=N     distance of two samples of a series (15000)
  --rate=N            samples offered a second, by a schedule (as many as the server takes)
  --churn-percent=X   instances replaced after each round; 100: every series is new (0)
  --churn-minutes=X   the same in so many minutes of the samples' own time (a round)
  --queries=N         connections that ask a heavy query again and again meanwhile (0)
  --seed=N            seed of the values (1)
",
    run: run_with,
};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub shape: Shape,
    /// Offered load; `None`: as much as the server takes.
    pub samples_per_second: Option<u64>,
    /// Connections that ask a heavy query again and again meanwhile.
    pub query_connection_count: usize,
    /// Measured wall time.
    pub duration: Duration,
}

impl Shape {
    /// Takes what the command line says of it; `self` are the defaults.
    pub(super) fn take(self, options: &mut Options) -> std::result::Result<Shape, OptionError> {
        let interval_ms = options.count("interval-ms", self.interval_ms as usize)? as i64;
        let mut shape = Shape {
            protocol: options.protocol()?,
            series_count: options.count("series", self.series_count)?,
            series_per_request: options.count("request", self.series_per_request)?,
            connection_count: options.count("connections", self.connection_count)?,
            interval_ms,
            seed: options.number("seed", self.seed)?,
            ..self
        };
        let minutes = options.number("churn-minutes", interval_ms as f64 / 60_000.0)?;
        if let Some(percent) = options.take("churn-percent") {
            let percent = percent.parse().map_err(|_| "--churn-percent: not a number")?;
            shape.churn_per_round = shape.churn_of(percent, minutes);
        }
        Ok(shape)
    }

    /// What a table says of it, with what else is to be said.
    pub(super) fn shown(&self, more: Value) -> Value {
        let mut shown = json!({
            "protocol": format!("{:?}", self.protocol),
            "series": self.series_count,
            "series_per_request": self.series_per_request,
            "connections": self.connection_count,
            "interval_ms": self.interval_ms,
            "churn_per_round": self.churn_per_round,
            "seed": self.seed,
        });
        if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), more) {
            shown.extend(more);
        }
        shown
    }
}

fn run_with(common: &Common, mut options: Options) -> std::result::Result<Run, String> {
    let parameters = Parameters {
        samples_per_second: match options.number("rate", 0)? {
            0 => None,
            rate => Some(rate),
        },
        query_connection_count: options.number("queries", 0)?,
        duration: options.seconds(20.0)?,
        shape: Shape::default().take(&mut options)?,
    };
    let shown = parameters.shape.shown(json!({
        "rate": parameters.samples_per_second,
        "queries": parameters.query_connection_count,
        "seconds": parameters.duration.as_secs_f64(),
    }));
    finish(options, shown, || run(common, &parameters))
}

/// How far before now the samples begin.
const START_BEFORE_NOW_MS: i64 = 150 * 60 * 1000;

/// How long after the load the check may take to see the newest samples (VictoriaMetrics shows
/// them after its in-memory flush).
const VISIBLE_WITHIN: Duration = Duration::from_secs(20);

pub fn run(common: &Common, parameters: &Parameters) -> Result<Vec<Outcome>> {
    common.each_server(parameters.shape.protocol.leaves(), |server| measure(server, parameters))
}

fn measure(server: &Server, parameters: &Parameters) -> Result<Figures> {
    let start_ms = unix_ms() - START_BEFORE_NOW_MS;
    let shape = &parameters.shape;
    let (mut shown, rounds) = load::drive(server.address, shape, start_ms, |load| {
        let measured = std::thread::scope(|scope| {
            let queries: Vec<_> = (0..parameters.query_connection_count)
                .map(|_| scope.spawn(|| keep_asking(server.address, load)))
                .collect();
            load.set_rate(parameters.samples_per_second);
            let measured = measure_load(server, load, shape.series_count, parameters.duration);
            load.stop();
            let mut query_count = 0;
            for asker in queries {
                query_count += asker.join().map_err(|_| Error::other("a query panicked"))??;
            }
            let mut measured = measured?;
            measured.push(("heavy queries answered meanwhile".into(), query_count as f64));
            Ok::<_, Error>(measured)
        })?;
        Ok((measured, load.totals().acked_samples))
    })?;
    if rounds > 0 {
        check(server, shape, start_ms, rounds)?;
    }
    let on_disk = server.disk_bytes() as f64 / shown.1 as f64;
    shown.0.push(("bytes on disk per sample".into(), on_disk));
    Ok(shown.0)
}

/// What a load that runs costs the server in `duration`, or until it ends.
pub(super) fn measure_load(
    server: &Server,
    load: &Load,
    series_count: usize,
    duration: Duration,
) -> Result<Figures> {
    let waits = || (server.kind == Kind::Hearth).then(|| Waits::read(server.address)).transpose();
    let waits_before = waits()?;
    let before = server.usage()?;
    let totals_before = load.totals();
    load.take_latencies();
    load.take_longest_oversleep();
    let mut peak_resident = before.resident_bytes;
    load.wait(duration, || {
        peak_resident = peak_resident.max(server.usage()?.resident_bytes);
        Ok(())
    })?;
    let after = server.usage()?;
    let totals = load.totals() - totals_before;
    let latency = load.take_latencies();
    let latency_ms = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
    let [samples, bytes, refused] =
        [totals.acked_samples, totals.acked_bytes, totals.refused_samples].map(|n| n as f64);
    let cpu = after.cpu_seconds - before.cpu_seconds;
    let wall = (after.at - before.at).as_secs_f64();
    let mut figures = figures([
        ("samples per CPU second", samples / cpu),
        ("samples per second, wall", samples / wall),
        ("CPU ns per sample", cpu * 1e9 / samples),
        ("ack p50, ms", latency_ms(0.5)),
        ("ack p99, ms", latency_ms(0.99)),
        ("ack p99.9, ms", latency_ms(0.999)),
        ("resident bytes per series, peak", peak_resident as f64 / series_count as f64),
        ("wire bytes per sample", bytes / samples),
        ("samples", samples),
        ("share of samples refused", refused / (samples + refused)),
        ("longest ack, ms", latency.max() as f64 / 1e3),
        ("longest oversleep of a sender, ms", load.take_longest_oversleep().as_secs_f64() * 1e3),
    ]);
    if let (Some(before), Some(after)) = (waits_before, waits()?) {
        let longest = after.longest_since(&before);
        figures.extend(longest.map(|(name, longest_ms)| (name.into(), longest_ms)));
    }
    Ok(figures)
}

/// Asks for the sums of all series over all the time there is, until the load ends. Returns how
/// often it was answered.
fn keep_asking(address: SocketAddr, load: &Load) -> Result<usize> {
    let mut connection = Connection::open(address)?;
    let query = encode_component("sum by (instance) ({job=\"node\"})");
    let mut count = 0;
    while !load.is_stopped() {
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
pub(super) fn check(server: &Server, shape: &Shape, start_ms: i64, rounds: i64) -> Result<()> {
    let last_ms = start_ms + (rounds - 1) * shape.interval_ms;
    let at = last_ms as f64 / 1e3;
    let window_ms = (rounds * shape.interval_ms).min(30 * 60 * 1000);
    let instances = shape.series_count / shape.series_per_instance;
    let wanted_samples = window_ms / shape.interval_ms * instances as i64;
    let samples_query = format!("sum(count_over_time(node_procs_running[{window_ms}ms]))");
    let deadline = Instant::now() + VISIBLE_WITHIN;
    loop {
        let series = query_scalar(server.address, "count({job=\"node\"})", at)?.unwrap_or(0.0);
        let samples = query_scalar(server.address, &samples_query, at)?.unwrap_or(0.0);
        let has_series = match shape.churn_per_round > 0.0 {
            true => series as usize >= shape.series_count,
            false => series as usize == shape.series_count,
        };
        if has_series && samples as i64 == wanted_samples {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::other(format!(
                "{} has {series} series of {} and {samples} samples of {wanted_samples}",
                server.kind.name(),
                shape.series_count
            )));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
