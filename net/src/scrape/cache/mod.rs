//! What a target's series looked like in the last scrapes: from the raw bytes of a series line to
//! who has the series, so that a known series costs one comparison and no allocation.
//!
//! ```text
//! entries   one a raw text, in the order in which a page shows them
//! texts     where the raw texts stand: once, in the layout of the last page or in an arena
//! table     hash of the raw text -> index of the entry
//! ```
//!
//! A page shows the same series in the same order as the page before, as a rule. So the entry after
//! the last one found is tried first, by comparing its bytes; only when that fails is the text
//! hashed.
//!
//! Labels are kept only where the raw text alone does not tell them: whoever has the series knows
//! them, and a sample is seldom written by them twice. [`ScrapeCache::labels`] gives what there is.
//!
//! Invariants: every entry is in the table once; `iteration` is the number of the scrape under way,
//! and no entry was seen later than that. Layout and arena change between two scrapes only; within
//! one the arena grows.
//!
//! Memory: about 45 bytes an entry beside its text and the layout.
//!
//! Source: Prometheus `scrape/scrape.go` `scrapeCache`.

mod texts;

use std::hash::BuildHasher;
use std::rc::Rc;

use engine::model::{LabelsRef, MetricType, SeriesId};
use foldhash::fast::FixedState;
use hashbrown::{HashSet, HashTable, hash_table};
use shards::{SeriesOwner, ShardId};

use crate::wire::text::{self, layout::Layout};

use super::metadata::{Field, MetadataCache};
pub use texts::Form;
use texts::{Text, Texts};

/// Failed scrapes may leave entries behind; from this many above twice those of the last good
/// scrape on they are thrown out.
const FAILED_ENTRIES_MAX: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId(pub(super) u32);

/// In place of a shard: nobody told yet who has the series.
const NO_SHARD: u16 = u16::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    text: Text,
    form: Form,
    /// Scrape in which the text was seen last.
    seen: u32,
    /// Scrape in which a sample was written last whose absence calls for a staleness marker.
    tracked: u32,
    /// Who has the series, and its id there.
    series: u32,
    shard: u16,
    /// Stable hash of the labels.
    hash: u64,
}

impl Entry {
    fn owner(&self) -> Option<SeriesOwner> {
        let owner = SeriesOwner { shard: ShardId(self.shard), series: SeriesId(self.series) };
        (self.shard != NO_SHARD).then_some(owner)
    }
}

/// What the cache can tell of a series' labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stored<'a> {
    Labels(LabelsRef<'a>),
    /// To be made from the raw text, where this type was in force.
    Raw(&'a [u8], MetricType),
}

/// What the cache knows of a raw text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Series {
        id: EntryId,
        /// It stood on this page before.
        repeated: bool,
    },
    Dropped,
}

/// What became of a line that passed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Relabelling drops its series.
    Dropped,
    /// It stood on this page before.
    Repeated,
    Owned(SeriesOwner),
    /// Nobody told yet who has its series.
    Alone,
}

pub struct ScrapeCache {
    iteration: u32,
    /// Entries and metadata after the last good scrape.
    successful_count: usize,
    entries: Vec<Entry>,
    texts: Texts,
    table: HashTable<u32>,
    hasher: FixedState,
    /// Index of the entry that the next line of the page probably is.
    next: usize,
    /// Entries from here on were added in this scrape.
    first_new: usize,
    /// Entries seen in this scrape.
    seen_count: usize,
    /// Of the page under way, when it is another than that of the page before.
    fresh: Option<Layout>,
    pub metadata: MetadataCache,
}

impl Default for ScrapeCache {
    fn default() -> Self {
        ScrapeCache {
            // Zero is what entries carry that were never tracked.
            iteration: 1,
            successful_count: 0,
            entries: vec![],
            texts: Texts::default(),
            table: HashTable::new(),
            hasher: FixedState::default(),
            next: 0,
            first_new: 0,
            seen_count: 0,
            fresh: None,
            metadata: MetadataCache::default(),
        }
    }
}

impl ScrapeCache {
    /// Looks a line's raw text up and marks it as seen.
    pub fn find(&mut self, raw: &[u8]) -> Option<Known> {
        let texts = &self.texts;
        let index = match self.entries.get(self.next) {
            Some(entry) if texts.raw(entry.text) == raw => self.next,
            _ => {
                let hash = self.hasher.hash_one(raw);
                let entries = &self.entries;
                let is_it = |&index: &u32| texts.raw(entries[index as usize].text) == raw;
                *self.table.find(hash, is_it)? as usize
            }
        };
        self.next = index + 1;
        Some(self.see(EntryId(index as u32)))
    }

