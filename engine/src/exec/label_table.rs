//! Label sets of rows, one after the other, and what operators do to label sets.
//!
//! Operators name labels, not label sets: a projection is one walk over the canonical bytes into a
//! reused buffer, which is canonical again because a walk keeps the order.

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::model::labels::METRIC_NAME;
use crate::model::{KeptLabels, LabelsRef};
use crate::plan::part::Grouping;

/// Label sets by row: all bytes in one arena.
#[derive(Clone, Debug, Default)]
pub struct LabelTable {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl LabelTable {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Memory of the table.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + size_of_val(&self.ends[..])
    }

    #[inline]
    pub fn get(&self, row: usize) -> LabelsRef<'_> {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        LabelsRef::from_canonical(&self.bytes[start..self.ends[row]])
    }

    pub fn push(&mut self, labels: LabelsRef<'_>) {
        self.bytes.extend_from_slice(labels.as_bytes());
        self.ends.push(self.bytes.len());
    }

    pub fn append(&mut self, other: &LabelTable) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| start + end));
    }
}

/// A [`LabelTable`] whose sets are unique and found by their bytes.
#[derive(Clone, Debug, Default)]
pub struct LabelIndex {
    table: LabelTable,
    rows: HashTable<u32>,
}

impl LabelIndex {
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    #[inline]
    pub fn get(&self, row: usize) -> LabelsRef<'_> {
        self.table.get(row)
    }

    pub fn find(&self, labels: LabelsRef<'_>) -> Option<usize> {
        let table = &self.table;
        let found =
            self.rows.find(hash(labels.as_bytes()), |&row| table.get(row as usize) == labels);
        found.map(|&row| row as usize)
    }

    /// The row of `labels`, and whether it is new.
    #[inline]
    pub fn intern(&mut self, labels: LabelsRef<'_>) -> (usize, bool) {
        let hash = hash(labels.as_bytes());
        let table = &self.table;
        let found = self.rows.find(hash, |&row| table.get(row as usize) == labels);
        if let Some(&row) = found {
            return (row as usize, false);
        }
        let row = self.table.len();
        self.table.push(labels);
        let table = &self.table;
        self.rows
            .insert_unique(hash, row as u32, |&row| self::hash(table.get(row as usize).as_bytes()));
        (row, true)
    }

    pub fn into_table(self) -> LabelTable {
        self.table
    }
}

#[inline]
fn hash(bytes: &[u8]) -> u64 {
    use std::hash::BuildHasher;
    FixedState::default().hash_one(bytes)
}

/// Labels that describe the metric and go when an operation makes another metric of it.
#[inline]
pub fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(b"__") && matches!(name, METRIC_NAME | b"__type__" | b"__unit__")
}

/// Writes the labels for which `keep(name)` holds into `out` and lends them.
#[inline]
pub fn filter<'a>(
    labels: LabelsRef<'_>,
    out: &'a mut Vec<u8>,
    mut keep: impl FnMut(&[u8]) -> bool,
) -> LabelsRef<'a> {
    out.clear();
    for (name, pair) in labels.encoded() {
        if keep(name) {
            out.extend_from_slice(pair);
        }
    }
    LabelsRef::from_canonical(out)
}

/// What of the labels that describe the metric an operation has dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    Nothing,
    /// The name.
    Name,
    /// The name, type and unit.
    Reserved,
}

impl Dropped {
    fn names(self) -> &'static [&'static [u8]] {
        match self {
            Dropped::Nothing => &[],
            Dropped::Name => &[METRIC_NAME],
            Dropped::Reserved => &[METRIC_NAME, b"__type__", b"__unit__"],
        }
    }

    #[inline]
    fn has(self, name: &[u8]) -> bool {
        match self {
            Dropped::Nothing => false,
            Dropped::Name => name == METRIC_NAME,
            Dropped::Reserved => is_reserved(name),
        }
    }

    /// The labels that are left.
    #[inline]
    pub fn of<'a>(self, labels: LabelsRef<'a>, out: &'a mut Vec<u8>) -> LabelsRef<'a> {
        match self {
            Dropped::Nothing => labels,
            _ => filter(labels, out, |name| !self.has(name)),
        }
    }
}

