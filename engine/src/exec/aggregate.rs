//! Aggregations that run over their rows one by one: `sum`, `avg`, `count`, `min`, `max`, `group`,
//! `stddev`, `stdvar`. Groups of one shard merge with those of another.
//!
//! ```text
//! labels      one set a group
//! places      which columns a group's cells lie in, and where
//! first       [place][step]   the sum, extreme, mean or sum of squared deviations
//! second      [place][step]   what the sum lost, or the mean         only where an operator has it,
//!                             of a sum once a group has a second row
//! counts      [place][step]   rows that were added                   likewise
//! present     [place] bits    steps that have a value
//! histograms  [group]         sums of native histograms              only where there are any
//! ```
//!
//! The groups of another shard that are new here stay in the columns that they came in.
//!
//! Native histograms are summed apart ([`HistogramGroup`]); `count` and `group` take them as the
//! points they are, the others leave them out and say so.
//!
//! Source: Prometheus `promql/engine.go`, `aggregation`.

use std::borrow::Cow;
use std::ops::Range;

use crate::kernels::add_to_sums;
use crate::model::LabelsRef;
use crate::plan::part::Grouping;
use crate::promql::ast::{AggregateOp, PosRange};

use super::aggregate_histograms::HistogramGroup;
use super::annotations::Annotations;
use super::bits::{WORD_BITS, count, is_set, ones, only_run, set, unset, words};
use super::label_table::{Dropped, LabelIndex, project};
use super::matrix::{Matrix, Place, RESERVED_CELLS_MAX};
use super::row::RowRef;
use super::sum::{self, Mean};

#[derive(Clone, Debug)]
pub struct GroupColumns {
    op: AggregateOp,
    grouping: Grouping,
    step_count: usize,
    labels: LabelIndex,
    drops_name: Vec<bool>,
    /// At least one; new groups of rows go to the first.
    columns: Vec<Columns>,
    /// By group.
    places: Vec<Place>,
    /// Of the groups up to the last that has any.
    histograms: Vec<HistogramGroup>,
    histogram_bytes: usize,
    projected: Vec<u8>,
    /// The group of the last row: that of the next one is often the same.
    last: usize,
}

#[derive(Clone, Debug, Default)]
struct Columns {
    first: Vec<f64>,
    second: Vec<f64>,
    /// A sum has a `second`.
    loses: bool,
    counts: Vec<f64>,
    present: Vec<u64>,
    /// Steps at which the sum of an average overflowed, so that `first` is the mean.
    overflowed: Vec<u64>,
    group_count: usize,
}

/// Whose row is added to a group.
#[derive(Clone, Copy, Debug)]
pub struct GroupedSeries<'a> {
    pub labels: LabelsRef<'a>,
    /// Of `labels`.
    pub dropped: Dropped,
    /// The name is to be dropped at the end of the query.
    pub drops_name: bool,
}

impl<'a> GroupedSeries<'a> {
    fn metric_name(&self) -> &'a [u8] {
        if self.dropped == Dropped::Nothing { self.labels.metric_name() } else { b"" }
    }
}

/// The columns of one group.
struct Group<'a> {
    first: &'a mut [f64],
    second: &'a mut [f64],
    counts: &'a mut [f64],
    present: &'a mut [u64],
    overflowed: &'a mut [u64],
}

impl GroupColumns {
    /// No group yet. `op` is one of those this module is about.
    pub fn new(op: AggregateOp, grouping: Grouping, step_count: usize) -> GroupColumns {
        GroupColumns {
            op,
            grouping,
            step_count,
            labels: LabelIndex::default(),
            drops_name: Vec::new(),
            columns: vec![Columns::default()],
            places: Vec::new(),
            histograms: Vec::new(),
            histogram_bytes: 0,
            projected: Vec::new(),
            last: 0,
        }
    }

