//! Decoding with and without what is known gives the same samples.

use engine::model::SeriesId;
use proptest::prelude::*;

use super::encode::{Series, encode_v1, encode_v2, push_bytes};
use super::known::{Keys, KnownSeries, Owner, SECRET_BYTES};
use super::{Decoded, Decoder, Protocol};

/// Label sets, among them odd ones: unsorted, with an empty value, bytes that look like a sample.
const LABELS: &[&[(&str, &str)]] = &[
    &[("__name__", "up")],
    &[("__name__", "up"), ("instance", "a:9100"), ("job", "node")],
    &[("job", "node"), ("__name__", "up"), ("instance", "b:9100")],
    &[("__name__", "up"), ("empty", ""), ("job", "x")],
    &[("__name__", "up"), ("like", "\u{12}\u{10}\u{9}01234567\u{10}")],
    &[("__name__", "up"), ("like", "\u{12}\u{7}\u{10}")],
    &[("__name__", "é"), ("é", "ü")],
    &[("no", "name")],
];

fn known() -> KnownSeries {
    KnownSeries::new(Keys::new(std::array::from_fn::<u8, SECRET_BYTES, _>(|index| index as u8)))
}

/// Samples as text, those of known series by the labels of the series their ids stand for.
fn lines(decoded: &Decoded, names: &[String]) -> Vec<String> {
    let batch = &decoded.batch;
    let line = |labels: &str, at: i64, value: f64| format!("{labels} {at} {}", value.to_bits());
    let slow = (0..batch.sample_count()).map(|index| {
        let labels = batch.labels(batch.sample_series()[index]).to_string();
        line(&labels, batch.timestamps_ms()[index], batch.values()[index])
    });
    let mut all: Vec<String> = slow.collect();
    for known in &decoded.known {
        all.extend((0..known.len()).map(|index| {
            let labels = &names[known.series[index].index()];
            line(labels, known.timestamps_ms[index], known.values[index])
        }));
    }
    all.sort();
    all
}

/// Gives every series of the batch that may be known an id, which stands for its labels.
fn learn(known: &mut KnownSeries, names: &mut Vec<String>, decoded: &Decoded) {
    assert_eq!(decoded.keys.len(), decoded.batch.series_count());
    let first = names.len() as u32;
    let all = 0..decoded.batch.series_count() as u32;
    names.extend(all.map(|series| decoded.batch.labels(series).to_string()));
    known.learn(&decoded.places, &decoded.keys, |index| {
        let series = first + index as u32;
        Some(Owner { shard: (series % 3) as u16, series: SeriesId(series) })
    });
}

fn timestamps() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), 1_000..2_000i64, 1_690_000_000_000..1_800_000_000_000i64, any::<i64>()]
}

fn values() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(-0.0), Just(1.5), any::<u64>().prop_map(f64::from_bits)]
}

proptest! {
    #[test]
    fn what_is_known_changes_the_way_and_not_the_samples(
        rounds in prop::collection::vec(
            prop::collection::vec(
                (0..LABELS.len(), prop::collection::vec((timestamps(), values()), 0..3)),
                0..100,
            ),
            1..4,
        ),
    ) {
        for protocol in [Protocol::V1, Protocol::V2] {
            let (mut known, mut names) = (known(), vec![]);
            let (mut plain, mut fast) = (Decoded::default(), Decoded::default());
            let (mut part, mut parts) = (Decoded::default(), vec![]);
            let mut decoder = Decoder::default();
            // Each round thrice: the third time its symbols are known to repeat.
            for round in rounds.iter().flat_map(|round| [round; 3]) {
                let series: Vec<_> = round
                    .iter()
                    .map(|(labels, samples)| Series { labels: LABELS[*labels], samples })
                    .collect();
                let mut request = vec![];
                match protocol {
                    Protocol::V1 => encode_v1(&series, &mut request),
                    Protocol::V2 => encode_v2(&series, &mut request),
                }
                decoder.decode_with_keys(protocol, &request, &known.keys, &mut plain).unwrap();
                decoder.decode_known(protocol, &request, &mut known, &mut fast).unwrap();
                prop_assert_eq!(lines(&plain, &names), lines(&fast, &names));
                prop_assert_eq!(plain.batch.sample_count(), fast.batch.sample_count() + fast.known_count);
                prop_assert_eq!(plain.invalid_labels_count, fast.invalid_labels_count);
                let texts = |decoded: &Decoded| {
                    decoded.series_errors.iter().map(|one| one.message.clone()).collect::<Vec<_>>()
                };
                prop_assert_eq!(texts(&plain), texts(&fast));
                prop_assert_eq!(fast.batch.series_count(), fast.places.len());
                let all: Vec<u32> = (0..round.len() as u32).collect();
                let (one, rest) = all.split_at(all.len() / 2);
                for places in [one, rest] {
                    let keys = &known.keys;
                    decoder.decode_only(protocol, &request, keys, places, &mut part).unwrap();
                    prop_assert!(part.places.iter().all(|place| places.contains(place)));
                    parts.extend(lines(&part, &names));
                }
                parts.sort();
                prop_assert_eq!(lines(&plain, &names), std::mem::take(&mut parts));
                learn(&mut known, &mut names, &fast);
            }
        }
    }
}

