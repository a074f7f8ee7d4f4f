//! Native histograms from outside: taken in by remote_write 2.0, asked for, answered as Prometheus
//! does.

use serde_json::{Value, json};
use tests::http::encode;
use tests::process::unix_ms;
use tests::remote_write::{Histogram, send_histograms};
use tests::{Hearth, Options};

/// Two counters of histograms, one with custom bounds, that rise once a minute; and the time of
/// their newest samples.
fn with_histograms(options: Options) -> (Hearth, i64) {
    let hearth = Hearth::start(options);
    let newest_ms = unix_ms() / 60_000 * 60_000 - 60_000;
    let times = |index: i64| newest_ms - (2 - index) * 60_000;
    let exponential: Vec<Histogram> = (0..3)
        .map(|index| Histogram {
            timestamp_ms: times(index),
            start_ms: times(0) - 30_000,
            sum: 10.0 * (index + 1) as f64,
            zero_count: 1,
            zero_threshold: 0.25,
            buckets: vec![1, 0, 2 * (index as u64 + 1)],
            ..Histogram::default()
        })
        .collect();
    let custom: Vec<Histogram> = (0..3)
        .map(|index| Histogram {
            timestamp_ms: times(index),
            schema: -53,
            sum: 2.5,
            buckets: vec![1 + index as u64, 1],
            custom_bounds: vec![5.0],
            ..Histogram::default()
        })
        .collect();
    for (name, histograms) in [("exponential", exponential), ("custom", custom)] {
        let labels = [("__name__", name), ("job", "x")];
        let answer = send_histograms(hearth.address, &labels, &histograms).expect("an answer");
        assert_eq!((answer.status, answer.text()), (204, String::new()));
        assert_eq!(answer.header("x-prometheus-remote-write-histograms-written"), Some("3"));
    }
    (hearth, newest_ms)
}

#[track_caller]
fn check(hearth: &Hearth, query: &str, range: &str, expected: Value) {
    let path = if range.contains("start") { "query_range" } else { "query" };
    let answer = hearth.get(&format!("/api/v1/{path}?query={}&{range}", encode(query)));
    let json = answer.json();
    assert_eq!((answer.status, &json["data"]["result"]), (200, &expected), "{query}: {json}");
}

#[test]
fn histograms_are_answered_as_prometheus_does() {
    for shard_count in [1, 3] {
        let (hearth, newest_ms) = with_histograms(Options::receiver(shard_count));
        let s = newest_ms / 1000;
        let at = format!("time={s}");
        let check = |query: &str, expected: Value| check(&hearth, query, &at, expected);
        check(
            "exponential",
            json!([{"metric": {"__name__": "exponential", "job": "x"}, "histogram": [s, {
                "count": "8", "sum": "30",
                "buckets": [[3, "-0.25", "0.25", "1"], [0, "0.5", "1", "1"], [0, "2", "4", "6"]],
            }]}]),
        );
        check(
            "sum(increase(exponential[90s]))",
            json!([{"metric": {}, "histogram": [s, {
                "count": "3", "sum": "15", "buckets": [[0, "2", "4", "3"]],
            }]}]),
        );
        check(
            "histogram_quantile(0.75, custom)",
            json!([{"metric": {"job": "x"}, "value": [s, "5"]}]),
        );
        check("sum(histogram_count(custom))", json!([{"metric": {}, "value": [s, "4"]}]));
        let range = format!("start={}&end={s}&step=60", s - 60);
        self::check(
            &hearth,
            "custom",
            &range,
            json!([{"metric": {"__name__": "custom", "job": "x"}, "histograms": [
                [s - 60, {"count": "3", "sum": "2.5",
                    "buckets": [[3, "-Inf", "5", "2"], [0, "5", "+Inf", "1"]]}],
                [s, {"count": "4", "sum": "2.5",
                    "buckets": [[3, "-Inf", "5", "3"], [0, "5", "+Inf", "1"]]}],
            ]}]),
        );
        self::check(&hearth, "custom", "time=1", json!([]));
        let answer = hearth.get(&format!("/api/v1/query?query=sum(%7Bjob=%22x%22%7D)&{at}"));
        assert!(answer.text().contains("mix of histograms with exponential and custom buckets"));
    }
}

#[test]
fn start_timestamps_tell_of_resets_where_asked_for() {
    let mut options = Options::receiver(2);
    options.args.push("--enable-feature=use-start-timestamps".to_owned());
    let (hearth, newest_ms) = with_histograms(options);
    let s = newest_ms / 1000;
    let at = format!("time={s}");
    check(
        &hearth,
        "histogram_count(increase(exponential[5m]))",
        &at,
        json!([{"metric": {"job": "x"}, "value": [s, "8"]}]),
    );
}
