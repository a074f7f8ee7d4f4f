//! When a group is evaluated. Time is an argument.
//!
//! Source: Prometheus `rules/group.go` (`EvalTimestamp`, `run`).

use xxhash_rust::xxh64::xxh64;

/// Groups wake at ticks, so that those whose slots lie close together are evaluated in one go, by a
/// shard that is awake. A tick is this part of an interval,
const TICKS_PER_INTERVAL: i64 = 40;
/// and at most so long. It delays an evaluation, not the time that it is of.
const TICK_MS_MAX: i64 = 500;

/// The evaluation times of one group: one slot an interval, at the group's own place in it, the
/// same after every restart and the same as Prometheus's.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    interval_ms: i64,
    /// The slot last taken.
    slot_ms: i64,
}

/// A slot whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub time_ms: i64,
    /// Slots before it that passed without an evaluation.
    pub missed: i64,
}

impl Schedule {
    /// Begins with the next slot after `now_ms`.
    pub fn start(file: &str, name: &str, interval_ms: i64, now_ms: i64) -> Schedule {
        let interval_ms = interval_ms.max(1);
        let offset_ns = place(file, name) % (interval_ms as u64).saturating_mul(1_000_000);
        let offset_ms = (offset_ns / 1_000_000) as i64;
        let since_slot_ms = (now_ms - offset_ms).rem_euclid(interval_ms);
        Schedule { interval_ms, slot_ms: now_ms - since_slot_ms }
    }

    /// When the next slot is.
    pub fn next_ms(&self) -> i64 {
        self.slot_ms + self.interval_ms
    }

    /// How long to wait for the first tick at or after the next slot; never longer than an interval,
    /// even when the clock was set back.
    pub fn wait_ms(&self, now_ms: i64) -> i64 {
        let slot_ms = self.next_ms();
        let tick_ms = (self.interval_ms / TICKS_PER_INTERVAL).clamp(1, TICK_MS_MAX);
        let to_tick_ms = (-slot_ms).rem_euclid(tick_ms);
        (slot_ms + to_tick_ms - now_ms).clamp(0, self.interval_ms)
    }

    /// Takes the newest slot that has come by `now_ms`. After waiting as told there is one.
    pub fn take(&mut self, now_ms: i64) -> Due {
        let passed = ((now_ms - self.slot_ms).div_euclid(self.interval_ms)).max(1);
        self.slot_ms += passed * self.interval_ms;
        // A clock that was set back takes the slots back with it.
        if self.slot_ms - now_ms > self.interval_ms {
            let ahead = (self.slot_ms - now_ms) / self.interval_ms;
            self.slot_ms -= ahead * self.interval_ms;
        }
        Due { time_ms: self.slot_ms, missed: passed - 1 }
    }
}

/// A group's place among all groups: the hash that Prometheus takes of its file and name.
pub fn place(file: &str, name: &str) -> u64 {
    let mut bytes = Vec::with_capacity(file.len() + name.len() + 16);
    for text in ["file", file, "name", name] {
        match u8::try_from(text.len()) {
            Ok(length) if length < u8::MAX => bytes.push(length),
            _ => {
                bytes.push(u8::MAX);
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh64(&bytes, 0)
}

#[cfg(test)]
mod tests {
    use super::{Due, Schedule, TICK_MS_MAX};

    #[test]
    fn a_group_keeps_its_place_in_the_interval() {
        let place_of = |now_ms| {
            let mut schedule = Schedule::start("rules.yml", "a", 60_000, now_ms);
            let wait_ms = schedule.wait_ms(now_ms);
            assert!((1..=60_000).contains(&wait_ms));
            let due = schedule.take(now_ms + wait_ms);
            assert_eq!(due.missed, 0);
            // Woken at a tick, soon after the slot.
            assert!((0..TICK_MS_MAX).contains(&(now_ms + wait_ms - due.time_ms)));
            due.time_ms % 60_000
        };
        let place = place_of(0);
        for now_ms in [1, 59_999, place, 1_700_000_000_123] {
            assert_eq!(place_of(now_ms), place);
        }
        assert_ne!(super::place("a", "b"), super::place("b", "a"));
    }

    #[test]
    fn groups_wake_at_ticks() {
        let check = |interval_ms, slot_ms, now_ms, expected_ms| {
            let schedule = Schedule { interval_ms, slot_ms };
            assert_eq!(schedule.wait_ms(now_ms), expected_ms);
        };
        check(60_000, 1, 1, 60_000); // The tick is 499 ms later, and no wait is longer.
        check(60_000, 1, 10_000, 50_500);
        check(60_000, 500, 10_500, 50_000);
        check(4000, 1010, 2010, 3090);
        check(39, 1010, 1020, 29);
    }

    #[test]
    fn slots_that_passed_are_missed() {
        let mut schedule = Schedule { interval_ms: 100, slot_ms: 1000 };
        assert_eq!(schedule.wait_ms(1005), 95);
        assert_eq!(schedule.take(1101), Due { time_ms: 1100, missed: 0 });
        // An evaluation of three and a half intervals: the newest slot is taken at once.
        assert_eq!(schedule.wait_ms(1450), 0);
        assert_eq!(schedule.take(1450), Due { time_ms: 1400, missed: 2 });
        assert_eq!(schedule.wait_ms(1460), 40);
        // Woken a moment too early by a clock that runs apart: the slot is taken as it is.
        assert_eq!(schedule.take(1499), Due { time_ms: 1500, missed: 0 });
        // The clock was set back by an hour of slots.
        assert_eq!(schedule.wait_ms(-1000), 100);
        assert_eq!(schedule.take(-900).missed, 0);
        assert!(schedule.wait_ms(-900) <= 100);
    }
}
