//! Frames that wait to be written, laid out over segments. Knows no file and no clock.
//!
//! ```text
//! segment 6   … | group in flight | padding | group that grows ── next frame goes here
//! segment 7   header, group …      (when a frame does not fit segment 6 any more)
//! ```
//!
//! A group starts on a block of its own, so that no write touches a block that was acknowledged.
//! Invariants: groups stand in order of LSN; of each segment the first queued group that begins it
//! carries its header; [`Groups::end`] is where the last group of the last segment ends.

use std::collections::VecDeque;

use engine::wal::{Chain, SEGMENT_HEADER_BYTES, SegmentHeader};

use super::SegmentNumber;
use crate::disk::padded;

/// A group that has grown beyond this takes no further frame: the next group starts, and the
/// latency of both stays bounded.
const GROUP_BYTES_SOFT_MAX: usize = 1 << 20;

/// Buffers kept for groups to come, and how large each may be.
const SPARE_COUNT_MAX: usize = 2;
const SPARE_BYTES_MAX: usize = 4 * GROUP_BYTES_SOFT_MAX;

/// Frames that are written together.
#[derive(Debug)]
pub struct Group {
    pub segment: SegmentNumber,
    /// Size of that segment.
    pub segment_bytes: usize,
    /// Where it stands in the segment; whole blocks.
    pub offset: usize,
    /// The segment's header, if this group begins it, then frames.
    pub bytes: Vec<u8>,
    begins_segment: bool,
    /// The log before its first frame.
    before: Chain,
    pub last_lsn: u64,
    /// Somebody waits for it.
    pub is_urgent: bool,
}

/// Who writes the log: goes into each segment's header.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    pub shard: u16,
    pub shard_count: u16,
    pub epoch: u32,
}

#[derive(Debug)]
pub struct Groups {
    writer: Writer,
    segment_bytes: usize,
    chain: Chain,
    queue: VecDeque<Group>,
    queued_bytes: usize,
    /// Buffers of groups that were written, cleared.
    spare: Vec<Vec<u8>>,
    /// Segment of the next frame, its size, and where its last group ends.
    segment: SegmentNumber,
    capacity: usize,
    end: usize,
    /// The next frame is the first of its segment, as far as its writer was told.
    is_fresh: bool,
}

/// Where a frame is written to.
pub struct Space<'a> {
    /// Frames so far; the next one is appended.
    pub out: &'a mut Vec<u8>,
    pub chain: &'a mut Chain,
    /// The segment is new to whoever writes frames: [`engine::store::Store::forget_logged`].
    pub begins_segment: bool,
    pub segment: SegmentNumber,
}

impl Groups {
    /// An empty queue whose first frame begins segment `first`.
    pub fn new(writer: Writer, segment_bytes: usize, chain: Chain, first: SegmentNumber) -> Groups {
        assert!(segment_bytes == padded(segment_bytes) && segment_bytes > SEGMENT_HEADER_BYTES);
        Groups {
            writer,
            segment_bytes,
            chain,
            queue: VecDeque::new(),
            queued_bytes: 0,
            spare: Vec::new(),
            // A full segment before the first, so that the first frame rolls.
            segment: first - 1,
            capacity: 0,
            end: 0,
            is_fresh: false,
        }
    }

    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// LSN of the last frame that was appended; zero before the first of a log.
    pub fn last_lsn(&self) -> u64 {
        self.chain.next_lsn - 1
    }

    pub fn front(&self) -> Option<&Group> {
        self.queue.front()
    }

    /// Whether a frame of at most `frame_bytes_max` would begin another segment.
    pub fn would_roll(&self, frame_bytes_max: usize) -> bool {
        let start = if self.back_grows() { self.end } else { padded(self.end) };
        start + frame_bytes_max > self.capacity
    }

    fn back_grows(&self) -> bool {
        self.queue.back().is_some_and(|group| {
            group.segment == self.segment && group.bytes.len() < GROUP_BYTES_SOFT_MAX
        })
    }

