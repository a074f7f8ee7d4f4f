//! Binary operators between two vectors: which rows meet, and what comes of each pair.
//!
//! Rows are matched once, by hashing the labels they match on; after that a pair is a loop over
//! its steps. Prometheus matches at every step, and so may refuse at one: rows of the same labels
//! are refused here where they have a point at the same step, as there.
//!
//! Source: Prometheus `promql/engine.go`, `VectorBinop`, `resultMetric`, `VectorAnd`, `VectorOr`,
//! `VectorUnless`.

use crate::model::source::Turns;
use crate::model::{Labels, LabelsBuilder, LabelsRef};
use crate::plan::node::Binary;
use crate::plan::part::changes_metric;
use crate::promql::ast::{BinaryOp, Card, VectorMatching};

use super::annotations::Annotations;
use super::bits::{any, is_set, ones, set, words};
use super::elementwise::{arithmetic, comparison};
use super::error::{ExecError, same_labelset};
use super::histogram_binary::{Combined, Point, combine};
use super::label_table::{LabelIndex, filter, is_reserved, names_hold};
use super::matrix::Matrix;
use super::merge_rows::{Meeting, settle};
use super::row::RowRef;
use super::turn::spend;

/// The result of `lhs op rhs`. O(rows + points).
pub async fn run(
    lhs: &Matrix,
    rhs: &Matrix,
    binary: &Binary,
    delayed_names: bool,
    annotations: &mut Annotations,
    turns: &impl Turns,
) -> Result<Matrix, ExecError> {
    let mut signatures = Signatures::new(&binary.matching);
    let of_lhs = signatures.of_rows(lhs, turns).await?;
    let of_rhs = signatures.of_rows(rhs, turns).await?;
    let count = signatures.index.len();
    if binary.op.is_set() {
        let result = set_operation(binary.op, (lhs, &of_lhs), (rhs, &of_rhs), count);
        return settle(result, Meeting::Merged, turns).await;
    }
    // One-to-many is many-to-one from the other side; values are swapped back in `Join::value`.
    let swapped = binary.matching.card == Card::OneToMany;
    let (many, of_many, one, of_one) =
        if swapped { (rhs, of_rhs, lhs, of_lhs) } else { (lhs, of_lhs, rhs, of_rhs) };
    let mut join = Join {
        many,
        one,
        of_many,
        of_one,
        binary,
        delayed_names,
        swapped,
        annotations,
        matched: vec![0; count * words(lhs.step_count())],
        active: active_steps(lhs, rhs, &binary.matching),
        out: Output::new(lhs.step_count()),
    };
    if !binary.op.is_comparison() || binary.return_bool {
        join.out.matrix.reserve(many.row_count());
    }
    join.run(count, turns).await?;
    let mut result = join.out.finish();
    result.is_ordered = many.is_ordered;
    Ok(result)
}

/// The labels on which rows match, interned.
struct Signatures<'a> {
    matching: &'a VectorMatching,
    index: LabelIndex,
}

impl<'a> Signatures<'a> {
    fn new(matching: &'a VectorMatching) -> Signatures<'a> {
        Signatures { matching, index: LabelIndex::default() }
    }

    async fn of_rows(&mut self, rows: &Matrix, turns: &impl Turns) -> Result<Vec<u32>, ExecError> {
        let mut bytes = Vec::new();
        let mut signatures = Vec::with_capacity(rows.row_count());
        for row in 0..rows.row_count() {
            let labels = match_labels(rows.labels(row), self.matching, &mut bytes);
            signatures.push(self.index.intern(labels).0 as u32);
            spend(turns, 1).await?;
        }
        Ok(signatures)
    }
}

fn match_labels<'a>(
    labels: LabelsRef<'_>,
    matching: &VectorMatching,
    out: &'a mut Vec<u8>,
) -> LabelsRef<'a> {
    let names = &matching.labels;
    if matching.on {
        filter(labels, out, |name| names_hold(names, name))
    } else {
        filter(labels, out, |name| name != b"__name__" && !names_hold(names, name))
    }
}

