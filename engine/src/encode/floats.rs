//! Values: every double comes back bit for bit, whatever it is.
//!
//! Most series are constant, count up evenly, or are decimals with a few digits; those are
//! integers in disguise and go into frames. What a decimal cannot hold (NaN with its payload, the
//! staleness marker, infinities, minus zero, long binary fractions) is kept beside them as raw
//! bits, or the whole column goes to XOR when too much of it is like that.
//!
//! Source of the decimal form: Afroozeh et al., "ALP: Adaptive Lossless floating-Point
//! Compression", SIGMOD 2024. Unlike ALP this divides by an exact power of ten, so that every
//! decimal of up to fifteen digits is held; the division costs half a nanosecond.

use super::frame::{self, Frame, RowReader};
use super::{Columns, DecodeError, near, resting, xor};
use crate::kernels::{self, MAGIC, POW10};
use crate::mem::varint::{push_i64, push_u64, take_bytes, take_i64, take_u64};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FloatCodec {
    /// One value, without its trailing zero bytes.
    Constant = 0,
    /// Integers with equal steps: the first and the step.
    Linear = 1,
    /// A frame of the values' decimal integers.
    Decimal = 2,
    /// A frame of the differences between neighbouring decimal integers.
    DecimalDeltas = 3,
    Xor = 4,
    /// Eight bytes each.
    Raw = 5,
    /// As `Decimal`, in a row of frames: a gauge that drifts.
    DecimalRow = 6,
    /// As `DecimalDeltas`, in a row of frames: a counter that is now busy, now idle.
    DecimalDeltasRow = 7,
    /// As `DecimalDeltasRow`, and how many steps of the last bit each value lies beside its
    /// decimal: what was multiplied by 0.001, or divided more than once.
    NearDecimals = 8,
    /// Decimal integers or, where they are none, the values' bits, as they are, or their differences,
    /// or the differences of these, as tokens: for columns at rest.
    Tokens = 9,
}

impl FloatCodec {
    pub const ALL: [FloatCodec; 10] = [
        FloatCodec::Constant,
        FloatCodec::Linear,
        FloatCodec::Decimal,
        FloatCodec::DecimalDeltas,
        FloatCodec::Xor,
        FloatCodec::Raw,
        FloatCodec::DecimalRow,
        FloatCodec::DecimalDeltasRow,
        FloatCodec::NearDecimals,
        FloatCodec::Tokens,
    ];

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| *codec as u8 == code)
    }

    /// As `FORMAT.md` calls it.
    pub fn name(self) -> &'static str {
        match self {
            FloatCodec::Constant => "Constant",
            FloatCodec::Linear => "Linear",
            FloatCodec::Decimal => "Decimal",
            FloatCodec::DecimalDeltas => "DecimalDeltas",
            FloatCodec::Xor => "Xor",
            FloatCodec::Raw => "Raw",
            FloatCodec::DecimalRow => "DecimalRow",
            FloatCodec::DecimalDeltasRow => "DecimalDeltasRow",
            FloatCodec::NearDecimals => "NearDecimals",
            FloatCodec::Tokens => "Tokens",
        }
    }
}

/// Above this many bytes a value other forms are tried against the decimal one.
const DECIMAL_BYTES_GOOD: usize = 5;

/// The same for columns of long fractions, or with values that are no decimals.
const ODD_BYTES_GOOD: usize = 1;

/// Below this, adding and subtracting [`MAGIC`] rounds: no call into the math library.
pub(super) const ROUND_BELOW: f64 = (1u64 << 51) as f64;

/// The integer that stands for a value at `exponent` for which [`decimal`] has one.
#[inline]
pub fn decimal_of(value: f64, exponent: u8) -> i64 {
    let scaled = value * POW10[usize::from(exponent)];
    if scaled.abs() < ROUND_BELOW { ((scaled + MAGIC) - MAGIC) as i64 } else { value as i64 }
}

