//! What the operators of floats compute: for folding here and for columns in `exec`.
//!
//! Source: Prometheus `promql/engine.go`, `scalarBinop`, `vectorElemBinop`.

use crate::promql::ast::BinaryOp;

/// One value. A comparison gives 1 or 0. `None`: the operator is not one of floats.
pub fn scalar(op: BinaryOp, lhs: f64, rhs: f64) -> Option<f64> {
    match arithmetic(op) {
        Some(apply) => Some(apply(lhs, rhs)),
        None => comparison(op).map(|holds| f64::from(holds(lhs, rhs))),
    }
}

pub fn arithmetic(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Mod => |a, b| a % b,
        BinaryOp::Pow => power,
        BinaryOp::Atan2 => f64::atan2,
        _ => return None,
    })
}

/// Go's `math.Pow`, which differs from C's in nothing that a query sees.
fn power(base: f64, exponent: f64) -> f64 {
    base.powf(exponent)
}

pub fn comparison(op: BinaryOp) -> Option<fn(f64, f64) -> bool> {
    Some(match op {
        BinaryOp::Eql => |a, b| a == b,
        BinaryOp::Neq => |a, b| a != b,
        BinaryOp::Gtr => |a, b| a > b,
        BinaryOp::Lss => |a, b| a < b,
        BinaryOp::Gte => |a, b| a >= b,
        BinaryOp::Lte => |a, b| a <= b,
        _ => return None,
    })
}
