//! What examples that measure a store put into it.

use std::time::Duration;

use engine::model::Labels;

pub const BATCH_SERIES: usize = 2000;

pub fn nanoseconds(duration: Duration, count: usize) -> f64 {
    duration.as_secs_f64() * 1e9 / count as f64
}

/// Scrambles `n`: reproducible noise.
pub fn noise(n: u64) -> u64 {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ mixed >> 32
}

pub fn labels(series: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("node_network_receive_bytes_total_{}", series % 300)),
        ("cluster", "eu-central-1-production".to_owned()),
        ("device", format!("eth{}", series / 300 % 4)),
        ("instance", format!("10.0.{}.{}:9100", series / 1200 / 250, series / 1200 % 250)),
        ("job", "node-exporter".to_owned()),
        ("namespace", "monitoring".to_owned()),
    ])
}

/// Half of the series never change, the others count.
pub fn value(series: usize, round: usize) -> f64 {
    match series % 2 {
        0 => 1.0,
        _ => (round * 1500 + (noise((series * 64 + round) as u64) % 300) as usize) as f64,
    }
}
