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

use super::frame::{self, FramePlan};
use super::{Columns, DecodeError, xor};
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
}

impl FloatCodec {
    pub const ALL: [FloatCodec; 6] = [
        FloatCodec::Constant,
        FloatCodec::Linear,
        FloatCodec::Decimal,
        FloatCodec::DecimalDeltas,
        FloatCodec::Xor,
        FloatCodec::Raw,
    ];

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| *codec as u8 == code)
    }
}

/// Above this many bytes a value, XOR is tried against the decimal form.
const DECIMAL_BYTES_GOOD: usize = 5;

/// Below this, adding and subtracting [`MAGIC`] rounds: no call into the math library.
const ROUND_BELOW: f64 = (1u64 << 51) as f64;

/// The integer that stands for `value` at `exponent`, if dividing it back gives the same bits.
#[inline]
fn decimal(value: f64, exponent: u8) -> Option<i64> {
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
fn decimals(values: &[f64], work: &mut Columns) -> Option<u8> {
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
fn integer_deltas(work: &mut Columns) {
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

/// Appends exponent, exceptions, then the frame (of deltas, with the first integer before it).
fn push_decimals(
    out: &mut Vec<u8>,
    values: &[f64],
    exponent: u8,
    work: &Columns,
    deltas: bool,
    plan: &FramePlan,
) {
    out.push(exponent);
    push_u64(out, work.positions.len() as u64);
    let mut previous = 0;
    for &position in &work.positions {
        push_u64(out, u64::from(position - previous));
        out.extend_from_slice(&values[position as usize].to_bits().to_le_bytes());
        previous = position;
    }
    if deltas {
        push_i64(out, work.integers[0]);
        frame::push(out, &work.other_integers, plan);
    } else {
        frame::push(out, &work.integers, plan);
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
        FloatCodec::Decimal | FloatCodec::DecimalDeltas => {
            let Some(exponent) = decimals(values, work) else { return false };
            let deltas = codec == FloatCodec::DecimalDeltas;
            integer_deltas(work);
            let column = if deltas { &work.other_integers } else { &work.integers };
            let plan = frame::plan(column);
            push_decimals(out, values, exponent, work, deltas, &plan);
        }
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
        integer_deltas(work);
        if let Some((first, step)) = line(work, exponent) {
            push_i64(out, first);
            push_i64(out, step);
            return FloatCodec::Linear;
        }
        let (plain, deltas) = (frame::plan(&work.integers), frame::plan(&work.other_integers));
        // Plain frames decode faster, so they win when deltas save little.
        let uses_deltas = deltas.bytes + deltas.bytes / 8 + 2 < plain.bytes;
        let plan = if uses_deltas { deltas } else { plain };
        push_decimals(out, values, exponent, work, uses_deltas, &plan);
        let codec = if uses_deltas { FloatCodec::DecimalDeltas } else { FloatCodec::Decimal };
        if out.len() - start <= values.len() * DECIMAL_BYTES_GOOD {
            return codec;
        }
        best = Some((codec, out.len()));
    }
    let xor_start = out.len();
    xor::push(out, values);
    let xor_bytes = out.len() - xor_start;
    let best_bytes = best.map_or(usize::MAX, |(_, end)| end - start);
    if best_bytes <= xor_bytes && best_bytes < values.len() * 8 {
        out.truncate(xor_start);
        return best.expect("its bytes were just compared").0;
    }
    if xor_bytes < values.len() * 8 {
        out.drain(start..xor_start);
        return FloatCodec::Xor;
    }
    out.truncate(start);
    push(out, values, FloatCodec::Raw, work);
    FloatCodec::Raw
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
    let filler = match codec {
        FloatCodec::Constant => constant(std::mem::take(&mut bytes)).ok_or(DecodeError::Values)?,
        _ => 0.0,
    };
    values.resize(start + count, filler);
    let out = &mut values[start..];
    let decoded = match codec {
        FloatCodec::Constant => Some(()),
        FloatCodec::Linear => take_line(&mut bytes, out),
        FloatCodec::Decimal => take_decimals(&mut bytes, out, false),
        FloatCodec::DecimalDeltas => take_decimals(&mut bytes, out, true),
        FloatCodec::Xor => xor::decode(std::mem::take(&mut bytes), out),
        FloatCodec::Raw => take_raw(&mut bytes, out),
    };
    decoded.filter(|()| bytes.is_empty()).ok_or(DecodeError::Values)
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

fn take_decimals(bytes: &mut &[u8], out: &mut [f64], deltas: bool) -> Option<()> {
    let exponent = take_bytes(bytes, 1)?[0];
    if usize::from(exponent) >= POW10.len() {
        return None;
    }
    let exception_count = take_u64(bytes)?;
    let mut exceptions = *bytes;
    for _ in 0..exception_count {
        take_u64(bytes)?;
        take_bytes(bytes, 8)?;
    }
    if deltas {
        let first = take_i64(bytes)?;
        let integers: &mut [u64] = bytemuck::cast_slice_mut(out);
        frame::take(bytes, &mut integers[1..])?;
        integers[0] = first as u64;
        let mut sum = first as u64;
        for integer in &mut integers[1..] {
            sum = sum.wrapping_add(*integer);
            *integer = sum;
        }
    } else {
        frame::take(bytes, bytemuck::cast_slice_mut(out))?;
    }
    kernels::divide_decimals(out, exponent);
    let mut position = 0usize;
    for _ in 0..exception_count {
        position = position.checked_add(usize::try_from(take_u64(&mut exceptions)?).ok()?)?;
        let bits = *take_bytes(&mut exceptions, 8)?.first_chunk()?;
        *out.get_mut(position)? = f64::from_bits(u64::from_le_bytes(bits));
    }
    Some(())
}

fn take_raw(bytes: &mut &[u8], out: &mut [f64]) -> Option<()> {
    let raw = take_bytes(bytes, out.len().checked_mul(8)?)?;
    for (value, &bits) in out.iter_mut().zip(raw.as_chunks::<8>().0) {
        *value = f64::from_bits(u64::from_le_bytes(bits));
    }
    Some(())
}
