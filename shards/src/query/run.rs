//! A query from its request to its answer: planned, queued, evaluated, ended from outside.

use std::time::{Duration, Instant};

use engine::exec::{ExecError, ask_group, evaluate, evaluate_given};
use engine::plan::Plan;
use engine::promql::Ast;
use futures_lite::FutureExt;

use super::active::Listed;
use super::scatter::{MeshScatter, QueryTurns};
use super::{
    ActiveQuery, Expression, Limits, QueryError, QueryId, QueryOptions, QueryOutcome, QueryRequest,
    QueryTimings,
};
use crate::cancel::CancelToken;
use crate::fair::Permit;
use crate::mesh::Gone;
use crate::route::ShardId;
use crate::runtime::{blocking, now, sleep, timeout};
use crate::shard::Shard;

/// Longer texts are parsed off the shard.
const SHORT_TEXT_BYTES: usize = 8 << 10;

impl Shard {
    /// Bounds and defaults of queries.
    pub fn query_options(&self) -> &QueryOptions {
        &self.0.query_options
    }

    /// Evaluates a request; dropping the future ends the query on every shard.
    ///
    /// Errors: the text's, the plan's and the evaluation's, in Prometheus's words; a deadline that
    /// passed, also while waiting for a place; `cancel`.
    pub async fn query(
        &self,
        request: QueryRequest,
        cancel: &CancelToken,
    ) -> Result<QueryOutcome, QueryError> {
        let begun = now();
        let plan = self.plan_query(&request).await?;
        let prepared = begun.elapsed();
        self.own_stats().queries.add(1);
        let place = self.place(&request, begun, cancel).await?;
        let queued = begun.elapsed() - prepared;
        let deadline = begun + self.allowed(&request);
        let limits = Limits { deadline, ended: CancelToken::default() };
        let _ended = limits.ended.on_drop();
        let outcome = self
            .limited(&limits, [cancel, &place.ended], async {
                let turns = QueryTurns::begin(self.turns(), request.work, &limits).await?;
                let work = request.work;
                let scatter = MeshScatter { shard: self, turns, work, limits: &limits };
                evaluate(&plan, &scatter).await
            })
            .await?;
        let evaluated = begun.elapsed() - queued - prepared;
        Ok(QueryOutcome { outcome, timings: QueryTimings { queued, prepared, evaluated } })
    }

    /// Evaluates several expressions at the times and with the bounds of `request` (its own
    /// expression is shown, not asked), one after the other; the shards are asked for all of them
    /// at once. Answers in the order of `asts`. The deadline is that of each; the time that the
    /// shards took is shared out evenly.
    ///
    /// None of them may select what is written for another of them: all see the series as they
    /// are now. Errors: as [`Shard::query`]; one that fails fails alone.
    pub async fn query_group(
        &self,
        asts: &[&Ast],
        request: &QueryRequest,
        cancel: &CancelToken,
    ) -> Result<Vec<Result<QueryOutcome, QueryError>>, QueryError> {
        let begun = now();
        let options = &self.0.query_options;
        let group = Plan::new_group(asts, options.times(request), &options.plan_options());
        let prepared = begun.elapsed() / asts.len().max(1) as u32;
        self.own_stats().queries.add(asts.len() as u64);
        let place = self.place(request, begun, cancel).await?;
        let queued = begun.elapsed().saturating_sub(prepared);
        let ended = CancelToken::default();
        let _ended = ended.on_drop();
        // The parts' own deadline is that of all; each evaluation has its share of it below.
        let allowed = self.allowed(request);
        let deadline = now() + allowed * asts.len().max(1) as u32;
        let whole = Limits { deadline, ended };
        let turns = QueryTurns::begin(self.turns(), request.work, &whole).await;
        let turns = turns.map_err(ExecError::from)?;
        let scatter = MeshScatter { shard: self, turns, work: request.work, limits: &whole };
        let ends = [cancel, &place.ended];
        let begun = now();
        let given = self.limited(&whole, ends, ask_group(&group, &scatter)).await?;
        let asked = begun.elapsed() / asts.len().max(1) as u32;
        let mut outcomes = Vec::with_capacity(asts.len());
        for (plan, given) in group.plans.iter().zip(given) {
            let begun = now();
            let limits = Limits { deadline: begun + allowed, ended: whole.ended.clone() };
            let outcome = match plan {
                Ok(plan) => self
                    .limited(&limits, ends, evaluate_given(plan, given, &scatter))
                    .await
                    .map_err(QueryError::Exec),
                Err(error) => Err(QueryError::Plan(error.clone())),
            };
            let evaluated = asked + begun.elapsed();
            let timings = QueryTimings { queued, prepared, evaluated };
            outcomes.push(outcome.map(|outcome| QueryOutcome { outcome, timings }));
        }
        Ok(outcomes)
    }

