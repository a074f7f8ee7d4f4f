//! Rewrite: what one side of an operator is certain to have is asked of the other side, too.
//!
//! In `a{job="x"} / b` rows of `b` with another job meet nobody, so `b` is selected with
//! `job="x"`. Every label on which the sides match and which an equality on one side fixes goes
//! over.
//!
//! Left out is only what shows nowhere: a side takes a matcher where fewer series can mean neither
//! fewer annotations nor another error. So it must be a selection that says nothing about its
//! values, and rows of the one side that meet each other (`on (…)` of too few labels) must be
//! impossible: that error names series that matched nothing.

use crate::model::labels::METRIC_NAME;
use crate::model::{MatchOp, Matcher};
use crate::promql::ast::{AggregateOp, BinaryOp, Card, VectorMatching};
use crate::promql::functions::FunctionId;

use super::node::{Binary, Node, NodeId, Op};
use super::part::{Finish, Grouping, Map, SelectOutput, ShardPart, Stage, Window};

/// A label and the value that every row has; empty: no row has the label.
type Fact = (Box<str>, Box<str>);

/// Adds matchers to the selections below binary operators; returns how many.
///
/// Cost: O(nodes × fixed labels): the facts of a node go to its one parent.
pub(super) fn propagate(nodes: &mut [Node]) -> usize {
    let mut facts: Vec<Vec<Fact>> = Vec::with_capacity(nodes.len());
    let mut added = 0;
    for index in 0..nodes.len() {
        if let Op::Binary { lhs, rhs, binary } = &nodes[index].op {
            let (lhs, rhs, binary) = (*lhs, *rhs, (**binary).clone());
            if may_restrict(nodes, lhs, rhs, &binary) {
                let goes_over = |facts: &[Fact]| -> Vec<Fact> {
                    let names = |(name, _): &&Fact| matches_on(&binary.matching, name);
                    facts.iter().filter(names).cloned().collect()
                };
                let of_lhs = goes_over(&facts[lhs.index()]);
                let of_rhs = goes_over(&facts[rhs.index()]);
                added += restrict(nodes, &mut facts, rhs, &of_lhs);
                // What `unless` leaves of its left side has no counterpart on the right.
                if binary.op != BinaryOp::Unless {
                    added += restrict(nodes, &mut facts, lhs, &of_rhs);
                }
            }
        }
        let of_node = facts_of(&nodes[index].op, &facts);
        facts.push(of_node);
    }
    added
}

/// Whether rows meet on the label `name`.
fn matches_on(matching: &VectorMatching, name: &str) -> bool {
    name.as_bytes() != METRIC_NAME && holds(&matching.labels, name) == matching.on
}

fn holds(names: &[Box<str>], name: &str) -> bool {
    names.iter().any(|held| **held == *name)
}

fn may_restrict(nodes: &[Node], lhs: NodeId, rhs: NodeId, binary: &Binary) -> bool {
    let matching = &binary.matching;
    if binary.op == BinaryOp::Or || matching.fill_lhs.is_some() || matching.fill_rhs.is_some() {
        return false;
    }
    if binary.op.is_set() {
        return true;
    }
    let one = if matching.card == Card::OneToMany { lhs } else { rhs };
    is_unique(nodes, one, matching)
}

/// Whether no two rows of a node can have the same labels to match on.
fn is_unique(nodes: &[Node], node: NodeId, matching: &VectorMatching) -> bool {
    match &nodes[node.index()].op {
        Op::Scatter(part) => match &part.finish {
            Finish::Groups { grouping, .. } => groups_are_unique(grouping, matching),
            // Of one metric, so that the other labels tell its rows apart.
            Finish::Rows => !matching.on && matching.labels.is_empty() && part.fixes_name(),
            Finish::Projected(_) | Finish::Candidates(_) => false,
        },
        Op::Aggregate { aggregate, .. } => {
            use AggregateOp::*;
            let groups =
                !matches!(aggregate.op, Topk | Bottomk | Limitk | LimitRatio | CountValues);
            groups && groups_are_unique(&aggregate.grouping, matching)
        }
        Op::Repeat(child) | Op::Stage { child, .. } => is_unique(nodes, *child, matching),
        _ => false,
    }
}

fn groups_are_unique(grouping: &Grouping, matching: &VectorMatching) -> bool {
    if grouping.without {
        return !matching.on && matching.labels.iter().all(|name| holds(&grouping.labels, name));
    }
    grouping.labels.iter().all(|name| matches_on(matching, name))
}

/// Adds `wanted` to the selection that `node` is, if it may take them.
fn restrict(nodes: &mut [Node], facts: &mut [Vec<Fact>], node: NodeId, wanted: &[Fact]) -> usize {
    let index = node.index();
    let taken = match &mut nodes[index].op {
        Op::Repeat(child) => {
            let child = *child;
            restrict(nodes, facts, child, wanted)
        }
        Op::Scatter(part) => restrict_part(part, wanted),
        _ => 0,
    };
    if taken > 0 {
        facts[index] = facts_of(&nodes[index].op, facts);
    }
    taken
}

