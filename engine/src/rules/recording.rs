//! Recording rules: the expression's result under another name.
//!
//! Source: Prometheus `rules/recording.go`.

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use crate::model::labels::METRIC_NAME;

use super::RuleSpec;
use super::sample::{RuleSample, overlay};

/// The samples that the rule writes: its name and its labels over those of the result.
///
/// # Errors
///
/// Two elements that become one series, or more than `limit` (none if zero or less).
pub fn record(
    rule: &RuleSpec,
    result: Vec<RuleSample>,
    limit: i64,
) -> Result<Vec<RuleSample>, String> {
    let mut edits: Vec<(&[u8], &[u8])> = vec![(METRIC_NAME, rule.name.as_bytes())];
    edits.extend(rule.labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    edits.sort_unstable();
    let mut samples = result;
    for sample in &mut samples {
        sample.labels = overlay(sample.labels.as_ref(), edits.iter().copied());
    }
    if !are_different(&samples) {
        return Err(
            "vector contains metrics with the same labelset after applying rule labels".to_owned()
        );
    }
    let count = samples.len();
    if limit > 0 && count as i64 > limit {
        return Err(format!("exceeded limit of {limit} with {count} series"));
    }
    Ok(samples)
}

fn are_different(samples: &[RuleSample]) -> bool {
    let mut seen = HashSet::with_capacity_and_hasher(samples.len(), RandomState::default());
    samples.iter().all(|sample| seen.insert(sample.labels.as_ref().as_bytes()))
}
