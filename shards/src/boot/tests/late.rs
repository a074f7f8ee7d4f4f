//! Samples out of order, from their requests to blocks, over crashes, deletion and snapshots.

use super::upkeep::*;
use super::*;

const COUNT: &str = "sum(count_over_time(requests[2h]))";
const SUM: &str = "sum(sum_over_time(requests[2h]))";

fn late_blocks(data_dir: &std::path::Path, shard_count: usize) -> BootOptions {
    let options = small_blocks(data_dir, shard_count);
    options.settings.set_late_window(100_000);
    options
}

/// What 100 series of a sample each have after so many steps: a sample's value is its series'
/// number, 4950 together.
async fn check_count(shard: &Shard, steps: usize) {
    assert_eq!(value(shard, COUNT, 140_000).await, steps as f64 * 100.0);
    assert_eq!(value(shard, SUM, 140_000).await, steps as f64 * 4950.0);
}

#[test]
fn late_samples_are_judged_by_the_window() {
    let scratch = Scratch::new("late");
    let mut options = options(scratch.path(), 3);
    options.keep.block_ms_min = 40_000;
    let settings = options.settings.clone();
    let running = boot(options, move |shard| {
        let settings = settings.clone();
        async move {
            shard.ingest(&batch(50, 100_000), WAIT).await.unwrap();
            let verdict = async |time_ms: i64| {
                let report = shard.ingest(&batch(50, time_ms), WAIT).await.unwrap();
                let verdicts: Vec<Verdict> = report.refused.iter().map(|r| r.verdict).collect();
                assert!(verdicts.is_empty() || verdicts == [verdicts[0]; 50]);
                (verdicts.first().copied(), report.accepted, report.repeated)
            };
            assert_eq!(verdict(90_000).await, (Some(Verdict::OutOfOrder), 0, 0));
            assert_eq!(verdict(70_000).await, (Some(Verdict::OutOfBounds), 0, 0));
            settings.set_late_window(50_000);
            assert_eq!(verdict(90_000).await, (None, 50, 0));
            assert_eq!(verdict(90_000).await, (None, 0, 50));
            assert_eq!(verdict(50_000).await, (None, 50, 0));
            assert_eq!(verdict(49_999).await, (Some(Verdict::TooOld), 0, 0));
            let refused = IngestOptions { late: LateSamples::Refused, ..WAIT };
            let report = shard.ingest(&batch(50, 60_000), refused).await.unwrap();
            assert_eq!(report.refused[0].verdict, Verdict::OutOfOrder);
            // A new series may begin with a late sample.
            assert_eq!(shard.ingest(&batch(60, 60_000), WAIT).await.unwrap().new_series, 10);
            settings.set_late_window(0);
            assert_eq!(verdict(90_000).await, (Some(Verdict::OutOfOrder), 0, 0));
            assert_eq!(value(&shard, COUNT, 140_000).await, 210.0);
        }
    });
    running.wait().unwrap();
}

#[test]
fn late_samples_go_to_parts_and_blocks_and_survive_crashes() {
    let scratch = Scratch::new("late");
    let first = scratch.path().join("first");
    let images = scratch.path().join("images");
    let (from, to) = (first.clone(), images.clone());
    let running = boot(late_blocks(&first, 2), move |shard| {
        let (from, to) = (from.clone(), to.clone());
        async move {
            let mut steps = 0;
            for step in 1..=130 {
                // Half of the steps come later, some after their range was cut.
                for late in [step - 3, step - 31] {
                    let is_late =
                        late > 0 && late % 2 == 0 && (late % 4 == 0) == (late == step - 3);
                    if is_late {
                        let report = shard.ingest(&batch(100, late * 1000), WAIT).await.unwrap();
                        assert_eq!((report.accepted, report.repeated), (100, 0), "{late}");
                        steps += 1;
                    }
                }
                if step % 2 == 1 {
                    shard.ingest(&batch(100, step * 1000), WAIT).await.unwrap();
                    steps += 1;
                }
                if step % 13 == 0 {
                    check_count(&shard, steps).await;
                    crash_image(&from, &to.join(format!("{step}-{steps}")));
                    maintain_all(&shard).await;
                    check_count(&shard, steps).await;
                    crash_image(&from, &to.join(format!("{step}a-{steps}")));
                }
            }
            let late: u64 = shard.stats().iter().map(|stats| stats.samples_late.get()).sum();
            assert!(late >= 4_000, "{late}");
            assert!(total(&shard, |stats| stats.compactions.count.get()) >= 4);
        }
    });
    running.wait().unwrap();
    for image in fs::read_dir(&images).unwrap() {
        let image = image.unwrap().path();
        let steps = image.to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
        for shard_count in [2, 3] {
            let running = boot(late_blocks(&image, shard_count), move |shard| async move {
                check_count(&shard, steps).await;
                maintain_all(&shard).await;
                check_count(&shard, steps).await;
            });
            running.wait().unwrap();
        }
    }
}

