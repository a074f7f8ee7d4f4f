//! What is said of the refused parts of a remote_write request: in the order of the request, in
//! Prometheus's words.

use engine::head::{ExemplarVerdict, Verdict};
use engine::model::HistogramSample;
use engine::model::float::format_g;
use shards::IngestReport;

use crate::wire::remote_write::{Decoded, Protocol};

/// Gathers what was refused of one request, in however many steps it was stored.
pub struct Refusals {
    protocol: Protocol,
    lines: Vec<Line>,
    series_left_out: usize,
    pub sample_count: usize,
    pub histogram_count: usize,
    pub exemplar_count: usize,
}

struct Line {
    /// Of its series in the request.
    place: u32,
    about: About,
    text: String,
}

/// What is judged first, for one series.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Sample,
    Exemplar,
    Series,
}

/// A refused sample of either kind, and its series in the batch.
struct Refused<'a> {
    series: u32,
    timestamp_ms: i64,
    /// Set for a native histogram.
    histogram: Option<&'a HistogramSample>,
    verdict: Verdict,
}

impl Refusals {
    pub fn of(protocol: Protocol) -> Refusals {
        Refusals {
            protocol,
            lines: vec![],
            series_left_out: 0,
            sample_count: 0,
            histogram_count: 0,
            exemplar_count: 0,
        }
    }

    /// Adds what was refused of a batch. Protocol 1 answers with the first refused sample, protocol
    /// 2 with all that was refused.
    pub fn add(&mut self, decoded: &Decoded, report: &IngestReport) {
        self.sample_count += report.refused.len();
        self.histogram_count += report.refused_histograms.len();
        self.exemplar_count += report.refused_exemplars.len();
        let place = |series: u32| decoded.places[series as usize];
        let samples = refused_samples(decoded, report);
        if self.protocol == Protocol::V1 {
            self.lines.extend(samples.first().map(|refused| Line {
                place: place(refused.series),
                about: About::Sample,
                text: refused.text(),
            }));
            return;
        }
        let labels = |series| decoded.batch.labels(series);
        self.lines.extend(samples.iter().map(|refused| Line {
            place: place(refused.series),
            about: About::Sample,
            text: format!("{} for series {}", refused.text(), labels(refused.series)),
        }));
        let exemplars = report.refused_exemplars.iter();
        let late = exemplars.filter(|(_, verdict)| *verdict == ExemplarVerdict::OutOfOrder);
        self.lines.extend(late.map(|&(index, _)| {
            let series = decoded.batch.exemplars()[index as usize].series;
            let text = format!("out of order exemplar for series {}", labels(series));
            Line { place: place(series), about: About::Exemplar, text }
        }));
    }

    /// Adds the series that were left out when the request was decoded.
    pub fn add_series(&mut self, decoded: &Decoded) {
        if self.protocol == Protocol::V1 {
            return;
        }
        self.series_left_out += decoded.series_errors_left_out;
        self.lines.extend(decoded.series_errors.iter().map(|error| Line {
            place: error.place,
            about: About::Series,
            text: error.message.clone(),
        }));
    }

    /// The body of the answer; empty if nothing was refused.
    pub fn text(mut self) -> String {
        // Stable: samples of one series keep their order.
        self.lines.sort_by_key(|line| (line.place, line.about));
        if self.protocol == Protocol::V1 {
            self.lines.truncate(1);
        }
        let mut lines: Vec<String> = self.lines.into_iter().map(|line| line.text).collect();
        if self.series_left_out > 0 {
            lines.push(format!("and {} series more", self.series_left_out));
        }
        lines.join("\n")
    }
}

/// All refused samples in the order in which they are judged: by series, floats first.
fn refused_samples<'a>(decoded: &'a Decoded, report: &IngestReport) -> Vec<Refused<'a>> {
    let batch = &decoded.batch;
    let floats = report.refused.iter().map(|refusal| Refused {
        series: batch.sample_series()[refusal.sample as usize],
        timestamp_ms: batch.timestamps_ms()[refusal.sample as usize],
        histogram: None,
        verdict: refusal.verdict,
    });
    let histograms = report.refused_histograms.iter().map(|refusal| Refused {
        series: batch.histogram_series()[refusal.sample as usize],
        timestamp_ms: batch.histogram_timestamps_ms()[refusal.sample as usize],
        histogram: Some(&batch.histograms()[refusal.sample as usize]),
        verdict: refusal.verdict,
    });
    let mut all: Vec<_> = floats.chain(histograms).collect();
    all.sort_by_key(|refused| refused.series); // Stable: floats stay before histograms.
    all
}

impl Refused<'_> {
    fn text(&self) -> String {
        let (existing, new) = match self.verdict {
            // Prometheus's text for histograms, and its text for the timestamp that means unset.
            Verdict::Duplicate { existing, new } if self.timestamp_ms != 0 => {
                (format_g(existing), new)
            }
            Verdict::DuplicateOfHistogram { new } if self.timestamp_ms != 0 => {
                ("is a histogram".to_owned(), new)
            }
            Verdict::InvalidHistogram => {
                let error = self.histogram.and_then(|sample| sample.validate().err());
                return error.map_or_else(|| self.verdict.to_string(), |error| error.to_string());
            }
            verdict => return verdict.to_string(),
        };
        format!(
            "duplicate sample for timestamp {}; overrides not allowed: existing {existing}, new \
             value {}",
            self.timestamp_ms,
            format_g(new)
        )
    }
}
