//! Rewrite: parts that ask the same of the shards are asked once.
//!
//! `a / (a + b)` selects `a` once. Where they stand in the text does not matter; annotations name
//! the last place, as they do when each is evaluated.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::node::{Node, NodeId, Op};
use super::part::ShardPart;

/// Returns how many parts are asked for once less.
pub(super) fn share(nodes: &mut [Node]) -> usize {
    let mut shared_count = 0;
    // Keyed by what a part looks like: parts have numbers inside, and no order or hash.
    let mut known: HashMap<String, NodeId, RandomState> = HashMap::default();
    for index in 0..nodes.len() {
        let Op::Scatter(part) = &nodes[index].op else { continue };
        let Some(key) = key(part) else { continue };
        let first = *known.entry(key).or_insert(NodeId(index as u32));
        if first.index() == index {
            continue;
        }
        let part = std::mem::replace(&mut nodes[index].op, Op::Same(first));
        nodes[first.index()].op = part;
        shared_count += 1;
    }
    shared_count
}

/// The part as text, without its positions. `None`: it takes the value of a node, which is its
/// own.
fn key(part: &ShardPart) -> Option<String> {
    if part.takes_node() {
        return None;
    }
    let mut part = part.clone();
    part.for_each_position(&mut |position| *position = Default::default());
    Some(format!("{part:?}"))
}
