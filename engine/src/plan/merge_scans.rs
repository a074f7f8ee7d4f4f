//! Rewrite: parts of which one reads the series and samples of the other are asked together, and
//! one scan serves both: `sum(rate(a[5m])) / count(a{x="1"})`.

use std::sync::Arc;

use super::ask::{Ask, PARTS_MERGED_MAX, Scan};
use super::ask_together::{Together, fixed_parts};
use super::node::{Node, NodeId};
use super::part::ShardPart;

/// The sets of parts that share scans.
pub(super) fn merge(nodes: &[Node]) -> Vec<Together> {
    let (ids, parts) = fixed_parts(nodes).unzip::<_, _, Vec<NodeId>, Vec<&ShardPart>>();
    if !(2..=PARTS_MERGED_MAX).contains(&parts.len()) {
        return vec![];
    }
    let members = |scan: &Scan| -> Vec<usize> {
        scan.selects.iter().flat_map(|select| select.parts.iter().copied()).collect()
    };
    let all = Ask::merged(parts.into_iter().cloned().collect());
    let sets = all.scans.iter().map(members).filter(|set| set.len() > 1);
    sets.map(|set| {
        let parts = set.iter().map(|&index| all.parts[index].clone()).collect();
        let nodes = set.iter().map(|&index| ids[index]).collect();
        Together { ask: Arc::new(Ask::merged(parts)), nodes }
    })
    .collect()
}
