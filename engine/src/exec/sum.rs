//! Compensated summation.

pub use crate::kernels::add_to_sum as add;

/// Adds two sums.
#[inline]
pub fn merge((sum, lost): (f64, f64), other: (f64, f64)) -> (f64, f64) {
    let (total, lost) = add(other.0, (sum, lost));
    (total, if total.is_infinite() { 0.0 } else { lost + other.1 })
}

/// A mean in the making: the sum while it is finite, from then on the mean itself.
///
/// Source: Prometheus `promql/engine.go` and `functions.go`, where `avg` is explained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The sum, or the mean once `overflowed`.
    pub value: f64,
    pub lost: f64,
    pub count: f64,
    pub overflowed: bool,
}

impl Mean {
    pub fn first(value: f64) -> Mean {
        Mean { value, lost: 0.0, count: 1.0, overflowed: false }
    }

    #[inline]
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.overflowed {
            let (sum, lost) = add(value, (self.value, self.lost));
            if !sum.is_infinite() {
                (self.value, self.lost) = (sum, lost);
                return;
            }
            self.overflowed = true;
            self.value /= self.count - 1.0;
            self.lost /= self.count - 1.0;
        }
        let kept = (self.count - 1.0) / self.count;
        let (mean, lost) = add(value / self.count, (kept * self.value, kept * self.lost));
        (self.value, self.lost) = (mean, lost);
    }

    /// Takes in the mean of other values.
    pub fn merge(&mut self, other: Mean) {
        if !self.overflowed && !other.overflowed {
            let (sum, lost) = merge((self.value, self.lost), (other.value, other.lost));
            if !sum.is_infinite() {
                (self.value, self.lost) = (sum, lost);
                self.count += other.count;
                return;
            }
        }
        let count = self.count + other.count;
        let as_mean = |mean: Mean| {
            let divisor = if mean.overflowed { 1.0 } else { mean.count };
            let weight = mean.count / count;
            (mean.value / divisor * weight, mean.lost / divisor * weight)
        };
        let (value, lost) = merge(as_mean(*self), as_mean(other));
        *self = Mean { value, lost, count, overflowed: true };
    }

    pub fn finish(&self) -> f64 {
        if self.overflowed {
            self.value + self.lost
        } else {
            self.value / self.count + self.lost / self.count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mean, add, merge};

    /// The sum as Prometheus writes it, with a branch.
    fn neumaier(value: f64, (sum, lost): (f64, f64)) -> (f64, f64) {
        let total = sum + value;
        let lost = if total.is_infinite() {
            0.0
        } else if sum.abs() >= value.abs() {
            lost + ((sum - total) + value)
        } else {
            lost + ((value - total) + sum)
        };
        (total, lost)
    }

    #[test]
    fn a_sum_has_the_bits_of_the_branching_one() {
        let mut random = 1u64;
        let (mut ours, mut theirs) = ((0.0, 0.0), (0.0, 0.0));
        for _ in 0..100_000 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let exponent = (random >> 58) as i32 - 32;
            let value = (random as i32) as f64 * 2f64.powi(exponent);
            ours = add(value, ours);
            theirs = neumaier(value, theirs);
            assert_eq!((ours.0.to_bits(), ours.1), (theirs.0.to_bits(), theirs.1));
        }
        assert_eq!(merge((1e100, 1.0), (-1e100, 2.0)), (0.0, 3.0));
    }

    #[test]
    fn a_mean_survives_a_sum_that_does_not() {
        let mut mean = Mean::first(f64::MAX);
        mean.add(f64::MAX);
        assert_eq!(mean.finish(), f64::MAX);
        let mut half = Mean::first(f64::MAX);
        half.merge(Mean::first(f64::MAX));
        assert_eq!(half.finish(), f64::MAX);
        let mut small = Mean::first(1.0);
        small.merge(Mean::first(2.0));
        assert_eq!((small.finish(), small.overflowed), (1.5, false));
    }
}