    /// There are at most so many rows to come: a column that grows by itself is copied again and
    /// again. Room that is not used costs addresses, no memory.
    pub fn reserve(&mut self, row_count: usize) {
        if self.grouping.without || !self.grouping.labels.is_empty() {
            let groups = row_count.min(RESERVED_CELLS_MAX / self.step_count.max(1));
            self.columns[0].first.reserve_exact(groups * self.step_count);
        }
    }

    /// Values of all columns, present or not.
    pub fn cell_count(&self) -> usize {
        let cells = |of: &Columns| of.first.len() + of.second.len() + of.counts.len();
        self.columns.iter().map(cells).sum()
    }

    /// Memory of the native histograms held.
    pub fn histogram_bytes(&self) -> usize {
        self.histogram_bytes
    }

    /// Samples that the groups count as.
    pub fn sample_count(&self) -> usize {
        let of_histograms = self.histograms.iter().map(HistogramGroup::sample_count);
        let words = words(self.step_count);
        let points = |place: &Place| {
            let present = &self.columns[place.columns as usize].present;
            count(&present[place.row as usize * words..][..words])
        };
        self.places.iter().map(points).sum::<usize>() + of_histograms.sum::<usize>()
    }

    /// The index of the group of a series, made if it is new. It stays what it is.
    pub fn group_of(&mut self, series: GroupedSeries<'_>) -> usize {
        let mut projected = std::mem::take(&mut self.projected);
        let labels = project(series.labels, series.dropped, &self.grouping, &mut projected);
        let group = self.intern(labels);
        self.projected = projected;
        self.last = group;
        self.drops_name[group] |= series.drops_name;
        group
    }

    /// Adds the value of a row with one step to a group.
    #[inline]
    pub fn add_value(&mut self, group: usize, value: f64) {
        debug_assert!(self.step_count == 1);
        let (op, Place { columns, row }) = (self.op, self.places[group]);
        let columns = &mut self.columns[columns as usize];
        if columns.present[row as usize] != 0 {
            columns.join(op);
            if op == AggregateOp::Sum {
                let (sum, lost) =
                    (&mut columns.first[row as usize], &mut columns.second[row as usize]);
                (*sum, *lost) = sum::add(value, (*sum, *lost));
                return;
            }
        }
        columns.group_mut(row, 1).add(op, &[value], &[1]);
    }

    fn intern(&mut self, labels: LabelsRef<'_>) -> usize {
        let is_last = self.last < self.labels.len() && {
            let last = self.labels.get(self.last);
            // Comparing nothing by a call to memcmp may read where nothing is: a fault that the
            // processor hides, and a hundred nanoseconds.
            (last.is_empty() && labels.is_empty()) || last == labels
        };
        let (group, is_new) = if is_last { (self.last, false) } else { self.labels.intern(labels) };
        if is_new {
            self.drops_name.push(false);
            let row = self.columns[0].push_group(self.op, self.step_count);
            self.places.push(Place { columns: 0, row });
        } else {
            self.columns[self.places[group].columns as usize].join(self.op);
        }
        group
    }

