//! What stands behind an operand: `[5m]`, `[1h:1m]`, `offset 5m`, `@ 1234`, `anchored`.

use super::super::ast::{At, Duration, Expr, ExprId, PosRange, Subquery, UnaryOp, VectorSelector};
use super::super::token::{Keyword, Token, TokenKind};
use super::duration::DurationValue;
use super::{Parser, Stop};

/// What a message expects where a duration begins.
const DURATION: &str = "number, duration, step(), or range()";

/// A selector that was taken off the tree, so that what belongs to it can be put below it.
struct Detached {
    /// A vector, a range of one, or a subquery.
    outer: (Expr, PosRange),
    /// The vector below a range.
    inner: Option<(Box<VectorSelector>, PosRange)>,
}

/// What modifiers change in a selector.
struct Modified<'a> {
    offset: &'a mut Duration,
    at: &'a mut Option<At>,
}

impl Detached {
    fn modified(&mut self) -> Modified<'_> {
        match (&mut self.outer.0, &mut self.inner) {
            (Expr::Subquery(subquery), _) => {
                Modified { offset: &mut subquery.offset, at: &mut subquery.at }
            }
            (Expr::Vector(vector), _) | (_, Some((vector, _))) => {
                Modified { offset: &mut vector.offset, at: &mut vector.at }
            }
            _ => unreachable!("only selectors are detached"),
        }
    }
}

