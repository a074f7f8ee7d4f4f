//! Text quoted as Go's `%q` quotes it, for messages that must read as Prometheus's do.
//!
//! Source: Go `strconv.Quote`. Which characters above ASCII are printable follows Rust's tables,
//! whose Unicode version may differ from Go's; a message may so differ in an escape.

use std::fmt::Write;

use super::names::is_legacy_label_name;

/// A label set as Prometheus's messages show it: `{a="1", "b.c"="2"}`.
///
/// Source: Prometheus `model/labels/labels_common.go` `String`.
pub fn labels_text<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> String {
    let shown: Vec<_> = pairs
        .map(|(name, value)| match std::str::from_utf8(name) {
            Ok(text) if is_legacy_label_name(name) => format!("{text}={}", quoted(value)),
            _ => format!("{}={}", quoted(name), quoted(value)),
        })
        .collect();
    format!("{{{}}}", shown.join(", "))
}

/// `bytes` in double quotes, escaped where Go escapes.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|char| push_char(&mut out, char));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

fn push_char(out: &mut String, char: char) {
    match char {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        ' '..='~' => out.push(char),
        _ if is_printable(char) => out.push(char),
        '\0'..='\x1f' | '\x7f' => drop(write!(out, "\\x{:02x}", char as u32)),
        _ if u32::from(char) < 0x1_0000 => drop(write!(out, "\\u{:04x}", char as u32)),
        _ => drop(write!(out, "\\U{:08x}", char as u32)),
    }
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and no space but ASCII's.
fn is_printable(char: char) -> bool {
    // `escape_debug` leaves printable characters alone, but escapes marks that combine.
    char.is_alphanumeric()
        || (!char.is_whitespace() && !char.is_control() && escape_is_identity(char))
        || is_combining(char)
}

fn escape_is_identity(char: char) -> bool {
    char.escape_debug().eq([char])
}

/// The blocks of combining marks that labels carry in practice.
fn is_combining(char: char) -> bool {
    matches!(u32::from(char), 0x300..=0x36f | 0x483..=0x489 | 0x1ab0..=0x1ace | 0x20d0..=0x20f0)
        || matches!(u32::from(char), 0xfe00..=0xfe0f | 0xfe20..=0xfe2f | 0xe0100..=0xe01ef)
}

#[cfg(test)]
mod tests {
    use super::{labels_text, quoted};

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(quoted(bytes), expected);
    }

    #[test]
    fn bytes_are_quoted_as_go_quotes_them() {
        check(b"", r#""""#);
        check(b"up", r#""up""#);
        check(b"a\"b\\c", r#""a\"b\\c""#);
        check(b"\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#);
        check(b"\0\x1f\x7f", r#""\x00\x1f\x7f""#);
        check(b"\xff\xe2\x82", r#""\xff\xe2\x82""#);
        check("é界😀".as_bytes(), "\"é界😀\"");
        check("\u{80}\u{a0}\u{2028}".as_bytes(), r#""\u0080\u00a0\u2028""#);
        check("\u{e0001}".as_bytes(), r#""\U000e0001""#);
        check("e\u{301}".as_bytes(), "\"e\u{301}\"");
    }

    #[test]
    fn label_sets_are_shown_as_prometheus_shows_them() {
        let pairs: [(&[u8], &[u8]); 2] = [(b"a", b"x\"y"), (b"b.c", b"")];
        assert_eq!(labels_text(pairs.into_iter()), r#"{a="x\"y", "b.c"=""}"#);
        assert_eq!(labels_text([].into_iter()), "{}");
    }
}
