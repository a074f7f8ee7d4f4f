//! Which blocks to merge next, and which to forget: pure functions of what blocks say.
//!
//! Blocks of the shortest range become blocks of three times that range, and so on up to the
//! longest; ranges are aligned to multiples of themselves. Blocks that overlap come first. The
//! newest block is left alone, so that there is time to copy it.
//!
//! Source: Prometheus `tsdb/compact.go`, `LeveledCompactor.plan`, and `tsdb/db.go`,
//! `BeyondTimeRetention`, `BeyondSizeRetention`: the same decisions.

use super::id::BlockId;
use super::meta::BlockMeta;

/// Each range is so many times the one before.
const RANGE_FACTOR: i64 = 3;

/// Ranges at most.
const RANGE_COUNT_MAX: usize = 10;

/// Above this share of series with deleted intervals, a large block is written anew.
const TOMBSTONES_SHARE_MAX: f64 = 0.05;

/// What planning knows of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlannedBlock {
    pub id: BlockId,
    /// The time it stands for, `start..end`.
    pub start_ms: i64,
    pub end_ms: i64,
    pub series_count: u64,
    /// Deleted intervals.
    pub tombstone_count: u64,
    /// A merge of it failed; it is left alone, but for overlaps.
    pub has_failed: bool,
    /// Bytes of its files.
    pub bytes: u64,
}

impl PlannedBlock {
    pub fn new(meta: &BlockMeta, tombstone_count: u64, bytes: u64) -> PlannedBlock {
        PlannedBlock {
            id: meta.id,
            start_ms: meta.range_start_ms,
            end_ms: meta.range_end_ms,
            series_count: meta.series_count,
            tombstone_count,
            has_failed: false,
            bytes,
        }
    }
}

/// The ranges of blocks: `min_ms`, three times that, … up to `max_ms`. The first is always there.
pub fn block_ranges(min_ms: i64, max_ms: i64) -> Vec<i64> {
    let mut ranges = vec![min_ms];
    while let Some(next) = ranges.last().and_then(|last| last.checked_mul(RANGE_FACTOR))
        && next <= max_ms
        && ranges.len() < RANGE_COUNT_MAX
    {
        ranges.push(next);
    }
    ranges
}

/// The blocks to be merged into one next, the oldest first; a single one is written anew. Empty when
/// there is nothing to do.
pub fn plan_merge(blocks: &[PlannedBlock], ranges_ms: &[i64]) -> Vec<BlockId> {
    let mut blocks = blocks.to_vec();
    blocks.sort_by_key(|block| block.start_ms);
    let overlapping = first_overlap(&blocks);
    if !overlapping.is_empty() {
        return ids(overlapping);
    }
    if blocks.pop().is_none() {
        return vec![];
    }
    if let Some(group) = full_range(&blocks, ranges_ms) {
        return ids(group);
    }
    ids(many_tombstones(&blocks, ranges_ms))
}

fn ids(blocks: &[PlannedBlock]) -> Vec<BlockId> {
    blocks.iter().map(|block| block.id).collect()
}

/// The first run of blocks each of which begins before all before it have ended.
fn first_overlap(blocks: &[PlannedBlock]) -> &[PlannedBlock] {
    let mut end_ms = i64::MIN;
    let mut run = 0..0;
    for (index, block) in blocks.iter().enumerate() {
        if index > 0 && block.start_ms < end_ms {
            if run.is_empty() {
                run.start = index - 1;
            }
            run.end = index + 1;
        } else if !run.is_empty() {
            break;
        }
        end_ms = end_ms.max(block.end_ms);
    }
    &blocks[run]
}

/// The first group of blocks that fills a range, or lies in one that no block will come to any more.
fn full_range<'a>(blocks: &'a [PlannedBlock], ranges_ms: &[i64]) -> Option<&'a [PlannedBlock]> {
    let newest_ms = blocks.last()?.start_ms;
    ranges_ms.iter().skip(1).find_map(|&range_ms| {
        split_by_range(blocks, range_ms).into_iter().find(|group| {
            let (first, last) = (group[0], group[group.len() - 1]);
            let is_full = last.end_ms.wrapping_sub(first.start_ms) == range_ms;
            group.len() > 1
                && !group.iter().any(|block| block.has_failed)
                && (is_full || last.end_ms <= newest_ms)
        })
    })
}

