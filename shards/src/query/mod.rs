//! From an expression to its value over all shards; series and labels.
//!
//! ```text
//! text ─► parse ─► plan ─► a place in the queue ─► evaluate ─┬─ own part, in turns
//!                                                            └─ part to every other shard
//! ```
//!
//! Where a query came in it is planned and gathered; every shard runs the same part on its own
//! series. All of it happens in [`crate::turns`], until the deadline, and only while somebody
//! wants the answer.

mod lookup;
mod scatter;

use std::fmt;
use std::time::{Duration, Instant};

use engine::exec::{ExecError, Outcome, evaluate};
use engine::plan::{Plan, PlanError, PlanOptions, QueryTimes};
use engine::promql::{Ast, ParseErrors, ParseOptions, parse};
use futures_lite::FutureExt;

pub use scatter::QueryTurns;

use crate::cancel::CancelToken;
use crate::runtime::{now, sleep, timeout};
use crate::shard::Shard;
use crate::turns::Work;
use scatter::MeshScatter;

/// Bounds and defaults of queries, for the whole process.
#[derive(Clone, Copy, Debug)]
pub struct QueryOptions {
    /// Most samples one query may hold at once.
    pub samples_max: usize,
    /// Most queries under way at once. Every shard has its share of them.
    pub concurrency_max: usize,
    /// Longest that a query may take, its waiting included.
    pub timeout: Duration,
    /// How far back a sample may lie to stand for a time.
    pub lookback_ms: i64,
    /// Step of a subquery that names none.
    pub subquery_step_ms: i64,
    pub parse: ParseOptions,
    /// Names are dropped at the end of a query.
    pub delayed_names: bool,
    pub type_and_unit: bool,
}

impl Default for QueryOptions {
    /// Prometheus's.
    fn default() -> Self {
        QueryOptions {
            samples_max: 50_000_000,
            concurrency_max: 20,
            timeout: Duration::from_secs(120),
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            parse: ParseOptions::default(),
            delayed_names: false,
            type_and_unit: false,
        }
    }
}

impl QueryOptions {
    /// Queries under way on one of `shard_count` shards.
    pub(crate) fn places(&self, shard_count: usize) -> usize {
        self.concurrency_max.div_ceil(shard_count).max(1)
    }
}

/// What to evaluate.
#[derive(Clone, Debug)]
pub enum Expression {
    Text(String),
    /// Parsed before: a rule's.
    Ast(Ast),
}

#[derive(Clone, Debug)]
pub struct QueryRequest {
    pub expression: Expression,
    pub start_ms: i64,
    /// Equal to `start_ms` in an instant query.
    pub end_ms: i64,
    /// Zero in an instant query.
    pub step_ms: i64,
    /// Instead of [`QueryOptions::lookback_ms`].
    pub lookback_ms: Option<i64>,
    /// Instead of [`QueryOptions::timeout`], if shorter.
    pub timeout: Option<Duration>,
    pub work: Work,
}

impl QueryRequest {
    /// An instant query of a user.
    pub fn instant(text: &str, time_ms: i64) -> QueryRequest {
        QueryRequest::range(text, time_ms, time_ms, 0)
    }

    /// A range query of a user.
    pub fn range(text: &str, start_ms: i64, end_ms: i64, step_ms: i64) -> QueryRequest {
        QueryRequest {
            expression: Expression::Text(text.to_owned()),
            start_ms,
            end_ms,
            step_ms,
            lookback_ms: None,
            timeout: None,
            work: Work::Query,
        }
    }
}

/// A query's answer, and where its time went.
#[derive(Clone, Debug)]
pub struct QueryOutcome {
    pub outcome: Outcome,
    pub timings: QueryTimings,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryTimings {
    /// Waiting for a place.
    pub queued: Duration,
    /// Parsing and planning.
    pub prepared: Duration,
    pub evaluated: Duration,
}

#[derive(Clone, Debug)]
pub enum QueryError {
    Parse(ParseErrors),
    Plan(PlanError),
    Exec(ExecError),
    /// The deadline passed while others were served.
    QueueTimedOut,
    Stopping,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::Parse(errors) => errors.fmt(f),
            QueryError::Plan(error) => error.fmt(f),
            QueryError::Exec(error) => error.fmt(f),
            QueryError::QueueTimedOut => f.write_str("query timed out in query queue"),
            QueryError::Stopping => f.write_str("server is stopping"),
        }
    }
}

