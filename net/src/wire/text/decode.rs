//! From the bytes of a page to the texts that they mean.
//!
//! Source: Prometheus `model/textparse/promparse.go` `lvalReplacer`, `helpReplacer`;
//! `openmetricsparse.go` `normalizeFloatsInLabelValues`.

use std::borrow::Cow;

use engine::model::MetricType;

use crate::wire::float::push_openmetrics_float;

/// Resolves `\"`, `\\` and `\n`; a backslash before anything else stands for itself.
pub(super) fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    resolved(text, |byte| match byte {
        b'"' | b'\\' => Some(byte),
        b'n' => Some(b'\n'),
        _ => None,
    })
}

/// Resolves what the text format's help texts escape: `\\` and `\n`.
pub(super) fn unescaped_help(text: &[u8]) -> Cow<'_, [u8]> {
    resolved(text, |byte| match byte {
        b'\\' => Some(byte),
        b'n' => Some(b'\n'),
        _ => None,
    })
}

fn resolved(text: &[u8], meaning: impl Fn(u8) -> Option<u8>) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', text) else {
        return Cow::Borrowed(text);
    };
    let mut out = text[..first].to_vec();
    let mut rest = &text[first..];
    while let [byte, tail @ ..] = rest {
        let resolved =
            if *byte == b'\\' { tail.first().and_then(|&next| meaning(next)) } else { None };
        out.push(resolved.unwrap_or(*byte));
        rest = &tail[usize::from(resolved.is_some())..];
    }
    Cow::Owned(out)
}

/// Rewrites the bound of a histogram's bucket or a summary's quantile as OpenMetrics writes
/// floats, so that a target's change of format keeps its series. What is no decimal number stays
/// as it is. (Go reads hexadecimal numbers here too; no exporter writes them.)
pub(super) fn normalized_bound<'a>(
    metric_type: MetricType,
    name: &[u8],
    value: Cow<'a, [u8]>,
) -> Cow<'a, [u8]> {
    let is_bound = matches!(
        (metric_type, name),
        (MetricType::Summary, b"quantile") | (MetricType::Histogram, b"le")
    );
    match is_bound.then(|| super::go_float(&value)) {
        Some(Ok(bound)) => {
            let mut out = Vec::new();
            push_openmetrics_float(&mut out, bound);
            Cow::Owned(out)
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::{unescaped, unescaped_help};

    #[track_caller]
    fn check(text: &str, value: &str, help: &str) {
        assert_eq!(unescaped(text.as_bytes()), value.as_bytes());
        assert_eq!(unescaped_help(text.as_bytes()), help.as_bytes());
    }

    #[test]
    fn escapes_are_resolved() {
        check("", "", "");
        check("plain", "plain", "plain");
        check(r"a\nb", "a\nb", "a\nb");
        check(r#"\"a\""#, "\"a\"", r#"\"a\""#);
        check(r"\\n", r"\n", r"\n");
        check(r"\\\n", "\\\n", "\\\n");
        check(r"\t\", r"\t\", r"\t\");
    }
}
