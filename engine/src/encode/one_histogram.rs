//! One native histogram as bytes, by itself or behind another: for the log, and for what the head
//! has not sealed. `FORMAT.md` beside this file draws it.
//!
//! Behind a histogram of the same layout, only counts and sum are written, whole counts as
//! differences to those before: a byte or two a bucket.

use std::sync::Arc;

use crate::mem::varint::{VARINT_BYTES_MAX, push_i64, push_u64, take_bytes, take_i64, take_u64};
use crate::model::HistogramSample;
use crate::model::histogram::{CounterReset, FloatHistogram, SCHEMA_CUSTOM, Side, Span};

/// Counts are doubles.
const FLOAT: u8 = 1;
/// Two bits of what is known about resets.
const RESET_SHIFT: u8 = 1;
/// Schema, zero threshold, spans and bounds are those of the histogram before.
const SAME_LAYOUT: u8 = 1 << 3;
/// A staleness marker: nothing follows.
const STALE: u8 = 1 << 4;
/// A zero threshold follows; otherwise it is zero.
const HAS_THRESHOLD: u8 = 1 << 5;

const FLAGS_KNOWN: u8 = 0x3f;

/// Most bytes that [`push_histogram`] writes for `sample`.
pub fn histogram_bytes_max(sample: &HistogramSample) -> usize {
    let histogram = &sample.histogram;
    let sides = [&histogram.positive, &histogram.negative];
    let of_sides: usize = sides
        .iter()
        .map(|side| VARINT_BYTES_MAX * (1 + 2 * side.spans.len() + side.buckets.len()))
        .sum();
    let bounds = VARINT_BYTES_MAX + 8 * histogram.custom_bounds.len();
    1 + 8 + 8 + 3 * VARINT_BYTES_MAX + bounds + of_sides
}

/// Appends `sample`; `previous` is the sample that stands before it, if a reader will know it.
/// Spans fit the buckets. Returns whether it needs the one before to be read.
pub fn push_histogram(
    out: &mut Vec<u8>,
    sample: &HistogramSample,
    previous: Option<&HistogramSample>,
) -> bool {
    let histogram = &sample.histogram;
    let mut flags = (histogram.counter_reset as u8) << RESET_SHIFT;
    if !sample.is_integer {
        flags |= FLOAT;
    }
    if sample.is_stale() {
        out.push(flags | STALE);
        return false;
    }
    let previous = previous.filter(|previous| is_same_layout(sample, previous));
    if previous.is_some() {
        flags |= SAME_LAYOUT;
    } else if histogram.zero_threshold.to_bits() != 0 {
        flags |= HAS_THRESHOLD;
    }
    out.push(flags);
    if previous.is_none() {
        push_layout(out, histogram);
    }
    let previous = previous.map(|previous| &previous.histogram);
    let counts = amounts(histogram);
    if sample.is_integer {
        match previous {
            None => counts.for_each(|count| push_i64(out, whole(count))),
            Some(previous) => counts.zip(amounts(previous)).for_each(|(count, before)| {
                push_i64(out, whole(count).wrapping_sub(whole(before)));
            }),
        }
    } else {
        counts.for_each(|count| out.extend_from_slice(&count.to_bits().to_le_bytes()));
    }
    out.extend_from_slice(&histogram.sum.to_bits().to_le_bytes());
    previous.is_some()
}

/// All counts in the order in which they are written.
fn amounts(histogram: &FloatHistogram) -> impl Iterator<Item = f64> + '_ {
    let buckets = histogram.positive.buckets.iter().chain(&histogram.negative.buckets);
    [histogram.count, histogram.zero_count].into_iter().chain(buckets.copied())
}

/// A whole count's bits as a signed number: differences wrap. Beyond 2^53 a count was rounded
/// before it came here.
fn whole(count: f64) -> i64 {
    (count as u64).cast_signed()
}

fn is_same_layout(sample: &HistogramSample, previous: &HistogramSample) -> bool {
    let (own, before) = (&sample.histogram, &previous.histogram);
    sample.is_integer == previous.is_integer
        && !previous.is_stale()
        && own.schema == before.schema
        && own.zero_threshold.to_bits() == before.zero_threshold.to_bits()
        && own.positive.spans == before.positive.spans
        && own.negative.spans == before.negative.spans
        && own.custom_bounds == before.custom_bounds
}

