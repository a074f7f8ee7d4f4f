//! What a rule's expression gives and what a rule writes.

use std::sync::Arc;

use crate::model::labels::push_string;
use crate::model::{FloatHistogram, Labels, LabelsRef};

/// One element of an instant vector; its time is that of the evaluation.
#[derive(Clone, Debug)]
pub struct RuleSample {
    pub labels: Labels,
    pub value: RuleValue,
}

#[derive(Clone, Debug)]
pub enum RuleValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl RuleSample {
    pub fn float(labels: Labels, value: f64) -> RuleSample {
        RuleSample { labels, value: RuleValue::Float(value) }
    }
}

impl RuleValue {
    /// The float; zero for a histogram, which has none.
    pub fn as_float(&self) -> f64 {
        match self {
            RuleValue::Float(value) => *value,
            RuleValue::Histogram(_) => 0.0,
        }
    }
}

/// `base` under `edits`, which ascend by name; an empty value takes the label away. O(labels), one
/// allocation.
pub fn overlay<'a>(
    base: LabelsRef<'a>,
    edits: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Labels {
    let mut bytes = Vec::with_capacity(base.as_bytes().len() + 32);
    let mut push = |name: &[u8], value: &[u8]| {
        if !value.is_empty() {
            push_string(&mut bytes, name);
            push_string(&mut bytes, value);
        }
    };
    let mut base = base.iter().peekable();
    for (name, value) in edits {
        while let Some((own, own_value)) = base.next_if(|(own, _)| *own < name) {
            push(own, own_value);
        }
        base.next_if(|(own, _)| *own == name);
        push(name, value);
    }
    base.for_each(|(name, value)| push(name, value));
    Labels::from_canonical(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &[(&str, &str)], edits: &[(&str, &str)], expected: &str) {
        let base = Labels::from_pairs(base.iter().copied());
        let edits = edits.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        assert_eq!(overlay(base.as_ref(), edits).to_string(), expected);
    }

    #[test]
    fn edits_win_and_empty_values_remove() {
        check(&[], &[], "{}");
        check(&[("b", "1")], &[("a", "2"), ("c", "3")], r#"{a="2", b="1", c="3"}"#);
        check(&[("a", "1"), ("b", "1")], &[("b", "2")], r#"{a="1", b="2"}"#);
        check(&[("a", "1"), ("b", "1")], &[("a", "")], r#"{b="1"}"#);
        check(&[], &[("a", "")], "{}");
    }
}
