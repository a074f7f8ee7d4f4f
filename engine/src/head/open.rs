//! The open chunk of a series: its newest samples, not encoded yet.
//!
//! Most series are scraped on a grid, most of those repeat their value, and most others are decimals
//! that move a little. An open chunk takes only the memory that its samples differ by:
//!
//! ```text
//! Constant      equal steps, equal values   nothing: step, count and the newest sample say it all
//! Packed        equal steps, decimals       slot: differences of the decimals' integers, 1 to 10 bytes
//! PackedTimes   decimals                    slot: before each of those, how far the step was another
//! Raw           equal steps                 slot: one value (2 words) a sample
//! RawTimes      anything                    slot: first timestamp (2 words), then
//!                                           milliseconds since (1 word) and value (2) a sample
//! Histogram     no samples                  nothing: the newest one is a histogram, and aside
//! ```
//!
//! It starts constant and changes its shape when a sample breaks it. An append reads and writes the
//! 32 bytes of [`Open`] and, unless constant, one place in the slot. What is packed is read from the
//! newest sample backward (see `packed.rs`), whose integer is known from its value.

use super::packed::{self, Backward, ENTRY_BYTES_MAX};
use crate::encode::{decimal, decimal_of};
use crate::kernels;
use crate::mem::SlotPool;
use crate::mem::slots::{class_for, class_words};
use crate::model::{STALE_NAN_BITS, SeriesId};

/// Samples of a constant chunk at most. Costs no memory until it is sealed; a longer chunk makes a
/// query of its end decode more.
const CONSTANT_COUNT_MAX: u8 = 240;

/// A constant run at least this long is sealed as it is when another value breaks it: expanding it
/// would cost more than its sealed form. So is a packed one when its series ends.
const CONSTANT_COUNT_KEPT: u8 = 24;

/// Samples of a packed chunk at most. Raising it compresses a little better and lets every open
/// chunk grow by a byte or two a sample.
const PACKED_COUNT_MAX: u8 = 120;

/// Bytes of a packed chunk at most; it may be sealed earlier by them.
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

/// Words and bytes of a cache line.
const LINE_WORDS: usize = 16;
const WORD_BYTES: usize = 4;