fn push_layout(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    push_i64(out, i64::from(histogram.schema));
    if histogram.zero_threshold.to_bits() != 0 {
        out.extend_from_slice(&histogram.zero_threshold.to_bits().to_le_bytes());
    }
    for side in [&histogram.positive, &histogram.negative] {
        push_u64(out, side.spans.len() as u64);
        for span in &side.spans {
            push_i64(out, i64::from(span.offset));
            push_u64(out, u64::from(span.length));
        }
    }
    if histogram.schema == SCHEMA_CUSTOM {
        push_u64(out, histogram.custom_bounds.len() as u64);
        for bound in histogram.custom_bounds.iter() {
            out.extend_from_slice(&bound.to_bits().to_le_bytes());
        }
    }
}

/// Splits a histogram off the front of `bytes`. `sample` is the one before, and becomes this one,
/// in the memory it has. `None`: broken, and `sample` is of no use.
pub fn take_histogram(bytes: &mut &[u8], sample: &mut HistogramSample) -> Option<()> {
    let (&flags, rest) = bytes.split_first()?;
    *bytes = rest;
    if flags & !FLAGS_KNOWN != 0 {
        return None;
    }
    let is_integer = flags & FLOAT == 0;
    let counter_reset = match flags >> RESET_SHIFT & 3 {
        0 => CounterReset::Unknown,
        1 => CounterReset::Reset,
        2 => CounterReset::NotReset,
        _ => CounterReset::Gauge,
    };
    if flags & STALE != 0 {
        *sample = HistogramSample::stale(is_integer);
        sample.histogram.counter_reset = counter_reset;
        return Some(());
    }
    let is_behind = flags & SAME_LAYOUT != 0;
    if is_behind && sample.is_integer != is_integer {
        return None;
    }
    sample.is_integer = is_integer;
    let histogram = &mut sample.histogram;
    histogram.counter_reset = counter_reset;
    if !is_behind {
        take_layout(bytes, flags & HAS_THRESHOLD != 0, histogram)?;
    }
    let mut take = |count: &mut f64| {
        if !is_integer {
            *count = take_double(bytes)?;
        } else {
            let before = if is_behind { whole(*count) } else { 0 };
            *count = before.wrapping_add(take_i64(bytes)?).cast_unsigned() as f64;
        }
        Some(())
    };
    take(&mut histogram.count)?;
    take(&mut histogram.zero_count)?;
    let FloatHistogram { positive, negative, .. } = histogram;
    positive.buckets.iter_mut().chain(&mut negative.buckets).try_for_each(take)?;
    histogram.sum = take_double(bytes)?;
    Some(())
}

