//! Which format a scrape asks for, and which one the answer is in.
//!
//! Source: Prometheus `scrape/scrape.go` `acceptHeader`, `config/config.go` `ScrapeProtocol`,
//! `model/textparse/interface.go` `extractMediaType`; Go `mime.ParseMediaType`.

use super::names::EscapingScheme;
use super::quote::quoted;

/// One entry of `scrape_protocols`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScrapeProtocol {
    PrometheusProto,
    PrometheusText0_0_4,
    PrometheusText1_0_0,
    OpenMetricsText0_0_1,
    OpenMetricsText1_0_0,
}

/// Form of an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain`: Prometheus's text format, any version.
    Text,
    /// `application/openmetrics-text`, any version.
    OpenMetrics,
    /// `application/vnd.google.protobuf`: delimited `io.prometheus.client.MetricFamily`.
    Protobuf,
}

impl ScrapeProtocol {
    /// In the order of their names, as error texts list them.
    pub const ALL: [ScrapeProtocol; 5] = [
        ScrapeProtocol::OpenMetricsText0_0_1,
        ScrapeProtocol::OpenMetricsText1_0_0,
        ScrapeProtocol::PrometheusProto,
        ScrapeProtocol::PrometheusText0_0_4,
        ScrapeProtocol::PrometheusText1_0_0,
    ];

    /// What is asked for when nothing is configured, the most wanted first.
    pub const DEFAULT: [ScrapeProtocol; 4] = [
        ScrapeProtocol::OpenMetricsText1_0_0,
        ScrapeProtocol::OpenMetricsText0_0_1,
        ScrapeProtocol::PrometheusText1_0_0,
        ScrapeProtocol::PrometheusText0_0_4,
    ];

    /// The default with native histograms, which need protobuf.
    pub const DEFAULT_PROTO_FIRST: [ScrapeProtocol; 5] = [
        ScrapeProtocol::PrometheusProto,
        ScrapeProtocol::OpenMetricsText1_0_0,
        ScrapeProtocol::OpenMetricsText0_0_1,
        ScrapeProtocol::PrometheusText1_0_0,
        ScrapeProtocol::PrometheusText0_0_4,
    ];

    /// The name in the configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            ScrapeProtocol::PrometheusProto => "PrometheusProto",
            ScrapeProtocol::PrometheusText0_0_4 => "PrometheusText0.0.4",
            ScrapeProtocol::PrometheusText1_0_0 => "PrometheusText1.0.0",
            ScrapeProtocol::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            ScrapeProtocol::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
        }
    }

    /// Reads the name of the configuration file; the error is Prometheus's text.
    pub fn from_text(text: &str) -> Result<ScrapeProtocol, String> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|protocol| protocol.as_str()).collect();
            format!("unknown scrape protocol {text}, supported: [{}]", names.join(" "))
        })
    }

    fn header(self) -> &'static str {
        match self {
            ScrapeProtocol::PrometheusProto => {
                "application/vnd.google.protobuf;\
                 proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            ScrapeProtocol::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            ScrapeProtocol::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            ScrapeProtocol::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            ScrapeProtocol::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
        }
    }

    pub fn format(self) -> Format {
        match self {
            ScrapeProtocol::PrometheusProto => Format::Protobuf,
            ScrapeProtocol::PrometheusText0_0_4 | ScrapeProtocol::PrometheusText1_0_0 => {
                Format::Text
            }
            ScrapeProtocol::OpenMetricsText0_0_1 | ScrapeProtocol::OpenMetricsText1_0_0 => {
                Format::OpenMetrics
            }
        }
    }

    /// The newer versions of the text formats alone know escaping.
    fn has_escaping(self) -> bool {
        matches!(self, ScrapeProtocol::PrometheusText1_0_0 | ScrapeProtocol::OpenMetricsText1_0_0)
    }
}

impl Format {
    fn media_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain",
            Format::OpenMetrics => "application/openmetrics-text",
            Format::Protobuf => "application/vnd.google.protobuf",
        }
    }

    fn from_media_type(media_type: &str) -> Option<Format> {
        [Format::Text, Format::OpenMetrics, Format::Protobuf]
            .into_iter()
            .find(|format| format.media_type() == media_type)
    }
}

