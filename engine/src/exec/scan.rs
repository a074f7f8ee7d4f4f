//! A shard's part of a query: series by series from samples to rows or groups.
//!
//! ```text
//! select ─► for each series:  decode ─► lookback | window ─► stages ─► a row, or into its group
//! ```
//!
//! One series is in memory at a time, beside the result. After each series the turn is asked
//! about; nothing borrowed from the source lives over a pause.

use crate::model::source::{Selection, Turns};
use crate::model::{LabelsRef, Samples, Source, TimeRange, is_stale_nan};
use crate::plan::part::{Extend, Finish, Select, SelectOutput, ShardPart, Stage, Window};
use crate::promql::functions::FunctionId;

use super::aggregate::GroupColumns;
use super::aggregate_all;
use super::annotations::Annotations;
use super::error::ExecError;
use super::label_table::{LabelTable, drop_reserved};
use super::matrix::{Matrix, Row, count};
use super::stage::{self, Scratch, StageContext};
use super::stats::SampleStats;
use super::turn::spend;
use super::window::{self, Points};

/// What one shard has to say: owned, dense, `Send`.
#[derive(Clone, Debug)]
pub struct Partial {
    pub value: PartialValue,
    pub annotations: Annotations,
    pub stats: SampleStats,
}

#[derive(Clone, Debug)]
pub enum PartialValue {
    Rows(Matrix),
    Groups(GroupColumns),
    Ranges(Ranges),
}

impl PartialValue {
    /// Memory of the columns and labels; the labels of groups are few.
    fn bytes(&self) -> usize {
        match self {
            PartialValue::Rows(rows) => rows.bytes(),
            PartialValue::Groups(groups) => groups.cell_count() * size_of::<f64>(),
            PartialValue::Ranges(ranges) => ranges.bytes(),
        }
    }
}

/// Range vectors: samples as they are, each row with its own times.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    labels: LabelTable,
    ends: Vec<usize>,
    times_ms: Vec<i64>,
    values: Vec<f64>,
}

impl Ranges {
    pub fn row_count(&self) -> usize {
        self.ends.len()
    }

    pub fn labels(&self, row: usize) -> LabelsRef<'_> {
        self.labels.get(row)
    }

    /// The times and values of a row.
    pub fn points(&self, row: usize) -> (&[i64], &[f64]) {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        (&self.times_ms[start..self.ends[row]], &self.values[start..self.ends[row]])
    }

    pub fn push(&mut self, labels: LabelsRef<'_>, times_ms: &[i64], values: &[f64]) {
        self.labels.push(labels);
        self.times_ms.extend_from_slice(times_ms);
        self.values.extend_from_slice(values);
        self.ends.push(self.values.len());
    }

    pub fn append(&mut self, other: &Ranges) {
        for row in 0..other.row_count() {
            let (times_ms, values) = other.points(row);
            self.push(other.labels(row), times_ms, values);
        }
    }

    /// Memory of the samples and labels.
    pub fn bytes(&self) -> usize {
        let samples = size_of_val(&self.times_ms[..]) + size_of_val(&self.values[..]);
        samples + size_of_val(&self.ends[..]) + self.labels.bytes()
    }

    /// Sorts the rows by their labels.
    pub fn sort_by_labels(&mut self) {
        let mut order: Vec<usize> = (0..self.row_count()).collect();
        order.sort_by(|&a, &b| self.labels(a).compare(self.labels(b)));
        let mut sorted = Ranges::default();
        for row in order {
            let (times_ms, values) = self.points(row);
            sorted.push(self.labels(row), times_ms, values);
        }
        *self = sorted;
    }
}

/// Series whose samples are asked for together before they are read one by one.
const WARM_COUNT: usize = 32;

/// Runs `part` on one source.
///
/// Cost: O(samples in the windows + series × steps); memory: the result and one series.
///
/// # Errors
///
/// [`ExecError::TooManySamples`] when this shard alone exceeds the bound; what the source or the
/// turns say.
pub async fn run_part(
    source: &impl Source,
    part: &ShardPart,
    turns: &impl Turns,
) -> Result<Partial, ExecError> {
    let mut run = PartRun::new(part)?;
    let range = sample_range(&part.select);
    let selection = source.select(&part.matchers, range)?;
    for index in 0..selection.len() {
        if index % WARM_COUNT == 0 {
            let indexes = index..selection.len().min(index + WARM_COUNT);
            source.warm(&selection, indexes, range).await?;
        }
        run.samples.clear();
        source.samples(&selection, index, range, &mut run.samples)?;
        let work = run.samples.len() + part.select.grid.step_count;
        let mut result = Ok(());
        source.with_labels(&selection, index, &mut |labels| result = run.series(labels));
        result?;
        spend(turns, work).await?;
    }
    run.finish(turns).await
}