/// The integer that stands for `value` at `exponent`, if dividing it by that power of ten gives the
/// same bits.
#[inline]
pub fn decimal(value: f64, exponent: u8) -> Option<i64> {
    let power = POW10[usize::from(exponent)];
    let scaled = value * power;
    if scaled.abs() < ROUND_BELOW {
        let rounded = (scaled + MAGIC) - MAGIC;
        let is_exact = (rounded / power).to_bits() == value.to_bits();
        return is_exact.then_some(rounded as i64);
    }
    let is_integer = exponent == 0 && value.abs() < i64::MAX as f64;
    (is_integer && (value as i64 as f64).to_bits() == value.to_bits()).then_some(value as i64)
}

/// Fills `work.integers` with the column's decimal integers and `work.positions` with the places
/// that have none (their integer repeats the one before). Returns the exponent; `None` when more
/// than a quarter of the column is not decimal.
pub(super) fn decimals(values: &[f64], work: &mut Columns) -> Option<u8> {
    let mut exponent = 0u8;
    let mut hard_count = 0;
    for &value in values {
        if decimal(value, exponent).is_some() {
            continue;
        }
        match (exponent + 1..POW10.len() as u8).find(|&next| decimal(value, next).is_some()) {
            Some(next) if value.is_finite() => exponent = next,
            _ => hard_count += 1,
        }
        if hard_count > values.len() / 4 + 1 {
            return None;
        }
    }
    work.integers.clear();
    work.positions.clear();
    let mut previous = values.iter().find_map(|&value| decimal(value, exponent))?;
    for (position, &value) in values.iter().enumerate() {
        match decimal(value, exponent) {
            Some(integer) => previous = integer,
            None => work.positions.push(position as u32),
        }
        work.integers.push(previous);
    }
    (work.positions.len() <= values.len() / 4 + 1).then_some(exponent)
}

/// Fills `work.other_integers` with the differences of neighbouring integers.
pub(super) fn integer_deltas(work: &mut Columns) {
    work.other_integers.clear();
    let pairs = work.integers.windows(2);
    work.other_integers.extend(pairs.map(|pair| pair[1].wrapping_sub(pair[0])));
}

/// First value and step, if the integers of the column have equal steps and none is missing.
fn line(work: &Columns, exponent: u8) -> Option<(i64, i64)> {
    let first = *work.integers.first()?;
    let step = *work.other_integers.first()?;
    let is_line = exponent == 0
        && work.positions.is_empty()
        && work.other_integers.iter().all(|&delta| delta == step);
    is_line.then_some((first, step))
}

fn push_constant(out: &mut Vec<u8>, value: f64) {
    let bytes = value.to_bits().to_be_bytes();
    let kept = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    out.extend_from_slice(&bytes[..kept]);
}

/// Appends exponent and exceptions.
pub(super) fn push_decimal_head(out: &mut Vec<u8>, values: &[f64], exponent: u8, work: &Columns) {
    out.push(exponent);
    push_u64(out, work.positions.len() as u64);
    let mut previous = 0;
    for &position in &work.positions {
        push_u64(out, u64::from(position - previous));
        out.extend_from_slice(&values[position as usize].to_bits().to_le_bytes());
        previous = position;
    }
}

/// Columns of fewer values have no rows of frames.
const ROW_COUNT_MIN: usize = 2 * frame::FRAME_COUNT;

/// The four forms of decimals, each with the bytes of its frames: plain, deltas, plain in a row,
/// deltas in a row. Those in rows keep their plans in `work`.
fn decimal_forms(work: &mut Columns) -> [(FloatCodec, usize); 4] {
    let Columns { integers, other_integers, plans, other_plans, .. } = work;
    let (mut row, mut deltas_row) = (usize::MAX, usize::MAX);
    if integers.len() >= ROW_COUNT_MIN {
        row = frame::plan_row(integers, plans);
        deltas_row = frame::plan_row(other_integers, other_plans);
    }
    [
        (FloatCodec::Decimal, frame::plan(integers).bytes),
        (FloatCodec::DecimalRow, row),
        (FloatCodec::DecimalDeltas, frame::plan(other_integers).bytes),
        (FloatCodec::DecimalDeltasRow, deltas_row),
    ]
}

