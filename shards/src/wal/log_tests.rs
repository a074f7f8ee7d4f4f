use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::disk::mem::{MemDisk, MemFile};
use engine::disk::{DISK_ALIGN, Disk, DiskError, DiskErrorKind, FileBytes};
use engine::model::{Batch, Labels, MatchOp, Matcher, Samples, Selection, Source, TimeRange};
use engine::store::{Flushed, Store, StoreOptions};
use engine::wal::{Chain, FrameWriter, SampleColumns};

use super::{Start, Wal};
use crate::disk::RingDisk;
use crate::observe::{Event, Reporter, Silent};
use crate::route::ShardId;
use crate::runtime::{run, sleep};
use crate::scratch::Scratch;
use crate::stats::WalStats;
use crate::wal::{Replayed, SegmentStarts, Space, WalError, WalOptions, WalSync, Writer, replay};

const SEGMENT_BYTES: usize = 64 << 10;

/// A log that begins.
fn first() -> Start {
    Start {
        writer: Writer { shard: 0, shard_count: 1, epoch: 0 },
        chain: Chain { next_lsn: 1, last_crc: 0 },
        segment: 1,
        is_prepared: false,
        starts: SegmentStarts::default(),
    }
}

/// A disk that several logs use one after the other, and that fails when told to.
#[derive(Clone, Default)]
struct Shared(Rc<MemDisk>);

impl Disk for Shared {
    type File = MemFile;

    async fn create(&self, name: &str, bytes: u64) -> Result<MemFile, DiskError> {
        self.0.create(name, bytes).await
    }
    async fn create_empty(&self, name: &str) -> Result<MemFile, DiskError> {
        self.0.create_empty(name).await
    }
    async fn append(&self, file: &MemFile, bytes: Vec<u8>) -> (Result<(), DiskError>, Vec<u8>) {
        self.0.append(file, bytes).await
    }
    async fn map(&self, name: &str) -> Result<FileBytes, DiskError> {
        self.0.map(name).await
    }
    async fn open(&self, name: &str) -> Result<MemFile, DiskError> {
        self.0.open(name).await
    }
    async fn write_at<B: AsRef<[u8]> + 'static>(
        &self,
        file: &MemFile,
        offset: u64,
        buffer: B,
    ) -> (Result<(), DiskError>, B) {
        self.0.write_at(file, offset, buffer).await
    }
    async fn sync(&self, file: &MemFile) -> Result<(), DiskError> {
        self.0.sync(file).await
    }
    async fn sync_dir(&self) -> Result<(), DiskError> {
        self.0.sync_dir().await
    }
    async fn read(&self, name: &str) -> Result<Vec<u8>, DiskError> {
        self.0.read(name).await
    }
    async fn list(&self) -> Result<Vec<String>, DiskError> {
        self.0.list().await
    }
    async fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.0.rename(from, to).await
    }
    async fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.0.remove(name).await
    }
    async fn quarantine(&self, name: &str) -> Result<String, DiskError> {
        self.0.quarantine(name).await
    }
    async fn shorten(&self, name: &str, bytes: u64) -> Result<(), DiskError> {
        self.0.shorten(name, bytes).await
    }
}

fn options(sync: WalSync) -> WalOptions {
    let retry_delay = Duration::from_millis(10);
    WalOptions { sync, segment_bytes: SEGMENT_BYTES, retry_delay, ..WalOptions::default() }
}

/// The store that `disk` holds, the values of its one series in order, and where the log goes on.
async fn read<D: Disk>(disk: &D) -> (Store, Vec<f64>, Replayed) {
    let mut store = Store::new(StoreOptions::default());
    let flushed = Flushed::default();
    let replayed =
        replay(disk, ShardId(0), SEGMENT_BYTES, &mut store, &flushed, |_| true, |_| true)
            .await
            .unwrap();
    let all = TimeRange { min_ms: 0, max_ms: i64::MAX };
    let mut samples = Samples::default();
    let up = Matcher::new("__name__", MatchOp::Equal, "up");
    let selection = store.select(&[up], all).unwrap();
    for index in 0..selection.len() {
        store.samples(&selection, index, all, &mut samples).unwrap();
    }
    (store, samples.values, replayed)
}

/// A log with its store, as a shard has them.
struct Logged<D: Disk> {
    wal: Wal<D>,
    store: RefCell<Store>,
}

