//! Pages of metrics in Prometheus's text format and in OpenMetrics.
//!
//! [`Parser`] walks a page entry by entry and lends what it finds: the bytes of a series as they
//! stand in the page are the key of a cache, so a series that is known costs no decoding; the
//! labels of one that is not are decoded by [`Parser::labels`]. What is accepted, what is refused
//! and in which words is Prometheus's.
//!
//! Two ways through a page: `fast` reads a whole line at once in the shape that exporters write,
//! and declines any other; `lex` with the grammars reads anything, as Prometheus does, and is the
//! measure of the first. A property test holds them together. `layout` holds a page against the one
//! before it, so that a line that stood there costs a comparison and a value.
//!
//! `starts` finds start timestamps; without it `_created` lines are series as any other.
//!
//! Not here: protobuf (`wire::protobuf`), native histograms out of classic ones (`wire::classic`).
//!
//! Source: Prometheus `model/textparse/{interface,promparse,openmetricsparse}.go`.

use std::borrow::Cow;
use std::fmt;

use engine::model::{LabelsBuilder, MetricType};

mod decode;
mod fast;
pub mod layout;
#[cfg(test)]
mod layout_tests;
mod lex;
mod number;
mod openmetrics;
mod prometheus;
mod series;
pub mod starts;

#[cfg(test)]
mod conformance_tests;
#[cfg(test)]
mod tests;

pub use super::negotiation::Format;
pub(crate) use number::go_float;

use lex::{Lexer, Token};

/// One thing that a page says. Everything borrows from the page.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    Type {
        metric: &'a [u8],
        metric_type: MetricType,
    },
    /// The text has its escapes resolved.
    Help {
        metric: &'a [u8],
        help: Cow<'a, [u8]>,
    },
    Unit {
        metric: &'a [u8],
        unit: &'a [u8],
    },
    Comment(&'a [u8]),
    Sample(Sample<'a>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name and labels as they stand in the page: equal bytes are equal series, not the reverse.
    pub series: &'a [u8],
    pub timestamp_ms: Option<i64>,
    /// Any NaN of the page is the ordinary NaN: the staleness marker cannot be sent.
    pub value: f64,
}

/// The exemplar of the sample read last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    pub timestamp_ms: Option<i64>,
    pub value: f64,
}

/// Why a page is refused, in Prometheus's words. Displays as the message alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub message: String,
    /// Where in the page the parser stood, in bytes.
    pub offset: usize,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}

/// Bytes `start..end` of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

/// A label as it stands in the page, without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LabelSpans {
    name: Span,
    value: Span,
}

/// What the parser noted of the sample read last, for those who ask for its labels.
#[derive(Clone, Debug, Default)]
struct SeriesSpans {
    /// Absent until found: inside the braces it may come late.
    metric: Option<Span>,
    labels: Vec<LabelSpans>,
}

/// Walks a page. See the module.
///
/// ```
/// use net::wire::text::{Entry, Format, Parser};
///
/// let mut parser = Parser::new(b"up{job=\"a\"} 1\n", Format::Text);
/// let Ok(Some(Entry::Sample(sample))) = parser.next_entry() else { panic!() };
/// assert_eq!((sample.series, sample.value), (&b"up{job=\"a\"}"[..], 1.0));
/// ```
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    lexer: Lexer<'a>,
    /// Start of the current entry's line; blanks before a name are part of it.
    entry_start: usize,
    spans: SeriesSpans,
    /// The last `# TYPE`: it decides how bounds of buckets and quantiles are written.
    metric_type: MetricType,
    /// Length of the name in the last line about a family: names of its series begin with it.
    family_bytes: usize,
    exemplar: Option<Exemplar>,
    exemplar_labels: Vec<LabelSpans>,
    /// Whether `fast` may be tried: the page is UTF-8 and holds no byte of zero.
    is_plain: bool,
}

