//! Families about what is stored, written and asked.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use engine::head::{LATENESS_BOUNDS_MS, Lateness};
use engine::model::MetricType;
use shards::stats::{Durations, Latencies, MaintenanceStats, ShardStats};

use super::page::Page;
use crate::ship::ShipStats;

/// Families of what is shipped to an object store.
pub fn write_shipping(out: &mut Page<'_>, stats: &ShipStats) {
    let help = "Blocks that were shipped.";
    out.counter("hearth_ship_blocks_total", help, stats.blocks.load(Relaxed));
    let help = "Bytes of blocks that were sent.";
    out.counter("hearth_ship_bytes_total", help, stats.bytes.load(Relaxed));
    let help = "Times that shipping failed; it is tried again.";
    out.counter("hearth_ship_failures_total", help, stats.failures.load(Relaxed));
    let help = "Everything older than this was shipped; zero: nothing yet.";
    let shipped_before_ms = stats.shipped_before_ms.load(Relaxed);
    out.gauge("hearth_ship_before_timestamp_seconds", help, shipped_before_ms as f64 / 1000.0);
    let help = "Bytes of the block that is being shipped.";
    let current_bytes = stats.current_bytes.load(Relaxed);
    out.gauge("hearth_ship_current_bytes", help, current_bytes as f64);
    let help = "Bytes of that block that have arrived.";
    let done_bytes = stats.current_done_bytes.load(Relaxed);
    out.gauge("hearth_ship_current_done_bytes", help, done_bytes as f64);
}

pub fn write(out: &mut Page<'_>, stats: &[Arc<ShardStats>]) {
    let total = |of: fn(&ShardStats) -> u64| stats.iter().map(|stats| of(stats)).sum::<u64>();
    write_head(out, &total);
    write_times(out, stats);
    write_lateness(out, stats);
    let oldest_ms = stats.iter().map(|stats| stats.exemplar_oldest_ms.get());
    let oldest_ms = oldest_ms.filter(|&oldest_ms| oldest_ms > 0).min().unwrap_or(0);
    let help = "The timestamp of the oldest exemplar stored in circular storage. Useful to check \
                for what time range the current exemplar buffer limit allows. This usually means \
                the last timestamp for all exemplars for a typical setup. This is not true though \
                if one of the series timestamp is in future compared to rest series.";
    let name = "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds";
    out.gauge(name, help, oldest_ms as f64 / 1000.0);
    write_log(out, stats, &total);
    write_blocks(out, stats, &total);
}

type Total<'a> = &'a dyn Fn(fn(&ShardStats) -> u64) -> u64;

fn write_head(out: &mut Page<'_>, total: Total<'_>) {
    let help = "Total number of series in the head block.";
    out.gauge("prometheus_tsdb_head_series", help, total(|s| s.series.get()) as f64);
    let help = "Total number of stale series in the head block.";
    out.gauge("prometheus_tsdb_head_stale_series", help, total(|s| s.stale_series.get()) as f64);
    let help = "Total number of series created in the head";
    out.counter(
        "prometheus_tsdb_head_series_created_total",
        help,
        total(|s| s.series_created.get()),
    );
    let removed = total(|s| s.series_created.get().saturating_sub(s.series.get()));
    let help = "Total number of series removed in the head";
    out.counter("prometheus_tsdb_head_series_removed_total", help, removed);
    let help = "Total number of chunks in the head block.";
    out.gauge("prometheus_tsdb_head_chunks", help, total(|s| s.chunks.get()) as f64);
    let name = "prometheus_tsdb_head_samples_appended_total";
    out.family(name, "Total number of appended samples.", MetricType::Counter);
    out.sample(name, &[("type", "float")], total(|s| s.samples_accepted.get()) as f64);
    out.sample(name, &[("type", "histogram")], total(|s| s.histograms_accepted.get()) as f64);
    for (name, help, floats, histograms) in [
        (
            "prometheus_tsdb_head_out_of_order_samples_appended_total",
            "Total number of appended out of order samples.",
            total(|s| s.samples_late.get()),
            total(|s| s.histograms_late.get()),
        ),
        (
            "prometheus_tsdb_out_of_order_samples_total",
            "Total number of out of order samples ingestion failed attempts due to out of order \
             being disabled.",
            total(|s| s.samples_refused.out_of_order()),
            total(|s| s.histograms_refused.out_of_order()),
        ),
        (
            "prometheus_tsdb_out_of_bound_samples_total",
            "Total number of out of bound samples ingestion failed attempts with out of order \
             support disabled.",
            total(|s| s.samples_refused.out_of_bounds()),
            total(|s| s.histograms_refused.out_of_bounds()),
        ),
        (
            "prometheus_tsdb_too_old_samples_total",
            "Total number of out of order samples ingestion failed attempts with out of support \
             enabled, but sample outside of time window.",
            total(|s| s.samples_refused.too_old()),
            total(|s| s.histograms_refused.too_old()),
        ),
    ] {
        out.family(name, help, MetricType::Counter);
        out.sample(name, &[("type", "float")], floats as f64);
        out.sample(name, &[("type", "histogram")], histograms as f64);
    }
    write_exemplars(out, total);
    write_hearths_own(out, total);
}