/// Groups of neighbours that lie in one aligned range each; blocks that lie in none are left out.
fn split_by_range(blocks: &[PlannedBlock], range_ms: i64) -> Vec<&[PlannedBlock]> {
    let mut groups = vec![];
    let mut rest = blocks;
    while let Some(first) = rest.first() {
        let start_ms = first.start_ms.div_euclid(range_ms).saturating_mul(range_ms);
        let end_ms = start_ms.saturating_add(range_ms);
        let count = rest.iter().take_while(|block| block.end_ms <= end_ms).count();
        let (group, after) = rest.split_at(count.max(1));
        if count > 0 {
            groups.push(group);
        }
        rest = after;
    }
    groups
}

/// The newest large block from which much was deleted, or a small one from which all was.
fn many_tombstones<'a>(blocks: &'a [PlannedBlock], ranges_ms: &[i64]) -> &'a [PlannedBlock] {
    let large_ms = ranges_ms.get(ranges_ms.len() / 2).copied().unwrap_or(i64::MAX);
    for block in blocks.iter().rev() {
        let only = std::slice::from_ref(block);
        if block.end_ms.wrapping_sub(block.start_ms) < large_ms {
            let is_deleted =
                block.tombstone_count > 0 && block.tombstone_count >= block.series_count;
            return if is_deleted { only } else { &[] };
        }
        let share = block.tombstone_count as f64 / (block.series_count + 1) as f64;
        if share > TOMBSTONES_SHARE_MAX {
            return only;
        }
    }
    &[]
}

/// Blocks that retention has passed, the newest of them first: those that ended `retention_ms` or
/// more before `newest_ms`, but never the newest one. Zero keeps everything.
pub fn beyond_time(blocks: &[PlannedBlock], newest_ms: i64, retention_ms: i64) -> Vec<BlockId> {
    let blocks = newest_first(blocks);
    let is_kept = |block: &PlannedBlock| newest_ms.saturating_sub(block.end_ms) < retention_ms;
    match retention_ms {
        ..=0 => vec![],
        _ => blocks.iter().skip(1).skip_while(|block| is_kept(block)).map(|b| b.id).collect(),
    }
}

/// Blocks for which there is no room, the newest of them first: what is left and `other_bytes` (log
/// and head) is not more than `bytes_max`. Zero keeps everything.
pub fn beyond_size(blocks: &[PlannedBlock], other_bytes: u64, bytes_max: u64) -> Vec<BlockId> {
    if bytes_max == 0 {
        return vec![];
    }
    let mut total = other_bytes;
    let has_room = |block: &PlannedBlock| {
        total = total.saturating_add(block.bytes);
        total <= bytes_max
    };
    let blocks = newest_first(blocks);
    let kept = blocks.iter().map(has_room).take_while(|&has_room| has_room).count();
    ids(&blocks[kept..])
}

