//! Requests that a sender repeats: the same symbols, the same series in the same order, and only
//! times and values change.
//!
//! A table of symbols that comes a second time has a row made for each series of its request:
//!
//! ```text
//! table of symbols (its bytes, hashed)  ->  rows of 16 bytes, by the series' place in the request
//! row   what stands around the sample: hash of 64 bits | shard: 16 | series id: 32
//! ```
//!
//! From the third time on a series costs a hash of its references and a comparison with the row at
//! its place: no reference is resolved, and rows are read in order. A row that does not fit costs
//! that comparison, and the series is looked up as any other; so does every series of a sender that
//! never repeats itself.
//!
//! The hashes are keyed by a secret of the process, see `known`. A row may be outdated: the owner
//! says so when the series is gone, and the table is forgotten.

use engine::model::SeriesId;
use hashbrown::HashMap;

use super::known::{Key, Owner};
use super::proto::six_byte_varint;

/// Rows of all tables, and tables at most: 64 MiB and a few more. Tables that were not used since
/// the last time that it was too much go first.
const ROW_COUNT_MAX: usize = 1 << 22;
const TABLE_COUNT_MAX: usize = 1 << 14;

/// No series: the owner of a row that is not filled.
const NOBODY: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
struct Row {
    content: u64,
    owner: u64,
}

const EMPTY: Row = Row { content: 0, owner: NOBODY };

/// The rows of one table of symbols, by place.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    /// Whose series stands at `place`, if what stands around its sample is as before.
    #[inline]
    pub fn find(&self, place: usize, content: u64) -> Option<Owner> {
        let row = self.0.get(place)?;
        (row.content == content && row.owner != NOBODY).then_some(Owner {
            shard: (row.owner >> 32) as u16,
            series: SeriesId(row.owner as u32),
        })
    }

    /// Replaces the row at `place`.
    pub fn set(&mut self, place: usize, content: u64, owner: Owner) {
        if self.0.len() <= place {
            self.0.resize(place + 1, EMPTY);
        }
        let owner = u64::from(owner.shard) << 32 | u64::from(owner.series.0);
        self.0[place] = Row { content, owner };
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Clone, Debug, Default)]
struct Table {
    rows: Rows,
    is_used: bool,
}

/// All tables that are remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats {
    tables: HashMap<Key, Table, foldhash::fast::RandomState>,
    row_count: usize,
}

impl Repeats {
    /// Notes that the table with this key came; takes its rows if it came before.
    pub fn take(&mut self, table: Key) -> Option<Rows> {
        if let Some(table) = self.tables.get_mut(&table) {
            table.is_used = true;
            self.row_count -= table.rows.0.len();
            return Some(std::mem::take(&mut table.rows));
        }
        if self.tables.len() >= TABLE_COUNT_MAX {
            self.make_room();
        }
        self.tables.insert(table, Table::default());
        None
    }

    /// Gives back what [`Repeats::take`] took.
    pub fn put(&mut self, table: Key, rows: Rows) {
        self.row_count += rows.0.len();
        self.tables.insert(table, Table { rows, is_used: true });
        if self.row_count > ROW_COUNT_MAX {
            self.make_room();
        }
    }

    /// Some of the table's owners are outdated.
    pub fn forget(&mut self, table: Key) {
        if let Some(table) = self.tables.remove(&table) {
            self.row_count -= table.rows.0.len();
        }
    }

    /// Forgets what was not used since the last time; if that is nothing, all.
    fn make_room(&mut self) {
        let count_before = self.tables.len();
        self.tables.retain(|_, table| std::mem::take(&mut table.is_used));
        if self.tables.len() == count_before {
            self.tables.clear();
        }
        self.row_count = self.tables.values().map(|table| table.rows.0.len()).sum();
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let rows = self.tables.values().map(|table| table.rows.0.capacity());
        rows.sum::<usize>() * size_of::<Row>() + self.tables.capacity() * size_of::<(Key, Table)>()
    }
}

/// A series message of protocol 2 as encoders write it: references, one float sample without a start
/// timestamp, and whatever follows, which is metadata if anything.
pub(super) struct PlainSeries<'a> {
    pub references: &'a [u8],
    pub timestamp_ms: i64,
    pub value: f64,
    pub rest: &'a [u8],
}

