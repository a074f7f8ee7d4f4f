//! One row of steps, by itself or where it lies.

use std::sync::Arc;

use crate::model::FloatHistogram;

use super::bits::{WORD_BITS, any, count, is_set, set, words};
use super::histograms::Histograms;

/// One row by itself: what the stages of a series work on, reused from series to series.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub values: Vec<f64>,
    pub present: Vec<u64>,
    pub histograms: Histograms,
}

impl Row {
    /// A row of `step_count` absent points.
    pub fn reset(&mut self, step_count: usize) {
        self.values.resize(step_count, 0.0);
        self.present.clear();
        self.present.resize(words(step_count), 0);
        self.histograms.clear();
    }

    #[inline]
    pub fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        set(&mut self.present, step);
    }

    /// Puts a histogram where a float or nothing was.
    pub fn set_histogram(&mut self, step: usize, histogram: Arc<FloatHistogram>) {
        set(&mut self.present, step);
        self.histograms.insert(step, self.present.len(), histogram);
    }

    pub fn is_empty(&self) -> bool {
        !any(&self.present)
    }

    /// Leaves the floats and gives the histograms back.
    pub fn take_histograms(&mut self) -> Histograms {
        self.histograms.take_from(&mut self.present)
    }

    pub fn load(&mut self, row: RowRef<'_>) {
        self.values.clear();
        self.values.extend_from_slice(row.values);
        self.present.clear();
        self.present.extend_from_slice(row.present);
        self.histograms.clone_from(row.histograms);
    }

    pub fn as_ref(&self) -> RowRef<'_> {
        RowRef { values: &self.values, present: &self.present, histograms: &self.histograms }
    }
}

/// The points of a row, lent.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    pub values: &'a [f64],
    pub present: &'a [u64],
    pub histograms: &'a Histograms,
}

impl<'a> RowRef<'a> {
    /// Calls `f` with the step and value of every point that is a float.
    #[inline]
    pub fn for_each_float(self, mut f: impl FnMut(usize, f64)) {
        for (index, mut word) in self.histograms.floats(self.present).enumerate() {
            let steps = index * WORD_BITS;
            let values = &self.values[steps..];
            while word != 0 {
                let bit = word.trailing_zeros() as usize;
                f(steps + bit, values[bit]);
                word &= word - 1;
            }
        }
    }

    /// The float at `step`, if the point there is one.
    #[inline]
    pub fn float(self, step: usize) -> Option<f64> {
        let is_float = is_set(self.present, step) && !self.histograms.holds(step);
        is_float.then(|| self.values[step])
    }

    #[inline]
    pub fn histogram(self, step: usize) -> Option<&'a Arc<FloatHistogram>> {
        self.histograms.get(step)
    }

    /// Samples that its points count as.
    pub fn sample_count(self) -> usize {
        count(self.present) + self.histograms.extra_samples()
    }
}
