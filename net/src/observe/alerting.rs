//! Families about rules and notices.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use engine::model::MetricType;
use shards::runtime;
use shards::stats::Counter;

use crate::api::context::Context;
use crate::notify::stats::LoopStats;
use crate::rules::cell::{GroupCell, GroupStats, GroupView};

use super::durations::Snapshot;
use super::page::Page;

pub fn write(out: &mut Page<'_>, context: &Context) {
    let now = runtime::now();
    let help = "The duration for a rule to execute.";
    let evaluations = context.rule_metrics.evaluations.read(now);
    let names = Names::of("prometheus_rule_evaluation_duration");
    let of_all = |snapshot: Snapshot| vec![(String::new(), snapshot)];
    write_durations(out, &names, help, &[0.5, 0.9, 0.99], &of_all(evaluations));
    let help = "The duration of rule group evaluations.";
    let iterations = context.rule_metrics.iterations.read(now);
    let names = Names::of("prometheus_rule_group_duration");
    write_durations(out, &names, help, &[0.01, 0.05, 0.5, 0.9, 0.99], &of_all(iterations));
    for (name, help, count) in [
        (
            "prometheus_template_text_expansions_total",
            "The total number of template text expansions.",
            &context.rule_metrics.expansions,
        ),
        (
            "prometheus_template_text_expansion_failures_total",
            "The total number of template text expansion failures.",
            &context.rule_metrics.expansion_failures,
        ),
    ] {
        out.family(name, help, MetricType::Counter);
        out.sample(name, &[], count.load(Ordering::Relaxed) as f64);
    }
    write_groups(out, &context.loaded().rules);
    write_notices(out, context);
}

/// Of a summary and of a histogram.
struct Names {
    summary: String,
    histogram: String,
}

impl Names {
    fn of(stem: &str) -> Names {
        let (summary, histogram) = (format!("{stem}_seconds"), format!("{stem}_histogram_seconds"));
        Names { summary, histogram }
    }
}

/// A summary and a histogram of the same durations, each with its Alertmanager or without.
fn write_durations(
    out: &mut Page<'_>,
    names: &Names,
    help: &str,
    quantiles: &[f64],
    durations: &[(String, Snapshot)],
) {
    let label = |alertmanager: &str| {
        (!alertmanager.is_empty()).then_some(("alertmanager", alertmanager.to_owned()))
    };
    out.family(&names.summary, help, MetricType::Summary);
    for (alertmanager, snapshot) in durations {
        let label = label(alertmanager);
        let labels: Vec<(&str, &str)> = label.iter().map(|(n, v)| (*n, v.as_str())).collect();
        out.summary(&names.summary, &labels, quantiles, snapshot);
    }
    out.family(&names.histogram, help, MetricType::Histogram);
    for (alertmanager, snapshot) in durations {
        let label = label(alertmanager);
        let labels: Vec<(&str, &str)> = label.iter().map(|(n, v)| (*n, v.as_str())).collect();
        out.histogram(&names.histogram, &labels, snapshot);
    }
}

