//! Series, label names, label values and the sizes of the head, over all shards.

use std::collections::{BTreeMap, BTreeSet};

use engine::exec::ExecError;
use engine::head::SeriesExemplars;
use engine::index::{Stat, Stats};
use engine::model::{Labels, Matcher, SourceError, TimeRange};
use engine::store::{HeadStats, Store};
use futures_util::future::try_join_all;

use super::QueryError;
use crate::message::{Job, unpack};
use crate::route::ShardId;
use crate::shard::Shard;

/// All time.
const ALWAYS: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

impl Shard {
    /// Label sets of series with samples in `range` that match one set of matchers at least,
    /// sorted; at most `limit`.
    pub async fn series(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Labels>, QueryError> {
        let sets = matcher_sets.to_vec();
        let mut series: Vec<Labels> = self
            .on_every_store(move |store| store.series(&sets, range, usize::MAX))
            .await?
            .into_iter()
            .flatten()
            .collect();
        series.sort_unstable();
        series.truncate(limit);
        Ok(series)
    }

    /// Names of labels, sorted, of series that match one set of matchers at least, of all series
    /// without sets; at most `limit`.
    pub async fn label_names(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        let sets = matcher_sets.to_vec();
        let names = self.on_every_store(move |store| store.label_names(&sets, range, limit));
        Ok(merge(names.await?, limit))
    }

    /// Values of the label `name`, sorted; otherwise as [`Shard::label_names`].
    pub async fn label_values(
        &self,
        name: &str,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        let (name, sets) = (name.to_owned(), matcher_sets.to_vec());
        let values =
            self.on_every_store(move |store| store.label_values(&name, &sets, range, limit));
        Ok(merge(values.await?, limit))
    }

    /// The exemplars in `range` of series that match one set of matchers at least, in order of
    /// labels.
    pub async fn exemplars(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, QueryError> {
        let sets = matcher_sets.to_vec();
        let found = self.on_every_store(move |store| store.exemplars(&sets, range)).await?;
        Ok(SeriesExemplars::merged(found.into_iter().flatten().collect()))
    }

    /// Sizes, and the `count_max` largest of each kind of cardinality. Exact: values that several
    /// shards have are counted once. Cost: O(label pairs) of all shards.
    pub async fn head_stats(&self, count_max: usize) -> Result<HeadStats, QueryError> {
        if self.count() == 1 {
            return Ok(self.0.store.borrow().head_stats(count_max));
        }
        let of_shards = self.on_every_store(|store| Ok(store.head_stats(usize::MAX))).await?;
        let mut total = HeadStats::default();
        for stats in &of_shards {
            total.series_count += stats.series_count;
            total.chunk_count += stats.chunk_count;
            total.span_ms = match (total.span_ms, stats.span_ms) {
                (Some((min, max)), Some((other_min, other_max))) => {
                    Some((min.min(other_min), max.max(other_max)))
                }
                (span, other) => span.or(other),
            };
        }
        let sum = |column: fn(&Stats) -> &Vec<Stat>| {
            let mut counts = BTreeMap::<&[u8], u64>::new();
            for stat in of_shards.iter().flat_map(|stats| column(&stats.index)) {
                *counts.entry(&stat.name).or_default() += stat.count;
            }
            counts.into_iter().map(|(name, count)| Stat { name: name.to_vec(), count }).collect()
        };
        let mut value_counts: Vec<Stat> = sum(|stats| &stats.label_value_count_by_label_name);
        for stat in &mut value_counts {
            let name = String::from_utf8_lossy(&stat.name);
            let values = self.label_values(&name, &[], ALWAYS, usize::MAX).await?;
            stat.count = values.len() as u64;
        }
        total.index = Stats {
            series_count: of_shards.iter().map(|stats| stats.index.series_count).sum(),
            label_pair_count: value_counts.iter().map(|stat| stat.count).sum(),
            series_count_by_metric_name: sum(|stats| &stats.series_count_by_metric_name),
            label_value_count_by_label_name: value_counts,
            memory_bytes_by_label_name: sum(|stats| &stats.memory_bytes_by_label_name),
            series_count_by_label_pair: sum(|stats| &stats.series_count_by_label_pair),
        };
        for column in [
            &mut total.index.series_count_by_metric_name,
            &mut total.index.label_value_count_by_label_name,
            &mut total.index.memory_bytes_by_label_name,
            &mut total.index.series_count_by_label_pair,
        ] {
            // Stable: among equals the order of names stays.
            column.sort_by_key(|stat| std::cmp::Reverse(stat.count));
            column.truncate(count_max);
        }
        Ok(total)
    }

    /// Asks every shard's store; answers in the order of the shards.
    async fn on_every_store<R: Send + 'static>(
        &self,
        ask: impl Fn(&Store) -> Result<R, SourceError> + Clone + Send + 'static,
    ) -> Result<Vec<R>, QueryError> {
        let asked = ShardId::all(self.count()).map(|target| {
            let ask = ask.clone();
            async move {
                let answer = if target == self.id() {
                    ask(&self.0.store.borrow())
                } else {
                    let job =
                        Job::new(move |shard: Shard| async move { ask(&shard.0.store.borrow()) });
                    let answer = self.0.lanes.query.ask(target, job).await;
                    unpack(answer.map_err(|_| QueryError::Stopping)?)
                };
                answer.map_err(|error| QueryError::Exec(ExecError::from(error)))
            }
        });
        try_join_all(asked).await
    }
}

/// Sorted texts of several shards as one list without repetitions.
fn merge(lists: Vec<Vec<String>>, limit: usize) -> Vec<String> {
    if let [list] = &lists[..] {
        return list[..list.len().min(limit)].to_vec();
    }
    let all: BTreeSet<String> = lists.into_iter().flatten().collect();
    all.into_iter().take(limit).collect()
}
