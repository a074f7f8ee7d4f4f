//! Decimals as differences of their integers, on equal steps or with the times beside.

use super::entries::{self, ENTRY_BYTES_MAX};
use super::{
    CONSTANT_COUNT_KEPT, EXPONENT_MAX, Open, PACKED_BYTES_MAX, PACKED_COUNT_MAX, Pushed, Shape,
    WORD_BYTES,
};
use crate::encode::{decimal, decimal_of};
use crate::mem::SlotPool;
use crate::mem::slots::class_words;
use crate::model::STALE_NAN_BITS;

impl Open {
    /// Adds a sample to a packed chunk, whose times have the step or are kept.
    #[inline]
    pub(super) fn push_packed(&mut self, slots: &mut SlotPool, step_ms: u32, bits: u64) -> Pushed {
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
                end = entries::push(bytes, end, difference_ms);
            }
            entries::push(bytes, end, difference)
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
    pub(super) fn pack(
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
                end = entries::push(&mut bytes, end, step_ms - i64::from(self.step_ms));
            }
            let [before, here] = [values[index - 1], values[index]];
            let difference = decimal_of(here, exponent).wrapping_sub(decimal_of(before, exponent));
            end = entries::push(&mut bytes, end, difference);
        }
        self.put_packed(slots, &bytes[..end]);
        self.class_and_exponent = exponent << 4 | self.class();
        true
    }

    /// Replaces the bytes of a packed chunk.
    pub(super) fn put_packed(&mut self, slots: &mut SlotPool, bytes: &[u8]) {
        self.reserve(slots, bytes.len().div_ceil(WORD_BYTES));
        self.bytes_mut(slots)[..bytes.len()].copy_from_slice(bytes);
        self.packed_bytes = bytes.len() as u16;
    }

    /// Makes a packed chunk of a constant one.
    pub(super) fn make_packed(&mut self, slots: &mut SlotPool, exponent: u8, has_times: bool) {
        let entries = (self.count() - 1) * if has_times { 2 } else { 1 };
        self.take_slot(slots, entries.div_ceil(WORD_BYTES));
        self.class_and_exponent = exponent << 4 | self.class();
        self.shape = if has_times { Shape::PackedTimes } else { Shape::Packed };
        self.bytes_mut(slots)[..entries].fill(0); // As many differences of zero.
        self.packed_bytes = entries as u16;
    }

    /// Puts the times beside the values of a packed chunk of equal steps.
    pub(super) fn give_times(&mut self, slots: &mut SlotPool) {
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
}
