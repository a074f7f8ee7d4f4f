//! Tokens: a column of integers in about as many bits as its distribution asks for.
//!
//! ```text
//! base: zigzag | shift: u8 | lowest token: u8 | token count: u8 | weights: 4 bits each
//! | states: 2 each | bytes that they take up | lower bits
//! ```
//!
//! A value is `base + (unzigzag(folded) << shift)`; its token is the number of bits of `folded`. Tokens
//! are coded by their weights (asymmetric numeral systems, four states in turn), what stands below the
//! highest bit is written as it is. A frame gives every value the width of nearly the widest; this
//! gives each the width it needs, and takes three times as long to read: for what is written once and
//! rests.
//!
//! Source: Duda, "Asymmetric numeral systems", arXiv:1311.2540 (2013), the range variant, with states in
//! turn as in Giesen, "Interleaved entropy coders", arXiv:1402.3392 (2014); numbers as token and lower
//! bits as in JPEG XL.

use super::frame::BitPacker;
use crate::mem::varint::{bytes_of_u64, push_i64, take_bytes, take_i64, unzigzag, zigzag};

/// Slots that the tokens of a column share.
const SLOT_BITS: u32 = 8;
const SLOT_COUNT: u32 = 1 << SLOT_BITS;

/// States that take turns: each waits for itself only. A state has two bytes, the upper not zero.
const LANE_COUNT: usize = 4;
const FIRST_STATE: u32 = 1 << 8;
const HEADS_BYTES: usize = 2 * LANE_COUNT;

/// Tokens are 0 to 64.
const TOKEN_COUNT_MAX: usize = 65;

/// The highest bit of what has a token; none of the others are tokens.
const HIGHEST: [u64; 128] = {
    let (mut highest, mut token) = ([0; 128], 1);
    while token < TOKEN_COUNT_MAX {
        highest[token] = 1 << (token - 1);
        token += 1;
    }
    highest
};

/// What a weight of 4 bits stands for: half as much again each.
const WEIGHTS: [u32; 16] = [0, 1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 63, 94, 141, 211, 316];

/// Values by which the base is chosen.
const JUDGED_COUNT: usize = 63;

/// How a column will be written.
#[derive(Clone, Debug)]
pub(super) struct TokenPlan {
    base: i64,
    shift: u32,
    lowest: usize,
    /// Places in [`WEIGHTS`], from the lowest token on.
    weights: [u8; TOKEN_COUNT_MAX],
    token_count: usize,
    shares: Shares,
    /// Bytes that the column will take, give or take one or two.
    pub(super) bytes: usize,
}

/// How many slots each token has, from the lowest token on.
type Shares = [u16; TOKEN_COUNT_MAX];

/// Gives each weight its slots, at least one where it is not zero; the heaviest has what is left.
/// `None` when nothing is left for it.
fn shares(weights: &[u8]) -> Option<Shares> {
    let sum: u32 = weights.iter().map(|&weight| WEIGHTS[usize::from(weight)]).sum();
    let (mut shares, mut left) = ([0u16; TOKEN_COUNT_MAX], SLOT_COUNT as i32);
    let mut heaviest = 0;
    for (place, &weight) in weights.iter().enumerate() {
        if weight > 0 {
            let share = (WEIGHTS[usize::from(weight)] * SLOT_COUNT / sum).max(1);
            shares[place] = share as u16;
            left -= share as i32;
        }
        if weight > weights[heaviest] {
            heaviest = place;
        }
    }
    let share = i32::from(shares[heaviest]) + left;
    shares[heaviest] = u16::try_from(share).ok().filter(|&share| share > 0 && sum > 0)?;
    Some(shares)
}

#[inline]
fn fold(value: i64, base: i64, shift: u32) -> u64 {
    zigzag(value.wrapping_sub(base) >> shift)
}

#[inline]
fn token(folded: u64) -> usize {
    (64 - folded.leading_zeros()) as usize
}

