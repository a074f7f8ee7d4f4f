//! Rows whose labels became the same.

use crate::plan::grid::Grid;

use super::error::{ExecError, same_labelset};
use super::label_table::{LabelIndex, LabelTable};
use super::matrix::{Matrix, is_set, ones, set};

/// What becomes of rows with the same labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// They are refused.
    Refused,
    /// They are one row, unless both have a point at one step: then they are refused.
    Merged,
}

/// Leaves one row per label set. O(rows); without an allocation per row.
pub fn settle(matrix: Matrix, meeting: Meeting) -> Result<Matrix, ExecError> {
    let mut index = LabelIndex::default();
    let mut targets = Vec::with_capacity(matrix.row_count());
    for row in 0..matrix.row_count() {
        targets.push(index.intern(matrix.labels(row)).0);
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
        if target == merged.row_count() {
            let labels = matrix.labels(row);
            merged.push_columns(
                labels,
                matrix.drops_name(row),
                matrix.values(row),
                matrix.present(row),
            );
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
    }
    Ok(merged)
}

/// The rows with new labels: `rename` writes each row's into its buffer and says whether the name
/// is still to be dropped.
pub fn rename(
    matrix: Matrix,
    mut rename: impl FnMut(&Matrix, usize, &mut LabelTable) -> bool,
) -> Matrix {
    let mut labels = LabelTable::default();
    let mut drops_name = Vec::with_capacity(matrix.row_count());
    for row in 0..matrix.row_count() {
        drops_name.push(rename(&matrix, row, &mut labels));
    }
    matrix.with_labels(labels, drops_name)
}

/// One row without labels: a scalar as a vector.
pub fn row_of_scalar(grid: Grid, values: &[f64]) -> Matrix {
    let mut matrix = Matrix::new(grid.step_count);
    if grid.step_count > 0 {
        let row = matrix.push_absent(crate::model::LabelsRef::EMPTY, false);
        let (out, present) = matrix.row_mut(row);
        out.copy_from_slice(values);
        super::matrix::set_all(present, grid.step_count);
    }
    matrix
}