impl std::error::Error for QueryError {}

impl From<ExecError> for QueryError {
    fn from(error: ExecError) -> Self {
        QueryError::Exec(error)
    }
}

/// What ends a query from outside, wherever its parts run.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub deadline: Instant,
    /// Nobody wants the answer any more.
    pub ended: CancelToken,
}

impl Shard {
    /// Evaluates a request; dropping the future ends the query on every shard.
    ///
    /// Errors: the text's, the plan's and the evaluation's, in Prometheus's words; a deadline that
    /// passed, also while waiting for a place; `cancel`.
    pub async fn query(
        &self,
        request: QueryRequest,
        cancel: &CancelToken,
    ) -> Result<QueryOutcome, QueryError> {
        let options = &self.0.query_options;
        let stats = self.own_stats();
        let begun = now();
        let allowed = request.timeout.map_or(options.timeout, |own| own.min(options.timeout));
        let plan = self.plan(&request)?;
        let prepared = begun.elapsed();
        stats.queries.add(1);

        stats.queries_waiting.set(self.0.query_places.waiting_count() as u64 + 1);
        let place = timeout(allowed, self.0.query_places.acquire()).await;
        stats.queries_waiting.set(self.0.query_places.waiting_count() as u64);
        let _place = place.map_err(|_| QueryError::QueueTimedOut)?;
        let queued = begun.elapsed() - prepared;
        let _active = Active::begin(self);

        let limits = Limits { deadline: begun + allowed, ended: CancelToken::default() };
        let _ended = limits.ended.on_drop();
        let evaluation = async {
            let turns = QueryTurns::begin(self.turns(), request.work, &limits).await?;
            let scatter = MeshScatter { shard: self, turns, work: request.work, limits: &limits };
            evaluate(&plan, &scatter).await
        };
        let timed_out = async {
            sleep(limits.deadline.saturating_duration_since(now())).await;
            Err(ExecError::TimedOut)
        };
        let canceled = async {
            cancel.canceled().await;
            Err(ExecError::Canceled)
        };
        let outcome = evaluation.or(timed_out).or(canceled).await?;
        let evaluated = begun.elapsed() - queued - prepared;
        Ok(QueryOutcome { outcome, timings: QueryTimings { queued, prepared, evaluated } })
    }

    fn plan(&self, request: &QueryRequest) -> Result<Plan, QueryError> {
        let options = &self.0.query_options;
        let parsed;
        let ast = match &request.expression {
            Expression::Ast(ast) => ast,
            Expression::Text(text) => {
                parsed = parse(text, &options.parse).map_err(QueryError::Parse)?;
                &parsed
            }
        };
        let times = QueryTimes {
            start_ms: request.start_ms,
            end_ms: request.end_ms,
            step_ms: request.step_ms,
            lookback_ms: request.lookback_ms.unwrap_or(options.lookback_ms),
            subquery_step_ms: options.subquery_step_ms,
        };
        let options = PlanOptions {
            samples_max: options.samples_max,
            delayed_names: options.delayed_names,
            type_and_unit: options.type_and_unit,
            ..PlanOptions::default()
        };
        Plan::new(ast, times, &options).map_err(QueryError::Plan)
    }
}

/// Counts a query as under way.
struct Active<'a>(&'a Shard);

impl<'a> Active<'a> {
    fn begin(shard: &'a Shard) -> Active<'a> {
        shard.own_stats().queries_active.add(1);
        Active(shard)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        let active = &self.0.own_stats().queries_active;
        active.set(active.get() - 1);
    }
}
