//! Rewrite: an instant query asks for all its parts at once, `sum(a) / sum(b)` with one message to
//! each shard instead of two. What it holds then is a row of one step for each series.

use std::sync::Arc;

use super::ask::Ask;
use super::node::{Node, NodeId, Op};
use super::part::ShardPart;

/// Most parts that are asked at once: their answers are in memory at the same time.
const PARTS_MAX: usize = 32;

/// Parts of a plan that are asked together.
#[derive(Clone, Debug)]
pub struct Together {
    pub ask: Arc<Ask>,
    /// The node of each part.
    pub nodes: Vec<NodeId>,
}

/// All parts that can be asked beforehand, if there are several; `merges`: those that read the same
/// series read them once.
pub(super) fn together(nodes: &[Node], merges: bool) -> Option<Together> {
    let (nodes, parts) = fixed_parts(nodes)
        .map(|(id, part)| (id, part.clone()))
        .unzip::<_, _, Vec<NodeId>, Vec<ShardPart>>();
    if !(2..=PARTS_MAX).contains(&parts.len()) {
        return None;
    }
    let ask = if merges { Ask::merged(parts) } else { Ask::apart(parts) };
    Some(Together { ask: Arc::new(ask), nodes })
}

/// The parts that take no value of another node: they can be asked before anything is evaluated.
pub(super) fn fixed_parts(nodes: &[Node]) -> impl Iterator<Item = (NodeId, &ShardPart)> {
    nodes.iter().enumerate().filter_map(|(index, node)| match &node.op {
        Op::Scatter(part) if !part.takes_node() => Some((NodeId(index as u32), &**part)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use crate::plan::{Plan, PlanOptions, QueryTimes};
    use crate::promql::{ParseOptions, parse};

    #[track_caller]
    fn check(text: &str, times: QueryTimes, together: &[usize]) {
        let ast = parse(text, &ParseOptions::ALL).unwrap();
        let plan = Plan::new(&ast, times, &PlanOptions::default()).unwrap();
        let counts: Vec<usize> = plan.together.iter().map(|asked| asked.nodes.len()).collect();
        assert_eq!(counts, together, "{text}");
    }

    #[test]
    fn instant_queries_ask_once() {
        let instant = QueryTimes::instant(0);
        check("sum(a) / sum(b)", instant, &[2]);
        check("sum(a)", instant, &[]);
        check("clamp_max(a, scalar(b)) + c", instant, &[2]);
        let range = QueryTimes::range(0, 10_000, 1000);
        check("sum(a) / sum(b)", range, &[]);
        check("sum(a) / count(a)", range, &[2]);
        let many: Vec<String> = (0..100).map(|number| format!("m{number}")).collect();
        check(&many.join(" + "), instant, &[]);
    }
}
