//! What is ingested is found, and refused samples are named.

use super::*;

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
            let series = texts(&shard.series(&any, ALWAYS, usize::MAX).await.unwrap());
            let mut expected: Vec<Labels> = (0..100).map(labels).collect();
            expected.sort();
            let bytes = |labels: &Labels| labels.as_ref().as_bytes().to_vec();
            let expected: Vec<Vec<u8>> = expected.iter().map(bytes).collect();
            assert!(series.iter().map(String::as_bytes).eq(&expected));
            let first = texts(&shard.series(&any, ALWAYS, 3).await.unwrap());
            assert_eq!(first, series[..3]);
            let names = shard.label_names(&any, ALWAYS, usize::MAX).await.unwrap();
            assert_eq!(texts(&names), ["__name__", "number"]);
            let values = shard.label_values("number", &[], ALWAYS, 4).await.unwrap();
            assert_eq!(texts(&values), ["0", "1", "10", "11"]);
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
