//! Times: which parts of the tree do not depend on the step, on which grid every node is
//! evaluated, and where `@`, `offset` and subqueries point.
//!
//! Two passes over the arena: children first for step invariance, parents first for grids.
//!
//! Source: Prometheus `promql/engine.go`, `preprocessExprHelper`, `setOffsetForAtModifier`,
//! `subqueryTimeRange`.

use crate::promql::ast::{Ast, At, Expr, ExprId, Subquery};
use crate::promql::functions::FunctionId;

use super::durations::{Durations, Sign};
use super::grid::{Grid, Lookup, subquery_grid};
use super::{PlanError, QueryTimes};

/// Columns by [`ExprId`].
pub(super) struct Resolved {
    /// The times at which the node is evaluated: one, if it does not depend on the step.
    pub grids: Vec<Grid>,
    /// The times at which its parent wants it. Differs from `grids` exactly at the roots of
    /// step-invariant parts.
    pub wanted: Vec<Grid>,
    /// Of selectors and subqueries.
    pub lookups: Vec<Lookup>,
    /// Of selectors and subqueries: the `@` time before its offset.
    pub at_ms: Vec<Option<i64>>,
    /// Of range selectors and subqueries.
    pub range_ms: Vec<i64>,
}

impl Resolved {
    pub(super) fn new(ast: &Ast, times: &QueryTimes) -> Result<Resolved, PlanError> {
        let count = ast.len();
        let mut resolved = Resolved {
            grids: vec![times.grid(); count],
            wanted: vec![times.grid(); count],
            lookups: vec![Lookup::Offset { ms: 0 }; count],
            at_ms: vec![None; count],
            range_ms: vec![0; count],
        };
        let mut subquery_steps_ms = vec![0; count];
        let durations = Durations::evaluate(ast, times);
        for id in ast.ids() {
            let index = id.0 as usize;
            let (offset, at) = match ast.expr(id) {
                Expr::Vector(vector) => (vector.offset, vector.at),
                Expr::Matrix { range, .. } => {
                    resolved.range_ms[index] = durations.ms(ast, *range, Sign::Positive)?;
                    continue;
                }
                Expr::Subquery(subquery) => {
                    resolved.range_ms[index] = durations.ms(ast, subquery.range, Sign::Positive)?;
                    subquery_steps_ms[index] = subquery_step_ms(ast, subquery, &durations, times)?;
                    (subquery.offset, subquery.at)
                }
                _ => continue,
            };
            let offset_ms = durations.ms(ast, offset, Sign::Any)?;
            let at_ms = at.map(|at| match at {
                At::Timestamp { ms } => ms,
                At::Start => times.start_ms,
                At::End => times.end_ms,
            });
            resolved.at_ms[index] = at_ms;
            resolved.lookups[index] = match at_ms {
                Some(at_ms) => Lookup::At { ms: at_ms.saturating_sub(offset_ms) },
                None => Lookup::Offset { ms: offset_ms },
            };
        }
        let invariant_roots = invariant_roots(ast);
        resolved.spread_grids(ast, times, &invariant_roots, &subquery_steps_ms);
        Ok(resolved)
    }

    fn spread_grids(
        &mut self,
        ast: &Ast,
        times: &QueryTimes,
        invariant_roots: &[bool],
        subquery_steps_ms: &[i64],
    ) {
        self.wanted[ast.root().0 as usize] = times.grid();
        for id in ast.ids().rev() {
            let index = id.0 as usize;
            let wanted = self.wanted[index];
            let grid = if invariant_roots[index] { wanted.first() } else { wanted };
            self.grids[index] = grid;
            let of_children = match ast.expr(id) {
                Expr::Subquery(_) => subquery_grid(
                    grid,
                    self.lookups[index],
                    self.range_ms[index],
                    subquery_steps_ms[index],
                ),
                _ => grid,
            };
            for child in ast.expr(id).children() {
                self.wanted[child.0 as usize] = of_children;
            }
        }
    }
}

fn subquery_step_ms(
    ast: &Ast,
    subquery: &Subquery,
    durations: &Durations,
    times: &QueryTimes,
) -> Result<i64, PlanError> {
    let step_ms = match subquery.step {
        Some(step) => durations.ms(ast, step, Sign::Positive)?,
        None => 0,
    };
    Ok(if step_ms > 0 { step_ms } else { times.subquery_step_ms.max(1) })
}

/// `id` without the parentheses around it.
pub(super) fn unparen(ast: &Ast, mut id: ExprId) -> ExprId {
    while let Expr::Paren(inner) = ast.expr(id) {
        id = *inner;
    }
    id
}

/// Marks the nodes whose value is computed once and repeated for every step: the highest ones
/// that do not depend on the step.
fn invariant_roots(ast: &Ast) -> Vec<bool> {
    let count = ast.len();
    // `wraps`: may be such a root. Literals and range vectors are invariant without being one.
    let (mut invariant, mut wraps, mut roots) =
        (vec![false; count], vec![false; count], vec![false; count]);
    for id in ast.ids() {
        let at = |id: &ExprId| id.0 as usize;
        let (is_invariant, is_wrapped) = match ast.expr(id) {
            Expr::Number { .. } | Expr::String(_) | Expr::Duration(_) => (true, false),
            Expr::Vector(vector) => (vector.at.is_some(), vector.at.is_some()),
            Expr::Matrix { vector, .. } => (invariant[at(vector)], false),
            Expr::Subquery(subquery) => {
                roots[at(&subquery.expr)] = invariant[at(&subquery.expr)];
                (subquery.at.is_some(), false)
            }
            Expr::Paren(expr) | Expr::Unary { expr, .. } => (invariant[at(expr)], wraps[at(expr)]),
            Expr::Aggregate(aggregate) => {
                let invariant = invariant[at(&aggregate.expr)];
                if let Some(param) = aggregate.param {
                    roots[at(&param)] = wraps[at(&param)] && !invariant;
                }
                (invariant, wraps[at(&aggregate.expr)])
            }
            Expr::Binary(binary) => {
                let sides = [binary.lhs, binary.rhs];
                let both = sides.iter().all(|side| invariant[at(side)]);
                for side in &sides {
                    roots[at(side)] = wraps[at(side)] && !both;
                }
                (both, both)
            }
            Expr::Call { function, args } => {
                let all = args.iter().all(|arg| invariant[at(arg)]);
                // The timestamp of a selector's sample is as fixed as the sample.
                let of_selector = *function == FunctionId::Timestamp
                    && matches!(ast.expr(unparen(ast, args[0])), Expr::Vector(_));
                let both = all && (!uses_evaluation_time(*function) || of_selector);
                let is_literal = is_query_context(*function);
                for arg in args {
                    roots[at(arg)] = wraps[at(arg)] && !both;
                }
                (both || is_literal, both && !is_literal)
            }
        };
        invariant[at(&id)] = is_invariant;
        wraps[at(&id)] = is_wrapped;
    }
    let root = ast.root().0 as usize;
    roots[root] = wraps[root];
    roots
}

/// Functions whose value is a number once the query's times are known.
pub(super) fn is_query_context(function: FunctionId) -> bool {
    use FunctionId::*;
    matches!(function, Start | End | Range | Step)
}

/// Source: Prometheus `promql/functions.go`, `AtModifierUnsafeFunctions`.
fn uses_evaluation_time(function: FunctionId) -> bool {
    use FunctionId::*;
    matches!(
        function,
        DaysInMonth
            | DayOfMonth
            | DayOfWeek
            | DayOfYear
            | Hour
            | Minute
            | Month
            | Year
            | PredictLinear
            | Time
            | Timestamp
    )
}
