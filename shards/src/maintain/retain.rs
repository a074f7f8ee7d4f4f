//! Blocks that retention has passed go.
//!
//! Retention is measured at the newest sample, as Prometheus does, but not beyond the clock; and when
//! time has leapt, nothing is forgotten for a day: a clock that was wrong for a while deletes nothing.

use std::time::{Duration, Instant};

use engine::block::{BlockId, PlannedBlock, beyond_size, beyond_time};
use engine::disk::Tree;
use engine::store::OpenGuest;

use super::MaintainError;
use crate::runtime::{now, unix_ms};
use crate::storage::Storage;

/// Time of samples that goes on by more than this and the time that has passed meanwhile has leapt.
const LEAP_MS: i64 = 24 * 60 * 60 * 1000;

/// So long after a leap retention goes by the time before it.
const HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// The time at which retention is measured.
#[derive(Debug, Default)]
pub(crate) struct RetentionClock {
    /// The time that was believed last, and when.
    believed: Option<(i64, Instant)>,
    /// When a leap was seen that is not believed yet.
    leapt: Option<Instant>,
}

impl RetentionClock {
    /// The newest time that `blocks` are held against.
    fn newest_ms(
        &mut self,
        blocks: &[PlannedBlock],
        retention_ms: i64,
        unix_ms: i64,
        now: Instant,
    ) -> i64 {
        let Some(end_ms) = blocks.iter().map(|block| block.end_ms).max() else { return i64::MIN };
        let newest_ms = end_ms.min(unix_ms);
        let (believed_ms, at) = *self
            .believed
            .get_or_insert_with(|| (before_gap(blocks, retention_ms).unwrap_or(newest_ms), now));
        if newest_ms <= believed_ms {
            // A clock that was set back, or one that is right again.
            self.leapt = None;
            return newest_ms;
        }
        let passed_ms = i64::try_from((now - at).as_millis()).unwrap_or(i64::MAX);
        let reach_ms = believed_ms.saturating_add(passed_ms).saturating_add(LEAP_MS);
        if newest_ms > reach_ms && now - *self.leapt.get_or_insert(now) < HOLD {
            return believed_ms;
        }
        self.leapt = None;
        self.believed = Some((newest_ms, now));
        newest_ms
    }
}

/// The end of the last block before a gap that is longer than retention, and than a leap: what comes
/// behind it was written by a clock that had leapt, or after a long rest.
fn before_gap(blocks: &[PlannedBlock], retention_ms: i64) -> Option<i64> {
    let mut blocks = blocks.to_vec();
    blocks.sort_by_key(|block| block.start_ms);
    let mut end_ms = blocks.first()?.end_ms;
    let mut before = None;
    for block in &blocks {
        if block.start_ms.saturating_sub(end_ms) > retention_ms.max(LEAP_MS) {
            before = Some(end_ms);
        }
        end_ms = end_ms.max(block.end_ms);
    }
    before
}

impl<T: Tree> Storage<T> {
    /// Own blocks and this shard's share of those of Prometheus, as retention sees them.
    fn kept_blocks(&self) -> Vec<PlannedBlock> {
        let store = self.0.store.borrow();
        let share = |guest: &OpenGuest| {
            PlannedBlock::new(&guest.summary(), 0, guest.block.file_bytes() / self.count() as u64)
        };
        let guests = store.guests().iter().map(share);
        self.planned_blocks().into_iter().chain(guests).collect()
    }

    /// Blocks that retention has passed: by time, and of the others by size.
    fn passed(&self) -> (Vec<BlockId>, Vec<BlockId>) {
        let retention = &self.0.keep.retention;
        let mut kept = self.kept_blocks();
        let retention_ms = retention.time_ms().unwrap_or(0);
        let newest_ms = {
            let mut clock = self.0.retention_clock.borrow_mut();
            clock.newest_ms(&kept, retention_ms, unix_ms(), now())
        };
        let by_time = beyond_time(&kept, newest_ms, retention_ms);
        kept.retain(|block| !by_time.contains(&block.id));
        let by_size = match retention.bytes() {
            None => vec![],
            Some(bytes_max) => {
                let part_bytes = self.own_stats().maintenance.part_bytes.get();
                let share = bytes_max / self.count() as u64;
                beyond_size(&kept, part_bytes + self.log_bytes(), share.max(1))
            }
        };
        (by_time, by_size)
    }

    /// Blocks of Prometheus that retention has passed.
    pub(crate) fn guests_passed(&self) -> Vec<BlockId> {
        let (by_time, by_size) = self.passed();
        let store = self.0.store.borrow();
        let guests = store.guests().iter().map(|guest| guest.block.id());
        guests.filter(|id| by_time.contains(id) || by_size.contains(id)).collect()
    }

