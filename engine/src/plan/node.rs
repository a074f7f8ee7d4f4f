//! The nodes of a plan: an arena in post-order, as the tree they come from.

use crate::model::{Labels, Matcher};
use crate::promql::ast::{BinaryOp, PosRange, VectorMatching};
use crate::promql::functions::FunctionId;

use super::grid::{Grid, Lookup};
use super::part::{Aggregate, Param, ShardPart, Stage};

/// Position of a node in its [`super::Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug)]
pub struct Node {
    pub op: Op,
    /// The times of this node's value.
    pub grid: Grid,
}

/// What a node computes from the nodes it names. Every node is named once, but by [`Op::Same`].
#[derive(Clone, Debug)]
pub enum Op {
    /// Its work was taken over by a later node.
    Moved,

    // Scalars: one value per step.
    Number(f64),
    /// The evaluation time in seconds.
    Time,
    NegateScalar(NodeId),
    ScalarBinary {
        op: BinaryOp,
        lhs: NodeId,
        rhs: NodeId,
    },
    /// `max_of`, `min_of`.
    Extreme {
        largest: bool,
        lhs: NodeId,
        rhs: NodeId,
    },
    /// `scalar(v)`.
    ScalarOf(NodeId),

    Text(Box<str>),

    /// The value of that node once more, computed once.
    Same(NodeId),

    // Vectors: rows of steps.
    /// `vector(s)`.
    VectorOf(NodeId),
    /// Every shard runs the part; rows are put together, groups are merged and finished.
    Scatter(Box<ShardPart>),
    /// A stage that cannot run on the shards.
    Stage {
        child: NodeId,
        stage: Box<Stage>,
    },
    /// The child's single step, for every step.
    Repeat(NodeId),
    Aggregate {
        child: NodeId,
        aggregate: Box<Aggregate>,
    },
    /// Both sides are vectors.
    Binary {
        lhs: NodeId,
        rhs: NodeId,
        binary: Box<Binary>,
    },
    /// 1 where no row of the child has a point.
    Absent {
        child: NodeId,
        labels: Labels,
    },
    LabelReplace {
        child: NodeId,
        replace: Box<LabelReplace>,
    },
    LabelJoin {
        child: NodeId,
        join: Box<LabelJoin>,
    },
    Sort {
        child: NodeId,
        order: SortOrder,
        position: PosRange,
    },
    Histogram {
        child: NodeId,
        histogram: Box<Histogram>,
    },
    Info {
        child: NodeId,
        info: Box<Info>,
    },
}

#[derive(Clone, Debug)]
pub struct Binary {
    pub op: BinaryOp,
    pub matching: VectorMatching,
    pub return_bool: bool,
    pub position: PosRange,
}

#[derive(Clone, Debug)]
pub struct LabelReplace {
    pub target: Box<str>,
    pub replacement: Box<str>,
    pub source: Box<str>,
    pub regex: Box<str>,
}

#[derive(Clone, Debug)]
pub struct LabelJoin {
    pub target: Box<str>,
    pub separator: Box<str>,
    pub sources: Vec<Box<str>>,
}

#[derive(Clone, Debug)]
pub enum SortOrder {
    Value { descending: bool },
    Labels { names: Vec<Box<str>>, descending: bool },
}

/// A function of classic histograms' buckets.
#[derive(Clone, Debug)]
pub struct Histogram {
    pub function: FunctionId,
    /// Quantiles, or the lower and upper bound of a fraction.
    pub params: Vec<Param>,
    pub param_positions: Vec<PosRange>,
    /// Where the buckets' expression stands.
    pub position: PosRange,
    /// The label that `histogram_quantiles` adds.
    pub quantile_label: Box<str>,
}

/// The second argument of `info` and the times at which info series are read.
#[derive(Clone, Debug)]
pub struct Info {
    /// `None`: no second argument.
    pub matchers: Option<Vec<Matcher>>,
    pub lookup: Lookup,
    pub lookback_ms: i64,
}
