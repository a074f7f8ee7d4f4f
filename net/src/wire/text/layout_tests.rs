//! Whatever layouts a target's pages have, walking along them gives what the parser gives.

use std::collections::HashMap;

use engine::model::{LabelsBuilder, MetricType};
use proptest::prelude::*;

use super::layout::{Layout, Walk};
use super::{Entry, Format, Parser, series_labels};

/// Samples of a page, a line each; the error, if any, last.
fn parsed(page: &[u8], format: Format) -> Vec<String> {
    let mut parser = Parser::new(page, format);
    let mut lines = vec![];
    loop {
        match parser.next_entry() {
            Ok(Some(Entry::Sample(sample))) => {
                let labels = labels(&parser);
                let (value, at) = (sample.value.to_bits(), sample.timestamp_ms);
                lines.push(format!("{labels} {value} {at:?} {:?}", parser.exemplar()));
            }
            Ok(Some(_)) => {}
            Ok(None) => return lines,
            Err(error) => {
                lines.push(error.message);
                return lines;
            }
        }
    }
}

fn labels(parser: &Parser<'_>) -> String {
    let mut builder = LabelsBuilder::default();
    let _ = parser.labels_into(&mut builder);
    builder.finish().to_string()
}

/// The same from the series' text, where a type is in force.
fn labels_of(series: &[u8], metric_type: MetricType) -> String {
    let mut builder = LabelsBuilder::default();
    let _ = series_labels(series, metric_type, &mut builder);
    builder.finish().to_string()
}

/// What a caller knows of a target: numbers by raw text, and labels by number.
#[derive(Default)]
struct Known {
    numbers: HashMap<Vec<u8>, u32>,
    labels: Vec<String>,
    layout: Layout,
}

impl Known {
    /// As `parsed`, along the layout, and how many samples were known by their line.
    fn walked(&mut self, page: &[u8], format: Format) -> (Vec<String>, usize) {
        let layout = std::mem::take(&mut self.layout);
        let mut walk = Walk::new(page, format, &layout);
        let (mut lines, mut count) = (vec![], 0);
        let fresh = loop {
            walk.known_lines(usize::MAX, |line, timestamp_ms, value| {
                let labels = &self.labels[line as usize];
                lines.push(format!("{labels} {} {timestamp_ms:?} None", value.to_bits()));
                count += 1;
            });
            match walk.next_entry() {
                Ok(Some(Entry::Sample(sample))) => {
                    let labels = labels(walk.parser());
                    assert_eq!(labels_of(sample.series, walk.metric_type()), labels);
                    let (value, at) = (sample.value.to_bits(), sample.timestamp_ms);
                    let exemplar = walk.parser().exemplar();
                    lines.push(format!("{labels} {value} {at:?} {exemplar:?}"));
                    let next = self.numbers.len() as u32;
                    let number = *self.numbers.entry(sample.series.to_vec()).or_insert(next);
                    if number == next {
                        self.labels.push(labels);
                    }
                    // Some lines have no number.
                    walk.note((!sample.series.starts_with(b"n")).then_some(number));
                }
                Ok(Some(_)) => {}
                Ok(None) => break walk.finish(),
                Err(error) => {
                    lines.push(error.message);
                    break None;
                }
            }
        };
        self.layout = fresh.unwrap_or(layout);
        (lines, count)
    }
}

#[track_caller]
fn check(format: Format, pages: &[(&str, usize)]) {
    let mut known = Known::default();
    for &(page, expected_count) in pages {
        let (lines, count) = known.walked(page.as_bytes(), format);
        assert_eq!(lines, parsed(page.as_bytes(), format), "{page}");
        assert_eq!(count, expected_count, "{page}");
    }
}

#[test]
fn a_page_like_the_one_before_is_known() {
    let page = "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2 1000\nb NaN\n";
    let moved = "# TYPE a gauge\na{x=\"1\"} -1.5e3\na{x=\"2\"} 3 2000\nb 7\n";
    let more = "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"3\"} 1\na{x=\"2\"} 2\nb 8\n";
    let cut = "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"3\"} 1\na{x=\"2\"}";
    let pages = [(page, 0), (moved, 3), (more, 3), (more, 4), (cut, 2), (more, 4), (page, 2)];
    check(Format::Text, &pages);
    check(Format::Text, &[(page, 0), ("", 0), (page, 0), ("b 1\n", 0), ("b 2\n", 1), ("b 3", 0)]);
}