/// The samples that any step of `select` can look at.
pub fn sample_range(select: &Select) -> TimeRange {
    let (before_ms, after_ms) = match &select.output {
        SelectOutput::Value | SelectOutput::Timestamp | SelectOutput::TimestampMs => {
            (select.lookback_ms, 0)
        }
        SelectOutput::Smoothed => (select.lookback_ms + 1, select.lookback_ms),
        SelectOutput::Window(Window { range_ms, extend, .. })
        | SelectOutput::Samples { range_ms, extend } => match extend {
            Extend::No => (*range_ms, 0),
            Extend::Anchored => (range_ms + select.lookback_ms, 0),
            Extend::Smoothed => (range_ms + select.lookback_ms, select.lookback_ms),
        },
    };
    let (start_ms, end_ms) = (select.grid.start_ms, select.grid.end_ms());
    TimeRange {
        min_ms: select.lookup.time_ms(start_ms).saturating_sub(before_ms).saturating_add(1),
        max_ms: select.lookup.time_ms(end_ms).saturating_add(after_ms),
    }
}

/// The state of a part between two series.
struct PartRun<'a> {
    part: &'a ShardPart,
    samples: Samples,
    row: Row,
    scratch: Scratch,
    metric_name: String,
    type_label: String,
    label_bytes: Vec<u8>,
    value: PartialValue,
    annotations: Annotations,
    stats: SampleStats,
    /// Takes the counts of what a later window looks at again: only the last one's count.
    uncounted_per_step: Vec<u64>,
}

