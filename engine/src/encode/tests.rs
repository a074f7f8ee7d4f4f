//! Every codec against the plain columns, and against bytes that no encoder wrote.

use proptest::prelude::*;

use super::*;
use crate::model::sample::{NORMAL_NAN_BITS, STALE_NAN_BITS};

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Encodes with the chooser and with every pair of codecs; expects the same columns back. Returns
/// the chosen header and the chunk's bytes.
#[track_caller]
fn check(timestamps_ms: &[i64], values: &[f64]) -> (ChunkHeader, usize) {
    let mut work = Columns::default();
    let mut chunk = vec![];
    encode(timestamps_ms, values, &mut work, &mut chunk);
    let chosen_bytes = chunk.len();
    let chosen = ChunkHeader::decode(&chunk).unwrap();
    let expected = (timestamps_ms.to_vec(), bits(values));
    let back = |chunk: &[u8]| {
        let last = last_float(chunk, &mut vec![0.5]).unwrap().unwrap();
        assert_eq!(Some(last.to_bits()), values.last().map(|value| value.to_bits()));
        let (mut timestamps_ms, mut values) = (vec![-7], vec![0.5]);
        decode(chunk, &mut timestamps_ms, &mut values).map(|()| {
            assert_eq!((timestamps_ms[0], values[0]), (-7, 0.5));
            (timestamps_ms[1..].to_vec(), bits(&values[1..]))
        })
    };
    assert_eq!(back(&chunk).unwrap(), expected, "{chosen:?}");
    for timestamp_codec in TimestampCodec::ALL {
        for float_codec in FloatCodec::ALL {
            chunk.clear();
            if encode_with(
                timestamp_codec,
                float_codec,
                timestamps_ms,
                values,
                &mut work,
                &mut chunk,
            ) {
                assert_eq!(back(&chunk).unwrap(), expected, "{timestamp_codec:?} {float_codec:?}");
            }
        }
    }
    (chosen, chosen_bytes)
}

/// A column on a grid of 15 s, its value codec and a bound on the bytes of its chunk.
#[track_caller]
fn check_values(values: &[f64], codec: FloatCodec, bytes_max: usize) {
    let timestamps_ms: Vec<i64> =
        (0..values.len() as i64).map(|n| 1_760_000_000_123 + n * 15_000).collect();
    let (header, bytes) = check(&timestamps_ms, values);
    assert_eq!(header.value_codec, ValueCodec::Floats(codec));
    assert_eq!(header.timestamp_codec, TimestampCodec::Step);
    assert_eq!((header.count, header.min_ms), (values.len(), timestamps_ms[0]));
    assert!(bytes <= bytes_max, "{bytes} bytes");
}

fn column(f: impl Fn(u64) -> f64) -> Vec<f64> {
    (0..120).map(f).collect()
}

/// Scrambles `n`: reproducible noise.
fn noise(n: u64) -> u64 {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ mixed >> 32
}

#[test]
fn the_chooser_finds_the_form_of_a_column() {
    use FloatCodec::*;
    check_values(&column(|_| 0.0), Constant, 16);
    check_values(&column(|_| 1.0), Constant, 18);
    check_values(&column(|_| f64::from_bits(STALE_NAN_BITS)), Constant, 24);
    check_values(&column(|n| n as f64), Linear, 20);
    check_values(&column(|n| 1e6 - 40.0 * n as f64), Linear, 20);
    check_values(&column(|n| (noise(n) % 200) as f64), Decimal, 16 + 125);
    check_values(&column(|n| (noise(n) % 10_000) as f64 / 100.0), Decimal, 16 + 214);
    check_values(&column(|n| (noise(n) % 256 * 4096) as f64), Decimal, 16 + 128);
    check_values(&column(|n| (n * 1000 + noise(n) % 200) as f64), DecimalDeltas, 20 + 140);
    check_values(&column(|n| 1e18 + (n * 4096) as f64), Linear, 28);
    check_values(&column(|n| f64::from_bits(noise(n))), Raw, 16 + 960);
    check_values(&column(|n| (n as f64 * 0.1).sin()), Xor, 16 + 960);
    let mut marked = column(|n| (noise(n) % 10_000) as f64 / 100.0);
    marked[119] = f64::from_bits(STALE_NAN_BITS);
    marked[3] = -0.0;
    check_values(&marked, Decimal, 16 + 214 + 20);
    let mut reset = column(|n| (n * 1000 + noise(n) % 200) as f64 + 1e9);
    reset[60..].iter_mut().for_each(|value| *value -= 1e9);
    check_values(&reset, DecimalDeltas, 30 + 140);
}

