//! What stands between the braces of a series or an exemplar: the same in both formats.

use super::lex::Token;
use super::{LabelSpans, Parser, Span};
use crate::wire::quote::quoted;

/// Whose labels are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Series,
    Exemplar,
}

impl Parser<'_> {
    /// Reads labels up to the closing brace; the opening one is read. A quoted string alone is
    /// the metric's name.
    ///
    /// `is_strict`: OpenMetrics wants a comma or the brace after a label; the text format lets
    /// blanks alone part them.
    pub(super) fn read_labels(&mut self, owner: Owner, is_strict: bool) -> Result<(), String> {
        let mut token = self.lexer.next_token();
        loop {
            let mut name = Span { start: self.lexer.start, end: self.lexer.at };
            let is_quoted = match token {
                Token::BraceClose => return Ok(()),
                Token::LabelName => false,
                Token::QuotedString => true,
                _ => return Err(self.unexpected("expected label name", token)),
            };
            token = self.lexer.next_token();
            if is_quoted && matches!(token, Token::Comma | Token::BraceClose) {
                if owner == Owner::Exemplar {
                    return Err(self.unexpected("expected label name", token));
                }
                self.note_metric(Span { start: name.start + 1, end: name.end - 1 })?;
                if token == Token::BraceClose {
                    return Ok(());
                }
                token = self.lexer.next_token();
                continue;
            }
            if is_quoted {
                name = Span { start: name.start + 1, end: name.end - 1 };
            }
            if token != Token::Equal {
                return Err(self.unexpected("expected equal", token));
            }
            let value = self.read_label_value()?;
            match owner {
                Owner::Series => &mut self.spans.labels,
                Owner::Exemplar => &mut self.exemplar_labels,
            }
            .push(LabelSpans { name, value });
            token = self.lexer.next_token();
            if token == Token::Comma {
                token = self.lexer.next_token();
            } else if is_strict && token != Token::BraceClose {
                return Err(self.unexpected("expected comma or brace close", token));
            }
        }
    }

    fn note_metric(&mut self, name: Span) -> Result<(), String> {
        if self.spans.metric.is_some() {
            return Err(format!("metric name already set while parsing: {}", self.line_so_far(0)));
        }
        self.spans.metric = Some(name);
        Ok(())
    }

    fn read_label_value(&mut self) -> Result<Span, String> {
        let token = self.lexer.next_token();
        if token != Token::LabelValue {
            return Err(self.unexpected("expected label value", token));
        }
        let text = self.lexer.token_bytes();
        if simdutf8::basic::from_utf8(text).is_err() {
            return Err(format!("invalid UTF-8 label value: {}", quoted(text)));
        }
        Ok(Span { start: self.lexer.start + 1, end: self.lexer.at - 1 })
    }

    /// Reads a series from its first token on: name, braces, or both. Returns the first token
    /// after it.
    pub(super) fn read_series(
        &mut self,
        first: Token,
        is_strict: bool,
    ) -> Result<(Span, Token), String> {
        let mut next = first;
        if first == Token::MetricName {
            self.spans.metric = Some(Span { start: self.entry_start, end: self.lexer.at });
        }
        let mut end = self.lexer.at;
        if first == Token::MetricName {
            next = self.lexer.next_token();
        }
        if next == Token::BraceOpen {
            self.read_labels(Owner::Series, is_strict)?;
            end = self.lexer.at;
            next = self.lexer.next_token();
        }
        if self.spans.metric.is_none() {
            return Err(format!("metric name not set while parsing: {}", self.line_so_far(0)));
        }
        Ok((Span { start: self.entry_start, end }, next))
    }

    /// The name after a metadata keyword, without quotes.
    pub(super) fn read_metadata_name(&mut self, keyword: Token) -> Result<Span, String> {
        let token = self.lexer.next_token();
        if token != Token::MetricName {
            let expected = format!("expected metric name after {}", keyword.as_str());
            return Err(self.unexpected(&expected, token));
        }
        let (start, end) = (self.lexer.start, self.lexer.at);
        let is_quoted = self.lexer.body[start] == b'"';
        let quotes = usize::from(is_quoted);
        Ok(Span { start: start + quotes, end: end - quotes })
    }
}
