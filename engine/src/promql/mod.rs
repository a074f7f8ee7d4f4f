//! PromQL as text and as a tree: lex, parse, check, print, function signatures.

pub mod ast;
mod check;
pub mod duration;
pub mod error;
pub mod functions;
mod histogram_literal;
mod lex;
mod lex_series;
mod number;
mod parse;
mod pretty;
mod print;
mod token;
pub(crate) mod unquote;

pub use ast::{Ast, Expr, ExprId, PosRange};
pub use duration::{parse_duration, print_duration};
pub use error::{ParseError, ParseErrors};
pub use pretty::pretty;
pub use print::print;

use crate::limits::PROMQL_BYTES_MAX;
use crate::model::Matcher;

/// Descriptions of series in test files.
pub mod series {
    pub use super::histogram_literal::{Element, expand};
    pub use super::parse::series::{
        CounterResetHint, HistogramLiteral, SEQUENCE_VALUE_COUNT_MAX, SequenceValue,
        parse_series_description,
    };
}

/// Reads an expression and checks it; the tree it returns may be evaluated.
///
/// Cost: O(text), but for compiling regular expressions. Errors: all that is wrong with the
/// text, in Prometheus's words.
pub fn parse(text: &str, options: &ParseOptions) -> Result<Ast, ParseErrors> {
    check_length(text)?;
    let (mut ast, mut errors) = parse::Parser::new(text, *options).expression();
    if errors.is_empty() {
        errors = check::check(&mut ast, text);
    }
    if errors.is_empty() { Ok(ast) } else { Err(ParseErrors::new(text, errors)) }
}

/// Reads one selector, as `match[]` parameters hold: `up{job="a"}`. That some matcher does not
/// match the empty value is not checked here.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseErrors> {
    check_length(text)?;
    match parse::Parser::new(text, ParseOptions::default()).selector() {
        (Some(selector), errors) if errors.is_empty() => Ok(selector.matchers),
        (_, errors) => Err(ParseErrors::new(text, errors)),
    }
}

fn check_length(text: &str) -> Result<(), ParseErrors> {
    if text.len() <= PROMQL_BYTES_MAX {
        return Ok(());
    }
    let message = format!("expression of {} bytes is longer than {PROMQL_BYTES_MAX}", text.len());
    let position = PosRange::default();
    Err(ParseErrors::new(text, vec![ParseError { position, message }]))
}

/// What of the language is switched on; by default what Prometheus switches on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Experimental functions and aggregations: `--enable-feature=promql-experimental-functions`.
    pub experimental_functions: bool,
    /// Arithmetic on durations; Prometheus has no flag against it any more.
    pub duration_expressions: bool,
    /// `anchored` and `smoothed`: `--enable-feature=promql-extended-range-selectors`.
    pub extended_range_selectors: bool,
    /// `fill(…)` in binary operations: `--enable-feature=promql-binop-fill-modifiers`.
    pub fill_modifiers: bool,
}

impl Default for ParseOptions {
    fn default() -> Self {
        ParseOptions {
            experimental_functions: false,
            duration_expressions: true,
            extended_range_selectors: false,
            fill_modifiers: false,
        }
    }
}

impl ParseOptions {
    /// Everything switched on.
    pub const ALL: ParseOptions = ParseOptions {
        experimental_functions: true,
        duration_expressions: true,
        extended_range_selectors: true,
        fill_modifiers: true,
    };
}

#[cfg(test)]
mod series_tests;
#[cfg(test)]
mod tests;
