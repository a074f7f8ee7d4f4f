//! The parser's hold on tokens: looking, consuming, refusing, reporting.

use crate::model::quote::quote;

use super::super::ast::PosRange;
use super::super::error::ParseError;
use super::super::token::{Token, TokenKind};
use super::super::unquote::unquote;
use super::{Parser, Stop};

/// So many tokens must fit after an error before the next one is reported by itself.
const RECOVERY_TOKENS: u8 = 3;

impl Parser<'_> {
    /// The kind of the next token. Reports what the lexer refuses; after that there is only
    /// [`TokenKind::Error`].
    pub(super) fn peek(&mut self) -> TokenKind {
        if let Some(next) = self.next {
            return next.kind;
        }
        let token = self.lexer.next_token().unwrap_or_else(|error| {
            let position = error.position;
            self.errors.push(error);
            Token { kind: TokenKind::Error, position }
        });
        if matches!(
            token.kind,
            TokenKind::RightBrace
                | TokenKind::RightParen
                | TokenKind::RightBracket
                | TokenKind::Duration
                | TokenKind::Number
        ) {
            self.last_closing = token.position.end;
        }
        self.next = Some(token);
        self.newest = token;
        token.kind
    }

    /// Consumes the next token, which fits here.
    pub(super) fn advance(&mut self) -> Token {
        self.recovering = self.recovering.saturating_sub(1);
        self.peek();
        let token = self.newest;
        // Nothing follows the end, so it stays.
        if !matches!(token.kind, TokenKind::Eof | TokenKind::Error) {
            self.next = None;
        }
        token
    }

    pub(super) fn accept(&mut self, kind: TokenKind) -> bool {
        let fits = self.peek() == kind;
        if fits {
            self.advance();
        }
        fits
    }

    pub(super) fn expect(&mut self, kind: TokenKind) -> Result<Token, Stop> {
        while self.peek() != kind {
            self.reject()?;
        }
        Ok(self.advance())
    }

    /// The next token cannot stand here. In a recovery that has not found a fitting token yet it
    /// is dropped, and the place is to be tried again; otherwise a recovery begins.
    pub(super) fn reject(&mut self) -> Result<(), Stop> {
        let kind = self.peek();
        if self.recovering < RECOVERY_TOKENS {
            self.recovering = RECOVERY_TOKENS;
            return Err(Stop::Unexpected);
        }
        if matches!(kind, TokenKind::Eof | TokenKind::Error) {
            return Err(Stop::End);
        }
        self.next = None;
        Ok(())
    }

    /// Drops all tokens that are left; the lexer may still refuse one.
    pub(super) fn drain(&mut self) {
        while !matches!(self.peek(), TokenKind::Eof | TokenKind::Error) {
            self.next = None;
        }
    }

    pub(super) fn error(&mut self, position: PosRange, message: String) {
        self.errors.push(ParseError { position, message });
    }

    /// Reports the newest token as unexpected, unless the lexer has reported it already.
    pub(super) fn unexpected(&mut self, context: &str, expected: &str) {
        let token = self.newest;
        if token.kind == TokenKind::Error {
            return;
        }
        let mut message = format!("unexpected {}", token.kind.describe(self.token_text(token)));
        if !context.is_empty() {
            message += " in ";
            message += context;
        }
        if !expected.is_empty() {
            message += ", expected ";
            message += expected;
        }
        self.error(token.position, message);
    }

    /// What a name or a value of a matcher stands for. Bytes that are no UTF-8 (`"\xff"`) become
    /// U+FFFD: no label could hold them.
    pub(super) fn unquote(&mut self, token: Token) -> Box<str> {
        let bytes = self.unquote_bytes(token);
        String::from_utf8_lossy(&bytes).into()
    }

    pub(super) fn unquote_bytes(&mut self, token: Token) -> Vec<u8> {
        let text = self.token_text(token);
        unquote(text).unwrap_or_else(|| {
            let message = format!("error unquoting string {}: invalid syntax", quote(text));
            self.error(token.position, message);
            Vec::new()
        })
    }
}

impl<'a> Parser<'a> {
    pub(super) fn token_text(&self, token: Token) -> &'a str {
        &self.text[token.position.start as usize..token.position.end as usize]
    }
}
