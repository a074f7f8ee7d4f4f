//! Native histograms with custom bounds out of the parts of a classic one.
//!
//! Source: Prometheus `util/convertnhcb`.

use std::sync::Arc;

use engine::model::histogram::{SCHEMA_CUSTOM, Side, Span};
use engine::model::{FloatHistogram, Histogram, HistogramSample};

/// Collects buckets, count and sum of one classic histogram.
#[derive(Clone, Debug, Default)]
pub struct Classic {
    /// Upper bound and cumulative count, bounds ascending.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    fault: Option<&'static str>,
}

impl Classic {
    pub fn clear(&mut self) {
        self.buckets.clear();
        *self = Classic { buckets: std::mem::take(&mut self.buckets), ..Classic::default() };
    }

    /// A bound that comes twice counts once.
    pub fn bucket(&mut self, bound: f64, count: f64) {
        if bound.is_nan() {
            return self.fail("NaN bucket boundary");
        }
        if count < 0.0 {
            return self.fail("bucket count must be non-negative");
        }
        let at = self.buckets.partition_point(|&(other, _)| other < bound);
        if self.buckets.get(at).is_some_and(|&(other, _)| other == bound) {
            return;
        }
        let below = at.checked_sub(1).map(|at| self.buckets[at].1);
        let above = self.buckets.get(at).map(|bucket| bucket.1);
        if below.is_some_and(|below| count < below) || above.is_some_and(|above| count > above) {
            return self.fail("count is not cumulative");
        }
        self.buckets.insert(at, (bound, count));
    }

    pub fn count(&mut self, count: f64) {
        if count < 0.0 {
            return self.fail("count must be non-negative");
        }
        self.count = Some(count);
    }

    pub fn sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    fn fail(&mut self, fault: &'static str) {
        self.fault.get_or_insert(fault);
    }

    /// The histogram of what was collected: of whole counts if all are.
    ///
    /// Errors: parts that contradict each other.
    pub fn convert(&mut self) -> Result<HistogramSample, String> {
        if let Some(fault) = self.fault {
            return Err(fault.to_owned());
        }
        let last = self.buckets.last().copied();
        let count = self.count.or(last.map(|bucket| bucket.1)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        if self.buckets.last().is_some_and(|&(_, above)| above != count) {
            return Err("count mismatch".to_owned());
        }
        let bounds = self.buckets.iter().map(|bucket| bucket.0).filter(|b| *b != f64::INFINITY);
        let custom_bounds: Arc<[f64]> = bounds.collect();
        let spans = vec![Span { offset: 0, length: self.buckets.len() as u32 }];
        // Beyond 2^53 whole floats are exact all the same, and beyond 2^63 they are no counts.
        let is_whole = |count: f64| count == count.round() && count < i64::MAX as f64;
        let mut sample = HistogramSample { histogram: FloatHistogram::default(), is_integer: true };
        if self.buckets.iter().all(|bucket| is_whole(bucket.1)) {
            let (mut before, mut last) = (0i64, 0i64);
            let deltas = self.buckets.iter().map(|&(_, cumulative)| {
                let here = cumulative as i64 - before;
                before = cumulative as i64;
                let delta = here - last;
                last = here;
                delta
            });
            let mut whole = Histogram {
                schema: SCHEMA_CUSTOM,
                count: count as u64,
                sum: self.sum,
                positive: Side { spans, buckets: deltas.collect() },
                custom_bounds,
                ..Histogram::default()
            };
            whole.compact(2);
            whole.validate().map_err(|error| error.to_string())?;
            whole.to_float(&mut sample.histogram);
        } else {
            let mut before = 0.0;
            let counts = self.buckets.iter().map(|&(_, cumulative)| {
                let here = cumulative - before;
                before = cumulative;
                here
            });
            sample.is_integer = false;
            sample.histogram = FloatHistogram {
                schema: SCHEMA_CUSTOM,
                count,
                sum: self.sum,
                positive: Side { spans, buckets: counts.collect() },
                custom_bounds,
                ..FloatHistogram::default()
            };
            sample.histogram.compact(0);
            sample.histogram.validate().map_err(|error| error.to_string())?;
        }
        Ok(sample)
    }
}

/// Which part of a classic histogram a series is, by its name's ending, with the name before it.
pub fn part_of(name: &[u8]) -> Option<(Part, &[u8])> {
    [(Part::Bucket, &b"_bucket"[..]), (Part::Sum, b"_sum"), (Part::Count, b"_count")]
        .into_iter()
        .find_map(|(part, ending)| Some((part, name.strip_suffix(ending)?)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Bucket,
    Sum,
    Count,
}

#[cfg(test)]
mod tests {
    use super::Classic;

    #[track_caller]
    fn check(buckets: &[(f64, f64)], count: Option<f64>, expected: &str) {
        let mut classic = Classic::default();
        for &(bound, cumulative) in buckets {
            classic.bucket(bound, cumulative);
        }
        if let Some(count) = count {
            classic.count(count);
        }
        classic.sum(1.5);
        let converted = classic.convert();
        let shown = converted
            .map(|sample| format!("{} {}", sample.is_integer, sample.histogram.test_expression()));
        assert_eq!(shown.unwrap_or_else(|error| error), expected, "{buckets:?}");
    }

    #[test]
    fn parts_become_one() {
        const INF: f64 = f64::INFINITY;
        let two = "true {{schema:-53 count:3 sum:1.5 custom_values:[1] buckets:[1 2]}}";
        check(&[(1.0, 1.0), (INF, 3.0)], Some(3.0), two);
        check(&[(INF, 3.0), (1.0, 1.0), (1.0, 9.0)], None, two);
        check(&[(1.0, 1.0)], Some(3.0), two);
        let half = "false {{schema:-53 count:3.5 sum:1.5 custom_values:[1] buckets:[1 2.5]}}";
        check(&[(1.0, 1.0), (INF, 3.5)], Some(3.5), half);
        check(&[(1.0, 1.0), (INF, 3.0)], Some(4.0), "count mismatch");
        check(&[(1.0, 2.0), (INF, 1.0)], None, "count is not cumulative");
        check(&[(f64::NAN, 2.0)], None, "NaN bucket boundary");
        check(&[(1.0, -1.0)], None, "bucket count must be non-negative");
        check(&[], Some(0.0), "true {{schema:-53 sum:1.5 custom_values:[]}}");
    }
}