/// Value of the `Accept` header: the protocols in falling preference, then anything.
pub fn accept_header(protocols: &[ScrapeProtocol], escaping: EscapingScheme) -> String {
    let mut header = String::new();
    let mut weight = ScrapeProtocol::ALL.len() + 1;
    for protocol in protocols {
        header.push_str(protocol.header());
        if protocol.has_escaping() {
            header.push_str(";escaping=");
            header.push_str(escaping.as_str());
        }
        header.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    header.push_str(&format!("*/*;q=0.{weight}"));
    header
}

/// The format of an answer by its `Content-Type` (empty when there was none) and the configured
/// `fallback_scrape_protocol`; beside it what there is to warn of.
///
/// # Errors
///
/// Without a usable content type and without a fallback the scrape must fail, with this text.
pub fn format_of(
    content_type: &str,
    fallback: Option<ScrapeProtocol>,
) -> Result<(Format, Option<String>), String> {
    let fallback = fallback.map(ScrapeProtocol::format);
    let using = fallback.map_or_else(String::new, |format| {
        format!("using fallback_scrape_protocol {}", quoted(format.media_type().as_bytes()))
    });
    let (with_fallback, without) = if content_type.is_empty() {
        let blank = "non-compliant scrape target sending blank Content-Type";
        (
            format!("{blank}, {using}"),
            format!("{blank} and no fallback_scrape_protocol specified for target"),
        )
    } else {
        let shown = quoted(content_type.as_bytes());
        match media_type(content_type) {
            Ok(media_type) => match Format::from_media_type(&media_type) {
                Some(format) => return Ok((format, None)),
                None => (
                    format!("received unsupported Content-Type {shown}, {using}"),
                    format!(
                        "received unsupported Content-Type {shown} and no \
                         fallback_scrape_protocol specified for target"
                    ),
                ),
            },
            Err(cause) => (
                format!("could not parse received Content-Type {shown}, {using}\n{cause}"),
                format!(
                    "cannot parse Content-Type {shown} and no fallback_scrape_protocol for \
                     target\n{cause}"
                ),
            ),
        }
    };
    fallback.map(|format| (format, Some(with_fallback))).ok_or(without)
}

/// How names are escaped on a page that is served for this `Accept` header, and the page's
/// `Content-Type`. As Prometheus, hearth serves its pages in the text format alone.
///
/// Source: prometheus/common `expfmt/encode.go` `Negotiate`.
pub fn served_text(accept: &str) -> (EscapingScheme, String) {
    let mut clauses: Vec<(f64, &str)> = accept
        .split(',')
        .map(|clause| {
            (accept_parameter(clause, "q").and_then(|q| q.parse().ok()).unwrap_or(1.0), clause)
        })
        .collect();
    clauses.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut escaping = EscapingScheme::Underscores;
    for (_, clause) in clauses {
        if let Some(asked) =
            accept_parameter(clause, "escaping").and_then(EscapingScheme::from_text)
        {
            escaping = asked;
        }
        let version = accept_parameter(clause, "version").unwrap_or_default();
        let media_type = clause.split(';').next().unwrap_or_default().trim();
        if media_type == "text/plain" && matches!(version, "" | "0.0.4") {
            break; // What is wanted less has no say.
        }
    }
    let escaping_text = escaping.as_str();
    (escaping, format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping_text}"))
}

fn accept_parameter<'a>(clause: &'a str, name: &str) -> Option<&'a str> {
    clause.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// The media type of a header value, lower case and without parameters, if Go's
/// `mime.ParseMediaType` takes the value; else its error text.
pub fn media_type(value: &str) -> Result<String, &'static str> {
    let (base, mut rest) = value.split_at(value.find(';').unwrap_or(value.len()));
    let base = base.trim().to_lowercase();
    check_media_type(&base)?;
    let mut names: Vec<String> = Vec::new();
    while !rest.is_empty() {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        let Some((name, after)) = media_parameter(rest) else {
            // Go ignores a lone semicolon at the end, nothing else.
            return if rest.trim() == ";" {
                Ok(base)
            } else {
                Err("mime: invalid media parameter")
            };
        };
        if names.contains(&name) {
            return Err("mime: duplicate parameter name");
        }
        names.push(name);
        rest = after;
    }
    Ok(base)
}

fn check_media_type(base: &str) -> Result<(), &'static str> {
    let after_type = base.trim_start_matches(is_token_char);
    if after_type.len() == base.len() {
        return Err("mime: no media type");
    }
    if after_type.is_empty() {
        return Ok(());
    }
    let Some(subtype) = after_type.strip_prefix('/') else {
        return Err("mime: expected slash after first token");
    };
    let after_subtype = subtype.trim_start_matches(is_token_char);
    if after_subtype.len() == subtype.len() {
        return Err("mime: expected token after slash");
    }
    if after_subtype.is_empty() {
        Ok(())
    } else {
        Err("mime: unexpected content after media subtype")
    }
}

fn is_token_char(char: char) -> bool {
    char.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(char)
}

