//! Series that were met before, by the bytes that name them on the wire.
//!
//! A sender repeats the same label bytes with every sample. The first time they are checked, made
//! canonical, hashed and looked up; from then on a 128-bit key of the raw bytes is enough to know
//! whose they are, and a sample travels as a series id.
//!
//! ```text
//! entries   in the order in which they were met, 16 bytes each:
//!           half of the key: 64 bits | what stands beside: 16 | no row: 1 | shard: 15 | series id: 32
//! table     1024 partitions by the key's top bits, open addressing, rows of 4 bytes:
//!           bits of the key: 8 | place of the entry, from one: 24
//! ```
//!
//! Senders repeat their series in one order, however they cut it into requests. So the entry after
//! the last one is looked at first ([`KnownSeries::follow`]): that walks through memory in order,
//! where the table takes a page of it at random for every sample, and a translation that the processor
//! does not have costs more than everything else that is done about a sample.
//!
//! Series that come for the first time come many in a row, and some never again. Of those in a row only
//! the first and the leading ones (one in 16, by their keys) get a row of the table at once; the others
//! follow them, and get theirs when they do.
//!
//! The key is keyed by a secret of the process, so nobody can choose bytes that collide; two series
//! of ten million meet by chance in one of four hundred million such tables. An entry may be outdated:
//! the owner says so when the series is gone.
//!
//! Entries of series that are gone and that nobody names again stay: which they are, nobody knows. When
//! most must be of that kind, all are forgotten, and those that live are met once more.

use engine::kernels;
use engine::mem::{Column, written_zeros};
use engine::model::SeriesId;

pub use super::keys::{Key, Keys, SECRET_BYTES, Sequence};
use super::repeats::Repeats;

/// More partitions move fewer rows at once.
const PARTITION_BITS: u32 = 10;

const ROW_COUNT_MIN: usize = 8;

/// Bits of a row that name an entry.
const NUMBER_BITS: u32 = 24;

const _: () = assert!(ENTRY_COUNT_MAX < 1 << NUMBER_BITS);

/// Series that are known at most; beyond, all are forgotten. In 200 MiB, with [`ROW_COUNT_MAX`].
const ENTRY_COUNT_MAX: usize = 8 << 20;

/// As many entries are kept whatever becomes of their series: in a megabyte and a half.
const ENTRY_COUNT_KEPT: usize = 64 << 10;

/// Entries for each series that lives, beyond which some are of series that are gone: a series may have
/// several names, one in each protocol and one in each order of its labels.
const ENTRIES_PER_SERIES: u64 = 4;

/// Entries whose rows are asked for together.
const LEARN_COUNT: usize = 64;

/// Entries that come between two looks at how many series live.
const LOOK_COUNT: usize = 16 << 10;

/// Rows of a partition at most: twice what an even share of the entries takes.
const ROW_COUNT_MAX: usize = 1 << 14;

/// Of so many series and more that come in a row and are not known, most get no row of the table before
/// they come again. In another order they come by their labels a second time; fewer in a row then, and
/// get theirs.
const ROWLESS_COUNT_MIN: usize = 64;

/// Rows of a partition that grows whose entries are asked for together: each is a line at random.
const GROW_COUNT: usize = 64;

/// Who owns a series, and its id there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub shard: u16,
    pub series: SeriesId,
}

/// An entry, by the lower and the upper half of its key. The lowest id is stored as one.
type Entry = [u64; 2];

#[derive(Clone, Debug, Default)]
struct Partition {
    /// Zero: none.
    rows: Vec<u32>,
    used_count: usize,
}

/// All that is known.
#[derive(Clone, Debug)]
pub struct KnownSeries {
    pub keys: Keys,
    entries: Column<Entry>,
    partitions: Box<[Partition]>,
    pub(super) repeats: Repeats,
    /// How many entries there are when it is looked at next how many series live.
    look_at: usize,
    /// What there was when the first of the entries came.
    began: Option<SeriesCounts>,
}

/// Series of all shards: those that live, and how many were ever made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesCounts {
    pub living: u64,
    pub made: u64,
}

/// Where in the order of the entries a request is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    /// The entry that should come.
    next: usize,
    /// The one that should have come when another one came: a series that was met later stands
    /// elsewhere, and the order goes on behind it.
    other: usize,
    /// The entry that came last has no row.
    is_rowless: bool,
}

impl Cursor {
    /// The entry that came last, if it has no row: for [`KnownSeries::give_rows`].
    #[inline]
    pub fn rowless(&self, key: Key) -> Option<Rowless> {
        self.is_rowless.then(|| Rowless { key, at: self.next - 1 })
    }
}

/// An entry without a row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rowless {
    key: Key,
    at: usize,
}

/// Partition, and the key's part of an entry.
#[inline]
fn place(key: Key) -> (usize, Entry) {
    let high = (key.0 >> 64) as u64;
    let partition = (high >> (64 - PARTITION_BITS)) as usize;
    (partition, [key.0 as u64, high << 48])
}

