//! The label set of each series, as the ids of its pairs: a set of six labels takes 32 bytes here,
//! and some 150 as text.
//!
//! ```text
//! series -> handle -> slot   series | pair, pair, …, last pair + 2^31        words; pairs in order of names
//! ```
//!
//! A slot of a series that is gone is used again, so the memory of sets follows the series that
//! live. The handle leads back to the series, so that a table of handles finds a series and its
//! labels with one more line.

use crate::mem::slots::class_for;
use crate::mem::{Column, SlotPool};

/// Marks the last pair of a set. Ids of pairs are below.
const LAST: u32 = 1 << 31;

/// Stands for the pairs of the set without labels.
const NO_PAIRS: u32 = u32::MAX;

/// Words before the pairs.
const HEADER_WORDS: usize = 1;

/// Ids of pairs are below this.
pub(super) const PAIR_COUNT_MAX: usize = LAST as usize - 1;

#[derive(Debug, Default)]
pub(super) struct LabelSets {
    slots: SlotPool,
    /// By series: its slot plus one, zero without one.
    handles: Column<u32>,
}

impl LabelSets {
    /// Stores the set of a series whose id is beyond all others; returns its handle, which is not zero.
    pub fn insert(&mut self, series: u32, pairs: &[u32]) -> u32 {
        let words = HEADER_WORDS + pairs.len().max(1);
        let class = class_for(words).expect("a label set is smaller than the largest slot");
        let slot = self.slots.take(class);
        let room = self.slots.slot_mut(class, slot);
        room[0] = series;
        match pairs.split_last() {
            None => room[HEADER_WORDS] = NO_PAIRS,
            Some((&last, others)) => {
                debug_assert!(pairs.iter().all(|&pair| (pair as usize) < PAIR_COUNT_MAX));
                room[HEADER_WORDS..HEADER_WORDS + others.len()].copy_from_slice(others);
                room[HEADER_WORDS + others.len()] = last | LAST;
            }
        }
        self.pass_ids(series);
        assert!(self.handles.len() == series as usize, "ids ascend and are not used again");
        self.handles.push(slot + 1);
        slot + 1
    }

    /// As if series of all ids below `count` had been there.
    pub fn pass_ids(&mut self, count: u32) {
        while self.handles.len() < count as usize {
            self.handles.push(0);
            self.handles.release(self.handles.len() - 1);
        }
    }

    /// Beyond all ids that series have or had.
    pub fn id_end(&self) -> u32 {
        self.handles.len() as u32
    }

    /// Forgets the set of a series, which has one.
    pub fn remove(&mut self, series: u32) {
        let handle = std::mem::take(&mut self.handles[series as usize]);
        assert!(handle != 0, "a removed series has a label set");
        self.handles.release(series as usize);
        self.slots.release(self.slots.class_of(handle - 1), handle - 1);
    }

    /// The handle of a series' set; zero when it has none.
    #[inline]
    pub fn handle(&self, series: u32) -> u32 {
        self.handles.get(series as usize).copied().unwrap_or(0)
    }

    #[inline]
    fn slot(&self, handle: u32) -> &[u32] {
        self.slots.slot(self.slots.class_of(handle - 1), handle - 1)
    }

    /// The series whose set has this handle.
    #[inline]
    pub fn series_of(&self, handle: u32) -> u32 {
        self.slot(handle)[0]
    }

    /// The pairs of the set with this handle, in order of their names.
    #[inline]
    pub fn pairs(&self, handle: u32) -> impl Iterator<Item = u32> + '_ {
        let words = &self.slot(handle)[HEADER_WORDS..];
        let is_empty = words[0] == NO_PAIRS;
        let mut is_over = is_empty;
        words.iter().map_while(move |&word| {
            if is_over {
                return None;
            }
            is_over = word & LAST != 0;
            Some(word & !LAST)
        })
    }

    /// Asks for the line that has the handle of a series.
    #[inline]
    pub fn prefetch_handle(&self, series: u32) {
        self.handles.prefetch(series as usize);
    }

    /// Asks for the line of a set.
    #[inline]
    pub fn prefetch(&self, handle: u32) {
        self.slots.prefetch(self.slots.class_of(handle - 1), handle - 1, 0);
    }

    pub fn release_idle(&mut self) {
        self.slots.release_idle();
    }

    pub fn bytes(&self) -> usize {
        self.slots.bytes() + self.handles.bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::LabelSets;

    proptest! {
        #[test]
        fn it_is_a_map_both_ways(
            steps in prop::collection::vec((0u32..40, prop::collection::vec(0u32..9, 0..40)), 0..200),
        ) {
            let mut sets = LabelSets::default();
            let mut twin: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            let mut series_count = 0;
            for (step, pairs) in steps {
                if twin.remove(&step).is_some() {
                    sets.remove(step);
                } else {
                    series_count += step % 3;
                    let series = series_count;
                    series_count += 1;
                    let handle = sets.insert(series, &pairs);
                    prop_assert_eq!(sets.handle(series), handle);
                    twin.insert(series, pairs);
                }
                for series in 0..series_count + 2 {
                    let handle = sets.handle(series);
                    prop_assert_eq!(handle != 0, twin.contains_key(&series));
                    if let Some(pairs) = twin.get(&series) {
                        prop_assert_eq!(sets.series_of(handle), series);
                        prop_assert!(sets.pairs(handle).eq(pairs.iter().copied()));
                        sets.prefetch_handle(series);
                        sets.prefetch(handle);
                    }
                }
            }
        }
    }
}
