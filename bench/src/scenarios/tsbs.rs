//! TSBS's `cpu-only` use case: hosts are loaded as fast as the server takes them, by remote_write
//! instead of a line protocol, then each kind of query is asked again and again with hosts and times
//! from a seed, as PromQL. Kinds that PromQL cannot say (`lastpoint`, `high-cpu`, `groupby-orderby`)
//! are left out, as TSBS does for VictoriaMetrics.
//!
//! Source of the kinds: timescale/tsbs, `cmd/tsbs_generate_queries`.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;

use super::remote_write::measure_load;
use super::{Common, Figures, Scenario, finish, leaves_none, unix_ms};
use crate::client::{Connection, encode_component, query_scalar};
use crate::load::{self, Shape};
use crate::options::Options;
use crate::report::{Outcome, Run};
use crate::server::Server;
use crate::workload::Rng;
use crate::workload::tsbs::{MEASURES, host, host_series, host_series_full};

pub const SCENARIO: Scenario = Scenario {
    name: "tsbs",
    usage: ": the use case cpu-only, load and queries
  --hosts=N           hosts of ten series (400)
  --hours=N           from the oldest sample to the newest (13)
  --interval-ms=N     distance of two samples of a series (10000)
  --values=whole|full whether they are whole numbers, as TSBS's, or have all digits (whole)
  --repeat=N          queries of each kind (50)
",
    run: run_with,
};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub shape: Shape,
    pub hours: u64,
    pub repeat_count: usize,
}

/// A kind of query: `max` or `avg` of so many measures, of so many hosts, over so many hours.
struct Kind {
    name: &'static str,
    measures: usize,
    /// Zero: of all, each by itself.
    hosts: usize,
    hours: u64,
    step_minutes: u64,
}

const fn kind(
    name: &'static str,
    measures: usize,
    hosts: usize,
    hours: u64,
    step_minutes: u64,
) -> Kind {
    Kind { name, measures, hosts, hours, step_minutes }
}

const KINDS: &[Kind] = &[
    kind("single-groupby-1-1-1", 1, 1, 1, 1),
    kind("single-groupby-1-1-12", 1, 1, 12, 1),
    kind("single-groupby-1-8-1", 1, 8, 1, 1),
    kind("single-groupby-5-1-1", 5, 1, 1, 1),
    kind("single-groupby-5-1-12", 5, 1, 12, 1),
    kind("single-groupby-5-8-1", 5, 8, 1, 1),
    kind("cpu-max-all-1", 10, 1, 8, 60),
    kind("cpu-max-all-8", 10, 8, 8, 60),
    kind("double-groupby-1", 1, 0, 12, 60),
    kind("double-groupby-5", 5, 0, 12, 60),
    kind("double-groupby-all", 10, 0, 12, 60),
];

impl Kind {
    /// Each measure by itself, because a function leaves the name out.
    fn text(&self, host_count: usize, random: &mut Rng) -> String {
        let hosts: Vec<String> =
            (0..self.hosts).map(|_| host(random.below(host_count as u32) as usize)).collect();
        let hosts = hosts.join("|");
        let window = format!("{}m", self.step_minutes);
        let each = MEASURES[..self.measures].iter().map(|measure| {
            let inner = match self.hosts {
                0 => format!("avg by (hostname) (avg_over_time(cpu_{measure}[{window}]))"),
                _ => {
                    format!("max(max_over_time(cpu_{measure}{{hostname=~\"{hosts}\"}}[{window}]))")
                }
            };
            format!("label_replace({inner}, \"measure\", \"{measure}\", \"\", \"\")")
        });
        each.collect::<Vec<_>>().join(" or ")
    }
}

fn run_with(common: &Common, mut options: Options) -> std::result::Result<Run, String> {
    let values = [("whole", "whole"), ("full", "full")];
    let values = options.choice("values", &values)?;
    let shape = Shape {
        instance: if values == "full" { host_series_full } else { host_series },
        series_per_instance: MEASURES.len(),
        series_count: options.count("hosts", 400)? * MEASURES.len(),
        interval_ms: options.count("interval-ms", 10_000)? as i64,
        ..Shape::default()
    };
    let parameters = Parameters {
        shape,
        hours: options.count("hours", 13)? as u64,
        repeat_count: options.count("repeat", 50)?,
    };
    let shown = parameters.shape.shown(json!({
        "values": values,
        "hours": parameters.hours,
        "repeat": parameters.repeat_count,
    }));
    finish(options, shown, || run(common, &parameters))
}

pub fn run(common: &Common, parameters: &Parameters) -> Result<Vec<Outcome>> {
    common.each_server(leaves_none, |server| measure(server, parameters))
}

fn measure(server: &Server, parameters: &Parameters) -> Result<Figures> {
    let shape = &parameters.shape;
    let span_ms = parameters.hours as i64 * 3_600_000;
    let start_ms = unix_ms() - span_ms;
    let ((mut shown, samples), rounds) = load::drive(server.address, shape, start_ms, |load| {
        let measured = measure_load(server, load, shape.series_count, Duration::MAX)?;
        Ok((measured, load.totals().acked_samples))
    })?;
    let end_ms = start_ms + (rounds - 1) * shape.interval_ms;
    wait_visible(server, shape, end_ms)?;
    shown.push(("bytes on disk per sample".into(), server.disk_bytes() as f64 / samples as f64));
    let mut random = Rng::new(shape.seed + 122);
    let mut connection = Connection::open(server.address)?;
    let before = server.usage()?;
    for kind in KINDS {
        let mut took_us = Histogram::<u64>::new(3).map_err(Error::other)?;
        for _ in 0..parameters.repeat_count {
            let host_count = shape.series_count / MEASURES.len();
            let query = encode_component(&kind.text(host_count, &mut random));
            // A window of whole minutes within what is there.
            let hours_ms = (kind.hours.min(parameters.hours) * 3_600_000) as i64;
            let slack_minutes = ((span_ms - hours_ms) / 60_000).max(0) as u32;
            let end_ms = end_ms - i64::from(random.below(slack_minutes + 1)) * 60_000;
            let (start, end) = ((end_ms - hours_ms) / 1000, end_ms / 1000);
            let step = kind.step_minutes * 60;
            let path = format!(
                "/api/v1/query_range?query={query}&start={start}&end={end}&step={step}&nocache=1"
            );
            let asked = Instant::now();
            let answer = connection.get(&path)?;
            if answer.status != 200 {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                return Err(Error::other(format!("{}: {text}", kind.name)));
            }
            took_us.record((asked.elapsed().as_micros() as u64).max(1)).map_err(Error::other)?;
        }
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let ms = took_us.value_at_quantile(quantile) as f64 / 1e3;
            shown.push((format!("{} {name}, ms", kind.name).into(), ms));
        }
    }
    let cpu = server.usage()?.cpu_seconds - before.cpu_seconds;
    shown.push(("CPU seconds of all queries".into(), cpu));
    Ok(shown)
}

/// Waits until the newest sample of every host can be queried.
fn wait_visible(server: &Server, shape: &Shape, end_ms: i64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let query = format!("count(timestamp(cpu_usage_user) >= {})", end_ms / 1000);
    let wanted = (shape.series_count / MEASURES.len()) as f64;
    loop {
        let seen = query_scalar(server.address, &query, end_ms as f64 / 1e3)?;
        if seen == Some(wanted) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::other(format!("{seen:?} of {wanted} hosts can be seen")));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
