//! The parser: operator precedence with an explicit stack, so that no text can overflow it.
//!
//! ```text
//! text -> lex -> [ operands, operators, open brackets ] -> Ast in post-order -> check
//! ```
//!
//! Two stacks: `operands` are complete expressions, `open` is what waits for more. An operand
//! that was just completed is always the last node of the tree, so postfix modifiers take it off,
//! parse what they need, and put it back behind that.
//!
//! Messages and their order are Prometheus's, which come from an LR parser with error rules. A
//! token that cannot stand where it is is taken by the innermost rule that expects errors
//! ([`Parser::unexpected`]), then tokens are dropped until one fits; within the next three
//! tokens nothing more is reported by a rule that just dropped them. Where that parser decides
//! without looking at the next token, this one must not look either: looking may report.
//!
//! Here: the loop, operands and operators. Label lists and selectors are in `labels.rs`,
//! modifiers behind an operand in `postfix.rs`, arithmetic on durations in `duration.rs`.
//!
//! Source: Prometheus `promql/parser/generated_parser.y` and `parse.go`.

mod duration;
mod labels;
mod postfix;
pub(super) mod series;
mod tokens;

use crate::limits::PROMQL_DEPTH_MAX;

use super::ParseOptions;
use super::ast::{
    Aggregate, AggregateOp, Ast, Binary, BinaryOp, Card, Expr, ExprId, PosRange, UnaryOp,
    ValueType, VectorMatching, VectorSelector,
};
use super::error::ParseError;
use super::functions::FunctionId;
use super::lex::Lexer;
use super::number::parse_number;
use super::token::{Keyword, Token, TokenKind};

pub(super) struct Parser<'a> {
    text: &'a str,
    options: ParseOptions,
    lexer: Lexer<'a>,
    /// The next token, if it has been looked at.
    next: Option<Token>,
    /// The token that was read last, looked at or consumed: messages point at it.
    newest: Token,
    /// End of the newest token that may close an expression; ends of nodes are read here.
    last_closing: u32,
    /// Above zero: so many tokens must fit before the recovery from an error is over.
    recovering: u8,
    pub errors: Vec<ParseError>,
    ast: Ast,
    operands: Vec<ExprId>,
    open: Vec<Open>,
    /// How many of `open` are no binary operators.
    depth: usize,
}

/// Why a rule did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The next token cannot stand here; the innermost rule that expects errors goes on.
    Unexpected,
    /// The text ended in the middle of a recovery, or the parser gave up. Reported already.
    End,
}

/// Something that waits for its last operand or its closing parenthesis.
enum Open {
    Paren { start: u32 },
    Unary { op: UnaryOp, start: u32 },
    Binary(Box<Binary>),
    Call { name: Token, base: usize },
    Aggregate { op: AggregateOp, start: u32, base: usize, grouping: Option<Grouping> },
}