    fn group_mut(&mut self, group: usize) -> Group<'_> {
        let Place { columns, row } = self.places[group];
        self.columns[columns as usize].group_mut(row, self.step_count)
    }

    /// Adds a row to the group that its series falls into. `position`: where the aggregated expression
    /// stands, for annotations.
    pub fn add_row(
        &mut self,
        series: GroupedSeries<'_>,
        row: RowRef<'_>,
        annotations: &mut Annotations,
        position: PosRange,
    ) {
        let index = self.group_of(series);
        let op = self.op;
        let mut present = Cow::Borrowed(row.present);
        if !row.histograms.is_empty() && !matches!(op, AggregateOp::Count | AggregateOp::Group) {
            present = row.histograms.floats(row.present).collect();
            if matches!(op, AggregateOp::Sum | AggregateOp::Avg) {
                let (averages, name) = (op == AggregateOp::Avg, series.metric_name());
                let group = self.histogram_group(index);
                let added = group.add(row, name, averages);
                self.histogram_bytes += added;
            } else {
                annotations.ignored_in_aggregation(op.as_str(), position);
            }
        }
        self.group_mut(index).add(op, row.values, &present);
    }

    fn histogram_group(&mut self, group: usize) -> &mut HistogramGroup {
        if self.histograms.len() <= group {
            self.histograms.resize_with(group + 1, HistogramGroup::default);
        }
        &mut self.histograms[group]
    }

    /// Takes in the groups of another shard.
    pub fn merge(&mut self, mut other: GroupColumns) {
        assert!(self.op == other.op && self.step_count == other.step_count);
        let (op, steps, known) = (self.op, self.step_count, self.places.len());
        let columns = self.columns.len() as u32;
        let mut histograms = std::mem::take(&mut other.histograms).into_iter();
        for from in 0..other.labels.len() {
            let (into, is_new) = self.labels.intern(other.labels.get(from));
            let theirs = other.places[from];
            if is_new {
                self.drops_name.push(other.drops_name[from]);
                self.places.push(Place { columns: columns + theirs.columns, ..theirs });
            } else {
                self.drops_name[into] |= other.drops_name[from];
                let from = other.columns[theirs.columns as usize].group_mut(theirs.row, steps);
                let own = self.places[into];
                let own_columns = &mut self.columns[own.columns as usize];
                own_columns.join(op);
                own_columns.group_mut(own.row, steps).merge(op, &from);
            }
            if let Some(histograms) = histograms.next().filter(|group| !group.is_empty()) {
                self.histogram_group(into).merge(histograms);
            }
        }
        if self.places.len() > known {
            self.columns.append(&mut other.columns);
        }
    }

    /// The rows that the aggregation was asked for.
    pub fn finish(mut self, annotations: &mut Annotations, position: PosRange) -> Matrix {
        if self.op == AggregateOp::Sum {
            self.columns.iter_mut().for_each(Columns::finish_sums);
        } else {
            let op = self.op;
            (0..self.labels.len()).for_each(|group| self.group_mut(group).finish(op));
        }
        let columns = self.columns.into_iter().map(|of| (of.first, of.present)).collect();
        let (labels, drops_name) = (self.labels.into_table(), self.drops_name);
        let mut rows =
            Matrix::from_columns(self.step_count, labels, drops_name, columns, self.places);
        for (row, group) in self.histograms.into_iter().enumerate() {
            group.finish(&mut rows, row, annotations, position);
        }
        rows.without_empty_rows()
    }
}

impl Columns {
    /// A group gets a second row: from now on sums lose something.
    fn join(&mut self, op: AggregateOp) {
        if op == AggregateOp::Sum && !self.loses {
            self.loses = true;
            self.second.reserve_exact(self.first.capacity());
            self.second.resize(self.first.len(), 0.0);
        }
    }

    /// Adds a group without a point; where it lies.
    fn push_group(&mut self, op: AggregateOp, step_count: usize) -> u32 {
        use AggregateOp::*;
        self.group_count += 1;
        let points = self.group_count * step_count;
        let words = self.group_count * words(step_count);
        let has_counts = matches!(op, Avg | Stddev | Stdvar);
        self.first.resize(points, 0.0);
        self.second.resize(if has_counts || self.loses { points } else { 0 }, 0.0);
        self.counts.resize(if has_counts { points } else { 0 }, 0.0);
        self.present.resize(words, 0);
        self.overflowed.resize(if op == Avg { words } else { 0 }, 0);
        self.group_count as u32 - 1
    }

