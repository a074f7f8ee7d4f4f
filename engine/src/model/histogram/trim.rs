//! The operators `</` and `>/`: the observations on one side of a value.

use super::{Bucket, FloatHistogram};

/// Which observations stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// `</`
    Below,
    /// `>/`
    Above,
}

impl FloatHistogram {
    /// Keeps the observations below or above `value`. A bucket that `value` cuts is divided by
    /// interpolation. If anything goes, count and sum are estimated anew from the buckets, and
    /// empty buckets are dropped.
    ///
    /// Source: Prometheus `FloatHistogram.TrimBuckets`.
    pub fn trim(&mut self, value: f64, keep: Keep) {
        let custom = self.uses_custom_bounds();
        let (mut count, mut sum, mut trimmed) = (0.0, 0.0, false);
        let mut populated = [false; 2];
        for (positive, populated) in [true, false].into_iter().zip(&mut populated) {
            let side = if positive { &self.positive } else { &self.negative };
            let indexes: Vec<i32> = side.iter().map(|(index, _)| index).collect();
            for (position, index) in indexes.into_iter().enumerate() {
                let side = if positive { &self.positive } else { &self.negative };
                let old = side.buckets[position];
                if old == 0.0 {
                    continue;
                }
                *populated = true;
                let bounds = &self.custom_bounds;
                let bucket = super::bucket::bucket_at(index, old, positive, self.schema, bounds);
                let (whole, cut) = match keep {
                    Keep::Below => (bucket.upper <= value, bucket.lower < value),
                    Keep::Above => (bucket.lower >= value, bucket.upper > value),
                };
                let (kept, middle) = if whole {
                    (old, midpoint(bucket.lower, bucket.upper, positive, custom))
                } else if cut {
                    cut_bucket(&bucket, value, keep, positive, custom)
                } else {
                    (0.0, 0.0)
                };
                if whole || cut {
                    count += kept;
                    sum += middle * kept;
                }
                if !whole && kept != old {
                    let side = if positive { &mut self.positive } else { &mut self.negative };
                    side.buckets[position] = kept;
                    trimmed = true;
                }
            }
        }
        if self.zero_count > 0.0 {
            let [has_positive, has_negative] = populated;
            let (kept, middle) =
                cut_zero_bucket(&self.zero_bucket(), value, keep, has_positive, has_negative);
            trimmed |= self.zero_count != kept;
            self.zero_count = kept;
            sum += middle * kept;
            count += kept;
        }
        if trimmed {
            (self.count, self.sum) = (count, sum);
            self.compact(0);
        }
    }
}

/// What stays of a bucket that `value` cuts, and the middle of that part.
fn cut_bucket(bucket: &Bucket, value: f64, keep: Keep, positive: bool, custom: bool) -> (f64, f64) {
    if bucket.lower == f64::NEG_INFINITY {
        return cut_open_below(bucket, value, keep);
    }
    if bucket.upper == f64::INFINITY {
        return cut_open_above(bucket, value, keep);
    }
    let below = if value <= bucket.lower {
        0.0
    } else if value >= bucket.upper {
        bucket.count
    } else {
        bucket.count * bucket.fraction_below(value, custom)
    };
    match keep {
        Keep::Below => (below, midpoint(bucket.lower, value, positive, custom)),
        Keep::Above => (bucket.count - below, midpoint(value, bucket.upper, positive, custom)),
    }
}

/// The same for a bucket without lower bound. One that ends above zero is taken to begin there;
/// of any other nothing is known, so it goes or stays as a whole.
fn cut_open_below(bucket: &Bucket, value: f64, keep: Keep) -> (f64, f64) {
    let &Bucket { upper, count, .. } = bucket;
    let finite_or_zero = if upper.is_infinite() { 0.0 } else { upper };
    match keep {
        Keep::Below if value >= upper => (count, 0.0),
        Keep::Below if value > 0.0 && upper > 0.0 && upper.is_finite() => {
            (count * value / upper, value / 2.0)
        }
        Keep::Below if upper <= 0.0 => (count, value),
        Keep::Above if value <= bucket.lower => (count, 0.0),
        Keep::Above if value >= 0.0 && upper > value && upper.is_finite() => {
            (count * (1.0 - value / upper), (value + upper) / 2.0)
        }
        Keep::Below | Keep::Above => (0.0, finite_or_zero),
    }
}

/// The same for a bucket without upper bound, which goes or stays as a whole.
fn cut_open_above(bucket: &Bucket, value: f64, keep: Keep) -> (f64, f64) {
    let &Bucket { lower, count, .. } = bucket;
    match keep {
        Keep::Above if value >= lower => (count, value),
        _ => (0.0, if lower.is_infinite() { 0.0 } else { lower }),
    }
}

/// What stays of the zero bucket, and the middle of that part. Where there are observations on
/// one side of zero only, the zero bucket reaches to that side only.
fn cut_zero_bucket(
    bucket: &Bucket,
    value: f64,
    keep: Keep,
    has_positive: bool,
    has_negative: bool,
) -> (f64, f64) {
    let upper = if has_negative && !has_positive { 0.0 } else { bucket.upper };
    let lower = if has_positive && !has_negative { 0.0 } else { bucket.lower };
    let whole = (bucket.count, (lower + upper) / 2.0);
    match keep {
        Keep::Below if value <= lower => (0.0, 0.0),
        Keep::Below if value >= upper => whole,
        Keep::Below => (bucket.count * ((value - lower) / (upper - lower)), (lower + value) / 2.0),
        Keep::Above if value <= lower => whole,
        Keep::Above if value >= upper => (0.0, 0.0),
        Keep::Above => (bucket.count * ((upper - value) / (upper - lower)), (value + upper) / 2.0),
    }
}

/// The middle of an interval: geometric, or arithmetic for custom bounds.
fn midpoint(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    if lower.is_infinite() {
        return if upper.is_infinite() {
            0.0
        } else if upper > 0.0 {
            upper / 2.0
        } else {
            upper
        };
    }
    if upper.is_infinite() {
        return lower;
    }
    if linear {
        return (lower + upper) / 2.0;
    }
    let middle = (lower * upper).abs().sqrt();
    if positive { middle } else { -middle }
}
