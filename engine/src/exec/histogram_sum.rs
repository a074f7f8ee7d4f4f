//! Sums and means of native histograms, compensated as those of floats.
//!
//! The means of `avg` and `avg_over_time` are sums until a sum overflows, as in
//! [`super::sum::Mean`]. Source: Prometheus `promql/engine.go`, `aggregation`, and
//! `promql/functions.go`, `funcAvgOverTime`.

use crate::model::FloatHistogram;
use crate::model::histogram::{Compensation, CounterReset, Error, Merged};
use crate::promql::ast::PosRange;

use super::annotations::Annotations;
use super::remarks::Operation;

/// Numbers up to here can be added without a sum beyond what a float holds.
const SAFE_MAX: f64 = 1e300;

/// A sum in the making, or a mean.
#[derive(Clone, Debug)]
pub struct HistogramSum {
    /// The sum, or the mean once `overflowed`.
    value: FloatHistogram,
    lost: Compensation,
    count: f64,
    averages: bool,
    overflowed: bool,
    reset_seen: bool,
    not_reset_seen: bool,
    bounds_reconciled: bool,
}

impl HistogramSum {
    pub fn first(histogram: &FloatHistogram, averages: bool) -> HistogramSum {
        let mut sum = HistogramSum {
            lost: Compensation::new(histogram),
            value: histogram.clone(),
            count: 1.0,
            averages,
            overflowed: false,
            reset_seen: false,
            not_reset_seen: false,
            bounds_reconciled: false,
        };
        sum.note_reset(histogram.counter_reset);
        sum
    }

    fn note_reset(&mut self, counter_reset: CounterReset) {
        self.reset_seen |= counter_reset == CounterReset::Reset;
        self.not_reset_seen |= counter_reset == CounterReset::NotReset;
    }

    fn note_bounds(&mut self, merged: Result<Merged, Error>) -> Result<(), Error> {
        self.bounds_reconciled |= merged?.bounds_reconciled;
        Ok(())
    }

    /// Errors: one has custom bounds, the others have not; the sum is of no use then.
    pub fn add(&mut self, histogram: &FloatHistogram) -> Result<(), Error> {
        self.note_reset(histogram.counter_reset);
        self.count += 1.0;
        if !self.overflowed {
            if !self.averages || is_small(&self.value) && is_small(histogram) {
                let merged = self.value.add_kahan(histogram, &mut self.lost);
                return self.note_bounds(merged);
            }
            let (mut value, mut lost) = (self.value.clone(), self.lost.clone());
            let merged = value.add_kahan(histogram, &mut lost);
            self.note_bounds(merged)?;
            if !value.has_overflow() {
                (self.value, self.lost) = (value, lost);
                return Ok(());
            }
            self.overflowed = true;
            self.value.div(self.count - 1.0);
            self.lost.div(self.count - 1.0);
        }
        let kept = (self.count - 1.0) / self.count;
        self.lost.mul(kept);
        self.value.mul(kept);
        let mut share = histogram.clone();
        share.div(self.count);
        let merged = self.value.add_kahan(&share, &mut self.lost);
        self.note_bounds(merged)
    }

    /// Takes in the sum of others; means cannot be put together to the bit. Errors: as
    /// [`HistogramSum::add`].
    pub fn merge(&mut self, other: &HistogramSum) -> Result<(), Error> {
        assert!(!self.averages && !other.averages, "means are not merged");
        self.reset_seen |= other.reset_seen;
        self.not_reset_seen |= other.not_reset_seen;
        self.bounds_reconciled |= other.bounds_reconciled;
        let merged = self.value.add_kahan(&other.value, &mut self.lost);
        self.note_bounds(merged)?;
        let merged = self.value.add_kahan(&other.lost_histogram(), &mut self.lost);
        self.note_bounds(merged)
    }

