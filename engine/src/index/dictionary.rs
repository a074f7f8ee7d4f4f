//! Names and values, each written once, with the series that have them.
//!
//! A pair is a name with one of its values; names and pairs have dense 32-bit ids, and a column
//! each for what is known about them:
//!
//! ```text
//! names   bytes | postings | pairs of the name | pair seen last
//! pairs   position of the value's bytes | postings | name | place among the pairs of the name
//! ```
//!
//! A pair without series is dropped, and its id is used again. Nothing large ever moves: columns
//! and arena grow block by block, and the table of pairs is many small ones. Names stay: they are
//! few.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::postings::{Postings, PostingsStore};
use crate::limits::LABEL_SET_BYTES_MAX;
use crate::mem::arena::ENTRY_BYTES_MAX;
use crate::mem::varint::{VARINT_BYTES_MAX, push_u64, take_u64};
use crate::mem::{ByteArena, Column};

/// Tables that the pairs are spread over. A table that grows is copied at once; more tables make
/// that shorter.
const TABLE_COUNT: usize = 64;

const _: () = assert!(LABEL_SET_BYTES_MAX + VARINT_BYTES_MAX <= ENTRY_BYTES_MAX);

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

    /// Values, each behind its length.
    values: ByteArena,
    pair_values: Column<u64>,
    /// Series that have the pair, by pair.
    pub pair_postings: Column<Postings>,
    pair_names: Column<u32>,
    /// Where the pair stands in `name_pairs` of its name, by pair.
    pair_places: Column<u32>,
    /// Ids of dropped pairs.
    pairs_free: Vec<u32>,
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
            values: ByteArena::default(),
            pair_values: Column::default(),
            pair_postings: Column::default(),
            pair_names: Column::default(),
            pair_places: Column::default(),
            pairs_free: vec![],
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
        u32::MAX as usize - self.names.len().max(self.pair_postings.len())
    }

    pub fn name(&self, name_id: u32) -> &[u8] {
        &self.names[name_id as usize]
    }

    #[inline]
    pub fn value(&self, pair_id: u32) -> &[u8] {
        let mut bytes = self.values.from(self.pair_values[pair_id as usize]);
        let length = take_u64(&mut bytes).expect("a value stands behind its length");
        &bytes[..length as usize]
    }

    pub fn find_name(&self, name: &[u8]) -> Option<u32> {
        let hash = hash(u32::MAX, name);
        let found = |entry: &Entry| entry.hash == hash && self.name(entry.id) == name;
        self.name_table.find(Entry::spread(hash), found).map(|entry| entry.id)
    }

    pub fn find_pair(&self, name_id: u32, value: &[u8]) -> Option<u32> {
        self.find_pair_hashed(name_id, value, hash(name_id, value))
    }

    #[inline]
    fn find_pair_hashed(&self, name_id: u32, value: &[u8], hash: u32) -> Option<u32> {
        let found = |entry: &Entry| {
            entry.hash == hash
                && self.pair_names[entry.id as usize] == name_id
                && self.value(entry.id) == value
        };
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

    /// The id of `value` under the name, made if need be.
    #[inline]
    pub fn pair_id(&mut self, name_id: u32, value: &[u8]) -> u32 {
        let guess = self.name_pair_last[name_id as usize];
        if guess != u32::MAX && self.value(guess) == value {
            return guess;
        }
        let hash = hash(name_id, value);
        let pair_id = match self.find_pair_hashed(name_id, value, hash) {
            Some(pair_id) => pair_id,
            None => self.add_pair(name_id, value, hash),
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

    fn add_pair(&mut self, name_id: u32, value: &[u8], hash: u32) -> u32 {
        let mut length = Vec::with_capacity(VARINT_BYTES_MAX);
        push_u64(&mut length, value.len() as u64);
        let position = self.values.push(&[&length, value], 1);
        let pairs = &mut self.name_pairs[name_id as usize];
        let place = pairs.len() as u32;
        let id = match self.pairs_free.pop() {
            Some(id) => {
                self.pair_values[id as usize] = position;
                self.pair_names[id as usize] = name_id;
                self.pair_places[id as usize] = place;
                id
            }
            None => {
                self.pair_values.push(position);
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
        let value = self.value(pair_id);
        let (hash, length) = (hash(name_id, value), value.len());
        let table = &mut self.pair_tables[table_of(hash)];
        let entry = table.find_entry(Entry::spread(hash), |entry| entry.id == pair_id);
        entry.expect("each pair is in its table").remove();
        let length_bytes = crate::mem::varint::bytes_of_u64(length as u64);
        self.values.release(self.pair_values[pair_id as usize], length_bytes + length);
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
    }

    /// Adds `series` to the postings of the name and of the pair.
    #[inline]
    pub fn push(&mut self, store: &mut PostingsStore, name_id: u32, pair_id: u32, series: u32) {
        store.push(&mut self.name_postings[name_id as usize], series);
        store.push(&mut self.pair_postings[pair_id as usize], series);
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
            + self.values.bytes()
            + self.pair_values.bytes()
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
