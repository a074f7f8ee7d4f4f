//! The alerts of one rule, from evaluation to evaluation.
//!
//! ```text
//!            gives the label set            held for `for`             gives it no more
//! (nothing) ───────────────────► pending ───────────────────► firing ───────────────────► inactive
//!     ▲                             │  gives it no more          ▲ keep_firing_for holds it   │
//!     └─────────────────────────────┴───────────────────────────────────── after 15 minutes ──┘
//! ```
//!
//! Inactive alerts are kept for a while, so that whoever listens hears of the end even if a notice
//! gets lost.
//!
//! Source: Prometheus `rules/alerting.go`, `rules/group.go` (`RestoreForState`).

use std::collections::BTreeMap;

use crate::model::labels::METRIC_NAME;
use crate::model::{Labels, LabelsBuilder};

use super::sample::RuleSample;
use super::{AlertSpec, RuleSpec};

/// Series of the alerts that are pending or firing.
pub const ALERTS: &str = "ALERTS";
/// Series whose values are the times since when they are: what a restart restores them from.
pub const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
pub const ALERT_NAME: &str = "alertname";
const ALERT_STATE: &str = "alertstate";

/// How long an alert that ended is remembered and told.
pub const RESOLVED_RETENTION_MS: i64 = 15 * 60 * 1000;

/// Ascending in urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// The rule was not evaluated yet.
    Unknown,
    Inactive,
    Pending,
    Firing,
}

impl AlertState {
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Unknown => "unknown",
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// One label set for which a rule's condition holds or held. Times are those of evaluations.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub state: AlertState,
    /// With `alertname`.
    pub labels: Labels,
    /// Ascending by name; a value may be empty.
    pub annotations: Vec<(String, String)>,
    /// Of the expression at its last evaluation.
    pub value: f64,
    pub active_at_ms: i64,
    pub fired_at_ms: Option<i64>,
    pub resolved_at_ms: Option<i64>,
    pub last_sent_at_ms: Option<i64>,
    /// Whoever hears no more of it may then forget it.
    pub valid_until_ms: Option<i64>,
    pub keep_firing_since_ms: Option<i64>,
}

impl Alert {
    fn needs_sending(&self, time_ms: i64, resend_delay_ms: i64) -> bool {
        self.state != AlertState::Pending
            && (self.resolved_at_ms > self.last_sent_at_ms
                || self.last_sent_at_ms.is_none_or(|sent| sent + resend_delay_ms < time_ms))
    }
}

/// An element of a rule's result, its labels and annotations resolved.
#[derive(Clone, Debug)]
pub struct Instance {
    pub labels: Labels,
    pub annotations: Vec<(String, String)>,
    pub value: f64,
}

/// What a restart found in the series of [`ALERTS_FOR_STATE`]: the last sample of one.
#[derive(Clone, Debug)]
pub struct ForState {
    /// Without the metric's name.
    pub labels: Labels,
    pub timestamp_ms: i64,
    /// Unix seconds since when the alert was active.
    pub active_at_seconds: f64,
}

#[derive(Clone, Debug, Default)]
pub struct Alerts {
    /// Inactive ones among them.
    by_labels: BTreeMap<Labels, Alert>,
}

impl Alerts {
    /// Takes the result of an evaluation at `time_ms`. The label sets of `instances` differ.
    ///
    /// # Errors
    ///
    /// More alerts than `limit` (none if zero or less): then all of them are forgotten.
    pub fn advance(
        &mut self,
        instances: Vec<Instance>,
        spec: &AlertSpec,
        time_ms: i64,
        limit: i64,
    ) -> Result<(), String> {
        let mut given = BTreeMap::new();
        for instance in instances {
            let Instance { labels, annotations, value } = instance;
            given.insert(labels.clone(), ());
            match self.by_labels.get_mut(&labels) {
                Some(alert) if alert.state != AlertState::Inactive => {
                    alert.value = value;
                    alert.annotations = annotations;
                }
                _ => {
                    let alert = Alert {
                        state: AlertState::Pending,
                        labels: labels.clone(),
                        annotations,
                        value,
                        active_at_ms: time_ms,
                        fired_at_ms: None,
                        resolved_at_ms: None,
                        last_sent_at_ms: None,
                        valid_until_ms: None,
                        keep_firing_since_ms: None,
                    };
                    self.by_labels.insert(labels, alert);
                }
            }
        }
        let mut active_count = 0i64;
        self.by_labels.retain(|labels, alert| {
            if given.contains_key(labels) {
                alert.keep_firing_since_ms = None;
            } else if !keeps_firing(alert, spec, time_ms) {
                return end(alert, time_ms);
            }
            active_count += 1;
            hold(alert, spec, time_ms);
            true
        });
        if limit > 0 && active_count > limit {
            self.by_labels.clear();
            return Err(format!("exceeded limit of {limit} with {active_count} alerts"));
        }
        Ok(())
    }

