//! The open chunk of a series: its newest samples, not encoded yet.
//!
//! Most series are scraped on a grid, and most of those repeat their value. An open chunk takes
//! only the memory that its samples differ by:
//!
//! ```text
//! Constant    equal steps, equal values     nothing: step, count and the newest sample say it all
//! Regular     equal steps                   slot: one value (2 words) a sample
//! Irregular   anything                      slot: first timestamp (2 words), then
//!                                           milliseconds since (1 word) and value (2) a sample
//! Histogram   no samples                    nothing: the newest one is a histogram, and aside
//! ```
//!
//! It starts constant and changes its shape when a sample breaks it. An append reads and writes the
//! 32 bytes of [`Open`] and, unless constant, one place in the slot.

use crate::mem::SlotPool;
use crate::mem::slots::{class_for, class_words};
use crate::model::{STALE_NAN_BITS, SeriesId};

/// Samples of a constant chunk at most. Costs no memory until it is sealed; a longer chunk makes a
/// query of its end decode more.
const CONSTANT_COUNT_MAX: u8 = 240;

/// A constant run at least this long is sealed as it is when another value breaks it: expanding it
/// would cost more than its sealed form.
const CONSTANT_COUNT_KEPT: u8 = 24;

/// Samples of the other shapes at most. Raising it compresses a little better and lets every open
/// chunk grow by eight bytes a sample.
const REGULAR_COUNT_MAX: u8 = 64;
const IRREGULAR_COUNT_MAX: u8 = 63;

/// Stands in `count_max`, see there.
const ASIDE: u8 = 0x80;

const REGULAR_WORDS: usize = 2;
const IRREGULAR_WORDS: usize = 3;
const IRREGULAR_HEAD_WORDS: usize = 2;

/// Words of a cache line.
const LINE_WORDS: usize = 16;

const _: () = {
    assert!(size_of::<Open>() == 32); // Two series to a line.
    // A constant chunk that breaks, and a first chunk, always have room for one sample more.
    assert!(CONSTANT_COUNT_KEPT < REGULAR_COUNT_MAX / 2);
    assert!(REGULAR_COUNT_MAX as usize * REGULAR_WORDS == class_words(7));
    // One sample more would take the next, half again as large, class.
    assert!(
        IRREGULAR_HEAD_WORDS + IRREGULAR_COUNT_MAX as usize * IRREGULAR_WORDS <= class_words(8)
    );
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Shape {
    Constant,
    Regular,
    Irregular,
    /// The chunk is empty and the series' newest sample is a native histogram.
    Histogram,
}

/// What an append reads and writes of its series.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Open {
    /// Timestamp of the newest accepted sample; meaningless before the first one.
    pub(super) newest_ms: i64,
    /// Bits of its value: a NaN's payload carries meaning.
    pub(super) newest_bits: u64,
    /// Slot of the samples; meaningless while constant.
    slot: u32,
    /// Step between samples; meaningless when irregular or fewer than two.
    step_ms: u32,
    /// The head's round of the log in which this series was named last.
    pub(super) logged_in: u32,
    /// Samples in the open chunk. Zero only before the first sample ever and after sealing.
    count: u8,
    /// Samples of a chunk with a slot at most. Smaller for a series' first chunk, and another for
    /// each: series that started together must not all be sealed in one request. With [`ASIDE`], if
    /// the series has an entry aside.
    count_max: u8,
    class: u8,
    shape: Shape,
}

/// What [`Open::push`] leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Nothing.
    Done,
    /// The sample is in, and the chunk is full: seal it.
    Full,
    /// The sample is not in, the chunk cannot hold it: seal, then push again.
    SealFirst,
    /// The sample is not in: it marks a series of native histograms as stale, and belongs there.
    Histogram,
}

impl Open {
    /// The open chunk of a series that is made now.
    pub(super) fn new(series: SeriesId) -> Open {
        let spread = series.0 % u32::from(REGULAR_COUNT_MAX / 2);
        Open {
            newest_ms: i64::MIN,
            newest_bits: 0,
            slot: 0,
            step_ms: 0,
            logged_in: 0,
            count: 0,
            count_max: REGULAR_COUNT_MAX - spread as u8,
            class: 0,
            shape: Shape::Constant,
        }
    }

