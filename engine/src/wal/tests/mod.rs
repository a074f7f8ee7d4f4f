//! The log against its own damage, by subject.
//!
//! ```text
//! here     frames and records come back, within their bounds
//! series   records that name series        golden   bytes of released formats
//! damage   what a log that is not whole loses
//! ```

mod damage;
mod golden;
mod series;

use proptest::prelude::*;

use super::*;
use crate::model::histogram::{SCHEMA_CUSTOM, Side, Span};
use crate::model::{Batch, Exemplar, FloatHistogram, HistogramSample, Labels, STALE_NAN_BITS};
use series::{Sets, read_series};

/// What a replay found: LSNs of the frames applied, what they held, and the damage.
#[derive(Debug, Default, Clone)]
struct Found {
    lsns: Vec<u64>,
    series: Vec<(u32, String)>,
    samples: Vec<(u32, i64, u64)>,
    histograms: Vec<(u32, i64, i64, HistogramSample)>,
    exemplars: Vec<(u32, i64, f64, String)>,
    metadata: Vec<[String; 4]>,
    damage: Vec<Damage>,
    malformed_count: usize,
}

fn read(bytes: &[u8], previous: Option<Chain>) -> Result<(Found, Chain), SegmentError> {
    let mut found = Found::default();
    let mut replay = Replay::new(bytes, previous)?;
    let (mut when, mut values, mut histograms) = (DecodedWhen::default(), vec![], vec![]);
    for event in &mut replay {
        let frame = match event {
            Event::Frame(frame) => frame,
            Event::Damage(damage) => {
                found.damage.push(damage);
                continue;
            }
        };
        found.lsns.push(frame.lsn);
        for record in Records::new(frame.payload) {
            match record {
                Record::Series(series) => {
                    assert_eq!(series.epoch, 2);
                    let (series, is_whole) = read_series(series);
                    found.series.extend(series);
                    found.malformed_count += usize::from(!is_whole);
                }
                Record::Samples(samples) => {
                    samples.decode(&mut when, &mut values).unwrap();
                    let columns = when.series.iter().zip(&when.timestamps_ms).zip(&values);
                    found.samples.extend(columns.map(|((&i, &t), v)| (i, t, v.to_bits())));
                }
                Record::Histograms(record) => {
                    record.decode(&mut when, &mut histograms).unwrap();
                    for (index, sample) in histograms.drain(..).enumerate() {
                        let start_ms = when.starts_ms.get(index).copied().unwrap_or(0);
                        let (id, at_ms) = (when.series[index], when.timestamps_ms[index]);
                        found.histograms.push((id, at_ms, start_ms, sample));
                    }
                }
                Record::Exemplars(exemplars) => {
                    found.exemplars.extend(exemplars.flatten().map(|exemplar| {
                        let LoggedExemplar { series, timestamp_ms, value, labels } = exemplar;
                        (series, timestamp_ms, value, labels.to_string())
                    }));
                }
                Record::Metadata(m) => {
                    found.metadata.push([m.family, m.kind, m.help, m.unit].map(str::to_owned));
                }
                Record::Unknown { .. } | Record::Malformed => found.malformed_count += 1,
            }
        }
    }
    Ok((found, replay.end_chain()))
}

fn header(segment: u64, chain: Chain) -> SegmentHeader {
    SegmentHeader {
        shard: 3,
        shard_count: 8,
        epoch: 2,
        segment,
        first_lsn: chain.next_lsn,
        previous_crc: chain.last_crc,
    }
}

/// Appends frame number `n`: one series, three samples, now and then metadata.
fn push_frame(out: &mut Vec<u8>, chain: &mut Chain, n: u32) {
    let labels = Labels::from_pairs([("__name__", "up"), ("n", &n.to_string())]);
    let mut frame = FrameWriter::begin(out).of_epoch(2);
    frame.series([n], &Sets::of([(n, labels)]));
    let t = i64::from(n) * 1000;
    let timestamps_ms = if n.is_multiple_of(2) { [t; 3] } else { [t, t + 1, t - 5] };
    frame.samples(SampleColumns::plain(&[n, n + 300, 0], &timestamps_ms, &[1.5, f64::NAN, -0.0]));
    if n.is_multiple_of(3) {
        frame.metadata(MetadataRecord { family: "up", kind: "gauge", help: "is up", unit: "" });
    }
    frame.finish(chain).unwrap();
}

/// A segment of `frame_count` frames with a zero-filled tail, and where each frame starts.
fn segment(number: u64, chain: &mut Chain, frame_count: u32) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut starts) = (vec![], vec![]);
    header(number, *chain).encode(&mut bytes);
    for n in 0..frame_count {
        starts.push(bytes.len());
        push_frame(&mut bytes, chain, n);
    }
    starts.push(bytes.len());
    bytes.resize(bytes.len() + 512, 0);
    (bytes, starts)
}

