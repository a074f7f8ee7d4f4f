//! Series as the query benchmarks of the field have them: pods with requests, responses, latency
//! histograms and memory.
//!
//! Source of the shape: thanos-io/promql-engine `engine/bench_test.go` (pods of three containers,
//! a sample every 30 s for two hours).

use super::Series;
use super::families::Kind;

/// Upper bounds of the latency histogram's buckets, and what each grows by in a step.
const BUCKETS: &[(&str, u32)] = &[
    ("0.005", 2),
    ("0.01", 5),
    ("0.025", 11),
    ("0.05", 19),
    ("0.1", 31),
    ("0.25", 47),
    ("0.5", 53),
    ("1", 57),
    ("2.5", 58),
    ("+Inf", 58),
];

/// Containers of a pod.
const CONTAINERS: &[&str] = &["app", "proxy", "sidecar"];

/// Metrics that every container has.
const METRICS: &[(&str, Kind)] = &[
    ("container_memory_bytes", Kind::GaugeBytes),
    ("http_requests_total", Kind::CounterWhole),
    ("http_responses_total", Kind::CounterWhole),
];

/// Series of one pod.
pub const POD_SERIES: usize = METRICS.len() * CONTAINERS.len() + BUCKETS.len();

/// Pods of a namespace.
pub const NAMESPACE_PODS: usize = 50;

/// The namespace of pod number `pod`.
pub fn namespace(pod: usize) -> String {
    format!("team-{}", pod / NAMESPACE_PODS)
}

/// The series of pod number `pod`.
pub fn pod_series(pod: usize) -> Vec<Series> {
    let namespace = namespace(pod);
    let name = format!("pod-{pod:06}");
    let series = |metric: &str, extra: (&'static str, &str), kind| {
        let mut labels = vec![
            ("__name__", metric.to_owned()),
            (extra.0, extra.1.to_owned()),
            ("namespace", namespace.clone()),
            ("pod", name.clone()),
        ];
        labels.sort_by_key(|(name, _)| *name);
        Series { labels, kind }
    };
    let mut all = Vec::with_capacity(POD_SERIES);
    for (metric, kind) in METRICS {
        for container in CONTAINERS {
            all.push(series(metric, ("container", container), *kind));
        }
    }
    let weight = pod as u32 % 7 + 1;
    for (bound, amount) in BUCKETS {
        let kind = Kind::CounterSteady(amount * weight);
        all.push(series("http_request_duration_seconds_bucket", ("le", bound), kind));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{POD_SERIES, pod_series};

    #[test]
    fn pods_have_distinct_sorted_series() {
        let all: Vec<_> = (0..30).flat_map(pod_series).collect();
        assert_eq!(all.len(), 30 * POD_SERIES);
        assert!(all.iter().all(|one| one.labels.is_sorted_by(|a, b| a.0 < b.0)));
        let distinct: HashSet<String> = all.iter().map(|one| format!("{:?}", one.labels)).collect();
        assert_eq!(distinct.len(), all.len());
    }
}
