//! Collects the parts of classic histograms as a page of text shows them, so that they become
//! native ones with custom bounds.
//!
//! The parts of one histogram stand together and differ in their names' endings and in `le` only. A
//! part that belongs to another histogram, or the end of the family, closes the one before.
//!
//! Source: Prometheus `model/textparse/nhcbparse.go`.

use engine::model::labels::METRIC_NAME;
use engine::model::{HistogramSample, Labels, LabelsBuilder, MetricType};

use crate::wire::classic::{Classic, Part, part_of};
use crate::wire::text::go_float;

const LE: &[u8] = b"le";

#[derive(Debug, Default)]
pub struct Collector {
    /// Name of the family under way, if it is one of histograms.
    family: Vec<u8>,
    is_histogram: bool,
    /// Labels of the histogram under way, without ending and `le`.
    labels: Option<Labels>,
    own_ms: Option<i64>,
    start_ms: i64,
    parts: Classic,
}

pub struct Converted {
    pub key: Vec<u8>,
    pub labels: Labels,
    pub own_ms: Option<i64>,
    pub start_ms: i64,
    pub sample: HistogramSample,
}

impl Collector {
    /// A family begins.
    pub fn family(&mut self, name: &[u8], metric_type: MetricType) {
        self.family.clear();
        self.family.extend_from_slice(name);
        self.is_histogram = metric_type == MetricType::Histogram;
    }

    /// Whether a series belongs to the histogram under way; true if there is none.
    pub fn is_same(&self, labels: &Labels) -> bool {
        match (&self.labels, self.base(labels)) {
            (None, _) => true,
            (Some(before), Some((_, now))) => *before == now,
            (Some(_), None) => false,
        }
    }

    /// Takes a part of a histogram with its own time and its start; false for any other series.
    pub fn take(
        &mut self,
        labels: &Labels,
        (own_ms, start_ms): (Option<i64>, i64),
        value: f64,
    ) -> bool {
        let Some((part, base)) = self.base(labels) else { return false };
        match part {
            Part::Bucket => {
                let bound = go_float(labels.get(LE)).ok().filter(|bound| !bound.is_nan());
                let Some(bound) = bound else { return false };
                self.parts.bucket(bound, value);
            }
            Part::Sum => self.parts.sum(value),
            Part::Count => self.parts.count(value),
        }
        if self.labels.is_none() {
            self.labels = Some(base);
        }
        (self.own_ms, self.start_ms) = (own_ms, start_ms);
        true
    }

    /// The histogram under way, if its parts make one; the next part begins another.
    pub fn convert(&mut self) -> Option<Converted> {
        let labels = self.labels.take()?;
        let converted = self.parts.convert();
        self.parts.clear();
        // No line of a page reads like this.
        let key = [b"\0", labels.as_ref().as_bytes()].concat();
        let (own_ms, start_ms) = (self.own_ms, self.start_ms);
        Some(Converted { key, own_ms, start_ms, sample: converted.ok()?, labels })
    }

    /// Which part of the family's histogram a series is, and that histogram's labels.
    fn base(&self, labels: &Labels) -> Option<(Part, Labels)> {
        let (part, name) = part_of(labels.get(METRIC_NAME)).filter(|_| self.is_histogram)?;
        if name != self.family {
            return None;
        }
        let mut base = LabelsBuilder::from_labels(labels.as_ref());
        base.set(METRIC_NAME, name);
        base.retain(|name, _| name != LE);
        Some((part, base.finish()))
    }
}