impl<'a> PartRun<'a> {
    fn new(part: &'a ShardPart) -> Result<PartRun<'a>, ExecError> {
        let grid = part.grid();
        // A row is dense: a grid that the bound could not hold even once is not begun.
        let grids = part.stages.iter().filter_map(Stage::grid).chain([part.select.grid]);
        if grids.map(|grid| grid.step_count).max() > Some(part.samples_max) {
            return Err(ExecError::TooManySamples);
        }
        let value = match (&part.finish, &part.select.output) {
            (_, SelectOutput::Samples { .. }) => PartialValue::Ranges(Ranges::default()),
            (Finish::Rows | Finish::Candidates(_), _) => {
                PartialValue::Rows(Matrix::new(grid.step_count))
            }
            (Finish::Groups { op, grouping }, _) => {
                PartialValue::Groups(GroupColumns::new(*op, grouping.clone(), grid.step_count))
            }
        };
        Ok(PartRun {
            part,
            samples: Samples::default(),
            row: Row::default(),
            scratch: Scratch::default(),
            metric_name: String::new(),
            type_label: String::new(),
            label_bytes: Vec::new(),
            value,
            annotations: Annotations::default(),
            stats: SampleStats::new(grid.step_count, part.samples_max)
                .with_bytes_max(part.bytes_max),
            uncounted_per_step: Vec::new(),
        })
    }

    /// Takes in one series, whose samples stand in `self.samples`.
    fn series(&mut self, labels: LabelsRef<'_>) -> Result<(), ExecError> {
        let part = self.part;
        if let SelectOutput::Samples { range_ms, extend } = part.select.output {
            return self.range(labels, range_ms, extend);
        }
        if part.counts_matter() {
            set_text(&mut self.metric_name, labels.metric_name());
            set_text(&mut self.type_label, labels.get(b"__type__"));
        }
        let mut windows_left = part.stages.iter().filter(|stage| stage.grid().is_some()).count();
        self.count_steps(windows_left == 0, part.select.grid.step_count);
        let selected = self.select_row();
        self.count_steps(windows_left == 0, 0);
        selected?;
        if self.row.is_empty() {
            return Ok(());
        }
        let mut grid = part.select.grid;
        let mut dropped = part.select_drops_name();
        for stage in &part.stages {
            windows_left -= usize::from(stage.grid().is_some());
            let steps = stage.grid().map_or(0, |grid| grid.step_count);
            self.count_steps(windows_left == 0, steps);
            let mut context = StageContext {
                annotations: &mut self.annotations,
                stats: &mut self.stats,
                metric_name: if dropped && !part.delayed_names { "" } else { &self.metric_name },
                type_and_unit: part.type_and_unit.then_some(&self.type_label),
                scratch: &mut self.scratch,
            };
            let result = stage::run(stage, &mut self.row, &mut grid, &mut context);
            self.count_steps(windows_left == 0, 0);
            result?;
            dropped |= stage.drops_name();
        }
        let points = count(&self.row.present);
        if points == 0 {
            return Ok(());
        }
        self.stats.hold(points)?;
        let renamed = dropped && !part.delayed_names;
        let labels = if renamed { drop_reserved(labels, &mut self.label_bytes) } else { labels };
        match &mut self.value {
            PartialValue::Rows(matrix) => matrix.push_row(labels, dropped, &self.row),
            PartialValue::Groups(groups) => groups.add_row(labels, dropped, &self.row),
            PartialValue::Ranges(_) => unreachable!("samples are taken above"),
        }
        self.count_bytes()?;
        self.stats.check_cells(match &self.value {
            PartialValue::Rows(matrix) => matrix.cell_count(),
            PartialValue::Groups(groups) => groups.cell_count(),
            PartialValue::Ranges(_) => 0,
        })
    }

    fn count_bytes(&mut self) -> Result<(), ExecError> {
        self.stats.release_bytes(self.stats.held_bytes());
        self.stats.hold_bytes(self.value.bytes())
    }

    /// Called before and after an operation: unless it is the one that counts, its counts go
    /// aside.
    fn count_steps(&mut self, counts: bool, step_count: usize) {
        if !counts {
            if self.uncounted_per_step.len() < step_count {
                self.uncounted_per_step.resize(step_count, 0);
            }
            std::mem::swap(&mut self.stats.queryable_per_step, &mut self.uncounted_per_step);
        }
    }

    /// Fills the row from the samples.
    fn select_row(&mut self) -> Result<(), ExecError> {
        let select = &self.part.select;
        if let SelectOutput::Window(window) = &select.output {
            drop_stale(&mut self.samples);
            self.stats.read += self.samples.values.len() as u64;
            let points =
                Points { times_ms: &self.samples.timestamps_ms, values: &self.samples.values };
            let mut context = StageContext {
                annotations: &mut self.annotations,
                stats: &mut self.stats,
                metric_name: &self.metric_name,
                type_and_unit: self.part.type_and_unit.then_some(&self.type_label),
                scratch: &mut self.scratch,
            };
            let (grid, lookup) = (select.grid, select.lookup);
            return window::run(
                window,
                points,
                grid,
                lookup,
                select.lookback_ms,
                &mut self.row,
                &mut context,
            );
        }
        if matches!(select.output, SelectOutput::Smoothed) {
            drop_stale(&mut self.samples);
            smooth(select, &self.samples, &mut self.row);
        } else {
            look_back(select, &self.samples, &mut self.row);
        }
        for step in super::matrix::ones(&self.row.present) {
            self.stats.queryable_per_step[step] += 1;
        }
        self.stats.read += count(&self.row.present) as u64;
        Ok(())
    }

    /// Takes in the samples of one series as they are.
    fn range(
        &mut self,
        labels: LabelsRef<'_>,
        range_ms: i64,
        extend: Extend,
    ) -> Result<(), ExecError> {
        drop_stale(&mut self.samples);
        let PartialValue::Ranges(ranges) = &mut self.value else {
            unreachable!("a part of samples gives ranges");
        };
        let (times_ms, values) = (&self.samples.timestamps_ms, &self.samples.values);
        if values.is_empty() {
            return Ok(());
        }
        let select = &self.part.select;
        let extended;
        let (times_ms, values): (&[i64], &[f64]) = if extend == Extend::No {
            (times_ms, values)
        } else {
            let end_ms = select.lookup.time_ms(select.grid.start_ms);
            let start_ms = end_ms.saturating_sub(range_ms);
            let is_smoothed = extend == Extend::Smoothed;
            match window::extend(Points { times_ms, values }, start_ms, end_ms, is_smoothed) {
                Some(points) => extended = points,
                None => return Ok(()),
            }
            (&extended.0, &extended.1)
        };
        self.stats.queryable_per_step[0] += values.len() as u64;
        self.stats.read += values.len() as u64;
        self.stats.hold(values.len())?;
        ranges.push(labels, times_ms, values);
        self.count_bytes()
    }

    async fn finish(mut self, turns: &impl Turns) -> Result<Partial, ExecError> {
        if let (Finish::Candidates(aggregate), PartialValue::Rows(rows)) =
            (&self.part.finish, &self.value)
        {
            let chosen = aggregate_all::run(rows, aggregate, &mut self.annotations, turns).await?;
            self.value = PartialValue::Rows(chosen);
        }
        // What the rows held is gone, what became of them is here.
        let points = match &self.value {
            PartialValue::Groups(groups) => groups.point_count(),
            PartialValue::Rows(rows) => rows.point_count(),
            PartialValue::Ranges(_) => self.stats.held(),
        };
        self.stats.release(self.stats.held());
        self.stats.hold(points)?;
        self.count_bytes()?;
        Ok(Partial { value: self.value, annotations: self.annotations, stats: self.stats })
    }
}

impl ShardPart {
    fn select_drops_name(&self) -> bool {
        match &self.select.output {
            SelectOutput::Window(window) => window.drops_name(),
            SelectOutput::Timestamp => true,
            _ => false,
        }
    }

