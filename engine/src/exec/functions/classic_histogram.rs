//! Quantiles and fractions of classic buckets.
//!
//! Source: Prometheus `promql/quantile.go`, `BucketQuantile`, `BucketFraction`,
//! `ensureMonotonicAndIgnoreSmallDeltas`.

/// Relative differences of neighbouring counts below this are errors of rounding.
const SMALL_DELTA: f64 = 1e-12;

/// A bound and the observations up to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub upper: f64,
    pub count: f64,
}

/// Where and how far counts fell from one bucket to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mended {
    pub min_bucket: f64,
    pub max_bucket: f64,
    pub diff_max: f64,
}

/// The `q`-quantile, linear within a bucket; in the highest, the bound below it.
///
/// NaN of a `q` that is NaN, without a bucket up to infinity, of fewer than two buckets or no
/// observation; an infinity for a `q` beyond 0 and 1.
pub fn quantile(q: f64, buckets: &mut [Bucket]) -> (f64, Option<Mended>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    let last = buckets.len() - 1;
    if buckets[last].upper != f64::INFINITY {
        return (f64::NAN, None);
    }
    let mended = make_monotonic(buckets);
    let observations = buckets[last].count;
    if buckets.len() < 2 || observations == 0.0 {
        return (f64::NAN, mended);
    }
    let mut rank = q * observations;
    let index = first_where(last, |index| buckets[index].count >= rank);
    if index == last {
        return (buckets[last - 1].upper, mended);
    }
    if index == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, mended);
    }
    let Bucket { upper, mut count } = buckets[index];
    let mut lower = 0.0;
    if index > 0 {
        lower = buckets[index - 1].upper;
        count -= buckets[index - 1].count;
        rank -= buckets[index - 1].count;
    }
    (lower + (upper - lower) * (rank / count), mended)
}

/// The first of `0..count` for which `holds`, if it does for all after it; `count` if for none.
/// Bisects as Go's `sort.Search` does: among counts that are NaN its steps decide.
fn first_where(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = (low + high) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Lifts counts that fall below the bucket before; says where, unless rounding explains it.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Mended> {
    let mut mended: Option<Mended> = None;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if almost_equal(previous, count) {
            bucket.count = previous;
            continue;
        }
        if count < previous {
            bucket.count = previous;
            let known = mended.unwrap_or(Mended {
                min_bucket: f64::INFINITY,
                max_bucket: f64::NEG_INFINITY,
                diff_max: 0.0,
            });
            mended = Some(Mended {
                min_bucket: known.min_bucket.min(bucket.upper),
                max_bucket: known.max_bucket.max(bucket.upper),
                diff_max: known.diff_max.max(previous - count),
            });
            continue;
        }
        previous = count;
    }
    mended
}

/// Source: Prometheus `util/almost/almost.go`.
fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

/// The share of observations between `lower` and `upper`.
pub fn fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let last = buckets[buckets.len() - 1];
    if last.upper != f64::INFINITY || last.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let below = |bound: f64| observations_below(bound, buckets).unwrap_or(last.count);
    (below(upper).min(last.count) - below(lower).min(last.count)) / last.count
}

/// Observations up to `bound`, linear within a bucket; `None` beyond the last.
fn observations_below(bound: f64, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    let mut bottom = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for bucket in buckets {
        if bottom >= bound {
            return Some(rank);
        }
        if bucket.upper > bound {
            // A bucket that reaches down to infinity has no inside to interpolate.
            return Some(if bottom == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (bound - bottom) / (bucket.upper - bottom)
            });
        }
        rank = bucket.count;
        bottom = bucket.upper;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Bucket, quantile};

    #[track_caller]
    fn check(q: f64, buckets: &[(f64, f64)], expected: f64) {
        let bucket = |&(upper, count): &(f64, f64)| Bucket { upper, count };
        let mut buckets: Vec<Bucket> = buckets.iter().map(bucket).collect();
        let (value, _) = quantile(q, &mut buckets);
        let both_nan = value.is_nan() && expected.is_nan();
        assert!(both_nan || value == expected, "{value}, not {expected}");
    }

    #[test]
    fn counts_that_are_nan_are_walked_as_in_prometheus() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        check(0.5, &[(1.0, 2.0), (5.0, 4.0), (inf, 4.0)], 1.0);
        check(0.0, &[(1.0, nan), (5.0, nan), (inf, 3.0)], 5.0);
        check(0.0, &[(1.0, nan), (5.0, 1.0), (inf, 3.0)], nan);
        check(0.5, &[(1.0, 1.0), (5.0, 2.0), (inf, nan)], 5.0);
    }
}