/// The row of `row_count` where an entry belongs.
#[inline]
fn home(entry: Entry, row_count: usize) -> usize {
    (((entry[0] as u32) as u64 * row_count as u64) >> 32) as usize
}

/// The row of an entry, without its number: bits that its home does not show.
#[inline]
fn tag(entry: Entry) -> u32 {
    (entry[0] >> 32) as u32 & !NUMBER_MASK
}

/// The place of the entry that a row names.
#[inline]
fn place_of(row: u32) -> usize {
    ((row & NUMBER_MASK) - 1) as usize
}

const NUMBER_MASK: u32 = (1 << NUMBER_BITS) - 1;

/// Bits of an entry that say whose it is, and the one above them, of an entry without a row.
const OWNER_MASK: u64 = (1 << 47) - 1;
const ROWLESS: u64 = OWNER_MASK + 1;
const BESIDE_MASK: u64 = !(OWNER_MASK | ROWLESS);

/// The entry of no key.
const VOID: Entry = [0; 2];

const _: () = assert!(engine::limits::SHARD_COUNT_MAX <= 1 << 15);

/// Whose the entry is, if it is `key`'s.
#[inline]
fn owner_of(entry: Entry, key: Entry) -> Option<Owner> {
    if entry[0] != key[0] || entry[1] & BESIDE_MASK != key[1] {
        return None;
    }
    let owner = entry[1] & OWNER_MASK;
    let series = SeriesId((owner as u32).wrapping_sub(1));
    Some(Owner { shard: (owner >> 32) as u16, series })
}

impl KnownSeries {
    pub fn new(keys: Keys) -> KnownSeries {
        KnownSeries {
            keys,
            entries: Column::default(),
            partitions: vec![Partition::default(); 1 << PARTITION_BITS].into(),
            repeats: Repeats::default(),
            look_at: LOOK_COUNT,
            began: None,
        }
    }

    /// Whether [`KnownSeries::reclaim`] is to be called.
    pub fn wants_counts(&self) -> bool {
        self.began.is_none() || self.entries.len() >= self.look_at
    }

    /// Forgets all when most of the entries must be of series that are gone: when there are many for
    /// each that lives, and more than half of those that there were since the first entry are gone.
    pub fn reclaim(&mut self, now: SeriesCounts) {
        let began = *self.began.get_or_insert(now);
        self.look_at = self.entries.len() + LOOK_COUNT;
        let entry_count = self.entries.len() as u64;
        let ever = began.living.saturating_add(now.made.saturating_sub(began.made));
        let are_many = self.entries.len() > ENTRY_COUNT_KEPT
            && entry_count > ENTRIES_PER_SERIES.saturating_mul(now.living);
        if are_many && ever > now.living.saturating_mul(2) {
            self.forget_all();
            self.began = Some(now);
        }
    }

    fn forget_all(&mut self) {
        self.entries = Column::default();
        self.partitions.fill(Partition::default());
        self.look_at = LOOK_COUNT;
    }

    /// Asks for the line where the lookup of `key` starts.
    #[inline]
    pub fn prefetch(&self, key: Key) {
        let (partition, wanted) = place(key);
        let rows = &self.partitions[partition].rows;
        kernels::prefetch(rows, home(wanted, rows.len()));
    }

    /// Whose `key` is, if it comes where `cursor` has it, and moves `cursor` on.
    #[inline]
    pub fn follow(&self, cursor: &mut Cursor, key: Key) -> Option<Owner> {
        let (_, wanted) = place(key);
        let found_at = |at| {
            let entry = *self.entries.get(at)?;
            Some((owner_of(entry, wanted)?, entry[1] & ROWLESS != 0))
        };
        if let Some((owner, is_rowless)) = found_at(cursor.next) {
            cursor.next += 1;
            cursor.is_rowless = is_rowless;
            return Some(owner);
        }
        let (owner, is_rowless) = found_at(cursor.other)?;
        *cursor = Cursor { next: cursor.other + 1, other: cursor.next, is_rowless };
        Some(owner)
    }

    /// Looks `key` up, and has `cursor` go on behind it.
    #[inline]
    pub fn find(&self, cursor: &mut Cursor, key: Key) -> Option<Owner> {
        let (partition, wanted) = place(key);
        let at = self.partitions[partition].find(&self.entries, wanted)?;
        let owner = owner_of(self.entries[at], wanted)?;
        *cursor = Cursor { next: at + 1, other: cursor.next, is_rowless: false };
        Some(owner)
    }

    /// Remembers whose the series of a request are that were not known: `places` are theirs in the
    /// request, ascending, with a key and an owner each where there is one.
    ///
    /// Cost: about 20 ns for most of those that come many in a row for the first time, and 60 ns for
    /// others.
    pub fn learn(
        &mut self,
        places: &[u32],
        keys: &[Option<Key>],
        mut owner_of: impl FnMut(usize) -> Option<Owner>,
    ) {
        assert!(places.len() == keys.len());
        let mut start = 0;
        // Neighbours of the request are neighbours here.
        for in_a_row in places.chunk_by(|&place, &next| place + 1 == next) {
            let end = start + in_a_row.len();
            let are_few = in_a_row.len() < ROWLESS_COUNT_MIN;
            for group in (start..end).step_by(LEARN_COUNT) {
                let group = group..end.min(group + LEARN_COUNT);
                keys[group.clone()].iter().flatten().for_each(|&key| self.prefetch(key));
                for index in group {
                    if let (Some(key), Some(owner)) = (keys[index], owner_of(index)) {
                        self.put(key, owner, are_few || index == start || key.is_leading());
                    }
                }
            }
            start = end;
        }
    }

