//! Windows that hold native histograms.
//!
//! The kernels of floats have run, and each step has what its floats alone give. Here every window
//! with a histogram is looked at again: functions that know histograms give theirs, those that do
//! not say that they left some out, and where both kinds do not go together there is nothing.
//!
//! Cost: for `rate` and `increase` O(histograms + windows), because where a counter was reset is
//! found once, and so it mostly is for sums and averages ([`histogram_sums`]); else O(samples of
//! all windows with histograms).

use std::sync::Arc;

use crate::exec::annotations::Annotations;
use crate::exec::bits::unset;
use crate::exec::error::ExecError;
use crate::exec::histogram_sum::HistogramSum;
use crate::exec::histograms::sample_count;
use crate::exec::remarks::Operation;
use crate::exec::stage::StageContext;
use crate::model::FloatHistogram;
use crate::model::histogram::CounterReset;
use crate::plan::part::{Extend, Window};
use crate::promql::ast::PosRange;
use crate::promql::functions::FunctionId;

use super::histogram_sums::ExactSums;
use super::starts::Times;
use super::{HistogramPoints, Points, Slide, Span, regression, seconds};

/// A window with histograms and, perhaps, floats.
pub(super) struct Mixed<'a, 'b> {
    pub span: Span,
    pub window: &'a Window,
    /// Those of the window; `histograms` of this is not used.
    pub floats: Points<'a>,
    pub histograms: HistogramPoints<'a>,
    /// Of the whole series, in which the window's histograms begin at `histogram_lo`.
    pub facts: &'a Facts,
    pub histogram_lo: usize,
    pub context: &'a mut StageContext<'b>,
}

/// What is known of the histograms of a series before any window is looked at.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Samples that those before each histogram count as, and all of them.
    sizes: Vec<usize>,
    /// Histograms before which a counter was reset, ascending; only for `rate` and `increase`.
    resets: Vec<u32>,
    /// They have one schema, and none is a gauge's.
    pub is_uniform: bool,
    /// Only for sums and averages.
    sums: Option<ExactSums>,
}

impl Facts {
    fn new(points: HistogramPoints<'_>, window: &Window) -> Facts {
        let mut sizes = vec![0];
        sizes.extend(points.list.iter().scan(0, |size, histogram| {
            *size += sample_count(histogram);
            Some(*size)
        }));
        match window.function {
            FunctionId::Rate | FunctionId::Increase => {}
            FunctionId::SumOverTime | FunctionId::AvgOverTime => {
                return Facts { sizes, sums: ExactSums::of(points.list), ..Facts::default() };
            }
            _ => return Facts { sizes, ..Facts::default() },
        }
        let times = |index| Times::at(points.times_ms, points.starts_ms, index);
        let is_reset = |index: &usize| {
            times(*index).is_reset_after(times(*index - 1))
                || points.list[*index].detect_reset(&points.list[*index - 1])
        };
        let resets = (1..points.list.len()).filter(is_reset).map(|index| index as u32).collect();
        let schema = points.list[0].schema;
        let is_uniform = points.list.iter().all(|histogram| {
            histogram.schema == schema && histogram.counter_reset != CounterReset::Gauge
        });
        Facts { sizes, resets, is_uniform, sums: None }
    }

    /// Resets between the histograms `lo..hi`.
    pub fn resets(&self, lo: usize, hi: usize) -> impl Iterator<Item = usize> {
        let first = self.resets.partition_point(|&index| index as usize <= lo);
        let inside = self.resets[first..].iter().map(|&index| index as usize);
        inside.take_while(move |index| *index < hi)
    }
}

/// What comes of a window.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// What the floats gave stays.
    AsItIs,
    Nothing,
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// Sets right every step whose window holds a histogram.
pub(super) fn run(slide: &mut Slide<'_, '_>) -> Result<(), ExecError> {
    let points = slide.points;
    let (before_ms, after_ms) = slide.reach();
    let facts = Facts::new(points.histograms, slide.window);
    let mut floats = Bounds::default();
    let mut histograms = Bounds::default();
    // As with floats: see `try_each`.
    let mut read_end = 0;
    for step in 0..slide.grid.step_count {
        let evaluation_ms = slide.grid.time_ms(step);
        let end_ms = slide.lookup.time_ms(evaluation_ms);
        let start_ms = end_ms.saturating_sub(slide.window.range_ms);
        let first_ms = start_ms.saturating_sub(before_ms);
        let last_ms = end_ms.saturating_add(after_ms);
        floats.slide(points.times_ms, first_ms, last_ms);
        histograms.slide(points.histograms.times_ms, first_ms, last_ms);
        let read_begin = histograms.lo.max(std::mem::replace(&mut read_end, histograms.hi));
        if histograms.lo == histograms.hi {
            continue;
        }
        let size = facts.sizes[histograms.hi] - facts.sizes[histograms.lo];
        slide.context.stats.touch(floats.hi - floats.lo + size)?;
        let taken_in = facts.sizes[histograms.hi] - facts.sizes[read_begin];
        let counts = &mut slide.context.stats.per_step;
        counts.queryable[step] += size as u64;
        counts.read[step] += taken_in as u64;
        let found = Mixed {
            span: Span { step, lo: floats.lo, hi: floats.hi, evaluation_ms, start_ms, end_ms },
            window: slide.window,
            floats: slice_floats(points, &floats),
            histograms: slice_histograms(points.histograms, &histograms),
            facts: &facts,
            histogram_lo: histograms.lo,
            context: slide.context,
        }
        .find()?;
        match found {
            Found::AsItIs => {}
            Found::Nothing => unset(&mut slide.row.present, step),
            Found::Float(value) => slide.row.set(step, value),
            Found::Histogram(histogram) => slide.row.set_histogram(step, histogram),
        }
    }
    Ok(())
}

