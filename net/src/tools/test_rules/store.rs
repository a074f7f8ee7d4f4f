//! Series of a group of tests: those of the file, as time reaches them, and those of the rules.

use std::cell::RefCell;
use std::collections::HashMap;

use engine::exec::testing::{LocalScatter, Sample, block_on};
use engine::exec::{Value, evaluate};
use engine::head::{Refusal, Verdict};
use engine::model::sample::is_stale_nan;
use engine::model::{Batch, Labels};
use engine::plan::{Plan, PlanOptions, QueryTimes};
use engine::promql::series::{Element, expand, parse_series_description};
use engine::promql::{Ast, ParseOptions, parse};
use engine::rules::host::NO_VECTOR;
use engine::rules::{Alert, Host, Query, Refused, RuleSample, RuleSpec, RuleValue};

use super::Settings;
use super::file::TestGroup;

/// As promtool sets it: what one query may hold.
const SAMPLE_COUNT_MAX: usize = 10_000;

pub(super) struct Store {
    scatter: RefCell<LocalScatter>,
    /// Time and value of the newest sample of each series.
    newest: RefCell<HashMap<Labels, (i64, f64)>>,
    /// What time has not reached yet, the latest first.
    pending: Vec<(i64, Labels, Sample)>,
    promql: ParseOptions,
    plan: PlanOptions,
    subquery_step_ms: i64,
}

impl Store {
    /// # Errors
    ///
    /// A series that cannot be read, with its line among the input series.
    pub fn new(
        group: &TestGroup,
        settings: &Settings,
        subquery_step_ms: i64,
    ) -> Result<Store, String> {
        let mut pending = Vec::new();
        for (index, input) in group.input_series.iter().enumerate() {
            let text = format!("{} {}", input.series, input.values);
            let (labels, values) = parse_series_description(text.trim())
                .map_err(|errors| errors.display_at(index + 1).to_string())?;
            for (step, element) in expand(&values)?.into_iter().enumerate() {
                let time_ms = group.start_timestamp.0 + step as i64 * group.interval.ms();
                let sample = match element {
                    Element::Omitted => continue,
                    Element::Float(value) => Sample::Float(value),
                    Element::Histogram { histogram, .. } => Sample::Histogram(histogram),
                };
                pending.push((time_ms, labels.clone(), sample));
            }
        }
        pending.sort_by_key(|(time_ms, ..)| std::cmp::Reverse(*time_ms));
        Ok(Store {
            scatter: RefCell::new(LocalScatter::new(1)),
            newest: RefCell::default(),
            pending,
            promql: settings.promql,
            plan: PlanOptions {
                samples_max: SAMPLE_COUNT_MAX,
                delayed_names: settings.delayed_names,
                ..PlanOptions::default()
            },
            subquery_step_ms,
        })
    }

    /// Stores the samples of the file up to a time.
    pub fn advance(&mut self, time_ms: i64) {
        while self.pending.last().is_some_and(|(next_ms, ..)| *next_ms <= time_ms) {
            if let Some((sample_ms, labels, sample)) = self.pending.pop() {
                self.scatter.borrow_mut().append_sample(&labels, sample_ms, 0, sample);
            }
        }
    }

    /// Errors: the query's text, or that it gives no vector.
    pub fn ask(&self, ast: &Ast, time_ms: i64) -> Result<Vec<RuleSample>, String> {
        let times =
            QueryTimes { subquery_step_ms: self.subquery_step_ms, ..QueryTimes::instant(time_ms) };
        let plan = Plan::new(ast, times, &self.plan).map_err(|error| error.to_string())?;
        let outcome = block_on(evaluate(&plan, &*self.scatter.borrow()));
        let value = outcome.map_err(|error| error.to_string())?.value;
        match value {
            Value::Scalar { value, .. } => {
                return Ok(vec![RuleSample::float(Labels::default(), value)]);
            }
            Value::Vector { .. } => {}
            _ => return Err(NO_VECTOR.to_owned()),
        }
        let mut samples = Vec::new();
        for row in 0..value.row_count() {
            let labels = value.labels(row).to_owned();
            value.for_each_point(row, |_, value| {
                samples.push(RuleSample::float(labels.clone(), value));
            });
            value.for_each_histogram(row, |_, histogram| {
                let value = RuleValue::Histogram(histogram.clone().into());
                samples.push(RuleSample { labels: labels.clone(), value });
            });
        }
        Ok(samples)
    }