    /// Remembers whose `key` is; what was known of it is replaced.
    pub fn insert(&mut self, key: Key, owner: Owner) {
        self.put(key, owner, true);
    }

    fn put(&mut self, key: Key, owner: Owner, gets_row: bool) {
        let (partition, wanted) = place(key);
        let id = u64::from(owner.series.0.wrapping_add(1));
        let entry = [wanted[0], wanted[1] | u64::from(owner.shard) << 32 | id];
        if let Some(at) = self.partitions[partition].find(&self.entries, wanted) {
            self.entries[at] = entry;
            return;
        }
        if self.entries.len() == ENTRY_COUNT_MAX || self.partitions[partition].is_full() {
            self.forget_all();
        }
        if gets_row {
            self.entries.push(entry);
            self.partitions[partition].insert_row(&self.entries, self.entries.len() - 1, 0);
        } else {
            self.entries.push([entry[0], entry[1] | ROWLESS]);
        }
    }

    /// Gives rows to entries that came, and had none.
    ///
    /// Cost: about 40 ns each. Where one comes again the others do, too, so there is room for all at once.
    pub fn give_rows(&mut self, came: &mut Vec<Rowless>) {
        let expected_count = 3 * (self.entries.len() >> PARTITION_BITS) / 2;
        for came in came.chunks(LEARN_COUNT) {
            came.iter().for_each(|came| self.prefetch(came.key));
            for came in came {
                let (partition, wanted) = place(came.key);
                let partition = &mut self.partitions[partition];
                if self.entries[came.at][1] & ROWLESS == 0 || partition.is_full() {
                    continue;
                }
                if partition.find(&self.entries, wanted).is_some() {
                    // It came by its labels meanwhile, and the owner would be replaced there only.
                    self.entries[came.at] = VOID;
                    continue;
                }
                self.entries[came.at][1] &= !ROWLESS;
                partition.insert_row(&self.entries, came.at, expected_count);
            }
        }
        came.clear();
    }

    /// Samples of a request with this table of symbols had outdated owners.
    pub fn forget_repeats(&mut self, table: Key) {
        self.repeats.forget(table);
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let rows = self.partitions.iter().map(|partition| partition.rows.capacity());
        rows.sum::<usize>() * size_of::<u32>()
            + size_of_val(&*self.partitions)
            + self.entries.bytes()
            + self.repeats.bytes()
    }
}

impl Partition {
    /// Place of the entry with this half of a key.
    #[inline]
    fn find(&self, entries: &Column<Entry>, wanted: Entry) -> Option<usize> {
        let mut index = home(wanted, self.rows.len());
        // A partition without rows has no row at any index; others always have an empty one.
        while let Some(&row) = self.rows.get(index)
            && row != 0
        {
            let at = place_of(row);
            if row & !NUMBER_MASK == tag(wanted) && entries[at][0] == wanted[0] {
                return Some(at);
            }
            index = if index + 1 == self.rows.len() { 0 } else { index + 1 };
        }
        None
    }

    /// Whether another row would need more room than it may have.
    fn is_full(&self) -> bool {
        4 * (self.used_count + 1) > 3 * ROW_COUNT_MAX
    }

    /// Adds a row of one of `entries`, which has none; if more room is to be made, for `expected_count`.
    fn insert_row(&mut self, entries: &Column<Entry>, at: usize, expected_count: usize) {
        // Three quarters full: most lookups end in the line where they start. Half as much again each
        // time: of twice as much, half would mostly be empty.
        if 4 * (self.used_count + 1) > 3 * self.rows.len() {
            let grown = (self.rows.len() * 3 / 2).max(expected_count);
            let grown = grown.clamp(ROW_COUNT_MIN, ROW_COUNT_MAX);
            let former = std::mem::replace(&mut self.rows, written_zeros(grown));
            for rows in former.chunks(GROW_COUNT) {
                let rows = || rows.iter().filter(|&&row| row != 0);
                rows().for_each(|&row| entries.prefetch(place_of(row)));
                rows().for_each(|&row| self.place(row, entries[place_of(row)]));
            }
        }
        self.place(tag(entries[at]) | (at + 1) as u32, entries[at]);
        self.used_count += 1;
    }

    fn place(&mut self, row: u32, entry: Entry) {
        let mut index = home(entry, self.rows.len());
        while self.rows[index] != 0 {
            index = if index + 1 == self.rows.len() { 0 } else { index + 1 };
        }
        self.rows[index] = row;
    }
}

#[cfg(test)]
#[path = "known_series_tests.rs"]
mod tests;
