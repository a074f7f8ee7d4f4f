//! Several expressions at the same times, planned together: parts that more than one of them asks
//! the shards for run once. The expressions of a rule group are such.
//!
//! Each expression keeps a plan of its own, so one that fails fails alone, and annotations and
//! statistics are those of its own evaluation.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::promql::ast::{Ast, PosRange};

use super::node::Op;
use super::part::ShardPart;
use super::share_parts::key;
use super::{Plan, PlanError, PlanOptions, QueryTimes};

/// The plans of a group, in the order of its expressions.
#[derive(Clone, Debug)]
pub struct PlanGroup {
    pub plans: Vec<Result<Plan, PlanError>>,
    /// How many plans ask for a part, by its key; those that several ask for.
    shared: HashMap<String, usize, RandomState>,
}

impl Plan {
    /// Plans all of `asts` for the same times. O(nodes).
    ///
    /// An expression must not select what another of the group is to write: a shared part shows
    /// the series as they were when it ran first.
    pub fn new_group(asts: &[&Ast], times: QueryTimes, options: &PlanOptions) -> PlanGroup {
        let plans: Vec<Result<Plan, PlanError>> =
            asts.iter().map(|ast| Plan::new(ast, times, options)).collect();
        let mut shared: HashMap<String, usize, RandomState> = HashMap::default();
        for node in plans.iter().flatten().flat_map(|plan| &plan.nodes) {
            if let Op::Scatter(part) = &node.op
                && let Some(key) = key(part)
            {
                *shared.entry(key).or_default() += 1;
            }
        }
        shared.retain(|_, asking_count| *asking_count > 1);
        PlanGroup { plans, shared }
    }
}

impl PlanGroup {
    /// How often `part` is asked for, and its key. `None`: once.
    pub fn asking_count(&self, part: &ShardPart) -> Option<(String, usize)> {
        if self.shared.is_empty() {
            return None;
        }
        let key = key(part)?;
        let asking_count = *self.shared.get(&key)?;
        Some((key, asking_count))
    }

    /// Parts that run once for several plans.
    pub fn shared_count(&self) -> usize {
        self.shared.len()
    }
}

/// Puts numbers in the place of the part's positions, so that what it says can be told in the
/// words of another text; returns the positions by number.
pub fn number_positions(part: &mut ShardPart) -> Vec<PosRange> {
    let mut positions = Vec::new();
    part.for_each_position(&mut |position| {
        let known = positions.iter().position(|known| known == position);
        let number = known.unwrap_or_else(|| {
            positions.push(*position);
            positions.len() - 1
        });
        *position = PosRange { start: number as u32, end: u32::MAX };
    });
    positions
}
