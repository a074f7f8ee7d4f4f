//! Floats as text, exactly as Go's `strconv.FormatFloat(value, format, -1, 64)` writes them: the
//! fewest digits that read back as the same value, of those the nearest.
//!
//! The digits come from `zmij`; their layout (`f`, `e`, `g`) is Go's and made here. Rust's own
//! `Display` is not used: it breaks ties between equally short digits differently.
//!
//! Source: Go `strconv/ftoa.go`; Prometheus `model/labels/float.go`; text exposition of
//! prometheus/common `expfmt/text_create.go`.

/// Most digits of a shortest representation.
const DIGITS_MAX: usize = 17;

/// Integers below this have their own digits as shortest representation, trailing zeros apart.
const EXACT_INTEGER_MAX: f64 = (1u64 << 53) as f64;

/// The shortest digits of a positive value: `0.d1d2d3… * 10^point`.
struct Decimal {
    digits: [u8; DIGITS_MAX],
    count: usize,
    point: i32,
}

impl Decimal {
    fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }
}

/// Appends what `zmij` writes if it has no exponent: then it is Go's format `f`, but for the `.0`
/// of a whole number. Else takes it apart.
#[inline]
fn push_plain(out: &mut Vec<u8>, magnitude: f64) -> Result<(), Decimal> {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(magnitude).as_bytes();
    // An exponent has at most three digits and a sign.
    if text.iter().rev().take(5).any(|&byte| byte == b'e') {
        return Err(decimal(text));
    }
    push_short(out, text.strip_suffix(b".0").unwrap_or(text));
    Ok(())
}

/// Appends a text of mostly 8 to 24 bytes, in two or three overlapping copies of fixed size: they
/// cost a third of a call that copies any number of bytes.
#[inline]
fn push_short(out: &mut Vec<u8>, text: &[u8]) {
    let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) else {
        return text.iter().for_each(|&byte| out.push(byte));
    };
    let start = out.len();
    match text.first_chunk::<16>() {
        Some(first) if text.len() <= 24 => out.extend_from_slice(first),
        Some(_) => return out.extend_from_slice(text),
        None => out.extend_from_slice(first),
    }
    out.truncate(start + text.len() - last.len());
    out.extend_from_slice(last);
}

/// Takes the text of a positive number, or zero, apart.
fn decimal(text: &[u8]) -> Decimal {
    let mut decimal = Decimal { digits: [0; DIGITS_MAX], count: 0, point: 0 };
    let mut exponent = 0i32;
    let mut has_point = false;
    let mut bytes = text.iter();
    for &byte in bytes.by_ref() {
        match byte {
            b'.' => has_point = true,
            b'e' => break,
            b'0' if decimal.count == 0 => decimal.point -= i32::from(has_point),
            _ => {
                // Digits past the last significant one are zeros that only hold the point's place.
                if decimal.count < DIGITS_MAX {
                    decimal.digits[decimal.count] = byte;
                    decimal.count += 1;
                }
                decimal.point += i32::from(!has_point);
            }
        }
    }
    let mut is_negative = false;
    for &byte in bytes {
        match byte {
            b'-' => is_negative = true,
            b'+' => {}
            _ => exponent = exponent * 10 + i32::from(byte - b'0'),
        }
    }
    decimal.point += if is_negative { -exponent } else { exponent };
    while decimal.count > 0 && decimal.digits[decimal.count - 1] == b'0' {
        decimal.count -= 1;
    }
    if decimal.count == 0 {
        decimal.point = 0;
    }
    decimal
}

/// Writes the sign and what is not a number; returns the magnitude if there is one to write.
#[inline]
fn push_special(out: &mut Vec<u8>, value: f64) -> Option<f64> {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
        return None;
    }
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
        return None;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    Some(value.abs())
}

/// As Go's format `f`: digits and a point, never an exponent.
pub fn push_f(out: &mut Vec<u8>, value: f64) {
    let Some(magnitude) = push_special(out, value) else { return };
    // A conversion there and back costs a third of a call that truncates.
    let whole = magnitude as u64;
    if magnitude < EXACT_INTEGER_MAX && whole as f64 == magnitude {
        push_short(out, itoa::Buffer::new().format(whole).as_bytes());
        return;
    }
    if let Err(decimal) = push_plain(out, magnitude) {
        push_decimal_f(out, &decimal);
    }
}

fn push_decimal_f(out: &mut Vec<u8>, decimal: &Decimal) {
    let digits = decimal.digits();
    if decimal.point <= 0 {
        out.push(b'0');
    } else {
        let whole = digits.len().min(decimal.point as usize);
        out.extend_from_slice(&digits[..whole]);
        out.resize(out.len() + decimal.point as usize - whole, b'0');
    }
    let fraction = &digits[digits.len().min(decimal.point.max(0) as usize)..];
    if !fraction.is_empty() {
        out.push(b'.');
        out.resize(out.len() + (-decimal.point).max(0) as usize, b'0');
        out.extend_from_slice(fraction);
    }
}

