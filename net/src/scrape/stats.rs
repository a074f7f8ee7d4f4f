//! Counters of scraping: of the loops of one thread, and of the pools of targets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use shards::stats::Counter;

use crate::observe::durations::Durations;

/// Written by a thread's loops, read by whoever answers `/metrics`.
#[derive(Debug, Default)]
pub struct ScrapeStats {
    pub scrapes: Counter,
    pub samples_appended: Counter,
    /// Distances between scrapes.
    intervals: ByInterval,
    /// Scrapes that ended, and how long they took with their commit, summed in microseconds.
    pub finished: Counter,
    pub duration_sum_us: Counter,
    pub sample_limit_exceeded: Counter,
    pub body_limit_exceeded: Counter,
    pub label_limit_exceeded: Counter,
    pub bucket_limit_exceeded: Counter,
    pub cache_flushes_forced: Counter,
    pub duplicates: Counter,
    pub out_of_order: Counter,
    pub out_of_bounds: Counter,
    pub exemplars_out_of_order: Counter,
    /// Scrapes whose samples the shards could not take.
    pub failed_commits: Counter,
}

impl ScrapeStats {
    /// Where loops of this interval note their distances.
    pub fn interval(&self, interval_ms: i64) -> Arc<Durations> {
        self.intervals.of(interval_ms)
    }

    pub fn intervals(&self) -> Vec<(i64, Arc<Durations>)> {
        self.intervals.read()
    }
}

/// Durations by interval in milliseconds.
#[derive(Debug, Default)]
pub struct ByInterval(Mutex<BTreeMap<i64, Arc<Durations>>>);

impl ByInterval {
    pub fn of(&self, interval_ms: i64) -> Arc<Durations> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(interval_ms).or_default().clone()
    }

    pub fn read(&self) -> Vec<(i64, Arc<Durations>)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(interval_ms, durations)| (*interval_ms, durations.clone())).collect()
    }
}

/// Counters of one pool; they outlive a reload that keeps its name.
#[derive(Debug, Default)]
pub struct PoolStats {
    pub syncs: Durations,
    pub failures: Counter,
}

/// Counters of all pools.
#[derive(Debug, Default)]
pub struct PoolSetStats {
    pub created: Counter,
    pub failed: Counter,
    pub reloads: Counter,
    pub reloads_failed: Counter,
    /// By interval.
    pub reload_lengths: ByInterval,
    pub target_limit_exceeded: Counter,
}
