//! Requests from series: for tests and load generators.

use hashbrown::HashMap;

/// A series with its samples; labels in the order in which they are to stand.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    pub labels: &'a [(&'a str, &'a str)],
    /// Timestamps in milliseconds and values.
    pub samples: &'a [(i64, f64)],
}

/// Appends a `prometheus.WriteRequest`.
pub fn encode_v1(series: &[Series<'_>], out: &mut Vec<u8>) {
    for one in series {
        let mut message = Vec::new();
        for (name, value) in one.labels {
            let mut label = Vec::new();
            push_bytes(&mut label, 1, name.as_bytes());
            push_bytes(&mut label, 2, value.as_bytes());
            push_bytes(&mut message, 1, &label);
        }
        push_samples(&mut message, one.samples);
        push_bytes(out, 1, &message);
    }
}

/// Appends an `io.prometheus.write.v2.Request`; the symbols stand first, the empty one before all.
pub fn encode_v2(series: &[Series<'_>], out: &mut Vec<u8>) {
    let mut symbols = vec![""];
    let mut known: HashMap<&str, u64, foldhash::fast::RandomState> = HashMap::default();
    known.insert("", 0);
    let mut messages = Vec::new();
    for one in series {
        let mut references = Vec::new();
        for text in one.labels.iter().flat_map(|(name, value)| [*name, *value]) {
            let next = symbols.len() as u64;
            let reference = *known.entry(text).or_insert(next);
            if reference == next {
                symbols.push(text);
            }
            push_varint(&mut references, reference);
        }
        let mut message = Vec::new();
        push_bytes(&mut message, 1, &references);
        push_samples(&mut message, one.samples);
        push_bytes(&mut messages, 5, &message);
    }
    for symbol in symbols {
        push_bytes(out, 4, symbol.as_bytes());
    }
    out.extend_from_slice(&messages);
}

fn push_samples(message: &mut Vec<u8>, samples: &[(i64, f64)]) {
    for &(timestamp_ms, value) in samples {
        let mut sample = Vec::new();
        push_varint(&mut sample, 1 << 3 | 1);
        sample.extend_from_slice(&value.to_bits().to_le_bytes());
        push_varint(&mut sample, 2 << 3);
        push_varint(&mut sample, timestamp_ms as u64);
        push_bytes(message, 2, &sample);
    }
}

/// Appends a length-delimited field.
pub fn push_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    push_varint(out, u64::from(field << 3 | 2));
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a varint field.
pub fn push_number(out: &mut Vec<u8>, field: u32, number: u64) {
    push_varint(out, u64::from(field << 3));
    push_varint(out, number);
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