    /// Marks an entry as seen and, if it is seen for the first time in this scrape, as one of which
    /// a sample was written: [`ScrapeCache::see`], [`ScrapeCache::owner`] and
    /// [`ScrapeCache::track`] in one look.
    #[inline]
    pub fn pass(&mut self, id: EntryId) -> Pass {
        let entry = &mut self.entries[id.0 as usize];
        let is_dropped = entry.form == Form::Dropped;
        if entry.seen == self.iteration {
            return if is_dropped { Pass::Dropped } else { Pass::Repeated };
        }
        entry.seen = self.iteration;
        self.seen_count += 1;
        if is_dropped {
            return Pass::Dropped;
        }
        entry.tracked = self.iteration;
        entry.owner().map_or(Pass::Alone, Pass::Owned)
    }

    /// Marks an entry as seen.
    #[inline]
    pub fn see(&mut self, id: EntryId) -> Known {
        let entry = &mut self.entries[id.0 as usize];
        let repeated = entry.seen == self.iteration;
        if !repeated {
            entry.seen = self.iteration;
            self.seen_count += 1;
        }
        match entry.form {
            Form::Dropped => Known::Dropped,
            _ => Known::Series { id, repeated },
        }
    }

    /// The entry found or added last.
    pub fn last(&self) -> EntryId {
        EntryId(self.next.wrapping_sub(1) as u32)
    }

    /// Who has the series, if that was told.
    #[inline]
    pub fn owner(&self, id: EntryId) -> Option<SeriesOwner> {
        self.entries[id.0 as usize].owner()
    }

    pub fn set_owner(&mut self, id: EntryId, owner: Option<SeriesOwner>) {
        let entry = &mut self.entries[id.0 as usize];
        entry.shard = owner.map_or(NO_SHARD, |owner| owner.shard.0);
        entry.series = owner.map_or(0, |owner| owner.series.0);
    }

    /// The layout of the last page of text that was read to its end; lines are indices of entries.
    pub fn layout(&self) -> Rc<Layout> {
        self.texts.layout().clone()
    }

    /// The page has another layout than the one before: notes what it says about families.
    pub fn renew_layout(&mut self, layout: Layout) {
        self.metadata.forget_layout(self.iteration);
        layout.metadata(|entry| {
            let text = |field, family: &[u8], text: &[u8]| {
                self.metadata.set(self.iteration, family, field, text);
            };
            note_metadata(&entry, text);
        });
        self.metadata.keep_layout(self.iteration);
        self.fresh = Some(layout);
    }

    /// Adds a text that was not found; `labels` are those to be kept, empty where `form` keeps none.
    ///
    /// `None` when the arena is full (4 GiB of names in one target): the series is then looked up
    /// anew in every scrape.
    pub fn add(
        &mut self,
        raw: &[u8],
        form: Form,
        labels: LabelsRef<'_>,
        hash: u64,
    ) -> Option<EntryId> {
        let index = u32::try_from(self.entries.len()).ok()?;
        let text = self.texts.add(raw, form, labels)?;
        let iteration = self.iteration;
        let (tracked, series, shard) = (0, 0, NO_SHARD);
        self.entries.push(Entry { text, form, seen: iteration, tracked, series, shard, hash });
        self.seen_count += 1;
        self.insert_into_table(index);
        self.next = index as usize + 1;
        Some(EntryId(index))
    }

    fn insert_into_table(&mut self, index: u32) {
        let (entries, texts, hasher) = (&self.entries, &self.texts, &self.hasher);
        let hash_of = |index: u32| hasher.hash_one(texts.raw(entries[index as usize].text));
        self.table.insert_unique(hash_of(index), index, |&other| hash_of(other));
    }