/// `by (…)` or `without (…)`.
struct Grouping {
    labels: Vec<Box<str>>,
    without: bool,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Operand,
    /// An operand or the parenthesis that closes an empty list.
    FirstArgument,
    /// An operand or, wrongly, the parenthesis that closes the list.
    NextArgument {
        comma: PosRange,
    },
    /// Something behind an operand.
    Operator,
    /// A comma or a closing parenthesis.
    EndOfArgument,
    /// The text was an expression.
    Nothing,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a str, options: ParseOptions) -> Self {
        Parser {
            text,
            options,
            lexer: Lexer::new(text),
            next: None,
            newest: Token { kind: TokenKind::Eof, position: PosRange::default() },
            last_closing: 0,
            recovering: 0,
            errors: Vec::new(),
            ast: Ast::default(),
            operands: Vec::new(),
            open: Vec::new(),
            depth: 0,
        }
    }

    /// Parses a whole text as an expression. The tree is complete only if there are no errors.
    pub fn expression(mut self) -> (Ast, Vec<ParseError>) {
        if self.peek() == TokenKind::Eof {
            self.error(PosRange::default(), "no expression found in input".into());
            return (self.ast, self.errors);
        }
        let mut expect = Expect::Operand;
        while expect != Expect::Nothing {
            let step = match expect {
                Expect::Operator => self.operator(),
                Expect::EndOfArgument => {
                    let kind = self.peek();
                    self.end_of_operand(kind)
                }
                _ => self.operand(expect),
            };
            expect = match step {
                Ok(next) => next,
                Err(Stop::Unexpected) => self.recover(),
                Err(Stop::End) => Expect::Nothing,
            };
        }
        (self.ast, self.errors)
    }

    /// Parses a whole text as one selector.
    pub fn selector(mut self) -> (Option<VectorSelector>, Vec<ParseError>) {
        let selector = self.selector_and_end();
        if selector == Err(Stop::Unexpected) {
            self.unexpected("", "");
            self.drain();
        }
        (selector.ok(), self.errors)
    }

    fn selector_and_end(&mut self) -> Result<VectorSelector, Stop> {
        let name = loop {
            match self.peek() {
                TokenKind::LeftBrace => break None,
                kind if kind.is_metric_name() => break Some(self.advance()),
                _ => self.reject()?,
            }
        };
        let (selector, _) = self.vector_selector(name)?;
        while !matches!(self.peek(), TokenKind::Eof | TokenKind::Error) {
            self.reject()?;
        }
        Ok(selector)
    }

    /// Goes on behind the innermost aggregation that is open, or gives up.
    fn recover(&mut self) -> Expect {
        while let Some(open) = self.open.pop() {
            self.depth -= usize::from(!matches!(open, Open::Binary(_)));
            if let Open::Aggregate { op, start, base, .. } = open {
                self.unexpected("aggregation", "");
                self.operands.truncate(base);
                self.close_aggregate(op, start, base, None, self.last_closing);
                return Expect::Operator;
            }
        }
        self.unexpected("", "");
        self.drain();
        Expect::Nothing
    }

    fn operand(&mut self, expect: Expect) -> Result<Expect, Stop> {
        let kind = self.peek();
        if let Expect::NextArgument { comma } = expect
            && !kind.begins_expression()
        {
            self.error(comma, "trailing commas not allowed in function call args".into());
            return Ok(Expect::EndOfArgument);
        }
        match kind {
            TokenKind::RightParen if expect == Expect::FirstArgument => {
                self.advance();
                return self.close_paren();
            }
            TokenKind::Number | TokenKind::Duration => {
                let token = self.advance();
                let (value, duration) = self.number_or_duration(token);
                self.push(Expr::Number { value, duration }, token.position);
            }
            TokenKind::String => {
                let token = self.advance();
                let bytes = self.unquote_bytes(token);
                self.push(Expr::String(bytes.into()), token.position);
            }
            TokenKind::LeftParen => {
                let start = self.advance().position.start;
                self.open(Open::Paren { start })?;
                return Ok(Expect::Operand);
            }
            TokenKind::LeftBrace => {
                let vector = self.vector_selector(None)?;
                self.push_vector(vector);
            }
            TokenKind::Aggregate(op) => return self.aggregate_or_name(op),
            _ if kind.is_metric_name() => return self.call_or_name(kind),
            _ => {
                let Some(op) = kind.sign() else {
                    self.reject()?;
                    return Ok(expect);
                };
                let start = self.advance().position.start;
                self.open(Open::Unary { op, start })?;
                return Ok(Expect::Operand);
            }
        }
        Ok(Expect::Operator)
    }

    /// At an identifier: a function's name if a parenthesis follows, otherwise a metric's.
    fn call_or_name(&mut self, kind: TokenKind) -> Result<Expect, Stop> {
        let name = self.advance();
        let may_call = match kind {
            TokenKind::Identifier => true,
            TokenKind::Keyword(keyword) => keyword.is_function(),
            _ => false,
        };
        if may_call && self.peek() == TokenKind::LeftParen {
            self.advance();
            self.open(Open::Call { name, base: self.operands.len() })?;
            return Ok(Expect::FirstArgument);
        }
        let vector = self.vector_selector(Some(name))?;
        self.push_vector(vector);
        Ok(Expect::Operator)
    }

    /// At an aggregation's name, which may be a metric's, too.
    fn aggregate_or_name(&mut self, op: AggregateOp) -> Result<Expect, Stop> {
        let name = self.advance();
        if !matches!(
            self.peek(),
            TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without)
        ) {
            let vector = self.vector_selector(Some(name))?;
            self.push_vector(vector);
            return Ok(Expect::Operator);
        }
        let (start, base) = (name.position.start, self.operands.len());
        self.open(Open::Aggregate { op, start, base, grouping: None })?;
        let modifier = self.grouping()?;
        if let Some(Open::Aggregate { grouping, .. }) = self.open.last_mut() {
            *grouping = modifier;
        }
        while self.peek() != TokenKind::LeftParen {
            self.reject()?;
        }
        self.advance();
        Ok(Expect::FirstArgument)
    }

    fn operator(&mut self) -> Result<Expect, Stop> {
        match self.peek() {
            TokenKind::Binary(op) => {
                self.close_operators(precedence(op));
                self.advance();
                let binary = self.binary_modifiers(op)?;
                self.open.push(Open::Binary(Box::new(binary)));
                return Ok(Expect::Operand);
            }
            TokenKind::LeftBracket => self.range_or_subquery()?,
            TokenKind::At => self.at()?,
            TokenKind::Keyword(Keyword::Offset) => self.offset()?,
            TokenKind::Keyword(Keyword::Anchored) => {
                self.advance();
                self.set_extended("anchored");
            }
            TokenKind::Keyword(Keyword::Smoothed) => {
                self.advance();
                self.set_extended("smoothed");
            }
            kind => {
                self.close_operators(0);
                return self.end_of_operand(kind);
            }
        }
        Ok(Expect::Operator)
    }

    /// Behind an operand that no operator waits for: `,`, `)` or the end of the text.
    fn end_of_operand(&mut self, kind: TokenKind) -> Result<Expect, Stop> {
        match (kind, self.open.last()) {
            (TokenKind::Eof | TokenKind::Error, None) => return Ok(Expect::Nothing),
            (TokenKind::RightParen, Some(_)) => {
                self.advance();
                return self.close_paren();
            }
            (TokenKind::Comma, Some(Open::Call { .. } | Open::Aggregate { .. })) => {
                let comma = self.advance().position;
                return Ok(Expect::NextArgument { comma });
            }
            _ => self.reject()?,
        }
        Ok(Expect::Operator)
    }

    /// Completes the operators that bind at least as tightly as the one that comes now.
    fn close_operators(&mut self, next: u8) {
        while let Some(top) = self.open.last() {
            let closes = match top {
                Open::Unary { .. } => precedence(BinaryOp::Mul) >= next,
                // The power alone goes from right to left.
                Open::Binary(binary) if binary.op == BinaryOp::Pow => precedence(binary.op) > next,
                Open::Binary(binary) => precedence(binary.op) >= next,
                _ => false,
            };
            if !closes {
                return;
            }
            match self.open.pop() {
                Some(Open::Unary { op, start }) => self.close_unary(op, start),
                Some(Open::Binary(binary)) => self.close_binary(binary),
                _ => unreachable!("only operators close"),
            }
        }
    }

    fn close_unary(&mut self, op: UnaryOp, start: u32) {
        self.depth -= 1;
        let expr = self.operands.pop().expect("an operator closes behind its operand");
        let position = PosRange { start, end: self.ast.position(expr).end };
        if let Expr::Number { value, .. } = self.ast.expr_mut(expr) {
            if op == UnaryOp::Minus {
                *value = -*value;
            }
            self.ast.set_position(expr, position);
            self.operands.push(expr);
            return;
        }
        self.push(Expr::Unary { op, expr }, position);
    }

    fn close_binary(&mut self, mut binary: Box<Binary>) {
        let operands = self.operands.pop().zip(self.operands.pop());
        let (rhs, lhs) = operands.expect("an operator closes behind its operands");
        (binary.lhs, binary.rhs) = (lhs, rhs);
        let start = self.ast.position(lhs).start;
        let position = PosRange { start, end: self.ast.position(rhs).end };
        let fills = |m: &VectorMatching| m.fill_lhs.is_some() || m.fill_rhs.is_some();
        if !self.options.fill_modifiers && binary.matching.as_ref().is_some_and(fills) {
            let message = "binop fill modifiers are experimental and not enabled";
            self.error(position, message.into());
        }
        self.push(Expr::Binary(binary), position);
    }

    /// Behind `)`: completes what it closes.
    fn close_paren(&mut self) -> Result<Expect, Stop> {
        let end = self.last_closing;
        self.depth -= 1;
        match self.open.pop().expect("a parenthesis closes what is open") {
            Open::Paren { start } => {
                let inner = self.operands.pop().expect("parentheses hold an operand");
                self.push(Expr::Paren(inner), PosRange { start, end });
            }
            Open::Call { name, base } => self.close_call(name, base, end),
            Open::Aggregate { op, start, base, grouping: None } => {
                let grouping = self.grouping()?;
                let end = match grouping {
                    Some(_) => self.last_closing,
                    // The next token had to be looked at, and it may be a closing one.
                    None => self.lexer.previous_right_paren(self.last_closing),
                };
                self.close_aggregate(op, start, base, grouping, end);
            }
            Open::Aggregate { op, start, base, grouping } => {
                self.close_aggregate(op, start, base, grouping, end);
            }
            Open::Unary { .. } | Open::Binary(_) => unreachable!("operators have been closed"),
        }
        Ok(Expect::Operator)
    }

    fn close_call(&mut self, name: Token, base: usize, end: u32) {
        let text = self.token_text(name);
        let quoted = || crate::model::quote::quote(text);
        let function = FunctionId::find(text);
        match function {
            None => {
                let message = format!("unknown function with name {}", quoted());
                self.error(name.position, message);
            }
            Some(id) if id.signature().experimental && !self.options.experimental_functions => {
                self.error(name.position, format!("function {} is not enabled", quoted()));
            }
            Some(_) => {}
        }
        let args = self.operands.split_off(base);
        // An unknown function has been reported, so any will do to keep the tree whole.
        let function = function.unwrap_or(FunctionId::Time);
        self.push(Expr::Call { function, args }, PosRange { start: name.position.start, end });
    }

    fn close_aggregate(
        &mut self,
        op: AggregateOp,
        start: u32,
        base: usize,
        grouping: Option<Grouping>,
        end: u32,
    ) {
        let position = PosRange { start, end };
        let count = self.operands.len() - base;
        let wanted = if op.has_param() { 2 } else { 1 };
        if count == 0 {
            self.error(position, "no arguments for aggregate expression provided".into());
        } else if op.is_experimental() && !self.options.experimental_functions {
            let name = op.as_str();
            self.error(
                position,
                format!(
                    "{name}() is experimental and must be enabled with \
                     --enable-feature=promql-experimental-functions"
                ),
            );
        } else if count != wanted {
            self.error(
                position,
                format!(
                    "wrong number of arguments for aggregate expression provided, \
                     expected {wanted}, got {count}"
                ),
            );
        }
        let args = self.operands.split_off(base);
        let (param, expr) = match args[..] {
            [expr] if wanted == 1 => (None, expr),
            [param, expr] if wanted == 2 => (Some(param), expr),
            // The wrong number has been reported; any node keeps the tree whole.
            _ => (None, self.ast.push(Expr::Number { value: 0.0, duration: false }, position)),
        };
        let Grouping { labels: grouping, without } =
            grouping.unwrap_or(Grouping { labels: Vec::new(), without: false });
        let aggregate = Aggregate { op, expr, param, grouping, without };
        self.push(Expr::Aggregate(Box::new(aggregate)), position);
    }

    /// Behind a binary operator: `bool`, `on`, `ignoring`, `group_left`, `fill` and the like.
    fn binary_modifiers(&mut self, op: BinaryOp) -> Result<Binary, Stop> {
        let mut matching = VectorMatching {
            card: Card::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_lhs: None,
            fill_rhs: None,
        };
        let return_bool = self.accept(TokenKind::Keyword(Keyword::Bool));
        if let TokenKind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) = self.peek() {
            self.advance();
            matching.on = keyword == Keyword::On;
            matching.labels = self.grouping_labels()?;
            let card = match self.peek() {
                TokenKind::Keyword(Keyword::GroupLeft) => Some(Card::ManyToOne),
                TokenKind::Keyword(Keyword::GroupRight) => Some(Card::OneToMany),
                _ => None,
            };
            if let Some(card) = card {
                self.advance();
                matching.card = card;
                // Without a list the right operand follows; anything else was meant as a list.
                let next = self.peek();
                if next == TokenKind::LeftParen || !next.begins_expression() {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        self.fill_modifiers(&mut matching)?;
        let (lhs, rhs) = (ExprId(0), ExprId(0));
        let matching = Some(matching);
        Ok(Binary { op, lhs, rhs, return_bool, matching, value_type: ValueType::Vector })
    }

    fn fill_modifiers(&mut self, matching: &mut VectorMatching) -> Result<(), Stop> {
        let TokenKind::Keyword(first) = self.peek() else { return Ok(()) };
        match first {
            Keyword::Fill => {
                let value = self.fill_value()?;
                (matching.fill_lhs, matching.fill_rhs) = (Some(value), Some(value));
            }
            Keyword::FillLeft => {
                matching.fill_lhs = Some(self.fill_value()?);
                if self.peek() == TokenKind::Keyword(Keyword::FillRight) {
                    matching.fill_rhs = Some(self.fill_value()?);
                }
            }
            Keyword::FillRight => {
                matching.fill_rhs = Some(self.fill_value()?);
                if self.peek() == TokenKind::Keyword(Keyword::FillLeft) {
                    matching.fill_lhs = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// At `fill`: `fill (-1)`.
    fn fill_value(&mut self) -> Result<f64, Stop> {
        self.advance();
        self.expect(TokenKind::LeftParen)?;
        let sign = self.peek().sign();
        if sign.is_some() {
            self.advance();
        }
        while !matches!(self.peek(), TokenKind::Number | TokenKind::Duration) {
            self.reject()?;
        }
        let token = self.advance();
        let (value, _) = self.number_or_duration(token);
        self.expect(TokenKind::RightParen)?;
        Ok(if sign == Some(UnaryOp::Minus) { -value } else { value })
    }

    /// The value of a number, or the seconds of a duration, and whether it is one.
    fn number_or_duration(&mut self, token: Token) -> (f64, bool) {
        let text = self.token_text(token);
        if token.kind == TokenKind::Number {
            let value = parse_number(text).unwrap_or_else(|why| {
                self.error(token.position, format!("error parsing number: {why}"));
                0.0
            });
            return (value, false);
        }
        let ms = super::parse_duration(text).unwrap_or_else(|why| {
            self.error(token.position, why.to_string());
            0
        });
        // As Go's `Duration.Seconds`: whole seconds and the rest apart.
        ((ms / 1000) as f64 + (ms % 1000 * 1_000_000) as f64 / 1e9, true)
    }

    /// Adds something that waits for more.
    fn open(&mut self, open: Open) -> Result<(), Stop> {
        self.depth += 1;
        if self.depth > PROMQL_DEPTH_MAX {
            let message = format!("expression is nested deeper than {PROMQL_DEPTH_MAX} levels");
            self.error(self.newest.position, message);
            return Err(Stop::End);
        }
        self.open.push(open);
        Ok(())
    }

    /// Adds a complete operand.
    fn push(&mut self, expr: Expr, position: PosRange) {
        let id = self.ast.push(expr, position);
        self.operands.push(id);
    }
}

/// How tightly an operator binds; a sign binds as tightly as a multiplication.
fn precedence(op: BinaryOp) -> u8 {
    use BinaryOp::*;
    match op {
        Or => 1,
        And | Unless => 2,
        Eql | Neq | Gtr | Lss | Gte | Lte | TrimUpper | TrimLower => 3,
        Add | Sub => 4,
        Mul | Div | Mod | Atan2 => 5,
        Pow => 6,
    }
}
