//! Numbers as Go reads them.
//!
//! Source: Go `strconv` (`ParseInt` with base 0, `ParseFloat`); Prometheus
//! `promql/parser/parse.go`, `number`.

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

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[track_caller]
    fn check(text: &str, expected: f64) {
        let value = parse_number(text).expect(text);
        assert_eq!(value.to_bits(), expected.to_bits(), "{text} gives {value}");
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
}
