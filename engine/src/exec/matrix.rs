//! Values of vectors over time: one row per series or group, one column per step.
//!
//! ```text
//! values    [row 0: step 0, step 1, … | row 1: … ]     f64, dense, absent points hold anything
//! present   [row 0: bits of its steps | row 1: … ]     whole words a row
//! labels    canonical bytes a row                       drops_name: a flag a row
//! ```
//!
//! Between calls: all columns hold `row_count` rows; bits past the last step are zero; a row has
//! at least one point.
//!
//! A native histogram will stand beside the floats as a sparse column keyed by (row, step), with
//! its point present here and a bit that says which kind it is.

use crate::model::LabelsRef;

use super::label_table::LabelTable;

const WORD_BITS: usize = u64::BITS as usize;

/// Words that hold a bit for each of `step_count` steps.
#[inline]
pub fn words(step_count: usize) -> usize {
    step_count.div_ceil(WORD_BITS)
}

#[inline]
pub fn is_set(bits: &[u64], step: usize) -> bool {
    bits[step / WORD_BITS] >> (step % WORD_BITS) & 1 == 1
}

#[inline]
pub fn set(bits: &mut [u64], step: usize) {
    bits[step / WORD_BITS] |= 1 << (step % WORD_BITS);
}

#[inline]
pub fn unset(bits: &mut [u64], step: usize) {
    bits[step / WORD_BITS] &= !(1 << (step % WORD_BITS));
}

/// Sets the bits of all steps.
pub fn set_all(bits: &mut [u64], step_count: usize) {
    bits.fill(u64::MAX);
    if let Some(last) = bits.last_mut()
        && !step_count.is_multiple_of(WORD_BITS)
    {
        *last = (1 << (step_count % WORD_BITS)) - 1;
    }
}

#[inline]
pub fn count(bits: &[u64]) -> usize {
    bits.iter().map(|word| word.count_ones() as usize).sum()
}

#[inline]
pub fn any(bits: &[u64]) -> bool {
    bits.iter().any(|&word| word != 0)
}

/// The steps whose bit is set, ascending.
#[inline]
pub fn ones(bits: &[u64]) -> impl Iterator<Item = usize> {
    bits.iter().enumerate().flat_map(|(index, &word)| {
        let mut rest = word;
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let step = index * WORD_BITS + rest.trailing_zeros() as usize;
            rest &= rest - 1;
            Some(step)
        })
    })
}

/// One row by itself: what the stages of a series work on, reused from series to series.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub values: Vec<f64>,
    pub present: Vec<u64>,
}

impl Row {
    /// A row of `step_count` absent points.
    pub fn reset(&mut self, step_count: usize) {
        self.values.resize(step_count, 0.0);
        self.present.clear();
        self.present.resize(words(step_count), 0);
    }

    #[inline]
    pub fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        set(&mut self.present, step);
    }

    pub fn is_empty(&self) -> bool {
        !any(&self.present)
    }

    pub fn load(&mut self, values: &[f64], present: &[u64]) {
        self.values.clear();
        self.values.extend_from_slice(values);
        self.present.clear();
        self.present.extend_from_slice(present);
    }
}

#[derive(Clone, Debug, Default)]
pub struct Matrix {
    step_count: usize,
    labels: LabelTable,
    drops_name: Vec<bool>,
    values: Vec<f64>,
    present: Vec<u64>,
    /// The order of the rows is the result of `sort` or of a selection of the largest; otherwise
    /// it has no meaning.
    pub is_ordered: bool,
}

impl Matrix {
    pub fn new(step_count: usize) -> Matrix {
        Matrix { step_count, ..Matrix::default() }
    }

    /// Rows whose columns were filled elsewhere; rows without a point vanish.
    pub fn from_columns(
        step_count: usize,
        labels: LabelTable,
        drops_name: Vec<bool>,
        values: Vec<f64>,
        present: Vec<u64>,
    ) -> Matrix {
        let mut matrix =
            Matrix { step_count, labels, drops_name, values, present, is_ordered: false };
        matrix.assert_columns();
        if (0..matrix.row_count()).any(|row| !any(matrix.present(row))) {
            let kept: Vec<u32> = (0..matrix.row_count() as u32)
                .filter(|&row| any(matrix.present(row as usize)))
                .collect();
            matrix = matrix.select_rows(&kept);
        }
        matrix
    }

    pub fn row_count(&self) -> usize {
        self.drops_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.drops_name.is_empty()
    }

    pub fn step_count(&self) -> usize {
        self.step_count
    }

