//! The record of exemplars.

use super::segment::le_u32;
use crate::mem::varint::{VARINT_BYTES_MAX, push_i64, push_u64, take_bytes, take_i64, take_u64};
use crate::model::LabelsRef;

/// Most bytes that one exemplar takes besides its labels: id, timestamp, value, length.
pub(super) const EXEMPLAR_BYTES_MAX: usize = 5 + VARINT_BYTES_MAX + 8 + 5;

/// An exemplar of a series that the log names by id.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoggedExemplar<'a> {
    pub series: u32,
    pub timestamp_ms: i64,
    pub value: f64,
    pub labels: LabelsRef<'a>,
}

impl LoggedExemplar<'_> {
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        push_u64(out, u64::from(self.series));
        push_i64(out, self.timestamp_ms);
        out.extend_from_slice(&self.value.to_bits().to_le_bytes());
        let labels = self.labels.as_bytes();
        push_u64(out, labels.len() as u64);
        out.extend_from_slice(labels);
    }
}

/// Exemplars, in the order in which they came.
#[derive(Clone, Debug)]
pub struct ExemplarsRecord<'a> {
    /// Which start of the process gave the ids.
    pub epoch: u32,
    rest: &'a [u8],
}

impl<'a> ExemplarsRecord<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (epoch, rest) = body.split_at_checked(4)?;
        Some(ExemplarsRecord { epoch: le_u32(epoch, 0), rest })
    }

    fn take(&mut self) -> Option<LoggedExemplar<'a>> {
        let rest = &mut self.rest;
        let series = u32::try_from(take_u64(rest)?).ok()?;
        let timestamp_ms = take_i64(rest)?;
        let bits = *take_bytes(rest, 8)?.first_chunk()?;
        let length = usize::try_from(take_u64(rest)?).ok()?;
        let labels = LabelsRef::from_untrusted(take_bytes(rest, length)?)?;
        let value = f64::from_bits(u64::from_le_bytes(bits));
        Some(LoggedExemplar { series, timestamp_ms, value, labels })
    }
}

impl<'a> Iterator for ExemplarsRecord<'a> {
    /// `None` inside: the record is malformed from here on.
    type Item = Option<LoggedExemplar<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.take();
        if item.is_none() {
            self.rest = &[];
        }
        Some(item)
    }
}
