//! The stages of a series: one operation on its row, the same on a shard and in the gather.

use crate::plan::grid::Grid;
use crate::plan::part::{Map, Stage};
use crate::promql::ast::{BinaryOp, PosRange};

use super::annotations::Annotations;
use super::elementwise::{arithmetic_in_place, comparison, filter_row};
use super::error::ExecError;
use super::functions::{math, time};
use super::matrix::{Row, ones};
use super::stats::SampleStats;
use super::window::{self, Points};

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
            map_row(map, row, *grid, context.annotations);
            Ok(())
        }
        Stage::Window { window, lookup, grid: wanted } => {
            let mut times_ms = std::mem::take(&mut context.scratch.times_ms);
            let mut values = std::mem::take(&mut context.scratch.points);
            times_ms.clear();
            values.clear();
            for step in ones(&row.present) {
                times_ms.push(grid.time_ms(step));
                values.push(row.values[step]);
            }
            let points = Points { times_ms: &times_ms, values: &values };
            let result = window::run(window, points, *wanted, *lookup, 0, row, context);
            context.scratch.times_ms = times_ms;
            context.scratch.points = values;
            *grid = *wanted;
            result
        }
    }
}

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
            scalar_row(
                *op,
                row,
                |step| scalar.at(step),
                *swapped,
                *return_bool,
                || float_only(annotations, *op, *position),
            );
        }
        Map::Nothing => row.present.fill(0),
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
        refused();
        row.present.fill(0);
        return;
    }
    if swapped {
        arithmetic_in_place(op, &mut row.values, |step, value| (scalar(step), value));
    } else {
        arithmetic_in_place(op, &mut row.values, |step, value| (value, scalar(step)));
    }
}

/// An operator of native histograms met two floats.
pub fn float_only(annotations: &mut Annotations, op: BinaryOp, position: PosRange) {
    let op = if op == BinaryOp::TrimUpper { "</" } else { ">/" };
    annotations.info(
        position,
        format!(
            "incompatible sample types encountered for binary operator {op:?}: float {op} float"
        ),
    );
}
