//! Upper and lower case one character at a time, as Go's `strings.ToUpper` and `ToLower`.
//!
//! Rust maps a character to several where Unicode's full mapping says so (`ß` to `SS`); Go keeps
//! to the simple mapping, one to one. The characters in which the two differ are here.
//!
//! Source: Unicode `UnicodeData.txt` (simple mappings), `SpecialCasing.txt`.

/// What is not UTF-8 becomes U+FFFD, as in Go.
pub(super) fn lowercase(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(lower).collect()
}

/// See [`lowercase`].
pub(super) fn uppercase(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(upper).collect()
}

fn lower(char: char) -> char {
    match char {
        'İ' => 'i', // The full mapping has a combining dot after it.
        _ => only(char.to_lowercase()).unwrap_or(char),
    }
}

fn upper(char: char) -> char {
    match char {
        // Greek with iota subscript: the simple mapping is to the title case letter.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
            char::from_u32(u32::from(char) + 8).unwrap_or(char)
        }
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => char::from_u32(u32::from(char) + 9).unwrap_or(char),
        _ => only(char.to_uppercase()).unwrap_or(char),
    }
}

fn only(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    let first = mapped.next();
    if mapped.next().is_none() { first } else { None }
}

#[cfg(test)]
mod tests {
    use super::{lowercase, uppercase};

    #[track_caller]
    fn check(text: &str, lower: &str, upper: &str) {
        assert_eq!(lowercase(text.as_bytes()), lower);
        assert_eq!(uppercase(text.as_bytes()), upper);
    }

    #[test]
    fn letters_map_one_to_one() {
        check("bAr123Foo", "bar123foo", "BAR123FOO");
        check("ÄöÉ", "äöé", "ÄÖÉ");
        check("Straße", "straße", "STRAßE");
        check("İ", "i", "İ");
        check("ΣΑΣ", "σασ", "ΣΑΣ");
        check("ᾳᾀ", "ᾳᾀ", "ᾼᾈ");
        check("ŉ", "ŉ", "ŉ");
    }

    #[test]
    fn what_is_not_text_is_replaced() {
        assert_eq!(lowercase(b"A\xffB"), "a\u{fffd}b");
    }
}
