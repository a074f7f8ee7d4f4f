//! The series that every scrape reports about itself.
//!
//! Source: Prometheus `scrape/scrape.go` (`report`, `reportStale`).

use engine::model::sample::stale_nan;
use engine::model::{Labels, LabelsRef};
use shards::SeriesOwner;

use super::mutate::report_labels;
use super::samples::{Line, ScrapeSamples};

const ALWAYS: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// Reported where extra metrics are switched on.
const EXTRA: [&str; 3] =
    ["scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes"];

/// What one scrape reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    pub up: bool,
    pub duration_seconds: f64,
    pub samples_scraped: u64,
    pub samples_post_relabeling: u64,
    pub series_added: u64,
    pub timeout_seconds: f64,
    pub sample_limit: u64,
    /// Minus one when the body exceeded its limit.
    pub body_bytes: i64,
}

/// The report series of one target.
pub struct ReportSeries {
    series: Vec<OneSeries>,
}

struct OneSeries {
    labels: Labels,
    hash: u64,
    owner: Option<SeriesOwner>,
}

impl ReportSeries {
    pub fn new(target_labels: LabelsRef<'_>, with_extra: bool) -> ReportSeries {
        let extra = if with_extra { &EXTRA[..] } else { &[] };
        let labelled = |metric: &&str| {
            let labels = report_labels(metric, target_labels);
            let hash = labels.as_ref().stable_hash();
            OneSeries { labels, hash, owner: None }
        };
        ReportSeries { series: ALWAYS.iter().chain(extra).map(labelled).collect() }
    }

    pub fn push(&self, report: &Report, time_ms: i64, samples: &mut ScrapeSamples) {
        let values = [
            f64::from(u8::from(report.up)),
            report.duration_seconds,
            report.samples_scraped as f64,
            report.samples_post_relabeling as f64,
            report.series_added as f64,
            report.timeout_seconds,
            report.sample_limit as f64,
            report.body_bytes as f64,
        ];
        self.push_values(&values, time_ms, samples);
    }

    /// Staleness markers for all of them: the target is gone.
    pub fn push_stale(&self, time_ms: i64, samples: &mut ScrapeSamples) {
        self.push_values(&[stale_nan(); ALWAYS.len() + EXTRA.len()], time_ms, samples);
    }

    fn push_values(&self, values: &[f64], time_ms: i64, samples: &mut ScrapeSamples) {
        for ((series, index), &value) in self.series.iter().zip(0..).zip(values) {
            let labels = || self.labels(index);
            samples.push(series.owner, Line::Report(index), labels, time_ms, value);
        }
    }

    pub fn labels(&self, index: u32) -> (LabelsRef<'_>, u64) {
        let series = &self.series[index as usize];
        (series.labels.as_ref(), series.hash)
    }

    /// Notes who has a series.
    pub fn set_owner(&mut self, index: u32, owner: Option<SeriesOwner>) {
        self.series[index as usize].owner = owner;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_carry_the_targets_labels() {
        let target = Labels::from_pairs([("instance", "a:1"), ("job", "j")]);
        let mut samples = ScrapeSamples::default();
        let report = Report { up: true, samples_scraped: 7, body_bytes: -1, ..Report::default() };
        ReportSeries::new(target.as_ref(), false).push(&report, 5, &mut samples);
        assert_eq!(samples.batch.values(), [1.0, 0.0, 7.0, 0.0, 0.0]);
        let expected = r#"{__name__="up", instance="a:1", job="j"}"#;
        assert_eq!(samples.batch.labels(0).to_string(), expected);
        samples.clear();
        ReportSeries::new(target.as_ref(), true).push(&report, 5, &mut samples);
        assert_eq!(samples.batch.values()[5..], [0.0, 0.0, -1.0]);
    }
}
