//! What one part makes of the rows of its series: stages, then rows or groups.

use crate::model::LabelsRef;
use crate::model::source::Turns;
use crate::plan::part::{Extend, Finish, Select, SelectOutput, ShardPart, Stage, Window};
use crate::promql::functions::FunctionId;

use super::aggregate::{GroupColumns, GroupedSeries};
use super::aggregate_all;
use super::annotations::Annotations;
use super::error::ExecError;
use super::label_table::{Dropped, project};
use super::matrix::Matrix;
use super::ranges::Ranges;
use super::row::Row;
use super::stage::{self, Scratch, StageContext};
use super::stats::{SampleStats, StepCounts, read_through_window};
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
            PartialValue::Groups(groups) => {
                groups.cell_count() * size_of::<f64>() + groups.histogram_bytes()
            }
            PartialValue::Ranges(ranges) => ranges.bytes(),
        }
    }
}

/// Names of the series at hand, for annotations.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub metric: String,
    /// The label `__type__`.
    pub kind: String,
}

impl Names {
    pub fn set(&mut self, labels: LabelsRef<'_>, type_and_unit: bool) {
        set_text(&mut self.metric, labels.metric_name());
        if type_and_unit {
            set_text(&mut self.kind, labels.get(b"__type__"));
        }
    }
}

fn set_text(text: &mut String, bytes: &[u8]) {
    // Neighbours are mostly of one metric.
    if text.as_bytes() == bytes {
        return;
    }
    text.clear();
    text.push_str(&String::from_utf8_lossy(bytes));
}

/// Room that every series uses anew.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub scratch: Scratch,
    row: Row,
    label_bytes: Vec<u8>,
}

/// The state of a part between two series.
pub(super) struct PartRun<'a> {
    part: &'a ShardPart,
    value: PartialValue,
    annotations: Annotations,
    stats: SampleStats,
    /// Takes the counts of what a later window looks at again: only the last one's count.
    uncounted: StepCounts,
    failed: Option<ExecError>,
}

