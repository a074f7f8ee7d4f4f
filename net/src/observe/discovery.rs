//! What discovery counts, under Prometheus's names.

use std::sync::atomic::Ordering;

use engine::model::MetricType;

use crate::api::context::Context;
use crate::discovery::stats::ProviderStats;

use super::page::Page;

pub fn write(out: &mut Page<'_>, context: &Context) {
    let stats = &context.discovery;
    let counts = stats.counts().clone();
    let scrape = [("name", "scrape")];
    let mut of_scrape = |name: &str, help: &str, metric_type, value: u64| {
        out.family(name, help, metric_type);
        out.sample(name, &scrape, value as f64);
    };
    of_scrape(
        "prometheus_sd_received_updates_total",
        "Total number of update events received from the SD providers.",
        MetricType::Counter,
        counts.received,
    );
    of_scrape(
        "prometheus_sd_updates_total",
        "Total number of update events sent to the SD consumers.",
        MetricType::Counter,
        counts.sent,
    );
    of_scrape(
        "prometheus_sd_failed_configs",
        "Current number of service discovery configurations that failed to load.",
        MetricType::Gauge,
        counts.failed_configs,
    );
    let mut by_provider =
        |name: &str, help: &str, metric_type, of: &[(&str, fn(&ProviderStats) -> f64)]| {
            out.family(name, help, metric_type);
            for ((mechanism, config), stats) in &counts.providers {
                let labels = [("config", config.as_str()), ("mechanism", *mechanism)];
                for (suffix, of) in of {
                    out.sample(&format!("{name}{suffix}"), &labels, of(stats));
                }
            }
        };
    by_provider(
        "prometheus_sd_refresh_failures_total",
        "Number of refresh failures for the given SD mechanism.",
        MetricType::Counter,
        &[("", |stats| stats.failures as f64)],
    );
    by_provider(
        "prometheus_sd_refresh_duration_seconds",
        "The duration of a refresh in seconds for the given SD mechanism.",
        MetricType::Summary,
        &[("_sum", |stats| stats.refresh_seconds), ("_count", |stats| stats.refreshes as f64)],
    );
    by_provider(
        "prometheus_sd_last_update_timestamp_seconds",
        "Timestamp of the last update sent by the SD provider.",
        MetricType::Gauge,
        &[("", |stats| stats.last_update_seconds)],
    );
    let of_mechanism = |wanted: &str| -> u64 {
        let providers = counts.providers.iter();
        providers.filter(|((name, _), _)| *name == wanted).map(|(_, stats)| stats.failures).sum()
    };
    for (name, help, value) in [
        (
            "prometheus_sd_file_read_errors_total",
            "The number of File-SD read errors.",
            stats.file.read_error_count.load(Ordering::Relaxed),
        ),
        (
            "prometheus_sd_http_failures_total",
            "Number of HTTP service discovery refresh failures.",
            of_mechanism("http"),
        ),
        (
            "prometheus_sd_consul_rpc_failures_total",
            "The number of Consul RPC call failures.",
            of_mechanism("consul"),
        ),
        ("prometheus_sd_dns_lookups_total", "The number of DNS-SD lookups.", counts.dns_lookups),
        (
            "prometheus_sd_dns_lookup_failures_total",
            "The number of DNS-SD lookup failures.",
            counts.dns_failures,
        ),
        (
            "prometheus_sd_kubernetes_failures_total",
            "The number of failed WATCH/LIST requests.",
            counts.kubernetes_failures,
        ),
    ] {
        out.counter(name, help, value);
    }
    let name = "prometheus_sd_kubernetes_events_total";
    out.family(name, "The number of Kubernetes events handled.", MetricType::Counter);
    for ((role, event), count) in &counts.kubernetes_events {
        out.sample(name, &[("event", *event), ("role", role)], *count as f64);
    }
    let name = "prometheus_sd_file_mtime_seconds";
    let help = "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time.";
    out.family(name, help, MetricType::Gauge);
    for (file, seconds) in stats.file.mtimes() {
        out.sample(name, &[("filename", &file)], seconds);
    }
}
