//! The lexer behind the labels of a series description: values, repetitions, histograms.
//!
//! Source: Prometheus `promql/parser/lex.go`, `lexValueSequence`, `lexHistogram`, `lexBuckets`.

use crate::model::quote::{quote, quote_char};

use super::ast::BinaryOp;
use super::lex::{LexResult, Lexer, Mode, is_alpha, is_space};
use super::token::TokenKind;

impl Lexer<'_> {
    pub(super) fn read_series_values(&mut self) -> LexResult {
        self.skip_rest_of_space();
        let Some(c) = self.next() else { return Ok(Some(TokenKind::Eof)) };
        Ok(Some(match c {
            '{' if self.accept("{") => {
                self.mode = Mode::Histogram;
                TokenKind::OpenHistogram
            }
            _ if is_space(c) => self.space(),
            '+' => TokenKind::Binary(BinaryOp::Add),
            '-' => TokenKind::Binary(BinaryOp::Sub),
            'x' => TokenKind::Times,
            '_' => TokenKind::Blank,
            '0'..='9' => return self.read_plain_number(),
            '.' if self.peek().is_some_and(|next| next.is_ascii_digit()) => {
                return self.read_plain_number();
            }
            _ if is_alpha(c) => self.read_word(),
            _ => return Err(format!("unexpected character in series sequence: {}", quote_char(c))),
        }))
    }

    /// Inside `{{…}}`.
    pub(super) fn read_histogram(&mut self) -> LexResult {
        self.skip_rest_of_space();
        if self.bracket_open {
            return self.read_buckets();
        }
        let c = self.next();
        Ok(Some(match c {
            Some(c) if is_space(c) => self.space(),
            Some(c) if is_alpha(c) => return self.read_histogram_word(),
            Some(':') => TokenKind::Colon,
            Some('-') => TokenKind::Binary(BinaryOp::Sub),
            Some('0'..='9') => return self.read_plain_number(),
            Some('[') => {
                self.bracket_open = true;
                TokenKind::LeftBracket
            }
            Some('}') if self.accept("}") => {
                let goes_on = matches!(self.peek(), Some('x' | '+' | '-'));
                self.mode = if goes_on { Mode::AfterHistogram } else { Mode::SeriesValues };
                TokenKind::CloseHistogram
            }
            _ => {
                let shown = quote_char(c.unwrap_or(char::REPLACEMENT_CHARACTER));
                return Err(format!("histogram description incomplete unexpected: {shown}"));
            }
        }))
    }

    pub(super) fn read_after_histogram(&mut self) -> LexResult {
        self.mode = Mode::SeriesValues;
        self.read_series_values()
    }

    /// The name of a field, or a word among its values; its first character has been read.
    fn read_histogram_word(&mut self) -> LexResult {
        self.skip_while(is_alpha);
        let word = self.read_text();
        match &*word.to_ascii_lowercase() {
            "sum" | "count" | "schema" | "offset" | "n_offset" | "buckets" | "n_buckets"
            | "z_bucket" | "z_bucket_w" | "custom_values" | "counter_reset_hint" => {
                if self.peek() != Some(':') {
                    return Err("missing `:` for histogram descriptor".into());
                }
                Ok(Some(TokenKind::HistogramField))
            }
            "inf" | "nan" => Ok(Some(TokenKind::Number)),
            "unknown" | "reset" | "not_reset" | "gauge" => Ok(Some(TokenKind::CounterResetHint)),
            _ => Err(format!("bad histogram descriptor found: {}", quote(word))),
        }
    }

    /// Inside the brackets of a list of buckets.
    fn read_buckets(&mut self) -> LexResult {
        let c = self.next();
        Ok(Some(match c {
            Some(c) if is_space(c) => self.space(),
            Some('-') => TokenKind::Binary(BinaryOp::Sub),
            Some('0'..='9') => return self.read_plain_number(),
            Some(']') => {
                self.bracket_open = false;
                TokenKind::RightBracket
            }
            Some(c) if is_alpha(c) => {
                let rest = &self.text[self.start..];
                let named = rest.get(..3).is_some_and(|word| {
                    word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan")
                });
                if !named {
                    let shown = quote_char(c);
                    return Err(format!("invalid character in buckets description: {shown}"));
                }
                self.position = self.start + 3;
                TokenKind::Number
            }
            _ => {
                let shown = quote_char(c.unwrap_or(char::REPLACEMENT_CHARACTER));
                return Err(format!("invalid character in buckets description: {shown}"));
            }
        }))
    }

    /// A number, never a duration; its first character has been read.
    fn read_plain_number(&mut self) -> LexResult {
        self.position = self.start;
        if self.skip_number() {
            return Ok(Some(TokenKind::Number));
        }
        Err(format!("bad number syntax: {}", quote(self.read_text())))
    }

    fn space(&mut self) -> TokenKind {
        self.after_space = true;
        TokenKind::Space
    }

    fn skip_rest_of_space(&mut self) {
        if std::mem::take(&mut self.after_space) {
            self.skip_while(is_space);
            self.start = self.position;
        }
    }
}
