//! Zero buckets of different widths.

use super::FloatHistogram;
use super::compact::compact;
use super::kahan::{Compensation, kahan_inc};

impl FloatHistogram {
    /// What the zero count would be, were the zero bucket as wide as `threshold`, which is not
    /// below its own; also the threshold, moved outwards to the end of a populated bucket that it
    /// would cut, and what rounding took.
    pub(super) fn zero_count_at(
        &self,
        mut threshold: f64,
        compensation: Option<&Compensation>,
    ) -> (f64, f64, f64) {
        let mut lost = compensation.map_or(0.0, |compensation| compensation.zero_count);
        if threshold == self.zero_threshold {
            return (self.zero_count, threshold, lost);
        }
        let lost_of = |buckets: fn(&Compensation) -> &Vec<f64>, position: usize| {
            compensation.and_then(|compensation| buckets(compensation).get(position)).copied()
        };
        'widened: loop {
            let mut count = self.zero_count;
            for (position, bucket) in self.positive_buckets().enumerate() {
                if bucket.lower >= threshold {
                    break;
                }
                (count, lost) = kahan_inc(bucket.count, count, lost);
                if let Some(more) = lost_of(|c| &c.positive, position) {
                    (count, lost) = kahan_inc(more, count, lost);
                }
                if bucket.upper > threshold {
                    if bucket.count != 0.0 {
                        threshold = bucket.upper;
                    }
                    break;
                }
            }
            for (position, bucket) in self.negative_buckets().enumerate() {
                if bucket.upper <= -threshold {
                    break;
                }
                (count, lost) = kahan_inc(bucket.count, count, lost);
                if let Some(more) = lost_of(|c| &c.negative, position) {
                    (count, lost) = kahan_inc(more, count, lost);
                }
                if bucket.lower < -threshold {
                    if bucket.count != 0.0 {
                        // The positive buckets have to be looked at again.
                        threshold = -bucket.lower;
                        continue 'widened;
                    }
                    break;
                }
            }
            return (count, threshold, lost);
        }
    }

    /// Widens the zero bucket until it includes `other`'s and cuts no populated bucket of either.
    /// Gives the zero count that `other` would have then, and what rounding took from it.
    pub(super) fn reconcile_zero_buckets(
        &mut self,
        other: &FloatHistogram,
        mut compensation: Option<&mut Compensation>,
    ) -> (f64, f64) {
        let (mut count, mut threshold, mut lost) = (other.zero_count, other.zero_threshold, 0.0);
        loop {
            if self.zero_threshold > threshold {
                (count, threshold, lost) = other.zero_count_at(self.zero_threshold, None);
            }
            if threshold > self.zero_threshold {
                let own_lost;
                (self.zero_count, self.zero_threshold, own_lost) =
                    self.zero_count_at(threshold, compensation.as_deref());
                if let Some(compensation) = &mut compensation {
                    compensation.zero_count = own_lost;
                }
                self.drop_buckets_in_zero_bucket(compensation.as_deref_mut());
            }
            // Equal, or one of them is no number.
            let ordered = self.zero_threshold > threshold || threshold > self.zero_threshold;
            if !ordered {
                return (count, lost);
            }
        }
    }

    /// Empties and drops the buckets that the zero bucket has swallowed.
    fn drop_buckets_in_zero_bucket(&mut self, compensation: Option<&mut Compensation>) {
        let threshold = self.zero_threshold;
        let positive = self.positive_buckets().take_while(|b| b.lower < threshold).count();
        let negative = self.negative_buckets().take_while(|b| b.upper > -threshold).count();
        self.positive.buckets[..positive].fill(0.0);
        self.negative.buckets[..negative].fill(0.0);
        match compensation {
            None => self.compact(0),
            Some(Compensation { positive: lost, negative: lost_negative, .. }) => {
                lost.iter_mut().take(positive).for_each(|lost| *lost = 0.0);
                lost_negative.iter_mut().take(negative).for_each(|lost| *lost = 0.0);
                compact(&mut self.positive, Some(lost), 0);
                compact(&mut self.negative, Some(lost_negative), 0);
            }
        }
    }
}
