use engine::wal::{Chain, FrameWriter, Replay, SampleColumns, SegmentHeader};

use super::{Group, Groups, Writer};
use crate::disk::BLOCK_BYTES;

const SEGMENT_BYTES: usize = 4 * BLOCK_BYTES;

fn groups() -> Groups {
    let writer = Writer { shard: 1, shard_count: 2, epoch: 3 };
    Groups::new(writer, SEGMENT_BYTES, Chain::default(), 1)
}

/// Appends a frame with a payload of about `bytes`; returns whether it began a segment.
fn append(groups: &mut Groups, bytes: usize) -> bool {
    let samples = vec![1.5; bytes / 8];
    let ids = vec![7; samples.len()];
    let times = vec![1; samples.len()];
    let (begins, _) = groups.append(100 + samples.len() * 9, true, |space| {
        let mut frame = FrameWriter::begin(space.out);
        frame.samples(SampleColumns::plain(&ids, &times, &samples));
        frame.finish(space.chain);
        space.begins_segment
    });
    begins
}

/// Writes groups as a disk would; returns the segments, by number from one.
fn write(groups: impl IntoIterator<Item = Group>) -> Vec<Vec<u8>> {
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for group in groups {
        let number = group.segment as usize;
        segments.resize(segments.len().max(number), Vec::new());
        let segment = &mut segments[number - 1];
        assert!(group.offset.is_multiple_of(BLOCK_BYTES));
        assert!(group.offset >= segment.len(), "groups do not overlap");
        segment.resize(group.offset, 0);
        segment.extend(&group.bytes);
        assert!(segment.len() <= group.segment_bytes);
    }
    segments
}

/// LSNs of the frames of a segment that is whole, or was never begun.
fn lsns(segment: &[u8]) -> Vec<u64> {
    if segment.is_empty() {
        return Vec::new();
    }
    Replay::new(segment, None)
        .unwrap()
        .map(|event| match event {
            engine::wal::Event::Frame(frame) => frame.lsn,
            engine::wal::Event::Damage(damage) => panic!("{damage:?}"),
        })
        .collect()
}

fn drain(groups: &mut Groups) -> Vec<Group> {
    std::iter::from_fn(|| groups.pop()).collect()
}

#[test]
fn frames_are_laid_out_over_segments_on_blocks_of_their_own() {
    let mut groups = groups();
    let mut popped = Vec::new();
    let mut begun = Vec::new();
    for number in 0..20 {
        begun.push(append(&mut groups, 1500));
        if number % 3 == 0 {
            popped.extend(groups.pop());
        }
    }
    popped.extend(drain(&mut groups));
    assert_eq!(groups.queued_bytes(), 0);
    let segments = write(popped);
    assert_eq!(begun.iter().filter(|&&begun| begun).count(), segments.len());
    let all: Vec<u64> = segments.iter().flat_map(|segment| lsns(segment)).collect();
    assert_eq!(all, (1..=20).collect::<Vec<_>>());
    for (segment, number) in segments.iter().zip(1..) {
        let header = SegmentHeader::decode(segment).unwrap();
        assert_eq!((header.segment, header.shard, header.epoch), (number, 1, 3));
        assert_eq!(header.first_lsn, lsns(segment)[0]);
    }
}

#[test]
fn a_giant_frame_gets_a_segment_of_its_size() {
    let mut groups = groups();
    append(&mut groups, 100);
    assert!(append(&mut groups, 10 * SEGMENT_BYTES));
    assert!(append(&mut groups, SEGMENT_BYTES / 2));
    assert!(!append(&mut groups, 100));
    let popped = drain(&mut groups);
    assert!(popped[1].segment_bytes > 10 * SEGMENT_BYTES);
    assert_eq!(popped[2].segment_bytes, SEGMENT_BYTES);
    let segments = write(popped);
    assert_eq!(segments.iter().map(|segment| lsns(segment).len()).sum::<usize>(), 4);
}

#[test]
fn what_writes_nothing_leaves_nothing() {
    let mut groups = groups();
    append(&mut groups, 100);
    drain(&mut groups);
    assert!(!append(&mut groups, 0));
    assert!(groups.front().is_none());
    // At the border of a segment the header waits for the first frame, which is told.
    assert_eq!(groups.append(SEGMENT_BYTES, true, |space| space.begins_segment), (true, 1));
    assert!(append(&mut groups, 100));
    let segments = write(drain(&mut groups));
    assert_eq!(lsns(&segments[1]), [2]);
}

#[test]
fn after_a_failed_write_everything_moves_one_segment_on() {
    for failing in 0..3 {
        let mut groups = groups();
        let mut written = Vec::new();
        for number in 0..40 {
            append(&mut groups, 1500);
            // Two groups of the first segment are written, the rest waits.
            if number < 2 {
                written.extend(groups.pop());
            }
        }
        for _ in 0..failing {
            written.extend(groups.pop());
        }
        let mut failed = groups.pop().unwrap();
        let abandoned = failed.segment;
        groups.move_on(&mut failed);
        assert_eq!(failed.segment, abandoned + 1);
        let was_last = groups.segment == failed.segment;
        assert_eq!(append(&mut groups, 300), was_last);
        written.push(failed);
        written.extend(drain(&mut groups));
        let segments = write(written);
        let all: Vec<u64> = segments.iter().flat_map(|segment| lsns(segment)).collect();
        assert_eq!(all, (1..=41).collect::<Vec<_>>(), "failing {failing}");
    }
}

#[test]
fn a_segment_that_could_not_be_synced_gets_nothing_more() {
    let mut groups = groups();
    append(&mut groups, 100);
    let first = groups.pop().unwrap();
    groups.leave(first.segment, vec![]);
    assert!(append(&mut groups, 100));
    assert_eq!(groups.front().unwrap().segment, 2);

    // Queued for it already: moves.
    append(&mut groups, 100);
    let second = groups.pop().unwrap();
    append(&mut groups, 100);
    groups.leave(second.segment, vec![]);
    assert_eq!(groups.front().unwrap().segment, 3);
    assert_eq!(groups.front().unwrap().offset, 0);
    let queued = groups.queued_bytes();
    assert_eq!(drain(&mut groups).iter().map(|group| group.bytes.len()).sum::<usize>(), queued);
}
