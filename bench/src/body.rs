//! remote_write requests as templates: encoded once, then only timestamps and values change.
//!
//! A request of a series list is encoded with room for a six-byte timestamp varint (true from
//! 2004 to 2109) and the eight value bytes; [`Template::fill`] patches both in place and
//! compresses. So a sample costs the generator two stores and its share of snappy, and the server
//! gets exactly the bytes that a Prometheus would send.
//!
//! Source: Prometheus `prompb/types.proto`, `prompb/io/prometheus/write/v2/types.proto`.

use std::collections::HashMap;

use crate::workload::{GENERATION, Series, Values};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    V1,
    V2,
}

impl Protocol {
    /// The request headers that name the protocol.
    pub fn headers(self) -> &'static str {
        match self {
            Protocol::V1 => {
                "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n\
                 X-Prometheus-Remote-Write-Version: 0.1.0\r\n"
            }
            Protocol::V2 => {
                "Content-Encoding: snappy\r\n\
                 Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n\
                 X-Prometheus-Remote-Write-Version: 2.0.0\r\n"
            }
        }
    }
}

/// Bytes of a millisecond timestamp as a varint.
const TIMESTAMP_BYTES: usize = 6;

/// One request of fixed series, one sample each.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    /// Where each sample's value (fixed64) stands.
    value_offsets: Vec<u32>,
    /// Where each sample's timestamp (varint) stands.
    timestamp_offsets: Vec<u32>,
    /// Where the number of an instance's life stands.
    generation_offsets: Vec<u32>,
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A sample message; its value stands at 1, its timestamp at 10.
fn sample_message() -> Vec<u8> {
    let mut sample = vec![1 << 3 | 1];
    sample.extend_from_slice(&[0; 8]);
    sample.push(2 << 3);
    sample.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]);
    sample
}

const SAMPLE_VALUE_AT: usize = 1;
const SAMPLE_TIMESTAMP_AT: usize = 10;

impl Template {
    /// Encodes a request with one sample of each of `series`.
    pub fn new(protocol: Protocol, series: &[Series]) -> Template {
        let mut template = Template {
            bytes: Vec::new(),
            value_offsets: Vec::with_capacity(series.len()),
            timestamp_offsets: Vec::with_capacity(series.len()),
            generation_offsets: Vec::new(),
        };
        match protocol {
            Protocol::V1 => {
                for one in series {
                    let mut labels = Vec::new();
                    for (name, value) in &one.labels {
                        let mut label = Vec::new();
                        put_bytes(&mut label, 1, name.as_bytes());
                        put_bytes(&mut label, 2, value.as_bytes());
                        put_bytes(&mut labels, 1, &label);
                    }
                    template.push_series(1, labels);
                }
            }
            Protocol::V2 => {
                let mut symbols: Vec<&str> = vec![""];
                let mut known: HashMap<&str, u64> = HashMap::from([("", 0)]);
                let mut refs: Vec<Vec<u8>> = Vec::with_capacity(series.len());
                for one in series {
                    let mut packed = Vec::new();
                    for (name, value) in &one.labels {
                        for text in [*name, value.as_str()] {
                            let next = symbols.len() as u64;
                            let id = *known.entry(text).or_insert(next);
                            if id == next {
                                symbols.push(text);
                            }
                            put_varint(&mut packed, id);
                        }
                    }
                    refs.push(packed);
                }
                for symbol in symbols {
                    put_bytes(&mut template.bytes, 4, symbol.as_bytes());
                }
                for packed in refs {
                    let mut labels = Vec::new();
                    put_bytes(&mut labels, 1, &packed);
                    template.push_series(5, labels);
                }
            }
        }
        let marks = template.bytes.windows(GENERATION.len()).enumerate();
        let marks = marks.filter(|(_, bytes)| *bytes == GENERATION.as_bytes());
        template.generation_offsets = marks.map(|(at, _)| at as u32).collect();
        template.set_generation(0);
        template
    }

    /// Makes the series those of the instances' life number `generation`.
    pub fn set_generation(&mut self, generation: u32) {
        let digits = format!("{generation:0width$}", width = GENERATION.len());
        assert!(digits.len() == GENERATION.len(), "a run has fewer generations");
        for &at in &self.generation_offsets {
            self.bytes[at as usize..][..digits.len()].copy_from_slice(digits.as_bytes());
        }
    }

