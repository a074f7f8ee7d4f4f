//! What is counted of a query, step by step.
//!
//! Source of the figures: Prometheus `promql/engine_test.go`, `TestQueryStatistics`.

use crate::exec::evaluate;
use crate::exec::stats::StepCounts;
use crate::exec::testing::{LocalScatter, block_on};
use crate::plan::{Plan, PlanOptions, QueryTimes};
use crate::promql::{ParseOptions, parse};

/// A sample every ten seconds from zero on; a histogram counts as 13.
const SERIES: &[&str] = &[
    "one 1+1x100",
    r#"three{a="1", b="1"} 1+1x100"#,
    r#"three{a="2", b="2"} 1+1x100"#,
    r#"three{a="3", b="2"} 1+1x100"#,
    "histogram {{schema:1 count:5 sum:20 buckets:[1 2 1 1]}}+{{schema:1 count:10 sum:5 \
     buckets:[1 2 3 4]}}x100",
];

/// Evaluates `text` at `start_s`, or at every `step_s` from then to `end_s`.
#[track_caller]
fn check(text: &str, [start_s, end_s, step_s]: [i64; 3], queryable: &[u64], read: &[u64]) {
    let times = match step_s {
        0 => QueryTimes::instant(start_s * 1000),
        _ => QueryTimes::range(start_s * 1000, end_s * 1000, step_s * 1000),
    };
    let expected = StepCounts { queryable: queryable.to_vec(), read: read.to_vec() };
    let ast = parse(text, &ParseOptions::ALL).expect("an expression");
    let plan = Plan::new(&ast, times, &PlanOptions::default()).expect("a plan");
    for shards in [1, 3] {
        let outcome =
            block_on(evaluate(&plan, &LocalScatter::load(SERIES, shards))).expect("an outcome");
        assert_eq!(outcome.stats.per_step, expected, "{text}");
    }
}

#[track_caller]
fn instant(text: &str, time_s: i64, queryable: u64, read: u64) {
    check(text, [time_s, 0, 0], &[queryable], &[read]);
}

#[test]
fn instant_queries_count_for_their_one_step() {
    instant("1", 21, 0, 0);
    instant("one", 21, 1, 1);
    instant("histogram", 21, 13, 13);
    instant("timestamp(one)", 21, 1, 1);
    instant("timestamp(histogram)", 21, 1, 1);
    instant("one offset 10s", 21, 1, 1);
    instant(r#"three{a="1"}[20s] @ 19"#, 21, 2, 2);
    instant("three", 21, 3, 3);
    instant("one[60s]", 201, 6, 6);
    instant("histogram[60s]", 201, 78, 78);
    instant("histogram[60s] @ 30", 201, 52, 52);
    instant("max_over_time(one[60s])[20s:5s]", 201, 24, 8);
    instant("max_over_time(histogram[60s])[20s:5s]", 201, 312, 104);
    instant("max_over_time(one[20s:10s])", 201, 2, 2);
    instant("sum_over_time(one[30s:30s])", 90, 1, 1);
    instant("max_over_time(one[30s:2m])", 240, 1, 1);
    instant("histogram_count(max_over_time(histogram[20s:10s]))", 201, 26, 26);
    instant("sum_over_time(three[20s:10s] @ 200)", 250, 6, 6);
    instant("sum_over_time(one[20s:10s] offset 1m)", 240, 2, 2);
    instant("sum_over_time(three[1m:10s] @ 200 offset 1m)", 300, 18, 18);
    instant("rate(sum_over_time(one[30s])[1m:30s])", 240, 2, 6);
}

#[test]
fn selectors_read_what_they_look_at() {
    let steps = [201, 220, 5];
    check(r#"three{a="1"}"#, steps, &[1; 4], &[1; 4]);
    check("histogram", [204, 223, 5], &[13; 4], &[13; 4]);
    check("timestamp(histogram)", steps, &[1; 4], &[1; 4]);
    check("three", steps, &[3; 4], &[3; 4]);
    check("three + three", steps, &[6; 4], &[6; 4]);
}

#[test]
fn windows_read_what_they_take_in() {
    let steps = [201, 220, 5];
    check("max_over_time(three[60s])", steps, &[18; 4], &[18, 0, 3, 0]);
    check("max_over_time(three[60s] @ 30)", steps, &[12; 4], &[12, 0, 0, 0]);
    check(r#"max_over_time(three{a="1"}[10s])"#, [991, 1021, 10], &[1, 1, 0, 0], &[1, 1, 0, 0]);
    let frozen = "predict_linear(one[60s] @ 100, 60)";
    check(frozen, [100, 300, 100], &[6; 3], &[6, 0, 0]);
    // Two windows with a gap between them.
    check("sum_over_time(one[20s])", [200, 300, 100], &[2; 2], &[2; 2]);
    check("rate(histogram[20s])", [200, 220, 10], &[26; 3], &[26, 13, 13]);
}

#[test]
fn subqueries_read_for_the_step_that_looks_first() {
    let steps = [201, 220, 5];
    check("max_over_time(three[60s:5s])", steps, &[36; 4], &[36, 3, 3, 3]);
    check("sum by (b) (max_over_time(one[60s:5s]))", steps, &[12; 4], &[12, 1, 1, 1]);
    let sums = "sum(max_over_time(three[60s:5s])) + sum(max_over_time(three[60s:5s]))";
    check(sums, steps, &[72; 4], &[72, 6, 6, 6]);
    check("max_over_time(sum(three)[60s:5s])", steps, &[12; 4], &[36, 3, 3, 3]);
    check("max_over_time(one[30s:10s])", [201, 231, 30], &[3; 2], &[3; 2]);
    check("max_over_time(one[20s:10s])", [201, 261, 10], &[2; 7], &[2, 1, 1, 1, 1, 1, 1]);
    check("max_over_time(one[30s:10s])", [201, 261, 60], &[3; 2], &[3; 2]);
    check("avg_over_time(histogram[2m:1m])", [120, 240, 60], &[26; 3], &[26, 13, 13]);
    check("max_over_time(three[60s:10s])", [200, 400, 30], &[18; 7], &[18, 9, 9, 9, 9, 9, 9]);
}