    /// What is known of a series' labels. Nothing of one that is dropped.
    pub fn labels(&self, id: EntryId) -> Stored<'_> {
        let Entry { text, form, .. } = self.entries[id.0 as usize];
        match form {
            Form::Dropped => Stored::Labels(LabelsRef::EMPTY),
            Form::Made(metric_type) => Stored::Raw(self.texts.raw(text), metric_type),
            Form::Kept => Stored::Labels(self.texts.labels(text)),
        }
    }

    /// Stable hash of a series' labels.
    pub fn hash(&self, id: EntryId) -> u64 {
        self.entries[id.0 as usize].hash
    }

    /// A sample of the series was written whose absence next time calls for a staleness marker.
    pub fn track(&mut self, id: EntryId) {
        self.entries[id.0 as usize].tracked = self.iteration;
    }

    /// Forgets those of the series added in this scrape whose labels hash to one of `hashes`: their
    /// samples were refused, so they count as new when they come again. Returns how many.
    pub fn forget_new(&mut self, hashes: &HashSet<u64, FixedState>) -> usize {
        let mut count = 0;
        for index in self.first_new..self.entries.len() {
            let entry = self.entries[index];
            if hashes.contains(&entry.hash) && entry.form != Form::Dropped {
                // Found no more by its text, and thrown out at the end of the scrape.
                self.remove_from_table(index);
                let (text, form) = (Text::NONE, Form::Dropped);
                self.entries[index] = Entry { text, form, seen: 0, tracked: 0, ..entry };
                self.seen_count -= 1;
                count += 1;
            }
        }
        if count > 0 {
            self.fresh = Some(Layout::default()); // That of the page knows them.
        }
        count
    }

    fn remove_from_table(&mut self, index: usize) {
        let raw = self.texts.raw(self.entries[index].text);
        let hash = self.hasher.hash_one(raw);
        let found = self.table.find_entry(hash, |&candidate| candidate as usize == index);
        if let Ok(occupied) = found {
            hash_table::OccupiedEntry::remove(occupied);
        }
    }

    /// Calls `f` with the labels and hash of each series that was tracked in the last scrape and
    /// is not in this one.
    pub fn for_each_stale(&self, mut f: impl FnMut(EntryId)) {
        let is_stale = |entry: &&Entry| entry.tracked != 0 && entry.tracked + 1 == self.iteration;
        if self.entries.iter().find(is_stale).is_none() {
            return;
        }
        // The same series under another text (labels in another order, say) lives on.
        let alive: HashSet<u64, FixedState> = self
            .entries
            .iter()
            .filter(|entry| entry.tracked == self.iteration)
            .map(|entry| entry.hash)
            .collect();
        for (entry, index) in self.entries.iter().zip(0..) {
            if is_stale(&entry) && !alive.contains(&entry.hash) {
                f(EntryId(index));
            }
        }
    }

    /// Ends a scrape. `flush` after a page that was read to its end: what was not on it is thrown
    /// out. True if a flush was forced, because failing scrapes left too much behind.
    pub fn end_iteration(&mut self, flush: bool) -> bool {
        let count = self.entries.len() + self.metadata.len();
        let forced = !flush && count > self.successful_count * 2 + FAILED_ENTRIES_MAX;
        if flush {
            self.successful_count = count;
        }
        let fresh = self.fresh.take().filter(|_| flush);
        if flush || forced {
            if self.seen_count < self.entries.len() {
                self.purge(fresh);
            } else if let Some(fresh) = fresh {
                self.settle(fresh);
            }
            self.metadata.forget_unseen(self.iteration);
        }
        self.iteration += 1;
        self.first_new = self.entries.len();
        self.next = 0;
        self.seen_count = 0;
        forced
    }

    /// Keeps the entries seen in this scrape, in their order; `fresh` is the layout in force from
    /// now on, if it is another.
    fn purge(&mut self, fresh: Option<Layout>) {
        let iteration = self.iteration;
        let mut count = 0;
        let number = |entry: &Entry| {
            let is_kept = entry.seen == iteration;
            count += u32::from(is_kept);
            is_kept.then(|| count - 1)
        };
        let numbers: Vec<Option<u32>> = self.entries.iter().map(number).collect();
        let mut layout = fresh.unwrap_or_else(|| Layout::clone(self.texts.layout()));
        layout.renumber(|line| numbers.get(line as usize).copied().flatten());
        self.entries.retain(|entry| entry.seen == iteration);
        self.settle(layout);
        self.table = HashTable::with_capacity(self.entries.len());
        for index in 0..count {
            self.insert_into_table(index);
        }
    }

    /// Puts a layout in force, whose lines are the entries as they are.
    fn settle(&mut self, layout: Layout) {
        self.entries.shrink_to_fit();
        let texts = self.entries.iter_mut().map(|entry| (&mut entry.text, entry.form));
        self.texts.settle(layout, texts);
    }

    /// Notes what a `TYPE`, `HELP` or `UNIT` line of a page without a layout says.
    pub fn set_metadata(&mut self, family: &[u8], field: Field, text: &[u8]) {
        self.metadata.set(self.iteration, family, field, text);
    }

    /// The page is read without a layout.
    pub fn drop_layout(&mut self) {
        self.fresh = Some(Layout::default()).filter(|_| !self.texts.layout().is_empty());
        self.metadata.forget_layout(self.iteration);
    }
}

