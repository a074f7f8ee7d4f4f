//! Rewrite: rows come without the labels that nobody reads.
//!
//! `quantile by (job) (0.9, a)` needs the job of each row of `a`, and `a and on (job) b` that of each
//! row of `b`: the other labels of a million series stay on their shards. Rows may look alike then,
//! so it is for nodes that count rows and never name one.

use crate::promql::ast::{AggregateOp, BinaryOp};

use super::node::{Binary, Node, NodeId, Op};
use super::part::{Finish, Grouping};

/// Returns of how many parts labels are left out.
pub(super) fn project(nodes: &mut [Node]) -> usize {
    let is_asked_again = |id: NodeId| {
        let asks = |node: &Node| matches!(node.op, Op::Same(first) if first == id);
        nodes.iter().any(asks)
    };
    let reads: Vec<(NodeId, Grouping)> = nodes.iter().filter_map(|node| reads(&node.op)).collect();
    let reads: Vec<(NodeId, Grouping)> =
        reads.into_iter().filter(|(child, _)| !is_asked_again(*child)).collect();
    let mut projected_count = 0;
    for (child, grouping) in reads {
        let Op::Scatter(part) = &mut nodes[child.index()].op else { continue };
        // Rows that an operation made alike are to be noticed by their labels.
        if part.finish == Finish::Rows && !part.rows_may_meet() {
            part.finish = Finish::Projected(grouping);
            projected_count += 1;
        }
    }
    projected_count
}

/// The child of which an operator reads some labels only, and which.
fn reads(op: &Op) -> Option<(NodeId, Grouping)> {
    match op {
        Op::Aggregate { child, aggregate }
            if matches!(aggregate.op, AggregateOp::Quantile | AggregateOp::CountValues) =>
        {
            Some((*child, aggregate.grouping.clone()))
        }
        Op::Binary { rhs, binary, .. } if matches!(binary.op, BinaryOp::And | BinaryOp::Unless) => {
            let Binary { matching, .. } = &**binary;
            Some((*rhs, Grouping::new(&matching.labels, !matching.on)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::part::Finish;
    use crate::plan::{Op, Plan, PlanOptions, QueryTimes};
    use crate::promql::{ParseOptions, parse};

    /// What the rows of each part keep: everything, or the labels by and without which.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let ast = parse(text, &ParseOptions::ALL).unwrap();
        let options = PlanOptions::default();
        let plan = Plan::new(&ast, QueryTimes::range(0, 10_000, 1000), &options).unwrap();
        let parts = plan.nodes.iter().filter_map(|node| match &node.op {
            Op::Scatter(part) => Some(match &part.finish {
                Finish::Projected(grouping) => {
                    let kind = if grouping.without { "without" } else { "by" };
                    format!("{kind} {}", grouping.labels.join(","))
                }
                _ => "all".to_owned(),
            }),
            _ => None,
        });
        assert_eq!(parts.collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn only_labels_that_are_read_come_along() {
        check("quantile by (x) (0.9, a)", &["by x"]);
        check("quantile without (x, y) (0.9, rate(a[1m]))", &["without x,y"]);
        check(r#"count_values ("v", a)"#, &["by "]);
        check("a and on (x) b", &["all", "by x"]);
        check("a unless ignoring (x) b", &["all", "without x"]);
        check("a or on (x) b", &["all", "all"]);
        check("a / on (x) b", &["all", "all"]);
        check("topk by (x) (3, a)", &["all"]);
    }

    #[test]
    fn rows_that_somebody_tells_apart_keep_their_labels() {
        check("quantile by (x) (0.9, a) / on () group_right () a", &["all"]);
        check(r#"quantile by (x) (0.9, rate({y="1"}[1m]))"#, &["all"]);
        check("a and on (x) sum by (x) (b)", &["all", "all"]);
    }
}
