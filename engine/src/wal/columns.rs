//! What all records of samples begin with: whose they are, and when.

use super::segment::le_u32;
use crate::mem::varint::{VARINT_BYTES_MAX, push_i64, take_i64, zigzag};

/// Epoch, count, base, form.
pub(super) const COLUMNS_HEADER_BYTES: usize = 4 + 4 + 8 + 1;

/// Most bytes that one sample takes in these columns: id, timestamp, start.
pub(super) const COLUMNS_BYTES_MAX: usize = ID_BYTES_MAX + 2 * VARINT_BYTES_MAX;

/// Most bytes of the difference of two ids, which has 33 bits.
pub(super) const ID_BYTES_MAX: usize = 5;

/// Timestamps follow; otherwise all equal the base.
const HAS_TIMESTAMPS: u8 = 1;
/// Start timestamps follow; otherwise none is known.
const HAS_STARTS: u8 = 2;
/// The samples belong beside those in order.
const OUT_OF_ORDER: u8 = 4;

/// Series, timestamps and start timestamps of samples, columns of equal length; `starts_ms` is
/// empty when none is known, and zero in it means unknown.
#[derive(Clone, Copy, Debug)]
pub struct WhenColumns<'a> {
    pub series: &'a [u32],
    pub timestamps_ms: &'a [i64],
    pub starts_ms: &'a [i64],
    /// The samples were not newer than their series' newest when they were accepted.
    pub is_out_of_order: bool,
}

impl WhenColumns<'_> {
    fn base_ms(&self) -> i64 {
        self.timestamps_ms[0]
    }

    fn form(&self) -> u8 {
        let base_ms = self.base_ms();
        let has_timestamps = self.timestamps_ms.iter().any(|&timestamp_ms| timestamp_ms != base_ms);
        let bits = [
            (has_timestamps, HAS_TIMESTAMPS),
            (!self.starts_ms.is_empty(), HAS_STARTS),
            (self.is_out_of_order, OUT_OF_ORDER),
        ];
        bits.iter().filter(|(is_set, _)| *is_set).fold(0, |form, (_, bit)| form | bit)
    }

    /// Returns the form, for [`WhenColumns::push`].
    pub(super) fn push_header(&self, out: &mut Vec<u8>, epoch: u32) -> u8 {
        assert!(self.timestamps_ms.len() == self.series.len());
        assert!(self.starts_ms.is_empty() || self.starts_ms.len() == self.series.len());
        out.extend_from_slice(&epoch.to_le_bytes());
        out.extend_from_slice(&(self.series.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.base_ms().to_le_bytes());
        let form = self.form();
        out.push(form);
        form
    }

    pub(super) fn push(&self, form: u8, out: &mut Vec<u8>) {
        push_ids(out, self.series);
        if form & HAS_TIMESTAMPS != 0 {
            push_differences(out, self.base_ms(), self.timestamps_ms);
        }
        push_differences(out, 0, self.starts_ms);
    }
}

fn push_differences(out: &mut Vec<u8>, first: i64, numbers: &[i64]) {
    let mut previous = first;
    for &number in numbers {
        push_i64(out, number.wrapping_sub(previous));
        previous = number;
    }
}

/// Appends the differences of neighbouring ids as varints, most of which have one byte. Room is made
/// for all of them first: then an id costs a store.
fn push_ids(out: &mut Vec<u8>, ids: &[u32]) {
    let mut at = out.len();
    out.resize(at + ids.len() * ID_BYTES_MAX, 0);
    let mut previous = 0i64;
    for &id in ids {
        let mut rest = zigzag(i64::from(id) - previous);
        while rest >= 0x80 {
            out[at] = rest as u8 | 0x80;
            rest >>= 7;
            at += 1;
        }
        out[at] = rest as u8;
        at += 1;
        previous = i64::from(id);
    }
    out.truncate(at);
}

/// The fixed part of a record of samples.
#[derive(Clone, Copy, Debug)]
pub struct ColumnsHeader {
    /// Which start of the process gave the ids.
    pub epoch: u32,
    pub count: usize,
    /// See [`WhenColumns::is_out_of_order`].
    pub is_out_of_order: bool,
    base_ms: i64,
    form: u8,
}

/// Columns read back; see [`WhenColumns`].
#[derive(Clone, Debug, Default)]
pub struct DecodedWhen {
    pub series: Vec<u32>,
    pub timestamps_ms: Vec<i64>,
    pub starts_ms: Vec<i64>,
}

impl ColumnsHeader {
    /// The header, and what follows it. A sample takes a byte at least.
    pub(super) fn parse(body: &[u8]) -> Option<(ColumnsHeader, &[u8])> {
        let (header, rest) = body.split_at_checked(COLUMNS_HEADER_BYTES)?;
        let form = header[16];
        let count = le_u32(header, 4) as usize;
        if form & !(HAS_TIMESTAMPS | HAS_STARTS | OUT_OF_ORDER) != 0 || count > rest.len() {
            return None;
        }
        let base_ms = i64::from_le_bytes(*header[8..].first_chunk()?);
        let is_out_of_order = form & OUT_OF_ORDER != 0;
        let epoch = le_u32(header, 0);
        Some((ColumnsHeader { epoch, count, is_out_of_order, base_ms, form }, rest))
    }

    /// Replaces `out` by the columns at the front of `bytes`; `None` when they are malformed.
    pub(super) fn take(&self, bytes: &mut &[u8], out: &mut DecodedWhen) -> Option<()> {
        out.series.clear();
        out.timestamps_ms.clear();
        out.starts_ms.clear();
        let mut previous = 0i64;
        for _ in 0..self.count {
            previous = previous.checked_add(take_i64(bytes)?)?;
            out.series.push(u32::try_from(previous).ok()?);
        }
        if self.form & HAS_TIMESTAMPS == 0 {
            out.timestamps_ms.resize(self.count, self.base_ms);
        } else {
            take_differences(bytes, self.base_ms, self.count, &mut out.timestamps_ms)?;
        }
        if self.form & HAS_STARTS != 0 {
            take_differences(bytes, 0, self.count, &mut out.starts_ms)?;
        }
        Some(())
    }
}

fn take_differences(bytes: &mut &[u8], first: i64, count: usize, out: &mut Vec<i64>) -> Option<()> {
    let mut previous = first;
    for _ in 0..count {
        previous = previous.wrapping_add(take_i64(bytes)?);
        out.push(previous);
    }
    Some(())
}
