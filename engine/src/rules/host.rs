//! What the evaluation of rules needs from outside.

use std::future::Future;

use crate::head::Refusal;
use crate::model::Batch;
use crate::promql::Ast;

use super::RuleSpec;
use super::alerts::Alert;
use super::sample::RuleSample;

/// Where rules run: over the shards of a server, or over a naive source in a test.
pub trait Host {
    /// Evaluates an instant query; a scalar is one element without labels.
    ///
    /// Errors: the evaluation's text, also for what is neither vector nor scalar.
    fn query(
        &self,
        query: Query<'_>,
        time_ms: i64,
    ) -> impl Future<Output = Result<Vec<RuleSample>, String>>;

    /// Evaluates expressions of rules none of which reads what another one writes; answers in their
    /// order.
    fn query_all(&self, expressions: &[&Ast], time_ms: i64) -> impl Future<Output = Vec<Answer>> {
        async move {
            let mut answers = Vec::with_capacity(expressions.len());
            for expression in expressions {
                let result = self.query(Query::Rule(expression), time_ms).await;
                answers.push(Answer { result, seconds: 0.0 });
            }
            answers
        }
    }

    /// Stores samples; what was refused, or why nothing was stored.
    fn append(&self, batch: &Batch) -> impl Future<Output = Result<Refused, String>>;

    /// Tells of alerts of `rule` that are due.
    fn notify(&self, rule: &RuleSpec, alerts: Vec<Alert>);
}

/// What an expression gives.
#[derive(Clone, Debug)]
pub struct Answer {
    /// As [`Host::query`] gives it.
    pub result: Result<Vec<RuleSample>, String>,
    /// What it took, its share of what was done for all included; zero where no clock is.
    pub seconds: f64,
}

/// What was refused of a batch, by index into its samples and into its histograms.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    pub floats: Vec<Refusal>,
    pub histograms: Vec<Refusal>,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Query<'a> {
    /// A rule's expression.
    Rule(&'a Ast),
    /// A template's.
    Text(&'a str),
}

/// What a query of which a rule makes use says when its answer is no vector.
pub const NO_VECTOR: &str = "rule result is not a vector or scalar";
