//! From the hash of a label set to the handle of the set.
//!
//! ```text
//! 512 partitions by the mixed hash's top bits, each: rows of two words, open addressing, in a slot
//! row   tag | handle              handle zero: no series; the tag is 32 more bits of the hash
//! ```
//!
//! A partition grows alone: at ten million series that moves twenty thousand rows, where one
//! table would stall its shard for a tenth of a second. All partitions grow at about the same time; the
//! slots that they leave behind stand together, and their memory goes back with the last of them. The
//! tag holds the row's home, so neither growing nor removing asks for a hash. A lookup touches one line;
//! a whole batch prefetches them.
//!
//! Not here: the labels themselves (`index`); a match of the tag is a guess until they agree.

use crate::mem::SlotPool;
use crate::mem::slots::{class_for, class_words};

/// More partitions move fewer rows at once and cost 12 bytes each.
const PARTITION_SHIFT: u32 = 9;

const ROW_WORDS: usize = 2;

/// Rows in use, in tenths of all: of more, those that are not there would cost ten probes and more.
const USED_TENTHS_MAX: usize = 8;

/// A partition grows for a fifth more than it has. The next slot would do; but each step moves all rows and
/// touches all memory anew, and of new series a tenth of their cost was that.
const AHEAD: usize = 5;

/// Label sets whose hash is no secret may be chosen to collide; this keeps the hash's own pattern
/// (shards take some of its bits) from showing in the partitions.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Debug)]
pub(super) struct Table {
    partitions: Box<[Partition]>,
    slots: SlotPool,
}

type Row = [u32; ROW_WORDS];

const EMPTY: Row = [0; ROW_WORDS];

#[derive(Clone, Copy, Debug, Default)]
struct Partition {
    slot: u32,
    used_count: u32,
    /// Of the slot, plus one; zero while there is none.
    class_behind: u8,
}

/// Where a hash belongs: its partition and its tag.
#[inline]
fn place(hash: u64) -> (usize, u32) {
    let mixed = hash.wrapping_mul(MIX);
    ((mixed >> (64 - PARTITION_SHIFT)) as usize, (mixed >> 16) as u32)
}

/// The row of `row_count` where a tag belongs. Tags in order belong to rows in order, so that growing
/// goes through both sizes from one end to the other.
#[inline]
fn home(tag: u32, row_count: usize) -> usize {
    ((u64::from(tag) * row_count as u64) >> 32) as usize
}

/// The row behind one of `row_count`, the first behind the last.
#[inline]
fn behind(index: usize, row_count: usize) -> usize {
    if index + 1 == row_count { 0 } else { index + 1 }
}

/// Rows of a slot.
fn row_count(class: u8) -> usize {
    class_words(class) / ROW_WORDS
}

/// The class of slots for `used_count` rows.
fn class_of(used_count: usize) -> u8 {
    let rows = (10 * used_count).div_ceil(USED_TENTHS_MAX);
    class_for(rows * ROW_WORDS).expect("a partition is smaller than the largest slot")
}

impl Default for Table {
    fn default() -> Self {
        Table {
            partitions: vec![Partition::default(); 1 << PARTITION_SHIFT].into(),
            slots: SlotPool::default(),
        }
    }
}

impl Table {
    #[inline]
    fn rows(&self, partition: usize) -> &[Row] {
        let Partition { slot, class_behind, .. } = self.partitions[partition];
        match class_behind {
            0 => &[],
            behind => self.slots.slot(behind - 1, slot).as_chunks().0,
        }
    }

    #[inline]
    fn rows_mut(&mut self, partition: usize) -> &mut [Row] {
        let Partition { slot, class_behind, .. } = self.partitions[partition];
        match class_behind {
            0 => &mut [],
            behind => self.slots.slot_mut(behind - 1, slot).as_chunks_mut().0,
        }
    }