/// Times of the oldest and the newest sample, over all shards.
fn write_times(out: &mut Page<'_>, stats: &[Arc<ShardStats>]) {
    let all = |of: fn(&ShardStats) -> u64| stats.iter().map(move |stats| of(stats) as i64);
    let head_min_ms = all(|s| s.head_oldest_ms.get()).min().unwrap_or(i64::MAX);
    let head_max_ms = all(|s| s.head_newest_ms.get()).max().unwrap_or(i64::MIN);
    let lowest_ms = all(|s| s.oldest_ms.get()).min().unwrap_or(i64::MAX);
    for (name, of, value_ms) in [
        ("prometheus_tsdb_head_min_time", "Minimum time bound of the head block.", head_min_ms),
        ("prometheus_tsdb_head_max_time", "Maximum timestamp of the head block.", head_max_ms),
        (
            "prometheus_tsdb_lowest_timestamp",
            "Lowest timestamp value stored in the database.",
            lowest_ms,
        ),
    ] {
        let help = format!("{of} The unit is decided by the library consumer.");
        out.gauge(name, &help, value_ms as f64);
        out.gauge(&format!("{name}_seconds"), of, (value_ms / 1000) as f64);
    }
}

fn write_hearths_own(out: &mut Page<'_>, total: Total<'_>) {
    let help = "Samples that were stored already, bit for bit: retries.";
    out.counter("hearth_samples_repeated_total", help, total(|s| s.samples_repeated.get()));
    let help = "Bytes of memory that series, chunks and their index take.";
    out.gauge("hearth_store_bytes", help, total(|s| s.store_bytes.get()) as f64);
    let help = "Panics that ended a task and nothing else.";
    out.counter("hearth_task_panics_total", help, total(|s| s.task_panics.get()));
    let help = "Times that a shard did not turn for more than a second.";
    out.counter("hearth_shard_stalls_total", help, total(|s| s.stalls.get()));
}

fn write_lateness(out: &mut Page<'_>, stats: &[Arc<ShardStats>]) {
    let mut all = Lateness::default();
    stats.iter().for_each(|stats| stats.lateness.add_to(&mut all));
    let name = "prometheus_tsdb_sample_ooo_delta";
    let help = "Delta in seconds by which a sample is considered out of order (reported regardless \
                of OOO time window and whether sample is accepted or not).";
    out.family(name, help, MetricType::Histogram);
    let bounds = LATENESS_BOUNDS_MS.iter().map(|&bound_ms| bound_ms as f64 / 1e3);
    let mut count = 0;
    for (bound, own) in bounds.chain([f64::INFINITY]).zip(all.counts) {
        count += own;
        out.bucket(&format!("{name}_bucket"), &[], bound, count);
    }
    out.sample(&format!("{name}_sum"), &[], all.sum_ms as f64 / 1e3);
    out.sample(&format!("{name}_count"), &[], count as f64);
}

