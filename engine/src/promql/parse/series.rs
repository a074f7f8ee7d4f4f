//! Series descriptions, the language of test files: labels, then values.
//!
//! ```text
//! up{job="a"} 0+10x100 _ _x3 stale 1x4 {{schema:0 sum:5 count:3 buckets:[1 2]}}x2
//! ```
//!
//! `a+bxN` stands for N+1 values that rise by b, `axN` for N+1 times a, `_xN` for N gaps.
//! Parsing ends at the first error.
//!
//! Source: Prometheus `promql/parser/generated_parser.y`, `series_description`.

use std::sync::Arc;

use crate::model::sample::stale_nan;
use crate::model::{Labels, LabelsBuilder};

use super::super::ast::{PosRange, UnaryOp};
use super::super::error::ParseErrors;
use super::super::number::parse_number;
use super::super::token::{Token, TokenKind};
use super::super::{ParseOptions, parse_duration};
use super::{Parser, Stop};

/// Most values that one description may stand for. Protects memory: `0x4000000000` is short.
pub const SEQUENCE_VALUE_COUNT_MAX: usize = 1 << 24;

/// One value of a series description, or a run of them where histograms change.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceValue {
    /// `_`: no sample at this time.
    Omitted,
    /// A staleness marker among them, by bits.
    Float(f64),
    Histogram(Arc<HistogramLiteral>),
    /// `base` and then `times` more, each `step` more (or less) than the one before.
    HistogramRun {
        base: Arc<HistogramLiteral>,
        step: Arc<HistogramLiteral>,
        subtract: bool,
        times: u64,
    },
}

impl SequenceValue {
    /// How many values of the sequence this is.
    pub fn count(&self) -> usize {
        match self {
            SequenceValue::HistogramRun { times, .. } => *times as usize + 1,
            _ => 1,
        }
    }
}

/// A native histogram as it was written; what was not written is zero or empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramLiteral {
    pub schema: i32,
    pub sum: f64,
    pub count: f64,
    pub zero_count: f64,
    pub zero_threshold: f64,
    pub custom_values: Vec<f64>,
    /// Absolute counts of consecutive buckets, the first at index `positive_offset`.
    pub positive_buckets: Vec<f64>,
    pub positive_offset: i32,
    pub negative_buckets: Vec<f64>,
    pub negative_offset: i32,
    /// `None`: not written, so a comparison does not look at it.
    pub counter_reset_hint: Option<CounterResetHint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterResetHint {
    Unknown,
    Reset,
    NotReset,
    Gauge,
}

/// Reads the description of one series.
pub fn parse_series_description(text: &str) -> Result<(Labels, Vec<SequenceValue>), ParseErrors> {
    let mut parser = Parser::new(text, ParseOptions::default());
    parser.lexer.is_series = true;
    let mut values = Vec::new();
    let labels = parser.series(&mut values);
    if labels == Err(Stop::Unexpected) {
        parser.unexpected("series values", "");
    }
    match labels {
        Ok(labels) if parser.errors.is_empty() => Ok((labels, values)),
        _ => Err(ParseErrors::new(text, parser.errors)),
    }
}

