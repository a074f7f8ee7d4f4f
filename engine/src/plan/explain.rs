//! A plan as text for people: which nodes there are, what runs on the shards and what in the
//! gather.
//!
//! ```text
//! #4 gather: binary / on (job)  [5 steps of 15000 ms from 0 ms]
//!   #1 shards: select {__name__="a"}
//!        value within 300000 ms
//!        rows  [5 steps of 15000 ms from 0 ms]
//!   …
//! rewrites: share_parts 1
//! ```

use std::fmt::Write;

use crate::promql::ast::{Card, VectorMatching};

use super::grid::{Grid, Lookup};
use super::node::{Node, NodeId, Op, SortOrder};
use super::part::{
    Aggregate, Extend, Finish, Grouping, Map, Param, Select, SelectOutput, ShardPart, Stage, Window,
};
use super::{Applied, Plan};

/// Deeper nodes stand no further to the right: a chain of operators may be as long as a query.
const INDENT_MAX: usize = 32;

/// A node as words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub id: NodeId,
    /// 0 at the root.
    pub depth: usize,
    /// `shards`: every shard does this; `gather`: whoever took the query.
    pub place: &'static str,
    /// One line, or for the shards one line a step of the part.
    pub lines: Vec<String>,
    pub children: Vec<NodeId>,
    pub grid: Grid,
}

impl Plan {
    /// All nodes that compute something, parents before children. O(nodes); does not recurse.
    pub fn explain(&self) -> Vec<Explained> {
        let mut explained = Vec::new();
        let mut left = vec![(self.root(), 0)];
        while let Some((id, depth)) = left.pop() {
            let node = &self.nodes[id.index()];
            let children = children(&node.op);
            left.extend(children.iter().rev().map(|child| (*child, depth + 1)));
            let (place, lines) = words(node);
            explained.push(Explained { id, depth, place, lines, children, grid: node.grid });
        }
        explained
    }

    /// [`Plan::explain`] as one text, with the rewrites that changed something.
    pub fn explain_text(&self) -> String {
        let mut text = String::new();
        for node in self.explain() {
            let indent = "  ".repeat(node.depth.min(INDENT_MAX));
            for (index, line) in node.lines.iter().enumerate() {
                let _ = match index {
                    0 => write!(text, "{indent}#{} {}: {line}", node.id.0, node.place),
                    _ => write!(text, "\n{indent}     {line}"),
                };
            }
            let _ = writeln!(text, "  [{}]", grid_words(node.grid));
        }
        let _ = writeln!(text, "rewrites: {}", applied_words(&self.applied));
        text
    }
}

