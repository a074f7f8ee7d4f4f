//! What discovery counts, under Prometheus's names.

use std::sync::atomic::Ordering;
use std::time::Instant;

use engine::model::MetricType;
use shards::runtime;

use super::page::Page;
use crate::api::context::Context;
use crate::discovery::stats::{ConfigStats, Counts, DiscoveryStats, ManagerStats};

const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Mechanisms that Prometheus does not refresh: they have failures and durations of their own.
const NOT_REFRESHED: [&str; 2] = ["consul", "kuma"];

/// Of which events are counted, from zero on.
const KUBERNETES_ROLES: [&str; 6] =
    ["endpoints", "endpointslice", "ingress", "node", "pod", "service"];
const KUBERNETES_EVENTS: [&str; 3] = ["add", "delete", "update"];

pub fn write(out: &mut Page<'_>, context: &Context) {
    let stats = &context.discovery;
    let counts = stats.counts().clone();
    let now = runtime::now();
    write_managers(out, &counts);
    write_refreshes(out, &counts, now);
    write_mechanisms(out, stats, &counts, now);
    write_files(out, stats, now);
}

fn write_managers(out: &mut Page<'_>, counts: &Counts) {
    let mut of_manager = |name: &str, help: &str, metric_type, value: fn(&ManagerStats) -> u64| {
        out.family(name, help, metric_type);
        for (manager, stats) in &counts.managers {
            out.sample(name, &[("name", *manager)], value(stats) as f64);
        }
    };
    of_manager(
        "prometheus_sd_received_updates_total",
        "Total number of update events received from the SD providers.",
        MetricType::Counter,
        |stats| stats.received,
    );
    of_manager(
        "prometheus_sd_updates_total",
        "Total number of update events sent to the SD consumers.",
        MetricType::Counter,
        |stats| stats.sent,
    );
    of_manager(
        "prometheus_sd_updates_delayed_total",
        "Total number of update events that couldn't be sent immediately.",
        MetricType::Counter,
        |stats| stats.delayed,
    );
    of_manager(
        "prometheus_sd_failed_configs",
        "Current number of service discovery configurations that failed to load.",
        MetricType::Gauge,
        |stats| stats.failed_configs,
    );
    let mut of_config = |name: &str, help: &str, value: fn(&ConfigStats) -> f64| {
        if counts.managers.values().all(|stats| stats.configs.is_empty()) {
            return;
        }
        out.family(name, help, MetricType::Gauge);
        for (manager, stats) in &counts.managers {
            for (config, stats) in &stats.configs {
                let labels = [("config", config.as_str()), ("name", *manager)];
                out.sample(name, &labels, value(stats));
            }
        }
    };
    of_config(
        "prometheus_sd_discovered_targets",
        "Current number of discovered targets.",
        |stats| stats.target_count as f64,
    );
    of_config(
        "prometheus_sd_last_update_timestamp_seconds",
        "Timestamp of the last update sent to the SD consumers.",
        |stats| stats.last_update_seconds,
    );
}

fn write_refreshes(out: &mut Page<'_>, counts: &Counts, now: Instant) {
    let is_shown = |mechanism: &str| !NOT_REFRESHED.contains(&mechanism);
    let refreshes: Vec<_> =
        counts.refreshes.iter().filter(|((mechanism, _), _)| is_shown(mechanism)).collect();
    if !refreshes.is_empty() {
        let name = "prometheus_sd_refresh_failures_total";
        let help = "Number of refresh failures for the given SD mechanism.";
        out.family(name, help, MetricType::Counter);
        for ((mechanism, config), stats) in &refreshes {
            let labels = [("config", config.as_str()), ("mechanism", *mechanism)];
            out.sample(name, &labels, stats.failures as f64);
        }
        let name = "prometheus_sd_refresh_duration_seconds";
        let help = "The duration of a refresh in seconds for the given SD mechanism.";
        out.family(name, help, MetricType::Summary);
        for ((mechanism, config), stats) in &refreshes {
            let labels = [("config", config.as_str()), ("mechanism", *mechanism)];
            out.summary(name, &labels, &QUANTILES, &stats.durations.read(now));
        }
    }
    let durations: Vec<_> =
        counts.durations.iter().filter(|(mechanism, _)| is_shown(mechanism)).collect();
    if !durations.is_empty() {
        let name = "prometheus_sd_refresh_duration_histogram_seconds";
        let help = "The duration of a refresh for the given SD mechanism.";
        out.family(name, help, MetricType::Histogram);
        for (mechanism, durations) in durations {
            out.histogram(name, &[("mechanism", *mechanism)], &durations.read(now));
        }
    }
}

