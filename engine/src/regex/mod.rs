//! Regular expressions in Go's (RE2) syntax: own front end, regex-automata behind it.
//!
//! ```text
//! pattern -> parse (Go's verdicts and messages) -> Hir -> a set | literals with gaps | an engine
//! ```
//!
//! [`Regex`] answers whether a whole value matches, as label matchers ask: most patterns of the
//! field are alternatives or literals and `.*`, and never reach an engine. [`CaptureRegex`] also
//! gives the groups, as relabelling and `label_replace` ask, and expands Go's templates.
//!
//! Values are bytes. Where they are no UTF-8, each stray byte counts as U+FFFD, as Go decodes it.
//!
//! Source: Go `regexp/syntax`; what matchers ask for: Prometheus `model/labels/regexp.go`.

mod capture;
mod class;
mod engine;
mod error;
mod escape;
mod expand;
mod literals;
mod parse;
mod tree;

#[cfg(test)]
mod tests;

pub use capture::{CaptureRegex, Captures};
pub use error::{Error, ErrorKind};

use std::fmt;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use regex_syntax::hir::Hir;

use engine::Engine;
use literals::Glob;
use parse::Flags;

/// A pattern that a whole value must match: `^(?s:pattern)$`.
pub struct Regex {
    pattern: Box<str>,
    strategy: Strategy,
}

enum Strategy {
    Set {
        /// Sorted; the same values as `index`.
        values: Vec<Box<[u8]>>,
        /// Empty for short lists, which are faster to walk.
        index: HashSet<Box<[u8]>, RandomState>,
    },
    Glob(Glob),
    Engine {
        prefix: Box<[u8]>,
        suffix: Box<[u8]>,
        engine: Engine,
    },
}

/// Longest list of alternatives that is walked instead of hashed.
const WALK_COUNT_MAX: usize = 8;

impl Regex {
    /// Compiles `pattern` for matches of whole values.
    ///
    /// Cost: alternatives of plain text O(pattern); else up to some hundred milliseconds for the
    /// largest patterns. Errors: what Go refuses, in its words.
    pub fn new(pattern: &str) -> Result<Regex, Error> {
        let strategy = match plain_alternatives(pattern) {
            Some(values) => Strategy::set(values),
            None => {
                let flags = Flags { dot_newline: true, ..Flags::NONE };
                Strategy::choose(pattern, parse::parse(pattern, flags)?.hir)?
            }
        };
        Ok(Regex { pattern: pattern.into(), strategy })
    }

    /// Whether all of `value` matches. No allocation unless `value` is no UTF-8.
    #[inline]
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.strategy.is_match(value)
    }

    /// The values that match, sorted and unique, if they are finitely many and were listed.
    pub fn set_matches(&self) -> Option<&[Box<[u8]>]> {
        match &self.strategy {
            Strategy::Set { values, .. } => Some(values),
            _ => None,
        }
    }

    /// What every matching value begins with; perhaps empty.
    pub fn prefix(&self) -> &[u8] {
        match &self.strategy {
            Strategy::Set { .. } => b"",
            Strategy::Glob(glob) => glob.prefix(),
            Strategy::Engine { prefix, .. } => prefix,
        }
    }

    /// Whether every value matches, the empty one too: `.*`.
    pub fn matches_anything(&self) -> bool {
        matches!(&self.strategy, Strategy::Glob(glob) if glob.is_anything())
    }

    /// Whether every value matches, except perhaps the empty one: `.*`, `.+`.
    pub fn matches_anything_set(&self) -> bool {
        matches!(&self.strategy, Strategy::Glob(glob) if glob.is_one_gap())
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.pattern)
    }
}

impl Strategy {
    fn set(mut values: Vec<Box<[u8]>>) -> Strategy {
        values.sort_unstable();
        values.dedup();
        let mut index = HashSet::default();
        if values.len() > WALK_COUNT_MAX {
            index.extend(values.iter().cloned());
        }
        Strategy::Set { values, index }
    }

    fn choose(pattern: &str, hir: Hir) -> Result<Strategy, Error> {
        if let Some(strategy) = Strategy::without_engine(&hir) {
            return Ok(strategy);
        }
        let (prefix, suffix) = literals::ends(&hir);
        let (prefix, suffix) = (prefix.into(), suffix.into());
        let engine = Engine::new(&literals::searchable(&hir), false)
            .ok_or_else(|| Error::new(ErrorKind::Large, pattern))?;
        Ok(Strategy::Engine { prefix, suffix, engine })
    }

    fn without_engine(hir: &Hir) -> Option<Strategy> {
        match literals::glob(hir) {
            Some(glob) if !glob.is_one_value() => Some(Strategy::Glob(glob)),
            _ => literals::finite(hir).map(Strategy::set),
        }
    }

    #[inline]
    fn is_match(&self, value: &[u8]) -> bool {
        match self {
            Strategy::Set { values, index } if index.is_empty() => {
                values.iter().any(|candidate| **candidate == *value)
            }
            Strategy::Set { index, .. } => index.contains(value),
            Strategy::Glob(glob) => glob.is_match(value),
            Strategy::Engine { prefix, suffix, engine } => {
                value.starts_with(prefix) && value.ends_with(suffix) && engine.is_match(value)
            }
        }
    }
}

/// The alternatives of a pattern without any other operator; no parser is needed for them.
fn plain_alternatives(pattern: &str) -> Option<Vec<Box<[u8]>>> {
    let special = |byte: u8| b"\\.+*?()[]{}^$".contains(&byte);
    if pattern.bytes().any(special) || pattern.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    Some(pattern.split('|').map(|value| value.as_bytes().into()).collect())
}
