//! Series over half an hour, a sample every 15 seconds or so.

use engine::model::Labels;
use engine::model::sample::stale_nan;

use super::random::Random;
use crate::remote_write::NativeHistogram;

/// From the first sample to the last.
pub const SPAN_MS: i64 = 30 * 60_000;
pub const INTERVAL_MS: i64 = 15_000;

pub const JOBS: [&str; 3] = ["api", "db", "web"];
pub const INSTANCES: [&str; 3] = ["0", "1", "2"];
pub const CODES: [&str; 3] = ["200", "404", "500"];
/// Upper bounds of the buckets of `latency_bucket`.
pub const BOUNDS: [&str; 5] = ["0.1", "0.5", "1", "5", "+Inf"];

pub type Samples = Vec<(i64, f64)>;

/// All series; times are `first_ms` and later.
///
/// `requests_total` counters that start anew, `heat` and `load` gauges, `latency_bucket` classic
/// histograms with `latency_count` and `latency_sum`, `target_info` with labels to join, `odd`
/// with values that are hard.
pub fn series(random: &mut Random, first_ms: i64) -> Vec<(Labels, Samples)> {
    let mut all = Vec::new();
    for job in JOBS {
        for instance in INSTANCES {
            let of = |name: &'static str, more: &[(&'static str, &'static str)]| {
                let mut pairs = vec![("__name__", name), ("job", job), ("instance", instance)];
                pairs.extend_from_slice(more);
                Labels::from_pairs(pairs)
            };
            for code in CODES {
                if !random.one_in(4) {
                    let counter = counter(random, first_ms);
                    all.push((of("requests_total", &[("code", code)]), counter));
                }
            }
            all.push((of("heat", &[]), gauge(random, first_ms, 40.0)));
            if !random.one_in(3) {
                all.push((of("load", &[]), gauge(random, first_ms, 2.0)));
            }
            if job != "db" {
                buckets(random, first_ms, &of, &mut all);
            }
            let version = ["1.0", "1.1", "2.0"][random.below(3)];
            let times = times(random, first_ms);
            let ones = times.into_iter().map(|time_ms| (time_ms, 1.0)).collect();
            all.push((of("target_info", &[("version", version)]), ones));
        }
        all.push((Labels::from_pairs([("__name__", "odd"), ("job", job)]), odd(random, first_ms)));
    }
    all
}

/// Scrape times with jitter, now and then a gap.
fn times(random: &mut Random, first_ms: i64) -> Vec<i64> {
    let jitters = random.one_in(2);
    let mut times = Vec::new();
    let mut time_ms = first_ms + random.below(INTERVAL_MS as usize) as i64;
    while time_ms <= first_ms + SPAN_MS {
        times.push(time_ms + if jitters { random.below(200) as i64 } else { 0 });
        time_ms += INTERVAL_MS;
        if random.one_in(40) {
            time_ms += INTERVAL_MS * random.below(30) as i64;
        }
    }
    times
}

fn counter(random: &mut Random, first_ms: i64) -> Samples {
    let (mut value, scale) = (random.below(100) as f64, [1.0, 0.25, 0.1][random.below(3)]);
    let mut samples = Vec::new();
    for time_ms in times(random, first_ms) {
        value += random.below(20) as f64 * scale;
        if random.one_in(30) {
            value = random.below(3) as f64;
        }
        samples.push((time_ms, value));
    }
    end_now_and_then(random, samples)
}

fn gauge(random: &mut Random, first_ms: i64, scale: f64) -> Samples {
    let mut samples = Vec::new();
    let whole = random.one_in(3);
    for time_ms in times(random, first_ms) {
        let value = (random.fraction() - 0.3) * scale;
        samples.push((time_ms, if whole { value.round() } else { value }));
    }
    end_now_and_then(random, samples)
}

/// Puts staleness markers where a target went away, and sometimes nothing after.
fn end_now_and_then(random: &mut Random, mut samples: Samples) -> Samples {
    if random.one_in(3) {
        let at = random.below(samples.len());
        samples[at].1 = stale_nan();
        if random.one_in(2) {
            samples.truncate(at + 1);
        }
    }
    samples
}

fn odd(random: &mut Random, first_ms: i64) -> Samples {
    const VALUES: [f64; 10] =
        [0.0, -0.0, 1.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e15, 1e-9, 0.1];
    times(random, first_ms).into_iter().map(|time_ms| (time_ms, *random.choose(&VALUES))).collect()
}

fn buckets(
    random: &mut Random,
    first_ms: i64,
    of: &dyn Fn(&'static str, &[(&'static str, &'static str)]) -> Labels,
    all: &mut Vec<(Labels, Samples)>,
) {
    let times = times(random, first_ms);
    let mut counts = [0u32; BOUNDS.len()];
    let mut rows = vec![Vec::new(); BOUNDS.len()];
    let (mut sum, mut sums) = (0.0, Vec::new());
    for &time_ms in &times {
        for _ in 0..random.below(6) {
            let bucket = random.below(BOUNDS.len());
            counts[bucket..].iter_mut().for_each(|count| *count += 1);
            sum += bucket as f64 * 0.75;
        }
        for (row, count) in rows.iter_mut().zip(counts) {
            row.push((time_ms, f64::from(count)));
        }
        sums.push((time_ms, sum));
    }
    all.push((of("latency_count", &[]), rows[BOUNDS.len() - 1].clone()));
    all.push((of("latency_sum", &[]), sums));
    for (bound, row) in BOUNDS.into_iter().zip(rows) {
        all.push((of("latency_bucket", &[("le", bound)]), row));
    }
}

/// `durations`: native histograms that grow and start anew, of one resolution or another.
pub fn native_histograms(
    random: &mut Random,
    first_ms: i64,
) -> Vec<(Labels, Vec<(i64, NativeHistogram)>)> {
    let mut all = Vec::new();
    for job in JOBS {
        for instance in INSTANCES {
            let labels = Labels::from_pairs([
                ("__name__", "durations"),
                ("job", job),
                ("instance", instance),
            ]);
            let mut histogram = NativeHistogram {
                schema: [0, 1, 3][random.below(3)],
                sum: 0.0,
                zero_threshold: 0.001,
                zero_count: 0,
                first_bucket: random.below(7) as i32 - 3,
                bucket_counts: vec![0; 2 + random.below(6)],
            };
            let mut samples = Vec::new();
            for time_ms in times(random, first_ms) {
                if random.one_in(30) {
                    histogram.bucket_counts.iter_mut().for_each(|count| *count = 0);
                    (histogram.sum, histogram.zero_count) = (0.0, 0);
                }
                for _ in 0..random.below(8) {
                    let bucket = random.below(histogram.bucket_counts.len() + 1);
                    match histogram.bucket_counts.get_mut(bucket) {
                        Some(count) => *count += 1,
                        None => histogram.zero_count += 1,
                    }
                    histogram.sum += bucket as f64 * 0.5;
                }
                samples.push((time_ms, histogram.clone()));
            }
            all.push((labels, samples));
        }
    }
    all
}
