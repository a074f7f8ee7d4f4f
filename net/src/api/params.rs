//! Parameters of API calls: times, durations, limits, label names in paths.
//!
//! Texts of errors are Prometheus's and, where it hands them through, those of Go's `strconv`.
//!
//! Source: Prometheus `web/api/v1/api.go` (`parseTime`, `parseDuration`, `parseLimitParam`).

use crate::config::Millis;
use crate::http::Form;
use crate::wire::quote::quoted;

use super::answer::ApiError;

/// A Unix second in milliseconds, and the offset between Unix time and Go's zero time in seconds.
const MS: i64 = 1000;
const GO_ZERO_SECONDS: i64 = 62_135_596_801;

/// Default of an optional start: the least time that Prometheus's API knows.
pub const MIN_TIME_MS: i64 = (i64::MIN / MS + GO_ZERO_SECONDS) * MS;
/// Default of an optional end.
pub const MAX_TIME_MS: i64 = (i64::MAX / MS - GO_ZERO_SECONDS) * MS + 999;

/// How Go writes those two; its parser cannot read them back, so the API knows them by heart.
const MIN_TIME_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// Most points of one series in one answer.
const POINT_COUNT_MAX: i128 = 11_000;

/// The start, end and step of a range query, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeGrid {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
}

impl RangeGrid {
    pub fn from_form(form: &Form) -> Result<RangeGrid, ApiError> {
        let time = |name| parse_time(form.get(name)).map_err(|e| ApiError::parameter(name, &e));
        let start_ms = time("start")?;
        let end_ms = time("end")?;
        if end_ms < start_ms {
            let why = "end timestamp must not be before start time";
            return Err(ApiError::parameter("end", why));
        }
        let step = |e: String| ApiError::parameter("step", &e);
        let step_ns = parse_duration_ns(form.get("step")).map_err(step)?;
        if step_ns <= 0 {
            let why = "zero or negative query resolution step widths are not accepted. \
                       Try a positive integer";
            return Err(ApiError::parameter("step", why));
        }
        let span_ns = (i128::from(end_ms) - i128::from(start_ms)) * 1_000_000;
        if span_ns / i128::from(step_ns) > POINT_COUNT_MAX {
            return Err(ApiError::bad_data(
                "exceeded maximum resolution of 11,000 points per timeseries. \
                 Try decreasing the query resolution (?step=XX)",
            ));
        }
        // A step under a millisecond would never advance.
        Ok(RangeGrid { start_ms, end_ms, step_ms: (step_ns / 1_000_000).max(1) })
    }
}

/// An optional time parameter.
pub fn time_or(form: &Form, name: &str, default_ms: i64) -> Result<i64, ApiError> {
    match form.get(name) {
        "" => Ok(default_ms),
        text => parse_time(text).map_err(|why| {
            ApiError::parameter(name, &format!("invalid time value for '{name}': {why}"))
        }),
    }
}

/// `limit`; zero means none.
pub fn limit(form: &Form) -> Result<usize, ApiError> {
    let limit = match form.get("limit") {
        "" => 0,
        text => parse_int(text).map_err(|why| ApiError::parameter("limit", &why))?,
    };
    usize::try_from(limit).map_err(|_| ApiError::parameter("limit", "limit must be non-negative"))
}

/// An optional duration parameter in milliseconds.
pub fn duration_ms(form: &Form, name: &str) -> Result<Option<i64>, String> {
    match form.get(name) {
        "" => Ok(None),
        text => parse_duration_ns(text).map(|ns| Some(ns / 1_000_000)),
    }
}

/// Go's `strconv.Atoi`.
pub fn parse_int(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                "value out of range"
            }
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {}: {why}", quoted(text.as_bytes()))
    })
}

/// Seconds as a float, or RFC 3339; in milliseconds, finer parts cut off.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        // Whole seconds and the rest apart, so that large times keep their milliseconds.
        let rest_ms = (seconds.fract() * 1000.0).round() as i64;
        return Ok((seconds.trunc() as i64).saturating_mul(MS).saturating_add(rest_ms));
    }
    match text {
        MIN_TIME_TEXT => return Ok(MIN_TIME_MS),
        MAX_TIME_TEXT => return Ok(MAX_TIME_MS),
        _ => {}
    }
    // Go wants the `T` and the `Z` in capitals and an offset that names its zone.
    let is_rfc3339 = text.as_bytes().get(10) == Some(&b'T') && !text.contains(['[', 'z', ' ']);
    is_rfc3339
        .then(|| text.parse::<jiff::Timestamp>().ok())
        .flatten()
        .map(|time| time.as_nanosecond().div_euclid(1_000_000) as i64)
        .ok_or_else(|| format!("cannot parse {} to a valid timestamp", quoted(text.as_bytes())))
}

/// Seconds as a float, or a Prometheus duration; in nanoseconds.
fn parse_duration_ns(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ns = seconds * 1e9;
        if ns > i64::MAX as f64 || ns < i64::MIN as f64 {
            let shown = quoted(text.as_bytes());
            return Err(format!("cannot parse {shown} to a valid duration. It overflows int64"));
        }
        return Ok(ns as i64);
    }
    let parsed = Millis::parse(text).map(|duration| duration.ms() * 1_000_000);
    parsed.map_err(|_| format!("cannot parse {} to a valid duration", quoted(text.as_bytes())))
}

/// A label name in a path: `U__…` means escaped bytes, everything else is the name itself.
///
/// Source: prometheus/common `model.UnescapeName` with `ValueEncodingEscaping`.
pub fn unescape_label_name(name: &str) -> String {
    unescaped(name).unwrap_or_else(|| name.to_owned())
}

fn unescaped(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?.chars();
    let mut out = String::new();
    while let Some(c) = rest.next() {
        if c != '_' {
            out.push(c);
            continue;
        }
        let mut code = 0u32;
        let mut digit_count = 0;
        loop {
            match rest.next()? {
                '_' if digit_count == 0 => {
                    out.push('_');
                    break;
                }
                '_' => {
                    out.push(char::from_u32(code)?);
                    break;
                }
                digit if digit_count < 6 && !digit.is_ascii_uppercase() => {
                    code = code * 16 + digit.to_digit(16)?;
                    digit_count += 1;
                }
                _ => return None,
            }
        }
    }
    Some(out)
}

#[cfg(test)]
#[path = "params_tests.rs"]
mod tests;
