//! How queries end, wait and share.

use futures_lite::future::poll_once;

use super::*;
use crate::turns::Work;

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

/// Lookups are done in turns, on every shard; one that is dropped ends on all of them.
#[test]
fn lookups_take_turns_and_end_with_who_asked() {
    let scratch = Scratch::new("boot");
    with_shards(scratch.path(), 3, |shard| async move {
        shard.ingest(&batch(3000, 1000), WAIT).await.unwrap();
        let any = vec![vec![Matcher::new("number", MatchOp::Regexp, ".*[0-9]")]];
        for polls in 1..20 {
            let mut lookup = Box::pin(shard.series(&any, ALWAYS, usize::MAX));
            for _ in 0..polls {
                if let Some(found) = poll_once(&mut lookup).await {
                    assert_eq!(texts(&found.unwrap()).len(), 3000);
                    break;
                }
                sleep(Duration::from_micros(100)).await;
            }
        }
        for target in ShardId::all(3) {
            while shard.call(target, |shard| shard.turns().waiting_count()).await.unwrap() > 0 {}
        }
        let turn = shard.turns().begin(Work::Query).await;
        let mut lookup = Box::pin(shard.label_names(&[], ALWAYS, usize::MAX));
        assert!(timeout(Duration::from_millis(5), &mut lookup).await.is_err(), "it has no turn");
        drop(turn);
        assert_eq!(texts(&lookup.await.unwrap()), ["__name__", "number"]);
        let stats = shard.head_stats(1).await.unwrap();
        assert_eq!((stats.series_count, stats.index.label_pair_count), (3000, 3001));
        assert!(shard.exemplars(&any, ALWAYS).await.unwrap().is_empty());
    });
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
