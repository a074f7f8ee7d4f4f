//! Sums and differences of histograms of any resolution.

use super::bounds::bound_exponential;
use super::compact::reduce_resolution_kahan;
use super::error::{Error, ErrorKind};
use super::float::reduce_or_clear;
use super::kahan::{Compensation, kahan_inc};
use super::merge::{Addend, add_custom_mismatched, add_side};
use super::side::{Side, indexes};
use super::{CounterReset, FloatHistogram};

/// What the caller should tell the user about a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// One histogram was just reset, the other says that it was not.
    pub counter_reset_collision: bool,
    /// Custom bounds differed; those in common are left.
    pub bounds_reconciled: bool,
}

impl FloatHistogram {
    /// Adds `other`. The coarser schema, the wider zero bucket and the common bounds prevail.
    /// Empty buckets may come about: see [`FloatHistogram::compact`].
    ///
    /// Cost: one pass over the buckets when the layouts are equal, else a new layout is written.
    /// Errors: one has custom bounds, the other has not; nothing was added.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Merged, Error> {
        self.combine(other, 1.0)
    }

    /// Subtracts `other`; as [`FloatHistogram::add`] in all else. The operator `-` makes a gauge
    /// of the result, a difference for a rate does not: that is the caller's.
    pub fn sub(&mut self, other: &FloatHistogram) -> Result<Merged, Error> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &FloatHistogram, sign: f64) -> Result<Merged, Error> {
        self.check_compatible(other)?;
        let mut merged = Merged {
            counter_reset_collision: self.adjust_counter_reset(other.counter_reset),
            bounds_reconciled: false,
        };
        let custom = self.uses_custom_bounds();
        if !custom {
            self.zero_count += sign * self.reconcile_zero_buckets(other, None).0;
        }
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        if custom && self.custom_bounds != other.custom_bounds {
            merged.bounds_reconciled = true;
            add_custom_mismatched(self, other, sign < 0.0, None);
            return Ok(merged);
        }
        if self.schema > other.schema {
            self.reduce(other.schema);
        }
        let (schema, threshold) = (self.schema, self.zero_threshold);
        for (side, other_side) in
            [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)]
        {
            let mut reduced = Side::default();
            let addend = if other.schema > schema {
                reduced.copy_from(other_side);
                reduce_or_clear(&mut reduced, other.schema, schema);
                &reduced
            } else {
                other_side
            };
            let addend = Addend { side: addend, lost: None, negate: sign < 0.0 };
            add_side(side, None, addend, schema, threshold);
        }
        Ok(merged)
    }

    /// Adds `other` and remembers in `compensation` what rounding took; it belongs to this
    /// histogram, and has its layout before and after.
    ///
    /// Errors: as [`FloatHistogram::add`].
    pub fn add_kahan(
        &mut self,
        other: &FloatHistogram,
        compensation: &mut Compensation,
    ) -> Result<Merged, Error> {
        self.check_compatible(other)?;
        let mut merged = Merged {
            counter_reset_collision: self.adjust_counter_reset(other.counter_reset),
            bounds_reconciled: false,
        };
        let custom = self.uses_custom_bounds();
        if !custom {
            let (zero_count, lost) = self.reconcile_zero_buckets(other, Some(compensation));
            let (sum, c) = kahan_inc(zero_count, self.zero_count, compensation.zero_count);
            (self.zero_count, compensation.zero_count) = kahan_inc(lost, sum, c);
        }
        (self.count, compensation.count) = kahan_inc(other.count, self.count, compensation.count);
        (self.sum, compensation.sum) = kahan_inc(other.sum, self.sum, compensation.sum);
        if custom && self.custom_bounds != other.custom_bounds {
            merged.bounds_reconciled = true;
            add_custom_mismatched(self, other, false, Some(&mut compensation.positive));
            return Ok(merged);
        }
        let (schema, schema_other) = (self.schema, other.schema);
        self.schema = schema.min(schema_other);
        for (side, lost, other_side) in [
            (&mut self.positive, &mut compensation.positive, &other.positive),
            (&mut self.negative, &mut compensation.negative, &other.negative),
        ] {
            if schema > schema_other {
                reduce_resolution_kahan(side, lost, schema, schema_other);
            }
            let (mut reduced, mut reduced_lost) = (Side::default(), vec![]);
            let addend = if schema_other > schema {
                reduced.copy_from(other_side);
                reduce_resolution_kahan(&mut reduced, &mut reduced_lost, schema_other, schema);
                Addend { side: &reduced, lost: Some(&reduced_lost), negate: false }
            } else {
                Addend { side: other_side, lost: None, negate: false }
            };
            add_side(side, Some(lost), addend, self.schema, self.zero_threshold);
        }
        Ok(merged)
    }

    /// Whether both have one layout in which sums are made place by place: no bucket lies within
    /// the zero bucket, which would take it in.
    pub fn adds_in_place(&self, other: &FloatHistogram) -> bool {
        let is_like = |own: &Side<f64>, other: &Side<f64>| {
            own.spans == other.spans && own.buckets.len() == other.buckets.len()
        };
        let is_apart = |side: &Side<f64>| {
            let first = indexes(&side.spans).next();
            let end = first.map(|index| bound_exponential(index, self.schema));
            self.uses_custom_bounds() || end.is_none_or(|end| end > self.zero_threshold)
        };
        (self.schema, self.zero_threshold) == (other.schema, other.zero_threshold)
            && self.custom_bounds == other.custom_bounds
            && is_like(&self.positive, &other.positive)
            && is_like(&self.negative, &other.negative)
            && is_apart(&self.positive)
            && is_apart(&self.negative)
    }

    fn check_compatible(&self, other: &FloatHistogram) -> Result<(), Error> {
        if self.uses_custom_bounds() != other.uses_custom_bounds() {
            return Err(ErrorKind::IncompatibleSchema.into());
        }
        Ok(())
    }

    /// What is known about resets of a sum; true if the two contradict each other.
    fn adjust_counter_reset(&mut self, other: CounterReset) -> bool {
        use CounterReset::{Gauge, Unknown};
        match (self.counter_reset, other) {
            (own, other) if own == other => false,
            (Gauge, _) | (_, Gauge) => {
                self.counter_reset = Gauge;
                false
            }
            (Unknown, _) | (_, Unknown) => {
                self.counter_reset = Unknown;
                false
            }
            _ => {
                self.counter_reset = Unknown;
                true
            }
        }
    }
}
