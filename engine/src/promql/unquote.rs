//! What a string literal means.
//!
//! Source: Prometheus `util/strutil/quote.go`.

/// The bytes that a literal in `"`, `'` or backquotes stands for; `None` if it is none. The lexer
/// lets no such literal through.
///
/// Bytes and not text, because `"\xff"` is a literal, too.
pub(crate) fn unquote(literal: &str) -> Option<Vec<u8>> {
    let quote = literal.chars().next()?;
    let inner = literal.strip_prefix(quote)?.strip_suffix(quote)?;
    match quote {
        '`' => return (!inner.contains('`')).then(|| inner.into()),
        '"' | '\'' => {}
        _ => return None,
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\n' => return None,
            _ if c == quote => return None,
            '\\' => unescape(&mut chars, quote, &mut out)?,
            _ => push_char(&mut out, c),
        }
    }
    Some(out)
}

fn unescape(chars: &mut std::str::Chars<'_>, quote: char, out: &mut Vec<u8>) -> Option<()> {
    let first = chars.next()?;
    let byte = match first {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        _ if first == quote => quote as u8,
        'x' => u8::try_from(digits(chars, 0, 2, 16)?).ok()?,
        '0'..='7' => u8::try_from(digits(chars, first.to_digit(8)?, 2, 8)?).ok()?,
        'u' | 'U' => {
            let count = if first == 'u' { 4 } else { 8 };
            push_char(out, char::from_u32(digits(chars, 0, count, 16)?)?);
            return Some(());
        }
        _ => return None,
    };
    out.push(byte);
    Some(())
}

fn digits(chars: &mut std::str::Chars<'_>, first: u32, count: usize, radix: u32) -> Option<u32> {
    let mut value = first;
    for _ in 0..count {
        value = value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    Some(value)
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::unquote;

    #[track_caller]
    fn check(literal: &str, expected: Option<&[u8]>) {
        assert_eq!(unquote(literal).as_deref(), expected);
    }

    #[test]
    fn escapes_are_read_as_go_reads_them() {
        check(r#""a\tb\"c'""#, Some(b"a\tb\"c'"));
        check(r"'a\'b'", Some(b"a'b"));
        check(r"`a\tb`", Some(br"a\tb"));
        check(r#""\xff\377\u00e9\U0001F600""#, Some(b"\xff\xff\xc3\xa9\xf0\x9f\x98\x80"));
        check(r#""\a\b\f\n\r\v\\""#, Some(b"\x07\x08\x0c\n\r\x0b\\"));
        check(r#""""#, Some(b""));
        for wrong in
            ["", "\"", "\"a", "a", r#""\'""#, r#""\400""#, r#""\ud800""#, "\"\n\"", "`a`b`"]
        {
            check(wrong, None);
        }
    }
}