fn applied_words(applied: &Applied) -> String {
    let words: Vec<String> =
        applied.iter().map(|(rewrite, count)| format!("{} {count}", rewrite.name())).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn grid_words(grid: Grid) -> String {
    match grid.step_count {
        0 => "no step".to_owned(),
        1 => format!("at {} ms", grid.start_ms),
        count => format!("{count} steps of {} ms from {} ms", grid.step_ms, grid.start_ms),
    }
}

fn children(op: &Op) -> Vec<NodeId> {
    let mut children = Vec::new();
    match op {
        Op::Moved | Op::Number(_) | Op::Time | Op::Text(_) | Op::Same(_) => {}
        Op::NegateScalar(child)
        | Op::ScalarOf(child)
        | Op::VectorOf(child)
        | Op::Repeat(child)
        | Op::Absent { child, .. }
        | Op::LabelReplace { child, .. }
        | Op::LabelJoin { child, .. }
        | Op::Sort { child, .. }
        | Op::Info { child, .. } => children.push(*child),
        Op::ScalarBinary { lhs, rhs, .. }
        | Op::Extreme { lhs, rhs, .. }
        | Op::Binary { lhs, rhs, .. } => children.extend([*lhs, *rhs]),
        Op::Scatter(part) => {
            let mut part = part.clone();
            part.for_each_param(&mut |param, _| children.extend(param_node(param)));
        }
        Op::Stage { child, stage } => {
            children.push(*child);
            let mut stage = stage.clone();
            stage.for_each_param(&mut |param| children.extend(param_node(param)));
        }
        Op::Aggregate { child, aggregate } => {
            children.extend(aggregate.param.as_ref().and_then(param_node));
            children.push(*child);
        }
        Op::Histogram { child, histogram } => {
            children.extend(histogram.params.iter().filter_map(param_node));
            children.push(*child);
        }
    }
    children
}

fn param_node(param: &Param) -> Option<NodeId> {
    match param {
        Param::Node(node) => Some(*node),
        _ => None,
    }
}

fn words(node: &Node) -> (&'static str, Vec<String>) {
    let line = match &node.op {
        Op::Scatter(part) => return ("shards", part_words(part)),
        Op::Moved => "moved".to_owned(),
        Op::Number(value) => format!("number {value}"),
        Op::Time => "time".to_owned(),
        Op::NegateScalar(_) => "negate".to_owned(),
        Op::ScalarBinary { op, .. } => format!("scalars {}", op.as_str()),
        Op::Extreme { largest: true, .. } => "max_of".to_owned(),
        Op::Extreme { largest: false, .. } => "min_of".to_owned(),
        Op::ScalarOf(_) => "scalar".to_owned(),
        Op::Text(_) => "string".to_owned(),
        Op::Same(first) => format!("same as #{}", first.0),
        Op::VectorOf(_) => "vector".to_owned(),
        Op::Stage { stage, .. } => stage_words(stage),
        Op::Repeat(_) => "repeat at every step".to_owned(),
        Op::Aggregate { aggregate, .. } => aggregate_words(aggregate),
        Op::Binary { binary, .. } => {
            let bool = if binary.return_bool { " bool" } else { "" };
            format!("binary {}{bool}{}", binary.op.as_str(), matching_words(&binary.matching))
        }
        Op::Absent { labels, .. } => format!("absent {labels}"),
        Op::LabelReplace { replace, .. } => {
            format!("label_replace {:?} from {:?}", replace.target, replace.source)
        }
        Op::LabelJoin { join, .. } => format!("label_join {:?}", join.target),
        Op::Sort { order: SortOrder::Value { descending: true }, .. } => "sort_desc".to_owned(),
        Op::Sort { order: SortOrder::Value { .. }, .. } => "sort".to_owned(),
        Op::Sort { order: SortOrder::Labels { names, .. }, .. } => {
            format!("sort by labels ({})", names.join(", "))
        }
        Op::Histogram { histogram, .. } => {
            let params: Vec<String> = histogram.params.iter().map(param_words).collect();
            format!("{}({})", histogram.function.name(), params.join(", "))
        }
        Op::Info { info, .. } => format!("info{}", lookup_words(info.lookup)),
    };
    ("gather", vec![line])
}

fn part_words(part: &ShardPart) -> Vec<String> {
    let matchers: Vec<String> = part.matchers.iter().map(ToString::to_string).collect();
    let mut lines = vec![format!("select {{{}}}", matchers.join(", "))];
    lines.push(select_words(&part.select));
    lines.extend(part.stages.iter().map(stage_words));
    lines.push(match &part.finish {
        Finish::Rows => "rows".to_owned(),
        Finish::Projected(grouping) => format!("rows of groups{}", grouping_words(grouping)),
        Finish::Groups { op, grouping, .. } => {
            format!("groups {}{}", op.as_str(), grouping_words(grouping))
        }
        Finish::Candidates(aggregate) => format!("candidates {}", aggregate_words(aggregate)),
    });
    lines
}

fn select_words(select: &Select) -> String {
    let lookback_ms = select.lookback_ms;
    let words = match &select.output {
        SelectOutput::Value => format!("value within {lookback_ms} ms"),
        SelectOutput::Timestamp => format!("timestamp within {lookback_ms} ms"),
        SelectOutput::TimestampMs => format!("milliseconds within {lookback_ms} ms"),
        SelectOutput::StartTimestamp => format!("start timestamp within {lookback_ms} ms"),
        SelectOutput::Smoothed { .. } => format!("value smoothed within {lookback_ms} ms"),
        SelectOutput::Window(window) => window_words(window),
        SelectOutput::Samples { range_ms, extend } => {
            format!("samples of {range_ms} ms{}", extend_words(*extend))
        }
    };
    let buckets = if select.skips_buckets { " without buckets" } else { "" };
    words + buckets + &lookup_words(select.lookup)
}

fn window_words(window: &Window) -> String {
    let params: Vec<String> = window.params.iter().map(param_words).collect();
    let params = if params.is_empty() { String::new() } else { format!("({})", params.join(", ")) };
    let (name, range_ms) = (window.function.name(), window.range_ms);
    format!("{name}{params} over {range_ms} ms{}", extend_words(window.extend))
}

fn extend_words(extend: Extend) -> &'static str {
    match extend {
        Extend::No => "",
        Extend::Anchored => " anchored",
        Extend::Smoothed => " smoothed",
    }
}

fn lookup_words(lookup: Lookup) -> String {
    match lookup {
        Lookup::Offset { ms: 0 } => String::new(),
        Lookup::Offset { ms } => format!(" offset {ms} ms"),
        Lookup::At { ms } => format!(" @ {ms} ms"),
    }
}

fn param_words(param: &Param) -> String {
    match param {
        Param::Number(value) => value.to_string(),
        Param::Node(node) => format!("#{}", node.0),
        Param::Column(_) => "…".to_owned(),
    }
}

