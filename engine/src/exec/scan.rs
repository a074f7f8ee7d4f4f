//! A shard's part of a query: series by series from samples to rows or groups.
//!
//! ```text
//! select ─► for each series:  decode ─► lookback | window ─► stages ─► a row, or into its group
//! ```
//!
//! One series is in memory at a time, beside the result. After each series the turn is asked
//! about; nothing borrowed from the source lives over a pause.

use crate::model::source::{Selection, Turns};
use crate::model::{LabelsRef, Source, TimeRange};
use crate::plan::part::{Extend, Finish, Select, SelectOutput, ShardPart, Stage, Window};
use crate::promql::functions::FunctionId;

use super::aggregate::GroupColumns;
use super::aggregate_all;
use super::annotations::Annotations;
use super::error::ExecError;
use super::histograms::sample_count;
use super::label_table::{drop_name, drop_reserved};
use super::matrix::{Matrix, Row, ones};
use super::ranges::Ranges;
use super::series::SeriesSamples;
use super::stage::{self, Scratch, StageContext};
use super::stats::SampleStats;
use super::turn::spend;
use super::{lookup, window};

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
            PartialValue::Groups(groups) => {
                groups.cell_count() * size_of::<f64>() + groups.histogram_bytes()
            }
            PartialValue::Ranges(ranges) => ranges.bytes(),
        }
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
        source.samples(&selection, index, range, &mut run.samples.source)?;
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
        SelectOutput::Value
        | SelectOutput::Timestamp
        | SelectOutput::TimestampMs
        | SelectOutput::StartTimestamp => (select.lookback_ms, 0),
        SelectOutput::Smoothed { .. } => (select.lookback_ms + 1, select.lookback_ms),
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
    samples: SeriesSamples,
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
            (Finish::Groups { op, grouping, .. }, _) => {
                PartialValue::Groups(GroupColumns::new(*op, grouping.clone(), grid.step_count))
            }
        };
        Ok(PartRun {
            part,
            samples: SeriesSamples::default(),
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
        self.samples.prepare(part);
        if let SelectOutput::Samples { range_ms, extend } = part.select.output {
            return self.range(labels, range_ms, extend);
        }
        if part.asks_for_name() || self.samples.has_histograms() {
            set_text(&mut self.metric_name, labels.metric_name());
            set_text(&mut self.type_label, labels.get(b"__type__"));
        }
        let mut windows_left = part.stages.iter().filter(|stage| stage.grid().is_some()).count();
        self.count_steps(windows_left == 0, part.select.grid.step_count);
        let selected = self.select_row(labels);
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
        if self.row.is_empty() {
            return Ok(());
        }
        self.stats.hold(self.row.as_ref().sample_count())?;
        let renamed = dropped && !part.delayed_names;
        let bytes = &mut self.label_bytes;
        let labels = match renamed {
            true if part.keeps_type_and_unit() => drop_name(labels, bytes),
            true => drop_reserved(labels, bytes),
            false => labels,
        };
        match &mut self.value {
            PartialValue::Rows(matrix) => matrix.push_row(labels, dropped, self.row.as_ref()),
            PartialValue::Groups(groups) => {
                let (row, position) = (self.row.as_ref(), part.child_position());
                groups.add_row(labels, dropped, row, &mut self.annotations, position);
            }
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
    fn select_row(&mut self, labels: LabelsRef<'_>) -> Result<(), ExecError> {
        let select = &self.part.select;
        if let SelectOutput::Window(window) = &select.output {
            self.samples.drop_stale();
            self.stats.read += self.samples.sample_count() as u64;
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
                self.samples.points(),
                grid,
                lookup,
                select.lookback_ms,
                &mut self.row,
                &mut context,
            );
        }
        if let SelectOutput::Smoothed { position } = select.output {
            self.samples.drop_stale();
            let (points, name) = (self.samples.points(), &*self.metric_name);
            lookup::smooth(select, points, &mut self.row, name, position, &mut self.annotations);
        } else {
            lookup::look_back(select, self.samples.points(), labels, &mut self.row)?;
        }
        for step in ones(&self.row.present) {
            self.stats.queryable_per_step[step] += 1;
        }
        for (step, histogram) in self.row.histograms.iter() {
            self.stats.queryable_per_step[step] += sample_count(histogram) as u64 - 1;
        }
        self.stats.read += self.row.as_ref().sample_count() as u64;
        Ok(())
    }

    /// Takes in the samples of one series as they are.
    fn range(
        &mut self,
        labels: LabelsRef<'_>,
        range_ms: i64,
        extend: Extend,
    ) -> Result<(), ExecError> {
        self.samples.drop_stale();
        let PartialValue::Ranges(ranges) = &mut self.value else {
            unreachable!("a part of samples gives ranges");
        };
        let mut points = self.samples.points();
        if points.is_empty() {
            return Ok(());
        }
        let select = &self.part.select;
        let extended;
        if extend != Extend::No {
            let is_smoothed = extend == Extend::Smoothed;
            if self.samples.has_histograms() {
                let modifier = if is_smoothed { "smoothed" } else { "anchored" };
                return Err(ExecError::Evaluation(format!(
                    "{modifier} modifier is not supported with histograms"
                )));
            }
            let end_ms = select.lookup.time_ms(select.grid.start_ms);
            let start_ms = end_ms.saturating_sub(range_ms);
            match window::extend(points, start_ms, end_ms, is_smoothed) {
                Some(columns) => extended = columns,
                None => return Ok(()),
            }
            (points.times_ms, points.values) = (&extended.0, &extended.1);
        }
        let samples = points.sample_count();
        self.stats.queryable_per_step[0] += samples as u64;
        self.stats.read += samples as u64;
        self.stats.hold(samples)?;
        ranges.push(labels, points);
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
            PartialValue::Groups(groups) => groups.sample_count(),
            PartialValue::Rows(rows) => rows.sample_count(),
            PartialValue::Ranges(_) => self.stats.held(),
        };
        self.stats.release(self.stats.held());
        self.stats.hold(points)?;
        self.count_bytes()?;
        Ok(Partial { value: self.value, annotations: self.annotations, stats: self.stats })
    }
}

impl ShardPart {
    /// Whether the first function may have something to say about a metric of floats.
    fn asks_for_name(&self) -> bool {
        let asks = |window: &Window| {
            matches!(window.function, FunctionId::Rate | FunctionId::Increase)
                || self.start_timestamps
        };
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
