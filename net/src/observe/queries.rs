//! Families about queries, those of the API and those of rules.
//!
//! Source: Prometheus `promql/engine.go` (`engineMetrics`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::model::MetricType;
use shards::query::{QueryOutcome, QueryTimings};
use shards::stats::Counter;

use crate::api::context::Context;

use super::durations::Durations;
use super::page::Page;

const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Queries that one shard answered, without those that failed.
#[derive(Default)]
pub struct QueryStats {
    queued: Durations,
    prepared: Durations,
    evaluated: Durations,
    samples: Counter,
    samples_read: Counter,
}

impl QueryStats {
    pub fn count(&self, outcome: &QueryOutcome, now: Instant) {
        let QueryTimings { queued, prepared, evaluated } = outcome.timings;
        let add = |to: &Durations, duration: Duration| to.add(now, duration.as_secs_f64());
        add(&self.queued, queued);
        add(&self.prepared, prepared);
        add(&self.evaluated, evaluated);
        self.samples.add(outcome.outcome.stats.queryable());
        self.samples_read.add(outcome.outcome.stats.read());
    }
}

pub fn write(out: &mut Page<'_>, shards: &[Arc<shards::stats::ShardStats>], context: &Context) {
    let total =
        |of: fn(&shards::stats::ShardStats) -> u64| shards.iter().map(|s| of(s)).sum::<u64>();
    let help = "The current number of queries being executed or waiting.";
    let current = total(|s| s.queries_active.get() + s.queries_waiting.get());
    out.gauge("prometheus_engine_queries", help, current as f64);
    let help = "The max number of concurrent queries.";
    let queries_max = context.flag("query.max-concurrency").and_then(|text| text.parse().ok());
    let queries_max = queries_max.unwrap_or(0.0);
    out.gauge("prometheus_engine_queries_concurrent_max", help, queries_max);
    let help = "State of the query log.";
    let is_open = f64::from(u8::from(context.query_log.is_open()));
    out.gauge("prometheus_engine_query_log_enabled", help, is_open);
    let help = "The number of query log failures.";
    out.counter("prometheus_engine_query_log_failures_total", help, context.query_log.failures());
    let help = "The total number of samples loaded by all queries \
                (full window per step for range-vector).";
    let samples = context.stats.iter().map(|stats| stats.queries.samples.get()).sum();
    out.counter("prometheus_engine_query_samples_total", help, samples);
    let help = "The total number of samples read by all queries \
                (only new points per step for range-vector).";
    let read = context.stats.iter().map(|stats| stats.queries.samples_read.get()).sum();
    out.counter("prometheus_engine_query_samples_read_total", help, read);
    let name = "prometheus_engine_query_duration_seconds";
    out.family(name, "Query timings", MetricType::Summary);
    let now = Instant::now();
    let slices: [(&str, fn(&QueryStats) -> &Durations); 3] = [
        ("inner_eval", |stats| &stats.evaluated),
        ("prepare_time", |stats| &stats.prepared),
        ("queue_time", |stats| &stats.queued),
    ];
    for (slice, of) in slices {
        let durations = context.stats.iter().map(|stats| of(&stats.queries).read(now));
        let durations = durations.reduce(|mut all, more| {
            all.merge(more);
            all
        });
        if let Some(durations) = durations {
            out.summary(name, &[("slice", slice)], &QUANTILES, &durations);
        }
    }
    let help = "Queries begun.";
    out.counter("hearth_queries_total", help, total(|s| s.queries.get()));
}
