//! Why a text is refused: all that is wrong with it, with places, in Prometheus's words.
//!
//! Source: Prometheus `promql/parser/parse.go` (`ParseErr`, `ParseErrors`) and
//! `promql/parser/posrange`.

use std::fmt;

use super::ast::PosRange;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub position: PosRange,
    /// Without the place: `unexpected end of input`.
    pub message: String,
}

/// All that is wrong with one text, in the order in which it was found; never empty.
///
/// Displays its first error with its place, as Prometheus does: `1:5: parse error: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors {
    pub errors: Vec<ParseError>,
    text: Box<str>,
}

impl ParseErrors {
    /// `errors` of `text`. There must be one at least.
    pub(super) fn new(text: &str, errors: Vec<ParseError>) -> Self {
        assert!(!errors.is_empty(), "a refusal has a reason");
        ParseErrors { errors, text: text.into() }
    }

    /// The first error with its place, where the text begins on line `line_offset + 1` of a file.
    pub fn display_at(&self, line_offset: usize) -> impl fmt::Display + '_ {
        struct At<'a>(&'a ParseErrors, usize);
        impl fmt::Display for At<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let At(errors, line_offset) = self;
                let first = &errors.errors[0];
                match line_and_column(&errors.text, first.position.start as usize) {
                    Some((line, column)) => write!(f, "{}:{column}", line + line_offset)?,
                    None => f.write_str("unknown position")?,
                }
                write!(f, ": parse error: {}", first.message)
            }
        }
        At(self, line_offset)
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.display_at(0).fmt(f)
    }
}

impl std::error::Error for ParseErrors {}

/// Line and column of a byte of `text`, both from 1, columns in bytes. `None` for the empty text.
pub fn line_and_column(text: &str, position: usize) -> Option<(usize, usize)> {
    if text.is_empty() {
        return None;
    }
    let before = &text.as_bytes()[..position.min(text.len())];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    Some((memchr::memchr_iter(b'\n', before).count() + 1, before.len() - line_start + 1))
}
