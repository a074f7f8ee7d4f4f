//! What a log that is not whole loses: one frame for one damaged place.

use super::*;

#[test]
fn every_flipped_bit_is_detected_or_harmless_and_loses_one_frame_at_most() {
    let mut chain = Chain::default();
    let (bytes, starts) = segment(5, &mut chain, 6);
    let (whole, _) = read(&bytes, Some(Chain::default())).unwrap();
    let (mut detected_count, mut harmless_count) = (0, 0);
    for bit in 0..bytes.len() * 8 {
        let mut broken = bytes.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        let (found, _) = read(&broken, Some(Chain::default())).unwrap();
        assert_eq!(found.malformed_count, 0, "bit {bit}");
        if found.damage.is_empty() {
            assert_eq!(format!("{found:?}"), format!("{whole:?}"), "bit {bit}");
            harmless_count += 1;
            continue;
        }
        detected_count += 1;
        let hit = starts.iter().rposition(|&start| start <= bit / 8);
        let lost: Vec<u64> =
            whole.lsns.iter().copied().filter(|lsn| !found.lsns.contains(lsn)).collect();
        match hit {
            Some(frame) if frame < 6 => assert_eq!(lost, [frame as u64 + 1], "bit {bit}"),
            _ => assert_eq!(lost, [0u64; 0], "bit {bit}"),
        }
    }
    assert!(detected_count > 7 * harmless_count, "{detected_count} {harmless_count}");
}

#[test]
fn every_truncation_keeps_the_whole_frames_before_it() {
    let mut chain = Chain::default();
    let (bytes, starts) = segment(0, &mut chain, 5);
    for end in 0..bytes.len() {
        match read(&bytes[..end], None) {
            Ok((found, _)) => {
                let ends: Vec<usize> = starts[1..].iter().copied().filter(|&s| s <= end).collect();
                // Padding behind a frame is not needed to read it.
                assert!(found.lsns.len() >= ends.len(), "cut at {end}");
                assert!(found.lsns.len() <= ends.len() + 1, "cut at {end}");
                assert!(found.damage.iter().all(|damage| damage.kind == DamageKind::TornTail));
            }
            Err(error) => assert!(end < SEGMENT_HEADER_BYTES, "cut at {end}: {error}"),
        }
    }
}

#[test]
fn a_zeroed_or_foreign_place_loses_only_itself() {
    let mut chain = Chain::default();
    let (bytes, starts) = segment(0, &mut chain, 6);
    for frame in 0..5usize {
        let (start, end) = (starts[frame], starts[frame + 1]);
        let mut zeroed = bytes.clone();
        zeroed[start..end].fill(0);
        let (found, _) = read(&zeroed, None).unwrap();
        assert_eq!(found.lsns.len(), 5);
        let lsn = frame as u64 + 1;
        let expected = Damage {
            kind: DamageKind::Frames,
            segment: Some(0),
            lsns: lsn..lsn + 1,
            bytes: start..end,
        };
        assert_eq!(found.damage, [expected]);
    }
    // A whole frame of another log in the place of the third one.
    let mut other = Chain { next_lsn: 3, last_crc: 77 };
    let mut foreign = vec![];
    push_frame(&mut foreign, &mut other, 2);
    let mut misplaced = bytes.clone();
    misplaced[starts[2]..starts[2] + foreign.len()].copy_from_slice(&foreign);
    let (found, _) = read(&misplaced, None).unwrap();
    assert_eq!(found.lsns, [1, 2, 4, 5, 6]);
    assert_eq!(found.damage.len(), 1);
}

#[test]
fn segments_that_do_not_follow_each_other_are_noticed() {
    let mut chain = Chain::default();
    let (first, starts) = segment(0, &mut chain, 4);
    let middle = chain;
    let (second, _) = segment(1, &mut chain, 4);
    let (found, end) = read(&first, None).unwrap();
    assert_eq!((found.damage, end), (vec![], middle));
    assert_eq!(read(&second, Some(end)).unwrap().0.damage, []);
    // The first segment cut at a frame's border looks whole; the second one knows better.
    let (found, end) = read(&first[..starts[3]], None).unwrap();
    assert_eq!((found.lsns.len(), &found.damage[..]), (3, &[][..]));
    let (found, _) = read(&second, Some(end)).unwrap();
    assert_eq!((found.damage[0].kind, found.damage[0].lsns.clone()), (DamageKind::Gap, 4..5));
    assert_eq!(found.lsns.len(), 4);
}

