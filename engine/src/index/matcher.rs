//! Matchers made ready to run.

use crate::model::{LabelsRef, MatchOp, Matcher};
use crate::regex::{self, Regex};

/// A matcher whose expression is compiled: for the index and for label sets at hand.
#[derive(Debug)]
pub struct CompiledMatcher {
    name: Box<[u8]>,
    test: Test,
    /// `!=` and `!~`: matches what the test refuses.
    negated: bool,
}

#[derive(Debug)]
enum Test {
    Equal(Box<[u8]>),
    Regex(Box<Regex>),
}

impl CompiledMatcher {
    /// Errors: the expression is none, in Go's words.
    pub fn new(matcher: &Matcher) -> Result<CompiledMatcher, regex::Error> {
        let test = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Test::Equal(matcher.value.as_bytes().into()),
            MatchOp::Regexp | MatchOp::NotRegexp => {
                Test::Regex(Box::new(Regex::new(&matcher.value)?))
            }
        };
        let negated = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegexp);
        Ok(CompiledMatcher { name: matcher.name.as_bytes().into(), test, negated })
    }

    /// All of `matchers`, or the error of the first that is wrong.
    pub fn compile(matchers: &[Matcher]) -> Result<Vec<CompiledMatcher>, regex::Error> {
        matchers.iter().map(CompiledMatcher::new).collect()
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether a label of this value matches; a label that is not there has the empty value.
    #[inline]
    pub fn matches_value(&self, value: &[u8]) -> bool {
        let tested = match &self.test {
            Test::Equal(expected) => **expected == *value,
            Test::Regex(regex) => regex.is_match(value),
        };
        tested != self.negated
    }

    /// Whether a series of these labels matches.
    #[inline]
    pub fn matches(&self, labels: LabelsRef<'_>) -> bool {
        self.matches_value(labels.get(&self.name))
    }

    pub fn matches_empty(&self) -> bool {
        self.matches_value(b"")
    }

    /// Whether what the test accepts is refused: `!=` and `!~`.
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// The values that the test accepts (before negation), if they can be listed.
    pub fn listed(&self) -> Option<&[Box<[u8]>]> {
        match &self.test {
            Test::Equal(value) => Some(std::slice::from_ref(value)),
            Test::Regex(regex) => regex.set_matches(),
        }
    }

    /// What each value begins with that the test (before negation) accepts; perhaps empty.
    pub fn prefix(&self) -> &[u8] {
        match &self.test {
            Test::Equal(value) => value,
            Test::Regex(regex) => regex.prefix(),
        }
    }

    /// Whether the test (before negation) accepts each value but perhaps the empty one: `.*`,
    /// `.+`.
    pub fn accepts_all_set(&self) -> bool {
        matches!(&self.test, Test::Regex(regex) if regex.matches_anything_set())
    }
}
