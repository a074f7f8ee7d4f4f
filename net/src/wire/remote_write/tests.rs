//! Requests in both protocols: what comes through, what is left out, what is refused. The texts
//! are those of Prometheus's `write_handler_test.go`.

use engine::model::histogram::{CounterReset, SCHEMA_CUSTOM, Side, Span};
use engine::model::{FloatHistogram, HistogramSample, Labels, MetricType};
use proptest::prelude::*;

use super::encode::{
    Beside, Series, encode_v1, encode_v2, encode_v2_with, push_bytes, push_number, push_series_v1,
};
use super::{
    Decoded, Decoder, LABEL_BYTES_MAX, MetadataOwner, Protocol, SAMPLE_COUNT_MAX,
    SERIES_ERROR_COUNT_MAX,
};

fn encode(protocol: Protocol, series: &[Series<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    match protocol {
        Protocol::V1 => encode_v1(series, &mut request),
        Protocol::V2 => encode_v2(series, &mut request),
    }
    request
}

fn decode(protocol: Protocol, request: &[u8]) -> Result<Decoded, String> {
    let mut out = Decoded::default();
    let result = Decoder::default().decode(protocol, request, &mut out);
    out.batch.assert_columns();
    result.map(|()| out).map_err(|refusal| format!("{} {}", refusal.status, refusal.message))
}

/// The batch as text: a line a sample.
fn lines(decoded: &Decoded) -> Vec<String> {
    let batch = &decoded.batch;
    (0..batch.sample_count())
        .map(|index| {
            let labels = batch.labels(batch.sample_series()[index]);
            format!("{labels} {} @{}", batch.values()[index], batch.timestamps_ms()[index])
        })
        .collect()
}

#[track_caller]
fn check(labels: &[(&str, &str)], expected: &str) {
    let series = Series { labels, samples: &[(1000, 1.5), (2000, -0.0)] };
    for protocol in [Protocol::V1, Protocol::V2] {
        let decoded = decode(protocol, &encode(protocol, &[series])).unwrap();
        assert_eq!(
            lines(&decoded),
            [format!("{expected} 1.5 @1000"), format!("{expected} -0 @2000")],
            "{protocol:?}"
        );
        assert!(decoded.series_errors.is_empty());
        assert_eq!(decoded.invalid_labels_count, 0);
    }
}

#[test]
fn labels_come_through_in_canonical_form() {
    check(&[("__name__", "up")], r#"{__name__="up"}"#);
    check(&[("__name__", "up"), ("job", "a")], r#"{__name__="up", job="a"}"#);
    check(&[("job", "a"), ("__name__", "up")], r#"{__name__="up", job="a"}"#);
    check(&[("Z", "1"), ("__name__", "up"), ("é", "ü")], r#"{Z="1", __name__="up", "é"="ü"}"#);
    check(&[("__name__", "up"), ("empty", "")], r#"{__name__="up"}"#);
    let long = "x".repeat(300);
    check(&[("__name__", "up"), ("long", &long)], &format!(r#"{{__name__="up", long="{long}"}}"#));
}

/// One bad series between two good ones; its text in protocol 2.
#[track_caller]
fn check_left_out(labels: &[(&str, &str)], expected: &str) {
    let samples = &[(1, 1.0), (2, 2.0)][..];
    let good = Series { labels: &[("__name__", "good")], samples };
    let all = [good, Series { labels, samples }, good];
    let first = decode(Protocol::V1, &encode(Protocol::V1, &all)).unwrap();
    assert_eq!((first.batch.series_count(), first.batch.sample_count()), (2, 4));
    assert_eq!(first.invalid_labels_count, 1);
    let second = decode(Protocol::V2, &encode(Protocol::V2, &all)).unwrap();
    assert_eq!((second.batch.series_count(), second.batch.sample_count()), (2, 4));
    assert_eq!(second.invalid_labels_count, 2);
    assert_eq!(second.series_errors.len(), 1);
    assert_eq!(second.series_errors[0].place, 1);
    assert_eq!(second.series_errors[0].message, expected);
}

#[test]
fn a_series_with_bad_labels_is_left_out_alone() {
    check_left_out(&[], "invalid metric name or labels, got {}");
    check_left_out(&[("a", "b")], r#"invalid metric name or labels, got {a="b"}"#);
    check_left_out(&[("__name__", "")], r#"invalid metric name or labels, got {__name__=""}"#);
    check_left_out(
        &[("__name__", "up"), ("", "x")],
        r#"invalid metric name or labels, got {""="x", __name__="up"}"#,
    );
    check_left_out(
        &[
            ("__name__", "test_metric1"),
            ("test_metric1", "test_metric1"),
            ("test_metric1", "test_metric1"),
        ],
        "invalid labels for series, labels {__name__=\"test_metric1\", \
         test_metric1=\"test_metric1\", test_metric1=\"test_metric1\"}, duplicated label \
         test_metric1",
    );
    check_left_out(
        &[("b", "1"), ("__name__", "up"), ("b", "")],
        "invalid labels for series, labels {__name__=\"up\", b=\"1\", b=\"\"}, duplicated label b",
    );
}

/// A request of protocol 2 by hand: symbols, then one series of these references and fields.
fn by_hand(symbols: &[&[u8]], references: &[u8], rest: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut series = Vec::new();
    push_bytes(&mut series, 1, references);
    rest(&mut series);
    let mut request = Vec::new();
    for symbol in symbols {
        push_bytes(&mut request, 4, symbol);
    }
    push_bytes(&mut request, 5, &series);
    request
}

fn add_sample(series: &mut Vec<u8>) {
    let mut sample = Vec::new();
    push_number(&mut sample, 2, 7);
    push_bytes(series, 2, &sample);
}

#[track_caller]
fn check_v2_error(request: &[u8], expected: &str) {
    let decoded = decode(Protocol::V2, request).unwrap();
    assert!(decoded.batch.is_empty());
    let messages: Vec<_> = decoded.series_errors.iter().map(|error| &*error.message).collect();
    assert_eq!(messages, [expected]);
}

#[test]
fn references_are_judged_before_they_are_followed() {
    let symbols: &[&[u8]] = &[b"", b"__name__", b"up", b"\xff"];
    check_v2_error(
        &by_hand(symbols, &[1, 2, 3], add_sample),
        "parsing labels for series [1 2 3]: invalid labelRefs length 3",
    );
    check_v2_error(
        &by_hand(symbols, &[1, 99], add_sample),
        "parsing labels for series [1 99]: labelRefs 1 (name) = 99 (value) outside of symbols \
         table (size 4)",
    );
    check_v2_error(
        &by_hand(symbols, &[1, 3], add_sample),
        "invalid metric name or labels, got {__name__=\"\\xff\"}",
    );
    for (field, what) in [(4, "unit_ref"), (3, "help_ref")] {
        let request = by_hand(symbols, &[1, 2], |series| {
            let mut metadata = Vec::new();
            push_number(&mut metadata, field, 99);
            push_bytes(series, 5, &metadata);
            add_sample(series);
        });
        check_v2_error(
            &request,
            &format!(
                "parsing metadata for series [1 2]: metadata {what} 99 outside of symbols table (size 4)"
            ),
        );
    }
    check_v2_error(
        &by_hand(symbols, &[1, 2], |series| push_bytes(series, 4, b"")),
        "TimeSeries must contain at least one sample or histogram for series {__name__=\"up\"}",
    );
}

fn float_histogram() -> HistogramSample {
    let histogram = FloatHistogram {
        counter_reset: CounterReset::Gauge,
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 2.5,
        count: 10.0,
        sum: -0.0,
        positive: Side {
            spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
            buckets: vec![1.0, 2.0, 0.5],
        },
        negative: Side { spans: vec![Span { offset: 1, length: 1 }], buckets: vec![4.0] },
        ..FloatHistogram::default()
    };
    HistogramSample { histogram, is_integer: false }
}

fn custom_histogram() -> HistogramSample {
    let histogram = FloatHistogram {
        schema: SCHEMA_CUSTOM,
        count: 8.0,
        sum: 12.5,
        positive: Side { spans: vec![Span { offset: 0, length: 3 }], buckets: vec![5.0, 0.0, 3.0] },
        custom_bounds: [0.5, 1.5].into(),
        ..FloatHistogram::default()
    };
    HistogramSample { histogram, is_integer: true }
}

#[test]
fn histograms_starts_and_exemplars_come_through() {
    let (float, custom) = (float_histogram(), custom_histogram());
    let labels = &[("__name__", "up")][..];
    let series = Series { labels, samples: &[(5, 1.0), (6, 2.0)] };
    let trace = &[("trace_id", "abc"), ("empty", ""), ("a", "b")][..];
    let beside = Beside {
        starts_ms: &[0, 4],
        histograms: &[(7, 3, &float), (8, 0, &custom)],
        exemplars: &[(trace, 0.5, 7), (&[], 1.5, 0)],
    };
    let (mut first, mut second) = (vec![], vec![]);
    push_series_v1(&series, &beside, &mut first);
    encode_v2_with(&[(series, beside)], &mut second);
    for (protocol, request) in [(Protocol::V1, first), (Protocol::V2, second)] {
        let decoded = decode(protocol, &request).unwrap();
        let batch = &decoded.batch;
        assert_eq!((batch.series_count(), batch.sample_count()), (1, 2));
        assert_eq!(batch.histogram_timestamps_ms(), [7, 8]);
        let [own_float, own_custom] = batch.histograms() else { panic!("{batch:?}") };
        assert!(own_float.equals(&float) && own_custom.equals(&custom), "{batch:?}");
        assert_eq!(own_float.histogram.counter_reset, CounterReset::Gauge);
        assert_eq!((own_float.validate(), own_custom.validate()), (Ok(()), Ok(())));
        let has_starts = protocol == Protocol::V2;
        assert_eq!(batch.has_starts(), has_starts);
        if has_starts {
            assert_eq!((batch.start_ms(0), batch.start_ms(1)), (0, 4));
            assert_eq!((batch.histogram_start_ms(0), batch.histogram_start_ms(1)), (3, 0));
        }
        let [first, second] = batch.exemplars() else { panic!("{batch:?}") };
        assert_eq!(first.labels.to_string(), r#"{a="b", trace_id="abc"}"#);
        assert_eq!((first.series, first.value, first.timestamp_ms), (0, 0.5, Some(7)));
        assert_eq!((second.labels.to_string(), second.timestamp_ms), ("{}".into(), Some(0)));
    }
}

#[test]
fn a_series_may_have_histograms_alone() {
    let series = Series { labels: &[("__name__", "up")], samples: &[] };
    let custom = custom_histogram();
    let beside = Beside { histograms: &[(8, 0, &custom)], ..Beside::default() };
    let (mut first, mut second) = (vec![], vec![]);
    push_series_v1(&series, &beside, &mut first);
    encode_v2_with(&[(series, beside)], &mut second);
    for (protocol, request) in [(Protocol::V1, first), (Protocol::V2, second)] {
        let decoded = decode(protocol, &request).unwrap();
        assert_eq!((decoded.batch.sample_count(), decoded.batch.histogram_count()), (0, 1));
    }
}

#[test]
fn a_broken_exemplar_costs_itself() {
    let symbols: &[&[u8]] = &[b"", b"__name__", b"up", &[b'x'; 600], b"\xff"];
    let exemplar = |references: &[u8]| {
        let mut message = Vec::new();
        push_bytes(&mut message, 1, references);
        message
    };
    let request = by_hand(symbols, &[1, 2], |series| {
        add_sample(series);
        for references in [&[1, 2, 3][..], &[1, 99], &[1, 3], &[1, 4], &[1, 2]] {
            push_bytes(series, 4, &exemplar(references));
        }
    });
    let decoded = decode(Protocol::V2, &request).unwrap();
    let texts: Vec<_> = decoded.series_errors.iter().map(|error| &*error.message).collect();
    assert_eq!(
        texts,
        [
            "parsing exemplar for series {__name__=\"up\"}: invalid labelRefs length 3",
            "parsing exemplar for series {__name__=\"up\"}: labelRefs 1 (name) = 99 (value) \
             outside of symbols table (size 5)",
        ]
    );
    assert_eq!((decoded.batch.exemplars().len(), decoded.exemplars_left_out), (1, 2));
}

#[test]
fn a_schema_that_is_too_fine_is_reduced() {
    let mut fine = float_histogram();
    fine.histogram.schema = 9;
    let series = Series { labels: &[("__name__", "up")], samples: &[] };
    let mut request = vec![];
    let beside = Beside { histograms: &[(8, 0, &fine)], ..Beside::default() };
    push_series_v1(&series, &beside, &mut request);
    let decoded = decode(Protocol::V1, &request).unwrap();
    assert_eq!(decoded.batch.histograms()[0].histogram.schema, 8);
    assert_eq!(decoded.batch.histograms()[0].validate(), Ok(()));
}

#[test]
fn metadata_is_kept_with_its_series() {
    let symbols: &[&[u8]] = &[b"", b"__name__", b"up", b"help text", b"seconds"];
    let request = by_hand(symbols, &[1, 2], |series| {
        add_sample(series);
        push_bytes(series, 3, b"");
        push_bytes(series, 4, b"");
        push_bytes(series, 4, b"");
        let mut metadata = Vec::new();
        push_number(&mut metadata, 1, 2);
        push_number(&mut metadata, 3, 3);
        push_number(&mut metadata, 4, 4);
        push_bytes(series, 5, &metadata);
    });
    let decoded = decode(Protocol::V2, &request).unwrap();
    assert_eq!(lines(&decoded), [r#"{__name__="up"} 0 @7"#]);
    assert_eq!((decoded.batch.histogram_count(), decoded.batch.exemplars().len()), (1, 2));
    let metadata = decoded.metadata[0];
    assert_eq!(metadata.owner, MetadataOwner::Series(0));
    assert_eq!(metadata.metric_type, MetricType::Gauge);
    assert_eq!(
        (metadata.help.of(&request), metadata.unit.of(&request)),
        (&b"help text"[..], &b"seconds"[..])
    );

    let mut family = Vec::new();
    push_number(&mut family, 1, 1);
    push_bytes(&mut family, 2, b"up_total");
    push_bytes(&mut family, 4, b"a help");
    let mut request =
        encode(Protocol::V1, &[Series { labels: &[("__name__", "up")], samples: &[(1, 1.0)] }]);
    push_bytes(&mut request, 3, &family);
    let decoded = decode(Protocol::V1, &request).unwrap();
    let metadata = decoded.metadata[0];
    let MetadataOwner::Family(name) = metadata.owner else { panic!("a family's metadata") };
    assert_eq!((name.of(&request), metadata.help.of(&request)), (&b"up_total"[..], &b"a help"[..]));
    assert_eq!(metadata.metric_type, MetricType::Counter);
}

#[track_caller]
fn check_refused(protocol: Protocol, request: &[u8], expected: &str) {
    assert_eq!(decode(protocol, request).unwrap_err(), expected);
}

#[test]
fn broken_bytes_are_refused_with_their_place() {
    let both = [Protocol::V1, Protocol::V2];
    for protocol in both {
        check_refused(protocol, b"\x80", "400 proto: unexpected end in a varint at byte 0");
        check_refused(protocol, &[0xff; 11], "400 proto: varint overflow at byte 0");
        check_refused(protocol, b"\x00\x01", "400 proto: illegal field number 0 at byte 0");
        check_refused(protocol, b"\x0b", "400 proto: illegal wire type 3 at byte 0");
        check_refused(
            protocol,
            b"\x32\x05ab",
            "400 proto: field of 5 bytes, message has 2 left at byte 0",
        );
    }
    check_refused(Protocol::V1, b"\x08\x01", "400 proto: wrong wire type for field 1 at byte 0");
    check_refused(Protocol::V2, b"\x28\x01", "400 proto: wrong wire type for field 5 at byte 0");
    // A field's length is judged against its own message, not against the request.
    check_refused(
        Protocol::V1,
        b"\x0a\x02\x0a\x04\x0a\x02\x0a\x00",
        "400 proto: field of 4 bytes, message has 0 left at byte 2",
    );
}

#[test]
fn idle_bytes_in_a_length_do_not_make_another_series() {
    // The name's length is written with two bytes where one would do.
    let mut label = b"\x0a\x88\x00__name__".to_vec();
    push_bytes(&mut label, 2, b"up");
    let mut series = Vec::new();
    push_bytes(&mut series, 1, &label);
    add_sample(&mut series);
    let mut request = Vec::new();
    push_bytes(&mut request, 1, &series);
    let decoded = decode(Protocol::V1, &request).unwrap();
    assert_eq!(decoded.batch.labels(0), Labels::from_pairs([("__name__", "up")]).as_ref());
}

#[test]
fn a_symbol_that_stands_everywhere_is_refused_before_it_is_copied() {
    let large = vec![b'x'; 1 << 19];
    let mut request = by_hand(&[b"", b"__name__", b"up", b"a", &large], &[1, 2, 3, 4], add_sample);
    let mut series = Vec::new();
    push_bytes(&mut series, 1, &[1, 2, 3, 4]);
    add_sample(&mut series);
    for _ in 0..LABEL_BYTES_MAX / large.len() {
        push_bytes(&mut request, 5, &series);
    }
    check_refused(
        Protocol::V2,
        &request,
        "400 label sets of the request exceed the 33554432 bytes limit",
    );
    let mut references = vec![1, 2];
    (0..4).for_each(|_| references.extend([3, 4]));
    let decoded = decode(
        Protocol::V2,
        &by_hand(&[b"", b"__name__", b"up", b"a", &large], &references, add_sample),
    )
    .unwrap();
    assert_eq!(
        decoded.series_errors[0].message,
        "invalid labels for series, 5 labels of 2097184 bytes exceed the limits of 4096 and 1048576"
    );
}

#[test]
fn samples_and_texts_are_bounded() {
    let mut series = Vec::new();
    push_bytes(&mut series, 1, &[1, 2]);
    (0..=SAMPLE_COUNT_MAX).for_each(|_| push_bytes(&mut series, 2, b""));
    let mut request = Vec::new();
    for symbol in [&b""[..], b"__name__", b"up"] {
        push_bytes(&mut request, 4, symbol);
    }
    push_bytes(&mut request, 5, &series);
    check_refused(Protocol::V2, &request, "400 request holds more than 1048576 samples");

    let request = [0x2a, 0x02, 0x12, 0x00].repeat(SERIES_ERROR_COUNT_MAX + 5);
    let decoded = decode(Protocol::V2, &[&[0x22, 0x00][..], &request].concat()).unwrap();
    assert_eq!(decoded.series_errors.len(), SERIES_ERROR_COUNT_MAX);
    assert_eq!(decoded.series_errors_left_out, 5);
}

#[test]
fn a_decoder_is_reused_without_a_trace_of_the_last_request() {
    let mut decoder = Decoder::default();
    let mut out = Decoded::default();
    let bad = by_hand(&[b"", b"a"], &[1], add_sample);
    decoder.decode(Protocol::V2, &bad, &mut out).unwrap();
    assert_eq!(out.series_errors.len(), 1);
    let good =
        encode(Protocol::V2, &[Series { labels: &[("__name__", "up")], samples: &[(1, 1.0)] }]);
    decoder.decode(Protocol::V2, &good, &mut out).unwrap();
    assert_eq!(lines(&out), [r#"{__name__="up"} 1 @1"#]);
    assert!(out.series_errors.is_empty());
    assert_eq!(out.invalid_labels_count, 0);
}

fn label_text() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[a-cé]{0,3}").unwrap()
}

proptest! {
    #[test]
    fn both_protocols_give_the_same_batch(
        series in proptest::collection::vec(
            (
                proptest::collection::vec((label_text(), label_text()), 0..5),
                proptest::collection::vec((any::<i64>(), any::<f64>()), 1..3),
            ),
            0..8,
        )
    ) {
        let labels: Vec<Vec<(&str, &str)>> = series
            .iter()
            .map(|(labels, _)| {
                let named = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                named.chain([("__name__", "m")]).collect()
            })
            .collect();
        let series: Vec<_> = series
            .iter()
            .zip(&labels)
            .map(|((_, samples), labels)| Series { labels, samples })
            .collect();
        let first = decode(Protocol::V1, &encode(Protocol::V1, &series)).unwrap();
        let second = decode(Protocol::V2, &encode(Protocol::V2, &series)).unwrap();
        prop_assert_eq!(lines(&first), lines(&second));
        prop_assert_eq!(first.batch.hashes(), second.batch.hashes());
        let valid = series.iter().filter(|series| {
            let mut names: Vec<_> = series.labels.iter().map(|(name, _)| name).collect();
            names.sort();
            !names.contains(&&"") && names.windows(2).all(|pair| pair[0] != pair[1])
        });
        let expected: Vec<Labels> =
            valid.map(|series| Labels::from_pairs(series.labels.iter().copied())).collect();
        let got: Vec<Labels> =
            (0..first.batch.series_count()).map(|index| first.batch.labels(index as u32).to_owned()).collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn no_bytes_bring_the_decoder_down(request in proptest::collection::vec(any::<u8>(), 0..96)) {
        for protocol in [Protocol::V1, Protocol::V2] {
            let _ = decode(protocol, &request);
        }
    }

    #[test]
    fn no_damage_brings_the_decoder_down(at in 0usize..400, byte in any::<u8>()) {
        let labels: Vec<_> = [("__name__", "metric"), ("instance", "host:9100"), ("job", "node")].into();
        let series = [Series { labels: &labels, samples: &[(1_700_000_000_000, 0.5)] }; 4];
        for protocol in [Protocol::V1, Protocol::V2] {
            let mut request = encode(protocol, &series);
            let length = request.len();
            request[at % length] = byte;
            let _ = decode(protocol, &request);
        }
    }
}
