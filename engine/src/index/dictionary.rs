//! Names and values, each written once, with the series that have them.
//!
//! A pair is a name with one of its values; names and pairs have dense 32-bit ids, and a column
//! each for what is known about them:
//!
//! ```text
//! names   bytes, starts | postings | pairs of the name | pair seen last
//! pairs   bytes, starts | postings | name              (bytes of the value)
//! ```
//!
//! Ids are the index's own: they change when pairs without series are dropped.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::postings::{Postings, PostingsStore};

/// Byte strings end to end, by dense id.
#[derive(Debug)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    /// Where each begins, and at last where all end.
    starts: Vec<u32>,
}

impl Default for Strings {
    fn default() -> Self {
        Strings { bytes: vec![], starts: vec![0] }
    }
}

impl Strings {
    fn push(&mut self, string: &[u8]) {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        if capacity - length < string.len() {
            // An eighth instead of the whole again: the arena is large.
            self.bytes.reserve_exact((length / 8).max(4096).max(string.len()));
        }
        self.bytes.extend_from_slice(string);
        self.starts.push(self.bytes.len() as u32);
    }

    #[inline]
    pub fn get(&self, id: u32) -> &[u8] {
        let index = id as usize;
        &self.bytes[self.starts[index] as usize..self.starts[index + 1] as usize]
    }

    fn bytes(&self) -> usize {
        self.bytes.capacity() + 4 * self.starts.capacity()
    }
}

/// What tables hold: the id, and enough of the hash to grow without reading strings again.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    id: u32,
}

impl Entry {
    /// The hash that the table uses: the upper bits tell entries of one bucket apart.
    #[inline]
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Debug, Default)]
pub(super) struct Dictionary {
    names: Strings,
    name_table: HashTable<Entry>,
    /// Series that have the name, by name.
    pub name_postings: Vec<Postings>,
    /// Pairs of the name, by name; among them pairs without series.
    pub name_pairs: Vec<Vec<u32>>,
    /// The pair seen last, by name: series that come together share most of their labels.
    name_pair_last: Vec<u32>,

    values: Strings,
    pair_table: HashTable<Entry>,
    /// Series that have the pair, by pair.
    pub pair_postings: Vec<Postings>,
    pair_names: Vec<u32>,

    /// The name seen last at each position of a label set.
    names_at: Vec<u32>,
}

impl Dictionary {
    pub fn name_count(&self) -> u32 {
        self.name_postings.len() as u32
    }

    pub fn pair_count(&self) -> u32 {
        self.pair_postings.len() as u32
    }

    pub fn name(&self, name_id: u32) -> &[u8] {
        self.names.get(name_id)
    }

    #[inline]
    pub fn value(&self, pair_id: u32) -> &[u8] {
        self.values.get(pair_id)
    }

    /// Bytes that strings may still take: their positions are 32 bits.
    pub fn string_bytes_free(&self) -> usize {
        u32::MAX as usize - self.names.bytes.len().max(self.values.bytes.len())
    }

    pub fn find_name(&self, name: &[u8]) -> Option<u32> {
        let hash = hash(u32::MAX, name);
        let found = |entry: &Entry| entry.hash == hash && self.names.get(entry.id) == name;
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
                && self.values.get(entry.id) == value
        };
        self.pair_table.find(Entry::spread(hash), found).map(|entry| entry.id)
    }

    /// The id of `name`, which is made if need be. `position` is its place in its label set: a
    /// guess that is mostly right.
    #[inline]
    pub fn name_id(&mut self, position: usize, name: &[u8]) -> u32 {
        if let Some(&guess) = self.names_at.get(position)
            && self.names.get(guess) == name
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
        if guess != u32::MAX && self.values.get(guess) == value {
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
        self.names.push(name);
        let hash = hash(u32::MAX, name);
        let spread = |entry: &Entry| Entry::spread(entry.hash);
        self.name_table.insert_unique(Entry::spread(hash), Entry { hash, id }, spread);
        self.name_postings.push(Postings::default());
        self.name_pairs.push(vec![]);
        self.name_pair_last.push(u32::MAX);
        id
    }

    fn add_pair(&mut self, name_id: u32, value: &[u8], hash: u32) -> u32 {
        let id = self.pair_count();
        self.values.push(value);
        let spread = |entry: &Entry| Entry::spread(entry.hash);
        self.pair_table.insert_unique(Entry::spread(hash), Entry { hash, id }, spread);
        self.pair_postings.push(Postings::default());
        self.pair_names.push(name_id);
        self.name_pairs[name_id as usize].push(id);
        id
    }

    /// Adds `series` to the postings of the name and of the pair.
    #[inline]
    pub fn push(&mut self, store: &mut PostingsStore, name_id: u32, pair_id: u32, series: u32) {
        store.push(&mut self.name_postings[name_id as usize], series);
        store.push(&mut self.pair_postings[pair_id as usize], series);
    }

    /// The same without names and pairs that have no series; all ids change. O(pairs).
    pub fn compacted(&self) -> Dictionary {
        let mut fresh = Dictionary::default();
        for (name_id, postings) in self.name_postings.iter().enumerate() {
            if postings.count() == 0 {
                continue;
            }
            let name_fresh = fresh.add_name(self.name(name_id as u32));
            fresh.name_postings[name_fresh as usize] = *postings;
            for &pair_id in &self.name_pairs[name_id] {
                let postings = self.pair_postings[pair_id as usize];
                if postings.count() > 0 {
                    let value = self.value(pair_id);
                    let pair_fresh = fresh.add_pair(name_fresh, value, hash(name_fresh, value));
                    fresh.pair_postings[pair_fresh as usize] = postings;
                }
            }
        }
        fresh
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        // Control bytes and room for growth: a table is at most seven eighths full.
        let table = |table: &HashTable<Entry>| table.capacity() * 8 / 7 * (size_of::<Entry>() + 1);
        let postings = self.name_postings.capacity() + self.pair_postings.capacity();
        let lists: usize = self.name_pairs.iter().map(|pairs| 4 * pairs.capacity()).sum();
        self.names.bytes()
            + self.values.bytes()
            + table(&self.name_table)
            + table(&self.pair_table)
            + postings * size_of::<Postings>()
            + self.name_pairs.capacity() * size_of::<Vec<u32>>()
            + lists
            + 4 * (self.name_pair_last.capacity() + self.pair_names.capacity())
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