#[test]
fn long_columns_find_their_form() {
    use FloatCodec::*;
    let long = |f: fn(u64) -> f64| -> Vec<f64> { (0..1024).map(f).collect() };
    check_values(&long(|n| (n / 128 * 1_000_000 + noise(n) % 250) as f64), DecimalRow, 16 + 1100);
    check_values(
        &long(|n| (n * 5000 * (n / 256 % 2) + noise(n) % 8) as f64),
        DecimalDeltasRow,
        16 + 700,
    );
    check_values(&long(|n| (n * 97 + noise(n) % 8) as f64 * 0.001), NearDecimals, 16 + 1000);
    let twice = long(|n| ((n + 50) * 123_457 + noise(n) % 64) as f64 / 1000.0 / 1000.0);
    check_values(&twice, NearDecimals, 16 + 1300);
    let mut odd = twice;
    (odd[5], odd[6], odd[7]) = (f64::NAN, -0.0, f64::NEG_INFINITY);
    check_values(&odd, NearDecimals, 16 + 1400);
}

#[test]
fn columns_at_rest_are_tokens_where_these_are_fewer() {
    use FloatCodec::*;
    #[track_caller]
    fn check_resting(values: &[f64], codec: FloatCodec, bytes_max: usize) {
        let (mut bytes, mut back) = (vec![7], vec![0.5]);
        let found = push_floats(&mut bytes, values, &mut Columns::default());
        assert_eq!((found, bytes[0]), (codec, 7));
        assert!(bytes.len() <= bytes_max, "{} bytes", bytes.len());
        decode_floats(&bytes[1..], found, values.len(), &mut back).unwrap();
        assert_eq!(bits(&back[1..]), bits(values));
        // The bytes of a constant may end anywhere.
        for end in 1..if codec == Constant { 1 } else { bytes.len() } {
            assert!(decode_floats(&bytes[1..end], found, values.len(), &mut back).is_err());
        }
    }
    let long = |f: fn(u64) -> f64| -> Vec<f64> { (0..1024).map(f).collect() };
    let seldom = |n: u64| f64::from(noise(n).trailing_zeros());
    check_resting(&long(|_| 3.5), Constant, 9);
    check_resting(&long(|n| (noise(n) % 256) as f64), Decimal, 1040);
    check_resting(&long(seldom), Tokens, 310);
    let mut sum = 1e6;
    let mut add = |step: &f64| {
        sum += step;
        sum
    };
    let counter: Vec<f64> = long(seldom).iter().map(&mut add).collect();
    check_resting(&counter, Tokens, 310);
    let quadratic: Vec<f64> = counter.iter().map(add).collect();
    check_resting(&quadratic, Tokens, 380);
    let mut marked = counter;
    (marked[1], marked[1023]) = (f64::from_bits(STALE_NAN_BITS), -0.0);
    check_resting(&marked, Tokens, 330);
    // No decimals: their bits, which hardly change.
    let fine = long(|n| (1.0 + f64::EPSILON * (noise(n) % 64 / 48 * n) as f64) / 3.0);
    check_resting(&fine, Tokens, 1000);
}

#[test]
fn values_that_only_bits_can_tell_apart_come_back() {
    let odd = [
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::from_bits(1 << 63 | 1),
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::from_bits(NORMAL_NAN_BITS),
        f64::from_bits(STALE_NAN_BITS),
        f64::from_bits(u64::MAX),
        9_007_199_254_740_993.0,
        -9_223_372_036_854_775_808.0,
        9_223_372_036_854_775_808.0,
        0.1,
        0.1 + 0.2,
        1e22,
        123_456_789.123_456_78,
    ];
    let timestamps_ms: Vec<i64> = (0..odd.len() as i64).collect();
    check(&timestamps_ms, &odd);
    for (index, &value) in odd.iter().enumerate() {
        check(&[5], &[value]);
        check(&[5, 6], &[value, odd[(index + 1) % odd.len()]]);
        check(&timestamps_ms, &vec![value; odd.len()]);
    }
}

