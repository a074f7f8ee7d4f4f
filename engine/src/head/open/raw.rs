//! Values as they are: what is no decimal.

use super::{
    CONSTANT_COUNT_KEPT, Open, Pushed, RAW_TIMES_HEAD_WORDS, RAW_TIMES_WORDS, RAW_WORDS, Shape,
    split,
};
use crate::mem::SlotPool;

impl Open {
    #[inline]
    pub(super) fn push_raw(
        &mut self,
        slots: &mut SlotPool,
        timestamp_ms: i64,
        bits: u64,
    ) -> Pushed {
        let start = self.used_words();
        self.reserve(slots, start + RAW_WORDS);
        let words = &mut slots.slot_mut(self.class(), self.slot)[start..start + RAW_WORDS];
        words.copy_from_slice(&split(bits));
        self.accept(timestamp_ms, bits, self.raw_count_max())
    }

    #[inline]
    pub(super) fn push_raw_times(
        &mut self,
        slots: &mut SlotPool,
        timestamp_ms: i64,
        bits: u64,
    ) -> Pushed {
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
    pub(super) fn make_raw(&mut self, slots: &mut SlotPool) {
        let values = [f64::from_bits(self.newest_bits); CONSTANT_COUNT_KEPT as usize];
        let count = self.count();
        self.unpack(slots, &values[..count]);
    }

    /// Makes a raw chunk of `values`, which are those of this chunk of equal steps.
    pub(super) fn unpack(&mut self, slots: &mut SlotPool, values: &[f64]) {
        self.take_slot(slots, (values.len() + 1) * RAW_WORDS);
        self.shape = Shape::Raw;
        let words = slots.slot_mut(self.class(), self.slot).as_chunks_mut::<RAW_WORDS>().0;
        for (words, value) in words.iter_mut().zip(values) {
            *words = split(value.to_bits());
        }
    }

    /// Makes a raw chunk with times of one of equal steps, and adds a sample.
    pub(super) fn make_raw_times(
        &mut self,
        slots: &mut SlotPool,
        timestamp_ms: i64,
        bits: u64,
    ) -> Pushed {
        if self.count >= self.raw_times_count_max() {
            return Pushed::SealFirst;
        }
        let (mut timestamps_ms, mut values) = (vec![], vec![]);
        self.read(slots, i64::MIN, &mut timestamps_ms, &mut values);
        self.unpack_times(slots, &timestamps_ms, &values, timestamp_ms, bits)
    }

    /// Makes a raw chunk with times of the columns, which are this chunk's, and adds a sample.
    pub(super) fn unpack_times(
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
}
