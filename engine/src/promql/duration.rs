//! Lengths of time as Prometheus writes them everywhere: `5m`, `1h30m`, `250ms`.
//!
//! A year always has 365 days, a week 7 days, a day 24 hours. Not here: durations of Go's flags.
//!
//! Source: `github.com/prometheus/common`, `model/time.go`.

use std::fmt::{self, Write};

use crate::model::quote::quote;

/// Units from the largest to the smallest, with their milliseconds.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * DAY_MS),
    ("w", 7 * DAY_MS),
    ("d", DAY_MS),
    ("h", 60 * MINUTE_MS),
    ("m", MINUTE_MS),
    ("s", 1000),
    ("ms", 1),
];
const MINUTE_MS: i64 = 60 * 1000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Prometheus counts nanoseconds in 63 bits, so a duration ends after some 292 years.
const DURATION_MS_MAX: i64 = i64::MAX / 1_000_000;

/// Why a text is no duration. Displays as Prometheus's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    Empty,
    Invalid { text: Box<str> },
    UnknownUnit { unit: Box<str>, text: Box<str> },
    OutOfRange,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationError::Empty => f.write_str("empty duration string"),
            DurationError::Invalid { text } => {
                write!(f, "not a valid duration string: {}", quote(text))
            }
            DurationError::UnknownUnit { unit, text } => {
                write!(f, "unknown unit {} in duration {}", quote(unit), quote(text))
            }
            DurationError::OutOfRange => f.write_str("duration out of range"),
        }
    }
}

impl std::error::Error for DurationError {}

/// Reads a duration that is not negative, in milliseconds. `0` needs no unit.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid { text: text.into() };
    match text {
        "0" => return Ok(0),
        "" => return Err(DurationError::Empty),
        _ => {}
    }
    let mut rest = text;
    let mut total_ms = 0i64;
    // Each unit stands at most once, the larger before the smaller.
    let mut units_left = &UNITS[..];
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after_number) = rest.split_at(digits);
        let unit_bytes = after_number.bytes().take_while(|byte| !byte.is_ascii_digit()).count();
        let (unit, after_unit) = after_number.split_at(unit_bytes);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(DurationError::UnknownUnit { unit: unit.into(), text: text.into() });
        }
        let index = units_left.iter().position(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let part_ms = i64::try_from(number).ok().and_then(|n| n.checked_mul(units_left[index].1));
        total_ms = part_ms
            .and_then(|part_ms| part_ms.checked_add(total_ms))
            .filter(|total_ms| *total_ms <= DURATION_MS_MAX)
            .ok_or(DurationError::OutOfRange)?;
        units_left = &units_left[index + 1..];
        rest = after_unit;
    }
    Ok(total_ms)
}

/// Appends milliseconds in the form that [`parse_duration`] reads, largest unit first; years and
/// weeks only where nothing smaller follows, because 90d reads easier than 12w6d.
pub fn push_duration(out: &mut String, ms: i64) {
    if ms == 0 {
        out.push_str("0s");
        return;
    }
    if ms < 0 {
        out.push('-');
    }
    let mut rest = ms.unsigned_abs();
    for (name, unit_ms) in UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        let exact_only = matches!(name, "y" | "w");
        if rest < unit_ms || (exact_only && !rest.is_multiple_of(unit_ms)) {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = write!(out, "{}{name}", rest / unit_ms);
        rest %= unit_ms;
    }
}

/// See [`push_duration`].
pub fn print_duration(ms: i64) -> String {
    let mut out = String::new();
    push_duration(&mut out, ms);
    out
}

#[cfg(test)]
mod tests {
    use super::{parse_duration, print_duration};

    #[track_caller]
    fn check(text: &str, ms: i64, printed: &str) {
        assert_eq!(parse_duration(text), Ok(ms));
        assert_eq!(print_duration(ms), printed);
        assert_eq!(parse_duration(printed), Ok(ms));
    }

    #[track_caller]
    fn check_error(text: &str, message: &str) {
        assert_eq!(parse_duration(text).map_err(|error| error.to_string()), Err(message.into()));
    }

    #[test]
    fn durations_are_read_and_printed() {
        check("0", 0, "0s");
        check("0w", 0, "0s");
        check("324ms", 324, "324ms");
        check("5m", 300_000, "5m");
        check("90m", 5_400_000, "1h30m");
        check("1h30m", 5_400_000, "1h30m");
        check("14d", 1_209_600_000, "2w");
        check("15d", 1_296_000_000, "15d");
        check("1y", 31_536_000_000, "1y");
        check("1y1w1d1h1m1s1ms", 32_230_861_001, "373d1h1m1s1ms");
        check("292y", 292 * 31_536_000_000, "292y");
        assert_eq!(print_duration(-90_000), "-1m30s");
    }

    #[test]
    fn what_is_no_duration_is_refused_in_prometheus_words() {
        check_error("", "empty duration string");
        check_error("1", r#"not a valid duration string: "1""#);
        check_error("-5m", r#"not a valid duration string: "-5m""#);
        check_error("1y1y", r#"not a valid duration string: "1y1y""#);
        check_error("5m1h", r#"not a valid duration string: "5m1h""#);
        check_error("1.5d", r#"unknown unit "." in duration "1.5d""#);
        check_error("5y1hs", r#"unknown unit "hs" in duration "5y1hs""#);
        check_error(
            "99999999999999999999s",
            r#"not a valid duration string: "99999999999999999999s""#,
        );
        check_error("293y", "duration out of range");
    }
}
