//! What hearth says of the times it stood still, so that a long acknowledgement has a cause: the
//! disk, a shard, or neither, and then the host.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::net::SocketAddr;

use crate::client::Connection;

/// Families of hearth's `/metrics`, and what a table calls the longest that they count.
const FAMILIES: [(&str, &str); 2] = [
    ("hearth_wal_write_duration_seconds", "longest write of the log, ms, at most"),
    ("hearth_shard_round_duration_seconds", "longest round of a shard, ms, at most"),
];

/// A reading of the buckets, all since the start of the server.
pub struct Waits([Buckets; FAMILIES.len()]);

/// By shard, cumulative counts by upper bound in seconds, ascending.
type Buckets = BTreeMap<String, Vec<(f64, u64)>>;

impl Waits {
    /// Asks hearth.
    pub fn read(address: SocketAddr) -> Result<Waits> {
        let page = Connection::open(address)?.get("/metrics")?;
        let page = String::from_utf8(page.body).map_err(Error::other)?;
        Ok(Waits(FAMILIES.map(|(family, _)| buckets(&page, family))))
    }

    /// What was longest since `before`, by name, in milliseconds: the bound of the highest bucket
    /// that something came into, zero if nothing did.
    pub fn longest_since(&self, before: &Waits) -> [(&'static str, f64); FAMILIES.len()] {
        let longest = |index: usize| {
            let (now, before) = (&self.0[index], &before.0[index]);
            let shards = now.iter().map(|(shard, now)| longest(now, before.get(shard)));
            shards.fold(0.0, f64::max) * 1e3
        };
        std::array::from_fn(|index| (FAMILIES[index].1, longest(index)))
    }
}

fn buckets(page: &str, family: &str) -> Buckets {
    let mut buckets = Buckets::new();
    for line in page.lines() {
        let rest = line.strip_prefix(family).and_then(|rest| rest.strip_prefix("_bucket{shard=\""));
        let Some((shard, rest)) = rest.and_then(|rest| rest.split_once("\",le=\"")) else {
            continue;
        };
        let Some((bound, count)) = rest.split_once("\"} ") else { continue };
        if let (Ok(bound), Ok(count)) = (bound.parse(), count.parse()) {
            buckets.entry(shard.to_owned()).or_default().push((bound, count));
        }
    }
    buckets
}

fn longest(now: &[(f64, u64)], before: Option<&Vec<(f64, u64)>>) -> f64 {
    let before = |index: usize| before.and_then(|before| before.get(index)).map_or(0, |b| b.1);
    let (mut longest, mut below) = (0.0, 0);
    for (index, &(bound, count)) in now.iter().enumerate() {
        let since = count - before(index);
        if since > below {
            longest = bound;
        }
        below = since;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_the_bound_of_the_highest_bucket_that_grew() {
        #[track_caller]
        fn check(before: [u64; 3], now: [u64; 3], longest_ms: f64) {
            let read = |counts: [u64; 3]| {
                let lines = ["0.001", "0.002", "+Inf"].iter().zip(counts).map(|(bound, count)| {
                    let family = FAMILIES[1].0;
                    format!("{family}_bucket{{shard=\"1\",le=\"{bound}\"}} {count}\n")
                });
                let page = lines.collect::<String>();
                Waits(FAMILIES.map(|(family, _)| buckets(&page, family)))
            };
            let longest = read(now).longest_since(&read(before));
            assert_eq!(longest, [(FAMILIES[0].1, 0.0), (FAMILIES[1].1, longest_ms)]);
        }
        check([0, 0, 0], [0, 0, 0], 0.0);
        check([5, 6, 7], [5, 6, 7], 0.0);
        check([5, 6, 7], [6, 7, 8], 1.0);
        check([5, 6, 7], [5, 9, 10], 2.0);
        check([5, 6, 7], [5, 6, 8], f64::INFINITY);
    }
}
