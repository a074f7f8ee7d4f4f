//! Values of vectors over time: one row per series or group, one column per step.
//!
//! ```text
//! values       [row 0: step 0, step 1, … | row 1: … ]   f64, dense; what is no float holds anything
//! present      [row 0: bits of its steps | row 1: … ]   whole words a row
//! histograms   [row 0 | row 1 | … ]                     sparse; empty without any in the matrix
//! labels       canonical bytes a row                    drops_name: a flag a row
//! ```
//!
//! Between calls: all columns hold `row_count` rows; bits past the last step are zero; a row has
//! at least one point.
//!
//! A native histogram stands beside the floats: its point is present, and [`Histograms`] says that
//! it is none of them. So what is about points (sets, absence, counts) need not look there, and
//! what is about floats must.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{FloatHistogram, LabelsRef};

use super::histograms::{Histograms, NONE};
use super::label_table::LabelTable;

const WORD_BITS: usize = u64::BITS as usize;

/// Most cells for which there is room before there are rows.
const RESERVED_CELLS_MAX: usize = 8 << 20;

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

/// Sets the bits of some steps.
pub fn set_range(bits: &mut [u64], steps: Range<usize>) {
    for (index, word) in bits.iter_mut().enumerate() {
        let start = steps.start.max(index * WORD_BITS);
        let end = steps.end.min((index + 1) * WORD_BITS);
        if start < end {
            *word |= (u64::MAX >> (WORD_BITS - (end - start))) << (start % WORD_BITS);
        }
    }
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
    pub histograms: Histograms,
}

impl Row {
    /// A row of `step_count` absent points.
    pub fn reset(&mut self, step_count: usize) {
        self.values.resize(step_count, 0.0);
        self.present.clear();
        self.present.resize(words(step_count), 0);
        self.histograms.clear();
    }

    #[inline]
    pub fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        set(&mut self.present, step);
    }

    /// Puts a histogram where a float or nothing was.
    pub fn set_histogram(&mut self, step: usize, histogram: Arc<FloatHistogram>) {
        set(&mut self.present, step);
        self.histograms.insert(step, self.present.len(), histogram);
    }

    pub fn is_empty(&self) -> bool {
        !any(&self.present)
    }

    /// Leaves the floats and gives the histograms back.
    pub fn take_histograms(&mut self) -> Histograms {
        self.histograms.take_from(&mut self.present)
    }

    pub fn load(&mut self, row: RowRef<'_>) {
        self.values.clear();
        self.values.extend_from_slice(row.values);
        self.present.clear();
        self.present.extend_from_slice(row.present);
        self.histograms.clone_from(row.histograms);
    }

    pub fn as_ref(&self) -> RowRef<'_> {
        RowRef { values: &self.values, present: &self.present, histograms: &self.histograms }
    }
}

/// The points of a row, lent.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    pub values: &'a [f64],
    pub present: &'a [u64],
    pub histograms: &'a Histograms,
}

impl<'a> RowRef<'a> {
    /// Calls `f` with the step and value of every point that is a float.
    #[inline]
    pub fn for_each_float(self, mut f: impl FnMut(usize, f64)) {
        for step in ones(self.present).filter(|step| !self.histograms.holds(*step)) {
            f(step, self.values[step]);
        }
    }

    /// The float at `step`, if the point there is one.
    #[inline]
    pub fn float(self, step: usize) -> Option<f64> {
        let is_float = is_set(self.present, step) && !self.histograms.holds(step);
        is_float.then(|| self.values[step])
    }

