//! Whole queries over native histograms: what the scripts of the language cannot say.

use crate::model::{FloatHistogram, Labels};
use crate::plan::{Plan, PlanOptions, QueryTimes};
use crate::promql::{ParseOptions, parse};

use super::testing::{LocalScatter, block_on};
use super::{Outcome, Severity, evaluate};

fn run(
    text: &str,
    scatter: &LocalScatter,
    times: QueryTimes,
    options: &PlanOptions,
) -> Result<Outcome, String> {
    let ast = parse(text, &ParseOptions::ALL).map_err(|errors| errors.to_string())?;
    let plan = Plan::new(&ast, times, options).map_err(|error| error.to_string())?;
    block_on(evaluate(&plan, scatter)).map_err(|error| error.to_string())
}

/// One histogram that counts as 13 samples, every ten seconds.
const ONE: &str = "one {{schema:1 count:5 sum:20 buckets:[1 2 1 1]}}+{{schema:1 count:10 sum:5 \
                   buckets:[1 2 3 4]}}x100";

#[test]
fn the_bound_on_samples_counts_sizes() {
    let scatter = LocalScatter::load(&[ONE], 2);
    let at = QueryTimes::instant(201_000);
    for (samples_max, fits) in [(78, true), (77, false)] {
        let options = PlanOptions { samples_max, ..PlanOptions::default() };
        assert_eq!(run("one[60s]", &scatter, at, &options).is_ok(), fits);
        assert_eq!(run("rate(one[60s])", &scatter, at, &options).is_ok(), fits);
    }
    let options = PlanOptions { samples_max: 12, ..PlanOptions::default() };
    let refused = "query processing would load too many samples into memory in query execution";
    assert_eq!(run("one", &scatter, at, &options).unwrap_err(), refused);
    let bytes_max = 1000;
    let options = PlanOptions { bytes_max, ..PlanOptions::default() };
    assert!(run("one", &scatter, at, &options).is_ok());
    assert!(run("one[60s]", &scatter, at, &options).is_err());
}

/// Labels of the rows, dropped where operations drop them.
#[track_caller]
fn check_labels(text: &str, expected: &[&str]) {
    let lines = [
        r#"h{__type__="histogram", a="1"} {{count:1 sum:1 buckets:[1]}}x9"#,
        r#"h{__type__="histogram", a="2"} {{count:1 sum:1 buckets:[1]}}x9"#,
    ];
    for (shards, options) in
        [(1, PlanOptions::default()), (3, PlanOptions::default().without_rewrites())]
    {
        let scatter = LocalScatter::load(&lines, shards);
        let value = run(text, &scatter, QueryTimes::instant(50_000), &options).unwrap().value;
        let labels: Vec<Labels> =
            (0..value.row_count()).map(|row| value.labels(row).to_owned()).collect();
        let shown: Vec<String> = labels.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected, "{text}, {shards} shards");
    }
}