fn stage_words(stage: &Stage) -> String {
    match stage {
        Stage::Window { window, lookup, .. } => window_words(window) + &lookup_words(*lookup),
        Stage::Map(map) => map_words(map),
    }
}

fn map_words(map: &Map) -> String {
    match map {
        Map::Math(function) | Map::Date(function) | Map::Histogram(function) => {
            function.name().to_owned()
        }
        Map::Clamp { min, max } => format!("clamp {} to {}", param_words(min), param_words(max)),
        Map::Round { to } => format!("round to {}", param_words(to)),
        Map::Scalar { op, scalar, swapped, return_bool, .. } => {
            let (op, scalar) = (op.as_str(), param_words(scalar));
            let bool = if *return_bool { " bool" } else { "" };
            if *swapped {
                format!("{scalar} {op}{bool} value")
            } else {
                format!("value {op}{bool} {scalar}")
            }
        }
        Map::Negate => "negate".to_owned(),
        Map::Timestamp => "timestamp".to_owned(),
        other => format!("{other:?}"),
    }
}

fn aggregate_words(aggregate: &Aggregate) -> String {
    let param =
        aggregate.param.as_ref().map_or(String::new(), |param| format!("({})", param_words(param)));
    format!("{}{param}{}", aggregate.op.as_str(), grouping_words(&aggregate.grouping))
}

fn grouping_words(grouping: &Grouping) -> String {
    match (grouping.without, &grouping.labels[..]) {
        (false, []) => String::new(),
        (false, labels) => format!(" by ({})", labels.join(", ")),
        (true, labels) => format!(" without ({})", labels.join(", ")),
    }
}

fn matching_words(matching: &VectorMatching) -> String {
    let mut words = match (matching.on, &matching.labels[..]) {
        (true, labels) => format!(" on ({})", labels.join(", ")),
        (false, []) => String::new(),
        (false, labels) => format!(" ignoring ({})", labels.join(", ")),
    };
    match matching.card {
        Card::ManyToOne => words += &format!(" group_left ({})", matching.include.join(", ")),
        Card::OneToMany => words += &format!(" group_right ({})", matching.include.join(", ")),
        Card::OneToOne | Card::ManyToMany => {}
    }
    words
}

#[cfg(test)]
mod tests {
    use crate::plan::{Plan, PlanOptions, QueryTimes};
    use crate::promql::{ParseOptions, parse};

    #[track_caller]
    fn check(text: &str, times: QueryTimes, expected: &str) {
        let ast = parse(text, &ParseOptions::ALL).unwrap();
        let plan = Plan::new(&ast, times, &PlanOptions::default()).unwrap();
        assert_eq!(plan.explain_text(), expected, "{text}");
    }

    #[test]
    fn plans_are_told_from_the_root_down() {
        check(
            "sum by (job) (rate(a{job=\"x\"}[5m])) / ignoring (b) group_left () (c > scalar(d))",
            QueryTimes::range(0, 60_000, 15_000),
            "#9 gather: binary / ignoring (b) group_left ()  [5 steps of 15000 ms from 0 ms]\n\
             \x20 #3 shards: select {job=\"x\", __name__=\"a\"}\n\
             \x20      rate over 300000 ms\n\
             \x20      groups sum by (job)  [5 steps of 15000 ms from 0 ms]\n\
             \x20 #7 shards: select {__name__=\"c\"}\n\
             \x20      value within 300000 ms\n\
             \x20      value > #6\n\
             \x20      rows  [5 steps of 15000 ms from 0 ms]\n\
             \x20   #6 gather: scalar  [5 steps of 15000 ms from 0 ms]\n\
             \x20     #5 shards: select {__name__=\"d\"}\n\
             \x20          value within 300000 ms\n\
             \x20          rows  [5 steps of 15000 ms from 0 ms]\n\
             rewrites: push_stages 1, push_aggregates 1\n",
        );
        check(
            "topk(1 + 1, x offset 1m) + (x @ 5)",
            QueryTimes::instant(1000),
            "#8 gather: binary +  [at 1000 ms]\n\
             \x20 #5 gather: topk(2)  [at 1000 ms]\n\
             \x20   #4 shards: select {__name__=\"x\"}\n\
             \x20        value within 300000 ms offset 60000 ms\n\
             \x20        candidates topk(2)  [at 1000 ms]\n\
             \x20 #6 shards: select {__name__=\"x\"}\n\
             \x20      value within 300000 ms @ 5000 ms\n\
             \x20      rows  [at 1000 ms]\n\
             rewrites: fold_numbers 1, push_candidates 1, ask_together 1\n",
        );
    }
}
