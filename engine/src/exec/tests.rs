//! Whole queries over one source and over three, with the rewrites and without. What the scripts
//! of the language cannot say: names dropped where an operation drops them (they run with names
//! dropped at the end), statistics, bounds, order.

use crate::model::Labels;
use crate::model::sample::stale_nan;
use crate::plan::{Plan, PlanOptions, QueryTimes};
use crate::promql::{ParseOptions, parse};

use super::testing::{LocalScatter, block_on};
use super::{Outcome, Severity, Value, evaluate};

/// Six counters in two groups that rise by their number each second; one gauge that is there for
/// the first half, another of the same labels for the second; a gauge that went stale.
fn data(shards: usize) -> LocalScatter {
    let mut scatter = LocalScatter::new(shards);
    for counter in 0..6 {
        let labels = Labels::from_pairs([
            ("__name__", "rises_total".to_owned()),
            ("group", (counter % 2).to_string()),
            ("counter", counter.to_string()),
        ]);
        for second in 0..100 {
            scatter.append(&labels, second * 1000, (second * counter) as f64);
        }
    }
    let early = Labels::from_pairs([("__name__", "early"), ("half", "yes")]);
    let late = Labels::from_pairs([("__name__", "late"), ("half", "yes")]);
    let gone = Labels::from_pairs([("__name__", "gone")]);
    scatter.append(&early, 1000, 1.0);
    scatter.append(&early, 45_000, stale_nan());
    scatter.append(&late, 50_000, 2.0);
    scatter.append(&gone, 10_000, 1.0);
    scatter.append(&gone, 20_000, stale_nan());
    scatter
}

fn run(
    text: &str,
    times: QueryTimes,
    options: &PlanOptions,
    shards: usize,
) -> Result<Outcome, String> {
    let ast = parse(text, &ParseOptions::ALL).map_err(|errors| errors.to_string())?;
    let plan = Plan::new(&ast, times, options).map_err(|error| error.to_string())?;
    block_on(evaluate(&plan, &data(shards))).map_err(|error| error.to_string())
}

fn show(value: &Value) -> Vec<String> {
    (0..value.row_count())
        .map(|row| {
            let mut line = value.labels(row).to_string();
            value.for_each_point(row, |time_ms, value| {
                line += &format!(" {value}@{}", time_ms / 1000);
            });
            line
        })
        .collect()
}

/// Runs `text` in all ways and wants the same from each: `Ok` rows or an error.
#[track_caller]
fn check_all(text: &str, times: QueryTimes, expected: Result<&[&str], &str>) {
    for shards in [1, 3] {
        for options in [PlanOptions::default(), PlanOptions::default().without_rewrites()] {
            let result = run(text, times, &options, shards).map(|outcome| show(&outcome.value));
            let expected = expected.map(|rows| rows.iter().map(|row| row.to_string()).collect());
            assert_eq!(result, expected.map_err(str::to_owned), "{text}, {shards} shards");
        }
    }
}

#[track_caller]
fn instant(text: &str, expected: &[&str]) {
    check_all(text, QueryTimes::instant(50_000), Ok(expected));
}

#[track_caller]
fn range(text: &str, expected: &[&str]) {
    check_all(text, QueryTimes::range(40_000, 60_000, 10_000), Ok(expected));
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    check_all(text, QueryTimes::instant(50_000), Err(expected));
}

