//! Values of vectors over time: one row per series or group, one column per step.
//!
//! ```text
//! values       [place 0: step 0, step 1, … | place 1: … ]   f64, dense; what is no float holds anything
//! present      [place 0: bits of its steps | place 1: … ]   whole words a row
//! places       which columns a row's cells lie in, and where; empty while they lie in order
//! histograms   [row 0 | row 1 | … ]                         sparse; empty without any in the matrix
//! labels       canonical bytes a row                        drops_name: a flag a row
//! ```
//!
//! What shards answer is put together and put in order without a copy of a cell: the columns of each
//! stay as they are, and the places say where the rows are.
//!
//! Between calls: every row has a place, and no two have the same; bits past the last step are zero; a
//! row has at least one point.
//!
//! A native histogram stands beside the floats: its point is present, and [`Histograms`] says that
//! it is none of them. So what is about points (sets, absence, counts) need not look there, and
//! what is about floats must.

use std::sync::Arc;

use crate::model::{FloatHistogram, LabelsRef};

use super::bits::{any, count, set, words};
use super::histograms::{Histograms, NONE};
use super::label_table::LabelTable;
use super::row::RowRef;

/// Most cells for which there is room before there are rows.
pub const RESERVED_CELLS_MAX: usize = 8 << 20;

#[derive(Clone, Debug)]
pub struct Matrix {
    step_count: usize,
    labels: LabelTable,
    drops_name: Vec<bool>,
    /// At least one.
    columns: Vec<Columns>,
    /// By row; empty while all lie in the only columns, in their order.
    places: Vec<Place>,
    /// Empty while no row has any, else one for each row.
    histograms: Vec<Histograms>,
    /// Memory of the histograms; those that neighbours share count once.
    histogram_bytes: usize,
    /// The order of the rows is the result of `sort` or of a selection of the largest; otherwise
    /// it has no meaning.
    pub is_ordered: bool,
}

#[derive(Clone, Debug, Default)]
struct Columns {
    values: Vec<f64>,
    present: Vec<u64>,
    row_count: usize,
}

/// Where a row's cells lie.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Which columns.
    pub columns: u32,
    pub row: u32,
}

impl Matrix {
    pub fn new(step_count: usize) -> Matrix {
        Matrix {
            step_count,
            labels: LabelTable::default(),
            drops_name: Vec::new(),
            columns: vec![Columns::default()],
            places: Vec::new(),
            histograms: Vec::new(),
            histogram_bytes: 0,
            is_ordered: false,
        }
    }