/// Takes `message` apart at the borders of its fields; `None` where it looks otherwise. The sample
/// has a timestamp of six bytes (from 2004 to 2109); encoders leave out a value that is zero.
#[inline]
pub(super) fn plain_series(message: &[u8]) -> Option<PlainSeries<'_>> {
    let &[tag, length, ..] = message else { return None };
    if tag != 1 << 3 | 2 || length >= 0x80 {
        return None;
    }
    let (references, rest) = message.split_at_checked(2 + usize::from(length))?;
    if let Some((sample, rest)) = rest.split_first_chunk::<18>()
        && sample[..3] == [2 << 3 | 2, 16, 1 << 3 | 1]
        && sample[11] == 2 << 3
    {
        let timestamp_ms = six_byte_varint(sample[12..].try_into().expect("six of eighteen"))?;
        let bits = u64::from_le_bytes(sample[3..11].try_into().expect("eight of eighteen"));
        return Some(PlainSeries { references, timestamp_ms, value: f64::from_bits(bits), rest });
    }
    let (sample, rest) = rest.split_first_chunk::<9>()?;
    if sample[..3] != [2 << 3 | 2, 7, 2 << 3] {
        return None;
    }
    let timestamp_ms = six_byte_varint(sample[3..].try_into().expect("six of nine"))?;
    Some(PlainSeries { references, timestamp_ms, value: 0.0, rest })
}

#[cfg(test)]
mod tests {
    use engine::model::SeriesId;

    use super::{Key, Owner, ROW_COUNT_MAX, Repeats, Rows, TABLE_COUNT_MAX, plain_series};

    fn owner(number: u32) -> Owner {
        Owner { shard: number as u16, series: SeriesId(number) }
    }

    #[test]
    fn rows_are_of_their_place_and_content() {
        let mut rows = Rows::default();
        rows.set(2, 77, owner(5));
        assert_eq!(rows.find(2, 77), Some(owner(5)));
        for (place, content) in [(2, 78), (1, 77), (1, 0), (3, 77)] {
            assert_eq!(rows.find(place, content), None);
        }
        rows.set(2, 78, owner(6));
        assert_eq!(rows.find(2, 78), Some(owner(6)));
    }

    #[test]
    fn a_table_has_rows_from_its_second_time_on() {
        let mut repeats = Repeats::default();
        assert!(repeats.take(Key(1)).is_none());
        let mut rows = repeats.take(Key(1)).unwrap();
        assert!(rows.is_empty());
        rows.set(0, 7, owner(1));
        repeats.put(Key(1), rows);
        assert_eq!(repeats.take(Key(1)).unwrap().find(0, 7), Some(owner(1)));
        repeats.forget(Key(1));
        assert!(repeats.take(Key(1)).is_none());
    }

    #[test]
    fn what_is_used_stays_when_room_is_made() {
        let mut repeats = Repeats::default();
        let mut rows = Rows::default();
        rows.set(ROW_COUNT_MAX / 4, 7, owner(1));
        for table in 0..40 {
            repeats.take(Key(table));
            repeats.put(Key(table), rows.clone());
            assert!(repeats.row_count <= ROW_COUNT_MAX);
            if let Some(rows) = repeats.take(Key(0)) {
                repeats.put(Key(0), rows);
            }
        }
        for table in 0..4 * TABLE_COUNT_MAX as u128 {
            repeats.take(Key(1000 + table));
            assert!(repeats.tables.len() <= TABLE_COUNT_MAX);
        }
    }

    #[test]
    fn a_message_is_taken_apart_at_its_fields() {
        let timestamp = [0x81, 0x80, 0x80, 0x80, 0x80, 0x01];
        let sample = [&[0x12, 16, 9][..], &1.5f64.to_le_bytes(), &[0x10], &timestamp].concat();
        let zero = [&[0x12, 7, 0x10][..], &timestamp].concat();
        let references = [0x0a, 2, 1, 2];
        for (sample, value) in [(&sample, 1.5), (&zero, 0.0)] {
            let message = [&references[..], sample, &[0x2a, 0]].concat();
            let plain = plain_series(&message).unwrap();
            assert_eq!((plain.timestamp_ms, plain.value), (1 + (1 << 35), value));
            assert_eq!((plain.references, plain.rest), (&references[..], &[0x2a, 0][..]));
            for end in 0..references.len() + sample.len() {
                assert!(plain_series(&message[..end]).is_none(), "{end}");
            }
            let swapped = [sample, &references[..]].concat();
            assert!(plain_series(&swapped).is_none());
        }
    }
}
