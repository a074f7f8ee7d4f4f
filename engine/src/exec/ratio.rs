//! `limit_ratio`: a share of the series, the same ones every time, by a hash of their labels.
//!
//! Source: Prometheus `promql/engine.go`, `HashRatioSampler`; the hashed bytes are those of
//! `model/labels/labels_stringlabels.go`, so the same series are chosen there and here.

use xxhash_rust::xxh64::xxh64;

use crate::model::LabelsRef;

/// Whether a series is in the share: up to `share` of the hashes, or, below zero, the others.
pub fn is_in(share: f64, labels: LabelsRef<'_>) -> bool {
    let share = share.clamp(-1.0, 1.0);
    let offset = prometheus_hash(labels) as f64 / u64::MAX as f64;
    if share >= 0.0 { offset < share } else { offset >= 1.0 + share }
}

/// The hash that Prometheus gives a label set.
pub fn prometheus_hash(labels: LabelsRef<'_>) -> u64 {
    let mut bytes = Vec::with_capacity(labels.as_bytes().len() + 8);
    for (name, value) in labels.iter() {
        for text in [name, value] {
            push_length(&mut bytes, text.len());
            bytes.extend_from_slice(text);
        }
    }
    xxh64(&bytes, 0)
}

/// A length below 255 is one byte, a longer one is 255 and three bytes, low first.
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    if length < 255 {
        bytes.push(length as u8);
    } else {
        bytes.extend_from_slice(&[255, length as u8, (length >> 8) as u8, (length >> 16) as u8]);
    }
}