/// The samples of a window by index; both ends only move forward.
#[derive(Default)]
struct Bounds {
    lo: usize,
    hi: usize,
}

impl Bounds {
    fn slide(&mut self, times_ms: &[i64], first_ms: i64, last_ms: i64) {
        while self.hi < times_ms.len() && times_ms[self.hi] <= last_ms {
            self.hi += 1;
        }
        while self.lo < self.hi && times_ms[self.lo] <= first_ms {
            self.lo += 1;
        }
    }
}

/// A part of a column that may be empty.
fn part<'a>(column: &'a [i64], bounds: &Bounds) -> &'a [i64] {
    if column.is_empty() { column } else { &column[bounds.lo..bounds.hi] }
}

fn slice_floats<'a>(points: Points<'a>, bounds: &Bounds) -> Points<'a> {
    Points {
        times_ms: part(points.times_ms, bounds),
        values: &points.values[bounds.lo..bounds.hi],
        starts_ms: part(points.starts_ms, bounds),
        histograms: HistogramPoints::default(),
    }
}

fn slice_histograms<'a>(points: HistogramPoints<'a>, bounds: &Bounds) -> HistogramPoints<'a> {
    HistogramPoints {
        times_ms: part(points.times_ms, bounds),
        list: &points.list[bounds.lo..bounds.hi],
        starts_ms: part(points.starts_ms, bounds),
    }
}

impl<'a, 'b> Mixed<'a, 'b> {
    fn find(&mut self) -> Result<Found, ExecError> {
        use FunctionId::*;
        let (floats, histograms) = (self.floats, self.histograms);
        let has_floats = !floats.values.is_empty();
        let histogram = |found: Option<FloatHistogram>| {
            found.map_or(Found::Nothing, |histogram| Found::Histogram(Arc::new(histogram)))
        };
        // Without floats these are beyond all times.
        let first_float_ms = floats.times_ms.first().copied().unwrap_or(i64::MAX);
        let last_float_ms = floats.times_ms.last().copied().unwrap_or(i64::MIN);
        let first_ms = histograms.times_ms[0];
        let last_ms = histograms.times_ms[histograms.times_ms.len() - 1];
        Ok(match self.window.function {
            Rate | Increase | Delta | SumOverTime | AvgOverTime if has_floats => {
                self.mixed_range();
                Found::Nothing
            }
            Rate | Increase | Delta if self.window.extend == Extend::No => {
                histogram(self.extrapolated())
            }
            Rate | Increase | Delta => histogram(self.extended()),
            Irate | Idelta => self.instant(),
            Changes | Resets => self.steps_between(),
            SumOverTime => histogram(self.sum(false)),
            AvgOverTime => histogram(self.sum(true)),
            CountOverTime => Found::Float((floats.values.len() + histograms.list.len()) as f64),
            PresentOverTime | AbsentOverTime => Found::Float(1.0),
            FirstOverTime if first_float_ms < first_ms => Found::AsItIs,
            FirstOverTime => Found::Histogram(histograms.list[0].clone()),
            LastOverTime if last_ms < last_float_ms => Found::AsItIs,
            LastOverTime => Found::Histogram(histograms.list[histograms.list.len() - 1].clone()),
            TsOfFirstOverTime => Found::Float(seconds(first_ms.min(first_float_ms))),
            TsOfLastOverTime => Found::Float(seconds(last_ms.max(last_float_ms))),
            function => {
                if function == DoubleExponentialSmoothing {
                    regression::check_factors(self.window, self.span.step)?;
                }
                if has_floats {
                    let (name, position) = (self.name(), self.position());
                    self.annotations().ignored_in_range(name, position);
                }
                Found::AsItIs
            }
        })
    }

