//! From the hash of a label set to the handle of the set.
//!
//! ```text
//! 512 partitions by the mixed hash's top bits, each: rows of 8 bytes, open addressing
//! row   tag: 32 | handle: 32              zero: no series; the tag is 32 more bits of the hash
//! ```
//!
//! A partition grows alone: at ten million series that moves twenty thousand rows, where one
//! table would stall its shard for a tenth of a second. The tag holds the row's home, so neither
//! growing nor removing asks for a hash. A lookup touches one line; a whole batch prefetches them.
//!
//! Not here: the labels themselves (`index`); a match of the tag is a guess until they agree.

use crate::kernels;
use crate::mem::written_zeros;

/// More partitions move fewer rows at once and cost 32 bytes each.
const PARTITION_SHIFT: u32 = 9;

/// Rows of a partition that has any.
const ROW_COUNT_MIN: usize = 8;

/// Label sets whose hash is no secret may be chosen to collide; this keeps the hash's own pattern
/// (shards take some of its bits) from showing in the partitions.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Debug)]
pub(super) struct Table {
    partitions: Box<[Partition]>,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    /// Empty, or as many as [`fitting`] says.
    rows: Vec<u64>,
    used_count: usize,
}

/// Where a hash belongs: its partition and its tag.
#[inline]
fn place(hash: u64) -> (usize, u32) {
    let mixed = hash.wrapping_mul(MIX);
    ((mixed >> (64 - PARTITION_SHIFT)) as usize, (mixed >> 16) as u32)
}

#[inline]
fn row_of(tag: u32, handle: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(handle)
}

#[inline]
fn tag_of(row: u64) -> u32 {
    (row >> 32) as u32
}

#[inline]
fn handle_of(row: u64) -> u32 {
    row as u32
}

/// The row of `row_count` where a tag belongs. Tags in order belong to rows in order, so that growing
/// goes through both sizes from one end to the other.
#[inline]
fn home(tag: u32, row_count: usize) -> usize {
    ((u64::from(tag) * row_count as u64) >> 32) as usize
}

/// Rows for `used_count` of them, three quarters full at most: one probe in two stays in its line. Powers
/// of two and the numbers half way between: of twice as much, half would mostly be empty.
fn fitting(used_count: usize) -> usize {
    let least = (4 * used_count).div_ceil(3).max(ROW_COUNT_MIN);
    let power = least.next_power_of_two();
    if least <= power / 4 * 3 { power / 4 * 3 } else { power }
}

impl Default for Table {
    fn default() -> Self {
        Table { partitions: vec![Partition::default(); 1 << PARTITION_SHIFT].into() }
    }
}

impl Table {
    /// Asks for the line where the lookup of `hash` starts.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let (partition, tag) = place(hash);
        let rows = &self.partitions[partition].rows;
        kernels::prefetch(rows, home(tag, rows.len()));
    }

    /// The handle of the first row whose tag fits; its labels are probably the right ones.
    #[inline]
    pub(super) fn candidate(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// The handle with a fitting tag for which `is_equal` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_equal: impl Fn(u32) -> bool) -> Option<u32> {
        let (partition, tag) = place(hash);
        let rows = &self.partitions[partition].rows;
        let mut index = home(tag, rows.len());
        // A partition without rows has no row at any index; others always have an empty one.
        while let Some(&row) = rows.get(index)
            && row != 0
        {
            if tag_of(row) == tag && is_equal(handle_of(row)) {
                return Some(handle_of(row));
            }
            index = behind(index, rows.len());
        }
        None
    }

    /// Makes room for `count` more, as evenly as hashes spread.
    pub(super) fn reserve(&mut self, count: usize) {
        let each = count / self.partitions.len();
        for partition in &mut self.partitions {
            let row_count = fitting(partition.used_count + each);
            if row_count > partition.rows.len().max(ROW_COUNT_MIN) {
                partition.resize(row_count);
            }
        }
    }

    /// Adds `handle`, which is not zero and not in the table.
    pub(super) fn insert(&mut self, hash: u64, handle: u32) {
        assert!(handle != 0, "zero means an empty row");
        let (partition, tag) = place(hash);
        self.partitions[partition].insert(row_of(tag, handle));
    }

    /// Removes `handle`, which is in the table.
    pub(super) fn remove(&mut self, hash: u64, handle: u32) {
        let (partition, tag) = place(hash);
        self.partitions[partition].remove(row_of(tag, handle));
    }

    pub(super) fn bytes(&self) -> usize {
        let rows: usize = self.partitions.iter().map(|partition| partition.rows.len() * 8).sum();
        rows + size_of_val(&*self.partitions)
    }
}