    /// Asks for the line where the lookup of `hash` starts.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let (partition, tag) = place(hash);
        let Partition { slot, class_behind, .. } = self.partitions[partition];
        if let Some(class) = class_behind.checked_sub(1) {
            self.slots.prefetch(class, slot, home(tag, row_count(class)) * ROW_WORDS);
        }
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
        let rows = self.rows(partition);
        let mut index = home(tag, rows.len());
        // A partition without rows has no row at any index; others always have an empty one.
        while let Some(&[own, handle]) = rows.get(index)
            && handle != 0
        {
            if own == tag && is_equal(handle) {
                return Some(handle);
            }
            index = behind(index, rows.len());
        }
        None
    }

    /// Makes room for `count` more, as evenly as hashes spread.
    pub(super) fn reserve(&mut self, count: usize) {
        let each = count / self.partitions.len();
        for number in 0..self.partitions.len() {
            let class = class_of(self.partitions[number].used_count as usize + each);
            if self.partitions[number].class_behind <= class {
                self.resize(number, class);
            }
        }
    }

    /// Adds `handle`, which is not zero and not in the table.
    pub(super) fn insert(&mut self, hash: u64, handle: u32) {
        assert!(handle != 0, "zero means an empty row");
        let (number, tag) = place(hash);
        let partition = &mut self.partitions[number];
        partition.used_count += 1;
        let used_count = partition.used_count as usize;
        if 10 * used_count > USED_TENTHS_MAX * self.rows(number).len() {
            self.resize(number, class_of(used_count + used_count / AHEAD));
        }
        place_row(self.rows_mut(number), [tag, handle]);
    }

    /// Removes `handle`, which is in the table.
    pub(super) fn remove(&mut self, hash: u64, handle: u32) {
        let (number, tag) = place(hash);
        remove_row(self.rows_mut(number), [tag, handle]);
        let partition = &mut self.partitions[number];
        partition.used_count -= 1;
        let used_count = partition.used_count as usize;
        // Far from both sizes, so that a row that comes and goes moves nothing.
        let class = class_of(2 * used_count);
        if 8 * used_count < self.rows(number).len()
            && class + 1 < self.partitions[number].class_behind
        {
            self.resize(number, class);
        }
    }

    /// Moves the rows of a partition to a slot of `class`, which is another one than it has.
    fn resize(&mut self, number: usize, class: u8) {
        let partition = &mut self.partitions[number];
        let Partition { slot: former, class_behind, .. } = *partition;
        (partition.slot, partition.class_behind) = (self.slots.take(class), class + 1);
        let Some(former_class) = class_behind.checked_sub(1) else {
            return self.rows_mut(number).fill(EMPTY);
        };
        let (target, source) = ((class, partition.slot), (former_class, former));
        let (source_words, target_words) = self.slots.pair_mut(source, target);
        let rows = target_words.as_chunks_mut().0;
        rows.fill(EMPTY);
        let moved = source_words.as_chunks().0.iter();
        moved.filter(|&&row| row != EMPTY).for_each(|&row| place_row(rows, row));
        self.slots.release(former_class, former);
    }

    /// Gives back memory that is kept for rows to come.
    pub(super) fn release_idle(&mut self) {
        self.slots.release_idle();
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.bytes() + size_of_val(&*self.partitions)
    }
}

/// Puts a row where there is room behind its home.
#[inline]
fn place_row(rows: &mut [Row], row: Row) {
    let mut index = home(row[0], rows.len());
    while rows[index] != EMPTY {
        index = behind(index, rows.len());
    }
    rows[index] = row;
}

/// Takes the row out and moves later ones of its run up, so that no gap stands before them.
fn remove_row(rows: &mut [Row], row: Row) {
    let row_count = rows.len();
    let mut gap = home(row[0], row_count);
    while rows[gap] != row {
        assert!(rows[gap] != EMPTY, "a removed row is in the table");
        gap = behind(gap, row_count);
    }
    rows[gap] = EMPTY;
    // How far `index` stands behind `from`, around the ring.
    let distance = |from, index| if index < from { index + row_count - from } else { index - from };
    let mut index = gap;
    loop {
        index = behind(index, row_count);
        let row = rows[index];
        if row == EMPTY {
            return;
        }
        let home = home(row[0], row_count);
        // The row may move if the gap is not before its home.
        if distance(home, gap) <= distance(home, index) {
            rows[gap] = row;
            rows[index] = EMPTY;
            gap = index;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::Table;

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
    fn the_slots_that_all_partitions_left_are_given_back() {
        let mut table = Table::default();
        let hash = |key: u64| key.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let count = 400_000;
        (0..count).for_each(|key| table.insert(hash(key), key as u32 + 1));
        // Eight bytes each, two thirds of the rows in use, and some slots of several classes.
        assert!(table.bytes() < count as usize * 12 + (3 << 20), "{}", table.bytes());
        let all = 0..count;
        assert!(all.clone().all(|key| table.candidate(hash(key)).is_some()));
        all.for_each(|key| table.remove(hash(key), key as u32 + 1));
        assert!(table.bytes() < 6 << 20, "{}", table.bytes());
    }
}