#[test]
fn timestamps_find_their_form() {
    #[track_caller]
    fn check_timestamps(timestamps_ms: &[i64], codec: TimestampCodec, bytes_max: usize) {
        let (header, bytes) = check(timestamps_ms, &vec![1.0; timestamps_ms.len()]);
        assert_eq!(header.timestamp_codec, codec);
        assert!(bytes <= bytes_max, "{bytes} bytes");
    }
    let grid = |n: i64| 1_760_000_000_123 + n * 15_000;
    check_timestamps(&[i64::MIN], TimestampCodec::Step, 24);
    check_timestamps(&[i64::MIN, i64::MIN + 5], TimestampCodec::Step, 24);
    check_timestamps(&[0, i64::MAX - 1, i64::MAX], TimestampCodec::Deltas, 60);
    check_timestamps(&(0..120).map(grid).collect::<Vec<_>>(), TimestampCodec::Step, 18);
    let jitter: Vec<i64> = (0..120).map(|n| grid(n) + (noise(n as u64) % 8) as i64).collect();
    check_timestamps(&jitter, TimestampCodec::Line, 24 + 62);
    let gap: Vec<i64> = (0..120).map(|n| grid(n) + if n > 50 { 60_000 } else { 0 }).collect();
    check_timestamps(&gap, TimestampCodec::Deltas, 40);
}

#[test]
fn broken_bytes_are_an_error_or_other_samples_but_never_a_panic() {
    let timestamps_ms: Vec<i64> = (0..20).map(|n| n * 1000 + n % 3).collect();
    let columns: [Vec<f64>; 3] = [
        (0..20).map(|n| f64::from(n) * 0.25).collect(),
        (0..20).map(|n| f64::from(n * n) * 1e3).collect(),
        (0..20).map(|n| (f64::from(n) * 0.1).sin()).collect(),
    ];
    let (mut work, mut t, mut v) = (Columns::default(), vec![], vec![]);
    for values in &columns {
        for timestamp_codec in TimestampCodec::ALL {
            for float_codec in FloatCodec::ALL {
                let mut chunk = vec![];
                let (ts, fs) = (timestamp_codec, float_codec);
                if !encode_with(ts, fs, &timestamps_ms, values, &mut work, &mut chunk) {
                    continue;
                }
                for end in 0..chunk.len() {
                    assert!(decode(&chunk[..end], &mut t, &mut v).is_err());
                    assert!(last_float(&chunk[..end], &mut vec![]).is_err());
                }
                for bit in 0..chunk.len() * 8 {
                    let mut broken = chunk.clone();
                    broken[bit / 8] ^= 1 << (bit % 8);
                    if decode(&broken, &mut t, &mut v).is_ok() {
                        assert!(t.is_sorted_by(|left, right| left < right));
                        assert_eq!(t.len(), v.len());
                    }
                    t.clear();
                    v.clear();
                }
            }
        }
    }
}

