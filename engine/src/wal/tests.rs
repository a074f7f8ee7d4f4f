//! The log against its own damage.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::histogram::{SCHEMA_CUSTOM, Side, Span};
use crate::model::{
    Batch, Exemplar, FloatHistogram, HistogramSample, Labels, LabelsRef, STALE_NAN_BITS,
};

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

/// Label sets by series, and labels by their number.
#[derive(Default)]
struct Sets {
    sets: BTreeMap<u32, Vec<u32>>,
    pairs: Vec<Labels>,
}

impl Sets {
    fn of(sets: impl IntoIterator<Item = (u32, Labels)>) -> Sets {
        let mut own = Sets::default();
        for (series, labels) in sets {
            let pairs = labels.iter().map(|pair| own.number(Labels::from_pairs([pair]))).collect();
            own.sets.insert(series, pairs);
        }
        own
    }

    fn number(&mut self, pair: Labels) -> u32 {
        let found = self.pairs.iter().position(|other| *other == pair);
        let number = found.unwrap_or(self.pairs.len());
        if number == self.pairs.len() {
            self.pairs.push(pair);
        }
        number as u32
    }
}

impl LabelSets for Sets {
    fn pairs(&self, series: u32) -> impl Iterator<Item = u32> {
        self.sets[&series].iter().copied()
    }

    fn pair(&self, pair: u32) -> LabelsRef<'_> {
        self.pairs[pair as usize].as_ref()
    }
}