#[test]
fn late_samples_are_deleted_and_taken_into_snapshots() {
    let scratch = Scratch::new("late");
    let first = scratch.path().join("first");
    let snapshot = first.join("snapshots/now");
    let running = boot(late_blocks(&first, 2), |shard| async move {
        shard.ingest(&batch(100, 90_000), WAIT).await.unwrap();
        let mut late = batch(100, 40_000);
        let series = late.push_series(labels(777).as_ref());
        late.push_sample(series, 41_000, 777.0);
        shard.ingest(&late, WAIT).await.unwrap();
        shard.snapshot("now", true).await.unwrap();
        let of = |number: &str| vec![Matcher::new("number", MatchOp::Equal, number)];
        let all = TimeRange { min_ms: 0, max_ms: 60_000 };
        shard.delete_series(of("7"), all).await.unwrap();
        shard.delete_series(of("777"), all).await.unwrap();
        assert_eq!(value(&shard, COUNT, 140_000).await, 199.0);
        assert_eq!(
            value(&shard, "sum(count_over_time(requests{number=\"7\"}[2h]))", 95_000).await,
            1.0
        );
    });
    running.wait().unwrap();
    for (data_dir, count) in [(first, 199.0), (snapshot, 201.0)] {
        let running = boot(late_blocks(&data_dir, 2), move |shard| async move {
            assert_eq!(value(&shard, COUNT, 140_000).await, count);
            // A series that has late samples only goes on in order.
            let mut more = Batch::default();
            let series = more.push_series(labels(777).as_ref());
            more.push_sample(series, 70_000, 1.0);
            assert_eq!(shard.ingest(&more, WAIT).await.unwrap().accepted, 1);
            shard.ingest(&batch(100, 130_000), WAIT).await.unwrap();
            maintain_all(&shard).await;
            assert_eq!(value(&shard, COUNT, 140_000).await, count + 101.0);
        });
        running.wait().unwrap();
    }
}

#[test]
fn late_samples_of_a_time_that_was_deleted_are_seen_wherever_they_go() {
    let scratch = Scratch::new("late");
    let data_dir = scratch.path().join("data");
    let image = scratch.path().join("image");
    let (from, to) = (data_dir.clone(), image.clone());
    let running = boot(late_blocks(&data_dir, 2), move |shard| {
        let (from, to) = (from.clone(), to.clone());
        async move {
            for step in [10, 20, 30, 40] {
                shard.ingest(&batch(100, step * 1000), WAIT).await.unwrap();
            }
            let tens = vec![Matcher::new("number", MatchOp::Regexp, "1.")];
            let early = TimeRange { min_ms: 0, max_ms: 25_000 };
            shard.delete_series(tens, early).await.unwrap();
            assert_eq!(value(&shard, COUNT, 140_000).await, 380.0);
            // One that was deleted, and one that never was there.
            assert_eq!(shard.ingest(&batch(20, 20_000), WAIT).await.unwrap().accepted, 20);
            assert_eq!(shard.ingest(&batch(20, 22_000), WAIT).await.unwrap().accepted, 20);
            assert_eq!(value(&shard, COUNT, 140_000).await, 410.0);
            crash_image(&from, &to);
            maintain_all(&shard).await;
            assert_eq!(value(&shard, COUNT, 140_000).await, 410.0);
        }
    });
    running.wait().unwrap();
    for (data_dir, shard_count) in [(&data_dir, 2), (&image, 2), (&data_dir, 3), (&image, 1)] {
        let running = boot(late_blocks(data_dir, shard_count), |shard| async move {
            assert_eq!(value(&shard, COUNT, 140_000).await, 410.0);
            maintain_all(&shard).await;
            assert_eq!(value(&shard, COUNT, 140_000).await, 410.0);
        });
        running.wait().unwrap();
    }
}