/// A value in the middle of the others, about.
fn middle(column: &[i64]) -> i64 {
    let mut judged = [0i64; JUDGED_COUNT];
    let mut count = 0;
    for (slot, &value) in
        judged.iter_mut().zip(column.iter().step_by(column.len().div_ceil(JUDGED_COUNT)))
    {
        *slot = value;
        count += 1;
    }
    let middle = count / 2;
    *judged[..count].select_nth_unstable(middle).1
}

/// Plans `column`; `None` when it is empty, or its tokens are too many for the slots.
/// O(count), no allocation.
pub(super) fn plan(column: &[i64]) -> Option<TokenPlan> {
    let &first = column.first()?;
    let used = column.iter().fold(0, |used, &value| used | value.wrapping_sub(first) as u64);
    let shift = if used == 0 { 0 } else { used.trailing_zeros() };
    let base = middle(column);
    let mut counts = [0u32; TOKEN_COUNT_MAX];
    for &value in column {
        counts[token(fold(value, base, shift))] += 1;
    }
    let lowest = counts.iter().position(|&count| count > 0)?;
    let highest = counts.iter().rposition(|&count| count > 0)?;
    let token_count = highest - lowest + 1;
    let counts = &counts[lowest..=highest];
    let most = u64::from(*counts.iter().max()?);
    let mut weights = [0u8; TOKEN_COUNT_MAX];
    for (weight, &count) in weights.iter_mut().zip(counts) {
        if count > 0 {
            // The nearest by ratio: borders are the geometric means of neighbours.
            let scaled = u64::from(count) * u64::from(WEIGHTS[15]);
            let is_below = |place: &usize| {
                let (one, next) = (u64::from(WEIGHTS[*place]), u64::from(WEIGHTS[place + 1]));
                scaled * scaled < one * next * most * most
            };
            *weight = (1..15).find(is_below).unwrap_or(15) as u8;
        }
    }
    let shares = shares(&weights[..token_count])?;
    let (mut bits, mut lower_bits) = (0.0, 0);
    for (place, &count) in counts.iter().enumerate() {
        if count > 0 {
            let slots = f64::from(shares[place]);
            bits += f64::from(count) * (f64::from(SLOT_BITS) - slots.log2());
            lower_bits += count as usize * (lowest + place).saturating_sub(1);
        }
    }
    let head = bytes_of_u64(zigzag(base)) + 3 + token_count.div_ceil(2) + 2 * LANE_COUNT;
    let bytes = head + (bits as usize).div_ceil(8) + lower_bits.div_ceil(8);
    Some(TokenPlan { base, shift, lowest, weights, token_count, shares, bytes })
}

/// Appends `column` as planned. `taken` is room to work in.
pub(super) fn push(out: &mut Vec<u8>, column: &[i64], plan: &TokenPlan, taken: &mut Vec<u8>) {
    push_i64(out, plan.base);
    out.extend_from_slice(&[plan.shift as u8, plan.lowest as u8, plan.token_count as u8]);
    let weights = &plan.weights[..plan.token_count];
    out.extend(weights.chunks(2).map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 4));

    let mut firsts = [0u32; TOKEN_COUNT_MAX];
    let mut first = 0;
    for (slot, &share) in firsts.iter_mut().zip(&plan.shares[..plan.token_count]) {
        *slot = first;
        first += u32::from(share);
    }
    // What is read first is written last.
    let mut states = [FIRST_STATE; LANE_COUNT];
    taken.clear();
    for (index, &value) in column.iter().enumerate().rev() {
        let place = token(fold(value, plan.base, plan.shift)) - plan.lowest;
        let share = u32::from(plan.shares[place]);
        let state = &mut states[index % LANE_COUNT];
        if *state >= share << 8 {
            taken.push(*state as u8);
            *state >>= 8;
        }
        *state = ((*state / share) << SLOT_BITS) + *state % share + firsts[place];
    }
    out.extend(states.iter().flat_map(|&state| (state as u16).to_le_bytes()));
    out.extend(taken.iter().rev());
    let mut bits = BitPacker::default();
    for &value in column {
        let folded = fold(value, plan.base, plan.shift);
        let width = token(folded).saturating_sub(1) as u32;
        bits.push(out, folded & ((1 << width) - 1), width);
    }
    bits.finish(out);
}

