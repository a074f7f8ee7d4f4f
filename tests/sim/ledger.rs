//! What was promised about every sample, and what is found of it.

use std::collections::BTreeMap;

use engine::model::histogram::{Side, Span};
use engine::model::{Batch, FloatHistogram, HistogramSample, Labels};

/// A series of a life: its number is its label.
pub type Series = u16;

/// Series in every batch.
pub const SERIES_COUNT: Series = 10;

/// Samples found, by series and time, each by its bits.
pub type Found = BTreeMap<(Series, i64), u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Promise {
    /// It was sent.
    Attempted,
    /// It was acknowledged, or found after a crash.
    Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deletion {
    None,
    /// It was asked for.
    Attempted,
    Done,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    samples: BTreeMap<(Series, i64), (Promise, Deletion)>,
    acknowledged_count: u64,
    /// Samples that are older than the newest by this much may be forgotten.
    pub retention_ms: Option<i64>,
    /// Counts what was promised, so that an unchanged ledger shows.
    pub version: u64,
}

pub fn labels(series: Series) -> Labels {
    Labels::from_pairs([("__name__", "life"), ("number", &series.to_string())])
}

/// Mixed bits of a sample's place.
fn bits(series: Series, timestamp_ms: i64) -> u64 {
    let place = (u64::from(series) << 48) ^ timestamp_ms as u64;
    let mixed = (place ^ (place >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

/// The value of a float: counters, constants, and any bits.
fn float(series: Series, timestamp_ms: i64) -> f64 {
    match series % 4 {
        0 => (timestamp_ms / 1000) as f64 * 10.0,
        1 => f64::from(series),
        2 => (bits(series, timestamp_ms) % 1000) as f64 / 8.0,
        // No stale marker: one in 2^64.
        _ => f64::from_bits(bits(series, timestamp_ms)),
    }
}

fn histogram(series: Series, timestamp_ms: i64) -> FloatHistogram {
    let count = (timestamp_ms / 1000 + i64::from(series)) as f64;
    let spans = vec![Span { offset: 1, length: 1 }];
    let positive = Side { spans, buckets: vec![count] };
    FloatHistogram { schema: 2, count, sum: count * 1.5, positive, ..FloatHistogram::default() }
}

fn is_histogram(series: Series) -> bool {
    series == 8
}

/// When the counting of a sample began; zero: not known.
fn start_ms(series: Series, timestamp_ms: i64) -> i64 {
    if series == 6 { timestamp_ms - 500 } else { 0 }
}

/// The bits of a float that was found.
pub fn float_bits(value: f64, start_ms: i64) -> u64 {
    value.to_bits() ^ (start_ms as u64).rotate_left(7)
}

/// The bits of a histogram that was found.
pub fn histogram_bits(found: &FloatHistogram) -> u64 {
    let counts = found
        .positive
        .buckets
        .iter()
        .fold(0, |all: u64, count| all.rotate_left(9) ^ count.to_bits());
    let zero = found.zero_count.to_bits() ^ found.negative.buckets.len() as u64;
    let shape = found.schema as u64 ^ ((found.positive.spans.len() as u64) << 32);
    counts
        ^ found.sum.to_bits().rotate_left(17)
        ^ found.count.to_bits().rotate_left(33)
        ^ zero
        ^ shape
}

fn expected(series: Series, timestamp_ms: i64) -> u64 {
    match is_histogram(series) {
        true => histogram_bits(&histogram(series, timestamp_ms)),
        false => float_bits(float(series, timestamp_ms), start_ms(series, timestamp_ms)),
    }
}

/// One sample, at `timestamp_ms`, of each of `series`.
pub fn batch(series: impl Iterator<Item = Series>, timestamp_ms: i64) -> Batch {
    let mut batch = Batch::default();
    for series in series {
        let index = batch.push_series(labels(series).as_ref());
        if is_histogram(series) {
            let histogram = histogram(series, timestamp_ms);
            batch.push_histogram(
                index,
                timestamp_ms,
                HistogramSample { histogram, is_integer: true },
            );
        } else {
            batch.push_sample(index, timestamp_ms, float(series, timestamp_ms));
            if start_ms(series, timestamp_ms) != 0 {
                batch.set_start(start_ms(series, timestamp_ms));
            }
        }
    }
    batch
}

impl Ledger {
    pub fn attempt(&mut self, series: Series, timestamp_ms: i64) {
        let fresh = (Promise::Attempted, Deletion::None);
        self.samples.entry((series, timestamp_ms)).or_insert(fresh);
        self.version += 1;
    }

    pub fn acknowledge(&mut self, series: Series, timestamp_ms: i64) {
        let (promise, _) = self.samples.get_mut(&(series, timestamp_ms)).expect("it was attempted");
        *promise = Promise::Kept;
        self.acknowledged_count += 1;
        self.version += 1;
    }

    pub fn acknowledged_count(&self) -> u64 {
        self.acknowledged_count
    }

    /// Deletion of the samples of `series` within `range` is asked for, or `is_done`.
    pub fn delete(&mut self, series: Series, range: std::ops::RangeInclusive<i64>, is_done: bool) {
        let to = if is_done { Deletion::Done } else { Deletion::Attempted };
        let (first, last) = (*range.start(), *range.end());
        for (_, (_, deletion)) in self.samples.range_mut((series, first)..=(series, last)) {
            *deletion = (*deletion).max(to);
        }
        self.version += 1;
    }

    fn forgotten_before_ms(&self) -> i64 {
        let newest_ms = self.samples.keys().map(|(_, timestamp_ms)| *timestamp_ms).max();
        let Some(retention_ms) = self.retention_ms else { return i64::MIN };
        newest_ms.map_or(i64::MIN, |newest_ms| newest_ms - retention_ms)
    }

    /// Holds what was found against what was promised.
    pub fn check(&self, found: &Found) -> Result<(), String> {
        for (&(series, timestamp_ms), &bits) in found {
            let name = format!("series {series} at {timestamp_ms} ms");
            let Some((_, deletion)) = self.samples.get(&(series, timestamp_ms)) else {
                return Err(format!("{name} was never sent"));
            };
            if bits != expected(series, timestamp_ms) {
                return Err(format!("{name} has changed"));
            }
            if *deletion == Deletion::Done {
                return Err(format!("{name} was deleted and is back"));
            }
        }
        let forgotten_before_ms = self.forgotten_before_ms();
        let mut lost = self.samples.iter().filter(|(place, (promise, deletion))| {
            *promise == Promise::Kept
                && *deletion == Deletion::None
                && place.1 >= forgotten_before_ms
                && !found.contains_key(*place)
        });
        if let Some(((series, timestamp_ms), _)) = lost.next() {
            let more = lost.count();
            return Err(format!(
                "series {series} at {timestamp_ms} ms was acknowledged and is lost, and {more} more"
            ));
        }
        Ok(())
    }

    /// What was found after a crash is promised from now on.
    pub fn settle(&mut self, found: &Found) {
        for place in found.keys() {
            if let Some((promise, _)) = self.samples.get_mut(place) {
                *promise = Promise::Kept;
            }
        }
        self.version += 1;
    }
}
