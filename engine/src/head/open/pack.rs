//! Decimals as differences of their integers: equal bits each, or as many bytes as each needs, or those
//! with the times beside.

use super::entries::{self, ENTRY_BYTES_MAX};
use super::even::Coding;
use super::{
    CONSTANT_COUNT_KEPT, EXPONENT_MAX, Open, PACKED_BYTES_MAX, PACKED_COUNT_MAX, Pushed, Shape,
    WORD_BYTES,
};
use crate::encode::{decimal, decimal_of};
use crate::mem::SlotPool;
use crate::mem::slots::class_words;
use crate::model::STALE_NAN_BITS;

/// Room for the differences of a chunk.
type Differences = [i64; PACKED_COUNT_MAX as usize];

/// Bits by which equal ones may exceed entries of bytes, besides a quarter: they are found faster, and
/// what is large among the first few is often as large as those to come.
const EVEN_BITS_MORE: usize = 128;

/// Whether a chunk is better off with equal bits of each entry.
fn is_even(entry_count: usize, coding: Coding, packed_bytes: usize) -> bool {
    let (bits, packed_bits) = (entry_count * coding.width as usize, packed_bytes * 8);
    bits <= PACKED_BYTES_MAX * 8 && bits <= packed_bits + packed_bits / 4 + EVEN_BITS_MORE
}

impl Open {
    /// Adds a sample to an even chunk, whose times have the step.
    #[inline]
    pub(super) fn push_even(&mut self, slots: &mut SlotPool, step_ms: u32, bits: u64) -> Pushed {
        let exponent = self.exponent();
        let Some(integer) = decimal(f64::from_bits(bits), exponent) else {
            return self.push_odd(slots, step_ms, bits);
        };
        let previous = decimal_of(f64::from_bits(self.newest_bits), exponent);
        let difference = integer.wrapping_sub(previous);
        let (coding, number) = (self.coding(), self.count() - 1);
        let words = coding.words(number + 1);
        match coding.code(difference) {
            Some(code) if words <= PACKED_BYTES_MAX / WORD_BYTES => {
                self.reserve(slots, words);
                coding.put(self.bytes_mut(slots), number, code);
            }
            _ if !self.widen(slots, difference) => return Pushed::SealFirst,
            _ => {}
        }
        let timestamp_ms = self.newest_ms.wrapping_add(i64::from(step_ms));
        self.accept(timestamp_ms, bits, self.packed_count_max())
    }

    /// Writes the differences of an even chunk anew with one more, in the shape that is better for all;
    /// false, and nothing done, if it grows too long.
    #[cold]
    fn widen(&mut self, slots: &mut SlotPool, difference: i64) -> bool {
        let mut all: Differences = [0; _];
        let count = self.differences(slots, &mut all);
        all[count] = difference;
        self.put_differences(slots, &all[..=count])
    }

    /// Reads the differences of an even or packed chunk, the oldest first; returns how many there are.
    fn differences(&self, slots: &SlotPool, out: &mut Differences) -> usize {
        let count = self.count() - 1;
        let places = out[..count].iter_mut().rev();
        self.each_difference_backward(slots, places, |place, difference| *place = difference);
        count
    }

    /// Replaces the differences of a chunk on equal steps; false, and nothing done, if they are too long.
    fn put_differences(&mut self, slots: &mut SlotPool, differences: &[i64]) -> bool {
        let packed_bytes = differences.iter().map(|&one| entries::bytes_of(one)).sum();
        let coding = Coding::of(differences)
            .filter(|&coding| is_even(differences.len(), coding, packed_bytes));
        if let Some(coding) = coding {
            self.refit_slot(slots, coding.words(differences.len()));
            (self.shape, self.packing) = (Shape::Even, coding.to_bits());
            let bytes = self.bytes_mut(slots);
            for (number, &difference) in differences.iter().enumerate() {
                let code = coding.code(difference).expect("the coding is of all");
                coding.put(bytes, number, code);
            }
            return true;
        }
        if packed_bytes > PACKED_BYTES_MAX {
            return false;
        }
        self.refit_slot(slots, packed_bytes.div_ceil(WORD_BYTES));
        let bytes = self.bytes_mut(slots);
        differences.iter().fold(0, |end, &one| entries::push(bytes, end, one));
        (self.shape, self.packing) = (Shape::Packed, packed_bytes as u16);
        true
    }

    /// Has the chunk have a slot of at least `words`, whatever is in it.
    fn refit_slot(&mut self, slots: &mut SlotPool, words: usize) {
        if !self.has_slot() || words > class_words(self.class()) {
            self.take_slot(slots, words);
        }
    }