/// The bytes of a released format never change: a chunk of each codec, and what it must look like.
#[test]
fn bytes_are_as_they_were() {
    #[track_caller]
    fn check_bytes(timestamp_codec: TimestampCodec, float_codec: FloatCodec, expected: &str) {
        let timestamps_ms = match timestamp_codec {
            TimestampCodec::Step => [1000, 2000, 3000, 4000, 5000],
            _ => [1000, 2001, 3000, 4002, 9000],
        };
        let values = match float_codec {
            FloatCodec::Constant => [1.5; 5],
            FloatCodec::Linear => [3.0, 5.0, 7.0, 9.0, 11.0],
            FloatCodec::NearDecimals => {
                let [above, below] = [0.005f64, -0.25].map(|value| value.to_bits());
                [0.003, f64::from_bits(above + 2), 0.049, f64::from_bits(below - 1), 1.0]
            }
            _ => [0.25, 0.5, f64::from_bits(STALE_NAN_BITS), -1.75, 12.0],
        };
        let (mut work, mut chunk) = (Columns::default(), vec![]);
        assert!(encode_with(
            timestamp_codec,
            float_codec,
            &timestamps_ms,
            &values,
            &mut work,
            &mut chunk
        ));
        let hex: String = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
    use FloatCodec::*;
    use TimestampCodec::*;
    check_bytes(Step, Constant, "0005d00fa01f00023ff8");
    check_bytes(Deltas, Linear, "0905d00fc03e0902ce0f02000103e707f20604");
    check_bytes(
        Line,
        Decimal,
        "1205d00fc03e0d17eb2e0c0000b6fb7ce60300b60b020102020000000000f07fdd020b0000c808473800f055",
    );
    check_bytes(
        Step,
        DecimalDeltas,
        "1805d00fa01f0017020102020000000000f07f32c1030b0000fa080700800c",
    );
    check_bytes(
        Step,
        Xor,
        "2005d00fa01f00213fd0000000000000ca07c1f6008000000000001c0fb003000000000000e01bffa8",
    );
    check_bytes(
        Step,
        Raw,
        "\
         2805d00fa01f0028000000000000d03f000000000000e03f020000000000f07f00000000000\
         0fcbf0000000000002840",
    );
    check_bytes(Step, DecimalRow, "3005d00fa01f0015020102020000000000f07fdd020bc808473800f055");
    check_bytes(
        Step,
        DecimalDeltasRow,
        "3805d00fa01f0015020102020000000000f07f32c1030bfa080700800c",
    );
    check_bytes(Step, NearDecimals, "4005d00fa01f0010030006d5040b2db90a001a0c01021d01");
    check_bytes(
        Step,
        Tokens,
        "\
         4805d00fa01f0022020102020000000000f07f006400000d0f00000dd0000d801f20022002b\
         00531981f",
    );
}

fn timestamp_columns() -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![Just(1i64), 1..100i64, 14_900..15_100i64, 1..1_000_000_000_000i64];
    let steps = prop_oneof![
        (1usize..200, step.clone()).prop_map(|(count, step)| vec![step; count]),
        prop::collection::vec(step, 1..200),
    ];
    (-2_000_000_000_000..2_000_000_000_000i64, steps).prop_map(|(start, steps)| {
        let mut timestamp_ms = start;
        let next = |step: i64| {
            timestamp_ms += step;
            timestamp_ms
        };
        steps.into_iter().map(next).collect()
    })
}

fn float_values() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-1000i64..1000).prop_map(|n| n as f64),
        any::<i64>().prop_map(|n| n as f64),
        (any::<i32>(), 0usize..12).prop_map(|(n, e)| f64::from(n) / crate::kernels::POW10[e]),
        Just(f64::from_bits(STALE_NAN_BITS)),
        Just(-0.0),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_codec_gives_back_random_columns(
        timestamps_ms in timestamp_columns(),
        seed in prop::collection::vec(float_values(), 1..12),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 200),
    ) {
        let values: Vec<f64> =
            (0..timestamps_ms.len()).map(|n| seed[picks[n].index(seed.len())]).collect();
        check(&timestamps_ms, &values);
    }

    #[test]
    fn every_codec_gives_back_random_decimals(
        start in any::<i32>(),
        steps in prop::collection::vec(-5000..5000i64, 1..200),
        exponent in 0usize..9,
    ) {
        let mut integer = i64::from(start);
        let values: Vec<f64> = steps.iter().map(|step| {
            integer += step;
            integer as f64 / crate::kernels::POW10[exponent]
        }).collect();
        let timestamps_ms: Vec<i64> = (0..values.len() as i64).collect();
        let (header, _) = check(&timestamps_ms, &values);
        prop_assert!(header.value_codec != ValueCodec::Floats(FloatCodec::Raw) || values.len() < 4);
        // From integers with as many digits come the same bytes, where anything comes.
        let mut work = Columns::default();
        let Some(exponent) = super::floats::decimals(&values, &mut work) else { return Ok(()) };
        let integers: Vec<i64> =
            values.iter().map(|&value| super::floats::decimal_of(value, exponent)).collect();
        let (mut expected, mut bytes) = (vec![], vec![]);
        encode(&timestamps_ms, &values, &mut work, &mut expected);
        if encode_decimals(&timestamps_ms, &integers, exponent, &mut work, &mut bytes) {
            prop_assert_eq!(bytes, expected);
        } else {
            prop_assert!(bytes.is_empty());
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, &mut vec![], &mut vec![]);
        let _ = last_float(&bytes, &mut vec![]);
    }
}
