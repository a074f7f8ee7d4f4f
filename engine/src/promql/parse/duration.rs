//! Durations inside `[…]` and behind `offset`: literals and arithmetic on them.
//!
//! The same two stacks as for expressions, in small. Behind `offset` a duration without
//! parentheses ends with its first operand: `a offset 5m - b` subtracts `b` from a vector.

use super::super::ast::{
    BinaryOp, Duration, DurationExpr, DurationOp, Expr, ExprId, PosRange, UnaryOp,
};
use super::super::token::{Keyword, Token, TokenKind};
use super::{Parser, Stop, precedence};
use crate::limits::PROMQL_DEPTH_MAX;

/// A duration as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) enum DurationValue {
    Literal { seconds: f64, position: PosRange },
    Expr(ExprId),
}

impl DurationValue {
    pub fn to_duration(self) -> Duration {
        match self {
            // By way of whole nanoseconds, as Go's `time.Duration` counts them.
            DurationValue::Literal { seconds, .. } => {
                Duration::Known { ms: (seconds * 1e9).round() as i64 / 1_000_000 }
            }
            DurationValue::Expr(id) => Duration::Expr(id),
        }
    }
}

/// Seconds that fit into 63 bits of nanoseconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

enum Open {
    Paren {
        start: u32,
    },
    Unary {
        op: UnaryOp,
        position: PosRange,
    },
    Binary {
        op: BinaryOp,
        position: PosRange,
    },
    /// `min_of(` or `max_of(`; `first` is what stands before the comma.
    Choice {
        op: DurationOp,
        start: u32,
        first: Option<ExprId>,
    },
}

struct Stacks {
    operands: Vec<ExprId>,
    open: Vec<Open>,
    expects_operand: bool,
}

