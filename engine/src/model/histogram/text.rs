//! Histograms as text: for people, and as PromQL's test language writes them.

use std::fmt;

use super::bucket::{Bucket, bucket_at};
use super::{CounterReset, FloatHistogram, Histogram, Side, Span};

/// A float as Go's `%g` writes it: the shortest digits, an exponent below -4 and from 6 on.
pub(super) struct GoFloat(pub f64);

impl fmt::Display for GoFloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if value.is_nan() {
            return f.write_str("NaN");
        }
        if value.is_infinite() {
            return f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        if value.is_sign_negative() {
            f.write_str("-")?;
        }
        let mut buffer = zmij::Buffer::new();
        let (digits, point) = decimal(buffer.format_finite(value.abs()));
        let exponent = point - 1;
        if value != 0.0 && !(-4..6).contains(&exponent) {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let sign = if exponent < 0 { '-' } else { '+' };
            return write!(f, "{first}{dot}{rest}e{sign}{:02}", exponent.abs());
        }
        match usize::try_from(point) {
            Ok(whole) if whole >= digits.len() => write!(f, "{digits:0<whole$}"),
            Ok(whole) if whole > 0 => write!(f, "{}.{}", &digits[..whole], &digits[whole..]),
            _ => write!(f, "0.{:0<zeros$}{digits}", "", zeros = point.unsigned_abs() as usize),
        }
    }
}

/// The digits of a number that is not negative, without zeros at the ends, and where the point
/// is among them. Zero has one digit.
fn decimal(text: &str) -> (String, i32) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    let point = whole.len() as i32 - (all.len() - digits.len()) as i32;
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return ("0".to_owned(), 1);
    }
    (digits.to_owned(), point + exponent.parse::<i32>().unwrap_or(0))
}

/// `{count:9, sum:2.5, [-2,-1):1, [-0.001,0.001]:3, (1,2]:5}`, without empty buckets.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", GoFloat(self.count), GoFloat(self.sum))?;
        let shown = |bucket: Bucket| Bucket {
            lower: bucket.lower,
            upper: bucket.upper,
            lower_inclusive: bucket.lower_inclusive,
            upper_inclusive: bucket.upper_inclusive,
            count: GoFloat(bucket.count),
            index: bucket.index,
        };
        let bounds: &[f64] = &self.custom_bounds;
        for (index, count) in self.negative.iter_rev().filter(|(_, count)| *count != 0.0) {
            write!(f, ", {}", shown(bucket_at(index, count, false, self.schema, bounds)))?;
        }
        if self.zero_count != 0.0 {
            write!(f, ", {}", shown(self.zero_bucket()))?;
        }
        for bucket in self.positive_buckets().filter(|bucket| bucket.count != 0.0) {
            write!(f, ", {}", shown(bucket))?;
        }
        f.write_str("}")
    }
}

/// As the float histogram of the same numbers, which are written as whole numbers.
impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", self.count, GoFloat(self.sum))?;
        let bucket = |(index, count), positive| {
            bucket_at::<u64>(index, count, positive, self.schema, &self.custom_bounds)
        };
        let mut negative: Vec<(i32, u64)> = self.negative_counts().collect();
        negative.retain(|(_, count)| *count != 0);
        for counted in negative.into_iter().rev() {
            write!(f, ", {}", bucket(counted, false))?;
        }
        if self.zero_count != 0 {
            let threshold = GoFloat(self.zero_threshold);
            write!(f, ", [{},{threshold}]:{}", GoFloat(-self.zero_threshold), self.zero_count)?;
        }
        for counted in self.positive_counts().filter(|(_, count)| *count != 0) {
            write!(f, ", {}", bucket(counted, true))?;
        }
        f.write_str("}")
    }
}

impl FloatHistogram {
    /// The histogram in the language of PromQL's tests and of unit tests of rules:
    /// `{{schema:1 count:3 sum:2.5 buckets:[1 0 2]}}`.
    pub fn test_expression(&self) -> String {
        let mut parts: Vec<String> = vec![];
        if self.schema != 0 {
            parts.push(format!("schema:{}", self.schema));
        }
        for (key, value) in [
            ("count", self.count),
            ("sum", self.sum),
            ("z_bucket", self.zero_count),
            ("z_bucket_w", self.zero_threshold),
        ] {
            if value != 0.0 {
                parts.push(format!("{key}:{}", GoFloat(value)));
            }
        }
        if self.uses_custom_bounds() {
            parts.push(format!("custom_values:[{}]", joined(&self.custom_bounds)));
        }
        match self.counter_reset {
            CounterReset::Unknown => {}
            CounterReset::Reset => parts.push("counter_reset_hint:reset".to_owned()),
            CounterReset::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
            CounterReset::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
        }
        for (side, buckets_key, offset_key) in
            [(&self.positive, "buckets", "offset"), (&self.negative, "n_buckets", "n_offset")]
        {
            let side = in_one_span(side);
            if let [Span { offset, .. }] = *side.spans
                && offset != 0
            {
                parts.push(format!("{offset_key}:{offset}"));
            }
            if !side.buckets.is_empty() {
                parts.push(format!("{buckets_key}:[{}]", joined(&side.buckets)));
            }
        }
        format!("{{{{{}}}}}", parts.join(" "))
    }
}

/// A side with all gaps written out as empty buckets.
fn in_one_span(side: &Side<f64>) -> Side<f64> {
    let mut side = side.clone();
    super::compact::compact(&mut side, None, usize::MAX);
    side
}

fn joined(values: &[f64]) -> String {
    values.iter().map(|value| GoFloat(*value).to_string()).collect::<Vec<_>>().join(" ")
}