async fn open<D: Disk + 'static>(
    disk: D,
    sync: WalSync,
    reporter: Arc<dyn Reporter>,
    stats: Arc<WalStats>,
) -> (Logged<D>, Vec<f64>) {
    let (store, found, replayed) = read(&disk).await;
    let start = Start {
        writer: Writer { shard: 0, shard_count: 1, epoch: store.epoch() },
        chain: store.chain(),
        segment: replayed.next_segment,
        is_prepared: replayed.is_prepared,
        starts: replayed.starts,
    };
    let wal = Wal::open(options(sync), disk, start, reporter, stats);
    (Logged { wal, store: RefCell::new(store) }, found)
}

impl<D: Disk + 'static> Logged<D> {
    /// Appends one frame: `value` as the next sample of one series, and `count` other series.
    fn append(&self, value: f64, count: usize) -> Result<u64, WalError> {
        let mut batch = Batch::default();
        let mut push = |name: &str| {
            let labels = Labels::from_pairs([("__name__", name)]);
            let series = batch.push_series(labels.as_ref());
            batch.push_sample(series, 1 + value as i64, value);
        };
        push("up");
        (0..count).for_each(|number| push(&format!("other_{number}")));
        let bytes_max = 100 + batch.label_bytes().len() + batch.series_count() * 30;
        self.wal.admit(bytes_max)?;
        let mut store = self.store.borrow_mut();
        let (report, lsn) = self.wal.append(bytes_max, true, |space| {
            if space.begins_segment {
                store.forget_logged();
            }
            let report = store.append(&batch, i64::MAX, space.out);
            *space.chain = store.chain();
            report
        });
        assert_eq!(report.accepted_count, count + 1);
        Ok(lsn)
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Reporter for Heard {
    fn report(&self, event: Event) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

#[test]
fn what_was_acknowledged_is_read_back_after_a_crash() {
    run(|| async {
        for sync in [WalSync::Batch, WalSync::Interval(Duration::from_millis(2)), WalSync::Os] {
            let scratch = Scratch::new("log");
            let disk = || RingDisk::open(scratch.path().into(), true, Arc::new(Silent)).unwrap();
            let mut expected = Vec::new();
            for life in 0..4 {
                let (log, found) = open(disk(), sync, Arc::new(Silent), Arc::default()).await;
                assert_eq!(found, expected, "{sync:?} {life}");
                // About a segment and a half a life.
                for number in 0..50 {
                    let value = f64::from(life * 1000 + number);
                    let lsn = log.append(value, 40).unwrap();
                    if number % 5 == 4 {
                        log.wal.durable(lsn).await.unwrap();
                    }
                    expected.push(value);
                }
                match life % 2 {
                    0 => log.wal.kill().await,
                    _ => log.wal.close().await.unwrap(),
                }
            }
            let (store, found, replayed) = read(&disk()).await;
            assert_eq!(found, expected);
            assert_eq!((store.epoch(), replayed.frame_count), (4, 200));
            assert!(replayed.losses.is_empty(), "{:?}", replayed.losses);
            // What the last life prepared and did not use was cut: nobody reads it again.
            let (_, found, again) = read(&disk()).await;
            assert_eq!(found, expected);
            assert!(again.bytes < replayed.bytes, "{} {}", again.bytes, replayed.bytes);
        }
    })
    .unwrap();
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    run(|| async {
        let disk = Shared::default();
        let (log, _) = open(disk.clone(), WalSync::Batch, Arc::new(Silent), Arc::default()).await;
        let mut acknowledged = Vec::new();
        for number in 0..40 {
            let value = f64::from(number);
            let lsn = log.append(value, 60).unwrap();
            if number % 3 != 0 {
                continue;
            }
            log.wal.durable(lsn).await.unwrap();
            acknowledged = (0..=number).map(f64::from).collect();
        }
        for survivors in 0..8 {
            let cut = disk.0.power_cut(|_, sector| sector & survivors == 0, |_| survivors != 0);
            let (store, found, _) = read(&cut).await;
            assert!(found.starts_with(&acknowledged), "{found:?}");
            assert!(store.chain().next_lsn > acknowledged.len() as u64);
        }
        log.wal.kill().await;
    })
    .unwrap();
}

/// A log of `count` frames, a segment of which is then changed by `damage` on disk, read back.
async fn read_damaged(
    count: usize,
    damage: impl AsyncFn(&MemDisk),
) -> (Vec<f64>, Replayed, Shared) {
    let disk = Shared::default();
    let (log, _) = open(disk.clone(), WalSync::Batch, Arc::new(Silent), Arc::default()).await;
    for number in 0..count {
        let lsn = log.append(number as f64, 100).unwrap();
        log.wal.durable(lsn).await.unwrap();
    }
    log.wal.close().await.unwrap();
    damage(&disk.0).await;
    let (_, found, replayed) = read(&*disk.0).await;
    (found, replayed, disk)
}

#[test]
fn a_segment_whose_sync_fails_at_a_start_is_written_anew() {
    run(|| async {
        let failing = async |disk: &MemDisk| {
            // Listing, opening, syncing.
            disk.fail_operation(disk.operation_count() + 2, DiskErrorKind::Io);
        };
        let (found, replayed, disk) = read_damaged(5, failing).await;
        let expected: Vec<f64> = (0..5).map(f64::from).collect();
        assert_eq!(found, expected);
        let [(name, what)] = &replayed.losses[..] else { panic!("{:?}", replayed.losses) };
        assert_eq!(name, "00000001.wal");
        assert!(what.contains("injected fault; what can be read was written anew"), "{what}");
        let cut = disk.0.power_cut(|_, _| false, |_| false);
        let (_, found, again) = read(&cut).await;
        assert_eq!((found, again.losses), (expected, vec![]));
    })
    .unwrap();
}

/// The process was killed between a sync that failed and what it would have done then: the next start
/// finds frames in the page cache that no later sync of their file writes.
#[test]
fn what_a_start_has_shown_stays() {
    run(|| async {
        let (expected, _, disk) = read_damaged(5, async |_| ()).await;
        let bytes = disk.0.read("00000001.wal").await.unwrap();
        let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
        let (synced, last) = bytes.split_at(end / DISK_ALIGN * DISK_ALIGN);
        let killed = MemDisk::default();
        let file = killed.create("00000001.wal", SEGMENT_BYTES as u64).await.unwrap();
        killed.write_at(&file, 0, synced.to_vec()).await.0.unwrap();
        killed.sync(&file).await.unwrap();
        killed.sync_dir().await.unwrap();
        let before = killed.power_cut(|_, _| false, |_| false);
        assert_eq!(read(&before).await.1, expected[..4], "the last group stands alone");
        killed.write_at(&file, synced.len() as u64, last.to_vec()).await.0.unwrap();
        killed.fail_operation(killed.operation_count(), DiskErrorKind::Io);
        killed.sync(&file).await.unwrap_err();

        let (_, found, _) = read(&killed).await;
        assert_eq!(found, expected);
        let cut = killed.power_cut(|_, _| false, |_| false);
        assert_eq!(read(&cut).await.1, expected, "after a power cut");
    })
    .unwrap();
}

#[test]
fn a_segment_that_was_cut_below_its_header_is_told_and_kept() {
    run(|| async {
        for length in [0, 1, 63] {
            let cut = async |disk: &MemDisk| disk.shorten("00000002.wal", length).await.unwrap();
            let (found, replayed, disk) = read_damaged(40, cut).await;
            assert!(!found.is_empty() && found.len() < 40, "other segments are read");
            let (name, what) = &replayed.losses[0];
            assert_eq!(name, "00000002.wal");
            let expected = format!(
                "segment header cut short: {length} of 64 bytes: nothing of it can be read"
            );
            assert!(what.starts_with(&expected), "{what}");
            let told = &replayed.losses[1].1;
            assert!(told.contains("Gap"), "the next segment says which frames: {told}");
            let kept = disk.0.quarantined("00000002.wal").unwrap();
            assert_eq!(kept.len() as u64, length);
        }
    })
    .unwrap();
}

/// Every operation of a life fails once: nothing that was acknowledged is missing afterwards,
/// nothing appears twice, and the log goes on.
#[test]
fn a_failed_operation_costs_no_acknowledged_frame() {
    for sync in [WalSync::Batch, WalSync::Interval(Duration::ZERO), WalSync::Os] {
        let counted = run(move || async move { life(sync, None, DiskErrorKind::Io).await.0 });
        let operation_count = counted.unwrap();
        assert!(operation_count > 30);
        for failing in 0..operation_count {
            for kind in [DiskErrorKind::Io, DiskErrorKind::NoSpace] {
                let (_, stats) = run(move || life(sync, Some(failing), kind)).unwrap();
                let failures = stats.write_failures.get() + stats.prepare_failures.get();
                let of_syncs = stats.sync_failures.get();
                assert!((1..=2).contains(&(failures + of_syncs)), "{sync:?} {failing}");
                assert_eq!(stats.is_read_only.get(), 0, "{sync:?} {failing}: it heals");
            }
        }
    }
}

/// Runs a log for a while with a fault at operation `failing`; returns how many operations that
/// took.
async fn life(sync: WalSync, failing: Option<u64>, kind: DiskErrorKind) -> (u64, Arc<WalStats>) {
    let disk = Shared::default();
    let (heard, stats) = (Arc::new(Heard::default()), Arc::<WalStats>::default());
    let (log, _) = open(disk.clone(), sync, heard.clone(), stats.clone()).await;
    let begun = disk.0.operation_count();
    if let Some(failing) = failing {
        disk.0.fail_operation(begun + failing, kind);
    }
    let mut acknowledged = Vec::new();
    for number in 0..30 {
        let value = f64::from(number);
        // A disk that is full refuses for a while; a client tries again.
        loop {
            let appended = log.append(value, 100);
            match appended {
                Ok(lsn) => match log.wal.durable(lsn).await {
                    Ok(()) => acknowledged.push(value),
                    Err(WalError::Unwritable(_)) => {}
                    Err(error) => panic!("{error}"),
                },
                Err(WalError::Unwritable(_)) => {
                    sleep(Duration::from_millis(2)).await;
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            break;
        }
    }
    let operations = disk.0.operation_count() - begun;
    log.wal.close().await.unwrap();
    let cut = disk.0.power_cut(|_, _| false, |_| false);
    let (_, found, replayed) = read(&cut).await;
    let expected: Vec<f64> = (0..30).map(f64::from).collect();
    assert_eq!(found, expected, "failing {failing:?}");
    assert!(acknowledged.len() >= 29, "failing {failing:?}");
    assert!(replayed.losses.is_empty(), "failing {failing:?}: {:?}", replayed.losses);
    let heard = heard.0.lock().unwrap();
    assert_eq!(heard.is_empty(), failing.is_none(), "failing {failing:?}: {heard:?}");
    (operations, stats)
}

#[test]
fn frames_that_nobody_waits_for_are_written_in_time() {
    run(|| async {
        let disk = Shared::default();
        let stats = Arc::<WalStats>::default();
        let (log, _) = open(disk, WalSync::Batch, Arc::new(Silent), stats.clone()).await;
        let wal = &log.wal;
        for number in 0..10 {
            let ((), lsn) = wal.append(200, false, |space| {
                let mut frame = FrameWriter::begin(space.out);
                frame.samples(SampleColumns::plain(&[1], &[2], &[f64::from(number)]));
                frame.finish(space.chain);
            });
            if number == 9 {
                wal.durable(lsn).await.unwrap();
            }
        }
        assert_eq!((stats.writes.count(), stats.frames.get()), (1, 10));
        wal.close().await.unwrap();
        assert_eq!(log.append(1.0, 1), Err(WalError::Closed));
    })
    .unwrap();
}

#[test]
fn too_much_that_waits_is_refused() {
    run(|| async {
        let disk = Shared::default();
        let store = RefCell::new(Store::new(StoreOptions::default()));
        let options = WalOptions { queue_bytes_max: 10_000, ..options(WalSync::Batch) };
        let wal = Wal::open(options, disk, first(), Arc::new(Silent), Arc::default());
        let log = Logged { wal, store };
        // Even what is larger than the queue is taken when nothing waits.
        log.append(0.0, 2000).unwrap();
        assert_eq!(log.append(1.0, 1), Err(WalError::Overloaded));
        log.wal.flush().await.unwrap();
        log.append(1.0, 1).unwrap();
        log.wal.close().await.unwrap();
    })
    .unwrap();
}

/// Appends a frame of `count` samples, without a store.
fn append(wal: &Wal<RingDisk>, count: usize) -> u64 {
    let write = |space: Space<'_>| {
        let mut frame = FrameWriter::begin(space.out);
        frame.samples(SampleColumns::plain(&vec![1; count], &vec![2; count], &vec![0.5; count]));
        frame.finish(space.chain);
    };
    wal.append(100 + count * 9, true, write).1
}

/// Prints the figures of the README; the bound is what a loaded machine must still reach.
#[test]
fn a_commit_of_64_kib_takes_well_under_a_tenth_of_a_second() {
    run(|| async {
        let scratch = Scratch::new("log");
        let disk = RingDisk::open(scratch.path().into(), true, Arc::new(Silent)).unwrap();
        let options = WalOptions { segment_bytes: 32 << 20, ..WalOptions::default() };
        let wal = Wal::open(options, disk, first(), Arc::new(Silent), Arc::default());
        wal.durable(append(&wal, 1)).await.unwrap();
        let mut microseconds = Vec::new();
        for _ in 0..400 {
            let begun = Instant::now();
            let lsn = append(&wal, (64 << 10) / 9);
            wal.durable(lsn).await.unwrap();
            microseconds.push(begun.elapsed().as_micros());
        }
        wal.close().await.unwrap();
        microseconds.sort_unstable();
        let (p50, p99) = (microseconds[200], microseconds[396]);
        eprintln!("commit of 64 KiB: p50 {p50} us, p99 {p99} us");
        assert!(p50 < 100_000);
    })
    .unwrap();
}
