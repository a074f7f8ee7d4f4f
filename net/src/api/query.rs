//! `/query`, `/query_range` and what else reads an expression.
//!
//! Source: Prometheus `web/api/v1/api.go` (`query`, `queryRange`, `returnAPIError`).

use std::time::{Duration, Instant};

use engine::exec::{ExecError, Outcome, Severity, Value};
use engine::promql::{self, Ast};
use shards::query::QueryTimings;
use shards::{CancelToken, QueryError, QueryOutcome, QueryRequest, Shard, runtime};

use crate::http::{Form, Response};
use crate::observe::query_log::{Origin, QueryLog, Record};

use super::answer::{
    ApiError, ErrorKind, Notes, TRUNCATED, success, success_pulled, success_streamed,
};
use super::context::Context;
use super::params::{RangeGrid, duration_ms, limit, time_or};
use super::pieces::{piece_rows, pieces};
use super::query_stats::{failed_stats_json, stats_json};
use super::tree::push_tree;
use super::value::{ValueBody, ValueText};

/// Most warnings and most infos in an answer; the rest is counted.
const NOTE_COUNT_MAX: usize = 10;

pub async fn query(asked: &Asked<'_>, now_ms: i64) -> Result<Response, ApiError> {
    let limit = limit(asked.form)?;
    let time_ms = time_or(asked.form, "time", now_ms)?;
    let grid = RangeGrid { start_ms: time_ms, end_ms: time_ms, step_ms: 0 };
    asked.run(grid, limit).await
}

pub async fn query_range(asked: &Asked<'_>) -> Result<Response, ApiError> {
    let limit = limit(asked.form)?;
    let grid = RangeGrid::from_form(asked.form)?;
    asked.run(grid, limit).await
}

/// A query as it came in.
pub struct Asked<'a> {
    pub shard: &'a Shard,
    pub context: &'a Context,
    pub form: &'a Form,
    pub origin: Origin,
}

/// What to evaluate, from the parameters of a request.
pub fn request(context: &Context, form: &Form, grid: RangeGrid) -> Result<QueryRequest, ApiError> {
    let asked_ms = duration_ms(form, "timeout").map_err(|e| ApiError::parameter("timeout", &e))?;
    let lookback_ms = duration_ms(form, "lookback_delta")
        .map_err(|e| ApiError::bad_data(format!("error parsing lookback delta duration: {e}")))?
        .filter(|ms| *ms > 0);
    let RangeGrid { start_ms, end_ms, step_ms } = grid;
    Ok(QueryRequest {
        lookback_ms,
        timeout: asked_ms.map(|ms| Duration::from_millis(ms.max(0) as u64)),
        subquery_step_ms: Some(context.subquery_step_ms()),
        ..QueryRequest::range(form.get("query"), start_ms, end_ms, step_ms)
    })
}

impl Asked<'_> {
    async fn run(&self, grid: RangeGrid, limit: usize) -> Result<Response, ApiError> {
        let form = self.form;
        let text = form.get("query");
        let request = request(self.context, form, grid)?;
        let begun = runtime::now();
        // A client that goes away drops this future, which ends the query on every shard.
        let outcome = self.shard.query(request, &CancelToken::default()).await;
        self.log(&outcome, grid, begun);
        let outcome = outcome.map_err(query_error)?;
        self.context.count_query(self.shard, &outcome);
        let QueryOutcome { outcome: Outcome { value, annotations, stats }, timings } = outcome;
        let mut notes = Notes {
            warnings: annotations.texts(Severity::Warning, text),
            infos: annotations.texts(Severity::Info, text),
        };
        let is_vector = !matches!(value, Value::Scalar { .. } | Value::String { .. });
        let mut row_count = value.row_count();
        if is_vector && limit > 0 && row_count > limit {
            row_count = limit;
            notes.warnings.push(TRUNCATED.to_owned());
        }
        let stats_wanted = form.get("stats");
        if !matches!(stats_wanted, "" | "true" | "all") {
            notes.warnings.push(format!(
                "value {stats_wanted:?} for parameter \"stats\" is deprecated and will be rejected \
                 in the next major release, use \"true\" or \"all\""
            ));
        }
        shorten(&mut notes.warnings, "warning");
        shorten(&mut notes.infos, "info");
        let tells_steps = stats_wanted == "all" && self.shard.query_options().per_step_stats;
        let steps_of = tells_steps.then_some(grid);
        let stats = (!stats_wanted.is_empty()).then(|| stats_json(&stats, &timings, steps_of));
        let text = ValueText::new(value, row_count, stats);
        Ok(match piece_rows(&text, self.shard.count()) {
            Some(rows) => success_streamed(&notes, pieces(text, rows, self.shard)),
            None => success_pulled(notes, ValueBody::new(text)),
        })
    }

    fn log(&self, outcome: &Result<QueryOutcome, QueryError>, grid: RangeGrid, begun: Instant) {
        let (log, text) = (&self.context.query_log, self.form.get("query"));
        log_query(log, text, outcome, grid, begun, &self.origin);
    }
}