#[test]
fn groups_come_together_from_all_shards() {
    range(
        "sum by (group) (rate(rises_total[10s]))",
        &[r#"{group="0"} 6@40 6@50 6@60"#, r#"{group="1"} 9@40 9@50 9@60"#],
    );
    instant("avg(rises_total) - min(rises_total)", &["{} 125@50"]);
    instant("stdvar(rate(rises_total[10s]))", &["{} 2.9166666666666665@50"]);
    instant("count(count by (counter) (rises_total))", &["{} 6@50"]);
    instant("quantile(0.5, rises_total)", &["{} 125@50"]);
    range("max(rises_total) / scalar(max(rises_total))", &["{} 1@40 1@50 1@60"]);
}

#[test]
fn the_largest_come_first_in_an_instant_query() {
    instant(
        "topk(2, rises_total)",
        &[
            r#"{__name__="rises_total", counter="5", group="1"} 250@50"#,
            r#"{__name__="rises_total", counter="4", group="0"} 200@50"#,
        ],
    );
    range(
        "bottomk(1, rate(rises_total[10s]) > 0)",
        &[r#"{counter="1", group="1"} 1@40 1@50 1@60"#],
    );
    instant(
        "sort_desc(max by (group) (rises_total))",
        &[r#"{group="1"} 250@50"#, r#"{group="0"} 200@50"#],
    );
}

#[test]
fn names_that_are_dropped_merge_rows_or_are_refused() {
    let halves = r#"{half="yes"}"#;
    range(&format!("-{halves}"), &[r#"{half="yes"} -1@40 -2@50 -2@60"#]);
    range(&format!("{halves} * 2"), &[r#"{half="yes"} 2@40 4@50 4@60"#]);
    range(&format!("sum(-{halves})"), &["{} -1@40 -2@50 -2@60"]);
    let refused = "vector cannot contain metrics with the same labelset";
    fails(r#"count_over_time({half="yes"}[1m])"#, refused);
    fails(r#"sum(count_over_time({half="yes"}[1m]))"#, refused);
    fails(r#"label_replace(rises_total, "counter", "", "group", ".*")"#, refused);
    fails(
        r#"{__name__=~"rises_total"} * 0 + on() group_left() vector(1) + 1
             or on(x) label_replace(rises_total, "counter", "", "", "")"#,
        refused,
    );
    instant(r#"absent_over_time({half="no"}[1m])"#, &[r#"{half="no"} 1@50"#]);
    instant(r#"absent_over_time({half="yes"}[1m])"#, &[]);
}

#[test]
fn vectors_match_by_labels() {
    instant(
        r#"rises_total{counter="3"} / on(group) rises_total{counter="1"}"#,
        &[r#"{group="1"} 3@50"#],
    );
    instant(
        r#"rises_total{counter=~"3|5"} / on(group) group_left rises_total{counter="1"}"#,
        &[r#"{counter="3", group="1"} 3@50"#, r#"{counter="5", group="1"} 5@50"#],
    );
    fails(
        r#"rises_total{counter="1"} / on(group) rises_total{group="1", counter!="1"}"#,
        "found duplicate series for the match group {group=\"1\"} on the right hand-side of the \
         operation: [{__name__=\"rises_total\", counter=\"3\", group=\"1\"}, \
         {__name__=\"rises_total\", counter=\"5\", group=\"1\"}];many-to-many matching not \
         allowed: matching labels must be unique on one side",
    );
    fails(
        r#"rises_total{group="1"} / on(group) rises_total{counter="1"}"#,
        "multiple matches for labels: many-to-one matching must be explicit \
         (group_left/group_right)",
    );
    range("early and late", &[]);
    range(
        "early or late",
        &[r#"{__name__="early", half="yes"} 1@40"#, r#"{__name__="late", half="yes"} 2@50 2@60"#],
    );
}

#[test]
fn staleness_and_time() {
    range("gone", &[]);
    check_all("gone", QueryTimes::range(0, 20_000, 5000), Ok(&[r#"{__name__="gone"} 1@10 1@15"#]));
    range("gone @ 15", &[r#"{__name__="gone"} 1@40 1@50 1@60"#]);
    range("timestamp(early)", &[r#"{half="yes"} 1@40"#]);
    range("max_over_time(sum(rises_total)[20s:10s])", &["{} 600@40 750@50 900@60"]);
    range("time() - 40", &["{} 0@40 10@50 20@60"]);
    instant(
        r#"rises_total{counter="1"}[2s]"#,
        &[r#"{__name__="rises_total", counter="1", group="1"} 49@49 50@50"#],
    );
    instant(
        r#"rises_total{counter="1"}[20s:10s]"#,
        &[r#"{__name__="rises_total", counter="1", group="1"} 40@40 50@50"#],
    );
}

#[test]
fn samples_are_counted_and_bounded() {
    let mut options = PlanOptions::default();
    let times = QueryTimes::instant(50_000);
    let outcome = run("sum(rate(rises_total[10s]))", times, &options, 3).unwrap();
    assert_eq!((outcome.stats.queryable(), outcome.stats.read()), (60, 60));
    let range = QueryTimes::range(40_000, 60_000, 10_000);
    let outcome = run("max_over_time(sum(rises_total)[20s:10s])", range, &options, 3).unwrap();
    assert_eq!(outcome.stats.per_step.queryable, [2, 2, 2]);
    options.samples_max = 9;
    for text in
        ["rate(rises_total[10s])", "rises_total[10s]", "vector(1)[1y:1s]", "rises_total[20s:1s]"]
    {
        assert_eq!(
            run(text, times, &options, 1).unwrap_err(),
            "query processing would load too many samples into memory in query execution",
            "{text}"
        );
    }
}

#[test]
fn annotations_say_what_prometheus_says() {
    #[track_caller]
    fn check(text: &str, severity: Severity, expected: &[&str]) {
        let times = QueryTimes::range(40_000, 60_000, 10_000);
        for shards in [1, 3] {
            let outcome = run(text, times, &PlanOptions::default(), shards).unwrap();
            assert_eq!(outcome.annotations.texts(severity, text), expected, "{text}");
        }
    }
    check("rate(rises_total[10s])", Severity::Info, &[]);
    check("sum(rate(early[1m]) + rate(gone[1m]))", Severity::Info, &[]);
    check(
        "increase(rises_total[10s]) or increase({half=\"yes\"}[1m] offset -10s)",
        Severity::Info,
        &[],
    );
    check(
        "quantile(1.5, rises_total)",
        Severity::Warning,
        &["PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:10)"],
    );
    check(
        "sort(rises_total)",
        Severity::Warning,
        &[
            "PromQL warning: sort is ineffective for range queries since results are always ordered \
           by labels (1:1)",
        ],
    );
    check(
        "limit_ratio(2,\n rises_total)",
        Severity::Warning,
        &["PromQL warning: ratio value should be between -1 and 1, got 2, capping to 1 (1:13)"],
    );
    check(
        "histogram_quantile(0.5, rises_total)",
        Severity::Warning,
        &["PromQL warning: bucket label \"le\" is missing or has a malformed value of \"\" (1:25)"],
    );
}

#[test]
fn shards_are_asked_once_for_the_same() {
    let scatter = data(3);
    let text = "rises_total / (rises_total + on(group, counter) rises_total)";
    let ast = parse(text, &ParseOptions::ALL).unwrap();
    let plan = Plan::new(&ast, QueryTimes::instant(50_000), &PlanOptions::default()).unwrap();
    let outcome = block_on(evaluate(&plan, &scatter)).unwrap();
    assert_eq!((scatter.scan_count.get(), outcome.value.row_count()), (1, 6));
}

#[test]
fn memory_is_bounded_on_the_shards_and_in_the_gather() {
    let times = QueryTimes::range(0, 99_000, 1000);
    let ask = |text: &str, bytes_max: usize| {
        run(text, times, &PlanOptions { bytes_max, ..PlanOptions::default() }, 2).map(|_| ())
    };
    // Six rows of a hundred steps are some 5 kB.
    let refused = |bytes_max: usize| {
        Err(format!(
            "query processing would take more than {bytes_max} bytes of memory in query execution"
        ))
    };
    assert_eq!(ask("rises_total", 2000), refused(2000));
    assert_eq!(ask("rises_total", 20_000), Ok(()));
    assert_eq!(ask("sum(rises_total)", 10_000), Ok(()));
    assert_eq!(ask("rises_total + rises_total offset 1s", 8000), refused(8000));
    assert_eq!(ask("rises_total + rises_total offset 1s", 20_000), Ok(()));
    assert_eq!(ask("vector(1)", 500), refused(500));
}
