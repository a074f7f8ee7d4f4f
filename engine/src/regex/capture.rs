//! Patterns whose groups are asked for: relabelling, `label_replace`.

use std::fmt;

use regex_automata::util::primitives::NonMaxUsize;

use super::engine::Engine;
use super::error::{Error, ErrorKind};
use super::parse::{self, Flags, Parsed};
use super::{Strategy, expand, literals};

/// A compiled pattern with its groups.
pub struct CaptureRegex {
    /// The pattern as the caller wrote it, without the anchors.
    pattern: Box<str>,
    /// The whole match first.
    group_names: Vec<Option<Box<str>>>,
    /// Answers without the engine whether a whole value matches, where that is possible.
    shortcut: Option<Strategy>,
    /// Finds the groups; none if each group is the whole value, as in `(.*)`, the default of
    /// relabelling. Then there is a shortcut.
    engine: Option<Engine>,
}

/// Where the groups of one match lie. Reused from match to match.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    /// Start and end of the whole match, then of each group; none where it took no part.
    slots: Vec<Option<NonMaxUsize>>,
}

impl Captures {
    /// Start and end of group `index` in the value; 0 is the whole match.
    pub fn get(&self, index: usize) -> Option<(usize, usize)> {
        let start = (*self.slots.get(2 * index)?)?;
        let end = (*self.slots.get(2 * index + 1)?)?;
        Some((start.get(), end.get()))
    }
}

impl CaptureRegex {
    /// Compiles `^(?s:pattern)$`, as relabelling and `label_replace` do. The anchors are put
    /// around the text, so that messages about the whole pattern show them, as Prometheus's do.
    pub fn anchored(pattern: &str) -> Result<CaptureRegex, Error> {
        Self::compile(pattern, &format!("^(?s:{pattern})$"))
    }

    /// Compiles `pattern` for a match anywhere; `.` does not match a newline.
    pub fn unanchored(pattern: &str) -> Result<CaptureRegex, Error> {
        Self::compile(pattern, pattern)
    }

    fn compile(pattern: &str, text: &str) -> Result<CaptureRegex, Error> {
        let Parsed { hir, group_names } = parse::parse(text, Flags::NONE)?;
        let anchored = literals::is_anchored(&hir);
        let shortcut = if anchored { Strategy::without_engine(&hir) } else { None };
        let engine = if shortcut.is_some() && literals::groups_are_whole(&hir) {
            None
        } else {
            let engine = Engine::new(&hir, true);
            Some(engine.ok_or_else(|| Error::new(ErrorKind::Large, text))?)
        };
        Ok(CaptureRegex { pattern: pattern.into(), group_names, shortcut, engine })
    }

    pub fn is_match(&self, value: &[u8]) -> bool {
        match (&self.shortcut, &self.engine) {
            (Some(shortcut), _) => shortcut.is_match(value),
            (None, Some(engine)) => engine.is_match(value),
            (None, None) => unreachable!("without an engine there is a shortcut"),
        }
    }

    /// Finds the leftmost match and where its groups lie; false, and `captures` without meaning,
    /// if there is none. No allocation once `captures` has room.
    pub fn captures(&self, value: &[u8], captures: &mut Captures) -> bool {
        match self.shortcut(value, 0, captures) {
            Some(found) => found,
            None => self
                .engine
                .as_ref()
                .is_some_and(|engine| engine.captures(value, &mut captures.slots)),
        }
    }

    /// As [`CaptureRegex::captures`], of matches that begin at byte `start` of a text or later.
    /// What stands before is still looked at: `^` matches at the beginning of the text only.
    pub fn captures_from(&self, text: &str, start: usize, captures: &mut Captures) -> bool {
        match self.shortcut(text.as_bytes(), start, captures) {
            Some(found) => found,
            None => self
                .engine
                .as_ref()
                .is_some_and(|engine| engine.captures_of_text(text, start, &mut captures.slots)),
        }
    }

    /// The answer where it needs no engine. Only what is anchored at both ends has a shortcut.
    fn shortcut(&self, value: &[u8], start: usize, captures: &mut Captures) -> Option<bool> {
        captures.slots.clear();
        captures.slots.resize(2 * self.group_names.len(), None);
        if self.shortcut.as_ref().is_some_and(|shortcut| start > 0 || !shortcut.is_match(value)) {
            return Some(false);
        }
        if self.engine.is_some() {
            return None;
        }
        for ends in captures.slots.chunks_exact_mut(2) {
            ends.copy_from_slice(&[NonMaxUsize::new(0), NonMaxUsize::new(value.len())]);
        }
        Some(true)
    }

    /// Appends `template` to `out`, its references replaced by what `captures` found in `value`:
    /// `$1`, `${1}`, `$name`, `${name}`; `$$` is a dollar sign. A group that is not there or took
    /// no part is empty; a dollar sign that begins nothing stands for itself.
    pub fn expand(&self, template: &[u8], value: &[u8], captures: &Captures, out: &mut Vec<u8>) {
        expand::expand(template, &self.group_names, value, captures, out);
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }
}

impl fmt::Debug for CaptureRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaptureRegex({:?})", self.pattern)
    }
}
