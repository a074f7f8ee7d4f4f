//! What others see of a group: written by its loop after each evaluation, read by every shard.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::promql;
use engine::rules::{Alert, AlertState, Group, GroupSpec, Health, RuleSpec};
use shards::stats::Counter;

/// One group of the configuration in force.
#[derive(Debug)]
pub struct GroupCell {
    pub spec: Arc<GroupSpec>,
    /// The rules' expressions as they are printed.
    pub queries: Vec<Arc<str>>,
    /// Counts on when the group changes.
    pub stats: Arc<GroupStats>,
    view: Mutex<Arc<GroupView>>,
}

/// Written by the group's loop.
#[derive(Debug, Default)]
pub struct GroupStats {
    pub iterations: Counter,
    pub iterations_missed: Counter,
    pub evaluations: Counter,
    pub failures: Counter,
}

/// A group as its last evaluation left it.
#[derive(Clone, Debug, Default)]
pub struct GroupView {
    /// As many as the group has; empty before the first evaluation.
    pub rules: Vec<RuleView>,
    pub seconds: f64,
    pub rule_seconds: f64,
    /// When it began, by the clock.
    pub last_evaluation_ms: Option<i64>,
    pub sample_count: usize,
    pub restore_seconds: Option<f64>,
}

#[derive(Clone, Debug)]
pub struct RuleView {
    pub health: Health,
    pub last_error: String,
    pub seconds: f64,
    pub last_evaluation_ms: Option<i64>,
    pub state: AlertState,
    /// Those that did not end.
    pub alerts: Vec<Alert>,
}

impl Default for RuleView {
    /// A rule that was not evaluated yet.
    fn default() -> Self {
        RuleView {
            health: Health::Unknown,
            last_error: String::new(),
            seconds: 0.0,
            last_evaluation_ms: None,
            state: AlertState::Unknown,
            alerts: vec![],
        }
    }
}

impl GroupCell {
    pub fn new(spec: GroupSpec, stats: Arc<GroupStats>) -> GroupCell {
        let query = |rule: &RuleSpec| promql::print(&rule.expr, rule.expr.root()).into();
        GroupCell {
            queries: spec.rules.iter().map(query).collect(),
            spec: Arc::new(spec),
            stats,
            view: Mutex::default(),
        }
    }

    /// `file;name`: what tells groups apart.
    pub fn key(&self) -> String {
        format!("{};{}", self.spec.file, self.spec.name)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<GroupView>> {
        // A pointer, whole after every assignment.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn view(&self) -> Arc<GroupView> {
        self.lock().clone()
    }

    pub fn set_view(&self, view: GroupView) {
        *self.lock() = Arc::new(view);
    }
}

impl GroupView {
    pub fn rule(&self, index: usize) -> RuleView {
        self.rules.get(index).cloned().unwrap_or_default()
    }
}

impl RuleView {
    pub fn of(group: &Group, rule: usize) -> RuleView {
        let state = group.state(rule);
        RuleView {
            health: state.health,
            last_error: state.last_error.clone(),
            seconds: state.last_evaluation.map_or(0.0, |(_, seconds)| seconds),
            last_evaluation_ms: state.last_evaluation.map(|(at_ms, _)| at_ms),
            state: state.state(),
            alerts: state.alerts.active().cloned().collect(),
        }
    }
}
