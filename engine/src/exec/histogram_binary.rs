//! Binary operators of which an operand is a native histogram.
//!
//! Source: Prometheus `promql/engine.go`, `vectorElemBinop`.

use std::sync::Arc;

use crate::model::FloatHistogram;
use crate::model::histogram::{CounterReset, Keep, Merged};
use crate::promql::ast::{BinaryOp, PosRange};

use super::annotations::Annotations;
use super::elementwise::{arithmetic, comparison};
use super::remarks::Operation;

/// One point.
#[derive(Clone, Copy, Debug)]
pub enum Point<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

/// What an operator makes of two points.
#[derive(Clone, Debug)]
pub enum Combined {
    /// It is not defined for them, or they do not go together; an annotation says so.
    Refused,
    /// A comparison that does not hold.
    Rejected,
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// `lhs op rhs`, for operators that are not of sets. A comparison that holds gives `lhs`.
pub fn combine(
    op: BinaryOp,
    lhs: Point<'_>,
    rhs: Point<'_>,
    position: PosRange,
    annotations: &mut Annotations,
) -> Combined {
    use BinaryOp::*;
    use Point::{Float, Histogram};
    match (lhs, op, rhs) {
        (Float(lhs), _, Float(rhs)) => {
            if let Some(apply) = arithmetic(op) {
                return Combined::Float(apply(lhs, rhs));
            }
            if let Some(holds) = comparison(op) {
                return if holds(lhs, rhs) { Combined::Float(lhs) } else { Combined::Rejected };
            }
        }
        (Float(factor), Mul, Histogram(h)) | (Histogram(h), Mul, Float(factor)) => {
            return compacted(h, |h| h.mul(factor));
        }
        (Histogram(h), Div, Float(divisor)) => return compacted(h, |h| h.div(divisor)),
        (Histogram(h), TrimUpper | TrimLower, Float(bound)) => {
            let keep = if op == TrimUpper { Keep::Below } else { Keep::Above };
            let mut trimmed = (**h).clone();
            trimmed.trim(bound, keep);
            return Combined::Histogram(Arc::new(trimmed));
        }
        (Histogram(lhs), Add | Sub, Histogram(rhs)) => {
            return add(op, lhs, rhs, position, annotations);
        }
        (Histogram(lhs), Eql | Neq, Histogram(rhs)) => {
            let holds = lhs.equals(rhs) == (op == Eql);
            return if holds { Combined::Histogram(lhs.clone()) } else { Combined::Rejected };
        }
        _ => {}
    }
    let kind = |point| if matches!(point, Float(_)) { "float" } else { "histogram" };
    annotations.incompatible_types(kind(lhs), op.as_str(), kind(rhs), position);
    Combined::Refused
}

fn compacted(histogram: &FloatHistogram, change: impl FnOnce(&mut FloatHistogram)) -> Combined {
    let mut changed = histogram.clone();
    change(&mut changed);
    changed.compact(0);
    Combined::Histogram(Arc::new(changed))
}

/// A sum or a difference. One of histograms that contradict each other about resets is not given.
fn add(
    op: BinaryOp,
    lhs: &FloatHistogram,
    rhs: &FloatHistogram,
    position: PosRange,
    annotations: &mut Annotations,
) -> Combined {
    let mut result = lhs.clone();
    let (merged, operation) = if op == BinaryOp::Add {
        (result.add(rhs), Operation::Addition)
    } else {
        (result.sub(rhs), Operation::Subtraction)
    };
    let Ok(Merged { counter_reset_collision, bounds_reconciled }) = merged else {
        annotations.incompatible_layout(op.as_str(), position);
        return Combined::Refused;
    };
    if counter_reset_collision {
        annotations.reset_collision(operation, position);
        return Combined::Refused;
    }
    if bounds_reconciled {
        annotations.bounds_reconciled(operation, position);
    }
    if op == BinaryOp::Sub {
        result.counter_reset = CounterReset::Gauge;
    }
    result.compact(0);
    Combined::Histogram(Arc::new(result))
}
