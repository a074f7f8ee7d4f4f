//! The open chunk of a series: its newest samples, not encoded yet.
//!
//! Most series are scraped on a grid, most of those repeat their value, and most others are decimals
//! that move a little. An open chunk takes only the memory that its samples differ by:
//!
//! ```text
//! Constant      equal steps, equal values   nothing: step, count and the newest sample say it all
//! Even          equal steps, decimals       slot: differences of the decimals' integers, equal bits each
//! Packed        equal steps, decimals       slot: the same, 1 to 10 bytes each, where few are large
//! PackedTimes   decimals                    slot: before each of those, how far the step was another
//! Raw           equal steps                 slot: one value (2 words) a sample
//! RawTimes      anything                    slot: first timestamp (2 words), then
//!                                           milliseconds since (1 word) and value (2) a sample
//! Histogram     no samples                  nothing: the newest one is a histogram, and aside
//! ```
//!
//! It starts constant and changes its shape when a sample breaks it. An append reads and writes the
//! 32 bytes of [`Open`] and, unless constant, one place in the slot. Differences are read from the
//! newest sample backward (see `entries.rs`), whose integer is known from its value.

mod entries;
mod even;
mod pack;
mod raw;
mod read;
#[cfg(test)]
mod tests;

use crate::encode::decimal;
use crate::mem::SlotPool;
use crate::mem::slots::{class_for, class_words};
use crate::model::{STALE_NAN_BITS, SeriesId};
use entries::ENTRY_BYTES_MAX;
use even::Coding;

/// Samples of a constant chunk at most. Costs no memory until it is sealed; a longer chunk makes a
/// query of its end decode more.
const CONSTANT_COUNT_MAX: u8 = 240;

/// A constant run at least this long is sealed as it is when another value breaks it: expanding it
/// would cost more than its sealed form. So is a packed one when its series ends.
const CONSTANT_COUNT_KEPT: u8 = 24;

/// Samples of an even or packed chunk at most. Raising it compresses a little better and lets every open
/// chunk grow by a byte or two a sample.
const PACKED_COUNT_MAX: u8 = 120;

/// Bytes of an even or packed chunk at most; it may be sealed earlier by them.
const PACKED_BYTES_MAX: usize = 512;

/// Samples of the raw shapes at most: eight bytes each, or twelve.
const RAW_COUNT_MAX: u8 = 64;
const RAW_TIMES_COUNT_MAX: u8 = 63;

/// Largest power of ten that packed decimals are multiplied by: nanoseconds.
const EXPONENT_MAX: u8 = 9;

/// Stands in `count_max`, see there.
const ASIDE: u8 = 0x80;

const RAW_WORDS: usize = 2;
const RAW_TIMES_WORDS: usize = 3;
const RAW_TIMES_HEAD_WORDS: usize = 2;

/// After so many samples it is looked at whether the slot stands in a block that most have left.
const GATHER_STEP: u8 = 2;

/// Largest class of a slot.
const CLASS_MAX: u8 = 15;

/// Words of a cache line, and bytes of a word.
const LINE_WORDS: usize = 16;
const WORD_BYTES: usize = 4;

const _: () = {
    assert!(size_of::<Open>() == 32); // Two series to a line.
    // A constant chunk that breaks, and a first chunk, always have room for one sample more.
    assert!(CONSTANT_COUNT_KEPT < RAW_COUNT_MAX / 2);
    assert!(CONSTANT_COUNT_KEPT < PACKED_COUNT_MAX / 2);
    assert!(CONSTANT_COUNT_KEPT as usize * 2 + 2 * ENTRY_BYTES_MAX < PACKED_BYTES_MAX);
    assert!(PACKED_COUNT_MAX < ASIDE);
    // Class and exponent share a byte.
    assert!(CLASS_MAX < 1 << 4 && EXPONENT_MAX < 1 << 4);
    assert!(PACKED_BYTES_MAX <= class_words(CLASS_MAX) * WORD_BYTES);
    assert!(RAW_COUNT_MAX as usize * RAW_WORDS <= class_words(CLASS_MAX));
    // One sample more would take the next class.
    assert!(
        RAW_TIMES_HEAD_WORDS + RAW_TIMES_COUNT_MAX as usize * RAW_TIMES_WORDS
            <= class_words(CLASS_MAX)
    );
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Shape {
    Constant,
    Even,
    Packed,
    PackedTimes,
    Raw,
    RawTimes,
    /// The chunk is empty and the series' newest sample is a native histogram.
    Histogram,
}

/// What an append reads and writes of its series.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(in crate::head) struct Open {
    /// Timestamp of the newest accepted sample; meaningless before the first one.
    pub(in crate::head) newest_ms: i64,
    /// Bits of its value: a NaN's payload carries meaning.
    pub(in crate::head) newest_bits: u64,
    /// Slot of the samples; meaningless in shapes without one.
    slot: u32,
    /// Step between samples, or the first of them if they differ; meaningless in [`Shape::RawTimes`],
    /// and with fewer than two samples.
    step_ms: u32,
    /// The head's round of the log in which this series was named last.
    pub(in crate::head) logged_in: u16,
    /// [`Coding`] of an even chunk; bytes of the slot in use, in the packed shapes.
    packing: u16,
    /// Samples in the open chunk. Zero only before the first sample ever and after sealing.
    count: u8,
    /// Samples of an even or packed chunk at most. Smaller for a series' first chunk, and another for each:
    /// series that started together must not all be sealed in one request. With [`ASIDE`], if the
    /// series has an entry aside.
    count_max: u8,
    /// Class of the slot; above it four bits of the exponent of the decimals.
    class_and_exponent: u8,
    shape: Shape,
}

