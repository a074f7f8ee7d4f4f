//! Damage that nobody has met yet, in parts and in blocks of Prometheus.

use std::os::unix::fs::FileExt;

use engine::block::SeriesSamples;
use engine::block::prometheus::{NewBlock, StartTimestamps};

use super::*;
use crate::guests::BlockDir;

/// Flips a bit of a file at `offset`.
fn damage(path: &Path, offset: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
}

/// What was told of damage.
fn damages(heard: &Heard) -> Vec<String> {
    let heard = heard.0.lock().unwrap();
    let told = heard.iter().filter_map(|event| match event {
        Event::LogDamaged { path, message } => Some(format!("{}: {message}", path.display())),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_damaged_part_gives_way_to_its_series_that_are_whole() {
    let scratch = Scratch::new("scrub");
    let heard = Arc::new(Heard::default());
    let mut options = options(scratch.path(), 1);
    options.reporter = heard.clone();
    options.settings.set_late_window(1_000_000);
    let part = scratch.path().join("parts/0001/0000/00000001.part");
    let told = heard.clone();
    let running = boot(options, move |shard| {
        let (part, told) = (part.clone(), told.clone());
        async move {
            let storage = &shard.0.storage;
            for time_ms in [10_000, 20_000, 15_000] {
                shard.ingest(&batch(400, time_ms), WAIT).await.unwrap();
            }
            storage.flush_now().await.unwrap();
            let count = "sum(count_over_time(requests[1h]))";
            // Pages that queries have read are verified once more.
            assert_eq!(value(&shard, count, 30_000).await, 1200.0);
            storage.scrub_now().await;
            assert_eq!(damages(&told), [""; 0]);
            damage(&part, 4096 + 50);
            storage.scrub_now().await;
            let [told] = &damages(&told)[..] else { panic!() };
            assert!(told.contains("of its 400 series, 10000 to 20000 ms, are whole"), "{told}");
            let left = value(&shard, count, 30_000).await;
            // A page has some of one to three groups of 64 series.
            assert!([1.0, 2.0, 3.0].contains(&((1200.0 - left) / (3.0 * 64.0))), "{left}");
            let stats = &shard.stats()[0].maintenance;
            assert_eq!((stats.damages.get(), stats.failures.get()), (1, 0));
            assert!(stats.scrubbed_bytes.get() > 0);
            storage.scrub_now().await;
            assert_eq!(stats.damages.get(), 1);
            // All series go on, also those of which nothing is left.
            let report = shard.ingest(&batch(400, 40_000), WAIT).await.unwrap();
            assert_eq!((report.accepted, report.new_series), (400, 0));
        }
    });
    running.wait().unwrap();
    assert!(scratch.path().join("quarantine/part-0001-0000-00000001.part").exists());
    with_shards(scratch.path(), 1, |shard| async move {
        let all = value(&shard, "count(count_over_time(requests[1h]))", 50_000).await;
        assert_eq!(all, 400.0);
        let left = value(&shard, "sum(count_over_time(requests[1h]))", 50_000).await;
        assert!([1.0, 2.0, 3.0].contains(&((1600.0 - left) / (3.0 * 64.0))), "{left}");
    });
}

/// Puts a block of Prometheus into the directory; returns its name.
pub(super) fn put_guest(data_dir: &Path, number: u8) -> String {
    let id = engine::block::BlockId([number; 16]);
    let new = NewBlock { id, start_ms: 0, end_ms: 60_000, level: 1, ..NewBlock::default() };
    let mut block = BlockDir::create(data_dir, new, StartTimestamps::Drop).unwrap();
    for series in 10..20 {
        let mut samples = SeriesSamples::default();
        for step in 1..60 {
            samples.timestamps_ms.push(step * 1000);
            samples.values.push(f64::from((series * step as i32) % 17) / 3.0);
        }
        block.push(labels(series as u64).as_ref(), &samples).unwrap();
    }
    block.finish().unwrap().unwrap();
    id.to_string()
}

#[test]
fn damage_in_blocks_of_prometheus_is_told_and_left() {
    /// `told` is part of what is told once `file` is damaged `offset` bytes from its start, or from its
    /// end when that is negative; empty: nothing is.
    #[track_caller]
    fn check(file: &str, offset: i64, told: &'static str) {
        let scratch = Scratch::new("scrub");
        let name = put_guest(scratch.path(), 7);
        let path = scratch.path().join(&name).join(file);
        let heard = Arc::new(Heard::default());
        let mut options = options(scratch.path(), 2);
        options.reporter = heard.clone();
        let running = boot(options, move |shard| {
            let (path, heard) = (path.clone(), heard.clone());
            async move {
                shard.scrub_guests(None).await;
                assert_eq!(damages(&heard), [""; 0]);
                let length = fs::metadata(&path).unwrap().len();
                let at = length.checked_add_signed(offset).filter(|_| offset < 0);
                damage(&path, at.unwrap_or(offset as u64));
                shard.scrub_guests(None).await;
                let damages = damages(&heard);
                let stats = &shard.stats()[0].maintenance;
                assert_eq!(stats.damages.get(), damages.len() as u64);
                assert_eq!(damages.len(), usize::from(!told.is_empty()));
                assert!(damages.iter().all(|damage| damage.contains(told)), "{damages:?}");
                assert!(path.exists() && stats.scrubbed_bytes.get() > 0);
            }
        });
        running.wait().unwrap();
    }
    check("chunks/000001", 6, "");
    check("chunks/000001", 40, "chunk checksum");
    check("chunks/000001", -1, "chunk checksum");
    check("chunks/000001", 0, "header of chunks");
    check("index", 0, "index header");
    check("index", -1, "table of contents");
    check("index", 12, "symbols");
    check("tombstones", -1, "what was deleted of it");
}
