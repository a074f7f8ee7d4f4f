//! The evaluation of a group of plans: what they ask of the shards is asked once, before any of
//! them is evaluated.

use crate::plan::group::PlanGroup;

use super::error::ExecError;
use super::gather::{Given, Scatter, ask};

/// Asks the shards for all parts of a group that can be asked beforehand; what each plan is given,
/// for [`super::evaluate_given`].
///
/// # Errors
///
/// When the shards could not be asked; what is wrong with one part is its answer.
pub async fn ask_group(group: &PlanGroup, scatter: &impl Scatter) -> Result<Vec<Given>, ExecError> {
    let mut given: Vec<Given> = group.plans.iter().map(|_| Given::default()).collect();
    if group.places.is_empty() {
        return Ok(given);
    }
    let answers = ask(scatter, group.ask.clone()).await?;
    for (&(plan, node), answer) in group.places.iter().zip(answers) {
        given[plan].insert(node, answer);
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::testing::{LocalScatter, block_on};
    use crate::exec::{Outcome, Severity, evaluate, evaluate_given};
    use crate::model::Labels;
    use crate::plan::{Plan, PlanOptions, QueryTimes};
    use crate::promql::{Ast, ParseOptions, parse};

    fn texts(outcome: &Result<Outcome, ExecError>, text: &str) -> String {
        match outcome {
            Ok(outcome) => {
                let infos = outcome.annotations.texts(Severity::Info, text);
                let mut points = Vec::new();
                outcome.value.for_each_point(0, |_, value| points.push(value));
                format!("{points:?} {infos:?} {:?}", outcome.stats.per_step.queryable)
            }
            Err(error) => error.to_string(),
        }
    }

    /// Evaluates `queries` one by one and as a group; both must give the same, the group with
    /// `scan_count` scans.
    #[track_caller]
    fn check(queries: &[&str], scan_count: usize) {
        let mut scatter = LocalScatter::new(2);
        for (name, job) in [("a", "x"), ("a", "y"), ("b", "x")] {
            let labels = Labels::from_pairs([("__name__", name), ("job", job)]);
            for second in 0..100 {
                scatter.append(&labels, second * 1000, second as f64);
            }
        }
        let asts: Vec<Ast> =
            queries.iter().map(|text| parse(text, &ParseOptions::ALL).unwrap()).collect();
        let (times, options) = (QueryTimes::range(60_000, 90_000, 10_000), PlanOptions::default());
        let alone: Vec<String> = queries
            .iter()
            .zip(&asts)
            .map(|(text, ast)| {
                let plan = Plan::new(ast, times, &options).unwrap();
                texts(&block_on(evaluate(&plan, &scatter)), text)
            })
            .collect();
        scatter.scan_count.set(0);
        let group = Plan::new_group(&asts.iter().collect::<Vec<_>>(), times, &options);
        let given = block_on(ask_group(&group, &scatter)).unwrap();
        let together: Vec<String> = queries
            .iter()
            .zip(group.plans.iter().zip(given))
            .map(|(text, (plan, given))| {
                let plan = plan.as_ref().unwrap();
                texts(&block_on(evaluate_given(plan, given, &scatter)), text)
            })
            .collect();
        assert_eq!(together, alone);
        assert_eq!(scatter.scan_count.get(), scan_count, "{queries:?}");
    }

    #[test]
    fn what_several_expressions_read_is_read_once() {
        check(&["sum(rate(a[1m]))", "1 + sum(rate(a[1m]))", "sum(rate(a[1m])) / sum(b)"], 2);
        check(&["a", "b"], 2);
        check(&["a * on () a", "sum(a)", "sum(a) + 1", "max(rate(a[1m]))"], 1);
        check(&["sum(a)", r#"sum(a{job="x"})"#, r#"sum(rate(a{job="y"}[30s]))"#], 1);
        // What depends on another value is asked when that is known.
        check(&["clamp_max(a, scalar(b))", "sum(a)", "1"], 3);
    }
}
