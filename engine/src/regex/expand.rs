//! Go's templates for replacements.
//!
//! Source: Go `regexp`, `Regexp.Expand`.

use std::sync::LazyLock;

use regex_syntax::hir::ClassUnicode;

use super::capture::Captures;
use super::class;

/// Letters and digits beyond ASCII: they belong to a name in a template, though no group can be
/// named so.
static WORD: LazyLock<ClassUnicode> = LazyLock::new(|| {
    let mut word = ClassUnicode::empty();
    for category in ["L", "Nd"] {
        if let Some(class) = class::unicode(category) {
            word.union(&class);
        }
    }
    word
});

/// See [`super::CaptureRegex::expand`].
pub(super) fn expand(
    template: &[u8],
    group_names: &[Option<Box<str>>],
    value: &[u8],
    captures: &Captures,
    out: &mut Vec<u8>,
) {
    let mut rest = template;
    while let Some(at) = memchr::memchr(b'$', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if rest.first() == Some(&b'$') {
            out.push(b'$');
            rest = &rest[1..];
            continue;
        }
        let Some((name, after)) = reference(rest) else {
            out.push(b'$');
            continue;
        };
        rest = after;
        let group = match number(name) {
            Some(index) => captures.get(index),
            None => named(name, group_names, captures),
        };
        if let Some((start, end)) = group {
            out.extend_from_slice(&value[start..end]);
        }
    }
    out.extend_from_slice(rest);
}

/// Splits `name` or `{name}` off the text behind a dollar sign.
fn reference(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (braced, text) = match text.strip_prefix(b"{") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let length = name_bytes(text);
    let (name, rest) = text.split_at(length);
    if name.is_empty() {
        return None;
    }
    if braced { Some((name, rest.strip_prefix(b"}")?)) } else { Some((name, rest)) }
}

/// Length of the letters, digits and underscores that `text` begins with.
fn name_bytes(text: &[u8]) -> usize {
    let ascii = text.iter().take_while(|b| **b == b'_' || b.is_ascii_alphanumeric()).count();
    if text.get(ascii).is_none_or(u8::is_ascii) {
        return ascii;
    }
    let valid = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let is_word = |c: char| {
        c == '_'
            || WORD
                .ranges()
                .binary_search_by(|range| {
                    if range.end() < c {
                        std::cmp::Ordering::Less
                    } else if c < range.start() {
                        std::cmp::Ordering::Greater
                    } else {
                        std::cmp::Ordering::Equal
                    }
                })
                .is_ok()
    };
    valid.find(|c| !is_word(c)).unwrap_or(valid.len())
}

/// `name` as a group's number: decimal, without leading zeros, not too long.
fn number(name: &[u8]) -> Option<usize> {
    let leading_zero = name.len() > 1 && name[0] == b'0';
    if leading_zero || name.len() > 9 || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}

/// The first group of that name that took part in the match.
fn named(
    name: &[u8],
    group_names: &[Option<Box<str>>],
    captures: &Captures,
) -> Option<(usize, usize)> {
    group_names
        .iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.as_ref().is_some_and(|c| c.as_bytes() == name))
        .find_map(|(index, _)| captures.get(index))
}
