//! How long something took that happens thousands of times a second: counts by powers of two.

use std::time::Duration;

use super::Counter;

/// Upper bound of the first bucket, in microseconds; each further one is twice as long.
const FIRST_BOUND_US: u64 = 64;

/// Buckets with a bound: up to 8.4 s.
const BOUND_COUNT: usize = 18;

/// Written by one thread, read by any; a record is two additions without a lock.
#[derive(Debug, Default)]
pub struct Latencies {
    total_ns: Counter,
    /// Each duration in one; the last has no bound.
    buckets: [Counter; BOUND_COUNT + 1],
}

impl Latencies {
    #[inline]
    pub fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // How often the first bound must be doubled to hold it.
        let doublings = ns.div_ceil(FIRST_BOUND_US * 1000).max(1).next_power_of_two().ilog2();
        self.buckets[(doublings as usize).min(BOUND_COUNT)].add(1);
        self.total_ns.add(ns);
    }

    /// Upper bounds of the buckets in seconds, the last one infinite.
    pub fn bounds() -> impl Iterator<Item = f64> {
        let bound = |doublings| (FIRST_BOUND_US << doublings) as f64 / 1e6;
        (0..BOUND_COUNT).map(bound).chain([f64::INFINITY])
    }

    /// Of each bucket, what is in it and in no lower one; in the order of [`Latencies::bounds`].
    pub fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        self.buckets.iter().map(Counter::get)
    }

    pub fn count(&self) -> u64 {
        self.counts().sum()
    }

    /// All of them together.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.total_ns.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_holds_it() {
        #[track_caller]
        fn check(duration: Duration, bound: f64) {
            let latencies = Latencies::default();
            latencies.record(duration);
            let filled =
                Latencies::bounds().zip(latencies.counts()).filter(|&(_, count)| count > 0);
            assert_eq!(filled.collect::<Vec<_>>(), [(bound, 1)]);
            assert_eq!(latencies.total(), duration);
        }
        check(Duration::ZERO, 0.000064);
        check(Duration::from_micros(64), 0.000064);
        check(Duration::from_nanos(64_001), 0.000128);
        check(Duration::from_millis(1), 0.001024);
        check(Duration::from_micros(8_388_608), 8.388608);
        check(Duration::from_secs(9), f64::INFINITY);
        check(Duration::from_secs(1 << 33), f64::INFINITY);
    }
}
