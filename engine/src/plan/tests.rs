//! What plans look like: which rewrite took what to the shards.

use crate::promql::{ParseOptions, parse};

use super::part::{Finish, SelectOutput};
use super::{Op, Plan, PlanOptions, QueryTimes};

fn plan(text: &str, times: QueryTimes, options: &PlanOptions) -> Result<Plan, String> {
    let ast = parse(text, &ParseOptions::ALL).map_err(|errors| format!("{errors:?}"))?;
    Plan::new(&ast, times, options).map_err(|error| error.message)
}

/// The nodes as words: a part as `select:stages:finish`, another by its name.
fn show(plan: &Plan) -> String {
    let mut words = Vec::new();
    for node in &plan.nodes {
        let word = match &node.op {
            Op::Moved | Op::Number(_) => continue,
            Op::Scatter(part) => {
                let select = match &part.select.output {
                    SelectOutput::Window(window) => window.function.name(),
                    SelectOutput::Samples { .. } => "samples",
                    _ => "value",
                };
                let finish = match &part.finish {
                    Finish::Rows => "rows",
                    Finish::Projected(_) => "projected",
                    Finish::Groups { .. } => "groups",
                    Finish::Candidates(_) => "candidates",
                };
                format!("{select}:{}:{finish}", part.stages.len())
            }
            other => {
                let debug = format!("{other:?}");
                let end = debug.find(|c: char| !c.is_alphanumeric()).unwrap_or(debug.len());
                debug[..end].to_owned()
            }
        };
        words.push(word);
    }
    words.join(" ")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let options = PlanOptions::default();
    let times = QueryTimes::range(0, 600_000, 60_000);
    assert_eq!(show(&plan(text, times, &options).unwrap()), expected, "{text}");
}

#[test]
fn what_keeps_series_apart_runs_on_the_shards() {
    check("x", "value:0:rows");
    check("-x * 2 + 1 > 3", "value:4:rows");
    check("clamp(rate(x[5m]), 0, 1)", "rate:1:rows");
    check("max_over_time(rate(x[5m])[1h:1m])", "rate:1:rows");
    check("x * scalar(y)", "value:0:rows ScalarOf value:1:rows");
    check("x + y", "value:0:rows value:0:rows Binary");
}

