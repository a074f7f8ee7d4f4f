//! `/query`, `/query_range` and what else reads an expression.
//!
//! Source: Prometheus `web/api/v1/api.go` (`query`, `queryRange`, `returnAPIError`).

use std::time::Duration;

use engine::exec::{ExecError, Outcome, SampleStats, Severity, Value};
use engine::promql::{self, Ast, ParseOptions};
use shards::query::QueryTimings;
use shards::{CancelToken, QueryError, QueryOutcome, QueryRequest, Shard};

use crate::http::{Form, Response};

use super::answer::{ApiError, ErrorKind, Notes, TRUNCATED, success, success_pulled};
use super::json::Json;
use super::params::{RangeGrid, duration_ms, limit, time_or};
use super::value::ValueBody;

/// Most warnings and most infos in an answer; the rest is counted.
const NOTE_COUNT_MAX: usize = 10;

pub async fn query(shard: &Shard, form: &Form, now_ms: i64) -> Result<Response, ApiError> {
    let limit = limit(form)?;
    let time_ms = time_or(form, "time", now_ms)?;
    let grid = RangeGrid { start_ms: time_ms, end_ms: time_ms, step_ms: 0 };
    run(shard, form, grid, limit).await
}

pub async fn query_range(shard: &Shard, form: &Form) -> Result<Response, ApiError> {
    let limit = limit(form)?;
    let grid = RangeGrid::from_form(form)?;
    run(shard, form, grid, limit).await
}

async fn run(
    shard: &Shard,
    form: &Form,
    grid: RangeGrid,
    limit: usize,
) -> Result<Response, ApiError> {
    let asked_ms = duration_ms(form, "timeout").map_err(|e| ApiError::parameter("timeout", &e))?;
    let lookback_ms = duration_ms(form, "lookback_delta")
        .map_err(|e| ApiError::bad_data(format!("error parsing lookback delta duration: {e}")))?
        .filter(|ms| *ms > 0);
    let text = form.get("query");
    let RangeGrid { start_ms, end_ms, step_ms } = grid;
    let request = QueryRequest {
        lookback_ms,
        timeout: asked_ms.map(|ms| Duration::from_millis(ms.max(0) as u64)),
        ..QueryRequest::range(text, start_ms, end_ms, step_ms)
    };
    // A client that goes away drops this future, which ends the query on every shard.
    let outcome = shard.query(request, &CancelToken::default()).await.map_err(query_error)?;
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
            "value {stats_wanted:?} for parameter \"stats\" is deprecated and will be rejected in \
             the next major release, use \"true\" or \"all\""
        ));
    }
    shorten(&mut notes.warnings, "warning");
    shorten(&mut notes.infos, "info");
    let stats = (!stats_wanted.is_empty()).then(|| stats_json(&stats, &timings));
    Ok(success_pulled(notes, ValueBody::new(value, row_count, stats)))
}

fn shorten(texts: &mut Vec<String>, what: &str) {
    if texts.len() > NOTE_COUNT_MAX {
        let more = texts.len() - NOTE_COUNT_MAX;
        texts.truncate(NOTE_COUNT_MAX);
        texts.push(format!("{more} more {what} annotations omitted"));
    }
}

fn stats_json(stats: &SampleStats, timings: &QueryTimings) -> Vec<u8> {
    let QueryTimings { queued, prepared, evaluated } = *timings;
    let mut out = vec![];
    let mut json = Json::new(&mut out);
    json.begin_object();
    json.field("timings").begin_object();
    json.field("evalTotalTime").float((prepared + evaluated).as_secs_f64());
    json.field("resultSortTime").float(0.0);
    json.field("queryPreparationTime").float(prepared.as_secs_f64());
    json.field("innerEvalTime").float(evaluated.as_secs_f64());
    json.field("execQueueTime").float(queued.as_secs_f64());
    json.field("execTotalTime").float((queued + prepared + evaluated).as_secs_f64());
    json.end_object();
    json.field("samples").begin_object();
    json.field("totalQueryableSamples").int(stats.queryable() as i64);
    json.field("samplesRead").int(stats.read as i64);
    json.field("peakSamples").int(stats.peak as i64);
    json.end_object();
    json.end_object();
    out
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
        QueryError::Exec(ExecError::TooManySamples | ExecError::Evaluation(_)) => {
            ErrorKind::Execution
        }
        QueryError::Stopping => ErrorKind::Unavailable,
    };
    ApiError::new(kind, error.to_string())
}

pub fn format_query(form: &Form) -> Result<Response, ApiError> {
    let ast = parsed(form)?;
    let pretty = promql::pretty(&ast, ast.root());
    Ok(success(&Notes::default(), |json| json.text(&pretty)))
}

/// The text is judged, but its tree is not written yet.
pub fn parse_query(form: &Form) -> Result<Response, ApiError> {
    parsed(form)?;
    Err(ApiError::not_built("parse_query"))
}

fn parsed(form: &Form) -> Result<Ast, ApiError> {
    promql::parse(form.get("query"), &ParseOptions::default())
        .map_err(|errors| ApiError::parameter("query", &errors.to_string()))
}
