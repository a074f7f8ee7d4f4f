//! Series that were met before, by the bytes that name them on the wire.
//!
//! A sender repeats the same label bytes with every sample. The first time they are checked, made
//! canonical, hashed and looked up; from then on a 128-bit key of the raw bytes is enough to know
//! whose they are, and a sample travels as a series id.
//!
//! ```text
//! 1024 partitions by the key's top bits, each: rows of 16 bytes, open addressing
//! row   rest of the key: 64 bits | what stands beside: 16 | shard: 16 | series id: 32
//! ```
//!
//! The key is keyed by a secret of the process, so nobody can choose bytes that collide; two series
//! of ten million meet by chance in one of four hundred million such tables. A row may be outdated: the owner says so
//! when the series is gone.

use engine::kernels;
use engine::model::SeriesId;

use super::repeats::Repeats;

/// More partitions move fewer rows at once.
const PARTITION_BITS: u32 = 10;

const ROW_COUNT_MIN: usize = 4;

/// Rows of a partition at most; a full one forgets all it knows. With 1024 partitions: 12 million
/// series in 256 MiB.
const ROW_COUNT_MAX: usize = 1 << 14;

/// Bytes of the secret that the hash function asks for.
pub const SECRET_BYTES: usize = 192;

/// Who owns a series, and its id there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub shard: u16,
    pub series: SeriesId,
}

/// A name of a series: of its label bytes, or of its symbols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key(pub(super) u128);

impl Key {
    /// The same series with `beside` beside its labels, where a change of it is to be seen: only the
    /// latest is known.
    pub fn with_beside(self, beside: Key) -> Key {
        const BESIDE: u128 = 0xffff << 64;
        Key(self.0 & !BESIDE | beside.0 & BESIDE)
    }
}

/// Makes keys.
#[derive(Clone, Debug)]
pub struct Keys {
    secret: [u8; SECRET_BYTES],
}

impl Keys {
    pub fn new(secret: [u8; SECRET_BYTES]) -> Keys {
        Keys { secret }
    }

    /// The key of `bytes`. About 15 ns for the labels of a series.
    #[inline]
    pub fn of(&self, bytes: &[u8]) -> Key {
        Key(xxhash_rust::xxh3::xxh3_128_with_secret(bytes, &self.secret))
    }

    /// 64 bits that stand for two texts, in this order. About 5 ns.
    #[inline]
    pub(super) fn content(&self, first: &[u8], second: &[u8]) -> u64 {
        let hash = |bytes| xxhash_rust::xxh3::xxh3_64_with_secret(bytes, &self.secret);
        let second = if second.is_empty() { 0 } else { hash(second).rotate_left(29) };
        hash(first).wrapping_add(second)
    }
}

/// A key of a sequence of pairs of keys: protocol 2 names labels by symbols.
///
/// Both halves are sums of products, one a pair, of name and value each shifted by their place, so
/// that the products do not wait for each other. (The scheme is NH, as in UMAC, RFC 4418; the keys
/// are random to whoever does not know the secret.)
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequence {
    sums: [u128; 2],
    place: [u64; 2],
}

/// Odd numbers without a pattern: digits of the golden ratio and of the square root of two.
const PLACE_STEPS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0x6a09_e667_f3bc_c909];

impl Sequence {
    #[inline]
    pub fn push(&mut self, name: Key, value: Key) {
        let halves = |key: Key| [key.0 as u64, (key.0 >> 64) as u64];
        let (name, value) = (halves(name), halves(value));
        for lane in 0..2 {
            let place = self.place[lane].wrapping_add(PLACE_STEPS[lane]);
            self.place[lane] = place;
            let name = name[lane].wrapping_add(place);
            let value = value[lane].wrapping_add(place.rotate_left(32));
            self.sums[lane] = self.sums[lane].wrapping_add(u128::from(name) * u128::from(value));
        }
    }

    #[inline]
    pub fn key(self) -> Key {
        let fold = |sum: u128| (sum >> 64) as u64 ^ (sum as u64).rotate_left(32);
        Key(u128::from(fold(self.sums[0])) << 64 | u128::from(fold(self.sums[1])))
    }
}

/// A row, by the lower and the upper half of its key; all zero: none. The lowest id is stored as one, so that no row is zero.
type Row = [u64; 2];

#[derive(Clone, Debug, Default)]
struct Partition {
    /// Empty, or a power of two of rows.
    rows: Vec<Row>,
    used_count: usize,
}

/// The table.
#[derive(Clone, Debug)]
pub struct KnownSeries {
    pub keys: Keys,
    partitions: Box<[Partition]>,
    pub(super) repeats: Repeats,
}

/// Partition, and the key's part of a row.
#[inline]
fn place(key: Key) -> (usize, Row) {
    let high = (key.0 >> 64) as u64;
    let partition = (high >> (64 - PARTITION_BITS)) as usize;
    (partition, [key.0 as u64, high << 48])
}

/// Where a row belongs; cut to its partition's size.
#[inline]
fn home(row: Row) -> usize {
    row[0] as usize
}

const OWNER_MASK: u64 = (1 << 48) - 1;

#[inline]
fn is_key_of(row: Row, key: Row) -> bool {
    row[0] == key[0] && row[1] & !OWNER_MASK == key[1]
}

impl KnownSeries {
    pub fn new(keys: Keys) -> KnownSeries {
        KnownSeries {
            keys,
            partitions: vec![Partition::default(); 1 << PARTITION_BITS].into(),
            repeats: Repeats::default(),
        }
    }

