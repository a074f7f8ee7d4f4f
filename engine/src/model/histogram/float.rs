//! Histograms as PromQL computes with them.

use std::sync::Arc;

use super::bucket::target_index;
use super::compact::{Amount, compact, reduce_resolution};
use super::error::Error;
use super::side::{Side, spans_match};
use super::{CounterReset, SCHEMA_CUSTOM};

/// A native histogram with absolute counts.
///
/// With custom bounds, `zero_threshold`, `zero_count` and `negative` are zero and empty; without
/// them, `custom_bounds` is empty.
#[derive(Clone, Debug, Default)]
pub struct FloatHistogram {
    pub counter_reset: CounterReset,
    /// -4 to 8: each power of two is divided into `2^schema` buckets. -53: custom bounds.
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Their sum; its bits also carry the staleness marker.
    pub sum: f64,
    pub positive: Side<f64>,
    pub negative: Side<f64>,
    /// Upper bounds, strictly ascending and finite; the last bucket has none. Many histograms of
    /// a series share them.
    pub custom_bounds: Arc<[f64]>,
}

impl FloatHistogram {
    pub fn uses_custom_bounds(&self) -> bool {
        self.schema == SCHEMA_CUSTOM
    }

    /// Becomes a copy of `other`, in the memory it has.
    pub fn copy_from(&mut self, other: &FloatHistogram) {
        self.counter_reset = other.counter_reset;
        self.schema = other.schema;
        self.zero_threshold = other.zero_threshold;
        self.zero_count = other.zero_count;
        self.count = other.count;
        self.sum = other.sum;
        self.positive.copy_from(&other.positive);
        self.negative.copy_from(&other.negative);
        self.custom_bounds.clone_from(&other.custom_bounds);
    }

    /// A copy in a coarser or the same schema. A coarser one knows nothing about resets.
    ///
    /// # Panics
    ///
    /// On custom bounds or on a finer schema.
    pub fn copy_to_schema(&self, schema: i32) -> FloatHistogram {
        let mut copy = self.clone();
        if schema != self.schema {
            copy.counter_reset = CounterReset::Unknown;
            copy.reduce(schema);
        }
        copy
    }

    /// Merges buckets into the coarser `schema`.
    ///
    /// Errors: spans and buckets do not fit each other; the histogram is of no use then.
    ///
    /// # Panics
    ///
    /// On custom bounds or on a schema that is not coarser.
    pub fn reduce_resolution(&mut self, schema: i32) -> Result<(), Error> {
        assert!(!self.uses_custom_bounds() && schema != SCHEMA_CUSTOM);
        assert!(schema < self.schema);
        reduce_resolution(&mut self.positive, self.schema, schema)?;
        reduce_resolution(&mut self.negative, self.schema, schema)?;
        self.schema = schema;
        Ok(())
    }

    /// As [`FloatHistogram::reduce_resolution`]; a side that does not fit its spans loses its
    /// buckets.
    pub(super) fn reduce(&mut self, schema: i32) {
        assert!(!self.uses_custom_bounds() && schema != SCHEMA_CUSTOM && schema < self.schema);
        for side in [&mut self.positive, &mut self.negative] {
            reduce_or_clear(side, self.schema, schema);
        }
        self.schema = schema;
    }

    /// Multiplies all counts and the sum. A negative factor makes a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.for_each_amount(|amount| *amount *= factor);
        if factor < 0.0 {
            self.counter_reset = CounterReset::Gauge;
        }
    }

    /// Divides all counts and the sum. By zero, no buckets are left. A negative scalar makes a
    /// gauge.
    pub fn div(&mut self, scalar: f64) {
        self.for_each_amount(|amount| *amount /= scalar);
        if scalar == 0.0 {
            self.positive.clear();
            self.negative.clear();
        } else if scalar < 0.0 {
            self.counter_reset = CounterReset::Gauge;
        }
    }

    fn for_each_amount(&mut self, f: impl FnMut(&mut f64)) {
        [&mut self.zero_count, &mut self.count, &mut self.sum]
            .into_iter()
            .chain(&mut self.positive.buckets)
            .chain(&mut self.negative.buckets)
            .for_each(f);
    }

    /// Drops empty buckets; up to `empty_count_max` in a row between others stay, and are made.
    pub fn compact(&mut self, empty_count_max: usize) {
        compact(&mut self.positive, None, empty_count_max);
        compact(&mut self.negative, None, empty_count_max);
    }

    /// Whether both are the same data: bits of numbers, buckets (the empty ones, too), bounds.
    /// What is known about resets does not count.
    pub fn equals(&self, other: &FloatHistogram) -> bool {
        let bits = |h: &FloatHistogram| [h.count, h.sum, h.zero_count].map(f64::to_bits);
        self.schema == other.schema
            && bits(self) == bits(other)
            && self.zero_threshold == other.zero_threshold
            && (!self.uses_custom_bounds() || self.custom_bounds == other.custom_bounds)
            && sides_match(&self.negative, &other.negative)
            && sides_match(&self.positive, &other.positive)
    }

    /// Whether any number is infinite: sums of many histograms may exceed what a float holds.
    pub fn has_overflow(&self) -> bool {
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(&self.positive.buckets)
            .chain(&self.negative.buckets)
            .chain(self.custom_bounds.iter())
            .any(|value| value.is_infinite())
    }

    /// Bytes that Prometheus would use for this histogram: by them queries count its samples.
    pub fn prometheus_bytes(&self) -> usize {
        /// The struct and a pointer to it.
        const STRUCT_BYTES: usize = 168;
        let elements = self.positive.spans.len()
            + self.positive.buckets.len()
            + self.negative.spans.len()
            + self.negative.buckets.len()
            + self.custom_bounds.len();
        STRUCT_BYTES + 8 * elements
    }
}

pub(super) fn reduce_or_clear<T: Amount>(side: &mut Side<T>, schema: i32, target: i32) {
    debug_assert!(target_index(1, schema, target) == 1);
    if reduce_resolution(side, schema, target).is_err() {
        side.clear();
    }
}

fn sides_match(left: &Side<f64>, right: &Side<f64>) -> bool {
    spans_match(&left.spans, &right.spans)
        && left.buckets.len() == right.buckets.len()
        && left.buckets.iter().zip(&right.buckets).all(|(l, r)| l.to_bits() == r.to_bits())
}
