//! Counters whose samples say when they began to count: `rate`, `increase`, `irate`, `resets`.
//!
//! A start timestamp behind the sample before is a reset, whatever the values say; one inside the
//! window is a sample of zero at that time. Each window is walked anew: start timestamps are rare,
//! and what they say depends on pairs.
//!
//! Source: Prometheus `promql/functions.go`, `extrapolatedRate`, `isStartTimestampReset`,
//! `checkStartTimeOverlap`.

use crate::exec::error::ExecError;
use crate::promql::functions::FunctionId;

use super::{Slide, Span};

/// A sample's own time and when it began to count, zero where unknown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub start_ms: i64,
    pub ms: i64,
}

impl Times {
    /// Of the sample at `index` of two columns, of which the second may be empty.
    pub fn at(times_ms: &[i64], starts_ms: &[i64], index: usize) -> Times {
        Times { start_ms: starts_ms.get(index).copied().unwrap_or(0), ms: times_ms[index] }
    }

    /// Whether the counter was reset between the sample before and this one.
    pub fn is_reset_after(self, before: Times) -> bool {
        if self.start_ms == 0 || self.start_ms >= self.ms || self.start_ms < before.ms {
            return false;
        }
        if self.start_ms > before.ms {
            return true;
        }
        // It began at the sample before: a delta, unless that one's own start is not known.
        before.start_ms < before.ms && before.start_ms != 0
    }

    /// Whether it began to count before the sample before was taken, and not with it.
    pub fn overlaps(self, before: Times) -> bool {
        self.start_ms != 0 && self.start_ms < before.ms && self.start_ms != before.start_ms
    }
}

/// The samples of a window in time, and how far the window reaches beyond them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub first: Times,
    pub last_ms: i64,
    /// Samples but one.
    pub intervals: usize,
    /// The window's edges.
    pub start_ms: i64,
    pub end_ms: i64,
}

impl Extent {
    /// Whether the first sample says that it began inside the window.
    pub fn begins_inside(&self) -> bool {
        let start_ms = self.first.start_ms;
        start_ms != 0 && start_ms > self.start_ms && start_ms < self.first.ms
    }

    /// What extends the rise to the whole window. `zero_share`: of a counter, its first value
    /// divided by its rise, beyond which it would be extended below zero.
    pub fn factor(&self, begins_inside: bool, zero_share: Option<f64>) -> f64 {
        let seconds = |from_ms: i64, to_ms: i64| (to_ms - from_ms) as f64 / 1000.0;
        let mut sampled = seconds(self.first.ms, self.last_ms);
        let average = if self.intervals > 0 { sampled / self.intervals as f64 } else { 0.0 };
        let threshold = average * 1.1;
        let mut to_start = seconds(self.start_ms, self.first.ms);
        if begins_inside {
            to_start = 0.0;
            sampled = seconds(self.first.start_ms, self.last_ms);
        } else {
            if to_start >= threshold {
                to_start = average / 2.0;
            }
            if let Some(share) = zero_share {
                let to_zero = sampled * share;
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
        }
        let mut to_end = seconds(self.last_ms, self.end_ms);
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled }
    }
}

pub(super) fn run(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let function = slide.window.function;
    let range_seconds = slide.window.range_ms as f64 / 1000.0;
    let mut overlaps = 0;
    slide.each(|span, points| {
        let times = |index| Times::at(points.times_ms, points.starts_ms, index);
        let values = points.values;
        let is_reset = |index: usize| {
            values[index] < values[index - 1] || times(index).is_reset_after(times(index - 1))
        };
        let pairs = span.lo + 1..span.hi;
        match function {
            FunctionId::Resets => Some(pairs.filter(|&index| is_reset(index)).count() as f64),
            FunctionId::Irate => {
                let last = pairs.last()?;
                let before = if is_reset(last) { 0.0 } else { values[last - 1] };
                let seconds = (points.times_ms[last] - points.times_ms[last - 1]) as f64 / 1000.0;
                Some((values[last] - before) / seconds)
            }
            _ => {
                let overlap = pairs.clone().any(|index| times(index).overlaps(times(index - 1)));
                overlaps += u32::from(overlap);
                let mut rise = values[span.hi - 1] - values[span.lo];
                for index in pairs.filter(|&index| is_reset(index)) {
                    rise += values[index - 1];
                }
                extended(span, times(span.lo), points.times_ms, values[span.lo], rise).map(
                    |(factor, rise)| {
                        let per_second = function == FunctionId::Rate;
                        rise * if per_second { factor / range_seconds } else { factor }
                    },
                )
            }
        }
    })?;
    for _ in 0..overlaps {
        let position = slide.window.arg_positions[0];
        slide.context.annotations.start_overlaps(slide.context.metric_name, position);
    }
    Ok(())
}

/// The factor that extends the rise to the window, and the rise from the start timestamp on.
fn extended(
    span: Span,
    first: Times,
    times_ms: &[i64],
    first_value: f64,
    rise: f64,
) -> Option<(f64, f64)> {
    let extent = Extent {
        first,
        last_ms: times_ms[span.hi - 1],
        intervals: span.hi - 1 - span.lo,
        start_ms: span.start_ms,
        end_ms: span.end_ms,
    };
    let begins_inside = extent.begins_inside();
    if !begins_inside && extent.intervals == 0 {
        return None;
    }
    let zero_share = (rise > 0.0 && first_value >= 0.0).then(|| first_value / rise);
    let rise = if begins_inside { rise + first_value } else { rise };
    Some((extent.factor(begins_inside, zero_share), rise))
}

#[cfg(test)]
mod tests {
    use super::Times;

    /// `(start, time)` of two samples.
    #[track_caller]
    fn check(before: (i64, i64), sample: (i64, i64), is_reset: bool, overlaps: bool) {
        let [before, sample] = [before, sample].map(|(start_ms, ms)| Times { start_ms, ms });
        assert_eq!(sample.is_reset_after(before), is_reset, "reset");
        assert_eq!(sample.overlaps(before), overlaps, "overlap");
    }

    #[test]
    fn a_start_behind_the_sample_before_is_a_reset() {
        check((0, 10), (0, 20), false, false);
        check((0, 10), (20, 20), false, false);
        check((0, 10), (15, 20), true, false);
        check((5, 10), (5, 20), false, false);
        check((5, 10), (6, 20), false, true);
        // Deltas; the second's predecessor does not know its start.
        check((5, 10), (10, 20), true, false);
        check((10, 10), (10, 20), false, false);
        check((0, 10), (10, 20), false, false);
        check((12, 10), (10, 20), false, false);
    }
}