fn take_double(bytes: &mut &[u8]) -> Option<f64> {
    let (&bits, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(f64::from_bits(u64::from_le_bytes(bits)))
}

fn take_layout(
    bytes: &mut &[u8],
    has_threshold: bool,
    histogram: &mut FloatHistogram,
) -> Option<()> {
    histogram.schema = i32::try_from(take_i64(bytes)?).ok()?;
    histogram.zero_threshold = if has_threshold { take_double(bytes)? } else { 0.0 };
    take_side(bytes, &mut histogram.positive)?;
    take_side(bytes, &mut histogram.negative)?;
    if histogram.schema != SCHEMA_CUSTOM {
        if !histogram.custom_bounds.is_empty() {
            histogram.custom_bounds = Arc::default();
        }
        return Some(());
    }
    let count = usize::try_from(take_u64(bytes)?).ok()?;
    let bounds = take_bytes(bytes, count.checked_mul(8)?)?.as_chunks::<8>().0;
    let bounds = bounds.iter().map(|&bits| f64::from_bits(u64::from_le_bytes(bits)));
    // Histograms of a series share their bounds.
    let is_known = bounds
        .clone()
        .map(f64::to_bits)
        .eq(histogram.custom_bounds.iter().map(|bound| bound.to_bits()));
    if !is_known {
        histogram.custom_bounds = bounds.collect();
    }
    Some(())
}

/// Reads spans, and makes room for as many buckets as they cover. Each bucket takes a byte at
/// least, so broken lengths ask for no more memory than there are bytes.
fn take_side(bytes: &mut &[u8], side: &mut Side<f64>) -> Option<()> {
    side.clear();
    let span_count = take_u64(bytes)?;
    let mut bucket_count = 0usize;
    for _ in 0..span_count {
        let offset = i32::try_from(take_i64(bytes)?).ok()?;
        let length = u32::try_from(take_u64(bytes)?).ok()?;
        bucket_count = bucket_count.checked_add(length as usize)?;
        side.spans.push(Span { offset, length });
    }
    if bucket_count > bytes.len() {
        return None;
    }
    side.buckets.resize(bucket_count, 0.0);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(is_integer: bool, spans: &[(i32, u32)], counts: &[f64]) -> HistogramSample {
        let spans = spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
        let histogram = FloatHistogram {
            schema: 3,
            count: counts.iter().sum(),
            sum: 1.25,
            counter_reset: CounterReset::NotReset,
            positive: Side { spans, buckets: counts.to_vec() },
            ..FloatHistogram::default()
        };
        HistogramSample { histogram, is_integer }
    }

    fn is_same(left: &HistogramSample, right: &HistogramSample) -> bool {
        left.equals(right)
            && left.histogram.counter_reset == right.histogram.counter_reset
            && left.histogram.positive.spans == right.histogram.positive.spans
            && left.histogram.negative.spans == right.histogram.negative.spans
    }

    /// The bytes of a released format never change.
    #[test]
    fn bytes_are_as_they_were() {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        let first = sample(true, &[(-2, 2), (1, 1)], &[1.0, 0.0, 300.0]);
        let mut out = vec![];
        assert!(!push_histogram(&mut out, &first, None));
        let hex_first = "0406020302020100da040002 00d804 000000000000f43f".replace(' ', "");
        assert_eq!(hex(&out), hex_first);
        let mut second = first.clone();
        second.histogram.positive.buckets[1] = 2.0;
        second.histogram.count = 303.0;
        out.clear();
        assert!(push_histogram(&mut out, &second, Some(&first)));
        assert_eq!(hex(&out), "0c0400000400000000000000f43f");
        out.clear();
        let mut custom = sample(false, &[(0, 1)], &[2.5]);
        custom.histogram.schema = SCHEMA_CUSTOM;
        custom.histogram.custom_bounds = [0.5].into();
        push_histogram(&mut out, &custom, Some(&first));
        assert_eq!(
            hex(&out),
            "0569010001000100 0000000000e03f 0000000000000440 0000000000000000 0000000000000440 \
             000000000000f43f"
                .replace(' ', "")
        );
        out.clear();
        push_histogram(&mut out, &HistogramSample::stale(true), Some(&first));
        assert_eq!(hex(&out), "10");
    }

    fn samples() -> impl Strategy<Value = HistogramSample> {
        let side = || {
            prop::collection::vec((-5..5i32, 0..4u32), 0..3).prop_flat_map(|spans| {
                let count = spans.iter().map(|span| span.1 as usize).sum::<usize>();
                (Just(spans), prop::collection::vec(0..1u64 << 53, count))
            })
        };
        let layout = (any::<bool>(), 0..4u8, prop_oneof![Just(-53), -4..9i32], 0..3u8, 0..9u8);
        (layout, side(), side(), any::<u64>(), 0..1u64 << 40).prop_map(
            |((is_integer, reset, schema, threshold, stale), positive, negative, sum, count)| {
                let side = |(spans, buckets): (Vec<(i32, u32)>, Vec<u64>)| Side {
                    spans: spans.iter().map(|&(offset, length)| Span { offset, length }).collect(),
                    buckets: buckets.iter().map(|&count| count as f64).collect(),
                };
                let bounds = if schema == SCHEMA_CUSTOM { vec![0.5, 1.5] } else { vec![] };
                let histogram = FloatHistogram {
                    counter_reset: [
                        CounterReset::Unknown,
                        CounterReset::Reset,
                        CounterReset::NotReset,
                        CounterReset::Gauge,
                    ][usize::from(reset)],
                    schema,
                    zero_threshold: f64::from(threshold) * 0.25,
                    zero_count: (count / 3) as f64,
                    count: count as f64,
                    sum: f64::from_bits(sum),
                    positive: side(positive),
                    negative: side(negative),
                    custom_bounds: bounds.into(),
                };
                match stale {
                    0 => HistogramSample::stale(is_integer),
                    _ => HistogramSample { histogram, is_integer },
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            all in prop::collection::vec((samples(), any::<bool>()), 1..12),
        ) {
            let mut bytes = vec![];
            let mut expected: Vec<HistogramSample> = vec![];
            for (mut sample, is_like_last) in all {
                let last = expected.last().filter(|last| !last.is_stale() && !sample.is_stale());
                if is_like_last && let Some(last) = last {
                    let sum = sample.histogram.sum;
                    sample = last.clone();
                    sample.histogram.sum = sum;
                    sample.histogram.zero_count += 1.0;
                }
                let start = bytes.len();
                push_histogram(&mut bytes, &sample, expected.last());
                prop_assert!(bytes.len() - start <= histogram_bytes_max(&sample));
                expected.push(sample);
            }
            let (mut rest, mut sample) = (&bytes[..], HistogramSample::default());
            for expected in &expected {
                take_histogram(&mut rest, &mut sample).unwrap();
                prop_assert!(is_same(&sample, expected), "{sample:?} {expected:?}");
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (mut rest, mut sample) = (&bytes[..], HistogramSample::default());
            while take_histogram(&mut rest, &mut sample).is_some() && !rest.is_empty() {}
        }
    }
}
