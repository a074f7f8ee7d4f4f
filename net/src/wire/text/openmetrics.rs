//! Lines of OpenMetrics.

use engine::model::MetricType;
use engine::model::sample::normal_nan;

use super::lex::Token;
use super::series::Owner;
use super::{Entry, Exemplar, Parser, Sample, Span, decode, number};
use crate::wire::quote::quoted;

const NO_END: &str = "data does not end with # EOF";

impl<'a> Parser<'a> {
    pub(super) fn next_openmetrics_entry(&mut self) -> Result<Option<Entry<'a>>, String> {
        self.entry_start = self.lexer.at;
        match self.lexer.next_token() {
            Token::EofWord => match self.lexer.next_token() {
                Token::Eof => Ok(None),
                _ => Err("unexpected data after # EOF".into()),
            },
            Token::Eof => Err(NO_END.into()),
            keyword @ (Token::Help | Token::Type | Token::Unit) => {
                self.openmetrics_metadata(keyword).map(Some)
            }
            first @ (Token::BraceOpen | Token::MetricName) => {
                let (series, next) = self.read_series(first, true)?;
                self.openmetrics_sample(series, next).map(Some)
            }
            token => Err(self.unexpected("expected a valid start token", token)),
        }
    }

    fn openmetrics_metadata(&mut self, keyword: Token) -> Result<Entry<'a>, String> {
        let metric = self.read_metadata_name(keyword)?;
        if self.lexer.next_token() != Token::Text {
            return Err(format!("expected text in {}", keyword.as_str()));
        }
        // The token is the space, the text and the line feed.
        let text = self.lexer.token_bytes();
        let text = text.get(1..text.len() - 1).unwrap_or_default();
        let metric = self.slice(metric);
        match keyword {
            Token::Type => {
                self.metric_type = openmetrics_type(text)
                    .ok_or_else(|| format!("invalid metric type {}", quoted(text)))?;
                Ok(Entry::Type { metric, metric_type: self.metric_type })
            }
            Token::Help if simdutf8::basic::from_utf8(text).is_err() => {
                Err(format!("help text {} is not a valid utf8 string", quoted(text)))
            }
            Token::Help => Ok(Entry::Help { metric, help: decode::unescaped(text) }),
            _ if is_unit_of(text, metric) => Ok(Entry::Unit { metric, unit: text }),
            _ => Err(format!("unit {} not a suffix of metric {}", quoted(text), quoted(metric))),
        }
    }

    /// Value, timestamp and exemplar, from the token after the series on.
    fn openmetrics_sample(&mut self, series: Span, token: Token) -> Result<Entry<'a>, String> {
        let value = self.read_value(token, "metric")?;
        let mut timestamp_ms = None;
        match self.lexer.next_token() {
            Token::Eof => return Err(NO_END.into()),
            Token::Comment => self.read_exemplar()?,
            Token::Timestamp => {
                timestamp_ms = Some(self.read_timestamp("invalid timestamp")?);
                match self.lexer.next_token() {
                    Token::Linebreak => {}
                    Token::Comment => self.read_exemplar()?,
                    token => {
                        return Err(self.unexpected("expected next entry after timestamp", token));
                    }
                }
            }
            // Anything else but a line's end is refused when the next entry is asked for.
            _ => {}
        }
        Ok(Entry::Sample(Sample { series: self.slice(series), timestamp_ms, value }))
    }

    fn read_exemplar(&mut self) -> Result<(), String> {
        self.read_labels(Owner::Exemplar, true)?;
        let token = self.lexer.next_token();
        let value = self.read_value(token, "exemplar labels")?;
        let timestamp_ms = match self.lexer.next_token() {
            Token::Eof => return Err(NO_END.into()),
            Token::Linebreak => None,
            Token::Timestamp => {
                let timestamp_ms = self.read_timestamp("invalid exemplar timestamp")?;
                match self.lexer.next_token() {
                    Token::Linebreak => Some(timestamp_ms),
                    token => {
                        let expected = "expected next entry after exemplar timestamp";
                        return Err(self.unexpected(expected, token));
                    }
                }
            }
            token => return Err(self.unexpected("expected timestamp or comment", token)),
        };
        self.exemplar = Some(Exemplar { timestamp_ms, value });
        Ok(())
    }

    fn read_value(&mut self, token: Token, after: &str) -> Result<f64, String> {
        if token != Token::Value {
            return Err(self.unexpected(&format!("expected value after {after}"), token));
        }
        let value = self.read_float()?;
        Ok(if value.is_nan() { normal_nan() } else { value })
    }

    /// The number of the current token, which begins with a space.
    fn read_float(&mut self) -> Result<f64, String> {
        number::float(&self.lexer.token_bytes()[1..])
            .map_err(|error| format!("{error} while parsing: {}", self.line_so_far(0)))
    }

    fn read_timestamp(&mut self, refusal: &str) -> Result<i64, String> {
        let seconds = self.read_float()?;
        match seconds {
            _ if seconds.is_nan() => Err(format!("{refusal} NaN")),
            f64::INFINITY => Err(format!("{refusal} +Inf")),
            f64::NEG_INFINITY => Err(format!("{refusal} -Inf")),
            _ => Ok(number::milliseconds(seconds)),
        }
    }
}

fn is_unit_of(unit: &[u8], metric: &[u8]) -> bool {
    unit.is_empty() || metric.strip_suffix(unit).is_some_and(|family| family.ends_with(b"_"))
}

pub(super) fn openmetrics_type(text: &[u8]) -> Option<MetricType> {
    Some(match text {
        b"counter" => MetricType::Counter,
        b"gauge" => MetricType::Gauge,
        b"histogram" => MetricType::Histogram,
        b"gaugehistogram" => MetricType::GaugeHistogram,
        b"summary" => MetricType::Summary,
        b"info" => MetricType::Info,
        b"stateset" => MetricType::StateSet,
        b"unknown" => MetricType::Unknown,
        _ => return None,
    })
}
