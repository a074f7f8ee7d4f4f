//! Arithmetic and comparison of floats, as loops over columns.
//!
//! The operator is chosen outside the loop. Source: Prometheus `promql/engine.go`, `scalarBinop`,
//! `vectorElemBinop`.

pub use crate::plan::arithmetic::{arithmetic, comparison, scalar};
use crate::promql::ast::BinaryOp;

use super::bits::{ones, unset};

/// `values[step] = a op b` with `(a, b) = operands(step, values[step])`, for all steps; absent
/// points compute rubbish that nobody reads.
///
/// Written once per operator so that the common ones become vector instructions.
#[inline]
pub fn arithmetic_in_place(
    op: BinaryOp,
    values: &mut [f64],
    operands: impl Fn(usize, f64) -> (f64, f64),
) {
    #[inline]
    fn each(
        values: &mut [f64],
        operands: impl Fn(usize, f64) -> (f64, f64),
        apply: impl Fn(f64, f64) -> f64,
    ) {
        for (step, value) in values.iter_mut().enumerate() {
            let (lhs, rhs) = operands(step, *value);
            *value = apply(lhs, rhs);
        }
    }
    match op {
        BinaryOp::Add => each(values, operands, |a, b| a + b),
        BinaryOp::Sub => each(values, operands, |a, b| a - b),
        BinaryOp::Mul => each(values, operands, |a, b| a * b),
        BinaryOp::Div => each(values, operands, |a, b| a / b),
        _ => {
            let apply = arithmetic(op).expect("the caller has an arithmetic operator");
            each(values, operands, apply);
        }
    }
}

/// Applies `holds` to the present points: those for which it does not hold become absent, or, when
/// `return_bool`, all become 1 or 0.
pub fn filter_row(
    values: &mut [f64],
    present: &mut [u64],
    return_bool: bool,
    holds: impl Fn(usize, f64) -> bool,
) {
    for index in 0..present.len() {
        let word = [present[index]];
        for bit in ones(&word) {
            let step = index * u64::BITS as usize + bit;
            let kept = holds(step, values[step]);
            if return_bool {
                values[step] = f64::from(kept);
            } else if !kept {
                unset(present, step);
            }
        }
    }
}