impl<'a> PartRun<'a> {
    pub fn new(part: &'a ShardPart) -> PartRun<'a> {
        let grid = part.grid();
        // A row is dense: a grid that the bound could not hold even once is not begun.
        let grids = part.stages.iter().filter_map(Stage::grid).chain([part.select.grid]);
        let is_too_long = grids.map(|grid| grid.step_count).max() > Some(part.samples_max);
        let step_count = if is_too_long { 0 } else { grid.step_count };
        let value = match (&part.finish, &part.select.output) {
            (_, SelectOutput::Samples { .. }) => PartialValue::Ranges(Ranges::default()),
            (Finish::Rows | Finish::Projected(_) | Finish::Candidates(_), _) => {
                PartialValue::Rows(Matrix::new(step_count))
            }
            (Finish::Groups { op, grouping, .. }, _) => {
                PartialValue::Groups(GroupColumns::new(*op, grouping.clone(), step_count))
            }
        };
        PartRun {
            part,
            value,
            annotations: Annotations::default(),
            stats: SampleStats::new(step_count, part.samples_max).with_bytes_max(part.bytes_max),
            uncounted: StepCounts::default(),
            failed: is_too_long.then_some(ExecError::TooManySamples),
        }
    }

    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Makes room for the rows or groups of so many series, where each mostly gives one.
    pub fn reserve(&mut self, series_count: usize) {
        if self.part.stages.iter().any(Stage::drops_points) {
            return;
        }
        match &mut self.value {
            PartialValue::Rows(rows) => rows.reserve(series_count),
            PartialValue::Groups(groups) => groups.reserve(series_count),
            PartialValue::Ranges(_) => {}
        }
    }

    fn keep_error(&mut self, result: Result<(), ExecError>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }

    /// Takes note of how the selection of a row went, and of the samples that it touched.
    pub fn note(&mut self, touched: usize, selected: &Result<(), ExecError>) {
        let touched = self.stats.touch(touched);
        self.keep_error(touched.and(selected.clone()));
    }

    /// Takes in the row of one series, which has a point. `is_own`: nobody needs it afterwards.
    pub fn series(
        &mut self,
        labels: LabelsRef<'_>,
        names: &Names,
        row: &mut Row,
        is_own: bool,
        room: &mut Room,
    ) {
        let mut own = std::mem::take(&mut room.row);
        let row = if is_own || self.part.stages.is_empty() {
            row
        } else {
            own.load(row.as_ref());
            &mut own
        };
        let result = self.take_row(labels, names, row, room);
        self.keep_error(result);
        room.row = own;
    }

    /// What of its labels a series has lost when its row is finished; `dropped`: another metric was made
    /// of it.
    pub fn renamed(part: &ShardPart, dropped: bool) -> Dropped {
        match dropped && !part.delayed_names {
            true if part.keeps_type_and_unit() => Dropped::Name,
            true => Dropped::Reserved,
            false => Dropped::Nothing,
        }
    }

    /// The group that a series falls into, of a part that has no stages.
    pub fn group_of(&mut self, labels: LabelsRef<'_>) -> usize {
        let drops_name = self.part.select_drops_name();
        let series =
            GroupedSeries { labels, dropped: PartRun::renamed(self.part, drops_name), drops_name };
        self.groups().group_of(series)
    }

    /// Adds what a series has at the only step to its group. [`PartRun::count_room`] is called after
    /// some of them.
    pub fn add_value(&mut self, group: usize, value: f64) {
        let held = self.stats.hold(1);
        self.keep_error(held);
        self.groups().add_value(group, value);
    }

    fn groups(&mut self) -> &mut GroupColumns {
        match &mut self.value {
            PartialValue::Groups(groups) => groups,
            _ => unreachable!("the part's rows are aggregated"),
        }
    }

    /// Holds the results against their bounds.
    pub fn count_room(&mut self) {
        let counted = self.count_bytes().and_then(|()| self.check_cells());
        self.keep_error(counted);
    }

    fn check_cells(&self) -> Result<(), ExecError> {
        self.stats.check_cells(match &self.value {
            PartialValue::Rows(matrix) => matrix.cell_count(),
            PartialValue::Groups(groups) => groups.cell_count(),
            PartialValue::Ranges(_) => 0,
        })
    }

    fn take_row(
        &mut self,
        labels: LabelsRef<'_>,
        names: &Names,
        row: &mut Row,
        room: &mut Room,
    ) -> Result<(), ExecError> {
        let part = self.part;
        let mut windows_left = part.window_count();
        let mut grid = part.select.grid;
        let mut dropped = part.select_drops_name();
        for stage in &part.stages {
            windows_left -= usize::from(stage.grid().is_some());
            let steps = stage.grid().map_or(0, |grid| grid.step_count);
            self.count_steps(windows_left == 0, steps);
            let mut context = StageContext {
                annotations: &mut self.annotations,
                stats: &mut self.stats,
                metric_name: if dropped && !part.delayed_names { "" } else { &names.metric },
                type_and_unit: part.type_and_unit.then_some(&names.kind),
                scratch: &mut room.scratch,
            };
            let result = stage::run(stage, row, &mut grid, &mut context);
            self.count_steps(windows_left == 0, 0);
            result?;
            dropped |= stage.drops_name();
        }
        if row.is_empty() {
            return Ok(());
        }
        self.stats.hold(row.as_ref().sample_count())?;
        let renamed = PartRun::renamed(part, dropped);
        match &mut self.value {
            PartialValue::Rows(matrix) => {
                let bytes = &mut room.label_bytes;
                let labels = match &part.finish {
                    Finish::Projected(grouping) => project(labels, renamed, grouping, bytes),
                    _ => renamed.of(labels, bytes),
                };
                matrix.push_row(labels, dropped, row.as_ref());
            }
            PartialValue::Groups(groups) => {
                let series = GroupedSeries { labels, dropped: renamed, drops_name: dropped };
                let (row, position) = (row.as_ref(), part.child_position());
                groups.add_row(series, row, &mut self.annotations, position);
            }
            PartialValue::Ranges(_) => unreachable!("a part of samples has no rows"),
        }
        self.count_bytes()?;
        self.check_cells()
    }

    fn count_bytes(&mut self) -> Result<(), ExecError> {
        self.stats.release_bytes(self.stats.held_bytes());
        self.stats.hold_bytes(self.value.bytes())
    }

    /// Called before and after a stage: unless it is the one that counts, its counts go aside.
    fn count_steps(&mut self, counts: bool, step_count: usize) {
        if !counts {
            self.uncounted.grow(step_count);
            std::mem::swap(&mut self.stats.per_step, &mut self.uncounted);
        }
    }

    /// Takes in the samples of one series as they are; `counts` is told of them.
    pub fn range(
        &mut self,
        labels: LabelsRef<'_>,
        points: Points<'_>,
        range_ms: i64,
        extend: Extend,
        counts: &mut SampleStats,
    ) {
        let result = self.take_range(labels, points, range_ms, extend, counts);
        self.keep_error(result);
    }

    fn take_range(
        &mut self,
        labels: LabelsRef<'_>,
        points: Points<'_>,
        range_ms: i64,
        extend: Extend,
        counts: &mut SampleStats,
    ) -> Result<(), ExecError> {
        let PartialValue::Ranges(ranges) = &mut self.value else {
            unreachable!("a part of samples gives ranges");
        };
        if points.is_empty() {
            return Ok(());
        }
        let select = &self.part.select;
        let extended;
        let mut points = points;
        if extend != Extend::No {
            let is_smoothed = extend == Extend::Smoothed;
            if !points.histograms.list.is_empty() {
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
        counts.per_step.queryable[0] += samples as u64;
        self.stats.hold(samples)?;
        ranges.push(labels, points);
        self.count_bytes()
    }

    /// `first`: the part whose positions stand in `annotations`, which came with the selection of
    /// rows; `selected`: what that counted.
    pub async fn finish(
        mut self,
        first: &ShardPart,
        annotations: &Annotations,
        selected: &SampleStats,
        turns: &impl Turns,
    ) -> Result<Partial, ExecError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let (own, first): (&Select, &Select) = (&self.part.select, &first.select);
        let mut all = annotations.clone();
        all.place(|position| own.position_like(first, position));
        all.merge(std::mem::take(&mut self.annotations));
        self.annotations = all;
        self.stats.per_step.read = self.part.read_by_step(&selected.per_step.read);
        if self.part.window_count() == 0 {
            self.stats.per_step.queryable.clone_from(&selected.per_step.queryable);
        }
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
    /// Stages that slide a window over the row.
    fn window_count(&self) -> usize {
        self.stages.iter().filter(|stage| stage.grid().is_some()).count()
    }

    /// What the selection read by its steps, by those of the part's rows: a window over the row
    /// reads nothing by itself.
    pub(super) fn read_by_step(&self, selected: &[u64]) -> Vec<u64> {
        let (mut read, mut inner) = (selected.to_vec(), self.select.grid);
        for stage in &self.stages {
            if let Stage::Window { window, lookup, grid } = stage {
                read = read_through_window(&read, inner, window.range_ms, *lookup, *grid);
                inner = *grid;
            }
        }
        read
    }

    /// Whether the first function may have something to say about a metric of floats.
    pub(super) fn asks_for_name(&self) -> bool {
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

    /// Whether labels decide what becomes of a series of floats.
    pub(super) fn asks_for_labels(&self) -> bool {
        match &self.finish {
            Finish::Groups { grouping, .. } => grouping.without || !grouping.labels.is_empty(),
            _ => true,
        }
    }
}