impl Parser<'_> {
    /// Takes the newest operand off the tree, if it is a selector.
    fn detach(&mut self) -> Option<Detached> {
        let id = *self.operands.last()?;
        debug_assert_eq!(id.0 as usize + 1, self.ast.len(), "an operand is the newest node");
        let has_inner = match self.ast.expr(id) {
            Expr::Vector(_) | Expr::Subquery(_) => false,
            Expr::Matrix { vector, .. } => match self.ast.expr(*vector) {
                Expr::Vector(_) => true,
                _ => return None,
            },
            _ => return None,
        };
        self.operands.pop();
        let outer = self.ast.pop()?;
        let inner = match has_inner.then(|| self.ast.pop()).flatten() {
            Some((Expr::Vector(vector), position)) => Some((vector, position)),
            _ => None,
        };
        Some(Detached { outer, inner })
    }

    /// Puts a selector back, behind the nodes that were added since.
    fn attach(&mut self, detached: Detached) {
        let Detached { outer: (mut expr, position), inner } = detached;
        if let (Some((selector, at)), Expr::Matrix { vector, .. }) = (inner, &mut expr) {
            *vector = self.ast.push(Expr::Vector(selector), at);
        }
        self.push(expr, position);
    }

    /// The place of the newest operand, whether it is detached or not.
    fn operand_position(&self, detached: Option<&Detached>) -> PosRange {
        match (detached, self.operands.last()) {
            (Some(detached), _) => detached.outer.1,
            (None, Some(id)) => self.ast.position(*id),
            (None, None) => unreachable!("a modifier follows an operand"),
        }
    }

    /// Reports a modifier behind what is no selector.
    fn refuse_modifier(&mut self, modifier: &str) {
        let position = self.operand_position(None);
        let id = *self.operands.last().expect("a modifier follows an operand");
        let message = match self.ast.expr(id) {
            Expr::Matrix { .. } => "ranges only allowed for vector selectors".into(),
            _ => format!(
                "{modifier} modifier must be preceded by an instant vector selector or range \
                 vector selector or a subquery"
            ),
        };
        self.error(position, message);
    }

    /// At `offset`.
    pub(super) fn offset(&mut self) -> Result<(), Stop> {
        self.advance();
        let mut selector = self.detach();
        let mark = self.ast.len();
        let result = self.offset_duration();
        let result = match result {
            Ok(value) => {
                let duration = value.to_duration();
                self.set_offset(selector.as_mut(), duration);
                if selector.is_none() {
                    self.ast.truncate(mark);
                }
                Ok(())
            }
            Err(stop) => {
                self.ast.truncate(mark);
                self.go_on_if_unexpected(stop, "offset", DURATION)
            }
        };
        selector.into_iter().for_each(|selector| self.attach(selector));
        result
    }

    fn set_offset(&mut self, selector: Option<&mut Detached>, duration: Duration) {
        let Some(selector) = selector else {
            return self.refuse_modifier("offset");
        };
        let modified = selector.modified();
        if *modified.offset == Duration::ZERO {
            *modified.offset = duration;
        } else {
            let message = "offset may not be set multiple times";
            self.error(selector.outer.1, message.into());
        }
        selector.outer.1.end = self.last_closing;
    }

    /// At `@`.
    pub(super) fn at(&mut self) -> Result<(), Stop> {
        self.advance();
        let at = match self.at_time() {
            Ok(at) => at,
            Err(stop) => return self.go_on_if_unexpected(stop, "@", "timestamp"),
        };
        let mut selector = self.detach();
        let at = match at {
            AtTime::Seconds(seconds) => {
                let bound = i64::MAX as f64;
                if !(-bound < seconds && seconds < bound) {
                    let position = self.operand_position(selector.as_ref());
                    let shown = match seconds {
                        f64::INFINITY => "+Inf".into(),
                        f64::NEG_INFINITY => "-Inf".into(),
                        _ if seconds.is_nan() => "NaN".into(),
                        _ => format!("{seconds:.6}"),
                    };
                    let message = format!("timestamp out of bounds for @ modifier: {shown}");
                    self.error(position, message);
                }
                At::Timestamp { ms: (seconds * 1000.0).round() as i64 }
            }
            AtTime::Start => At::Start,
            AtTime::End => At::End,
        };
        let Some(mut selector) = selector.take() else {
            self.refuse_modifier("@");
            return Ok(());
        };
        if selector.modified().at.is_some() {
            let message = "@ <timestamp> may not be set multiple times";
            self.error(selector.outer.1, message.into());
        } else {
            *selector.modified().at = Some(at);
            selector.outer.1.end = self.last_closing;
        }
        self.attach(selector);
        Ok(())
    }

    fn at_time(&mut self) -> Result<AtTime, Stop> {
        loop {
            let kind = self.peek();
            let keyword = match kind {
                TokenKind::Keyword(Keyword::Start) => AtTime::Start,
                TokenKind::Keyword(Keyword::End) => AtTime::End,
                TokenKind::Number | TokenKind::Duration => return self.at_seconds(None),
                _ if kind.sign().is_some() => {
                    self.advance();
                    return self.at_seconds(kind.sign());
                }
                _ => {
                    self.reject()?;
                    continue;
                }
            };
            self.advance();
            self.expect(TokenKind::LeftParen)?;
            self.expect(TokenKind::RightParen)?;
            return Ok(keyword);
        }
    }

    fn at_seconds(&mut self, sign: Option<UnaryOp>) -> Result<AtTime, Stop> {
        while !matches!(self.peek(), TokenKind::Number | TokenKind::Duration) {
            self.reject()?;
        }
        let token = self.advance();
        let (seconds, _) = self.number_or_duration(token);
        Ok(AtTime::Seconds(if sign == Some(UnaryOp::Minus) { -seconds } else { seconds }))
    }

    /// Behind `anchored` or `smoothed`, which is `modifier`.
    pub(super) fn set_extended(&mut self, modifier: &str) {
        let mut selector = self.detach();
        let position = self.operand_position(selector.as_ref());
        if !self.options.extended_range_selectors {
            self.error(position, format!("{modifier} modifier is experimental and not enabled"));
        } else if let Some(selector) = &mut selector {
            match (&mut selector.outer.0, &mut selector.inner) {
                (Expr::Subquery(_), _) => {
                    let message = format!("{modifier} modifier is not supported for subqueries");
                    self.error(position, message);
                }
                (Expr::Vector(vector), _) | (_, Some((vector, _))) => {
                    vector.anchored |= modifier == "anchored";
                    vector.smoothed |= modifier == "smoothed";
                    if vector.anchored && vector.smoothed {
                        let message = "anchored and smoothed modifiers cannot be used together";
                        self.error(position, message.into());
                    }
                }
                _ => unreachable!("only selectors are detached"),
            }
        } else if let Some(id) = self.operands.last()
            && !matches!(self.ast.expr(*id), Expr::Matrix { .. })
        {
            self.error(position, format!("{modifier} modifier not implemented"));
        }
        selector.into_iter().for_each(|selector| self.attach(selector));
    }

    /// At `[`: a range of a vector, or a subquery of any operand.
    pub(super) fn range_or_subquery(&mut self) -> Result<(), Stop> {
        let bracket = self.advance();
        // A vector goes behind its range's expression, so that what comes behind the brackets can
        // be put below it. What is no vector can stay where it is.
        let is_vector = |id: &ExprId| matches!(self.ast.expr(*id), Expr::Vector(_));
        let vector = if self.operands.last().is_some_and(is_vector) { self.detach() } else { None };
        let mark = self.ast.len();
        let range = self.range(mark);
        vector.into_iter().for_each(|vector| self.attach(vector));
        let Some(range) = range? else { return Ok(()) };
        if self.accept(TokenKind::Colon) {
            return self.subquery(range);
        }
        let close = self.advance();
        self.push_range(bracket, close, range);
        Ok(())
    }

    /// A range and the look at what follows, which is `]` or `:`. `None`: reported.
    fn range(&mut self, mark: usize) -> Result<Option<Duration>, Stop> {
        let range = match self.duration() {
            Ok(value) => self.positive(value),
            Err(stop) => {
                self.ast.truncate(mark);
                let context = "subquery or range selector";
                return self.go_on_if_unexpected(stop, context, DURATION).map(|()| None);
            }
        };
        while !matches!(self.peek(), TokenKind::RightBracket | TokenKind::Colon) {
            if let Err(stop) = self.reject() {
                self.ast.truncate(mark);
                let expected = "\":\" or \"]\"";
                return self
                    .go_on_if_unexpected(stop, "subquery or range", expected)
                    .map(|()| None);
            }
        }
        Ok(Some(range))
    }

    fn push_range(&mut self, bracket: Token, close: Token, range: Duration) {
        let vector = self.operands.pop().expect("a range follows an operand");
        let wrong = match self.ast.expr(vector) {
            Expr::Vector(vector) if vector.offset != Duration::ZERO => {
                Some("no offset modifiers allowed before range")
            }
            Expr::Vector(vector) if vector.at.is_some() => {
                Some("no @ modifiers allowed before range")
            }
            Expr::Vector(_) => None,
            _ => Some("ranges only allowed for vector selectors"),
        };
        if let Some(message) = wrong {
            let position = PosRange { start: bracket.position.start, end: close.position.end };
            self.error(position, message.into());
        }
        let position = PosRange { start: self.ast.position(vector).start, end: self.last_closing };
        self.push(Expr::Matrix { vector, range }, position);
    }

    /// Behind the colon of a subquery.
    fn subquery(&mut self, range: Duration) -> Result<(), Stop> {
        let mark = self.ast.len();
        let mut step = None;
        if self.peek() != TokenKind::RightBracket {
            match self.duration() {
                Ok(value) => step = Some(self.positive(value)),
                Err(stop) => {
                    self.ast.truncate(mark);
                    let expected = "number, duration, step(), range(), or \"]\"";
                    return self.go_on_if_unexpected(stop, "subquery selector", expected);
                }
            }
        }
        let close = match self.expect(TokenKind::RightBracket) {
            Ok(close) => close,
            Err(stop) => {
                self.ast.truncate(mark);
                return self.go_on_if_unexpected(stop, "subquery selector", "\"]\"");
            }
        };
        let expr = self.operands.pop().expect("a subquery follows an operand");
        let position = PosRange { start: self.ast.position(expr).start, end: close.position.end };
        let subquery = Subquery { expr, range, step, offset: Duration::ZERO, at: None };
        self.push(Expr::Subquery(Box::new(subquery)), position);
        Ok(())
    }

    /// Behind a duration that must be above zero, when the token behind it has been looked at.
    fn positive(&mut self, value: DurationValue) -> Duration {
        self.peek();
        if let DurationValue::Literal { seconds, position } = value
            && seconds <= 0.0
        {
            self.error(position, "duration must be greater than 0".into());
            return Duration::ZERO;
        }
        value.to_duration()
    }

    /// A rule that expects errors: reports the token that came, and the parser goes on behind the
    /// operand as if the modifier had not been there.
    fn go_on_if_unexpected(
        &mut self,
        stop: Stop,
        context: &str,
        expected: &str,
    ) -> Result<(), Stop> {
        if stop == Stop::End {
            return Err(stop);
        }
        self.unexpected(context, expected);
        Ok(())
    }
}

enum AtTime {
    Seconds(f64),
    Start,
    End,
}
