//! Walking a segment: every frame that is whole, and a report of every place where one is not.
//!
//! When a frame does not check, the reader tries every following place where a frame could start
//! until one checks; what lies between is the damage. If none does, the place is the end of what
//! was written: clean when only zeros follow, otherwise a torn tail (a write that a crash cut).
//! A torn tail and a damaged last frame look alike here; the next segment's header tells them
//! apart, because it names the LSN and the checksum that it continues.

use std::ops::Range;

use memchr::memmem;

use crate::disk::DISK_ALIGN;

use super::frame::{Chain, FRAME_ALIGN, FRAME_MAGIC, Frame};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// One or more frames whose bytes do not check, with whole frames behind them.
    Frames,
    /// Bytes that do not check, with nothing whole behind them.
    TornTail,
    /// A whole frame that does not continue the frame before it: a block from another place.
    Unchained,
    /// The segment does not continue the one before it: segments or frames between are missing.
    Gap,
    /// The segment's header does not check. Its frames are read all the same.
    Header,
}

/// A place in the log that could not be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub kind: DamageKind,
    /// Number of the segment; `None` when its header is damaged.
    pub segment: Option<u64>,
    /// LSNs that are lost: known by the frames around the damage. Empty when no frame is known to
    /// be lost.
    pub lsns: Range<u64>,
    /// Where in the segment.
    pub bytes: Range<usize>,
}

#[derive(Clone, Debug)]
pub enum Event<'a> {
    Frame(Frame<'a>),
    Damage(Damage),
}

/// Reads one segment. Iterates over what it finds; afterwards [`Replay::end_chain`] says where the log
/// goes on and [`Replay::end_offset`] where its bytes end.
pub struct Replay<'a> {
    header: Option<SegmentHeader>,
    bytes: &'a [u8],
    offset: usize,
    chain: Chain,
    /// Whether the frame before `offset` is known, so that the next one can be held against it.
    is_chained: bool,
    /// Found out at the start, to be reported first.
    opening: Option<Damage>,
    is_finished: bool,
    magic: memmem::Finder<'static>,
}

impl<'a> Replay<'a> {
    /// Starts on the bytes of a whole segment file. `previous` is where the log stood at the end
    /// of the segment before it, if that is known: a difference is reported as a gap.
    ///
    /// # Errors
    ///
    /// When the bytes are no segment of this format, or not one frame in them is whole and neither
    /// is the header. A damaged header with whole frames behind it is reported as damage; one that is
    /// all zeros only if what follows cannot be the rest of a segment's first write, which a crash
    /// has cut.
    pub fn new(bytes: &'a [u8], previous: Option<Chain>) -> Result<Self, SegmentError> {
        let mut replay = Replay {
            header: None,
            bytes,
            offset: SEGMENT_HEADER_BYTES,
            chain: previous.unwrap_or_default(),
            is_chained: true,
            opening: None,
            is_finished: false,
            magic: memmem::Finder::new(&FRAME_MAGIC),
        };
        match SegmentHeader::decode(bytes) {
            Ok(header) => replay.open(header, previous),
            Err(
                error @ (SegmentError::NotASegment
                | SegmentError::Checksum { .. }
                | SegmentError::Unused),
            ) => {
                let has_frames = match error {
                    SegmentError::Unused => replay.has_second_group(),
                    _ => replay.next_whole(0).is_some(),
                };
                if !has_frames {
                    return Err(error);
                }
                replay.is_chained = previous.is_some();
                let bytes = 0..SEGMENT_HEADER_BYTES;
                replay.opening =
                    Some(Damage { kind: DamageKind::Header, segment: None, lsns: 0..0, bytes });
            }
            Err(error) => return Err(error),
        }
        Ok(replay)
    }

    fn open(&mut self, header: SegmentHeader, previous: Option<Chain>) {
        self.header = Some(header);
        self.chain = Chain { next_lsn: header.first_lsn, last_crc: header.previous_crc };
        let chain = self.chain;
        // A segment that begins before the end of the one before it repeats frames whose write was
        // reported as failed and whose bytes may have arrived all the same.
        let is_gap = |previous: &Chain| *previous != chain && previous.next_lsn <= chain.next_lsn;
        self.opening = previous.filter(is_gap).map(|previous| Damage {
            kind: DamageKind::Gap,
            segment: Some(header.segment),
            lsns: previous.next_lsn..chain.next_lsn,
            bytes: 0..0,
        });
    }

    /// `None` when it is damaged.
    pub fn header(&self) -> Option<SegmentHeader> {
        self.header
    }

