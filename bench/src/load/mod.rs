//! remote_write as load: connections that each send a share of the series, round after round, a
//! sample of each series a round.
//!
//! ```text
//! round 0   makes the series, as fast as the server takes them
//! then      a closed loop: the next request when the last was answered
//!           with a rate: by a schedule, as close to it as the server lets it
//! ```
//!
//! The connections stay together in the samples' own time: what comes an hour behind the newest sample is
//! too old for servers.

mod lane;

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::body::Protocol;
use crate::workload::{Series, instance_series};
use lane::Lane;

/// What is sent, but for how fast.
#[derive(Clone, Debug)]
pub struct Shape {
    pub protocol: Protocol,
    /// The series of an instance, by its number and their count.
    pub instance: fn(usize, usize) -> Vec<Series>,
    pub series_per_instance: usize,
    pub series_count: usize,
    pub series_per_request: usize,
    pub connection_count: usize,
    /// Distance of two samples of a series in their own time.
    pub interval_ms: i64,
    /// Share of the instances that are replaced by new ones after each round.
    pub churn_per_round: f64,
    pub seed: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            protocol: Protocol::V1,
            instance: instance_series,
            series_per_instance: 1000,
            series_count: 100_000,
            series_per_request: 2000,
            connection_count: 4,
            interval_ms: 15_000,
            churn_per_round: 0.0,
            seed: 1,
        }
    }
}

impl Shape {
    /// Share replaced after each round, if `percent` are in `minutes` of the samples' own time.
    pub fn churn_of(&self, percent: f64, minutes: f64) -> f64 {
        percent / 100.0 * (self.interval_ms as f64 / 60_000.0) / minutes
    }
}

/// By how much of the samples' own time a connection may lead the slowest.
const LEAD_MS_MAX: i64 = 20 * 60 * 1000;

/// What all connections count together, and what they are told.
pub struct Load {
    /// Whole rounds of each connection; of one that has ended, more than any has.
    rounds: Vec<AtomicI64>,
    acked_samples: AtomicU64,
    acked_bytes: AtomicU64,
    refused_samples: AtomicU64,
    running_count: AtomicUsize,
    stop: AtomicBool,
    /// Samples a second over all connections; zero: a closed loop.
    rate: AtomicU64,
    /// Counts the schedules: what is behind in one is forgotten in the next.
    schedule: AtomicU64,
    /// Of acknowledged requests, since when they were due.
    latency_us: Mutex<Histogram<u64>>,
    /// By how much a connection that waited for its schedule woke late: what the generator itself
    /// adds to latencies, for want of a core.
    longest_oversleep_us: AtomicU64,
}

/// Samples and bytes so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub acked_samples: u64,
    pub acked_bytes: u64,
    /// Answered with 429 or 503.
    pub refused_samples: u64,
}

impl std::ops::Sub for Totals {
    type Output = Totals;

    fn sub(self, before: Totals) -> Totals {
        Totals {
            acked_samples: self.acked_samples - before.acked_samples,
            acked_bytes: self.acked_bytes - before.acked_bytes,
            refused_samples: self.refused_samples - before.refused_samples,
        }
    }
}

fn latencies() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}

impl Load {
    fn new(connection_count: usize) -> Load {
        Load {
            rounds: (0..connection_count).map(|_| AtomicI64::default()).collect(),
            acked_samples: AtomicU64::default(),
            acked_bytes: AtomicU64::default(),
            refused_samples: AtomicU64::default(),
            running_count: AtomicUsize::default(),
            stop: AtomicBool::default(),
            rate: AtomicU64::default(),
            schedule: AtomicU64::default(),
            latency_us: Mutex::new(latencies()),
            longest_oversleep_us: AtomicU64::default(),
        }
    }

    pub fn totals(&self) -> Totals {
        let [acked_samples, acked_bytes, refused_samples] =
            [&self.acked_samples, &self.acked_bytes, &self.refused_samples]
                .map(|counter| counter.load(Ordering::Relaxed));
        Totals { acked_samples, acked_bytes, refused_samples }
    }