/// Logs a query that has ended, if there is a file. Prometheus logs what it began to evaluate:
/// neither what could not be parsed, nor planned.
pub fn log_query(
    log: &QueryLog,
    query: &str,
    outcome: &Result<QueryOutcome, QueryError>,
    grid: RangeGrid,
    begun: Instant,
    origin: &Origin,
) {
    let refused = matches!(outcome, Err(QueryError::Parse(_) | QueryError::Plan(_)));
    if refused || !log.is_open() {
        return;
    }
    let (stats, error) = match outcome {
        Ok(QueryOutcome { outcome, timings }) => (stats_json(&outcome.stats, timings, None), None),
        Err(error) => {
            let evaluated = runtime::now().duration_since(begun);
            let timings = QueryTimings { evaluated, ..QueryTimings::default() };
            (failed_stats_json(&timings), Some(error.to_string()))
        }
    };
    log.record(&Record {
        query,
        start_ms: grid.start_ms,
        end_ms: grid.end_ms,
        step_ms: grid.step_ms,
        error: error.as_deref(),
        stats: &stats,
        origin,
    });
}

fn shorten(texts: &mut Vec<String>, what: &str) {
    if texts.len() > NOTE_COUNT_MAX {
        let more = texts.len() - NOTE_COUNT_MAX;
        texts.truncate(NOTE_COUNT_MAX);
        texts.push(format!("{more} more {what} annotations omitted"));
    }
}

/// Which of the API's errors a query's is.
pub fn query_error(error: QueryError) -> ApiError {
    let kind = match &error {
        QueryError::Parse(_) | QueryError::Plan(_) => {
            return ApiError::parameter("query", &error.to_string());
        }
        QueryError::Exec(ExecError::TimedOut) | QueryError::QueueTimedOut => ErrorKind::Timeout,
        QueryError::Exec(ExecError::Canceled) => ErrorKind::Canceled,
        QueryError::Exec(ExecError::Storage(_)) => ErrorKind::Internal,
        QueryError::Exec(
            ExecError::TooManySamples | ExecError::TooManyBytes { .. } | ExecError::Evaluation(_),
        ) => ErrorKind::Execution,
        QueryError::Stopping => ErrorKind::Unavailable,
    };
    ApiError::new(kind, error.to_string())
}

pub async fn format_query(shard: &Shard, form: &Form) -> Result<Response, ApiError> {
    let pretty = parsed(shard, form, |ast| promql::pretty(ast, ast.root())).await?;
    Ok(success(&Notes::default(), |json| json.text(&pretty)))
}

pub async fn parse_query(shard: &Shard, form: &Form) -> Result<Response, ApiError> {
    let write = |ast: &Ast| {
        let mut tree = vec![];
        push_tree(&mut tree, ast, ast.root());
        tree
    };
    let tree = parsed(shard, form, write).await?;
    Ok(success(&Notes::default(), |json| json.raw(&tree)))
}

/// Parses and shows off the shard: a megabyte of operators takes a second.
async fn parsed<T: Send + 'static>(
    shard: &Shard,
    form: &Form,
    show: impl FnOnce(&Ast) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let (text, options) = (form.get("query").to_owned(), shard.query_options().parse);
    let shown = runtime::blocking(move || promql::parse(&text, &options).map(|ast| show(&ast)));
    shown.await.map_err(|errors| ApiError::parameter("query", &errors.to_string()))
}
