//! Which names of metrics and labels are valid, and how a name is escaped for an older reader.
//!
//! Source: `model/metric.go` and `model/labels.go` of prometheus/common.

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

#[cfg(test)]
mod tests {
    use super::NameValidation::{self, Legacy, Utf8};

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
}
