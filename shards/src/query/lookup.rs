//! Series, label names, label values, exemplars and the sizes of the head, over all shards.
//!
//! ```text
//! each shard:     found in steps, sorted ─┐  all of it in turns
//! the asking one:                         └─► merged, the first ones
//! ```

use std::time::Duration;

use engine::exec::{ExecError, spend};
use engine::head::{ExemplarsByLabels, SeriesExemplars};
use engine::index::StatsFold;
use engine::mem::runs::{Run, RunMerge};
use engine::model::{Labels, Matcher, TimeRange};
use engine::store::{ExemplarLookup, HeadStats, Lookup, Wanted, pair_count};
use futures_util::future::try_join_all;

use super::scatter::QueryTurns;
use super::{Limits, QueryError};
use crate::cancel::CancelToken;
use crate::message::{Job, unpack};
use crate::route::ShardId;
use crate::runtime::now;
use crate::shard::Shard;
use crate::turns::Work;

/// All time.
const ALWAYS: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

/// Lookups have no deadline: a year.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is merged at once, see [`RunMerge::step`], and what that costs each, in decoded samples.
const MERGE_AT_ONCE: usize = 2048;
const MERGE_WORK: usize = 4;

/// What it costs to move the exemplars of a series, in decoded samples.
const SERIES_WORK: usize = 32;

/// What it costs to count a pair, in decoded samples.
const PAIR_WORK: usize = 16;

