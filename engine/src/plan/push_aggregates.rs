//! Rewrite: shards aggregate their own rows, and groups are merged instead of rows.
//!
//! For the operators whose groups can be merged without a loss: sum and avg keep their
//! compensation, stddev and stdvar their mean and squared deviations. The order of a sum differs
//! from one shard to three, as it differs between two Prometheus servers.

use crate::promql::ast::AggregateOp;

use super::part::{Aggregate, Finish, ShardPart};
use super::push_stages::keeps_series_apart;

pub(super) fn can_push(part: &ShardPart, op: AggregateOp) -> bool {
    use AggregateOp::*;
    let merges = matches!(op, Sum | Avg | Count | Min | Max | Group | Stddev | Stdvar);
    merges && keeps_series_apart(part)
}

/// The caller has asked [`can_push`].
pub(super) fn push_aggregate(part: &mut ShardPart, aggregate: Aggregate) {
    let Aggregate { op, grouping, child_position: position, .. } = aggregate;
    part.finish = Finish::Groups { op, grouping, position };
}