/// All series of a record; whether it was read to its end.
fn read_series(mut record: SeriesRecord<'_>) -> (Vec<(u32, String)>, bool) {
    let (mut set, mut all) = (LabelSet::default(), vec![]);
    while let Some(entry) = record.next(&mut set) {
        let Some((id, labels)) = entry else { return (all, false) };
        all.push((id, labels.to_string()));
    }
    (all, true)
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// The bytes of a released format never change.
#[test]
fn bytes_are_as_they_were() {
    let mut chain = Chain { next_lsn: 7, last_crc: 0x0102_0304 };
    let mut bytes = vec![];
    header(9, chain).encode(&mut bytes);
    assert_eq!(
        hex(&bytes),
        "\
         484541525448574c020000000300080009000000000000000700000000000000040302010\
         200000000000000787868332d3634000000000000000000675e7991"
    );
    bytes.clear();
    push_frame(&mut bytes, &mut chain, 3);
    assert_eq!(
        hex(&bytes),
        "\
         f548579a68000000070000000000000004030201e78a9376071700000002000000060200085\
         f5f6e616d655f5f027570016e013302320000000200000003000000b80b0000000000000100\
         06d804dd0400020b000000000000f83f000000000000f87f000000000000008003100000000\
         2757005676175676505697320757000"
    );
}

/// What the first version wrote is read as ever.
#[test]
fn the_first_version_is_read() {
    let header = "484541525448574c01000000030008000900000000000000070000000000000004030201020\
                  0000000000000787868332d363400000000000000000068352678";
    let frame = "f548579a67000000070000000000000004030201ec79a67a0116000000020000000310085f5\
                 f6e616d655f5f027570016e013302320000000200000003000000b80b000000000000010006\
                 d804dd0400020b000000000000f83f000000000000f87f00000000000000800310000000027\
                 5700567617567650569732075700000";
    let (found, end) = read(&unhex(&format!("{header}{frame}")), None).unwrap();
    assert_eq!((found.lsns, found.malformed_count, found.damage), (vec![7], 0, vec![]));
    assert_eq!(found.series, [(3, r#"{__name__="up", n="3"}"#.to_owned())]);
    assert_eq!((found.samples.len(), end.next_lsn), (3, 8));
    // A record of several series, which repeats nothing.
    let (labels, mut body) = (Labels::from_pairs([("a", "1")]), vec![2, 0, 0, 0]);
    for id in [5, 300] {
        crate::mem::varint::push_u64(&mut body, id);
        body.push(labels.as_ref().as_bytes().len() as u8);
        body.extend_from_slice(labels.as_ref().as_bytes());
    }
    let mut payload = vec![1];
    payload.extend_from_slice(&(body.len() as u32).to_le_bytes());
    payload.extend_from_slice(&body);
    let Some(Record::Series(record)) = Records::new(&payload).next() else { panic!("a record") };
    let named = |id| (id, r#"{a="1"}"#.to_owned());
    assert_eq!(read_series(record), (vec![named(5), named(300)], true));
}

proptest! {
    /// Sets come back whatever they share with the ones before them.
    #[test]
    fn series_come_back(
        sets in prop::collection::btree_map(
            any::<u32>(),
            prop::collection::btree_map("[ab]{1,2}", "[xy]{1,2}", 0..5),
            0..40,
        ),
        more in 0usize..90,
    ) {
        // Beyond the positions that may be shared, too.
        let more = (0..more).map(|n| (format!("c{n:02}"), "z".to_owned()));
        let sets: Vec<(u32, Labels)> = sets
            .into_iter()
            .map(|(id, labels)| (id, Labels::from_pairs(labels.into_iter().chain(more.clone()))))
            .collect();
        let (mut bytes, mut chain) = (vec![], Chain::default());
        header(0, chain).encode(&mut bytes);
        let mut frame = FrameWriter::begin(&mut bytes).of_epoch(2);
        frame.series(sets.iter().map(|(id, _)| *id), &Sets::of(sets.iter().cloned()));
        frame.finish(&mut chain);
        let (found, _) = read(&bytes, None).unwrap();
        let expected: Vec<_> = sets.iter().map(|(id, labels)| (*id, labels.to_string())).collect();
        prop_assert_eq!((found.series, found.malformed_count), (expected, 0));
    }

    /// No record of series, however it is damaged, is more than refused.
    #[test]
    fn damaged_series_are_refused(at in 0usize..60, byte in any::<u8>()) {
        let sets = (0..3).map(|n| (n * 7, Labels::from_pairs([("a", "1"), ("n", &n.to_string())])));
        let sets: Vec<_> = sets.collect();
        let mut out = vec![];
        let mut frame = FrameWriter::begin(&mut out);
        frame.series(sets.iter().map(|(id, _)| *id), &Sets::of(sets.iter().cloned()));
        frame.finish(&mut Chain::default());
        let mut payload = out.split_off(FRAME_HEADER_BYTES);
        let at = at.min(payload.len() - 1);
        payload[at] = byte;
        for record in Records::new(&payload) {
            if let Record::Series(series) = record {
                drop(read_series(series));
            }
        }
    }
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
fn every_flipped_bit_is_detected_or_harmless_and_loses_one_frame_at_most() {
    let mut chain = Chain::default();
    let (bytes, starts) = segment(5, &mut chain, 6);
    let (whole, _) = read(&bytes, Some(Chain::default())).unwrap();
    let (mut detected_count, mut harmless_count) = (0, 0);
    for bit in 0..bytes.len() * 8 {
        let mut broken = bytes.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        let (found, _) = read(&broken, Some(Chain::default())).unwrap();
        assert_eq!(found.malformed_count, 0, "bit {bit}");
        if found.damage.is_empty() {
            assert_eq!(format!("{found:?}"), format!("{whole:?}"), "bit {bit}");
            harmless_count += 1;
            continue;
        }
        detected_count += 1;
        let hit = starts.iter().rposition(|&start| start <= bit / 8);
        let lost: Vec<u64> =
            whole.lsns.iter().copied().filter(|lsn| !found.lsns.contains(lsn)).collect();
        match hit {
            Some(frame) if frame < 6 => assert_eq!(lost, [frame as u64 + 1], "bit {bit}"),
            _ => assert_eq!(lost, [0u64; 0], "bit {bit}"),
        }
    }
    assert!(detected_count > 7 * harmless_count, "{detected_count} {harmless_count}");
}

#[test]
fn every_truncation_keeps_the_whole_frames_before_it() {
    let mut chain = Chain::default();
    let (bytes, starts) = segment(0, &mut chain, 5);
    for end in 0..bytes.len() {
        match read(&bytes[..end], None) {
            Ok((found, _)) => {
                let ends: Vec<usize> = starts[1..].iter().copied().filter(|&s| s <= end).collect();
                // Padding behind a frame is not needed to read it.
                assert!(found.lsns.len() >= ends.len(), "cut at {end}");
                assert!(found.lsns.len() <= ends.len() + 1, "cut at {end}");
                assert!(found.damage.iter().all(|damage| damage.kind == DamageKind::TornTail));
            }
            Err(error) => assert!(end < SEGMENT_HEADER_BYTES, "cut at {end}: {error}"),
        }
    }
}

#[test]
fn a_zeroed_or_foreign_place_loses_only_itself() {
    let mut chain = Chain::default();
    let (bytes, starts) = segment(0, &mut chain, 6);
    for frame in 0..5usize {
        let (start, end) = (starts[frame], starts[frame + 1]);
        let mut zeroed = bytes.clone();
        zeroed[start..end].fill(0);
        let (found, _) = read(&zeroed, None).unwrap();
        assert_eq!(found.lsns.len(), 5);
        let lsn = frame as u64 + 1;
        let expected = Damage {
            kind: DamageKind::Frames,
            segment: Some(0),
            lsns: lsn..lsn + 1,
            bytes: start..end,
        };
        assert_eq!(found.damage, [expected]);
    }
    // A whole frame of another log in the place of the third one.
    let mut other = Chain { next_lsn: 3, last_crc: 77 };
    let mut foreign = vec![];
    push_frame(&mut foreign, &mut other, 2);
    let mut misplaced = bytes.clone();
    misplaced[starts[2]..starts[2] + foreign.len()].copy_from_slice(&foreign);
    let (found, _) = read(&misplaced, None).unwrap();
    assert_eq!(found.lsns, [1, 2, 4, 5, 6]);
    assert_eq!(found.damage.len(), 1);
}

#[test]
fn segments_that_do_not_follow_each_other_are_noticed() {
    let mut chain = Chain::default();
    let (first, starts) = segment(0, &mut chain, 4);
    let middle = chain;
    let (second, _) = segment(1, &mut chain, 4);
    let (found, end) = read(&first, None).unwrap();
    assert_eq!((found.damage, end), (vec![], middle));
    assert_eq!(read(&second, Some(end)).unwrap().0.damage, []);
    // The first segment cut at a frame's border looks whole; the second one knows better.
    let (found, end) = read(&first[..starts[3]], None).unwrap();
    assert_eq!((found.lsns.len(), &found.damage[..]), (3, &[][..]));
    let (found, _) = read(&second, Some(end)).unwrap();
    assert_eq!((found.damage[0].kind, found.damage[0].lsns.clone()), (DamageKind::Gap, 4..5));
    assert_eq!(found.lsns.len(), 4);
}

#[test]
fn leftovers_of_a_recycled_file_are_not_a_loss() {
    let mut chain = Chain::default();
    let (old, _) = segment(0, &mut chain, 6);
    let mut bytes = vec![];
    header(9, chain).encode(&mut bytes);
    push_frame(&mut bytes, &mut chain, 0);
    let end = bytes.len();
    bytes.extend_from_slice(&old[end..]);
    let (found, _) = read(&bytes, None).unwrap();
    assert_eq!(found.lsns, [7]);
    assert_eq!(found.damage, []);
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

/// The bytes of a released format never change.
#[test]
fn records_of_histograms_and_exemplars_are_as_they_were() {
    let (mut out, mut chain) = (vec![], Chain::default());
    let (first, second) = (histogram(2, true), HistogramSample::stale(false));
    let mut frame = FrameWriter::begin(&mut out).of_epoch(2);
    frame.samples(SampleColumns {
        when: WhenColumns {
            series: &[7, 3],
            timestamps_ms: &[1000, 1000],
            starts_ms: &[400, 0],
            is_out_of_order: true,
        },
        values: &[1.0, 2.0],
    });
    frame.histograms(HistogramColumns {
        when: WhenColumns {
            series: &[5, 6],
            timestamps_ms: &[1000, 1500],
            starts_ms: &[900, 900],
            is_out_of_order: false,
        },
        histograms: &[&first, &second],
    });
    let labels = Labels::from_pairs([("trace_id", "a")]);
    frame.exemplars([LoggedExemplar {
        series: 5,
        timestamp_ms: 1000,
        value: 0.5,
        labels: labels.as_ref(),
    }]);
    frame.finish(&mut chain).unwrap();
    assert_eq!(
        hex(&out[FRAME_HEADER_BYTES..]),
        "\
         02280000000200000002000000e80300000000000006000e07a0069f06000000000000f03f0000000000000040\
         054a0000000200000002000000e803000000000000030a0200e807880e00\
         2069000000000000e03f01050200020000000000000000000000000000f03f0a0000\
         80c0a8ca9a3a010000000000f07f11\
         061b0000000200000005d00f000000000000e03f0b0874726163655f69640161\
         00000000"
    );
    let mut bytes = vec![];
    header(0, Chain::default()).encode(&mut bytes);
    bytes.extend_from_slice(&out);
    let (found, _) = read(&bytes, None).unwrap();
    assert_eq!((found.samples.len(), found.malformed_count), (2, 0));
    let read: Vec<_> = found.histograms.iter().map(|one| (one.0, one.1, one.2)).collect();
    assert_eq!(read, [(5, 1000, 900), (6, 1500, 900)]);
    assert!(found.histograms[0].3.equals(&first) && found.histograms[1].3.equals(&second));
    assert_eq!(found.exemplars, [(5, 1000, 0.5, r#"{trace_id="a"}"#.to_owned())]);
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

/// Frames `0..frame_count`, each on a block of its own, and where each starts.
fn spread_segment(chain: &mut Chain, frame_count: u32) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut starts) = (vec![], vec![]);
    header(1, *chain).encode(&mut bytes);
    for n in 0..frame_count {
        bytes.resize(bytes.len().next_multiple_of(crate::disk::DISK_ALIGN), 0);
        starts.push(bytes.len());
        push_frame(&mut bytes, chain, n);
    }
    (bytes, starts)
}

#[test]
fn frames_may_begin_on_a_block_of_their_own() {
    let mut chain = Chain::default();
    let (bytes, starts) = spread_segment(&mut chain, 6);
    let (found, end_chain) = read(&bytes, Some(Chain::default())).unwrap();
    assert_eq!(found.lsns, [1, 2, 3, 4, 5, 6]);
    assert_eq!(found.damage, []);
    assert_eq!(end_chain, chain);
    // A block that was zeroed is not padding.
    for (lost, pair) in starts.windows(2).enumerate() {
        let mut zeroed = bytes.clone();
        zeroed[pair[0]..pair[1]].fill(0);
        let (found, _) = read(&zeroed, Some(Chain::default())).unwrap();
        assert_eq!(found.lsns.len(), 5, "frame {lost}");
        assert_eq!(found.damage.len(), 1);
        assert_eq!(found.damage[0].kind, DamageKind::Frames);
        assert_eq!(found.damage[0].lsns, lost as u64 + 1..lost as u64 + 2);
    }
}

/// A header of zeros is one that a crash kept from arriving with the first group, or damage: then
/// later groups are there.
#[test]
fn a_zeroed_header_is_damage_once_a_second_group_is_there() {
    let mut chain = Chain { next_lsn: 7, last_crc: 9 };
    let before = chain;
    let (mut bytes, mut starts) = (vec![], vec![]);
    header(1, chain).encode(&mut bytes);
    for group in 0..3 {
        for n in 0..3 {
            starts.push(bytes.len());
            push_frame(&mut bytes, &mut chain, group * 3 + n);
        }
        bytes.resize(bytes.len().next_multiple_of(crate::disk::DISK_ALIGN), 0);
    }
    for zeroed in [SEGMENT_HEADER_BYTES, 512] {
        let mut damaged = bytes.clone();
        damaged[..zeroed].fill(0);
        let mut first_group = damaged.clone();
        first_group[starts[3]..].fill(0);
        assert_eq!(read(&first_group, Some(before)).unwrap_err(), SegmentError::Unused);
        let (found, end) = read(&damaged, Some(before)).unwrap();
        assert_eq!(found.damage[0].kind, DamageKind::Header);
        let lost = starts.iter().filter(|&&start| start < zeroed).count();
        assert_eq!((found.lsns.len(), end), (9 - lost, chain), "{zeroed}: {:?}", found.damage);
    }
}

#[test]
fn a_segment_may_repeat_what_the_one_before_it_failed_to_write() {
    let mut chain = Chain::default();
    let (first, _) = segment(1, &mut chain, 3);
    let before = Chain::default();
    let (again, _) = segment(2, &mut before.clone(), 3);
    let (_, end) = read(&first, None).unwrap();
    let (found, _) = read(&again, Some(end)).unwrap();
    assert_eq!((found.lsns, found.damage), (vec![1, 2, 3], vec![]));
}