fn write_exemplars(out: &mut Page<'_>, total: Total<'_>) {
    let help = "Total number of appended exemplars.";
    let name = "prometheus_tsdb_exemplar_exemplars_appended_total";
    out.counter(name, help, total(|s| s.exemplars_accepted.get()));
    let help = "Total number of out of order exemplar ingestion failed attempts.";
    let name = "prometheus_tsdb_exemplar_out_of_order_exemplars_total";
    out.counter(name, help, total(|s| s.exemplars_out_of_order.get()));
    for (name, help, value) in [
        (
            "prometheus_tsdb_exemplar_exemplars_in_storage",
            "Number of exemplars currently in circular storage.",
            total(|s| s.exemplars.get()),
        ),
        (
            "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
            "Number of series with exemplars currently in circular storage.",
            total(|s| s.exemplar_series.get()),
        ),
        (
            "prometheus_tsdb_exemplar_max_exemplars",
            "Total number of exemplars the exemplar storage can store, resizeable.",
            total(|s| s.exemplars_max.get()),
        ),
    ] {
        out.gauge(name, help, value as f64);
    }
}

fn write_log(out: &mut Page<'_>, stats: &[Arc<ShardStats>], total: Total<'_>) {
    let help = "WAL segment index that TSDB is currently writing to.";
    let segment = total(|s| s.wal.segment.get());
    out.gauge("prometheus_tsdb_wal_segment_current", help, segment as f64);
    let help = "Total number of write log writes that failed.";
    let failures = total(|s| s.wal.write_failures.get() + s.wal.sync_failures.get());
    out.counter("prometheus_tsdb_wal_writes_failed_total", help, failures);
    let name = "prometheus_tsdb_wal_fsync_duration_seconds";
    let (mut write_count, mut written) = (0, Duration::ZERO);
    for stats in stats {
        write_count += stats.wal.writes.count();
        written += stats.wal.writes.total();
    }
    out.family(name, "Duration of write log fsync.", MetricType::Summary);
    out.sum_and_count(name, &[], written.as_secs_f64(), write_count);
    let help = "Duration of writes of the log, each with its sync, by shard.";
    write_latencies(out, "hearth_wal_write_duration_seconds", help, stats, |s| &s.wal.writes);
    let help = "For how long a shard did not look at its sockets, timers and disk, by shard.";
    write_latencies(out, "hearth_shard_round_duration_seconds", help, stats, |s| &s.rounds);
    let help = "Frames of the log that are durable.";
    out.counter("hearth_wal_frames_total", help, total(|s| s.wal.frames.get()));
    let help = "Bytes written to the log.";
    out.counter("hearth_wal_bytes_total", help, total(|s| s.wal.bytes.get()));
    let help = "Shards whose disk takes nothing at present, so that they refuse samples.";
    out.gauge("hearth_wal_read_only_shards", help, total(|s| s.wal.is_read_only.get()) as f64);
    let help = "Shards that refuse samples because the disk has too little room left.";
    out.gauge("hearth_disk_space_low_shards", help, total(|s| s.is_space_low.get()) as f64);
    let help = "Bytes that wait to be written to the log.";
    out.gauge("hearth_wal_queued_bytes", help, total(|s| s.wal.queued_bytes.get()) as f64);
    let help = "Anonymous memory of the process.";
    out.gauge("hearth_memory_used_bytes", help, total(|s| s.memory_used_bytes.get()) as f64);
    let help = "Memory that the process may use; near it no new series are taken. Zero: no limit.";
    out.gauge("hearth_memory_limit_bytes", help, total(|s| s.memory_limit_bytes.get()) as f64);
    let help = "Parts of requests refused because too much waits to be written.";
    out.counter("hearth_ingest_parts_refused_total", help, total(|s| s.parts_refused.get()));
}

