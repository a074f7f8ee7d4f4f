//! Whether a counter was reset between two histograms.

use super::bounds::bound;
use super::bucket::counts_in_schema;
use super::merge::common_bounds;
use super::{CounterReset, FloatHistogram, SCHEMA_CUSTOM, Side};

impl FloatHistogram {
    /// Whether the counter was reset after `previous`: some count is smaller, or a populated
    /// bucket is gone. The sum does not count. What is known about resets is believed.
    ///
    /// A finer schema or a narrower zero bucket only come with a reset; after a coarser schema or
    /// a wider zero bucket, `previous` is looked at as if it had been so.
    ///
    /// Cost: O(buckets), no allocation with exponential buckets.
    pub fn detect_reset(&self, previous: &FloatHistogram) -> bool {
        match self.counter_reset {
            CounterReset::Reset => return true,
            CounterReset::NotReset => return false,
            // A gauge that is treated as a counter: the user was warned elsewhere.
            CounterReset::Unknown | CounterReset::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_bounds() {
            if !previous.uses_custom_bounds() {
                return true;
            }
            if self.custom_bounds != previous.custom_bounds {
                return self.detect_reset_in_common_bounds(previous);
            }
        }
        if self.schema > previous.schema
            || (previous.uses_custom_bounds() && !self.uses_custom_bounds())
            || self.zero_threshold < previous.zero_threshold
        {
            return true;
        }
        let (zero_count, threshold, _) = previous.zero_count_at(self.zero_threshold, None);
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let schema = self.schema;
        let is_reset = |own: &Side<f64>, before: &Side<f64>| {
            let own = counts_in_schema(own, schema, schema, threshold);
            let before = counts_in_schema(before, previous.schema, schema, threshold);
            any_smaller(own, before)
        };
        is_reset(&self.positive, &previous.positive) || is_reset(&self.negative, &previous.negative)
    }

    /// Compares the counts between the bounds that both have.
    fn detect_reset_in_common_bounds(&self, previous: &FloatHistogram) -> bool {
        let bounds = common_bounds(&self.custom_bounds, &previous.custom_bounds);
        let mut sums = [self, previous].map(|histogram| {
            let upper = |index| bound(index, SCHEMA_CUSTOM, &histogram.custom_bounds);
            let buckets =
                histogram.positive.iter().map(move |(index, count)| (upper(index), count));
            let mut buckets = buckets.peekable();
            // The count up to a bound, beyond the bound asked for before.
            move |bound: f64| {
                let mut sum = 0.0;
                while let Some((_, count)) = buckets.next_if(|(upper, _)| *upper <= bound) {
                    sum += count;
                }
                sum
            }
        });
        let mut bounds = bounds.iter().copied().chain([f64::INFINITY]);
        bounds.any(|bound| {
            let [own, before] = sums.each_mut().map(|sum_to| sum_to(bound));
            own < before
        })
    }
}

/// Whether a count of `before` is larger than that of the same bucket of `own`; what is missing
/// there is smaller than anything populated. Both ascend by index.
pub(super) fn any_smaller(
    own: impl Iterator<Item = (i32, f64)>,
    mut before: impl Iterator<Item = (i32, f64)>,
) -> bool {
    let mut own = own.peekable();
    before.any(|(index, count)| {
        while own.next_if(|(own, _)| *own < index).is_some() {}
        match own.peek() {
            Some((own_index, own_count)) if *own_index == index => *own_count < count,
            _ => count != 0.0,
        }
    })
}
