//! Requests from series: for tests and load generators.

use engine::model::HistogramSample;
use hashbrown::HashMap;

/// A series with its samples; labels in the order in which they are to stand.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    pub labels: &'a [(&'a str, &'a str)],
    /// Timestamps in milliseconds and values.
    pub samples: &'a [(i64, f64)],
}

/// What a series may have beside its samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// Start timestamps of the samples, or none: protocol 2.
    pub starts_ms: &'a [i64],
    /// Timestamps, start timestamps (zero is unknown) and native histograms.
    pub histograms: &'a [(i64, i64, &'a HistogramSample)],
    /// Labels, values and timestamps.
    pub exemplars: &'a [(&'a [(&'a str, &'a str)], f64, i64)],
}

/// Appends a `prometheus.WriteRequest`.
pub fn encode_v1(series: &[Series<'_>], out: &mut Vec<u8>) {
    series.iter().for_each(|one| push_series_v1(one, &Beside::default(), out));
}

/// Appends one series of a `prometheus.WriteRequest`.
pub fn push_series_v1(one: &Series<'_>, beside: &Beside<'_>, out: &mut Vec<u8>) {
    let mut message = Vec::new();
    push_labels(&mut message, one.labels);
    push_samples(&mut message, one.samples, &[]);
    for &(labels, value, timestamp_ms) in beside.exemplars {
        let mut exemplar = Vec::new();
        push_labels(&mut exemplar, labels);
        push_exemplar_fields(&mut exemplar, value, timestamp_ms);
        push_bytes(&mut message, 3, &exemplar);
    }
    for &(timestamp_ms, _, sample) in beside.histograms {
        push_bytes(&mut message, 4, &histogram_message(timestamp_ms, 0, sample));
    }
    push_bytes(out, 1, &message);
}

fn push_labels(message: &mut Vec<u8>, labels: &[(&str, &str)]) {
    for (name, value) in labels {
        let mut label = Vec::new();
        push_bytes(&mut label, 1, name.as_bytes());
        push_bytes(&mut label, 2, value.as_bytes());
        push_bytes(message, 1, &label);
    }
}

fn push_exemplar_fields(exemplar: &mut Vec<u8>, value: f64, timestamp_ms: i64) {
    push_double(exemplar, 2, value);
    push_number(exemplar, 3, timestamp_ms as u64);
}

/// Appends an `io.prometheus.write.v2.Request`; the symbols stand first, the empty one before all.
pub fn encode_v2(series: &[Series<'_>], out: &mut Vec<u8>) {
    let all: Vec<_> = series.iter().map(|&one| (one, Beside::default())).collect();
    encode_v2_with(&all, out);
}

/// As [`encode_v2`], with more than samples.
pub fn encode_v2_with<'a>(series: &[(Series<'a>, Beside<'a>)], out: &mut Vec<u8>) {
    let mut symbols = vec![""];
    let mut known: HashMap<&str, u64, foldhash::fast::RandomState> = HashMap::default();
    known.insert("", 0);
    let mut references_of = |labels: &'a [(&'a str, &'a str)]| {
        let mut references = Vec::new();
        for text in labels.iter().flat_map(|(name, value)| [*name, *value]) {
            let next = symbols.len() as u64;
            let reference = *known.entry(text).or_insert(next);
            if reference == next {
                symbols.push(text);
            }
            push_varint(&mut references, reference);
        }
        references
    };
    let mut messages = Vec::new();
    for (one, beside) in series {
        let mut message = Vec::new();
        push_bytes(&mut message, 1, &references_of(one.labels));
        push_samples(&mut message, one.samples, beside.starts_ms);
        for &(timestamp_ms, start_ms, sample) in beside.histograms {
            push_bytes(&mut message, 3, &histogram_message(timestamp_ms, start_ms, sample));
        }
        for &(labels, value, timestamp_ms) in beside.exemplars {
            let mut exemplar = Vec::new();
            push_bytes(&mut exemplar, 1, &references_of(labels));
            push_exemplar_fields(&mut exemplar, value, timestamp_ms);
            push_bytes(&mut message, 4, &exemplar);
        }
        push_bytes(&mut messages, 5, &message);
    }
    for symbol in symbols {
        push_bytes(out, 4, symbol.as_bytes());
    }
    out.extend_from_slice(&messages);
}

fn push_samples(message: &mut Vec<u8>, samples: &[(i64, f64)], starts_ms: &[i64]) {
    for (index, &(timestamp_ms, value)) in samples.iter().enumerate() {
        let mut sample = Vec::new();
        push_double(&mut sample, 1, value);
        push_number(&mut sample, 2, timestamp_ms as u64);
        if let Some(&start_ms) = starts_ms.get(index) {
            push_number(&mut sample, 3, start_ms as u64);
        }
        push_bytes(message, 2, &sample);
    }
}

/// The message of a native histogram: the same in both protocols, without a start.
fn histogram_message(timestamp_ms: i64, start_ms: i64, sample: &HistogramSample) -> Vec<u8> {
    let histogram = &sample.histogram;
    let mut out = Vec::new();
    if sample.is_integer {
        push_number(&mut out, 1, histogram.count as u64);
        push_number(&mut out, 6, histogram.zero_count as u64);
    } else {
        push_double(&mut out, 2, histogram.count);
        push_double(&mut out, 7, histogram.zero_count);
    }
    push_double(&mut out, 3, histogram.sum);
    push_number(&mut out, 4, fold(i64::from(histogram.schema)));
    push_double(&mut out, 5, histogram.zero_threshold);
    for (side, field) in [(&histogram.negative, 8), (&histogram.positive, 11)] {
        for span in &side.spans {
            let mut message = Vec::new();
            push_number(&mut message, 1, fold(i64::from(span.offset)));
            push_number(&mut message, 2, u64::from(span.length));
            push_bytes(&mut out, field, &message);
        }
        let mut numbers = Vec::new();
        let mut before = 0;
        for &count in &side.buckets {
            if sample.is_integer {
                push_varint(&mut numbers, fold(count as i64 - before));
                before = count as i64;
            } else {
                numbers.extend_from_slice(&count.to_bits().to_le_bytes());
            }
        }
        push_bytes(&mut out, if sample.is_integer { field + 1 } else { field + 2 }, &numbers);
    }
    push_number(&mut out, 14, histogram.counter_reset as u64);
    push_number(&mut out, 15, timestamp_ms as u64);
    let bounds = histogram.custom_bounds.iter();
    let bounds: Vec<u8> = bounds.flat_map(|bound| bound.to_bits().to_le_bytes()).collect();
    push_bytes(&mut out, 16, &bounds);
    push_number(&mut out, 17, start_ms as u64);
    out
}

/// A signed number as `sint` types have it.
fn fold(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn push_double(out: &mut Vec<u8>, field: u32, number: f64) {
    push_varint(out, u64::from(field << 3 | 1));
    out.extend_from_slice(&number.to_bits().to_le_bytes());
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