/// What [`Open::push`] leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::head) enum Pushed {
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
    pub(in crate::head) fn new(series: SeriesId) -> Open {
        let mut open = Open {
            newest_ms: i64::MIN,
            newest_bits: 0,
            slot: 0,
            step_ms: 0,
            logged_in: 0,
            packing: 0,
            count: 0,
            count_max: 0,
            class_and_exponent: 0,
            shape: Shape::Constant,
        };
        open.spread(series);
        open
    }

    /// Has the series' next chunk end at another count than those of its neighbours, with which it
    /// was sealed.
    pub(in crate::head) fn spread(&mut self, series: SeriesId) {
        let spread = series.0 % u32::from(PACKED_COUNT_MAX / 2);
        self.count_max = (PACKED_COUNT_MAX - spread as u8) | self.count_max & ASIDE;
    }

    pub(in crate::head) fn count(&self) -> usize {
        usize::from(self.count)
    }

    #[inline]
    fn packed_count_max(&self) -> u8 {
        self.count_max & !ASIDE
    }

    /// Spread like that of packed chunks.
    #[inline]
    fn raw_count_max(&self) -> u8 {
        let share = u32::from(self.packed_count_max()) * u32::from(RAW_COUNT_MAX);
        (share / u32::from(PACKED_COUNT_MAX)) as u8
    }

    #[inline]
    fn raw_times_count_max(&self) -> u8 {
        self.raw_count_max().min(RAW_TIMES_COUNT_MAX)
    }

    #[inline]
    fn class(&self) -> u8 {
        self.class_and_exponent & 0xf
    }

    #[inline]
    fn exponent(&self) -> u8 {
        self.class_and_exponent >> 4
    }

    /// Of an even chunk.
    #[inline]
    fn coding(&self) -> Coding {
        Coding::from_bits(self.packing)
    }

    /// Whether the series has an entry aside.
    #[inline]
    pub(in crate::head) fn has_aside(&self) -> bool {
        self.count_max & ASIDE != 0
    }

    pub(in crate::head) fn set_aside(&mut self) {
        self.count_max |= ASIDE;
    }

    /// Whether the newest sample is a native histogram.
    #[inline]
    pub(in crate::head) fn is_histogram(&self) -> bool {
        self.shape == Shape::Histogram
    }

    /// The newest sample is a native histogram now; the chunk is empty.
    pub(in crate::head) fn set_histogram(&mut self, timestamp_ms: i64) {
        debug_assert!(self.count == 0);
        (self.newest_ms, self.newest_bits) = (timestamp_ms, 0);
        self.shape = Shape::Histogram;
    }

    #[inline]
    fn has_slot(&self) -> bool {
        !matches!(self.shape, Shape::Constant | Shape::Histogram)
    }

    /// Words of the slot in use.
    #[inline]
    fn used_words(&self) -> usize {
        match self.shape {
            Shape::Constant | Shape::Histogram => 0,
            Shape::Even => self.coding().words(self.count() - 1),
            Shape::Packed | Shape::PackedTimes => usize::from(self.packing).div_ceil(WORD_BYTES),
            Shape::Raw => self.count() * RAW_WORDS,
            Shape::RawTimes => RAW_TIMES_HEAD_WORDS + self.count() * RAW_TIMES_WORDS,
        }
    }

    /// Asks for the line that the next push writes.
    #[inline]
    pub(in crate::head) fn prefetch(&self, slots: &SlotPool) {
        if self.has_slot() {
            slots.prefetch(self.class(), self.slot, self.used_words());
        }
    }

    /// Asks for the lines that a read begins with, or ends with: a short one is of the newest
    /// samples. The processor guesses the others.
    #[inline]
    pub(in crate::head) fn prefetch_samples(&self, slots: &SlotPool) {
        if self.has_slot() {
            let last = self.used_words().saturating_sub(1);
            slots.prefetch(self.class(), self.slot, 0);
            slots.prefetch(self.class(), self.slot, last.saturating_sub(LINE_WORDS));
            slots.prefetch(self.class(), self.slot, last);
        }
    }

    /// Adds a sample that is newer than the newest.
    #[inline]
    pub(in crate::head) fn push(
        &mut self,
        slots: &mut SlotPool,
        timestamp_ms: i64,
        bits: u64,
    ) -> Pushed {
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
        if self.count.is_multiple_of(GATHER_STEP) && self.has_slot() {
            self.slot = slots.gather(self.class(), self.slot, self.used_words());
        }
        match self.shape {
            Shape::Constant if is_on_grid && bits == self.newest_bits => {
                self.step_ms = step_ms;
                self.accept(timestamp_ms, bits, CONSTANT_COUNT_MAX)
            }
            Shape::Even if is_on_grid => self.push_even(slots, step_ms, bits),
            Shape::Packed if is_on_grid => self.push_packed(slots, step_ms, bits),
            Shape::Raw if is_on_grid => self.push_raw(slots, timestamp_ms, bits),
            Shape::PackedTimes => self.push_packed(slots, step_ms, bits),
            Shape::RawTimes => self.push_raw_times(slots, timestamp_ms, bits),
            _ => self.push_broken(slots, step_ms, is_on_grid, bits),
        }
    }

    /// Adds a sample that the shape cannot hold.
    #[cold]
    fn push_broken(
        &mut self,
        slots: &mut SlotPool,
        step_ms: u32,
        is_on_grid: bool,
        bits: u64,
    ) -> Pushed {
        let timestamp_ms = self.newest_ms.wrapping_add(i64::from(step_ms));
        match self.shape {
            Shape::Constant if self.count >= CONSTANT_COUNT_KEPT => Pushed::SealFirst,
            Shape::Constant => {
                if is_on_grid {
                    self.step_ms = step_ms;
                }
                let pair = [self.newest_bits, bits].map(f64::from_bits);
                let holds =
                    |&exponent: &u8| pair.iter().all(|&one| decimal(one, exponent).is_some());
                match (0..=EXPONENT_MAX).find(holds) {
                    Some(exponent) if is_on_grid => {
                        self.make_even(slots, exponent);
                        self.push_even(slots, step_ms, bits)
                    }
                    Some(exponent) => {
                        self.make_packed_times(slots, exponent);
                        self.push_packed(slots, step_ms, bits)
                    }
                    None if is_on_grid => {
                        self.make_raw(slots);
                        self.push_raw(slots, timestamp_ms, bits)
                    }
                    None => self.make_raw_times(slots, timestamp_ms, bits),
                }
            }
            Shape::Even | Shape::Packed => match self.give_times(slots) {
                true => self.push_packed(slots, step_ms, bits),
                false => Pushed::SealFirst,
            },
            Shape::Raw => self.make_raw_times(slots, timestamp_ms, bits),
            Shape::PackedTimes | Shape::RawTimes | Shape::Histogram => {
                unreachable!("nothing breaks these shapes here")
            }
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
        if words > class_words(self.class()) {
            let class = class_for(words).expect("an open chunk is smaller than the largest slot");
            self.slot = slots.resize(self.class(), self.slot, self.used_words(), class);
            self.set_class(class);
        }
    }

    #[inline]
    fn set_class(&mut self, class: u8) {
        self.class_and_exponent = self.class_and_exponent & 0xf0 | class;
    }

    /// Takes a slot of at least `words`, in place of the one that the chunk has.
    fn take_slot(&mut self, slots: &mut SlotPool, words: usize) {
        let class = class_for(words).expect("an open chunk is smaller than the largest slot");
        self.release(slots);
        self.slot = slots.take(class);
        self.set_class(class);
    }

    fn release(&mut self, slots: &mut SlotPool) {
        if self.has_slot() {
            slots.release(self.class(), self.slot);
        }
    }

    /// The bytes of the slot.
    #[inline]
    fn bytes_mut<'s>(&self, slots: &'s mut SlotPool) -> &'s mut [u8] {
        bytemuck::cast_slice_mut(slots.slot_mut(self.class(), self.slot))
    }

    /// Drops the oldest samples of a constant chunk that has more; false, and nothing done, if it is
    /// another one.
    pub(in crate::head) fn forget_oldest_of_constant(&mut self, count: usize) -> bool {
        let is_one = self.shape == Shape::Constant && count < self.count();
        if is_one {
            self.count -= count as u8;
        }
        is_one
    }

    /// Empties the chunk; the newest sample stays known.
    pub(in crate::head) fn clear(&mut self, slots: &mut SlotPool) {
        self.release(slots);
        (self.shape, self.count, self.step_ms) = (Shape::Constant, 0, 0);
        self.count_max = PACKED_COUNT_MAX | self.count_max & ASIDE;
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