#[test]
fn rows_that_may_meet_go_no_further() {
    check(r#"rate({job="a"}[5m])"#, "rate:0:rows");
    check(r#"abs(rate({job="a"}[5m]))"#, "rate:0:rows Stage");
    check(r#"sum(rate({job="a"}[5m]))"#, "rate:0:rows Aggregate");
    check(r#"sum({job="a"})"#, "value:0:groups");
    check(r#"sum(rate({__name__="x"}[5m]))"#, "rate:0:groups");
}

#[test]
fn groups_that_merge_and_candidates_come_from_the_shards() {
    check("sum by (a) (rate(x[5m]))", "rate:0:groups");
    check("stddev(x)", "value:0:groups");
    check("quantile(0.5, x)", "value:0:projected Aggregate");
    check("topk(3, x)", "value:0:candidates Aggregate");
    check("topk(scalar(y), x)", "value:0:rows ScalarOf value:0:rows Aggregate");
    check("absent(x)", "value:0:groups Absent");
    check(r#"absent_over_time({job="a"}[5m])"#, "absent_over_time:0:groups Absent");
}

#[test]
fn equal_parts_run_once() {
    check("x / (x + y)", "value:0:rows Same value:0:rows Binary Binary");
    check("x / x offset 1m", "value:0:rows value:0:rows Binary");
    check("sum(rate(x[1m])) / sum(rate(x[1m]))", "rate:0:groups Same Binary");
}

/// The matchers of the plan's selections.
fn show_matchers(text: &str) -> String {
    let times = QueryTimes::range(0, 600_000, 60_000);
    let plan = plan(text, times, &PlanOptions::default()).unwrap();
    let mut selections = Vec::new();
    for node in &plan.nodes {
        if let Op::Scatter(part) = &node.op {
            let matchers: Vec<String> = part.matchers.iter().map(ToString::to_string).collect();
            selections.push(format!("{{{}}}", matchers.join(",")).replace("__name__=", ""));
        }
    }
    selections.join(" ")
}

#[track_caller]
fn check_matchers(text: &str, expected: &str) {
    assert_eq!(show_matchers(text), expected, "{text}");
}

#[test]
fn matchers_go_over_to_the_other_side() {
    let both = r#"{j="x","a"} {"b",j="x"}"#;
    check_matchers(r#"a{j="x"} / b"#, both);
    check_matchers(r#"a{j="x"} unless b"#, both);
    check_matchers(r#"a{j="x"} and on (j) b"#, both);
    check_matchers(r#"a{j="x"} @ 5 / b"#, both);
    check_matchers(r#"a and on (j) b{j="x"}"#, r#"{"a",j="x"} {j="x","b"}"#);
    check_matchers(r#"a{j="x"} - b{k="y"}"#, r#"{j="x","a",k="y"} {k="y","b",j="x"}"#);
    check_matchers(r#"a{j=""} > count by (j) (b)"#, r#"{j="","a"} {"b",j=""}"#);
    check_matchers(
        r#"a{j="x"} > on (j) group_left () count by (j) (b)"#,
        r#"{j="x","a"} {"b",j="x"}"#,
    );
    check_matchers(r#"(a{j="x"} + b) / c"#, r#"{j="x","a"} {"b",j="x"} {"c",j="x"}"#);
}

#[test]
fn matchers_stay_where_more_would_be_said_without_them() {
    // Values that are kept without a counterpart.
    check_matchers(r#"a{j="x"} or b"#, r#"{j="x","a"} {"b"}"#);
    check_matchers(r#"a unless b{j="x"}"#, r#"{"a"} {j="x","b"}"#);
    check_matchers(r#"a{j="x"} + fill (0) b"#, r#"{j="x","a"} {"b"}"#);
    // Not a label of both.
    check_matchers(r#"a{j="x"} + ignoring (j) b"#, r#"{j="x","a"} {"b"}"#);
    check_matchers(r#"a{j="x"} and on (k) b"#, r#"{j="x","a"} {"b"}"#);
    // Rows that meet on the right are an error whatever stands on the left.
    check_matchers(r#"a{j="x"} + on (j) b"#, r#"{j="x","a"} {"b"}"#);
    check_matchers(r#"a{j="x"} + {k="y"}"#, r#"{j="x","a"} {k="y"}"#);
    // Windows and sums may say something about series that match nothing.
    check_matchers(r#"a{j="x"} / rate(b[5m])"#, r#"{j="x","a"} {"b"}"#);
    check_matchers(r#"sum by (j) (a{j="x"}) / sum by (j) (b)"#, r#"{j="x","a"} {"b"}"#);
}

#[test]
fn numbers_are_computed_once() {
    check("1 + 2 * 3", "");
    check("topk(1 + 2, x)", "value:0:candidates Aggregate");
    check("x * (1024 * 1024)", "value:1:rows");
    check("1 > bool 2", "");
    check("time() + 1", "Time ScalarBinary");
}

#[test]
fn reduced_matchers_fix_names() {
    check(r#"sum(rate({__name__=~"x"}[5m]))"#, "rate:0:groups");
    check_matchers(r#"x{a=~".*",b=~"c",d=~".+",b="c"}"#, r#"{b="c",d!="","x"}"#);
    let info = r#"info(x, {a=~".*"})"#;
    check_matchers(info, r#"{"x"}"#);
}

#[test]
fn what_does_not_step_is_evaluated_once() {
    check("x @ 10", "value:0:rows Repeat");
    check("sum(x @ end())", "value:0:groups Repeat");
    check("x @ 10 + y", "value:0:rows Repeat value:0:rows Binary");
    check("predict_linear(x[5m] @ 10, 60)", "predict_linear:0:rows");
    check("timestamp(x @ 10)", "value:0:rows Repeat");
    check("timestamp(abs(x @ 10))", "value:1:rows Repeat Stage");
}

#[test]
fn errors_are_prometheuss() {
    let options = PlanOptions::default();
    #[track_caller]
    fn check(result: Result<Plan, String>, expected: &str) {
        assert_eq!(result.unwrap_err(), expected);
    }
    let range = QueryTimes::range(0, 10, 1);
    check(
        plan("x[5m]", range, &options),
        "invalid expression type \"range vector\" for range query, \
         must be Scalar or instant Vector",
    );
    check(
        plan("\"a\"", range, &options),
        "invalid expression type \"string\" for range query, must be Scalar or instant Vector",
    );
    check(plan("rate(x[5m-5m])", range, &options), "7:12: duration must be greater than 0");
    check(
        plan("x offset (1m / (step() - 1))", QueryTimes::range(0, 10_000, 1000), &options),
        "10:26: division by zero",
    );
    check(
        plan("max_over_time(x[5m] anchored)", QueryTimes::instant(0), &options),
        "anchored modifier can only be used with: changes, delta, increase, rate, resets \
         - not with max_over_time",
    );
}
