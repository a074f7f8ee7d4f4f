//! A label matcher as it was written: name, operator, value. `index` runs it.

use std::fmt;

use super::quote::quote;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regexp,
    NotRegexp,
}

impl MatchOp {
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regexp => "=~",
            MatchOp::NotRegexp => "!~",
        }
    }
}

/// One matcher of a selector. Regular expressions are in Go's syntax, matched against the whole
/// value (`^(?s:…)$`), and were compiled once before a matcher is made: see `regex`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matcher {
    pub name: Box<str>,
    pub op: MatchOp,
    pub value: Box<str>,
}

impl Matcher {
    pub fn new(name: &str, op: MatchOp, value: &str) -> Self {
        Matcher { name: name.into(), op, value: value.into() }
    }
}

/// As in a selector: `job=~"a|b"`, the name in quotes where it is no plain identifier.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_plain_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&quote(&self.name))?;
        }
        write!(f, "{}{}", self.op.as_str(), quote(&self.value))
    }
}

/// Whether `name` needs no quotes in PromQL: a letter or underscore, then letters, underscores
/// and digits, all ASCII.
pub fn is_plain_label_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(plain) && !name.bytes().next().is_none_or(|first| first.is_ascii_digit())
}