fn restrict_part(part: &mut ShardPart, wanted: &[Fact]) -> usize {
    if !is_silent(part) {
        return 0;
    }
    let mut taken = 0;
    for (name, value) in wanted {
        let matcher = Matcher::new(name, MatchOp::Equal, value);
        if keeps_label(part, name) && !part.matchers.contains(&matcher) {
            part.matchers.push(matcher);
            taken += 1;
        }
    }
    taken
}

/// Whether no value of a series can make the part say anything or fail.
fn is_silent(part: &ShardPart) -> bool {
    let select = match &part.select.output {
        SelectOutput::Value | SelectOutput::Timestamp | SelectOutput::StartTimestamp => true,
        SelectOutput::Window(window) => is_silent_window(window),
        SelectOutput::TimestampMs
        | SelectOutput::Smoothed { .. }
        | SelectOutput::Samples { .. } => false,
    };
    let stages = part.stages.iter().all(|stage| match stage {
        Stage::Map(map) => {
            matches!(map, Map::Negate | Map::Math(_) | Map::Date(_) | Map::Timestamp)
        }
        Stage::Window { window, .. } => is_silent_window(window),
    });
    let finish = match &part.finish {
        Finish::Rows => true,
        Finish::Groups { op, .. } => matches!(op, AggregateOp::Count | AggregateOp::Group),
        Finish::Projected(_) | Finish::Candidates(_) => false,
    };
    select && stages && finish && !part.rows_may_meet()
}

fn is_silent_window(window: &Window) -> bool {
    use FunctionId::*;
    matches!(window.function, CountOverTime | LastOverTime | FirstOverTime | PresentOverTime)
}

/// Whether the part's rows have the label as its series have it.
fn keeps_label(part: &ShardPart, name: &str) -> bool {
    match &part.finish {
        Finish::Rows | Finish::Candidates(_) => true,
        Finish::Groups { grouping, .. } | Finish::Projected(grouping) => {
            holds(&grouping.labels, name) != grouping.without
        }
    }
}

/// What all rows of a node have.
fn facts_of(op: &Op, facts: &[Vec<Fact>]) -> Vec<Fact> {
    let of = |node: &NodeId| facts[node.index()].clone();
    match op {
        Op::Scatter(part) => {
            let is_fact = |matcher: &&Matcher| {
                matcher.op == MatchOp::Equal
                    && matcher.name.as_bytes() != METRIC_NAME
                    && keeps_label(part, &matcher.name)
            };
            let fixed = part.matchers.iter().filter(is_fact);
            fixed.map(|matcher| (matcher.name.clone(), matcher.value.clone())).collect()
        }
        Op::Stage { child, .. } | Op::Repeat(child) | Op::Sort { child, .. } => of(child),
        Op::Aggregate { child, aggregate } => {
            use AggregateOp::*;
            let mut facts = of(child);
            if !matches!(aggregate.op, Topk | Bottomk | Limitk | LimitRatio) {
                let Grouping { labels, without } = &aggregate.grouping;
                facts.retain(|(name, _)| holds(labels, name) != *without);
                facts.retain(|(name, _)| *name.as_bytes() != *aggregate.value_label);
            }
            facts
        }
        Op::LabelReplace { child, replace } => without_label(of(child), &replace.target),
        Op::LabelJoin { child, join } => without_label(of(child), &join.target),
        Op::Binary { lhs, rhs, binary } => binary_facts(binary, of(lhs), of(rhs)),
        _ => Vec::new(),
    }
}

fn without_label(mut facts: Vec<Fact>, name: &str) -> Vec<Fact> {
    facts.retain(|(held, _)| **held != *name);
    facts
}

fn binary_facts(binary: &Binary, mut lhs: Vec<Fact>, mut rhs: Vec<Fact>) -> Vec<Fact> {
    let matching = &binary.matching;
    if matching.fill_lhs.is_some() || matching.fill_rhs.is_some() {
        return Vec::new();
    }
    match binary.op {
        BinaryOp::Or => lhs.retain(|fact| rhs.contains(fact)),
        BinaryOp::Unless => {}
        BinaryOp::And => {
            rhs.retain(|(name, _)| matches_on(matching, name));
            lhs.append(&mut rhs);
        }
        _ => {
            let (mut many, mut one) =
                if matching.card == Card::OneToMany { (rhs, lhs) } else { (lhs, rhs) };
            one.retain(|(name, _)| matches_on(matching, name));
            match matching.card {
                Card::OneToOne => many.retain(|(name, _)| matches_on(matching, name)),
                _ => many.retain(|(name, _)| !holds(&matching.include, name)),
            }
            one.retain(|(name, _)| !holds(&matching.include, name));
            many.append(&mut one);
            return many;
        }
    }
    lhs
}