    #[inline]
    pub fn histogram(self, step: usize) -> Option<&'a Arc<FloatHistogram>> {
        self.histograms.get(step)
    }

    /// Samples that its points count as.
    pub fn sample_count(self) -> usize {
        count(self.present) + self.histograms.extra_samples()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Matrix {
    step_count: usize,
    labels: LabelTable,
    drops_name: Vec<bool>,
    values: Vec<f64>,
    present: Vec<u64>,
    /// Empty while no row has any, else one for each row.
    histograms: Vec<Histograms>,
    /// Memory of the histograms; those that neighbours share count once.
    histogram_bytes: usize,
    /// The order of the rows is the result of `sort` or of a selection of the largest; otherwise
    /// it has no meaning.
    pub is_ordered: bool,
}

impl Matrix {
    pub fn new(step_count: usize) -> Matrix {
        Matrix { step_count, ..Matrix::default() }
    }

    /// Rows of floats whose columns were filled elsewhere. Rows without a point are left out of
    /// what [`Matrix::without_empty_rows`] gives.
    pub fn from_columns(
        step_count: usize,
        labels: LabelTable,
        drops_name: Vec<bool>,
        values: Vec<f64>,
        present: Vec<u64>,
    ) -> Matrix {
        let matrix =
            Matrix { step_count, labels, drops_name, values, present, ..Matrix::default() };
        matrix.assert_columns();
        matrix
    }

    /// The rows that have a point.
    pub fn without_empty_rows(self) -> Matrix {
        if (0..self.row_count()).all(|row| any(self.present(row))) {
            return self;
        }
        let kept: Vec<u32> =
            (0..self.row_count() as u32).filter(|&row| any(self.present(row as usize))).collect();
        self.select_rows(&kept)
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
    pub fn histograms(&self, row: usize) -> &Histograms {
        if self.histograms.is_empty() { &NONE } else { &self.histograms[row] }
    }

    #[inline]
    pub fn row(&self, row: usize) -> RowRef<'_> {
        RowRef {
            values: self.values(row),
            present: self.present(row),
            histograms: self.histograms(row),
        }
    }

    /// The columns of a row of floats, to be written to.
    #[inline]
    pub fn row_mut(&mut self, row: usize) -> (&mut [f64], &mut [u64]) {
        let words = words(self.step_count);
        (
            &mut self.values[row * self.step_count..][..self.step_count],
            &mut self.present[row * words..][..words],
        )
    }

    /// Puts a histogram where a float or nothing was.
    pub fn set_histogram(&mut self, row: usize, step: usize, histogram: Arc<FloatHistogram>) {
        let words = words(self.step_count);
        set(&mut self.present[row * words..][..words], step);
        self.histogram_bytes += histogram.prometheus_bytes();
        self.histograms_mut()[row].insert(step, words, histogram);
    }

    fn histograms_mut(&mut self) -> &mut Vec<Histograms> {
        let rows = self.row_count();
        self.histograms.resize_with(rows, Histograms::default);
        &mut self.histograms
    }

    /// Points and the room of absent ones.
    pub fn cell_count(&self) -> usize {
        self.values.len()
    }

    /// Memory of the columns and labels.
    pub fn bytes(&self) -> usize {
        let columns = size_of_val(&self.values[..]) + size_of_val(&self.present[..]);
        columns + self.labels.bytes() + self.histogram_bytes
    }

    /// Samples that the points of all rows count as.
    pub fn sample_count(&self) -> usize {
        count(&self.present) + self.histograms.iter().map(Histograms::extra_samples).sum::<usize>()
    }

    /// Adds a row; one without a point is left out.
    pub fn push_row(&mut self, labels: LabelsRef<'_>, drops_name: bool, row: RowRef<'_>) {
        assert!(row.values.len() == self.step_count);
        assert!(row.present.len() == words(self.step_count));
        if !any(row.present) {
            return;
        }
        self.labels.push(labels);
        self.drops_name.push(drops_name);
        self.values.extend_from_slice(row.values);
        self.present.extend_from_slice(row.present);
        if !row.histograms.is_empty() {
            let rows = self.row_count();
            self.histogram_bytes += row.histograms.bytes();
            self.histograms_mut()[rows - 1] = row.histograms.clone();
        } else if !self.histograms.is_empty() {
            self.histograms.push(Histograms::default());
        }
    }

    /// Adds the points of a row whose bit in `present` is set.
    pub fn push_masked(
        &mut self,
        labels: LabelsRef<'_>,
        drops_name: bool,
        row: RowRef<'_>,
        present: &[u64],
    ) {
        if row.histograms.is_empty() {
            self.push_row(labels, drops_name, RowRef { present, ..row });
        } else {
            let histograms = &row.histograms.masked(present);
            self.push_row(labels, drops_name, RowRef { present, histograms, ..row });
        }
    }

    /// Adds a row of absent points, for a caller that fills it.
    pub fn push_absent(&mut self, labels: LabelsRef<'_>, drops_name: bool) -> usize {
        self.labels.push(labels);
        self.drops_name.push(drops_name);
        self.values.resize(self.values.len() + self.step_count, 0.0);
        self.present.resize(self.present.len() + words(self.step_count), 0);
        if !self.histograms.is_empty() {
            self.histograms.push(Histograms::default());
        }
        self.row_count() - 1
    }

    /// Appends the rows of `other`, which has as many steps.
    pub fn append(&mut self, mut other: Matrix) {
        assert!(self.step_count == other.step_count);
        if self.is_empty() {
            *self = other;
            return;
        }
        if !self.histograms.is_empty() || !other.histograms.is_empty() {
            let more = std::mem::take(other.histograms_mut());
            self.histograms_mut().extend(more);
            self.histogram_bytes += other.histogram_bytes;
        }
        self.labels.append(&other.labels);
        self.drops_name.extend_from_slice(&other.drops_name);
        self.values.extend_from_slice(&other.values);
        self.present.extend_from_slice(&other.present);
    }

    /// Has room for so many rows, or as many as [`RESERVED_CELLS_MAX`] allows: a column that grows
    /// by itself is copied again and again. Room that is not used costs addresses, no memory.
    pub fn reserve(&mut self, row_count: usize) {
        let row_count = row_count.min(RESERVED_CELLS_MAX / self.step_count.max(1));
        self.values.reserve_exact(row_count * self.step_count);
        self.present.reserve_exact(row_count * words(self.step_count));
        self.drops_name.reserve_exact(row_count);
    }

    /// Puts the rows into the order named, which names each once. In place, O(cells).
    pub fn permute(&mut self, order: &[u32]) {
        assert!(order.len() == self.row_count());
        let mut labels = LabelTable::default();
        order.iter().for_each(|&row| labels.push(self.labels(row as usize)));
        self.labels = labels;
        self.drops_name = order.iter().map(|&row| self.drops_name[row as usize]).collect();
        if !self.histograms.is_empty() {
            let rows = &mut self.histograms;
            let taken = order.iter().map(|&row| std::mem::take(&mut rows[row as usize]));
            self.histograms = taken.collect();
        }
        permute_rows(&mut self.values, self.step_count, order);
        permute_rows(&mut self.present, words(self.step_count), order);
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
        if !self.histograms.is_empty() {
            let rows = rows.iter().map(|&row| self.histograms[row as usize].clone());
            selected.histograms = rows.collect();
            selected.histogram_bytes = selected.histograms.iter().map(Histograms::bytes).sum();
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
        assert!(self.histograms.is_empty() || self.histograms.len() == rows);
    }
}

/// Moves rows of `length` to where `order` wants them, along its cycles.
fn permute_rows<T: Copy>(cells: &mut [T], length: usize, order: &[u32]) {
    let mut is_done = vec![false; order.len()];
    let mut first = Vec::with_capacity(length);
    for start in 0..order.len() {
        if is_done[start] || order[start] as usize == start {
            continue;
        }
        first.clear();
        first.extend_from_slice(&cells[start * length..][..length]);
        let mut to = start;
        loop {
            is_done[to] = true;
            let from = order[to] as usize;
            if from == start {
                break;
            }
            cells.copy_within(from * length..(from + 1) * length, to * length);
            to = from;
        }
        cells[to * length..][..length].copy_from_slice(&first);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Matrix, RowRef, count, ones, set, set_all, words};
    use crate::exec::histograms::NONE;
    use crate::model::Labels;

    /// `count` rows whose labels, values and flags say which they are.
    fn rows(count: usize, step_count: usize) -> Matrix {
        let mut rows = Matrix::new(step_count);
        for row in 0..count {
            let labels = Labels::from_pairs([("row", row.to_string())]);
            let mut present = vec![0; words(step_count)];
            set(&mut present, row % step_count);
            let values = vec![row as f64; step_count];
            let points = RowRef { values: &values, present: &present, histograms: &NONE };
            rows.push_row(labels.as_ref(), row % 2 == 0, points);
        }
        rows
    }

    proptest! {
        #[test]
        fn rows_that_are_put_in_order_are_those_that_were_selected(
            order in Just((0u32..17).collect::<Vec<_>>()).prop_shuffle(),
            step_count in 1usize..70,
        ) {
            let mut permuted = rows(order.len(), step_count);
            permuted.permute(&order);
            let selected = rows(order.len(), step_count).select_rows(&order);
            for row in 0..order.len() {
                prop_assert_eq!(permuted.labels(row), selected.labels(row));
                prop_assert_eq!(permuted.drops_name(row), selected.drops_name(row));
                prop_assert_eq!(permuted.values(row), selected.values(row));
                prop_assert_eq!(permuted.present(row), selected.present(row));
            }
        }
    }

    #[test]
    fn ranges_of_bits() {
        for range in [0..0, 0..1, 3..3, 5..70, 0..64, 64..130, 63..65, 129..130] {
            let mut bits = vec![0; words(130)];
            super::set_range(&mut bits, range.clone());
            assert_eq!(ones(&bits).collect::<Vec<_>>(), range.collect::<Vec<_>>());
        }
    }

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