fn newest_first(blocks: &[PlannedBlock]) -> Vec<PlannedBlock> {
    let mut blocks = blocks.to_vec();
    blocks.sort_by_key(|block| std::cmp::Reverse(block.end_ms));
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name:start-end`, or `name:start-end:series:tombstones`; `!` behind it: a merge failed.
    fn block(text: &str) -> PlannedBlock {
        let has_failed = text.ends_with('!');
        let parts: Vec<&str> = text.trim_end_matches('!').split([':', '-']).collect();
        let number = |index: usize| parts.get(index).map_or(0, |part| part.parse().unwrap());
        PlannedBlock {
            id: BlockId([parts[0].parse().unwrap(); 16]),
            start_ms: number(1) as i64,
            end_ms: number(2) as i64,
            series_count: number(3),
            tombstone_count: number(4),
            has_failed,
            bytes: 10,
        }
    }

    fn blocks(text: &str) -> Vec<PlannedBlock> {
        text.split_whitespace().map(block).collect()
    }

    fn names(ids: &[BlockId]) -> String {
        ids.iter().map(|id| id.0[0].to_string()).collect::<Vec<_>>().join(" ")
    }

    /// Source of the cases: Prometheus `tsdb/compact_test.go`, `TestLeveledCompactor`.
    #[test]
    fn plans_are_those_of_prometheus() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(names(&plan_merge(&blocks(text), &[20, 60, 180, 540, 1620])), expected);
        }
        check("", "");
        check("1:0-20", "");
        check("1:0-20 2:20-40", "");
        check("1:0-20 2:20-40 3:40-60", "");
        check("1:0-20 2:20-40 3:40-60 4:60-80", "1 2 3");
        check("1:0-20 2:20-40 3:60-80", "");
        check("1:0-20 2:20-40 3:60-80 4:80-100", "1 2");
        check("1:0-20 2:20-40 3:40-60 4:60-120 5:120-180", "1 2 3");
        check("2:20-40 4:60-120 5:960-980 6:120-180 7:720-960", "2 4 6");
        check("1:0-540:10:3", "");
        check("1:0-540:10:3 2:540-560", "1");
        check("1:0-60:10:3 2:60-80", "");
        check("1:0-60:3:3 2:60-80", "1");
        check("1:0-540:0:0 2:540-560", "");
        check("5:0-360 6:540-560 7:360-420 8:420-540", "7 8");
        check("1:0-20 2:19-40 3:40-60", "1 2");
        check("1:0-20 2:20-40 3:30-50", "2 3");
        check("1:0-20 2:10-40 3:30-50", "1 2 3");
        check("5:0-360 6:340-560 7:360-420 8:420-540", "5 6 7 8");
        check("1:0-10 2:9-20 3:30-40 4:39-50", "1 2");
        check("1:0-20 2:20-40! 3:40-60 4:60-80", "");
        check("1:0-20 2:20-40! 3:30-60 4:60-80", "2 3");
    }

    /// Source of the cases: Prometheus `tsdb/compact_test.go`, `TestSplitByRange`.
    #[test]
    fn groups_lie_in_aligned_ranges() {
        #[track_caller]
        fn check(range_ms: i64, ranges: &[(i64, i64)], expected: &[&[(i64, i64)]]) {
            let block = |&(start_ms, end_ms): &(i64, i64)| PlannedBlock {
                start_ms,
                end_ms,
                ..PlannedBlock::default()
            };
            let blocks: Vec<PlannedBlock> = ranges.iter().map(block).collect();
            let groups: Vec<Vec<(i64, i64)>> = split_by_range(&blocks, range_ms)
                .into_iter()
                .map(|group| group.iter().map(|block| (block.start_ms, block.end_ms)).collect())
                .collect();
            assert_eq!(groups, expected);
        }
        check(60, &[(0, 10)], &[&[(0, 10)]]);
        check(60, &[(0, 60)], &[&[(0, 60)]]);
        check(60, &[(0, 10), (9, 15), (30, 60)], &[&[(0, 10), (9, 15), (30, 60)]]);
        let ranges = [(70, 90), (125, 130), (130, 180), (1000, 1001)];
        check(60, &ranges, &[&ranges[..1], &ranges[1..3], &ranges[3..]]);
        check(60, &[(50, 70), (70, 80)], &[&[(70, 80)]]);
        check(72, &[(0, 144), (144, 216), (216, 288)], &[&[(144, 216)], &[(216, 288)]]);
        check(60, &[(-10, -5)], &[&[(-10, -5)]]);
        let ranges = [(-60, -50), (-10, -5), (0, 15)];
        check(60, &ranges, &[&ranges[..2], &ranges[2..]]);
    }

    #[test]
    fn ranges_grow_threefold() {
        assert_eq!(block_ranges(2, 54), [2, 6, 18, 54]);
        assert_eq!(block_ranges(2, 53), [2, 6, 18]);
        assert_eq!(block_ranges(2, 1), [2]);
        assert_eq!(block_ranges(i64::MAX / 2, i64::MAX).len(), 1);
        assert_eq!(block_ranges(1, i64::MAX).len(), 10);
    }

    #[test]
    fn retention_passes_the_oldest() {
        let all = blocks("1:0-20 2:20-40 3:40-60 4:60-80");
        let time = |retention_ms| names(&beyond_time(&all, 80, retention_ms));
        assert_eq!(time(0), "");
        assert_eq!(time(61), "");
        assert_eq!(time(60), "1");
        assert_eq!(time(25), "2 1");
        assert_eq!(time(1), "3 2 1");
        assert_eq!(names(&beyond_time(&all[..1], 80, 1)), "");
        assert_eq!(names(&beyond_time(&all, 45, 10)), "1");
        let size = |other, bytes_max| names(&beyond_size(&all, other, bytes_max));
        assert_eq!(size(5, 0), "");
        assert_eq!(size(5, 45), "");
        assert_eq!(size(6, 45), "1");
        assert_eq!(size(5, 25), "2 1");
        assert_eq!(size(50, 25), "4 3 2 1");
        assert!(beyond_size(&[], 1, 1).is_empty());
    }
}