fn set_operation(
    op: BinaryOp,
    (lhs, of_lhs): (&Matrix, &[u32]),
    (rhs, of_rhs): (&Matrix, &[u32]),
    count: usize,
) -> Matrix {
    let words = words(lhs.step_count());
    let mut seen = vec![0u64; count * words];
    let (deciding, of_deciding) = if op == BinaryOp::Or { (lhs, of_lhs) } else { (rhs, of_rhs) };
    for (row, &signature) in of_deciding.iter().enumerate() {
        let seen = &mut seen[signature as usize * words..][..words];
        seen.iter_mut().zip(deciding.present(row)).for_each(|(seen, bits)| *seen |= bits);
    }
    let mut result = Matrix::new(lhs.step_count());
    result.is_ordered = lhs.is_ordered;
    let mut push = |rows: &Matrix, row: usize, keep: &dyn Fn(u64, u64) -> u64, signature: u32| {
        let seen = &seen[signature as usize * words..][..words];
        let present: Vec<u64> =
            rows.present(row).iter().zip(seen).map(|(&bits, &seen)| keep(bits, seen)).collect();
        result.push_masked(rows.labels(row), rows.drops_name(row), rows.row(row), &present);
    };
    for (row, &signature) in of_lhs.iter().enumerate() {
        match op {
            BinaryOp::And => push(lhs, row, &|bits, seen| bits & seen, signature),
            BinaryOp::Unless => push(lhs, row, &|bits, seen| bits & !seen, signature),
            _ => push(lhs, row, &|bits, _| bits, signature),
        }
    }
    if op == BinaryOp::Or {
        for (row, &signature) in of_rhs.iter().enumerate() {
            push(rhs, row, &|bits, seen| bits & !seen, signature);
        }
    }
    result
}

/// The steps at which anything can match: without fill values both sides must have a point.
fn active_steps(lhs: &Matrix, rhs: &Matrix, matching: &VectorMatching) -> Vec<u64> {
    let points = |rows: &Matrix| {
        let mut bits = vec![0; words(rows.step_count())];
        for row in 0..rows.row_count() {
            bits.iter_mut().zip(rows.present(row)).for_each(|(bits, row)| *bits |= row);
        }
        bits
    };
    let fills = matching.fill_lhs.is_some() || matching.fill_rhs.is_some();
    let (mut lhs, rhs) = (points(lhs), points(rhs));
    for (lhs, rhs) in lhs.iter_mut().zip(rhs) {
        *lhs = if fills { *lhs | rhs } else { *lhs & rhs };
    }
    lhs
}

struct Join<'a> {
    many: &'a Matrix,
    one: &'a Matrix,
    of_many: Vec<u32>,
    of_one: Vec<u32>,
    binary: &'a Binary,
    delayed_names: bool,
    /// The many side stands on the right.
    swapped: bool,
    annotations: &'a mut Annotations,
    /// Per signature: the steps at which it was matched.
    matched: Vec<u64>,
    active: Vec<u64>,
    out: Output,
}

/// One side of a pair.
#[derive(Clone, Copy)]
enum Operand<'a> {
    Row(RowRef<'a>),
    Fill(f64),
}

impl<'a> Operand<'a> {
    #[inline]
    fn at(self, step: usize) -> f64 {
        match self {
            Operand::Row(row) => row.values[step],
            Operand::Fill(value) => value,
        }
    }

    fn point(self, step: usize) -> Point<'a> {
        match self {
            Operand::Row(row) => {
                row.histogram(step).map_or(Point::Float(row.values[step]), Point::Histogram)
            }
            Operand::Fill(value) => Point::Float(value),
        }
    }

    fn has_histograms(self) -> bool {
        matches!(self, Operand::Row(row) if !row.histograms.is_empty())
    }
}

/// No further row.
const END: u32 = u32::MAX;

