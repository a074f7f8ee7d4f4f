//! Lists of label names and selectors: `(job, "other label")`, `up{job=~"a|b"}`.

use crate::model::{MatchOp, Matcher};
use crate::regex::Regex;

use super::super::ast::{BinaryOp, Duration, Expr, PosRange, VectorSelector};
use super::super::token::{Keyword, Token, TokenKind};
use super::{Grouping, Parser, Stop};
use crate::model::quote::quote;

/// The label of a metric's name.
const METRIC_NAME: &str = "__name__";

impl Parser<'_> {
    /// `by (…)` or `without (…)`, if one is next.
    pub(super) fn grouping(&mut self) -> Result<Option<Grouping>, Stop> {
        let TokenKind::Keyword(keyword @ (Keyword::By | Keyword::Without)) = self.peek() else {
            return Ok(None);
        };
        self.advance();
        let labels = self.grouping_labels()?;
        Ok(Some(Grouping { labels, without: keyword == Keyword::Without }))
    }

    /// A list of label names in parentheses.
    pub(super) fn grouping_labels(&mut self) -> Result<Vec<Box<str>>, Stop> {
        let mut labels = Vec::new();
        match self.expect(TokenKind::LeftParen) {
            Ok(_) => {}
            Err(Stop::Unexpected) => {
                self.unexpected("grouping opts", "\"(\"");
                return Ok(labels);
            }
            Err(Stop::End) => return Err(Stop::End),
        }
        loop {
            // At the beginning or behind a comma.
            if self.accept(TokenKind::RightParen) {
                return Ok(labels);
            }
            match self.grouping_label() {
                Ok(Some(label)) => labels.push(label),
                Ok(None) => continue,
                Err(Stop::Unexpected) => self.unexpected("grouping opts", "label"),
                Err(Stop::End) => return Err(Stop::End),
            }
            // Behind a label.
            loop {
                match self.peek() {
                    TokenKind::RightParen => {
                        self.advance();
                        return Ok(labels);
                    }
                    TokenKind::Comma => {
                        self.advance();
                        break;
                    }
                    _ => match self.reject() {
                        Ok(()) => {}
                        Err(Stop::Unexpected) => {
                            self.unexpected("grouping opts", "\",\" or \")\"");
                        }
                        Err(Stop::End) => return Err(Stop::End),
                    },
                }
            }
        }
    }

    /// `None`: a token was dropped.
    fn grouping_label(&mut self) -> Result<Option<Box<str>>, Stop> {
        let kind = self.peek();
        if kind.is_label_name() {
            let token = self.advance();
            return Ok(Some(self.token_text(token).into()));
        }
        if kind != TokenKind::String {
            return self.reject().map(|()| None);
        }
        let token = self.advance();
        let bytes = self.unquote_bytes(token);
        let label = String::from_utf8_lossy(&bytes);
        if bytes.is_empty() || matches!(label, std::borrow::Cow::Owned(_)) {
            let message = format!("invalid label name for grouping: {}", quote(&label));
            self.error(token.position, message);
        }
        Ok(Some(label.into()))
    }

    /// A selector behind its metric's name, if it has one: its labels and its place.
    pub(super) fn vector_selector(
        &mut self,
        name: Option<Token>,
    ) -> Result<(VectorSelector, PosRange), Stop> {
        let mut position = name.map_or_else(PosRange::default, |name| name.position);
        let mut matchers = Vec::new();
        if self.peek() == TokenKind::LeftBrace {
            let brace = self.advance().position;
            if name.is_none() {
                position.start = brace.start;
            }
            position.end = self.label_matchers(&mut matchers)?;
        }
        let name: Option<Box<str>> = name.map(|name| self.token_text(name).into());
        if let Some(name) = &name {
            matchers.push(Matcher::new(METRIC_NAME, MatchOp::Equal, name));
        }
        let selector = VectorSelector {
            name,
            matchers,
            offset: Duration::ZERO,
            at: None,
            anchored: false,
            smoothed: false,
            may_match_empty: false,
        };
        Ok((selector, position))
    }

    pub(super) fn push_vector(&mut self, (selector, position): (VectorSelector, PosRange)) {
        self.push(Expr::Vector(Box::new(selector)), position);
    }

    /// Behind `{`: the matchers and the closing brace, whose end it returns.
    fn label_matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<u32, Stop> {
        loop {
            // At the beginning or behind a comma.
            if self.peek() == TokenKind::RightBrace {
                return Ok(self.advance().position.end);
            }
            match self.label_matcher() {
                Ok(Some(matcher)) => matchers.extend(matcher),
                Ok(None) => continue,
                Err(Stop::Unexpected) => {
                    self.unexpected("label matching", "identifier or \"}\"");
                }
                Err(Stop::End) => return Err(Stop::End),
            }
            // Behind a matcher.
            loop {
                match self.peek() {
                    TokenKind::RightBrace => return Ok(self.advance().position.end),
                    TokenKind::Comma => {
                        self.advance();
                        break;
                    }
                    _ => match self.reject() {
                        Ok(()) => {}
                        Err(Stop::Unexpected) => {
                            self.unexpected("label matching", "\",\" or \"}\"");
                        }
                        Err(Stop::End) => return Err(Stop::End),
                    },
                }
            }
        }
    }

    /// One matcher. `Some(None)`: one was there and has been reported; `None`: a token was
    /// dropped.
    fn label_matcher(&mut self) -> Result<Option<Option<Matcher>>, Stop> {
        let kind = self.peek();
        if !matches!(kind, TokenKind::Identifier | TokenKind::String) {
            return self.reject().map(|()| None);
        }
        let token = self.advance();
        let name: Box<str> = match kind {
            TokenKind::String => self.unquote(token),
            _ => self.token_text(token).into(),
        };
        let op = loop {
            if let Some(op) = match_op(self.peek()) {
                break op;
            }
            if kind == TokenKind::String {
                let matcher = Matcher::new(METRIC_NAME, MatchOp::Equal, &name);
                return Ok(Some(Some(matcher)));
            }
            match self.reject() {
                Ok(()) => {}
                Err(Stop::Unexpected) => {
                    self.unexpected("label matching", "label matching operator");
                    return Ok(Some(None));
                }
                Err(Stop::End) => return Err(Stop::End),
            }
        };
        self.advance();
        match self.expect(TokenKind::String) {
            Ok(value) => Ok(Some(self.new_matcher(token, &name, op, value))),
            Err(Stop::Unexpected) => {
                self.unexpected("label matching", "string");
                Ok(Some(None))
            }
            Err(Stop::End) => Err(Stop::End),
        }
    }

    fn new_matcher(
        &mut self,
        name_token: Token,
        name: &str,
        op: MatchOp,
        value: Token,
    ) -> Option<Matcher> {
        let text = self.unquote(value);
        if matches!(op, MatchOp::Regexp | MatchOp::NotRegexp)
            && let Err(error) = Regex::new(&text)
        {
            let start = name_token.position.start;
            self.error(PosRange { start, end: value.position.end }, error.to_string());
            return None;
        }
        Some(Matcher::new(name, op, &text))
    }
}

fn match_op(kind: TokenKind) -> Option<MatchOp> {
    match kind {
        TokenKind::Equal => Some(MatchOp::Equal),
        TokenKind::Binary(BinaryOp::Neq) => Some(MatchOp::NotEqual),
        TokenKind::EqualRegex => Some(MatchOp::Regexp),
        TokenKind::NotRegex => Some(MatchOp::NotRegexp),
        _ => None,
    }
}
