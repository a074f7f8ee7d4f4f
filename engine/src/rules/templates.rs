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
use super::template::{Template, TemplateData, TemplateError};
use super::{AlertSpec, RuleSpec};

/// What templates know beside the element.
/// What became of templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansions {
    pub count: usize,
    /// Of those that could not be expanded: why.
    pub errors: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Globals {
    pub external_labels: Labels,
    /// The URL under which others reach the server.
    pub external_url: Arc<str>,
}

/// Resolves the labels and annotations of every element. A template that cannot be expanded says
/// so in its place, and in `expansions`.
///
/// # Errors
///
/// Two elements with the same labels.
pub async fn instances(
    rule: &RuleSpec,
    alert: &AlertSpec,
    result: Vec<RuleSample>,
    time_ms: i64,
    globals: &Globals,
    host: &impl Host,
    expansions: &mut Expansions,
) -> Result<Vec<Instance>, String> {
    if result.is_empty() {
        return Ok(vec![]);
    }
    let parse = |(name, text): &(String, String)| {
        let template = Template::of_alert(&rule.name, text);
        (name.clone(), template.map_err(|error| error.of_expansion(&rule.name)))
    };
    let label_templates: Vec<_> = rule.labels.iter().map(parse).collect();
    let annotation_templates: Vec<_> = alert.annotations.iter().map(parse).collect();
    let mut instances = Vec::with_capacity(result.len());
    let mut seen = HashSet::with_capacity_and_hasher(result.len(), RandomState::default());
    for sample in result {
        let data = TemplateData {
            labels: &sample.labels,
            value: &sample.value,
            external_labels: &globals.external_labels,
            external_url: &globals.external_url,
            now_ms: time_ms,
        };
        let own_labels = expanded(&label_templates, &data, host, expansions).await;
        let annotations = expanded(&annotation_templates, &data, host, expansions).await;
        let mut edits: Vec<(&[u8], &[u8])> = vec![(METRIC_NAME, b"")];
        edits.extend(own_labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        edits.retain(|(name, _)| *name != ALERT_NAME.as_bytes());
        edits.push((ALERT_NAME.as_bytes(), rule.name.as_bytes()));
        edits.sort_unstable();
        let labels = overlay(sample.labels.as_ref(), edits);
        if !seen.insert(labels.clone()) {
            return Err("vector contains metrics with the same labelset after applying alert \
                        labels"
                .to_owned());
        }
        instances.push(Instance { labels, annotations, value: sample.value.as_float() });
    }
    Ok(instances)
}

/// The texts that templates give. One that gives none says why in its place.
async fn expanded(
    templates: &[(String, Result<Template, TemplateError>)],
    data: &TemplateData<'_>,
    host: &impl Host,
    expansions: &mut Expansions,
) -> Vec<(String, String)> {
    let mut texts = Vec::with_capacity(templates.len());
    expansions.count += templates.len();
    for (name, template) in templates {
        let text = match template {
            Ok(template) => template.expand(data, host).await,
            Err(error) => Err(error.clone()),
        };
        let text = text.unwrap_or_else(|error| {
            let shown = format!("<error expanding template: {error}>");
            expansions.errors.push(error.message);
            shown
        });
        texts.push((name.clone(), text));
    }
    texts
}
