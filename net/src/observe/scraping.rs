//! What scraping tells about itself.
//!
//! Source: Prometheus `scrape/metrics.go`, `discovery/metrics.go`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use engine::model::MetricType;

use crate::api::context::{Context, NamedPool};
use crate::scrape::stats::ScrapeStats;

use super::durations::{BOUNDS, Snapshot};
use super::page::Page;

const QUANTILES: [f64; 5] = [0.01, 0.05, 0.5, 0.9, 0.99];

pub fn write(out: &mut Page<'_>, context: &Context) {
    write_scrapes(out, context);
    write_intervals(out, context);
    write_pools(out, context);
}

fn write_scrapes(out: &mut Page<'_>, context: &Context) {
    let total = |of: fn(&ScrapeStats) -> u64| -> u64 {
        context.stats.iter().map(|stats| of(&stats.scrape)).sum()
    };
    for (name, help, value) in [
        (
            "prometheus_target_scrapes_exceeded_sample_limit_total",
            "Total number of scrapes that hit the sample limit and were rejected.",
            total(|stats| stats.sample_limit_exceeded.get()),
        ),
        (
            "prometheus_target_scrapes_exceeded_body_size_limit_total",
            "Total number of scrapes that hit the body size limit",
            total(|stats| stats.body_limit_exceeded.get()),
        ),
        (
            "prometheus_target_scrape_pool_exceeded_label_limits_total",
            "Total number of times scrape pools hit the label limits, during sync or config \
             reload.",
            total(|stats| stats.label_limit_exceeded.get()),
        ),
        (
            "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
            "Total number of scrapes that hit the native histogram bucket limit and were rejected.",
            total(|stats| stats.bucket_limit_exceeded.get()),
        ),
        (
            "prometheus_target_scrapes_cache_flush_forced_total",
            "How many times a scrape cache was flushed due to getting big while scrapes are \
             failing.",
            total(|stats| stats.cache_flushes_forced.get()),
        ),
        (
            "prometheus_target_scrapes_sample_duplicate_timestamp_total",
            "Total number of samples rejected due to duplicate timestamps but different values.",
            total(|stats| stats.duplicates.get()),
        ),
        (
            "prometheus_target_scrapes_sample_out_of_order_total",
            "Total number of samples rejected due to not being out of the expected order.",
            total(|stats| stats.out_of_order.get()),
        ),
        (
            "prometheus_target_scrapes_sample_out_of_bounds_total",
            "Total number of samples rejected due to timestamp falling outside of the time \
             bounds.",
            total(|stats| stats.out_of_bounds.get()),
        ),
        (
            "prometheus_target_scrapes_exemplar_out_of_order_total",
            "Total number of exemplar rejected due to not being out of the expected order.",
            total(|stats| stats.exemplars_out_of_order.get()),
        ),
        ("hearth_scrapes_total", "Scrapes started.", total(|stats| stats.scrapes.get())),
        (
            "hearth_scrape_commits_failed_total",
            "Scrapes whose samples could not be stored.",
            total(|stats| stats.failed_commits.get()),
        ),
    ] {
        out.counter(name, help, value);
    }
    let name = "prometheus_target_scrape_duration_seconds";
    let help = "Total duration of the scrape from start to commit completion in seconds.";
    out.family(name, help, MetricType::Histogram);
    let count = total(|stats| stats.finished.get());
    out.bucket(&format!("{name}_bucket"), &[], f64::INFINITY, count);
    let seconds = total(|stats| stats.duration_sum_us.get()) as f64 / 1e6;
    out.sample(&format!("{name}_sum"), &[], seconds);
    out.sample(&format!("{name}_count"), &[], count as f64);
}

/// Distances of scrapes, by interval, of all threads together.
fn write_intervals(out: &mut Page<'_>, context: &Context) {
    let mut intervals: BTreeMap<i64, Snapshot> = BTreeMap::new();
    let now = Instant::now();
    for stats in &context.stats {
        for (interval_ms, durations) in stats.scrape.intervals() {
            let read = durations.read(now);
            match intervals.get_mut(&interval_ms) {
                Some(known) => known.merge(read),
                None => drop(intervals.insert(interval_ms, read)),
            }
        }
    }
    let intervals = intervals.into_iter().map(|(ms, read)| (go_duration(ms), read));
    let help = "Actual intervals between scrapes.";
    write_durations(
        out,
        "prometheus_target_interval_length",
        help,
        "interval",
        intervals.collect(),
    );
}

/// A summary and a histogram of the same durations.
fn write_durations(
    out: &mut Page<'_>,
    stem: &str,
    help: &str,
    label: &str,
    durations: Vec<(String, Snapshot)>,
) {
    let name = format!("{stem}_seconds");
    write_summary(out, &name, help, label, &durations);
    let name = format!("{stem}_histogram_seconds");
    out.family(&name, help, MetricType::Histogram);
    for (value, read) in &durations {
        for (bound, count) in BOUNDS.iter().zip(read.buckets) {
            out.bucket(&format!("{name}_bucket"), &[(label, value)], *bound, count);
        }
        write_sum(out, &name, (label, value), read);
    }
}

