//! From the labels that a page shows to those of the stored series.
//!
//! Source: Prometheus `scrape/scrape.go` (`mutateSampleLabels`, `resolveConflictingExposedLabels`,
//! `mutateReportSampleLabels`, `verifyLabelLimits`).

use engine::model::labels::METRIC_NAME;
use engine::model::{Labels, LabelsBuilder, LabelsRef};

use crate::wire::quote::quoted;

/// Before the name of a label that lost against the target's.
const EXPORTED: &[u8] = b"exported_";

/// Bounds on the labels of one series; zero means none. Exceeding one fails the scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelLimits {
    pub label_count_max: u64,
    pub name_bytes_max: u64,
    pub value_bytes_max: u64,
}

/// Adds the target's labels to those of a page's series. Where both have a label, the page's wins
/// if it is to be honoured, else it is kept under an `exported_` name.
pub fn add_target_labels(builder: &mut LabelsBuilder, target: LabelsRef<'_>, honor_labels: bool) {
    if honor_labels {
        for (name, value) in target.iter() {
            if builder.get(name).is_empty() {
                builder.set(name, value);
            }
        }
        return;
    }
    let mut lost: Vec<(Box<[u8]>, Box<[u8]>)> = vec![];
    for (name, value) in target.iter() {
        let exposed = builder.get(name);
        if !exposed.is_empty() {
            lost.push((name.into(), exposed.into()));
        }
        builder.set(name, value);
    }
    // Short names first, so that `exported_a` is taken by `a` before `exported_a` itself moves on.
    lost.sort_by_key(|(name, _)| name.len());
    for (name, value) in lost {
        let mut exported = [EXPORTED, &name].concat();
        while !builder.get(&exported).is_empty() {
            exported = [EXPORTED, &exported].concat();
        }
        builder.set(&exported, &value);
    }
}

/// The labels of a series that is reported about a target itself, such as `up`.
pub fn report_labels(metric: &str, target: LabelsRef<'_>) -> Labels {
    let mut builder = LabelsBuilder::from_labels(target);
    builder.set(METRIC_NAME, metric.as_bytes());
    builder.finish()
}

impl LabelLimits {
    /// The first limit that `labels` exceed, in Prometheus's words.
    pub fn verify(&self, labels: LabelsRef<'_>) -> Result<(), String> {
        let metric = || shortened(labels.metric_name());
        let count = if self.label_count_max > 0 { labels.iter().count() as u64 } else { 0 };
        if count > self.label_count_max {
            let limit = self.label_count_max;
            return Err(format!(
                "label_limit exceeded (metric: {}, number of labels: {count}, limit: {limit})",
                metric()
            ));
        }
        if self.name_bytes_max == 0 && self.value_bytes_max == 0 {
            return Ok(());
        }
        for (name, value) in labels.iter() {
            let (length, limit) = (name.len() as u64, self.name_bytes_max);
            if limit > 0 && length > limit {
                return Err(format!(
                    "label_name_length_limit exceeded (metric: {}, label name: {}, length: \
                     {length}, limit: {limit})",
                    metric(),
                    shortened(name),
                ));
            }
            let (length, limit) = (value.len() as u64, self.value_bytes_max);
            if limit > 0 && length > limit {
                return Err(format!(
                    "label_value_length_limit exceeded (metric: {}, label name: {}, value: {}, \
                     length: {length}, limit: {limit})",
                    metric(),
                    shortened(name),
                    quoted(shortened(value).as_bytes()),
                ));
            }
        }
        Ok(())
    }
}

/// The first 50 characters, as Go's `%.50s` cuts.
fn shortened(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().take(50).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(exposed: &[(&str, &str)], target: &[(&str, &str)], honor: bool, expected: &str) {
        let exposed = Labels::from_pairs(exposed.iter().copied());
        let target = Labels::from_pairs(target.iter().copied());
        let mut builder = LabelsBuilder::from_labels(exposed.as_ref());
        add_target_labels(&mut builder, target.as_ref(), honor);
        assert_eq!(builder.finish().to_string(), expected);
    }

    #[test]
    fn conflicts_are_exported_or_honoured() {
        check(&[("a", "1")], &[("b", "2")], false, r#"{a="1", b="2"}"#);
        check(&[("a", "1")], &[("a", "2")], false, r#"{a="2", exported_a="1"}"#);
        check(&[("a", "1")], &[("a", "2")], true, r#"{a="1"}"#);
        check(
            &[("a", "1"), ("exported_a", "0")],
            &[("a", "2")],
            false,
            r#"{a="2", exported_a="0", exported_exported_a="1"}"#,
        );
        check(
            &[("a", "1"), ("exported_a", "0")],
            &[("a", "2"), ("exported_a", "3")],
            false,
            r#"{a="2", exported_a="3", exported_exported_a="1", exported_exported_exported_a="0"}"#,
        );
    }

    #[test]
    fn limits_name_what_exceeds_them() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "abcdef")]);
        let check = |count, name, value, expected: Result<(), &str>| {
            let limits = LabelLimits {
                label_count_max: count,
                name_bytes_max: name,
                value_bytes_max: value,
            };
            assert_eq!(limits.verify(labels.as_ref()), expected.map_err(str::to_owned));
        };
        check(0, 0, 0, Ok(()));
        check(2, 8, 6, Ok(()));
        check(1, 0, 0, Err("label_limit exceeded (metric: up, number of labels: 2, limit: 1)"));
        check(
            0,
            7,
            0,
            Err("label_name_length_limit exceeded (metric: up, label name: __name__, length: 8, \
                 limit: 7)"),
        );
        check(
            0,
            0,
            5,
            Err("label_value_length_limit exceeded (metric: up, label name: job, value: \
                 \"abcdef\", length: 6, limit: 5)"),
        );
    }
}