/// [`push_f`] as a text of its own.
pub fn format_f(value: f64) -> String {
    let mut out = Vec::new();
    push_f(&mut out, value);
    String::from_utf8(out).expect("a number is ASCII")
}

/// As Go's format `e`: one digit before the point, an exponent of at least two digits.
pub fn push_e(out: &mut Vec<u8>, value: f64) {
    let Some(magnitude) = push_special(out, value) else { return };
    push_decimal_e(out, &decimal(zmij::Buffer::new().format_finite(magnitude).as_bytes()));
}

fn push_decimal_e(out: &mut Vec<u8>, decimal: &Decimal) {
    let (first, rest) = decimal.digits().split_first().unwrap_or((&b'0', &[]));
    out.push(*first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    let exponent = if decimal.count == 0 { 0 } else { decimal.point - 1 };
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    if exponent.abs() < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
}

/// As Go's format `g`: `e` for exponents below -4 or of 6 and more, `f` otherwise.
pub fn push_g(out: &mut Vec<u8>, value: f64) {
    let Some(magnitude) = push_special(out, value) else { return };
    if magnitude < 1e6 && magnitude.trunc() == magnitude {
        out.extend_from_slice(itoa::Buffer::new().format(magnitude as u64).as_bytes());
        return;
    }
    if !(1e-4..1e6).contains(&magnitude) {
        push_decimal_e(out, &decimal(zmij::Buffer::new().format_finite(magnitude).as_bytes()));
    } else if let Err(decimal) = push_plain(out, magnitude) {
        push_decimal_f(out, &decimal);
    }
}

/// [`push_g`] as a text of its own: Go's `%g` and `%v`.
pub fn format_g(value: f64) -> String {
    let mut out = Vec::new();
    push_g(&mut out, value);
    String::from_utf8(out).expect("a number is ASCII")
}

/// A float of the text format: `g`, and no zero is negative.
pub fn push_text_float(out: &mut Vec<u8>, value: f64) {
    push_g(out, if value == 0.0 { 0.0 } else { value });
}

/// A float as OpenMetrics writes it: as in the text format, but a whole number with `.0`.
pub fn push_openmetrics_float(out: &mut Vec<u8>, value: f64) {
    let start = out.len();
    push_text_float(out, value);
    let is_whole = !out[start..].iter().any(|byte| b"e.".contains(byte));
    if is_whole && value.is_finite() {
        out.extend_from_slice(b".0");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{push_e, push_f, push_g, push_openmetrics_float};

    fn text(push: fn(&mut Vec<u8>, f64), value: f64) -> String {
        let mut out = Vec::new();
        push(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(value: f64, f: &str, e: &str, g: &str) {
        assert_eq!(text(push_f, value), f);
        assert_eq!(text(push_e, value), e);
        assert_eq!(text(push_g, value), g);
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        check(0.0, "0", "0e+00", "0");
        check(-0.0, "-0", "-0e+00", "-0");
        check(1.0, "1", "1e+00", "1");
        check(-1.5, "-1.5", "-1.5e+00", "-1.5");
        check(100.0, "100", "1e+02", "100");
        check(0.001, "0.001", "1e-03", "0.001");
        check(0.0001, "0.0001", "1e-04", "0.0001");
        check(0.00001, "0.00001", "1e-05", "1e-05");
        check(123456.789, "123456.789", "1.23456789e+05", "123456.789");
        check(999999.5, "999999.5", "9.999995e+05", "999999.5");
        check(1e6, "1000000", "1e+06", "1e+06");
        check(903676723.0, "903676723", "9.03676723e+08", "9.03676723e+08");
        check(1e20, "100000000000000000000", "1e+20", "1e+20");
        check(1e21, "1000000000000000000000", "1e+21", "1e+21");
        check(1.5e300, &format!("15{}", "0".repeat(299)), "1.5e+300", "1.5e+300");
        check(5e-324, &format!("0.{}5", "0".repeat(323)), "5e-324", "5e-324");
        check(
            1533979136307259.2,
            "1533979136307259.2",
            "1.5339791363072592e+15",
            "1.5339791363072592e+15",
        );
        check(
            9007199254740993.0,
            "9007199254740992",
            "9.007199254740992e+15",
            "9.007199254740992e+15",
        );
        check(f64::INFINITY, "+Inf", "+Inf", "+Inf");
        check(f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf");
        check(-f64::NAN, "NaN", "NaN", "NaN");
        check(
            f64::MAX,
            &format!("17976931348623157{}", "0".repeat(292)),
            "1.7976931348623157e+308",
            "1.7976931348623157e+308",
        );
    }

    #[test]
    fn openmetrics_floats_look_like_floats() {
        for (value, expected) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (-1.0, "-1.0"),
            (0.5, "0.5"),
            (10.0, "10.0"),
            (1e21, "1e+21"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(text(push_openmetrics_float, value), expected);
        }
    }

    proptest! {
        #[test]
        fn every_form_reads_back_as_the_same_value(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            for push in [push_f, push_e, push_g] {
                let back: f64 = text(push, value).parse().unwrap();
                prop_assert_eq!(back.to_bits(), bits);
            }
        }
    }
}
