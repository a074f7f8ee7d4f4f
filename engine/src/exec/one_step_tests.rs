//! Groups over one step from a store, which has keys, against a naive source that has none, and
//! against aggregation of whole rows.

use std::sync::Arc;

use proptest::prelude::*;

use crate::head::AppendBounds;
use crate::model::sample::stale_nan;
use crate::model::source::{NoPause, Turns};
use crate::model::{Batch, Labels};
use crate::plan::{Ask, Plan, PlanOptions, QueryTimes};
use crate::promql::{ParseOptions, parse};
use crate::store::{Store, StoreOptions};

use super::one_step::KnownGroups;
use super::testing::{LocalScatter, block_on};
use super::{ExecError, Outcome, Partial, Scatter, Value, evaluate, run_ask};

const QUERIES: &[&str] = &[
    "sum(m_total)",
    "sum by (a) (m_total)",
    "count by (a, b) (m_total)",
    "avg without (a) (m_total)",
    "max by (__name__, b) ({a=~\".+\"})",
    "min by (missing) (m_total)",
    "stddev by (b) (m_total offset 7s)",
    "group without () ({__name__=~\"m.*\"})",
    "sum by (a) (rate(m_total[30s]))",
    "sum without (b) (increase(m_total[20s] offset 5s))",
    "avg by (b) (delta(m_total[40s]))",
    "sum by (__name__, a) (rate({__name__=\"m_total\"}[1m]))",
    "max by (a) (rate(m[30s]))",
    "sum by (a) (m_total @ 60)",
];

struct One<'a>(&'a Store);

impl Scatter for One<'_> {
    async fn run(&self, ask: Arc<Ask>) -> Result<Vec<Vec<Result<Partial, ExecError>>>, ExecError> {
        Ok(vec![run_ask(self.0, &ask, &NoPause).await])
    }

    fn turns(&self) -> &impl Turns {
        &NoPause
    }
}

/// Rows in order of their labels, counts and annotations.
fn show(outcome: Result<Outcome, ExecError>, text: &str) -> (Vec<String>, String) {
    let outcome = outcome.unwrap_or_else(|error| panic!("{text}: {error}"));
    let value: &Value = &outcome.value;
    let mut rows: Vec<String> = (0..value.row_count())
        .map(|row| {
            let mut line = value.labels(row).to_string();
            value.for_each_point(row, |time_ms, value| line += &format!(" {value}@{time_ms}"));
            line
        })
        .collect();
    rows.sort();
    let annotations: Vec<_> = outcome.annotations.iter().collect();
    (rows, format!("{:?} {} {annotations:?}", outcome.stats.per_step, outcome.stats.peak))
}

fn plan(text: &str, options: &PlanOptions) -> Plan {
    let ast = parse(text, &ParseOptions::ALL).expect("it is PromQL");
    Plan::new(&ast, QueryTimes::instant(60_000), options).expect("it has a plan")
}

/// Series with labels of few values, their samples every `interval_ms`; `kinds` says what they hold.
fn load(series: &[(u8, u8, u8)], store: &mut Store, naive: &mut LocalScatter) {
    let (mut batch, mut log) = (Batch::default(), Vec::new());
    store.begin_segment(0, &mut log);
    for (number, &(a, b, kind)) in series.iter().enumerate() {
        let mut pairs = vec![
            ("__name__", if kind % 5 == 0 { "m" } else { "m_total" }.to_owned()),
            ("number", number.to_string()),
        ];
        // A label that is missing is an empty one.
        pairs.extend((a > 0).then(|| ("a", a.to_string())));
        pairs.extend((b > 0).then(|| ("b", b.to_string())));
        pairs.sort();
        let labels = Labels::from_pairs(pairs);
        let interval_ms = [1000, 3500, 10_000, 70_000][usize::from(kind % 4)];
        for at in 0..80_000 / interval_ms {
            let value = match (kind % 7, at % 9) {
                (1, 8) => stale_nan(),
                (2, at) => f64::from(at as u32) - 3.0,
                _ => (at * i64::from(kind)) as f64 / 8.0,
            };
            let at_ms = at * interval_ms + i64::from(kind);
            let place = batch.push_series(labels.as_ref());
            batch.push_sample(place, at_ms, value);
            naive.append(&labels, at_ms, value);
        }
    }
    let bounds = AppendBounds::until(i64::MAX);
    let report = store.append_all(&batch, &Default::default(), bounds, &mut log);
    assert!(report.refused.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn it_answers_as_all_series_would(
        series in prop::collection::vec((0u8..3, 0u8..4, 0u8..40), 1..70),
    ) {
        let mut store = Store::new(StoreOptions::default());
        let mut naive = LocalScatter::new(1);
        load(&series, &mut store, &mut naive);
        for text in QUERIES {
            let plan = |options| plan(text, options);
            let usual = PlanOptions::default();
            let own = show(block_on(evaluate(&plan(&usual), &One(&store))), text);
            let without_keys = show(block_on(evaluate(&plan(&usual), &naive)), text);
            prop_assert_eq!(&own, &without_keys, "{}", text);
            let apart = usual.without_rewrites();
            let rows = show(block_on(evaluate(&plan(&apart), &One(&store))), text);
            prop_assert_eq!(&own.0, &rows.0, "{}", text);
        }
    }
}

#[test]
fn keys_of_another_epoch_are_forgotten() {
    let mut groups = KnownGroups::default();
    groups.keep_of(3);
    assert_eq!(groups.find(&[]), None);
    groups.insert(&[], 0);
    groups.insert(&[1, 2], 1);
    groups.insert(&[1], 2);
    for _ in 0..2 {
        assert_eq!(groups.find(&[1, 2]), Some(1));
        assert_eq!(
            (groups.find(&[]), groups.find(&[1]), groups.find(&[2])),
            (Some(0), Some(2), None)
        );
    }
    groups.keep_of(3);
    assert_eq!(groups.find(&[1]), Some(2));
    groups.keep_of(4);
    assert_eq!((groups.find(&[1]), groups.find(&[])), (None, None));
}
