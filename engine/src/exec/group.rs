//! The evaluation of a group of plans: what several of them ask the shards for is asked once.

use std::cell::RefCell;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::model::source::Turns;
use crate::plan::ShardPart;
use crate::plan::group::{PlanGroup, number_positions};
use crate::promql::ast::PosRange;

use super::error::ExecError;
use super::gather::Scatter;
use super::scan::Partial;

/// A scatter for the plans of one group, evaluated one after the other. It keeps the partials of a
/// shared part until the last plan has asked for them; they count in the statistics of each.
pub struct GroupScatter<'a, S> {
    group: &'a PlanGroup,
    scatter: &'a S,
    kept: RefCell<HashMap<String, Kept, RandomState>>,
}

struct Kept {
    /// Annotations carry numbers in place of positions.
    partials: Vec<Partial>,
    /// How often it is still to be asked for.
    asking_count: usize,
}

impl<'a, S: Scatter> GroupScatter<'a, S> {
    pub fn new(group: &'a PlanGroup, scatter: &'a S) -> GroupScatter<'a, S> {
        GroupScatter { group, scatter, kept: RefCell::default() }
    }

    /// What was kept, if the part ran before.
    fn take(&self, key: &str) -> Option<Vec<Partial>> {
        let mut kept = self.kept.borrow_mut();
        let known = kept.get_mut(key)?;
        known.asking_count -= 1;
        if known.asking_count > 0 {
            return Some(known.partials.clone());
        }
        kept.remove(key).map(|known| known.partials)
    }
}

impl<S: Scatter> Scatter for GroupScatter<'_, S> {
    async fn run(&self, part: Arc<ShardPart>) -> Result<Vec<Partial>, ExecError> {
        let Some((key, asking_count)) = self.group.asking_count(&part) else {
            return self.scatter.run(part).await;
        };
        let mut numbered = (*part).clone();
        let positions = number_positions(&mut numbered);
        let mut partials = match self.take(&key) {
            Some(partials) => partials,
            None => {
                let partials = self.scatter.run(Arc::new(numbered)).await?;
                let kept = Kept { partials: partials.clone(), asking_count: asking_count - 1 };
                self.kept.borrow_mut().insert(key, kept);
                partials
            }
        };
        for partial in &mut partials {
            // A position that the part did not take from the text stays as it is.
            let placed = |position: PosRange| match position.end {
                u32::MAX => positions.get(position.start as usize).copied().unwrap_or(position),
                _ => position,
            };
            partial.annotations.place(placed);
        }
        Ok(partials)
    }

    fn turns(&self) -> &impl Turns {
        self.scatter.turns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::testing::{LocalScatter, block_on};
    use crate::exec::{Outcome, Severity, evaluate};
    use crate::model::Labels;
    use crate::plan::{Plan, PlanOptions, QueryTimes};
    use crate::promql::{Ast, ParseOptions, parse};

    fn texts(outcome: &Result<Outcome, ExecError>, text: &str) -> String {
        match outcome {
            Ok(outcome) => {
                let infos = outcome.annotations.texts(Severity::Info, text);
                let mut points = Vec::new();
                outcome.value.for_each_point(0, |_, value| points.push(value));
                format!("{points:?} {infos:?} {:?}", outcome.stats.queryable_per_step)
            }
            Err(error) => error.to_string(),
        }
    }

    /// Evaluates `queries` one by one and as a group; both must give the same, the group with
    /// `part_count` parts.
    #[track_caller]
    fn check(queries: &[&str], part_count: usize) {
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
        scatter.part_count.set(0);
        let group = Plan::new_group(&asts.iter().collect::<Vec<_>>(), times, &options);
        let shared = GroupScatter::new(&group, &scatter);
        let together: Vec<String> = queries
            .iter()
            .zip(&group.plans)
            .map(|(text, plan)| texts(&block_on(evaluate(plan.as_ref().unwrap(), &shared)), text))
            .collect();
        assert_eq!(together, alone);
        assert_eq!(scatter.part_count.get(), part_count, "{queries:?}");
        assert!(shared.kept.borrow().is_empty());
    }

    #[test]
    fn parts_of_several_expressions_run_once() {
        check(&["sum(rate(a[1m]))", "1 + sum(rate(a[1m]))", "sum(rate(a[1m])) / sum(b)"], 2);
        check(&["a", "b"], 2);
        check(&["a * on () a", "sum(a)", "sum(a) + 1"], 2);
    }
}
