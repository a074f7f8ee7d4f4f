//! Which rules of a group may run at the same time: none that reads what another one writes.
//!
//! Source: Prometheus `rules/group.go` (`buildDependencyMap`), `rules/manager.go`
//! (`SplitGroupIntoBatches`).

use crate::index::CompiledMatcher;
use crate::model::Matcher;
use crate::model::labels::METRIC_NAME;
use crate::promql::ast::Expr;

use super::alerts::{ALERT_NAME, ALERTS, ALERTS_FOR_STATE};
use super::{RuleKind, RuleSpec};

/// Indexes of rules in the order in which they are to run; those of one batch may run at the same
/// time. A group of which a rule may read anything runs rule by rule.
pub fn batches(rules: &[RuleSpec]) -> Vec<Vec<usize>> {
    let Some(edges) = edges(rules) else {
        return (0..rules.len()).map(|index| vec![index]).collect();
    };
    let is_read = |index| edges.iter().any(|&(written, _)| written == index);
    let reads = |index| edges.iter().any(|&(_, reader)| reader == index);
    let (mut first, mut between, mut last) = (vec![], vec![], vec![]);
    for index in 0..rules.len() {
        match (reads(index), is_read(index)) {
            (false, _) => first.push(index),
            (true, true) => between.push(vec![index]),
            (true, false) => last.push(index),
        }
    }
    let mut batches = vec![first];
    batches.extend(between);
    batches.push(last);
    batches.retain(|batch| !batch.is_empty());
    batches
}

/// Most rules of a run: what they give is in memory at once.
const RUN_RULES_MAX: usize = 64;

/// The rules in their order, cut wherever one reads, or may read, what an earlier one of the run
/// writes.
pub fn runs(rules: &[RuleSpec]) -> Vec<Vec<usize>> {
    let edges = edges(rules);
    let mut runs: Vec<Vec<usize>> = vec![];
    for (index, rule) in rules.iter().enumerate() {
        let reads = |written: &usize| match &edges {
            Some(edges) => edges.contains(&(*written, index)),
            None => true,
        };
        // A template may ask for anything, also when its turn has come.
        let is_free = |run: &&mut Vec<usize>| {
            run.len() < RUN_RULES_MAX && !run.iter().any(reads) && !asks_in_templates(rule)
        };
        match runs.last_mut().filter(is_free) {
            Some(run) => run.push(index),
            None => runs.push(vec![index]),
        }
    }
    runs
}

/// Whether a template of the rule may ask a query.
fn asks_in_templates(rule: &RuleSpec) -> bool {
    let RuleKind::Alerting(alert) = &rule.kind else { return false };
    rule.labels.iter().chain(&alert.annotations).any(|(_, text)| text.contains("query"))
}

/// Pairs (written, reader) of rules. A rule depends on those before it only: a group runs in order,
/// and what stands later it may read one evaluation late. `None`: a selector without a name may
/// read what any rule writes.
fn edges(rules: &[RuleSpec]) -> Option<Vec<(usize, usize)>> {
    let mut edges = Vec::new();
    if rules.len() < 2 {
        return Some(edges);
    }
    for (reader, rule) in rules.iter().enumerate() {
        let selectors = rule.expr.ids().filter_map(|id| match rule.expr.expr(id) {
            Expr::Vector(selector) => Some(&selector.matchers),
            _ => None,
        });
        for matchers in selectors {
            let name = compiled(matchers, METRIC_NAME)?;
            let reads_alerts = [ALERTS, ALERTS_FOR_STATE]
                .iter()
                .any(|alerts| name.matches_value(alerts.as_bytes()));
            let alert_name = compiled(matchers, ALERT_NAME.as_bytes());
            for (written, other) in rules[..reader].iter().enumerate() {
                let other_name = other.name.as_bytes();
                let is_alert = matches!(other.kind, RuleKind::Alerting(_));
                let is_its_alert =
                    || alert_name.as_ref().is_none_or(|alert| alert.matches_value(other_name));
                if name.matches_value(other_name) || reads_alerts && is_alert && is_its_alert() {
                    edges.push((written, reader));
                }
            }
        }
    }
    Some(edges)
}

/// The first matcher on `name`.
fn compiled(matchers: &[Matcher], name: &[u8]) -> Option<CompiledMatcher> {
    let matcher = matchers.iter().find(|matcher| matcher.name.as_bytes() == name)?;
    CompiledMatcher::new(matcher).ok()
}
