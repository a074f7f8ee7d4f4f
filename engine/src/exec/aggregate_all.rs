//! Aggregations over rows that are all here: all operators.
//!
//! Those whose groups merge are done by [`GroupColumns`], as on the shards. The others need every
//! row of a group at a step: `quantile`, `topk`, `bottomk`, `limitk`, `limit_ratio`,
//! `count_values`.
//!
//! Source: Prometheus `promql/engine.go`, `rangeEvalAgg`, `aggregationK`,
//! `aggregationCountValues`.

use crate::model::LabelsBuilder;
use crate::model::quote::push_quoted_bytes;
use crate::model::source::Turns;
use crate::plan::part::{Aggregate, Grouping, Param};
use crate::promql::ast::AggregateOp;

use super::aggregate::{GroupColumns, GroupedSeries};
use super::annotations::Annotations;
use super::best::{Best, better};
use super::bits::{is_set, ones, set, words};
use super::error::ExecError;
use super::format::{plain, shortest_g};
use super::functions::quantile::{quantile, warn_invalid};
use super::label_table::{Dropped, LabelIndex, project};
use super::matrix::Matrix;
use super::ratio;
use super::row::Row;
use super::step_block::{StepBlock, blocks};
use super::turn::spend;

pub async fn run(
    rows: &Matrix,
    aggregate: &Aggregate,
    annotations: &mut Annotations,
    turns: &impl Turns,
) -> Result<Matrix, ExecError> {
    use AggregateOp::*;
    // Without a step nobody looks at the parameter.
    let asks = matches!(aggregate.op, Quantile | Topk | Bottomk | Limitk | LimitRatio);
    if asks && rows.step_count() == 0 {
        return Ok(Matrix::new(0));
    }
    match aggregate.op {
        CountValues => count_values(rows, aggregate, turns).await,
        Quantile => quantiles(rows, aggregate, annotations, turns).await,
        Topk | Bottomk | Limitk | LimitRatio => select(rows, aggregate, annotations, turns).await,
        op => {
            let grouping = aggregate.grouping.clone();
            let position = aggregate.child_position;
            let mut groups = GroupColumns::new(op, grouping, rows.step_count());
            for row in 0..rows.row_count() {
                let labels = rows.labels(row);
                let (drops_name, row) = (rows.drops_name(row), rows.row(row));
                let series = GroupedSeries { labels, dropped: Dropped::Nothing, drops_name };
                groups.add_row(series, row, annotations, position);
                spend(turns, rows.step_count()).await?;
            }
            Ok(groups.finish(annotations, position))
        }
    }
}

/// The rows of every group, and the groups' labels in the order in which they were met.
fn groups(rows: &Matrix, grouping: &Grouping) -> (LabelIndex, Vec<Vec<u32>>) {
    let mut index = LabelIndex::default();
    let mut members: Vec<Vec<u32>> = Vec::new();
    let mut bytes = Vec::new();
    for row in 0..rows.row_count() {
        let (group, is_new) =
            index.intern(project(rows.labels(row), Dropped::Nothing, grouping, &mut bytes));
        if is_new {
            members.push(Vec::new());
        }
        members[group].push(row as u32);
    }
    (index, members)
}

/// The extremes of a parameter over the steps; NaN if any step's is.
fn param_bounds(param: &Param) -> (f64, f64) {
    match param {
        Param::Number(value) => (*value, *value),
        Param::Column(values) => values.iter().fold((f64::MAX, f64::MIN), |(min, max), &value| {
            if value.is_nan() || min.is_nan() {
                (f64::NAN, f64::NAN)
            } else {
                (min.min(value), max.max(value))
            }
        }),
        Param::Node(node) => panic!("{node:?} must be evaluated before it is used"),
    }
}

fn param(aggregate: &Aggregate) -> &Param {
    aggregate.param.as_ref().expect("the parser asks for a parameter")
}

