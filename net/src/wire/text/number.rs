//! Numbers of the text formats: what Go's `strconv` reads, with Go's errors.
//!
//! Most values of a page are short decimals. Those of at most 15 significant digits and a small
//! power of ten are exact after one multiplication or division of two exact floats; the others go
//! to the standard library, which rounds correctly too.
//!
//! Source: Prometheus `model/textparse/promparse.go` `parseFloat`; Go `strconv/atof.go`;
//! W. Clinger, "How to read floating point numbers accurately", 1990.

use crate::wire::quote::quoted;

/// Powers of ten that a float holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Integers below this are exact as floats.
const EXACT_INTEGER_MAX: u64 = 1 << 53;

/// Most digits that are gathered: nineteen nines fit 64 bits.
const DIGITS_MAX: usize = 19;

/// Reads the decimal at the start of `text`, if it is one of the short ones; returns the value
/// and how many bytes it took. What follows the number is the caller's to judge.
#[inline]
pub(super) fn short_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let mut at = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let is_negative = at == 1 && text[0] == b'-';
    let mut mantissa = 0u64;
    let digits_start = at;
    at = digits(text, at, &mut mantissa);
    let mut digit_count = at - digits_start;
    let mut power = 0i32;
    if text.get(at) == Some(&b'.') {
        let fraction_start = at + 1;
        at = digits(text, fraction_start, &mut mantissa);
        digit_count += at - fraction_start;
        power = -((at - fraction_start) as i32);
    }
    if digit_count == 0 || digit_count > DIGITS_MAX {
        return None;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign_at = at + 1;
        let is_small = text.get(sign_at) == Some(&b'-');
        let exponent_start = sign_at + usize::from(matches!(text.get(sign_at), Some(b'-' | b'+')));
        let mut exponent = 0u64;
        at = digits(text, exponent_start, &mut exponent);
        if at == exponent_start || at - exponent_start > 3 {
            return None;
        }
        power += if is_small { -(exponent as i32) } else { exponent as i32 };
    }
    let scale = *EXACT_POWERS.get(power.unsigned_abs() as usize)?;
    if mantissa > EXACT_INTEGER_MAX {
        return None;
    }
    let magnitude = mantissa as f64;
    let value = if power < 0 { magnitude / scale } else { magnitude * scale };
    Some((if is_negative { -value } else { value }, at))
}

/// Appends the digits from `at` on to `number` (wrapping: the caller counts them) and returns
/// where they end. (Eight at a time pays from a dozen digits on, and values have fewer.)
#[inline]
fn digits(text: &[u8], mut at: usize, number: &mut u64) -> usize {
    while let Some(&byte) = text.get(at)
        && byte.is_ascii_digit()
    {
        *number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        at += 1;
    }
    at
}

/// Reads all of `text` as Prometheus's `parseFloat` does; the error is its text.
pub(super) fn float(text: &[u8]) -> Result<f64, String> {
    if let Some((value, length)) = short_decimal(text)
        && length == text.len()
    {
        return Ok(value);
    }
    if text.iter().any(|byte| b"pP_".contains(byte)) {
        return Err("unsupported character in float".into());
    }
    go_float(text).map_err(|cause| format!("strconv.ParseFloat: parsing {}: {cause}", quoted(text)))
}

/// Go's `strconv.ParseFloat` without hexadecimal forms and underscores.
pub(crate) fn go_float(text: &[u8]) -> Result<f64, &'static str> {
    const SYNTAX: &str = "invalid syntax";
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    let value = parsed.ok_or(SYNTAX)?;
    let has_digits = text.iter().any(u8::is_ascii_digit);
    if value.is_nan() && matches!(text[0], b'+' | b'-') {
        return Err(SYNTAX); // Go's NaN has no sign.
    }
    if value.is_infinite() && has_digits {
        return Err("value out of range");
    }
    Ok(value)
}

/// Reads the digits of a timestamp in milliseconds; the error is Go's text.
pub(super) fn integer(text: &[u8]) -> Result<i64, String> {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    // The lexer hands digits only, so nothing but their number can be wrong.
    parsed.ok_or_else(|| format!("strconv.ParseInt: parsing {}: value out of range", quoted(text)))
}

/// Milliseconds of a timestamp in seconds, cut towards zero. A float beyond 64 bits becomes the
/// least integer, as on Go's amd64.
pub(super) fn milliseconds(seconds: f64) -> i64 {
    let milliseconds = seconds * 1000.0;
    const BOUND: f64 = (1u64 << 63) as f64;
    if (-BOUND..BOUND).contains(&milliseconds) { milliseconds as i64 } else { i64::MIN }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{float, integer, milliseconds, short_decimal};

    #[track_caller]
    fn check(text: &str, expected: Result<f64, &str>) {
        let got = float(text.as_bytes());
        assert_eq!(got.map(f64::to_bits), expected.map(f64::to_bits).map_err(Into::into), "{text}");
    }

    #[test]
    fn floats_are_read_as_go_reads_them() {
        check("1", Ok(1.0));
        check("+1.5", Ok(1.5));
        check("-0", Ok(-0.0));
        check(".5", Ok(0.5));
        check("5.", Ok(5.0));
        check("1.7e+09", Ok(1.7e9));
        check("1e22", Ok(1e22));
        check("1e23", Ok(1e23));
        check("9007199254740993", Ok(9007199254740992.0));
        check("123456789012345678901234567890", Ok(123456789012345678901234567890.0));
        check("4.940656458412465e-324", Ok(5e-324));
        check("1e-9999", Ok(0.0));
        check("Inf", Ok(f64::INFINITY));
        check("-infinity", Ok(f64::NEG_INFINITY));
        check("nan", Ok(f64::NAN));
        let syntax = |text: &str| format!("strconv.ParseFloat: parsing \"{text}\": invalid syntax");
        for text in ["", ".", "-", "e5", "1e", "1e+", "--1", "+NaN", "-nan", "0x1", "1 ", "é", "in"]
        {
            check(text, Err(&syntax(text)));
        }
        check("1_0", Err("unsupported character in float"));
        check("0x1p-2", Err("unsupported character in float"));
        check("1e999", Err("strconv.ParseFloat: parsing \"1e999\": value out of range"));
    }

    #[test]
    fn timestamps_are_read_as_go_reads_them() {
        assert_eq!(integer(b"9223372036854775807"), Ok(i64::MAX));
        assert_eq!(
            integer(b"9223372036854775808").unwrap_err(),
            "strconv.ParseInt: parsing \"9223372036854775808\": value out of range"
        );
        assert_eq!(milliseconds(1.0019), 1001);
        assert_eq!(milliseconds(-1.0019), -1001);
        assert_eq!(milliseconds(1e300), i64::MIN);
    }

    proptest! {
        #[test]
        fn short_decimals_agree_with_the_standard_library(
            text in "[+-]?[0-9]{0,20}(\\.[0-9]{0,12})?(e[+-]?[0-9]{1,3})?",
            tail in "(|[ \n:/a].{0,9})",
        ) {
            let page = format!("{text}{tail}");
            if let Some((value, length)) = short_decimal(page.as_bytes()) {
                let expected: f64 = text[..length].parse().unwrap();
                prop_assert_eq!(value.to_bits(), expected.to_bits());
            }
        }
    }
}
