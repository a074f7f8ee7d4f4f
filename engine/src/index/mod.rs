//! Which series have which labels: names and values, postings, matchers.
//!
//! ```text
//! labels of a series -> names, pairs (dictionary) -> postings of each (postings)
//!                                      pairs of the series (sets) -> its labels
//! matchers           -> postings of values, set operations (search) -> series
//! series             -> their names, or their values of a name (listing)
//! ```
//!
//! A series is a 32-bit id of the head's. Its label set is kept as the ids of its pairs. For each
//! name, and for each value of it, the index keeps which series have it: 16 bytes for up to three
//! series, lists and bitmaps beyond.
//!
//! Source: semantics of Prometheus `tsdb/querier.go` and `tsdb/index/postings.go`.

mod dictionary;
mod latest;
mod listing;
mod matcher;
mod numbered;
mod postings;
mod search;
mod search_plan;
mod searched;
mod select;
mod sets;
mod stats;

#[cfg(test)]
mod listing_tests;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod tests;

pub(crate) use listing::Listing;
pub use matcher::CompiledMatcher;
pub use numbered::PairMap;
pub(crate) use search::Search;
pub(crate) use searched::{ProbeFrom, Probed, Searched, Set, United, Values};
pub use stats::{PairScan, Stat, Stats, StatsFold};

use std::cmp::Ordering;

use roaring::RoaringBitmap;

use crate::limits::LABEL_SET_BYTES_MAX;
use crate::model::{KeptLabels, LabelKeys, LabelsRef};
use dictionary::Dictionary;
use latest::{Latest, Places};
use postings::{Postings, PostingsStore};
use sets::LabelSets;

/// Labels of series, to be searched.
#[derive(Debug, Default)]
pub struct Index {
    dictionary: Dictionary,
    store: PostingsStore,
    sets: LabelSets,
    all: Postings,
    /// Bytes of the label sets of all series as text, and of the longest there was.
    text_bytes: usize,
    text_bytes_longest: usize,
    latest: Latest,
    /// Many series are added in a row; postings need not have them yet.
    is_many: bool,
    /// How often series were removed.
    removal_count: u64,
}

/// The index has no ids left for names and values, or the label set is beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexFull;

impl Index {
    /// Adds `series`. Ids ascend; one that was removed is not used again. Returns the handle of the
    /// label set, which is not zero.
    ///
    /// Cost: O(labels), see [`Latest::add`], and what it takes to put the series into postings: at once,
    /// or for many together between [`Index::begin_many`] and [`Index::end_many`]. Allocation as the
    /// columns grow. Errors: nothing was added.
    ///
    /// # Panics
    ///
    /// On an id below one that was added before.
    pub fn insert(&mut self, series: u32, labels: LabelsRef<'_>) -> Result<u32, IndexFull> {
        let text_bytes = labels.as_bytes().len();
        if text_bytes > LABEL_SET_BYTES_MAX || self.dictionary.ids_free() < text_bytes {
            return Err(IndexFull);
        }
        let Index { dictionary, store, sets, all, latest, .. } = self;
        let pairs = latest.add(&mut Places { dictionary, store, all }, series, labels);
        let handle = sets.insert(series, pairs);
        self.added(text_bytes);
        Ok(handle)
    }

    /// A series was added, which has so many bytes as text.
    #[inline]
    fn added(&mut self, text_bytes: usize) {
        self.text_bytes += text_bytes;
        self.text_bytes_longest = self.text_bytes_longest.max(text_bytes);
        if !self.is_many {
            self.close_latest();
        }
    }

    /// Many series will be added in a row; until [`Index::end_many`] nothing is searched, and nothing
    /// removed.
    pub fn begin_many(&mut self) {
        self.is_many = true;
    }

    /// All are added.
    pub fn end_many(&mut self) {
        if std::mem::take(&mut self.is_many) {
            self.close_latest();
        }
    }

    fn close_latest(&mut self) {
        let Index { dictionary, store, all, latest, .. } = self;
        latest.close(&mut Places { dictionary, store, all });
    }

    /// As if series of all ids below `count` had been added and removed.
    pub fn pass_ids(&mut self, count: u32) {
        self.sets.pass_ids(count);
    }

    /// Removes all of `removed`, each of which is in the index.
    ///
    /// Cost: O(labels of the removed + postings they are in).
    pub fn remove(&mut self, removed: &RoaringBitmap) {
        debug_assert!(!self.is_many, "series are still added");
        self.latest.forget();
        self.removal_count += 1;
        let (mut names, mut pairs) = (RoaringBitmap::new(), RoaringBitmap::new());
        for series in removed {
            for pair_id in self.sets.pairs(self.sets.handle(series)) {
                names.insert(self.dictionary.name_of_pair(pair_id));
                pairs.insert(pair_id);
                self.text_bytes -= self.dictionary.pair(pair_id).as_bytes().len();
            }
            self.sets.remove(series);
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

    /// Whether the index has `series`.
    #[inline]
    pub fn contains(&self, series: u32) -> bool {
        self.sets.handle(series) != 0
    }

    /// The labels of `series`, written to `buffer`; `None` when the index has no such series.
    ///
    /// Cost: about 5 ns a label whose text is in the cache.
    #[inline]
    pub fn labels<'b>(&self, series: u32, buffer: &'b mut Vec<u8>) -> Option<LabelsRef<'b>> {
        buffer.clear();
        self.push_labels(series, buffer).then(|| LabelsRef::from_canonical(buffer))
    }

