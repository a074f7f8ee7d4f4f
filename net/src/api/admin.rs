//! The admin API: deleting series, cleaning tombstones, snapshots. And the list of blocks.
//!
//! Source: Prometheus `web/api/v1/api.go` (`deleteSeries`, `cleanTombstones`, `snapshot`,
//! `serveTSDBBlocks`).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use engine::block::BlockMeta;
use engine::model::TimeRange;
use engine::promql::parse_selector;
use http::StatusCode;
use shards::Shard;

use crate::http::{Body, Form, Response};

use super::answer::{ApiError, ErrorKind, Notes, success};
use super::context::Context;
use super::json::Json;
use super::params::{MAX_TIME_MS, MIN_TIME_MS, time_or};

/// What a block's index counts as in Prometheus's words.
const INDEX_VERSION: i64 = 1;

fn check_enabled(context: &Context) -> Result<(), ApiError> {
    if context.web.has_admin_api {
        return Ok(());
    }
    Err(ApiError::new(ErrorKind::Unavailable, "admin APIs disabled"))
}

fn internal(message: String) -> ApiError {
    ApiError::new(ErrorKind::Internal, message)
}

fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub async fn delete_series(
    shard: &Shard,
    context: &Context,
    form: &Form,
) -> Result<Response, ApiError> {
    check_enabled(context)?;
    if form.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let min_ms = time_or(form, "start", MIN_TIME_MS)?;
    let max_ms = time_or(form, "end", MAX_TIME_MS)?;
    let mut sets = vec![];
    for text in form.all("match[]") {
        let parsed = parse_selector(text);
        sets.push(parsed.map_err(|errors| ApiError::parameter("match[]", &errors.to_string()))?);
    }
    for matchers in sets {
        shard.delete_series(matchers, TimeRange { min_ms, max_ms }).await.map_err(internal)?;
    }
    Ok(no_content())
}

pub async fn clean_tombstones(shard: &Shard, context: &Context) -> Result<Response, ApiError> {
    check_enabled(context)?;
    shard.clean_tombstones().await.map_err(internal)?;
    Ok(no_content())
}

/// As Go reads booleans.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

pub async fn snapshot(
    shard: &Shard,
    context: &Context,
    form: &Form,
    now_ms: i64,
) -> Result<Response, ApiError> {
    check_enabled(context)?;
    let skip_head = match form.get("skip_head") {
        "" => false,
        text => parse_bool(text).ok_or_else(|| {
            let why = format!(
                "unable to parse boolean: strconv.ParseBool: parsing {text:?}: invalid syntax"
            );
            ApiError::parameter("skip_head", &why)
        })?,
    };
    let name = snapshot_name(now_ms);
    let made = shard.snapshot(&name, !skip_head).await;
    made.map_err(|why| internal(format!("create snapshot: {why}")))?;
    Ok(success(&Notes::default(), |json| {
        json.begin_object();
        json.field("name").text(&name);
        json.end_object();
    }))
}

fn snapshot_name(now_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let random = RandomState::new().build_hasher().finish() >> 1;
    format!("{}-{random:016x}", time.strftime("%Y%m%dT%H%M%SZ"))
}

pub async fn blocks(shard: &Shard) -> Result<Response, ApiError> {
    let metas = shard.block_metas().await;
    let metas = metas.map_err(|why| internal(format!("error getting block metadata: {why}")))?;
    Ok(success(&Notes::default(), |json| {
        json.begin_object();
        json.field("blocks").begin_array();
        for (meta, tombstone_count) in &metas {
            write_meta(json, meta, *tombstone_count);
        }
        json.end_array();
        json.end_object();
    }))
}

fn write_meta(json: &mut Json<'_>, meta: &BlockMeta, tombstone_count: u64) {
    let id = meta.id.to_string();
    json.begin_object();
    json.field("ulid").text(&id);
    json.field("minTime").int(meta.range_start_ms);
    json.field("maxTime").int(meta.range_end_ms);
    json.field("stats").begin_object();
    for (name, count) in [
        ("numSamples", meta.sample_count()),
        ("numFloatSamples", meta.float_count),
        ("numHistogramSamples", meta.histogram_count),
        ("numSeries", meta.series_count),
        ("numChunks", meta.chunk_count),
        ("numTombstones", tombstone_count),
    ] {
        if count > 0 {
            json.field(name).int(count as i64);
        }
    }
    json.end_object();
    json.field("compaction").begin_object();
    json.field("level").int(i64::from(meta.level));
    json.field("sources").begin_array();
    json.text(&id);
    json.end_array();
    json.end_object();
    json.field("version").int(INDEX_VERSION);
    json.end_object();
}

#[cfg(test)]
mod tests {
    use super::snapshot_name;

    #[test]
    fn a_snapshot_is_named_by_time_and_chance() {
        let name = snapshot_name(1_700_000_000_123);
        let (time, random) = name.split_once('-').unwrap();
        assert_eq!((time, random.len()), ("20231114T221320Z", 16));
        assert!(u64::from_str_radix(random, 16).is_ok_and(|random| random >> 63 == 0));
    }
}
