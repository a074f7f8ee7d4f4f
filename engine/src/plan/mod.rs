//! Logical plan: the tree of an expression, resolved in time and split into shard parts and a
//! gather part.
//!
//! ```text
//! durations             expressions in [] and offset    ─┐
//! resolve               grids, @, what does not step     ├─►  build  ─►  Plan
//! rewrites              each in its file, each may be    │
//!                       switched off                    ─┘
//! ```
//!
//! A plan holds no data and knows no shard; `exec` evaluates it. Every rewrite leaves the result
//! as it is, so every switch may be turned off.

pub mod arithmetic;
pub mod ask;
pub mod explain;
pub mod grid;
pub mod group;
pub mod node;
pub mod part;
pub mod rewrites;

mod ask_together;
mod build;
mod calls;
mod durations;
mod fold_numbers;
mod merge_scans;
mod project_labels;
mod propagate_matchers;
mod push_aggregates;
mod push_candidates;
mod push_stages;
mod reduce_matchers;
mod resolve;
mod share_parts;
mod skip_buckets;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::promql::Ast;
use crate::promql::ast::ValueType;

pub use ask::Ask;
pub use ask_together::Together;
pub use grid::{Grid, Lookup};
pub use group::PlanGroup;
pub use node::{Node, NodeId, Op};
pub use part::ShardPart;
pub use rewrites::{Applied, Rewrite, Rewrites};

/// When and with which bounds an expression is evaluated. All in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryTimes {
    pub start_ms: i64,
    /// Equal to `start_ms` in an instant query.
    pub end_ms: i64,
    /// Zero in an instant query.
    pub step_ms: i64,
    /// How far back a sample may lie to stand for a time.
    pub lookback_ms: i64,
    /// The step of a subquery that names none.
    pub subquery_step_ms: i64,
}

/// Five minutes, as Prometheus.
pub const LOOKBACK_MS: i64 = 300_000;

impl QueryTimes {
    pub fn instant(time_ms: i64) -> QueryTimes {
        QueryTimes::range(time_ms, time_ms, 0)
    }

    /// `step_ms` must be positive unless the query is instant.
    pub fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> QueryTimes {
        QueryTimes { start_ms, end_ms, step_ms, lookback_ms: LOOKBACK_MS, subquery_step_ms: 60_000 }
    }

    pub fn is_instant(&self) -> bool {
        self.step_ms == 0
    }

    fn grid(&self) -> Grid {
        if self.is_instant() {
            Grid::instant(self.start_ms)
        } else {
            Grid::new(self.start_ms, self.end_ms, self.step_ms)
        }
    }
}

/// What an evaluation is allowed and asked to do.
#[derive(Clone, Copy, Debug)]
pub struct PlanOptions {
    /// Most samples a query may hold at once.
    pub samples_max: usize,
    /// Most bytes of columns and labels a query may hold at once, on each shard and in the gather.
    pub bytes_max: usize,
    /// Names are dropped at the end of the query (Prometheus's feature
    /// `promql-delayed-name-removal`, off by default).
    pub delayed_names: bool,
    /// Prometheus's feature `type-and-unit-labels`.
    pub type_and_unit: bool,
    /// Prometheus's feature `use-start-timestamps`: start timestamps tell of resets.
    pub start_timestamps: bool,
    pub rewrites: Rewrites,
}

impl PlanOptions {
    /// Every rewrite off: what the others are compared with.
    pub fn without_rewrites(self) -> PlanOptions {
        PlanOptions { rewrites: Rewrites::NONE, ..self }
    }
}

impl Default for PlanOptions {
    fn default() -> Self {
        PlanOptions {
            samples_max: 50_000_000,
            bytes_max: usize::MAX,
            delayed_names: false,
            type_and_unit: false,
            start_timestamps: false,
            rewrites: Rewrites::ALL,
        }
    }
}

/// An expression that is ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Post-order: what a node names stands before it. The root is the last.
    pub nodes: Vec<Node>,
    /// Parts that are asked together, with those of the first of their nodes.
    pub together: Vec<Together>,
    /// The type of the expression.
    pub value_type: ValueType,
    pub times: QueryTimes,
    pub samples_max: usize,
    pub bytes_max: usize,
    pub delayed_names: bool,
    pub applied: Applied,
}

impl Plan {
    /// Resolves and splits `ast`, which the parser has checked. O(nodes).
    ///
    /// # Errors
    ///
    /// What cannot be said about the expression before its times are known, in Prometheus's words:
    /// a duration that is not positive, a range query that is not of instant vectors.
    pub fn new(ast: &Ast, times: QueryTimes, options: &PlanOptions) -> Result<Plan, PlanError> {
        let value_type = ast.value_type(ast.root());
        if !times.is_instant() && !matches!(value_type, ValueType::Vector | ValueType::Scalar) {
            let documented =
                if value_type == ValueType::String { "string" } else { "range vector" };
            return Err(PlanError {
                message: format!(
                    "invalid expression type \"{documented}\" for range query, \
                     must be Scalar or instant Vector"
                ),
            });
        }
        let resolved = resolve::Resolved::new(ast, &times)?;
        let (nodes, together, applied) = build::build(ast, &resolved, &times, options)?;
        Ok(Plan {
            nodes,
            together,
            applied,
            value_type,
            times,
            samples_max: options.samples_max,
            bytes_max: options.bytes_max,
            delayed_names: options.delayed_names,
        })
    }

    pub fn root(&self) -> NodeId {
        NodeId(self.nodes.len() as u32 - 1)
    }
}

/// Why an expression cannot be evaluated at these times: an input error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    pub message: String,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PlanError {}