impl Join<'_> {
    async fn run(&mut self, signature_count: usize, turns: &impl Turns) -> Result<(), ExecError> {
        // Rows of the one side by signature, as chains in their order.
        let mut first = vec![END; signature_count];
        let mut next = vec![END; self.one.row_count()];
        for row in (0..self.one.row_count()).rev() {
            let signature = self.of_one[row] as usize;
            next[row] = first[signature];
            first[signature] = row as u32;
        }
        self.check_one_side(&first, &next)?;
        let mut steps = vec![0; self.active.len()];
        for row in 0..self.many.row_count() {
            spend(turns, self.many.step_count()).await?;
            let signature = self.of_many[row];
            let mut rest = self.many.present(row).to_vec();
            let mut partner = first[signature as usize];
            while partner != END {
                let bits = self.one.present(partner as usize);
                for (index, step) in steps.iter_mut().enumerate() {
                    *step = self.many.present(row)[index] & bits[index];
                    rest[index] &= !bits[index];
                }
                self.pair(Some(row), Some(partner as usize), signature, &steps)?;
                partner = next[partner as usize];
            }
            if self.binary.matching.fill_rhs.is_some() {
                self.pair(Some(row), None, signature, &rest)?;
            }
        }
        if self.binary.matching.fill_lhs.is_none() {
            return Ok(());
        }
        for row in 0..self.one.row_count() {
            spend(turns, self.one.step_count()).await?;
            let signature = self.of_one[row];
            let matched = &self.matched[signature as usize * steps.len()..][..steps.len()];
            let rest: Vec<u64> = self
                .one
                .present(row)
                .iter()
                .zip(matched)
                .map(|(bits, done)| bits & !done)
                .collect();
            self.pair(None, Some(row), signature, &rest)?;
        }
        Ok(())
    }

    /// Two rows of the one side with one signature must not have a point at the same step.
    fn check_one_side(&self, first: &[u32], next: &[u32]) -> Result<(), ExecError> {
        for &head in first {
            if head == END || next[head as usize] == END {
                continue;
            }
            let mut seen: Vec<u64> = vec![0; self.active.len()];
            let mut row = head;
            while row != END {
                for (index, &bits) in self.one.present(row as usize).iter().enumerate() {
                    if seen[index] & bits & self.active[index] != 0 {
                        return Err(self.duplicate(head, row, next, index));
                    }
                    seen[index] |= bits;
                }
                row = next[row as usize];
            }
        }
        Ok(())
    }

    /// The refusal of `row`, which meets one of the rows from `head` on in word `index`.
    fn duplicate(&self, head: u32, row: u32, next: &[u32], index: usize) -> ExecError {
        let bits = self.one.present(row as usize)[index] & self.active[index];
        let mut other = head;
        while self.one.present(other as usize)[index] & bits == 0 {
            other = next[other as usize];
        }
        let labels = self.one.labels(row as usize);
        let mut bytes = Vec::new();
        let group = match_labels(labels, &self.binary.matching, &mut bytes);
        let mut pair = [labels.to_string(), self.one.labels(other as usize).to_string()];
        pair.sort();
        let side = if self.swapped { "left" } else { "right" };
        ExecError::Evaluation(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the \
             operation: [{}, {}];many-to-many matching not allowed: matching labels must be \
             unique on one side",
            pair[0], pair[1]
        ))
    }

    /// Combines a row of each side, or one with a fill value, at `steps`.
    fn pair(
        &mut self,
        many_row: Option<usize>,
        one_row: Option<usize>,
        signature: u32,
        steps: &[u64],
    ) -> Result<(), ExecError> {
        if !any(steps) {
            return Ok(());
        }
        let (op, return_bool) = (self.binary.op, self.binary.return_bool);
        let matching = &self.binary.matching;
        let many = match many_row {
            Some(row) => Operand::Row(self.many.row(row)),
            None => Operand::Fill(matching.fill_lhs.expect("the caller has seen it")),
        };
        let one = match one_row {
            Some(row) => Operand::Row(self.one.row(row)),
            None => Operand::Fill(matching.fill_rhs.expect("the caller has seen it")),
        };
        let (lhs, rhs) = if self.swapped { (one, many) } else { (many, one) };
        let labels = self.result_labels(many_row, one_row);
        let trims = matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        if trims || lhs.has_histograms() || rhs.has_histograms() {
            return self.pair_points(lhs, rhs, &labels, signature, steps);
        }
        self.out.claim(&labels, signature, return_bool);
        self.mark_matched(signature, steps)?;
        if let Some(holds) = comparison(op) {
            return self.out.write(steps, |step| {
                let (lhs, rhs) = (lhs.at(step), rhs.at(step));
                let kept = holds(lhs, rhs);
                if return_bool { Some(f64::from(kept)) } else { kept.then_some(lhs) }
            });
        }
        match (op, lhs, rhs) {
            // The commonest operators between rows, each a loop of its own.
            (BinaryOp::Add, Operand::Row(lhs), Operand::Row(rhs)) => {
                self.out.write_rows(steps, lhs, rhs, |lhs, rhs| lhs + rhs)
            }
            (BinaryOp::Sub, Operand::Row(lhs), Operand::Row(rhs)) => {
                self.out.write_rows(steps, lhs, rhs, |lhs, rhs| lhs - rhs)
            }
            (BinaryOp::Mul, Operand::Row(lhs), Operand::Row(rhs)) => {
                self.out.write_rows(steps, lhs, rhs, |lhs, rhs| lhs * rhs)
            }
            (BinaryOp::Div, Operand::Row(lhs), Operand::Row(rhs)) => {
                self.out.write_rows(steps, lhs, rhs, |lhs, rhs| lhs / rhs)
            }
            _ => {
                let apply = arithmetic(op).expect("set operators are done elsewhere");
                self.out.write(steps, |step| Some(apply(lhs.at(step), rhs.at(step))))
            }
        }
    }

    /// The same point by point, where any may be a histogram. Points that the operator refuses have
    /// not met.
    fn pair_points(
        &mut self,
        lhs: Operand<'_>,
        rhs: Operand<'_>,
        labels: &Labels,
        signature: u32,
        steps: &[u64],
    ) -> Result<(), ExecError> {
        let Binary { op, return_bool, position, .. } = *self.binary;
        let mut met = vec![0; steps.len()];
        let mut results = Vec::new();
        for step in ones(steps) {
            let (lhs, rhs) = (lhs.point(step), rhs.point(step));
            let result = combine(op, lhs, rhs, position, self.annotations);
            if !matches!(result, Combined::Refused) {
                set(&mut met, step);
                results.push((step, result));
            }
        }
        if results.is_empty() {
            return Ok(());
        }
        self.out.claim(labels, signature, return_bool);
        self.mark_matched(signature, &met)?;
        self.out.write(&met, |_| None)?;
        for (step, result) in results {
            let kept = !matches!(result, Combined::Rejected);
            match result {
                _ if return_bool => self.out.put(step, Combined::Float(f64::from(kept)))?,
                _ if kept => self.out.put(step, result)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn mark_matched(&mut self, signature: u32, steps: &[u64]) -> Result<(), ExecError> {
        let one_to_one = self.binary.matching.card == Card::OneToOne;
        let matched = &mut self.matched[signature as usize * steps.len()..][..steps.len()];
        for (matched, &bits) in matched.iter_mut().zip(steps) {
            if one_to_one && *matched & bits != 0 {
                return Err(ExecError::Evaluation(
                    "multiple matches for labels: many-to-one matching must be explicit \
                     (group_left/group_right)"
                        .to_owned(),
                ));
            }
            *matched |= bits;
        }
        Ok(())
    }

    fn result_labels(&self, many_row: Option<usize>, one_row: Option<usize>) -> Labels {
        let matching = &self.binary.matching;
        let (mut many_bytes, mut one_bytes) = (Vec::new(), Vec::new());
        // In place of a row that is not there stand the labels on which it would have matched.
        let many = match (many_row, one_row) {
            (Some(row), _) => self.many.labels(row),
            (None, Some(row)) => match_labels(self.one.labels(row), matching, &mut many_bytes),
            (None, None) => unreachable!("a pair has a row"),
        };
        let one = match one_row {
            Some(row) => self.one.labels(row),
            None => match_labels(many, matching, &mut one_bytes),
        };
        let drops =
            changes_metric(self.binary.op) || self.binary.return_bool && !self.delayed_names;
        let mut out = Vec::new();
        let kept = filter(many, &mut out, |name| {
            if drops && is_reserved(name) {
                return false;
            }
            matching.card != Card::OneToOne || names_hold(&matching.labels, name) == matching.on
        });
        if matching.include.is_empty() {
            return kept.to_owned();
        }
        let mut builder = LabelsBuilder::from_labels(kept);
        for name in &matching.include {
            builder.set(name.as_bytes(), one.get(name.as_bytes()));
        }
        builder.finish()
    }
}

/// The rows of the result, found by their labels.
struct Output {
    index: LabelIndex,
    matrix: Matrix,
    /// Of each row: the steps for which a pair was computed, kept or not.
    claimed: Vec<u64>,
    /// Of each row: the signature of its first pair.
    signatures: Vec<u32>,
    row: usize,
    is_same_group: bool,
}

impl Output {
    fn new(step_count: usize) -> Output {
        Output {
            index: LabelIndex::default(),
            matrix: Matrix::new(step_count),
            claimed: Vec::new(),
            signatures: Vec::new(),
            row: 0,
            is_same_group: true,
        }
    }

    /// Chooses the row that the next pair is written to.
    fn claim(&mut self, labels: &Labels, signature: u32, drops_name: bool) {
        let (row, is_new) = self.index.intern(labels.as_ref());
        if is_new {
            self.matrix.push_absent(labels.as_ref(), drops_name);
            self.claimed.resize((row + 1) * words(self.matrix.step_count()), 0);
            self.signatures.push(signature);
        }
        self.row = row;
        self.is_same_group = self.signatures[row] == signature;
    }

    /// Writes `value(step)` at `steps`; `None` is not kept.
    #[inline]
    fn write(
        &mut self,
        steps: &[u64],
        value: impl Fn(usize) -> Option<f64>,
    ) -> Result<(), ExecError> {
        self.claim_steps(steps)?;
        let (values, present) = self.matrix.row_mut(self.row);
        for step in ones(steps) {
            let Some(value) = value(step) else { continue };
            if is_set(present, step) {
                return Err(same_labelset());
            }
            values[step] = value;
            set(present, step);
        }
        Ok(())
    }

    /// As [`Output::write`], of two rows whose every pair of values has a result.
    #[inline]
    fn write_rows(
        &mut self,
        steps: &[u64],
        lhs: RowRef<'_>,
        rhs: RowRef<'_>,
        value: impl Fn(f64, f64) -> f64,
    ) -> Result<(), ExecError> {
        let (values, present) = self.matrix.row_mut(self.row);
        if any(present) {
            return self.write(steps, |step| Some(value(lhs.values[step], rhs.values[step])));
        }
        // What is no point may hold anything, so the loop has no bits to look at.
        for ((result, lhs), rhs) in values.iter_mut().zip(lhs.values).zip(rhs.values) {
            *result = value(*lhs, *rhs);
        }
        present.copy_from_slice(steps);
        self.claim_steps(steps)
    }

    /// Takes note of steps for which a pair of the row is computed.
    fn claim_steps(&mut self, steps: &[u64]) -> Result<(), ExecError> {
        let claimed = &mut self.claimed[self.row * steps.len()..][..steps.len()];
        for (claimed, &bits) in claimed.iter_mut().zip(steps) {
            if *claimed & bits != 0 && self.is_same_group {
                return Err(ExecError::Evaluation(
                    "multiple matches for labels: grouping labels must ensure unique matches"
                        .to_owned(),
                ));
            }
            *claimed |= bits;
        }
        Ok(())
    }

    /// Writes one point that was kept.
    fn put(&mut self, step: usize, result: Combined) -> Result<(), ExecError> {
        let (values, present) = self.matrix.row_mut(self.row);
        if is_set(present, step) {
            return Err(same_labelset());
        }
        match result {
            Combined::Float(value) => {
                values[step] = value;
                set(present, step);
            }
            Combined::Histogram(histogram) => {
                self.matrix.set_histogram(self.row, step, histogram);
            }
            Combined::Refused | Combined::Rejected => {}
        }
        Ok(())
    }

    fn finish(self) -> Matrix {
        self.matrix.without_empty_rows()
    }
}
