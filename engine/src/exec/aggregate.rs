//! Aggregations that run over their rows one by one: `sum`, `avg`, `count`, `min`, `max`, `group`,
//! `stddev`, `stdvar`. Groups of one shard merge with those of another.
//!
//! ```text
//! labels      one set a group
//! first       [group][step]   the sum, extreme, mean or sum of squared deviations
//! second      [group][step]   what the sum lost, or the mean         only where an operator has it,
//!                             of a sum once a group has a second row
//! counts      [group][step]   rows that were added                   likewise
//! present     [group] bits    steps that have a value
//! histograms  [group]         sums of native histograms              only where there are any
//! ```
//!
//! Native histograms are summed apart ([`HistogramGroup`]); `count` and `group` take them as the
//! points they are, the others leave them out and say so.
//!
//! Source: Prometheus `promql/engine.go`, `aggregation`.

use std::borrow::Cow;

use crate::kernels::add_to_sums;
use crate::model::LabelsRef;
use crate::plan::part::Grouping;
use crate::promql::ast::{AggregateOp, PosRange};

use super::aggregate_histograms::HistogramGroup;
use super::annotations::Annotations;
use super::label_table::{Dropped, LabelIndex, project};
use super::matrix::{Matrix, RowRef, count, is_set, ones, set, unset, words};
use super::sum::{self, Mean};

