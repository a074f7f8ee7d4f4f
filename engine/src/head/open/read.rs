//! Reading an open chunk, from the newest sample backward where it is packed.

use super::entries::Backward;
use super::{Open, RAW_TIMES_HEAD_WORDS, RAW_TIMES_WORDS, RAW_WORDS, Shape, join};
use crate::encode::decimal_of;
use crate::kernels;
use crate::mem::SlotPool;

impl Open {
    /// Timestamp of the first sample; the chunk is not empty.
    pub(in crate::head) fn first_ms(&self, slots: &SlotPool) -> i64 {
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

    /// The entries of a packed chunk.
    pub(super) fn backward<'s>(&self, slots: &'s SlotPool) -> Backward<'s> {
        let slot: &[u8] = bytemuck::cast_slice(slots.slot(self.class(), self.slot));
        Backward(&slot[..usize::from(self.packing)])
    }

    /// Appends the samples from `min_ms` on to the columns. Older ones are not touched, but in
    /// [`Shape::RawTimes`].
    pub(in crate::head) fn read(
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
        let read_first_ms = first_ms.wrapping_add(step_ms.wrapping_mul(skipped as i64));
        kernels::append_grid(timestamps_ms, count - skipped, read_first_ms, step_ms);
        match self.shape {
            Shape::Even | Shape::Packed => self.read_values(slots, count - skipped, values),
            Shape::Raw => {
                let words = slots.slot(self.class(), self.slot).as_chunks::<RAW_WORDS>().0;
                let words = words[skipped..count].iter();
                values.extend(words.map(|&words| f64::from_bits(join(words))));
            }
            _ => values.resize(values.len() + count - skipped, f64::from_bits(self.newest_bits)),
        }
    }

    /// Appends the newest `count` values of an even or packed chunk.
    fn read_values(&self, slots: &SlotPool, count: usize, values: &mut Vec<f64>) {
        let start = values.len();
        values.resize(start + count, 0.0);
        let out = &mut values[start..];
        if self.exponent() == 0 {
            return self.read_integers(slots, out, |integer| integer as f64);
        }
        self.read_integers(slots, out, |integer| f64::from_bits(integer as u64));
        kernels::divide_decimals(out, self.exponent());
    }

    /// Fills `out` with what `of` makes of the integers of the newest values of an even or packed chunk.
    #[inline]
    fn read_integers<T>(&self, slots: &SlotPool, out: &mut [T], of: impl Fn(i64) -> T) {
        let Some((first, others)) = out.split_first_mut() else { return };
        let mut integer = decimal_of(f64::from_bits(self.newest_bits), self.exponent());
        self.each_difference_backward(slots, others.iter_mut().rev(), |value, difference| {
            *value = of(integer);
            integer = integer.wrapping_sub(difference);
        });
        *first = of(integer);
    }

    /// Calls `take` with each of `places` and the difference that stands for it, the newest first.
    #[inline]
    pub(super) fn each_difference_backward<P>(
        &self,
        slots: &SlotPool,
        places: impl ExactSizeIterator<Item = P>,
        mut take: impl FnMut(P, i64),
    ) {
        if self.shape == Shape::Even {
            let slot: &[u8] = bytemuck::cast_slice(slots.slot(self.class(), self.slot));
            let (coding, count) = (self.coding(), self.count() - 1);
            let numbers = (count - places.len()..count).rev();
            return places.zip(numbers).for_each(|(place, number)| {
                take(place, coding.difference(coding.get(slot, number)));
            });
        }
        let mut entries = self.backward(slots);
        places.for_each(|place| take(place, entries.take()));
    }

    /// Replaces the columns by the timestamps of a chunk of decimals on equal steps, and by the
    /// integers that stand for them. Returns their exponent; `None` of a chunk of another shape.
    pub(in crate::head) fn read_decimals(
        &self,
        slots: &SlotPool,
        timestamps_ms: &mut Vec<i64>,
        integers: &mut Vec<i64>,
    ) -> Option<u8> {
        if !matches!(self.shape, Shape::Even | Shape::Packed) {
            return None;
        }
        let (first_ms, step_ms) = (self.first_ms(slots), i64::from(self.step_ms));
        timestamps_ms.clear();
        kernels::append_grid(timestamps_ms, self.count(), first_ms, step_ms);
        integers.clear();
        integers.resize(self.count(), 0);
        self.read_integers(slots, integers, |integer| integer);
        Some(self.exponent())
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
}
