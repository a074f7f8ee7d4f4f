//! remote_write 1.0 requests, built by hand.
//!
//! Source: Prometheus `prompb/remote.proto`, `prompb/types.proto`.

use std::net::SocketAddr;

use crate::http::{self, Answer};

/// One series of a request: labels in any order, samples as (timestamp in ms, value).
#[derive(Clone, Debug)]
pub struct Series<'a> {
    pub labels: Vec<(&'a str, String)>,
    pub samples: Vec<(i64, f64)>,
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
