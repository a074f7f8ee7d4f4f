//! Rows whose labels became the same.

use crate::model::source::Turns;

use super::bits::{is_set, ones, set};
use super::error::{ExecError, same_labelset};
use super::label_table::{LabelIndex, LabelTable};
use super::matrix::Matrix;
use super::turn::spend;

/// What becomes of rows with the same labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// They are refused.
    Refused,
    /// They are one row, unless both have a point at one step: then they are refused.
    Merged,
}

/// Leaves one row per label set. O(rows); without an allocation per row.
pub async fn settle(
    matrix: Matrix,
    meeting: Meeting,
    turns: &impl Turns,
) -> Result<Matrix, ExecError> {
    let mut index = LabelIndex::default();
    let mut targets = Vec::with_capacity(matrix.row_count());
    for row in 0..matrix.row_count() {
        targets.push(index.intern(matrix.labels(row)).0);
        spend(turns, 1).await?;
    }
    if index.len() == matrix.row_count() {
        return Ok(matrix);
    }
    if meeting == Meeting::Refused {
        return Err(same_labelset());
    }
    let mut merged = Matrix::new(matrix.step_count());
    merged.is_ordered = matrix.is_ordered;
    for (row, target) in targets.into_iter().enumerate() {
        spend(turns, matrix.step_count()).await?;
        if target == merged.row_count() {
            merged.push_row(matrix.labels(row), matrix.drops_name(row), matrix.row(row));
            continue;
        }
        let (values, present) = merged.row_mut(target);
        for step in ones(matrix.present(row)) {
            if is_set(present, step) {
                return Err(same_labelset());
            }
            set(present, step);
            values[step] = matrix.values(row)[step];
        }
        for (step, histogram) in matrix.histograms(row).iter() {
            merged.set_histogram(target, step, histogram.clone());
        }
    }
    Ok(merged)
}

/// The rows with new labels: `rename` writes each row's into its buffer and says whether the name
/// is still to be dropped.
pub async fn rename(
    matrix: Matrix,
    turns: &impl Turns,
    mut rename: impl FnMut(&Matrix, usize, &mut LabelTable) -> bool,
) -> Result<Matrix, ExecError> {
    let mut labels = LabelTable::default();
    let mut drops_name = Vec::with_capacity(matrix.row_count());
    for row in 0..matrix.row_count() {
        drops_name.push(rename(&matrix, row, &mut labels));
        spend(turns, 1).await?;
    }
    Ok(matrix.with_labels(labels, drops_name))
}

/// Rows that are sorted at a stretch.
const SORT_ROWS: usize = 4096;

/// The rows in the order of their labels. O(rows log rows), in runs that are then merged.
pub async fn sort_by_labels(mut matrix: Matrix, turns: &impl Turns) -> Result<Matrix, ExecError> {
    let compare = |a: u32, b: u32| matrix.labels(a as usize).compare(matrix.labels(b as usize));
    let mut order: Vec<u32> = (0..matrix.row_count() as u32).collect();
    if order.is_sorted_by(|&a, &b| compare(a, b).is_le()) {
        return Ok(matrix);
    }
    for run in order.chunks_mut(SORT_ROWS) {
        run.sort_by(|&a, &b| compare(a, b));
        spend(turns, run.len()).await?;
    }
    let mut merged = Vec::with_capacity(order.len());
    let mut run_rows = SORT_ROWS;
    while run_rows < order.len() {
        merged.clear();
        for pair in order.chunks(2 * run_rows) {
            let (mut left, mut right) = pair.split_at(run_rows.min(pair.len()));
            while let (Some(&a), Some(&b)) = (left.first(), right.first()) {
                let side = if compare(a, b).is_le() { &mut left } else { &mut right };
                merged.push(side[0]);
                *side = &side[1..];
                spend(turns, 1).await?;
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(&mut order, &mut merged);
        run_rows *= 2;
    }
    matrix.permute(&order);
    Ok(matrix)
}