    /// Rows of floats whose columns, values and bits, were filled elsewhere; not all that lies in
    /// them need have a place. Rows without a point are left out of what
    /// [`Matrix::without_empty_rows`] gives.
    pub fn from_columns(
        step_count: usize,
        labels: LabelTable,
        drops_name: Vec<bool>,
        columns: Vec<(Vec<f64>, Vec<u64>)>,
        places: Vec<Place>,
    ) -> Matrix {
        let words = words(step_count).max(1);
        let columns = columns.into_iter().map(|(values, present)| {
            let row_count = present.len() / words;
            Columns { values, present, row_count }
        });
        let columns = columns.collect();
        let matrix = Matrix { labels, drops_name, columns, places, ..Matrix::new(step_count) };
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
    fn place(&self, row: usize) -> Place {
        match self.places.get(row) {
            Some(place) => *place,
            None => Place { columns: 0, row: row as u32 },
        }
    }

    #[inline]
    pub fn values(&self, row: usize) -> &[f64] {
        let Place { columns, row } = self.place(row);
        let values = &self.columns[columns as usize].values;
        &values[row as usize * self.step_count..][..self.step_count]
    }

    #[inline]
    pub fn present(&self, row: usize) -> &[u64] {
        let Place { columns, row } = self.place(row);
        let words = words(self.step_count);
        &self.columns[columns as usize].present[row as usize * words..][..words]
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
        let Place { columns, row } = self.place(row);
        let (steps, words) = (self.step_count, words(self.step_count));
        let Columns { values, present, .. } = &mut self.columns[columns as usize];
        let row = row as usize;
        (&mut values[row * steps..][..steps], &mut present[row * words..][..words])
    }

    /// Puts a histogram where a float or nothing was.
    pub fn set_histogram(&mut self, row: usize, step: usize, histogram: Arc<FloatHistogram>) {
        set(self.row_mut(row).1, step);
        self.histogram_bytes += histogram.prometheus_bytes();
        let words = words(self.step_count);
        self.histograms_mut()[row].insert(step, words, histogram);
    }

    fn histograms_mut(&mut self) -> &mut Vec<Histograms> {
        let rows = self.row_count();
        self.histograms.resize_with(rows, Histograms::default);
        &mut self.histograms
    }

    /// Points and the room of absent ones.
    pub fn cell_count(&self) -> usize {
        self.row_count() * self.step_count
    }

    /// Memory of the columns and labels.
    pub fn bytes(&self) -> usize {
        let bytes = |columns: &Columns| {
            size_of_val(&columns.values[..]) + size_of_val(&columns.present[..])
        };
        let columns: usize = self.columns.iter().map(bytes).sum();
        let places = size_of_val(&self.places[..]);
        columns + places + self.labels.bytes() + self.histogram_bytes
    }

    /// Samples that the points of all rows count as.
    pub fn sample_count(&self) -> usize {
        let points: usize = (0..self.row_count()).map(|row| count(self.present(row))).sum();
        points + self.histograms.iter().map(Histograms::extra_samples).sum::<usize>()
    }

    /// The columns that take the next row, whose label and flag are there already.
    fn columns_of_next(&mut self) -> &mut Columns {
        let last = self.columns.len() - 1;
        let columns = &mut self.columns[last];
        if !self.places.is_empty() {
            self.places.push(Place { columns: last as u32, row: columns.row_count as u32 });
        }
        columns.row_count += 1;
        columns
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
        let columns = self.columns_of_next();
        columns.values.extend_from_slice(row.values);
        columns.present.extend_from_slice(row.present);
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
        let (steps, words) = (self.step_count, words(self.step_count));
        let columns = self.columns_of_next();
        columns.values.resize(columns.values.len() + steps, 0.0);
        columns.present.resize(columns.present.len() + words, 0);
        if !self.histograms.is_empty() {
            self.histograms.push(Histograms::default());
        }
        self.row_count() - 1
    }

    /// Appends the rows of `other`, which has as many steps. O(rows); no cell is copied.
    pub fn append(&mut self, mut other: Matrix) {
        assert!(self.step_count == other.step_count);
        if self.is_empty() {
            *self = other;
            return;
        }
        if other.is_empty() {
            return;
        }
        let columns = self.columns.len() as u32;
        let own: Vec<Place> = (0..self.row_count()).map(|row| self.place(row)).collect();
        self.places = own;
        self.places.extend((0..other.row_count()).map(|row| {
            let place = other.place(row);
            Place { columns: columns + place.columns, ..place }
        }));
        self.columns.append(&mut other.columns);
        if !self.histograms.is_empty() || !other.histograms.is_empty() {
            let more = std::mem::take(other.histograms_mut());
            self.histograms_mut().extend(more);
            self.histogram_bytes += other.histogram_bytes;
        }
        self.labels.append(&other.labels);
        self.drops_name.extend_from_slice(&other.drops_name);
    }

    /// Has room for so many rows, or as many as [`RESERVED_CELLS_MAX`] allows: a column that grows
    /// by itself is copied again and again. Room that is not used costs addresses, no memory.
    pub fn reserve(&mut self, row_count: usize) {
        let row_count = row_count.min(RESERVED_CELLS_MAX / self.step_count.max(1));
        let (steps, words) = (self.step_count, words(self.step_count));
        let columns = self.columns.last_mut().expect("there is at least one");
        columns.values.reserve_exact(row_count * steps);
        columns.present.reserve_exact(row_count * words);
        self.drops_name.reserve_exact(row_count);
    }

    /// Puts the rows into the order named, which names each once. O(rows); no cell is moved.
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
        self.places = order.iter().map(|&row| self.place(row as usize)).collect();
    }

