//! The evaluation of a plan: parts go to the shards, their partials come back, the rest is done
//! here, node by node.
//!
//! Nodes stand in post-order, so it is a loop; the value of a node lives until its parent takes
//! it.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::model::source::Turns;
use crate::plan::grid::Grid;
use crate::plan::node::{NodeId, Op};
use crate::plan::part::{Param, ShardPart, Stage};
use crate::plan::{Ask, Plan, Together};
use crate::promql::ast::ValueType;

use super::annotations::Annotations;
use super::elementwise;
use super::error::ExecError;
use super::functions::{histogram, info, labels, math, order};
use super::label_table::Dropped;
use super::matrix::Matrix;
use super::merge_rows::{Meeting, rename, settle, sort_by_labels};
use super::outcome::{Outcome, Value};
use super::ranges::Ranges;
use super::row::Row;
use super::scan::{Partial, PartialValue};
use super::shapes::{absent, repeat_step, row_of_scalar, single_values};
use super::stage::{self, Scratch, StageContext};
use super::stats::{SampleStats, StepCounts, read_through_window};
use super::turn::spend;
use super::{aggregate_all, binary};

/// How parts reach the shards.
pub trait Scatter {
    /// Runs what is asked on every shard: for each shard, in their order, an answer for each part.
    fn run(
        &self,
        ask: Arc<Ask>,
    ) -> impl Future<Output = Result<Vec<Vec<Result<Partial, ExecError>>>, ExecError>>;

    /// Where the gather's own work pauses.
    fn turns(&self) -> &impl Turns;
}

/// What the shards answered to a part, in their order.
pub type Answer = Result<Vec<Partial>, ExecError>;

/// Answers to parts of a plan that were asked before, by node.
pub type Given = HashMap<NodeId, Answer, RandomState>;

/// Asks all shards; the answers in the order of the parts.
pub(super) async fn ask(scatter: &impl Scatter, ask: Arc<Ask>) -> Result<Vec<Answer>, ExecError> {
    let mut answers: Vec<Answer> = ask.parts.iter().map(|_| Ok(vec![])).collect();
    for of_shard in scatter.run(ask).await? {
        for (answer, partial) in answers.iter_mut().zip(of_shard) {
            match (answer.as_mut(), partial) {
                (Ok(partials), Ok(partial)) => partials.push(partial),
                (Ok(_), Err(error)) => *answer = Err(error),
                (Err(_), _) => {}
            }
        }
    }
    Ok(answers)
}

/// Evaluates `plan`.
///
/// # Errors
///
/// Prometheus's, in its words; those of the shards.
pub async fn evaluate(plan: &Plan, scatter: &impl Scatter) -> Result<Outcome, ExecError> {
    evaluate_given(plan, Given::default(), scatter).await
}

/// As [`evaluate`], with what is known already.
pub async fn evaluate_given(
    plan: &Plan,
    given: Given,
    scatter: &impl Scatter,
) -> Result<Outcome, ExecError> {
    let mut gather = Gather::new(plan, given);
    for index in 0..plan.nodes.len() {
        gather.node(NodeId(index as u32), scatter).await?;
        spend(scatter.turns(), gather.slots[index].held).await?;
    }
    gather.finish(scatter.turns()).await
}

/// The value of a node, on its grid.
#[derive(Clone, Debug, Default)]
pub(super) enum NodeValue {
    #[default]
    Taken,
    Scalar(Arc<[f64]>),
    Text(String),
    Rows(Matrix),
    Ranges(Ranges),
}

impl NodeValue {
    /// Memory of the value.
    fn bytes(&self) -> usize {
        match self {
            NodeValue::Taken => 0,
            NodeValue::Scalar(values) => size_of_val(&values[..]),
            NodeValue::Text(text) => text.len(),
            NodeValue::Rows(rows) => rows.bytes(),
            NodeValue::Ranges(ranges) => ranges.bytes(),
        }
    }

    /// Samples that it counts as.
    fn sample_count(&self) -> usize {
        match self {
            NodeValue::Taken | NodeValue::Text(_) | NodeValue::Ranges(_) => 0,
            NodeValue::Scalar(values) => values.len(),
            NodeValue::Rows(matrix) => matrix.sample_count(),
        }
    }
}

#[derive(Clone, Default)]
struct Slot {
    value: NodeValue,
    /// By the steps of the node's grid.
    counts: StepCounts,
    held: usize,
}

#[derive(Default)]
struct Kept {
    slot: Slot,
    /// Nodes that are still to ask for it.
    asking_count: usize,
}