    #[inline]
    pub fn labels(&self, row: usize) -> LabelsRef<'_> {
        self.labels.get(row)
    }

    /// The row's name is to be dropped at the end of the query.
    #[inline]
    pub fn drops_name(&self, row: usize) -> bool {
        self.drops_name[row]
    }

    #[inline]
    pub fn values(&self, row: usize) -> &[f64] {
        &self.values[row * self.step_count..][..self.step_count]
    }

    #[inline]
    pub fn present(&self, row: usize) -> &[u64] {
        let words = words(self.step_count);
        &self.present[row * words..][..words]
    }

    #[inline]
    pub fn row_mut(&mut self, row: usize) -> (&mut [f64], &mut [u64]) {
        let words = words(self.step_count);
        (
            &mut self.values[row * self.step_count..][..self.step_count],
            &mut self.present[row * words..][..words],
        )
    }

    #[inline]
    pub fn get(&self, row: usize, step: usize) -> Option<f64> {
        is_set(self.present(row), step).then(|| self.values(row)[step])
    }

    /// Points and the room of absent ones.
    pub fn cell_count(&self) -> usize {
        self.values.len()
    }

    /// Memory of the columns and labels.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.values[..]) + size_of_val(&self.present[..]) + self.labels.bytes()
    }

    /// Points of all rows.
    pub fn point_count(&self) -> usize {
        count(&self.present)
    }

    /// Adds a row; one without a point is left out.
    pub fn push_row(&mut self, labels: LabelsRef<'_>, drops_name: bool, row: &Row) {
        self.push_columns(labels, drops_name, &row.values, &row.present);
    }

    pub fn push_columns(
        &mut self,
        labels: LabelsRef<'_>,
        drops_name: bool,
        values: &[f64],
        present: &[u64],
    ) {
        assert!(values.len() == self.step_count);
        assert!(present.len() == words(self.step_count));
        if !any(present) {
            return;
        }
        self.labels.push(labels);
        self.drops_name.push(drops_name);
        self.values.extend_from_slice(values);
        self.present.extend_from_slice(present);
    }

    /// Adds a row of absent points, for a caller that fills it.
    pub fn push_absent(&mut self, labels: LabelsRef<'_>, drops_name: bool) -> usize {
        self.labels.push(labels);
        self.drops_name.push(drops_name);
        self.values.resize(self.values.len() + self.step_count, 0.0);
        self.present.resize(self.present.len() + words(self.step_count), 0);
        self.row_count() - 1
    }

    /// Appends the rows of `other`, which has as many steps.
    pub fn append(&mut self, other: Matrix) {
        assert!(self.step_count == other.step_count);
        if self.is_empty() {
            *self = other;
            return;
        }
        self.labels.append(&other.labels);
        self.drops_name.extend_from_slice(&other.drops_name);
        self.values.extend_from_slice(&other.values);
        self.present.extend_from_slice(&other.present);
    }

    /// The rows named, in that order.
    pub fn select_rows(&self, rows: &[u32]) -> Matrix {
        let mut selected = Matrix::new(self.step_count);
        selected.is_ordered = self.is_ordered;
        for &row in rows {
            let row = row as usize;
            selected.labels.push(self.labels(row));
            selected.drops_name.push(self.drops_name[row]);
            selected.values.extend_from_slice(self.values(row));
            selected.present.extend_from_slice(self.present(row));
        }
        selected
    }

    /// The same rows under other labels.
    pub fn with_labels(self, labels: LabelTable, drops_name: Vec<bool>) -> Matrix {
        let matrix = Matrix { labels, drops_name, ..self };
        matrix.assert_columns();
        matrix
    }

    fn assert_columns(&self) {
        let rows = self.row_count();
        assert!(self.labels.len() == rows);
        assert!(self.values.len() == rows * self.step_count);
        assert!(self.present.len() == rows * words(self.step_count));
    }
}

#[cfg(test)]
mod tests {
    use super::{count, ones, set, set_all, words};

    #[test]
    fn bits_past_the_last_step_are_zero() {
        for step_count in [0, 1, 63, 64, 65, 130] {
            let mut bits = vec![0; words(step_count)];
            set_all(&mut bits, step_count);
            assert_eq!(count(&bits), step_count);
            assert_eq!(ones(&bits).collect::<Vec<_>>(), (0..step_count).collect::<Vec<_>>());
        }
        let mut bits = vec![0; 2];
        set(&mut bits, 70);
        assert_eq!(ones(&bits).collect::<Vec<_>>(), [70]);
    }
}
