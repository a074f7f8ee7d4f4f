//! Which selectors need only count and sum of native histograms.
//!
//! More than a saving: without buckets, what is known about resets is decided sample by sample when
//! they are read, and bounds that differ are not seen. So the answer depends on it, and it has no
//! switch.
//!
//! Source: Prometheus `promql/engine.go`, `detectHistogramStatsDecoding`.

use crate::promql::ast::{Ast, BinaryOp, Expr};
use crate::promql::functions::FunctionId;

/// By expression: it stands below a function of count or sum, and below nothing that needs more.
pub(super) fn skips_buckets(ast: &Ast) -> Vec<bool> {
    use FunctionId::*;
    let mut asks_for_less = vec![false; ast.len()];
    let mut needs_all = vec![false; ast.len()];
    for id in ast.ids().rev() {
        let index = id.0 as usize;
        let expr = ast.expr(id);
        let (mut less, mut all) = (asks_for_less[index], needs_all[index]);
        match expr {
            Expr::Call { function: HistogramCount | HistogramSum | HistogramAvg, .. } => {
                less = true
            }
            Expr::Call {
                function: HistogramQuantile | HistogramQuantiles | HistogramFraction,
                ..
            }
            | Expr::Subquery(_) => all = true,
            Expr::Binary(binary) => {
                all |= matches!(binary.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
            }
            _ => {}
        }
        for child in expr.children() {
            asks_for_less[child.0 as usize] |= less;
            needs_all[child.0 as usize] |= all;
        }
    }
    asks_for_less.into_iter().zip(needs_all).map(|(less, all)| less && !all).collect()
}

#[cfg(test)]
mod tests {
    use super::skips_buckets;
    use crate::promql::{Expr, ParseOptions, parse};

    #[track_caller]
    fn check(text: &str, expected: &[bool]) {
        let ast = parse(text, &ParseOptions::ALL).unwrap();
        let skips = skips_buckets(&ast);
        let selectors = ast.ids().filter(|id| matches!(ast.expr(*id), Expr::Vector(_)));
        let found: Vec<bool> = selectors.map(|id| skips[id.0 as usize]).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn what_looks_at_buckets_gets_them() {
        check("h", &[false]);
        check("histogram_count(rate(h[1m])) / histogram_sum(sum(h))", &[true, true]);
        check("histogram_count(h) + histogram_quantile(0.5, h)", &[true, false]);
        check("histogram_avg(h </ 1)", &[false]);
        check("histogram_count(h)[5m:1m]", &[false]);
        check("histogram_sum(last_over_time(h[5m:1m]))", &[false]);
        check("histogram_stddev(h)", &[false]);
    }
}
