//! Quantiles and fractions of native histograms.
//!
//! Within a bucket, observations are taken to be spread as they would be over the buckets of a
//! finer schema: evenly on a logarithmic scale; with custom bounds and in the zero bucket, evenly.
//!
//! Source: Prometheus `promql/quantile.go`, `HistogramQuantile`, `HistogramFraction`.

use crate::model::FloatHistogram;
use crate::model::histogram::{Bucket, log2};

/// A result, and what there is to say when observations were no numbers.
type Told = (f64, Option<&'static str>);

const NAN_RESULT: &str = "input to histogram_quantile has NaN observations, result is NaN";
const NAN_SKEW: &str = "input to histogram_quantile has NaN observations, result is skewed higher";
const NAN_EXCLUDED: &str = "input to histogram_fraction has NaN observations, which are excluded \
                            from all fractions";

/// The `q`-quantile.
///
/// NaN of no observations or a NaN `q`; infinities for a `q` beyond 0 and 1. Observations that are
/// NaN count as above all buckets.
pub fn quantile(q: f64, histogram: &FloatHistogram) -> Told {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    // From the nearer end, unless observations that are NaN are missing in the buckets.
    let forward = histogram.sum.is_nan() || q < 0.5;
    let rank = if forward { q * histogram.count } else { (1.0 - q) * histogram.count };
    let mut forwards = histogram.all_buckets();
    let found = if forward {
        find(&mut forwards, rank)
    } else {
        find(&mut histogram.all_buckets_rev(), rank)
    };
    let Found { mut bucket, count } = found;
    let custom = histogram.uses_custom_bounds();
    if !custom && bucket.lower < 0.0 && bucket.upper > 0.0 {
        clip_zero_bucket(&mut bucket, histogram);
    } else if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    }
    // Rounding may have added up to more than there are.
    let mut count = count.min(histogram.count);
    if count < rank {
        if histogram.sum.is_nan() {
            return (f64::NAN, Some(NAN_RESULT));
        }
        return (bucket.upper, None);
    }
    let inside = if forward { rank - (count - bucket.count) } else { count - rank };
    let mut told = None;
    if histogram.sum.is_nan() {
        // What the formula below divides is the last bucket then, as in Prometheus.
        for rest in forwards {
            bucket = rest;
            count += rest.count;
        }
        if count < histogram.count {
            told = Some(NAN_SKEW);
        }
    }
    let share = inside / bucket.count;
    if custom || bucket.lower <= 0.0 && bucket.upper >= 0.0 {
        return (bucket.lower + (bucket.upper - bucket.lower) * share, told);
    }
    let (lower, upper) = (log2(bucket.lower.abs()), log2(bucket.upper.abs()));
    let value = if bucket.lower > 0.0 {
        (lower + (upper - lower) * share).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - share)).exp2()
    };
    (value, told)
}

/// The bucket at a rank, and the observations up to its end.
struct Found {
    bucket: Bucket,
    count: f64,
}

fn find(buckets: &mut impl Iterator<Item = Bucket>, rank: f64) -> Found {
    let nothing = Bucket {
        lower: 0.0,
        upper: 0.0,
        lower_inclusive: false,
        upper_inclusive: false,
        count: 0.0,
        index: 0,
    };
    let mut found = Found { bucket: nothing, count: 0.0 };
    for bucket in buckets {
        found.bucket = bucket;
        if bucket.count == 0.0 {
            continue;
        }
        found.count += bucket.count;
        if found.count >= rank {
            break;
        }
    }
    found
}

/// With observations on one side of zero only, the zero bucket reaches to that side only.
fn clip_zero_bucket(bucket: &mut Bucket, histogram: &FloatHistogram) {
    let (positive, negative) = (&histogram.positive.buckets, &histogram.negative.buckets);
    if negative.is_empty() && !positive.is_empty() {
        bucket.lower = 0.0;
    } else if positive.is_empty() && !negative.is_empty() {
        bucket.upper = 0.0;
    }
}

/// The share of observations between `lower` and `upper`.
///
/// NaN of no observations or a NaN bound. Observations that are NaN are between no bounds.
pub fn fraction(lower: f64, upper: f64, histogram: &FloatHistogram) -> Told {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let custom = histogram.uses_custom_bounds();
    let (mut count, mut rank) = (0.0, 0.0);
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut buckets = histogram.all_buckets();
    for mut bucket in buckets.by_ref() {
        count += bucket.count;
        let around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if around_zero {
            clip_zero_bucket(&mut bucket, histogram);
        }
        let rank_of = |value: f64| {
            if bucket.lower >= value {
                return Some(rank);
            }
            if bucket.upper <= value {
                return None;
            }
            let linear = custom || around_zero;
            // A bucket that reaches down to infinity has no inside to interpolate.
            Some(if linear && bucket.lower == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + bucket.count * bucket.fraction_below(value, linear)
            })
        };
        lower_rank = lower_rank.or_else(|| rank_of(lower));
        upper_rank = upper_rank.or_else(|| rank_of(upper));
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += bucket.count;
    }
    let mut told = None;
    if histogram.sum.is_nan() {
        buckets.for_each(|bucket| count += bucket.count);
        if count < histogram.count {
            told = Some(NAN_EXCLUDED);
        }
    } else {
        count = histogram.count;
    }
    let within = |rank: Option<f64>| rank.filter(|rank| *rank <= count).unwrap_or(count);
    ((within(upper_rank) - within(lower_rank)) / histogram.count, told)
}
