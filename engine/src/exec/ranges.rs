//! Range vectors as results: samples at their own times.

use std::sync::Arc;

use crate::model::{FloatHistogram, LabelsRef};

use super::label_table::LabelTable;
use super::window::{HistogramPoints, Points};

/// Samples as they are, each row with its own times.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    labels: LabelTable,
    ends: Vec<usize>,
    times_ms: Vec<i64>,
    values: Vec<f64>,
    histogram_ends: Vec<usize>,
    histogram_times_ms: Vec<i64>,
    histograms: Vec<Arc<FloatHistogram>>,
    histogram_bytes: usize,
}

impl Ranges {
    pub fn row_count(&self) -> usize {
        self.ends.len()
    }

    pub fn labels(&self, row: usize) -> LabelsRef<'_> {
        self.labels.get(row)
    }

    /// The times and values of a row's floats.
    pub fn points(&self, row: usize) -> (&[i64], &[f64]) {
        let span = span(&self.ends, row);
        (&self.times_ms[span.clone()], &self.values[span])
    }

    /// The times of a row's native histograms, and these.
    pub fn histograms(&self, row: usize) -> (&[i64], &[Arc<FloatHistogram>]) {
        let span = span(&self.histogram_ends, row);
        (&self.histogram_times_ms[span.clone()], &self.histograms[span])
    }

    pub fn push(&mut self, labels: LabelsRef<'_>, points: Points<'_>) {
        self.labels.push(labels);
        self.times_ms.extend_from_slice(points.times_ms);
        self.values.extend_from_slice(points.values);
        self.ends.push(self.values.len());
        self.histogram_times_ms.extend_from_slice(points.histograms.times_ms);
        self.histograms.extend_from_slice(points.histograms.list);
        let bytes = points.histograms.list.iter().map(|histogram| histogram.prometheus_bytes());
        self.histogram_bytes += bytes.sum::<usize>();
        self.histogram_ends.push(self.histograms.len());
    }

    fn row(&self, row: usize) -> Points<'_> {
        let (times_ms, values) = self.points(row);
        let (histogram_times_ms, list) = self.histograms(row);
        let histograms = HistogramPoints { times_ms: histogram_times_ms, list, starts_ms: &[] };
        Points { times_ms, values, starts_ms: &[], histograms }
    }

    pub fn append(&mut self, other: &Ranges) {
        for row in 0..other.row_count() {
            self.push(other.labels(row), other.row(row));
        }
    }

    /// Memory of the samples and labels.
    pub fn bytes(&self) -> usize {
        let samples = size_of_val(&self.times_ms[..]) + size_of_val(&self.values[..]);
        let histograms = size_of_val(&self.histogram_times_ms[..]) + self.histogram_bytes;
        let ends = size_of_val(&self.ends[..]) + size_of_val(&self.histogram_ends[..]);
        samples + histograms + ends + self.labels.bytes()
    }

    /// Sorts the rows by their labels.
    pub fn sort_by_labels(&mut self) {
        let mut order: Vec<usize> = (0..self.row_count()).collect();
        order.sort_by(|&a, &b| self.labels(a).compare(self.labels(b)));
        let mut sorted = Ranges::default();
        for row in order {
            sorted.push(self.labels(row), self.row(row));
        }
        *self = sorted;
    }
}

fn span(ends: &[usize], row: usize) -> std::ops::Range<usize> {
    let start = if row == 0 { 0 } else { ends[row - 1] };
    start..ends[row]
}
