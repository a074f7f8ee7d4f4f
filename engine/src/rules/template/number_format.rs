//! Numbers in the verbs of Go's `fmt`.
//!
//! Source: Go `fmt/format.go`; `strconv/ftoa.go`.

use crate::model::float::{format_f, format_g, push_e};
use crate::model::quote::{code_point, quote_char};

/// What stands between `%` and the verb.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spec {
    pub sharp: bool,
    pub zero: bool,
    pub plus: bool,
    pub minus: bool,
    pub space: bool,
    pub width: Option<usize>,
    pub precision: Option<usize>,
}

/// `text` in its width; a width counts characters.
pub(super) fn pad(text: &str, spec: &Spec) -> String {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    match (spec.minus, spec.zero) {
        (true, _) => format!("{text}{}", " ".repeat(missing)),
        (false, true) => format!("{}{text}", "0".repeat(missing)),
        (false, false) => format!("{}{text}", " ".repeat(missing)),
    }
}

/// `None`: integers have no such verb.
pub(super) fn integer(value: i64, verb: char, spec: &Spec) -> Option<String> {
    let magnitude = value.unsigned_abs();
    let (digits, prefix) = match verb {
        'v' | 'd' => (magnitude.to_string(), ""),
        'b' => (format!("{magnitude:b}"), if spec.sharp { "0b" } else { "" }),
        'o' => (format!("{magnitude:o}"), if spec.sharp { "0" } else { "" }),
        'O' => (format!("{magnitude:o}"), "0o"),
        'x' => (format!("{magnitude:x}"), if spec.sharp { "0x" } else { "" }),
        'X' => (format!("{magnitude:X}"), if spec.sharp { "0X" } else { "" }),
        'c' => return Some(pad(&character(value).to_string(), spec)),
        'q' => return Some(pad(&quote_char(character(value)), spec)),
        'U' => {
            let text = match char::from_u32(u32::try_from(value).unwrap_or(u32::MAX)) {
                Some(c) if spec.sharp => code_point(c),
                _ => format!("U+{value:04X}"),
            };
            return Some(pad(&text, &Spec { zero: false, ..*spec }));
        }
        _ => return None,
    };
    let sign = match (value < 0, spec.plus, spec.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let mut digits = digits;
    let digit_count = match (spec.precision, spec.width) {
        // Nothing at all for zero with a precision of zero.
        (Some(0), _) if value == 0 => return Some(pad("", &Spec { zero: false, ..*spec })),
        (Some(precision), _) => precision,
        (None, Some(width)) if spec.zero && !spec.minus => width.saturating_sub(sign.len()),
        _ => 0,
    };
    if digits.len() < digit_count {
        digits.insert_str(0, &"0".repeat(digit_count - digits.len()));
    }
    if verb == 'o' && digits.starts_with('0') {
        return Some(pad(&format!("{sign}{digits}"), &Spec { zero: false, ..*spec }));
    }
    Some(pad(&format!("{sign}{prefix}{digits}"), &Spec { zero: false, ..*spec }))
}

fn character(value: i64) -> char {
    u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// `None`: floats have no such verb.
pub(super) fn float(value: f64, verb: char, spec: &Spec) -> Option<String> {
    let precision = spec.precision;
    let text = match verb {
        'v' => digits(value, 'g', precision),
        'g' | 'G' => digits(value, 'g', precision),
        'e' | 'E' => digits(value, 'e', Some(precision.unwrap_or(6))),
        'f' | 'F' => digits(value, 'f', Some(precision.unwrap_or(6))),
        'x' | 'X' => hexadecimal(value),
        'b' => binary(value),
        _ => return None,
    };
    let text = if verb.is_ascii_uppercase() { text.to_uppercase() } else { text };
    let text = if value.is_nan() || value.is_infinite() { digits(value, 'g', None) } else { text };
    let (sign, rest) = match text.as_bytes()[0] {
        b'-' => ("-", &text[1..]),
        b'+' if spec.plus => ("+", &text[1..]),
        // Infinity has a sign of its own, which stands only where it is asked for.
        b'+' if spec.space => (" ", &text[1..]),
        b'+' => ("+", &text[1..]),
        _ if spec.plus => ("+", &text[..]),
        _ if spec.space => (" ", &text[..]),
        _ => ("", &text[..]),
    };
    let is_number = value.is_finite();
    if spec.zero && !spec.minus && is_number {
        let width = spec.width.unwrap_or(0).saturating_sub(sign.len());
        let spec = Spec { width: Some(width), zero: true, ..*spec };
        return Some(format!("{sign}{}", pad(rest, &spec)));
    }
    Some(pad(&format!("{sign}{rest}"), &Spec { zero: false, ..*spec }))
}

/// As Go's `strconv.FormatFloat(value, format, precision, 64)`; no precision: the shortest digits.
pub(super) fn digits(value: f64, format: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match (format, precision) {
        ('e', None) => {
            let mut out = Vec::new();
            push_e(&mut out, value);
            String::from_utf8(out).unwrap_or_default()
        }
        ('e', Some(precision)) => exponent_form(value, precision),
        ('f', None) => format_f(value),
        ('f', Some(precision)) => format!("{value:.precision$}"),
        (_, None) => format_g(value),
        (_, Some(precision)) => general_form(value, precision.max(1)),
    }
}

/// Rust writes `1e3`, Go `1e+03`.
fn exponent_form(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `%.4g`: as many significant digits, zeros at the end left out.
fn general_form(value: f64, precision: usize) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let text = format!("{value:.*e}", precision - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let significant = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    let digit_count = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let kept = match mantissa.contains('.') {
        true => significant(mantissa).bytes().filter(u8::is_ascii_digit).count(),
        false => digit_count,
    };
    // Go compares with the digits there are when they reach beyond the point.
    let threshold = if precision > kept && kept as i32 > exponent { kept } else { precision };
    if exponent < -4 || exponent >= threshold as i32 {
        let mantissa =
            if mantissa.contains('.') { significant(mantissa) } else { mantissa.to_owned() };
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { significant(&text) } else { text }
}

/// `0x1.8p+01`
fn hexadecimal(value: f64) -> String {
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value == 0.0 {
        return format!("{sign}0x0p+00");
    }
    let bits = value.to_bits();
    let mut exponent = (bits >> 52 & 0x7ff) as i32 - 1023;
    let mut mantissa = bits & ((1 << 52) - 1);
    if exponent == -1023 {
        let shift = mantissa.leading_zeros() - 11;
        mantissa = mantissa << shift & ((1 << 52) - 1);
        exponent = -1022 - shift as i32;
    }
    let digits = format!("{mantissa:013x}");
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}0x1{point}{digits}p{exponent_sign}{:02}", exponent.abs())
}

/// `4503599627370496p-52`
fn binary(value: f64) -> String {
    let bits = value.to_bits();
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let biased = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) = match biased {
        0 => (fraction, -1074),
        biased => (fraction | 1 << 52, biased - 1075),
    };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{mantissa}p{exponent_sign}{}", exponent.abs())
}