/// Calls `note` with what a line says about its family, if it does.
pub fn note_metadata(entry: &text::Entry<'_>, mut note: impl FnMut(Field, &[u8], &[u8])) {
    match entry {
        text::Entry::Type { metric, metric_type } => {
            note(Field::Type, metric, metric_type.as_str().as_bytes());
        }
        text::Entry::Help { metric, help } => note(Field::Help, metric, help),
        text::Entry::Unit { metric, unit } => note(Field::Unit, metric, unit),
        text::Entry::Comment(_) | text::Entry::Sample(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::model::Labels;

    /// One scrape of `names` (a dropped one begins with `-`), then the stale ones of it.
    #[track_caller]
    fn scrape(cache: &mut ScrapeCache, names: &str, good: bool, expected_stale: &str) {
        for name in names.split_whitespace() {
            let raw = name.as_bytes();
            let id = match cache.find(raw) {
                Some(Known::Series { id, .. }) => id,
                Some(Known::Dropped) => continue,
                None if name.starts_with('-') => {
                    cache.add(raw, Form::Dropped, LabelsRef::EMPTY, 0);
                    continue;
                }
                None => {
                    let labels = Labels::from_pairs([("__name__", name.trim_end_matches('\''))]);
                    let labels = labels.as_ref();
                    cache.add(raw, Form::Kept, labels, labels.stable_hash()).unwrap()
                }
            };
            cache.track(id);
        }
        let mut stale = vec![];
        cache.for_each_stale(|id| {
            let Stored::Labels(labels) = cache.labels(id) else { panic!("they are kept") };
            stale.push(String::from_utf8_lossy(labels.metric_name()).into_owned());
        });
        assert_eq!(stale.join(" "), expected_stale, "after {names}");
        cache.end_iteration(good);
    }

    #[test]
    fn what_vanishes_is_stale_once() {
        let mut cache = ScrapeCache::default();
        scrape(&mut cache, "a b c -d", true, "");
        scrape(&mut cache, "a c -d", true, "b");
        scrape(&mut cache, "c a", true, "");
        scrape(&mut cache, "", false, "a c");
        scrape(&mut cache, "", false, "");
        scrape(&mut cache, "a b c", true, "");
        assert_eq!(cache.entries.len(), 3);
    }

    #[test]
    fn a_series_under_another_text_lives_on() {
        let mut cache = ScrapeCache::default();
        scrape(&mut cache, "a", true, "");
        scrape(&mut cache, "a'", true, "");
        scrape(&mut cache, "", true, "a");
    }

    #[test]
    fn lines_are_found_in_any_order() {
        let mut cache = ScrapeCache::default();
        let names: Vec<String> = (0..500).map(|index| format!("m{index}")).collect();
        scrape(&mut cache, &names.join(" "), true, "");
        let reversed: Vec<&str> = names.iter().rev().map(String::as_str).collect();
        scrape(&mut cache, &reversed.join(" "), true, "");
        assert_eq!(cache.entries.len(), 500);
        assert!(matches!(cache.find(b"m7"), Some(Known::Series { repeated: false, .. })));
        assert!(matches!(cache.find(b"m7"), Some(Known::Series { repeated: true, .. })));
        assert_eq!(cache.find(b"m500"), None);
    }

    #[test]
    fn a_refused_series_is_new_again() {
        let mut cache = ScrapeCache::default();
        scrape(&mut cache, "a", true, "");
        let hash_of = |name| Labels::from_pairs([("__name__", name)]).as_ref().stable_hash();
        let labels = Labels::from_pairs([("__name__", "b")]);
        cache.add(b"b", Form::Kept, labels.as_ref(), hash_of("b"));
        assert_eq!(cache.forget_new(&["a", "b"].map(hash_of).into_iter().collect()), 1);
        assert_eq!(cache.find(b"b"), None);
        assert!(cache.find(b"a").is_some());
        scrape(&mut cache, "a", true, "");
        assert_eq!(cache.entries.len(), 1);
    }

    #[test]
    fn failing_scrapes_do_not_fill_the_cache() {
        let mut cache = ScrapeCache::default();
        for round in 0..30 {
            let names: Vec<String> = (0..100).map(|index| format!("m{round}_{index}")).collect();
            for name in &names {
                assert_eq!(cache.find(name.as_bytes()), None);
                cache.add(name.as_bytes(), Form::Dropped, LabelsRef::EMPTY, 0);
            }
            cache.end_iteration(false);
        }
        assert!(cache.entries.len() <= FAILED_ENTRIES_MAX + 100);
    }
}
