//! `push metrics`: a page in the text format, sent by remote_write.
//!
//! Source: Prometheus `cmd/promtool/metrics.go`, `util/fmtutil/format.go`.

use std::time::Duration;

use engine::model::float::format_g;
use http::Method;

use super::arguments::{Arguments, Flag, Positional, flag, many, one};
use super::families::{Family, FamilyType, Metric, families};
use super::query::now_ms;
use super::server::{HTTP_CONFIG, Server};
use super::{BAD, Console, GOOD, Kind, say};
use crate::config::{MESSAGE_V1, MESSAGE_V2};
use crate::wire::quote::quoted;
use crate::wire::remote_write::encode::{Series, encode_v1, encode_v2, push_bytes, push_number};

pub(super) const FLAGS: &[Flag] = &[
    HTTP_CONFIG,
    flag("label", Kind::Pair, "Label to attach to metrics; can stand many times.")
        .or("job=promtool"),
    flag("timeout", Kind::Duration, "The time to wait for pushing metrics.").or("30s"),
    flag("header", Kind::Pair, "Header of the request."),
    flag(
        "protobuf_message",
        Kind::Text,
        "prometheus.WriteRequest or \
         io.prometheus.write.v2.Request.",
    )
    .or(MESSAGE_V1),
    flag("remote-write.path", Kind::Text, "Path of the API.").or("/api/v1/write"),
];
pub(super) const POSITIONALS: &[Positional] =
    &[one("remote-write-url", Kind::Url), many("metric-files", Kind::File, false)];

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let message = arguments.text("protobuf_message");
    if message != MESSAGE_V1 && message != MESSAGE_V2 {
        let message = quoted(message.as_bytes());
        return Err(format!(
            "  FAILED: invalid protobuf message {message}, must be prometheus.WriteRequest or \
             io.prometheus.write.v2.Request"
        ));
    }
    let mut server = Server::new(arguments, arguments.text("remote-write-url"))?;
    let mut code = GOOD;
    let mut tell = |done: Result<(), String>, what: &str, console: &mut Console<'_>| match done {
        Ok(()) => {
            say!(console.out, "  SUCCESS: {what} pushed to remote write.");
        }
        Err(why) => {
            say!(console.err, "  FAILED: {why}");
            code = BAD;
        }
    };
    if arguments.value("metric-files").is_none() {
        let mut page = Vec::new();
        let read = console.input.read_to_end(&mut page).map_err(|error| error.to_string());
        say!(console.out, "Parsing standard input");
        tell(read.and_then(|_| push(arguments, &mut server, &page)), "metrics", console);
    }
    for file in arguments.values("metric-files") {
        let read = std::fs::read(file).map_err(|error| format!("open {file}: {error}"));
        if read.is_ok() {
            say!(console.out, "Parsing metrics file {file}");
        }
        let done = read.and_then(|page| push(arguments, &mut server, &page));
        tell(done, &format!("metrics file {file}"), console);
    }
    Ok(code)
}

fn push(arguments: &Arguments, server: &mut Server, page: &[u8]) -> Result<(), String> {
    let families = families(page).map_err(|fault| fault.to_string())?;
    let now_ms = now_ms();
    let mut series = Vec::new();
    for family in &families {
        for metric in &family.metrics {
            push_series(family, metric, &arguments.pairs("label"), now_ms, &mut series);
        }
    }
    let texts: Vec<Vec<(&str, &str)>> = series
        .iter()
        .map(|(labels, ..)| labels.iter().map(|(name, value)| (&**name, &**value)).collect())
        .collect();
    let samples: Vec<[(i64, f64); 1]> =
        series.iter().map(|(_, at, value)| [(*at, *value)]).collect();
    let columns: Vec<Series<'_>> =
        texts.iter().zip(&samples).map(|(labels, samples)| Series { labels, samples }).collect();
    let mut message = Vec::new();
    let is_v2 = arguments.text("protobuf_message") == MESSAGE_V2;
    if is_v2 {
        encode_v2(&columns, &mut message);
    } else {
        encode_v1(&columns, &mut message);
        families.iter().for_each(|family| push_metadata_v1(&mut message, family));
    }
    let body = snap::raw::Encoder::new().compress_vec(&message).map_err(|why| why.to_string())?;
    server.set_header("content-encoding", "snappy");
    server.set_header("x-prometheus-remote-write-version", if is_v2 { "2.0.0" } else { "0.1.0" });
    let kind = format!("application/x-protobuf;proto={}", arguments.text("protobuf_message"));
    let kind = if is_v2 { kind.as_str() } else { "application/x-protobuf" };
    let within = Duration::from_millis(arguments.duration("timeout").ms().max(0) as u64);
    let path = arguments.text("remote-write.path");
    // Whoever names the whole of the URL means it.
    let path = if server.base().ends_with(path) { "" } else { path };
    let reply = server.send(Method::POST, path, kind, body, within)?;
    if reply.status.is_success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&reply.body).into_owned();
    Err(format!("server returned HTTP status {}: {}", reply.status, told.trim_end()))
}

/// A series: labels by name, timestamp in milliseconds, value.
type Pushed = (Vec<(String, String)>, i64, f64);

/// The series that a metric is made of.
fn push_series(
    family: &Family,
    metric: &Metric,
    extra: &[(&str, &str)],
    now_ms: i64,
    out: &mut Vec<Pushed>,
) {
    let at_ms = metric.timestamp_ms.filter(|&ms| ms != 0).unwrap_or(now_ms);
    let mut push = |suffix: &str, part: Option<(&str, String)>, value: f64| {
        let mut labels: std::collections::BTreeMap<String, String> =
            extra.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        labels.insert("__name__".to_owned(), format!("{}{suffix}", family.name));
        for (name, value) in &metric.labels {
            let name = if name == "job" { "exported_job" } else { name };
            labels.insert(name.to_owned(), value.clone());
        }
        labels.extend(part.map(|(name, value)| (name.to_owned(), value)));
        out.push((labels.into_iter().collect(), at_ms, value));
    };
    match family.kind {
        FamilyType::Summary => {
            for &(quantile, value) in &metric.parts {
                push("", Some(("quantile", format_g(quantile))), value);
            }
        }
        FamilyType::Histogram | FamilyType::GaugeHistogram => {
            for &(bound, value) in &metric.parts {
                push("_bucket", Some(("le", format_g(bound))), value);
            }
            if !metric.parts.iter().any(|(bound, _)| *bound == f64::INFINITY) {
                push("_bucket", Some(("le", "+Inf".to_owned())), metric.count);
            }
        }
        _ => return push("", None, metric.value),
    }
    push("_sum", None, metric.sum);
    push("_count", None, metric.count);
}

fn push_metadata_v1(out: &mut Vec<u8>, family: &Family) {
    let kind = match family.kind {
        FamilyType::Untyped => 0,
        FamilyType::Counter => 1,
        FamilyType::Gauge => 2,
        FamilyType::Histogram => 3,
        FamilyType::GaugeHistogram => 4,
        FamilyType::Summary => 5,
    };
    let mut message = Vec::new();
    push_number(&mut message, 1, kind);
    push_bytes(&mut message, 2, family.name.as_bytes());
    push_bytes(&mut message, 4, family.help.as_deref().unwrap_or_default().as_bytes());
    push_bytes(out, 3, &message);
}