    /// Adds one time series message: its encoded labels, then the sample.
    fn push_series(&mut self, field: u32, labels: Vec<u8>) {
        let mut message = labels;
        let sample = sample_message();
        put_bytes(&mut message, 2, &sample);
        put_bytes(&mut self.bytes, field, &message);
        let sample_start = self.bytes.len() - sample.len();
        self.value_offsets.push((sample_start + SAMPLE_VALUE_AT) as u32);
        self.timestamp_offsets.push((sample_start + SAMPLE_TIMESTAMP_AT) as u32);
    }

    pub fn series_count(&self) -> usize {
        self.value_offsets.len()
    }

    pub fn raw_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The request as it is now, not compressed.
    pub fn request(&self) -> &[u8] {
        &self.bytes
    }

    /// Patches one sample per series (all at `timestamp_ms`) and compresses into `out`.
    ///
    /// Shapes: series `i` of the template takes the next value of `values[first + i]`. `out` is
    /// replaced; nothing is allocated once it has room.
    pub fn fill(
        &mut self,
        timestamp_ms: i64,
        values: &mut Values,
        first: usize,
        encoder: &mut snap::raw::Encoder,
        out: &mut Vec<u8>,
    ) {
        let timestamp = timestamp_varint(timestamp_ms);
        for index in 0..self.value_offsets.len() {
            let at = self.value_offsets[index] as usize;
            self.bytes[at..at + 8].copy_from_slice(&values.step(first + index).to_le_bytes());
            let at = self.timestamp_offsets[index] as usize;
            self.bytes[at..at + TIMESTAMP_BYTES].copy_from_slice(&timestamp);
        }
        let bound = snap::raw::max_compress_len(self.bytes.len());
        if out.len() < bound {
            out.resize(bound, 0);
        }
        let length = encoder.compress(&self.bytes, out).expect("the buffer has the bound's room");
        out.truncate(length);
    }
}

fn timestamp_varint(timestamp_ms: i64) -> [u8; TIMESTAMP_BYTES] {
    let mut bytes = [0; TIMESTAMP_BYTES];
    let mut rest = timestamp_ms as u64;
    for byte in &mut bytes {
        *byte = (rest & 0x7f) as u8 | 0x80;
        rest >>= 7;
    }
    bytes[TIMESTAMP_BYTES - 1] &= 0x7f;
    assert!(rest == 0, "a timestamp of the template's era takes six bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Protocol, Template};
    use crate::workload::{Values, instance_series};

    /// Patching must give the same bytes as encoding anew, so lengths and offsets are right.
    #[test]
    fn a_filled_template_holds_the_values_at_its_offsets() {
        for protocol in [Protocol::V1, Protocol::V2] {
            let series = instance_series(0, 50);
            let mut template = Template::new(protocol, &series);
            let holds = |text: &str, bytes: &[u8]| {
                bytes.windows(text.len()).filter(|own| *own == text.as_bytes()).count()
            };
            let lives = holds("-000000.dc0", &template.bytes);
            assert!(lives > 0);
            template.set_generation(321);
            assert_eq!(holds("-000321.dc0", &template.bytes), lives);
            let mut values = Values::new(series.iter().map(|one| one.kind), 1);
            let mut expected = values.clone();
            let mut out = Vec::new();
            template.fill(
                1_700_000_000_123,
                &mut values,
                0,
                &mut snap::raw::Encoder::new(),
                &mut out,
            );
            let raw = snap::raw::Decoder::new().decompress_vec(&out).unwrap();
            assert_eq!(raw.len(), template.raw_bytes());
            for index in 0..50 {
                let at = template.value_offsets[index] as usize;
                let bits = u64::from_le_bytes(raw[at..at + 8].try_into().unwrap());
                assert_eq!(f64::from_bits(bits), expected.step(index));
                let at = template.timestamp_offsets[index] as usize;
                let timestamp = raw[at..at + 6]
                    .iter()
                    .rev()
                    .fold(0i64, |sum, byte| sum << 7 | i64::from(byte & 0x7f));
                assert_eq!(timestamp, 1_700_000_000_123);
            }
        }
    }
}
