//! Floats in messages, as Go's `fmt` writes them. The digits are made in `float`.

use std::fmt;

use super::float::format_g;

/// A float as Go's `%g` writes it: the shortest digits, an exponent below -4 and from 6 on.
#[derive(Clone, Copy, Debug)]
pub struct GoFloat(pub f64);

impl fmt::Display for GoFloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_g(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::GoFloat;

    #[test]
    fn floats_are_written_as_in_go() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (100000.0, "100000"),
            (1e6, "1e+06"),
            (1234567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123.456, "123.456"),
            (-0.05, "-0.05"),
            (1e21, "1e+21"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(GoFloat(value).to_string(), expected);
        }
    }
}