struct Gather<'a> {
    plan: &'a Plan,
    slots: Vec<Slot>,
    /// Values that a later node names again, by the node that has them.
    kept: HashMap<NodeId, Kept, RandomState>,
    /// Answers that wait for their node.
    given: Given,
    annotations: Annotations,
    stats: SampleStats,
    scratch: Scratch,
}

impl<'a> Gather<'a> {
    fn new(plan: &'a Plan, given: Given) -> Gather<'a> {
        let slots = plan.nodes.iter().map(|_| Slot::default()).collect();
        let stats = SampleStats::new(0, plan.samples_max).with_bytes_max(plan.bytes_max);
        let (annotations, scratch) = (Annotations::default(), Scratch::default());
        let mut kept: HashMap<NodeId, Kept, RandomState> = HashMap::default();
        for node in &plan.nodes {
            if let Op::Same(first) = node.op {
                kept.entry(first).or_default().asking_count += 1;
            }
        }
        Gather { plan, slots, kept, given, annotations, stats, scratch }
    }

    fn grid(&self, id: NodeId) -> Grid {
        self.plan.nodes[id.index()].grid
    }

    /// Takes the value of a child and adds what its steps counted to `counts`.
    fn take(&mut self, id: NodeId, counts: &mut StepCounts) -> NodeValue {
        let slot = std::mem::take(&mut self.slots[id.index()]);
        self.stats.release(slot.held);
        self.stats.release_bytes(slot.value.bytes());
        counts.add(&slot.counts);
        slot.value
    }

    fn rows(&mut self, id: NodeId, counts: &mut StepCounts) -> Matrix {
        match self.take(id, counts) {
            NodeValue::Rows(matrix) => matrix,
            other => panic!("{id:?} must be a vector, not {other:?}"),
        }
    }

    fn scalar(&mut self, id: NodeId, counts: &mut StepCounts) -> Arc<[f64]> {
        match self.take(id, counts) {
            NodeValue::Scalar(values) => values,
            other => panic!("{id:?} must be a scalar, not {other:?}"),
        }
    }

    /// Replaces a node's name by its values.
    fn fill(&mut self, param: &mut Param, counts: &mut StepCounts) {
        if let Param::Node(id) = *param {
            *param = Param::Column(self.scalar(id, counts));
        }
    }

    async fn node(&mut self, id: NodeId, scatter: &impl Scatter) -> Result<(), ExecError> {
        let grid = self.grid(id);
        if grid.step_count > self.plan.samples_max {
            return Err(ExecError::TooManySamples);
        }
        let mut counts = StepCounts::default();
        let plan = self.plan;
        let value = match &plan.nodes[id.index()].op {
            Op::Moved => return Ok(()),
            Op::Same(first) => {
                self.slots[id.index()] = self.ask_again(*first)?;
                return Ok(());
            }
            Op::Scatter(part) => {
                let rows = self.scatter(id, part, scatter, &mut counts).await?;
                let held = rows.sample_count();
                let slot = Slot { value: rows, counts, held };
                if let Some(kept) = self.kept.get_mut(&id) {
                    kept.slot = slot.clone();
                    self.stats.hold(held)?;
                    self.stats.hold_bytes(slot.value.bytes())?;
                }
                self.slots[id.index()] = slot;
                return Ok(());
            }
            Op::Info { child, info } => {
                let base = self.rows(*child, &mut counts);
                let enriched =
                    info::run(base, info, grid, plan, scatter, &mut self.stats, &mut counts)
                        .await?;
                NodeValue::Rows(enriched)
            }
            Op::Text(text) => NodeValue::Text(text.to_string()),
            Op::Repeat(child) => self.repeat(*child, grid, &mut counts),
            op @ (Op::Number(_)
            | Op::Time
            | Op::NegateScalar(_)
            | Op::ScalarBinary { .. }
            | Op::Extreme { .. }
            | Op::ScalarOf(_)) => self.scalar_node(op, grid, &mut counts)?,
            op => {
                let turns = scatter.turns();
                let rows = self.vector_node(op, grid, &mut counts, turns).await?;
                self.stats.check_cells(rows.cell_count())?;
                NodeValue::Rows(rows)
            }
        };
        let held = value.sample_count();
        self.stats.hold(held)?;
        self.stats.hold_bytes(value.bytes())?;
        self.slots[id.index()] = Slot { value, counts, held };
        Ok(())
    }

    /// The answer to the part of a node: given, or asked now with those that share its scan.
    async fn answer(&mut self, id: NodeId, part: &ShardPart, scatter: &impl Scatter) -> Answer {
        if let Some(given) = self.given.remove(&id) {
            return given;
        }
        let is_its = |together: &&Together| together.nodes.contains(&id);
        let Some(together) = self.plan.together.iter().find(is_its) else {
            let mut answers = ask(scatter, Arc::new(Ask::one(part.clone()))).await?;
            return answers.pop().expect("an answer for each part");
        };
        let answers = ask(scatter, together.ask.clone()).await?;
        self.given.extend(together.nodes.iter().copied().zip(answers));
        self.given.remove(&id).expect("it is one of them")
    }

    /// What the node `first` computed, once more.
    fn ask_again(&mut self, first: NodeId) -> Result<Slot, ExecError> {
        let kept = self.kept.get_mut(&first).expect("every asking node was counted");
        kept.asking_count -= 1;
        if kept.asking_count == 0 {
            return Ok(std::mem::take(&mut kept.slot));
        }
        self.stats.hold(kept.slot.held)?;
        self.stats.hold_bytes(kept.slot.value.bytes())?;
        Ok(kept.slot.clone())
    }

    /// Runs a part on the shards and puts the partials together.
    async fn scatter(
        &mut self,
        id: NodeId,
        part: &ShardPart,
        scatter: &impl Scatter,
        counts: &mut StepCounts,
    ) -> Result<NodeValue, ExecError> {
        let mut part = part.clone();
        let (mut of_params, mut uncounted) = (StepCounts::default(), StepCounts::default());
        part.for_each_param(&mut |param, is_counted| {
            self.fill(param, if is_counted { &mut of_params } else { &mut uncounted });
        });
        let partials = self.answer(id, &part, scatter).await?;
        for partial in &partials {
            self.stats.absorb(&partial.stats)?;
            counts.grow(part.grid().step_count);
            counts.add(&partial.stats.per_step);
        }
        counts.add(&of_params);
        // Those of a window over the row: what they looked at does not count, what they read does.
        let read = part.read_by_step(&uncounted.read);
        counts.read.iter_mut().zip(read).for_each(|(total, added)| *total += added);
        let held: usize = partials.iter().map(|partial| partial.stats.held()).sum();
        let held_bytes: usize = partials.iter().map(|partial| partial.stats.held_bytes()).sum();
        let value = self.put_together(&part, partials, scatter.turns()).await?;
        if let NodeValue::Rows(rows) = &value {
            self.stats.check_cells(rows.cell_count())?;
        }
        // What was held as partials is held as their sum now.
        self.stats.release(held);
        self.stats.release_bytes(held_bytes);
        self.stats.hold(value.sample_count())?;
        self.stats.hold_bytes(value.bytes())?;
        Ok(value)
    }

    async fn put_together(
        &mut self,
        part: &ShardPart,
        partials: Vec<Partial>,
        turns: &impl Turns,
    ) -> Result<NodeValue, ExecError> {
        let mut together: Option<PartialValue> = None;
        for partial in partials {
            spend(turns, partial.stats.held()).await?;
            self.annotations.merge(partial.annotations);
            match (&mut together, partial.value) {
                (None, value) => together = Some(value),
                (Some(PartialValue::Rows(rows)), PartialValue::Rows(more)) => rows.append(more),
                (Some(PartialValue::Groups(groups)), PartialValue::Groups(more)) => {
                    groups.merge(more);
                }
                (Some(PartialValue::Ranges(ranges)), PartialValue::Ranges(more)) => {
                    ranges.append(&more);
                }
                _ => panic!("all shards must answer a part in the same form"),
            }
        }
        Ok(match together {
            None => NodeValue::Rows(Matrix::new(part.grid().step_count)),
            Some(PartialValue::Groups(groups)) => {
                let position = part.child_position();
                NodeValue::Rows(groups.finish(&mut self.annotations, position))
            }
            Some(PartialValue::Ranges(ranges)) => NodeValue::Ranges(ranges),
            Some(PartialValue::Rows(rows)) if part.rows_may_meet() => {
                let meeting =
                    if part.ends_in_window() { Meeting::Refused } else { Meeting::Merged };
                NodeValue::Rows(settle(rows, meeting, turns).await?)
            }
            Some(PartialValue::Rows(rows)) => NodeValue::Rows(rows),
        })
    }

    /// A scalar node.
    fn scalar_node(
        &mut self,
        op: &Op,
        grid: Grid,
        counts: &mut StepCounts,
    ) -> Result<NodeValue, ExecError> {
        let each = |value: &dyn Fn(usize) -> f64| (0..grid.step_count).map(value).collect();
        let values: Arc<[f64]> = match op {
            Op::Number(value) => each(&|_| *value),
            Op::Time => each(&|step| grid.time_ms(step) as f64 / 1000.0),
            Op::NegateScalar(child) => {
                let values = self.scalar(*child, counts);
                each(&|step| -values[step])
            }
            Op::ScalarBinary { op, lhs, rhs } => {
                let (lhs, rhs) = (self.scalar(*lhs, counts), self.scalar(*rhs, counts));
                if elementwise::scalar(*op, 0.0, 0.0).is_none() {
                    let operator = op.as_str();
                    return Err(ExecError::Evaluation(format!(
                        "operator {operator:?} not allowed for Scalar operations"
                    )));
                }
                each(&|step| elementwise::scalar(*op, lhs[step], rhs[step]).unwrap_or(f64::NAN))
            }
            Op::Extreme { largest, lhs, rhs } => {
                let (lhs, rhs) = (self.scalar(*lhs, counts), self.scalar(*rhs, counts));
                let extreme = if *largest { math::max } else { math::min };
                each(&|step| extreme(lhs[step], rhs[step]))
            }
            Op::ScalarOf(child) => single_values(&self.rows(*child, counts)).into(),
            other => panic!("{other:?} must be a scalar"),
        };
        Ok(NodeValue::Scalar(values))
    }

    /// The single step of `child` at every step of `grid`.
    fn repeat(&mut self, child: NodeId, grid: Grid, counts: &mut StepCounts) -> NodeValue {
        let value = self.take(child, counts);
        // Every step looks at what the first one has read.
        let once = counts.queryable.first().copied().unwrap_or(0);
        let read = counts.read.iter().sum();
        counts.reset(grid.step_count);
        counts.queryable.fill(once);
        counts.read.iter_mut().take(1).for_each(|first| *first = read);
        match value {
            NodeValue::Scalar(values) => {
                NodeValue::Scalar((0..grid.step_count).map(|_| values[0]).collect())
            }
            NodeValue::Rows(rows) => NodeValue::Rows(repeat_step(&rows, grid.step_count)),
            other => other,
        }
    }

    /// A vector node that needs no shard.
    async fn vector_node(
        &mut self,
        op: &Op,
        grid: Grid,
        counts: &mut StepCounts,
        turns: &impl Turns,
    ) -> Result<Matrix, ExecError> {
        let delayed = self.plan.delayed_names;
        match op {
            Op::VectorOf(child) => Ok(row_of_scalar(grid, &self.scalar(*child, counts))),
            Op::Stage { child, stage } => self.stage(*child, stage, grid, counts, turns).await,
            Op::Aggregate { child, aggregate } => {
                let mut aggregate = (**aggregate).clone();
                if let Some(param) = &mut aggregate.param {
                    self.fill(param, counts);
                }
                let rows = self.rows(*child, counts);
                aggregate_all::run(&rows, &aggregate, &mut self.annotations, turns).await
            }
            Op::Binary { lhs, rhs, binary } => {
                let lhs = self.rows(*lhs, counts);
                let rhs = self.rows(*rhs, counts);
                binary::run(&lhs, &rhs, binary, delayed, &mut self.annotations, turns).await
            }
            Op::Absent { child, labels } => Ok(absent(&self.rows(*child, counts), labels.as_ref())),
            Op::LabelReplace { child, replace } => {
                labels::replace(self.rows(*child, counts), replace, turns).await
            }
            Op::LabelJoin { child, join } => {
                labels::join(self.rows(*child, counts), join, turns).await
            }
            Op::Sort { child, order, position } => {
                let rows = self.rows(*child, counts);
                Ok(order::sort(rows, order, *position, self.plan, &mut self.annotations))
            }
            Op::Histogram { child, histogram } => {
                let mut histogram = (**histogram).clone();
                for param in &mut histogram.params {
                    self.fill(param, counts);
                }
                let rows = self.rows(*child, counts);
                histogram::run(&rows, &histogram, grid, delayed, &mut self.annotations, turns).await
            }
            other => panic!("{other:?} must be a vector"),
        }
    }

    /// Runs a stage on all rows of a vector.
    async fn stage(
        &mut self,
        child: NodeId,
        stage: &Stage,
        grid: Grid,
        counts: &mut StepCounts,
        turns: &impl Turns,
    ) -> Result<Matrix, ExecError> {
        let mut stage = stage.clone();
        let mut of_params = StepCounts::default();
        stage.for_each_param(&mut |param| self.fill(param, &mut of_params));
        let child_grid = self.grid(child);
        let rows = self.rows(child, counts);
        let is_window = matches!(stage, Stage::Window { .. });
        if let Stage::Window { window, lookup, .. } = &stage {
            let read = &counts.read;
            let read = read_through_window(read, child_grid, window.range_ms, *lookup, grid);
            *counts = StepCounts { queryable: vec![0; grid.step_count], read };
        }
        self.stats.per_step.reset(grid.step_count);
        let delayed = self.plan.delayed_names;
        let mut result = Matrix::new(grid.step_count);
        result.is_ordered = rows.is_ordered;
        if !stage.drops_points() {
            result.reserve(rows.row_count());
        }
        let (mut row, mut label_bytes) = (Row::default(), Vec::new());
        for index in 0..rows.row_count() {
            spend(turns, child_grid.step_count).await?;
            let labels = rows.labels(index);
            row.load(rows.row(index));
            let name = String::from_utf8_lossy(labels.metric_name());
            let mut context = StageContext {
                annotations: &mut self.annotations,
                stats: &mut self.stats,
                metric_name: &name,
                type_and_unit: None,
                scratch: &mut self.scratch,
            };
            let mut row_grid = child_grid;
            stage::run(&stage, &mut row, &mut row_grid, &mut context)?;
            let drops = stage.drops_name();
            let renamed = match drops && !delayed {
                true if stage.keeps_type_and_unit() => Dropped::Name,
                true => Dropped::Reserved,
                false => Dropped::Nothing,
            };
            let labels = renamed.of(labels, &mut label_bytes);
            result.push_row(labels, drops || rows.drops_name(index), row.as_ref());
        }
        if is_window {
            counts.queryable = std::mem::take(&mut self.stats.per_step.queryable);
        }
        counts.grow(grid.step_count);
        counts.add(&of_params);
        if delayed || !stage.drops_name() {
            return Ok(result);
        }
        settle(result, if is_window { Meeting::Refused } else { Meeting::Merged }, turns).await
    }

    async fn finish(mut self, turns: &impl Turns) -> Result<Outcome, ExecError> {
        let plan = self.plan;
        let root = plan.root();
        let grid = self.grid(root);
        let timestamp_ms = plan.times.start_ms;
        let mut counts = StepCounts::default();
        counts.grow(grid.step_count);
        let value = match self.take(root, &mut counts) {
            NodeValue::Text(value) => Value::String { timestamp_ms, value },
            NodeValue::Scalar(values) if plan.times.is_instant() => {
                Value::Scalar { timestamp_ms, value: values[0] }
            }
            NodeValue::Scalar(values) => Value::Matrix { grid, rows: row_of_scalar(grid, &values) },
            NodeValue::Ranges(mut ranges) => {
                ranges.sort_by_labels();
                Value::Ranges(ranges)
            }
            NodeValue::Rows(mut rows) => {
                if plan.delayed_names {
                    rows = clean_names(rows, turns).await?;
                }
                let is_vector = plan.times.is_instant() && plan.value_type == ValueType::Vector;
                if !(is_vector && rows.is_ordered) {
                    rows = sort_by_labels(rows, turns).await?;
                }
                if is_vector {
                    Value::Vector { timestamp_ms, rows }
                } else {
                    Value::Matrix { grid, rows }
                }
            }
            NodeValue::Taken => panic!("the root must have a value"),
        };
        if plan.value_type == ValueType::Matrix {
            // All of a subquery's samples count for the one step that asked.
            let sum = |column: &[u64]| vec![column.iter().sum()];
            counts = StepCounts { queryable: sum(&counts.queryable), read: sum(&counts.read) };
        }
        self.stats.per_step = counts;
        Ok(Outcome { value, annotations: self.annotations, stats: self.stats })
    }
}

/// Drops the names that operations wanted dropped.
async fn clean_names(rows: Matrix, turns: &impl Turns) -> Result<Matrix, ExecError> {
    let mut bytes = Vec::new();
    let renamed = rename(rows, turns, |rows, row, out| {
        let labels = rows.labels(row);
        let dropped = if rows.drops_name(row) { Dropped::Reserved } else { Dropped::Nothing };
        out.push(dropped.of(labels, &mut bytes));
        false
    })
    .await?;
    settle(renamed, Meeting::Merged, turns).await
}
