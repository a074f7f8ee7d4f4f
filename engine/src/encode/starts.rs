//! Start timestamps: when what a sample counts began. Mostly one for all samples of a chunk; zero
//! where unknown.
//!
//! ```text
//! form: 1 | 0: frame of the column     1: first: zigzag, frame of the differences
//! ```

use super::frame;
use super::{Columns, DecodeError};
use crate::mem::varint::{push_i64, take_bytes, take_i64};

const PLAIN: u8 = 0;
const DELTAS: u8 = 1;

/// Appends the column, which is not empty.
pub(super) fn push(out: &mut Vec<u8>, starts_ms: &[i64], work: &mut Columns) {
    let plain = frame::plan(starts_ms);
    work.integers.clear();
    let pairs = starts_ms.windows(2);
    work.integers.extend(pairs.map(|pair| pair[1].wrapping_sub(pair[0])));
    let deltas = frame::plan(&work.integers);
    if deltas.bytes < plain.bytes {
        out.push(DELTAS);
        push_i64(out, starts_ms[0]);
        frame::push(out, &work.integers, &deltas);
    } else {
        out.push(PLAIN);
        frame::push(out, starts_ms, &plain);
    }
}

/// Decodes the section `bytes` into `out`, whose length is the count, at least one.
pub(super) fn decode(bytes: &[u8], out: &mut [i64]) -> Result<(), DecodeError> {
    take(bytes, out).ok_or(DecodeError::Starts)
}

fn take(mut bytes: &[u8], out: &mut [i64]) -> Option<()> {
    match take_bytes(&mut bytes, 1)?[0] {
        PLAIN => frame::take(&mut bytes, bytemuck::cast_slice_mut(out))?,
        DELTAS => {
            let mut start_ms = take_i64(&mut bytes)?;
            let (first, deltas) = out.split_first_mut()?;
            frame::take(&mut bytes, bytemuck::cast_slice_mut(deltas))?;
            *first = start_ms;
            for delta in deltas {
                start_ms = start_ms.wrapping_add(*delta);
                *delta = start_ms;
            }
        }
        _ => return None,
    }
    bytes.is_empty().then_some(())
}
