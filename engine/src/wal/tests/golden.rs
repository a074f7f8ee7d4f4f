//! The bytes of released formats.

use super::*;

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