#[test]
fn numbers_of_histograms_keep_type_and_unit() {
    check_labels(r#"-h{a="1"}"#, &[r#"{a="1"}"#]);
    check_labels(r#"histogram_sum(h{a="1"})"#, &[r#"{__type__="histogram", a="1"}"#]);
    check_labels(r#"histogram_sum(rate(h{a="1"}[30s]))"#, &[r#"{a="1"}"#]);
    check_labels(r#"abs(histogram_sum(h{a="2"}))"#, &[r#"{a="2"}"#]);
    check_labels(r#"histogram_quantile(0.5, h{a="2"})"#, &[r#"{a="2"}"#]);
    check_labels("sum by (a) (h)", &[r#"{a="1"}"#, r#"{a="2"}"#]);
    check_labels(r#"limitk(1, h{a="1"})"#, &[r#"{__name__="h", __type__="histogram", a="1"}"#]);
    check_labels("sort(h)", &[]);
}

/// A rate over every window against the difference of its ends, with what was before resets: the
/// resets of a series are found once, windows must not notice.
#[test]
fn resets_found_once_are_those_of_every_window() {
    let mut random = 7u64;
    for _ in 0..20 {
        let mut line = "c".to_owned();
        let mut counts = Vec::new();
        let mut count = 0;
        for _ in 0..40 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            count = if random >> 60 == 0 { 1 } else { count + (random >> 40) % 5 };
            counts.push(count as f64);
            line += &format!(" {{{{count:{count} sum:{count} buckets:[{count}]}}}}");
        }
        let scatter = LocalScatter::load(&[&line], 1);
        let times = QueryTimes::range(100_000, 390_000, 10_000);
        let options = PlanOptions::default();
        let value = run("increase(c[80s])", &scatter, times, &options).unwrap().value;
        value.for_each_histogram(0, |time_ms, histogram| {
            let last = time_ms as usize / 10_000;
            let window = &counts[last - 7..=last];
            let rises = window.windows(2).map(|w| if w[1] < w[0] { w[1] } else { w[1] - w[0] });
            let rise: f64 = rises.sum();
            // Samples up to the right edge; to the left at most the way to zero.
            let to_zero = if rise > 0.0 { 70.0 * (window[0] / rise) } else { 10.0 };
            let expected = rise * ((70.0 + to_zero.min(10.0)) / 70.0);
            assert!((histogram.count - expected).abs() < 1e-9, "{time_ms}: {line}");
        });
    }
}

#[test]
fn floats_and_histograms_do_not_mix_and_it_is_said_where() {
    let lines = ["m{a=\"1\"} 1x9", "m{a=\"2\"} {{count:1 buckets:[1]}}x9"];
    let at = QueryTimes::instant(50_000);
    for shards in [1, 2, 5] {
        let scatter = LocalScatter::load(&lines, shards);
        let outcome = run("1 + sum(m)", &scatter, at, &PlanOptions::default()).unwrap();
        assert_eq!(outcome.value.row_count(), 0);
        let warning = "PromQL warning: encountered a mix of histograms and floats for aggregation \
                       (1:9)";
        assert_eq!(outcome.annotations.texts(Severity::Warning, "1 + sum(m)"), [warning]);
        let outcome = run("max(m)", &scatter, at, &PlanOptions::default()).unwrap();
        let info = "PromQL info: ignored histogram in max aggregation (1:5)";
        assert_eq!(outcome.annotations.texts(Severity::Info, "max(m)"), [info]);
    }
}

#[test]
fn a_histogram_is_shared_by_the_steps_it_stands_for() {
    let scatter = LocalScatter::load(&["h {{count:1 sum:2 buckets:[1]}}"], 1);
    let times = QueryTimes::range(0, 200_000, 1000);
    let options = PlanOptions { bytes_max: 20_000, ..PlanOptions::default() };
    let value = run("h", &scatter, times, &options).unwrap().value;
    let mut seen: Vec<*const FloatHistogram> = Vec::new();
    value.for_each_histogram(0, |_, histogram| seen.push(histogram));
    seen.dedup();
    assert_eq!(seen.len(), 1);
}

#[test]
fn buckets_that_do_not_go_together_are_said_once_a_group() {
    let custom = "{{schema:-53 count:1 sum:1 custom_values:[1] buckets:[1]}}x9";
    let lines: Vec<String> = (0..8)
        .flat_map(|index| {
            let exponential = "{{count:1 sum:1 buckets:[1]}}x9";
            [format!("c{{a=\"{index}\"}} {custom}"), format!("e{{a=\"{index}\"}} {exponential}")]
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for shards in [1, 2, 5] {
        for op in ["sum", "avg"] {
            let text = format!("{op}({{__name__=~\"c|e\"}})");
            let scatter = LocalScatter::load(&lines, shards);
            let at = QueryTimes::instant(50_000);
            let outcome = run(&text, &scatter, at, &PlanOptions::default()).unwrap();
            assert_eq!(outcome.value.row_count(), 0);
            let warnings = outcome.annotations.texts(Severity::Warning, &text);
            assert_eq!(warnings.len(), 1, "{text}, {shards} shards: {warnings:?}");
        }
    }
}
