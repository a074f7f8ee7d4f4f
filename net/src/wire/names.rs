//! Which names of metrics and labels are valid, and how a name is escaped for an older reader.
//!
//! Source: `model/metric.go` and `model/labels.go` of prometheus/common.

use std::borrow::Cow;

/// Scheme by which names are judged: `metric_name_validation_scheme`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameValidation {
    /// Any text that is valid UTF-8.
    #[default]
    Utf8,
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, for labels without the colon.
    Legacy,
}

/// How names that an older reader would not take are to be escaped:
/// `metric_name_escaping_scheme`, and the `escaping` parameter of a content type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapingScheme {
    #[default]
    AllowUtf8,
    Underscores,
    Dots,
    Values,
}

impl EscapingScheme {
    pub fn as_str(self) -> &'static str {
        match self {
            EscapingScheme::AllowUtf8 => "allow-utf-8",
            EscapingScheme::Underscores => "underscores",
            EscapingScheme::Dots => "dots",
            EscapingScheme::Values => "values",
        }
    }

    pub fn from_text(text: &str) -> Option<EscapingScheme> {
        [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values]
            .into_iter()
            .find(|scheme| scheme.as_str() == text)
    }
}

impl NameValidation {
    pub fn is_valid_label_name(self, name: &[u8]) -> bool {
        match self {
            NameValidation::Utf8 => !name.is_empty() && simdutf8::basic::from_utf8(name).is_ok(),
            NameValidation::Legacy => is_legacy_label_name(name),
        }
    }

    pub fn is_valid_metric_name(self, name: &[u8]) -> bool {
        match self {
            NameValidation::Utf8 => !name.is_empty() && simdutf8::basic::from_utf8(name).is_ok(),
            NameValidation::Legacy => is_legacy_metric_name(name),
        }
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`
pub fn is_legacy_label_name(name: &[u8]) -> bool {
    is_legacy_metric_name(name) && !name.contains(&b':')
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`: what stands in the text formats without quotes.
pub fn is_legacy_metric_name(name: &[u8]) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    match name {
        [first, rest @ ..] => {
            is_letter(*first) && rest.iter().all(|&byte| is_letter(byte) || byte.is_ascii_digit())
        }
        [] => false,
    }
}

/// `name` as a reader without UTF-8 names can take it. Bytes that are not UTF-8 count as U+FFFD.
///
/// Source: prometheus/common `model/metric.go` `EscapeName`.
pub fn escaped_name(name: &[u8], scheme: EscapingScheme) -> Cow<'_, [u8]> {
    let is_plain = match scheme {
        EscapingScheme::AllowUtf8 => true,
        EscapingScheme::Underscores | EscapingScheme::Values => is_legacy_metric_name(name),
        EscapingScheme::Dots => false, // Underscores of any name are doubled.
    };
    if is_plain || name.is_empty() {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(2 * name.len());
    if scheme == EscapingScheme::Values {
        out.push_str("U__");
    }
    for (index, char) in String::from_utf8_lossy(name).char_indices() {
        let is_valid = char.is_ascii_alphabetic()
            || matches!(char, '_' | ':')
            || (char.is_ascii_digit() && index > 0);
        match scheme {
            EscapingScheme::Dots | EscapingScheme::Values if char == '_' => out.push_str("__"),
            EscapingScheme::Dots if char == '.' => out.push_str("_dot_"),
            _ if is_valid => out.push(char),
            EscapingScheme::Dots => out.push_str("__"),
            EscapingScheme::Values => out.push_str(&format!("_{:x}_", u32::from(char))),
            EscapingScheme::Underscores | EscapingScheme::AllowUtf8 => out.push('_'),
        }
    }
    Cow::Owned(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::EscapingScheme;
    use super::NameValidation::{self, Legacy, Utf8};
    use super::escaped_name;

    #[track_caller]
    fn check(scheme: NameValidation, name: &[u8], metric: bool, label: bool) {
        assert_eq!(scheme.is_valid_metric_name(name), metric, "{name:?} as a metric's");
        assert_eq!(scheme.is_valid_label_name(name), label, "{name:?} as a label's");
    }

    #[test]
    fn names_are_judged_by_their_scheme() {
        check(Legacy, b"", false, false);
        check(Legacy, b"up", true, true);
        check(Legacy, b"_a9", true, true);
        check(Legacy, b"9a", false, false);
        check(Legacy, b"a:b", true, false);
        check(Legacy, b"a.b", false, false);
        check(Utf8, b"", false, false);
        check(Utf8, "a.b ü".as_bytes(), true, true);
        check(Utf8, b"\xff", false, false);
    }

    #[track_caller]
    fn check_escaped(name: &str, underscores: &str, dots: &str, values: &str) {
        for (scheme, expected) in [
            (EscapingScheme::AllowUtf8, name),
            (EscapingScheme::Underscores, underscores),
            (EscapingScheme::Dots, dots),
            (EscapingScheme::Values, values),
        ] {
            assert_eq!(escaped_name(name.as_bytes(), scheme), expected.as_bytes(), "{scheme:?}");
        }
    }

    #[test]
    fn names_are_escaped_for_older_readers() {
        check_escaped("", "", "", "");
        check_escaped(
            "no:escaping_required",
            "no:escaping_required",
            "no:escaping__required",
            "no:escaping_required",
        );
        check_escaped(
            "mysystem.prod.west.cpu.load",
            "mysystem_prod_west_cpu_load",
            "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
            "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
        );
        check_escaped(
            "mysystem.prod.cpu_total",
            "mysystem_prod_cpu_total",
            "mysystem_dot_prod_dot_cpu__total",
            "U__mysystem_2e_prod_2e_cpu__total",
        );
        check_escaped(
            "http.status:sum",
            "http_status:sum",
            "http_dot_status:sum",
            "U__http_2e_status:sum",
        );
        check_escaped(
            "label with 😱",
            "label_with__",
            "label__with____",
            "U__label_20_with_20__1f631_",
        );
        check_escaped("9a", "_a", "__a", "U___39_a");
    }
}