/// The form to take: those before others decode faster, so they win when others save little.
fn best_form(forms: [(FloatCodec, usize); 4]) -> FloatCodec {
    let least = forms.iter().map(|(_, bytes)| *bytes).min().unwrap_or(0);
    let good = least.saturating_add(least / 16 + 2);
    let found = forms.into_iter().find(|(_, bytes)| *bytes <= good);
    found.map_or(FloatCodec::Decimal, |(codec, _)| codec)
}

/// Appends the frames of `work`'s decimals in one of the four forms; rows are planned.
fn push_decimals(out: &mut Vec<u8>, codec: FloatCodec, work: &Columns) {
    match codec {
        FloatCodec::Decimal => frame::push(out, &work.integers, &frame::plan(&work.integers)),
        FloatCodec::DecimalRow => frame::push_row(out, &work.integers, &work.plans),
        FloatCodec::DecimalDeltas => {
            push_i64(out, work.integers[0]);
            frame::push(out, &work.other_integers, &frame::plan(&work.other_integers));
        }
        _ => {
            push_i64(out, work.integers[0]);
            frame::push_row(out, &work.other_integers, &work.other_plans);
        }
    }
}

fn is_constant(values: &[f64]) -> bool {
    let bits = values[0].to_bits();
    values.iter().all(|value| value.to_bits() == bits)
}

/// Appends the column with `codec`; `false` and nothing appended when the codec cannot hold it.
pub(super) fn push(
    out: &mut Vec<u8>,
    values: &[f64],
    codec: FloatCodec,
    work: &mut Columns,
) -> bool {
    match codec {
        FloatCodec::Constant => {
            if !is_constant(values) {
                return false;
            }
            push_constant(out, values[0]);
        }
        FloatCodec::Linear => {
            let Some(exponent) = decimals(values, work) else { return false };
            integer_deltas(work);
            let Some((first, step)) = line(work, exponent) else { return false };
            push_i64(out, first);
            push_i64(out, step);
        }
        FloatCodec::Decimal
        | FloatCodec::DecimalDeltas
        | FloatCodec::DecimalRow
        | FloatCodec::DecimalDeltasRow => {
            let Some(exponent) = decimals(values, work) else { return false };
            integer_deltas(work);
            frame::plan_row(&work.integers, &mut work.plans);
            frame::plan_row(&work.other_integers, &mut work.other_plans);
            push_decimal_head(out, values, exponent, work);
            push_decimals(out, codec, work);
        }
        FloatCodec::NearDecimals => return near::push(out, values, work),
        FloatCodec::Tokens => return resting::push(out, values, work),
        FloatCodec::Xor => xor::push(out, values),
        FloatCodec::Raw => {
            out.extend(values.iter().flat_map(|value| value.to_bits().to_le_bytes()));
        }
    }
    true
}

/// Appends the column with the codec that takes the fewest bytes, or about that.
pub(super) fn push_best(out: &mut Vec<u8>, values: &[f64], work: &mut Columns) -> FloatCodec {
    if is_constant(values) {
        push_constant(out, values[0]);
        return FloatCodec::Constant;
    }
    let start = out.len();
    let mut best = None;
    if let Some(exponent) = decimals(values, work) {
        let (codec, is_good) = push_decimal_form(out, values, exponent, work);
        if is_good {
            return codec;
        }
        best = Some(codec);
    }
    // What is no decimal may lie beside one.
    let near_start = out.len();
    if near::push(out, values, work) {
        best = keep_shorter(out, start, near_start, best, FloatCodec::NearDecimals);
    }
    let xor_start = out.len();
    xor::push(out, values);
    best = keep_shorter(out, start, xor_start, best, FloatCodec::Xor);
    match best {
        Some(codec) if out.len() - start < values.len() * 8 => codec,
        _ => {
            out.truncate(start);
            push(out, values, FloatCodec::Raw, work);
            FloatCodec::Raw
        }
    }
}

