//! Counters of the scrape loops of one shard.

use shards::stats::Counter;

/// Written by the shard's loops, read by whoever answers `/metrics`.
#[derive(Debug, Default)]
pub struct ScrapeStats {
    pub scrapes: Counter,
    pub samples_appended: Counter,
    /// Distances between scrapes, summed in microseconds: how even the schedule is.
    pub interval_count: Counter,
    pub interval_sum_us: Counter,
    pub sample_limit_exceeded: Counter,
    pub body_limit_exceeded: Counter,
    pub label_limit_exceeded: Counter,
    pub bucket_limit_exceeded: Counter,
    pub cache_flushes_forced: Counter,
    pub duplicates: Counter,
    pub out_of_order: Counter,
    pub out_of_bounds: Counter,
    /// Scrapes whose samples the shards could not take.
    pub failed_commits: Counter,
}