    /// Removes blocks that retention has passed.
    pub(super) async fn retain(&self) -> Result<(), MaintainError> {
        let stats = &self.own_stats().maintenance;
        let own: Vec<BlockId> = self.planned_blocks().iter().map(|block| block.id).collect();
        let (mut by_time, mut by_size) = self.passed();
        by_time.retain(|id| own.contains(id));
        by_size.retain(|id| own.contains(id));
        if !by_time.is_empty() {
            stats.time_retentions.add(1);
            self.forget_blocks(&by_time).await?;
        }
        if !by_size.is_empty() {
            stats.size_retentions.add(1);
            self.forget_blocks(&by_size).await?;
        }
        Ok(())
    }

    async fn forget_blocks(&self, ids: &[BlockId]) -> Result<(), MaintainError> {
        self.0.store.borrow_mut().replace_blocks(ids, None);
        self.remove_blocks(ids).await
    }

    /// Bytes of the own log's files, about.
    fn log_bytes(&self) -> u64 {
        self.own_stats().wal.segments.get() * self.0.wal.segment_bytes() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 60 * 60 * 1000;
    const DAY_MS: i64 = 24 * HOUR_MS;
    const RETENTION_MS: i64 = 15 * DAY_MS;
    /// Of every case at its begin.
    const UNIX_MS: i64 = 1_700_000_000_000;

    /// Blocks of two hours that end so many hours before the begin, and after it.
    fn blocks(ends_h: &[i64]) -> Vec<PlannedBlock> {
        let block = |&end_h: &i64| {
            let end_ms = UNIX_MS + end_h * HOUR_MS;
            PlannedBlock { start_ms: end_ms - 2 * HOUR_MS, end_ms, ..PlannedBlock::default() }
        };
        ends_h.iter().map(block).collect()
    }

    /// Looks at a clock: hours that have passed, hours by which the wall clock is wrong then, ends of
    /// blocks, and the newest time that is believed, in hours.
    #[track_caller]
    fn check(looks: &[(u64, i64, &[i64], i64)]) {
        let (mut clock, begun) = (RetentionClock::default(), Instant::now());
        for &(passed_h, wrong_h, ends_h, expected_h) in looks {
            let unix_ms = UNIX_MS + (passed_h as i64 + wrong_h) * HOUR_MS;
            let now = begun + Duration::from_secs(passed_h * 3600);
            let newest_ms = clock.newest_ms(&blocks(ends_h), RETENTION_MS, unix_ms, now);
            assert_eq!((newest_ms - UNIX_MS) / HOUR_MS, expected_h, "after {passed_h} h");
        }
    }

    #[test]
    fn time_that_goes_on_is_believed() {
        check(&[(0, 0, &[-360, -2, 0], 0), (2, 0, &[-358, 0, 2], 2), (30, 0, &[0, 30], 30)]);
        // A directory of long ago, and one that grows by an hour's import.
        check(&[(0, 0, &[-9000, -8998], -8998), (1, 0, &[-9000, -8980], -8980)]);
    }

    #[test]
    fn the_first_block_is_no_leap() {
        let (mut clock, now) = (RetentionClock::default(), Instant::now());
        assert_eq!(clock.newest_ms(&[], RETENTION_MS, UNIX_MS, now), i64::MIN);
        assert_eq!(clock.newest_ms(&blocks(&[0]), RETENTION_MS, UNIX_MS, now), UNIX_MS);
    }

    #[test]
    fn a_clock_that_leaps_deletes_nothing() {
        let year_h = 365 * 24;
        for wrong_h in [1, 24, 25, 24 * 30, year_h] {
            let after_h = if wrong_h <= 24 { wrong_h + 2 } else { 0 };
            let future = [-2, 0, wrong_h + 2];
            check(&[
                (0, 0, &[-2, 0], 0),
                // It leaps, and is set right within the day: what came meanwhile is no measure.
                (1, wrong_h, &future, after_h.min(wrong_h + 1)),
                (2, 0, &future, 2),
                (4, 0, &[-2, 0, 4, wrong_h + 2], 4),
            ]);
        }
        // Back: nothing is older than it was.
        check(&[(0, 0, &[-2, 0], 0), (1, -year_h, &[-2, 0], 1 - year_h), (2, 0, &[-2, 2], 2)]);
    }

    #[test]
    fn a_leap_that_lasts_is_believed_after_a_day() {
        let rested = [-24 * 40, 0];
        check(&[
            (0, 0, &rested, -24 * 40),
            (23, 0, &rested, -24 * 40),
            (24, 0, &rested, 0),
            (26, 0, &[-24 * 40, 26], 26),
        ]);
    }
}