/// Splits `; name=value` off: the name in lower case, and what stands after the parameter.
fn media_parameter(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start().strip_prefix(';')?.trim_start();
    let after_name = text.trim_start_matches(is_token_char);
    let name = &text[..text.len() - after_name.len()];
    let value = after_name.trim_start().strip_prefix('=')?.trim_start();
    let after_value = match value.strip_prefix('"') {
        Some(quoted) => after_quoted(quoted)?,
        None => {
            let after = value.trim_start_matches(is_token_char);
            (after.len() < value.len()).then_some(after)?
        }
    };
    (!name.is_empty()).then(|| (name.to_lowercase(), after_value))
}

/// What stands after a quoted string whose opening quote is gone already.
fn after_quoted(text: &str) -> Option<&str> {
    let mut bytes = text.bytes().enumerate();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(&text[index + 1..]),
            // A backslash escapes specials only; before others it stands for itself.
            b'\\' => {
                let escaped = text.as_bytes().get(index + 1).copied().unwrap_or(0);
                if escaped == b'"' || escaped == b'\\' {
                    bytes.next();
                }
            }
            b'\r' | b'\n' => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Format, ScrapeProtocol, accept_header, format_of, served_text};
    use crate::wire::names::EscapingScheme;

    #[test]
    fn the_accept_header_names_protocols_in_falling_weight() {
        assert_eq!(
            accept_header(&ScrapeProtocol::DEFAULT, EscapingScheme::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept_header(&[ScrapeProtocol::PrometheusProto], EscapingScheme::Underscores),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.6,*/*;q=0.5"
        );
    }

    #[track_caller]
    fn check(content_type: &str, expected: Result<Format, &str>) {
        let got = format_of(content_type, None);
        assert_eq!(got.as_ref().map(|(f, _)| *f).map_err(String::as_str), expected);
        let (format, warning) =
            format_of(content_type, Some(ScrapeProtocol::PrometheusText0_0_4)).unwrap();
        assert_eq!(format, expected.unwrap_or(Format::Text));
        assert_eq!(warning.is_some(), expected.is_err());
    }

    #[test]
    fn the_content_type_decides_the_format() {
        check("text/plain", Ok(Format::Text));
        check("Text/Plain; version=0.0.4; charset=utf-8", Ok(Format::Text));
        check("text/plain;", Ok(Format::Text));
        check("text/plain; charset=\"a;\\\"b\"", Ok(Format::Text));
        check("application/openmetrics-text; version=1.0.0", Ok(Format::OpenMetrics));
        check(
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily",
            Ok(Format::Protobuf),
        );
        check(
            "",
            Err("non-compliant scrape target sending blank Content-Type and no \
                 fallback_scrape_protocol specified for target"),
        );
        check(
            "text/html",
            Err("received unsupported Content-Type \"text/html\" and no \
                 fallback_scrape_protocol specified for target"),
        );
        check(
            "text/plain; a",
            Err("cannot parse Content-Type \"text/plain; a\" and no fallback_scrape_protocol for \
                 target\nmime: invalid media parameter"),
        );
        check(
            "text/",
            Err("cannot parse Content-Type \"text/\" and no fallback_scrape_protocol for target\n\
                 mime: expected token after slash"),
        );
    }

    #[test]
    fn a_fallback_is_used_with_a_warning() {
        let (_, warning) = format_of("", Some(ScrapeProtocol::OpenMetricsText1_0_0)).unwrap();
        assert_eq!(
            warning.unwrap(),
            "non-compliant scrape target sending blank Content-Type, using \
             fallback_scrape_protocol \"application/openmetrics-text\""
        );
    }

    #[track_caller]
    fn check_served(accept: &str, expected: EscapingScheme) {
        let (escaping, content_type) = served_text(accept);
        assert_eq!(escaping, expected, "{accept}");
        assert!(content_type.ends_with(expected.as_str()), "{content_type}");
    }

    /// As a Prometheus answered on /metrics.
    #[test]
    fn a_reader_chooses_the_escaping() {
        use EscapingScheme::*;
        check_served("", Underscores);
        check_served("text/plain;version=0.0.4", Underscores);
        check_served(&accept_header(&ScrapeProtocol::DEFAULT, AllowUtf8), AllowUtf8);
        check_served("text/plain;escaping=dots", Dots);
        check_served("text/plain;q=0.1;escaping=values,text/plain;q=0.9;escaping=dots", Dots);
        check_served("text/html;escaping=dots", Dots);
        check_served("text/plain;escaping=foo", Underscores);
    }

    #[test]
    fn an_unknown_protocol_is_answered_with_the_known_ones() {
        assert_eq!(
            ScrapeProtocol::from_text("Proto").unwrap_err(),
            "unknown scrape protocol Proto, supported: [OpenMetricsText0.0.1 \
             OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0]"
        );
        for protocol in ScrapeProtocol::ALL {
            assert_eq!(ScrapeProtocol::from_text(protocol.as_str()), Ok(protocol));
        }
    }
}