fn histogram(bucket_count: usize, is_integer: bool) -> HistogramSample {
    let spans = vec![Span { offset: -3, length: bucket_count as u32 }];
    let buckets = (0..bucket_count).map(|bucket| (bucket as f64) * 1e12).collect();
    let histogram = FloatHistogram {
        schema: SCHEMA_CUSTOM,
        count: 5.0,
        zero_threshold: 0.5,
        sum: f64::from_bits(STALE_NAN_BITS - 1),
        positive: Side { spans, buckets },
        custom_bounds: (0..bucket_count).map(|bound| bound as f64).collect(),
        ..FloatHistogram::default()
    };
    HistogramSample { histogram, is_integer }
}

#[test]
fn a_segment_comes_back_whole() {
    let mut chain = Chain::default();
    let (bytes, _) = segment(0, &mut chain, 7);
    let (found, end) = read(&bytes, Some(Chain::default())).unwrap();
    assert_eq!(found.lsns, (1..8).collect::<Vec<_>>());
    assert_eq!((found.series.len(), found.samples.len(), found.metadata.len()), (7, 21, 3));
    assert_eq!(found.samples[4], (301, 1001, f64::NAN.to_bits()));
    assert_eq!((found.damage, found.malformed_count), (vec![], 0));
    assert_eq!(end, chain);
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header(0, Chain::default())));
}

#[test]
fn a_frame_without_records_is_no_frame() {
    let (mut out, mut chain) = (vec![], Chain::default());
    let mut frame = FrameWriter::begin(&mut out);
    frame.samples(SampleColumns::plain(&[], &[], &[]));
    frame.series([], &Sets::default());
    assert_eq!(frame.finish(&mut chain), None);
    assert_eq!((out.len(), chain), (0, Chain::default()));
}

#[test]
fn a_frame_keeps_the_bound_it_was_reserved_by() {
    for series_count in 0..20u32 {
        let mut batch = Batch::default();
        for n in 0..series_count {
            let value = "b".repeat(200 * n as usize + 1);
            let series = batch.push_series(Labels::from_pairs([("a", value)]).as_ref());
            batch.push_sample(series, 1, 0.0);
            batch.push_histogram(series, 2, histogram(n as usize, n % 2 == 0));
            let labels = Labels::from_pairs([("trace", "c".repeat(n as usize + 1))]);
            batch.push_exemplar(Exemplar { series, labels, value: 1.0, timestamp_ms: Some(3) });
        }
        let ids: Vec<u32> = (0..series_count).map(|n| (n % 2) * u32::MAX).collect();
        let far: Vec<i64> =
            ids.iter().map(|&id| if id == 0 { i64::MAX } else { i64::MIN / 2 }).collect();
        let when = WhenColumns {
            series: &ids,
            timestamps_ms: &far,
            starts_ms: &far,
            is_out_of_order: false,
        };
        let (mut out, mut chain) = (vec![], Chain::default());
        let mut frame = FrameWriter::begin(&mut out);
        // Far from each other.
        let far_id = |n: u32| if n.is_multiple_of(2) { u32::MAX - n } else { n };
        let sets = (0..series_count).map(|n| (far_id(n), batch.labels(n).to_owned()));
        frame.series((0..series_count).map(far_id), &Sets::of(sets));
        frame.samples(SampleColumns { when, values: batch.values() });
        let histograms: Vec<_> = batch.histograms().iter().collect();
        frame.histograms(HistogramColumns { when, histograms: &histograms });
        frame.exemplars(batch.exemplars().iter().map(|exemplar| LoggedExemplar {
            series: u32::MAX,
            timestamp_ms: i64::MIN,
            value: exemplar.value,
            labels: exemplar.labels.as_ref(),
        }));
        frame.finish(&mut chain);
        assert!(out.len() <= FrameWriter::bytes_max(&batch));
    }
}

proptest! {
    #[test]
    fn random_samples_come_back(
        samples in prop::collection::vec(any::<(u32, i64, u64)>(), 1..200),
        same in any::<bool>(),
    ) {
        let series: Vec<u32> = samples.iter().map(|s| s.0).collect();
        let timestamps_ms: Vec<i64> =
            samples.iter().map(|s| if same { samples[0].1 } else { s.1 }).collect();
        let values: Vec<f64> = samples.iter().map(|s| f64::from_bits(s.2)).collect();
        let (mut bytes, mut chain) = (vec![], Chain::default());
        header(0, chain).encode(&mut bytes);
        let mut frame = FrameWriter::begin(&mut bytes);
        frame.samples(SampleColumns::plain(&series, &timestamps_ms, &values));
        frame.finish(&mut chain);
        let (found, _) = read(&bytes, None).unwrap();
        let columns = series.iter().zip(&timestamps_ms).zip(&values);
        let expected: Vec<_> = columns.map(|((&s, &t), v)| (s, t, v.to_bits())).collect();
        prop_assert_eq!(found.samples, expected);
    }

    #[test]
    fn random_bytes_never_panic(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        for record in Records::new(&payload) {
            match record {
                Record::Series(series) => drop(read_series(series)),
                Record::Samples(samples) => {
                    let _ = samples.decode(&mut DecodedWhen::default(), &mut vec![]);
                }
                Record::Histograms(record) => {
                    let _ = record.decode(&mut DecodedWhen::default(), &mut vec![]);
                }
                Record::Exemplars(exemplars) => drop(exemplars.count()),
                _ => {}
            }
        }
        let _ = read(&payload, None);
    }
}
