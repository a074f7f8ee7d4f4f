//! Groups of rules as their files say them: checked, with defaults filled in, never changed.

use std::fmt;
use std::sync::Arc;

use crate::promql::Ast;

/// Rules that are evaluated one after the other, all at the same timestamps.
///
/// Two are equal when their files say the same, wherever their expressions stand in the text; a
/// reload keeps the state of a group that is equal to what it was.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSpec {
    /// The file as the configuration's pattern found it.
    pub file: Arc<str>,
    pub name: String,
    /// Above zero: the group's own or the configuration's `evaluation_interval`.
    pub interval_ms: i64,
    /// `None`: the configuration's `rule_query_offset` holds.
    pub query_offset_ms: Option<i64>,
    /// Most series or alerts that one rule may give; zero or less: no limit.
    pub limit: i64,
    pub rules: Vec<RuleSpec>,
}

#[derive(Clone)]
pub struct RuleSpec {
    /// Of the metric that is recorded, or of the alert.
    pub name: String,
    /// The expression as written.
    pub text: String,
    pub expr: Ast,
    /// The group's labels and over them the rule's own, ascending by name. An empty value removes
    /// the label from what the expression gave. An alert's values are templates.
    pub labels: Vec<(String, String)>,
    pub kind: RuleKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleKind {
    Recording,
    Alerting(AlertSpec),
}

/// What only alerts have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSpec {
    /// How long an alert is pending before it fires.
    pub for_ms: i64,
    /// How long it fires on when its expression gives it no more.
    pub keep_firing_for_ms: i64,
    /// Ascending by name; values are templates.
    pub annotations: Vec<(String, String)>,
}

impl PartialEq for RuleSpec {
    fn eq(&self, other: &RuleSpec) -> bool {
        // The text decides what the tree is.
        self.name == other.name
            && self.text == other.text
            && self.labels == other.labels
            && self.kind == other.kind
    }
}

impl fmt::Debug for RuleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleSpec")
            .field("name", &self.name)
            .field("text", &self.text)
            .field("labels", &self.labels)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