impl<'a> Parser<'a> {
    /// Parser of `body`, which is in `format`.
    ///
    /// Cost: one pass over `body` for its encoding, some gigabytes a second.
    pub fn new(body: &'a [u8], format: Format) -> Parser<'a> {
        Parser {
            lexer: Lexer::new(body, format),
            entry_start: 0,
            spans: SeriesSpans::default(),
            metric_type: MetricType::Unknown,
            family_bytes: 0,
            exemplar: None,
            exemplar_labels: Vec::new(),
            is_plain: memchr::memchr(0, body).is_none() && simdutf8::basic::from_utf8(body).is_ok(),
        }
    }

    /// The same without `fast`.
    #[cfg(test)]
    fn new_slow(body: &'a [u8], format: Format) -> Parser<'a> {
        Parser { is_plain: false, ..Parser::new(body, format) }
    }

    /// The next entry, or none at the end of the page.
    ///
    /// Cost: O(bytes of the entry); no allocation but for a help text with escapes.
    ///
    /// # Errors
    ///
    /// The page is refused: entries given before are not to be used, and the parser is spent.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        self.spans.metric = None;
        self.spans.labels.clear();
        self.exemplar = None;
        self.exemplar_labels.clear();
        let entry = match self.lexer.format {
            Format::Text => match self.fast_entry::<false>() {
                Some(entry) => Ok(Some(entry)),
                None => self.next_text_entry(),
            },
            Format::OpenMetrics => match self.fast_entry::<true>() {
                Some(entry) => Ok(Some(entry)),
                None => self.next_openmetrics_entry(),
            },
            Format::Protobuf => Err("protobuf expositions are not supported".into()),
        };
        if let Ok(Some(
            Entry::Type { metric, .. } | Entry::Help { metric, .. } | Entry::Unit { metric, .. },
        )) = &entry
        {
            self.family_bytes = metric.len();
        }
        entry.map_err(|message| ParseError { message, offset: self.lexer.at })
    }

    /// Goes on at `at`, the start of a line, where `metric_type` is in force.
    pub(super) fn go_to(&mut self, at: usize, metric_type: MetricType) {
        if self.lexer.at != at {
            self.lexer = Lexer { start: at, at, ..Lexer::new(self.lexer.body, self.lexer.format) };
            self.metric_type = metric_type;
        }
    }

    /// The exemplar of the sample given last. OpenMetrics alone has them.
    pub fn exemplar(&self) -> Option<Exemplar> {
        self.exemplar
    }

    /// How far the parser has come, in bytes.
    pub fn offset(&self) -> usize {
        self.lexer.at.min(self.lexer.body.len())
    }

    fn slice(&self, span: Span) -> &'a [u8] {
        &self.lexer.body[span.start..span.end]
    }

    /// A message that tells what stood where something else was expected.
    fn unexpected(&self, expected: &str, got: Token) -> String {
        format!(
            "{expected}, got {} (\"{}\") while parsing: {}",
            super::quote::quoted(&self.lexer.seen_from(self.lexer.start)),
            got.as_str(),
            self.line_so_far(1)
        )
    }

    /// The entry up to where the lexer stands, quoted; `extra` bytes more if there are.
    fn line_so_far(&self, extra: usize) -> String {
        let mut seen = self.lexer.seen_from(self.entry_start);
        if extra == 0 && self.lexer.at < self.lexer.end() {
            seen.pop();
        }
        super::quote::quoted(&seen)
    }
}

/// Adds the labels of a series, `series` being how a page shows it where a type is in force, to an
/// empty `builder`.
///
/// # Errors
///
/// As [`Parser::labels_into`]; of what is no series, its text.
pub fn series_labels(
    series: &[u8],
    metric_type: MetricType,
    builder: &mut LabelsBuilder,
) -> Result<(), Box<[u8]>> {
    let line = [series, b" 0\n"].concat();
    let mut parser = Parser { metric_type, ..Parser::new(&line, Format::Text) };
    match parser.next_entry() {
        Ok(Some(Entry::Sample(_))) => parser.labels_into(builder),
        _ => Err(series.into()),
    }
}

/// Label sets of samples and exemplars.
impl<'a> Parser<'a> {
    /// Calls `visit` with the metric's name (as the label `__name__`) and then each label of the
    /// sample given last, in the order of the page, escapes resolved. A name may come twice.
    ///
    /// Bounds of buckets and quantiles are rewritten as OpenMetrics wants them (`1` as `1.0`).
    pub fn labels(&self, mut visit: impl FnMut(&[u8], &[u8])) {
        let metric = self.spans.metric.map_or(&b""[..], |span| self.slice(span));
        visit(engine::model::labels::METRIC_NAME, &decode::unescaped(metric));
        for label in &self.spans.labels {
            let name = decode::unescaped(self.slice(label.name));
            let value = decode::unescaped(self.slice(label.value));
            visit(&name, &decode::normalized_bound(self.metric_type, &name, value));
        }
    }

    /// Adds the labels of the sample given last to an empty `builder`.
    ///
    /// # Errors
    ///
    /// The name that stands twice; what the builder then holds has no meaning.
    pub fn labels_into(&self, builder: &mut LabelsBuilder) -> Result<(), Box<[u8]>> {
        let mut seen: Vec<Box<[u8]>> = Vec::with_capacity(self.spans.labels.len() + 1);
        let mut twice = None;
        self.labels(|name, value| {
            if seen.iter().any(|earlier| **earlier == *name) {
                twice.get_or_insert_with(|| name.into());
            }
            seen.push(name.into());
            builder.set(name, value);
        });
        twice.map_or(Ok(()), Err)
    }

    /// Calls `visit` with each label of the last sample's exemplar. As in Prometheus, escapes in
    /// them are not resolved.
    pub fn exemplar_labels(&self, mut visit: impl FnMut(&'a [u8], &'a [u8])) {
        for label in &self.exemplar_labels {
            visit(self.slice(label.name), self.slice(label.value));
        }
    }
}
