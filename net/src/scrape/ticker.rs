//! When a target is scraped, and which timestamp a scrape gets. Time is an argument.
//!
//! Source: Prometheus `scrape/scrape.go` (`run`), `scrape/target.go` (`offset`).

/// Scrapes that come at most this much after their tick get the tick's timestamp: equal distances
/// compress better than a scheduler's jitter.
const ALIGN_TOLERANCE_MS: i64 = 2;

/// Milliseconds until a target's first scrape: its own place in the interval, the same after every
/// restart. `seed` spreads several servers with the same targets.
pub fn offset_ms(target_hash: u64, seed: u64, interval_ms: i64, now_ms: i64) -> i64 {
    let base = interval_ms - now_ms.rem_euclid(interval_ms);
    let next = base + ((target_hash ^ seed) % interval_ms as u64) as i64;
    if next > interval_ms { next - interval_ms } else { next }
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

    /// Milliseconds to wait for the next tick, which is thereby taken.
    pub fn next_in_ms(&mut self, now_ms: i64) -> i64 {
        let tick_ms = self.next_ms;
        self.next_ms += self.interval_ms;
        if self.next_ms <= now_ms {
            let missed = (now_ms - self.next_ms) / self.interval_ms + 1;
            self.next_ms += missed * self.interval_ms;
        }
        (tick_ms - now_ms).max(0)
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
            assert!((0..=1000).contains(&offset));
            assert_eq!((now_ms + offset) % 1000, (1777 ^ 13) % 1000);
        }
    }

    #[test]
    fn ticks_keep_to_the_grid() {
        let mut ticker = Ticker::start(100, 1000);
        assert_eq!(ticker.next_in_ms(1005), 95);
        assert_eq!(ticker.next_in_ms(1110), 90);
        // A scrape of two and a half intervals: one tick is waiting, one was missed.
        assert_eq!(ticker.next_in_ms(1450), 0);
        assert_eq!(ticker.next_in_ms(1460), 40);
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
