//! Histograms as they are scraped and stored.

use std::sync::Arc;

use super::compact::{compact, reduce_resolution};
use super::error::Error;
use super::side::{Side, spans_match};
use super::{CounterReset, FloatHistogram, SCHEMA_CUSTOM};

/// A native histogram of whole counts; see [`FloatHistogram`] for the fields.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    pub counter_reset: CounterReset,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: u64,
    pub count: u64,
    pub sum: f64,
    /// The first bucket's count, then the difference of each bucket to the one before.
    pub positive: Side<i64>,
    pub negative: Side<i64>,
    pub custom_bounds: Arc<[f64]>,
}

impl Histogram {
    pub fn uses_custom_bounds(&self) -> bool {
        self.schema == SCHEMA_CUSTOM
    }

    /// Index and count of each positive bucket, upwards from zero.
    pub fn positive_counts(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        counts(&self.positive)
    }

    /// Index and count of each negative bucket, downwards from zero.
    pub fn negative_counts(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        counts(&self.negative)
    }

    /// Writes the same histogram with float counts to `out`, in the memory it has.
    pub fn to_float(&self, out: &mut FloatHistogram) {
        out.counter_reset = self.counter_reset;
        out.schema = self.schema;
        out.zero_threshold = self.zero_threshold;
        out.zero_count = self.zero_count as f64;
        out.count = self.count as f64;
        out.sum = self.sum;
        out.custom_bounds.clone_from(&self.custom_bounds);
        for (side, out) in
            [(&self.positive, &mut out.positive), (&self.negative, &mut out.negative)]
        {
            out.spans.clone_from(&side.spans);
            out.buckets.clear();
            // Summed as floats, as Prometheus does: beyond 2^53 that is not the same.
            let running = side.buckets.iter().scan(0.0, |count, delta| {
                *count += *delta as f64;
                Some(*count)
            });
            out.buckets.extend(running);
        }
    }

    /// As [`FloatHistogram::compact`].
    pub fn compact(&mut self, empty_count_max: usize) {
        for side in [&mut self.positive, &mut self.negative] {
            with_counts(side, |side| compact(side, None, empty_count_max));
        }
    }

    /// As [`FloatHistogram::reduce_resolution`].
    pub fn reduce_resolution(&mut self, schema: i32) -> Result<(), Error> {
        assert!(!self.uses_custom_bounds() && schema != SCHEMA_CUSTOM);
        assert!(schema < self.schema);
        for side in [&mut self.positive, &mut self.negative] {
            let from = self.schema;
            with_counts(side, |side| reduce_resolution(side, from, schema))?;
        }
        self.schema = schema;
        Ok(())
    }

    /// As [`FloatHistogram::equals`].
    pub fn equals(&self, other: &Histogram) -> bool {
        self.schema == other.schema
            && (self.count, self.zero_count) == (other.count, other.zero_count)
            && self.sum.to_bits() == other.sum.to_bits()
            && self.zero_threshold == other.zero_threshold
            && (!self.uses_custom_bounds() || self.custom_bounds == other.custom_bounds)
            && spans_match(&self.negative.spans, &other.negative.spans)
            && self.negative.buckets == other.negative.buckets
            && spans_match(&self.positive.spans, &other.positive.spans)
            && self.positive.buckets == other.positive.buckets
    }
}

fn counts(side: &Side<i64>) -> impl Iterator<Item = (i32, u64)> + '_ {
    side.iter().scan(0i64, |count, (index, delta)| {
        *count = count.wrapping_add(delta);
        Some((index, *count as u64))
    })
}

/// Runs `f` over the side while its buckets are counts instead of differences.
fn with_counts<R>(side: &mut Side<i64>, f: impl FnOnce(&mut Side<i64>) -> R) -> R {
    let mut count = 0i64;
    for bucket in &mut side.buckets {
        count = count.wrapping_add(*bucket);
        *bucket = count;
    }
    let result = f(side);
    let mut before = 0;
    for bucket in &mut side.buckets {
        let count = *bucket;
        *bucket = count.wrapping_sub(before);
        before = count;
    }
    result
}
