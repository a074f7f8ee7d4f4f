//! The native histograms of one group of `sum` or `avg`.
//!
//! A sum is summed where its rows are, and sums of shards are merged with what they lost. A mean
//! is not: once a sum overflows, its bits depend on every step of the way. So its histograms
//! are gathered, which copies none of them, and averaged at the end.

use std::sync::Arc;

use crate::model::FloatHistogram;
use crate::promql::ast::PosRange;

use super::annotations::Annotations;
use super::bits::{is_set, unset};
use super::histogram_sum::HistogramSum;
use super::histograms::sample_count;
use super::matrix::Matrix;
use super::row::RowRef;

/// Sums by step. Without histograms it holds nothing.
#[derive(Clone, Debug, Default)]
pub struct HistogramGroup {
    steps: Vec<Slot>,
    /// The metric that was added last, for annotations of a merge.
    name: Box<[u8]>,
}

#[derive(Clone, Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Sum(Box<HistogramSum>),
    /// What a mean is to be of.
    Rows(Vec<Arc<FloatHistogram>>),
    /// Exponential and custom buckets met: there is no result. The metric at which they did.
    Incompatible(Box<[u8]>),
}

impl HistogramGroup {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Adds the histograms of a row; returns the bytes that are held more.
    pub fn add(&mut self, row: RowRef<'_>, name: &[u8], averages: bool) -> usize {
        let mut bytes = 0;
        self.steps.resize_with(row.values.len(), Slot::default);
        if *self.name != *name {
            self.name = name.into();
        }
        for (step, histogram) in row.histograms.iter() {
            let added = match &mut self.steps[step] {
                Slot::Incompatible(_) => continue,
                Slot::Sum(sum) => sum.add(histogram),
                Slot::Rows(rows) => {
                    bytes += histogram.prometheus_bytes();
                    rows.push(histogram.clone());
                    Ok(())
                }
                slot @ Slot::Empty => {
                    bytes += histogram.prometheus_bytes();
                    *slot = if averages {
                        Slot::Rows(vec![histogram.clone()])
                    } else {
                        Slot::Sum(Box::new(HistogramSum::first(histogram, false)))
                    };
                    Ok(())
                }
            };
            if added.is_err() {
                self.refuse(step);
            }
        }
        bytes
    }

    /// Takes in the sums of another shard.
    pub fn merge(&mut self, other: HistogramGroup) {
        self.steps.resize_with(other.steps.len(), Slot::default);
        self.name = other.name;
        for (step, added) in other.steps.into_iter().enumerate() {
            match (&mut self.steps[step], added) {
                (_, Slot::Empty) | (Slot::Incompatible(_), _) => {}
                (Slot::Sum(sum), Slot::Sum(added)) => {
                    if sum.merge(&added).is_err() {
                        self.refuse(step);
                    }
                }
                (Slot::Rows(rows), Slot::Rows(added)) => rows.extend(added),
                (slot, added) => *slot = added,
            }
        }
    }

    fn refuse(&mut self, step: usize) {
        self.steps[step] = Slot::Incompatible(self.name.clone());
    }

    pub fn sample_count(&self) -> usize {
        let count = |slot: &Slot| match slot {
            Slot::Sum(sum) => sample_count(sum.value()),
            Slot::Rows(rows) => rows.iter().map(|histogram| sample_count(histogram)).sum(),
            Slot::Empty | Slot::Incompatible(_) => 0,
        };
        self.steps.iter().map(count).sum()
    }

    /// Writes the results into `row` of `rows`, which holds those of the floats. Where both kinds
    /// met there is none.
    pub fn finish(
        self,
        rows: &mut Matrix,
        row: usize,
        annotations: &mut Annotations,
        position: PosRange,
    ) {
        for (step, slot) in self.steps.into_iter().enumerate() {
            if matches!(slot, Slot::Empty) {
                continue;
            }
            let (_, present) = rows.row_mut(row);
            let has_float = is_set(present, step);
            unset(present, step);
            if let Slot::Incompatible(name) = &slot {
                annotations.mixed_buckets(&String::from_utf8_lossy(name), position);
            }
            if has_float {
                annotations.mixed_group(position);
                continue;
            }
            let sum = match slot {
                Slot::Empty | Slot::Incompatible(_) => continue,
                Slot::Sum(sum) => *sum,
                Slot::Rows(histograms) => {
                    let mut mean = HistogramSum::first(&histograms[0], true);
                    if histograms[1..].iter().any(|histogram| mean.add(histogram).is_err()) {
                        let name = String::from_utf8_lossy(&self.name);
                        annotations.mixed_buckets(&name, position);
                        continue;
                    }
                    mean
                }
            };
            let mut result = sum.finish(annotations, position);
            result.compact(0);
            rows.set_histogram(row, step, Arc::new(result));
        }
    }
}
