//! How much a server takes before its answers become late: the rate grows step by step until the
//! p99 of the acknowledgements is beyond its bound, or the server no longer takes what is offered,
//! twice at one rate.
//! Then half of the last good rate, as one who plans would load it.

use std::io::{Error, Result};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;

use super::{Common, Figures, Scenario, figures, finish, unix_ms};
use crate::load::{self, Load, Shape};
use crate::options::Options;
use crate::report::{Outcome, Run};
use crate::server::Server;

pub const SCENARIO: Scenario = Scenario {
    name: "ramp",
    usage: ": a growing rate, until the p99 of the answers is too late
  --protocol, --series, --request, --connections, --interval-ms (2000), --churn-percent,
  --churn-minutes, --seed as of remote-write; --seconds of a step (3)
  --from=N            samples a second of the first step (100000)
  --factor=X          of a step to the next (1.25)
  --p99-ms=X          the bound (10)
",
    run: run_with,
};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub shape: Shape,
    /// Samples a second of the first step.
    pub from: u64,
    pub factor: f64,
    pub p99_ms_max: f64,
    /// Of a step.
    pub duration: Duration,
}

/// Of what is offered a server that keeps up acknowledges so much.
const ACKED_SHARE_MIN: f64 = 0.95;

/// How far before now the samples begin.
const START_BEFORE_NOW_MS: i64 = 115 * 60 * 1000;

/// So many steps at one rate show that it is too much. One may meet something else on the machine: at
/// small rates its p99 is its slowest request.
const BROKEN_COUNT: u32 = 2;

/// A step begins to count after this part of it.
const SETTLING_PART: u32 = 4;

fn run_with(common: &Common, mut options: Options) -> std::result::Result<Run, String> {
    let shape = Shape { interval_ms: 2000, ..Shape::default() };
    let parameters = Parameters {
        from: options.count("from", 100_000)? as u64,
        factor: options.number("factor", 1.25)?,
        p99_ms_max: options.number("p99-ms", 10.0)?,
        duration: options.seconds(3.0)?,
        shape: shape.take(&mut options)?,
    };
    if parameters.factor < 1.01 {
        return Err(format!("--factor={}: must be at least 1.01", parameters.factor));
    }
    let shown = parameters.shape.shown(json!({
        "from": parameters.from,
        "factor": parameters.factor,
        "p99_ms": parameters.p99_ms_max,
        "seconds": parameters.duration.as_secs_f64(),
    }));
    finish(options, shown, || run(common, &parameters))
}

pub fn run(common: &Common, parameters: &Parameters) -> Result<Vec<Outcome>> {
    common.each_server(parameters.shape.protocol.leaves(), |server| measure(server, parameters))
}

/// What one rate gave.
struct Step {
    rate: f64,
    acked_share: f64,
    latency_us: Histogram<u64>,
    cores: f64,
}

impl Step {
    fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1e3
    }
}

fn measure(server: &Server, parameters: &Parameters) -> Result<Figures> {
    let start_ms = unix_ms() - START_BEFORE_NOW_MS;
    let ((held, broken, half), _) =
        load::drive(server.address, &parameters.shape, start_ms, |load| {
            let (mut rate, mut held) = (parameters.from as f64, None);
            let mut broken_count = 0;
            let broken = loop {
                let step = hold(server, load, rate, parameters.duration)?;
                let is_late = step.latency_ms(0.99) > parameters.p99_ms_max;
                if !is_late && step.acked_share >= ACKED_SHARE_MIN {
                    rate *= parameters.factor;
                    held = Some(step);
                    broken_count = 0;
                    continue;
                }
                broken_count += 1;
                if broken_count == BROKEN_COUNT {
                    break step;
                }
            };
            let half = match &held {
                Some(held) => Some(hold(server, load, held.rate / 2.0, parameters.duration)?),
                None => None,
            };
            Ok((held, broken, half))
        })?;
    let mut shown = figures([
        ("rate that was held, samples per second", held.as_ref().map_or(0.0, |step| step.rate)),
        ("… rate that was too much", broken.rate),
        ("… share of it acknowledged", broken.acked_share),
        ("… ack p99 at it, ms", broken.latency_ms(0.99)),
    ]);
    for (name, step) in [("at the held rate", held), ("at half of it", half)] {
        let Some(step) = step else { continue };
        shown.extend([
            (format!("{name}: ack p50, ms").into(), step.latency_ms(0.5)),
            (format!("{name}: ack p99, ms").into(), step.latency_ms(0.99)),
            (format!("{name}: ack p99.9, ms").into(), step.latency_ms(0.999)),
            (format!("{name}: cores in use").into(), step.cores),
        ]);
    }
    Ok(shown)
}

/// Offers one rate for a while.
fn hold(server: &Server, load: &Load, rate: f64, duration: Duration) -> Result<Step> {
    load.set_rate(Some(rate as u64));
    let settling = duration / SETTLING_PART;
    load.wait(settling, || Ok(()))?;
    load.take_latencies();
    let (before, totals_before) = (server.usage()?, load.totals());
    load.wait(duration - settling, || Ok(()))?;
    if !load.is_running() {
        return Err(Error::other(
            "the samples have caught up with the present: more series are \
                                 needed, a shorter interval, or shorter steps",
        ));
    }
    let (after, totals) = (server.usage()?, load.totals() - totals_before);
    let seconds = (after.at - before.at).as_secs_f64();
    Ok(Step {
        rate,
        acked_share: totals.acked_samples as f64 / seconds / rate,
        latency_us: load.take_latencies(),
        cores: (after.cpu_seconds - before.cpu_seconds) / seconds,
    })
}
