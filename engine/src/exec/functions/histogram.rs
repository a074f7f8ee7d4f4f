//! `histogram_quantile`, `histogram_quantiles`, `histogram_fraction` over classic buckets.
//!
//! The rows of one histogram are found and ordered by bound once; every step then walks those that
//! have a point.
//!
//! Source: Prometheus `promql/quantile.go`, `BucketQuantile`, `BucketFraction`,
//! `ensureMonotonicAndIgnoreSmallDeltas`.

use crate::exec::annotations::{Annotation, Annotations, Monotonicity, Severity};
use crate::exec::error::ExecError;
use crate::exec::format::open_metrics;
use crate::exec::label_table::{LabelIndex, filter, is_reserved};
use crate::exec::matrix::{Matrix, Row, ones};
use crate::exec::merge_rows::{Meeting, settle};
use crate::exec::turn::spend;
use crate::model::source::Turns;
use crate::model::{LabelsBuilder, LabelsRef};
use crate::plan::grid::Grid;
use crate::plan::node::Histogram;
use crate::plan::part::Param;
use crate::promql::ast::PosRange;
use crate::promql::functions::FunctionId;

use super::quantile::{is_valid, warn_invalid};

const BUCKET: &[u8] = b"le";

/// Relative differences of neighbouring counts below this are errors of rounding.
const SMALL_DELTA: f64 = 1e-12;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    upper: f64,
    count: f64,
}

/// A row that is a bucket.
#[derive(Clone, Copy)]
struct BucketRow {
    upper: f64,
    row: u32,
}

pub async fn run(
    rows: &Matrix,
    histogram: &Histogram,
    grid: Grid,
    delayed_names: bool,
    annotations: &mut Annotations,
    turns: &impl Turns,
) -> Result<Matrix, ExecError> {
    if histogram.function != FunctionId::HistogramFraction {
        warn_quantiles(histogram, grid, annotations);
    }
    let (labels, members) = histograms(rows, histogram.position, delayed_names, annotations);
    let mut run = Run { rows, histogram, grid, delayed_names, annotations, buckets: Vec::new() };
    let mut result = Matrix::new(grid.step_count);
    match histogram.function {
        FunctionId::HistogramFraction => {
            let bounds = [&histogram.params[0], &histogram.params[1]];
            for (index, members) in members.iter().enumerate() {
                let row = run.fraction(members, bounds);
                spend(turns, members.len() * grid.step_count).await?;
                run.push(&mut result, labels.get(index), None, &row);
            }
        }
        function => {
            for q in &histogram.params {
                for (index, members) in members.iter().enumerate() {
                    let name =
                        String::from_utf8_lossy(labels.get(index).metric_name()).into_owned();
                    let row = run.quantile(members, q, &name);
                    spend(turns, members.len() * grid.step_count).await?;
                    let added = (function == FunctionId::HistogramQuantiles).then_some(q);
                    run.push(&mut result, labels.get(index), added, &row);
                }
            }
        }
    }
    settle(result, Meeting::Merged, turns).await
}

fn warn_quantiles(histogram: &Histogram, grid: Grid, annotations: &mut Annotations) {
    for (q, position) in histogram.params.iter().zip(&histogram.param_positions) {
        // Without a step nobody asks.
        let asked = if matches!(q, Param::Number(_)) { 1 } else { usize::MAX };
        let steps = grid.step_count.min(asked);
        for q in (0..steps).map(|step| q.at(step)).filter(|q| !is_valid(*q)) {
            warn_invalid(annotations, q, *position);
        }
    }
}

/// The histograms by their labels without the bound, each with its rows ascending by bound.
fn histograms(
    rows: &Matrix,
    position: PosRange,
    delayed_names: bool,
    annotations: &mut Annotations,
) -> (LabelIndex, Vec<Vec<BucketRow>>) {
    let mut index = LabelIndex::default();
    let mut members: Vec<Vec<BucketRow>> = Vec::new();
    let mut bytes = Vec::new();
    for row in 0..rows.row_count() {
        let labels = rows.labels(row);
        let bound = String::from_utf8_lossy(labels.get(BUCKET));
        let Ok(upper) = bound.parse::<f64>() else {
            let name = if delayed_names { labels.metric_name() } else { b"" };
            let message =
                format!("bucket label \"le\" is missing or has a malformed value of {bound:?}");
            annotations.warn(position, with_name(message, &String::from_utf8_lossy(name)));
            continue;
        };
        let labels = filter(labels, &mut bytes, |name| name != BUCKET);
        let (histogram, is_new) = index.intern(labels);
        if is_new {
            members.push(Vec::new());
        }
        members[histogram].push(BucketRow { upper, row: row as u32 });
    }
    for rows in &mut members {
        rows.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    }
    (index, members)
}

fn with_name(message: String, name: &str) -> String {
    if name.is_empty() { message } else { format!("{message} for metric name {name:?}") }
}

struct Run<'a> {
    rows: &'a Matrix,
    histogram: &'a Histogram,
    grid: Grid,
    delayed_names: bool,
    annotations: &'a mut Annotations,
    buckets: Vec<Bucket>,
}

