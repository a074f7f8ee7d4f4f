//! Numbers as Go reads and prints them.
//!
//! Source: Go `strconv` (`ParseInt` with base 0, `ParseFloat`, `FormatFloat`); Prometheus
//! `promql/parser/parse.go`, `number`.

use crate::model::go_float::{GoFloat, shortest_digits};
use crate::model::sample::normal_nan;

/// Reads a literal of PromQL: an integer in Go's notation (`0x1f`, `0755` octal, `1_000`), or
/// else a decimal float. Error: Go's message.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(integer) = parse_integer(text) {
        return Ok(integer as f64);
    }
    let refuse = |why: &str| format!("strconv.ParseFloat: parsing \"{text}\": {why}");
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let named = digits.eq_ignore_ascii_case("inf") || digits.eq_ignore_ascii_case("nan");
    // A hexadecimal float needs an exponent `p`, which the lexer never lets through.
    if digits.starts_with(|c: char| c.is_ascii_alphabetic()) && !named
        || !underscores_separate(text)
    {
        return Err(refuse("invalid syntax"));
    }
    if digits.eq_ignore_ascii_case("nan") {
        return Ok(normal_nan());
    }
    let value: f64 = without_underscores(text).parse().map_err(|_| refuse("invalid syntax"))?;
    if value.is_infinite() && !named {
        return Err(refuse("value out of range"));
    }
    Ok(value)
}

/// Go's `ParseInt(text, 0, 64)` for a text without sign; `None` if it is none or does not fit.
fn parse_integer(text: &str) -> Option<i64> {
    if !underscores_separate(text) {
        return None;
    }
    let digits = without_underscores(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (&*digits, 10),
    };
    i64::from_str_radix(digits, radix).ok()
}

fn without_underscores(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('_') { text.replace('_', "").into() } else { text.into() }
}

/// Whether each underscore stands between digits, or between the base's prefix and a digit.
fn underscores_separate(text: &str) -> bool {
    let bytes = text.as_bytes();
    let prefix = matches!(bytes, [b'0', b'b' | b'B' | b'o' | b'O' | b'x' | b'X', ..]);
    let is_hex = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let is_digit = |byte: u8| byte.is_ascii_digit() || (is_hex && byte.is_ascii_hexdigit());
    let number = if prefix { &bytes[2..] } else { bytes };
    number.iter().enumerate().all(|(index, byte)| {
        let before = if index == 0 { prefix } else { is_digit(number[index - 1]) };
        *byte != b'_' || (before && number.get(index + 1).is_some_and(|next| is_digit(*next)))
    })
}

/// Appends the shortest digits that give `value` back, never with an exponent: Go's
/// `FormatFloat(value, 'f', -1, 64)`.
pub fn push_float(out: &mut String, value: f64) {
    if !value.is_finite() {
        out.push_str(match value {
            f64::INFINITY => "+Inf",
            f64::NEG_INFINITY => "-Inf",
            _ => "NaN",
        });
        return;
    }
    if value.is_sign_negative() {
        out.push('-');
    }
    let (digits, point) = shortest_digits(value.abs());
    let (whole, fraction) = digits.split_at(digits.len().min(point.max(0) as usize));
    out.push_str(if whole.is_empty() { "0" } else { whole });
    let zeros_before_point = usize::try_from(point).unwrap_or(0).saturating_sub(digits.len());
    out.extend(std::iter::repeat_n('0', zeros_before_point));
    if !fraction.is_empty() {
        out.push('.');
        out.extend(std::iter::repeat_n('0', usize::try_from(-point).unwrap_or(0)));
        out.push_str(fraction);
    }
}

/// Appends Go's `%v` of a float: with an exponent below 1e-4 and from 1e6 on.
pub fn push_float_general(out: &mut String, value: f64) {
    out.push_str(&GoFloat(value).to_string());
}

#[cfg(test)]
mod tests {
    use super::{parse_number, push_float, push_float_general};

    #[track_caller]
    fn check(text: &str, expected: f64) {
        let value = parse_number(text).expect(text);
        assert_eq!(value.to_bits(), expected.to_bits(), "{text} gives {value}");
    }

    #[track_caller]
    fn check_print(value: f64, fixed: &str, general: &str) {
        let (mut f, mut g) = (String::new(), String::new());
        push_float(&mut f, value);
        push_float_general(&mut g, value);
        assert_eq!((&*f, &*g), (fixed, general));
    }

    #[test]
    fn literals_are_read_as_go_reads_them() {
        check("1_000", 1000.0);
        check("0755", 493.0);
        check("089", 89.0);
        check("0xc", 12.0);
        check("0x_c", 12.0);
        check("99999999999999999999", 1e20);
        check(".5", 0.5);
        check("5.", 5.0);
        check("1_0.5e1_0", 10.5e10);
        check("Inf", f64::INFINITY);
        check("inf", f64::INFINITY);
        check("NaN", f64::from_bits(0x7ff8_0000_0000_0001));
        let syntax = "strconv.ParseFloat: parsing \"0xffffffffffffffff\": invalid syntax";
        assert_eq!(parse_number("0xffffffffffffffff"), Err(syntax.into()));
        let range = "strconv.ParseFloat: parsing \"1e999\": value out of range";
        assert_eq!(parse_number("1e999"), Err(range.into()));
    }

    #[test]
    fn floats_are_printed_as_go_prints_them() {
        check_print(0.0, "0", "0");
        check_print(-0.0, "-0", "-0");
        check_print(1.0, "1", "1");
        check_print(-1.5, "-1.5", "-1.5");
        let large = "1.5339791363072592e+15";
        check_print(1_533_979_136_307_259.2, "1533979136307259.2", large);
        check_print(1e21, "1000000000000000000000", "1e+21");
        check_print(123e20, "12300000000000000000000", "1.23e+22");
        check_print(0.00012, "0.00012", "0.00012");
        check_print(0.000012, "0.000012", "1.2e-05");
        check_print(f64::INFINITY, "+Inf", "+Inf");
        check_print(f64::NAN, "NaN", "NaN");
    }
}
