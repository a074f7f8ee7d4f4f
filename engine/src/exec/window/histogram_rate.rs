//! `rate`, `increase`, `delta`, `irate`, `idelta` of native histograms.
//!
//! Source: Prometheus `promql/functions.go`, `histogramRate`, `extrapolatedRate`, `instantValue`.

use std::sync::Arc;

use crate::exec::remarks::Operation;
use crate::model::FloatHistogram;
use crate::model::histogram::CounterReset;
use crate::promql::functions::FunctionId;

use super::histograms::{Found, Mixed};
use super::starts::{Extent, Times};

impl<'a> Mixed<'a, '_> {
    /// Of a window that holds histograms only. The result is none where their buckets do not go
    /// together.
    pub(super) fn extrapolated(&mut self) -> Option<FloatHistogram> {
        let is_counter = self.window.function != FunctionId::Delta;
        let list = self.histograms.list;
        let extent = Extent {
            first: self.histogram_times(0),
            last_ms: self.histogram_times(list.len() - 1).ms,
            intervals: list.len() - 1,
            start_ms: self.span.start_ms,
            end_ms: self.span.end_ms,
        };
        let mut rise = if list.len() > 1 { Some(self.rise(is_counter)?) } else { None };
        let begins_inside = is_counter && extent.begins_inside();
        let mut zero_share = None;
        if begins_inside {
            match &mut rise {
                Some(rise) => self.add(rise, &list[0])?,
                None => rise = Some((*list[0]).clone()),
            }
        } else if let Some(rise) = &rise
            && is_counter
            && rise.count > 0.0
            && list[0].count >= 0.0
        {
            zero_share = Some(list[0].count / rise.count);
        }
        let mut rise = rise?;
        let mut factor = extent.factor(begins_inside, zero_share);
        if self.window.function == FunctionId::Rate {
            factor /= self.window.range_ms as f64 / 1000.0;
        }
        rise.mul(factor);
        Some(rise)
    }

    /// When the histogram at `index` was taken and began to count.
    fn histogram_times(&self, index: usize) -> Times {
        Times::at(self.histograms.times_ms, self.histograms.starts_ms, index)
    }

    /// The rise from the first histogram to the last, over resets.
    fn rise(&mut self, is_counter: bool) -> Option<FloatHistogram> {
        let list = self.histograms.list;
        let (first, last) = (&list[0], &list[list.len() - 1]);
        let is_gauge = |histogram: &FloatHistogram| histogram.counter_reset == CounterReset::Gauge;
        if is_counter && (is_gauge(first) || is_gauge(last)) {
            self.no_counter();
        }
        let (lo, facts) = (self.histogram_lo, self.facts);
        let resets = || facts.resets(lo, lo + list.len()).map(move |index| index - lo);
        let zero;
        let mut before: &FloatHistogram = first;
        if is_counter && resets().next() == Some(1) {
            // The first one does not matter, not even its layout.
            zero = FloatHistogram {
                schema: list[1].schema,
                custom_bounds: list[1].custom_bounds.clone(),
                ..FloatHistogram::default()
            };
            before = &zero;
        }
        let uses_custom_bounds = before.uses_custom_bounds();
        if last.uses_custom_bounds() != uses_custom_bounds {
            self.mixed_buckets();
            return None;
        }
        let mut schema = last.schema.min(before.schema);
        if is_counter && !facts.is_uniform {
            for histogram in &list[1..list.len() - 1] {
                if is_gauge(histogram) {
                    self.no_counter();
                }
                schema = schema.min(histogram.schema);
                if histogram.uses_custom_bounds() != uses_custom_bounds {
                    self.mixed_buckets();
                    return None;
                }
            }
        }
        let mut rise = last.copy_to_schema(schema);
        self.subtract(&mut rise, before)?;
        if is_counter {
            let overlaps = |index| {
                let before = self.histogram_times(index - 1);
                self.histogram_times(index).overlaps(before)
            };
            if !self.histograms.starts_ms.is_empty() && (1..list.len()).any(overlaps) {
                let (name, position) = (self.name(), self.position());
                self.annotations().start_overlaps(name, position);
            }
            // What was counted before a reset between the first two is not in the rise at all.
            for index in resets().filter(|index| *index > 1) {
                self.add(&mut rise, &list[index - 1])?;
            }
        } else if !is_gauge(first) || !is_gauge(last) {
            self.no_gauge();
        }
        rise.counter_reset = CounterReset::Gauge;
        rise.compact(0);
        Some(rise)
    }

    /// Adds; says so when bounds had to be reconciled, and when it cannot be done.
    pub(super) fn add(&mut self, sum: &mut FloatHistogram, other: &FloatHistogram) -> Option<()> {
        match sum.add(other) {
            Ok(merged) if merged.bounds_reconciled => self.reconciled(Operation::Addition),
            Ok(_) => {}
            Err(_) => {
                self.mixed_buckets();
                return None;
            }
        }
        Some(())
    }

    /// As [`Mixed::add`].
    pub(super) fn subtract(
        &mut self,
        from: &mut FloatHistogram,
        other: &FloatHistogram,
    ) -> Option<()> {
        match from.sub(other) {
            Ok(merged) if merged.bounds_reconciled => self.reconciled(Operation::Subtraction),
            Ok(_) => {}
            Err(_) => {
                self.mixed_buckets();
                return None;
            }
        }
        Some(())
    }

    /// The last two samples, of whatever kind they are.
    pub(super) fn instant(&mut self) -> Found {
        let is_rate = self.window.function == FunctionId::Irate;
        let Some([before, last]) = self.last_two() else { return Found::Nothing };
        let interval_ms = last.times.ms - before.times.ms;
        if interval_ms == 0 {
            return Found::Nothing;
        }
        let seconds = interval_ms as f64 / 1000.0;
        let is_start_reset = last.times.is_reset_after(before.times);
        match (before.value, last.value) {
            (Value::Float(before), Value::Float(last)) => {
                let is_reset = is_rate && (last < before || is_start_reset);
                let rise = if is_reset { last } else { last - before };
                Found::Float(if is_rate { rise / seconds } else { rise })
            }
            (Value::Histogram(before), Value::Histogram(last)) => {
                let gauge = CounterReset::Gauge;
                if is_rate && (last.counter_reset == gauge || before.counter_reset == gauge) {
                    self.no_counter();
                }
                if !is_rate && (last.counter_reset != gauge || before.counter_reset != gauge) {
                    self.no_gauge();
                }
                let mut rise = (**last).clone();
                if (!is_rate || !is_start_reset && !last.detect_reset(before))
                    && self.subtract(&mut rise, before).is_none()
                {
                    return Found::Nothing;
                }
                rise.counter_reset = gauge;
                rise.compact(0);
                if is_rate {
                    rise.div(seconds);
                }
                Found::Histogram(Arc::new(rise))
            }
            _ => {
                self.mixed_range();
                Found::Nothing
            }
        }
    }

    fn last_two(&self) -> Option<[Sample<'a>; 2]> {
        let mut samples = Vec::with_capacity(4);
        let (floats, histograms) = (self.floats, self.histograms);
        for index in floats.values.len().saturating_sub(2)..floats.values.len() {
            let times = Times::at(floats.times_ms, floats.starts_ms, index);
            samples.push(Sample { times, value: Value::Float(floats.values[index]) });
        }
        for index in histograms.list.len().saturating_sub(2)..histograms.list.len() {
            let value = Value::Histogram(&histograms.list[index]);
            samples.push(Sample { times: self.histogram_times(index), value });
        }
        samples.sort_by_key(|sample| sample.times.ms);
        samples.last_chunk().copied()
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample<'a> {
    times: Times,
    value: Value<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}
