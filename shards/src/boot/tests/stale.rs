//! Series that ended: out of memory before their time, readable all the same, over crashes.

use engine::model::STALE_NAN_BITS;

use super::upkeep::*;
use super::*;

const COUNT: &str = "sum(count_over_time(requests[2h]))";

/// Staleness markers of the series `from..100`.
fn markers(from: u64, timestamp_ms: i64) -> Batch {
    let mut batch = Batch::default();
    for number in from..100 {
        let series = batch.push_series(labels(number).as_ref());
        batch.push_sample(series, timestamp_ms, f64::from_bits(STALE_NAN_BITS));
    }
    batch
}

async fn series_in_memory(shard: &Shard) -> usize {
    shard.head_stats(1).await.unwrap().series_count
}

/// 100 series of 20 samples each, 60 of which ended behind them.
async fn check_samples(shard: &Shard) {
    assert_eq!(value(shard, COUNT, 25_000).await, 2000.0);
    assert_eq!(value(shard, "count(requests)", 20_500).await, 100.0);
    assert_eq!(value(shard, "count(requests)", 25_000).await, 40.0);
    assert_eq!(value(shard, "sum(sum_over_time(requests[2h]))", 25_000).await, 20.0 * 4950.0);
    let values = texts(&shard.label_values("number", &[], ALWAYS, usize::MAX).await.unwrap());
    assert_eq!(values.len(), 100);
}

#[test]
fn many_series_that_ended_leave_memory_and_nothing_changes() {
    let scratch = Scratch::new("stale");
    let (first, image) = (scratch.path().join("first"), scratch.path().join("image"));
    let options = options(&first, 2);
    let settings = options.settings.clone();
    let (from, to) = (first.clone(), image.clone());
    let running = boot(options, move |shard| {
        let (settings, from, to) = (settings.clone(), from.clone(), to.clone());
        async move {
            for step in 1..=20 {
                shard.ingest(&batch(100, step * 1000), WAIT).await.unwrap();
            }
            shard.ingest(&markers(40, 21_000), WAIT).await.unwrap();
            shard.ingest(&batch(40, 22_000), WAIT).await.unwrap();
            maintain_all(&shard).await;
            assert_eq!(series_in_memory(&shard).await, 100, "nobody asked for it");
            let stale: u64 = shard.stats().iter().map(|stats| stats.stale_series.get()).sum();
            assert_eq!(stale, 60);
            settings.set_stale_share(0.9);
            maintain_all(&shard).await;
            assert_eq!(series_in_memory(&shard).await, 100, "they are less than that");
            settings.set_stale_share(0.3);
            maintain_all(&shard).await;
            assert_eq!(series_in_memory(&shard).await, 40);
            assert_eq!(total(&shard, |stats| stats.stale_compactions.count.get()), 2);
            assert_eq!(value(&shard, COUNT, 25_000).await, 2040.0);
            crash_image(&from, &to);
            // One comes back: as a new series, with its old samples.
            let mut again = Batch::default();
            let series = again.push_series(labels(70).as_ref());
            again.push_sample(series, 23_000, 70.0);
            assert_eq!(shard.ingest(&again, WAIT).await.unwrap().new_series, 1);
            assert_eq!(series_in_memory(&shard).await, 41);
            let one = "sum(count_over_time(requests{number=\"70\"}[2h]))";
            assert_eq!(value(&shard, one, 25_000).await, 21.0);
            maintain_all(&shard).await;
            assert_eq!(value(&shard, one, 25_000).await, 21.0);
        }
    });
    running.wait().unwrap();
    for data_dir in [first, image.clone(), image] {
        let running = boot(super::options(&data_dir, 2), |shard| async move {
            let one = "sum(count_over_time(requests{number=\"71\"}[2h]))";
            assert_eq!(value(&shard, one, 25_000).await, 20.0);
            assert_eq!(value(&shard, "count(requests)", 20_500).await, 100.0);
            maintain_all(&shard).await;
            assert_eq!(value(&shard, one, 25_000).await, 20.0);
        });
        running.wait().unwrap();
    }
}

#[test]
fn a_cut_merges_them_with_the_others() {
    let scratch = Scratch::new("stale");
    let options = small_blocks(scratch.path(), 1);
    options.settings.set_stale_share(0.5);
    let running = boot(options, move |shard| async move {
        for step in 1..=20 {
            shard.ingest(&batch(100, step * 1000), WAIT).await.unwrap();
        }
        shard.ingest(&markers(40, 21_000), WAIT).await.unwrap();
        maintain_all(&shard).await;
        assert_eq!(series_in_memory(&shard).await, 40);
        check_samples(&shard).await;
        for step in 30..=60 {
            shard.ingest(&batch(40, step * 1000), WAIT).await.unwrap();
            maintain_all(&shard).await;
        }
        check_samples(&shard).await;
        assert_eq!(value(&shard, "count(requests)", 60_000).await, 40.0);
        assert!(total(&shard, |stats| stats.compactions.count.get()) > 0);
    });
    running.wait().unwrap();
}
