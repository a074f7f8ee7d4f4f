//! Chunks of native histograms and start timestamps.

use std::sync::Arc;

use super::*;
use crate::model::histogram::{CounterReset, SCHEMA_CUSTOM, Side, Span};
use crate::model::sample::STALE_NAN_BITS;
use crate::model::{FloatHistogram, HistogramSample, Samples};

/// A counter's histogram after `round` rounds: two runs of buckets upwards, one downwards.
fn counter(round: u64) -> FloatHistogram {
    let side = |spans: &[(i32, u32)], scale: f64| Side {
        spans: spans.iter().map(|&(offset, length)| Span { offset, length }).collect(),
        buckets: (0..spans.iter().map(|span| span.1).sum::<u32>())
            .map(|bucket| round as f64 * scale + f64::from(bucket))
            .collect(),
    };
    FloatHistogram {
        schema: 3,
        zero_threshold: 2.938_735_877_055_719e-39,
        zero_count: round as f64,
        count: 100.0 * round as f64 + 7.0,
        sum: round as f64 * 0.1 + 1e-3,
        positive: side(&[(-4, 2), (3, 3)], 2.0),
        negative: side(&[(1, 1)], 5.0),
        ..FloatHistogram::default()
    }
}

fn custom(round: u64) -> FloatHistogram {
    FloatHistogram {
        schema: SCHEMA_CUSTOM,
        count: 2.0 * round as f64,
        sum: 1.5 * round as f64,
        positive: Side {
            spans: vec![Span { offset: 0, length: 2 }],
            buckets: vec![round as f64; 2],
        },
        custom_bounds: Arc::from([0.25, 1.0, 5e10]),
        ..FloatHistogram::default()
    }
}

fn stale() -> FloatHistogram {
    FloatHistogram { sum: f64::from_bits(STALE_NAN_BITS), ..FloatHistogram::default() }
}

fn samples(histograms: impl IntoIterator<Item = FloatHistogram>) -> Vec<HistogramSample> {
    let sample = |histogram| HistogramSample { histogram, is_integer: true };
    histograms.into_iter().map(sample).collect()
}

/// The chunks that `samples` become: length and header of each. Each comes back bit for bit, with
/// what a reader knows about resets.
#[track_caller]
fn check(samples: &[HistogramSample], expected: &[(usize, CounterReset)]) {
    let mut runs = vec![];
    let (mut rest, mut before) = (samples, None);
    while !rest.is_empty() {
        let (count, resets) = histogram_run(rest, before);
        let (run, after) = rest.split_at(count);
        runs.push((count, resets));
        before = run.last();
        rest = after;

        let timestamps_ms: Vec<i64> = (0..count as i64).map(|n| 1_000 + n * 15_000).collect();
        for starts_ms in [vec![], vec![900; count], (0..count as i64).map(|n| n * 7).collect()] {
            let (mut work, mut chunk) = (Columns::default(), vec![]);
            encode_histograms(&timestamps_ms, &starts_ms, run, resets, &mut work, &mut chunk);
            let header = ChunkHeader::decode(&chunk).unwrap();
            assert_eq!(header.value_codec, ValueCodec::Histograms { is_integer: true });
            assert_eq!(ChunkHeader::resets(&chunk), Ok(Some(resets)));
            let mut back = Samples::default();
            decode_samples(&chunk, &mut back).unwrap();
            assert_eq!(back.histogram_timestamps_ms, timestamps_ms);
            match starts_ms.iter().any(|&start_ms| start_ms != 0) {
                true => assert_eq!(back.histogram_starts_ms, starts_ms),
                false => assert!(back.histogram_starts_ms.is_empty()),
            }
            for (index, (back, sample)) in back.histograms.iter().zip(run).enumerate() {
                assert!(back.equals(&sample.histogram), "{back:?} {:?}", sample.histogram);
                let known = match (resets, index) {
                    _ if back.sum.to_bits() == STALE_NAN_BITS => CounterReset::Unknown,
                    (CounterReset::Gauge, _) => CounterReset::Gauge,
                    (_, 0) => CounterReset::Unknown,
                    _ => CounterReset::NotReset,
                };
                assert_eq!(back.counter_reset, known);
            }
            assert!(decode(&chunk, &mut vec![], &mut vec![]).is_err());
            for end in 0..chunk.len() {
                assert!(decode_samples(&chunk[..end], &mut back).is_err());
            }
            for bit in 0..chunk.len() * 8 {
                let mut broken = chunk.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                let mut back = Samples::default();
                if decode_samples(&broken, &mut back).is_err() {
                    assert!(back.is_empty() && back.histogram_starts_ms.is_empty());
                }
            }
        }
    }
    assert_eq!(runs, expected);
}

