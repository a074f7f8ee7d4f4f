//! Start timestamps of OpenMetrics: the `_created` lines behind the samples of a series.
//!
//! A sample's start stands in a later line of its family, so the parser is sent ahead; what it found
//! holds for all samples up to there.
//!
//! Source: Prometheus `model/textparse/openmetricsparse.go` (`StartTimestamp`).

use engine::model::MetricType;

use super::{Entry, Parser, number};

const CREATED: &[u8] = b"_created";

#[derive(Clone, Debug, Default)]
pub struct Starts {
    /// Where the parser that was sent ahead stopped.
    until: usize,
    /// The series of the `_created` line there, and its time in milliseconds; none if something else
    /// stands there.
    created: Option<(Vec<u8>, i64)>,
}

impl Starts {
    /// Start of the sample that `parser` gave last, in milliseconds; zero if there is none.
    ///
    /// Cost: each line is read once more, those of a family without such lines too.
    pub fn of(&mut self, parser: &Parser<'_>) -> i64 {
        if !parser.has_starts() {
            return 0;
        }
        if parser.offset() > self.until {
            self.look_ahead(parser);
        }
        let Some((series, start_ms)) = &self.created else { return 0 };
        if parser.owner(parser.family_bytes) == *series { *start_ms } else { 0 }
    }

    fn look_ahead(&mut self, parser: &Parser<'_>) {
        let mut ahead = parser.clone();
        self.created = loop {
            let Ok(Some(Entry::Sample(sample))) = ahead.next_entry() else { break None };
            if ahead.is_created() {
                let name_bytes = ahead.name_bytes() - CREATED.len();
                break Some((ahead.owner(name_bytes), number::milliseconds(sample.value)));
            }
        };
        self.until = ahead.offset();
    }
}

impl Parser<'_> {
    fn has_starts(&self) -> bool {
        matches!(
            self.metric_type,
            MetricType::Counter | MetricType::Summary | MetricType::Histogram
        )
    }

    /// Whether the sample given last is a start timestamp.
    pub fn is_created(&self) -> bool {
        let name = self.spans.metric.map_or(&b""[..], |span| self.slice(span));
        self.has_starts() && name.ends_with(CREATED)
    }

    fn name_bytes(&self) -> usize {
        self.spans.metric.map_or(0, |span| span.end - span.start)
    }

    /// What samples of one series of the family have in common: the first bytes of the name, and the
    /// labels but bounds.
    fn owner(&self, name_bytes: usize) -> Vec<u8> {
        let bound: &[u8] = match self.metric_type {
            MetricType::Summary => b"quantile",
            MetricType::Histogram => b"le",
            _ => b"",
        };
        let name = self.spans.metric.map_or(&b""[..], |span| self.slice(span));
        let mut owner = name[..name_bytes.min(name.len())].to_vec();
        for label in &self.spans.labels {
            let label_name = self.slice(label.name);
            if label_name != bound {
                for part in [label_name, self.slice(label.value)] {
                    owner.push(0xff); // In no name or value.
                    owner.extend_from_slice(part);
                }
            }
        }
        owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::text::Format;

    #[track_caller]
    fn check(page: &str, expected: &[(&str, i64)]) {
        let mut parser = Parser::new(page.as_bytes(), Format::OpenMetrics);
        let mut starts = Starts::default();
        let mut got = vec![];
        while let Some(entry) = parser.next_entry().unwrap() {
            if let Entry::Sample(sample) = entry
                && !parser.is_created()
            {
                let series = String::from_utf8_lossy(sample.series).into_owned();
                got.push((series, starts.of(&parser)));
            }
        }
        let expected: Vec<_> = expected.iter().map(|(s, ms)| ((*s).to_owned(), *ms)).collect();
        assert_eq!(got, expected, "{page}");
    }

    #[test]
    fn a_start_is_of_the_samples_before_it() {
        check(
            "# TYPE a counter\na_total 1\na_created 1.5\n# TYPE b counter\nb_total{x=\"1\"} 1\n\
             b_created{x=\"1\"} 2\nb_total{x=\"2\"} 1\nb_created{x=\"2\"} 3\nb_total{x=\"3\"} 1\n\
             # TYPE g gauge\ng 1\ng_created 5\n# EOF\n",
            &[
                ("a_total", 1500),
                ("b_total{x=\"1\"}", 2000),
                ("b_total{x=\"2\"}", 3000),
                ("b_total{x=\"3\"}", 0),
                ("g", 0),
                ("g_created", 0),
            ],
        );
        check(
            "# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\nh_bucket{a=\"1\",le=\"+Inf\"} 1\n\
             h_sum{a=\"1\"} 1\nh_count{a=\"1\"} 1\nh_created{a=\"1\"} 7\n\
             # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\ns_created 8\n# EOF\n",
            &[
                ("h_bucket{a=\"1\",le=\"1\"}", 7000),
                ("h_bucket{a=\"1\",le=\"+Inf\"}", 7000),
                ("h_sum{a=\"1\"}", 7000),
                ("h_count{a=\"1\"}", 7000),
                ("s{quantile=\"0.5\"}", 8000),
                ("s_sum", 8000),
                ("s_count", 8000),
            ],
        );
        check(
            "# TYPE a counter\na_total{x=\"1\"} 1\na_created{x=\"2\"} 2\n# EOF\n",
            &[("a_total{x=\"1\"}", 0)],
        );
    }
}
