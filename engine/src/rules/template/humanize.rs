//! Numbers for people.
//!
//! Source: Prometheus `template/template.go`; prometheus/common `helpers/templates/time.go`.

use super::number_format::digits;
use crate::model::quote::quote;

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];
const BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];

/// Go's `%.4g`.
pub(super) fn four_digits(value: f64) -> String {
    digits(value, 'g', Some(4))
}

/// Divides by `base` until less than it remains.
fn scaled_down(mut value: f64, base: f64, prefixes: [&'static str; 8]) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < base {
            break;
        }
        prefix = next;
        value /= base;
    }
    (value, prefix)
}

fn scaled_up(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in SMALL {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    (value, prefix)
}

/// `1.234k`, `5m`.
pub(super) fn decimal(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return four_digits(value);
    }
    let (value, prefix) =
        if value.abs() >= 1.0 { scaled_down(value, 1000.0, LARGE) } else { scaled_up(value) };
    four_digits(value) + prefix
}

/// `1.5ki`
pub(super) fn binary(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return four_digits(value);
    }
    let (value, prefix) = scaled_down(value, 1024.0, BINARY);
    four_digits(value) + prefix
}

/// Seconds as `1d 2h 3m 4s`, `5.5ms`.
pub(super) fn duration(value: f64) -> String {
    if !value.is_finite() {
        return four_digits(value);
    }
    if value == 0.0 {
        return four_digits(value) + "s";
    }
    if value.abs() < 1.0 {
        let (value, prefix) = scaled_up(value);
        return format!("{}{prefix}s", four_digits(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    let whole = value as i64;
    let (seconds, minutes) = (whole % 60, whole / 60 % 60);
    let (hours, days) = (whole / 3600 % 24, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four_digits(value)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

pub(super) fn percentage(value: f64) -> String {
    four_digits(value * 100.0) + "%"
}

/// Go's `strconv.ParseFloat` of decimal numbers.
pub(super) fn parse_float(text: &str) -> Result<f64, String> {
    let refused = |why: &str| format!("strconv.ParseFloat: parsing {}: {why}", quote(text));
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_named =
        ["inf", "infinity", "nan"].iter().any(|name| unsigned.eq_ignore_ascii_case(name));
    let is_signed_nan = unsigned.len() < text.len() && unsigned.eq_ignore_ascii_case("nan");
    let is_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if is_signed_nan || !(is_named || is_number) {
        return Err(refused("invalid syntax"));
    }
    let value: f64 = text.parse().map_err(|_| refused("invalid syntax"))?;
    if value.is_infinite() && !is_named {
        return Err(refused("value out of range"));
    }
    Ok(value)
}
