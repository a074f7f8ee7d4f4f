//! From the samples of a window to how much a series moved in all of it: `rate`, `increase`, `delta`.
//!
//! A series whose samples end well inside the window is taken to begin or end there, half an interval
//! beyond its outermost sample; a counter is not extended below zero.
//!
//! Source: Prometheus `promql/functions.go`, `extrapolatedRate`.

use crate::plan::part::Window;
use crate::promql::functions::FunctionId;

/// Products with rises from here on have their usual precision.
const RISE_MIN: f64 = 1e-290;

/// How samples lie in their window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// At least two.
    pub count: usize,
    /// From the window's start to the first sample, from there to the last, from there to the end.
    pub before_ms: i64,
    pub sampled_ms: i64,
    pub after_ms: i64,
}

impl Fit {
    /// Of the samples at `times_ms`, of which there are two at least.
    #[inline]
    pub fn of(times_ms: &[i64], start_ms: i64, end_ms: i64) -> Fit {
        let (first_ms, last_ms) = (times_ms[0], times_ms[times_ms.len() - 1]);
        Fit {
            count: times_ms.len(),
            before_ms: first_ms - start_ms,
            sampled_ms: last_ms - first_ms,
            after_ms: end_ms - last_ms,
        }
    }
}

/// A function, and what it does to a rise. Windows over regular samples are mostly all alike, so what
/// the last one came to is kept: it costs six divisions.
#[derive(Clone, Debug)]
pub struct Extrapolation {
    pub is_counter: bool,
    /// The window's, where the result is a rate.
    per_seconds: Option<f64>,
    fit: Fit,
    /// Between the first and the last sample, in seconds.
    sampled: f64,
    /// How far the series is taken to reach before its first sample, and beyond its last.
    to_start: f64,
    to_end: f64,
    /// The factor, unless the counter would begin below zero.
    usual: f64,
    /// A counter whose first value is more than so many times its rise is above zero at the window's
    /// start, however quotients are rounded.
    well_above: f64,
}

impl Extrapolation {
    pub fn of(window: &Window) -> Extrapolation {
        let seconds = window.range_ms as f64 / 1000.0;
        Extrapolation {
            is_counter: window.function != FunctionId::Delta,
            per_seconds: (window.function == FunctionId::Rate).then_some(seconds),
            fit: Fit::default(),
            sampled: 0.0,
            to_start: 0.0,
            to_end: 0.0,
            usual: 1.0,
            well_above: 0.0,
        }
    }

    /// Prepares for windows in which samples lie like this.
    #[inline]
    pub fn set(&mut self, fit: Fit) {
        if self.fit != fit {
            self.set_other(fit);
        }
    }

    #[cold]
    fn set_other(&mut self, fit: Fit) {
        self.fit = fit;
        self.to_start = fit.before_ms as f64 / 1000.0;
        self.to_end = fit.after_ms as f64 / 1000.0;
        self.sampled = fit.sampled_ms as f64 / 1000.0;
        let average = self.sampled / (fit.count - 1) as f64;
        let threshold = average * 1.1;
        if self.to_start >= threshold {
            self.to_start = average / 2.0;
        }
        if self.to_end >= threshold {
            self.to_end = average / 2.0;
        }
        self.usual = self.factor(self.to_start);
        self.well_above = self.to_start / self.sampled * 1.001;
    }

    /// What a rise is multiplied by if the series reaches `to_start` seconds before its first sample.
    fn factor(&self, to_start: f64) -> f64 {
        let factor = if self.sampled == 0.0 {
            1.0
        } else {
            (self.sampled + to_start + self.to_end) / self.sampled
        };
        self.per_seconds.map_or(factor, |seconds| factor / seconds)
    }

    /// The result of a window whose first value is `first`, and in which the series moved by `rise`.
    #[inline]
    pub fn value(&self, first: f64, rise: f64) -> f64 {
        let mut factor = self.usual;
        // Of a rise that is hardly a number nobody can say how rounding goes.
        if self.is_counter
            && rise > 0.0
            && first >= 0.0
            && (first <= rise * self.well_above || rise < RISE_MIN)
        {
            let to_zero = self.sampled * (first / rise);
            if to_zero < self.to_start {
                factor = self.factor(to_zero);
            }
        }
        rise * factor
    }

    /// The result of a window that holds just these samples; `None` of fewer than two.
    #[inline]
    pub fn whole(
        &mut self,
        times_ms: &[i64],
        values: &[f64],
        start_ms: i64,
        end_ms: i64,
    ) -> Option<f64> {
        let [first, .., last] = *values else { return None };
        self.set(Fit::of(times_ms, start_ms, end_ms));
        let mut rise = last - first;
        if self.is_counter && falls(values) {
            for pair in values.windows(2).filter(|pair| pair[1] < pair[0]) {
                rise += pair[0];
            }
        }
        Some(self.value(first, rise))
    }
}

/// Whether any value is below the one before. Without an exit in the middle, so that it becomes
/// vector instructions.
#[inline]
pub fn falls(values: &[f64]) -> bool {
    let later = values.get(1..).unwrap_or_default();
    values.iter().zip(later).fold(false, |falls, (value, next)| falls | (next < value))
}
