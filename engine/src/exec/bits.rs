//! Sets of steps: a bit for each, whole words; those past the last step are zero.

use std::ops::Range;

/// Steps of a word.
pub const WORD_BITS: usize = u64::BITS as usize;

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

/// The set bits of a word if they stand in one row; none stand in a row of none.
#[inline]
pub fn only_run(word: u64) -> Option<Range<usize>> {
    let start = word.trailing_zeros() as usize % WORD_BITS;
    let end = start + (word >> start).trailing_ones() as usize;
    (end - start == word.count_ones() as usize).then_some(start..end)
}

/// Whether the bits of some steps are all set.
pub fn are_set(bits: &[u64], steps: Range<usize>) -> bool {
    bits.iter().enumerate().all(|(index, word)| {
        let start = steps.start.max(index * WORD_BITS);
        let end = steps.end.min((index + 1) * WORD_BITS);
        start >= end || {
            let wanted = (u64::MAX >> (WORD_BITS - (end - start))) << (start % WORD_BITS);
            word & wanted == wanted
        }
    })
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

#[cfg(test)]
mod tests {
    use super::{are_set, count, ones, only_run, set, set_all, set_range, words};

    #[test]
    fn ranges_of_bits() {
        for range in [0..0, 0..1, 3..3, 5..70, 0..64, 64..130, 63..65, 129..130] {
            let mut bits = vec![0; words(130)];
            set_range(&mut bits, range.clone());
            assert_eq!(ones(&bits).collect::<Vec<_>>(), range.clone().collect::<Vec<_>>());
            assert!(are_set(&bits, range.clone()));
            assert!(range.end >= 130 || !are_set(&bits, range.start..range.end + 1));
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

    #[test]
    fn one_run_or_several() {
        for (word, run) in [
            (0, Some(0..0)),
            (1, Some(0..1)),
            (u64::MAX, Some(0..64)),
            (u64::MAX << 9, Some(9..64)),
            (0b1110, Some(1..4)),
            (1 << 63, Some(63..64)),
            (0b101, None),
            (1 << 63 | 1, None),
        ] {
            assert_eq!(only_run(word), run, "{word:b}");
        }
    }
}
