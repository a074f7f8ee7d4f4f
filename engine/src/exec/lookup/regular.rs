//! The lookback over samples at equal distances, of which the grid's step is a multiple: then the
//! samples that stand for the steps are a slice, or every so many of one, and are copied without a
//! look at the steps one by one. Most series are scraped so, and most dashboards ask so.

use std::ops::Range;

use crate::exec::bits::{set_range, unset};
use crate::exec::row::Row;
use crate::exec::window::Points;
use crate::kernels::are_apart;
use crate::model::{has_stale_nan, is_stale_nan};
use crate::plan::part::{Select, SelectOutput};

/// Fewer samples than this are not worth looking at their distances.
const SAMPLES_MIN: usize = 16;

/// Fills `row`, which is empty, and returns true; or leaves it, where the samples or the grid are
/// of another kind. O(samples + steps), in loops that become vector instructions.
pub fn look_back(select: &Select, points: Points<'_>, row: &mut Row) -> bool {
    let (grid, times_ms) = (select.grid, points.times_ms);
    if select.output != SelectOutput::Value
        || select.lookup.is_fixed()
        || times_ms.len() < SAMPLES_MIN
        || grid.step_count < SAMPLES_MIN
    {
        return false;
    }
    let Some(places) = Places::find(select, times_ms) else { return false };
    let Places { direct, first, stride, after } = places;
    let values = &mut row.values[direct.clone()];
    if stride == 1 {
        values.copy_from_slice(&points.values[first..][..direct.len()]);
    } else if !values.is_empty() {
        let chosen = points.values[first..].iter().step_by(stride);
        values.iter_mut().zip(chosen).for_each(|(value, chosen)| *value = *chosen);
    }
    row.values[after.clone()].fill(points.values[times_ms.len() - 1]);
    set_range(&mut row.present, direct.clone());
    set_range(&mut row.present, after.clone());
    let is_marker = |step: &usize| is_stale_nan(row.values[*step]);
    if has_stale_nan(&row.values[direct.clone()]) {
        direct.filter(is_marker).for_each(|step| unset(&mut row.present, step));
    }
    after.filter(is_marker).for_each(|step| unset(&mut row.present, step));
    true
}

/// Which samples stand for which steps.
struct Places {
    /// Steps for which a sample of their own stands: `first`, and `stride` further for each step.
    direct: Range<usize>,
    first: usize,
    stride: usize,
    /// Steps for which the last sample stands still.
    after: Range<usize>,
}

