//! Histograms as text: for people, and as PromQL's test language writes them.

use std::fmt;

use crate::model::go_float::GoFloat;

use super::bucket::{Bucket, bucket_at};
use super::{CounterReset, FloatHistogram, Histogram, Side, Span};

/// `{count:9, sum:2.5, [-2,-1):1, [-0.001,0.001]:3, (1,2]:5}`, without empty buckets.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, GoFloat)
    }
}

/// A histogram whose counts are whole numbers, written as such.
pub struct Whole<'a>(pub &'a FloatHistogram);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, |count| count as u64)
    }
}

impl FloatHistogram {
    fn write<C: fmt::Display>(
        &self,
        f: &mut fmt::Formatter<'_>,
        number: impl Fn(f64) -> C,
    ) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", number(self.count), GoFloat(self.sum))?;
        let shown = |bucket: Bucket| Bucket {
            lower: bucket.lower,
            upper: bucket.upper,
            lower_inclusive: bucket.lower_inclusive,
            upper_inclusive: bucket.upper_inclusive,
            count: number(bucket.count),
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
