//! Numbers and times as Go writes them, where a label or a message must be the same.

pub use crate::model::float::{format_f as plain, format_g as shortest_g};

use crate::model::float::push_openmetrics_float;

use super::calendar::Date;

/// Go's `%.2g`.
pub fn two_digits_g(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return shortest_g(value);
    }
    let scientific = format!("{value:.1e}");
    let (digits, exponent) = scientific.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a number as its exponent");
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    if (-4..2).contains(&exponent) {
        format!("{digits}e{exponent}").parse::<f64>().expect("just written").to_string()
    } else {
        with_exponent(digits, exponent)
    }
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// A float in a label value as OpenMetrics has it: `1` is `1.0`.
///
/// Source: Prometheus `model/labels/float.go`, `FormatOpenMetricsFloat`.
pub fn open_metrics(value: f64) -> String {
    let mut out = Vec::new();
    push_openmetrics_float(&mut out, value);
    String::from_utf8(out).expect("a number is ASCII")
}

/// Seconds since the Unix epoch as `2006-01-02T15:04:05Z`.
pub fn rfc3339(unix_seconds: i64) -> String {
    let date = Date::from_unix_seconds(unix_seconds);
    let (hour, minute) = (date.second_of_day / 3600, date.second_of_day / 60 % 60);
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{:02}Z",
        date.year,
        date.month,
        date.day,
        date.second_of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::{open_metrics, plain, rfc3339, shortest_g, two_digits_g};

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        assert_eq!(plain(1e21), "1000000000000000000000");
        assert_eq!(plain(f64::INFINITY), "+Inf");
        assert_eq!(shortest_g(0.5), "0.5");
        assert_eq!(shortest_g(-1.5), "-1.5");
        assert_eq!(shortest_g(1e-5), "1e-05");
        assert_eq!(shortest_g(100_000.5), "100000.5");
        assert_eq!(shortest_g(123_456_789.0), "1.23456789e+08");
        assert_eq!(two_digits_g(0.1234), "0.12");
        assert_eq!(two_digits_g(12.0), "12");
        assert_eq!(two_digits_g(123.0), "1.2e+02");
        assert_eq!(open_metrics(1.0), "1.0");
        assert_eq!(open_metrics(0.99), "0.99");
        assert_eq!(rfc3339(1_709_164_805), "2024-02-29T00:00:05Z");
    }
}
