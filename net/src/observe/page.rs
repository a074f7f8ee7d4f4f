//! hearth's own page in the making: [`Writer`] for names and numbers that are known to be plain.

use engine::model::MetricType;

use super::durations::{BOUNDS, Snapshot};
use crate::wire::exposition::{Number, Writer};
use crate::wire::names::EscapingScheme;
use crate::wire::negotiation::Format;

pub struct Page<'a>(Writer<'a>);

impl<'a> Page<'a> {
    /// A page in the text format at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Page<'a> {
        Page(Writer::new(out, Format::Text, EscapingScheme::AllowUtf8))
    }

    /// Begins a family; its samples follow.
    pub fn family(&mut self, name: &str, help: &str, metric_type: MetricType) {
        self.0.family(name.as_bytes(), metric_type, Some(help.as_bytes()));
    }

    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.bounded(name, labels, None, value);
    }

    /// The bucket of a histogram up to `bound`.
    pub fn bucket(&mut self, name: &str, labels: &[(&str, &str)], bound: f64, count: u64) {
        self.bounded(name, labels, Some(("le", bound)), count as f64);
    }

    fn bounded(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        bound: Option<(&str, f64)>,
        value: f64,
    ) {
        let labels = labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        self.0.sample(name.as_bytes(), labels, bound, Number::Float(value), None);
    }

    /// Samples of a summary: quantiles of the last ones, sum and count.
    pub fn summary(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        quantiles: &[f64],
        durations: &Snapshot,
    ) {
        for quantile in quantiles {
            let text = quantile.to_string();
            let labels = [labels, &[("quantile", text.as_str())]].concat();
            self.sample(name, &labels, durations.quantile(*quantile));
        }
        self.sum_and_count(name, labels, durations.seconds, durations.count);
    }

    /// Samples of a histogram: classic buckets, sum and count.
    pub fn histogram(&mut self, name: &str, labels: &[(&str, &str)], durations: &Snapshot) {
        for (bound, count) in BOUNDS.iter().zip(durations.buckets) {
            self.bucket(&format!("{name}_bucket"), labels, *bound, count);
        }
        self.sum_and_count(name, labels, durations.seconds, durations.count);
    }

    /// How long things took together, and how many there were: the end of a summary or histogram.
    pub fn sum_and_count(&mut self, name: &str, labels: &[(&str, &str)], seconds: f64, count: u64) {
        self.sample(&format!("{name}_sum"), labels, seconds);
        self.sample(&format!("{name}_count"), labels, count as f64);
    }

    /// A family of one sample without labels.
    pub fn single(&mut self, name: &str, help: &str, metric_type: MetricType, value: f64) {
        self.family(name, help, metric_type);
        self.sample(name, &[], value);
    }

    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.single(name, help, MetricType::Counter, value as f64);
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.single(name, help, MetricType::Gauge, value);
    }
}

#[cfg(test)]
mod tests {
    use engine::model::MetricType;

    use super::Page;

    #[test]
    fn a_page() {
        let mut out = vec![];
        let mut page = Page::new(&mut out);
        page.counter("a_total", "Some\nhelp.", 3_000_000);
        page.family("b", "B.", MetricType::Histogram);
        page.bucket("b_bucket", &[("x", "1\"2")], f64::INFINITY, 1);
        page.sample("b_sum", &[("x", "1\"2"), ("y", "z")], 0.5);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "# HELP a_total Some\\nhelp.\n# TYPE a_total counter\na_total 3e+06\n\
             # HELP b B.\n# TYPE b histogram\nb_bucket{x=\"1\\\"2\",le=\"+Inf\"} 1\n\
             b_sum{x=\"1\\\"2\",y=\"z\"} 0.5\n"
        );
    }
}
