//! Between scalars and vectors, between one step and many.

use crate::model::LabelsRef;
use crate::plan::grid::Grid;

use super::bits::{ones, set_all};
use super::matrix::Matrix;
use super::row::Row;

/// One row without labels: a scalar as a vector.
pub fn row_of_scalar(grid: Grid, values: &[f64]) -> Matrix {
    let mut matrix = Matrix::new(grid.step_count);
    if grid.step_count > 0 {
        let row = matrix.push_absent(LabelsRef::EMPTY, false);
        let (out, present) = matrix.row_mut(row);
        out.copy_from_slice(values);
        set_all(present, grid.step_count);
    }
    matrix
}

/// The value of the only row with a float at each step, NaN where there is none or several.
pub fn single_values(rows: &Matrix) -> Vec<f64> {
    let mut values = vec![f64::NAN; rows.step_count()];
    let mut counts = vec![0u32; rows.step_count()];
    for row in 0..rows.row_count() {
        let row = rows.row(row);
        for step in ones(row.present).filter(|step| !row.histograms.holds(*step)) {
            counts[step] += 1;
            values[step] = if counts[step] == 1 { row.values[step] } else { f64::NAN };
        }
    }
    values
}

/// The single step of `rows`, `step_count` times.
pub fn repeat_step(rows: &Matrix, step_count: usize) -> Matrix {
    let mut repeated = Matrix::new(step_count);
    repeated.is_ordered = rows.is_ordered;
    if step_count == 0 {
        return repeated;
    }
    for row in 0..rows.row_count() {
        let index = repeated.push_absent(rows.labels(row), rows.drops_name(row));
        let (values, present) = repeated.row_mut(index);
        values.fill(rows.values(row)[0]);
        set_all(present, step_count);
        if let Some(histogram) = rows.histograms(row).get(0) {
            (0..step_count).for_each(|step| repeated.set_histogram(index, step, histogram.clone()));
        }
    }
    repeated
}

/// One row that is 1 where no row has a point.
pub fn absent(rows: &Matrix, labels: LabelsRef<'_>) -> Matrix {
    let step_count = rows.step_count();
    let mut row = Row::default();
    row.reset(step_count);
    row.values.fill(1.0);
    set_all(&mut row.present, step_count);
    for index in 0..rows.row_count() {
        row.present.iter_mut().zip(rows.present(index)).for_each(|(bits, there)| *bits &= !there);
    }
    let mut result = Matrix::new(step_count);
    result.push_row(labels, true, row.as_ref());
    result
}