#[test]
fn leftovers_of_a_recycled_file_are_not_a_loss() {
    let mut chain = Chain::default();
    let (old, _) = segment(0, &mut chain, 6);
    let mut bytes = vec![];
    header(9, chain).encode(&mut bytes);
    push_frame(&mut bytes, &mut chain, 0);
    let end = bytes.len();
    bytes.extend_from_slice(&old[end..]);
    let (found, _) = read(&bytes, None).unwrap();
    assert_eq!(found.lsns, [7]);
    assert_eq!(found.damage, []);
}

/// Frames `0..frame_count`, each on a block of its own, and where each starts.
fn spread_segment(chain: &mut Chain, frame_count: u32) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut starts) = (vec![], vec![]);
    header(1, *chain).encode(&mut bytes);
    for n in 0..frame_count {
        bytes.resize(bytes.len().next_multiple_of(crate::disk::DISK_ALIGN), 0);
        starts.push(bytes.len());
        push_frame(&mut bytes, chain, n);
    }
    (bytes, starts)
}

#[test]
fn frames_may_begin_on_a_block_of_their_own() {
    let mut chain = Chain::default();
    let (bytes, starts) = spread_segment(&mut chain, 6);
    let (found, end_chain) = read(&bytes, Some(Chain::default())).unwrap();
    assert_eq!(found.lsns, [1, 2, 3, 4, 5, 6]);
    assert_eq!(found.damage, []);
    assert_eq!(end_chain, chain);
    // A block that was zeroed is not padding.
    for (lost, pair) in starts.windows(2).enumerate() {
        let mut zeroed = bytes.clone();
        zeroed[pair[0]..pair[1]].fill(0);
        let (found, _) = read(&zeroed, Some(Chain::default())).unwrap();
        assert_eq!(found.lsns.len(), 5, "frame {lost}");
        assert_eq!(found.damage.len(), 1);
        assert_eq!(found.damage[0].kind, DamageKind::Frames);
        assert_eq!(found.damage[0].lsns, lost as u64 + 1..lost as u64 + 2);
    }
}

/// A header of zeros is one that a crash kept from arriving with the first group, or damage: then
/// later groups are there.
#[test]
fn a_zeroed_header_is_damage_once_a_second_group_is_there() {
    let mut chain = Chain { next_lsn: 7, last_crc: 9 };
    let before = chain;
    let (mut bytes, mut starts) = (vec![], vec![]);
    header(1, chain).encode(&mut bytes);
    for group in 0..3 {
        for n in 0..3 {
            starts.push(bytes.len());
            push_frame(&mut bytes, &mut chain, group * 3 + n);
        }
        bytes.resize(bytes.len().next_multiple_of(crate::disk::DISK_ALIGN), 0);
    }
    for zeroed in [SEGMENT_HEADER_BYTES, 512] {
        let mut damaged = bytes.clone();
        damaged[..zeroed].fill(0);
        let mut first_group = damaged.clone();
        first_group[starts[3]..].fill(0);
        assert_eq!(read(&first_group, Some(before)).unwrap_err(), SegmentError::Unused);
        let (found, end) = read(&damaged, Some(before)).unwrap();
        assert_eq!(found.damage[0].kind, DamageKind::Header);
        let lost = starts.iter().filter(|&&start| start < zeroed).count();
        assert_eq!((found.lsns.len(), end), (9 - lost, chain), "{zeroed}: {:?}", found.damage);
    }
}

#[test]
fn a_segment_may_repeat_what_the_one_before_it_failed_to_write() {
    let mut chain = Chain::default();
    let (first, _) = segment(1, &mut chain, 3);
    let before = Chain::default();
    let (again, _) = segment(2, &mut before.clone(), 3);
    let (_, end) = read(&first, None).unwrap();
    let (found, _) = read(&again, Some(end)).unwrap();
    assert_eq!((found.lsns, found.damage), (vec![1, 2, 3], vec![]));
}
