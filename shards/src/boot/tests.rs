use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::exec::{ExecError, Value};
use engine::head::{LateSamples, Verdict};
use engine::model::{Batch, Labels, MatchOp, Matcher, TimeRange};
use engine::promql::{ParseOptions, parse};

use super::{BootOptions, Rising, Running, Starting, start};
use crate::cancel::CancelToken;
use crate::ingest::{FamilyMetadata, IngestError, IngestOptions, IngestReport};
use crate::observe::{Event, Reporter};
use crate::query::{QueryError, QueryId, QueryOutcome, QueryRequest};
use crate::route::ShardId;
use crate::runtime::{sleep, timeout};
use crate::scratch::Scratch;
use crate::shard::Shard;
use crate::wal::WalSync;

pub(super) const WAIT: IngestOptions =
    IngestOptions { wait: true, max_timestamp_ms: i64::MAX, late: LateSamples::Taken };
pub(super) const ALWAYS: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

pub(super) fn options(data_dir: &Path, shard_count: usize) -> BootOptions {
    let mut options = BootOptions::new(data_dir);
    options.shard_count = Some(shard_count);
    options.wal.segment_bytes = 256 << 10;
    options
}

pub(super) fn boot<F, Fut>(options: BootOptions, on_first: F) -> Running
where
    F: Fn(Shard) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    start(options, move |starting| {
        let on_first = on_first.clone();
        async move {
            let Some(shard) = starting.ready().await else { return };
            if shard.id() == ShardId(0) {
                on_first(shard).await;
            } else {
                shard.stopping().await;
            }
        }
    })
    .and_then(Rising::ready)
    .unwrap()
}

/// Serves nothing until the process stops.
async fn wait(starting: Starting) {
    starting.stopping().await;
}

/// Runs `main` on the first shard of a process, which ends when `main` does.
pub(super) fn with_shards<F, Fut>(data_dir: &Path, shard_count: usize, main: F)
where
    F: Fn(Shard) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    boot(options(data_dir, shard_count), main).wait().unwrap();
}

pub(super) fn labels(number: u64) -> Labels {
    Labels::from_pairs([("__name__", "requests"), ("number", &number.to_string())])
}

/// One sample of each of `series_count` series; its value is the series' number.
pub(super) fn batch(series_count: u64, timestamp_ms: i64) -> Batch {
    let mut batch = Batch::default();
    for number in 0..series_count {
        let series = batch.push_series(labels(number).as_ref());
        batch.push_sample(series, timestamp_ms, number as f64);
    }
    batch
}

/// The one value of an instant query.
pub(super) async fn value(shard: &Shard, text: &str, time_ms: i64) -> f64 {
    let request = QueryRequest::instant(text, time_ms);
    let answer = shard.query(request, &CancelToken::default()).await.unwrap();
    let mut values = Vec::new();
    let rows = answer.outcome.value.row_count();
    (0..rows).for_each(|row| answer.outcome.value.for_each_point(row, |_, v| values.push(v)));
    assert_eq!(values.len(), 1, "{text}");
    values[0]
}

