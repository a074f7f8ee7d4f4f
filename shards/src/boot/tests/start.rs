//! What a start finds and refuses.

use super::*;

#[test]
fn what_was_acknowledged_survives_a_crash_and_changes_of_the_shard_count() {
    let scratch = Scratch::new("boot");
    for sync in [WalSync::Batch, WalSync::Interval(Duration::from_millis(10)), WalSync::Os] {
        let mut data_dir = scratch.path().join(format!("{sync:?}-0"));
        for (life, shard_count) in [2, 2, 3, 1, 4].into_iter().enumerate() {
            let image = scratch.path().join(format!("{sync:?}-{}", life + 1));
            let (from, to) = (data_dir.clone(), image.clone());
            let mut options = options(&data_dir, shard_count);
            options.wal.sync = sync;
            let running = boot(options, move |shard| {
                let (from, to) = (from.clone(), to.clone());
                async move {
                    let before = life as i64 * 10;
                    if life > 0 {
                        let count = "sum(count_over_time(requests[1h]))";
                        assert_eq!(value(&shard, count, 100_000).await, before as f64 * 300.0);
                    }
                    for step in 1..=10 {
                        let batch = batch(300, (before + step) * 1000);
                        let report = shard.ingest(&batch, WAIT).await.unwrap();
                        assert_eq!(report.accepted, 300);
                    }
                    crash_image(&from, &to);
                }
            });
            running.wait().unwrap();
            data_dir = image;
        }
    }
}

#[test]
fn a_directory_is_taken_by_one_process() {
    let scratch = Scratch::new("boot");
    let running = boot(options(scratch.path(), 1), |shard| async move { shard.stopping().await });
    let Err(refused) = start(options(scratch.path(), 1), |_| async {}) else { panic!() };
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
    let begun = Instant::now();
    running.stop();
    running.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
    boot(options(scratch.path(), 1), |_| async {}).wait().unwrap();
}

#[test]
fn a_start_that_fails_says_why() {
    let scratch = Scratch::new("boot");
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    let check = |data_dir: &Path, shard_count, expected: &str| {
        let started = start(options(data_dir, shard_count), wait).and_then(Rising::ready);
        let Err(refused) = started else { panic!() };
        assert!(refused.to_string().contains(expected), "{refused}");
    };
    check(&file.join("below"), 1, "cannot be made");
    check(scratch.path(), 0, "0 shards: 1 to 1024 can be run");
    let later = "hearth-layout 9\n";
    let later = format!("{later}crc32c {:08x}\n", crc32c::crc32c(later.as_bytes()));
    fs::write(scratch.path().join("layout"), &later).unwrap();
    check(scratch.path(), 1, "layout: \"hearth-layout 9\" where \"hearth-layout 2\" belongs");
    fs::remove_file(scratch.path().join("layout")).unwrap();
    // A log of a later version is not touched.
    with_shards(scratch.path(), 1, |shard| async move {
        shard.ingest(&batch(1, 1), WAIT).await.unwrap();
    });
    let segment = scratch.path().join("log/0001/0000/00000001.wal");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[8] = 9;
    let crc = engine::wal::SegmentHeader::decode(&bytes).unwrap_err();
    let engine::wal::SegmentError::Checksum { computed, .. } = crc else { panic!("{crc:?}") };
    bytes[60..64].copy_from_slice(&computed.to_le_bytes());
    fs::write(&segment, &bytes).unwrap();
    check(scratch.path(), 1, "00000001.wal: segment format version 9");
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_damaged_segment_costs_its_frames_and_is_kept() {
    let scratch = Scratch::new("boot");
    let (first, image) = (scratch.path().join("first"), scratch.path().join("image"));
    let (from, to) = (first.clone(), image.clone());
    with_shards(&first, 1, move |shard| {
        let (from, to) = (from.clone(), to.clone());
        async move {
            for step in 1..=50 {
                shard.ingest(&batch(20, step * 1000), WAIT).await.unwrap();
            }
            crash_image(&from, &to);
        }
    });
    let scratch = image;
    let segment = scratch.join("log/0001/0000/00000001.wal");
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    let frame = bytes[..end / 2].windows(4).rposition(|four| four == [0xf5, 0x48, 0x57, 0x9a]);
    let middle = frame.unwrap() + 40;
    bytes[middle..middle + 8].fill(0xff);
    fs::write(&segment, &bytes).unwrap();
    {
        let heard = Arc::new(Heard::default());
        let mut options = options(&scratch, 1);
        options.reporter = heard.clone();
        let running = boot(options, |shard| async move {
            let left = value(&shard, "sum(count_over_time(requests[1h]))", 50_000).await;
            assert!((900.0..1000.0).contains(&left), "{left}");
        });
        running.wait().unwrap();
        let heard = heard.0.lock().unwrap();
        let told = heard.iter().find_map(|event| match event {
            Event::LogDamaged { message, .. } => Some(message),
            _ => None,
        });
        let kept = scratch.join("quarantine/wal-0001-0000-00000001.wal");
        assert!(told.unwrap().ends_with(&format!("kept as {}", kept.display())), "{told:?}");
        assert_eq!(fs::read(kept).unwrap(), bytes);
    }
}

#[test]
fn whoever_serves_runs_while_the_logs_are_read() {
    let scratch = Scratch::new("boot");
    with_shards(scratch.path(), 2, |shard| async move {
        for step in 1..=20 {
            shard.ingest(&batch(300, step * 1000), WAIT).await.unwrap();
        }
    });
    let served = start(options(scratch.path(), 2), |starting| async move {
        // Nothing was read before this ran: reading begins with the first park.
        assert_eq!(starting.stats()[starting.id().index()].replay.segments_read.get(), 0);
        let shard = starting.ready().await.unwrap();
        assert!(starting.stats().iter().all(|stats| stats.replay.segments_read.get() > 0));
        assert_eq!(value(&shard, "count(requests)", 20_000).await, 300.0);
    });
    served.and_then(Rising::ready).unwrap().wait().unwrap();

    // Told to stop while it reads, the process ends without a word.
    let rising = start(options(scratch.path(), 2), wait).unwrap();
    rising.stopper().stop();
    rising.ready().unwrap().wait().unwrap();
}