    /// Adds a sample to a packed chunk, whose times have the step or are kept.
    #[inline]
    pub(super) fn push_packed(&mut self, slots: &mut SlotPool, step_ms: u32, bits: u64) -> Pushed {
        let exponent = self.exponent();
        let Some(integer) = decimal(f64::from_bits(bits), exponent) else {
            return self.push_odd(slots, step_ms, bits);
        };
        let start = usize::from(self.packing);
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
                end = entries::push(bytes, end, difference_ms);
            }
            entries::push(bytes, end, difference)
        };
        if start + 2 * ENTRY_BYTES_MAX <= class_words(self.class()) * WORD_BYTES {
            self.packing = write(self.bytes_mut(slots), start) as u16;
        } else {
            let mut entries = [0; 2 * ENTRY_BYTES_MAX];
            let length = write(&mut entries, 0);
            self.reserve(slots, (start + length).div_ceil(WORD_BYTES));
            self.bytes_mut(slots)[start..start + length].copy_from_slice(&entries[..length]);
            self.packing = (start + length) as u16;
        }
        let timestamp_ms = self.newest_ms.wrapping_add(i64::from(step_ms));
        self.accept(timestamp_ms, bits, self.packed_count_max())
    }

    /// Adds a value that is no decimal of the chunk's exponent.
    #[cold]
    pub(super) fn push_odd(&mut self, slots: &mut SlotPool, step_ms: u32, bits: u64) -> Pushed {
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
            return match self.pack(slots, exponent, &timestamps_ms, &values) {
                false => Pushed::SealFirst,
                true if self.shape == Shape::Even => self.push_even(slots, step_ms, bits),
                true => self.push_packed(slots, step_ms, bits),
            };
        }
        if is_full {
            return Pushed::SealFirst;
        }
        let timestamp_ms = self.newest_ms.wrapping_add(i64::from(step_ms));
        if self.shape != Shape::PackedTimes {
            self.unpack(slots, &values);
            return self.push_raw(slots, timestamp_ms, bits);
        }
        self.unpack_times(slots, &timestamps_ms, &values, timestamp_ms, bits)
    }

    /// Writes a chunk of decimals anew with another exponent; false, and nothing done, if it grows too long.
    fn pack(
        &mut self,
        slots: &mut SlotPool,
        exponent: u8,
        timestamps_ms: &[i64],
        values: &[f64],
    ) -> bool {
        let mut all: Differences = [0; _];
        let count = values.len() - 1;
        for (difference, pair) in all.iter_mut().zip(values.windows(2)) {
            let [before, here] = [pair[0], pair[1]].map(|value| decimal_of(value, exponent));
            *difference = here.wrapping_sub(before);
        }
        let is_put = if self.shape == Shape::PackedTimes {
            let steps_ms = timestamps_ms.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
            let step_ms = i64::from(self.step_ms);
            let times = steps_ms.map(|own| own - step_ms).zip(all);
            self.put_with_times(slots, times.take(count))
        } else {
            self.put_differences(slots, &all[..count])
        };
        if is_put {
            self.class_and_exponent = exponent << 4 | self.class();
        }
        is_put
    }

    /// Replaces the entries of a packed chunk by these, of time and value, or makes it of another shape;
    /// false, and nothing done, if they are too long.
    fn put_with_times(
        &mut self,
        slots: &mut SlotPool,
        differences: impl Iterator<Item = (i64, i64)>,
    ) -> bool {
        let mut bytes = [0; PACKED_BYTES_MAX];
        let mut end = 0;
        for (difference_ms, difference) in differences {
            if end + 2 * ENTRY_BYTES_MAX > PACKED_BYTES_MAX {
                return false;
            }
            end = entries::push(&mut bytes, end, difference_ms);
            end = entries::push(&mut bytes, end, difference);
        }
        self.refit_slot(slots, end.div_ceil(WORD_BYTES));
        self.bytes_mut(slots)[..end].copy_from_slice(&bytes[..end]);
        (self.shape, self.packing) = (Shape::PackedTimes, end as u16);
        true
    }

    /// Makes an even chunk of a constant one.
    pub(super) fn make_even(&mut self, slots: &mut SlotPool, exponent: u8) {
        self.class_and_exponent = exponent << 4;
        let zeros: Differences = [0; _];
        let is_put = self.put_differences(slots, &zeros[..self.count() - 1]);
        debug_assert!(is_put, "zeros take no bits");
    }

    /// Makes a packed chunk with times of a constant one.
    pub(super) fn make_packed_times(&mut self, slots: &mut SlotPool, exponent: u8) {
        self.class_and_exponent = exponent << 4;
        let zeros = std::iter::repeat_n((0, 0), self.count() - 1);
        let is_put = self.put_with_times(slots, zeros);
        debug_assert!(is_put, "few samples are kept as they are");
    }

    /// Puts the times beside the values of a chunk of equal steps; false, and nothing done, if it grows too
    /// long.
    pub(super) fn give_times(&mut self, slots: &mut SlotPool) -> bool {
        let mut all: Differences = [0; _];
        let count = self.differences(slots, &mut all);
        self.put_with_times(slots, all[..count].iter().map(|&difference| (0, difference)))
    }
}
