//! When a target is scraped, and which timestamp a scrape gets. Time is an argument.
//!
//! Source: Prometheus `scrape/scrape.go` (`run`), `scrape/target.go` (`offset`).

/// Scrapes that come at most this much after their tick get the tick's timestamp: equal distances
/// compress better than a scheduler's jitter.
const ALIGN_TOLERANCE_MS: i64 = 2;

/// Targets whose places lie this close together share one: a thread that is woken for several
/// scrapes at once pays less for each.
const PLACE_MS_MAX: i64 = 20;

/// Places in an interval, at least.
const PLACE_COUNT_MIN: i64 = 50;

/// Milliseconds until a target's first scrape: its own place in the interval, the same after every
/// restart. `seed` spreads several servers with the same targets.
pub fn offset_ms(target_hash: u64, seed: u64, interval_ms: i64, now_ms: i64) -> i64 {
    let place_ms = (interval_ms / PLACE_COUNT_MIN).clamp(1, PLACE_MS_MAX);
    let place = ((target_hash ^ seed) % interval_ms as u64) as i64 / place_ms * place_ms;
    (place - now_ms).rem_euclid(interval_ms)
}

/// The ticks of one loop, on the monotonic clock of whoever asks: a fixed grid. A scrape that takes
/// longer than an interval is followed by the next at once, and further ticks missed are skipped.
#[derive(Clone, Copy, Debug)]
pub struct Ticker {
    interval_ms: i64,
    next_ms: i64,
}

impl Ticker {
    /// A grid that begins now.
    pub fn start(interval_ms: i64, now_ms: i64) -> Ticker {
        Ticker { interval_ms, next_ms: now_ms + interval_ms }
    }

    /// The next tick, which is thereby taken; it may have passed.
    pub fn next_ms(&mut self, now_ms: i64) -> i64 {
        let tick_ms = self.next_ms;
        self.next_ms += self.interval_ms;
        if self.next_ms <= now_ms {
            let missed = (now_ms - self.next_ms) / self.interval_ms + 1;
            self.next_ms += missed * self.interval_ms;
        }
        tick_ms
    }
}

/// Timestamps of scrapes, on the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Aligned {
    interval_ms: i64,
    aligned_ms: i64,
}

impl Aligned {
    pub fn start(interval_ms: i64, now_ms: i64) -> Aligned {
        Aligned { interval_ms, aligned_ms: now_ms }
    }

    /// The timestamp of a scrape that begins now.
    pub fn timestamp_ms(&mut self, now_ms: i64) -> i64 {
        let tolerance_ms = (self.interval_ms / 100).min(ALIGN_TOLERANCE_MS);
        let passed = (now_ms - self.aligned_ms).max(0) / self.interval_ms;
        self.aligned_ms += passed * self.interval_ms;
        if now_ms - self.aligned_ms <= tolerance_ms { self.aligned_ms } else { now_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::{Aligned, Ticker, offset_ms};

    #[test]
    fn a_target_keeps_its_place_in_the_interval() {
        for now_ms in [0, 1, 999, 12_345, 1_700_000_000_123] {
            let offset = offset_ms(1777, 13, 1000, now_ms);
            assert!((0..1000).contains(&offset));
            assert_eq!((now_ms + offset) % 1000, (1777 ^ 13) % 1000 / 20 * 20);
        }
    }

    #[test]
    fn places_fill_the_interval() {
        for (interval_ms, place_count) in [(10, 10), (100, 50), (1000, 50), (15_000, 750)] {
            let offsets = (0..10_000).map(|hash| offset_ms(hash * 7919, 0, interval_ms, 0));
            let places: std::collections::BTreeSet<i64> = offsets.collect();
            assert_eq!(places.len(), place_count, "{interval_ms}");
        }
    }

    #[test]
    fn ticks_keep_to_the_grid() {
        let mut ticker = Ticker::start(100, 1000);
        assert_eq!(ticker.next_ms(1005), 1100);
        assert_eq!(ticker.next_ms(1110), 1200);
        // A scrape of two and a half intervals: one tick is waiting, one was missed.
        assert_eq!(ticker.next_ms(1450), 1300);
        assert_eq!(ticker.next_ms(1460), 1500);
    }

    #[test]
    fn jitter_is_taken_out_of_timestamps() {
        let mut aligned = Aligned::start(1000, 5000);
        assert_eq!(aligned.timestamp_ms(5000), 5000);
        assert_eq!(aligned.timestamp_ms(6002), 6000);
        assert_eq!(aligned.timestamp_ms(7003), 7003);
        assert_eq!(aligned.timestamp_ms(9001), 9000);
        // The wall clock was set back: the grid waits until it has caught up, as Prometheus does.
        assert_eq!(aligned.timestamp_ms(8000), 9000);
    }
}
