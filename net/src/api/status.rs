//! What runs here: build, configuration, flags, storage.
//!
//! Source: Prometheus `web/api/v1/api.go` (`serve*`), `web/web.go` (`runtimeInfo`).

use std::sync::Arc;

use http::StatusCode;
use shards::stats::ShardStats;

use crate::http::{Response, with_type};
use crate::observe::version;

use super::answer::{JSON, Notes, success};
use super::context::Context;
use super::json::Json;
use super::time::rfc3339;

pub fn config(context: &Context) -> Response {
    let yaml = context.loaded().yaml;
    success(&Notes::default(), |json| {
        json.begin_object();
        json.field("yaml").text(&yaml);
        json.end_object();
    })
}

pub fn flags(context: &Context) -> Response {
    success(&Notes::default(), |json| {
        json.begin_object();
        for (name, value) in &context.flags {
            json.field(name).text(value);
        }
        json.end_object();
    })
}

pub fn runtime_info(context: &Context, now_ms: i64) -> Response {
    let loaded = context.loaded();
    success(&Notes::default(), |json| {
        json.begin_object();
        json.field("startTime").text(&rfc3339(Some(context.started_ms)));
        json.field("CWD").text(&context.working_directory);
        json.field("hostname").text(&context.hostname);
        json.field("serverTime").text(&rfc3339(Some(now_ms)));
        json.field("reloadConfigSuccess").bool(loaded.is_last_reload_good);
        json.field("lastConfigTime").text(&rfc3339(Some(loaded.last_good_reload_ms)));
        json.field("corruptionCount").int(0);
        // What Go's runtime would say; here a goroutine's place is a thread's, and shards are the
        // processors in use.
        json.field("goroutineCount").int(crate::observe::process::thread_count());
        json.field("GOMAXPROCS").int(context.shard_count as i64);
        json.field("GOMEMLIMIT").int(i64::MAX);
        json.field("GOGC").text("");
        json.field("GODEBUG").text("");
        json.field("storageRetention").text(&context.storage_retention);
        json.end_object();
    })
}

pub fn build_info() -> Response {
    success(&Notes::default(), write_build_info)
}

/// `/version`: the same without an envelope.
pub fn version() -> Response {
    let mut out = vec![];
    write_build_info(&mut Json::new(&mut out));
    out.push(b'\n');
    with_type(StatusCode::OK, JSON, out)
}

/// The version is that of the Prometheus whose API this is, because clients choose by it what they
/// may ask for; the revision names hearth.
fn write_build_info(json: &mut Json<'_>) {
    json.begin_object();
    json.field("version").text(version::PROMETHEUS);
    json.field("revision").text(version::HEARTH);
    json.field("branch").text("hearth");
    json.field("buildUser").text("");
    json.field("buildDate").text("");
    json.field("goVersion").text("");
    json.end_object();
}

/// Requests are only answered once the log was replayed, or before; there is no state in between
/// to tell.
/// How far the logs of all shards are read: their segments count as one row.
pub fn wal_replay(shards: &[Arc<ShardStats>]) -> Response {
    let sum = |of: fn(&ShardStats) -> u64| shards.iter().map(|stats| of(stats)).sum::<u64>();
    let segments = sum(|stats| stats.replay.segments.get());
    let read = sum(|stats| stats.replay.segments_read.get());
    success(&Notes::default(), |json| {
        json.begin_object();
        json.field("min").int(0);
        json.field("max").int(segments.saturating_sub(1) as i64);
        json.field("current").int(read.saturating_sub(1) as i64);
        json.end_object();
    })
}

/// What is switched on, and what is there at all.
pub fn features(context: &Context) -> Response {
    let api = [
        ("admin", context.web.has_admin_api),
        ("label_values_match", true),
        ("lifecycle", context.web.has_lifecycle),
        ("otlp_write_receiver", false),
        ("query_stats", false),
        ("query_warnings", true),
        ("remote_write_receiver", context.web.has_remote_write_receiver),
        ("search", false),
        ("time_range_labels", true),
        ("time_range_series", true),
    ];
    success(&Notes::default(), |json| {
        json.begin_object();
        json.field("api").begin_object();
        for (name, is_on) in api {
            json.field(name).bool(is_on);
        }
        json.end_object();
        json.end_object();
    })
}

pub fn notifications(context: &Context) -> Response {
    let is_good = context.loaded().is_last_reload_good;
    success(&Notes::default(), |json| {
        json.begin_array();
        if !is_good {
            json.begin_object();
            json.field("text").text("Configuration reload has failed.");
            json.field("active").bool(true);
            json.end_object();
        }
        json.end_array();
    })
}