impl Parser<'_> {
    /// A duration with arithmetic, and a look at the token behind it.
    pub(super) fn duration(&mut self) -> Result<DurationValue, Stop> {
        let id = self.duration_expr(Vec::new())?;
        Ok(self.duration_value(id))
    }

    /// A duration behind what is `open` already.
    fn duration_expr(&mut self, open: Vec<Open>) -> Result<ExprId, Stop> {
        let mut stacks = Stacks { operands: Vec::new(), open, expects_operand: true };
        loop {
            if stacks.open.len() > PROMQL_DEPTH_MAX {
                let message = format!("duration is nested deeper than {PROMQL_DEPTH_MAX} levels");
                self.error(self.newest.position, message);
                return Err(Stop::End);
            }
            if stacks.expects_operand {
                self.duration_operand(&mut stacks)?;
            } else if let Some(id) = self.duration_operator(&mut stacks)? {
                return Ok(id);
            }
        }
    }

    /// Takes a literal off the tree again: it becomes part of its selector.
    fn duration_value(&mut self, id: ExprId) -> DurationValue {
        match *self.ast.expr(id) {
            Expr::Duration(DurationExpr::Literal { seconds, .. }) => {
                let position = self.ast.position(id);
                self.ast.truncate(id.0 as usize);
                DurationValue::Literal { seconds, position }
            }
            _ => DurationValue::Expr(id),
        }
    }

    fn duration_operand(&mut self, stacks: &mut Stacks) -> Result<(), Stop> {
        let kind = self.peek();
        match kind {
            TokenKind::Number | TokenKind::Duration => {
                let id = self.duration_literal(None);
                stacks.operands.push(id);
                stacks.expects_operand = false;
            }
            TokenKind::Keyword(Keyword::Step | Keyword::Range) => {
                let id = self.step_or_range()?;
                stacks.operands.push(id);
                stacks.expects_operand = false;
            }
            TokenKind::Keyword(keyword @ (Keyword::MinOf | Keyword::MaxOf)) => {
                let start = self.advance().position.start;
                self.expect(TokenKind::LeftParen)?;
                let op = choice(keyword);
                stacks.open.push(Open::Choice { op, start, first: None });
            }
            TokenKind::LeftParen => {
                let start = self.advance().position.start;
                stacks.open.push(Open::Paren { start });
            }
            _ => match kind.sign() {
                Some(op) => {
                    let position = self.advance().position;
                    stacks.open.push(Open::Unary { op, position });
                }
                None => self.reject()?,
            },
        }
        Ok(())
    }

    /// The finished expression when the next token does not belong to it.
    fn duration_operator(&mut self, stacks: &mut Stacks) -> Result<Option<ExprId>, Stop> {
        use BinaryOp::{Add, Div, Mod, Mul, Pow, Sub};
        let kind = self.peek();
        if let TokenKind::Binary(op @ (Add | Sub | Mul | Div | Mod | Pow)) = kind {
            self.close_duration_operators(stacks, precedence(op));
            let position = self.advance().position;
            stacks.open.push(Open::Binary { op, position });
            stacks.expects_operand = true;
            return Ok(None);
        }
        self.close_duration_operators(stacks, 0);
        match (kind, stacks.open.last_mut()) {
            (_, None) => return Ok(stacks.operands.pop()),
            (TokenKind::Comma, Some(Open::Choice { first: first @ None, .. })) => {
                *first = stacks.operands.pop();
                self.advance();
                stacks.expects_operand = true;
            }
            (
                TokenKind::RightParen,
                Some(Open::Paren { .. } | Open::Choice { first: Some(_), .. }),
            ) => {
                self.advance();
                self.close_duration_paren(stacks);
            }
            _ => self.reject()?,
        }
        Ok(None)
    }

    fn close_duration_paren(&mut self, stacks: &mut Stacks) {
        let inner = stacks.operands.pop().expect("parentheses hold an operand");
        let id = match stacks.open.pop() {
            Some(Open::Choice { op, start, first: Some(lhs) }) => {
                let position = PosRange { start, end: self.ast.position(inner).end };
                self.check_duration_expr(position);
                let expr = DurationExpr::Binary { op, lhs, rhs: inner };
                self.ast.push(Expr::Duration(expr), position)
            }
            Some(Open::Paren { start }) => {
                self.check_duration_expr(self.ast.position(inner));
                self.wrap_duration(inner, start)
            }
            _ => unreachable!("only what is open closes"),
        };
        stacks.operands.push(id);
    }

    /// Notes that `inner` stood in parentheses; several count as one.
    fn wrap_duration(&mut self, inner: ExprId, start: u32) -> ExprId {
        let mut position = self.ast.position(inner);
        match self.ast.expr(inner) {
            Expr::Duration(DurationExpr::Paren(_)) => return inner,
            Expr::Duration(DurationExpr::Literal { .. }) => position.start = start,
            _ => {}
        }
        self.ast.push(Expr::Duration(DurationExpr::Paren(inner)), position)
    }

    fn close_duration_operators(&mut self, stacks: &mut Stacks, next: u8) {
        loop {
            let closes = match stacks.open.last() {
                Some(Open::Unary { .. }) => precedence(BinaryOp::Mul) >= next,
                Some(Open::Binary { op: BinaryOp::Pow, .. }) => precedence(BinaryOp::Pow) > next,
                Some(Open::Binary { op, .. }) => precedence(*op) >= next,
                _ => false,
            };
            if !closes {
                return;
            }
            let rhs = stacks.operands.pop().expect("an operator closes behind its operand");
            let id = match stacks.open.pop() {
                Some(Open::Unary { op, position }) => self.sign_duration(op, position, rhs),
                Some(Open::Binary { op, position }) => {
                    let lhs = stacks.operands.pop().expect("an operator has two operands");
                    self.combine_durations(op, position, lhs, rhs)
                }
                _ => unreachable!("only operators close"),
            };
            stacks.operands.push(id);
        }
    }

    fn sign_duration(&mut self, op: UnaryOp, sign: PosRange, id: ExprId) -> ExprId {
        let position = PosRange { start: sign.start, end: self.ast.position(id).end };
        let minus = op == UnaryOp::Minus;
        match self.ast.expr_mut(id) {
            Expr::Duration(DurationExpr::Literal { seconds, .. }) => {
                *seconds = if minus { -*seconds } else { *seconds };
                let fits = seconds.abs() <= SECONDS_MAX;
                self.ast.set_position(id, position);
                if fits { id } else { self.refuse_duration(sign, "duration out of range") }
            }
            _ if minus => {
                let expr = DurationExpr::Unary { op, expr: id };
                self.ast.push(Expr::Duration(expr), position)
            }
            _ => id,
        }
    }

    fn combine_durations(
        &mut self,
        op: BinaryOp,
        sign: PosRange,
        lhs: ExprId,
        rhs: ExprId,
    ) -> ExprId {
        let start = self.ast.position(lhs);
        let position = PosRange { start: start.start, end: self.ast.position(rhs).end };
        self.check_duration_expr(start);
        let by_zero = matches!(
            self.ast.expr(rhs),
            Expr::Duration(DurationExpr::Literal { seconds, .. }) if *seconds == 0.0
        );
        let (op, by_zero_message) = match op {
            BinaryOp::Add => (DurationOp::Add, None),
            BinaryOp::Sub => (DurationOp::Sub, None),
            BinaryOp::Mul => (DurationOp::Mul, None),
            BinaryOp::Div => (DurationOp::Div, Some("division by zero")),
            BinaryOp::Mod => (DurationOp::Mod, Some("modulo by zero")),
            _ => (DurationOp::Pow, None),
        };
        match by_zero_message {
            Some(message) if by_zero => self.refuse_duration(sign, message),
            _ => {
                let expr = DurationExpr::Binary { op, lhs, rhs };
                self.ast.push(Expr::Duration(expr), position)
            }
        }
    }

    /// Reports a value that cannot be, and goes on with a zero that stands nowhere.
    fn refuse_duration(&mut self, position: PosRange, message: &str) -> ExprId {
        self.error(position, message.into());
        let zero = DurationExpr::Literal { seconds: 0.0, duration: false };
        self.ast.push(Expr::Duration(zero), PosRange::default())
    }

    /// At a number or a duration, behind its sign if there is one.
    fn duration_literal(&mut self, sign: Option<Token>) -> ExprId {
        let token = self.advance();
        let (mut seconds, duration) = self.number_or_duration(token);
        let mut position = token.position;
        if let Some(sign) = sign {
            if sign.kind.sign() == Some(UnaryOp::Minus) {
                seconds = -seconds;
            }
            position.start = sign.position.start;
        }
        if seconds.abs() > SECONDS_MAX {
            let culprit = sign.unwrap_or(token).position;
            return self.refuse_duration(culprit, "duration out of range");
        }
        self.ast.push(Expr::Duration(DurationExpr::Literal { seconds, duration }), position)
    }

    /// At `step` or `range`.
    fn step_or_range(&mut self) -> Result<ExprId, Stop> {
        let token = self.advance();
        self.expect(TokenKind::LeftParen)?;
        let close = self.expect(TokenKind::RightParen)?;
        let position = PosRange { start: token.position.start, end: close.position.end };
        self.check_duration_expr(position);
        let expr = match token.kind {
            TokenKind::Keyword(Keyword::Step) => DurationExpr::Step,
            _ => DurationExpr::Range,
        };
        Ok(self.ast.push(Expr::Duration(expr), position))
    }

    /// `min_of(a, b)` at its first word, and nothing behind it.
    fn duration_choice(&mut self, keyword: Keyword) -> Result<ExprId, Stop> {
        let start = self.advance().position.start;
        self.expect(TokenKind::LeftParen)?;
        let lhs = self.duration_expr(Vec::new())?;
        self.expect(TokenKind::Comma)?;
        let rhs = self.duration_expr(Vec::new())?;
        self.expect(TokenKind::RightParen)?;
        let position = PosRange { start, end: self.ast.position(rhs).end };
        self.check_duration_expr(position);
        let expr = DurationExpr::Binary { op: choice(keyword), lhs, rhs };
        Ok(self.ast.push(Expr::Duration(expr), position))
    }

    /// Behind `offset`. Looks at the token behind only after parentheses.
    pub(super) fn offset_duration(&mut self) -> Result<DurationValue, Stop> {
        let sign = if self.peek().sign().is_some() { Some(self.advance()) } else { None };
        let op = sign.and_then(|sign| sign.kind.sign());
        let id = loop {
            match self.peek() {
                TokenKind::Number | TokenKind::Duration => {
                    let id = self.duration_literal(sign);
                    return Ok(self.duration_value(id));
                }
                TokenKind::Keyword(Keyword::Step | Keyword::Range) => {
                    break self.step_or_range()?;
                }
                TokenKind::Keyword(keyword @ (Keyword::MinOf | Keyword::MaxOf)) => {
                    break self.duration_choice(keyword)?;
                }
                TokenKind::LeftParen if sign.is_some() => {
                    let start = self.advance().position.start;
                    let inner = self.duration_expr(Vec::new())?;
                    self.expect(TokenKind::RightParen)?;
                    break self.wrap_duration(inner, start);
                }
                TokenKind::LeftParen => return self.duration(),
                kind if kind.sign().is_some() => {
                    let open = op.zip(sign).map(|(op, sign)| {
                        let position = sign.position;
                        Open::Unary { op, position }
                    });
                    let id = self.duration_expr(open.into_iter().collect())?;
                    return Ok(self.duration_value(id));
                }
                _ => self.reject()?,
            }
        };
        let id = match (op, sign) {
            (Some(op), Some(sign)) => self.sign_duration(op, sign.position, id),
            _ => id,
        };
        Ok(DurationValue::Expr(id))
    }

    fn check_duration_expr(&mut self, position: PosRange) {
        if !self.options.duration_expressions {
            self.error(position, "experimental duration expression is not enabled".into());
        }
    }
}

fn choice(keyword: Keyword) -> DurationOp {
    match keyword {
        Keyword::MinOf => DurationOp::MinOf,
        _ => DurationOp::MaxOf,
    }
}
