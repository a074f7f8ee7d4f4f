//! Rewrite: shards choose among their own rows before the gather chooses among all.
//!
//! `topk(5, …)` over a million series moves five rows of each group and shard instead of all. What
//! a shard leaves out has as many better rows, or earlier ones, on that shard alone.

use crate::promql::ast::AggregateOp;

use super::part::{Aggregate, Finish, Param, ShardPart};
use super::push_stages::keeps_series_apart;

/// Only where the count is a number: a parameter that is computed belongs to one node.
pub(super) fn can_push(part: &ShardPart, aggregate: &Aggregate) -> bool {
    use AggregateOp::*;
    matches!(aggregate.op, Topk | Bottomk | Limitk | LimitRatio)
        && matches!(aggregate.param, Some(Param::Number(_)))
        && keeps_series_apart(part)
}

/// The caller has asked [`can_push`].
pub(super) fn push(part: &mut ShardPart, aggregate: &Aggregate) {
    part.finish = Finish::Candidates(Box::new(aggregate.clone()));
}
