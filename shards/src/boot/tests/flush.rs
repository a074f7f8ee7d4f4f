//! From memory to parts, over crashes and other numbers of shards.

use super::*;

#[test]
fn a_flush_cuts_the_log_and_a_crash_at_any_step_of_it_loses_nothing() {
    let scratch = Scratch::new("boot");
    let first = scratch.path().join("first");
    let images = scratch.path().join("images");
    let (from, to) = (first.clone(), images.clone());
    let mut options = options(&first, 1);
    options.wal.segment_bytes = 64 << 10;
    let running = boot(options, move |shard| {
        let (from, to) = (from.clone(), to.clone());
        async move {
            for step in 1..=30 {
                shard.ingest(&batch(300, step * 1000), WAIT).await.unwrap();
            }
            let before = fs::read_dir(from.join("log/0001/0000")).unwrap().count();
            // Images are made while the flush is under way.
            let flush = std::pin::pin!(shard.0.storage.flush_now());
            let mut image = 0;
            let copy = async {
                loop {
                    crash_image(&from, &to.join(image.to_string()));
                    image += 1;
                    sleep(Duration::from_micros(100)).await;
                }
            };
            futures_lite::future::or(async { flush.await.unwrap() }, copy).await;
            let after = fs::read_dir(from.join("log/0001/0000")).unwrap().count();
            assert!(after + 2 <= before, "{after} of {before} segments are left");
            assert_eq!(shard.own_stats().maintenance.flushes.count.get(), 1);
            crash_image(&from, &to.join("after"));
            assert_eq!(value(&shard, "sum(count_over_time(requests[1h]))", 99_000).await, 9000.0);
        }
    });
    running.wait().unwrap();
    for image in fs::read_dir(&images).unwrap() {
        with_shards(&image.unwrap().path(), 1, |shard| async move {
            assert_eq!(value(&shard, "sum(count_over_time(requests[1h]))", 99_000).await, 9000.0);
            assert_eq!(shard.ingest(&batch(300, 31_000), WAIT).await.unwrap().accepted, 300);
        });
    }
}

#[test]
fn what_another_shard_count_left_is_taken_over_and_removed() {
    let scratch = Scratch::new("boot");
    let exists = |path: &str| scratch.path().join(path).exists();
    let count = "sum(count_over_time(requests[1h]))";
    with_shards(scratch.path(), 2, |shard| async move {
        for step in 1..=10 {
            shard.ingest(&batch(300, step * 1000), WAIT).await.unwrap();
        }
    });
    assert!(exists("log/0001") && exists("parts/0001"));
    with_shards(scratch.path(), 3, move |shard| async move {
        assert_eq!(value(&shard, count, 99_000).await, 3000.0);
        assert_eq!(shard.ingest(&batch(300, 11_000), WAIT).await.unwrap().accepted, 300);
        for other in ShardId::all(3) {
            let flush = crate::message::Job::new(|shard: Shard| async move {
                shard.0.storage.maintain_now().await.map_err(|error| error.to_string())
            });
            match other == shard.id() {
                true => shard.0.storage.maintain_now().await.unwrap(),
                false => {
                    let answer = shard.0.lanes.control.ask(other, flush).await.unwrap();
                    crate::message::unpack::<Result<(), String>>(answer).unwrap();
                }
            }
        }
    });
    assert!(!exists("log/0001") && !exists("parts/0001"));
    with_shards(scratch.path(), 1, move |shard| async move {
        assert_eq!(value(&shard, count, 99_000).await, 3300.0);
    });
}

#[test]
fn what_was_deleted_stays_deleted_over_a_change_of_the_shard_count() {
    let scratch = Scratch::new("boot");
    let count = "sum(count_over_time(requests[1h]))";
    with_shards(scratch.path(), 2, move |shard| async move {
        for step in 1..=10 {
            shard.ingest(&batch(100, step * 1000), WAIT).await.unwrap();
        }
        let some = vec![Matcher::new("number", MatchOp::Regexp, "1.")];
        let early = TimeRange { min_ms: 0, max_ms: 6_000 };
        shard.delete_series(some, early).await.unwrap();
        shard.ingest(&batch(100, 11_000), WAIT).await.unwrap();
        assert_eq!(value(&shard, count, 99_000).await, 1040.0);
    });
    for shard_count in [3, 1, 1] {
        with_shards(scratch.path(), shard_count, move |shard| async move {
            assert_eq!(value(&shard, count, 99_000).await, 1040.0);
        });
    }
}

#[test]
fn nothing_is_deleted_before_all_is_taken_over() {
    let scratch = Scratch::new("boot");
    let count = "sum(count_over_time(requests[1h]))";
    with_shards(scratch.path(), 2, move |shard| async move {
        for step in 1..=10 {
            shard.ingest(&batch(100, step * 1000), WAIT).await.unwrap();
        }
    });
    with_shards(scratch.path(), 3, move |shard| async move {
        let some = vec![Matcher::new("number", MatchOp::Regexp, "1.")];
        let early = TimeRange { min_ms: 0, max_ms: 6_000 };
        let why = shard.0.storage.delete_here(&some, early).await.unwrap_err().to_string();
        assert!(why.contains("being taken over"), "{why}");
        upkeep::maintain_all(&shard).await;
        shard.delete_series(some, early).await.unwrap();
        assert_eq!(value(&shard, count, 99_000).await, 940.0);
    });
    for shard_count in [3, 2, 1] {
        with_shards(scratch.path(), shard_count, move |shard| async move {
            assert_eq!(value(&shard, count, 99_000).await, 940.0);
        });
    }
}
