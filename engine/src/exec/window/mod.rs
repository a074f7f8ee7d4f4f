//! Functions over range vectors: the samples of a series, a window that slides over them.
//!
//! ```text
//! samples   ·  ·  ·  ·  ·  ·  ·  ·      decoded once into two columns
//! window       (lo          hi]         left-open; both ends only move forward
//! row          one value per step
//! ```
//!
//! Every function is a closure over `lo..hi`. Where it can be exact it does O(1) a step: counts
//! by prefix sums, extremes by a monotone queue, rates by the list of resets. Sums, averages and
//! regressions run over the window each time, because a compensated sum depends on its first
//! summand and must be bit-equal to Prometheus; a series of integers is the exception
//! ([`sums`]).
//!
//! The kernels are of floats. A series with native histograms runs through them with its floats;
//! then [`histograms`] walks the windows that hold histograms and sets right what comes of them.
//! A series with start timestamps takes the plain way of [`starts`].
//!
//! Source: Prometheus `promql/functions.go`, `promql/engine.go` (`matrixIterSlice`).

mod counter;
mod extended;
mod extrapolation;
mod extremes;
mod histogram_extended;
mod histogram_rate;
mod histogram_sums;
mod histograms;
mod order;
mod regression;
mod regular;
mod starts;
mod sums;

use std::ops::Range;
use std::sync::Arc;

use crate::model::FloatHistogram;
use crate::plan::grid::{Grid, Lookup};
use crate::plan::part::{Extend, Window};
use crate::promql::functions::FunctionId;

pub use counter::has_doubtful_name;
pub use extended::extend;
pub use extrapolation::Extrapolation;
pub use histogram_extended::{Interpolated, interpolate};

use super::error::ExecError;
use super::row::Row;
use super::stage::StageContext;

/// Samples of one series, ascending by time; where windows look at them, without staleness
/// markers.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    pub times_ms: &'a [i64],
    pub values: &'a [f64],
    /// Empty where start timestamps are unknown or of no matter.
    pub starts_ms: &'a [i64],
    pub histograms: HistogramPoints<'a>,
}

/// The native histograms of a series.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistogramPoints<'a> {
    pub times_ms: &'a [i64],
    pub list: &'a [Arc<FloatHistogram>],
    /// As those of the floats.
    pub starts_ms: &'a [i64],
}

impl Points<'_> {
    pub fn is_empty(&self) -> bool {
        self.times_ms.is_empty() && self.histograms.times_ms.is_empty()
    }
}

/// Columns that every series uses anew.
#[derive(Debug, Default)]
pub struct Scratch {
    indices: Vec<u32>,
    floats: Vec<f64>,
}

/// A window at one step; holds at least one sample.
#[derive(Clone, Copy, Debug)]
struct Span {
    step: usize,
    /// The samples `lo..hi`.
    lo: usize,
    hi: usize,
    evaluation_ms: i64,
    /// The window is `(start_ms, end_ms]`; an extended one holds samples beyond.
    start_ms: i64,
    end_ms: i64,
}

/// Computes `window` over `points` at every time of `grid` into `row`.
///
/// `lookback_ms` is how far an extended window reaches beyond its edges. Cost: O(samples + steps)
/// for most functions, O(samples of all windows) for those that must look at each again.
///
/// # Errors
///
/// When a window holds more samples than the query may, and for parameters that have no meaning.
pub fn run(
    window: &Window,
    points: Points<'_>,
    grid: Grid,
    lookup: Lookup,
    lookback_ms: i64,
    row: &mut Row,
    context: &mut StageContext<'_>,
) -> Result<(), ExecError> {
    row.reset(grid.step_count);
    if points.is_empty() {
        return Ok(());
    }
    let mut slide = Slide { points, grid, lookup, lookback_ms, window, row, context };
    use FunctionId::*;
    let has_starts = !points.starts_ms.is_empty();
    match window.function {
        _ if window.extend != Extend::No => extended::run(&mut slide),
        Rate | Increase | Irate | Resets if has_starts => starts::run(&mut slide),
        Rate | Increase | Delta => counter::extrapolated(&mut slide),
        Irate | Idelta => counter::instant(&mut slide),
        Changes | Resets => counter::steps_between(&mut slide),
        SumOverTime => sums::sum(&mut slide),
        AvgOverTime => sums::average(&mut slide),
        StddevOverTime | StdvarOverTime => sums::variance(&mut slide),
        MaxOverTime | MinOverTime | TsOfMaxOverTime | TsOfMinOverTime => extremes::run(&mut slide),
        QuantileOverTime => order::quantile(&mut slide),
        MadOverTime => order::median_deviation(&mut slide),
        Deriv | PredictLinear => regression::linear(&mut slide),
        DoubleExponentialSmoothing => regression::smoothing(&mut slide),
        CountOverTime => slide.each(|span, _| Some((span.hi - span.lo) as f64)),
        PresentOverTime | AbsentOverTime => slide.each(|_, _| Some(1.0)),
        FirstOverTime => slide.each(|span, points| Some(points.values[span.lo])),
        LastOverTime => slide.each(|span, points| Some(points.values[span.hi - 1])),
        TsOfFirstOverTime => slide.each(|span, points| Some(seconds(points.times_ms[span.lo]))),
        TsOfLastOverTime => slide.each(|span, points| Some(seconds(points.times_ms[span.hi - 1]))),
        other => panic!("{other:?} must be a function of a range vector"),
    }?;
    if !points.histograms.times_ms.is_empty() {
        histograms::run(&mut slide)?;
    }
    let row = &slide.row;
    if matches!(window.function, Rate | Increase)
        && row.histograms.floats(&row.present).any(|word| word != 0)
    {
        counter::doubt(&mut slide);
    }
    Ok(())
}

