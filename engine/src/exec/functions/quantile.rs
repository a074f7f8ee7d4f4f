//! A quantile of numbers.

use std::cmp::Ordering;

use crate::exec::annotations::Annotations;
use crate::exec::format::shortest_g;
use crate::promql::ast::PosRange;

/// NaN first, as Prometheus sorts.
pub fn compare(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// The `q`-quantile of `values`, interpolated between neighbours; reorders them. O(values).
///
/// NaN of no values or a NaN `q`; infinities for a `q` beyond 0 and 1.
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let rank = q * (values.len() - 1) as f64;
    let lower_index = rank as usize;
    let (_, lower, above) = values.select_nth_unstable_by(lower_index, compare);
    // The least above; none above the last.
    let upper = above.iter().min_by(|a, b| compare(a, b)).unwrap_or(lower);
    // Of a rank that is a negative zero, too, the weight is a positive one.
    let weight = (rank - lower_index as f64).abs();
    *lower * (1.0 - weight) + *upper * weight
}

pub fn is_valid(q: f64) -> bool {
    (0.0..=1.0).contains(&q)
}

pub fn warn_invalid(annotations: &mut Annotations, q: f64, position: PosRange) {
    annotations
        .warn(position, format!("quantile value should be between 0 and 1, got {}", shortest_g(q)));
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_interpolated() {
        let mut values = [3.0, 1.0, 2.0, 4.0];
        assert_eq!(quantile(0.0, &mut values), 1.0);
        assert_eq!(quantile(0.5, &mut values), 2.5);
        assert_eq!(quantile(1.0, &mut values), 4.0);
        assert_eq!(quantile(-0.1, &mut values), f64::NEG_INFINITY);
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
        assert_eq!(quantile(1.0, &mut [f64::NAN, 1.0]), 1.0);
    }
}
