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

mod active;
mod lookup;
mod run;
mod scatter;
mod source;

use std::fmt;
use std::time::{Duration, Instant};

use engine::exec::{ExecError, Outcome};
use engine::plan::{Plan, PlanError, PlanOptions, QueryTimes};
use engine::promql::{Ast, ParseErrors, ParseOptions, parse};

pub(crate) use active::ActiveQueries;
pub use active::{ActiveQuery, QueryId};
pub use scatter::QueryTurns;

use crate::cancel::CancelToken;
use crate::turns::Work;

/// Bounds and defaults of queries, for the whole process.
#[derive(Clone, Copy, Debug)]
pub struct QueryOptions {
    /// Most samples one query may hold at once.
    pub samples_max: usize,
    /// Most bytes one query may hold at once, on each shard and where its parts meet.
    pub bytes_max: usize,
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
    /// Start timestamps tell of resets.
    pub start_timestamps: bool,
    /// Statistics may be told step by step.
    pub per_step_stats: bool,
}

impl Default for QueryOptions {
    /// Prometheus's.
    fn default() -> Self {
        QueryOptions {
            samples_max: 50_000_000,
            bytes_max: usize::MAX,
            concurrency_max: 20,
            timeout: Duration::from_secs(120),
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            parse: ParseOptions::default(),
            delayed_names: false,
            type_and_unit: false,
            start_timestamps: false,
            per_step_stats: false,
        }
    }
}

impl QueryOptions {
    fn times(&self, request: &QueryRequest) -> QueryTimes {
        QueryTimes {
            start_ms: request.start_ms,
            end_ms: request.end_ms,
            step_ms: request.step_ms,
            lookback_ms: request.lookback_ms.unwrap_or(self.lookback_ms),
            subquery_step_ms: request.subquery_step_ms.unwrap_or(self.subquery_step_ms),
        }
    }

    fn plan_options(&self) -> PlanOptions {
        PlanOptions {
            samples_max: self.samples_max,
            bytes_max: self.bytes_max,
            delayed_names: self.delayed_names,
            type_and_unit: self.type_and_unit,
            start_timestamps: self.start_timestamps,
            ..PlanOptions::default()
        }
    }

    fn plan(&self, request: &QueryRequest) -> Result<Plan, QueryError> {
        let parsed;
        let ast = match &request.expression {
            Expression::Ast(ast) => ast,
            Expression::Text(text) => {
                parsed = parse(text, &self.parse).map_err(QueryError::Parse)?;
                &parsed
            }
        };
        Plan::new(ast, self.times(request), &self.plan_options()).map_err(QueryError::Plan)
    }

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
    /// Instead of [`QueryOptions::subquery_step_ms`].
    pub subquery_step_ms: Option<i64>,
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
            subquery_step_ms: None,
            work: Work::Query,
        }
    }
}

impl QueryRequest {
    /// The text, for show; of an expression that was parsed before, as it is printed.
    fn text(&self) -> std::borrow::Cow<'_, str> {
        match &self.expression {
            Expression::Text(text) => text.into(),
            Expression::Ast(ast) => engine::promql::print(ast, ast.root()).into(),
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