fn write_groups(out: &mut Page<'_>, cells: &[Arc<GroupCell>]) {
    let counters: [(&str, &str, fn(&GroupStats) -> &Counter); 4] = [
        (
            "prometheus_rule_group_iterations_missed_total",
            "The total number of rule group evaluations missed due to slow rule group evaluation.",
            |stats| &stats.iterations_missed,
        ),
        (
            "prometheus_rule_group_iterations_total",
            "The total number of scheduled rule group evaluations, whether executed or missed.",
            |stats| &stats.iterations,
        ),
        ("prometheus_rule_evaluations_total", "The total number of rule evaluations.", |stats| {
            &stats.evaluations
        }),
        (
            "prometheus_rule_evaluation_failures_total",
            "The total number of rule evaluation failures.",
            |stats| &stats.failures,
        ),
    ];
    for (name, help, of) in counters {
        out.family(name, help, MetricType::Counter);
        for cell in cells {
            let value = of(&cell.stats).get() as f64;
            out.sample(name, &[("rule_group", &cell.key())], value);
        }
    }
    let gauges: [(&str, &str, fn(&GroupCell, &GroupView) -> Option<f64>); 7] = [
        ("prometheus_rule_group_interval_seconds", "The interval of a rule group.", |cell, _| {
            Some(cell.spec.interval_ms as f64 / 1000.0)
        }),
        (
            "prometheus_rule_group_last_evaluation_timestamp_seconds",
            "The timestamp of the last rule group evaluation in seconds.",
            |_, view| Some(view.last_evaluation_ms.unwrap_or(0) as f64 / 1000.0),
        ),
        (
            "prometheus_rule_group_last_duration_seconds",
            "The duration of the last rule group evaluation.",
            |_, view| Some(view.seconds),
        ),
        (
            "prometheus_rule_group_last_rule_duration_sum_seconds",
            "The sum of time in seconds it took to evaluate each rule in the group regardless of \
             concurrency. This should be higher than the group duration if rules are evaluated \
             concurrently.",
            |_, view| Some(view.rule_seconds),
        ),
        (
            "prometheus_rule_group_last_restore_duration_seconds",
            "The duration of the last alert rules alerts restoration using the \
             `ALERTS_FOR_STATE` series.",
            |_, view| view.restore_seconds,
        ),
        ("prometheus_rule_group_rules", "The number of rules.", |cell, _| {
            Some(cell.spec.rules.len() as f64)
        }),
        (
            "prometheus_rule_group_last_evaluation_samples",
            "The number of samples returned during the last rule group evaluation.",
            |_, view| Some(view.sample_count as f64),
        ),
    ];
    for (name, help, of) in gauges {
        out.family(name, help, MetricType::Gauge);
        for cell in cells {
            if let Some(value) = of(cell, &cell.view()) {
                out.sample(name, &[("rule_group", &cell.key())], value);
            }
        }
    }
}

fn write_notices(out: &mut Page<'_>, context: &Context) {
    let known = context.notify.alertmanagers();
    // Two sections may name the same Alertmanager: its samples are their sums.
    let mut urls: Vec<&str> = known.loops.iter().map(|stats| stats.url.as_str()).collect();
    urls.sort_unstable();
    urls.dedup();
    let of_url = |url: &str| {
        let url = url.to_owned();
        known.loops.iter().filter(move |stats| stats.url == url)
    };
    let now = runtime::now();
    let latencies: Vec<(String, Snapshot)> = urls
        .iter()
        .filter_map(|url| {
            let snapshots = of_url(url).map(|stats| stats.latency.read(now));
            snapshots.max_by_key(|snapshot| snapshot.count).map(|all| ((*url).to_owned(), all))
        })
        .filter(|(_, snapshot)| snapshot.count > 0)
        .collect();
    let names = Names::of("prometheus_notifications_latency");
    let help = "Latency quantiles for sending alert notifications.";
    write_durations(out, &names, help, &[0.5, 0.9, 0.99], &latencies);
    let families: [(&str, &str, MetricType, fn(&LoopStats) -> &Counter); 4] = [
        (
            "prometheus_notifications_errors_total",
            "Total number of sent alerts affected by errors.",
            MetricType::Counter,
            |stats| &stats.errors,
        ),
        (
            "prometheus_notifications_sent_total",
            "Total number of alerts sent.",
            MetricType::Counter,
            |stats| &stats.sent,
        ),
        (
            "prometheus_notifications_dropped_total",
            "Total number of alerts dropped due to errors when sending to Alertmanager.",
            MetricType::Counter,
            |stats| &stats.dropped,
        ),
        (
            "prometheus_notifications_queue_length",
            "The number of alert notifications in the queue.",
            MetricType::Gauge,
            |stats| &stats.queue_length,
        ),
    ];
    for (name, help, kind, of) in families {
        out.family(name, help, kind);
        for url in &urls {
            let sum: u64 = of_url(url).map(|stats| of(stats).get()).sum();
            out.sample(name, &[("alertmanager", url)], sum as f64);
        }
    }
    out.gauge(
        "prometheus_notifications_queue_capacity",
        "The capacity of the alert notifications queue.",
        context.notify.queue_capacity.get() as f64,
    );
    out.gauge(
        "prometheus_notifications_alertmanagers_discovered",
        "The number of alertmanagers discovered and active.",
        known.active.len() as f64,
    );
    out.counter(
        "hearth_notifications_not_taken_total",
        "Alerts that were not handed over to be sent, because too many waited.",
        context.notify.not_taken.load(Ordering::Relaxed),
    );
}
