//! Points of some rows by step: read row by row, as they lie in memory, and looked at step by step.
//!
//! ```text
//! rows     member 0: s0 s1 s2 …        block   s0: m0 m1 m2
//!          member 1: s0 s1 s2 …   ─►           s1: m0 m1 m2
//!          member 2: s0 s1 s2 …                s2: m0 m1 m2
//! ```

use std::ops::Range;

use super::bits::{are_set, is_set};
use super::matrix::Matrix;

/// Cells of a block: with the lines that they are read from, a share of a core's own cache.
const CELLS: usize = 8 * 1024;

/// Where there are many rows: as many steps as lie in a line, which is then read once,
const LINE_STEPS: usize = 8;

/// while the block takes no more than some megabytes.
const CELLS_MAX: usize = 512 * 1024;

/// Reused from block to block.
#[derive(Debug, Default)]
pub struct StepBlock {
    first_step: usize,
    member_count: usize,
    /// By step; of each the first `counts[step]` of `member_count` are points.
    values: Vec<f64>,
    /// Which of the members each point is of. Without meaning while all have all steps.
    members: Vec<u32>,
    counts: Vec<u32>,
    is_full: bool,
}

/// The points of a step, in the order of the members.
pub struct StepPoints<'a> {
    pub values: &'a mut [f64],
    /// `None`: all members have one.
    members: Option<&'a [u32]>,
}

impl StepPoints<'_> {
    /// Values, each with the index of its member.
    pub fn iter(&self) -> impl Iterator<Item = (f64, usize)> {
        let member = |index| self.members.map_or(index, |members| members[index] as usize);
        self.values.iter().enumerate().map(move |(index, value)| (*value, member(index)))
    }
}

/// Steps to look at at once, of so many members.
fn block_steps(member_count: usize) -> usize {
    let members = member_count.max(1);
    (CELLS / members).max(LINE_STEPS.min(CELLS_MAX / members)).max(1)
}

/// All steps, in blocks for so many members.
pub fn blocks(step_count: usize, member_count: usize) -> impl Iterator<Item = Range<usize>> {
    let length = block_steps(member_count);
    (0..step_count).step_by(length).map(move |step| step..step_count.min(step + length))
}

impl StepBlock {
    /// Reads some steps of the rows named; with histograms, of which the values mean nothing, if
    /// `takes_histograms`.
    pub fn load(
        &mut self,
        rows: &Matrix,
        members: impl ExactSizeIterator<Item = u32> + Clone,
        steps: Range<usize>,
        takes_histograms: bool,
    ) {
        let count = members.len();
        self.first_step = steps.start;
        self.member_count = count;
        self.is_full = members.clone().all(|member| {
            let row = rows.row(member as usize);
            are_set(row.present, steps.clone()) && (takes_histograms || row.histograms.is_empty())
        });
        self.values.resize(count * steps.len(), 0.0);
        self.counts.clear();
        if self.is_full {
            self.counts.resize(steps.len(), count as u32);
            for (index, member) in members.enumerate() {
                let places = self.values[index..].iter_mut().step_by(count);
                let values = &rows.values(member as usize)[steps.clone()];
                places.zip(values).for_each(|(place, value)| *place = *value);
            }
            return;
        }
        self.counts.resize(steps.len(), 0);
        self.members.resize(count * steps.len(), 0);
        for (index, member) in members.enumerate() {
            let row = rows.row(member as usize);
            for (at, step) in steps.clone().enumerate() {
                if is_set(row.present, step) && (takes_histograms || !row.histograms.holds(step)) {
                    let place = at * count + self.counts[at] as usize;
                    self.values[place] = row.values[step];
                    self.members[place] = index as u32;
                    self.counts[at] += 1;
                }
            }
        }
    }

    /// The points of a step of those that were read.
    pub fn at(&mut self, step: usize) -> StepPoints<'_> {
        let at = step - self.first_step;
        let places = at * self.member_count..at * self.member_count + self.counts[at] as usize;
        let members = (!self.is_full).then(|| &self.members[places.clone()]);
        StepPoints { values: &mut self.values[places], members }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exec::row::Row;
    use crate::model::{FloatHistogram, LabelsRef};

    #[test]
    fn blocks_are_all_steps() {
        for (step_count, member_count) in [(0, 3), (1, 0), (241, 3), (241, 12_000), (20, 3_000_000)]
        {
            let steps: Vec<usize> = blocks(step_count, member_count).flatten().collect();
            assert_eq!(steps, (0..step_count).collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn the_points_of_a_step_are_those_of_the_rows(
            // Nothing, a float, a histogram.
            points in prop::collection::vec(prop::collection::vec(0u8..3, 70), 1..6),
            is_full in any::<bool>(),
            takes_histograms in any::<bool>(),
            start in 0usize..70,
        ) {
            let mut rows = Matrix::new(70);
            for (index, points) in points.iter().enumerate() {
                let mut row = Row::default();
                row.reset(70);
                // A row without a point is none.
                row.set(0, index as f64);
                for (step, point) in points.iter().enumerate().skip(1) {
                    match point {
                        _ if is_full => row.set(step, (index * 100 + step) as f64),
                        0 => {}
                        1 => row.set(step, (index * 100 + step) as f64),
                        _ => row.set_histogram(step, FloatHistogram::default().into()),
                    }
                }
                rows.push_row(LabelsRef::EMPTY, false, row.as_ref());
            }
            let members = (0..rows.row_count() as u32).rev();
            let mut block = StepBlock::default();
            for _ in 0..2 {
                block.load(&rows, members.clone(), start..70, takes_histograms);
                for step in start..70 {
                    let found: Vec<usize> = block.at(step).iter().map(|(_, member)| member).collect();
                    let is_point = |row: usize| {
                        let row = rows.row(row);
                        row.float(step).is_some() || takes_histograms && row.histogram(step).is_some()
                    };
                    let expected: Vec<usize> = (0..rows.row_count())
                        .filter(|member| is_point(rows.row_count() - 1 - member))
                        .collect();
                    prop_assert_eq!(found, expected);
                    for (value, member) in block.at(step).iter() {
                        let row = rows.row(rows.row_count() - 1 - member);
                        prop_assert!(row.float(step).is_none_or(|float| float == value));
                    }
                }
            }
        }
    }
}