#[derive(Clone, Debug)]
pub struct GroupColumns {
    op: AggregateOp,
    grouping: Grouping,
    step_count: usize,
    labels: LabelIndex,
    drops_name: Vec<bool>,
    first: Vec<f64>,
    second: Vec<f64>,
    /// A sum has a `second`.
    loses: bool,
    counts: Vec<f64>,
    present: Vec<u64>,
    /// Steps at which the sum of an average overflowed, so that `first` is the mean.
    overflowed: Vec<u64>,
    /// Of the groups up to the last that has any.
    histograms: Vec<HistogramGroup>,
    histogram_bytes: usize,
    projected: Vec<u8>,
    /// The group of the last row: that of the next one is often the same.
    last: usize,
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
            first: Vec::new(),
            second: Vec::new(),
            loses: false,
            counts: Vec::new(),
            present: Vec::new(),
            overflowed: Vec::new(),
            histograms: Vec::new(),
            histogram_bytes: 0,
            projected: Vec::new(),
            last: 0,
        }
    }

    fn has_second(&self) -> bool {
        use AggregateOp::*;
        matches!(self.op, Avg | Stddev | Stdvar) || self.loses
    }

    /// A group gets a second row: from now on sums lose something.
    fn join(&mut self) {
        if self.op == AggregateOp::Sum && !self.loses {
            self.loses = true;
            self.second.resize(self.first.len(), 0.0);
        }
    }

    fn has_counts(&self) -> bool {
        use AggregateOp::*;
        matches!(self.op, Avg | Stddev | Stdvar)
    }

    /// Values of all columns, present or not.
    pub fn cell_count(&self) -> usize {
        self.first.len() + self.second.len() + self.counts.len()
    }

    /// Memory of the native histograms held.
    pub fn histogram_bytes(&self) -> usize {
        self.histogram_bytes
    }

    /// Samples that the groups count as.
    pub fn sample_count(&self) -> usize {
        let of_histograms = self.histograms.iter().map(HistogramGroup::sample_count);
        count(&self.present) + of_histograms.sum::<usize>()
    }

    /// The index of the group of a series, made if it is new.
    fn group_of(&mut self, series: GroupedSeries<'_>) -> usize {
        let mut projected = std::mem::take(&mut self.projected);
        let labels = project(series.labels, series.dropped, &self.grouping, &mut projected);
        let group = self.intern(labels);
        self.projected = projected;
        self.last = group;
        group
    }

    fn intern(&mut self, labels: LabelsRef<'_>) -> usize {
        let is_last = self.last < self.labels.len() && self.labels.get(self.last) == labels;
        let (group, is_new) = if is_last { (self.last, false) } else { self.labels.intern(labels) };
        if !is_new {
            self.join();
        } else {
            let groups = group + 1;
            let points = groups * self.step_count;
            let words = groups * words(self.step_count);
            self.drops_name.push(false);
            self.first.resize(points, 0.0);
            self.second.resize(if self.has_second() { points } else { 0 }, 0.0);
            self.counts.resize(if self.has_counts() { points } else { 0 }, 0.0);
            self.present.resize(words, 0);
            self.overflowed.resize(if self.op == AggregateOp::Avg { words } else { 0 }, 0);
        }
        group
    }

    fn group_mut(&mut self, group: usize) -> Group<'_> {
        fn part<T>(column: &mut [T], group: usize, length: usize) -> &mut [T] {
            if column.is_empty() { column } else { &mut column[group * length..][..length] }
        }
        let (steps, words) = (self.step_count, words(self.step_count));
        Group {
            first: part(&mut self.first, group, steps),
            second: part(&mut self.second, group, steps),
            counts: part(&mut self.counts, group, steps),
            present: part(&mut self.present, group, words),
            overflowed: part(&mut self.overflowed, group, words),
        }
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
        self.drops_name[index] |= series.drops_name;
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
        let op = self.op;
        if other.loses {
            self.join();
        }
        // Grown once and by no more than there may be.
        let more = other.first.len();
        self.first.reserve_exact(more);
        self.second.reserve_exact(other.second.len());
        let mut histograms = std::mem::take(&mut other.histograms).into_iter();
        for from in 0..other.labels.len() {
            let into = self.intern(other.labels.get(from));
            self.drops_name[into] |= other.drops_name[from];
            if let Some(histograms) = histograms.next().filter(|group| !group.is_empty()) {
                self.histogram_group(into).merge(histograms);
            }
            let from = other.group_mut(from);
            self.group_mut(into).merge(op, &from);
        }
    }

    /// The rows that the aggregation was asked for.
    pub fn finish(mut self, annotations: &mut Annotations, position: PosRange) -> Matrix {
        let op = self.op;
        for group in 0..self.labels.len() {
            self.group_mut(group).finish(op);
        }
        let labels = self.labels.into_table();
        let columns = (self.drops_name, self.first, self.present);
        let (drops_name, values, present) = columns;
        let mut rows = Matrix::from_columns(self.step_count, labels, drops_name, values, present);
        for (row, group) in self.histograms.into_iter().enumerate() {
            group.finish(&mut rows, row, annotations, position);
        }
        rows.without_empty_rows()
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
            Count => self.each(present, |group, step, is_first| {
                group.first[step] = if is_first { 1.0 } else { group.first[step] + 1.0 };
            }),
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

    /// The commonest of all, so with a path for whole words of points.
    fn add_sum(&mut self, values: &[f64], present: &[u64]) {
        const WORD: usize = u64::BITS as usize;
        for (index, &word) in present.iter().enumerate() {
            let steps = index * WORD..self.first.len().min((index + 1) * WORD);
            let full = if steps.len() == WORD { u64::MAX } else { (1 << steps.len()) - 1 };
            if self.second.is_empty() {
                // The first row of its group.
                self.present[index] = word;
                self.first[steps.clone()].copy_from_slice(&values[steps]);
                continue;
            }
            if word == full && self.present[index] == full {
                let first = &mut self.first[steps.clone()];
                let second = &mut self.second[steps.clone()];
                add_to_sums(first, second, &values[steps]);
                continue;
            }
            for bit in ones(&[word]) {
                let step = index * WORD + bit;
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
            Sum if self.second.is_empty() && other.second.is_empty() => {
                self.add_sum(other.first, other.present);
            }
            Sum => self.each(other.present, |group, step, is_first| {
                let lost = other.second.get(step).copied().unwrap_or(0.0);
                let added = (other.first[step], lost);
                (group.first[step], group.second[step]) = if is_first {
                    added
                } else {
                    sum::merge((group.first[step], group.second[step]), added)
                };
            }),
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
                Sum => self.first[step] + self.second.get(step).copied().unwrap_or(0.0),
                Avg => self.mean(step).finish(),
                Stdvar => self.first[step] / self.counts[step],
                Stddev => (self.first[step] / self.counts[step]).sqrt(),
                _ => return,
            };
        }
    }
}
