//! From parts to blocks, when a range of time is complete.
//!
//! ```text
//! newest sample half a range beyond its end ─► flushed ─► a block for each range ─► installed
//!     ─► `cut` says how far, durable ─► parts and series that are not needed any more go
//! ```
//!
//! `cut` is a hint: without it, what is in blocks and parts counts once all the same, and is cut
//! once more.

use std::collections::BTreeSet;
use std::ops::Range;

use engine::block::{BlockError, LabelOrder, MergeScope};
use engine::disk::{Disk, DiskError, DiskErrorKind, Tree};
use engine::model::TimeRange;

use super::MaintainError;
use super::flush::part_name;
use super::merge::NewBlock;
use crate::disk::FileStream;
use crate::runtime::{blocking, now};
use crate::storage::Storage;
use crate::turns::Work;

const CUT: &str = "cut";

/// Labels that are moved between two looks at the clock.
const WORK_PER_LOOK: usize = 512;

/// Series that are looked at in one go.
const EXPIRE_COUNT: u32 = 1024;

/// What `cut` says: the last part, and the time before which blocks have the samples of it and of
/// the parts before it.
pub(crate) async fn read_cut<D: Disk>(disk: &D) -> Result<Option<(u64, i64)>, DiskError> {
    match disk.read(CUT).await {
        Ok(bytes) => Ok(parse_cut(&bytes)),
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse_cut(bytes: &[u8]) -> Option<(u64, i64)> {
    let text = str::from_utf8(bytes).ok()?;
    let (text, checksum) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    if checksum != format!("{:08x}", crc32c::crc32c(text.as_bytes())) {
        return None;
    }
    let (part, before_ms) = text.split_once(' ')?;
    Some((part.parse().ok()?, before_ms.parse().ok()?))
}

async fn write_cut<D: Disk>(disk: &D, last_part: u64, before_ms: i64) -> Result<(), DiskError> {
    let text = format!("{last_part} {before_ms}");
    let text = format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()));
    FileStream::create(disk, CUT).await?.finish(&mut text.into_bytes()).await
}

/// The end of the last range that is complete when the newest sample is of `newest_ms`: half a range
/// is left for samples that come late, as Prometheus does.
pub(super) fn complete_before(newest_ms: i64, range_ms: i64) -> i64 {
    let reach_ms = newest_ms.saturating_sub(range_ms / 2);
    reach_ms.div_euclid(range_ms).saturating_mul(range_ms)
}

impl<T: Tree> Storage<T> {
    /// Moves the samples of complete ranges to blocks. Whether there was one.
    pub(super) async fn cut(&self) -> Result<bool, MaintainError> {
        let Some(end_ms) = self.cut_due() else { return Ok(false) };
        let is_flushed = {
            let store = self.0.store.borrow();
            !store.has_unflushed() && store.parts().last().is_some_and(|part| part.meta().is_base)
        };
        if !is_flushed {
            // A base: after it no earlier part is needed for its labels.
            self.flush(true).await?;
        }
        self.cut_before(end_ms).await?;
        Ok(true)
    }

    /// The time before which samples are to be moved to blocks; `None`: none are.
    pub(super) fn cut_due(&self) -> Option<i64> {
        let (oldest_ms, newest_ms) = self.uncut_span_ms()?;
        let end_ms = complete_before(newest_ms, self.0.keep.block_ms_min);
        // Late samples wait for the next range in order.
        let has_range = self.0.store.borrow().cut_ms() < end_ms;
        (has_range && oldest_ms < end_ms).then_some(end_ms)
    }

    /// Moves all samples of parts before `end_ms` to blocks, each of an aligned range.
    async fn cut_before(&self, end_ms: i64) -> Result<(), MaintainError> {
        let inner = &self.0;
        let begun = now();
        let range_ms = inner.keep.block_ms_min;
        let last_part = inner.store.borrow().parts().last().map_or(0, |last| last.meta().number);
        let all = inner.store.borrow().series_ids();
        let order = self.label_order(all).await;
        for start_ms in self.uncut_ranges(end_ms, range_ms).await? {
            let range = start_ms..start_ms.saturating_add(range_ms).min(end_ms);
            self.cut_range(range, &order).await?;
            if self.is_stopping() {
                return Ok(());
            }
        }
        write_cut(&inner.parts_disk, last_part, end_ms).await?;
        inner.store.borrow_mut().mark_cut(last_part, end_ms);
        self.remove_cut_parts().await?;
        self.expire_before(end_ms).await;
        self.forget_head_tombstones().await?;
        self.own_stats().maintenance.cuts.record(now() - begun);
        Ok(())
    }

