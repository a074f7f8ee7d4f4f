//! What there is to say about native histograms beside a result, in Prometheus's words.
//!
//! Source: Prometheus `util/annotations/annotations.go`.

use std::fmt::Display;

use crate::promql::ast::PosRange;

use super::annotations::{Annotation, Annotations, Severity};

/// What was done to histograms when there was something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Addition => "addition",
            Operation::Subtraction => "subtraction",
            Operation::Aggregation => "aggregation",
        }
    }
}

/// ` for metric name "…"`, if there is one.
pub fn with_name(message: &str, name: &str) -> String {
    if name.is_empty() { message.to_owned() } else { format!("{message} for metric name {name:?}") }
}

impl Annotations {
    /// A window holds both kinds, which the function does not mix.
    pub fn mixed_range(&mut self, name: &str, position: PosRange) {
        self.warn(
            position,
            format!("encountered a mix of histograms and floats for metric name {name:?}"),
        );
    }

    pub fn mixed_group(&mut self, position: PosRange) {
        self.warn(
            position,
            "encountered a mix of histograms and floats for aggregation".to_owned(),
        );
    }

    pub fn mixed_classic_and_native(&mut self, name: &str, position: PosRange) {
        self.warn(
            position,
            with_name("vector contains a mix of classic and native histograms", name),
        );
    }

    pub fn mixed_buckets(&mut self, name: &str, position: PosRange) {
        self.warn(
            position,
            format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas \
                 for metric name {name:?}"
            ),
        );
    }

    pub fn no_counter(&mut self, name: &str, position: PosRange) {
        self.warn(position, format!("this native histogram metric is not a counter: {name:?}"));
    }

    pub fn no_gauge(&mut self, name: &str, position: PosRange) {
        self.warn(position, format!("this native histogram metric is not a gauge: {name:?}"));
    }

    pub fn reset_collision(&mut self, operation: Operation, position: PosRange) {
        let operation = operation.name();
        self.warn(position, format!("conflicting counter resets during histogram {operation}"));
    }

    pub fn bounds_reconciled(&mut self, operation: Operation, position: PosRange) {
        let operation = operation.name();
        self.info(
            position,
            format!("mismatched custom buckets were reconciled during {operation}"),
        );
    }

    pub fn ignored_in_aggregation(&mut self, aggregation: impl Display, position: PosRange) {
        self.info(position, format!("ignored histogram in {aggregation} aggregation"));
    }

    pub fn ignored_in_range(&mut self, name: &str, position: PosRange) {
        self.info(
            position,
            format!(
                "ignored histograms in a range containing both floats and histograms for metric \
                 name {name:?}"
            ),
        );
    }

    /// An operator that is not defined between these kinds, `float` or `histogram`.
    pub fn incompatible_types(&mut self, lhs: &str, op: &str, rhs: &str, position: PosRange) {
        self.info(
            position,
            format!(
                "incompatible sample types encountered for binary operator {op:?}: {lhs} {op} {rhs}"
            ),
        );
    }

    pub fn incompatible_layout(&mut self, op: &str, position: PosRange) {
        self.warn(
            position,
            format!("incompatible bucket layout encountered for binary operator {op}"),
        );
    }

    pub fn start_overlaps(&mut self, name: &str, position: PosRange) {
        let message = format!(
            "sample has start time that overlaps with previous sample timestamp for metric {name:?}"
        );
        self.add(Annotation { count: 1, ..Annotation::new(Severity::Warning, position, message) });
    }
}
