//! The same question asked in other ways.
//!
//! Source: Prometheus `promql/promqltest/test.go`, `atModifierTestCases`.

use engine::promql::ast::{Ast, At, Expr};
use engine::promql::functions::FunctionId;
use engine::promql::{ParseOptions, parse, print};

/// The expression with `@` on every selector that has none, and the times at which it must give
/// the answer that `text` gives at `at_ms`. Nothing where the answer depends on the time asked at.
pub fn pinned(text: &str, at_ms: i64) -> Option<(String, Vec<i64>)> {
    let mut ast = parse(text, &ParseOptions::ALL).ok()?;
    let inside = inside_subqueries(&ast);
    for id in ast.ids().filter(|id| !inside[id.0 as usize]) {
        let at = match ast.expr_mut(id) {
            Expr::Vector(vector) => &mut vector.at,
            Expr::Subquery(subquery) => &mut subquery.at,
            Expr::Call { function, .. } if depends_on_time(*function) => return None,
            _ => continue,
        };
        if !matches!(at, Some(At::Timestamp { .. })) {
            *at = Some(At::Timestamp { ms: at_ms });
        }
    }
    let times = match at_ms {
        0 => vec![-1000, 0, 1000],
        _ => vec![-10 * at_ms, 0, at_ms / 5, at_ms, 10 * at_ms],
    };
    Some((print(&ast, ast.root()), times))
}

/// Which nodes stand below a subquery, whose `@` pins them, too.
fn inside_subqueries(ast: &Ast) -> Vec<bool> {
    let mut inside = vec![false; ast.len()];
    for id in ast.ids().rev() {
        let expr = ast.expr(id);
        let below = inside[id.0 as usize] || matches!(expr, Expr::Subquery(_));
        for child in expr.children() {
            inside[child.0 as usize] |= below;
        }
    }
    inside
}

/// Source: Prometheus `promql/functions.go`, `AtModifierUnsafeFunctions`.
fn depends_on_time(function: FunctionId) -> bool {
    use FunctionId::*;
    matches!(
        function,
        DaysInMonth
            | DayOfMonth
            | DayOfWeek
            | DayOfYear
            | End
            | Hour
            | Minute
            | Month
            | Year
            | PredictLinear
            | Range
            | Start
            | Step
            | Time
            | Timestamp
    )
}

/// Whether `text` names functions of the query's own times, which differ between an instant
/// query and a range query.
pub fn depends_on_query(text: &str) -> bool {
    ["start()", "end()", "range()", "step()"].iter().any(|call| text.contains(call))
}
