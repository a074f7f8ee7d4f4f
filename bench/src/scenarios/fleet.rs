//! A fleet as prometheus-benchmark has it: targets of some thousand series scraped every ten
//! seconds, a percent of them replaced every ten minutes, and alerting rules evaluated over all of
//! it at every interval. The rate is given, so what is compared is what the server costs.
//!
//! Not as there: the samples come by remote_write from this process instead of agents that scrape
//! real exporters, and rules are asked as instant queries, as an outside evaluator does.
//!
//! Source of the shape: VictoriaMetrics/prometheus-benchmark, chart's defaults.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;

use super::remote_write::{check, measure_load};
use super::{Common, Figures, Scenario, finish, unix_ms};
use crate::client::{Connection, encode_component};
use crate::load::{self, Load, Shape};
use crate::options::Options;
use crate::report::{Outcome, Run};
use crate::server::Server;

pub const SCENARIO: Scenario = Scenario {
    name: "fleet",
    usage: ": what a given load costs, as prometheus-benchmark asks it
  --protocol, --request, --connections, --churn-percent, --churn-minutes (1 percent in 10 minutes),
  --seed as of remote-write
  --targets=N         targets (1000)
  --target-series=N   series of each (1230)
  --interval-ms=N     scrape and rule interval (10000)
",
    run: run_with,
};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub shape: Shape,
    pub duration: Duration,
}

/// Alerts as people write them about hosts: each is asked once an interval, with two thresholds.
const RULES: &[&str] = &[
    "node_load1 / on (instance) count by (instance) (node_cpu_seconds_total{mode=\"idle\"}) > X",
    "avg by (instance) (rate(node_cpu_seconds_total{mode!=\"idle\"}[5m])) > X",
    "max by (instance) (rate(node_cpu_seconds_total{mode=\"iowait\"}[5m])) > X",
    "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < -X",
    "node_filesystem_avail_bytes / node_filesystem_size_bytes < -X",
    "predict_linear(node_filesystem_avail_bytes[10m], 14400) < -X * 1e15",
    "rate(node_disk_read_bytes_total[5m]) > X * 1e15",
    "rate(node_disk_written_bytes_total[5m]) > X * 1e15",
    "rate(node_network_receive_bytes_total[5m]) > X * 1e15",
    "rate(node_network_transmit_errs_total[5m]) > X * 1e15",
    "sum by (instance) (rate(node_context_switches_total[5m])) > X * 1e15",
    "deriv(node_procs_running[5m]) > X * 1e15",
    "max_over_time(node_procs_running[5m]) > X * 1e15",
    "changes(node_boot_time_seconds[10m]) > X",
    "absent(node_procs_running) > X",
    "count(node_procs_running) < -X",
    "topk(5, sum by (instance) (rate(node_cpu_seconds_total[5m]))) > X * 1e15",
    "stddev(node_load1) > X * 1e15",
];
const THRESHOLDS: [u32; 2] = [50, 90];

/// How far before now the samples begin.
const START_BEFORE_NOW_MS: i64 = 115 * 60 * 1000;

fn run_with(common: &Common, mut options: Options) -> std::result::Result<Run, String> {
    let target_count = options.count("targets", 1000)?;
    let series_per_instance = options.count("target-series", 1230)?;
    let shape = Shape {
        series_per_instance,
        series_count: target_count * series_per_instance,
        interval_ms: 10_000,
        ..Shape::default()
    };
    let shape = Shape { churn_per_round: shape.churn_of(1.0, 10.0), ..shape };
    let parameters =
        Parameters { duration: options.seconds(20.0)?, shape: shape.take(&mut options)? };
    let shown = parameters.shape.shown(json!({
        "rate": parameters.rate(),
        "rules": RULES.len() * THRESHOLDS.len(),
        "seconds": parameters.duration.as_secs_f64(),
    }));
    finish(options, shown, || run(common, &parameters))
}

impl Parameters {
    /// Samples a second.
    fn rate(&self) -> u64 {
        self.shape.series_count as u64 * 1000 / self.shape.interval_ms.max(1) as u64
    }
}

pub fn run(common: &Common, parameters: &Parameters) -> Result<Vec<Outcome>> {
    common.each_server(parameters.shape.protocol.leaves(), |server| measure(server, parameters))
}

fn measure(server: &Server, parameters: &Parameters) -> Result<Figures> {
    let start_ms = unix_ms() - START_BEFORE_NOW_MS;
    let shape = &parameters.shape;
    let ((measured, rules, total), rounds) =
        load::drive(server.address, shape, start_ms, |load| {
            load.set_rate(Some(parameters.rate()));
            std::thread::scope(|scope| {
                let rules = scope.spawn(|| evaluate(server.address, load, shape, start_ms));
                let measured = measure_load(server, load, shape.series_count, parameters.duration);
                load.stop();
                let rules = rules.join().map_err(|_| Error::other("the rules panicked"))??;
                Ok((measured?, rules, load.totals().acked_samples))
            })
        })?;
    if rounds > 0 {
        check(server, shape, start_ms, rounds)?;
    }
    let of = |name: &str| measured.iter().find(|(own, _)| own == name).map_or(0.0, |own| own.1);
    let cores = of("samples per second, wall") * of("CPU ns per sample") / 1e9;
    let mut shown: Figures = vec![("cores in use".into(), cores)];
    shown.extend(measured);
    let rule_ms = |quantile| rules.value_at_quantile(quantile) as f64 / 1e3;
    shown.extend([
        ("rule p50, ms".into(), rule_ms(0.5)),
        ("rule p99, ms".into(), rule_ms(0.99)),
        ("rules evaluated".into(), rules.len() as f64),
        ("bytes on disk per sample".into(), server.disk_bytes() as f64 / total as f64),
    ]);
    Ok(shown)
}

/// Asks all rules once an interval, at the time that the samples have reached; microseconds of each.
fn evaluate(
    address: SocketAddr,
    load: &Load,
    shape: &Shape,
    start_ms: i64,
) -> Result<Histogram<u64>> {
    let mut took_us = Histogram::new(3).map_err(Error::other)?;
    let mut connection = Connection::open(address)?;
    while !load.is_stopped() {
        let begun = Instant::now();
        let rounds = load.totals().acked_samples as i64 / shape.series_count as i64;
        let at = (start_ms + rounds * shape.interval_ms) as f64 / 1e3;
        for rule in RULES {
            for threshold in THRESHOLDS {
                let query = encode_component(&rule.replace('X', &threshold.to_string()));
                let path = format!("/api/v1/query?query={query}&time={at}");
                let asked = Instant::now();
                let answer = connection.get(&path)?;
                if answer.status != 200 {
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    return Err(Error::other(format!("{rule}: {text}")));
                }
                took_us
                    .record((asked.elapsed().as_micros() as u64).max(1))
                    .map_err(Error::other)?;
                if load.is_stopped() {
                    return Ok(took_us);
                }
            }
        }
        let interval = Duration::from_millis(shape.interval_ms.max(1) as u64);
        load.wait(interval.saturating_sub(begun.elapsed()), || Ok(()))?;
    }
    Ok(took_us)
}
