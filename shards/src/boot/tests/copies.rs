//! What the blocks of all shards hold, for whoever copies it.

use engine::block::prometheus::{NewBlock, StartTimestamps};

use super::scrub::put_guest;
use super::upkeep::*;
use super::*;
use crate::guests::BlockDir;

const RANGE_MS: i64 = 10_000;

/// The samples of each range that is finished, by the range's end, written to blocks below `to`.
async fn copied(shard: &Shard, to: &Path) -> Vec<(i64, u64)> {
    let mut copied = vec![];
    let mut from_ms = i64::MIN;
    while let Some(span) = shard.finished_span(from_ms).await.unwrap() {
        let start_ms = span.start.div_euclid(RANGE_MS) * RANGE_MS;
        from_ms = start_ms + RANGE_MS;
        if from_ms > span.end {
            break;
        }
        let range = TimeRange { min_ms: start_ms, max_ms: from_ms - 1 };
        let sources = shard.block_sources(range).await.unwrap();
        let id = engine::block::BlockId([copied.len() as u8 + 1; 16]);
        let new = NewBlock { id, start_ms, end_ms: from_ms, level: 1, ..NewBlock::default() };
        let mut block = BlockDir::create(to, new, StartTimestamps::Drop).unwrap();
        block.merge(sources, range, |_| true).unwrap();
        let meta = block.finish().unwrap();
        copied.push((from_ms, meta.map_or(0, |meta| meta.stats.sample_count)));
    }
    copied
}

#[test]
fn a_range_has_the_samples_of_own_blocks_and_of_prometheus() {
    /// `uploaded`: what the sidecar has copied before. `expected`: samples of the ranges, by their ends.
    #[track_caller]
    fn check(uploaded: Option<&str>, expected: &'static [(i64, u64)]) {
        let scratch = Scratch::new("copies");
        let (data_dir, to) = (scratch.path().join("data"), scratch.path().join("to"));
        fs::create_dir_all(&data_dir).unwrap();
        // A sample a second of the series 10 to 19, from 1 s to 59 s.
        put_guest(&data_dir, 7);
        if let Some(uploaded) = uploaded {
            fs::write(data_dir.join("thanos.shipper.json"), uploaded).unwrap();
        }
        let running = boot(small_blocks(&data_dir, 2), move |shard| {
            let to = to.clone();
            async move {
                // In the last range of that block, and behind it.
                for time_ms in [55_000, 65_000, 75_000, 95_000] {
                    shard.ingest(&batch(12, time_ms), WAIT).await.unwrap();
                }
                maintain_all(&shard).await;
                let of = vec![Matcher::new("number", MatchOp::Equal, "11")];
                let some = TimeRange { min_ms: 0, max_ms: 4_000 };
                shard.delete_series(of, some).await.unwrap();
                assert_eq!(copied(&shard, &to).await, expected);
            }
        });
        running.wait().unwrap();
    }
    // Of the series 10 and 11 both have a sample at 55 s, which counts once.
    let all: &[(i64, u64)] = &[
        (10_000, 86),
        (20_000, 100),
        (30_000, 100),
        (40_000, 100),
        (50_000, 100),
        (60_000, 110),
        (70_000, 12),
        (80_000, 12),
    ];
    let own: &[(i64, u64)] = &[(60_000, 12), (70_000, 12), (80_000, 12)];
    let name = engine::block::BlockId([7; 16]);
    check(None, all);
    check(Some("{"), all);
    check(Some(r#"{"version":1,"uploaded":null}"#), all);
    let listed = format!(r#"{{"version":1,"uploaded":["{name}"]}}"#);
    check(Some(&listed), own);
}