/// The row behind one of `row_count`, the first behind the last.
#[inline]
fn behind(index: usize, row_count: usize) -> usize {
    if index + 1 == row_count { 0 } else { index + 1 }
}

impl Partition {
    fn insert(&mut self, row: u64) {
        if 4 * (self.used_count + 1) > 3 * self.rows.len() {
            self.resize(fitting(self.used_count + 1));
        }
        self.place_row(row);
        self.used_count += 1;
    }

    fn resize(&mut self, row_count: usize) {
        for row in std::mem::replace(&mut self.rows, written_zeros(row_count)) {
            if row != 0 {
                self.place_row(row);
            }
        }
    }

    fn place_row(&mut self, row: u64) {
        let mut index = home(tag_of(row), self.rows.len());
        while self.rows[index] != 0 {
            index = behind(index, self.rows.len());
        }
        self.rows[index] = row;
    }

    /// Takes the row out and moves later ones of its run up, so that no gap stands before them.
    fn remove(&mut self, row: u64) {
        let mut gap = home(tag_of(row), self.rows.len());
        while self.rows[gap] != row {
            assert!(self.rows[gap] != 0, "a removed row is in the table");
            gap = behind(gap, self.rows.len());
        }
        self.rows[gap] = 0;
        self.used_count -= 1;
        self.close_gap(gap);
        // Far from both sizes, so that a row that comes and goes moves nothing.
        if ROW_COUNT_MIN < self.rows.len() && 8 * self.used_count < self.rows.len() {
            self.resize(fitting(2 * self.used_count));
        }
    }

    fn close_gap(&mut self, mut gap: usize) {
        let row_count = self.rows.len();
        // How far `index` stands behind `from`, around the ring.
        let distance =
            |from, index| if index < from { index + row_count - from } else { index - from };
        let mut index = gap;
        loop {
            index = behind(index, row_count);
            let row = self.rows[index];
            if row == 0 {
                return;
            }
            let home = home(tag_of(row), row_count);
            // The row may move if the gap is not before its home.
            if distance(home, gap) <= distance(home, index) {
                self.rows[gap] = row;
                self.rows[index] = 0;
                gap = index;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::{ROW_COUNT_MIN, Table, fitting};

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0u64..300, any::<bool>()), 0..2000)) {
            // A multiplier that leaves the partition alone crowds few partitions with long runs.
            let hash = |key: u64| key.wrapping_mul(1 << 50 | 1);
            let mut table = Table::default();
            let mut twin: BTreeMap<u64, u32> = BTreeMap::new();
            for (key, is_insert) in steps {
                if is_insert && !twin.contains_key(&key) {
                    table.insert(hash(key), key as u32 + 1);
                    twin.insert(key, key as u32 + 1);
                } else if !is_insert && let Some(handle) = twin.remove(&key) {
                    table.remove(hash(key), handle);
                }
                prop_assert_eq!(
                    table.find(hash(key), |handle| u64::from(handle) == key + 1),
                    twin.get(&key).copied()
                );
            }
            for key in 0..300u64 {
                let found = table.find(hash(key), |handle| u64::from(handle) == key + 1);
                prop_assert_eq!(found, twin.get(&key).copied());
                table.prefetch(hash(key));
            }
        }
    }

    #[test]
    fn rows_are_at_least_half_used_when_they_are_made() {
        for used_count in 1..5000 {
            let row_count = fitting(used_count);
            assert!(4 * used_count <= 3 * row_count);
            assert!(row_count == ROW_COUNT_MIN || 2 * used_count + 1 >= row_count);
        }
    }
}
