//! Windows over samples at equal distances, of which the grid's step is a multiple: then all windows
//! that lie within the samples hold as many of them, at the same places, and each begins a fixed
//! number of samples after the one before. Most series are scraped so, and most dashboards ask so.

use std::ops::Range;

use crate::exec::bits::set_range;
use crate::kernels::are_apart;
use crate::plan::part::Extend;

use super::{Cursor, ExecError, Slide};

/// Fewer samples or steps than this are not worth looking at their distances.
const COUNT_MIN: usize = 16;

/// Times far from the edge of time, so that their differences are numbers.
const TIME_MAX_MS: u64 = 1 << 52;

/// The steps whose windows lie within the samples.
#[derive(Clone, Debug)]
pub(super) struct Inner {
    pub steps: Range<usize>,
    /// The samples of the first one.
    pub lo: usize,
    pub hi: usize,
    /// Samples from one window to the next.
    pub stride: usize,
}

impl Slide<'_, '_> {
    /// `None`: the samples or the grid are of another kind. O(samples), in a loop that becomes vector
    /// instructions.
    pub(super) fn inner(&self) -> Option<Inner> {
        let (grid, times_ms) = (self.grid, self.points.times_ms);
        if times_ms.len() < COUNT_MIN
            || grid.step_count < COUNT_MIN
            || self.lookup.is_fixed()
            || self.window.extend != Extend::No
        {
            return None;
        }
        let (first_ms, last_ms) = (times_ms[0], times_ms[times_ms.len() - 1]);
        let end_ms = self.lookup.time_ms(grid.start_ms);
        let last_end_ms = self.lookup.time_ms(grid.end_ms());
        let all_ms = [first_ms, last_ms, end_ms, last_end_ms, self.window.range_ms];
        if all_ms.iter().any(|time_ms| time_ms.unsigned_abs() > TIME_MAX_MS) {
            return None;
        }
        let distance_ms = times_ms[1] - first_ms;
        if distance_ms <= 0 || grid.step_ms % distance_ms != 0 || !are_apart(times_ms, distance_ms)
        {
            return None;
        }
        let stride = grid.step_ms / distance_ms;
        // Samples up to a time, were there some before the first and after the last.
        let up_to = |time_ms: i64| (time_ms - first_ms).div_euclid(distance_ms) + 1;
        let (lo, hi) = (up_to(end_ms - self.window.range_ms), up_to(end_ms));
        let begin = (-lo).max(0).unsigned_abs().div_ceil(stride as u64) as i64;
        let left = times_ms.len() as i64 - hi;
        let end = if left < 0 { 0 } else { left / stride + 1 };
        let end = end.min(grid.step_count as i64);
        let first = |index: i64| (index + begin * stride) as usize;
        (begin < end && hi > lo).then(|| Inner {
            steps: begin as usize..end as usize,
            lo: first(lo),
            hi: first(hi),
            stride: stride as usize,
        })
    }

    /// Counts the samples of all inner windows, of which each has a value, and moves `cursor` behind
    /// them.
    pub(super) fn pass_inner(
        &mut self,
        inner: &Inner,
        cursor: &mut Cursor,
    ) -> Result<(), ExecError> {
        let count = inner.hi - inner.lo;
        self.context.stats.touch(count)?;
        let counts = &mut self.context.stats.per_step;
        counts.queryable[inner.steps.clone()].iter_mut().for_each(|total| *total += count as u64);
        let taken_in = count.min(inner.stride) as u64;
        let (first, others) = (inner.steps.start, inner.steps.start + 1..inner.steps.end);
        counts.read[first] += (inner.hi - inner.lo.max(cursor.read_end)) as u64;
        counts.read[others.clone()].iter_mut().for_each(|total| *total += taken_in);
        set_range(&mut self.row.present, inner.steps.clone());
        let moved = others.len() * inner.stride;
        let (lo, hi) = (inner.lo + moved, inner.hi + moved);
        *cursor = Cursor { lo, hi, read_end: hi };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::exec::annotations::Annotations;
    use crate::exec::row::Row;
    use crate::exec::stage::{Scratch, StageContext};
    use crate::exec::stats::SampleStats;
    use crate::exec::window::{HistogramPoints, Points, run};
    use crate::plan::grid::{Grid, Lookup};
    use crate::plan::part::{Extend, Window};
    use crate::promql::functions::FunctionId;

    /// Values by step and what was counted.
    fn evaluate(
        function: FunctionId,
        range_ms: i64,
        samples: (&[i64], &[f64]),
        grid: Grid,
        lookup: Lookup,
    ) -> (Vec<Option<u64>>, SampleStats) {
        let window = Window {
            function,
            range_ms,
            extend: Extend::No,
            params: vec![],
            arg_positions: vec![Default::default()],
        };
        let (mut row, mut scratch) = (Row::default(), Scratch::default());
        let (mut annotations, mut stats) =
            (Annotations::default(), SampleStats::new(grid.step_count, usize::MAX));
        let mut context = StageContext {
            annotations: &mut annotations,
            stats: &mut stats,
            metric_name: "",
            type_and_unit: None,
            scratch: &mut scratch,
        };
        let histograms = HistogramPoints::default();
        let points = Points { times_ms: samples.0, values: samples.1, starts_ms: &[], histograms };
        run(&window, points, grid, lookup, 0, &mut row, &mut context).unwrap();
        let value = |step| row.as_ref().float(step).map(f64::to_bits);
        ((0..grid.step_count).map(value).collect(), stats)
    }

    proptest! {
        /// The plain way is taken where one sample is out of place, far behind all steps.
        #[test]
        fn it_answers_as_the_plain_way(
            distance_ms in 1i64..40,
            values in prop::collection::vec(0u8..200, 16..80),
            start_ms in 998_000i64..1_004_000,
            stride in 1i64..5,
            step_count in 16usize..120,
            range_ms in 1i64..600,
            offset_ms in -100i64..100,
            kind in 0usize..4,
        ) {
            use FunctionId::*;
            let function = [Rate, Increase, Delta, Rate][kind];
            let mut total = 0.0;
            let mut values: Vec<f64> = values
                .iter()
                .map(|&value| {
                    let value = f64::from(value) - 20.0;
                    total += value.max(0.0) * 0.1;
                    // A counter, or what jumps about.
                    if kind == 3 { value } else { total }
                })
                .collect();
            let mut times_ms: Vec<i64> =
                (0..values.len() as i64).map(|at| 1_000_000 + at * distance_ms).collect();
            let grid = Grid { start_ms, step_ms: distance_ms * stride, step_count };
            let lookup = Lookup::Offset { ms: offset_ms };
            let fast = evaluate(function, range_ms, (&times_ms, &values), grid, lookup);
            times_ms.push(i64::MAX);
            values.push(f64::INFINITY);
            let plain = evaluate(function, range_ms, (&times_ms, &values), grid, lookup);
            prop_assert_eq!(fast.0, plain.0);
            prop_assert_eq!(fast.1.per_step, plain.1.per_step);
            prop_assert_eq!(fast.1.peak, plain.1.peak);
        }
    }
}
