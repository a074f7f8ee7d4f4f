//! `anchored` and `smoothed` windows of native histograms: what is known at the edges is taken from
//! the samples around them, nothing is extrapolated.
//!
//! Source: Prometheus `promql/functions.go`, `extendedHistogramRate`, `interpolateHistograms`,
//! `correctForCounterResetsHistogram`.

use crate::exec::remarks::Operation;
use crate::model::FloatHistogram;
use crate::model::histogram::{CounterReset, Error};
use crate::plan::part::Extend;
use crate::promql::functions::FunctionId;

use super::HistogramPoints;
use super::histograms::Mixed;

/// A histogram between two others.
pub struct Interpolated {
    pub histogram: FloatHistogram,
    /// What was done to the two when their bounds had to be reconciled.
    pub reconciled: Vec<Operation>,
}

/// On the line between histograms `index` and `index + 1`; a counter that was reset between them
/// rises from zero.
pub fn interpolate(
    points: HistogramPoints<'_>,
    index: usize,
    time_ms: i64,
    is_counter: bool,
) -> Result<Interpolated, Error> {
    let (before, after) = (&points.list[index], &points.list[index + 1]);
    let (before_ms, after_ms) = (points.times_ms[index], points.times_ms[index + 1]);
    let mut reconciled = Vec::new();
    let as_is = |histogram: &FloatHistogram| Interpolated {
        histogram: histogram.clone(),
        reconciled: Vec::new(),
    };
    if time_ms == before_ms {
        return Ok(as_is(before));
    }
    if time_ms == after_ms {
        return Ok(as_is(after));
    }
    let share = (time_ms - before_ms) as f64 / (after_ms - before_ms) as f64;
    let mut histogram = (**after).clone();
    if is_counter && after.detect_reset(before) {
        histogram.mul(share);
        return Ok(Interpolated { histogram, reconciled });
    }
    if histogram.sub(before)?.bounds_reconciled {
        reconciled.push(Operation::Subtraction);
    }
    histogram.mul(share);
    if histogram.add(before)?.bounds_reconciled {
        reconciled.push(Operation::Addition);
    }
    Ok(Interpolated { histogram, reconciled })
}

impl Mixed<'_, '_> {
    /// Of a window that holds histograms only.
    pub(super) fn extended(&mut self) -> Option<FloatHistogram> {
        let is_counter = self.window.function != FunctionId::Delta;
        let smoothed = self.window.extend == Extend::Smoothed;
        let (times_ms, list) = (self.histograms.times_ms, self.histograms.list);
        let (start_ms, end_ms) = (self.span.start_ms, self.span.end_ms);
        let mut last = times_ms.len() - 1;
        // Of all but the last, the newest at or before the left edge.
        let inner = &times_ms[..last];
        let first = inner.partition_point(|&time_ms| time_ms <= start_ms).saturating_sub(1);
        if smoothed {
            last = inner.partition_point(|&time_ms| time_ms < end_ms);
        }
        if times_ms[last] <= start_ms || smoothed && times_ms[first] > end_ms {
            return None;
        }
        self.check_range(&list[first..=last], is_counter)?;
        let left = if smoothed && times_ms[first] < start_ms {
            self.interpolated(first, start_ms, is_counter)?
        } else {
            (*list[first]).clone()
        };
        let right = if smoothed && last > 0 && times_ms[last] > end_ms {
            self.interpolated(last - 1, end_ms, is_counter)?
        } else {
            (*list[last]).clone()
        };
        let gauge = CounterReset::Gauge;
        if !is_counter && (left.counter_reset != gauge || right.counter_reset != gauge) {
            self.no_gauge();
        }
        let mut rise = right.clone();
        self.subtract(&mut rise, &left)?;
        if is_counter && let Some(correction) = self.correction(first, last, &left, &right)? {
            self.add(&mut rise, &correction)?;
        }
        if self.window.function == FunctionId::Rate {
            rise.div(self.window.range_ms as f64 / 1000.0);
        }
        rise.counter_reset = gauge;
        rise.compact(0);
        Some(rise)
    }

    fn check_range(
        &mut self,
        list: &[std::sync::Arc<FloatHistogram>],
        is_counter: bool,
    ) -> Option<()> {
        for histogram in list {
            if histogram.uses_custom_bounds() != list[0].uses_custom_bounds() {
                self.mixed_buckets();
                return None;
            }
            if is_counter && histogram.counter_reset == CounterReset::Gauge {
                self.no_counter();
            }
        }
        Some(())
    }

    fn interpolated(
        &mut self,
        index: usize,
        time_ms: i64,
        is_counter: bool,
    ) -> Option<FloatHistogram> {
        match interpolate(self.histograms, index, time_ms, is_counter) {
            Ok(Interpolated { histogram, reconciled }) => {
                reconciled.into_iter().for_each(|operation| self.reconciled(operation));
                Some(histogram)
            }
            Err(_) => {
                self.mixed_buckets();
                None
            }
        }
    }

    /// What was counted before each reset between the edges. Resets at the edges are in the edges'
    /// values already.
    fn correction(
        &mut self,
        first: usize,
        last: usize,
        left: &FloatHistogram,
        right: &FloatHistogram,
    ) -> Option<Option<FloatHistogram>> {
        let (times_ms, list) = (self.histograms.times_ms, self.histograms.list);
        let smoothed = self.window.extend == Extend::Smoothed;
        // The left value stands for the first sample, the right one for the last.
        let (mut next, mut before) = (first + 1, left);
        if smoothed
            && times_ms[first] < self.span.start_ms
            && list[first + 1].detect_reset(&list[first])
        {
            before = &list[first + 1];
            next += 1;
        }
        if next > last {
            return Some(None);
        }
        let mut correction: Option<FloatHistogram> = None;
        let inner = list[next..last].iter().map(|histogram| &**histogram);
        for histogram in inner.chain([right]) {
            if histogram.detect_reset(before) {
                match &mut correction {
                    Some(correction) => self.add(correction, before)?,
                    None => correction = Some(before.clone()),
                }
            }
            before = histogram;
        }
        Some(correction)
    }
}
