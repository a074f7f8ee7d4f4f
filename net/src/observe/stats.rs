//! Counters of one shard's requests and scrapes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use shards::stats::Counter;

use crate::scrape::stats::ScrapeStats;

use super::queries::QueryStats;

/// Upper bounds of the buckets of request durations, in seconds; Prometheus's own.
pub const DURATION_BOUNDS: [f64; 10] =
    [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0, f64::INFINITY];

/// Requests of one route.
#[derive(Clone, Debug, Default)]
pub struct RouteStats {
    /// Requests by status code.
    pub by_code: Vec<(u16, u64)>,
    pub duration_seconds: f64,
    /// By bucket of [`DURATION_BOUNDS`], each request in one.
    pub buckets: [u64; DURATION_BOUNDS.len()],
}

#[derive(Debug, Default)]
pub struct RemoteWriteStats {
    pub requests: Counter,
    /// Refused because too many were under way.
    pub requests_refused: Counter,
    pub samples_with_invalid_labels: Counter,
    /// Exemplars that came and were refused.
    pub exemplars_dropped: Counter,
}

/// Written by one shard, read by whoever answers `/metrics`.
#[derive(Default)]
pub struct ShardStats {
    pub scrape: Arc<ScrapeStats>,
    pub remote_write: RemoteWriteStats,
    pub queries: QueryStats,
    pub request_panics: Counter,
    /// By route; locked once a request, and by readers.
    routes: Mutex<HashMap<&'static str, RouteStats, FixedState>>,
}

impl ShardStats {
    pub fn count_request(&self, route: &'static str, code: u16, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = DURATION_BOUNDS.partition_point(|bound| *bound < seconds);
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let stats = routes.entry(route).or_default();
        match stats.by_code.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => stats.by_code.push((code, 1)),
        }
        stats.duration_seconds += seconds;
        stats.buckets[bucket] += 1;
    }

    /// Adds this shard's counts to those of others.
    pub fn add_routes(&self, sum: &mut std::collections::BTreeMap<&'static str, RouteStats>) {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        for (route, stats) in routes.iter() {
            let total = sum.entry(route).or_default();
            for &(code, count) in &stats.by_code {
                match total.by_code.iter_mut().find(|(known, _)| *known == code) {
                    Some((_, sum)) => *sum += count,
                    None => total.by_code.push((code, count)),
                }
            }
            total.by_code.sort_unstable();
            total.duration_seconds += stats.duration_seconds;
            for (sum, count) in total.buckets.iter_mut().zip(stats.buckets) {
                *sum += count;
            }
        }
    }
}
