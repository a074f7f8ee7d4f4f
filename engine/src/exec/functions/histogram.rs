//! `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`.
//!
//! The rows of one classic histogram are found and ordered by bound once; every step then walks
//! those that have a point. A native histogram is a point by itself. Where both have the same
//! labels at a step, neither is shown.
//!
//! Source: Prometheus `promql/functions.go`, `resetHistograms`, `funcHistogramQuantile`.

use crate::exec::annotations::{Annotation, Annotations, Monotonicity, Severity};
use crate::exec::bits::{any, is_set, ones, set, words};
use crate::exec::error::ExecError;
use crate::exec::format::open_metrics;
use crate::exec::label_table::{LabelIndex, filter, is_reserved};
use crate::exec::matrix::Matrix;
use crate::exec::merge_rows::{Meeting, settle};
use crate::exec::remarks::with_name;
use crate::exec::row::Row;
use crate::exec::step_block::{StepBlock, blocks};
use crate::exec::turn::spend;
use crate::model::source::Turns;
use crate::model::{LabelsBuilder, LabelsRef};
use crate::plan::grid::Grid;
use crate::plan::node::Histogram;
use crate::plan::part::Param;
use crate::promql::ast::PosRange;
use crate::promql::functions::FunctionId;

use super::classic_histogram::{self, Bucket, Mended};
use super::native_histogram;
use super::quantile::{is_valid, warn_invalid};

const BUCKET: &[u8] = b"le";

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
    let position = histogram.position;
    let (labels, mut classics) = classics(rows, position, delayed_names, annotations);
    let natives = natives(rows, &labels, &mut classics, position, delayed_names, annotations);
    let (buckets, block) = (Vec::new(), StepBlock::default());
    let mut run = Run { rows, histogram, grid, delayed_names, annotations, buckets, block };
    let mut result = Matrix::new(grid.step_count);
    result.reserve(classics.len());
    let asked: Vec<Asked<'_>> = match histogram.function {
        FunctionId::HistogramFraction => {
            vec![Asked::Fraction(&histogram.params[0], &histogram.params[1])]
        }
        _ => histogram.params.iter().map(Asked::Quantile).collect(),
    };
    let adds_label = histogram.function == FunctionId::HistogramQuantiles;
    for asked in asked {
        let added = match asked {
            Asked::Quantile(q) if adds_label => Some(q),
            _ => None,
        };
        for native in &natives {
            let row = run.native(native, asked);
            spend(turns, grid.step_count).await?;
            run.push(&mut result, rows.labels(native.row), added, &row);
        }
        for (index, classic) in classics.iter().enumerate() {
            let row = run.classic(classic, asked, labels.get(index), turns).await?;
            run.push(&mut result, labels.get(index), added, &row);
        }
    }
    settle(result, Meeting::Merged, turns).await
}

/// What is to be known of each histogram.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Quantile(&'a Param),
    Fraction(&'a Param, &'a Param),
}

/// A classic histogram: its rows ascending by bound, and the steps at which it is not shown.
#[derive(Default)]
struct Classic {
    rows: Vec<BucketRow>,
    hidden: Vec<u64>,
}

/// A row with native histograms, and the steps at which they are shown.
struct Native {
    row: usize,
    shown: Vec<u64>,
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

/// The classic histograms by their labels without the bound.
fn classics(
    rows: &Matrix,
    position: PosRange,
    delayed_names: bool,
    annotations: &mut Annotations,
) -> (LabelIndex, Vec<Classic>) {
    let mut index = LabelIndex::default();
    let mut classics: Vec<Classic> = Vec::new();
    let mut bytes = Vec::new();
    for row in 0..rows.row_count() {
        if !rows.histograms(row).floats(rows.present(row)).any(|word| word != 0) {
            continue;
        }
        let labels = rows.labels(row);
        let bound = String::from_utf8_lossy(labels.get(BUCKET));
        let Ok(upper) = bound.parse::<f64>() else {
            let message =
                format!("bucket label \"le\" is missing or has a malformed value of {bound:?}");
            annotations.warn(position, with_name(&message, &name_of(labels, delayed_names)));
            continue;
        };
        let labels = filter(labels, &mut bytes, |name| name != BUCKET);
        let (histogram, is_new) = index.intern(labels);
        if is_new {
            classics.push(Classic::default());
        }
        classics[histogram].rows.push(BucketRow { upper, row: row as u32 });
    }
    for classic in &mut classics {
        classic.rows.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    }
    (index, classics)
}

/// The rows with native histograms. Where a classic one has the same labels, both are hidden.
fn natives(
    rows: &Matrix,
    labels: &LabelIndex,
    classics: &mut [Classic],
    position: PosRange,
    delayed_names: bool,
    annotations: &mut Annotations,
) -> Vec<Native> {
    let mut natives = Vec::new();
    for row in 0..rows.row_count() {
        let histograms = rows.histograms(row);
        if histograms.is_empty() {
            continue;
        }
        let mut shown = vec![0; rows.present(row).len()];
        histograms.iter().for_each(|(step, _)| set(&mut shown, step));
        if let Some(classic) = labels.find(rows.labels(row)).map(|index| &mut classics[index]) {
            let buckets = float_bits(rows, &classic.rows);
            let hidden: Vec<u64> = shown.iter().zip(buckets).map(|(a, b)| a & b).collect();
            if any(&hidden) {
                let name = name_of(rows.labels(row), delayed_names);
                annotations.mixed_classic_and_native(&name, position);
                shown.iter_mut().zip(&hidden).for_each(|(shown, hidden)| *shown &= !hidden);
                classic.hidden = hidden;
            }
        }
        natives.push(Native { row, shown });
    }
    natives
}

/// Steps at which any of the rows has a float.
fn float_bits(rows: &Matrix, members: &[BucketRow]) -> Vec<u64> {
    let mut bits = vec![0; words(rows.step_count())];
    for member in members {
        let row = rows.row(member.row as usize);
        bits.iter_mut()
            .zip(row.histograms.floats(row.present))
            .for_each(|(bits, row)| *bits |= row);
    }
    bits
}

/// The metric's name as annotations show it: names that are dropped at once are not known.
fn name_of(labels: LabelsRef<'_>, delayed_names: bool) -> String {
    let name = if delayed_names { labels.metric_name() } else { b"" };
    String::from_utf8_lossy(name).into_owned()
}

struct Run<'a> {
    rows: &'a Matrix,
    histogram: &'a Histogram,
    grid: Grid,
    delayed_names: bool,
    annotations: &'a mut Annotations,
    buckets: Vec<Bucket>,
    block: StepBlock,
}