    /// The rows named, in that order.
    pub fn select_rows(&self, rows: &[u32]) -> Matrix {
        let mut selected = Matrix::new(self.step_count);
        selected.is_ordered = self.is_ordered;
        for &row in rows {
            let row = row as usize;
            selected.labels.push(self.labels(row));
            selected.drops_name.push(self.drops_name[row]);
            let columns = selected.columns_of_next();
            columns.values.extend_from_slice(self.values(row));
            columns.present.extend_from_slice(self.present(row));
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
        for Columns { values, present, row_count } in &self.columns {
            assert!(values.len() == row_count * self.step_count);
            assert!(present.len() == row_count * words(self.step_count));
        }
        if self.places.is_empty() {
            assert!(self.columns.len() == 1 && self.columns[0].row_count == rows);
        } else {
            assert!(self.places.len() == rows);
        }
        assert!(self.histograms.is_empty() || self.histograms.len() == rows);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::{Matrix, RowRef, set, words};
    use crate::exec::histograms::NONE;
    use crate::model::Labels;

    /// Rows whose labels, values and flags say which they are.
    fn rows(numbers: Range<usize>, step_count: usize) -> Matrix {
        let mut rows = Matrix::new(step_count);
        push_rows(&mut rows, numbers);
        rows
    }

    #[track_caller]
    fn assert_same(rows: &Matrix, expected: &Matrix) {
        assert_eq!(rows.row_count(), expected.row_count());
        for row in 0..rows.row_count() {
            assert_eq!(rows.labels(row), expected.labels(row));
            assert_eq!(rows.drops_name(row), expected.drops_name(row));
            assert_eq!(rows.values(row), expected.values(row));
            assert_eq!(rows.present(row), expected.present(row));
        }
    }

    fn push_rows(rows: &mut Matrix, numbers: Range<usize>) {
        let step_count = rows.step_count();
        for row in numbers {
            let labels = Labels::from_pairs([("row", row.to_string())]);
            let mut present = vec![0; words(step_count)];
            set(&mut present, row % step_count);
            let values = vec![row as f64; step_count];
            let points = RowRef { values: &values, present: &present, histograms: &NONE };
            rows.push_row(labels.as_ref(), row % 2 == 0, points);
        }
    }

    proptest! {
        #[test]
        fn rows_that_are_put_in_order_are_those_that_were_selected(
            order in Just((0u32..17).collect::<Vec<_>>()).prop_shuffle(),
            step_count in 1usize..70,
        ) {
            let mut permuted = rows(0..order.len(), step_count);
            permuted.permute(&order);
            let selected = rows(0..order.len(), step_count).select_rows(&order);
            assert_same(&permuted, &selected);
        }

        #[test]
        fn rows_that_were_put_together_are_those_that_were_pushed(
            cuts in prop::array::uniform4(0usize..9),
            order in Just((0u32..10).collect::<Vec<_>>()).prop_shuffle(),
            step_count in 1usize..70,
        ) {
            let [first, second, third, more] = cuts;
            let (second, third) = (first + second, first + second + third);
            let mut together = rows(0..first, step_count);
            let mut other = rows(first..second, step_count);
            other.append(rows(second..third, step_count));
            together.append(other);
            push_rows(&mut together, third..third + more);
            let pushed = rows(0..third + more, step_count);
            assert_same(&together, &pushed);
            prop_assert_eq!(together.cell_count(), pushed.cell_count());
            prop_assert_eq!(together.sample_count(), pushed.sample_count());
            let order: Vec<u32> = order.into_iter().filter(|row| (*row as usize) < pushed.row_count()).collect();
            let mut chosen = together.select_rows(&order);
            assert_same(&chosen, &pushed.select_rows(&order));
            chosen.permute(&(0..order.len() as u32).rev().collect::<Vec<_>>());
            chosen.append(together);
            for row in 0..chosen.row_count() {
                let (values, _) = chosen.row_mut(row);
                values.fill(row as f64);
            }
            for row in 0..chosen.row_count() {
                prop_assert_eq!(chosen.values(row), vec![row as f64; step_count]);
            }
        }
    }
}