async fn quantiles(
    rows: &Matrix,
    aggregate: &Aggregate,
    annotations: &mut Annotations,
    turns: &impl Turns,
) -> Result<Matrix, ExecError> {
    let param = param(aggregate);
    let (min, max) = param_bounds(param);
    let position = aggregate.param_position;
    if min.is_nan() {
        warn_invalid(annotations, f64::NAN, position);
    }
    if max > 1.0 {
        warn_invalid(annotations, max, position);
    }
    if min < 0.0 {
        warn_invalid(annotations, min, position);
    }
    if has_histograms(rows) {
        annotations.ignored_in_aggregation(aggregate.op.as_str(), aggregate.child_position);
    }
    let (index, members) = groups(rows, &aggregate.grouping);
    let mut result = Matrix::new(rows.step_count());
    result.reserve(members.len());
    let (mut row, mut block) = (Row::default(), StepBlock::default());
    for (group, members) in members.iter().enumerate() {
        row.reset(rows.step_count());
        for steps in blocks(rows.step_count(), members.len()) {
            block.load(rows, members.iter().copied(), steps.clone(), false);
            for step in steps.clone() {
                let values = block.at(step).values;
                if !values.is_empty() {
                    row.set(step, quantile(param.at(step), values));
                }
            }
            spend(turns, members.len() * steps.len()).await?;
        }
        let drops_name = members.iter().any(|&member| rows.drops_name(member as usize));
        result.push_row(index.get(group), drops_name, row.as_ref());
    }
    Ok(result)
}

/// Most points of a step that are found row by row.
const FEW: usize = 32;

fn has_histograms(rows: &Matrix) -> bool {
    (0..rows.row_count()).any(|row| !rows.histograms(row).is_empty())
}

/// Rows of which some points are chosen: the largest, the first, or a share.
async fn select(
    rows: &Matrix,
    aggregate: &Aggregate,
    annotations: &mut Annotations,
    turns: &impl Turns,
) -> Result<Matrix, ExecError> {
    let param = param(aggregate);
    let op = aggregate.op;
    if !check_selection(aggregate, annotations)? {
        return Ok(Matrix::new(rows.step_count()));
    }
    let compares = matches!(op, AggregateOp::Topk | AggregateOp::Bottomk);
    if compares && has_histograms(rows) {
        annotations.ignored_in_aggregation(op.as_str(), aggregate.position);
    }
    let words = words(rows.step_count());
    let mut chosen = vec![0u64; rows.row_count() * words];
    let mut order = Vec::new();
    let mut choose = |step: usize, best: &[(f64, u32)]| {
        for &(_, row) in best {
            set(&mut chosen[row as usize * words..][..words], step);
        }
        if rows.step_count() == 1 {
            order.extend(best.iter().map(|&(_, row)| row));
        }
    };
    let is_largest = op == AggregateOp::Topk;
    let (mut block, mut candidates) = (StepBlock::default(), Vec::<(f64, u32)>::new());
    let (_, members) = groups(rows, &aggregate.grouping);
    for members in &members {
        let wanted = |step| (param.at(step) as i64).clamp(0, members.len() as i64) as usize;
        let all_wanted = (0..rows.step_count()).map(wanted);
        if compares && all_wanted.clone().max() <= Some(FEW) {
            let mut best = Best::new(is_largest, all_wanted);
            for &member in members {
                best.add_row(member, rows.row(member as usize));
                spend(turns, rows.step_count()).await?;
            }
            for step in 0..rows.step_count() {
                candidates.clear();
                candidates.extend_from_slice(best.at(step));
                candidates.sort_unstable_by(|a, b| better(is_largest, a, b));
                choose(step, &candidates);
            }
            continue;
        }
        for steps in blocks(rows.step_count(), members.len()) {
            block.load(rows, members.iter().copied(), steps.clone(), !compares);
            for step in steps {
                let points = block.at(step);
                candidates.clear();
                candidates.extend(points.iter().map(|(value, index)| (value, members[index])));
                match op {
                    AggregateOp::LimitRatio => {
                        let share = param.at(step);
                        candidates
                            .retain(|&(_, row)| ratio::is_in(share, rows.labels(row as usize)));
                    }
                    AggregateOp::Limitk => candidates.truncate(wanted(step)),
                    _ => leave_best(is_largest, wanted(step), &mut candidates),
                }
                choose(step, &candidates);
                spend(turns, members.len()).await?;
            }
        }
    }
    if rows.step_count() == 1 {
        let mut result = rows.select_rows(&order);
        result.is_ordered = matches!(op, AggregateOp::Topk | AggregateOp::Bottomk);
        return Ok(result);
    }
    let mut result = Matrix::new(rows.step_count());
    for row in 0..rows.row_count() {
        let present = &chosen[row * words..][..words];
        result.push_masked(rows.labels(row), rows.drops_name(row), rows.row(row), present);
    }
    Ok(result)
}

