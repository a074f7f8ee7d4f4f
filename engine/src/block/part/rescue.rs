//! What is left of a part that is damaged: the series whose chunks can be read, in a part of the same
//! number.
//!
//! Labels, metadata and exemplars are left out: the caller has written a base behind it.

use std::sync::Arc;

use super::PartMeta;
use super::read::{Part, PartChunk};
use super::write::{PartPlan, PartWriter};

/// Writes the part anew, in pieces.
#[derive(Debug)]
pub struct PartRescue {
    damaged: Arc<Part>,
    writer: PartWriter,
    /// The group that comes next.
    group: u64,
    last: Option<u32>,
}

impl PartRescue {
    /// Begins the part that takes the place of `damaged`, of which nothing was verified before.
    pub fn new(damaged: Arc<Part>, out: &mut Vec<u8>) -> PartRescue {
        let meta = damaged.meta();
        let plan = PartPlan {
            number: meta.number,
            shard: meta.shard,
            shard_count: meta.shard_count,
            epoch: meta.epoch,
            is_base: false,
            next_lsn: meta.next_lsn,
            id_count: meta.id_count,
        };
        PartRescue { writer: PartWriter::new(plan, out), damaged, group: 0, last: None }
    }

    /// Takes over the next `group_count` groups of series; true when that were all.
    pub fn step(&mut self, group_count: u64, out: &mut Vec<u8>) -> bool {
        let end = self.damaged.group_count();
        let to = end.min(self.group.saturating_add(group_count));
        for group in self.group..to {
            let writer = &mut self.writer;
            let last = &mut self.last;
            // What cannot be read of a group is lost; what was read of it is not.
            let _ = self.damaged.walk_group(group, |series, chunks: Vec<PartChunk<'_>>| {
                if last.is_none_or(|last| last < series) {
                    *last = Some(series);
                    for chunk in chunks {
                        writer.push_chunk(series, chunk.bytes, chunk.is_late, out);
                    }
                }
            });
        }
        self.group = to;
        to == end
    }

    /// Ends the file.
    pub fn finish(self, out: &mut Vec<u8>) -> PartMeta {
        self.writer.finish(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode;

    const SERIES_COUNT: u32 = 300;

    fn part() -> Vec<u8> {
        let mut out = vec![];
        let plan = PartPlan { number: 7, shard_count: 1, id_count: 900, ..PartPlan::default() };
        let mut writer = PartWriter::new(plan, &mut out);
        let mut work = encode::Columns::default();
        for series in (0..SERIES_COUNT).map(|number| 3 * number) {
            for is_late in [false, true] {
                let times_ms: Vec<i64> = (0..50).map(|n| n * 1000 + i64::from(is_late)).collect();
                let values: Vec<f64> =
                    times_ms.iter().map(|&t| (t ^ i64::from(series)) as f64).collect();
                let mut chunk = vec![];
                encode::encode(&times_ms, &values, &mut work, &mut chunk);
                writer.push_chunk(series, &chunk, is_late, &mut out);
            }
        }
        writer.finish(&mut out);
        out
    }

    fn rescue(bytes: Vec<u8>) -> Part {
        let damaged = Arc::new(Part::open(Arc::new(bytes)).unwrap());
        let mut out = vec![];
        let mut rescue = PartRescue::new(damaged, &mut out);
        while !rescue.step(1, &mut out) {}
        let meta = rescue.finish(&mut out);
        let part = Part::open(Arc::new(out)).unwrap();
        assert_eq!(*part.meta(), meta);
        part
    }

    #[test]
    fn the_series_that_can_be_read_are_taken_over() {
        let whole = part();
        let original = Part::open(Arc::new(whole.clone())).unwrap();
        /// `pages`: those that are damaged; `lost`: how many series are, at least and at most.
        #[track_caller]
        fn check(
            whole: &[u8],
            original: &Part,
            pages: &[usize],
            lost: std::ops::RangeInclusive<u64>,
        ) {
            let mut bytes = whole.to_vec();
            pages.iter().for_each(|page| bytes[page * 4096 + 100] ^= 4);
            let left = rescue(bytes);
            let meta = left.meta();
            assert_eq!((meta.number, meta.id_count, meta.is_base), (7, 900, false));
            assert!(lost.contains(&(u64::from(SERIES_COUNT) - meta.series_count)), "{meta:?}");
            let mut seen = 0;
            for series in 0..3 * SERIES_COUNT {
                let found: Vec<_> = left.chunks(series).unwrap().map(Result::unwrap).collect();
                if !found.is_empty() {
                    let theirs = original.chunks(series).unwrap().map(Result::unwrap);
                    assert!(found.into_iter().eq(theirs));
                    seen += 1;
                }
            }
            assert_eq!(seen, meta.series_count);
        }
        check(&whole, &original, &[], 0..=0);
        check(&whole, &original, &[1], 64..=128);
        check(&whole, &original, &[1, 2, 3], 64..=300);
        let all: Vec<usize> = (0..(whole.len() - 2000) / 4096).collect();
        check(&whole, &original, &all, 236..=300);
    }
}