    /// What rounding took, as a histogram of its own.
    fn lost_histogram(&self) -> FloatHistogram {
        let mut lost = FloatHistogram {
            zero_count: self.lost.zero_count,
            count: self.lost.count,
            sum: self.lost.sum,
            ..self.value.clone()
        };
        for (side, column) in
            [(&mut lost.positive, &self.lost.positive), (&mut lost.negative, &self.lost.negative)]
        {
            side.buckets.fill(0.0);
            side.buckets.iter_mut().zip(column).for_each(|(bucket, lost)| *bucket = *lost);
        }
        lost
    }

    pub fn value(&self) -> &FloatHistogram {
        &self.value
    }

    /// The sum or mean, and what there is to say about it.
    pub fn finish(mut self, annotations: &mut Annotations, position: PosRange) -> FloatHistogram {
        if self.reset_seen && self.not_reset_seen {
            annotations.reset_collision(Operation::Aggregation, position);
        }
        if self.bounds_reconciled {
            annotations.bounds_reconciled(Operation::Aggregation, position);
        }
        if self.averages && !self.overflowed {
            self.value.div(self.count);
            self.lost.div(self.count);
        }
        self.value.add_compensation(&self.lost);
        self.value
    }
}

fn is_small(histogram: &FloatHistogram) -> bool {
    let numbers = [histogram.count, histogram.sum, histogram.zero_count];
    numbers
        .iter()
        .chain(&histogram.positive.buckets)
        .chain(&histogram.negative.buckets)
        .all(|value| value.abs() <= SAFE_MAX)
}

#[cfg(test)]
mod tests {
    use super::HistogramSum;
    use crate::exec::annotations::{Annotations, Severity};
    use crate::model::FloatHistogram;
    use crate::model::histogram::{CounterReset, Side, Span};

    fn histogram(count: f64) -> FloatHistogram {
        let spans = vec![Span { offset: 0, length: 2 }];
        let positive = Side { spans, buckets: vec![count / 2.0, count / 2.0] };
        FloatHistogram { count, sum: 3.0 * count, positive, ..FloatHistogram::default() }
    }

    /// All of `counts` in one sum or mean, and in two sums that are merged.
    #[track_caller]
    fn check(averages: bool, counts: &[f64], expected: f64) {
        for split in if averages { counts.len() } else { 1 }..=counts.len() {
            let sum = |counts: &[f64]| {
                let mut sum = HistogramSum::first(&histogram(counts[0]), averages);
                counts[1..].iter().for_each(|&count| sum.add(&histogram(count)).unwrap());
                sum
            };
            let mut whole = sum(&counts[..split]);
            if split < counts.len() {
                whole.merge(&sum(&counts[split..])).unwrap();
            }
            let result = whole.finish(&mut Annotations::default(), Default::default());
            assert_eq!((result.count, result.positive.buckets[1]), (expected, expected / 2.0));
        }
    }

    #[test]
    fn sums_and_means_keep_what_rounding_takes() {
        check(false, &[1.0, 1e100, 2.0, -1e100], 3.0);
        check(true, &[1.0, 1e100, 3.0, -1e100], 1.0);
        check(true, &[1e308, 1e308, 1e308], 1e308);
    }

    #[test]
    fn contradictions_are_said_once_all_is_known() {
        let with = |counter_reset| FloatHistogram { counter_reset, ..histogram(1.0) };
        let mut sum = HistogramSum::first(&with(CounterReset::Reset), false);
        sum.merge(&HistogramSum::first(&with(CounterReset::NotReset), false)).unwrap();
        let mut annotations = Annotations::default();
        sum.finish(&mut annotations, Default::default());
        let said = annotations.texts(Severity::Warning, "h");
        let text = "PromQL warning: conflicting counter resets during histogram aggregation (1:1)";
        assert_eq!(said, [text]);
        let custom = FloatHistogram { schema: -53, ..histogram(1.0) };
        assert!(HistogramSum::first(&custom, false).add(&histogram(1.0)).is_err());
    }
}
