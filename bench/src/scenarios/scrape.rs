//! Scraping: many targets on loopback, one interval, samples per CPU second of the scraper.

use std::io::{Error, Result};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Common, Figures, Scenario, figures, finish, leaves_none};
use crate::client::query_scalar;
use crate::exporter::Exporter;
use crate::options::Options;
use crate::report::{Outcome, Run};
use crate::server::{Server, Setup};

pub const SCENARIO: Scenario = Scenario {
    name: "scrape",
    usage: "
  --targets=N         targets (200)
  --series=N          series a target (1000)
  --interval-ms=N     scrape interval (1000)
",
    run: run_with,
};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub target_count: usize,
    pub series_per_target: usize,
    pub interval: Duration,
    pub duration: Duration,
}

fn run_with(common: &Common, mut options: Options) -> std::result::Result<Run, String> {
    let parameters = Parameters {
        target_count: options.count("targets", 200)?,
        series_per_target: options.count("series", 1000)?,
        interval: Duration::from_millis(options.number("interval-ms", 1000)?),
        duration: options.seconds(20.0)?,
    };
    let shown = json!({
        "targets": parameters.target_count,
        "series_per_target": parameters.series_per_target,
        "interval_ms": parameters.interval.as_millis() as u64,
        "seconds": parameters.duration.as_secs_f64(),
    });
    finish(options, shown, || run(common, &parameters))
}

pub fn run(common: &Common, parameters: &Parameters) -> Result<Vec<Outcome>> {
    common.each(leaves_none, |setup| {
        let exporter = Exporter::start(parameters.target_count, parameters.series_per_target)?;
        let config = Some(config(&exporter, parameters));
        let server = Server::start(&Setup { config, ..setup.clone() })?;
        let figures = measure(&server, &exporter, parameters)?;
        server.stop()?;
        Ok(figures)
    })
}

/// One job a target: the path differs, and a job is what carries the path.
fn config(exporter: &Exporter, parameters: &Parameters) -> String {
    let interval_ms = parameters.interval.as_millis();
    let mut out = format!(
        "global:\n  scrape_interval: {interval_ms}ms\n  scrape_timeout: {interval_ms}ms\n\
         scrape_configs:\n- job_name: node\n  relabel_configs:\n\
         \x20 - source_labels: [path]\n    target_label: __metrics_path__\n\
         \x20 - source_labels: [path]\n    target_label: instance\n\
         \x20 - regex: path\n    action: labeldrop\n  static_configs:\n"
    );
    for target in 0..parameters.target_count {
        out += &format!(
            "  - targets: ['{}']\n    labels: {{path: /t/{target}/metrics}}\n",
            exporter.address
        );
    }
    out
}

fn measure(server: &Server, exporter: &Exporter, parameters: &Parameters) -> Result<Figures> {
    // Discovery takes its time, and the first scrapes create the series.
    check(server, parameters)?;
    std::thread::sleep(parameters.interval * 2);
    let before = server.usage()?;
    let samples_before = exporter.samples_served.load(Ordering::Relaxed);
    let mut peak_resident = before.resident_bytes;
    while before.at.elapsed() < parameters.duration {
        std::thread::sleep(Duration::from_millis(100));
        peak_resident = peak_resident.max(server.usage()?.resident_bytes);
    }
    let after = server.usage()?;
    let samples = (exporter.samples_served.load(Ordering::Relaxed) - samples_before) as f64;
    let cpu = after.cpu_seconds - before.cpu_seconds;
    let wall = (after.at - before.at).as_secs_f64();
    let series_count = parameters.target_count * parameters.series_per_target;
    check(server, parameters)?;
    Ok(figures([
        ("samples per CPU second", samples / cpu),
        ("samples per second, wall", samples / wall),
        ("CPU ns per sample", cpu * 1e9 / samples),
        ("resident bytes per series, peak", peak_resident as f64 / series_count as f64),
        (
            "share of the offered samples",
            samples / (wall / parameters.interval.as_secs_f64()) / series_count as f64,
        ),
        ("samples", samples),
    ]))
}

/// All targets must be up, with all their samples.
fn check(server: &Server, parameters: &Parameters) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let at = now.expect("the clock is after 1970").as_secs_f64();
        let up = query_scalar(server.address, "sum(up)", at)?.unwrap_or(0.0);
        let scraped =
            query_scalar(server.address, "min(scrape_samples_scraped)", at)?.unwrap_or(0.0);
        if up as usize == parameters.target_count
            && scraped as usize == parameters.series_per_target
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::other(format!(
                "{}: {up} of {} targets are up, the least sent {scraped} of {} samples",
                server.kind.name(),
                parameters.target_count,
                parameters.series_per_target
            )));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