    fn sum(&mut self, averages: bool) -> Option<FloatHistogram> {
        let list = self.histograms.list;
        if let Some(sums) = &self.facts.sums {
            let (lo, hi) = (self.histogram_lo, self.histogram_lo + list.len());
            let sum = sums.over(lo, hi, &list[0], averages);
            if sum.resets_collide {
                let position = self.position();
                self.annotations().reset_collision(Operation::Aggregation, position);
            }
            return Some(sum.histogram);
        }
        let mut sum = HistogramSum::first(&list[0], averages);
        if list[1..].iter().any(|histogram| sum.add(histogram).is_err()) {
            self.mixed_buckets();
            return None;
        }
        let position = self.position();
        Some(sum.finish(self.annotations(), position))
    }

    /// Pairs of neighbours that differ, or between which a counter was reset.
    fn steps_between(&self) -> Found {
        let Some((mut float, mut histogram)) = self.first_indices() else { return Found::Nothing };
        let (floats, histograms) = (self.floats, self.histograms);
        let is_resets = self.window.function == FunctionId::Resets;
        let mut previous: Option<(Times, f64, Option<&FloatHistogram>)> = None;
        let mut count = 0;
        while float < floats.values.len() || histogram < histograms.list.len() {
            let float_ms = floats.times_ms.get(float).copied().unwrap_or(i64::MAX);
            let histogram_ms = histograms.times_ms.get(histogram).copied().unwrap_or(i64::MAX);
            let sample = if float_ms < histogram_ms {
                float += 1;
                let times = Times::at(floats.times_ms, floats.starts_ms, float - 1);
                (times, floats.values[float - 1], None)
            } else {
                histogram += 1;
                let times = Times::at(histograms.times_ms, histograms.starts_ms, histogram - 1);
                (times, 0.0, Some(&*histograms.list[histogram - 1]))
            };
            if let Some(previous) = previous {
                let is_start_reset = is_resets && sample.0.is_reset_after(previous.0);
                let is_step = match (previous.2, sample.2) {
                    (None, None) if is_resets => sample.1 < previous.1 || is_start_reset,
                    (None, None) => {
                        sample.1 != previous.1 && !(sample.1.is_nan() && previous.1.is_nan())
                    }
                    (Some(before), Some(histogram)) if is_resets => {
                        is_start_reset || histogram.detect_reset(before)
                    }
                    (Some(before), Some(histogram)) => !histogram.equals(before),
                    _ => true,
                };
                count += u32::from(is_step);
            }
            previous = Some(sample);
        }
        Found::Float(f64::from(count))
    }

    /// The first float and the first histogram to look at. An anchored window begins with the
    /// newest sample of either kind that is not after its left edge; none if nothing comes later.
    ///
    /// Source: Prometheus `promql/functions.go`, `pickFirstSampleIndices`.
    fn first_indices(&self) -> Option<(usize, usize)> {
        if self.window.extend != Extend::Anchored {
            return Some((0, 0));
        }
        let (floats, histograms) = (self.floats.times_ms, self.histograms.times_ms);
        let before = |times_ms: &[i64]| times_ms.partition_point(|&ms| ms <= self.span.start_ms);
        let (float, histogram) = (before(floats), before(histograms));
        if float >= floats.len() && histogram >= histograms.len() {
            return None;
        }
        Some(match (float.checked_sub(1), histogram.checked_sub(1)) {
            (None, None) => (0, 0),
            (Some(anchor), None) => (anchor, histogram),
            (Some(anchor), Some(other)) if floats[anchor] >= histograms[other] => {
                (anchor, histogram)
            }
            (_, Some(anchor)) => (float, anchor),
        })
    }

    pub(super) fn name(&self) -> &'b str {
        self.context.metric_name
    }

    pub(super) fn position(&self) -> PosRange {
        self.window.arg_positions[0]
    }

    pub(super) fn annotations(&mut self) -> &mut Annotations {
        self.context.annotations
    }

    pub(super) fn mixed_range(&mut self) {
        let (name, position) = (self.name(), self.position());
        self.annotations().mixed_range(name, position);
    }

    pub(super) fn mixed_buckets(&mut self) {
        let (name, position) = (self.name(), self.position());
        self.annotations().mixed_buckets(name, position);
    }

    pub(super) fn no_counter(&mut self) {
        let (name, position) = (self.name(), self.position());
        self.annotations().no_counter(name, position);
    }

    pub(super) fn no_gauge(&mut self) {
        let (name, position) = (self.name(), self.position());
        self.annotations().no_gauge(name, position);
    }

    pub(super) fn reconciled(&mut self, operation: Operation) {
        let position = self.position();
        self.annotations().bounds_reconciled(operation, position);
    }
}
