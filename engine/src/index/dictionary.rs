//! Names and values, each written once, with the series that have them.
//!
//! A pair is a name with one of its values; names and pairs have dense 32-bit ids, and a column
//! each for what is known about them:
//!
//! ```text
//! names   bytes | postings | pairs of the name | pair seen last
//! pairs   position of its bytes | postings | name | place among the pairs of the name
//! ```
//!
//! The bytes of a pair are name and value, each behind its length, as they stand in a canonical label
//! set: the bytes of a set are those of its pairs one after another.
//!
//! A pair without series is dropped, and its id is used again. Nothing large ever moves: columns
//! and arena grow block by block, and the table of pairs is many small ones. Names stay: they are
//! few.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::postings::Postings;
use super::sets::PAIR_COUNT_MAX;
use crate::limits::LABEL_SET_BYTES_MAX;
use crate::mem::arena::ENTRY_BYTES_MAX;
use crate::mem::{ByteArena, Column};
use crate::model::LabelsRef;

/// Tables that the pairs are spread over. A table that grows is copied at once; more tables make
/// that shorter.
const TABLE_COUNT: usize = 64;

/// Bits of a pair's position in the arena that hold its length.
const LENGTH_BITS: u32 = 16;

/// Stands for a length that does not fit.
const LENGTH_LONG: usize = (1 << LENGTH_BITS) - 1;

const _: () = assert!(LABEL_SET_BYTES_MAX <= ENTRY_BYTES_MAX);

/// What tables hold: the id, and enough of the hash to grow without reading strings again.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    id: u32,
}

impl Entry {
    /// The hash that a table uses: the upper bits tell entries of one bucket apart.
    #[inline]
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn insert_into(self, table: &mut HashTable<Entry>) {
        table.insert_unique(Self::spread(self.hash), self, |entry| Self::spread(entry.hash));
    }
}

#[derive(Debug)]
pub(super) struct Dictionary {
    names: Vec<Box<[u8]>>,
    name_table: HashTable<Entry>,
    /// Series that have the name, by name.
    pub name_postings: Vec<Postings>,
    /// Pairs of the name, by name, in no order.
    pub name_pairs: Vec<Vec<u32>>,
    /// The pair seen last, by name: series that come together share most of their labels.
    /// `u32::MAX` for none.
    name_pair_last: Vec<u32>,

    /// Bytes of pairs.
    bytes: ByteArena,
    /// Where the pair's bytes stand, and how many they are if less than [`LENGTH_LONG`], by pair.
    pair_texts: Column<u64>,
    /// Series that have the pair, by pair.
    pub pair_postings: Column<Postings>,
    pair_names: Column<u32>,
    /// Where the pair stands in `name_pairs` of its name, by pair.
    pair_places: Column<u32>,
    /// Ids of dropped pairs.
    pairs_free: Vec<u32>,
    /// Pairs that were dropped so far.
    drop_count: u64,
    /// The pairs by hash; the lowest bits of the hash choose the table.
    pair_tables: Box<[HashTable<Entry>]>,

    /// The name seen last at each position of a label set.
    names_at: Vec<u32>,
}

impl Default for Dictionary {
    fn default() -> Self {
        Dictionary {
            names: vec![],
            name_table: HashTable::new(),
            name_postings: vec![],
            name_pairs: vec![],
            name_pair_last: vec![],
            bytes: ByteArena::default(),
            pair_texts: Column::default(),
            pair_postings: Column::default(),
            pair_names: Column::default(),
            pair_places: Column::default(),
            pairs_free: vec![],
            drop_count: 0,
            pair_tables: (0..TABLE_COUNT).map(|_| HashTable::new()).collect(),
            names_at: vec![],
        }
    }
}

impl Dictionary {
    pub fn name_count(&self) -> u32 {
        self.names.len() as u32
    }

    /// Ids of names and of pairs that are left.
    pub fn ids_free(&self) -> usize {
        PAIR_COUNT_MAX - self.names.len().max(self.pair_postings.len())
    }

    /// How often a pair was dropped so far: while that stays, an id stands for the same pair.
    pub fn drop_count(&self) -> u64 {
        self.drop_count
    }

    pub fn name(&self, name_id: u32) -> &[u8] {
        &self.names[name_id as usize]
    }