/// Whether the sorted list `names` holds `name`.
#[inline]
pub fn names_hold(names: &[Box<str>], name: &[u8]) -> bool {
    // Lists are short; a binary search would only pay from dozens on.
    names.iter().any(|candidate| candidate.as_bytes() == name)
}

/// The labels of the group that `labels`, of which some were dropped, falls into.
pub fn project<'a>(
    labels: LabelsRef<'_>,
    dropped: Dropped,
    grouping: &Grouping,
    out: &'a mut Vec<u8>,
) -> LabelsRef<'a> {
    let is_named = |name: &[u8]| names_hold(&grouping.labels, name);
    if grouping.without {
        filter(labels, out, |name| name != METRIC_NAME && !is_named(name) && !dropped.has(name))
    } else if grouping.labels.is_empty() {
        out.clear();
        LabelsRef::EMPTY
    } else {
        filter(labels, out, |name| is_named(name) && !dropped.has(name))
    }
}

/// The names of what [`project`] keeps.
pub fn kept(dropped: Dropped, grouping: &Grouping) -> KeptLabels {
    let mut names: Vec<Box<[u8]>> =
        grouping.labels.iter().map(|name| name.as_bytes().into()).collect();
    if grouping.without {
        let beside = dropped.names().iter().chain([&METRIC_NAME]);
        names.extend(beside.map(|&name| name.into()));
        names.sort();
        names.dedup();
    } else {
        names.retain(|name| !dropped.has(name));
    }
    KeptLabels { names, without: grouping.without }
}

#[cfg(test)]
mod tests {
    use super::{Dropped, LabelIndex, filter, kept, project};
    use crate::model::Labels;
    use crate::plan::part::Grouping;

    #[track_caller]
    fn check(names: &[&str], without: bool, expected: &str) {
        check_dropped(Dropped::Nothing, names, without, expected);
    }

    #[track_caller]
    fn check_dropped(dropped: Dropped, names: &[&str], without: bool, expected: &str) {
        let labels = [("__name__", "up"), ("__type__", "gauge"), ("a", "1"), ("b", "2")];
        let labels = Labels::from_pairs(labels);
        let names: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
        let mut out = Vec::new();
        let grouping = Grouping::new(&names, without);
        let projected = project(labels.as_ref(), dropped, &grouping, &mut out);
        assert_eq!(projected.to_string(), expected);
        let kept = kept(dropped, &grouping);
        let keeps = |name: &[u8]| kept.names.iter().any(|known| &**known == name) != without;
        assert_eq!(filter(labels.as_ref(), &mut out, keeps).to_string(), expected);
    }

    #[test]
    fn groups_keep_or_drop_labels() {
        check(&[], false, "{}");
        check(&["a"], false, r#"{a="1"}"#);
        check(&["c", "b"], false, r#"{b="2"}"#);
        check(&["__name__"], false, r#"{__name__="up"}"#);
        check(&["__type__"], true, r#"{a="1", b="2"}"#);
        check(&["a"], true, r#"{__type__="gauge", b="2"}"#);
    }

    #[test]
    fn what_was_dropped_is_in_no_group() {
        let names = &["__name__", "__type__", "a"];
        check_dropped(
            Dropped::Nothing,
            names,
            false,
            r#"{__name__="up", __type__="gauge", a="1"}"#,
        );
        check_dropped(Dropped::Name, names, false, r#"{__type__="gauge", a="1"}"#);
        check_dropped(Dropped::Reserved, names, false, r#"{a="1"}"#);
        check_dropped(Dropped::Name, &["a"], true, r#"{__type__="gauge", b="2"}"#);
        check_dropped(Dropped::Reserved, &["a"], true, r#"{b="2"}"#);
    }

    #[test]
    fn a_set_is_interned_once() {
        let mut index = LabelIndex::default();
        for round in 0..2 {
            for row in 0..1000 {
                let labels = Labels::from_pairs([("n", row.to_string())]);
                assert_eq!(index.intern(labels.as_ref()), (row, round == 0));
            }
        }
    }
}