    /// Where the log stands after the frames read so far.
    pub fn end_chain(&self) -> Chain {
        self.chain
    }

    /// Offset behind the last whole frame read so far.
    pub fn end_offset(&self) -> usize {
        self.offset
    }

    /// The next whole frame of this segment's life at or after `from`, and where it starts.
    fn next_whole(&self, from: usize) -> Option<(usize, Frame<'a>)> {
        let mut start = from;
        while let Some(found) = self.bytes.get(start..).and_then(|rest| self.magic.find(rest)) {
            let offset = start + found;
            if offset.is_multiple_of(FRAME_ALIGN)
                && let Some(frame) = Frame::decode(&self.bytes[offset..])
                && self.chain.next_lsn <= frame.lsn
            {
                return Some((offset, frame));
            }
            start = offset + 1;
        }
        None
    }

    /// Whether a whole frame begins a block behind zeros, as the first of every later group does:
    /// groups are written one after the other, so the first one had arrived before that.
    fn has_second_group(&self) -> bool {
        let mut from = 0;
        while let Some((offset, frame)) = self.next_whole(from) {
            let is_first_of_block = offset > 0 && offset.is_multiple_of(DISK_ALIGN);
            if is_first_of_block && self.bytes[offset - FRAME_ALIGN..offset] == [0; FRAME_ALIGN] {
                return true;
            }
            from = offset + frame.stride_bytes();
        }
        false
    }

    fn damage(&self, kind: DamageKind, lsns: Range<u64>, bytes: Range<usize>) -> Event<'a> {
        Event::Damage(Damage {
            kind,
            segment: self.header.map(|header| header.segment),
            lsns,
            bytes,
        })
    }

    /// Steps over a frame and takes it into the chain.
    fn accept(&mut self, frame: Frame<'a>) -> Event<'a> {
        self.offset += frame.stride_bytes();
        self.chain = Chain { next_lsn: frame.lsn + 1, last_crc: frame.crc };
        self.is_chained = true;
        Event::Frame(frame)
    }

    /// Steps over zeros up to the next block, if the frame that follows starts there: writers begin
    /// every group of frames on a block of its own. Any other frame there would mean that what
    /// should stand here was zeroed.
    fn skip_padding(&mut self) -> bool {
        let block = self.offset.next_multiple_of(DISK_ALIGN);
        let is_padding = self.offset < block
            && self.bytes.get(self.offset..block).is_some_and(|gap| gap.iter().all(|&b| b == 0))
            && Frame::decode(&self.bytes[block..])
                .is_some_and(|frame| frame.lsn == self.chain.next_lsn);
        if is_padding {
            self.offset = block;
        }
        is_padding
    }

    /// Nothing whole stands at `offset`: finds out what does.
    fn resume(&mut self) -> Option<Event<'a>> {
        let start = self.offset;
        if let Some((offset, frame)) = self.next_whole(start) {
            self.offset = offset;
            self.is_chained = false;
            let lsns = self.chain.next_lsn..frame.lsn;
            self.chain.next_lsn = frame.lsn;
            return Some(self.damage(DamageKind::Frames, lsns, start..offset));
        }
        self.is_finished = true;
        let tail = self.bytes.get(start..).unwrap_or_default();
        let written = tail.iter().rposition(|&byte| byte != 0)? + 1;
        let stale = Frame::decode(tail).is_some_and(|frame| frame.lsn < self.chain.next_lsn);
        if stale {
            return None; // The file's former life, not a loss.
        }
        let lsns = self.chain.next_lsn..self.chain.next_lsn;
        Some(self.damage(DamageKind::TornTail, lsns, start..start + written))
    }
}

impl<'a> Iterator for Replay<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        if let Some(opening) = self.opening.take() {
            return Some(Event::Damage(opening));
        }
        if self.is_finished {
            return None;
        }
        let mut here = self.bytes.get(self.offset..).and_then(Frame::decode);
        if here.is_none() && self.skip_padding() {
            here = Frame::decode(&self.bytes[self.offset..]);
        }
        let Some(frame) = here.filter(|frame| self.chain.next_lsn <= frame.lsn) else {
            return self.resume();
        };
        let continues =
            frame.lsn == self.chain.next_lsn && frame.previous_crc == self.chain.last_crc;
        if self.is_chained && !continues {
            let start = self.offset;
            self.offset += frame.stride_bytes();
            self.is_chained = false;
            let lsns = frame.lsn..frame.lsn + 1;
            return Some(self.damage(DamageKind::Unchained, lsns, start..self.offset));
        }
        Some(self.accept(frame))
    }
}