    /// The samples of `rule`'s series for its pending and firing alerts.
    pub fn samples(&self, rule: &RuleSpec) -> Vec<RuleSample> {
        let active = self.by_labels.values().filter(|alert| alert.state >= AlertState::Pending);
        let mut samples = Vec::new();
        for alert in active {
            let mut builder = series_labels(rule, Some(&alert.labels));
            builder.set(METRIC_NAME, ALERTS_FOR_STATE.as_bytes());
            let since = alert.active_at_ms.div_euclid(1000) as f64;
            let for_state = RuleSample::float(builder.finish(), since);
            builder.set(METRIC_NAME, ALERTS.as_bytes());
            builder.set(ALERT_STATE.as_bytes(), alert.state.as_str().as_bytes());
            samples.push(RuleSample::float(builder.finish(), 1.0));
            samples.push(for_state);
        }
        samples
    }

    /// The alerts that are to be sent at `time_ms`, marked as sent.
    pub fn take_due(&mut self, time_ms: i64, resend_delay_ms: i64, interval_ms: i64) -> Vec<Alert> {
        let mut due = Vec::new();
        for alert in self.by_labels.values_mut() {
            if alert.needs_sending(time_ms, resend_delay_ms) {
                alert.last_sent_at_ms = Some(time_ms);
                // Long enough for two evaluations or notices that fail.
                alert.valid_until_ms = Some(time_ms + 4 * interval_ms.max(resend_delay_ms));
                due.push(alert.clone());
            }
        }
        due
    }

    /// Sets since when alerts are active from what a life of the process before this one wrote.
    /// The time that it was down does not count towards `for`, and what is left of `for` is at
    /// least `grace_ms`.
    pub fn restore(&mut self, found: &[ForState], for_ms: i64, grace_ms: i64, now_ms: i64) {
        for state in found {
            let Some(alert) = self.by_labels.get_mut(&state.labels) else { continue };
            let restored_ms = (state.active_at_seconds as i64).saturating_mul(1000);
            let pending_ms = state.timestamp_ms.saturating_sub(restored_ms);
            let remaining_ms = for_ms.saturating_sub(pending_ms);
            alert.active_at_ms = if remaining_ms <= 0 {
                restored_ms
            } else if remaining_ms < grace_ms {
                now_ms + grace_ms - for_ms
            } else {
                restored_ms.saturating_add(now_ms - state.timestamp_ms)
            };
        }
    }

    /// The most urgent state of all alerts.
    pub fn state(&self) -> AlertState {
        let states = self.by_labels.values().map(|alert| alert.state);
        states.max().unwrap_or(AlertState::Inactive)
    }

    /// Alerts that did not end, ascending by their labels.
    pub fn active(&self) -> impl Iterator<Item = &Alert> {
        self.by_labels.values().filter(|alert| alert.resolved_at_ms.is_none())
    }

    /// All alerts, those that ended a short while ago among them, ascending by their labels.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.by_labels.values()
    }

    /// Takes over the alerts of the rule that this one replaces.
    pub fn adopt(&mut self, earlier: &Alerts) {
        self.by_labels.extend(earlier.by_labels.clone());
    }
}

/// Whether an alert that the expression gives no more fires on.
fn keeps_firing(alert: &mut Alert, spec: &AlertSpec, time_ms: i64) -> bool {
    if alert.state != AlertState::Firing || spec.keep_firing_for_ms <= 0 {
        return false;
    }
    let since = *alert.keep_firing_since_ms.get_or_insert(time_ms);
    time_ms - since < spec.keep_firing_for_ms
}

/// Ends an alert; whether it is to be remembered.
fn end(alert: &mut Alert, time_ms: i64) -> bool {
    let is_old = |resolved| time_ms - resolved > RESOLVED_RETENTION_MS;
    if alert.state == AlertState::Pending || alert.resolved_at_ms.is_some_and(is_old) {
        return false;
    }
    if alert.state != AlertState::Inactive {
        alert.state = AlertState::Inactive;
        alert.resolved_at_ms = Some(time_ms);
    }
    true
}

/// Fires what was held long enough, and takes back what was not (`for` may have grown).
fn hold(alert: &mut Alert, spec: &AlertSpec, time_ms: i64) {
    let is_held = time_ms - alert.active_at_ms >= spec.for_ms;
    match alert.state {
        AlertState::Pending if is_held => {
            alert.state = AlertState::Firing;
            alert.fired_at_ms = Some(time_ms);
        }
        AlertState::Firing if !is_held => {
            alert.state = AlertState::Pending;
            alert.fired_at_ms = None;
            alert.last_sent_at_ms = None;
            alert.keep_firing_since_ms = None;
        }
        _ => {}
    }
}

/// The rule's labels as written (a template that became nothing shows), over them the alert's.
pub fn series_labels(rule: &RuleSpec, alert: Option<&Labels>) -> LabelsBuilder {
    let mut builder = LabelsBuilder::default();
    for (name, value) in &rule.labels {
        builder.set(name.as_bytes(), value.as_bytes());
    }
    for (name, value) in alert.into_iter().flat_map(Labels::iter) {
        builder.set(name, value);
    }
    builder.set(ALERT_NAME.as_bytes(), rule.name.as_bytes());
    builder
}