#[test]
fn what_comes_in_is_found_over_any_number_of_shards() {
    for shard_count in [1, 2, 5] {
        let scratch = Scratch::new("boot");
        with_shards(scratch.path(), shard_count, move |shard| async move {
            assert_eq!(shard.count(), shard_count);
            for step in 1..=20 {
                let report = shard.ingest(&batch(100, step * 1000), WAIT).await.unwrap();
                assert_eq!((report.accepted, report.refused.len()), (100, 0));
                assert_eq!(report.new_series, if step == 1 { 100 } else { 0 });
            }
            assert_eq!(value(&shard, "sum(requests)", 20_000).await, 4950.0);
            assert_eq!(value(&shard, "count(requests > 50)", 20_000).await, 49.0);
            assert_eq!(value(&shard, "requests{number=\"7\"}", 20_000).await, 7.0);
            assert_eq!(value(&shard, "sum(count_over_time(requests[1h]))", 20_000).await, 2000.0);
            assert_eq!(value(&shard, "1 + 1", 0).await, 2.0);

            let range = QueryRequest::range("sum(requests)", 5_000, 20_000, 5_000);
            let answer = shard.query(range, &CancelToken::default()).await.unwrap();
            let Value::Matrix { grid, rows } = &answer.outcome.value else { panic!() };
            assert_eq!((grid.step_count, rows.values(0)), (4, &[4950.0; 4][..]));

            let any = vec![vec![Matcher::new("__name__", MatchOp::Equal, "requests")]];
            let series = shard.series(&any, ALWAYS, usize::MAX).await.unwrap();
            assert_eq!(series.len(), 100);
            assert!(series.is_sorted());
            assert_eq!(shard.series(&any, ALWAYS, 3).await.unwrap(), series[..3]);
            let names = shard.label_names(&any, ALWAYS, usize::MAX).await.unwrap();
            assert_eq!(names, ["__name__", "number"]);
            let values = shard.label_values("number", &[], ALWAYS, 4).await.unwrap();
            assert_eq!(values, ["0", "1", "10", "11"]);
            let stats = shard.head_stats(2).await.unwrap();
            assert_eq!((stats.series_count, stats.span_ms), (100, Some((1000, 20_000))));
            assert_eq!(stats.index.label_pair_count, 101);
            assert_eq!(stats.index.series_count_by_metric_name[0].count, 100);
            assert_eq!(stats.index.label_value_count_by_label_name[1].count, 1);
            let accepted: u64 = shard.stats().iter().map(|s| s.samples_accepted.get()).sum();
            assert_eq!(accepted, 2000);
        });
    }
}

#[test]
fn verdicts_name_the_samples_of_the_request() {
    let scratch = Scratch::new("boot");
    with_shards(scratch.path(), 3, |shard| async move {
        shard.ingest(&batch(50, 5_000), WAIT).await.unwrap();
        let mut mixed = Batch::default();
        for number in 0..50 {
            let series = mixed.push_series(labels(number).as_ref());
            match number % 4 {
                0 => mixed.push_sample(series, 6_000, 1.0),
                1 => mixed.push_sample(series, 4_000, 1.0),
                2 => mixed.push_sample(series, 5_000, -1.0),
                _ => mixed.push_sample(series, 5_000, number as f64),
            }
        }
        let report = shard.ingest(&mixed, WAIT).await.unwrap();
        assert_eq!((report.accepted, report.repeated, report.refused.len()), (13, 12, 25));
        assert!(report.refused.is_sorted_by_key(|refusal| refusal.sample));
        for refusal in &report.refused {
            let number = f64::from(refusal.sample);
            let expected = match refusal.sample % 4 {
                1 => Verdict::OutOfOrder,
                _ => Verdict::Duplicate { existing: number, new: -1.0 },
            };
            assert_eq!(refusal.verdict, expected, "{refusal:?}");
        }
        let early = IngestOptions { max_timestamp_ms: 6_500, wait: false, ..WAIT };
        let report = shard.ingest(&batch(1, 7_000), early).await.unwrap();
        assert_eq!(report.refused[0].verdict, Verdict::TooFarInFuture);
        assert_eq!(shard.ingest(&Batch::default(), WAIT).await, Ok(IngestReport::default()));
    });
}

/// Copies a data directory as a crash would leave it, while its process runs.
pub(super) fn crash_image(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            crash_image(&entry.path(), &target);
        } else if let Err(error) = fs::copy(entry.path(), target) {
            // A segment's preparation goes on while we copy.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{entry:?}");
        }
    }
}

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
fn scrapes_that_wait_for_nothing_are_written_by_an_orderly_stop() {
    let scratch = Scratch::new("boot");
    let unwaited = IngestOptions { wait: false, ..WAIT };
    with_shards(scratch.path(), 2, move |shard| async move {
        shard.ingest(&batch(10, 1000), unwaited).await.unwrap();
        let up = FamilyMetadata { family: "up".into(), kind: "gauge".into(), ..Default::default() };
        shard.write_metadata(vec![up]).await.unwrap();
    });
    with_shards(scratch.path(), 2, move |shard| async move {
        assert_eq!(value(&shard, "count(requests)", 1000).await, 10.0);
        assert_eq!(shard.metadata(Some("up"), 10).await.unwrap()[0].kind, "gauge".into());
        assert!(shard.metadata(Some("down"), 10).await.unwrap().is_empty());
        assert_eq!(shard.metadata(None, 10).await.unwrap().len(), 1);
    });
}

