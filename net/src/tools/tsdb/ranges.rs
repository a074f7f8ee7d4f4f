//! Which times a block spans.

/// Shortest block.
const BLOCK_MS: i64 = 2 * 3_600_000;
/// Lengths, each three times the one before.
const STEP_COUNT: u32 = 10;

/// The longest length of blocks that is at most `max_ms`; at least two hours.
pub(super) fn block_ms(max_ms: i64) -> i64 {
    let lengths = (0..STEP_COUNT).map(|step| BLOCK_MS * 3i64.pow(step));
    lengths.take_while(|length| *length <= max_ms.max(BLOCK_MS)).last().unwrap_or(BLOCK_MS)
}

/// Where the block begins that has `time_ms`.
pub(super) fn block_start(time_ms: i64, block_ms: i64) -> i64 {
    time_ms.div_euclid(block_ms) * block_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_two_hours_or_three_times_as_much() {
        let hours = |hours: i64| hours * 3_600_000;
        assert_eq!(block_ms(0), hours(2));
        assert_eq!(block_ms(hours(6) - 1), hours(2));
        assert_eq!(block_ms(hours(20)), hours(18));
        assert_eq!(block_ms(i64::MAX), hours(2 * 19_683));
        assert_eq!(block_start(hours(3), hours(2)), hours(2));
        assert_eq!(block_start(-1, hours(2)), -hours(2));
    }
}
