//! Constants of a template.
//!
//! Source: Go `text/template/parse/node.go`, `newNumber`; `strconv`.

use super::lex::Kind;
use super::tree::Number;
use crate::model::quote::quote;
use crate::promql::unquote::unquote as unquote_bytes;

/// The text of a literal in `"` or backquotes. Bytes that are no UTF-8 become U+FFFD.
pub(super) fn unquote(literal: &str) -> Option<String> {
    let text = match literal.strip_prefix('`') {
        // Go drops carriage returns in raw strings.
        Some(rest) => rest.strip_suffix('`')?.replace('\r', ""),
        None => String::from_utf8_lossy(&unquote_bytes(literal)?).into_owned(),
    };
    Some(text)
}

/// # Errors
///
/// Go's message.
pub(super) fn number(text: &str, kind: Kind) -> Result<Number, String> {
    if kind == Kind::CharConstant {
        return character(text);
    }
    if kind == Kind::Complex || text.ends_with('i') {
        return Err(format!("complex numbers are not supported: {}", quote(text)));
    }
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = if underscores_separate(digits) { integer(digits) } else { None };
    let int = magnitude.and_then(|value| {
        let value = if negative { -i128::from(value) } else { i128::from(value) };
        i64::try_from(value).ok()
    });
    // Go's unsigned reading takes no sign, but -0.
    let is_signed = text.starts_with(['-', '+']);
    let uint = if is_signed { (int == Some(0)).then_some(0) } else { magnitude };
    if let Some(value) = int {
        return Ok(Number { int, uint, float: Some(value as f64) });
    }
    if let Some(value) = uint {
        return Ok(Number { int, uint, float: Some(value as f64) });
    }
    let illegal = || format!("illegal number syntax: {}", quote(text));
    let float = float(text).ok_or_else(illegal)?;
    if !text.contains(['.', 'e', 'E', 'p', 'P']) {
        return Err(format!("integer overflow: {}", quote(text)));
    }
    let int = (float as i64 as f64 == float && float.abs() < 9.2e18).then_some(float as i64);
    let uint = (float as u64 as f64 == float && float < 1.8e19).then_some(float as u64);
    Ok(Number { int, uint, float: Some(float) })
}

fn character(text: &str) -> Result<Number, String> {
    let malformed = || format!("malformed character constant: {text}");
    let inner = unquote_bytes(text).ok_or_else(|| "invalid syntax".to_owned())?;
    let value = match std::str::from_utf8(&inner) {
        Ok(inner) => {
            let mut chars = inner.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => i64::from(u32::from(c)),
                (None, _) => return Err("invalid syntax".to_owned()),
                _ => return Err(malformed()),
            }
        }
        Err(_) if inner.len() == 1 => i64::from(inner[0]),
        Err(_) => return Err(malformed()),
    };
    Ok(Number { int: Some(value), uint: Some(value as u64), float: Some(value as f64) })
}

/// Go's `ParseUint(text, 0, 64)`, underscores checked before.
fn integer(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (&*digits, 10),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// Go's `ParseFloat` of what the lexer lets through, hexadecimal floats not among it.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if !underscores_separate(unsigned) || unsigned.contains(['x', 'X']) {
        return None;
    }
    if unsigned.contains('_') {
        return None; // Only with a base's prefix.
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then_some(value)
}

/// Whether each underscore stands between digits, or between the base's prefix and a digit.
fn underscores_separate(text: &str) -> bool {
    let bytes = text.as_bytes();
    let prefix = matches!(bytes, [b'0', b'b' | b'B' | b'o' | b'O' | b'x' | b'X', ..]);
    let number = if prefix { &bytes[2..] } else { bytes };
    number.iter().enumerate().all(|(index, byte)| {
        let before = if index == 0 { prefix } else { number[index - 1].is_ascii_alphanumeric() };
        *byte != b'_' || (before && number.get(index + 1).is_some_and(u8::is_ascii_alphanumeric))
    })
}
