//! Rewrite: parts that ask the same of the shards are asked once.
//!
//! `a / (a + b)` selects `a` once. Where they stand in the text does not matter; annotations name
//! the last place, as they do when each is evaluated.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::model::Matcher;

use super::node::{Node, NodeId, Op};
use super::part::ShardPart;

/// Returns how many parts are asked for once less. O(parts, times those of the same matchers).
pub(super) fn share(nodes: &mut [Node]) -> usize {
    let is_part = |node: &&Node| matches!(node.op, Op::Scatter(_));
    if nodes.iter().filter(is_part).count() < 2 {
        return 0;
    }
    let mut shared_count = 0;
    let mut known: HashMap<Vec<Matcher>, Vec<(ShardPart, NodeId)>, RandomState> =
        HashMap::default();
    for index in 0..nodes.len() {
        let Op::Scatter(part) = &nodes[index].op else { continue };
        // The value of a node is the part's own.
        if part.takes_node() {
            continue;
        }
        let mut part = (**part).clone();
        part.for_each_position(&mut |position| *position = Default::default());
        let like = known.entry(part.matchers.clone()).or_default();
        let Some((_, first)) = like.iter().find(|(known, _)| *known == part) else {
            like.push((part, NodeId(index as u32)));
            continue;
        };
        let first = *first;
        let part = std::mem::replace(&mut nodes[index].op, Op::Same(first));
        nodes[first.index()].op = part;
        shared_count += 1;
    }
    shared_count
}