    /// Has the series' next chunk end at another count than those of its neighbours, with which it
    /// was sealed.
    pub(super) fn spread(&mut self, series: SeriesId) {
        let spread = series.0 % u32::from(REGULAR_COUNT_MAX / 2);
        self.count_max = (REGULAR_COUNT_MAX - spread as u8) | self.count_max & ASIDE;
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.count)
    }

    #[inline]
    fn count_max(&self) -> u8 {
        self.count_max & !ASIDE
    }

    /// Whether the series has an entry aside.
    #[inline]
    pub(super) fn has_aside(&self) -> bool {
        self.count_max & ASIDE != 0
    }

    pub(super) fn set_aside(&mut self) {
        self.count_max |= ASIDE;
    }

    /// Whether the newest sample is a native histogram.
    #[inline]
    pub(super) fn is_histogram(&self) -> bool {
        self.shape == Shape::Histogram
    }

    /// The newest sample is a native histogram now; the chunk is empty.
    pub(super) fn set_histogram(&mut self, timestamp_ms: i64) {
        debug_assert!(self.count == 0);
        (self.newest_ms, self.newest_bits) = (timestamp_ms, 0);
        self.shape = Shape::Histogram;
    }

    #[inline]
    fn has_slot(&self) -> bool {
        matches!(self.shape, Shape::Regular | Shape::Irregular)
    }

    /// Words of the slot in use.
    fn used_words(&self) -> usize {
        match self.shape {
            Shape::Constant | Shape::Histogram => 0,
            Shape::Regular => self.count() * REGULAR_WORDS,
            Shape::Irregular => IRREGULAR_HEAD_WORDS + self.count() * IRREGULAR_WORDS,
        }
    }

    /// Asks for the line that the next push writes.
    #[inline]
    pub(super) fn prefetch(&self, slots: &SlotPool) {
        if self.has_slot() {
            slots.prefetch(self.class, self.slot, self.used_words());
        }
    }

    /// Asks for the lines that a read begins with, or ends with: a short one is of the newest
    /// samples. The processor guesses the others.
    #[inline]
    pub(super) fn prefetch_samples(&self, slots: &SlotPool) {
        if self.has_slot() {
            let last = self.used_words() - 1;
            slots.prefetch(self.class, self.slot, 0);
            slots.prefetch(self.class, self.slot, last.saturating_sub(LINE_WORDS));
            slots.prefetch(self.class, self.slot, last);
        }
    }

    /// Adds a sample that is newer than the newest.
    #[inline]
    pub(super) fn push(&mut self, slots: &mut SlotPool, timestamp_ms: i64, bits: u64) -> Pushed {
        if self.count == 0 {
            if self.shape == Shape::Histogram && bits == STALE_NAN_BITS {
                return Pushed::Histogram;
            }
            self.shape = Shape::Constant;
            self.step_ms = 0;
            return self.accept(timestamp_ms, bits, CONSTANT_COUNT_MAX);
        }
        let Ok(step_ms) = u32::try_from(timestamp_ms.wrapping_sub(self.newest_ms)) else {
            return Pushed::SealFirst;
        };
        let is_on_grid = self.count == 1 || step_ms == self.step_ms;
        match self.shape {
            Shape::Constant if is_on_grid && bits == self.newest_bits => {
                self.step_ms = step_ms;
                self.accept(timestamp_ms, bits, CONSTANT_COUNT_MAX)
            }
            Shape::Constant if self.count >= CONSTANT_COUNT_KEPT => Pushed::SealFirst,
            Shape::Constant if is_on_grid => {
                self.step_ms = step_ms;
                self.make_regular(slots);
                self.push_regular(slots, timestamp_ms, bits)
            }
            Shape::Regular if is_on_grid => self.push_regular(slots, timestamp_ms, bits),
            Shape::Constant | Shape::Regular => {
                let span_ms = u64::from(self.step_ms) * u64::from(self.count);
                if self.count >= self.count_max().min(IRREGULAR_COUNT_MAX)
                    || span_ms > u64::from(u32::MAX)
                {
                    return Pushed::SealFirst;
                }
                self.make_irregular(slots);
                self.push_irregular(slots, timestamp_ms, bits)
            }
            Shape::Irregular => self.push_irregular(slots, timestamp_ms, bits),
            Shape::Histogram => unreachable!("an empty chunk was handled"),
        }
    }

    #[inline]
    fn accept(&mut self, timestamp_ms: i64, bits: u64, count_max: u8) -> Pushed {
        self.newest_ms = timestamp_ms;
        self.newest_bits = bits;
        self.count += 1;
        if self.count < count_max { Pushed::Done } else { Pushed::Full }
    }

    /// Makes room for `words` in the slot.
    #[inline]
    fn reserve(&mut self, slots: &mut SlotPool, words: usize) {
        if words > class_words(self.class) {
            let used_words = self.used_words();
            self.slot = slots.resize(self.class, self.slot, used_words, self.class + 1);
            self.class += 1;
        }
    }

    #[inline]
    fn push_regular(&mut self, slots: &mut SlotPool, timestamp_ms: i64, bits: u64) -> Pushed {
        let start = self.used_words();
        self.reserve(slots, start + REGULAR_WORDS);
        let words = &mut slots.slot_mut(self.class, self.slot)[start..start + REGULAR_WORDS];
        words.copy_from_slice(&split(bits));
        self.accept(timestamp_ms, bits, self.count_max())
    }

    #[inline]
    fn push_irregular(&mut self, slots: &mut SlotPool, timestamp_ms: i64, bits: u64) -> Pushed {
        let first_ms = self.first_ms(slots);
        let Ok(since_ms) = u32::try_from(timestamp_ms.wrapping_sub(first_ms)) else {
            return Pushed::SealFirst;
        };
        let start = self.used_words();
        self.reserve(slots, start + IRREGULAR_WORDS);
        let words = &mut slots.slot_mut(self.class, self.slot)[start..start + IRREGULAR_WORDS];
        let [low, high] = split(bits);
        words.copy_from_slice(&[since_ms, low, high]);
        self.accept(timestamp_ms, bits, self.count_max().min(IRREGULAR_COUNT_MAX))
    }

    fn make_regular(&mut self, slots: &mut SlotPool) {
        let words = (self.count() + 1) * REGULAR_WORDS;
        let class = class_for(words).expect("an open chunk is smaller than the largest slot");
        let slot = slots.take(class);
        let values = slots.slot_mut(class, slot).as_chunks_mut::<REGULAR_WORDS>().0;
        values[..self.count()].fill(split(self.newest_bits));
        (self.shape, self.class, self.slot) = (Shape::Regular, class, slot);
    }

    fn make_irregular(&mut self, slots: &mut SlotPool) {
        let words = IRREGULAR_HEAD_WORDS + (self.count() + 1) * IRREGULAR_WORDS;
        let class = class_for(words).expect("an open chunk is smaller than the largest slot");
        let slot = slots.take(class);
        let first_ms = self.first_ms(slots);
        let head = split(first_ms as u64);
        slots.slot_mut(class, slot)[..IRREGULAR_HEAD_WORDS].copy_from_slice(&head);
        for index in 0..self.count() {
            let [low, high] = match self.shape {
                Shape::Regular => {
                    let values = slots.slot(self.class, self.slot).as_chunks::<REGULAR_WORDS>().0;
                    values[index]
                }
                _ => split(self.newest_bits),
            };
            let since_ms = self.step_ms * index as u32; // The caller checked the span.
            let start = IRREGULAR_HEAD_WORDS + index * IRREGULAR_WORDS;
            let words = &mut slots.slot_mut(class, slot)[start..start + IRREGULAR_WORDS];
            words.copy_from_slice(&[since_ms, low, high]);
        }
        self.release(slots);
        (self.shape, self.class, self.slot) = (Shape::Irregular, class, slot);
    }

    fn release(&mut self, slots: &mut SlotPool) {
        if self.has_slot() {
            slots.release(self.class, self.slot);
        }
    }

    /// Timestamp of the first sample; the chunk is not empty.
    pub(super) fn first_ms(&self, slots: &SlotPool) -> i64 {
        match self.shape {
            Shape::Irregular => {
                let slot = slots.slot(self.class, self.slot);
                join([slot[0], slot[1]]) as i64
            }
            _ => {
                let steps = i64::from(self.count) - 1;
                self.newest_ms.wrapping_sub(i64::from(self.step_ms) * steps)
            }
        }
    }

    /// Appends the samples from `min_ms` on to the columns. Those of equal steps that are older are
    /// not touched.
    pub(super) fn read(
        &self,
        slots: &SlotPool,
        min_ms: i64,
        timestamps_ms: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) {
        let count = self.count();
        if count == 0 {
            return;
        }
        let first_ms = self.first_ms(slots);
        if self.shape == Shape::Irregular {
            let slot = &slots.slot(self.class, self.slot)[IRREGULAR_HEAD_WORDS..];
            for &[since_ms, low, high] in &slot.as_chunks::<IRREGULAR_WORDS>().0[..count] {
                let timestamp_ms = first_ms.wrapping_add(i64::from(since_ms));
                if min_ms <= timestamp_ms {
                    timestamps_ms.push(timestamp_ms);
                    values.push(f64::from_bits(join([low, high])));
                }
            }
            return;
        }
        let step_ms = i64::from(self.step_ms);
        let skipped = match min_ms.saturating_sub(first_ms) {
            older if older > 0 && step_ms > 0 => {
                ((older - 1) / step_ms + 1).min(count as i64) as usize
            }
            older if older > 0 => count,
            _ => 0,
        };
        let read = skipped as i64..count as i64;
        timestamps_ms.extend(read.map(|n| first_ms.wrapping_add(step_ms * n)));
        if self.shape == Shape::Constant {
            values.resize(values.len() + count - skipped, f64::from_bits(self.newest_bits));
        } else {
            let words = slots.slot(self.class, self.slot).as_chunks::<REGULAR_WORDS>().0;
            values.extend(words[skipped..count].iter().map(|&words| f64::from_bits(join(words))));
        }
    }

    /// Empties the chunk; the newest sample stays known.
    pub(super) fn clear(&mut self, slots: &mut SlotPool) {
        self.release(slots);
        (self.shape, self.count, self.step_ms) = (Shape::Constant, 0, 0);
        self.count_max = REGULAR_COUNT_MAX | self.count_max & ASIDE;
    }
}