#[test]
fn a_plain_sample_of_a_known_series_takes_the_short_way() {
    for protocol in [Protocol::V1, Protocol::V2] {
        let (mut known, mut names, mut out) = (known(), vec![], Decoded::default());
        for (round, value) in [1.5, 0.0, -0.0, f64::NAN, 3.0].into_iter().enumerate() {
            let samples = [(1_700_000_000_000 + round as i64, value)];
            // Other series around them: the symbols of protocol 2 have other numbers each time.
            let extra = format!("extra_{round}");
            let extra = [("__name__", &*extra)];
            let mut series: Vec<_> =
                LABELS[..7].iter().map(|labels| Series { labels, samples: &samples }).collect();
            series.insert(round, Series { labels: &extra, samples: &samples });
            let mut request = vec![];
            match protocol {
                Protocol::V1 => encode_v1(&series, &mut request),
                Protocol::V2 => encode_v2(&series, &mut request),
            }
            Decoder::default().decode_known(protocol, &request, &mut known, &mut out).unwrap();
            assert_eq!(out.known_count, if round == 0 { 0 } else { 7 }, "{protocol:?} {value}");
            learn(&mut known, &mut names, &out);
        }
    }
}

/// Where many in a row are not known, few are looked for; those that are known are found again soon
/// after.
#[test]
fn known_series_behind_many_new_ones_are_found() {
    for protocol in [Protocol::V1, Protocol::V2] {
        let (mut known, mut names, mut out) = (known(), vec![], Decoded::default());
        let samples = [(1_700_000_000_000, 1.5)];
        let request = |first: usize, last: usize| {
            let names: Vec<String> =
                (first..last).map(|number| format!("series_{number}")).collect();
            let labels: Vec<_> = names.iter().map(|name| [("__name__", &**name)]).collect();
            let series: Vec<_> =
                labels.iter().map(|labels| Series { labels, samples: &samples }).collect();
            let mut request = vec![];
            match protocol {
                Protocol::V1 => encode_v1(&series, &mut request),
                Protocol::V2 => encode_v2(&series, &mut request),
            }
            request
        };
        let mut decoder = Decoder::default();
        decoder.decode_known(protocol, &request(1000, 2000), &mut known, &mut out).unwrap();
        assert_eq!((out.known_count, out.batch.series_count()), (0, 1000));
        learn(&mut known, &mut names, &out);
        decoder.decode_known(protocol, &request(0, 2000), &mut known, &mut out).unwrap();
        assert!((900..=1000).contains(&out.known_count), "{}", out.known_count);
        assert_eq!(out.known_count + out.batch.series_count(), 2000);
        learn(&mut known, &mut names, &out);
        decoder.decode_known(protocol, &request(0, 2000), &mut known, &mut out).unwrap();
        assert_eq!(out.known_count, 2000);
    }
}

