//! Text in quotes as Go writes it: for messages and printed expressions.
//!
//! Source: Go `strconv.Quote`, `strconv.QuoteRune`, and `%#U` of package `fmt`.

use std::fmt::Write;

/// Appends `text` in double quotes: what is not printable becomes an escape.
pub fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        push_escaped(out, c, '"');
    }
    out.push('"');
}

/// As [`push_quoted`], with bytes that are no UTF-8 as `\xff`.
pub fn push_quoted_bytes(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_escaped(out, c, '"'));
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
}

/// `text` in double quotes, as Go's `%q`.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// `c` in single quotes, as Go's `%q` of a rune.
pub fn quote_char(c: char) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c, '\'');
    out.push('\'');
    out
}

/// `U+0063 'c'`, as Go's `%#U`: without the quotes when `c` is not printable.
pub fn code_point(c: char) -> String {
    let number = u32::from(c);
    if is_printable(c) { format!("U+{number:04X} '{c}'") } else { format!("U+{number:04X}") }
}

/// Appends `c` as it stands between quotes of the kind `quote`.
pub fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        _ if c == quote => {
            out.push('\\');
            out.push(c);
        }
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        _ if is_printable(c) => out.push(c),
        _ => {
            let number = u32::from(c);
            // Writing to a string cannot fail.
            let _ = match number {
                0..0x80 => write!(out, "\\x{number:02x}"),
                0x80..0x1_0000 => write!(out, "\\u{number:04x}"),
                _ => write!(out, "\\U{number:08x}"),
            };
        }
    }
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // The standard library knows the same classes, but escapes a mark that has no letter before
    // it; so the mark gets one.
    let mut text = String::with_capacity(8);
    text.push('a');
    text.push(c);
    !text.escape_debug().any(|c| c == '\\')
}

#[cfg(test)]
mod tests {
    use super::{code_point, push_quoted_bytes, quote, quote_char};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(quote(text), expected);
    }

    #[test]
    fn texts_are_quoted_as_go_does() {
        check("", r#""""#);
        check("a\"b'c\\d", r#""a\"b'c\\d""#);
        check("\x07\x08\x0c\n\r\t\x0b\0\x7f", r#""\a\b\f\n\r\t\v\x00\x7f""#);
        check("ÿ炬☺\u{301}", "\"ÿ炬☺\u{301}\"");
        check("\u{a0}\u{ad}\u{200b}\u{e000}\u{e0001}", r#""\u00a0\u00ad\u200b\ue000\U000e0001""#);
        let mut bytes = String::new();
        push_quoted_bytes(&mut bytes, b"a\xc5z\xe9");
        assert_eq!(bytes, r#""a\xc5z\xe9""#);
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('"'), "'\"'");
        assert_eq!(code_point('c'), "U+0063 'c'");
        assert_eq!(code_point('\n'), "U+000A");
    }
}
