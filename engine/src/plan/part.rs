//! What a shard does for a query: select, per series a chain of stages, then rows or groups.
//!
//! ```text
//! select ── samples of a series ──► lookback | window function        one row of steps
//!   stage, stage, …                 arithmetic with a scalar, abs, a window over a subquery
//!   finish                          the rows as they are | groups of rows, aggregated
//! ```
//!
//! A stage keeps series apart, so every shard runs it on its own series. A part owns all it names
//! and is `Send`: one is made, and every shard gets the same.

use std::sync::Arc;

use crate::model::labels::METRIC_NAME;
use crate::model::{MatchOp, Matcher};
use crate::promql::ast::{AggregateOp, BinaryOp, PosRange};
use crate::promql::functions::FunctionId;

use super::grid::{Grid, Lookup};
use super::node::NodeId;

#[derive(Clone, Debug, PartialEq)]
pub struct ShardPart {
    pub matchers: Vec<Matcher>,
    pub select: Select,
    pub stages: Vec<Stage>,
    pub finish: Finish,
    /// Most samples this query may hold at once.
    pub samples_max: usize,
    /// Most bytes it may hold at once.
    pub bytes_max: usize,
    /// Names are dropped at the end of the query, not where an operation drops them.
    pub delayed_names: bool,
    /// `__type__` says whether a series is a counter, not its name.
    pub type_and_unit: bool,
    /// Start timestamps tell of resets.
    pub start_timestamps: bool,
}

/// The first step of a part: samples to one row per series.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    pub grid: Grid,
    pub lookup: Lookup,
    pub output: SelectOutput,
    /// How far back a sample may lie to stand for a time.
    pub lookback_ms: i64,
    /// Of native histograms only count and sum matter.
    pub skips_buckets: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SelectOutput {
    /// The newest sample within the lookback.
    Value,
    /// The newest sample's timestamp in seconds, instead of its value.
    Timestamp,
    /// The same in milliseconds: what `info` compares.
    TimestampMs,
    /// The newest sample's start timestamp in seconds, zero where unknown.
    StartTimestamp,
    /// The value at the very time, interpolated between its neighbours. The position is the
    /// selector's, for annotations.
    Smoothed { position: PosRange },
    /// A function over the samples of a window.
    Window(Window),
    /// The samples of a window as they are; only as the root of an instant query.
    Samples { range_ms: i64, extend: Extend },
}

/// A function over a range vector, which ends at the lookup time and is open on its left.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub function: FunctionId,
    pub range_ms: i64,
    pub extend: Extend,
    /// Scalar arguments in the order written.
    pub params: Vec<Param>,
    /// Of each argument as written, for annotations.
    pub arg_positions: Vec<PosRange>,
}

/// What a window takes in beyond its edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extend {
    No,
    /// Also the newest sample at or before its left edge.
    Anchored,
    /// Also the neighbours beyond both edges, to interpolate at the edges.
    Smoothed,
}

/// A scalar argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    Number(f64),
    /// A node of the plan, replaced by its column before a part is sent.
    Node(NodeId),
    /// One value per step.
    Column(Arc<[f64]>),
}

impl Param {
    /// # Panics
    ///
    /// When it is still the name of a node.
    #[inline]
    pub fn at(&self, step: usize) -> f64 {
        match self {
            Param::Number(value) => *value,
            Param::Column(values) => values[step],
            Param::Node(node) => panic!("{node:?} must be evaluated before its part runs"),
        }
    }
}

/// One operation on the row of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    Map(Map),
    /// A window function over the points of the row: what follows a subquery. The row is on
    /// `grid` afterwards.
    Window {
        window: Window,
        lookup: Lookup,
        grid: Grid,
    },
}

/// One operation on every point of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Map {
    Negate,
    /// `abs`, `ceil`, `ln`, …: functions of one number.
    Math(FunctionId),
    Clamp {
        min: Param,
        max: Param,
    },
    Round {
        to: Param,
    },
    /// `hour`, `month`, …: the value is a time in seconds.
    Date(FunctionId),
    /// The evaluation time in seconds.
    Timestamp,
    Scalar {
        op: BinaryOp,
        scalar: Param,
        /// The scalar stands on the left.
        swapped: bool,
        return_bool: bool,
        position: PosRange,
    },
    /// `histogram_count`, `histogram_sum`, …: numbers of native histograms. Floats vanish.
    Histogram(FunctionId),
    /// Nothing remains.
    Nothing,
}