#[test]
fn queries_end_by_errors_deadlines_and_cancelling() {
    let scratch = Scratch::new("boot");
    with_shards(scratch.path(), 2, |shard| async move {
        let token = CancelToken::default();
        let ask = |text: &str| shard.query(QueryRequest::instant(text, 0), &token);
        assert!(matches!(ask("sum(").await, Err(QueryError::Parse(_))));
        let range = QueryRequest::range("requests[5m]", 0, 10, 1);
        assert!(matches!(shard.query(range, &token).await, Err(QueryError::Plan(_))));

        for step in 1..=300 {
            shard.ingest(&batch(300, step * 1000), WAIT).await.unwrap();
        }
        let heavy = "sum(rate(requests[1m])) + sum(rate(requests[2m])) + sum(rate(requests[3m]))";
        let mut request = QueryRequest::range(heavy, 0, 300_000, 30);
        request.timeout = Some(Duration::from_millis(5));
        let late = shard.query(request.clone(), &token).await;
        assert!(matches!(late, Err(QueryError::Exec(ExecError::TimedOut))), "{late:?}");
        request.timeout = None;
        let cancel = async {
            sleep(Duration::from_millis(5)).await;
            token.cancel();
        };
        let (canceled, ()) = futures_util::join!(shard.query(request.clone(), &token), cancel);
        assert!(matches!(canceled, Err(QueryError::Exec(ExecError::Canceled))), "{canceled:?}");

        // Dropped: the other shard stops working on it, too.
        let token = CancelToken::default();
        let dropped = timeout(Duration::from_millis(5), shard.query(request, &token)).await;
        assert!(dropped.is_err());
        while shard.call(ShardId(1), |shard| shard.turns().waiting_count()).await.unwrap() > 0 {}
        assert_eq!(value(&shard, "count(requests)", 300_000).await, 300.0);
        assert!(shard.stats().iter().all(|stats| stats.queries_active.get() == 0));
    });
}

#[test]
fn queries_under_way_are_listed_and_ended_by_id() {
    let scratch = Scratch::new("boot");
    let mut options = options(scratch.path(), 2);
    // One place a shard: the second query waits.
    options.query.concurrency_max = 1;
    boot(options, |shard| async move {
        for step in 1..=300 {
            shard.ingest(&batch(300, step * 1000), WAIT).await.unwrap();
        }
        let token = CancelToken::default();
        let heavy = QueryRequest::range("sum(rate(requests[4m]))", 0, 300_000, 1);
        let end_all = async {
            let queries = loop {
                let queries = shard.active_queries().await.unwrap();
                if queries.len() == 2 && queries.iter().any(|query| !query.waits) {
                    break queries;
                }
            };
            assert!(queries.iter().any(|query| query.waits), "{queries:?}");
            for query in &queries {
                assert_eq!((query.id.shard, &*query.text), (shard.id(), "sum(rate(requests[4m]))"));
                let id = QueryId::parse(&query.id.to_string()).unwrap();
                assert!(shard.cancel_query(id).await.unwrap());
            }
        };
        let (first, second, ()) = futures_util::join!(
            shard.query(heavy.clone(), &token),
            shard.query(heavy.clone(), &token),
            end_all
        );
        for ended in [first, second] {
            assert!(matches!(ended, Err(QueryError::Exec(ExecError::Canceled))), "{ended:?}");
        }
        assert!(shard.active_queries().await.unwrap().is_empty());
        let gone = QueryId { shard: ShardId(9), number: 0 };
        assert!(!shard.cancel_query(gone).await.unwrap());
    })
    .wait()
    .unwrap();
}

