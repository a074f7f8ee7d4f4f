//! Rewrite: parts of which one reads the series and samples of the other are asked together, and
//! one scan serves both: `sum(rate(a[5m])) / count(a{x="1"})`.

use std::sync::Arc;

use super::ask::{Ask, Scan};
use super::node::{Node, NodeId, Op};
use super::part::ShardPart;

/// Parts of a plan that are asked together.
#[derive(Clone, Debug)]
pub struct Together {
    pub ask: Arc<Ask>,
    /// The node of each part.
    pub nodes: Vec<NodeId>,
}

/// The sets of parts that share scans.
pub(super) fn merge(nodes: &[Node]) -> Vec<Together> {
    let (ids, parts) = fixed_parts(nodes).unzip::<_, _, Vec<NodeId>, Vec<&ShardPart>>();
    if parts.len() < 2 {
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

/// The parts that take no value of another node: they can be asked before anything is evaluated.
pub(super) fn fixed_parts(nodes: &[Node]) -> impl Iterator<Item = (NodeId, &ShardPart)> {
    nodes.iter().enumerate().filter_map(|(index, node)| match &node.op {
        Op::Scatter(part) if !part.takes_node() => Some((NodeId(index as u32), &**part)),
        _ => None,
    })
}