impl Run<'_> {
    /// Steps at which any of the rows has a point.
    fn steps(&self, members: &[BucketRow]) -> Vec<usize> {
        let mut bits = vec![0; crate::exec::matrix::words(self.grid.step_count)];
        for member in members {
            let present = self.rows.present(member.row as usize);
            bits.iter_mut().zip(present).for_each(|(bits, row)| *bits |= row);
        }
        ones(&bits).collect()
    }

    /// Fills `buckets` with those that have a point, equal bounds as one.
    fn load(&mut self, members: &[BucketRow], step: usize) {
        self.buckets.clear();
        for member in members {
            let Some(count) = self.rows.get(member.row as usize, step) else { continue };
            match self.buckets.last_mut() {
                Some(last) if last.upper == member.upper => last.count += count,
                _ => self.buckets.push(Bucket { upper: member.upper, count }),
            }
        }
    }

    fn quantile(&mut self, members: &[BucketRow], q: &Param, name: &str) -> Row {
        let mut row = Row::default();
        row.reset(self.grid.step_count);
        for step in self.steps(members) {
            self.load(members, step);
            let (value, mended) = bucket_quantile(q.at(step), &mut self.buckets);
            row.set(step, value);
            if let Some(mended) = mended {
                self.note(mended, self.grid.time_ms(step), name);
            }
        }
        row
    }

    fn fraction(&mut self, members: &[BucketRow], [lower, upper]: [&Param; 2]) -> Row {
        let mut row = Row::default();
        row.reset(self.grid.step_count);
        for step in self.steps(members) {
            self.load(members, step);
            row.set(step, bucket_fraction(lower.at(step), upper.at(step), &self.buckets));
        }
        row
    }

    fn note(&mut self, mended: Mended, time_ms: i64, name: &str) {
        let message = "input to histogram_quantile needed to be fixed for monotonicity (see \
                       https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        let name = if self.delayed_names { name } else { "" };
        self.annotations.add(Annotation {
            severity: Severity::Info,
            message: with_name(message.to_owned(), name),
            position: self.histogram.position,
            monotonicity: Some(Monotonicity {
                min_ms: time_ms,
                max_ms: time_ms,
                min_bucket: mended.min_bucket,
                max_bucket: mended.max_bucket,
                diff_max: mended.diff_max,
                count: 1,
            }),
        });
    }

    /// Adds the row of one histogram; `quantile` becomes a label, one row for each of its values.
    fn push(
        &self,
        result: &mut Matrix,
        labels: LabelsRef<'_>,
        quantile: Option<&Param>,
        row: &Row,
    ) {
        let mut bytes = Vec::new();
        let delayed = self.delayed_names;
        let labels = filter(labels, &mut bytes, |name| delayed || !is_reserved(name));
        let Some(quantile) = quantile else {
            result.push_row(labels, true, row);
            return;
        };
        let mut with_value = |value: f64, row: &Row| {
            let mut builder = LabelsBuilder::from_labels(labels);
            let label = self.histogram.quantile_label.as_bytes();
            builder.set(label, open_metrics(value).as_bytes());
            result.push_row(builder.finish().as_ref(), true, row);
        };
        if let Param::Number(value) = quantile {
            with_value(*value, row);
            return;
        }
        let mut single = Row::default();
        for step in ones(&row.present) {
            single.reset(self.grid.step_count);
            single.set(step, row.values[step]);
            with_value(quantile.at(step), &single);
        }
    }
}

/// Where and how far counts fell from one bucket to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mended {
    min_bucket: f64,
    max_bucket: f64,
    diff_max: f64,
}

/// The `q`-quantile, linear within a bucket; in the highest, the bound below it.
///
/// NaN of a `q` that is NaN, without a bucket up to infinity, of fewer than two buckets or no
/// observation; an infinity for a `q` beyond 0 and 1.
fn bucket_quantile(q: f64, buckets: &mut [Bucket]) -> (f64, Option<Mended>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    let last = buckets.len() - 1;
    if buckets[last].upper != f64::INFINITY {
        return (f64::NAN, None);
    }
    let mended = make_monotonic(buckets);
    let observations = buckets[last].count;
    if buckets.len() < 2 || observations == 0.0 {
        return (f64::NAN, mended);
    }
    let mut rank = q * observations;
    let index = buckets[..last].partition_point(|bucket| bucket.count < rank || rank.is_nan());
    if index == last {
        return (buckets[last - 1].upper, mended);
    }
    if index == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, mended);
    }
    let Bucket { upper, mut count } = buckets[index];
    let mut lower = 0.0;
    if index > 0 {
        lower = buckets[index - 1].upper;
        count -= buckets[index - 1].count;
        rank -= buckets[index - 1].count;
    }
    (lower + (upper - lower) * (rank / count), mended)
}

/// Lifts counts that fall below the bucket before; says where, unless rounding explains it.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Mended> {
    let mut mended: Option<Mended> = None;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if almost_equal(previous, count) {
            bucket.count = previous;
            continue;
        }
        if count < previous {
            bucket.count = previous;
            let known = mended.unwrap_or(Mended {
                min_bucket: f64::INFINITY,
                max_bucket: f64::NEG_INFINITY,
                diff_max: 0.0,
            });
            mended = Some(Mended {
                min_bucket: known.min_bucket.min(bucket.upper),
                max_bucket: known.max_bucket.max(bucket.upper),
                diff_max: known.diff_max.max(previous - count),
            });
            continue;
        }
        previous = count;
    }
    mended
}

/// Source: Prometheus `util/almost/almost.go`.
fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

/// The share of observations between `lower` and `upper`.
fn bucket_fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let last = buckets[buckets.len() - 1];
    if last.upper != f64::INFINITY || last.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let below = |bound: f64| observations_below(bound, buckets).unwrap_or(last.count);
    (below(upper).min(last.count) - below(lower).min(last.count)) / last.count
}

/// Observations up to `bound`, linear within a bucket; `None` beyond the last.
fn observations_below(bound: f64, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    let mut bottom = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for bucket in buckets {
        if bottom >= bound {
            return Some(rank);
        }
        if bucket.upper > bound {
            // A bucket that reaches down to infinity has no inside to interpolate.
            return Some(if bottom == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (bound - bottom) / (bucket.upper - bottom)
            });
        }
        rank = bucket.count;
        bottom = bucket.upper;
    }
    None
}