    fn group_mut(&mut self, row: u32, step_count: usize) -> Group<'_> {
        fn part<T>(column: &mut [T], row: u32, length: usize) -> &mut [T] {
            if column.is_empty() { column } else { &mut column[row as usize * length..][..length] }
        }
        let words = words(step_count);
        Group {
            first: part(&mut self.first, row, step_count),
            second: part(&mut self.second, row, step_count),
            counts: part(&mut self.counts, row, step_count),
            present: part(&mut self.present, row, words),
            overflowed: part(&mut self.overflowed, row, words),
        }
    }

    /// What is no point holds anything, so the loops have no bits to look at.
    fn finish_sums(&mut self) {
        if self.loses {
            let sums = self.first.iter_mut().zip(&self.second);
            sums.for_each(|(sum, lost)| *sum += lost);
        } else {
            // A sum of nothing but negative zeros is a positive one.
            self.first.iter_mut().for_each(|sum| *sum += 0.0);
        }
    }
}

impl Group<'_> {
    fn add(&mut self, op: AggregateOp, values: &[f64], present: &[u64]) {
        use AggregateOp::*;
        match op {
            Sum => self.add_sum(values, present),
            Avg => self.each(present, |group, step, is_first| {
                let value = values[step];
                let mean = if is_first {
                    Mean::first(value)
                } else {
                    let mut mean = group.mean(step);
                    mean.add(value);
                    mean
                };
                group.set_mean(step, mean);
            }),
            Count => self.add_count(present),
            Group => self.each(present, |group, step, _| group.first[step] = 1.0),
            Min | Max => self.each(present, |group, step, is_first| {
                let (value, known) = (values[step], group.first[step]);
                let beats = if op == Max { known < value } else { known > value };
                if is_first || beats || known.is_nan() {
                    group.first[step] = value;
                }
            }),
            Stddev | Stdvar => self.each(present, |group, step, is_first| {
                let value = values[step];
                if is_first {
                    group.counts[step] = 1.0;
                    group.second[step] = value;
                    group.first[step] = if value.is_finite() { 0.0 } else { f64::NAN };
                    return;
                }
                group.counts[step] += 1.0;
                let delta = value - group.second[step];
                group.second[step] += delta / group.counts[step];
                group.first[step] += delta * (value - group.second[step]);
            }),
            other => panic!("{other:?} must be an aggregation whose groups merge"),
        }
    }

    /// The steps of a word, and the word if it has them all.
    fn steps_of_word(&self, index: usize) -> (Range<usize>, u64) {
        let steps = index * WORD_BITS..self.first.len().min((index + 1) * WORD_BITS);
        let full = if steps.len() == WORD_BITS { u64::MAX } else { (1 << steps.len()) - 1 };
        (steps, full)
    }

    /// The commonest of all, so with a path for steps in a row.
    fn add_sum(&mut self, values: &[f64], present: &[u64]) {
        for (index, &word) in present.iter().enumerate() {
            let (steps, _) = self.steps_of_word(index);
            if self.second.is_empty() {
                // The first row of its group.
                self.present[index] = word;
                self.first[steps.clone()].copy_from_slice(&values[steps]);
                continue;
            }
            if let Some(run) = only_run(word)
                && self.present[index] & word == word
            {
                let steps = steps.start + run.start..steps.start + run.end;
                let first = &mut self.first[steps.clone()];
                let second = &mut self.second[steps.clone()];
                add_to_sums(first, second, &values[steps]);
                continue;
            }
            for bit in ones(&[word]) {
                let step = index * WORD_BITS + bit;
                if is_set(self.present, step) {
                    (self.first[step], self.second[step]) =
                        sum::add(values[step], (self.first[step], self.second[step]));
                } else {
                    set(self.present, step);
                    (self.first[step], self.second[step]) = (values[step], 0.0);
                }
            }
        }
    }

    /// Most rows have a point at every step, so with a path for whole words, too.
    fn add_count(&mut self, present: &[u64]) {
        for (index, &word) in present.iter().enumerate() {
            let (steps, full) = self.steps_of_word(index);
            let counts = &mut self.first[steps];
            let known = &mut self.present[index];
            if word == full && *known == full {
                counts.iter_mut().for_each(|count| *count += 1.0);
                continue;
            }
            for step in ones(&[word]) {
                counts[step] = if *known >> step & 1 == 1 { counts[step] + 1.0 } else { 1.0 };
            }
            *known |= word;
        }
    }

    /// Merges sums of which one at least may have lost something; likewise.
    fn merge_sums(&mut self, other: &Group<'_>) {
        for (index, &word) in other.present.iter().enumerate() {
            let (steps, full) = self.steps_of_word(index);
            let (first, second) = (&mut self.first[steps.clone()], &mut self.second[steps.clone()]);
            let added = &other.first[steps.clone()];
            let lost = other.second.get(steps.clone());
            if self.present[index] == 0 {
                self.present[index] = word;
                first.copy_from_slice(added);
                match lost {
                    Some(lost) => second.copy_from_slice(lost),
                    None => second.fill(0.0),
                }
                continue;
            }
            if word == full && self.present[index] == full {
                add_to_sums(first, second, added);
                for ((second, first), lost) in
                    second.iter_mut().zip(first).zip(lost.unwrap_or_default())
                {
                    *second = if first.is_infinite() { 0.0 } else { *second + lost };
                }
                continue;
            }
            for step in ones(&[word]).map(|bit| index * WORD_BITS + bit) {
                let lost = other.second.get(step).copied().unwrap_or(0.0);
                let mut sum = (other.first[step], lost);
                if is_set(self.present, step) {
                    sum = sum::merge((self.first[step], self.second[step]), sum);
                }
                set(self.present, step);
                (self.first[step], self.second[step]) = sum;
            }
        }
    }

    /// Calls `f` with every present step and whether it is the group's first value there.
    #[inline]
    fn each(&mut self, present: &[u64], mut f: impl FnMut(&mut Self, usize, bool)) {
        for step in ones(present) {
            let is_first = !is_set(self.present, step);
            set(self.present, step);
            f(self, step, is_first);
        }
    }

    fn mean(&self, step: usize) -> Mean {
        Mean {
            value: self.first[step],
            lost: self.second[step],
            count: self.counts[step],
            overflowed: is_set(self.overflowed, step),
        }
    }

    fn set_mean(&mut self, step: usize, mean: Mean) {
        self.first[step] = mean.value;
        self.second[step] = mean.lost;
        self.counts[step] = mean.count;
        if mean.overflowed {
            set(self.overflowed, step);
        } else {
            unset(self.overflowed, step);
        }
    }

    fn merge(&mut self, op: AggregateOp, other: &Group<'_>) {
        use AggregateOp::*;
        match op {
            Sum => self.merge_sums(other),
            Avg => self.each(other.present, |group, step, is_first| {
                let mut mean = other.mean(step);
                if !is_first {
                    let added = mean;
                    mean = group.mean(step);
                    mean.merge(added);
                }
                group.set_mean(step, mean);
            }),
            Count => self.each(other.present, |group, step, is_first| {
                let known = if is_first { 0.0 } else { group.first[step] };
                group.first[step] = known + other.first[step];
            }),
            Stddev | Stdvar => self.each(other.present, |group, step, is_first| {
                group.merge_moments(step, is_first, other);
            }),
            _ => self.add(op, other.first, other.present),
        }
    }

    /// Source: Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    /// Sample Variances".
    fn merge_moments(&mut self, step: usize, is_first: bool, other: &Group<'_>) {
        let (squares, mean, added) = (other.first[step], other.second[step], other.counts[step]);
        if is_first {
            (self.first[step], self.second[step], self.counts[step]) = (squares, mean, added);
            return;
        }
        let known = self.counts[step];
        let total = known + added;
        let delta = mean - self.second[step];
        self.first[step] += squares + delta * delta * known * added / total;
        self.second[step] += delta * added / total;
        self.counts[step] = total;
    }

    fn finish(&mut self, op: AggregateOp) {
        use AggregateOp::*;
        for step in ones(self.present) {
            self.first[step] = match op {
                Avg => self.mean(step).finish(),
                Stdvar => self.first[step] / self.counts[step],
                Stddev => (self.first[step] / self.counts[step]).sqrt(),
                _ => return,
            };
        }
    }
}