impl Run<'_> {
    async fn classic(
        &mut self,
        classic: &Classic,
        asked: Asked<'_>,
        labels: LabelsRef<'_>,
        turns: &impl Turns,
    ) -> Result<Row, ExecError> {
        let mut row = Row::default();
        row.reset(self.grid.step_count);
        let members = &classic.rows;
        for steps in blocks(self.grid.step_count, members.len()) {
            let rows = members.iter().map(|member| member.row);
            self.block.load(self.rows, rows, steps.clone(), false);
            for step in steps.clone() {
                let is_hidden = !classic.hidden.is_empty() && is_set(&classic.hidden, step);
                if !is_hidden && let Some(value) = self.classic_at(members, step, asked, labels) {
                    row.set(step, value);
                }
            }
            spend(turns, members.len() * steps.len()).await?;
        }
        Ok(row)
    }

    /// `None` where no bucket has a point.
    fn classic_at(
        &mut self,
        members: &[BucketRow],
        step: usize,
        asked: Asked<'_>,
        labels: LabelsRef<'_>,
    ) -> Option<f64> {
        // Those that have a point, equal bounds as one.
        self.buckets.clear();
        for (count, member) in self.block.at(step).iter() {
            let upper = members[member].upper;
            match self.buckets.last_mut() {
                Some(last) if last.upper == upper => last.count += count,
                _ => self.buckets.push(Bucket { upper, count }),
            }
        }
        if self.buckets.is_empty() {
            return None;
        }
        Some(match asked {
            Asked::Quantile(q) => {
                let (value, mended) = classic_histogram::quantile(q.at(step), &mut self.buckets);
                if let Some(mended) = mended {
                    let name = name_of(labels, self.delayed_names);
                    self.note(mended, self.grid.time_ms(step), &name);
                }
                value
            }
            Asked::Fraction(lower, upper) => {
                classic_histogram::fraction(lower.at(step), upper.at(step), &self.buckets)
            }
        })
    }

    fn native(&mut self, native: &Native, asked: Asked<'_>) -> Row {
        let mut row = Row::default();
        row.reset(self.grid.step_count);
        let rows = self.rows;
        for (step, histogram) in rows.histograms(native.row).iter() {
            if !is_set(&native.shown, step) {
                continue;
            }
            let (value, observed_nan) = match asked {
                Asked::Quantile(q) => native_histogram::quantile(q.at(step), histogram),
                Asked::Fraction(lower, upper) => {
                    native_histogram::fraction(lower.at(step), upper.at(step), histogram)
                }
            };
            row.set(step, value);
            if let Some(message) = observed_nan {
                let name = name_of(rows.labels(native.row), self.delayed_names);
                self.annotations.info(self.histogram.position, with_name(message, &name));
            }
        }
        row
    }

    fn note(&mut self, mended: Mended, time_ms: i64, name: &str) {
        let message = "input to histogram_quantile needed to be fixed for monotonicity (see \
                       https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        let message = with_name(message, name);
        let position = self.histogram.position;
        self.annotations.add(Annotation {
            monotonicity: Some(Monotonicity {
                min_ms: time_ms,
                max_ms: time_ms,
                min_bucket: mended.min_bucket,
                max_bucket: mended.max_bucket,
                diff_max: mended.diff_max,
                count: 1,
            }),
            ..Annotation::new(Severity::Info, position, message)
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
            result.push_row(labels, true, row.as_ref());
            return;
        };
        let mut with_value = |value: f64, row: &Row| {
            let mut builder = LabelsBuilder::from_labels(labels);
            let label = self.histogram.quantile_label.as_bytes();
            builder.set(label, open_metrics(value).as_bytes());
            result.push_row(builder.finish().as_ref(), true, row.as_ref());
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