fn write_summary(
    out: &mut Page<'_>,
    name: &str,
    help: &str,
    label: &str,
    durations: &[(String, Snapshot)],
) {
    out.family(name, help, MetricType::Summary);
    for (value, read) in durations {
        for quantile in QUANTILES {
            let text = quantile.to_string();
            out.sample(name, &[(label, value), ("quantile", &text)], read.quantile(quantile));
        }
        write_sum(out, name, (label, value), read);
    }
}

fn write_sum(out: &mut Page<'_>, name: &str, label: (&str, &str), read: &Snapshot) {
    out.sample(&format!("{name}_sum"), &[label], read.seconds);
    out.sample(&format!("{name}_count"), &[label], read.count as f64);
}

fn write_pools(out: &mut Page<'_>, context: &Context) {
    let loaded = context.loaded();
    let pools = &loaded.pools;
    let set = &context.pool_stats;
    for (name, help, value) in [
        (
            "prometheus_target_scrape_pools_total",
            "Total number of scrape pool creation attempts.",
            set.created.get(),
        ),
        (
            "prometheus_target_scrape_pools_failed_total",
            "Total number of scrape pool creations that failed.",
            set.failed.get(),
        ),
        (
            "prometheus_target_scrape_pool_reloads_total",
            "Total number of scrape pool reloads.",
            set.reloads.get(),
        ),
        (
            "prometheus_target_scrape_pool_reloads_failed_total",
            "Total number of failed scrape pool reloads.",
            set.reloads_failed.get(),
        ),
        (
            "prometheus_target_scrape_pool_exceeded_target_limit_total",
            "Total number of times scrape pools hit the target limit, during sync or config \
             reload.",
            set.target_limit_exceeded.get(),
        ),
    ] {
        out.counter(name, help, value);
    }
    let now = Instant::now();
    let reloads = set.reload_lengths.read();
    let reloads: Vec<_> =
        reloads.iter().map(|(ms, lengths)| (go_duration(*ms), lengths.read(now))).collect();
    let help = "Actual interval to reload the scrape pool with a given configuration.";
    write_summary(out, "prometheus_target_reload_length_seconds", help, "interval", &reloads);
    let mut family = |name: &str, help: &str, kind, of: &dyn Fn(&NamedPool) -> f64| {
        out.family(name, help, kind);
        for pool in pools.iter() {
            out.sample(name, &[("scrape_job", &pool.name)], of(pool));
        }
    };
    family(
        "prometheus_target_scrape_pool_targets",
        "Current number of targets in this scrape pool.",
        MetricType::Gauge,
        &|pool| pool.pool.targets.len() as f64,
    );
    family(
        "prometheus_target_scrape_pool_target_limit",
        "Maximum number of targets allowed in this scrape pool.",
        MetricType::Gauge,
        &|pool| pool.job.config.target_limit as f64,
    );
    // A pool has no such table here, nor in Prometheus as it is built today.
    family(
        "prometheus_target_scrape_pool_symboltable_items",
        "Current number of symbols in table for this scrape pool.",
        MetricType::Gauge,
        &|_| 0.0,
    );
    family(
        "prometheus_target_metadata_cache_entries",
        "Total number of metric metadata entries in the cache",
        MetricType::Gauge,
        &|pool| {
            let counts = pool.pool.targets.iter().map(|target| target.status().metadata.len());
            counts.sum::<usize>() as f64
        },
    );
    family(
        "prometheus_target_metadata_cache_bytes",
        "The number of bytes that are currently used for storing metric metadata in the cache",
        MetricType::Gauge,
        &|pool| {
            let of_target = |target: &Arc<_>| metadata_bytes(target);
            pool.pool.targets.iter().map(of_target).sum::<usize>() as f64
        },
    );
    family(
        "prometheus_target_scrape_pool_sync_total",
        "Total number of syncs that were executed on a scrape pool.",
        MetricType::Counter,
        &|pool| pool.stats.syncs.read(now).count as f64,
    );
    family(
        "prometheus_target_sync_failed_total",
        "Total number of target sync failures.",
        MetricType::Counter,
        &|pool| pool.stats.failures.get() as f64,
    );
    let syncs = pools.iter().map(|pool| (pool.name.clone(), pool.stats.syncs.read(now)));
    let help = "Actual interval to sync the scrape pool.";
    write_durations(out, "prometheus_target_sync_length", help, "scrape_job", syncs.collect());
}

fn metadata_bytes(target: &crate::scrape::target::Target) -> usize {
    let metadata = target.status().metadata.clone();
    let bytes = metadata.iter().map(|family| {
        let texts = [&family.family, &family.metric_type, &family.help, &family.unit];
        texts.iter().map(|text| text.len()).sum::<usize>()
    });
    bytes.sum()
}

/// A duration as Go writes it: `15s`, `1m30s`, `1h0m0s`, `500ms`.
fn go_duration(ms: i64) -> String {
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let (seconds, minutes, hours) = (ms % 60_000, ms / 60_000 % 60, ms / 3_600_000);
    let seconds = seconds as f64 / 1000.0;
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::go_duration;

    #[test]
    fn durations_read_as_go_writes_them() {
        let shown = [500, 1000, 15_000, 60_000, 90_500, 3_600_000].map(go_duration);
        assert_eq!(shown, ["500ms", "1s", "15s", "1m0s", "1m30.5s", "1h0m0s"]);
    }
}