    /// Appends what `write` writes: a frame of at most `frame_bytes_max`, or nothing. Returns its
    /// answer and the LSN of the last frame.
    ///
    /// # Panics
    ///
    /// When the frame is larger than announced.
    pub fn append<T>(
        &mut self,
        frame_bytes_max: usize,
        is_urgent: bool,
        write: impl FnOnce(Space<'_>) -> T,
    ) -> (T, u64) {
        let rolls = self.would_roll(frame_bytes_max);
        if rolls {
            self.segment += 1;
            self.capacity = self.segment_bytes.max(padded(SEGMENT_HEADER_BYTES + frame_bytes_max));
            self.end = 0;
            self.is_fresh = true;
        }
        if rolls || !self.back_grows() {
            let mut group = Group {
                segment: self.segment,
                segment_bytes: self.capacity,
                offset: padded(self.end),
                bytes: self.spare.pop().unwrap_or_default(),
                begins_segment: rolls,
                before: self.chain,
                last_lsn: self.last_lsn(),
                is_urgent: false,
            };
            if rolls {
                self.writer.header(&group).encode(&mut group.bytes);
            }
            self.queued_bytes += group.bytes.len();
            self.queue.push_back(group);
        }
        let group = self.queue.back_mut().expect("one was pushed or was there");
        let length = group.bytes.len();
        let answer = write(Space {
            out: &mut group.bytes,
            chain: &mut self.chain,
            begins_segment: self.is_fresh,
            segment: self.segment,
        });
        let frame_bytes = group.bytes.len() - length;
        assert!(frame_bytes <= frame_bytes_max, "a frame is not larger than announced");
        let last_lsn = self.chain.next_lsn - 1;
        group.last_lsn = last_lsn;
        self.end = group.offset + group.bytes.len();
        if frame_bytes > 0 {
            self.is_fresh = false;
            self.queued_bytes += frame_bytes;
            group.is_urgent |= is_urgent;
        } else if group.bytes.is_empty() {
            self.queue.pop_back();
        }
        (answer, last_lsn)
    }

    /// Takes the first group to write it.
    pub fn pop(&mut self) -> Option<Group> {
        let group = self.queue.pop_front()?;
        self.queued_bytes -= group.bytes.len();
        Some(group)
    }

    /// Takes the buffer of a group that was written, for one to come: fresh memory costs more than
    /// what is written to it.
    pub fn give_back(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < SPARE_COUNT_MAX && bytes.capacity() <= SPARE_BYTES_MAX {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// Makes every queued group urgent.
    pub fn hurry(&mut self) {
        self.queue.iter_mut().for_each(|group| group.is_urgent = true);
    }

    /// Moves `failed`, whose write failed, and what is queued behind it off the segment that it
    /// was meant for: everything moves one segment on, and `failed` begins its new one.
    pub fn move_on(&mut self, failed: &mut Group) {
        let abandoned = failed.segment;
        let begins = failed.begins_segment;
        if !begins {
            failed.begins_segment = true;
            failed.offset = 0;
            failed.bytes.splice(0..0, [0; SEGMENT_HEADER_BYTES]);
        }
        failed.segment += 1;
        self.writer.rewrite_header(failed);
        let mut end = failed.bytes.len();
        for group in &mut self.queue {
            if group.segment == abandoned {
                group.offset = padded(end);
                end = group.offset + group.bytes.len();
            }
            group.segment += 1;
            if group.begins_segment {
                self.writer.rewrite_header(group);
            }
        }
        if self.segment == abandoned {
            self.end = end;
            // Frames that follow stand in a segment that names none of their series yet.
            self.is_fresh = true;
        }
        self.segment += 1;
    }

    /// Puts `failed`, whose write failed, back with what was `written` to its segment, or to the one
    /// before, and may not last; moves all of it off those segments; and takes the first to write
    /// it.
    pub fn retreat(&mut self, written: Vec<Group>, failed: Group) -> Group {
        self.put_back(vec![failed]);
        self.put_back(written);
        let mut first = self.pop().expect("one was put back above");
        self.move_on(&mut first);
        first
    }

    /// Leaves `abandoned`, whose sync failed: nothing more goes there, and what was `written` there
    /// is written again.
    pub fn leave(&mut self, abandoned: SegmentNumber, written: Vec<Group>) {
        self.put_back(written);
        if self.queue.front().is_some_and(|group| group.segment == abandoned) {
            let mut first = self.pop().expect("it was there a line above");
            self.move_on(&mut first);
            self.put_back(vec![first]);
        } else if self.segment == abandoned {
            self.capacity = 0;
        }
    }

    /// Puts groups that were taken before everything else, in their order.
    fn put_back(&mut self, groups: Vec<Group>) {
        for group in groups.into_iter().rev() {
            self.queued_bytes += group.bytes.len();
            self.queue.push_front(group);
        }
    }
}

impl Writer {
    fn header(&self, group: &Group) -> SegmentHeader {
        SegmentHeader {
            shard: self.shard,
            shard_count: self.shard_count,
            epoch: self.epoch,
            segment: group.segment,
            first_lsn: group.before.next_lsn,
            previous_crc: group.before.last_crc,
        }
    }

    fn rewrite_header(&self, group: &mut Group) {
        let mut header = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        self.header(group).encode(&mut header);
        group.bytes[..SEGMENT_HEADER_BYTES].copy_from_slice(&header);
    }
}

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
