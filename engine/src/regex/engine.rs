//! The engine behind patterns that are neither a set nor literals with gaps.

use std::borrow::Cow;

use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::Hir;

/// Most memory for the automaton of one pattern, as Go allows for its program. Larger than
/// regex-automata's own default, for alternations of thousands of values with operators in them.
const AUTOMATON_BYTES_MAX: usize = 128 << 20;

pub(super) struct Engine(meta::Regex);

impl Engine {
    /// Compiles `hir`, with its groups only if `captures`; `None` if it is too large.
    pub fn new(hir: &Hir, captures: bool) -> Option<Engine> {
        let which = if captures { WhichCaptures::All } else { WhichCaptures::None };
        let config =
            meta::Config::new().nfa_size_limit(Some(AUTOMATON_BYTES_MAX)).which_captures(which);
        meta::Builder::new().configure(config).build_from_hir(hir).ok().map(Engine)
    }

    pub fn is_match(&self, value: &[u8]) -> bool {
        let text = as_go_text(value);
        self.0.is_match(Input::new(&*text).anchored(Anchored::No))
    }

    /// Fills `slots` with start and end of each group of the leftmost match, as positions in
    /// `value`; false if there is none.
    pub fn captures(&self, value: &[u8], slots: &mut [Option<NonMaxUsize>]) -> bool {
        let text = as_go_text(value);
        if self.0.search_slots(&Input::new(&*text), slots).is_none() {
            return false;
        }
        if let Cow::Owned(_) = text {
            for slot in slots.iter_mut() {
                *slot = slot.and_then(|at| NonMaxUsize::new(position_in(value, at.get())));
            }
        }
        true
    }

    /// As [`Engine::captures`], of matches that begin at byte `start` or later.
    pub fn captures_of_text(
        &self,
        text: &str,
        start: usize,
        slots: &mut [Option<NonMaxUsize>],
    ) -> bool {
        self.0.search_slots(&Input::new(text).range(start..), slots).is_some()
    }
}

/// `value` with U+FFFD for each byte that is no UTF-8: how Go's matcher sees it. (Rust's lossy
/// conversion makes one of several bytes.)
fn as_go_text(value: &[u8]) -> Cow<'_, [u8]> {
    if simdutf8::basic::from_utf8(value).is_ok() {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len() + 8);
    for chunk in value.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text.into_bytes())
}

/// The position in `value` that became `position` in its text.
fn position_in(value: &[u8], position: usize) -> usize {
    let (mut in_text, mut in_value) = (0, 0);
    for chunk in value.utf8_chunks() {
        let valid = chunk.valid().len();
        if position <= in_text + valid {
            return in_value + (position - in_text);
        }
        in_text += valid;
        in_value += valid;
        let replaced = (position - in_text) / char::REPLACEMENT_CHARACTER.len_utf8();
        if replaced < chunk.invalid().len() {
            return in_value + replaced;
        }
        in_text += chunk.invalid().len() * char::REPLACEMENT_CHARACTER.len_utf8();
        in_value += chunk.invalid().len();
    }
    in_value
}
