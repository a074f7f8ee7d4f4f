//! Rewrite: a stage over the rows of a shard part becomes a stage of the part.
//!
//! Sound as long as the rows of different series cannot become rows of one metric on the way: a
//! dropped name makes two metrics of one shard, or of two, the same, and whoever sees all rows has
//! to notice. With the name fixed by the selector, or dropped only at the end, nothing can meet.

use super::part::{Finish, SelectOutput, ShardPart, Stage};

/// Whether rows of `part` are still one per series, so that more may be done to them on the shard.
pub(super) fn keeps_series_apart(part: &ShardPart) -> bool {
    let rows = matches!(part.finish, Finish::Rows)
        && !matches!(part.select.output, SelectOutput::Samples { .. });
    rows && !part.rows_may_meet()
}

/// Appends `stage` to `part`; the caller has asked [`keeps_series_apart`].
pub(super) fn push_stage(part: &mut ShardPart, stage: Stage) {
    part.stages.push(stage);
}
