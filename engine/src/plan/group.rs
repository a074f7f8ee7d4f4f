//! Several expressions at the same times, planned together: what they ask of the shards is asked
//! at once, and parts that read the same series share a scan. The expressions of a rule group are
//! such.
//!
//! Each expression keeps a plan of its own, so one that fails fails alone, and annotations and
//! statistics are those of its own evaluation.

use std::sync::Arc;

use crate::promql::ast::Ast;

use super::ask::Ask;
use super::ask_together::fixed_parts;
use super::node::NodeId;
use super::{Plan, PlanError, PlanOptions, QueryTimes, Rewrite};

/// The plans of a group, in the order of its expressions.
#[derive(Clone, Debug)]
pub struct PlanGroup {
    pub plans: Vec<Result<Plan, PlanError>>,
    /// All parts that can be asked before anything is evaluated.
    pub ask: Arc<Ask>,
    /// The plan and the node of each part.
    pub places: Vec<(usize, NodeId)>,
}

impl Plan {
    /// Plans all of `asts` for the same times. O(nodes + parts × scans).
    ///
    /// An expression must not select what another of the group is to write: all see the series as
    /// they are when the group asks.
    pub fn new_group(asts: &[&Ast], times: QueryTimes, options: &PlanOptions) -> PlanGroup {
        let merges = options.rewrites.has(Rewrite::MergeScans);
        // What is merged and asked at once is so over all plans.
        let rewrites = options.rewrites.without(Rewrite::MergeScans).without(Rewrite::AskTogether);
        let options = PlanOptions { rewrites, ..*options };
        let plans: Vec<Result<Plan, PlanError>> =
            asts.iter().map(|ast| Plan::new(ast, times, &options)).collect();
        let (mut parts, mut places) = (Vec::new(), Vec::new());
        for (index, plan) in plans.iter().enumerate() {
            for (node, part) in plan.iter().flat_map(|plan| fixed_parts(&plan.nodes)) {
                parts.push(part.clone());
                places.push((index, node));
            }
        }
        let ask = if merges { Ask::merged(parts) } else { Ask::apart(parts) };
        PlanGroup { plans, ask: Arc::new(ask), places }
    }
}
