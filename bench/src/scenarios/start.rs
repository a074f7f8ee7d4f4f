//! Start: how long until a server is ready on what it holds, after SIGKILL and after a stop in order.
//!
//! The samples of remote_write's workload are written as fast as the server takes them, from so many
//! minutes ago to now; then it is killed. After the first start the samples are counted.

use std::io::Result;
use std::time::{Duration, Instant};

use serde_json::json;

use super::remote_write::check;
use super::{Common, Figures, Scenario, figures, finish, leaves_none, unix_ms};
use crate::load::{self, Load, Shape};
use crate::options::Options;
use crate::report::{Outcome, Run};
use crate::server::{Server, Setup};

pub const SCENARIO: Scenario = Scenario {
    name: "start",
    usage: ": how long until ready on what is there, after a kill and after a stop
  --series=N          active series (100000)
  --minutes=N         from the oldest sample to the newest (120)
  --interval-ms=N     distance of two samples of a series (15000)
",
    run: run_with,
};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub shape: Shape,
    /// From the oldest sample to the newest.
    pub span: Duration,
}

fn run_with(common: &Common, mut options: Options) -> std::result::Result<Run, String> {
    let span = Duration::from_secs(60 * options.number("minutes", 120)?);
    let parameters = Parameters { shape: Shape::default().take(&mut options)?, span };
    let shown = parameters.shape.shown(json!({ "minutes": span.as_secs() / 60 }));
    finish(options, shown, || run(common, &parameters))
}

pub fn run(common: &Common, parameters: &Parameters) -> Result<Vec<Outcome>> {
    common.each(leaves_none, |setup| measure(setup, parameters))
}

fn measure(setup: &Setup, parameters: &Parameters) -> Result<Figures> {
    let server = Server::start(setup)?;
    let start_ms = unix_ms() - parameters.span.as_millis() as i64;
    let until_now = |load: &Load| load.wait(Duration::MAX, || Ok(()));
    let ((), rounds) = load::drive(server.address, &parameters.shape, start_ms, until_now)?;
    let (running, running_peak) = (server.usage()?, server.peak_resident_bytes()?);
    drop(server); // SIGKILL.
    let (server, after_kill_s) = timed(setup)?;
    let after_kill = server.usage()?;
    let after_kill_peak = server.peak_resident_bytes()?;
    check(&server, &parameters.shape, start_ms, rounds)?;
    server.stop()?;
    let (server, after_stop_s) = timed(setup)?;
    let after_stop = server.usage()?;
    server.stop()?;
    let series = parameters.shape.series_count as f64;
    Ok(figures([
        ("ready after SIGKILL, s", after_kill_s),
        ("CPU seconds until then", after_kill.cpu_seconds),
        ("ready after a stop, s", after_stop_s),
        ("CPU seconds until then, after a stop", after_stop.cpu_seconds),
        ("samples", rounds as f64 * series),
        ("resident bytes per series before the kill", running.resident_bytes as f64 / series),
        ("… at its peak", running_peak as f64 / series),
        ("peak until ready after SIGKILL", after_kill_peak as f64 / series),
        ("resident bytes per series after a stop", after_stop.resident_bytes as f64 / series),
    ]))
}

/// Starts the server on what its directory holds; seconds until it is ready.
fn timed(setup: &Setup) -> Result<(Server, f64)> {
    let begun = Instant::now();
    let server = Server::restart(setup)?;
    Ok((server, begun.elapsed().as_secs_f64()))
}
