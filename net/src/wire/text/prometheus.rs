//! Lines of Prometheus's text format.

use engine::model::MetricType;
use engine::model::sample::normal_nan;

use super::lex::Token;
use super::{Entry, Parser, Sample, Span, decode, number};
use crate::wire::quote::quoted;

impl<'a> Parser<'a> {
    pub(super) fn next_text_entry(&mut self) -> Result<Option<Entry<'a>>, String> {
        loop {
            self.entry_start = self.lexer.at;
            match self.lexer.next_token() {
                Token::Eof => return Ok(None),
                Token::Linebreak => continue, // Empty lines are allowed.
                keyword @ (Token::Help | Token::Type) => {
                    return self.text_metadata(keyword).map(Some);
                }
                Token::Comment => {
                    let text = self.lexer.token_bytes();
                    self.expect_linebreak("linebreak expected after comment")?;
                    return Ok(Some(Entry::Comment(text)));
                }
                first @ (Token::BraceOpen | Token::MetricName) => {
                    let (series, next) = self.read_series(first, false)?;
                    return self.text_sample(series, next).map(Some);
                }
                token => return Err(self.unexpected("expected a valid start token", token)),
            }
        }
    }

    fn expect_linebreak(&mut self, message: &str) -> Result<(), String> {
        match self.lexer.next_token() {
            Token::Linebreak => Ok(()),
            token => Err(self.unexpected(message, token)),
        }
    }

    fn text_metadata(&mut self, keyword: Token) -> Result<Entry<'a>, String> {
        let metric = self.read_metadata_name(keyword)?;
        let token = self.lexer.next_token();
        if token != Token::Text {
            let (keyword, token) = (keyword.as_str(), token.as_str());
            return Err(format!("expected text in {keyword}, got {token}"));
        }
        let text = self.lexer.token_bytes().get(1..).unwrap_or_default();
        let entry = if keyword == Token::Type {
            self.metric_type =
                text_type(text).ok_or_else(|| format!("invalid metric type {}", quoted(text)))?;
            Entry::Type { metric: self.slice(metric), metric_type: self.metric_type }
        } else {
            if simdutf8::basic::from_utf8(text).is_err() {
                return Err(format!("help text {} is not a valid utf8 string", quoted(text)));
            }
            Entry::Help { metric: self.slice(metric), help: decode::unescaped_help(text) }
        };
        self.expect_linebreak("linebreak expected after metadata")?;
        Ok(entry)
    }

    /// Value and timestamp, from the token after the series on.
    fn text_sample(&mut self, series: Span, token: Token) -> Result<Entry<'a>, String> {
        if token != Token::Value {
            return Err(self.unexpected("expected value after metric", token));
        }
        let mut value = number::float(self.lexer.token_bytes())
            .map_err(|error| format!("{error} while parsing: {}", self.line_so_far(0)))?;
        if value.is_nan() {
            value = normal_nan();
        }
        let timestamp_ms = match self.lexer.next_token() {
            Token::Linebreak => None,
            Token::Timestamp => {
                let timestamp_ms = number::integer(self.lexer.token_bytes())
                    .map_err(|error| format!("{error} while parsing: {}", self.line_so_far(0)))?;
                self.expect_linebreak("expected next entry after timestamp")?;
                Some(timestamp_ms)
            }
            token => return Err(self.unexpected("expected timestamp or new record", token)),
        };
        Ok(Entry::Sample(Sample { series: self.slice(series), timestamp_ms, value }))
    }
}

/// The types of the text format; the unknown one has another name than in OpenMetrics.
pub(super) fn text_type(text: &[u8]) -> Option<MetricType> {
    Some(match text {
        b"counter" => MetricType::Counter,
        b"gauge" => MetricType::Gauge,
        b"histogram" => MetricType::Histogram,
        b"summary" => MetricType::Summary,
        b"untyped" => MetricType::Unknown,
        _ => return None,
    })
}