/// Bits that a window has at least.
const WINDOW_BITS: usize = 57;

/// The bits from bit `at` of the eight bytes there, or of the last eight, on: [`WINDOW_BITS`] at
/// least, as far as `bytes` has them; behind the end anything.
#[inline(always)]
fn window(bytes: &[u8], last_start: usize, at: usize) -> u64 {
    let start = (at / 8).min(last_start);
    let word = bytes[start..].first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
    word >> ((at - 8 * start) % 64)
}

/// Of each slot: its token, its place among those of the token, their number.
#[derive(Clone, Copy, Default)]
struct Slot {
    token: u8,
    place: u8,
    share: u16,
}

type Slots = [Slot; SLOT_COUNT as usize];

/// Takes a column of `out.len()` values off the front of `bytes` and decodes it into `out`, as the
/// bits of `i64`. `None` when no encoder wrote the bytes.
pub(super) fn take(bytes: &mut &[u8], out: &mut [u64]) -> Option<()> {
    let base = take_i64(bytes)?;
    let &[shift, lowest, token_count] = take_bytes(bytes, 3)?.first_chunk::<3>()?;
    let (lowest, token_count) = (usize::from(lowest), usize::from(token_count));
    if shift > 63 || token_count == 0 || lowest + token_count > TOKEN_COUNT_MAX {
        return None;
    }
    let packed = take_bytes(bytes, token_count.div_ceil(2))?;
    let mut weights = [0u8; TOKEN_COUNT_MAX + 1];
    for (pair, byte) in weights.chunks_mut(2).zip(packed) {
        (pair[0], pair[1]) = (byte & 15, byte >> 4);
    }
    let shares = shares(&weights[..token_count])?;
    let mut slots: Slots = [Slot::default(); SLOT_COUNT as usize];
    let mut first = 0;
    for (token, &share) in (lowest..).zip(&shares[..token_count]) {
        let end = first + usize::from(share);
        for (place, slot) in slots.get_mut(first..end)?.iter_mut().enumerate() {
            *slot = Slot { token: token as u8, place: place as u8, share };
        }
        first = end;
    }
    let all = *bytes;
    take_tokens(bytes, &slots, out)?;
    take_lower_bits(all, bytes, lowest + token_count - 1, base, u32::from(shift), out)
}

/// Takes states and the bytes that they take up; leaves the tokens in `out`.
fn take_tokens(bytes: &mut &[u8], slots: &Slots, out: &mut [u64]) -> Option<()> {
    let all = *bytes;
    let heads = take_bytes(bytes, HEADS_BYTES)?.as_chunks::<2>().0;
    let mut states = [0u32; LANE_COUNT];
    for (state, &head) in states.iter_mut().zip(heads) {
        *state = u32::from(u16::from_le_bytes(head));
    }
    let mut at = 8 * HEADS_BYTES;
    let (fours, rest) = out.as_chunks_mut::<LANE_COUNT>();
    for four in fours {
        at = turn(all, at, slots, &mut states, four);
    }
    at = turn(all, at, slots, &mut states, rest);
    // Where the encoder began, all states end.
    (states == [FIRST_STATE; LANE_COUNT]).then_some(())?;
    take_bytes(bytes, at / 8 - HEADS_BYTES).map(|_| ())
}

/// Takes a token from each of the states, which take up bytes from bit `at` on. Returns where those
/// end.
#[inline(always)]
fn turn(
    all: &[u8],
    at: usize,
    slots: &Slots,
    states: &mut [u32; LANE_COUNT],
    out: &mut [u64],
) -> usize {
    // Four bytes at most are taken up.
    let next = window(all, all.len() - HEADS_BYTES, at);
    let mut used = 0;
    for (value, state) in out.iter_mut().zip(states) {
        let slot = slots[(*state % SLOT_COUNT) as usize];
        *value = u64::from(slot.token);
        let stays = u32::from(slot.share) * (*state >> SLOT_BITS) + u32::from(slot.place);
        let grows = stays << 8 | (next >> used) as u32 & 0xff;
        let is_small = stays < FIRST_STATE;
        *state = if is_small { grows } else { stays };
        used += u32::from(is_small) * 8;
    }
    at + used as usize
}

