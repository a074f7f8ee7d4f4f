//! The times at which an expression is evaluated, and how they map to times of samples.

/// Evaluation times `start_ms`, `start_ms + step_ms`, …: `step_count` of them, perhaps none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub start_ms: i64,
    /// At least 1.
    pub step_ms: i64,
    pub step_count: usize,
}

impl Grid {
    /// All multiples of `step_ms` after `start_ms` up to `end_ms` inclusive.
    pub fn new(start_ms: i64, end_ms: i64, step_ms: i64) -> Grid {
        assert!(step_ms > 0, "a grid's step is positive, not {step_ms}");
        let step_count = if end_ms < start_ms {
            0
        } else {
            (end_ms.saturating_sub(start_ms) / step_ms) as usize + 1
        };
        Grid { start_ms, step_ms, step_count }
    }

    /// One evaluation.
    pub fn instant(time_ms: i64) -> Grid {
        Grid { start_ms: time_ms, step_ms: 1, step_count: 1 }
    }

    #[inline]
    pub fn time_ms(&self, step: usize) -> i64 {
        self.start_ms.saturating_add(self.step_ms.saturating_mul(step as i64))
    }

    /// The last time of the grid. Of an empty grid: a time before its start.
    pub fn end_ms(&self) -> i64 {
        if self.step_count == 0 { self.start_ms - 1 } else { self.time_ms(self.step_count - 1) }
    }

    /// The first evaluation alone, for what does not depend on the step.
    pub fn first(&self) -> Grid {
        Grid { step_count: self.step_count.min(1), ..*self }
    }

    pub fn times_ms(self) -> impl Iterator<Item = i64> {
        (0..self.step_count).map(move |step| self.time_ms(step))
    }
}

/// How an evaluation time maps to the time at which samples are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// That many milliseconds before the evaluation time.
    Offset { ms: i64 },
    /// The `@` modifier, its offset applied: one time for all evaluations.
    At { ms: i64 },
}

impl Lookup {
    #[inline]
    pub fn time_ms(self, evaluation_ms: i64) -> i64 {
        match self {
            Lookup::Offset { ms } => evaluation_ms.saturating_sub(ms),
            Lookup::At { ms } => ms,
        }
    }

    pub fn is_fixed(self) -> bool {
        matches!(self, Lookup::At { .. })
    }
}

/// The grid of a subquery of `range_ms` with resolution `step_ms`, evaluated on `outer`.
///
/// Steps are multiples of `step_ms` in absolute time; the window is open on its left.
/// Source: Prometheus `promql/engine.go`, `subqueryTimeRange` (its division truncates to zero).
pub fn subquery_grid(outer: Grid, lookup: Lookup, range_ms: i64, step_ms: i64) -> Grid {
    let end_ms = lookup.time_ms(outer.end_ms());
    let open_ms = lookup.time_ms(outer.start_ms).saturating_sub(range_ms);
    let mut start_ms = step_ms.saturating_mul(open_ms / step_ms);
    if start_ms <= open_ms {
        start_ms = start_ms.saturating_add(step_ms);
    }
    Grid::new(start_ms, end_ms, step_ms)
}

#[cfg(test)]
mod tests {
    use super::{Grid, Lookup, subquery_grid};

    #[test]
    fn a_grid_holds_its_end_only_on_a_step() {
        assert_eq!(Grid::new(0, 10, 5).times_ms().collect::<Vec<_>>(), [0, 5, 10]);
        assert_eq!(Grid::new(0, 9, 5).times_ms().collect::<Vec<_>>(), [0, 5]);
        assert_eq!(Grid::new(0, -1, 5).times_ms().count(), 0);
        assert_eq!(Grid::new(i64::MIN, i64::MAX, i64::MAX).step_count, 2);
    }

    #[track_caller]
    fn check(outer: Grid, lookup: Lookup, range_ms: i64, step_ms: i64, expected: &[i64]) {
        let times: Vec<i64> = subquery_grid(outer, lookup, range_ms, step_ms).times_ms().collect();
        assert_eq!(times, expected);
    }

    #[test]
    fn a_subquery_is_aligned_and_left_open() {
        check(Grid::instant(20), Lookup::Offset { ms: 0 }, 10, 5, &[15, 20]);
        check(Grid::instant(21), Lookup::Offset { ms: 0 }, 10, 5, &[15, 20]);
        check(Grid::instant(20), Lookup::Offset { ms: 3 }, 10, 5, &[10, 15]);
        check(Grid::instant(20), Lookup::At { ms: 7 }, 10, 5, &[0, 5]);
        check(Grid::new(20, 33, 10), Lookup::Offset { ms: 0 }, 10, 10, &[20, 30]);
    }
}
