//! What can be said about a pattern without an engine: that it is a finite set of values, or
//! literals with anything between them.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// Most values in a set that comes from products and classes. Alternatives written out are
/// bounded by the pattern alone.
const PRODUCT_COUNT_MAX: usize = 4096;

/// Most bytes of all values of a set together.
const SET_BYTES_MAX: usize = 16 << 20;

/// UTF-8 of U+FFFD. It matches a byte that is no UTF-8, as Go reads it, so that a comparison of
/// bytes would not do.
const REPLACEMENT: &str = "\u{fffd}";

/// Literals in order, with gaps between them and perhaps at the ends.
///
/// `literals.len() + 1 == gaps.len()`: gap, literal, gap, …, literal, gap.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Glob {
    pub literals: Vec<Box<[u8]>>,
    pub gaps: Vec<Gap>,
}

/// What may stand in one place of a [`Glob`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    Nothing,
    /// `.*`
    Any,
    /// `.+`
    AtLeastOne,
}

impl Glob {
    /// Whether all of `value` fits. The leftmost place for each inner literal is as good as any
    /// other, because gaps are bounded below only.
    pub fn is_match(&self, value: &[u8]) -> bool {
        let Some((last, inner)) = self.literals.split_last() else {
            return match self.gaps[0] {
                Gap::Nothing => value.is_empty(),
                Gap::Any => true,
                Gap::AtLeastOne => !value.is_empty(),
            };
        };
        let mut rest = value;
        for (gap, literal) in self.gaps.iter().zip(inner) {
            rest = match skip(rest, *gap, literal) {
                Some(rest) => rest,
                None => return false,
            };
        }
        let gap_before = self.gaps[inner.len()];
        match (gap_before, self.gaps[inner.len() + 1]) {
            (Gap::Nothing, Gap::Nothing) => rest == &**last,
            (gap, Gap::Nothing) => rest
                .strip_suffix(&**last)
                .is_some_and(|rest| gap != Gap::AtLeastOne || !rest.is_empty()),
            (gap, gap_after) => skip(rest, gap, last)
                .is_some_and(|rest| gap_after != Gap::AtLeastOne || !rest.is_empty()),
        }
    }

    pub fn is_anything(&self) -> bool {
        self.literals.is_empty() && self.gaps[0] == Gap::Any
    }

    /// Whether there is nothing but one gap: `.*` or `.+`.
    pub fn is_one_gap(&self) -> bool {
        self.literals.is_empty() && self.gaps[0] != Gap::Nothing
    }

    /// Whether there is no gap at all: then a set is the better form.
    pub fn is_one_value(&self) -> bool {
        self.literals.len() <= 1 && self.gaps.iter().all(|gap| *gap == Gap::Nothing)
    }

    /// What every match begins with.
    pub fn prefix(&self) -> &[u8] {
        match self.literals.first() {
            Some(first) if self.gaps[0] == Gap::Nothing => first,
            _ => b"",
        }
    }

    fn push_gap(&mut self, gap: Gap) {
        let last = self.gaps.last_mut().expect("there is one gap more than literals");
        *last = (*last).max(gap);
    }
}

/// What follows `literal` in `value`, after `gap`.
fn skip<'a>(value: &'a [u8], gap: Gap, literal: &[u8]) -> Option<&'a [u8]> {
    let from = match gap {
        Gap::Nothing => return value.strip_prefix(literal),
        Gap::Any => 0,
        Gap::AtLeastOne => 1,
    };
    let rest = value.get(from..)?;
    let at = memchr::memmem::find(rest, literal)?;
    Some(&rest[at + literal.len()..])
}

fn is_look(part: &Hir, look: Look) -> bool {
    matches!(part.kind(), HirKind::Look(found) if *found == look)
}

/// `hir` without captures and without the anchors at its ends, as a list of what it joins.
fn joined(hir: &Hir) -> &[Hir] {
    let mut hir = hir;
    while let HirKind::Capture(capture) = hir.kind() {
        hir = &capture.sub;
    }
    let parts = match hir.kind() {
        HirKind::Concat(parts) => parts,
        _ => std::slice::from_ref(hir),
    };
    let parts = match parts {
        [first, rest @ ..] if is_look(first, Look::Start) => rest,
        _ => parts,
    };
    match parts {
        [rest @ .., last] if is_look(last, Look::End) => rest,
        _ => parts,
    }
}

/// The literals of a pattern that is nothing but literals, `.*` and `.+`.
///
/// Two gaps `.+.+` side by side are refused, since together they need two characters.
pub(super) fn glob(hir: &Hir) -> Option<Glob> {
    let mut glob = Glob { literals: vec![], gaps: vec![Gap::Nothing] };
    for part in joined(hir) {
        match part_of_glob(part)? {
            Part::Literal(literal) => {
                glob.literals.push(literal.into());
                glob.gaps.push(Gap::Nothing);
            }
            Part::Gap(gap) => {
                if glob.gaps.last() == Some(&Gap::AtLeastOne) && gap == Gap::AtLeastOne {
                    return None;
                }
                glob.push_gap(gap);
            }
        }
    }
    Some(glob)
}

/// Whether `hir` begins with the value's begin and ends with its end.
pub(super) fn is_anchored(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Concat(parts) => {
            parts.first().is_some_and(|first| is_look(first, Look::Start))
                && parts.last().is_some_and(|last| is_look(last, Look::End))
        }
        _ => false,
    }
}

