//! The page of hearth's own metrics, under Prometheus's names where Prometheus has one.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::model::MetricType;
use http::StatusCode;

use crate::api::context::{Context, Readiness};
use crate::http::{Response, with_type};

use super::page::Page;
use super::stats::{DURATION_BOUNDS, RouteStats, ShardStats};
use super::{process, version};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// About what a page takes.
const PAGE_BYTES: usize = 16 << 10;

pub fn page(shards: &[Arc<shards::stats::ShardStats>], context: &Context) -> Response {
    let mut bytes = Vec::with_capacity(PAGE_BYTES);
    let mut out = Page::new(&mut bytes);
    write_build(&mut out, context);
    super::storage::write(&mut out, shards);
    super::queries::write(&mut out, shards, context);
    write_requests(&mut out, context);
    write_remote_write(&mut out, context);
    super::scraping::write(&mut out, context);
    super::discovery::write(&mut out, context);
    super::alerting::write(&mut out, context);
    if let Some(ship) = &context.ship {
        super::storage::write_shipping(&mut out, ship);
    }
    super::connections::write(&mut out, &context.connections);
    process::write(&mut out, context.started_ms);
    with_type(StatusCode::OK, CONTENT_TYPE, bytes)
}

fn write_build(out: &mut Page<'_>, context: &Context) {
    let help = "A metric with a constant '1' value labeled by version, revision, branch, \
                goversion from which prometheus was built, and the goos and goarch for the build.";
    out.family("prometheus_build_info", help, MetricType::Gauge);
    let labels = [
        ("branch", "hearth"),
        ("goarch", std::env::consts::ARCH),
        ("goos", std::env::consts::OS),
        ("goversion", ""),
        ("revision", version::HEARTH),
        ("tags", ""),
        ("version", version::PROMETHEUS),
    ];
    out.sample("prometheus_build_info", &labels, 1.0);
    let loaded = context.loaded();
    out.gauge(
        "prometheus_config_last_reload_successful",
        "Whether the last configuration reload attempt was successful.",
        f64::from(u8::from(loaded.is_last_reload_good)),
    );
    out.gauge(
        "prometheus_config_last_reload_success_timestamp_seconds",
        "Timestamp of the last successful configuration reload.",
        loaded.last_good_reload_ms as f64 / 1000.0,
    );
    let is_ready = context.readiness() == Readiness::Ready;
    let help = "Whether Prometheus startup was fully completed and the server is ready for \
                normal operation.";
    out.gauge("prometheus_ready", help, f64::from(u8::from(is_ready)));
    let help = "Number of shards, each a core with its own part of the series.";
    out.gauge("hearth_shards", help, context.shard_count as f64);
}

fn write_requests(out: &mut Page<'_>, context: &Context) {
    let mut routes: BTreeMap<&'static str, RouteStats> = BTreeMap::new();
    for stats in &context.stats {
        stats.add_routes(&mut routes);
    }
    out.family("prometheus_http_requests_total", "Counter of HTTP requests.", MetricType::Counter);
    for (route, stats) in &routes {
        for (code, count) in &stats.by_code {
            let labels = [("code", &*code.to_string()), ("handler", *route)];
            out.sample("prometheus_http_requests_total", &labels, *count as f64);
        }
    }
    let name = "prometheus_http_request_duration_seconds";
    out.family(name, "Histogram of latencies for HTTP requests.", MetricType::Histogram);
    for (route, stats) in &routes {
        let mut below = 0;
        for (bound, count) in DURATION_BOUNDS.iter().zip(stats.buckets) {
            below += count;
            out.bucket(&format!("{name}_bucket"), &[("handler", *route)], *bound, below);
        }
        out.sample(&format!("{name}_sum"), &[("handler", *route)], stats.duration_seconds);
        out.sample(&format!("{name}_count"), &[("handler", *route)], below as f64);
    }
    let panics = sum(context, |stats| stats.request_panics.get());
    let help = "Requests that ended by a panic and were answered 500.";
    out.counter("hearth_http_request_panics_total", help, panics);
}

fn sum(context: &Context, of: impl Fn(&ShardStats) -> u64) -> u64 {
    context.stats.iter().map(|stats| of(stats)).sum()
}

fn write_remote_write(out: &mut Page<'_>, context: &Context) {
    out.counter(
        "prometheus_api_remote_write_invalid_labels_samples_total",
        "The total number of received remote write samples and histogram samples which were \
         rejected due to invalid labels.",
        sum(context, |stats| stats.remote_write.samples_with_invalid_labels.get()),
    );
    out.counter(
        "hearth_remote_write_requests_total",
        "Remote write requests received.",
        sum(context, |stats| stats.remote_write.requests.get()),
    );
    out.counter(
        "hearth_remote_write_requests_refused_total",
        "Remote write requests refused, with 503, because too many were under way.",
        sum(context, |stats| stats.remote_write.requests_refused.get()),
    );
    out.counter(
        "hearth_remote_write_exemplars_dropped_total",
        "Exemplars received and refused: out of order, too long, in the future, of no series.",
        sum(context, |stats| stats.remote_write.exemplars_dropped.get()),
    );
}
