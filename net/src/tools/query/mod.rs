//! `query`: what a server answers, as promtool prints it.
//!
//! ```text
//! print     values and series as text or JSON        analyze   buckets of histograms
//! ```
//!
//! Source: Prometheus `cmd/promtool/query.go`.

pub(super) mod analyze;
pub(super) mod print;

use http::Method;

use super::arguments::{Arguments, Flag, Positional, flag, one};
use super::server::{HTTP_CONFIG, Server};
use super::{Console, GOOD, Kind, say};
use crate::api::params::parse_time;
use crate::config::GoDuration;
use crate::wire::quote::quoted;
use print::{Format, push_series, push_value, push_values};

pub(super) const FLAGS: &[Flag] = &[
    flag("format", Kind::Enum(&["promql", "json"]), "Output format.").or("promql").short('o'),
    HTTP_CONFIG,
];
const START: Flag = flag("start", Kind::Text, "Start (RFC 3339 or Unix timestamp).");
const END: Flag = flag("end", Kind::Text, "End (RFC 3339 or Unix timestamp).");
const HEADER: Flag = flag("header", Kind::Pair, "Extra header to send to the server.");
const MATCH: Flag = flag("match", Kind::Text, "Series selector; can stand many times.");

pub(super) const INSTANT_FLAGS: &[Flag] =
    &[flag("time", Kind::Text, "Evaluation time (RFC 3339 or Unix timestamp)."), HEADER];
pub(super) const RANGE_FLAGS: &[Flag] =
    &[START, END, HEADER, flag("step", Kind::Duration, "Step between two points.")];
pub(super) const SERIES_FLAGS: &[Flag] = &[MATCH.required(), START, END];
pub(super) const LABELS_FLAGS: &[Flag] = &[MATCH, START, END];
pub(super) const EXPR: &[Positional] = &[one("server", Kind::Url), one("expr", Kind::Text)];
pub(super) const SERVER: &[Positional] = &[one("server", Kind::Url)];
pub(super) const NAME: &[Positional] = &[one("server", Kind::Url), one("name", Kind::Text)];

/// What promtool takes for the beginning and the end of time, from now.
const FOREVER_MS: i64 = 9999 * 3_600_000;

pub(super) fn now_ms() -> i64 {
    shards::runtime::unix_ms()
}

/// A flag's time; `default_ms` if it was not given.
pub(super) fn time_ms(arguments: &Arguments, name: &str, default_ms: i64) -> Result<i64, String> {
    match arguments.text(name) {
        "" => Ok(default_ms),
        text => parse_time(text).map_err(|_| {
            let what = if name == "time" { "evaluation" } else { name };
            let text = quoted(text.as_bytes());
            format!("error parsing {what} time: cannot parse {text} to a valid timestamp")
        }),
    }
}

/// Milliseconds as seconds, for a form.
pub(super) fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

fn failed(why: String) -> String {
    format!("query error: {why}")
}

pub(super) fn instant(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let mut server = Server::new(arguments, arguments.text("server"))?;
    let time = seconds(time_ms(arguments, "time", now_ms())?);
    let pairs = [("query", arguments.text("expr")), ("time", &time)];
    let data = server.ask(Method::POST, "api/v1/query", &pairs).map_err(failed)?;
    show(arguments, console, |out, format| push_value(out, &data, format))
}

pub(super) fn range(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let mut server = Server::new(arguments, arguments.text("server"))?;
    let end_ms = time_ms(arguments, "end", now_ms())?;
    let start_ms = time_ms(arguments, "start", end_ms - 300_000)?;
    if start_ms >= end_ms {
        return Err("start time is not before end time".to_owned());
    }
    let step = match arguments.duration("step") {
        GoDuration(0) => ((end_ms - start_ms) / 250_000).max(1) as f64,
        GoDuration(ns) => ns as f64 / 1e9,
    };
    let (start, end, step) = (seconds(start_ms), seconds(end_ms), step.to_string());
    let pairs =
        [("query", arguments.text("expr")), ("start", &start), ("end", &end), ("step", &step)];
    let data = server.ask(Method::POST, "api/v1/query_range", &pairs).map_err(failed)?;
    show(arguments, console, |out, format| push_value(out, &data, format))
}

/// Start, end and selectors as a form has them.
fn selection(arguments: &Arguments) -> Result<[(&'static str, String); 2], String> {
    let now_ms = now_ms();
    let start_ms = time_ms(arguments, "start", now_ms - FOREVER_MS)?;
    let end_ms = time_ms(arguments, "end", now_ms + FOREVER_MS)?;
    Ok([("start", seconds(start_ms)), ("end", seconds(end_ms))])
}

pub(super) fn series(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let mut server = Server::new(arguments, arguments.text("server"))?;
    let times = selection(arguments)?;
    let mut pairs: Vec<(&str, &str)> = times.iter().map(|(name, at)| (*name, &**at)).collect();
    pairs.extend(arguments.values("match").map(|selector| ("match[]", selector)));
    let data = server.ask(Method::POST, "api/v1/series", &pairs).map_err(failed)?;
    show(arguments, console, |out, format| push_series(out, &data, format))
}

pub(super) fn labels(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let mut server = Server::new(arguments, arguments.text("server"))?;
    let times = selection(arguments)?;
    let mut pairs: Vec<(&str, &str)> = times.iter().map(|(name, at)| (*name, &**at)).collect();
    pairs.extend(arguments.values("match").map(|selector| ("match[]", selector)));
    let path = format!("api/v1/label/{}/values", arguments.text("name"));
    let data = server.ask(Method::GET, &path, &pairs).map_err(failed)?;
    show(arguments, console, |out, format| push_values(out, &data, format))
}

fn show(
    arguments: &Arguments,
    console: &mut Console<'_>,
    print: impl FnOnce(&mut Vec<u8>, Format),
) -> Result<u8, String> {
    let format = if arguments.text("format") == "json" { Format::Json } else { Format::Text };
    let mut out = Vec::new();
    print(&mut out, format);
    // A reader that went away is no fault of the command.
    let _ = console.out.write_all(&out);
    if format == Format::Json {
        say!(console.out);
    }
    Ok(GOOD)
}