impl Stage {
    /// Whether points vanish that were there: a comparison, mostly.
    pub fn drops_points(&self) -> bool {
        match self {
            Stage::Map(Map::Scalar { op, return_bool, .. }) => !changes_metric(*op) && !return_bool,
            Stage::Map(Map::Histogram(_) | Map::Nothing) => true,
            Stage::Map(_) | Stage::Window { .. } => false,
        }
    }

    /// Whether the result is another metric, so that it loses its name.
    pub fn drops_name(&self) -> bool {
        match self {
            Stage::Map(Map::Scalar { op, return_bool, .. }) => changes_metric(*op) || *return_bool,
            Stage::Map(_) => true,
            Stage::Window { window, .. } => window.drops_name(),
        }
    }

    /// Whether a name that is dropped takes the metric's type and unit along. Numbers of native
    /// histograms keep them, as in Prometheus.
    pub fn keeps_type_and_unit(&self) -> bool {
        matches!(self, Stage::Map(Map::Histogram(_))) || !self.drops_name()
    }

    /// The grid of the row after this stage, where it is another.
    pub fn grid(&self) -> Option<Grid> {
        match self {
            Stage::Window { grid, .. } => Some(*grid),
            Stage::Map(_) => None,
        }
    }

    fn params_mut(&mut self) -> &mut [Param] {
        match self {
            Stage::Window { window, .. } => &mut window.params,
            Stage::Map(Map::Scalar { scalar, .. }) => std::slice::from_mut(scalar),
            Stage::Map(Map::Round { to }) => std::slice::from_mut(to),
            _ => &mut [],
        }
    }

    /// Whether a scalar argument is the value of a node.
    fn takes_node(&self) -> bool {
        let is_node = |param: &Param| matches!(param, Param::Node(_));
        match self {
            Stage::Window { window, .. } => window.params.iter().any(is_node),
            Stage::Map(Map::Scalar { scalar, .. }) => is_node(scalar),
            Stage::Map(Map::Round { to }) => is_node(to),
            Stage::Map(Map::Clamp { min, max }) => is_node(min) || is_node(max),
            Stage::Map(_) => false,
        }
    }

    /// Calls `f` with every scalar argument.
    pub fn for_each_param(&mut self, f: &mut dyn FnMut(&mut Param)) {
        if let Stage::Map(Map::Clamp { min, max }) = self {
            f(min);
            f(max);
            return;
        }
        self.params_mut().iter_mut().for_each(f);
    }
}

impl Window {
    /// `last_over_time` and `first_over_time` give samples of the metric itself. What
    /// `absent_over_time` sees is not shown, so names may stay and rows need not differ.
    pub fn drops_name(&self) -> bool {
        use FunctionId::*;
        !matches!(self.function, LastOverTime | FirstOverTime | AbsentOverTime)
    }
}

/// Whether `op` makes another metric of its operand.
pub fn changes_metric(op: BinaryOp) -> bool {
    use BinaryOp::*;
    matches!(op, Add | Sub | Mul | Div | Mod | Pow | Atan2)
}

#[derive(Clone, Debug, PartialEq)]
pub enum Finish {
    Rows,
    /// Rows with the labels that a group would have; some may have the same.
    Projected(Grouping),
    /// Groups with everything needed to merge them with those of other shards.
    Groups {
        op: AggregateOp,
        grouping: Grouping,
        /// Where the aggregated expression stands.
        position: PosRange,
    },
    /// The rows that may be chosen when all are together.
    Candidates(Box<Aggregate>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    pub grouping: Grouping,
    /// `k`, `φ` or the ratio.
    pub param: Option<Param>,
    pub param_position: PosRange,
    /// Where the aggregation stands, and what it aggregates.
    pub position: PosRange,
    pub child_position: PosRange,
    /// The label of `count_values` as it was written, which may be no UTF-8.
    pub value_label: Box<[u8]>,
}

/// `by (…)` or `without (…)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grouping {
    /// Sorted and unique.
    pub labels: Vec<Box<str>>,
    pub without: bool,
}