/// Of many that come in a row most are only found by following others, until they have come once more.
#[test]
fn many_that_come_in_a_row_are_found_once_they_were_followed() {
    let samples = [(1_700_000_000_000, 1.5)];
    let names: Vec<String> = (0..500).map(|number| format!("series_{number}")).collect();
    let labels: Vec<_> = names.iter().map(|name| [("__name__", &**name)]).collect();
    let series: Vec<_> = labels.iter().map(|labels| Series { labels, samples: &samples }).collect();
    let backward: Vec<_> = series.iter().rev().copied().collect();
    /// How many of `series` are known.
    fn count(known: &mut KnownSeries, names: &mut Vec<String>, series: &[Series<'_>]) -> usize {
        let (mut request, mut out) = (vec![], Decoded::default());
        encode_v1(series, &mut request);
        Decoder::default().decode_known(Protocol::V1, &request, known, &mut out).unwrap();
        learn(known, names, &out);
        out.known_count
    }
    let (mut known_now, mut ids) = (known(), vec![]);
    assert_eq!(count(&mut known_now, &mut ids, &series), 0);
    let small = known_now.bytes();
    assert_eq!(count(&mut known_now, &mut ids, &series), 500);
    assert!(known_now.bytes() > small, "each has a row");
    assert_eq!(count(&mut known_now, &mut ids, &backward), 500);
    assert_eq!(ids.len(), 500);
    // Another order at once: some are found, the others come by their labels, and are known then.
    let (mut known_now, mut ids) = (known(), vec![]);
    assert_eq!(count(&mut known_now, &mut ids, &series), 0);
    assert!((1..250).contains(&count(&mut known_now, &mut ids, &backward)));
    assert_eq!(count(&mut known_now, &mut ids, &backward), 500);
    for _ in 0..3 {
        assert_eq!(count(&mut known_now, &mut ids, &series[..250]), 250);
    }
}

/// In protocol 2 metadata that changes makes a series unknown, so that it is seen.
#[test]
fn changed_metadata_is_seen() {
    let request = |metric_type: u8| {
        let sample =
            [&[1 << 3 | 1][..], &1.5f64.to_le_bytes(), &[2 << 3, 0x81, 0x80, 0x80, 0x80, 0x80, 1]];
        let mut series = vec![];
        push_bytes(&mut series, 1, &[1, 2]);
        push_bytes(&mut series, 2, &sample.concat());
        push_bytes(&mut series, 5, &[1 << 3, metric_type, 3 << 3, 3]);
        let mut request = vec![];
        for symbol in ["", "__name__", "up", "Whether it is up."] {
            push_bytes(&mut request, 4, symbol.as_bytes());
        }
        push_bytes(&mut request, 5, &series);
        request
    };
    let (mut known, mut names, mut out) = (known(), vec![], Decoded::default());
    for (metric_type, is_known) in [(1, false), (1, true), (2, false), (2, true), (1, false)] {
        let request = request(metric_type);
        Decoder::default().decode_known(Protocol::V2, &request, &mut known, &mut out).unwrap();
        assert_eq!(out.known_count, usize::from(is_known));
        assert_eq!(out.metadata.len(), usize::from(!is_known));
        learn(&mut known, &mut names, &out);
    }
}

/// A sender that repeats its symbols is followed by place, whatever changes in between.
#[test]
fn repeated_symbols_are_followed_by_place() {
    let request = |order: &[usize], value: f64| {
        let samples = [(1_700_000_000_000, value)];
        let mut request = vec![];
        // The symbols stand in one order, the series in another.
        let all: Vec<_> =
            LABELS[..7].iter().map(|labels| Series { labels, samples: &samples }).collect();
        encode_v2(&all, &mut request);
        let end = super::v2::symbols_end(&request);
        let (symbols, series) = request.split_at(end);
        let mut message = super::proto::Message::new(series);
        let mut spans = vec![];
        while let Some(field) = message.next_field().unwrap() {
            spans.push(field.bytes().unwrap().span);
        }
        let mut out = symbols.to_vec();
        order.iter().for_each(|&index| push_bytes(&mut out, 5, spans[index].of(series)));
        out
    };
    let (mut known, mut names, mut out) = (known(), vec![], Decoded::default());
    let mut decoder = Decoder::default();
    let orders: [&[usize]; 8] = [
        &[0, 1, 2, 3, 4],
        &[0, 1, 2, 3, 4],
        &[0, 1, 2, 3, 4],
        &[4, 1, 2, 3, 0, 5],
        &[4, 1, 2, 3, 0, 5],
        &[1],
        &[],
        &[6, 5, 4, 3, 2, 1, 0],
    ];
    for (round, order) in orders.into_iter().enumerate() {
        let request = request(order, round as f64);
        decoder.decode_known(Protocol::V2, &request, &mut known, &mut out).unwrap();
        let mut expected: Vec<_> = order
            .iter()
            .map(|&index| {
                let labels = engine::model::Labels::from_pairs(LABELS[index].iter().copied());
                let bits = (round as f64).to_bits();
                format!("{} 1700000000000 {bits}", labels.as_ref())
            })
            .collect();
        expected.sort();
        assert_eq!(lines(&out, &names), expected, "{round}");
        learn(&mut known, &mut names, &out);
    }
    // A symbol that stands behind the series makes the table another one.
    let mut request = request(&[0, 1], 9.0);
    push_bytes(&mut request, 4, b"late");
    decoder.decode_known(Protocol::V2, &request, &mut known, &mut out).unwrap();
    assert_eq!(out.known_count, 2);
}
