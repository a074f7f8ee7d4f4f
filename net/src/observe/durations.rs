//! Durations of one kind of work: a sum, Prometheus's buckets, and the quantiles of the last ones.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Upper bounds of the classic buckets of Prometheus's histograms of such durations, in seconds.
pub const BOUNDS: [f64; 5] = [0.01, 0.1, 1.0, 10.0, f64::INFINITY];

/// Quantiles are those of the last ten minutes, and of so many durations at most.
const RECENT_AGE: Duration = Duration::from_secs(600);
const RECENT_COUNT_MAX: usize = 1024;

/// Locked for each duration and by readers; for work that takes longer than that.
#[derive(Debug, Default)]
pub struct Durations(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seconds: f64,
    /// Each duration in one.
    buckets: [u64; BOUNDS.len()],
    recent: VecDeque<(Instant, f64)>,
}

/// What a reader sees.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub count: u64,
    pub seconds: f64,
    /// Cumulative.
    pub buckets: [u64; BOUNDS.len()],
    /// Ascending.
    recent: Vec<f64>,
}

impl Durations {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Sums, whole after every addition.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, now: Instant, seconds: f64) {
        let mut inner = self.lock();
        inner.seconds += seconds;
        inner.buckets[BOUNDS.partition_point(|bound| *bound < seconds).min(BOUNDS.len() - 1)] += 1;
        if inner.recent.len() == RECENT_COUNT_MAX {
            inner.recent.pop_front();
        }
        inner.recent.push_back((now, seconds));
    }

    pub fn read(&self, now: Instant) -> Snapshot {
        let inner = self.lock();
        let mut buckets = inner.buckets;
        for index in 1..buckets.len() {
            buckets[index] += buckets[index - 1];
        }
        let is_recent = |at: Instant| now.saturating_duration_since(at) <= RECENT_AGE;
        let recent = inner.recent.iter().filter(|(at, _)| is_recent(*at));
        let mut recent: Vec<f64> = recent.map(|(_, seconds)| *seconds).collect();
        recent.sort_unstable_by(f64::total_cmp);
        Snapshot { count: buckets[BOUNDS.len() - 1], seconds: inner.seconds, buckets, recent }
    }
}

impl Snapshot {
    /// Adds what another place counted.
    pub fn merge(&mut self, other: Snapshot) {
        self.count += other.count;
        self.seconds += other.seconds;
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, count)| *sum += count);
        self.recent.extend(other.recent);
        self.recent.sort_unstable_by(f64::total_cmp);
    }

    /// NaN when nothing happened lately.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let rank = (quantile * self.recent.len() as f64).ceil() as usize;
        self.recent.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_last_ten_minutes() {
        let durations = Durations::default();
        let start = Instant::now();
        assert!(durations.read(start).quantile(0.5).is_nan());
        for step in 1..=100 {
            durations.add(start, f64::from(step) / 100.0);
        }
        let read = durations.read(start);
        assert_eq!((read.count, read.buckets), (100, [1, 10, 100, 100, 100]));
        assert_eq!([0.01, 0.5, 0.99].map(|q| read.quantile(q)), [0.01, 0.5, 0.99]);
        let later = start + RECENT_AGE + Duration::from_secs(1);
        durations.add(later, 20.0);
        let read = durations.read(later);
        assert_eq!((read.count, read.buckets[3], read.quantile(0.5)), (101, 100, 20.0));
    }
}
