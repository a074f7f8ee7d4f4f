//! Loops over a whole column that do not leave early: they become vector instructions.

/// Whether any of `values` has these bits. About 0.1 ns a value.
pub fn has_bits(values: &[f64], bits: u64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, and the function asks for nothing else.
        return unsafe { has_bits_avx2(values, bits) };
    }
    has_bits_body(values, bits)
}

/// Whether each of `values` is larger than the one before by `step`, wrapping. About 0.1 ns a value.
pub fn are_apart(values: &[i64], step: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, and the function asks for nothing else.
        return unsafe { are_apart_avx2(values, step) };
    }
    are_apart_body(values, step)
}

/// Adds one to each of `counts`. About 0.1 ns each.
pub fn increment(counts: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, and the function asks for nothing else.
        return unsafe { increment_avx2(counts) };
    }
    increment_body(counts);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn has_bits_avx2(values: &[f64], bits: u64) -> bool {
    has_bits_body(values, bits)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn are_apart_avx2(values: &[i64], step: i64) -> bool {
    are_apart_body(values, step)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn increment_avx2(counts: &mut [u64]) {
    increment_body(counts);
}

#[inline(always)]
fn has_bits_body(values: &[f64], bits: u64) -> bool {
    let found = values.iter().map(|value| u64::from(value.to_bits() == bits));
    found.fold(0, |any, one| any | one) != 0
}

#[inline(always)]
fn are_apart_body(values: &[i64], step: i64) -> bool {
    let Some((_, later)) = values.split_first() else { return true };
    let differing = values.iter().zip(later).map(|(one, next)| next.wrapping_sub(*one) ^ step);
    differing.fold(0, |any, one| any | one) == 0
}

#[inline(always)]
fn increment_body(counts: &mut [u64]) {
    counts.iter_mut().for_each(|count| *count += 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_any_place_is_found() {
        let marker = 0x7ff0_0000_0000_0002;
        for count in 0..40 {
            let mut values: Vec<f64> = (0..count).map(f64::from).collect();
            assert!(!has_bits(&values, marker));
            for place in 0..values.len() {
                let before = std::mem::replace(&mut values[place], f64::from_bits(marker));
                assert!(has_bits(&values, marker) && has_bits_body(&values, marker));
                assert!(!has_bits(&values, marker + 1));
                values[place] = before;
            }
        }
    }

    #[test]
    fn one_out_of_place_is_seen() {
        assert!(are_apart(&[], 5) && are_apart(&[7], 5) && are_apart(&[i64::MAX, i64::MIN], 1));
        for count in 2..40 {
            let mut values: Vec<i64> = (0..count).map(|n| 1000 + 15 * n).collect();
            assert!(
                are_apart(&values, 15) && are_apart_body(&values, 15) && !are_apart(&values, 14)
            );
            for place in 0..values.len() {
                values[place] += 1;
                assert!(!are_apart(&values, 15) && !are_apart_body(&values, 15));
                values[place] -= 1;
            }
        }
    }

    #[test]
    fn all_are_counted() {
        for count in 0..40 {
            let (mut fast, mut slow): (Vec<u64>, Vec<u64>) = (0..count).map(|n| (n, n)).unzip();
            increment(&mut fast);
            increment_body(&mut slow);
            assert_eq!(fast, slow);
            assert!((1..=count).eq(fast));
        }
    }
}
