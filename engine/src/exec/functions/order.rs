//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`.

use std::cmp::Ordering;

use crate::exec::annotations::Annotations;
use crate::exec::matrix::Matrix;
use crate::plan::Plan;
use crate::plan::node::SortOrder;
use crate::promql::ast::PosRange;

/// Sorts the rows of an instant vector; a range query's answer is ordered by labels anyway.
/// Histograms have no place in an order of values: they are left out.
pub fn sort(
    rows: Matrix,
    order: &SortOrder,
    position: PosRange,
    plan: &Plan,
    annotations: &mut Annotations,
) -> Matrix {
    if plan.times.start_ms != plan.times.end_ms {
        annotations.warn(
            position,
            "sort is ineffective for range queries since results are always ordered by labels"
                .to_owned(),
        );
    }
    let rows = match order {
        SortOrder::Value { .. } => without_histograms(rows),
        SortOrder::Labels { .. } => rows,
    };
    if rows.step_count() != 1 {
        return rows;
    }
    let mut sorted: Vec<u32> = (0..rows.row_count() as u32).collect();
    sorted.sort_by(|&a, &b| {
        let (a, b) = (a as usize, b as usize);
        match order {
            SortOrder::Value { descending } => {
                values(rows.values(a)[0], rows.values(b)[0], *descending)
            }
            SortOrder::Labels { names, descending } => {
                let ordering = names
                    .iter()
                    .map(|name| {
                        let (a, b) = (rows.labels(a), rows.labels(b));
                        natural(a.get(name.as_bytes()), b.get(name.as_bytes()))
                    })
                    .find(|ordering| ordering.is_ne())
                    .unwrap_or_else(|| rows.labels(a).compare(rows.labels(b)));
                if *descending { ordering.reverse() } else { ordering }
            }
        }
    });
    let mut result = rows.select_rows(&sorted);
    result.is_ordered = true;
    result
}

fn without_histograms(rows: Matrix) -> Matrix {
    if (0..rows.row_count()).all(|row| rows.histograms(row).is_empty()) {
        return rows;
    }
    let mut floats = Matrix::new(rows.step_count());
    for row in 0..rows.row_count() {
        let present: Vec<u64> = rows.histograms(row).floats(rows.present(row)).collect();
        floats.push_masked(rows.labels(row), rows.drops_name(row), rows.row(row), &present);
    }
    floats
}

/// NaN stands last either way.
fn values(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => {
            let ordering = a.partial_cmp(&b).expect("neither is NaN");
            if descending { ordering.reverse() } else { ordering }
        }
        (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan),
    }
}

/// The order in which people read: runs of digits compare as numbers.
///
/// Source: the order of `facette/natsort`, made total: numbers of any length, and `01` after `1`.
fn natural(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    while !a_rest.is_empty() && !b_rest.is_empty() {
        let (a_chunk, b_chunk) = (chunk(a_rest), chunk(b_rest));
        let ordering = if a_chunk[0].is_ascii_digit() && b_chunk[0].is_ascii_digit() {
            let (a_number, b_number) = (number(a_chunk), number(b_chunk));
            a_number.len().cmp(&b_number.len()).then_with(|| a_number.cmp(b_number))
        } else {
            a_chunk.cmp(b_chunk)
        };
        if ordering.is_ne() {
            return ordering;
        }
        a_rest = &a_rest[a_chunk.len()..];
        b_rest = &b_rest[b_chunk.len()..];
    }
    a_rest.len().cmp(&b_rest.len()).then_with(|| a.cmp(b))
}

/// The digits, or the other bytes, that `bytes` begins with.
fn chunk(bytes: &[u8]) -> &[u8] {
    let is_digit = bytes[0].is_ascii_digit();
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit() == is_digit).count();
    &bytes[..length]
}

fn number(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn runs_of_digits_are_numbers() {
        let mut values = ["10", "9", "a10", "a9", "", "a", "1", "01", "99999999999999999999999"];
        values.sort_by(|a, b| natural(a.as_bytes(), b.as_bytes()));
        assert_eq!(values, ["", "01", "1", "9", "10", "99999999999999999999999", "a", "a9", "a10"]);
    }
}