    /// The plan of a request.
    pub async fn plan_query(&self, request: &QueryRequest) -> Result<Plan, QueryError> {
        let options = self.0.query_options;
        match &request.expression {
            // A megabyte of operators takes a second.
            Expression::Text(text) if text.len() > SHORT_TEXT_BYTES => {
                let request = request.clone();
                blocking(move || options.plan(&request)).await
            }
            _ => options.plan(request),
        }
    }

    /// Queries under way on all shards, by shard and age.
    ///
    /// Errors: the process stops.
    pub async fn active_queries(&self) -> Result<Vec<ActiveQuery>, Gone> {
        let mut queries = Vec::new();
        for shard in ShardId::all(self.count()) {
            let list = self.call(shard, |shard| shard.0.active_queries.list(shard.id()));
            queries.extend(list.await?);
        }
        Ok(queries)
    }

    /// Ends a query; false if it is not under way (any more).
    ///
    /// Errors: the process stops.
    pub async fn cancel_query(&self, id: QueryId) -> Result<bool, Gone> {
        if id.shard.index() >= self.count() {
            return Ok(false);
        }
        self.call(id.shard, move |shard| shard.0.active_queries.cancel(id.number)).await
    }

    fn allowed(&self, request: &QueryRequest) -> Duration {
        let allowed = self.0.query_options.timeout;
        request.timeout.map_or(allowed, |own| own.min(allowed))
    }

    /// Waits in the queue; the query is listed from now on.
    async fn place<'a>(
        &'a self,
        request: &QueryRequest,
        begun: Instant,
        cancel: &CancelToken,
    ) -> Result<Place<'a>, QueryError> {
        let stats = self.own_stats();
        let places = &self.0.query_places;
        let ended = CancelToken::default();
        let times_ms = [request.start_ms, request.end_ms, request.step_ms];
        let listed = self.0.active_queries.begin(&request.text(), times_ms, ended.clone());
        stats.queries_waiting.set(places.waiting_count() as u64 + 1);
        let left = self.allowed(request).saturating_sub(begun.elapsed());
        let waited = async { Ok(timeout(left, places.acquire()).await) };
        let canceled = async {
            cancel.canceled().or(ended.canceled()).await;
            Err(QueryError::Exec(ExecError::Canceled))
        };
        let waited = waited.or(canceled).await;
        stats.queries_waiting.set(places.waiting_count() as u64);
        let permit = waited?.map_err(|_| QueryError::QueueTimedOut)?;
        listed.runs();
        stats.queries_active.add(1);
        Ok(Place { shard: self, _permit: permit, _listed: listed, ended })
    }

    /// `evaluation`, until the deadline or one of `ends`.
    async fn limited<T>(
        &self,
        limits: &Limits,
        ends: [&CancelToken; 2],
        evaluation: impl Future<Output = Result<T, ExecError>>,
    ) -> Result<T, ExecError> {
        let timed_out = async {
            sleep(limits.deadline.saturating_duration_since(now())).await;
            Err(ExecError::TimedOut)
        };
        let canceled = async {
            ends[0].canceled().or(ends[1].canceled()).await;
            Err(ExecError::Canceled)
        };
        evaluation.or(timed_out).or(canceled).await
    }
}

/// A query's place among those under way.
struct Place<'a> {
    shard: &'a Shard,
    _permit: Permit<'a>,
    _listed: Listed,
    /// Somebody asked for its end.
    ended: CancelToken,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let active = &self.shard.own_stats().queries_active;
        active.set(active.get() - 1);
    }
}
