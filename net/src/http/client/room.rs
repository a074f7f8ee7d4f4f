//! Where a body is read into.

use std::ops::Range;

/// The last body that was read, and room for the next one: bytes once written stay, so that they
/// are not zeroed again.
#[derive(Default)]
pub struct Room {
    /// As it comes from the connection; beyond `filled` what was there before.
    wire: Vec<u8>,
    filled: usize,
    /// Bodies that do not stand in `wire` as they are.
    decoded: Vec<u8>,
    /// Where the body stands in `wire`; none if it is `decoded`.
    plain: Option<Range<usize>>,
}

impl Room {
    pub fn body(&self) -> &[u8] {
        match &self.plain {
            Some(range) => &self.wire[range.clone()],
            None => &self.decoded,
        }
    }

    pub fn clear(&mut self) {
        self.filled = 0;
        self.decoded.clear();
        self.plain = None;
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.wire.capacity() + self.decoded.capacity()
    }

    /// Takes the room for a decoded body out, empty.
    pub(super) fn take_decoded(&mut self) -> Vec<u8> {
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        decoded
    }

    /// The body is this.
    pub(super) fn set_decoded(&mut self, decoded: Vec<u8>) {
        self.decoded = decoded;
        self.plain = None;
    }

    /// Of a body that stands where it arrived.
    pub(super) fn plain_bytes(&self) -> Option<usize> {
        self.plain.as_ref().map(Range::len)
    }

    pub(super) fn received(&self) -> &[u8] {
        &self.wire[..self.filled]
    }

    /// Room for at least `count` more bytes from the connection.
    pub(super) fn vacant(&mut self, count: usize) -> &mut [u8] {
        if self.wire.len() < self.filled + count {
            self.wire.resize(self.filled + count, 0);
        }
        &mut self.wire[self.filled..]
    }

    /// `count` bytes were written to what is vacant.
    pub(super) fn fill(&mut self, count: usize) {
        self.filled += count;
    }

    /// The first `count` bytes are done with.
    pub(super) fn consume(&mut self, count: usize) {
        self.wire.copy_within(count..self.filled, 0);
        self.filled -= count;
    }

    /// The body is what was received in `range`.
    pub(super) fn set_plain(&mut self, range: Range<usize>) {
        self.plain = Some(range);
    }
}