#[test]
fn histograms_come_back_and_chunks_end_where_prometheus_ends_them() {
    use CounterReset::*;
    check(&samples((0..20).map(counter)), &[(20, Unknown)]);
    check(&samples((0..9).map(custom)), &[(9, Unknown)]);
    check(&samples([3, 4, 1, 2].map(counter)), &[(2, Unknown), (2, Reset)]);
    check(&samples([counter(1), custom(1)]), &[(1, Unknown), (1, Reset)]);
    let mut marked = samples([counter(1), counter(2), stale(), stale(), counter(3), counter(4)]);
    check(&marked, &[(4, Unknown), (2, Unknown)]);
    marked[4].histogram.counter_reset = Reset;
    check(&marked, &[(4, Unknown), (2, Reset)]);
    check(&samples([stale(), stale(), counter(1)]), &[(2, Unknown), (1, Unknown)]);
    let mut gauges = samples([5, 3, 4, 1].map(counter));
    gauges.iter_mut().for_each(|sample| sample.histogram.counter_reset = Gauge);
    check(&gauges, &[(4, Gauge)]);
    gauges[2].histogram.counter_reset = Unknown;
    check(&gauges, &[(2, Gauge), (1, Unknown), (1, Gauge)]);
    let mut wider = samples((0..4).map(counter));
    for sample in &mut wider[2..] {
        sample.histogram.positive.spans[1].length += 1;
        sample.histogram.positive.buckets.push(1.0);
    }
    check(&wider, &[(2, Unknown), (2, NotReset)]);
    let odd = [f64::NAN, -0.0, f64::INFINITY, 1e300, f64::from_bits(1)];
    let mut gauges = samples((0..5).map(counter));
    for (sample, value) in gauges.iter_mut().zip(odd) {
        sample.histogram.counter_reset = Gauge;
        sample.histogram.sum = value;
        sample.histogram.count = value;
        sample.histogram.positive.buckets[1] = value;
    }
    check(&gauges, &[(5, Gauge)]);
}

#[test]
fn a_counter_of_few_changes_takes_few_bytes() {
    let (mut work, mut chunk) = (Columns::default(), vec![]);
    let histograms: Vec<_> = (0..120).map(|n| counter(n / 10)).collect();
    let timestamps_ms: Vec<i64> = (0..120).map(|n| n * 15_000).collect();
    let histograms = samples(histograms);
    encode_histograms(
        &timestamps_ms,
        &[],
        &histograms,
        CounterReset::Unknown,
        &mut work,
        &mut chunk,
    );
    assert!(chunk.len() < 120 * 5, "{} bytes", chunk.len());
}

#[test]
fn floats_with_starts_come_back() {
    let (mut work, mut out) = (Columns::default(), Samples::default());
    let chunks: [&[i64]; 4] = [&[0, 0], &[5, 5], &[0, 0], &[7, 90]];
    for (chunk, starts_ms) in chunks.iter().enumerate() {
        let timestamps_ms = [100 * chunk as i64, 100 * chunk as i64 + 50];
        let mut bytes = vec![];
        encode_floats(&timestamps_ms, starts_ms, &[1.0, 2.5], &mut work, &mut bytes);
        assert_eq!(ChunkHeader::decode(&bytes).unwrap().has_starts, chunk % 2 == 1);
        decode_samples(&bytes, &mut out).unwrap();
    }
    assert_eq!(out.timestamps_ms, [0, 50, 100, 150, 200, 250, 300, 350]);
    assert_eq!(out.starts_ms, [0, 0, 5, 5, 0, 0, 7, 90]);
    assert_eq!(out.values, [1.0, 2.5].repeat(4));
}
