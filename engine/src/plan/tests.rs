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
    check("quantile(0.5, x)", "value:0:rows Aggregate");
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
