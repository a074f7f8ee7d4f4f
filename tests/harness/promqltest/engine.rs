//! What a script runs against.

use engine::exec::testing::{LocalScatter, Sample, block_on};
use engine::exec::{Outcome, Severity, Value, evaluate};
use engine::model::{FloatHistogram, Labels};
use engine::plan::{Plan, PlanOptions, QueryTimes, Rewrite, Rewrites};
use engine::promql::{ParseOptions, parse};

/// Something that holds series and answers questions about them.
pub trait Engine {
    /// Forgets all series.
    fn clear(&mut self);

    /// `start_ms`: zero where unknown.
    fn append(&mut self, labels: &Labels, timestamp_ms: i64, start_ms: i64, sample: Sample);

    /// Errors: the message of a query that fails.
    fn query(&self, text: &str, times: QueryTimes) -> Result<Answer, String>;
}

#[derive(Debug)]
pub struct Answer {
    pub values: Values,
    /// With their positions in the query.
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum Values {
    Scalar(f64),
    String(String),
    /// An instant vector, in the order in which it is shown.
    Vector(Vec<(Labels, Point)>),
    /// Rows with their points in time.
    Matrix(Vec<(Labels, Vec<(i64, Point)>)>),
}

#[derive(Clone, Debug)]
pub enum Point {
    Float(f64),
    Histogram(FloatHistogram),
}

/// The evaluation over some shards that hold their series in memory.
pub struct LocalEngine {
    shard_count: usize,
    scatter: LocalScatter,
    /// Sets of rewrites, all of which must give the same answer: every one, each left out, none.
    rewrites: Vec<Rewrites>,
}

impl LocalEngine {
    pub fn new(shard_count: usize) -> Self {
        LocalEngine {
            shard_count,
            scatter: LocalScatter::new(shard_count),
            rewrites: vec![Rewrites::ALL],
        }
    }

    /// Asks every question once more for each set of rewrites, and fails it where the answers
    /// differ in a bit.
    pub fn with_rewrites_compared(self) -> Self {
        let each = Rewrite::ALL.into_iter().map(|rewrite| Rewrites::ALL.without(rewrite));
        let rewrites = [Rewrites::ALL].into_iter().chain(each).chain([Rewrites::NONE]).collect();
        LocalEngine { rewrites, ..self }
    }

    pub fn shard_count(&self) -> usize {
        self.shard_count
    }

    fn query_with(
        &self,
        text: &str,
        times: QueryTimes,
        rewrites: Rewrites,
    ) -> Result<Answer, String> {
        // As Prometheus's own runner is set up.
        let options = PlanOptions {
            samples_max: 10_000,
            bytes_max: usize::MAX,
            delayed_names: true,
            type_and_unit: false,
            start_timestamps: true,
            rewrites,
        };
        let ast = parse(text, &ParseOptions::ALL).map_err(|errors| errors.to_string())?;
        let plan = Plan::new(&ast, times, &options).map_err(|error| error.to_string())?;
        let outcome =
            block_on(evaluate(&plan, &self.scatter)).map_err(|error| error.to_string())?;
        Ok(Answer::new(&outcome, text))
    }
}

impl Engine for LocalEngine {
    fn clear(&mut self) {
        self.scatter = LocalScatter::new(self.shard_count);
    }

    fn append(&mut self, labels: &Labels, timestamp_ms: i64, start_ms: i64, sample: Sample) {
        self.scatter.append_sample(labels, timestamp_ms, start_ms, sample);
    }

    fn query(&self, text: &str, times: QueryTimes) -> Result<Answer, String> {
        let answer = self.query_with(text, times, self.rewrites[0]);
        for rewrites in &self.rewrites[1..] {
            let other = self.query_with(text, times, *rewrites);
            // The text of a float gives back its bits, but for those of NaN.
            if format!("{answer:?}") != format!("{other:?}") {
                return Err(format!(
                    "rewrites change an answer ({rewrites:?}): {answer:?} against {other:?}"
                ));
            }
        }
        answer
    }
}

impl Answer {
    fn new(outcome: &Outcome, text: &str) -> Answer {
        let value = &outcome.value;
        let row = |row: usize| {
            let mut points = Vec::new();
            value.for_each_point(row, |time_ms, value| {
                points.push((time_ms, Point::Float(value)));
            });
            value.for_each_histogram(row, |time_ms, histogram| {
                points.push((time_ms, Point::Histogram(histogram.clone())));
            });
            points.sort_by_key(|(time_ms, _)| *time_ms);
            (value.labels(row).to_owned(), points)
        };
        let rows = (0..value.row_count()).map(row);
        let values = match value {
            Value::Scalar { value, .. } => Values::Scalar(*value),
            Value::String { value, .. } => Values::String(value.clone()),
            Value::Vector { .. } => {
                let point = |mut points: Vec<(i64, Point)>| points.swap_remove(0).1;
                Values::Vector(rows.map(|(labels, points)| (labels, point(points))).collect())
            }
            Value::Matrix { .. } | Value::Ranges(_) => Values::Matrix(rows.collect()),
        };
        let warnings = outcome.annotations.texts(Severity::Warning, text);
        let infos = outcome.annotations.texts(Severity::Info, text);
        Answer { values, warnings, infos }
    }
}
