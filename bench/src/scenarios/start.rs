//! Start: how long until a server is ready on what it holds, after SIGKILL and after a stop in order.
//!
//! The samples of remote_write's workload are written as fast as the server takes them, from so many
//! minutes ago to now; then it is killed. After the first start the samples are counted.

use std::io::Result;
use std::time::{Duration, Instant};

use super::remote_write::{self, check, fill};
use super::{Common, Figures, figures, free_address, version};
use crate::report::Outcome;
use crate::server::{Server, Setup};

#[derive(Clone, Debug)]
pub struct Parameters {
    /// Series, distance of samples, connections; the measured time is of no meaning.
    pub load: remote_write::Parameters,
    /// From the oldest sample to the newest.
    pub span: Duration,
}

pub fn run(common: &Common, parameters: &Parameters) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for &kind in &common.servers {
        let Some(program) = kind.find(&common.program_directories) else {
            eprintln!("{}: not installed, left out", kind.name());
            continue;
        };
        let version = version(&program);
        let setup = Setup {
            kind,
            program,
            directory: common.work_directory.join(kind.name()),
            address: free_address()?,
            config: None,
            hearth_args: common.hearth_args.clone(),
        };
        let figures = measure(&setup, parameters)?;
        std::fs::remove_dir_all(&setup.directory)?;
        outcomes.push(Outcome { kind, version, figures });
    }
    Ok(outcomes)
}

fn measure(setup: &Setup, parameters: &Parameters) -> Result<Figures> {
    let server = Server::start(setup)?;
    let start_ms = remote_write::unix_ms() - parameters.span.as_millis() as i64;
    let rounds = fill(server.address, &parameters.load, start_ms)?;
    let (running, running_peak) = (server.usage()?, server.peak_resident_bytes()?);
    drop(server); // SIGKILL.
    let (server, after_kill_s) = timed(setup)?;
    let after_kill = server.usage()?;
    let after_kill_peak = server.peak_resident_bytes()?;
    check(&server, &parameters.load, start_ms, rounds)?;
    server.stop()?;
    let (server, after_stop_s) = timed(setup)?;
    let after_stop = server.usage()?;
    server.stop()?;
    let series = parameters.load.series_count as f64;
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
