//! Sums that remember what rounding took.
//!
//! Source: Prometheus `util/kahansum`: Kahan's summation with Neumaier's improvement.

use super::FloatHistogram;
use super::side::Side;

/// Adds `inc` to `sum`, whose lost low part is `c`; returns both anew. An infinite sum has no
/// lost part.
#[inline]
pub fn kahan_inc(inc: f64, sum: f64, c: f64) -> (f64, f64) {
    let total = sum + inc;
    let lost = if total.is_infinite() {
        return (total, 0.0);
    } else if sum.abs() >= inc.abs() {
        (sum - total) + inc
    } else {
        (inc - total) + sum
    };
    (total, c + lost)
}

/// What rounding took from each number of a histogram, in the layout of that histogram.
#[derive(Clone, Debug, Default)]
pub struct Compensation {
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive: Vec<f64>,
    pub negative: Vec<f64>,
}

impl Compensation {
    /// Nothing lost yet, for sums that begin with `histogram`.
    pub fn new(histogram: &FloatHistogram) -> Compensation {
        Compensation {
            positive: vec![0.0; histogram.positive.buckets.len()],
            negative: vec![0.0; histogram.negative.buckets.len()],
            ..Compensation::default()
        }
    }

    /// Multiplies all by `factor`, as the histogram was.
    pub fn mul(&mut self, factor: f64) {
        self.for_each(|value| *value *= factor);
    }

    /// Divides all by `scalar`, as the histogram was.
    pub fn div(&mut self, scalar: f64) {
        self.for_each(|value| *value /= scalar);
    }

    fn for_each(&mut self, f: impl FnMut(&mut f64)) {
        let Compensation { zero_count, count, sum, positive, negative } = self;
        [zero_count, count, sum].into_iter().chain(positive).chain(negative).for_each(f);
    }
}

impl FloatHistogram {
    /// Gives back what rounding took: the last step of a sum.
    pub fn add_compensation(&mut self, compensation: &Compensation) {
        self.zero_count += compensation.zero_count;
        self.count += compensation.count;
        self.sum += compensation.sum;
        let add = |side: &mut Side<f64>, lost: &[f64]| {
            side.buckets.iter_mut().zip(lost).for_each(|(bucket, lost)| *bucket += lost);
        };
        add(&mut self.positive, &compensation.positive);
        add(&mut self.negative, &compensation.negative);
    }
}