fn write_blocks(out: &mut Page<'_>, stats: &[Arc<ShardStats>], total: Total<'_>) {
    for (name, help, value) in [
        (
            "prometheus_tsdb_blocks_loaded",
            "Number of currently loaded data blocks",
            total(|s| s.maintenance.blocks.get()) as f64,
        ),
        (
            "prometheus_tsdb_storage_blocks_bytes",
            "The number of bytes that are currently used for local storage by all blocks.",
            total(|s| s.maintenance.block_bytes.get()) as f64,
        ),
        (
            "hearth_tsdb_parts",
            "Files that hold samples between memory and blocks.",
            total(|s| s.maintenance.parts.get()) as f64,
        ),
        (
            "hearth_tsdb_part_bytes",
            "Bytes of those files.",
            total(|s| s.maintenance.part_bytes.get()) as f64,
        ),
        (
            "hearth_wal_segments",
            "Segments of the log after the last flush.",
            total(|s| s.wal.segments.get()) as f64,
        ),
        (
            "hearth_disk_free_bytes",
            "Bytes that may still be written to the disk.",
            stats.iter().map(|s| s.disk_free_bytes.get()).min().unwrap_or(0) as f64,
        ),
    ] {
        out.gauge(name, help, value);
    }
    let first = |of: fn(&ShardStats) -> u64| stats.first().map_or(0.0, |stats| of(stats) as f64);
    let help = "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled";
    let bytes = first(|s| s.maintenance.retention_bytes.get());
    out.gauge("prometheus_tsdb_retention_limit_bytes", help, bytes);
    let help = "How long to retain samples in storage.";
    let retained = first(|s| s.maintenance.retention_ms.get()) / 1000.0;
    out.gauge("prometheus_tsdb_retention_limit_seconds", help, retained);
    let counters: [(&str, &str, fn(&MaintenanceStats) -> u64); 10] = [
        (
            "prometheus_tsdb_compactions_total",
            "Total number of compactions that were executed for the partition.",
            |m| m.compactions.count.get() + m.cuts.count.get(),
        ),
        (
            "prometheus_tsdb_compactions_failed_total",
            "Total number of compactions that failed for the partition.",
            |m| m.failures.get(),
        ),
        (
            "prometheus_tsdb_head_truncations_total",
            "Total number of head truncations attempted.",
            |m| m.cuts.count.get(),
        ),
        (
            "prometheus_tsdb_checkpoint_creations_total",
            "Total number of checkpoint creations attempted.",
            |m| m.flushes.count.get(),
        ),
        (
            "prometheus_tsdb_time_retentions_total",
            "The number of times that blocks were deleted because the maximum time limit was \
             exceeded.",
            |m| m.time_retentions.get(),
        ),
        (
            "prometheus_tsdb_size_retentions_total",
            "The number of times that blocks were deleted because the maximum number of bytes was \
             exceeded.",
            |m| m.size_retentions.get(),
        ),
        (
            "prometheus_tsdb_stale_series_compactions_triggered_total",
            "Total number of triggered stale series compactions.",
            |m| m.stale_compactions.count.get() + m.stale_compaction_failures.get(),
        ),
        (
            "prometheus_tsdb_stale_series_compactions_failed_total",
            "Total number of stale series compactions that failed.",
            |m| m.stale_compaction_failures.get(),
        ),
        (
            "hearth_scrubbed_bytes_total",
            "Bytes of parts and blocks that were read to find damage before a query does.",
            |m| m.scrubbed_bytes.get(),
        ),
        (
            "hearth_storage_damages_total",
            "Files, and places in logs, that did not hold what was written; each is told in the log.",
            |m| m.damages.get(),
        ),
    ];
    for (name, help, of) in counters {
        out.counter(name, help, stats.iter().map(|stats| of(&stats.maintenance)).sum());
    }
    let help = "Times that a shard has read all its parts and blocks.";
    out.counter("hearth_scrubs_total", help, total(|s| s.maintenance.scrubs.get()));
    let help = "Ranges of files that queries had to wait for, because they were not in memory.";
    out.counter("hearth_query_cold_ranges_total", help, total(|s| s.cold_ranges.get()));
    let durations: [(&str, &str, MetricType, fn(&ShardStats) -> Vec<&Durations>); 3] = [
        (
            "prometheus_tsdb_compaction_duration_seconds",
            "Duration of compaction runs",
            MetricType::Histogram,
            |s| vec![&s.maintenance.compactions, &s.maintenance.cuts],
        ),
        (
            "prometheus_tsdb_stale_series_compaction_duration_seconds",
            "Duration of stale series compaction runs.",
            MetricType::Histogram,
            |s| vec![&s.maintenance.stale_compactions],
        ),
        (
            "hearth_tsdb_flush_duration_seconds",
            "Duration of flushes of the head.",
            MetricType::Summary,
            |s| vec![&s.maintenance.flushes],
        ),
    ];
    for (name, help, kind, of) in durations {
        write_durations(out, name, help, kind, stats.iter().flat_map(|stats| of(stats)));
    }
}

