//! Durations that are expressions: `[5m * 2]`, `offset step()`.
//!
//! Source: Prometheus `promql/durations.go`, error texts included.

use crate::promql::ast::{Ast, Duration, DurationExpr, DurationOp, Expr, ExprId, UnaryOp};

use super::{PlanError, QueryTimes};

/// Whether a duration may be zero or less.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Any,
    Positive,
}

/// Seconds of every duration expression of the tree, by id; NaN for other nodes.
pub(super) struct Durations {
    seconds: Vec<Result<f64, PlanError>>,
}

impl Durations {
    /// One pass over the tree: children stand before their parents.
    pub(super) fn evaluate(ast: &Ast, times: &QueryTimes) -> Durations {
        let mut seconds: Vec<Result<f64, PlanError>> = Vec::with_capacity(ast.len());
        for id in ast.ids() {
            let value = match ast.expr(id) {
                Expr::Duration(duration) => evaluate(ast, id, duration, times, &seconds),
                Expr::Number { value, .. } => Ok(*value),
                _ => Ok(f64::NAN),
            };
            seconds.push(value);
        }
        Durations { seconds }
    }

    /// Milliseconds of `duration`.
    pub(super) fn ms(&self, ast: &Ast, duration: Duration, sign: Sign) -> Result<i64, PlanError> {
        let id = match duration {
            Duration::Known { ms } => return Ok(ms),
            Duration::Expr(id) => id,
        };
        let seconds = self.seconds[id.0 as usize].clone()?;
        if !seconds.is_finite() {
            return Err(at(ast, id, "duration is NaN or infinite"));
        }
        if seconds <= 0.0 && sign == Sign::Positive {
            return Err(at(ast, id, "duration must be greater than 0"));
        }
        let seconds_max = (1u64 << 63) as f64 / 1e9;
        if seconds > seconds_max || seconds < -seconds_max {
            return Err(at(ast, id, "duration is out of range"));
        }
        Ok((seconds * 1000.0) as i64)
    }
}

fn evaluate(
    ast: &Ast,
    id: ExprId,
    duration: &DurationExpr,
    times: &QueryTimes,
    seconds: &[Result<f64, PlanError>],
) -> Result<f64, PlanError> {
    let of = |id: ExprId| seconds[id.0 as usize].clone();
    match *duration {
        DurationExpr::Literal { seconds, .. } => Ok(seconds),
        DurationExpr::Step => Ok(times.step_ms as f64 / 1000.0),
        DurationExpr::Range => Ok(times.end_ms.saturating_sub(times.start_ms) as f64 / 1000.0),
        DurationExpr::Unary { op: UnaryOp::Plus, expr } | DurationExpr::Paren(expr) => of(expr),
        DurationExpr::Unary { op: UnaryOp::Minus, expr } => Ok(-of(expr)?),
        DurationExpr::Binary { op, lhs, rhs, .. } => {
            let (lhs, rhs) = (of(lhs)?, of(rhs)?);
            match op {
                DurationOp::Add => Ok(lhs + rhs),
                DurationOp::Sub => Ok(lhs - rhs),
                DurationOp::Mul => Ok(lhs * rhs),
                DurationOp::Div if rhs == 0.0 => Err(at(ast, id, "division by zero")),
                DurationOp::Div => Ok(lhs / rhs),
                DurationOp::Mod if rhs == 0.0 => Err(at(ast, id, "modulo by zero")),
                DurationOp::Mod => Ok(lhs % rhs),
                DurationOp::Pow => Ok(lhs.powf(rhs)),
                DurationOp::MinOf if lhs.is_nan() || rhs.is_nan() => Ok(f64::NAN),
                DurationOp::MaxOf if lhs.is_nan() || rhs.is_nan() => Ok(f64::NAN),
                DurationOp::MinOf => Ok(lhs.min(rhs)),
                DurationOp::MaxOf => Ok(lhs.max(rhs)),
            }
        }
    }
}

fn at(ast: &Ast, id: ExprId, message: &str) -> PlanError {
    let position = ast.position(id);
    PlanError { message: format!("{}:{}: {message}", position.start, position.end) }
}
