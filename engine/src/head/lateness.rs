//! How far samples out of order lie behind the newest sample: a histogram.
//!
//! Source: Prometheus `tsdb/head.go`, `prometheus_tsdb_sample_ooo_delta`: observed of every sample that
//! is not newer than its series' newest, whether the window takes it or not.

/// Upper bounds of the buckets, in milliseconds; behind them is one without.
pub const LATENESS_BOUNDS_MS: [i64; 7] = [
    10 * MINUTE_MS,
    30 * MINUTE_MS,
    60 * MINUTE_MS,
    2 * 60 * MINUTE_MS,
    3 * 60 * MINUTE_MS,
    6 * 60 * MINUTE_MS,
    12 * 60 * MINUTE_MS,
];

const MINUTE_MS: i64 = 60_000;

/// Samples by how late they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// By bucket, each for itself.
    pub counts: [u64; LATENESS_BOUNDS_MS.len() + 1],
    /// Sum of the delays.
    pub sum_ms: u64,
}

impl Lateness {
    /// A sample was so far behind the newest one; one that was not is not counted.
    pub(super) fn observe(&mut self, behind_ms: i64) {
        if behind_ms > 0 {
            self.counts[LATENESS_BOUNDS_MS.partition_point(|&bound_ms| bound_ms < behind_ms)] += 1;
            self.sum_ms = self.sum_ms.saturating_add(behind_ms as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lateness;

    #[test]
    fn bounds_belong_to_their_buckets() {
        let mut lateness = Lateness::default();
        for behind_ms in [-5, 0, 1, 600_000, 600_001, 43_200_000, 43_200_001, i64::MAX] {
            lateness.observe(behind_ms);
        }
        assert_eq!(lateness.counts, [2, 1, 0, 0, 0, 0, 1, 2]);
        assert!(lateness.sum_ms > i64::MAX as u64);
    }
}