impl Places {
    fn find(select: &Select, times_ms: &[i64]) -> Option<Places> {
        let (grid, lookback_ms) = (select.grid, select.lookback_ms);
        let first_ms = times_ms[0];
        let distance_ms = times_ms[1].checked_sub(first_ms).filter(|distance| *distance > 0)?;
        if grid.step_ms % distance_ms != 0 || !are_apart(times_ms, distance_ms) {
            return None;
        }
        let stride = usize::try_from(grid.step_ms / distance_ms).ok()?;
        let since_ms = select.lookup.time_ms(grid.start_ms).checked_sub(first_ms)?;
        let end_ms = select.lookup.time_ms(grid.end_ms());
        // Times that were cut off at the edge of time are no grid.
        let span_ms = grid.step_ms.checked_mul(grid.step_count as i64 - 1)?;
        if end_ms.checked_sub(first_ms)?.checked_sub(since_ms)? != span_ms {
            return None;
        }
        let count = times_ms.len();
        // The sample that stands for the first step, if the samples went on before their first.
        let index = since_ms.div_euclid(distance_ms);
        let age_ms = since_ms.rem_euclid(distance_ms);
        let begin = (-index).max(0).unsigned_abs().div_ceil(stride as u64) as usize;
        let begin = begin.min(grid.step_count);
        let first = index + (begin * stride) as i64;
        let left = (count as i64 - first).max(0) as usize;
        let end = (begin + left.div_ceil(stride)).min(grid.step_count);
        if age_ms >= lookback_ms {
            return Some(Places { direct: 0..0, first: 0, stride, after: 0..0 });
        }
        // The last sample stands for times less than the lookback after it.
        let last_ms = times_ms[count - 1];
        let reach_ms = last_ms.saturating_add(lookback_ms - 1);
        let reached = reach_ms.saturating_sub(first_ms).saturating_sub(since_ms);
        let reached = if reached < 0 { 0 } else { reached / grid.step_ms + 1 };
        let after = end..grid.step_count.min(reached as usize).max(end);
        let first = if begin < end { first as usize } else { 0 };
        Some(Places { direct: begin..end, first, stride, after })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::look_back;
    use crate::exec::lookup;
    use crate::exec::row::Row;
    use crate::exec::window::{HistogramPoints, Points};
    use crate::model::LabelsRef;
    use crate::model::sample::stale_nan;
    use crate::plan::grid::{Grid, Lookup};
    use crate::plan::part::{Select, SelectOutput};

    /// Both ways over the same samples. The plain way is taken where one sample is out of place,
    /// far after all steps.
    fn check(
        distance_ms: i64,
        sample_count: usize,
        markers: &[usize],
        grid: Grid,
        offset_ms: i64,
        lookback_ms: i64,
    ) -> bool {
        let mut times_ms: Vec<i64> =
            (0..sample_count as i64).map(|n| 1_000_000 + n * distance_ms).collect();
        let mut values: Vec<f64> = (0..sample_count).map(|n| n as f64).collect();
        markers.iter().for_each(|&at| values[at % sample_count] = stale_nan());
        let lookup = Lookup::Offset { ms: offset_ms };
        let output = SelectOutput::Value;
        let select = Select { grid, lookup, output, lookback_ms, skips_buckets: false };
        let histograms = HistogramPoints::default();
        let mut fast = Row::default();
        fast.reset(grid.step_count);
        let points = Points { times_ms: &times_ms, values: &values, starts_ms: &[], histograms };
        let is_regular = look_back(&select, points, &mut fast);
        if !is_regular {
            assert!(fast.is_empty());
            return false;
        }
        times_ms.push(i64::MAX);
        values.push(0.0);
        let points = Points { times_ms: &times_ms, values: &values, starts_ms: &[], histograms };
        let mut plain = Row::default();
        lookup::look_back(&select, points, LabelsRef::EMPTY, &mut plain).unwrap();
        let shown = |row: &Row| {
            let steps = 0..grid.step_count;
            steps.map(|step| row.as_ref().float(step).map(f64::to_bits)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&fast), shown(&plain));
        true
    }

    #[test]
    fn grids_of_dashboards_are_taken() {
        let grid = |start_ms, step_ms| Grid { start_ms, step_ms, step_count: 100 };
        assert!(check(30_000, 100, &[], grid(1_000_000, 30_000), 0, 300_000));
        assert!(check(15_000, 300, &[7, 9], grid(1_000_007, 60_000), 0, 300_000));
        assert!(!check(15_000, 300, &[], grid(1_000_000, 20_000), 0, 300_000));
        assert!(!check(15_000, 5, &[], grid(1_000_000, 15_000), 0, 300_000));
    }

    proptest! {
        #[test]
        fn it_answers_as_the_plain_way(
            distance_ms in 1i64..50,
            sample_count in 16usize..80,
            markers in prop::collection::vec(0usize..80, 0..4),
            start_ms in 998_000i64..1_004_000,
            stride in 1i64..4,
            step_count in 16usize..150,
            offset_ms in -100i64..100,
            lookback_ms in 1i64..300,
        ) {
            let grid = Grid { start_ms, step_ms: distance_ms * stride, step_count };
            check(distance_ms, sample_count, &markers, grid, offset_ms, lookback_ms);
        }
    }
}
