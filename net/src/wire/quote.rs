//! Bytes quoted as Go's `%q` quotes them, for messages that must read as Prometheus's do. Texts
//! that are known to be UTF-8 have `engine::model::quote`.

use std::fmt::Write;

use engine::model::quote::push_escaped;

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
        chunk.valid().chars().for_each(|char| push_escaped(&mut out, char, '"'));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
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