impl Parser<'_> {
    fn series(&mut self, values: &mut Vec<SequenceValue>) -> Result<Labels, Stop> {
        let labels = self.metric()?;
        loop {
            match self.peek() {
                TokenKind::Eof => return Ok(labels),
                TokenKind::Space => {
                    self.advance();
                    if !matches!(self.peek(), TokenKind::Space | TokenKind::Eof) {
                        self.series_item(values)?;
                    }
                }
                _ => return Err(Stop::Unexpected),
            }
            if !self.errors.is_empty() {
                return Err(Stop::End);
            }
        }
    }

    /// A metric's name and labels, both optional.
    fn metric(&mut self) -> Result<Labels, Stop> {
        let mut labels = LabelsBuilder::default();
        let name = if self.peek().is_metric_name() { Some(self.advance()) } else { None };
        if self.accept(TokenKind::LeftBrace) {
            self.label_set(&mut labels)?;
        }
        if let Some(name) = name {
            labels.set(b"__name__", self.token_text(name).as_bytes());
        }
        Ok(labels.finish())
    }

    /// Behind `{`.
    fn label_set(&mut self, labels: &mut LabelsBuilder) -> Result<(), Stop> {
        loop {
            let kind = self.peek();
            match kind {
                TokenKind::RightBrace => {}
                TokenKind::Identifier | TokenKind::String => {
                    let token = self.advance();
                    let name = match kind {
                        TokenKind::String => self.unquote_bytes(token),
                        _ => self.token_text(token).into(),
                    };
                    self.label_value(kind, &name, labels)?;
                }
                _ => return self.label_set_error("identifier or \"}\""),
            }
            match self.peek() {
                TokenKind::RightBrace => {
                    self.advance();
                    return Ok(());
                }
                TokenKind::Comma => drop(self.advance()),
                _ => return self.label_set_error("\",\" or \"}\""),
            }
        }
    }

    /// Behind a label's name; a name in quotes alone is the metric's.
    fn label_value(
        &mut self,
        kind: TokenKind,
        name: &[u8],
        labels: &mut LabelsBuilder,
    ) -> Result<(), Stop> {
        if !self.accept(TokenKind::Equal) {
            if kind == TokenKind::String {
                labels.set(b"__name__", name);
                return Ok(());
            }
            return self.label_set_error("\"=\"");
        }
        if self.peek() != TokenKind::String {
            return self.label_set_error("string");
        }
        let token = self.advance();
        let value = self.unquote_bytes(token);
        labels.set(name, &value);
        Ok(())
    }

    fn label_set_error(&mut self, expected: &str) -> Result<(), Stop> {
        self.unexpected("label set", expected);
        Err(Stop::End)
    }

    /// One value with its repetitions.
    fn series_item(&mut self, values: &mut Vec<SequenceValue>) -> Result<(), Stop> {
        match self.peek() {
            TokenKind::Blank => {
                self.advance();
                let count = if self.accept(TokenKind::Times) { self.repetitions()? } else { 1 };
                self.repeat(values, count, |_| SequenceValue::Omitted)
            }
            TokenKind::OpenHistogram => self.histogram_item(values),
            _ => self.float_item(values),
        }
    }

    fn float_item(&mut self, values: &mut Vec<SequenceValue>) -> Result<(), Stop> {
        let mut value = if self.peek() == TokenKind::Identifier {
            let token = self.advance();
            if self.token_text(token) != "stale" {
                self.unexpected("series values", "number or \"stale\"");
                return Err(Stop::End);
            }
            stale_nan()
        } else {
            self.signed_number()?
        };
        let step = if self.peek().sign().is_some() { Some(self.signed_number()?) } else { None };
        if step.is_none() && self.peek() != TokenKind::Times {
            return self.repeat(values, 1, |_| SequenceValue::Float(value));
        }
        self.expect(TokenKind::Times)?;
        let times = self.repetitions()?;
        self.repeat(values, times.saturating_add(1), |index| {
            if index > 0 {
                value = step.map_or(value, |step| value + step);
            }
            SequenceValue::Float(value)
        })
    }

    fn histogram_item(&mut self, values: &mut Vec<SequenceValue>) -> Result<(), Stop> {
        let base = Arc::new(self.histogram()?);
        let sign = self.peek().sign();
        if sign.is_none() {
            let times = if self.accept(TokenKind::Times) { self.repetitions()? } else { 0 };
            let value = SequenceValue::Histogram(base);
            return self.repeat(values, times.saturating_add(1), |_| value.clone());
        }
        self.advance();
        if self.peek() != TokenKind::OpenHistogram {
            return Err(Stop::Unexpected);
        }
        let step = Arc::new(self.histogram()?);
        self.expect(TokenKind::Times)?;
        let times = self.repetitions()?;
        self.check_count(values, times.saturating_add(1))?;
        let subtract = sign == Some(UnaryOp::Minus);
        if base.schema > step.schema {
            let (from, to) = (step.schema, base.schema);
            let why =
                format!("error combining histograms: cannot merge from schema {from} to {to}");
            self.error(self.newest.position, why);
        }
        values.push(SequenceValue::HistogramRun { base, step, subtract, times });
        Ok(())
    }

    fn repeat(
        &mut self,
        values: &mut Vec<SequenceValue>,
        count: u64,
        value: impl FnMut(u64) -> SequenceValue,
    ) -> Result<(), Stop> {
        self.check_count(values, count)?;
        values.extend((0..count).map(value));
        Ok(())
    }

    fn check_count(&mut self, values: &[SequenceValue], count: u64) -> Result<(), Stop> {
        let room = SEQUENCE_VALUE_COUNT_MAX.saturating_sub(values.len()) as u64;
        if count > room {
            let message = format!("more than {SEQUENCE_VALUE_COUNT_MAX} values in one series");
            self.error(self.newest.position, message);
            return Err(Stop::End);
        }
        Ok(())
    }

    /// Behind `x`.
    fn repetitions(&mut self) -> Result<u64, Stop> {
        let token = self.expect(TokenKind::Number)?;
        let text = self.token_text(token);
        if let Ok(count) = text.parse() {
            return Ok(count);
        }
        let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
        let why = if digits_only { "value out of range" } else { "invalid syntax" };
        let message = format!(
            "invalid repetition in series values: strconv.ParseUint: parsing \"{text}\": {why}"
        );
        self.error(token.position, message);
        Err(Stop::End)
    }

    fn signed_number(&mut self) -> Result<f64, Stop> {
        let sign = self.peek().sign();
        if sign.is_some() {
            self.advance();
        }
        let token = match self.peek() {
            TokenKind::Number | TokenKind::Duration => self.advance(),
            _ => return Err(Stop::Unexpected),
        };
        let value = self.series_number(token);
        Ok(if sign == Some(UnaryOp::Minus) { -value } else { value })
    }

    fn series_number(&mut self, token: Token) -> f64 {
        let text = self.token_text(token);
        let read = match token.kind {
            TokenKind::Duration => {
                parse_duration(text).map(|ms| ms as f64 / 1e3).map_err(|why| why.to_string())
            }
            _ => parse_number(text).map_err(|why| format!("error parsing number: {why}")),
        };
        read.unwrap_or_else(|message| {
            self.error(token.position, message);
            0.0
        })
    }

    /// At `{{`.
    fn histogram(&mut self) -> Result<HistogramLiteral, Stop> {
        self.advance();
        let mut literal = HistogramLiteral::default();
        let mut seen: Vec<String> = Vec::new();
        if self.accept(TokenKind::CloseHistogram) {
            return Ok(literal);
        }
        if self.accept(TokenKind::Space) {
            self.expect(TokenKind::CloseHistogram)?;
            return Ok(literal);
        }
        loop {
            let before = self.errors.len();
            match self.histogram_field(&mut literal, &mut seen) {
                Err(Stop::Unexpected) if !seen.is_empty() => return self.histogram_error(),
                result => result?,
            }
            if self.errors.len() > before {
                return Err(Stop::End);
            }
            match self.peek() {
                TokenKind::CloseHistogram => {
                    self.advance();
                    return Ok(literal);
                }
                TokenKind::Space => {
                    self.advance();
                    if self.accept(TokenKind::CloseHistogram) {
                        return Ok(literal);
                    }
                }
                _ => return self.histogram_error(),
            }
        }
    }

    fn histogram_error(&mut self) -> Result<HistogramLiteral, Stop> {
        let expected = "histogram description key, e.g. buckets:[5 10 7]";
        self.unexpected("histogram description", expected);
        Err(Stop::End)
    }

    fn histogram_field(
        &mut self,
        literal: &mut HistogramLiteral,
        seen: &mut Vec<String>,
    ) -> Result<(), Stop> {
        let token = self.expect(TokenKind::HistogramField)?;
        let field = self.token_text(token).to_ascii_lowercase();
        self.expect(TokenKind::Colon)?;
        match &*field {
            "schema" => literal.schema = self.integer()?,
            "sum" => literal.sum = self.signed_number()?,
            "count" => literal.count = self.signed_number()?,
            "z_bucket" => literal.zero_count = self.signed_number()?,
            "z_bucket_w" => literal.zero_threshold = self.signed_number()?,
            "custom_values" => literal.custom_values = self.buckets()?,
            "buckets" => literal.positive_buckets = self.buckets()?,
            "offset" => literal.positive_offset = self.integer()?,
            "n_buckets" => literal.negative_buckets = self.buckets()?,
            "n_offset" => literal.negative_offset = self.integer()?,
            _ => {
                let hint = self.expect(TokenKind::CounterResetHint)?;
                let hint = match &*self.token_text(hint).to_ascii_lowercase() {
                    "reset" => CounterResetHint::Reset,
                    "not_reset" => CounterResetHint::NotReset,
                    "gauge" => CounterResetHint::Gauge,
                    _ => CounterResetHint::Unknown,
                };
                literal.counter_reset_hint = Some(hint);
            }
        }
        if seen.contains(&field) {
            let message = format!("duplicate key \"{field}\" in histogram");
            self.error(PosRange::default(), message);
        }
        seen.push(field);
        Ok(())
    }

    /// An integer of 32 bits with a sign; what does not fit wraps, as Prometheus converts.
    fn integer(&mut self) -> Result<i32, Stop> {
        let negative = match self.peek().sign() {
            Some(UnaryOp::Minus) => true,
            Some(UnaryOp::Plus) => return Err(Stop::Unexpected),
            None => false,
        };
        if negative {
            self.advance();
        }
        let value = self.repetitions()? as i64;
        Ok((if negative { value.wrapping_neg() } else { value }) as i32)
    }

    /// `[1 2.5 Inf]`.
    fn buckets(&mut self) -> Result<Vec<f64>, Stop> {
        self.expect(TokenKind::LeftBracket)?;
        let mut buckets = vec![self.signed_number()?];
        loop {
            match self.peek() {
                TokenKind::RightBracket => {
                    self.advance();
                    return Ok(buckets);
                }
                TokenKind::Space => {
                    self.advance();
                    if self.peek() != TokenKind::RightBracket {
                        buckets.push(self.signed_number()?);
                    }
                }
                _ => return Err(Stop::Unexpected),
            }
        }
    }
}
