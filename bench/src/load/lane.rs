//! One connection's share of a remote_write workload, and the loop that sends it.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Barrier, PoisonError};
use std::time::{Duration, Instant};

use super::{Load, Shape};
use crate::body::Template;
use crate::client::Connection;
use crate::scenarios::unix_ms;
use crate::workload::{Series, Values};

/// How long a connection that is ahead of the others waits before it looks again: requests take longer.
const AHEAD_PAUSE: Duration = Duration::from_millis(1);

/// One request's series, with the place of their values.
struct Request {
    template: Template,
    first_value: usize,
    generation: u32,
}

/// The requests of one connection.
pub(super) struct Lane<'a> {
    shape: &'a Shape,
    number: usize,
    requests: Vec<Request>,
    values: Values,
    /// The request whose series are replaced next, and what has gathered towards that.
    replaced_next: usize,
    churn: f64,
}

impl<'a> Lane<'a> {
    pub fn new(shape: &'a Shape, number: usize) -> Lane<'a> {
        let instances = shape.series_count.div_ceil(shape.series_per_instance);
        let (mut requests, mut kinds, mut pending) = (Vec::new(), Vec::new(), Vec::new());
        let mut push = |series: &[Series]| {
            let template = Template::new(shape.protocol, series);
            requests.push(Request { template, first_value: kinds.len(), generation: 0 });
            kinds.extend(series.iter().map(|one| one.kind));
        };
        for instance in (number..instances).step_by(shape.connection_count) {
            let left = shape.series_count - instance * shape.series_per_instance;
            pending.extend((shape.instance)(instance, left.min(shape.series_per_instance)));
            while pending.len() >= shape.series_per_request {
                let rest = pending.split_off(shape.series_per_request);
                push(&pending);
                pending = rest;
            }
        }
        if !pending.is_empty() {
            push(&pending);
        }
        let values = Values::new(kinds, shape.seed + number as u64);
        Lane { shape, number, requests, values, replaced_next: 0, churn: 0.0 }
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

    /// Rounds over the requests until told to stop, or until they have caught up with the present.
    /// Latency counts from when a request was due. Returns the number of whole rounds; zero if any
    /// request was refused.
    pub fn drive(
        mut self,
        address: SocketAddr,
        start_ms: i64,
        load: &Load,
        barrier: &Barrier,
    ) -> Result<i64> {
        let mut made = Made(Some(barrier));
        let mut connection = Connection::open(address)?;
        let (mut encoder, mut body) = (snap::raw::Encoder::new(), Vec::new());
        let mut schedule = Schedule::default();
        let (mut round, mut is_whole) = (0, true);
        loop {
            let timestamp_ms = start_ms + round * self.shape.interval_ms;
            if timestamp_ms > unix_ms() {
                break; // Nothing more is in order.
            }
            while !load.may_begin(self.number, round, self.shape.interval_ms) && !load.is_stopped()
            {
                std::thread::sleep(AHEAD_PAUSE);
            }
            for index in 0..self.requests.len() {
                if load.is_stopped() {
                    return Ok(if is_whole { round } else { 0 });
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
                let due = if round == 0 { None } else { schedule.next(load, self.shape) };
                let sent_at = due.unwrap_or_else(Instant::now);
                let answer =
                    connection.post("/api/v1/write", self.shape.protocol.headers(), &body)?;
                match answer.status {
                    200..300 => {
                        let elapsed_us = (sent_at.elapsed().as_micros() as u64).max(1);
                        let mut latency_us =
                            load.latency_us.lock().unwrap_or_else(PoisonError::into_inner);
                        latency_us.record(elapsed_us).map_err(Error::other)?;
                        load.acked_samples.fetch_add(samples, Ordering::Relaxed);
                        load.acked_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
                    }
                    429 | 503 if due.is_some() => {
                        load.refused_samples.fetch_add(samples, Ordering::Relaxed);
                        is_whole = false;
                    }
                    status => {
                        let text = String::from_utf8_lossy(&answer.body).into_owned();
                        return Err(Error::other(format!("status {status}: {text}")));
                    }
                }
            }
            round += 1;
            if round == 1 {
                made.wait();
            }
            self.replace(self.shape.churn_per_round);
        }
        Ok(if is_whole { round } else { 0 })
    }
}

/// Tells at the end of the first round, or of a lane that ends in it, that nobody need wait for it.
struct Made<'a>(Option<&'a Barrier>);

impl Made<'_> {
    fn wait(&mut self) {
        if let Some(barrier) = self.0.take() {
            barrier.wait();
        }
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        self.wait();
    }
}

/// When the requests of a lane are due.
#[derive(Default)]
struct Schedule {
    number: u64,
    due: Option<Instant>,
}

impl Schedule {
    /// Waits until the next request is due, and says when that was; `None` in a closed loop.
    fn next(&mut self, load: &Load, shape: &Shape) -> Option<Instant> {
        let rate = load.rate.load(Ordering::Relaxed);
        if rate == 0 {
            return None;
        }
        let number = load.schedule.load(Ordering::Relaxed);
        if self.number != number {
            *self = Schedule { number, due: None };
        }
        let lane_rate = rate as f64 / shape.connection_count as f64;
        let pause = Duration::from_secs_f64(shape.series_per_request as f64 / lane_rate);
        let now = Instant::now();
        let due = self.due.unwrap_or(now);
        if now < due {
            std::thread::sleep(due - now);
            let oversleep_us = due.elapsed().as_micros() as u64;
            load.longest_oversleep_us.fetch_max(oversleep_us, Ordering::Relaxed);
        }
        self.due = Some(due + pause);
        Some(due)
    }
}