    /// Whether a function asks if a metric is a counter.
    fn counts_matter(&self) -> bool {
        let asks =
            |window: &Window| matches!(window.function, FunctionId::Rate | FunctionId::Increase);
        let staged = self.stages.iter().any(|stage| match stage {
            Stage::Window { window, .. } => asks(window),
            Stage::Map(_) => false,
        });
        staged || matches!(&self.select.output, SelectOutput::Window(window) if asks(window))
    }
}

fn set_text(text: &mut String, bytes: &[u8]) {
    text.clear();
    text.push_str(&String::from_utf8_lossy(bytes));
}

/// Windows do not see staleness markers.
fn drop_stale(samples: &mut Samples) {
    let Samples { timestamps_ms, values, .. } = samples;
    if !values.iter().any(|&value| is_stale_nan(value)) {
        return;
    }
    let mut kept = 0;
    for index in 0..values.len() {
        if !is_stale_nan(values[index]) {
            values[kept] = values[index];
            timestamps_ms[kept] = timestamps_ms[index];
            kept += 1;
        }
    }
    values.truncate(kept);
    timestamps_ms.truncate(kept);
}

/// The newest sample not older than the lookback, unless it is a staleness marker. O(samples +
/// steps).
fn look_back(select: &Select, samples: &Samples, row: &mut Row) {
    let (grid, times_ms) = (select.grid, &samples.timestamps_ms);
    row.reset(grid.step_count);
    let mut after = 0;
    for step in 0..grid.step_count {
        let time_ms = select.lookup.time_ms(grid.time_ms(step));
        while after < times_ms.len() && times_ms[after] <= time_ms {
            after += 1;
        }
        let Some(index) = after.checked_sub(1) else { continue };
        let sample_ms = times_ms[index];
        if sample_ms <= time_ms.saturating_sub(select.lookback_ms)
            || is_stale_nan(samples.values[index])
        {
            continue;
        }
        let value = match select.output {
            SelectOutput::Timestamp => sample_ms as f64 / 1000.0,
            SelectOutput::TimestampMs => sample_ms as f64,
            _ => samples.values[index],
        };
        row.set(step, value);
    }
}

/// The value on the line between the samples around each time, within the lookback; without a
/// later one, the earlier one's.
///
/// Source: Prometheus `promql/engine.go`, `smoothSeries`.
fn smooth(select: &Select, samples: &Samples, row: &mut Row) {
    let (grid, times_ms, values) = (select.grid, &samples.timestamps_ms, &samples.values);
    row.reset(grid.step_count);
    let mut next = 0;
    for step in 0..grid.step_count {
        let time_ms = select.lookup.time_ms(grid.time_ms(step));
        while next < times_ms.len() && times_ms[next] < time_ms {
            next += 1;
        }
        let reach = |index: &usize| {
            times_ms[*index] > time_ms.saturating_sub(select.lookback_ms)
                && times_ms[*index] <= time_ms.saturating_add(select.lookback_ms)
        };
        let before = next.checked_sub(1).filter(reach);
        let after = Some(next).filter(|index| *index < times_ms.len()).filter(reach);
        let value = match (before, after) {
            (_, Some(after)) if times_ms[after] == time_ms => values[after],
            (Some(before), Some(after)) => {
                let share = (time_ms - times_ms[before]) as f64;
                let span = (times_ms[after] - times_ms[before]) as f64;
                values[before] + (values[after] - values[before]) * share / span
            }
            (Some(before), None) => values[before],
            (None, _) => continue,
        };
        row.set(step, value);
    }
}
