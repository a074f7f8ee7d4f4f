//! Columns that are written once and rest: as tokens, where these save enough.
//!
//! ```text
//! decimal head, exponent 19: the integers are the values' bits | order: 1
//! | first integer, first difference: zigzag, as many as the order says | tokens
//! ```
//!
//! Tokens are of the integers, of their differences (order 1), or of the differences of these (order 2):
//! a counter whose rate hardly changes.

use super::Columns;
use super::floats::{self, FloatCodec, decimals, integer_deltas, keep_shorter, push_decimal_head};
use super::tokens::{self, TokenPlan};
use crate::kernels::{POW10, add_up};
use crate::mem::varint::{push_i64, take_bytes, take_i64};

/// Columns of fewer values are not written as tokens, nor are those that take fewer bytes otherwise.
const TOKENS_COUNT_MIN: usize = 48;
const TOKENS_BYTES_MIN: usize = 24;

/// Tokens save one in so many bytes of frames at least: they take three times as long to read. An
/// eighth would save four bytes in a hundred more, of pages of exporters, and be read for a quarter more
/// samples.
const FRAMES_SAVED: usize = 5;

/// The same of what takes as long to read as tokens.
const SLOW_SAVED: usize = 16;

/// Differences of differences.
const ORDER_MAX: usize = 2;

/// Stands for an exponent: the integers are the values' bits.
pub(super) const BITS_EXPONENT: u8 = POW10.len() as u8;

/// How a column is written as tokens; its integers, or differences, are left in [`Columns`].
struct ColumnPlan {
    exponent: u8,
    /// How often differences are taken.
    order: usize,
    tokens: TokenPlan,
}

/// Appends a column with the codec that takes the fewest bytes; tokens only where they save enough.
/// Costs up to 30 ns a value more.
pub(super) fn push_best(out: &mut Vec<u8>, values: &[f64], work: &mut Columns) -> FloatCodec {
    let start = out.len();
    let codec = floats::push_best(out, values, work);
    let bytes = out.len() - start;
    if values.len() < TOKENS_COUNT_MIN || bytes < TOKENS_BYTES_MIN {
        return codec;
    }
    let is_odd = matches!(codec, FloatCodec::NearDecimals | FloatCodec::Xor | FloatCodec::Raw);
    let Some(plan) = plan_tokens(values, is_odd, work) else { return codec };
    let head_bytes = 2 + 9 * work.positions.len() + 8 * plan.order;
    let is_slow = matches!(codec, FloatCodec::NearDecimals | FloatCodec::Xor);
    let saved = bytes / if is_slow { SLOW_SAVED } else { FRAMES_SAVED };
    if plan.tokens.bytes + head_bytes + saved >= bytes {
        return codec;
    }
    let tokens_start = out.len();
    push_tokens(out, values, &plan, work);
    keep_shorter(out, start, tokens_start, Some(codec), FloatCodec::Tokens).unwrap_or(codec)
}

/// Appends the column as tokens; `false` and nothing appended when it has none.
pub(super) fn push(out: &mut Vec<u8>, values: &[f64], work: &mut Columns) -> bool {
    let Some(plan) = plan_tokens(values, false, work) else { return false };
    push_tokens(out, values, &plan, work);
    true
}

/// Plans a column; of its bits if it has no decimals, or has to be.
fn plan_tokens(values: &[f64], of_bits: bool, work: &mut Columns) -> Option<ColumnPlan> {
    let exponent = match of_bits {
        true => None,
        false => decimals(values, work),
    };
    if exponent.is_none() {
        work.positions.clear();
        work.integers.clear();
        work.integers.extend(values.iter().map(|value| value.to_bits() as i64));
    }
    integer_deltas(work);
    work.steps.clear();
    let pairs = work.other_integers.windows(2);
    work.steps.extend(pairs.map(|pair| pair[1].wrapping_sub(pair[0])));
    let columns = [&work.integers, &work.other_integers, &work.steps];
    let plans = columns.into_iter().map(|column| tokens::plan(column));
    let plans = plans.enumerate().filter_map(|(order, plan)| plan.map(|plan| (order, plan)));
    // Each difference has a first value beside it.
    let (order, tokens) = plans.min_by_key(|(order, plan)| plan.bytes + 3 * order)?;
    Some(ColumnPlan { exponent: exponent.unwrap_or(BITS_EXPONENT), order, tokens })
}

/// Appends a column that was planned last.
fn push_tokens(out: &mut Vec<u8>, values: &[f64], plan: &ColumnPlan, work: &mut Columns) {
    push_decimal_head(out, values, plan.exponent, work);
    out.push(plan.order as u8);
    let firsts = [work.integers.first(), work.other_integers.first()];
    firsts.into_iter().take(plan.order).flatten().for_each(|&first| push_i64(out, first));
    let columns = [&work.integers, &work.other_integers, &work.steps];
    tokens::push(out, columns[plan.order], &plan.tokens, &mut work.taken);
}

/// Takes what [`push_tokens`] wrote behind its head off the front of `bytes`.
pub(super) fn take_integers(bytes: &mut &[u8], integers: &mut [u64]) -> Option<()> {
    let order = usize::from(take_bytes(bytes, 1)?[0]);
    let (firsts, differences) = integers.split_at_mut_checked(order)?;
    if order > ORDER_MAX {
        return None;
    }
    for first in firsts {
        *first = take_i64(bytes)? as u64;
    }
    tokens::take(bytes, differences)?;
    for order in (0..order).rev() {
        let (first, differences) = integers[order..].split_first_mut()?;
        add_up(*first, differences);
    }
    Some(())
}