    /// Says how many whole rounds a connection has; whether it may begin another one.
    fn may_begin(&self, connection: usize, round: i64, interval_ms: i64) -> bool {
        self.rounds[connection].store(round, Ordering::Relaxed);
        let slowest = self.rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed)).min();
        slowest.is_none_or(|slowest| (round - slowest).saturating_mul(interval_ms) <= LEAD_MS_MAX)
    }

    /// Nobody waits for this connection any more.
    fn end(&self, connection: usize) {
        self.rounds[connection].store(i64::MAX, Ordering::Relaxed);
        self.running_count.fetch_sub(1, Ordering::Relaxed);
    }

    /// From now on so many samples a second; `None`: as many as the server takes.
    pub fn set_rate(&self, samples_per_second: Option<u64>) {
        self.rate.store(samples_per_second.unwrap_or(0), Ordering::Relaxed);
        self.schedule.fetch_add(1, Ordering::Relaxed);
    }

    /// Latencies in microseconds since the last call.
    pub fn take_latencies(&self) -> Histogram<u64> {
        let mut kept = self.latency_us.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut kept, latencies())
    }

    /// The longest since the last call.
    pub fn take_longest_oversleep(&self) -> Duration {
        Duration::from_micros(self.longest_oversleep_us.swap(0, Ordering::Relaxed))
    }

    /// Whether any connection still sends; none does when it has caught up with the present.
    pub fn is_running(&self) -> bool {
        self.running_count.load(Ordering::Relaxed) > 0
    }

    /// Ends the load.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps until all connections have ended or were told to, at most `duration`; `look` is called
    /// meanwhile.
    pub fn wait(&self, duration: Duration, mut look: impl FnMut() -> Result<()>) -> Result<()> {
        const LOOK_EVERY: Duration = Duration::from_millis(100);
        let begun = std::time::Instant::now();
        while self.is_running()
            && !self.is_stopped()
            && let Some(left) = duration.checked_sub(begun.elapsed())
        {
            std::thread::sleep(left.min(LOOK_EVERY));
            look()?;
        }
        Ok(())
    }
}

/// Sends from `start_ms` on. `during` is called when all series exist, and the load ends when it
/// returns. Returns its answer, and how many rounds every series has; zero if any request was
/// refused.
///
/// Errors: the first of `during` and of the connections, which fail on any answer that is neither
/// success nor, by a schedule, 429 or 503.
pub fn drive<R>(
    address: SocketAddr,
    shape: &Shape,
    start_ms: i64,
    during: impl FnOnce(&Load) -> Result<R>,
) -> Result<(R, i64)> {
    let load = &Load::new(shape.connection_count);
    let barrier = &Barrier::new(shape.connection_count + 1);
    load.running_count.store(shape.connection_count, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..shape.connection_count)
            .map(|lane| {
                scope.spawn(move || {
                    let driven = Lane::new(shape, lane).drive(address, start_ms, load, barrier);
                    load.end(lane);
                    driven
                })
            })
            .collect();
        barrier.wait(); // All series exist.
        let answer = during(load);
        load.stop();
        let mut rounds = i64::MAX; // Of the slowest connection: what every instance has.
        for lane in lanes {
            let lane = lane.join().map_err(|_| Error::other("a connection panicked"))??;
            rounds = rounds.min(lane);
        }
        Ok((answer?, rounds))
    })
}

#[cfg(test)]
mod tests {
    use super::{LEAD_MS_MAX, Load};

    #[test]
    fn a_connection_waits_for_the_slowest_that_still_sends() {
        let load = Load::new(3);
        load.running_count.store(3, std::sync::atomic::Ordering::Relaxed);
        let far = LEAD_MS_MAX / 1000;
        assert!(load.may_begin(0, far, 1000));
        assert!(!load.may_begin(0, far + 1, 1000));
        assert!(load.may_begin(1, 1, 1000));
        assert!(!load.may_begin(0, far + 1, 1000), "the third one has none");
        load.end(2);
        assert!(load.may_begin(0, far + 1, 1000));
        load.end(0);
        load.end(1);
        assert!(!load.is_running());
    }
}