    /// As [`Index::labels`], appended to `out`; false when the index has no such series.
    #[inline]
    pub fn push_labels(&self, series: u32, out: &mut Vec<u8>) -> bool {
        let handle = self.sets.handle(series);
        if handle == 0 {
            return false;
        }
        for pair_id in self.sets.pairs(handle) {
            out.extend_from_slice(self.dictionary.pair(pair_id).as_bytes());
        }
        true
    }

    /// Begins keys of the labels that `kept` keeps.
    pub fn begin_keys(&self, kept: &KeptLabels, out: &mut LabelKeys) {
        out.clear();
        out.epoch = self.dictionary.drop_count();
        out.names.extend(kept.names.iter().filter_map(|name| self.dictionary.find_name(name)));
    }

    /// Appends the ids of the pairs of a series whose names are in `names`, or are not; false when the
    /// index has no such series.
    ///
    /// Cost: about 2 ns a label, of those up to the last that counts.
    #[inline]
    pub fn push_key(&self, series: u32, names: &[u32], without: bool, out: &mut Vec<u32>) -> bool {
        let handle = self.sets.handle(series);
        if handle == 0 {
            return false;
        }
        let mut left = names.len();
        for pair_id in self.sets.pairs(handle) {
            if left == 0 && !without {
                break;
            }
            let is_named = left > 0 && names.contains(&self.dictionary.name_of_pair(pair_id));
            left -= usize::from(is_named);
            if is_named != without {
                out.push(pair_id);
            }
        }
        true
    }

    /// The handle of a series' label set; zero when the index has no such series.
    #[inline]
    pub fn handle(&self, series: u32) -> u32 {
        self.sets.handle(series)
    }

    /// The series whose label set has this handle.
    #[inline]
    pub fn series_of(&self, handle: u32) -> u32 {
        self.sets.series_of(handle)
    }

    /// Whether the set with this handle is `labels`.
    #[inline]
    pub fn is_set(&self, handle: u32, labels: LabelsRef<'_>) -> bool {
        let mut rest = labels.as_bytes();
        for pair_id in self.sets.pairs(handle) {
            match rest.strip_prefix(self.dictionary.pair(pair_id).as_bytes()) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// Asks for the line that has the handle of a series.
    #[inline]
    pub fn prefetch_handle(&self, series: u32) {
        self.sets.prefetch_handle(series);
    }

    /// Asks for the line of the set with this handle.
    #[inline]
    pub fn prefetch_set(&self, handle: u32) {
        self.sets.prefetch(handle);
    }

    /// Order of the labels of two series of the index, as [`LabelsRef::compare`] has it.
    pub fn compare(&self, series: u32, other: u32) -> Ordering {
        let mut pairs = self.sets.pairs(self.sets.handle(series));
        let mut other_pairs = self.sets.pairs(self.sets.handle(other));
        loop {
            let (pair, other) = match (pairs.next(), other_pairs.next()) {
                (Some(pair), Some(other)) if pair == other => continue,
                (Some(pair), Some(other)) => (pair, other),
                (pair, other) => return pair.is_some().cmp(&other.is_some()),
            };
            return self.dictionary.pair(pair).compare(self.dictionary.pair(other));
        }
    }

    /// The pairs of a series of the index, in the order of its labels.
    #[inline]
    pub fn pairs(&self, series: u32) -> impl Iterator<Item = u32> {
        self.sets.pairs(self.sets.handle(series))
    }

    /// The label of a pair.
    #[inline]
    pub fn pair(&self, pair: u32) -> LabelsRef<'_> {
        self.dictionary.pair(pair)
    }

    pub fn series_count(&self) -> u32 {
        self.all.count() + self.latest.open_count()
    }

    pub fn all_series(&self) -> RoaringBitmap {
        self.store.view(&self.all).to_bitmap()
    }

    /// Bytes of the label sets of all series as text, whatever they take here.
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Bytes of the longest label set there was, as text.
    pub fn text_bytes_longest(&self) -> usize {
        self.text_bytes_longest
    }

    /// Gives back memory that is kept for label sets to come.
    pub fn release_idle(&mut self) {
        self.sets.release_idle();
    }

    /// Bytes on the heap of label sets, and of the rest. O(names + containers of all bitmaps).
    pub fn bytes(&self) -> (usize, usize) {
        (self.sets.bytes(), self.dictionary.bytes() + self.store.bytes())
    }
}
