//! Which shard a series lives on: the single function, and the split of a batch by it.

mod split;

pub use split::{Part, Split};

/// Position of a shard among the shards of this process: dense, from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// All shards of a process of `count`.
    pub fn all(count: usize) -> impl Iterator<Item = ShardId> + Clone {
        assert!(count <= engine::limits::SHARD_COUNT_MAX);
        (0..count as u16).map(ShardId)
    }
}

/// Name of [`shard_of`] with the hash it is fed, as `boot`'s layout records it.
pub const ROUTE_NAME: &str = "xxh3-64/multiply-high";

/// The shard, of `count`, of the series with the stable hash `hash`.
///
/// The high half of a product: it follows the hash's high bits, so that the low bits, which pick
/// slots in the shard's table, stay evenly spread within a shard.
#[inline]
pub fn shard_of(hash: u64, count: usize) -> ShardId {
    debug_assert!((1..=engine::limits::SHARD_COUNT_MAX).contains(&count));
    ShardId(((u128::from(hash) * count as u128) >> 64) as u16)
}

#[cfg(test)]
mod tests {
    use super::{ShardId, shard_of};

    #[track_caller]
    fn check(hash: u64, count: usize, expected: u16) {
        assert_eq!(shard_of(hash, count), ShardId(expected));
    }

    #[test]
    fn routes_never_change() {
        check(0, 1, 0);
        check(u64::MAX, 1, 0);
        check(u64::MAX / 2, 2, 0);
        check(u64::MAX / 2 + 1, 2, 1);
        check(0x2d06_8005_38d3_94c2, 1024, 180);
        check(u64::MAX, 1024, 1023);
        assert_eq!(ShardId::all(3).collect::<Vec<_>>(), [ShardId(0), ShardId(1), ShardId(2)]);
    }

    #[test]
    fn shards_get_even_shares() {
        for count in [1, 2, 3, 7, 64] {
            let mut shares = vec![0u32; count];
            for series in 0..64_000u64 {
                let name = series.to_string();
                let labels = engine::model::Labels::from_pairs([("a", &name)]);
                shares[shard_of(labels.as_ref().stable_hash(), count).index()] += 1;
            }
            let fair = 64_000 / count as u32;
            assert!(shares.iter().all(|&share| share.abs_diff(fair) * 5 < fair), "{shares:?}");
        }
    }
}
