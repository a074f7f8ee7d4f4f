//! Pages of metrics as hearth writes them: its own, and for federation.
//!
//! The caller gives families in order and the samples of each; names that the older syntax does
//! not have stand in quotes, inside the braces for a metric, unless an escaping is asked for.
//!
//! Source: prometheus/common `expfmt/{text_create,openmetrics_create}.go`.

use engine::model::MetricType;

use super::float::{push_openmetrics_float, push_text_float};
use super::names::{EscapingScheme, escaped_name, is_legacy_metric_name};
use super::negotiation::Format;

/// Value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Float(f64),
    /// A count: OpenMetrics writes it without decimals.
    Count(u64),
}

/// Appends a page to `out`. [`Writer::finish`] belongs at its end.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    is_openmetrics: bool,
    escaping: EscapingScheme,
}

impl<'a> Writer<'a> {
    /// A page in the text format or in OpenMetrics; protobuf is not written, its place takes the
    /// text format.
    pub fn new(out: &'a mut Vec<u8>, format: Format, escaping: EscapingScheme) -> Writer<'a> {
        Writer { out, is_openmetrics: format == Format::OpenMetrics, escaping }
    }

    /// Begins a family: its help, if any, and its type. Types that the text format does not know
    /// are untyped there.
    pub fn family(&mut self, name: &[u8], metric_type: MetricType, help: Option<&[u8]>) {
        let name = escaped_name(name, self.escaping);
        let mut shown = &*name;
        let mut metric_type = metric_type;
        if self.is_openmetrics && metric_type == MetricType::Counter {
            // OpenMetrics names a counter's family without the suffix of its sample, and knows
            // no counter without the suffix.
            match name.strip_suffix(b"_total") {
                Some(family) => shown = family,
                None => metric_type = MetricType::Unknown,
            }
        }
        if let Some(help) = help {
            self.out.extend_from_slice(b"# HELP ");
            push_name(self.out, shown);
            self.out.push(b' ');
            push_escaped(self.out, help, self.is_openmetrics);
            self.out.push(b'\n');
        }
        self.out.extend_from_slice(b"# TYPE ");
        push_name(self.out, shown);
        self.out.push(b' ');
        self.out.extend_from_slice(self.type_name(metric_type).as_bytes());
        self.out.push(b'\n');
    }

    fn type_name(&self, metric_type: MetricType) -> &'static str {
        match metric_type {
            _ if self.is_openmetrics => metric_type.as_str(),
            MetricType::Counter
            | MetricType::Gauge
            | MetricType::Histogram
            | MetricType::Summary => metric_type.as_str(),
            _ => "untyped",
        }
    }

    /// Writes a sample. `bound` is the label `le` or `quantile` of a bucket or quantile; it comes
    /// last.
    pub fn sample<'l>(
        &mut self,
        name: &[u8],
        labels: impl IntoIterator<Item = (&'l [u8], &'l [u8])>,
        bound: Option<(&str, f64)>,
        value: Number,
        timestamp_ms: Option<i64>,
    ) {
        let name = escaped_name(name, self.escaping);
        let mut separator = b'{';
        if !is_legacy_metric_name(&name) {
            self.out.push(b'{');
            separator = b',';
        }
        push_name(self.out, &name);
        for (name, value) in labels {
            self.out.push(separator);
            push_name(self.out, &escaped_name(name, self.escaping));
            self.out.extend_from_slice(b"=\"");
            push_escaped(self.out, value, true);
            self.out.push(b'"');
            separator = b',';
        }
        if let Some((name, bound)) = bound {
            self.out.push(separator);
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"=\"");
            self.push_float(bound);
            self.out.push(b'"');
            separator = b',';
        }
        if separator == b',' {
            self.out.push(b'}');
        }
        self.out.push(b' ');
        self.push_number(value);
        if let Some(timestamp_ms) = timestamp_ms {
            self.out.push(b' ');
            self.push_timestamp(timestamp_ms);
        }
        self.out.push(b'\n');
    }

    /// Ends the page.
    pub fn finish(self) {
        if self.is_openmetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
    }

    fn push_number(&mut self, number: Number) {
        match number {
            Number::Float(value) => self.push_float(value),
            Number::Count(count) if self.is_openmetrics => push_integer(self.out, count),
            Number::Count(count) => self.push_float(count as f64),
        }
    }

    fn push_float(&mut self, value: f64) {
        if self.is_openmetrics {
            push_openmetrics_float(self.out, value);
        } else {
            push_text_float(self.out, value);
        }
    }

    /// Milliseconds, or in OpenMetrics seconds as a float.
    fn push_timestamp(&mut self, timestamp_ms: i64) {
        if self.is_openmetrics {
            push_openmetrics_float(self.out, timestamp_ms as f64 / 1000.0);
        } else {
            push_integer(self.out, timestamp_ms);
        }
    }
}