impl Shard {
    /// Label sets of series with samples in `range` that match one set of matchers at least, as
    /// canonical bytes, sorted; at most `limit`.
    ///
    /// As the other lookups it is done in turns of all shards; dropping the future ends it everywhere.
    pub async fn series(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Run>, QueryError> {
        self.look_up(Wanted::Series, matcher_sets, range, limit).await
    }

    /// Names of labels, sorted, of series that match one set of matchers at least, of all series
    /// without sets; at most `limit`.
    pub async fn label_names(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Run>, QueryError> {
        self.look_up(Wanted::LabelNames, matcher_sets, range, limit).await
    }

    /// Values of the label `name`, sorted; otherwise as [`Shard::label_names`].
    pub async fn label_values(
        &self,
        name: &str,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Run>, QueryError> {
        let wanted = Wanted::LabelValues(name.to_owned());
        self.look_up(wanted, matcher_sets, range, limit).await
    }

    async fn look_up(
        &self,
        wanted: Wanted,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Run>, QueryError> {
        self.look_up_each(move |_| wanted.clone(), matcher_sets, range, limit).await
    }

    /// What is wanted of each shard, in one order: the first `limit` of all.
    async fn look_up_each(
        &self,
        wanted: impl Fn(&Shard) -> Wanted + Clone + Send + 'static,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Run>, QueryError> {
        let limits = unlimited();
        let _ended = limits.ended.on_drop();
        let (sets, order) = (matcher_sets.to_vec(), wanted(self).order());
        let ask = async move |shard: Shard, turns: QueryTurns| {
            let wanted = wanted(&shard);
            let lookup = Lookup::new(&shard.0.store.borrow(), wanted, &sets, range, limit);
            let mut lookup = lookup?;
            loop {
                let work = lookup.step(&shard.0.store.borrow())?;
                let Some(work) = work else { return Ok(lookup.into_found()) };
                spend(&turns, work).await?;
            }
        };
        let mut found = self.ask_in_turns(&limits, ask).await?;
        if found.len() == 1 {
            return Ok(found.pop().unwrap_or_default());
        }
        let turns = self.begin_turns(&limits).await?;
        let mut merge = RunMerge::new(found, order, limit);
        while let Some(work) = merge.step(MERGE_AT_ONCE) {
            spend(&turns, work * MERGE_WORK).await?;
        }
        Ok(merge.take_merged())
    }

    /// The exemplars in `range` of series that match one set of matchers at least, in order of
    /// labels.
    pub async fn exemplars(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, QueryError> {
        let limits = unlimited();
        let _ended = limits.ended.on_drop();
        let sets = matcher_sets.to_vec();
        let ask = async move |shard: Shard, turns: QueryTurns| {
            let mut lookup = ExemplarLookup::new(&sets, range)?;
            loop {
                let work = lookup.step(&shard.0.store.borrow());
                let Some(work) = work else { return Ok(lookup.into_found()) };
                spend(&turns, work).await?;
            }
        };
        let found = self.ask_in_turns(&limits, ask).await?;
        let turns = self.begin_turns(&limits).await?;
        let mut merged = ExemplarsByLabels::default();
        for of_shard in found {
            if merged.is_empty() {
                merged = of_shard;
                continue;
            }
            for series in of_shard {
                merged.add_series(series);
                spend(&turns, SERIES_WORK).await?;
            }
        }
        let mut all = Vec::with_capacity(merged.len());
        for series in merged {
            all.push(series);
            spend(&turns, SERIES_WORK).await?;
        }
        Ok(all)
    }

    /// Sizes, and the `count_max` largest of each kind of cardinality. Exact: values that several
    /// shards have are counted once. Cost: O(label pairs) of all shards, in turns.
    pub async fn head_stats(&self, count_max: usize) -> Result<HeadStats, QueryError> {
        let limits = unlimited();
        let _ended = limits.ended.on_drop();
        let sizes = async |shard: Shard, _turns| Ok(shard.0.store.borrow().head_sizes());
        let mut total = HeadStats::default();
        for of_shard in self.ask_in_turns(&limits, sizes).await? {
            total.add_sizes(&of_shard);
        }
        let wanted = |shard: &Shard| Wanted::PairCounts { shard: shard.id().0 };
        let pairs = self.look_up_each(wanted, &[], ALWAYS, usize::MAX).await?;
        let turns = self.begin_turns(&limits).await?;
        let mut counted = StatsFold::new(count_max);
        // A pair of several shards stands once for each.
        let mut last: Option<(Labels, u64)> = None;
        for text in pairs.iter().flat_map(Run::iter) {
            let Some((pair, count)) = pair_count(text) else { continue };
            match &mut last {
                Some((same, sum)) if same.as_ref() == pair => *sum += count,
                _ => {
                    if let Some((pair, sum)) = last.replace((pair.to_owned(), count)) {
                        counted.add_pair(pair.as_ref(), sum);
                    }
                }
            }
            spend(&turns, PAIR_WORK).await?;
        }
        if let Some((pair, sum)) = last {
            counted.add_pair(pair.as_ref(), sum);
        }
        total.index = counted.finish(total.series_count as u64);
        Ok(total)
    }

    /// Asks every shard, in its turns; answers in the order of the shards.
    async fn ask_in_turns<R: Send + 'static>(
        &self,
        limits: &Limits,
        ask: impl AsyncFnOnce(Shard, QueryTurns) -> Result<R, ExecError> + Clone + Send + 'static,
    ) -> Result<Vec<R>, QueryError> {
        let asked = ShardId::all(self.count()).map(|target| {
            let (ask, limits) = (ask.clone(), limits.clone());
            let in_turns = async move |shard: Shard| {
                let turns = shard.begin_turns(&limits).await?;
                ask(shard, turns).await
            };
            async move {
                let answer = if target == self.id() {
                    in_turns(self.clone()).await
                } else {
                    let answer = self.0.lanes.query.ask(target, Job::new(in_turns)).await;
                    unpack(answer.map_err(|_| QueryError::Stopping)?)
                };
                answer.map_err(QueryError::Exec)
            }
        });
        try_join_all(asked).await
    }

    async fn begin_turns(&self, limits: &Limits) -> Result<QueryTurns, ExecError> {
        Ok(QueryTurns::begin(self.turns(), Work::Query, limits).await?)
    }
}

fn unlimited() -> Limits {
    Limits { deadline: now() + NO_DEADLINE, ended: CancelToken::default() }
}
