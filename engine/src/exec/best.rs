//! The few best points of every step, found row by row, as rows lie in memory.
//!
//! ```text
//! slots   [step 0: k | step 1: k | … ]   value and row, in no order; the first `count` of each
//! bars    [step]                         what a value has to beat; NaN while everything is taken
//! ```
//!
//! Most points are turned away by a look at the bar. One that is taken costs a walk over the slots of
//! its step, and of n points in no order some k · ln(n / k) are.

use std::cmp::Ordering;

use super::functions::quantile::compare;
use super::row::RowRef;

/// Which of two points is the better one, as value and row: NaN is the worst either way; among
/// equals the earlier row is better.
#[inline]
pub fn better(is_largest: bool, a: &(f64, u32), b: &(f64, u32)) -> Ordering {
    let by_value = match (a.0.is_nan(), b.0.is_nan()) {
        (false, false) if is_largest => compare(&b.0, &a.0),
        (false, false) => compare(&a.0, &b.0),
        (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan),
    };
    by_value.then(a.1.cmp(&b.1))
}

pub struct Best {
    is_largest: bool,
    slot_count: usize,
    slots: Vec<(f64, u32)>,
    steps: Vec<Step>,
    bars: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    /// Most that are wanted.
    wanted: u32,
    count: u32,
    /// The slot of the worst one, once there are as many as wanted.
    worst: u32,
}

impl Best {
    /// For so many points at each step, the largest or the smallest.
    pub fn new(is_largest: bool, wanted: impl Iterator<Item = usize>) -> Best {
        let step = |wanted| Step { wanted: wanted as u32, count: 0, worst: 0 };
        let steps: Vec<Step> = wanted.map(step).collect();
        let slot_count = steps.iter().map(|step| step.wanted).max().unwrap_or(0) as usize;
        let best = if is_largest { f64::INFINITY } else { f64::NEG_INFINITY };
        let bar = |step: &Step| if step.wanted == 0 { best } else { f64::NAN };
        let bars = steps.iter().map(bar).collect();
        Best {
            is_largest,
            slot_count,
            slots: vec![(0.0, 0); slot_count * steps.len()],
            steps,
            bars,
        }
    }

    /// Takes note of a row's floats; rows come in ascending order.
    pub fn add_row(&mut self, row: u32, points: RowRef<'_>) {
        let is_largest = self.is_largest;
        points.for_each_float(|step, value| {
            let bar = self.bars[step];
            if (if is_largest { value > bar } else { value < bar }) || bar.is_nan() {
                self.take(step, (value, row));
            }
        });
    }

    fn take(&mut self, step: usize, point: (f64, u32)) {
        let is_largest = self.is_largest;
        let slots = &mut self.slots[step * self.slot_count..][..self.slot_count];
        let Step { wanted, count, worst } = &mut self.steps[step];
        if count < wanted {
            slots[*count as usize] = point;
            *count += 1;
        } else if better(is_largest, &point, &slots[*worst as usize]).is_lt() {
            slots[*worst as usize] = point;
        }
        if count == wanted {
            let slots = slots[..*count as usize].iter().enumerate();
            let found = slots.max_by(|(_, a), (_, b)| better(is_largest, a, b));
            let (index, (value, _)) = found.expect("more than none are wanted");
            *worst = index as u32;
            self.bars[step] = *value;
        }
    }

    /// The best points of a step, in no order.
    pub fn at(&self, step: usize) -> &[(f64, u32)] {
        &self.slots[step * self.slot_count..][..self.steps[step].count as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Best, better};
    use crate::exec::row::Row;

    fn value() -> impl Strategy<Value = Option<f64>> {
        prop_oneof![
            Just(None),
            Just(Some(f64::NAN)),
            Just(Some(-0.0)),
            Just(Some(f64::INFINITY)),
            Just(Some(f64::NEG_INFINITY)),
            (-3i32..3).prop_map(|value| Some(f64::from(value))),
        ]
    }

    proptest! {
        #[test]
        fn the_best_are_those_of_all_in_order(
            rows in prop::collection::vec(prop::collection::vec(value(), 3), 0..30),
            wanted in prop::array::uniform3(0usize..6),
            is_largest in any::<bool>(),
        ) {
            let mut best = Best::new(is_largest, wanted.into_iter());
            for (index, values) in rows.iter().enumerate() {
                let mut row = Row::default();
                row.reset(3);
                for (step, value) in values.iter().enumerate() {
                    value.iter().for_each(|value| row.set(step, *value));
                }
                best.add_row(index as u32, row.as_ref());
            }
            for step in 0..3 {
                let point = |(row, values): (usize, &Vec<Option<f64>>)| Some((values[step]?, row as u32));
                let mut all: Vec<(f64, u32)> = rows.iter().enumerate().filter_map(point).collect();
                all.sort_by(|a, b| better(is_largest, a, b));
                all.truncate(wanted[step]);
                let mut found = best.at(step).to_vec();
                found.sort_by(|a, b| better(is_largest, a, b));
                let rows = |points: &[(f64, u32)]| points.iter().map(|point| point.1).collect::<Vec<_>>();
                prop_assert_eq!(rows(&found), rows(&all));
            }
        }
    }
}
