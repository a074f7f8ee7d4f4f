use proptest::prelude::*;

use super::{Open, PACKED_BYTES_MAX, Pushed};
use crate::kernels::POW10;
use crate::mem::SlotPool;
use crate::model::{STALE_NAN_BITS, SeriesId};

/// Values as series have them: the same, whole numbers, decimals of some digits, anything.
fn bits() -> impl Strategy<Value = u64> {
    let decimal = |(integer, digits): (i64, i32)| (integer as f64 / 10f64.powi(digits)).to_bits();
    let large = (any::<i64>(), 0..2i32);
    prop_oneof![
        40 => Just(0u64),
        20 => (-500..500i64, Just(0)).prop_map(decimal),
        10 => (-100_000..100_000i64, 0..4i32).prop_map(decimal),
        5 => (-100..100i64, Just(0)).prop_map(move |(pages, digits)| decimal((4096 * pages, digits))),
        2 => large.prop_map(decimal),
        1 => (any::<i64>(), 0..12i32).prop_map(decimal),
        1 => prop_oneof![Just(STALE_NAN_BITS), Just((-0.0f64).to_bits()), any::<u64>()],
    ]
}

fn step_ms() -> impl Strategy<Value = i64> {
    prop_oneof![
        60 => Just(15_000i64),
        2 => 14_990..15_010i64,
        1 => 1..40_000i64,
        1 => prop_oneof![Just(1i64 << 31), Just(u32::MAX.into()), Just(1i64 << 40)],
    ]
}

proptest! {
    #[test]
    fn what_was_pushed_is_read(
        series in any::<u32>(),
        samples in prop::collection::vec((step_ms(), bits()), 1..400),
        // Part of a chunk's samples that are read.
        part in 0.0..1.0f64,
    ) {
        let (mut slots, mut open) = (SlotPool::default(), Open::new(SeriesId(series)));
        let (mut expected_ms, mut expected): (Vec<i64>, Vec<u64>) = (vec![], vec![]);
        let mut timestamp_ms = -5;
        for (step_ms, bits) in samples {
            timestamp_ms += step_ms;
            let mut pushed = open.push(&mut slots, timestamp_ms, bits);
            if pushed == Pushed::SealFirst {
                open.clear(&mut slots);
                expected_ms.clear();
                expected.clear();
                pushed = open.push(&mut slots, timestamp_ms, bits);
            }
            expected_ms.push(timestamp_ms);
            expected.push(bits);
            let first = (part * expected.len() as f64) as usize;
            for (from, min_ms) in [(0, i64::MIN), (first, expected_ms[first])] {
                let (mut timestamps_ms, mut values) = (vec![], vec![]);
                open.read(&slots, min_ms, &mut timestamps_ms, &mut values);
                prop_assert_eq!(&timestamps_ms, &expected_ms[from..]);
                let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
                prop_assert_eq!(&bits, &expected[from..]);
            }
            let (mut timestamps_ms, mut integers) = (vec![7], vec![7]);
            if let Some(exponent) = open.read_decimals(&slots, &mut timestamps_ms, &mut integers) {
                prop_assert_eq!(&timestamps_ms, &expected_ms);
                let power = POW10[usize::from(exponent)];
                let bits: Vec<u64> =
                    integers.iter().map(|&integer| (integer as f64 / power).to_bits()).collect();
                prop_assert_eq!(&bits, &expected);
            }
            prop_assert_eq!(open.first_ms(&slots), expected_ms[0]);
            prop_assert!(slots.live_bytes() <= PACKED_BYTES_MAX.max(768));
            match pushed {
                Pushed::Done => {}
                Pushed::Full => {
                    open.clear(&mut slots);
                    expected_ms.clear();
                    expected.clear();
                }
                _ => panic!("an empty chunk takes any sample"),
            }
        }
        open.clear(&mut slots);
        prop_assert_eq!(slots.live_bytes(), 0);
    }
}

/// Pushes `values` every `step_ms`, the first of a series; the bytes that they take.
#[track_caller]
fn check(values: impl IntoIterator<Item = f64>, step_ms: impl Fn(i64) -> i64, bytes: usize) {
    let (mut slots, mut open) = (SlotPool::default(), Open::new(SeriesId(0)));
    let mut timestamp_ms = 0;
    for (number, value) in (0..).zip(values) {
        timestamp_ms += step_ms(number);
        assert_eq!(open.push(&mut slots, timestamp_ms, value.to_bits()), Pushed::Done);
    }
    assert_eq!(slots.live_bytes(), bytes);
}

#[test]
fn samples_take_what_they_differ_by() {
    let even = |_| 15_000;
    check([5.0; 100], even, 0);
    check((0..100).map(|n| f64::from(n % 7)), even, 64);
    check((0..100).map(|n| f64::from(n % 7) / 100.0), even, 64);
    check((0..100).map(|n| 1e9 + f64::from(n * 150)), even, 112);
    // Pages: seven bits each.
    check((0..100).map(|n| f64::from(n * n % 64 * 4096)), even, 96);
    // One that is large among many that are not.
    check((0..60).map(|n| f64::from(n) + if n == 30 { 1e12 } else { 0.0 }), even, 80);
    check((0..100).map(|n| f64::from(n % 7)), |n| 15_000 + n % 5, 224);
    check([5.0; 100], |n| 15_000 + n % 5, 224);
    check((0..60).map(|n| f64::from(n).sqrt()), even, 512);
    // Digits are found one after the other.
    check([1.0, 1.5, 1.25, 1.125, 1.5, 1.0], even, 24);
    // One missed scrape.
    check((0..100).map(|n| f64::from(n % 7)), |n| 15_000 * (1 + i64::from(n == 50)), 224);
}