#[inline]
fn seconds(time_ms: i64) -> f64 {
    time_ms as f64 / 1000.0
}

/// Where a window stands.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    lo: usize,
    hi: usize,
    /// End of the window before: what lies after it was not read for that one.
    read_end: usize,
}

/// A window on its way over the samples of a series.
struct Slide<'a, 'b> {
    points: Points<'a>,
    grid: Grid,
    lookup: Lookup,
    lookback_ms: i64,
    window: &'a Window,
    row: &'a mut Row,
    context: &'a mut StageContext<'b>,
}

impl Slide<'_, '_> {
    /// How far an extended window reaches beyond its edges, in milliseconds.
    fn reach(&self) -> (i64, i64) {
        match self.window.extend {
            Extend::No => (0, 0),
            Extend::Anchored => (self.lookback_ms, 0),
            Extend::Smoothed => (self.lookback_ms, self.lookback_ms),
        }
    }

    /// Calls `value` for every step whose window holds a sample and keeps what it returns.
    #[inline]
    fn each(
        &mut self,
        mut value: impl FnMut(Span, Points<'_>) -> Option<f64>,
    ) -> Result<(), ExecError> {
        self.try_each(|span, points| Ok(value(span, points)))
    }

    #[inline]
    fn try_each(
        &mut self,
        value: impl FnMut(Span, Points<'_>) -> Result<Option<f64>, ExecError>,
    ) -> Result<(), ExecError> {
        self.try_each_of(0..self.grid.step_count, &mut Cursor::default(), value)
    }

    /// As [`Slide::try_each`], for some steps; `cursor` comes from the steps before.
    #[inline]
    fn try_each_of(
        &mut self,
        steps: Range<usize>,
        cursor: &mut Cursor,
        mut value: impl FnMut(Span, Points<'_>) -> Result<Option<f64>, ExecError>,
    ) -> Result<(), ExecError> {
        let times_ms = self.points.times_ms;
        let (before_ms, after_ms) = self.reach();
        let Cursor { mut lo, mut hi, mut read_end } = *cursor;
        for step in steps {
            let evaluation_ms = self.grid.time_ms(step);
            let end_ms = self.lookup.time_ms(evaluation_ms);
            let start_ms = end_ms.saturating_sub(self.window.range_ms);
            let first_ms = start_ms.saturating_sub(before_ms);
            let last_ms = end_ms.saturating_add(after_ms);
            while hi < times_ms.len() && times_ms[hi] <= last_ms {
                hi += 1;
            }
            while lo < hi && times_ms[lo] <= first_ms {
                lo += 1;
            }
            let taken_in = hi - lo.max(std::mem::replace(&mut read_end, hi));
            if lo == hi {
                continue;
            }
            self.context.stats.touch(hi - lo)?;
            let counts = &mut self.context.stats.per_step;
            counts.queryable[step] += (hi - lo) as u64;
            counts.read[step] += taken_in as u64;
            let span = Span { step, lo, hi, evaluation_ms, start_ms, end_ms };
            if let Some(value) = value(span, self.points)? {
                self.row.set(step, value);
            }
        }
        *cursor = Cursor { lo, hi, read_end };
        Ok(())
    }
}
