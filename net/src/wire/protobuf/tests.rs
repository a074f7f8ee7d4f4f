//! Messages written by hand, and what is read of them.

use super::*;
use engine::model::Labels;

/// A field of bytes.
fn bytes(number: u64, content: &[u8]) -> Vec<u8> {
    let mut out = vec![(number << 3 | 2) as u8];
    if number >= 16 {
        out = vec![((number << 3 | 2) & 0x7f) as u8 | 0x80, ((number << 3) >> 7) as u8];
    }
    varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn int(number: u64, value: u64) -> Vec<u8> {
    let mut out = vec![(number << 3) as u8];
    varint(value, &mut out);
    out
}

fn sint(number: u64, value: i64) -> Vec<u8> {
    int(number, zigzag(value))
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn double(number: u64, value: f64) -> Vec<u8> {
    [&[(number << 3 | 1) as u8], &value.to_le_bytes()[..]].concat()
}

fn packed(number: u64, values: &[i64]) -> Vec<u8> {
    let mut content = vec![];
    values.iter().for_each(|&value| varint(zigzag(value), &mut content));
    bytes(number, &content)
}

fn label_pair(number: u64, name: &str, value: &str) -> Vec<u8> {
    bytes(number, &[bytes(1, name.as_bytes()), bytes(2, value.as_bytes())].concat())
}

fn time(number: u64, seconds: u64, nanos: u64) -> Vec<u8> {
    bytes(number, &[int(1, seconds), int(2, nanos)].concat())
}

fn family(name: &str, kind: u64, metrics: &[Vec<u8>]) -> Vec<u8> {
    let mut message = [bytes(1, name.as_bytes()), bytes(2, b"help"), int(3, kind)].concat();
    metrics.iter().for_each(|metric| message.extend(bytes(4, metric)));
    message.extend(bytes(5, b"s"));
    let mut out = vec![];
    varint(message.len() as u64, &mut out);
    [out, message].concat()
}

fn shown(page: &[u8], options: Options) -> String {
    let mut lines = vec![];
    let mut walk = Walk::new(page, options);
    let mut on = |event: Event<'_>| {
        lines.push(match event {
            Event::Type { metric_type, .. } => metric_type.as_str().to_owned(),
            Event::Help { metric, help } => {
                format!("{} {}", String::from_utf8_lossy(metric), String::from_utf8_lossy(help))
            }
            Event::Unit { unit, .. } => String::from_utf8_lossy(unit).into_owned(),
            Event::Sample(sample) => {
                let labels = Labels::from_pairs(sample.labels.iter().copied());
                let value = match sample.value {
                    SampleValue::Float(value) => value.to_string(),
                    SampleValue::Histogram(sample) => {
                        format!("{} {}", sample.is_integer, sample.histogram.test_expression())
                    }
                };
                let mut line = format!("{labels} {value}");
                if let Some(ms) = sample.timestamp_ms {
                    line.push_str(&format!(" @{ms}"));
                }
                if sample.start_ms != 0 {
                    line.push_str(&format!(" from {}", sample.start_ms));
                }
                for exemplar in sample.exemplars {
                    let labels = Labels::from_pairs(exemplar.labels.iter().copied());
                    let ms = exemplar.timestamp_ms;
                    line.push_str(&format!(" # {labels} {} {ms:?}", exemplar.value));
                }
                line
            }
        });
        Ok::<_, String>(())
    };
    let failed = loop {
        match walk.next(&mut on) {
            Ok(true) => {}
            Ok(false) => break None,
            Err(why) => break Some(why),
        }
    };
    lines.extend(failed);
    lines.join("\n")
}

#[track_caller]
fn check(page: &[u8], options: Options, expected: &[&str]) {
    assert_eq!(shown(page, options), expected.join("\n"));
}

const NATIVE: Options = Options { native: true, always_classic: false, convert_classic: false };

#[test]
fn single_values() {
    let exemplar = |number| {
        bytes(number, &[label_pair(1, "t", "1"), double(2, 7.0), time(3, 5, 6_000_000)].concat())
    };
    let counter = [double(1, 2.5), exemplar(2), time(3, 10, 0)].concat();
    let counters = family(
        "c",
        COUNTER,
        &[
            [label_pair(1, "b", "x"), label_pair(1, "a", "y"), bytes(3, &counter), int(6, 1234)]
                .concat(),
            bytes(3, &double(1, f64::from_bits(0x7ff0_0000_0000_0002))),
        ],
    );
    let gauge = family("g", GAUGE, &[bytes(2, &double(1, 1.0))]);
    let empty = family("e", GAUGE, &[]);
    let untyped = family("u", UNTYPED, &[bytes(5, &[])]);
    check(
        &[counters, empty, gauge, untyped].concat(),
        Options::default(),
        &[
            "c help",
            "s",
            "counter",
            r#"{__name__="c", a="y", b="x"} 2.5 @1234 from 10000 # {t="1"} 7 Some(5006)"#,
            r#"{__name__="c"} NaN"#,
            "g help",
            "s",
            "gauge",
            r#"{__name__="g"} 1"#,
            "u help",
            "s",
            "unknown",
            r#"{__name__="u"} 0"#,
        ],
    );
}

#[test]
fn summaries() {
    let quantile = bytes(3, &[double(1, 0.5), double(2, 3.0)].concat());
    let whole = bytes(3, &[double(1, 1.0), double(2, 4.0)].concat());
    let summary = [int(1, 5), double(2, 9.5), quantile, whole, time(4, 1, 0)].concat();
    check(
        &family("s", SUMMARY, &[bytes(4, &summary)]),
        Options::default(),
        &[
            "s help",
            "s",
            "summary",
            r#"{__name__="s_count"} 5 from 1000"#,
            r#"{__name__="s_sum"} 9.5 from 1000"#,
            r#"{__name__="s", quantile="0.5"} 3 from 1000"#,
            r#"{__name__="s", quantile="1.0"} 4 from 1000"#,
        ],
    );
}

fn classic_parts() -> Vec<u8> {
    let exemplar = bytes(3, &[double(2, 0.5), time(3, 1, 0)].concat());
    [
        int(1, 3),
        double(2, 4.5),
        bytes(3, &[int(1, 1), double(2, 1.0), exemplar].concat()),
        bytes(3, &[int(1, 2), double(2, 2.0)].concat()),
    ]
    .concat()
}

fn native_parts() -> Vec<u8> {
    let span = bytes(12, &[sint(1, -1), int(2, 2)].concat());
    [classic_parts(), sint(5, 3), double(6, 0.001), int(7, 1), span, packed(13, &[1, 0])].concat()
}

#[test]
fn classic_histograms() {
    let page = family("h", HISTOGRAM, &[bytes(7, &classic_parts())]);
    let head = ["h help", "s", "histogram"];
    let classic = [
        r#"{__name__="h_count"} 3"#,
        r#"{__name__="h_sum"} 4.5"#,
        r#"{__name__="h_bucket", le="1.0"} 1 # {} 0.5 Some(1000)"#,
        r#"{__name__="h_bucket", le="2.0"} 2"#,
        r#"{__name__="h_bucket", le="+Inf"} 3"#,
    ];
    check(&page, NATIVE, &[&head[..], &classic].concat());
    let converted = [
        "{__name__=\"h\"} true {{schema:-53 count:3 sum:4.5 custom_values:[1 2] buckets:[1 1 1]}} \
         # {} 0.5 Some(1000)",
    ];
    let convert = Options { convert_classic: true, ..NATIVE };
    check(&page, convert, &[&head[..], &converted].concat());
    let both = Options { always_classic: true, ..convert };
    check(&page, both, &[&head[..], &converted, &classic].concat());
}

#[test]
fn native_histograms() {
    let page = family("h", HISTOGRAM, &[bytes(7, &native_parts())]);
    let native = "{__name__=\"h\"} true {{schema:3 count:3 sum:4.5 z_bucket:1 z_bucket_w:0.001 \
                  offset:-1 buckets:[1 1]}} # {} 0.5 Some(1000)";
    check(&page, NATIVE, &["h help", "s", "histogram", native]);
    let both = shown(&page, Options { always_classic: true, ..NATIVE });
    assert_eq!(both.lines().count(), 9);
    assert_eq!(shown(&page, Options::default()).lines().count(), 8, "as a classic one");
    let gauge = family("h", GAUGE_HISTOGRAM, &[bytes(7, &native_parts())]);
    assert!(shown(&gauge, NATIVE).contains("counter_reset_hint:gauge"));
    let floats = [
        double(4, 2.5),
        double(2, 1.0),
        double(8, 0.5),
        bytes(12, &int(2, 1)),
        bytes(14, &2f64.to_le_bytes()),
    ];
    let page = family("h", HISTOGRAM, &[bytes(7, &floats.concat())]);
    let native = "{__name__=\"h\"} false {{count:2.5 sum:1 z_bucket:0.5 buckets:[2]}}";
    check(&page, NATIVE, &["h help", "s", "histogram", native]);
}

#[test]
fn what_is_broken_is_refused() {
    let of = |metric: &[u8]| family("h", HISTOGRAM, &[bytes(7, metric)]);
    let ends = |page: &[u8], expected: &str| {
        let shown = shown(page, NATIVE);
        assert!(shown.ends_with(expected), "{shown}");
    };
    let missing = [int(7, 1), bytes(12, &int(2, 2))].concat();
    ends(&of(&missing), "histogram \"h\": positive side: spans require 2 buckets, have 0");
    let counts = [native_parts(), int(1, 9)].concat();
    ends(
        &of(&counts),
        "observations found in buckets, but the Count field is 9: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)",
    );
    ends(&family("", GAUGE, &[vec![]]), "invalid metric name: ");
    ends(&family("x", 9, &[vec![]]), "unknown metric type for metric \"x\": 9");
    ends(&family("x", GAUGE, &[label_pair(1, "", "v")]), "invalid label name: ");
    ends(&[5, 1], "expected at least 6 bytes, got 2 bytes");
    // Cut anywhere, changed anywhere: an answer, never a panic.
    let page = family("h", HISTOGRAM, &[bytes(7, &native_parts())]);
    for at in 0..page.len() {
        shown(&page[..at], NATIVE);
        for bit in 0..8 {
            let mut changed = page.clone();
            changed[at] ^= 1 << bit;
            shown(&changed, NATIVE);
        }
    }
}