/// Appends the decimals `integers / 10^exponent` as [`push_best`] would; `None` where another form may
/// take fewer bytes: then `out` ends with nothing that means anything.
pub(super) fn push_integers(
    out: &mut Vec<u8>,
    integers: &[i64],
    exponent: u8,
    work: &mut Columns,
) -> Option<FloatCodec> {
    if integers.iter().all(|integer| *integer == integers[0]) {
        return None;
    }
    work.integers.clear();
    work.integers.extend_from_slice(integers);
    work.positions.clear();
    let (codec, is_good) = push_decimal_form(out, &[], exponent, work);
    is_good.then_some(codec)
}

/// Appends the column whose integers are in `work`, and says whether no other form need be tried;
/// `values` are asked for those that have no integer.
fn push_decimal_form(
    out: &mut Vec<u8>,
    values: &[f64],
    exponent: u8,
    work: &mut Columns,
) -> (FloatCodec, bool) {
    let (start, count) = (out.len(), work.integers.len());
    integer_deltas(work);
    if let Some((first, step)) = line(work, exponent) {
        push_i64(out, first);
        push_i64(out, step);
        return (FloatCodec::Linear, true);
    }
    let codec = best_form(decimal_forms(work));
    push_decimal_head(out, values, exponent, work);
    push_decimals(out, codec, work);
    let is_decimal = exponent <= near::EXPONENT_MAX && work.positions.len() * 32 <= count;
    let bytes_good = if is_decimal { DECIMAL_BYTES_GOOD } else { ODD_BYTES_GOOD };
    (codec, out.len() - start <= count * bytes_good)
}

/// Of the column's two forms at `start` and at `other_start` (of `codec`) keeps the shorter.
pub(super) fn keep_shorter(
    out: &mut Vec<u8>,
    start: usize,
    other_start: usize,
    best: Option<FloatCodec>,
    codec: FloatCodec,
) -> Option<FloatCodec> {
    if best.is_some() && other_start - start <= out.len() - other_start {
        out.truncate(other_start);
        return best;
    }
    out.drain(start..other_start);
    Some(codec)
}

/// Appends the `count` values of the section `bytes` to `values`; on an error it may have appended
/// anything.
pub(super) fn decode(
    mut bytes: &[u8],
    codec: FloatCodec,
    count: usize,
    values: &mut Vec<f64>,
) -> Result<(), DecodeError> {
    let start = values.len();
    let end = start + count;
    let decoded = match codec {
        FloatCodec::Constant => constant(std::mem::take(&mut bytes)).map(|value| {
            values.resize(end, value);
        }),
        FloatCodec::Decimal
        | FloatCodec::DecimalDeltas
        | FloatCodec::DecimalRow
        | FloatCodec::DecimalDeltasRow
        | FloatCodec::NearDecimals
        | FloatCodec::Tokens => take_decimals(&mut bytes, count, values, codec),
        FloatCodec::Linear => {
            values.resize(end, 0.0);
            take_line(&mut bytes, &mut values[start..])
        }
        FloatCodec::Xor => {
            values.resize(end, 0.0);
            xor::decode(std::mem::take(&mut bytes), &mut values[start..])
        }
        FloatCodec::Raw => {
            values.resize(end, 0.0);
            take_raw(&mut bytes, &mut values[start..])
        }
    };
    decoded.filter(|()| bytes.is_empty()).ok_or(DecodeError::Values)
}

/// The last of the `count` values of the section `bytes`, at least one; `values` is room to decode in.
/// What repeats or goes on evenly is not decoded for it.
pub(super) fn last(
    mut bytes: &[u8],
    codec: FloatCodec,
    count: usize,
    values: &mut Vec<f64>,
) -> Result<f64, DecodeError> {
    let last = match codec {
        FloatCodec::Constant => constant(std::mem::take(&mut bytes)),
        FloatCodec::Linear => line_at(&mut bytes, count - 1),
        _ => {
            values.clear();
            decode(std::mem::take(&mut bytes), codec, count, values)?;
            values.last().copied()
        }
    };
    last.filter(|_| bytes.is_empty()).ok_or(DecodeError::Values)
}

