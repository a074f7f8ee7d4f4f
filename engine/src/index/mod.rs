//! Which series have which labels: names and values, postings, matchers.
//!
//! ```text
//! labels of a series -> names, pairs (dictionary) -> postings of each (postings)
//! matchers           -> postings of values, set operations (select) -> series
//! ```
//!
//! A series is a 32-bit id of the head's; its label set lies there, too. The index keeps for each
//! name, and for each value of it, which series have it: 16 bytes for up to three series, lists
//! and bitmaps beyond.
//!
//! Source: semantics of Prometheus `tsdb/querier.go` and `tsdb/index/postings.go`.

mod dictionary;
mod labels;
mod matcher;
mod postings;
mod select;
mod stats;

#[cfg(test)]
mod tests;

pub use matcher::CompiledMatcher;
pub use stats::{Stat, Stats};
pub(crate) use stats::{Top, encoded_bytes};

use roaring::RoaringBitmap;

use crate::limits::LABEL_SET_BYTES_MAX;
use crate::model::LabelsRef;
use dictionary::Dictionary;
use postings::{Postings, PostingsStore};

/// Labels of series, to be searched.
#[derive(Debug, Default)]
pub struct Index {
    dictionary: Dictionary,
    store: PostingsStore,
    all: Postings,
}

/// The index has no ids left for names and values, or the label set is beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexFull;

impl Index {
    /// Adds `series`, which is not in the index. Ids that ascend are cheapest; an id that was
    /// removed may be used again.
    ///
    /// Cost: O(labels), about 40 ns each when names and values are known, and allocation as the
    /// columns grow. Errors: nothing was added.
    pub fn insert(&mut self, series: u32, labels: LabelsRef<'_>) -> Result<(), IndexFull> {
        let label_bytes = labels.as_bytes().len();
        if label_bytes > LABEL_SET_BYTES_MAX || self.dictionary.ids_free() < label_bytes {
            return Err(IndexFull);
        }
        for (position, (name, value)) in labels.iter().enumerate() {
            let name_id = self.dictionary.name_id(position, name);
            let pair_id = self.dictionary.pair_id(name_id, value);
            self.dictionary.push(&mut self.store, name_id, pair_id, series);
        }
        self.store.push(&mut self.all, series);
        Ok(())
    }

    /// Removes all of `removed`, each of which is in the index. `labels` still gives the labels
    /// of each.
    ///
    /// Cost: O(labels of the removed + postings they are in).
    pub fn remove<'l>(&mut self, removed: &RoaringBitmap, labels: impl Fn(u32) -> LabelsRef<'l>) {
        let (mut names, mut pairs) = (RoaringBitmap::new(), RoaringBitmap::new());
        for series in removed {
            for (name, value) in labels(series).iter() {
                if let Some(name_id) = self.dictionary.find_name(name) {
                    names.insert(name_id);
                    pairs.extend(self.dictionary.find_pair(name_id, value));
                }
            }
        }
        for name_id in names {
            let postings = &mut self.dictionary.name_postings[name_id as usize];
            self.store.remove(postings, removed);
        }
        for pair_id in pairs {
            let postings = &mut self.dictionary.pair_postings[pair_id as usize];
            self.store.remove(postings, removed);
            if postings.count() == 0 {
                self.dictionary.drop_pair(pair_id);
            }
        }
        self.store.remove(&mut self.all, removed);
    }

    pub fn series_count(&self) -> u32 {
        self.all.count()
    }

    pub fn all_series(&self) -> RoaringBitmap {
        self.store.view(&self.all).to_bitmap()
    }

    /// Bytes on the heap. O(names + containers of all bitmaps).
    pub fn bytes(&self) -> usize {
        self.dictionary.bytes() + self.store.bytes()
    }
}
