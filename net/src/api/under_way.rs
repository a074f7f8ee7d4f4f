//! hearth's own: how a query would be carried out, which are under way, and ending one.

use std::fmt::Write;

use http::StatusCode;
use shards::{QueryId, Shard};

use crate::http::{Form, Response, text};

use super::answer::{ApiError, ErrorKind, Notes, success};
use super::context::Context;
use super::params::{RangeGrid, time_or};
use super::query::{query_error, request};

/// `/api/v1/explain`: the plan of a query, of a range query if `step` is given; with
/// `format=text` as text.
pub async fn explain(
    shard: &Shard,
    context: &Context,
    form: &Form,
    now_ms: i64,
) -> Result<Response, ApiError> {
    let grid = if form.get("step").is_empty() {
        let time_ms = time_or(form, "time", now_ms)?;
        RangeGrid { start_ms: time_ms, end_ms: time_ms, step_ms: 0 }
    } else {
        RangeGrid::from_form(form)?
    };
    let plan = shard.plan_query(&request(context, form, grid)?).await;
    let plan = plan.map_err(query_error)?;
    let plan_text = plan.explain_text();
    if form.get("format") == "text" {
        return Ok(text(StatusCode::OK, plan_text));
    }
    Ok(success(&Notes::default(), |json| {
        json.begin_object();
        json.field("nodes").begin_array();
        for node in plan.explain() {
            json.begin_object();
            json.field("id").int(i64::from(node.id.0));
            json.field("depth").int(node.depth as i64);
            json.field("place").text(node.place);
            json.field("steps").texts(&node.lines);
            json.field("children").begin_array();
            node.children.iter().for_each(|child| json.int(i64::from(child.0)));
            json.end_array();
            json.field("startMs").int(node.grid.start_ms);
            json.field("stepMs").int(node.grid.step_ms);
            json.field("stepCount").int(node.grid.step_count as i64);
            json.end_object();
        }
        json.end_array();
        json.field("rewrites").begin_object();
        for (rewrite, count) in plan.applied.iter() {
            json.field(rewrite.name()).int(i64::from(count));
        }
        json.end_object();
        json.field("text").text(&plan_text);
        json.end_object();
    }))
}

/// `/api/v1/active_queries`: all shards' queries under way, by shard and age.
pub async fn active_queries(shard: &Shard) -> Result<Response, ApiError> {
    let queries = shard.active_queries().await.map_err(|_| stopping())?;
    Ok(success(&Notes::default(), |json| {
        json.begin_array();
        for query in &queries {
            json.begin_object();
            json.field("id").text(&query.id.to_string());
            json.field("query").text(&query.text);
            for (name, ms) in [
                ("start", query.start_ms),
                ("end", query.end_ms),
                ("step", query.step_ms),
                ("begun", query.begun_ms),
            ] {
                json.field(name).float(ms as f64 / 1000.0);
            }
            json.field("elapsedSeconds").float(query.elapsed.as_secs_f64());
            json.field("state").text(if query.waits { "waiting" } else { "running" });
            json.end_object();
        }
        json.end_array();
    }))
}

/// `POST /api/v1/active_queries/ID/cancel`. Its client hears that it was canceled.
pub async fn cancel_query(
    shard: &Shard,
    context: &Context,
    id: &str,
) -> Result<Response, ApiError> {
    if !context.web.has_admin_api {
        return Err(ApiError::new(ErrorKind::Unavailable, "admin APIs disabled"));
    }
    let mut unknown = String::from("no query is under way with id ");
    let _ = write!(unknown, "{id:?}");
    let Some(parsed) = QueryId::parse(id) else {
        return Err(ApiError::new(ErrorKind::NotFound, unknown));
    };
    match shard.cancel_query(parsed).await {
        Ok(true) => Ok(success(&Notes::default(), |json| json.text(id))),
        Ok(false) => Err(ApiError::new(ErrorKind::NotFound, unknown)),
        Err(_) => Err(stopping()),
    }
}

fn stopping() -> ApiError {
    ApiError::new(ErrorKind::Unavailable, "server is stopping")
}
