//! One connection's share of a remote_write workload, and the loop that sends it.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{Parameters, unix_ms};
use crate::body::Template;
use crate::client::Connection;
use crate::workload::{Values, instance_series};

/// What all lanes count together.
#[derive(Default)]
pub(super) struct Load {
    pub acked_samples: AtomicU64,
    pub acked_bytes: AtomicU64,
    /// Samples answered with 429 or 503.
    pub refused_samples: AtomicU64,
    pub measuring: AtomicBool,
    pub stop: AtomicBool,
}

impl Load {
    /// Samples and bytes acknowledged, samples refused.
    pub fn totals(&self) -> [u64; 3] {
        [&self.acked_samples, &self.acked_bytes, &self.refused_samples]
            .map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// What a lane has to say when it ends.
pub(super) struct Finished {
    pub latency_us: Histogram<u64>,
    /// Rounds in which every request was acknowledged.
    pub rounds: i64,
}

/// One request's series, with the place of their values.
struct Request {
    template: Template,
    first_value: usize,
    generation: u32,
}

/// The requests of one connection.
pub(super) struct Lane {
    requests: Vec<Request>,
    values: Values,
    /// The request whose series are replaced next, and what has gathered towards that.
    replaced_next: usize,
    churn: f64,
}

impl Lane {
    pub fn new(parameters: &Parameters, lane: usize) -> Lane {
        let instances = parameters.series_count.div_ceil(parameters.series_per_instance);
        let (mut requests, mut kinds, mut pending) = (Vec::new(), Vec::new(), Vec::new());
        let mut push = |series: &[crate::workload::Series]| {
            let template = Template::new(parameters.protocol, series);
            requests.push(Request { template, first_value: kinds.len(), generation: 0 });
            kinds.extend(series.iter().map(|one| one.kind));
        };
        for instance in (lane..instances).step_by(parameters.connection_count) {
            let left = parameters.series_count - instance * parameters.series_per_instance;
            pending.extend(instance_series(instance, left.min(parameters.series_per_instance)));
            while pending.len() >= parameters.series_per_request {
                let rest = pending.split_off(parameters.series_per_request);
                push(&pending);
                pending = rest;
            }
        }
        if !pending.is_empty() {
            push(&pending);
        }
        let values = Values::new(kinds, parameters.seed + lane as u64);
        Lane { requests, values, replaced_next: 0, churn: 0.0 }
    }

    /// Gives `share` of the requests' series another life: the same, of replaced instances.
    fn replace(&mut self, share: f64) {
        self.churn += share * self.requests.len() as f64;
        while self.churn >= 1.0 && !self.requests.is_empty() {
            self.churn -= 1.0;
            let request = &mut self.requests[self.replaced_next];
            request.generation += 1;
            request.template.set_generation(request.generation);
            self.replaced_next = (self.replaced_next + 1) % self.requests.len();
        }
    }

    /// Rounds over the requests until told to stop: a closed loop, or, with a rate, as close to
    /// the schedule as the server lets it. Latency counts from when a request was due.
    pub fn drive(
        mut self,
        address: SocketAddr,
        parameters: &Parameters,
        start_ms: i64,
        load: &Load,
        barrier: &Barrier,
    ) -> Result<Finished> {
        let mut latency_us = Histogram::<u64>::new(3).map_err(Error::other)?;
        let mut encoder = snap::raw::Encoder::new();
        let mut body = Vec::new();
        let mut connection = Connection::open(address);
        let headers = parameters.protocol.headers();
        let pause = parameters.samples_per_second.map(|rate| {
            let lane_rate = rate as f64 / parameters.connection_count as f64;
            Duration::from_secs_f64(parameters.series_per_request as f64 / lane_rate)
        });
        let mut due = Instant::now();
        let (mut failure, mut round, mut is_whole) = (None, 0, true);
        'rounds: loop {
            let timestamp_ms = start_ms + round * parameters.interval_ms;
            if timestamp_ms > unix_ms() {
                break; // The workload has caught up with the present: nothing more in order.
            }
            for index in 0..self.requests.len() {
                if load.stop.load(Ordering::Relaxed) {
                    break 'rounds;
                }
                let Request { template, first_value, .. } = &mut self.requests[index];
                template.fill(
                    timestamp_ms,
                    &mut self.values,
                    *first_value,
                    &mut encoder,
                    &mut body,
                );
                let samples = template.series_count() as u64;
                let mut sent_at = Instant::now();
                if let (Some(pause), true) = (pause, round > 0) {
                    std::thread::sleep(due.saturating_duration_since(sent_at));
                    sent_at = due;
                    due += pause;
                }
                let answer = match &mut connection {
                    Ok(connection) => connection.post("/api/v1/write", headers, &body),
                    Err(error) => Err(Error::other(error.to_string())),
                };
                match answer {
                    Ok(response) if response.status / 100 == 2 => {
                        if load.measuring.load(Ordering::Relaxed) {
                            let elapsed_us = sent_at.elapsed().as_micros() as u64;
                            latency_us.record(elapsed_us.max(1)).map_err(Error::other)?;
                        }
                        load.acked_samples.fetch_add(samples, Ordering::Relaxed);
                        load.acked_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
                    }
                    Ok(response) if [429, 503].contains(&response.status) && pause.is_some() => {
                        load.refused_samples.fetch_add(samples, Ordering::Relaxed);
                        is_whole = false;
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
                due = Instant::now();
            }
            self.replace(parameters.churn_per_round);
        }
        if round == 0 {
            barrier.wait(); // Nobody waits for a lane that failed in its first round.
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(Finished { latency_us, rounds: if is_whole { round } else { 0 } }),
        }
    }
}