    /// Asks for the line where the lookup of `key` starts.
    #[inline]
    pub fn prefetch(&self, key: Key) {
        let (partition, wanted) = place(key);
        let rows = &self.partitions[partition].rows;
        kernels::prefetch(rows, home(wanted) & rows.len().wrapping_sub(1));
    }

    #[inline]
    pub fn find(&self, key: Key) -> Option<Owner> {
        let (partition, wanted) = place(key);
        let rows = &self.partitions[partition].rows;
        let mask = rows.len().wrapping_sub(1);
        let mut index = home(wanted) & mask;
        // A partition without rows has no row at any index; others always have an empty one.
        while let Some(&row) = rows.get(index)
            && row != [0, 0]
        {
            if is_key_of(row, wanted) {
                let owner = row[1] & OWNER_MASK;
                let series = SeriesId((owner as u32).wrapping_sub(1));
                return Some(Owner { shard: (owner >> 32) as u16, series });
            }
            index = (index + 1) & mask;
        }
        None
    }

    /// Remembers whose `key` is; what was known of it is replaced.
    pub fn insert(&mut self, key: Key, owner: Owner) {
        let (partition, wanted) = place(key);
        let id = u64::from(owner.series.0.wrapping_add(1));
        let row = [wanted[0], wanted[1] | u64::from(owner.shard) << 32 | id];
        self.partitions[partition].insert(row);
    }

    /// Samples of a request with this table of symbols had outdated owners.
    pub fn forget_repeats(&mut self, table: Key) {
        self.repeats.forget(table);
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let rows = self.partitions.iter().map(|partition| partition.rows.capacity());
        rows.sum::<usize>() * size_of::<Row>()
            + size_of_val(&*self.partitions)
            + self.repeats.bytes()
    }
}

impl Partition {
    fn insert(&mut self, row: Row) {
        // Three quarters full: most lookups end in the line where they start.
        if 4 * (self.used_count + 1) > 3 * self.rows.len() {
            let count = (2 * self.rows.len()).max(ROW_COUNT_MIN);
            let is_full = count > ROW_COUNT_MAX;
            let grown = vec![[0, 0]; if is_full { self.rows.len() } else { count }];
            let former = std::mem::replace(&mut self.rows, grown);
            self.used_count = 0;
            if !is_full {
                former.into_iter().filter(|row| *row != [0, 0]).for_each(|row| self.place(row));
            }
        }
        self.place(row);
    }

    fn place(&mut self, row: Row) {
        let mask = self.rows.len() - 1;
        let mut index = home(row) & mask;
        while self.rows[index] != [0, 0] {
            if self.rows[index][0] == row[0] {
                self.rows[index] = row;
                return;
            }
            index = (index + 1) & mask;
        }
        self.rows[index] = row;
        self.used_count += 1;
    }
}

#[cfg(test)]
mod tests {
    use engine::model::SeriesId;

    use super::{Key, Keys, KnownSeries, Owner, ROW_COUNT_MAX, SECRET_BYTES, Sequence};

    fn keys() -> Keys {
        Keys::new(std::array::from_fn(|index| (index * 37 + 11) as u8))
    }

    fn owner(number: u32) -> Owner {
        Owner { shard: (number % 7) as u16, series: SeriesId(number) }
    }

    #[test]
    fn it_remembers_and_replaces() {
        let (keys, mut known) = (keys(), KnownSeries::new(keys()));
        let key = |number: u32| keys.of(&number.to_le_bytes());
        for number in 0..50_000 {
            assert_eq!(known.find(key(number)), None);
            known.prefetch(key(number));
            known.insert(key(number), owner(number + 1));
            known.insert(key(number), owner(number));
        }
        assert!((0..50_000).all(|number| known.find(key(number)) == Some(owner(number))));
        assert!(known.bytes() < 50_000 * 64);
    }

    #[test]
    fn a_full_partition_starts_anew() {
        let mut known = KnownSeries::new(keys());
        let key = |number: usize| Key(number as u128); // All of one partition.
        for number in 0..2 * ROW_COUNT_MAX {
            known.insert(key(number), owner(number as u32));
            assert_eq!(known.find(key(number)), Some(owner(number as u32)));
        }
        assert_eq!(known.find(key(0)), None);
    }

    #[test]
    fn sequences_differ_by_member_place_and_length() {
        let keys = keys();
        let sequence = |members: &[&str]| {
            let mut sequence = Sequence::default();
            let mut keys = members.iter().map(|member| keys.of(member.as_bytes()));
            while let (Some(name), Some(value)) = (keys.next(), keys.next()) {
                sequence.push(name, value);
            }
            sequence.key()
        };
        let all = [
            sequence(&[]),
            sequence(&["a", "a"]),
            sequence(&["a", "b"]),
            sequence(&["b", "a"]),
            sequence(&["a", "b", "a", "b"]),
            sequence(&["a", "b", "b", "a"]),
            sequence(&["b", "a", "a", "b"]),
            sequence(&["a", "a", "b", "b"]),
        ];
        for (index, key) in all.iter().enumerate() {
            assert!(!all[..index].contains(key), "{index}");
        }
        assert_eq!(sequence(&["a", "b"]), sequence(&["a", "b"]));
        let other = Keys::new([1; SECRET_BYTES]);
        assert_ne!(other.of(b"a"), keys.of(b"a"));
    }
}
