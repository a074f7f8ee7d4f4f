//! remote_write 1.0 and 2.0 requests, built by hand.
//!
//! Source: Prometheus `prompb/remote.proto`, `prompb/types.proto`,
//! `prompb/io/prometheus/write/v2/types.proto`.

use std::net::SocketAddr;

use crate::http::{self, Answer};

/// One series of a request: labels in any order, samples as (timestamp in ms, value).
#[derive(Clone, Debug)]
pub struct Series<'a> {
    pub labels: Vec<(&'a str, String)>,
    pub samples: Vec<(i64, f64)>,
}

/// A native histogram of integers: exponential buckets above zero, from `first_bucket` on.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeHistogram {
    pub schema: i32,
    pub sum: f64,
    pub zero_threshold: f64,
    pub zero_count: u64,
    pub first_bucket: i32,
    pub bucket_counts: Vec<u64>,
}

impl NativeHistogram {
    fn encode(&self, timestamp_ms: i64) -> Vec<u8> {
        let zigzag = |value: i64| ((value << 1) ^ (value >> 63)) as u64;
        let mut message = Vec::new();
        let count = self.zero_count + self.bucket_counts.iter().sum::<u64>();
        put_number(&mut message, 1, count);
        put_double(&mut message, 3, self.sum);
        put_number(&mut message, 4, zigzag(i64::from(self.schema)));
        put_double(&mut message, 5, self.zero_threshold);
        put_number(&mut message, 6, self.zero_count);
        if !self.bucket_counts.is_empty() {
            let mut span = Vec::new();
            put_number(&mut span, 1, zigzag(i64::from(self.first_bucket)));
            put_number(&mut span, 2, self.bucket_counts.len() as u64);
            put_bytes(&mut message, 11, &span);
            let (mut deltas, mut before) = (Vec::new(), 0);
            for &count in &self.bucket_counts {
                put_varint(&mut deltas, zigzag(count as i64 - before));
                before = count as i64;
            }
            put_bytes(&mut message, 12, &deltas);
        }
        put_number(&mut message, 15, timestamp_ms as u64);
        message
    }
}

/// Sends a request of native histograms: labels, and samples as (timestamp in ms, histogram).
pub fn send_native_histograms(
    address: SocketAddr,
    series: &[(Vec<(String, String)>, Vec<(i64, NativeHistogram)>)],
) -> std::io::Result<Answer> {
    let mut request = Vec::new();
    for (labels, samples) in series {
        let mut message = Vec::new();
        for (name, value) in labels {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut message, 1, &label);
        }
        for (timestamp_ms, histogram) in samples {
            put_bytes(&mut message, 4, &histogram.encode(*timestamp_ms));
        }
        put_bytes(&mut request, 1, &message);
    }
    http::request(address, "POST", "/api/v1/write", HEADERS, &compress(&request))
}

/// What a request says about a metric family. `kind` is a number of `MetricType` in the schema.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    pub kind: u8,
    pub family: &'a str,
    pub help: &'a str,
    pub unit: &'a str,
}

pub const COUNTER: u8 = 1;
pub const GAUGE: u8 = 2;

pub const HEADERS: &[(&str, &str)] = &[
    ("Content-Encoding", "snappy"),
    ("Content-Type", "application/x-protobuf"),
    ("X-Prometheus-Remote-Write-Version", "0.1.0"),
];

pub const HEADERS_V2: &[(&str, &str)] = &[
    ("Content-Encoding", "snappy"),
    ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ("X-Prometheus-Remote-Write-Version", "2.0.0"),
];

/// A native histogram of whole counts, its positive buckets from index 0 on.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    pub timestamp_ms: i64,
    /// Zero: not known.
    pub start_ms: i64,
    pub schema: i32,
    pub sum: f64,
    pub zero_count: u64,
    pub zero_threshold: f64,
    /// The count of each bucket.
    pub buckets: Vec<u64>,
    pub custom_bounds: Vec<f64>,
}

/// Sends the histograms of one series by 2.0. Labels in order of their names.
pub fn send_histograms(
    address: SocketAddr,
    labels: &[(&str, &str)],
    histograms: &[Histogram],
) -> std::io::Result<Answer> {
    let mut request = Vec::new();
    put_bytes(&mut request, 4, b"");
    let mut refs = Vec::new();
    for (index, text) in labels.iter().flat_map(|(name, value)| [name, value]).enumerate() {
        put_bytes(&mut request, 4, text.as_bytes());
        put_varint(&mut refs, index as u64 + 1);
    }
    let mut series = Vec::new();
    put_bytes(&mut series, 1, &refs);
    histograms.iter().for_each(|histogram| put_bytes(&mut series, 3, &histogram.encode()));
    put_bytes(&mut request, 5, &series);
    http::request(address, "POST", "/api/v1/write", HEADERS_V2, &compress(&request))
}