/// A family of durations by shard, with buckets.
fn write_latencies(
    out: &mut Page<'_>,
    name: &str,
    help: &str,
    stats: &[Arc<ShardStats>],
    of: fn(&ShardStats) -> &Latencies,
) {
    out.family(name, help, MetricType::Histogram);
    for (shard, stats) in stats.iter().enumerate() {
        let (shard, latencies) = (shard.to_string(), of(stats));
        let labels = [("shard", shard.as_str())];
        let mut count = 0;
        for (bound, own) in Latencies::bounds().zip(latencies.counts()) {
            count += own;
            out.bucket(&format!("{name}_bucket"), &labels, bound, count);
        }
        out.sum_and_count(name, &labels, latencies.total().as_secs_f64(), count);
    }
}

/// A family of durations of which only their number and sum are known.
fn write_durations<'a>(
    out: &mut Page<'_>,
    name: &str,
    help: &str,
    kind: MetricType,
    all: impl Iterator<Item = &'a Durations>,
) {
    let (mut count, mut total_ns) = (0, 0);
    for durations in all {
        count += durations.count.get();
        total_ns += durations.total_ns.get();
    }
    out.family(name, help, kind);
    if kind == MetricType::Histogram {
        // No other bucket: Prometheus's bounds are whole seconds up to hours, and tell nothing here.
        out.bucket(&format!("{name}_bucket"), &[], f64::INFINITY, count);
    }
    out.sum_and_count(name, &[], total_ns as f64 / 1e9, count);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_shards_did_is_added_up() {
        #[track_caller]
        fn check(record: fn(&MaintenanceStats), expected: &str) {
            let stats: Vec<Arc<ShardStats>> = (0..2).map(|_| Arc::default()).collect();
            stats.iter().for_each(|stats| record(&stats.maintenance));
            let mut page = vec![];
            write(&mut Page::new(&mut page), &stats);
            let page = String::from_utf8(page).unwrap();
            assert!(page.contains(expected), "{page}");
        }
        check(
            |stats| stats.stale_compactions.record(Duration::from_millis(1500)),
            "# TYPE prometheus_tsdb_stale_series_compaction_duration_seconds histogram\n\
             prometheus_tsdb_stale_series_compaction_duration_seconds_bucket{le=\"+Inf\"} 2\n\
             prometheus_tsdb_stale_series_compaction_duration_seconds_sum 3\n\
             prometheus_tsdb_stale_series_compaction_duration_seconds_count 2\n",
        );
        check(
            |stats| {
                stats.cuts.record(Duration::from_secs(1));
                stats.compactions.record(Duration::from_secs(2));
            },
            "prometheus_tsdb_compaction_duration_seconds_sum 6\n\
             prometheus_tsdb_compaction_duration_seconds_count 4\n",
        );
        check(
            |stats| stats.flushes.record(Duration::from_secs(1)),
            "# TYPE hearth_tsdb_flush_duration_seconds summary\n\
             hearth_tsdb_flush_duration_seconds_sum 2\n",
        );
        check(|stats| stats.damages.add(3), "\nhearth_storage_damages_total 6\n");
    }
}