/// Takes what stands below the highest bit of each value; `out` has their tokens. `all` ends as
/// `bytes` do and has eight bytes at least.
fn take_lower_bits(
    all: &[u8],
    bytes: &mut &[u8],
    highest_token: usize,
    base: i64,
    shift: u32,
    out: &mut [u64],
) -> Option<()> {
    let last_start = all.len() - HEADS_BYTES;
    let first = 8 * (all.len() - bytes.len());
    let mut at = first;
    // Few columns have values of which one window does not hold all bits.
    if highest_token > WINDOW_BITS {
        for value in out {
            let read = window(all, last_start, at) | window(all, last_start, at + 32) << 32;
            at += value.saturating_sub(1) as usize;
            *value = unfold(*value, read, base, shift);
        }
    } else {
        for value in out {
            let read = window(all, last_start, at);
            at += value.saturating_sub(1) as usize;
            *value = unfold(*value, read, base, shift);
        }
    }
    take_bytes(bytes, (at - first).div_ceil(8)).map(|_| ())
}

/// The value with a token whose lower bits are the lowest of `read`.
#[inline(always)]
fn unfold(token: u64, read: u64, base: i64, shift: u32) -> u64 {
    let highest = HIGHEST[token as usize % HIGHEST.len()];
    let folded = highest | read & highest.saturating_sub(1);
    (base as u64).wrapping_add((unzigzag(folded) as u64) << shift)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{plan, push, take};

    /// Encodes `column`, if it has a plan; expects it back. Returns the bytes it took.
    #[track_caller]
    fn check(column: &[i64]) -> Option<usize> {
        let plan = plan(column)?;
        let mut out = vec![];
        push(&mut out, column, &plan, &mut vec![]);
        let (bytes, planned) = (out.len(), plan.bytes);
        assert!(bytes.abs_diff(planned) <= 6 + bytes / 16, "{bytes} bytes, planned {planned}");
        let mut back = vec![0; column.len()];
        // What stands behind the column does not matter.
        for behind in [&[][..], &[0xff; 9]] {
            let bytes = [&out[..], behind].concat();
            let mut rest = &bytes[..];
            take(&mut rest, &mut back).unwrap();
            assert_eq!(rest, behind);
            assert!(back.iter().zip(column).all(|(&back, &value)| back as i64 == value));
        }
        for end in 0..out.len() {
            assert!(take(&mut &out[..end], &mut back).is_none());
        }
        Some(out.len())
    }

    /// Scrambles `n`: reproducible noise.
    fn noise(n: u64) -> u64 {
        let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ mixed >> 32
    }

    #[test]
    fn columns_take_what_their_distribution_asks_for() {
        let of = |f: fn(u64) -> i64| (0..1000).map(f).collect::<Vec<i64>>();
        assert!(check(&[]).is_none());
        assert!(check(&[5]).unwrap() <= 13);
        assert!(check(&of(|_| -7)).unwrap() <= 13);
        assert!(check(&[i64::MIN, i64::MAX, 0, -1, 1]).is_some());
        // One in a hundred: an entropy of 0.08 bits.
        assert!(check(&of(|n| i64::from(noise(n).is_multiple_of(100)))).unwrap() <= 25);
        // Pages; uniform: 8 bits each, about as many as a frame takes.
        assert!(check(&of(|n| ((noise(n) % 256) << 12) as i64)).unwrap() <= 1080);
        // Geometric: two bits each.
        assert!(check(&of(|n| 100 + i64::from(noise(n).trailing_zeros()))).unwrap() <= 320);
    }

    proptest! {
        #[test]
        fn every_column_comes_back(
            (width, column) in (0u32..64, prop::collection::vec(any::<i64>(), 1..300)),
        ) {
            let column: Vec<i64> = column.iter().map(|&value| value >> width).collect();
            check(&column);
        }

        #[test]
        fn bytes_that_nobody_wrote_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = take(&mut &bytes[..], &mut [0; 67]);
        }
    }
}