impl Histogram {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let count: u64 = self.buckets.iter().sum::<u64>() + self.zero_count;
        put_number(&mut out, 1, count);
        put_double(&mut out, 3, self.sum);
        put_number(&mut out, 4, zigzag(i64::from(self.schema)));
        put_double(&mut out, 5, self.zero_threshold);
        put_number(&mut out, 6, self.zero_count);
        let mut span = Vec::new();
        put_number(&mut span, 2, self.buckets.len() as u64);
        put_bytes(&mut out, 11, &span);
        let mut deltas = Vec::new();
        let mut before = 0;
        for &bucket in &self.buckets {
            put_varint(&mut deltas, zigzag(bucket as i64 - before));
            before = bucket as i64;
        }
        put_bytes(&mut out, 12, &deltas);
        put_number(&mut out, 15, self.timestamp_ms as u64);
        let bounds: Vec<u8> = self.custom_bounds.iter().flat_map(|b| b.to_le_bytes()).collect();
        put_bytes(&mut out, 16, &bounds);
        put_number(&mut out, 17, self.start_ms as u64);
        out
    }
}

/// Sends a request of metadata alone, as Prometheus does.
pub fn send_metadata(address: SocketAddr, metadata: &[Metadata<'_>]) -> std::io::Result<Answer> {
    let mut request = Vec::new();
    for one in metadata {
        let mut message = vec![1 << 3, one.kind];
        put_bytes(&mut message, 2, one.family.as_bytes());
        put_bytes(&mut message, 4, one.help.as_bytes());
        put_bytes(&mut message, 5, one.unit.as_bytes());
        put_bytes(&mut request, 3, &message);
    }
    http::request(address, "POST", "/api/v1/write", HEADERS, &compress(&request))
}

/// An `io.prometheus.write.v2.Request` of series `h` with one native histogram each, of one bucket
/// that holds its `count`, and an exemplar of the same time.
pub fn encode_histograms_v2(job: &str, histograms: &[(i64, u8)]) -> Vec<u8> {
    let mut request = Vec::new();
    for symbol in ["", "__name__", "h", "job", job, "trace_id", "abc"] {
        put_bytes(&mut request, 4, symbol.as_bytes());
    }
    for &(timestamp_ms, count) in histograms {
        let mut histogram = vec![1 << 3, count, 3 << 3 | 1];
        histogram.extend_from_slice(&(f64::from(count) * 2.0).to_le_bytes());
        put_bytes(&mut histogram, 11, &[1 << 3, 2, 2 << 3, 1]); // Offset 1, length 1.
        let mut deltas = Vec::new();
        put_varint(&mut deltas, u64::from(count) * 2); // Zigzag.
        put_bytes(&mut histogram, 12, &deltas);
        histogram.push(15 << 3);
        put_varint(&mut histogram, timestamp_ms as u64);
        let mut exemplar = Vec::new();
        put_bytes(&mut exemplar, 1, &[5, 6]);
        exemplar.push(2 << 3 | 1);
        exemplar.extend_from_slice(&0.5f64.to_le_bytes());
        exemplar.push(3 << 3);
        put_varint(&mut exemplar, timestamp_ms as u64);
        let mut series = Vec::new();
        put_bytes(&mut series, 1, &[1, 2, 3, 4]);
        put_bytes(&mut series, 3, &histogram);
        put_bytes(&mut series, 4, &exemplar);
        put_bytes(&mut request, 5, &series);
    }
    request
}

/// Sends one request.
pub fn send(address: SocketAddr, series: &[Series<'_>]) -> std::io::Result<Answer> {
    http::request(address, "POST", "/api/v1/write", HEADERS, &compress(&encode(series)))
}

pub fn compress(raw: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(raw).expect("a request is below snappy's bound")
}

/// The protobuf message, not compressed.
pub fn encode(series: &[Series<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    for one in series {
        let mut message = Vec::new();
        for (name, value) in &one.labels {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut message, 1, &label);
        }
        for (timestamp_ms, value) in &one.samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&value.to_le_bytes());
            sample.push(2 << 3);
            put_varint(&mut sample, *timestamp_ms as u64);
            put_bytes(&mut message, 2, &sample);
        }
        put_bytes(&mut request, 1, &message);
    }
    request
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    put_varint(out, u64::from(field << 3));
    put_varint(out, value);
}

fn put_double(out: &mut Vec<u8>, field: u32, value: f64) {
    put_varint(out, u64::from(field << 3 | 1));
    out.extend_from_slice(&value.to_le_bytes());
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
