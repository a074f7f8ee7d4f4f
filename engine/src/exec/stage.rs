//! The stages of a series: one operation on its row, the same on a shard and in the gather.

use std::sync::Arc;

use crate::model::FloatHistogram;
use crate::model::histogram::CounterReset;
use crate::plan::grid::Grid;
use crate::plan::part::{Map, Stage};
use crate::promql::ast::BinaryOp;

use super::annotations::Annotations;
use super::bits::ones;
use super::elementwise::{arithmetic_in_place, comparison, filter_row};
use super::error::ExecError;
use super::functions::{math, time};
use super::row::Row;
use super::stage_histograms;
use super::stats::SampleStats;
use super::window::{self, HistogramPoints, Points};

/// What a stage may write beside its row.
pub struct StageContext<'a> {
    pub annotations: &'a mut Annotations,
    pub stats: &'a mut SampleStats,
    /// The metric's name, for annotations; empty once an operation has dropped it.
    pub metric_name: &'a str,
    pub type_and_unit: Option<&'a str>,
    /// Columns that are reused from row to row.
    pub scratch: &'a mut Scratch,
}

/// Buffers that every series uses anew.
#[derive(Debug, Default)]
pub struct Scratch {
    times_ms: Vec<i64>,
    points: Vec<f64>,
    histogram_times_ms: Vec<i64>,
    histograms: Vec<Arc<FloatHistogram>>,
    pub window: window::Scratch,
}

/// Runs `stage` on the row of one series; `grid` is the row's, and becomes that of the result.
pub fn run(
    stage: &Stage,
    row: &mut Row,
    grid: &mut Grid,
    context: &mut StageContext<'_>,
) -> Result<(), ExecError> {
    match stage {
        Stage::Map(map) => {
            map_points(map, row, *grid, context.annotations);
            Ok(())
        }
        Stage::Window { window, lookup, grid: wanted } => {
            // The scratch is lent to the window: its points stand aside.
            let mut times_ms = std::mem::take(&mut context.scratch.times_ms);
            let mut values = std::mem::take(&mut context.scratch.points);
            let mut histogram_times_ms = std::mem::take(&mut context.scratch.histogram_times_ms);
            let mut histograms = std::mem::take(&mut context.scratch.histograms);
            times_ms.clear();
            values.clear();
            histogram_times_ms.clear();
            histograms.clear();
            let kinds = &row.histograms;
            for step in ones(&row.present).filter(|step| !kinds.holds(*step)) {
                times_ms.push(grid.time_ms(step));
                values.push(row.values[step]);
            }
            for (step, histogram) in kinds.iter() {
                histogram_times_ms.push(grid.time_ms(step));
                histograms.push(without_hint(histogram));
            }
            let points = Points {
                times_ms: &times_ms,
                values: &values,
                starts_ms: &[],
                histograms: HistogramPoints {
                    times_ms: &histogram_times_ms,
                    list: &histograms,
                    starts_ms: &[],
                },
            };
            let result = window::run(window, points, *wanted, *lookup, 0, row, context);
            context.scratch.times_ms = times_ms;
            context.scratch.points = values;
            context.scratch.histogram_times_ms = histogram_times_ms;
            context.scratch.histograms = histograms;
            *grid = *wanted;
            result
        }
    }
}

/// A histogram as a subquery gives it. What was known about resets is not: the subquery may show a
/// sample more than once, or leave out the one that was reset.
fn without_hint(histogram: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match histogram.counter_reset {
        CounterReset::Unknown | CounterReset::Gauge => histogram.clone(),
        CounterReset::Reset | CounterReset::NotReset => {
            let mut histogram = (**histogram).clone();
            histogram.counter_reset = CounterReset::Unknown;
            Arc::new(histogram)
        }
    }
}

fn map_points(map: &Map, row: &mut Row, grid: Grid, annotations: &mut Annotations) {
    if row.histograms.is_empty() {
        map_row(map, row, grid, annotations);
        return;
    }
    if let Map::Timestamp = map {
        // Every point has a time.
        row.histograms.clear();
        map_row(map, row, grid, annotations);
        return;
    }
    let histograms = row.take_histograms();
    map_row(map, row, grid, annotations);
    stage_histograms::map(map, &histograms, row, annotations);
}

/// Maps a row of floats.
fn map_row(map: &Map, row: &mut Row, grid: Grid, annotations: &mut Annotations) {
    let values = &mut row.values;
    match map {
        Map::Negate => values.iter_mut().for_each(|value| *value = -*value),
        Map::Math(function) => math::run(*function, values),
        Map::Clamp { min, max } => {
            for (step, value) in values.iter_mut().enumerate() {
                *value = math::max(min.at(step), math::min(max.at(step), *value));
            }
            // Bounds that cross leave nothing; NaN crosses nothing.
            filter_row(values, &mut row.present, false, |step, _| {
                let (min, max) = (min.at(step), max.at(step));
                min <= max || min.is_nan() || max.is_nan()
            });
        }
        Map::Round { to } => {
            for (step, value) in values.iter_mut().enumerate() {
                // The inverse, because it errs less: Prometheus does it so.
                let inverse = 1.0 / to.at(step);
                *value = (*value * inverse + 0.5).floor() / inverse;
            }
        }
        Map::Date(function) => time::run(*function, values),
        Map::Timestamp => {
            for (step, value) in values.iter_mut().enumerate() {
                *value = grid.time_ms(step) as f64 / 1000.0;
            }
        }
        Map::Scalar { op, scalar, swapped, return_bool, position } => {
            let refused =
                || annotations.incompatible_types("float", op.as_str(), "float", *position);
            scalar_row(*op, row, |step| scalar.at(step), *swapped, *return_bool, refused);
        }
        Map::Histogram(_) | Map::Nothing => row.present.fill(0),
    }
}

fn scalar_row(
    op: BinaryOp,
    row: &mut Row,
    scalar: impl Fn(usize) -> f64,
    swapped: bool,
    return_bool: bool,
    refused: impl FnOnce(),
) {
    if let Some(holds) = comparison(op) {
        filter_row(&mut row.values, &mut row.present, return_bool, |step, value| {
            if swapped { holds(scalar(step), value) } else { holds(value, scalar(step)) }
        });
        return;
    }
    if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
        if !row.is_empty() {
            refused();
        }
        row.present.fill(0);
        return;
    }
    if swapped {
        arithmetic_in_place(op, &mut row.values, |step, value| (scalar(step), value));
    } else {
        arithmetic_in_place(op, &mut row.values, |step, value| (value, scalar(step)));
    }
}