/// What single mechanisms count beside that.
fn write_mechanisms(out: &mut Page<'_>, stats: &DiscoveryStats, counts: &Counts, now: Instant) {
    let failures = |mechanism: &str| counts.failures.get(mechanism).copied().unwrap_or(0);
    for (name, help, value) in [
        (
            "prometheus_sd_file_read_errors_total",
            "The number of File-SD read errors.",
            stats.file.read_error_count.load(Ordering::Relaxed),
        ),
        (
            "prometheus_sd_file_watcher_errors_total",
            "The number of File-SD errors caused by filesystem watch failures.",
            stats.file.watch_error_count.load(Ordering::Relaxed),
        ),
        (
            "prometheus_sd_http_failures_total",
            "Number of HTTP service discovery refresh failures.",
            failures("http"),
        ),
        (
            "prometheus_sd_azure_failures_total",
            "Number of Azure service discovery refresh failures.",
            failures("azure"),
        ),
        (
            "prometheus_sd_azure_cache_hit_total",
            "Number of cache hit during refresh.",
            counts.azure_cache_hits,
        ),
        (
            "prometheus_sd_linode_failures_total",
            "Number of Linode service discovery refresh failures.",
            failures("linode"),
        ),
        (
            "prometheus_sd_nomad_failures_total",
            "Number of nomad service discovery refresh failures.",
            failures("nomad"),
        ),
        (
            "prometheus_sd_consul_rpc_failures_total",
            "The number of Consul RPC call failures.",
            failures("consul"),
        ),
        (
            "prometheus_sd_kuma_fetch_failures_total",
            "The number of Kuma MADS fetch call failures.",
            failures("kuma"),
        ),
        (
            "prometheus_sd_kuma_fetch_skipped_updates_total",
            "The number of Kuma MADS fetch calls that result in no updates to the targets.",
            counts.kuma_skipped,
        ),
        ("prometheus_sd_dns_lookups_total", "The number of DNS-SD lookups.", counts.dns_lookups),
        (
            "prometheus_sd_dns_lookup_failures_total",
            "The number of DNS-SD lookup failures.",
            counts.dns_failures,
        ),
        (
            "prometheus_treecache_zookeeper_failures_total",
            "The total number of ZooKeeper failures.",
            failures("serverset") + failures("nerve"),
        ),
        (
            "prometheus_sd_kubernetes_failures_total",
            "The number of failed WATCH/LIST requests.",
            counts.kubernetes_failures,
        ),
    ] {
        out.counter(name, help, value);
    }
    out.gauge(
        "prometheus_treecache_watcher_goroutines",
        "The current number of watcher goroutines.",
        counts.zookeeper_nodes as f64,
    );
    let name = "prometheus_sd_kubernetes_events_total";
    out.family(name, "The number of Kubernetes events handled.", MetricType::Counter);
    for role in KUBERNETES_ROLES {
        for event in KUBERNETES_EVENTS {
            let count = counts.kubernetes_events.get(&(role.to_owned(), event));
            let labels = [("event", event), ("role", role)];
            out.sample(name, &labels, count.copied().unwrap_or(0) as f64);
        }
    }
    if !counts.kubernetes_requests.is_empty() {
        let name = "prometheus_sd_kubernetes_http_request_total";
        let help = "Total number of HTTP requests to the Kubernetes API by status code.";
        out.family(name, help, MetricType::Counter);
        for (status, count) in &counts.kubernetes_requests {
            out.sample(name, &[("status_code", status)], *count as f64);
        }
        let name = "prometheus_sd_kubernetes_http_request_duration_seconds";
        let help = "Summary of latencies for HTTP requests to the Kubernetes API by endpoint.";
        out.family(name, help, MetricType::Summary);
        for (path, durations) in &counts.kubernetes_durations {
            out.summary(name, &[("endpoint", path)], &[], &durations.read(now));
        }
    }
    let name = "prometheus_sd_consul_rpc_duration_seconds";
    let help = "The duration of a Consul RPC call in seconds.";
    out.family(name, help, MetricType::Summary);
    for call in ["service", "services"] {
        let durations = counts.consul_durations.get(call).cloned().unwrap_or_default();
        let labels = [("call", call), ("endpoint", "catalog")];
        out.summary(name, &labels, &QUANTILES, &durations.read(now));
    }
    let name = "prometheus_sd_kuma_fetch_duration_seconds";
    out.family(name, "The duration of a Kuma MADS fetch call.", MetricType::Summary);
    let durations = counts.durations.get("kuma").cloned().unwrap_or_default();
    out.summary(name, &[], &QUANTILES, &durations.read(now));
}

fn write_files(out: &mut Page<'_>, stats: &DiscoveryStats, now: Instant) {
    let name = "prometheus_sd_file_scan_duration_seconds";
    let help = "The duration of the File-SD scan in seconds.";
    out.family(name, help, MetricType::Summary);
    out.summary(name, &[], &QUANTILES, &stats.file.scans.read(now));
    let name = "prometheus_sd_file_mtime_seconds";
    let help = "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time.";
    out.family(name, help, MetricType::Gauge);
    for (file, seconds) in stats.file.mtimes() {
        out.sample(name, &[("filename", &file)], seconds);
    }
}
