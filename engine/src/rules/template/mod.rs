//! Templates of alerts: Go's `text/template` with Prometheus's functions.
//!
//! ```text
//! text -> lex -> parse -> tree                    once, when the rule is loaded
//! tree, data -> run -> text | error | "answer this query first"
//! ```
//!
//! A run is synchronous and pure: the same data and answers give the same text. Where it needs a
//! query that was not answered yet it ends; [`Template::expand`] asks for the answer and runs the
//! template again from its beginning. So nothing of a run lives while a query is waited for.
//!
//! Bounds: steps, bytes of output, depth, queries. What goes beyond ends with an error of the
//! template, as what Go refuses does.
//!
//! Source: Go `text/template`; Prometheus `template/template.go`, `rules/alerting.go`.

mod builtins;
mod escape;
mod extras;
mod fields;
mod format;
mod functions;
mod humanize;
mod lex;
mod literal;
mod number_format;
mod parse;
mod run;
#[cfg(test)]
mod tests;
mod time;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::host::{Host, Query};
use super::sample::{RuleSample, RuleValue};
use crate::model::Labels;
use functions::Surroundings;
use parse::Templates;
use run::{Answers, Run, Stop};
use value::{Alert, Sample, Value};

/// Longest text a template may give, and longest text within one.
pub const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// Most steps of one run: statements, calls, fields; long texts count more.
pub const STEP_COUNT_MAX: usize = 1_000_000;

/// Most queries of one template.
pub const QUERY_COUNT_MAX: usize = 1_000;

/// What an alert's templates begin with: shorter names for what they see.
const ALERT_VARIABLES: &str = "{{$labels := .Labels}}\
                               {{$externalLabels := .ExternalLabels}}\
                               {{$externalURL := .ExternalURL}}\
                               {{$value := .Value}}";

/// A template that was read.
#[derive(Debug)]
pub struct Template {
    name: String,
    text: String,
    templates: Templates,
}

/// Why a template gives no text, in the words of Go and Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

/// What a template of an alert sees.
#[derive(Clone, Debug)]
pub struct TemplateData<'a> {
    /// Of the sample, the metric's name among them.
    pub labels: &'a Labels,
    pub value: &'a RuleValue,
    pub external_labels: &'a Labels,
    /// Where the server is reached from outside: `--web.external-url`.
    pub external_url: &'a str,
    /// The timestamp of the evaluation.
    pub now_ms: i64,
}

impl Template {
    /// Reads a template of the alert `alert`. In it `$labels`, `$externalLabels`, `$externalURL`
    /// and `$value` stand for what [`TemplateData`] holds.
    ///
    /// # Errors
    ///
    /// Go's message: `template: __alert_x:1: unclosed action`.
    pub fn of_alert(alert: &str, text: &str) -> Result<Template, TemplateError> {
        Template::parse(&alert_name(alert), &format!("{ALERT_VARIABLES}{text}"))
    }

    /// Reads a template. Messages carry its `name`. Errors: as [`Template::of_alert`].
    pub fn parse(name: &str, text: &str) -> Result<Template, TemplateError> {
        let templates = parse::parse(name, text).map_err(|message| TemplateError { message })?;
        Ok(Template { name: name.to_owned(), text: text.to_owned(), templates })
    }

    /// The text it gives for `data`.
    ///
    /// Cost: a run for each query whose answer was not known, and one more. Errors: Prometheus's
    /// message, `error executing template __alert_x: template: __alert_x:1:95: …`.
    pub async fn expand(
        &self,
        data: &TemplateData<'_>,
        host: &impl Host,
    ) -> Result<String, TemplateError> {
        let mut answers = Answers::new();
        loop {
            match self.run(data, &answers) {
                Ok(text) => return Ok(text),
                Err(Stop::Query(query)) => {
                    if answers.len() >= QUERY_COUNT_MAX {
                        return Err(self.failed(&format!("more than {QUERY_COUNT_MAX} queries")));
                    }
                    let answer = host.query(Query::Text(&query), data.now_ms).await;
                    answers.insert(query, answer.map(samples));
                }
                Err(Stop::Error(message)) => return Err(self.failed(&message)),
                Err(Stop::Break | Stop::Continue) => {
                    return Err(self.failed("break or continue outside range"));
                }
            }
        }
    }

    fn failed(&self, message: &str) -> TemplateError {
        TemplateError { message: format!("error executing template {}: {message}", self.name) }
    }

    fn run(&self, data: &TemplateData<'_>, answers: &Answers) -> Result<String, Stop> {
        let surroundings = Surroundings { now_ms: data.now_ms, external_url: data.external_url };
        let alert = Value::Alert(Rc::new(Alert {
            labels: label_map(data.labels),
            external_labels: label_map(data.external_labels),
            external_url: data.external_url.into(),
            value: sample_value(data.value),
        }));
        let mut run = Run::new(&self.templates, &self.name, &self.text, surroundings, answers);
        run.whole(alert)?;
        Ok(run.out.text)
    }
}

impl TemplateError {
    /// The error of [`Template::of_alert`] as Prometheus words it where a template is expanded.
    pub fn of_expansion(self, alert: &str) -> TemplateError {
        let message = format!("error parsing template {}: {}", alert_name(alert), self.message);
        TemplateError { message }
    }
}

fn alert_name(alert: &str) -> String {
    format!("__alert_{alert}")
}

fn label_map(labels: &Labels) -> Rc<BTreeMap<String, String>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Rc::new(labels.iter().map(|(name, value)| (text(name), text(value))).collect())
}

fn sample_value(value: &RuleValue) -> Value {
    match value {
        RuleValue::Float(value) => Value::Float(*value),
        RuleValue::Histogram(histogram) => Value::Histogram(histogram.clone()),
    }
}

fn samples(vector: Vec<RuleSample>) -> Rc<[Rc<Sample>]> {
    vector
        .iter()
        .map(|sample| {
            let value = sample_value(&sample.value);
            Rc::new(Sample { labels: label_map(&sample.labels), value })
        })
        .collect()
}