#[inline]
fn split(bits: u64) -> [u32; 2] {
    [bits as u32, (bits >> 32) as u32]
}

#[inline]
fn join([low, high]: [u32; 2]) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Open, Pushed};
    use crate::mem::SlotPool;
    use crate::model::SeriesId;

    proptest! {
        #[test]
        fn what_was_pushed_is_read(
            series in any::<u32>(),
            steps in prop::collection::vec(
                (
                    prop_oneof![8 => Just(15_000i64), 1 => 1..40_000i64, 1 => Just(1i64 << 40)],
                    prop_oneof![4 => Just(0u64), 1 => any::<u64>()],
                ),
                1..400,
            ),
        ) {
            let (mut slots, mut open) = (SlotPool::default(), Open::new(SeriesId(series)));
            let (mut expected_ms, mut expected): (Vec<i64>, Vec<u64>) = (vec![], vec![]);
            let mut timestamp_ms = -5;
            for (step_ms, bits) in steps {
                timestamp_ms += step_ms;
                let mut pushed = open.push(&mut slots, timestamp_ms, bits);
                if pushed == Pushed::SealFirst {
                    open.clear(&mut slots);
                    expected_ms.clear();
                    expected.clear();
                    pushed = open.push(&mut slots, timestamp_ms, bits);
                }
                expected_ms.push(timestamp_ms);
                expected.push(bits);
                let (mut timestamps_ms, mut values) = (vec![], vec![]);
                open.read(&slots, i64::MIN, &mut timestamps_ms, &mut values);
                prop_assert_eq!(&timestamps_ms, &expected_ms);
                let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
                prop_assert_eq!(&bits, &expected);
                prop_assert_eq!(open.first_ms(&slots), expected_ms[0]);
                match pushed {
                    Pushed::Done => {}
                    Pushed::Full => {
                        open.clear(&mut slots);
                        expected_ms.clear();
                        expected.clear();
                    }
                    _ => panic!("an empty chunk takes any sample"),
                }
            }
            open.clear(&mut slots);
            prop_assert_eq!(slots.live_bytes(), 0);
        }
    }
}
