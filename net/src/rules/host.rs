//! Rules over the shards of this server.

use std::sync::Arc;
use std::time::Instant;

use engine::exec::Value;
use engine::head::LateSamples;
use engine::model::{Batch, Labels};
use engine::promql::{self, Ast};
use engine::rules::host::{Answer, NO_VECTOR};
use engine::rules::{Alert, GroupSpec, Host, Query, Refused, RuleSample, RuleSpec, RuleValue};
use shards::query::Expression;
use shards::turns::Work;
use shards::{CancelToken, IngestOptions, QueryError, QueryOutcome, QueryRequest, Shard, runtime};

use crate::api::context::Context;
use crate::api::params::RangeGrid;
use crate::api::query::log_query;
use crate::http::url::escape_query;
use crate::notify::Notice;
use crate::observe::query_log::Origin;

use super::Environment;
use super::manager::Settings;

pub struct ShardHost<'a> {
    pub shard: &'a Shard,
    pub environment: &'a Environment,
    pub context: &'a Context,
    pub settings: &'a Settings,
    pub spec: &'a GroupSpec,
    /// The rules' expressions as they are printed.
    pub queries: &'a [Arc<str>],
}

impl Host for ShardHost<'_> {
    async fn query(&self, query: Query<'_>, time_ms: i64) -> Result<Vec<RuleSample>, String> {
        let expression = match query {
            Query::Rule(ast) => Expression::Ast(ast.clone()),
            Query::Text(text) => Expression::Text(text.to_owned()),
        };
        let value = self.ask(expression, time_ms, None).await?;
        samples(&value)
    }

    async fn query_all(&self, expressions: &[&Ast], time_ms: i64) -> Vec<Answer> {
        let begun = runtime::now();
        let shown = format!("{} rules of group {}", expressions.len(), self.spec.name);
        let request = self.request(Expression::Text(shown), time_ms);
        let outcomes = self.shard.query_group(expressions, &request, &CancelToken::default()).await;
        let outcomes = outcomes
            .unwrap_or_else(|error| expressions.iter().map(|_| Err(error.clone())).collect());
        let is_logged = self.context.query_log.is_open();
        let answer = |(expression, outcome): (&&Ast, Result<QueryOutcome, QueryError>)| {
            if is_logged {
                self.log(self.printed(expression), &outcome, time_ms, begun);
            }
            match outcome {
                Ok(outcome) => {
                    self.context.count_query(self.shard, &outcome);
                    let QueryOutcome { outcome, timings } = outcome;
                    Answer {
                        result: samples(&outcome.value),
                        seconds: (timings.prepared + timings.evaluated).as_secs_f64(),
                    }
                }
                Err(error) => Answer { result: Err(error.to_string()), seconds: 0.0 },
            }
        };
        expressions.iter().zip(outcomes).map(answer).collect()
    }

    async fn append(&self, batch: &Batch) -> Result<Refused, String> {
        // What rules give is refused out of order, as Prometheus does. Nobody waits for an acknowledgement, and rules may lie ahead of the clock.
        let options =
            IngestOptions { wait: false, max_timestamp_ms: i64::MAX, late: LateSamples::Refused };
        let report = self.shard.ingest(batch, options).await.map_err(|error| error.to_string())?;
        Ok(Refused { floats: report.refused, histograms: report.refused_histograms })
    }

    fn notify(&self, rule: &RuleSpec, alerts: Vec<Alert>) {
        let rules = &self.spec.rules;
        let index = rules.iter().position(|other| std::ptr::eq(other, rule));
        let query = index.map_or("", |index| &self.queries[index]);
        let url = generator_url(&self.settings.globals.external_url, query);
        let notice = |alert: Alert| Notice {
            labels: alert.labels,
            annotations: alert.annotations.into(),
            starts_at_ms: alert.fired_at_ms.unwrap_or(alert.active_at_ms),
            ends_at_ms: alert.resolved_at_ms.or(alert.valid_until_ms).unwrap_or(i64::MIN),
            generator_url: url.clone(),
        };
        self.environment.notifier.send(alerts.into_iter().map(notice).collect());
    }
}

impl ShardHost<'_> {
    /// Evaluates an instant query in the turns of rules.
    pub async fn ask(
        &self,
        expression: Expression,
        time_ms: i64,
        lookback_ms: Option<i64>,
    ) -> Result<Value, String> {
        let text = match &expression {
            _ if !self.context.query_log.is_open() => String::new(),
            Expression::Text(text) => text.clone(),
            Expression::Ast(ast) => promql::print(ast, ast.root()),
        };
        let begun = runtime::now();
        let request = QueryRequest { lookback_ms, ..self.request(expression, time_ms) };
        let outcome = self.shard.query(request, &CancelToken::default()).await;
        self.log(&text, &outcome, time_ms, begun);
        if let Ok(outcome) = &outcome {
            self.context.count_query(self.shard, outcome);
        }
        outcome.map(|outcome| outcome.outcome.value).map_err(|error| error.to_string())
    }

    fn request(&self, expression: Expression, time_ms: i64) -> QueryRequest {
        QueryRequest {
            expression,
            subquery_step_ms: Some(self.settings.subquery_step_ms),
            work: Work::Rules,
            ..QueryRequest::instant("", time_ms)
        }
    }

    fn log(
        &self,
        text: &str,
        outcome: &Result<QueryOutcome, QueryError>,
        time_ms: i64,
        begun: Instant,
    ) {
        let grid = RangeGrid { start_ms: time_ms, end_ms: time_ms, step_ms: 0 };
        let origin =
            Origin::RuleGroup { file: self.spec.file.to_string(), name: self.spec.name.clone() };
        log_query(&self.context.query_log, text, outcome, grid, begun, &origin);
    }

    /// The expression as it is printed, of one of this group.
    fn printed(&self, expression: &Ast) -> &str {
        let rules = &self.spec.rules;
        let index = rules.iter().position(|rule| std::ptr::eq(&rule.expr, expression));
        index.map_or("", |index| &self.queries[index])
    }
}

/// The elements of an instant vector; a scalar is one without labels.
pub fn samples(value: &Value) -> Result<Vec<RuleSample>, String> {
    match value {
        Value::Scalar { value, .. } => Ok(vec![RuleSample::float(Labels::default(), *value)]),
        Value::Vector { .. } => {
            let mut samples = Vec::with_capacity(value.row_count());
            for row in 0..value.row_count() {
                let labels = value.labels(row);
                value.for_each_point(row, |_, value| {
                    samples.push(RuleSample::float(labels.to_owned(), value));
                });
                value.for_each_histogram(row, |_, histogram| {
                    let value = RuleValue::Histogram(Arc::new(histogram.clone()));
                    samples.push(RuleSample { labels: labels.to_owned(), value });
                });
            }
            Ok(samples)
        }
        _ => Err(NO_VECTOR.to_owned()),
    }
}

/// The page that shows `query` as a table.
fn generator_url(external_url: &str, query: &str) -> Arc<str> {
    format!("{external_url}/graph?g0.expr={}&g0.tab=1", escape_query(query)).into()
}