#[test]
fn the_type_of_a_known_line_is_in_force_behind_it() {
    let page = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1\n# EOF\n";
    let more = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1\nh_count 1\n# EOF\n";
    check(Format::OpenMetrics, &[(page, 0), (more, 2), (more, 3)]);
}

#[test]
fn exemplars_and_lines_without_a_number_are_read_each_time() {
    let page = "# TYPE a counter\na_total 1 # {t=\"1\"} 1\nb 2\nn 3\nc 4\n# EOF\n";
    let other = "# TYPE a counter\na_total 5 # {t=\"9\"} 2\nb 2\nn 9\nc 5\n# EOF\n";
    let without = "# TYPE a counter\na_total 5\nb 2\nn 9\nc 5\n# EOF\n";
    let pages = [(page, 0), (other, 2), (without, 2), (without, 3), (page, 2), (page, 2)];
    check(Format::OpenMetrics, &pages);
    let no_end = "# TYPE a counter\na_total 5\nb 2\nn 9\nc 5\n";
    check(Format::OpenMetrics, &[(without, 0), (no_end, 3), (without, 3)]);
    check(Format::OpenMetrics, &[("a 1\nb 2\n# EOF\n", 0), ("a 1 b 2\n# EOF\n", 0)]);
}

#[test]
fn metadata_is_told_from_the_layout() {
    let page = "# HELP a A.\n# TYPE a gauge\na 1\n# TYPE b counter\nb 1\n# HELP c C.\n# EOF\n";
    let mut known = Known::default();
    known.walked(page.as_bytes(), Format::OpenMetrics);
    let mut told = vec![];
    known.layout.metadata(|entry| match entry {
        Entry::Type { metric, .. } | Entry::Help { metric, .. } => {
            told.push(String::from_utf8_lossy(metric).into_owned());
        }
        _ => {}
    });
    assert_eq!(told, ["a", "a", "b", "c"]);
}

#[track_caller]
fn check_labels(series: &str, metric_type: MetricType, expected: &str) {
    let mut builder = LabelsBuilder::default();
    series_labels(series.as_bytes(), metric_type, &mut builder).unwrap();
    assert_eq!(builder.finish().to_string(), expected);
}

#[test]
fn labels_are_made_from_the_text_of_a_series() {
    check_labels("a", MetricType::Gauge, "{__name__=\"a\"}");
    let bucket = "h_bucket{b=\"\\\"\\n\",le=\"1\"}";
    let labels = |bound| format!("{{__name__=\"h_bucket\", b=\"\\\"\\n\", le=\"{bound}\"}}");
    check_labels(bucket, MetricType::Histogram, &labels("1.0"));
    check_labels(bucket, MetricType::Unknown, &labels("1"));
    check_labels("{\"a b\",\"c d\"=\"e\"}", MetricType::Gauge, "{__name__=\"a b\", \"c d\"=\"e\"}");
    assert!(series_labels(b"a b", MetricType::Gauge, &mut LabelsBuilder::default()).is_err());
}

/// A line of a page, or what is none.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => ("[abn]", "[0-3]", "-?[0-9]{1,4}(\\.[0-9])?").prop_map(|(a, b, c)| format!("{a}{{x=\"{b}\"}} {c}")),
        2 => ("[abn]", "[0-9]{1,2}", "[0-9]{1,5}").prop_map(|(a, b, c)| format!("{a} {b} {c}")),
        1 => ("[ab]", "[0-9]").prop_map(|(a, b)| format!("{a}  {b}")),
        1 => ("[ab]", "[0-9]").prop_map(|(a, b)| format!("{a} {b} # {{t=\"1\"}} 2")),
        2 => "# (TYPE|HELP) [ab] (counter|histogram|x)",
        1 => "[abn{}\" #1\\x00]{0,6}",
    ]
}

fn page() -> impl Strategy<Value = String> {
    (proptest::collection::vec(line(), 0..8), "(|\n|# EOF\n)")
        .prop_map(|(lines, end)| lines.join("\n") + &end)
}

proptest! {
    #[test]
    fn walks_agree_with_the_parser(pages in proptest::collection::vec(page(), 1..5)) {
        for format in [Format::Text, Format::OpenMetrics] {
            let mut known = Known::default();
            for page in pages.iter().flat_map(|page| [page, page]) {
                let (lines, _) = known.walked(page.as_bytes(), format);
                prop_assert_eq!(lines, parsed(page.as_bytes(), format), "{:?}", page);
            }
        }
    }
}