fn push_integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A name as it is, or in quotes where the older syntax does not have it.
fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    if is_legacy_metric_name(name) {
        out.extend_from_slice(name);
        return;
    }
    out.push(b'"');
    push_escaped(out, name, true);
    out.push(b'"');
}

/// Escapes backslash and line feed, and the double quote if `quotes`.
fn push_escaped(out: &mut Vec<u8>, text: &[u8], quotes: bool) {
    for &byte in text {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::text::{Entry, Parser};

    type Labels<'a> = &'a [(&'a [u8], &'a [u8])];

    fn page(
        format: Format,
        escaping: EscapingScheme,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> String {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, format, escaping);
        write(&mut writer);
        writer.finish();
        String::from_utf8(out).unwrap()
    }

    fn sample_page(writer: &mut Writer<'_>) {
        writer.family(b"a_total", MetricType::Counter, Some(b"a \"help\"\\\nof two lines"));
        let labels: Labels<'_> = &[(b"b", b"\"c\"\\\n"), (b"d.e", b"")];
        writer.sample(b"a_total", labels.iter().copied(), None, Number::Count(7), Some(1500));
        writer.family(b"h", MetricType::Histogram, None);
        writer.sample(b"h_bucket", [], Some(("le", 1.0)), Number::Count(1), None);
        writer.sample(b"h_sum", [], None, Number::Float(1e6), None);
        writer.family(b"u.v", MetricType::Unknown, None);
        writer.sample(b"u.v", labels[..1].iter().copied(), None, Number::Float(-0.0), None);
        writer.sample(b"u.v", [], None, Number::Float(f64::INFINITY), None);
        writer.family(b"c", MetricType::Counter, None);
    }

    #[test]
    fn the_text_format() {
        assert_eq!(
            page(Format::Text, EscapingScheme::AllowUtf8, sample_page),
            "# HELP a_total a \"help\"\\\\\\nof two lines\n# TYPE a_total counter\n\
             a_total{b=\"\\\"c\\\"\\\\\\n\",\"d.e\"=\"\"} 7 1500\n\
             # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1e+06\n\
             # TYPE \"u.v\" untyped\n{\"u.v\",b=\"\\\"c\\\"\\\\\\n\"} 0\n{\"u.v\"} +Inf\n\
             # TYPE c counter\n"
        );
    }

    #[test]
    fn openmetrics() {
        assert_eq!(
            page(Format::OpenMetrics, EscapingScheme::Underscores, sample_page),
            "# HELP a a \\\"help\\\"\\\\\\nof two lines\n# TYPE a counter\n\
             a_total{b=\"\\\"c\\\"\\\\\\n\",d_e=\"\"} 7 1.5\n\
             # TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_sum 1e+06\n\
             # TYPE u_v unknown\nu_v{b=\"\\\"c\\\"\\\\\\n\"} 0.0\nu_v +Inf\n\
             # TYPE c unknown\n# EOF\n"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            name in "[a-z.é\"]{1,4}",
            label in "[a-z.\\\\]{1,4}",
            value in "[a-z\"\\\\\n]{0,6}",
            number in any::<f64>(),
            timestamp_ms in proptest::option::of(0i64..1 << 40),
        ) {
            for format in [Format::Text, Format::OpenMetrics] {
                let text = page(format, EscapingScheme::AllowUtf8, |writer| {
                    writer.family(name.as_bytes(), MetricType::Gauge, Some(value.as_bytes()));
                    let labels = [(label.as_bytes(), value.as_bytes())];
                    writer.sample(name.as_bytes(), labels, None, Number::Float(number), timestamp_ms);
                });
                let mut parser = Parser::new(text.as_bytes(), format);
                let Ok(Some(Entry::Help { help, .. })) = parser.next_entry() else {
                    panic!("no help in {text}");
                };
                prop_assert_eq!(&*help, value.as_bytes());
                parser.next_entry().unwrap();
                let Ok(Some(Entry::Sample(sample))) = parser.next_entry() else {
                    panic!("no sample in {text}");
                };
                prop_assert!(sample.value == number || number.is_nan());
                // Seconds as a float lose up to a millisecond on their way back: the parser cuts.
                let lost = timestamp_ms.unwrap_or(0) - sample.timestamp_ms.unwrap_or(0);
                prop_assert!((0..=i64::from(format == Format::OpenMetrics)).contains(&lost));
                prop_assert_eq!(sample.timestamp_ms.is_some(), timestamp_ms.is_some());
                let mut labels = Vec::new();
                parser.labels(|name, value| labels.push((name.to_vec(), value.to_vec())));
                prop_assert_eq!(&labels[0].1, name.as_bytes());
                prop_assert_eq!(&labels[1], &(label.clone().into_bytes(), value.clone().into_bytes()));
            }
        }
    }
}
