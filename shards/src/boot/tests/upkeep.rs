//! Parts on their way to blocks, their merges and their end by retention, over crashes.

use super::*;

/// Options with blocks of ten seconds and more.
pub(super) fn small_blocks(data_dir: &Path, shard_count: usize) -> BootOptions {
    let mut options = options(data_dir, shard_count);
    options.keep.block_ms_min = 10_000;
    options.keep.block_ms_max = 100_000;
    options
}

/// Has every shard do what is due.
pub(super) async fn maintain_all(shard: &Shard) {
    for other in ShardId::all(shard.count()) {
        if other == shard.id() {
            shard.0.storage.maintain_now().await.unwrap();
            continue;
        }
        let maintain = crate::message::Job::new(|shard: Shard| async move {
            shard.0.storage.maintain_now().await.map_err(|error| error.to_string())
        });
        let answer = shard.0.lanes.control.ask(other, maintain).await.unwrap();
        crate::message::unpack::<Result<(), String>>(answer).unwrap();
    }
}

pub(super) fn total(shard: &Shard, of: fn(&crate::stats::MaintenanceStats) -> u64) -> u64 {
    shard.stats().iter().map(|stats| of(&stats.maintenance)).sum()
}

/// Steps of one sample each of 100 series are all there, from the first second on.
async fn check_steps(shard: &Shard, step_count: i64) {
    let (count, time_ms) = (step_count as f64 * 100.0, step_count * 1000);
    let found = value(shard, "sum(count_over_time(requests[1h]))", time_ms).await;
    let blocks = shard.0.store.borrow().blocks().len();
    assert_eq!(found, count, "{} shards, {blocks} blocks here", shard.count());
    let found = value(shard, "sum(sum_over_time(requests{number=~\"[0-4]\"}[1h]))", time_ms).await;
    assert_eq!(found, step_count as f64 * 10.0);
    // Windows that end inside of blocks.
    let range = QueryRequest::range("sum(count_over_time(requests[7s]))", 10_000, time_ms, 3_000);
    let answer = shard.query(range, &CancelToken::default()).await.unwrap();
    let Value::Matrix { grid, rows } = &answer.outcome.value else { panic!() };
    let steps = usize::try_from((time_ms - 10_000) / 3_000 + 1).unwrap();
    assert_eq!((grid.step_count, rows.values(0)), (steps, &vec![700.0; steps][..]));
    let any = vec![vec![Matcher::new("__name__", MatchOp::Equal, "requests")]];
    assert_eq!(texts(&shard.series(&any, ALWAYS, usize::MAX).await.unwrap()).len(), 100);
    let early = TimeRange { min_ms: 0, max_ms: 5_000 };
    assert_eq!(texts(&shard.series(&any, early, usize::MAX).await.unwrap()).len(), 100);
    assert_eq!(texts(&shard.label_values("number", &any, early, 9999).await.unwrap()).len(), 100);
}

#[test]
fn complete_ranges_move_to_blocks_which_are_merged_and_nothing_changes() {
    let scratch = Scratch::new("boot");
    let first = scratch.path().join("first");
    let image = scratch.path().join("image");
    let (from, to) = (first.clone(), image.clone());
    let running = boot(small_blocks(&first, 2), move |shard| {
        let (from, to) = (from.clone(), to.clone());
        async move {
            for step in 1..=130 {
                shard.ingest(&batch(100, step * 1000), WAIT).await.unwrap();
                if step % 13 == 0 {
                    maintain_all(&shard).await;
                    check_steps(&shard, step).await;
                }
            }
            assert!(total(&shard, |stats| stats.cuts.count.get()) >= 8);
            assert!(total(&shard, |stats| stats.compactions.count.get()) >= 4);
            crash_image(&from, &to);
        }
    });
    running.wait().unwrap();
    let blocks = fs::read_dir(first.join("blocks")).unwrap().count();
    assert!((4..=14).contains(&blocks), "{blocks} blocks");
    // The parts that are left hold the newest samples only.
    assert!(fs::read_dir(first.join("parts/0001/0000")).unwrap().count() <= 5);
    for data_dir in [first, image] {
        for shard_count in [2, 3, 1] {
            let running = boot(small_blocks(&data_dir, shard_count), |shard| async move {
                check_steps(&shard, 130).await;
                maintain_all(&shard).await;
                check_steps(&shard, 130).await;
                let report = shard.ingest(&batch(100, 130_000), WAIT).await.unwrap();
                assert_eq!((report.repeated, report.accepted), (100, 0));
            });
            running.wait().unwrap();
        }
    }
}

#[test]
fn a_crash_while_blocks_are_made_loses_nothing() {
    let scratch = Scratch::new("boot");
    let (first, images) = (scratch.path().join("first"), scratch.path().join("images"));
    let (from, to) = (first.clone(), images.clone());
    let running = boot(small_blocks(&first, 1), move |shard| {
        let (from, to) = (from.clone(), to.clone());
        async move {
            let mut image = 0;
            for step in 1..=50 {
                shard.ingest(&batch(100, step * 1000), WAIT).await.unwrap();
                if step != 30 && step != 50 {
                    continue;
                }
                let maintain = async { shard.0.storage.maintain_now().await.unwrap() };
                let copy = async {
                    loop {
                        crash_image(&from, &to.join(format!("{image:03}-{step}")));
                        image += 1;
                        sleep(Duration::from_micros(200)).await;
                    }
                };
                futures_lite::future::or(maintain, copy).await;
            }
            assert!(image > 6, "{image}");
        }
    });
    running.wait().unwrap();
    for image in fs::read_dir(&images).unwrap() {
        let image = image.unwrap().path();
        let steps: i64 = image.to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
        let running = boot(small_blocks(&image, 1), move |shard| async move {
            check_steps(&shard, steps).await;
            maintain_all(&shard).await;
            check_steps(&shard, steps).await;
        });
        running.wait().unwrap();
    }
}

#[test]
fn retention_removes_blocks_by_time_and_by_size() {
    let scratch = Scratch::new("boot");
    let options = small_blocks(scratch.path(), 1);
    let retention = options.keep.retention.clone();
    let blocks = scratch.path().join("blocks");
    let running = boot(options, move |shard| {
        let (retention, blocks) = (retention.clone(), blocks.clone());
        async move {
            for step in 1..=130 {
                shard.ingest(&batch(100, step * 1000), WAIT).await.unwrap();
            }
            maintain_all(&shard).await;
            check_steps(&shard, 130).await;
            let before = fs::read_dir(&blocks).unwrap().count();
            retention.set(Some(30_000), None);
            maintain_all(&shard).await;
            assert_eq!(total(&shard, |stats| stats.time_retentions.get()), 1);
            assert!(fs::read_dir(&blocks).unwrap().count() < before);
            let left = value(&shard, "sum(count_over_time(requests[1h]))", 130_000).await;
            assert!((3_900.0..4_200.0).contains(&left), "{left}");
            retention.set(None, Some(1));
            maintain_all(&shard).await;
            assert_eq!(fs::read_dir(&blocks).unwrap().count(), 0);
            let left = value(&shard, "sum(count_over_time(requests[1h]))", 130_000).await;
            assert!((500.0..2_000.0).contains(&left), "{left}");
        }
    });
    running.wait().unwrap();
}
