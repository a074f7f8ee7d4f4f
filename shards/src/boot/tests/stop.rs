//! How a process ends.

use super::*;

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
fn nothing_is_taken_once_the_logs_are_closed() {
    let scratch = Scratch::new("boot");
    with_shards(scratch.path(), 1, |shard| async move {
        shard.0.wal.close().await.unwrap();
        assert_eq!(shard.ingest(&batch(1, 1), WAIT).await, Err(IngestError::Stopping));
    });
}
