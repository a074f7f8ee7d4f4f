//! Chunks of XOR2 as Prometheus's own code writes them.

use super::*;

/// Numbers that the program which wrote the vectors of XOR2 drew, too.
struct Drawn(u64);

impl Drawn {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> i64 {
        (self.next() % end) as i64
    }
}

/// The samples of a vector: times, values and starts of five or six kinds each.
fn drawn_samples(seed: u64) -> SeriesSamples {
    let mut drawn = Drawn(seed);
    let (time_kind, value_kind, start_kind) = (drawn.below(5), drawn.below(5), drawn.below(6));
    let mut count = 1 + drawn.below(60);
    if value_kind < 3 && time_kind < 2 && drawn.below(4) == 0 {
        count = 120 + drawn.below(90);
    }
    let change_at = drawn.below(140);
    let mut time_ms = 1_700_000_000_000 + drawn.below(1_000_000);
    let first_start_ms = time_ms - 5000 - drawn.below(100_000);
    let mut before_ms = time_ms;
    let mut samples = SeriesSamples::default();
    for at in 0..count {
        let value = match value_kind {
            0 => 42.0,
            1 => (at * 3) as f64,
            2 => drawn.below(1000) as f64 / 8.0,
            3 => f64::from_bits(drawn.next()),
            _ => {
                let value = drawn.below(3) as f64;
                if drawn.below(4) == 0 { stale_nan() } else { value }
            }
        };
        let start_ms = match start_kind {
            0 => 0,
            1 => first_start_ms,
            2 if at >= change_at => first_start_ms,
            2 => 0,
            3 if at >= change_at % 20 => before_ms,
            3 => first_start_ms,
            4 => time_ms - 1 - drawn.below(50),
            _ => {
                let start_ms = first_start_ms + drawn.below(1 << 34) - (1 << 33);
                if drawn.below(3) == 0 { 0 } else { start_ms }
            }
        };
        samples.timestamps_ms.push(time_ms);
        samples.values.push(value);
        samples.starts_ms.push(start_ms);
        before_ms = time_ms;
        time_ms += match time_kind {
            0 => 15_000,
            1 => 15_000 + drawn.below(21) - 10,
            2 => 15_000 + drawn.below(20_001) - 10_000,
            3 => 1 + drawn.below(1 << 26),
            _ => 1 + drawn.below(1 << 40),
        };
    }
    samples
}

/// Chunks that Prometheus's own code (3.14, `tsdb/chunkenc/xor2.go`) has written of the samples above:
/// seed, samples, bytes.
#[test]
fn xor2_is_written_and_read_as_by_prometheus() {
    let vectors = include_str!("../golden/xor2.txt");
    assert_eq!(vectors.lines().count(), 160);
    let mut long_count = 0;
    for line in vectors.lines() {
        let mut words = line.split(' ');
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        let (seed, count) = (number(), number() as usize);
        let digits = words.next().unwrap().as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
        let samples = drawn_samples(seed);
        assert_eq!(samples.values.len(), count, "seed {seed}");
        let mut found = SeriesSamples::default();
        let chunk = Chunk { encoding: ChunkEncoding::Xor2, data: &bytes };
        chunk.decode(&mut found, &mut vec![]).unwrap();
        assert_same(&found, &samples);
        let mut bits = super::super::bits::BitWriter::default();
        let (times, values) = (&samples.timestamps_ms, &samples.values);
        let taken = super::super::floats::encode_xor2(times, values, &samples.starts_ms, &mut bits);
        // A chunk that grows too long is ended; then what was written is a chunk of its own.
        if taken == count {
            assert_eq!(bits.bytes, bytes, "seed {seed}");
        }
        long_count += usize::from(count > 127);
    }
    assert!(long_count > 5, "start timestamps have a border there");
}