impl Grouping {
    pub fn new(labels: &[Box<str>], without: bool) -> Grouping {
        let mut labels = labels.to_vec();
        labels.sort();
        labels.dedup();
        Grouping { labels, without }
    }
}

impl ShardPart {
    pub fn drops_name(&self) -> bool {
        self.select_drops_name() || self.stages.iter().any(Stage::drops_name)
    }

    /// Whether the selection alone makes another metric.
    pub fn select_drops_name(&self) -> bool {
        match &self.select.output {
            SelectOutput::Window(window) => window.drops_name(),
            SelectOutput::Timestamp | SelectOutput::StartTimestamp => true,
            SelectOutput::Value
            | SelectOutput::TimestampMs
            | SelectOutput::Smoothed { .. }
            | SelectOutput::Samples { .. } => false,
        }
    }

    /// As [`Stage::keeps_type_and_unit`], of all that is done to a row.
    pub fn keeps_type_and_unit(&self) -> bool {
        !self.select_drops_name() && self.stages.iter().all(Stage::keeps_type_and_unit)
    }

    /// Whether a dropped name can have given two series the same labels, so that whoever sees all
    /// rows must notice. A selector that fixes the name leaves one series for each other label
    /// set.
    pub fn rows_may_meet(&self) -> bool {
        !self.delayed_names && self.drops_name() && !self.fixes_name()
    }

    /// Whether all series are of one metric.
    pub fn fixes_name(&self) -> bool {
        self.matchers.iter().any(|matcher| {
            matcher.op == MatchOp::Equal
                && matcher.name.as_bytes() == METRIC_NAME
                && !matcher.value.is_empty()
        })
    }

    /// Whether the rows come out of a window function, not of an operation on points.
    pub fn ends_in_window(&self) -> bool {
        match self.stages.last() {
            Some(stage) => matches!(stage, Stage::Window { .. }),
            None => matches!(self.select.output, SelectOutput::Window(_)),
        }
    }

    /// Where the expression stands that the part's groups aggregate.
    pub fn child_position(&self) -> PosRange {
        match &self.finish {
            Finish::Groups { position, .. } => *position,
            _ => PosRange::default(),
        }
    }

    /// The grid of the part's rows.
    pub fn grid(&self) -> Grid {
        self.stages.iter().rev().find_map(Stage::grid).unwrap_or(self.select.grid)
    }

    /// Whether it takes the value of a node, so that it cannot be asked before that has one.
    pub fn takes_node(&self) -> bool {
        let of_select = match &self.select.output {
            SelectOutput::Window(window) => &window.params[..],
            _ => &[],
        };
        of_select.iter().any(|param| matches!(param, Param::Node(_)))
            || self.stages.iter().any(Stage::takes_node)
    }

    /// Calls `f` with every place in the text that the part remembers for annotations.
    pub fn for_each_position(&mut self, f: &mut dyn FnMut(&mut PosRange)) {
        match &mut self.select.output {
            SelectOutput::Window(window) => window.arg_positions.iter_mut().for_each(&mut *f),
            SelectOutput::Smoothed { position } => f(position),
            _ => {}
        }
        for stage in &mut self.stages {
            match stage {
                Stage::Window { window, .. } => {
                    window.arg_positions.iter_mut().for_each(&mut *f);
                }
                Stage::Map(Map::Scalar { position, .. }) => f(position),
                Stage::Map(_) => {}
            }
        }
        match &mut self.finish {
            Finish::Rows | Finish::Projected(_) => {}
            Finish::Groups { position, .. } => f(position),
            Finish::Candidates(aggregate) => {
                f(&mut aggregate.param_position);
                f(&mut aggregate.position);
                f(&mut aggregate.child_position);
            }
        }
    }

    /// Calls `f` with every scalar argument and whether its steps are those of the result, not of
    /// a window that slides over them.
    pub fn for_each_param(&mut self, f: &mut dyn FnMut(&mut Param, bool)) {
        let mut windows_left = self.stages.iter().filter(|stage| stage.grid().is_some()).count();
        if let SelectOutput::Window(window) = &mut self.select.output {
            window.params.iter_mut().for_each(|param| f(param, windows_left == 0));
        }
        for stage in &mut self.stages {
            windows_left -= usize::from(stage.grid().is_some());
            stage.for_each_param(&mut |param| f(param, windows_left == 0));
        }
    }
}