    /// Name and value of a pair, as they stand in a canonical label set.
    #[inline]
    pub fn pair(&self, pair_id: u32) -> LabelsRef<'_> {
        let text = self.pair_texts[pair_id as usize];
        let from = self.bytes.from(text >> LENGTH_BITS);
        match text as usize & LENGTH_LONG {
            LENGTH_LONG => LabelsRef::first_of(from),
            length => LabelsRef::from_canonical(&from[..length]),
        }
    }

    #[inline]
    pub fn value(&self, pair_id: u32) -> &[u8] {
        let pair = self.pair(pair_id).iter().next();
        pair.expect("a pair is one label").1
    }

    #[inline]
    pub fn name_of_pair(&self, pair_id: u32) -> u32 {
        self.pair_names[pair_id as usize]
    }

    pub fn find_name(&self, name: &[u8]) -> Option<u32> {
        let hash = hash(u32::MAX, name);
        let found = |entry: &Entry| entry.hash == hash && self.name(entry.id) == name;
        self.name_table.find(Entry::spread(hash), found).map(|entry| entry.id)
    }

    pub fn find_pair(&self, name_id: u32, value: &[u8]) -> Option<u32> {
        self.find_hashed(hash(name_id, value), |pair_id| {
            self.pair_names[pair_id as usize] == name_id && self.value(pair_id) == value
        })
    }

    /// The pair with this hash for which `is_equal` holds.
    #[inline]
    fn find_hashed(&self, hash: u32, is_equal: impl Fn(u32) -> bool) -> Option<u32> {
        let found = |entry: &Entry| entry.hash == hash && is_equal(entry.id);
        self.pair_tables[table_of(hash)].find(Entry::spread(hash), found).map(|entry| entry.id)
    }

    /// The id of `name`, which is made if need be. `position` is its place in its label set: a
    /// guess that is mostly right.
    #[inline]
    pub fn name_id(&mut self, position: usize, name: &[u8]) -> u32 {
        if let Some(&guess) = self.names_at.get(position)
            && self.name(guess) == name
        {
            return guess;
        }
        let name_id = self.find_name(name).unwrap_or_else(|| self.add_name(name));
        if self.names_at.len() <= position {
            self.names_at.resize(position + 1, name_id);
        }
        self.names_at[position] = name_id;
        name_id
    }

    /// The id of a pair, made if need be: the one label of `pair`, whose name and value are given too.
    #[inline]
    pub fn pair_id(&mut self, name_id: u32, value: &[u8], pair: LabelsRef<'_>) -> u32 {
        let guess = self.name_pair_last[name_id as usize];
        if guess != u32::MAX && self.pair(guess) == pair {
            return guess;
        }
        let hash = hash(name_id, value);
        let pair_id = match self.find_hashed(hash, |pair_id| self.pair(pair_id) == pair) {
            Some(pair_id) => pair_id,
            None => self.add_pair(name_id, pair, hash),
        };
        self.name_pair_last[name_id as usize] = pair_id;
        pair_id
    }

    fn add_name(&mut self, name: &[u8]) -> u32 {
        let id = self.name_count();
        self.names.push(name.into());
        Entry { hash: hash(u32::MAX, name), id }.insert_into(&mut self.name_table);
        self.name_postings.push(Postings::default());
        self.name_pairs.push(vec![]);
        self.name_pair_last.push(u32::MAX);
        id
    }

    fn add_pair(&mut self, name_id: u32, pair: LabelsRef<'_>, hash: u32) -> u32 {
        let bytes = pair.as_bytes();
        let position = self.bytes.push(&[bytes], 1);
        let text = position << LENGTH_BITS | bytes.len().min(LENGTH_LONG) as u64;
        let pairs = &mut self.name_pairs[name_id as usize];
        let place = pairs.len() as u32;
        let id = match self.pairs_free.pop() {
            Some(id) => {
                self.pair_texts[id as usize] = text;
                self.pair_names[id as usize] = name_id;
                self.pair_places[id as usize] = place;
                id
            }
            None => {
                self.pair_texts.push(text);
                self.pair_names.push(name_id);
                self.pair_places.push(place);
                self.pair_postings.push(Postings::default());
                self.pair_postings.len() as u32 - 1
            }
        };
        pairs.push(id);
        Entry { hash, id }.insert_into(&mut self.pair_tables[table_of(hash)]);
        id
    }

    /// Forgets a pair that has no series any more.
    pub fn drop_pair(&mut self, pair_id: u32) {
        assert!(self.pair_postings[pair_id as usize].count() == 0, "a dropped pair has no series");
        let name_id = self.pair_names[pair_id as usize];
        let hash = hash(name_id, self.value(pair_id));
        let length = self.pair(pair_id).as_bytes().len();
        let table = &mut self.pair_tables[table_of(hash)];
        let entry = table.find_entry(Entry::spread(hash), |entry| entry.id == pair_id);
        entry.expect("each pair is in its table").remove();
        self.bytes.release(self.pair_texts[pair_id as usize] >> LENGTH_BITS, length);
        let pairs = &mut self.name_pairs[name_id as usize];
        let place = self.pair_places[pair_id as usize];
        pairs.swap_remove(place as usize);
        if let Some(&moved) = pairs.get(place as usize) {
            self.pair_places[moved as usize] = place;
        }
        if self.name_pair_last[name_id as usize] == pair_id {
            self.name_pair_last[name_id as usize] = u32::MAX;
        }
        self.pairs_free.push(pair_id);
        self.drop_count += 1;
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        // Control bytes and room for growth: a table is at most seven eighths full.
        let table = |table: &HashTable<Entry>| table.capacity() * 8 / 7 * (size_of::<Entry>() + 1);
        let names: usize = self.names.iter().map(|name| name.len() + size_of_val(name)).sum();
        let lists: usize = self.name_pairs.iter().map(|pairs| 4 * pairs.capacity()).sum();
        names
            + table(&self.name_table)
            + self.name_postings.capacity() * size_of::<Postings>()
            + self.name_pairs.capacity() * size_of::<Vec<u32>>()
            + lists
            + 4 * (self.name_pair_last.capacity() + self.pairs_free.capacity())
            + self.bytes.bytes()
            + self.pair_texts.bytes()
            + self.pair_postings.bytes()
            + self.pair_names.bytes()
            + self.pair_places.bytes()
            + self.pair_tables.iter().map(table).sum::<usize>()
    }
}

/// Hash of a value under its name. The seed is fixed: tables are never written down.
#[inline]
fn hash(name_id: u32, value: &[u8]) -> u32 {
    let mut hasher = FixedState::with_seed(0x6865_6172_7468).build_hasher();
    hasher.write_u32(name_id);
    hasher.write(value);
    let hash = hasher.finish();
    (hash ^ (hash >> 32)) as u32
}

fn table_of(hash: u32) -> usize {
    hash as usize % TABLE_COUNT
}
