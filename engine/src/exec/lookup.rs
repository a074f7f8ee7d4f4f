//! Instant selectors: which sample stands for a time.

pub mod regular;

use crate::model::histogram::CounterReset;
use crate::model::{LabelsRef, is_stale_nan};
use crate::plan::part::{Select, SelectOutput};
use crate::promql::ast::PosRange;

use super::annotations::Annotations;
use super::bits::unset;
use super::error::ExecError;
use super::row::Row;
use super::window::{Interpolated, Points, interpolate};

/// The newest sample not older than the lookback, unless it is a staleness marker. O(samples +
/// steps).
///
/// Errors: a native histogram where `info` looks for a float.
pub fn look_back(
    select: &Select,
    points: Points<'_>,
    labels: LabelsRef<'_>,
    row: &mut Row,
) -> Result<(), ExecError> {
    let (grid, times_ms) = (select.grid, points.times_ms);
    row.reset(grid.step_count);
    if points.histograms.times_ms.is_empty() && regular::look_back(select, points, row) {
        return Ok(());
    }
    let mut after = 0;
    for step in 0..grid.step_count {
        let time_ms = select.lookup.time_ms(grid.time_ms(step));
        while after < times_ms.len() && times_ms[after] <= time_ms {
            after += 1;
        }
        let Some(index) = after.checked_sub(1) else { continue };
        let sample_ms = times_ms[index];
        if sample_ms <= time_ms.saturating_sub(select.lookback_ms)
            || is_stale_nan(points.values[index])
        {
            continue;
        }
        let value = match select.output {
            SelectOutput::Timestamp => sample_ms as f64 / 1000.0,
            SelectOutput::TimestampMs => sample_ms as f64,
            SelectOutput::StartTimestamp => start_seconds(points.starts_ms, index),
            _ => points.values[index],
        };
        row.set(step, value);
    }
    if points.histograms.times_ms.is_empty() {
        return Ok(());
    }
    look_back_to_histograms(select, points, labels, row)
}

/// Puts histograms where they are newer than the floats that the row holds.
fn look_back_to_histograms(
    select: &Select,
    points: Points<'_>,
    labels: LabelsRef<'_>,
    row: &mut Row,
) -> Result<(), ExecError> {
    let (grid, histograms) = (select.grid, points.histograms);
    let (mut after, mut floats_after) = (0, 0);
    for step in 0..grid.step_count {
        let time_ms = select.lookup.time_ms(grid.time_ms(step));
        while after < histograms.times_ms.len() && histograms.times_ms[after] <= time_ms {
            after += 1;
        }
        while floats_after < points.times_ms.len() && points.times_ms[floats_after] <= time_ms {
            floats_after += 1;
        }
        let Some(index) = after.checked_sub(1) else { continue };
        let (sample_ms, histogram) = (histograms.times_ms[index], &histograms.list[index]);
        let is_newest = floats_after == 0 || points.times_ms[floats_after - 1] < sample_ms;
        if !is_newest || sample_ms <= time_ms.saturating_sub(select.lookback_ms) {
            continue;
        }
        if is_stale_nan(histogram.sum) {
            unset(&mut row.present, step);
            continue;
        }
        match select.output {
            SelectOutput::TimestampMs => {
                return Err(ExecError::Evaluation(format!(
                    "this should be an info metric, with float samples: {labels}"
                )));
            }
            SelectOutput::Timestamp => row.set(step, sample_ms as f64 / 1000.0),
            SelectOutput::StartTimestamp => {
                row.set(step, start_seconds(histograms.starts_ms, index));
            }
            _ => row.set_histogram(step, histogram.clone()),
        }
    }
    Ok(())
}

fn start_seconds(starts_ms: &[i64], index: usize) -> f64 {
    starts_ms.get(index).map_or(0.0, |&start_ms| start_ms as f64 / 1000.0)
}

/// Of samples around a time: the last before it and the first not before it, both within the
/// lookback.
struct Neighbours {
    before: Option<usize>,
    after: Option<usize>,
}

