//! Start timestamps within chunks that know them.
//!
//! ```text
//! header   bit 7: the first sample has one | bits 0..7: the sample from which on they are written
//! first    time - start: varint
//! second, from the change on   time of the sample before - start, then the change of that
//! ```
//!
//! Until the change, all samples have the start of the first. From sample 127 on they are written in
//! any case, because a later number does not fit the header.
//!
//! Source: Prometheus `tsdb/chunkenc/{st,xor2}.go`.

use super::bits::{BitReader, BitWriter};

const FIRST_KNOWN: u8 = 0x80;
const CHANGE_MAX: usize = 0x7f;

#[derive(Debug)]
pub(super) struct StartsReader {
    header: u8,
    start_ms: i64,
    /// Time of the sample before, less the start.
    age_ms: i64,
}

impl StartsReader {
    pub fn new(header: u8) -> StartsReader {
        StartsReader { header, start_ms: 0, age_ms: 0 }
    }

    /// Whether any sample of the chunk has a start.
    pub fn has_any(&self) -> bool {
        self.header != 0
    }

    /// Of the sample that was read last; zero: unknown.
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// Reads what stands behind sample `index`.
    #[inline]
    pub fn take(&mut self, bits: &mut BitReader<'_>, index: usize, time_ms: i64, before_ms: i64) {
        if self.header == 0 {
            return;
        }
        let change = usize::from(self.header & !FIRST_KNOWN);
        if index == 0 {
            if self.header & FIRST_KNOWN != 0 {
                self.start_ms = time_ms.wrapping_sub(bits.take_varint());
            }
        } else if change > 0 && index >= change {
            let number = bits.take_signed();
            self.age_ms = if index == change { number } else { self.age_ms.wrapping_add(number) };
            self.start_ms = before_ms.wrapping_sub(self.age_ms);
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct StartsWriter {
    header: u8,
    start_ms: i64,
    age_ms: i64,
}

impl StartsWriter {
    pub fn header(&self) -> u8 {
        self.header
    }

    /// Writes what stands behind sample `index`.
    pub fn push(
        &mut self,
        bits: &mut BitWriter,
        index: usize,
        time_ms: i64,
        before_ms: i64,
        start_ms: i64,
    ) {
        let change = usize::from(self.header & !FIRST_KNOWN);
        if index == 0 {
            if start_ms != 0 {
                bits.push_varint(time_ms.wrapping_sub(start_ms));
                self.header = FIRST_KNOWN;
            }
        } else {
            let age_ms = before_ms.wrapping_sub(start_ms);
            if change > 0 {
                bits.push_signed(age_ms.wrapping_sub(self.age_ms));
                self.age_ms = age_ms;
            } else if start_ms != self.start_ms || index == CHANGE_MAX {
                bits.push_signed(age_ms);
                self.header |= index as u8;
                self.age_ms = age_ms;
            }
        }
        self.start_ms = start_ms;
    }
}