fn constant(bytes: &[u8]) -> Option<f64> {
    let mut bits = [0; 8];
    bits.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(f64::from_bits(u64::from_be_bytes(bits)))
}

fn take_line(bytes: &mut &[u8], out: &mut [f64]) -> Option<()> {
    let (first, step) = (take_i64(bytes)?, take_i64(bytes)?);
    for (index, value) in out.iter_mut().enumerate() {
        *value = first.wrapping_add(step.wrapping_mul(index as i64)) as f64;
    }
    Some(())
}

/// Takes a line off the front of `bytes`; its value at `index`.
fn line_at(bytes: &mut &[u8], index: usize) -> Option<f64> {
    let (first, step) = (take_i64(bytes)?, take_i64(bytes)?);
    Some(first.wrapping_add(step.wrapping_mul(index as i64)) as f64)
}

/// Appends `count` values to `values`.
fn take_decimals(
    bytes: &mut &[u8],
    count: usize,
    values: &mut Vec<f64>,
    codec: FloatCodec,
) -> Option<()> {
    let start = values.len();
    let exponent = take_bytes(bytes, 1)?[0];
    let are_bits = exponent == resting::BITS_EXPONENT && codec == FloatCodec::Tokens;
    if usize::from(exponent) >= POW10.len() && !are_bits {
        return None;
    }
    let exception_count = take_u64(bytes)?;
    let mut exceptions = *bytes;
    for _ in 0..exception_count {
        take_u64(bytes)?;
        take_bytes(bytes, 8)?;
    }
    match codec {
        FloatCodec::Decimal => Frame::take(bytes, count)?.append_decimals(exponent, values),
        FloatCodec::DecimalRow => {
            let mut row = RowReader::default();
            for count in frame_counts(count) {
                row.take(bytes, count)?.append_decimals(exponent, values);
            }
        }
        FloatCodec::Tokens => {
            values.resize(start + count, 0.0);
            let out = &mut values[start..];
            resting::take_integers(bytes, bytemuck::cast_slice_mut(out))?;
            if !are_bits {
                kernels::divide_decimals(out, exponent);
            }
        }
        _ => {
            let mut integer = take_i64(bytes)?;
            // A group of eight more is written to than counts.
            values.reserve(count + 8);
            values.push(integer as f64 / POW10[usize::from(exponent)]);
            if codec == FloatCodec::DecimalDeltas {
                let frame = Frame::take(bytes, count - 1)?;
                frame.append_sums(&mut integer, exponent, values);
            } else {
                let mut row = RowReader::default();
                for count in frame_counts(count - 1) {
                    row.take(bytes, count)?.append_sums(&mut integer, exponent, values);
                }
            }
        }
    }
    let out = &mut values[start..];
    if codec == FloatCodec::NearDecimals {
        near::take(bytes, out)?;
    }
    let mut position = 0usize;
    for _ in 0..exception_count {
        position = position.checked_add(usize::try_from(take_u64(&mut exceptions)?).ok()?)?;
        let bits = *take_bytes(&mut exceptions, 8)?.first_chunk()?;
        *out.get_mut(position)? = f64::from_bits(u64::from_le_bytes(bits));
    }
    Some(())
}

/// Values of each frame of a row.
fn frame_counts(count: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by(frame::FRAME_COUNT).map(move |at| frame::FRAME_COUNT.min(count - at))
}

fn take_raw(bytes: &mut &[u8], out: &mut [f64]) -> Option<()> {
    let raw = take_bytes(bytes, out.len().checked_mul(8)?)?;
    for (value, &bits) in out.iter_mut().zip(raw.as_chunks::<8>().0) {
        *value = f64::from_bits(u64::from_le_bytes(bits));
    }
    Some(())
}