impl Neighbours {
    /// `next` is the first sample not before `time_ms`; it only moves forward.
    fn find(times_ms: &[i64], next: &mut usize, time_ms: i64, lookback_ms: i64) -> Neighbours {
        while *next < times_ms.len() && times_ms[*next] < time_ms {
            *next += 1;
        }
        let reach = |index: &usize| {
            times_ms[*index] > time_ms.saturating_sub(lookback_ms)
                && times_ms[*index] <= time_ms.saturating_add(lookback_ms)
        };
        let before = next.checked_sub(1).filter(reach);
        let after = Some(*next).filter(|index| *index < times_ms.len()).filter(reach);
        Neighbours { before, after }
    }

    fn is_empty(&self) -> bool {
        self.before.is_none() && self.after.is_none()
    }
}

/// The value on the line between the samples around each time, within the lookback; without a
/// later one, the earlier one's.
///
/// Source: Prometheus `promql/engine.go`, `smoothSeries`.
pub fn smooth(
    select: &Select,
    points: Points<'_>,
    row: &mut Row,
    name: &str,
    position: PosRange,
    annotations: &mut Annotations,
) {
    let (grid, times_ms, values) = (select.grid, points.times_ms, points.values);
    row.reset(grid.step_count);
    let (mut next, mut next_histogram) = (0, 0);
    for step in 0..grid.step_count {
        let time_ms = select.lookup.time_ms(grid.time_ms(step));
        let floats = Neighbours::find(times_ms, &mut next, time_ms, select.lookback_ms);
        if !points.histograms.times_ms.is_empty() {
            let times_ms = points.histograms.times_ms;
            let histograms =
                Neighbours::find(times_ms, &mut next_histogram, time_ms, select.lookback_ms);
            if !histograms.is_empty() && !floats.is_empty() {
                annotations.mixed_range(name, position);
                continue;
            }
            smooth_histogram(points, histograms, step, time_ms, row, name, position, annotations);
        }
        let value = match (floats.before, floats.after) {
            (_, Some(after)) if times_ms[after] == time_ms => values[after],
            (Some(before), Some(after)) => {
                let share = (time_ms - times_ms[before]) as f64;
                let span = (times_ms[after] - times_ms[before]) as f64;
                values[before] + (values[after] - values[before]) * share / span
            }
            (Some(before), None) => values[before],
            (None, _) => continue,
        };
        row.set(step, value);
    }
}

#[expect(clippy::too_many_arguments, reason = "one step of `smooth`")]
fn smooth_histogram(
    points: Points<'_>,
    neighbours: Neighbours,
    step: usize,
    time_ms: i64,
    row: &mut Row,
    name: &str,
    position: PosRange,
    annotations: &mut Annotations,
) {
    let histograms = points.histograms;
    match (neighbours.before, neighbours.after) {
        (_, Some(after)) if histograms.times_ms[after] == time_ms => {
            row.set_histogram(step, histograms.list[after].clone());
        }
        (Some(before), Some(after)) => {
            let pair = (&histograms.list[before], &histograms.list[after]);
            if pair.0.uses_custom_bounds() != pair.1.uses_custom_bounds() {
                annotations.mixed_buckets(name, position);
                return;
            }
            // Only two gauges are none of a counter.
            let is_counter = pair.0.counter_reset != CounterReset::Gauge
                || pair.1.counter_reset != CounterReset::Gauge;
            match interpolate(histograms, before, time_ms, is_counter) {
                Ok(Interpolated { histogram, reconciled }) => {
                    reconciled.iter().for_each(|&operation| {
                        annotations.bounds_reconciled(operation, position);
                    });
                    row.set_histogram(step, histogram.into());
                }
                Err(_) => annotations.mixed_buckets(name, position),
            }
        }
        (Some(before), None) => {
            // What was known about a reset was known of the sample at its own time.
            let mut histogram = (*histograms.list[before]).clone();
            histogram.counter_reset = CounterReset::Unknown;
            row.set_histogram(step, histogram.into());
        }
        (None, _) => {}
    }
}
