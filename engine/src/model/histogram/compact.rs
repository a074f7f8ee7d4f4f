//! Less of what says nothing: empty buckets, neighbouring spans, more resolution than wanted.

use std::ops::AddAssign;

use super::bucket::target_index;
use super::error::{Error, ErrorKind};
use super::kahan::kahan_inc;
use super::side::{Side, SpanWriter, indexes};

/// A number of a bucket.
pub(super) trait Amount: Copy + Default + PartialEq + AddAssign {}

impl Amount for f64 {}
impl Amount for i64 {}

/// Drops empty buckets, except where at most `empty_count_max` of them in a row lie between
/// others: these are written out, since another span would cost as much. A bucket is empty if it
/// and its compensation are zero. `compensation` has the layout of `side`, and keeps it.
pub(super) fn compact<T: Amount>(
    side: &mut Side<T>,
    mut compensation: Option<&mut Vec<f64>>,
    empty_count_max: usize,
) {
    let empty = T::default();
    let dense = side.buckets.iter().all(|bucket| *bucket != empty)
        && side.spans.iter().all(|span| span.length > 0)
        && side.spans.iter().skip(1).all(|span| span.offset > 0)
        && side.spans.iter().skip(1).all(|span| span.offset as usize > empty_count_max);
    if dense {
        return;
    }
    let mut spans = SpanWriter::default();
    let mut buckets = Vec::with_capacity(side.buckets.len());
    let mut compensated = Vec::new();
    for (position, (index, bucket)) in side.iter().enumerate() {
        let lost = compensation.as_ref().and_then(|lost| lost.get(position)).copied();
        let lost = lost.unwrap_or(0.0);
        if bucket == empty && lost == 0.0 {
            continue;
        }
        let gap = spans.gap(index);
        if gap <= empty_count_max {
            for _ in 0..gap {
                spans.push(spans.next());
                buckets.push(empty);
                compensated.push(0.0);
            }
        }
        spans.push(index);
        buckets.push(bucket);
        compensated.push(lost);
    }
    side.spans = spans.spans;
    side.buckets = buckets;
    if let Some(compensation) = &mut compensation {
        **compensation = compensated;
    }
}

/// Merges buckets into the coarser `target` schema, in place.
///
/// Errors: spans and buckets do not fit each other; `side` is as it was.
pub(super) fn reduce_resolution<T: Amount>(
    side: &mut Side<T>,
    schema: i32,
    target: i32,
) -> Result<(), Error> {
    check_layout(side)?;
    let origin = std::mem::take(&mut side.spans);
    let mut spans = SpanWriter::default();
    let mut count = 0;
    for (position, index) in indexes(&origin).enumerate() {
        let bucket = side.buckets[position];
        let index = target_index(index, schema, target);
        if spans.ends_with(index) {
            side.buckets[count - 1] += bucket;
        } else {
            spans.push(index);
            side.buckets[count] = bucket;
            count += 1;
        }
    }
    side.buckets.truncate(count);
    side.spans = spans.spans;
    Ok(())
}

/// As [`reduce_resolution`], with sums that remember what rounding took. Buckets that no span
/// covers are dropped.
pub(super) fn reduce_resolution_kahan(
    side: &mut Side<f64>,
    lost: &mut Vec<f64>,
    schema: i32,
    target: i32,
) {
    let origin = std::mem::take(&mut side.spans);
    let mut spans = SpanWriter::default();
    let mut count = 0;
    lost.resize(side.buckets.len(), 0.0);
    for (position, index) in indexes(&origin).enumerate().take(lost.len()) {
        let (bucket, bucket_lost) = (side.buckets[position], lost[position]);
        let index = target_index(index, schema, target);
        if spans.ends_with(index) {
            let last = count - 1;
            let (sum, c) = kahan_inc(bucket, side.buckets[last], lost[last]);
            (side.buckets[last], lost[last]) = kahan_inc(bucket_lost, sum, c);
        } else {
            spans.push(index);
            (side.buckets[count], lost[count]) = (bucket, bucket_lost);
            count += 1;
        }
    }
    side.buckets.truncate(count);
    lost.truncate(count);
    side.spans = spans.spans;
}

/// Spans that ascend and need as many buckets as there are.
fn check_layout<T>(side: &Side<T>) -> Result<(), Error> {
    let have = side.buckets.len() as u64;
    let mut need = 0;
    for (number, span) in (1..).zip(&side.spans) {
        if number > 1 && span.offset < 0 {
            let context = format!("span number {number} with offset {}: ", span.offset);
            return Err(Error::new(ErrorKind::SpanNegativeOffset, context));
        }
        need += u64::from(span.length);
        if need > have {
            let context = format!("have {have} buckets but spans need more: ");
            return Err(Error::new(ErrorKind::SpansBucketsMismatch, context));
        }
    }
    if need != have {
        let context = format!("spans need {need} buckets, have {have} buckets: ");
        return Err(Error::new(ErrorKind::SpansBucketsMismatch, context));
    }
    Ok(())
}
