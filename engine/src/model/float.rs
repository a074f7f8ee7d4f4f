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

/// Bytes that [`place_f`] may touch: the longest text it writes is of 24, and it copies by eights.
pub const PLACE_BYTES: usize = 40;

/// Magnitudes of fractions whose shortest text has no exponent and at most 23 bytes.
const PLAIN_FRACTIONS: std::ops::Range<f64> = 1e-3..1e15;

/// As [`push_f`], to the front of `room`: the length of the text. What stands behind it has no
/// meaning. `None` for values that are not finite, and for some that are large or small.
#[inline]
pub fn place_f(room: &mut [u8; PLACE_BYTES], value: f64) -> Option<usize> {
    let magnitude = value.abs();
    room[0] = b'-';
    let start = usize::from(value.is_sign_negative());
    // A conversion there and back costs a third of a call that truncates.
    let whole = magnitude as u64;
    if magnitude < EXACT_INTEGER_MAX && whole as f64 == magnitude {
        return Some(place_whole(room, start, whole));
    }
    if !PLAIN_FRACTIONS.contains(&magnitude) {
        return None;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(magnitude).as_bytes();
    let end = start + text.len();
    // Overlapping copies of fixed size cost a third of a call that copies any number of bytes.
    match (text.first_chunk::<16>(), text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), _, Some(last)) => {
            room[start..start + 16].copy_from_slice(first);
            room[end - 8..end].copy_from_slice(last);
        }
        (None, Some(first), Some(last)) => {
            room[start..start + 8].copy_from_slice(first);
            room[end - 8..end].copy_from_slice(last);
        }
        _ => room[start..].iter_mut().zip(text).for_each(|(to, from)| *to = *from),
    }
    Some(end)
}

/// Writes an integer below [`EXACT_INTEGER_MAX`] from `start` on; where it ends.
#[inline]
fn place_whole(room: &mut [u8; PLACE_BYTES], start: usize, whole: u64) -> usize {
    const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
    let mut place = |at: usize, text: u64| room[at..at + 8].copy_from_slice(&text.to_le_bytes());
    let (head, tail) = (whole / GROUP, whole % GROUP);
    let digits = digits(if head > 0 { head } else { tail });
    // The last digit stands, be it zero.
    let leading_zeros = (digits.trailing_zeros() / 8).min(7);
    place(start, (digits | ZEROS) >> (8 * leading_zeros));
    let end = start + 8 - leading_zeros as usize;
    if head == 0 {
        return end;
    }
    place(end, self::digits(tail) | ZEROS);
    end + 8
}

/// Eight digits are converted at once.
const GROUP: u64 = 100_000_000;

/// The eight digits of a number below [`GROUP`], a byte each, the first one lowest. Halves are split
/// side by side: into fours, twos and ones; the quotients are exact for all that occurs.
#[inline]
fn digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

/// As Go's format `f`: digits and a point, never an exponent.
pub fn push_f(out: &mut Vec<u8>, value: f64) {
    let mut room = [0; PLACE_BYTES];
    if let Some(length) = place_f(&mut room, value) {
        return out.extend_from_slice(&room[..length]);
    }
    let Some(magnitude) = push_special(out, value) else { return };
    push_decimal_f(out, &decimal(zmij::Buffer::new().format_finite(magnitude).as_bytes()));
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
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e6).contains(&magnitude) {
        push_f(out, value);
    } else {
        push_e(out, value);
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

    use super::*;

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
    fn whole_numbers_have_their_digits() {
        let mut numbers: Vec<u64> = (0..20_000).collect();
        numbers.extend((0..100_000_000).step_by(9973));
        for digits in 0..16 {
            let power = 10u64.pow(digits);
            numbers.extend([power - 1, power, power + 1, 9 * power, 123_456_789_012_345 % power]);
        }
        numbers.extend([(1 << 53) - 1, 1 << 53]);
        for number in numbers {
            assert_eq!(text(push_f, number as f64), number.to_string());
            assert_eq!(text(push_f, -(number as f64)), format!("-{number}"));
        }
    }

    /// The digits, whoever wrote them: at the front of the room, or a number that is left to others.
    #[track_caller]
    fn check_placed(value: f64) {
        let mut room = [b'?'; PLACE_BYTES];
        let Some(length) = place_f(&mut room, value) else {
            assert!(!(1e-3..1e15).contains(&value.abs()), "{value}");
            return;
        };
        let mut expected = vec![];
        if value.is_sign_negative() {
            expected.push(b'-');
        }
        let shortest = zmij::Buffer::new().format_finite(value.abs()).to_owned();
        push_decimal_f(&mut expected, &decimal(shortest.as_bytes()));
        assert_eq!(room[..length], expected);
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
        fn numbers_are_placed_as_they_are_pushed(
            digits in any::<u64>(),
            shift in 0u32..64,
            scale in -12i32..4,
            bits in any::<u64>(),
        ) {
            let short = (digits >> shift) as f64 * 10f64.powi(scale);
            [short, -short, f64::from_bits(bits)].into_iter().for_each(check_placed);
        }

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