#[test]
fn a_group_of_expressions_answers_as_each_alone() {
    let scratch = Scratch::new("boot");
    with_shards(scratch.path(), 2, |shard| async move {
        for step in 1..=10 {
            shard.ingest(&batch(300, step * 1000), WAIT).await.unwrap();
        }
        let texts = ["sum(requests)", "sum(requests) / 2", "requests * on () requests", "1"];
        let asts: Vec<_> =
            texts.iter().map(|text| parse(text, &ParseOptions::default()).unwrap()).collect();
        let token = CancelToken::default();
        let (asts, request) = (asts.iter().collect::<Vec<_>>(), QueryRequest::instant("", 10_000));
        let answers = shard.query_group(&asts, &request, &token).await.unwrap();
        for (text, answer) in texts.iter().zip(answers) {
            let alone = shard.query(QueryRequest::instant(text, 10_000), &token).await;
            let show = |answer: Result<QueryOutcome, QueryError>| match answer {
                Ok(outcome) => format!("{:?}", outcome.outcome.value),
                Err(error) => error.to_string(),
            };
            assert_eq!(show(answer), show(alone), "{text}");
        }
    });
}

#[test]
fn a_full_queue_of_queries_times_out_those_that_wait() {
    let scratch = Scratch::new("boot");
    let mut options = options(scratch.path(), 1);
    options.query.concurrency_max = 1;
    boot(options, |shard| async move {
        let _only = shard.0.query_places.acquire().await;
        let mut request = QueryRequest::instant("1", 0);
        request.timeout = Some(Duration::from_millis(2));
        let waited = shard.query(request, &CancelToken::default()).await;
        assert!(matches!(waited, Err(QueryError::QueueTimedOut)));
    })
    .wait()
    .unwrap();
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

#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Reporter for Heard {
    fn report(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
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

#[test]
fn panics_of_requests_are_theirs_and_a_serve_that_panics_ends_the_process() {
    let scratch = Scratch::new("boot");
    let heard = Arc::new(Heard::default());
    let mut options = options(scratch.path(), 2);
    options.reporter = heard.clone();
    let running = start(options, |starting| async move {
        let Some(shard) = starting.ready().await else { return };
        if shard.id() == ShardId(1) {
            return shard.stopping().await;
        }
        let call = shard.call(ShardId(1), |_| -> u32 { panic!("the call is odd") }).await;
        assert!(call.is_err());
        assert_eq!(shard.call(ShardId(1), |shard| shard.id()).await, Ok(ShardId(1)));
        panic!("the server is odd");
    })
    .and_then(Rising::ready)
    .unwrap();
    let ended = running.wait().unwrap_err();
    assert_eq!(ended, "shard 0 panicked while serving");
    let heard = heard.0.lock().unwrap();
    let panicked = |event: &Event| matches!(event, Event::TaskPanicked { class: "request", .. });
    assert!(heard.iter().any(panicked), "{heard:?}");
    assert!(heard.iter().any(|event| matches!(event, Event::ReplayFinished { .. })));
}

#[test]
fn an_orderly_stop_leaves_no_log_to_read() {
    let scratch = Scratch::new("boot");
    let count = "sum(count_over_time(requests[1h]))";
    for life in 0..4 {
        with_shards(scratch.path(), 2, move |shard| async move {
            let read: u64 = shard.stats().iter().map(|stats| stats.replay.samples.get()).sum();
            assert_eq!(read, 0);
            if life > 0 {
                let found = value(&shard, count, 1_000_000).await;
                assert_eq!(found, f64::from(life) * 10.0 * 300.0);
            }
            for step in 1..=10 {
                let time_ms = (i64::from(life) * 10 + step) * 1000;
                let report = shard.ingest(&batch(300, time_ms), WAIT).await.unwrap();
                assert_eq!((report.accepted, report.new_series > 0), (300, life == 0 && step == 1));
            }
            let up =
                FamilyMetadata { family: "up".into(), kind: "gauge".into(), ..Default::default() };
            shard.write_metadata(vec![up]).await.unwrap();
            assert_eq!(shard.metadata(None, 10).await.unwrap().len(), 1);
        });
    }
}

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
fn nothing_is_taken_once_the_logs_are_closed() {
    let scratch = Scratch::new("boot");
    with_shards(scratch.path(), 1, |shard| async move {
        shard.0.wal.close().await.unwrap();
        assert_eq!(shard.ingest(&batch(1, 1), WAIT).await, Err(IngestError::Stopping));
    });
}
