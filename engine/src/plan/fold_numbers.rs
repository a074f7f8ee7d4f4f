//! Rewrite: operators between numbers are computed once, while planning.
//!
//! What becomes a number opens the way for others: `topk(1 + 2, x)` is chosen on the shards, and
//! `x * (1024 * 1024)` runs there as one stage without a column of factors.

use crate::promql::ast::BinaryOp;

use super::arithmetic;

/// `lhs op rhs`. `None`: the operator is none of numbers, and the evaluation says so.
pub(super) fn fold(op: BinaryOp, lhs: f64, rhs: f64) -> Option<f64> {
    arithmetic::scalar(op, lhs, rhs)
}