    pub fn ask_text(&self, text: &str, time_ms: i64) -> Result<Vec<RuleSample>, String> {
        let ast = parse(text, &self.promql).map_err(|errors| errors.to_string())?;
        self.ask(&ast, time_ms)
    }

    /// All series with their samples in `(time_ms - range_ms, time_ms]`, as a matrix is shown.
    pub fn dump(&self, range_ms: i64, time_ms: i64) -> Result<String, String> {
        let text = format!("{{__name__=~\".+\"}}[{range_ms}ms]");
        let ast = parse(&text, &self.promql).map_err(|errors| errors.to_string())?;
        let plan = Plan::new(&ast, QueryTimes::instant(time_ms), &self.plan)
            .map_err(|error| error.to_string())?;
        let outcome = block_on(evaluate(&plan, &*self.scatter.borrow()));
        let value = outcome.map_err(|error| error.to_string())?.value;
        let mut rows = Vec::new();
        for row in 0..value.row_count() {
            let mut lines = vec![format!("{} =>", value.labels(row))];
            value.for_each_point(row, |time_ms, value| {
                let shown = engine::model::float::format_f(value);
                lines.push(format!("{shown} @[{time_ms}]"));
            });
            value.for_each_histogram(row, |time_ms, histogram| {
                lines.push(format!("{histogram} @[{time_ms}]"));
            });
            rows.push(lines.join("\n"));
        }
        Ok(rows.join("\n"))
    }

    /// Notes a rule's sample; why it is refused.
    fn take(&self, labels: &Labels, time_ms: i64, value: f64) -> Option<Verdict> {
        let mut newest = self.newest.borrow_mut();
        let newest = newest.entry(labels.clone()).or_insert((i64::MIN, 0.0));
        if time_ms < newest.0 {
            return Some(Verdict::OutOfOrder);
        }
        if time_ms == newest.0 {
            let is_same = newest.1.to_bits() == value.to_bits();
            let verdict = Verdict::Duplicate { existing: newest.1, new: value };
            return Some(if is_same { Verdict::Repeated } else { verdict });
        }
        *newest = (time_ms, value);
        None
    }
}

impl Host for Store {
    async fn query(&self, query: Query<'_>, time_ms: i64) -> Result<Vec<RuleSample>, String> {
        match query {
            Query::Rule(ast) => self.ask(ast, time_ms),
            Query::Text(text) => self.ask_text(text, time_ms),
        }
    }

    async fn append(&self, batch: &Batch) -> Result<Refused, String> {
        let mut refused = Refused::default();
        let mut scatter = self.scatter.borrow_mut();
        for sample in 0..batch.sample_count() {
            let labels = batch.labels(batch.sample_series()[sample]).to_owned();
            let (time_ms, value) = (batch.timestamps_ms()[sample], batch.values()[sample]);
            match self.take(&labels, time_ms, value) {
                None => scatter.append(&labels, time_ms, value),
                Some(Verdict::Repeated) => {}
                // A marker where another rule wrote the series is refused in silence.
                Some(_) if is_stale_nan(value) => {}
                Some(verdict) => refused.floats.push(Refusal { sample: sample as u32, verdict }),
            }
        }
        for (index, sample) in batch.histograms().iter().enumerate() {
            let labels = batch.labels(batch.histogram_series()[index]).to_owned();
            let time_ms = batch.histogram_timestamps_ms()[index];
            match self.take(&labels, time_ms, sample.histogram.sum) {
                None => {
                    let sample = Sample::Histogram(sample.histogram.clone());
                    scatter.append_sample(&labels, time_ms, 0, sample);
                }
                Some(Verdict::Repeated) => {}
                Some(verdict) => {
                    refused.histograms.push(Refusal { sample: index as u32, verdict });
                }
            }
        }
        Ok(refused)
    }

    fn notify(&self, _rule: &RuleSpec, _alerts: Vec<Alert>) {}
}
