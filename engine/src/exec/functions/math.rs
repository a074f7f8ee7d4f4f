//! Functions of one number.
//!
//! Source: Prometheus `promql/functions.go`; Go's `math` where a special case matters.

use crate::promql::functions::FunctionId;

/// Applies `function` to all values.
///
/// # Panics
///
/// On a function that is not of one number.
pub fn run(function: FunctionId, values: &mut [f64]) {
    fn each(values: &mut [f64], f: impl Fn(f64) -> f64) {
        values.iter_mut().for_each(|value| *value = f(*value));
    }
    use FunctionId::*;
    match function {
        Abs => each(values, f64::abs),
        Acos => each(values, f64::acos),
        Acosh => each(values, f64::acosh),
        Asin => each(values, f64::asin),
        Asinh => each(values, f64::asinh),
        Atan => each(values, f64::atan),
        Atanh => each(values, f64::atanh),
        Ceil => each(values, f64::ceil),
        Cos => each(values, f64::cos),
        Cosh => each(values, f64::cosh),
        Deg => each(values, |value| value * 180.0 / std::f64::consts::PI),
        Exp => each(values, f64::exp),
        Floor => each(values, f64::floor),
        Ln => each(values, f64::ln),
        Log10 => each(values, f64::log10),
        Log2 => each(values, f64::log2),
        Rad => each(values, |value| value * std::f64::consts::PI / 180.0),
        Sgn => each(values, sign),
        Sin => each(values, f64::sin),
        Sinh => each(values, f64::sinh),
        Sqrt => each(values, f64::sqrt),
        Tan => each(values, f64::tan),
        Tanh => each(values, f64::tanh),
        other => panic!("{other:?} must be a function of one number"),
    }
}

/// Zero and NaN stay what they are.
fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// Go's `math.Max`: NaN wins, except against +Inf; +0 is greater than -0.
pub fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && a == b {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// Go's `math.Min`: NaN wins, except against -Inf; -0 is less than +0.
pub fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::{max, min};

    #[test]
    fn extremes_are_gos() {
        assert_eq!(max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert!(max(f64::NAN, 1.0).is_nan());
        assert!(max(0.0, -0.0).is_sign_positive());
        assert!(min(0.0, -0.0).is_sign_negative());
        assert_eq!(min(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!((min(1.0, 2.0), max(1.0, 2.0)), (1.0, 2.0));
    }
}
