//! What is known about metric families: type, help, unit. The newest word counts.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::limits::{METADATA_BYTES_MAX, METADATA_FAMILY_COUNT_MAX};

/// Type, help and unit of a family, as the exposition formats write them. Empty is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metadata {
    pub kind: Box<str>,
    pub help: Box<str>,
    pub unit: Box<str>,
}

/// Metadata by name of the family, in order of names.
#[derive(Clone, Debug, Default)]
pub struct MetadataStore {
    families: BTreeMap<Box<str>, Metadata>,
    text_bytes: usize,
}

impl Metadata {
    fn text_bytes(&self) -> usize {
        self.kind.len() + self.help.len() + self.unit.len()
    }

    fn is_same(&self, kind: &str, help: &str, unit: &str) -> bool {
        *self.kind == *kind && *self.help == *help && *self.unit == *unit
    }
}

impl MetadataStore {
    /// Replaces what is known about `family`; whether that changed anything. Allocates only then.
    /// A family too many, or one whose texts are too long, is not kept.
    pub fn set(&mut self, family: &str, kind: &str, help: &str, unit: &str) -> bool {
        if self.families.get(family).is_some_and(|known| known.is_same(kind, help, unit)) {
            return false;
        }
        let text_bytes = family.len() + kind.len() + help.len() + unit.len();
        let is_full = self.families.len() >= METADATA_FAMILY_COUNT_MAX;
        if text_bytes > METADATA_BYTES_MAX || is_full && !self.families.contains_key(family) {
            return false;
        }
        let metadata = Metadata { kind: kind.into(), help: help.into(), unit: unit.into() };
        self.text_bytes += family.len() + metadata.text_bytes();
        if let Some(replaced) = self.families.insert(family.into(), metadata) {
            self.text_bytes -= family.len() + replaced.text_bytes();
        }
        true
    }

    pub fn get(&self, family: &str) -> Option<&Metadata> {
        self.families.get(family)
    }

    /// All families in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Metadata)> {
        self.families.iter().map(|(family, metadata)| (&**family, metadata))
    }

    /// The families that come after `family` in order of name.
    pub fn after(&self, family: &str) -> impl Iterator<Item = (&str, &Metadata)> {
        let range = self.families.range::<str, _>((Bound::Excluded(family), Bound::Unbounded));
        range.map(|(family, metadata)| (&**family, metadata))
    }

    pub fn len(&self) -> usize {
        self.families.len()
    }

    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// Bytes of all texts, about.
    pub fn bytes(&self) -> usize {
        self.text_bytes + self.families.len() * (size_of::<Metadata>() + size_of::<Box<str>>())
    }
}

#[cfg(test)]
mod tests {
    use super::MetadataStore;
    use crate::limits::{METADATA_BYTES_MAX, METADATA_FAMILY_COUNT_MAX};

    #[test]
    fn what_is_kept_is_bounded() {
        let mut store = MetadataStore::default();
        assert!(!store.set("up", "gauge", &"x".repeat(METADATA_BYTES_MAX), ""));
        for family in 0..METADATA_FAMILY_COUNT_MAX {
            assert!(store.set(&family.to_string(), "gauge", "", ""));
        }
        assert!(!store.set("one more", "gauge", "", ""));
        assert!(store.set("7", "counter", "", ""));
        assert_eq!(store.len(), METADATA_FAMILY_COUNT_MAX);
    }

    #[test]
    fn the_newest_word_counts() {
        let mut store = MetadataStore::default();
        assert!(store.set("up", "gauge", "is up", ""));
        assert!(!store.set("up", "gauge", "is up", ""));
        let bytes = store.bytes();
        assert!(store.set("up", "counter", "is up", ""));
        assert_eq!(store.bytes(), bytes + 2);
        assert_eq!(&*store.get("up").unwrap().kind, "counter");
        assert!(store.set("go_info", "", "", ""));
        assert_eq!(store.iter().map(|(family, _)| family).collect::<Vec<_>>(), ["go_info", "up"]);
        assert_eq!(store.after("go_info").count(), 1);
        assert_eq!((store.len(), store.is_empty()), (2, false));
    }
}