/// Whether anything can be chosen; refuses parameters that are no count.
fn check_selection(
    aggregate: &Aggregate,
    annotations: &mut Annotations,
) -> Result<bool, ExecError> {
    let refuse = |message: String| Err(ExecError::Evaluation(message));
    let (min, max) = param_bounds(param(aggregate));
    if aggregate.op == AggregateOp::LimitRatio {
        if min == 0.0 && max == 0.0 {
            return Ok(false);
        }
        if min.is_nan() {
            return refuse("Ratio value is NaN".to_owned());
        }
        for (value, bound) in [(max, 1.0), (min, -1.0)] {
            if value.abs() > 1.0 && (value > 0.0) == (bound > 0.0) {
                annotations.warn(
                    aggregate.param_position,
                    format!(
                        "ratio value should be between -1 and 1, got {}, capping to {bound}",
                        shortest_g(value)
                    ),
                );
            }
        }
        return Ok(true);
    }
    if max < 1.0 {
        return Ok(false);
    }
    if min.is_nan() {
        return refuse("Parameter value is NaN".to_owned());
    }
    // The bounds of what Prometheus converts to an integer.
    if min <= -9_223_372_036_854_775_808.0 {
        return refuse(format!("Scalar value {} underflows int64", shortest_g(min)));
    }
    if max >= 9_223_372_036_854_774_784.0 {
        return refuse(format!("Scalar value {} overflows int64", shortest_g(max)));
    }
    Ok(true)
}

/// Leaves the `k` best candidates, in their order.
fn leave_best(is_largest: bool, k: usize, candidates: &mut Vec<(f64, u32)>) {
    let better = |a: &(f64, u32), b: &(f64, u32)| better(is_largest, a, b);
    if 0 < k && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, better);
    }
    candidates.truncate(k);
    candidates.sort_unstable_by(better);
}

async fn count_values(
    rows: &Matrix,
    aggregate: &Aggregate,
    turns: &impl Turns,
) -> Result<Matrix, ExecError> {
    let label = match std::str::from_utf8(&aggregate.value_label) {
        Ok(label) if !label.is_empty() => label,
        _ => {
            let mut message = String::from("invalid label name ");
            push_quoted_bytes(&mut message, &aggregate.value_label);
            return Err(ExecError::Evaluation(message));
        }
    };
    let mut grouping = aggregate.grouping.clone();
    if !grouping.without {
        grouping.labels.push(label.into());
        grouping = Grouping::new(&grouping.labels, false);
    }
    let mut index = LabelIndex::default();
    let mut counts = Matrix::new(rows.step_count());
    let mut bytes = Vec::new();
    for row in 0..rows.row_count() {
        spend(turns, rows.step_count()).await?;
        let mut builder = LabelsBuilder::from_labels(rows.labels(row));
        // A series keeps its values for long: the group of the previous point often is the next's.
        let mut previous: Option<(u64, usize)> = None;
        let histograms = rows.histograms(row);
        for step in ones(rows.present(row)) {
            let value = rows.values(row)[step];
            let histogram = histograms.get(step);
            let group = match previous {
                Some((bits, group)) if bits == value.to_bits() && histogram.is_none() => group,
                _ => {
                    let text = match histogram {
                        Some(histogram) => histogram.to_string(),
                        None => plain(value),
                    };
                    builder.set(label.as_bytes(), text.as_bytes());
                    let labels = builder.finish();
                    let group_labels =
                        project(labels.as_ref(), Dropped::Nothing, &grouping, &mut bytes);
                    let (group, is_new) = index.intern(group_labels);
                    if is_new {
                        counts.push_absent(group_labels, false);
                    }
                    group
                }
            };
            previous = histogram.is_none().then_some((value.to_bits(), group));
            let (counted, present) = counts.row_mut(group);
            counted[step] = if is_set(present, step) { counted[step] + 1.0 } else { 1.0 };
            set(present, step);
        }
    }
    Ok(counts)
}