/// Whether each group of an anchored pattern, if it has any, is the whole value: `^(?s:(.*))$`.
pub(super) fn groups_are_whole(hir: &Hir) -> bool {
    let mut inner = joined(hir);
    while let [part] = inner
        && let HirKind::Capture(capture) = part.kind()
    {
        inner = std::slice::from_ref(&*capture.sub);
    }
    inner.iter().all(|part| part.properties().explicit_captures_len() == 0)
}

enum Part<'a> {
    Literal(&'a [u8]),
    Gap(Gap),
}

fn part_of_glob(hir: &Hir) -> Option<Part<'_>> {
    match hir.kind() {
        HirKind::Empty => Some(Part::Gap(Gap::Nothing)),
        HirKind::Literal(literal) => comparable(&literal.0).map(Part::Literal),
        HirKind::Capture(capture) => part_of_glob(&capture.sub),
        HirKind::Repetition(repetition) if is_any_char(&repetition.sub) => {
            match (repetition.min, repetition.max) {
                (0, None) => Some(Part::Gap(Gap::Any)),
                (1, None) => Some(Part::Gap(Gap::AtLeastOne)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_any_char(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            let [range] = class.ranges() else { return false };
            (range.start(), range.end()) == ('\0', char::MAX)
        }
        HirKind::Capture(capture) => is_any_char(&capture.sub),
        _ => false,
    }
}

fn comparable(literal: &[u8]) -> Option<&[u8]> {
    let found = memchr::memmem::find(literal, REPLACEMENT.as_bytes()).is_some();
    (!found).then_some(literal)
}

/// What is found in a value anywhere exactly if all of the value matches `hir`: `.*` at an end
/// goes, so that the engine may look for what remains and stop there; other ends are anchored.
pub(super) fn searchable(hir: &Hir) -> Hir {
    let mut parts = joined(hir);
    let is_any = |part: &Hir| matches!(part_of_glob(part), Some(Part::Gap(Gap::Any)));
    let (mut start, mut end) = (Hir::look(Look::Start), Hir::look(Look::End));
    if let [first, rest @ ..] = parts
        && is_any(first)
    {
        (start, parts) = (Hir::empty(), rest);
    }
    if let [rest @ .., last] = parts
        && is_any(last)
    {
        (end, parts) = (Hir::empty(), rest);
    }
    Hir::concat([&[start], parts, &[end]].concat())
}

/// A literal that every match begins with, and one that every match ends with; perhaps empty.
pub(super) fn ends(hir: &Hir) -> (&[u8], &[u8]) {
    let parts = joined(hir);
    (literal_of(parts.first()), literal_of(parts.last()))
}

fn literal_of(part: Option<&Hir>) -> &[u8] {
    match part.map(Hir::kind) {
        Some(HirKind::Literal(literal)) => comparable(&literal.0).unwrap_or_default(),
        _ => b"",
    }
}

/// All values that match, without duplicates, if they are few enough to be listed.
pub(super) fn finite(hir: &Hir) -> Option<Vec<Box<[u8]>>> {
    let mut values = concat_values(joined(hir))?;
    values.sort_unstable();
    values.dedup();
    let comparable = values.iter().all(|value| comparable(value).is_some());
    comparable.then(|| values.into_iter().map(Vec::into_boxed_slice).collect())
}

fn values_of(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![vec![]]),
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.ranges().iter().map(|range| range.len()).sum();
            let chars = || class.ranges().iter().flat_map(|range| range.start()..=range.end());
            (count <= PRODUCT_COUNT_MAX)
                .then(|| chars().map(|char| char.to_string().into_bytes()).collect())
        }
        // The class of bytes is only ever the one that nothing matches.
        HirKind::Class(Class::Bytes(class)) => class.ranges().is_empty().then(Vec::new),
        HirKind::Capture(capture) => values_of(&capture.sub),
        HirKind::Concat(parts) => concat_values(parts),
        HirKind::Alternation(parts) => {
            let mut all = vec![];
            let mut bytes = 0;
            for part in parts {
                let values = values_of(part)?;
                bytes += values.iter().map(Vec::len).sum::<usize>();
                if bytes > SET_BYTES_MAX {
                    return None;
                }
                all.extend(values);
            }
            Some(all)
        }
        HirKind::Repetition(repetition) => {
            let max = repetition.max? as usize;
            let once = values_of(&repetition.sub)?;
            let mut values = vec![vec![]];
            let mut all = if repetition.min == 0 { vec![vec![]] } else { vec![] };
            for count in 1..=max {
                values = product(&values, &once)?;
                if count >= repetition.min as usize {
                    all.extend_from_slice(&values);
                }
                if all.len() > PRODUCT_COUNT_MAX {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Look(_) => None,
    }
}

fn concat_values(parts: &[Hir]) -> Option<Vec<Vec<u8>>> {
    match parts {
        [part] => values_of(part),
        _ => {
            parts.iter().try_fold(vec![vec![]], |values, part| product(&values, &values_of(part)?))
        }
    }
}

/// Each of `left` followed by each of `right`.
fn product(left: &[Vec<u8>], right: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    // A lone literal before or behind a long list is no product.
    if left.len().min(right.len()) > 1 && left.len() * right.len() > PRODUCT_COUNT_MAX {
        return None;
    }
    let total = |values: &[Vec<u8>]| values.iter().map(Vec::len).sum::<usize>();
    if total(left) * right.len() + total(right) * left.len() > SET_BYTES_MAX {
        return None;
    }
    Some(left.iter().flat_map(|l| right.iter().map(move |r| [&**l, &**r].concat())).collect())
}