const _: () = {
    assert!(size_of::<Open>() == 32); // Two series to a line.
    // A constant chunk that breaks, and a first chunk, always have room for one sample more.
    assert!(CONSTANT_COUNT_KEPT < RAW_COUNT_MAX / 2);
    assert!(CONSTANT_COUNT_KEPT < PACKED_COUNT_MAX / 2);
    assert!(CONSTANT_COUNT_KEPT as usize * 2 + 2 * ENTRY_BYTES_MAX < PACKED_BYTES_MAX);
    assert!(PACKED_COUNT_MAX < ASIDE);
    assert!(PACKED_BYTES_MAX <= class_words(7) * WORD_BYTES);
    assert!(RAW_COUNT_MAX as usize * RAW_WORDS == class_words(7));
    // One sample more would take the next, half again as large, class.
    assert!(
        RAW_TIMES_HEAD_WORDS + RAW_TIMES_COUNT_MAX as usize * RAW_TIMES_WORDS <= class_words(8)
    );
    assert!(8 < 1 << 4 && EXPONENT_MAX < 1 << 4); // Class and exponent share a byte.
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Shape {
    Constant,
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
pub(super) struct Open {
    /// Timestamp of the newest accepted sample; meaningless before the first one.
    pub(super) newest_ms: i64,
    /// Bits of its value: a NaN's payload carries meaning.
    pub(super) newest_bits: u64,
    /// Slot of the samples; meaningless in shapes without one.
    slot: u32,
    /// Step between samples, or the first of them if they differ; meaningless in [`Shape::RawTimes`],
    /// and with fewer than two samples.
    step_ms: u32,
    /// The head's round of the log in which this series was named last.
    pub(super) logged_in: u16,
    /// Bytes of the slot in use, in the packed shapes.
    packed_bytes: u16,
    /// Samples in the open chunk. Zero only before the first sample ever and after sealing.
    count: u8,
    /// Samples of a packed chunk at most. Smaller for a series' first chunk, and another for each:
    /// series that started together must not all be sealed in one request. With [`ASIDE`], if the
    /// series has an entry aside.
    count_max: u8,
    /// Class of the slot; above it four bits of the exponent of packed decimals.
    class_and_exponent: u8,
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
        let mut open = Open {
            newest_ms: i64::MIN,
            newest_bits: 0,
            slot: 0,
            step_ms: 0,
            logged_in: 0,
            packed_bytes: 0,
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
    pub(super) fn spread(&mut self, series: SeriesId) {
        let spread = series.0 % u32::from(PACKED_COUNT_MAX / 2);
        self.count_max = (PACKED_COUNT_MAX - spread as u8) | self.count_max & ASIDE;
    }

    pub(super) fn count(&self) -> usize {
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
        !matches!(self.shape, Shape::Constant | Shape::Histogram)
    }

    /// Words of the slot in use.
    #[inline]
    fn used_words(&self) -> usize {
        match self.shape {
            Shape::Constant | Shape::Histogram => 0,
            Shape::Packed | Shape::PackedTimes => {
                usize::from(self.packed_bytes).div_ceil(WORD_BYTES)
            }
            Shape::Raw => self.count() * RAW_WORDS,
            Shape::RawTimes => RAW_TIMES_HEAD_WORDS + self.count() * RAW_TIMES_WORDS,
        }
    }

    /// Asks for the line that the next push writes.
    #[inline]
    pub(super) fn prefetch(&self, slots: &SlotPool) {
        if self.has_slot() {
            slots.prefetch(self.class(), self.slot, self.used_words());
        }
    }

    /// Asks for the lines that a read begins with, or ends with: a short one is of the newest
    /// samples. The processor guesses the others.
    #[inline]
    pub(super) fn prefetch_samples(&self, slots: &SlotPool) {
        if self.has_slot() {
            let last = self.used_words().saturating_sub(1);
            slots.prefetch(self.class(), self.slot, 0);
            slots.prefetch(self.class(), self.slot, last.saturating_sub(LINE_WORDS));
            slots.prefetch(self.class(), self.slot, last);
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
                    Some(exponent) => {
                        self.make_packed(slots, exponent, !is_on_grid);
                        self.push_packed(slots, step_ms, bits)
                    }
                    None if is_on_grid => {
                        self.make_raw(slots);
                        self.push_raw(slots, timestamp_ms, bits)
                    }
                    None => self.make_raw_times(slots, timestamp_ms, bits),
                }
            }
            Shape::Packed => {
                self.give_times(slots);
                self.push_packed(slots, step_ms, bits)
            }
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

    /// Adds a sample to a packed chunk, whose times have the step or are kept.
    #[inline]
    fn push_packed(&mut self, slots: &mut SlotPool, step_ms: u32, bits: u64) -> Pushed {
        let exponent = self.exponent();
        let Some(integer) = decimal(f64::from_bits(bits), exponent) else {
            return self.push_odd(slots, step_ms, bits);
        };
        let start = usize::from(self.packed_bytes);
        if start + 2 * ENTRY_BYTES_MAX > PACKED_BYTES_MAX {
            return Pushed::SealFirst;
        }
        let previous = decimal_of(f64::from_bits(self.newest_bits), exponent);
        let difference = integer.wrapping_sub(previous);
        let times = match self.shape {
            Shape::PackedTimes => Some(i64::from(step_ms) - i64::from(self.step_ms)),
            _ => None,
        };
        let write = |bytes: &mut [u8], mut end| {
            if let Some(difference_ms) = times {
                end = packed::push(bytes, end, difference_ms);
            }
            packed::push(bytes, end, difference)
        };
        if start + 2 * ENTRY_BYTES_MAX <= class_words(self.class()) * WORD_BYTES {
            self.packed_bytes = write(self.bytes_mut(slots), start) as u16;
        } else {
            let mut entries = [0; 2 * ENTRY_BYTES_MAX];
            let length = write(&mut entries, 0);
            self.reserve(slots, (start + length).div_ceil(WORD_BYTES));
            self.bytes_mut(slots)[start..start + length].copy_from_slice(&entries[..length]);
            self.packed_bytes = (start + length) as u16;
        }
        let timestamp_ms = self.newest_ms.wrapping_add(i64::from(step_ms));
        self.accept(timestamp_ms, bits, self.packed_count_max())
    }

    /// Adds a value that is no decimal of the packed chunk's exponent.
    #[cold]
    fn push_odd(&mut self, slots: &mut SlotPool, step_ms: u32, bits: u64) -> Pushed {
        let is_end = bits == STALE_NAN_BITS && self.count >= CONSTANT_COUNT_KEPT;
        let is_full = self.count >= self.raw_times_count_max();
        let value = f64::from_bits(bits);
        let wider = (self.exponent() + 1..=EXPONENT_MAX).find(|&e| decimal(value, e).is_some());
        if is_end || is_full && wider.is_none() {
            return Pushed::SealFirst;
        }
        let (mut timestamps_ms, mut values) = (vec![], vec![]);
        self.read(slots, i64::MIN, &mut timestamps_ms, &mut values);
        if let Some(exponent) = wider
            && values.iter().all(|&value| decimal(value, exponent).is_some())
        {
            if self.pack(slots, exponent, &timestamps_ms, &values) {
                return self.push_packed(slots, step_ms, bits);
            }
            return Pushed::SealFirst;
        }
        if is_full {
            return Pushed::SealFirst;
        }
        let timestamp_ms = self.newest_ms.wrapping_add(i64::from(step_ms));
        if self.shape == Shape::Packed {
            self.unpack(slots, &values);
            return self.push_raw(slots, timestamp_ms, bits);
        }
        self.unpack_times(slots, &timestamps_ms, &values, timestamp_ms, bits)
    }

    /// Writes a packed chunk anew with another exponent; false, and nothing done, if it grows too long.
    fn pack(
        &mut self,
        slots: &mut SlotPool,
        exponent: u8,
        timestamps_ms: &[i64],
        values: &[f64],
    ) -> bool {
        let mut bytes = [0; PACKED_BYTES_MAX];
        let mut end = 0;
        for index in 1..values.len() {
            if end + 4 * ENTRY_BYTES_MAX > PACKED_BYTES_MAX {
                return false;
            }
            if self.shape == Shape::PackedTimes {
                let step_ms = timestamps_ms[index].wrapping_sub(timestamps_ms[index - 1]);
                end = packed::push(&mut bytes, end, step_ms - i64::from(self.step_ms));
            }
            let [before, here] = [values[index - 1], values[index]];
            let difference = decimal_of(here, exponent).wrapping_sub(decimal_of(before, exponent));
            end = packed::push(&mut bytes, end, difference);
        }
        self.put_packed(slots, &bytes[..end]);
        self.class_and_exponent = exponent << 4 | self.class();
        true
    }

    /// Makes a packed chunk of a constant one.
    fn make_packed(&mut self, slots: &mut SlotPool, exponent: u8, has_times: bool) {
        let entries = (self.count() - 1) * if has_times { 2 } else { 1 };
        self.take_slot(slots, entries.div_ceil(WORD_BYTES));
        self.class_and_exponent = exponent << 4 | self.class();
        self.shape = if has_times { Shape::PackedTimes } else { Shape::Packed };
        self.bytes_mut(slots)[..entries].fill(0); // As many differences of zero.
        self.packed_bytes = entries as u16;
    }

    /// Puts the times beside the values of a packed chunk of equal steps.
    fn give_times(&mut self, slots: &mut SlotPool) {
        let mut bytes = [0; PACKED_BYTES_MAX + 2 * PACKED_COUNT_MAX as usize];
        let mut end = 0;
        let slot: &[u8] = bytemuck::cast_slice(slots.slot(self.class(), self.slot));
        let mut rest = &slot[..usize::from(self.packed_bytes)];
        // An entry's first byte is the one without the bit.
        while let Some((&first, behind)) = rest.split_first() {
            let more = behind.iter().position(|&byte| byte & 0x80 == 0).unwrap_or(behind.len());
            bytes[end + 1] = first;
            bytes[end + 2..end + 2 + more].copy_from_slice(&behind[..more]);
            end += 2 + more;
            rest = &behind[more..];
        }
        self.put_packed(slots, &bytes[..end]);
        self.shape = Shape::PackedTimes;
    }

    /// Replaces the bytes of a packed chunk.
    fn put_packed(&mut self, slots: &mut SlotPool, bytes: &[u8]) {
        self.reserve(slots, bytes.len().div_ceil(WORD_BYTES));
        self.bytes_mut(slots)[..bytes.len()].copy_from_slice(bytes);
        self.packed_bytes = bytes.len() as u16;
    }

    /// Takes a slot of at least `words`, in place of the one that the chunk has.
    fn take_slot(&mut self, slots: &mut SlotPool, words: usize) {
        let class = class_for(words).expect("an open chunk is smaller than the largest slot");
        self.release(slots);
        self.slot = slots.take(class);
        self.set_class(class);
    }

    #[inline]
    fn push_raw(&mut self, slots: &mut SlotPool, timestamp_ms: i64, bits: u64) -> Pushed {
        let start = self.used_words();
        self.reserve(slots, start + RAW_WORDS);
        let words = &mut slots.slot_mut(self.class(), self.slot)[start..start + RAW_WORDS];
        words.copy_from_slice(&split(bits));
        self.accept(timestamp_ms, bits, self.raw_count_max())
    }

    #[inline]
    fn push_raw_times(&mut self, slots: &mut SlotPool, timestamp_ms: i64, bits: u64) -> Pushed {
        let first_ms = self.first_ms(slots);
        let Ok(since_ms) = u32::try_from(timestamp_ms.wrapping_sub(first_ms)) else {
            return Pushed::SealFirst;
        };
        let start = self.used_words();
        self.reserve(slots, start + RAW_TIMES_WORDS);
        let words = &mut slots.slot_mut(self.class(), self.slot)[start..start + RAW_TIMES_WORDS];
        let [low, high] = split(bits);
        words.copy_from_slice(&[since_ms, low, high]);
        self.accept(timestamp_ms, bits, self.raw_times_count_max())
    }

    /// Makes a raw chunk of a constant one.
    fn make_raw(&mut self, slots: &mut SlotPool) {
        let values = [f64::from_bits(self.newest_bits); CONSTANT_COUNT_KEPT as usize];
        let count = self.count();
        self.unpack(slots, &values[..count]);
    }

    /// Makes a raw chunk of `values`, which are those of this chunk of equal steps.
    fn unpack(&mut self, slots: &mut SlotPool, values: &[f64]) {
        self.take_slot(slots, (values.len() + 1) * RAW_WORDS);
        self.shape = Shape::Raw;
        let words = slots.slot_mut(self.class(), self.slot).as_chunks_mut::<RAW_WORDS>().0;
        for (words, value) in words.iter_mut().zip(values) {
            *words = split(value.to_bits());
        }
    }

    /// Makes a raw chunk with times of one of equal steps, and adds a sample.
    fn make_raw_times(&mut self, slots: &mut SlotPool, timestamp_ms: i64, bits: u64) -> Pushed {
        if self.count >= self.raw_times_count_max() {
            return Pushed::SealFirst;
        }
        let (mut timestamps_ms, mut values) = (vec![], vec![]);
        self.read(slots, i64::MIN, &mut timestamps_ms, &mut values);
        self.unpack_times(slots, &timestamps_ms, &values, timestamp_ms, bits)
    }

    /// Makes a raw chunk with times of the columns, which are this chunk's, and adds a sample.
    fn unpack_times(
        &mut self,
        slots: &mut SlotPool,
        timestamps_ms: &[i64],
        values: &[f64],
        timestamp_ms: i64,
        bits: u64,
    ) -> Pushed {
        let first_ms = timestamps_ms[0];
        if timestamp_ms.wrapping_sub(first_ms) as u64 > u64::from(u32::MAX) {
            return Pushed::SealFirst;
        }
        self.take_slot(slots, RAW_TIMES_HEAD_WORDS + (values.len() + 1) * RAW_TIMES_WORDS);
        self.shape = Shape::RawTimes;
        let slot = slots.slot_mut(self.class(), self.slot);
        let (head, rest) = slot.split_at_mut(RAW_TIMES_HEAD_WORDS);
        head.copy_from_slice(&split(first_ms as u64));
        let words = rest.as_chunks_mut::<RAW_TIMES_WORDS>().0.iter_mut();
        for (words, (&own_ms, value)) in words.zip(timestamps_ms.iter().zip(values)) {
            let [low, high] = split(value.to_bits());
            *words = [own_ms.wrapping_sub(first_ms) as u32, low, high];
        }
        self.push_raw_times(slots, timestamp_ms, bits)
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

    /// The entries of a packed chunk.
    fn backward<'s>(&self, slots: &'s SlotPool) -> Backward<'s> {
        let slot: &[u8] = bytemuck::cast_slice(slots.slot(self.class(), self.slot));
        Backward(&slot[..usize::from(self.packed_bytes)])
    }

    /// Timestamp of the first sample; the chunk is not empty.
    pub(super) fn first_ms(&self, slots: &SlotPool) -> i64 {
        match self.shape {
            Shape::RawTimes => {
                let slot = slots.slot(self.class(), self.slot);
                join([slot[0], slot[1]]) as i64
            }
            Shape::PackedTimes => {
                let (mut entries, mut first_ms) = (self.backward(slots), self.newest_ms);
                for _ in 1..self.count {
                    entries.take();
                    first_ms = first_ms.wrapping_sub(i64::from(self.step_ms) + entries.take());
                }
                first_ms
            }
            _ => {
                let steps = i64::from(self.count) - 1;
                self.newest_ms.wrapping_sub(i64::from(self.step_ms) * steps)
            }
        }
    }

    /// Appends the samples from `min_ms` on to the columns. Older ones are not touched, but in
    /// [`Shape::RawTimes`].
    pub(super) fn read(
        &self,
        slots: &SlotPool,
        min_ms: i64,
        timestamps_ms: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) {
        if self.count == 0 {
            return;
        }
        match self.shape {
            Shape::PackedTimes => {
                return self.read_packed_times(slots, min_ms, timestamps_ms, values);
            }
            Shape::RawTimes => return self.read_raw_times(slots, min_ms, timestamps_ms, values),
            _ => {}
        }
        let (count, first_ms) = (self.count(), self.first_ms(slots));
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
        match self.shape {
            Shape::Packed => self.read_packed(slots, count - skipped, values),
            Shape::Raw => {
                let words = slots.slot(self.class(), self.slot).as_chunks::<RAW_WORDS>().0;
                let words = words[skipped..count].iter();
                values.extend(words.map(|&words| f64::from_bits(join(words))));
            }
            _ => values.resize(values.len() + count - skipped, f64::from_bits(self.newest_bits)),
        }
    }

    /// Appends the newest `count` values of a packed chunk.
    fn read_packed(&self, slots: &SlotPool, count: usize, values: &mut Vec<f64>) {
        let start = values.len();
        values.resize(start + count, 0.0);
        let mut entries = self.backward(slots);
        let mut integer = decimal_of(f64::from_bits(self.newest_bits), self.exponent());
        let (first, others) = match values[start..].split_first_mut() {
            Some(read) => read,
            None => return,
        };
        for value in others.iter_mut().rev() {
            *value = f64::from_bits(integer as u64);
            integer = integer.wrapping_sub(entries.take());
        }
        *first = f64::from_bits(integer as u64);
        kernels::divide_decimals(&mut values[start..], self.exponent());
    }

    fn read_packed_times(
        &self,
        slots: &SlotPool,
        min_ms: i64,
        timestamps_ms: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) {
        let (times_start, start) = (timestamps_ms.len(), values.len());
        let mut entries = self.backward(slots);
        let mut integer = decimal_of(f64::from_bits(self.newest_bits), self.exponent());
        let mut timestamp_ms = self.newest_ms;
        for left in (0..self.count).rev() {
            if timestamp_ms < min_ms {
                break;
            }
            timestamps_ms.push(timestamp_ms);
            values.push(f64::from_bits(integer as u64));
            if left > 0 {
                integer = integer.wrapping_sub(entries.take());
                timestamp_ms = timestamp_ms.wrapping_sub(i64::from(self.step_ms) + entries.take());
            }
        }
        timestamps_ms[times_start..].reverse();
        values[start..].reverse();
        kernels::divide_decimals(&mut values[start..], self.exponent());
    }

    fn read_raw_times(
        &self,
        slots: &SlotPool,
        min_ms: i64,
        timestamps_ms: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) {
        let first_ms = self.first_ms(slots);
        let slot = &slots.slot(self.class(), self.slot)[RAW_TIMES_HEAD_WORDS..];
        for &[since_ms, low, high] in &slot.as_chunks::<RAW_TIMES_WORDS>().0[..self.count()] {
            let timestamp_ms = first_ms.wrapping_add(i64::from(since_ms));
            if min_ms <= timestamp_ms {
                timestamps_ms.push(timestamp_ms);
                values.push(f64::from_bits(join([low, high])));
            }
        }
    }

    /// Empties the chunk; the newest sample stays known.
    pub(super) fn clear(&mut self, slots: &mut SlotPool) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Open, PACKED_BYTES_MAX, Pushed};
    use crate::mem::SlotPool;
    use crate::model::{STALE_NAN_BITS, SeriesId};

    /// Values as series have them: the same, whole numbers, decimals of some digits, anything.
    fn bits() -> impl Strategy<Value = u64> {
        let decimal =
            |(integer, digits): (i64, i32)| (integer as f64 / 10f64.powi(digits)).to_bits();
        let large = (any::<i64>(), 0..2i32);
        prop_oneof![
            40 => Just(0u64),
            20 => (-500..500i64, Just(0)).prop_map(decimal),
            10 => (-100_000..100_000i64, 0..4i32).prop_map(decimal),
            2 => large.prop_map(decimal),
            1 => (any::<i64>(), 0..12i32).prop_map(decimal),
            1 => prop_oneof![Just(STALE_NAN_BITS), Just((-0.0f64).to_bits()), any::<u64>()],
        ]
    }

    fn step_ms() -> impl Strategy<Value = i64> {
        prop_oneof![
            60 => Just(15_000i64),
            2 => 14_990..15_010i64,
            1 => 1..40_000i64,
            1 => prop_oneof![Just(1i64 << 31), Just(u32::MAX.into()), Just(1i64 << 40)],
        ]
    }

    proptest! {
        #[test]
        fn what_was_pushed_is_read(
            series in any::<u32>(),
            samples in prop::collection::vec((step_ms(), bits()), 1..400),
            // Part of a chunk's samples that are read.
            part in 0.0..1.0f64,
        ) {
            let (mut slots, mut open) = (SlotPool::default(), Open::new(SeriesId(series)));
            let (mut expected_ms, mut expected): (Vec<i64>, Vec<u64>) = (vec![], vec![]);
            let mut timestamp_ms = -5;
            for (step_ms, bits) in samples {
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
                let first = (part * expected.len() as f64) as usize;
                for (from, min_ms) in [(0, i64::MIN), (first, expected_ms[first])] {
                    let (mut timestamps_ms, mut values) = (vec![], vec![]);
                    open.read(&slots, min_ms, &mut timestamps_ms, &mut values);
                    prop_assert_eq!(&timestamps_ms, &expected_ms[from..]);
                    let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
                    prop_assert_eq!(&bits, &expected[from..]);
                }
                prop_assert_eq!(open.first_ms(&slots), expected_ms[0]);
                prop_assert!(slots.live_bytes() <= PACKED_BYTES_MAX.max(768));
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

    /// Pushes `values` every `step_ms`, the first of a series; the bytes that they take.
    #[track_caller]
    fn check(values: impl IntoIterator<Item = f64>, step_ms: impl Fn(i64) -> i64, bytes: usize) {
        let (mut slots, mut open) = (SlotPool::default(), Open::new(SeriesId(0)));
        let mut timestamp_ms = 0;
        for (number, value) in (0..).zip(values) {
            timestamp_ms += step_ms(number);
            assert_eq!(open.push(&mut slots, timestamp_ms, value.to_bits()), Pushed::Done);
        }
        assert_eq!(slots.live_bytes(), bytes);
    }

    #[test]
    fn samples_take_what_they_differ_by() {
        let even = |_| 15_000;
        check([5.0; 100], even, 0);
        check((0..100).map(|n| f64::from(n % 7)), even, 128);
        check((0..100).map(|n| f64::from(n % 7) / 100.0), even, 128);
        check((0..100).map(|n| 1e9 + f64::from(n * 150)), even, 256);
        check((0..100).map(|n| f64::from(n % 7)), |n| 15_000 + n % 5, 256);
        check([5.0; 100], |n| 15_000 + n % 5, 256);
        check((0..60).map(|n| f64::from(n).sqrt()), even, 512);
        // Digits are found one after the other.
        check([1.0, 1.5, 1.25, 1.125, 1.5, 1.0], even, 32);
        // One missed scrape.
        check((0..100).map(|n| f64::from(n % 7)), |n| 15_000 * (1 + i64::from(n == 50)), 256);
    }
}