    /// Where the ranges before `end_ms` begin that have samples which no block has, ascending. Of late
    /// samples only those ranges that have some: the window may reach back over years.
    pub(super) async fn uncut_ranges(
        &self,
        end_ms: i64,
        range_ms: i64,
    ) -> Result<BTreeSet<i64>, MaintainError> {
        let (late, in_order): (Vec<_>, Vec<_>) = {
            let store = self.0.store.borrow();
            store.uncut_parts().cloned().partition(|(part, _)| part.meta().has_late)
        };
        let in_order = in_order.into_iter();
        let mut oldest_ms =
            in_order.map(|(part, before_ms)| part.meta().min_ms.max(before_ms)).min();
        let mut starts = BTreeSet::new();
        for (part, before_ms) in late {
            let range = TimeRange { min_ms: before_ms, max_ms: end_ms - 1 };
            let (found, in_order_ms) = blocking(move || {
                let mut found = BTreeSet::new();
                let in_order_ms = part.late_ranges(range, range_ms, &mut found)?;
                Ok::<_, BlockError>((found, in_order_ms))
            })
            .await?;
            starts.extend(found);
            oldest_ms = oldest_ms.into_iter().chain(in_order_ms).min();
        }
        let oldest_ms = oldest_ms.unwrap_or(end_ms);
        let mut start_ms = oldest_ms.div_euclid(range_ms).saturating_mul(range_ms);
        while start_ms < end_ms {
            starts.insert(start_ms);
            start_ms = start_ms.saturating_add(range_ms);
        }
        Ok(starts)
    }

    /// Makes the block of one range of these series, which stand in order of their labels.
    pub(super) async fn cut_range(
        &self,
        range: Range<i64>,
        order: &[u32],
    ) -> Result<(), MaintainError> {
        let inner = &self.0;
        let samples = TimeRange { min_ms: range.start, max_ms: range.end - 1 };
        let source = inner.store.borrow().cut_source(samples, order);
        let Some(source) = source else { return Ok(()) };
        let scope = MergeScope { range: samples, ..MergeScope::default() };
        // A range that has its block gets another one beside it, and the two are merged later.
        let is_out_of_order = range.end <= inner.store.borrow().cut_ms();
        let new = NewBlock { level: 1, parents: vec![], range, is_out_of_order };
        let block = self.merge(vec![source], scope, new).await?;
        if block.is_some() {
            inner.store.borrow_mut().replace_blocks(&[], block);
        }
        Ok(())
    }

    /// Time of the samples of the head and the parts that no block has.
    fn uncut_span_ms(&self) -> Option<(i64, i64)> {
        let store = self.0.store.borrow();
        let (oldest_ms, newest_ms) = store.head().time_span_ms()?;
        Some((
            store.oldest_uncut_ms().map_or(oldest_ms, |part_ms| part_ms.min(oldest_ms)),
            newest_ms,
        ))
    }

    /// Ids of series of the head in order of their labels.
    pub(super) async fn label_order(&self, series: Vec<u32>) -> Vec<u32> {
        let inner = &self.0;
        let mut order = LabelOrder::new(series);
        loop {
            let turn = inner.turns.begin(Work::Background).await;
            let store = inner.store.borrow();
            // Nobody removes series meanwhile: that is the task that runs this.
            let compare = |series, other| store.compare_series(series, other);
            loop {
                if let Some(order) = order.step(compare, WORK_PER_LOOK) {
                    return order;
                }
                if turn.is_over() {
                    break;
                }
            }
        }
    }

    async fn remove_cut_parts(&self) -> Result<(), DiskError> {
        let inner = &self.0;
        let dropped = inner.store.borrow_mut().drop_cut_parts();
        for &number in &dropped {
            // Queries that read it still have it mapped.
            inner.parts_disk.remove(&part_name(number)).await?;
        }
        if dropped.is_empty() { Ok(()) } else { inner.parts_disk.sync_dir().await }
    }

    /// Forgets series that have no sample since `before_ms`, in turns.
    pub(super) async fn expire_before(&self, before_ms: i64) {
        let inner = &self.0;
        let mut next = Some(0);
        while let Some(first) = next {
            let _turn = inner.turns.begin(Work::Background).await;
            next = inner.store.borrow_mut().expire_some(before_ms, first, EXPIRE_COUNT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{complete_before, parse_cut};

    #[test]
    fn a_damaged_cut_says_nothing() {
        let text = format!("7 -120000 {:08x}\n", crc32c::crc32c(b"7 -120000"));
        assert_eq!(parse_cut(text.as_bytes()), Some((7, -120_000)));
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse_cut(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn a_range_is_complete_half_a_range_later() {
        assert_eq!(complete_before(299, 100), 200);
        assert_eq!(complete_before(250, 100), 200);
        assert_eq!(complete_before(249, 100), 100);
        assert_eq!(complete_before(-51, 100), -200);
        assert_eq!(complete_before(0, 100), -100);
    }
}
