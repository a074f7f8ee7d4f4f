//! Buckets added to buckets.

use std::sync::Arc;

use super::FloatHistogram;
use super::bounds::bound_exponential;
use super::is_exponential_schema;
use super::kahan::kahan_inc;
use super::side::{Side, SpanWriter, indexes};

/// One side that is added to another.
#[derive(Clone, Copy)]
pub(super) struct Addend<'a> {
    pub side: &'a Side<f64>,
    /// What rounding took from it, in its layout.
    pub lost: Option<&'a [f64]>,
    pub negate: bool,
}

impl Addend<'_> {
    /// Index, count and what rounding took, of the buckets from `skipped` on.
    fn iter(&self, skipped: usize) -> impl Iterator<Item = (i32, f64, f64)> + '_ {
        let sign = if self.negate { -1.0 } else { 1.0 };
        self.side.iter().enumerate().skip(skipped).map(move |(position, (index, count))| {
            let lost = self.lost.and_then(|lost| lost.get(position)).copied().unwrap_or(0.0);
            (index, sign * count, sign * lost)
        })
    }
}

/// Adds to one bucket, or to one bucket and what rounding took from it.
#[inline]
fn add_to(bucket: &mut f64, lost: Option<&mut f64>, count: f64, count_lost: f64) {
    match lost {
        None => *bucket += count,
        Some(lost) => {
            (*bucket, *lost) = kahan_inc(count, *bucket, *lost);
            if count_lost != 0.0 {
                (*bucket, *lost) = kahan_inc(count_lost, *bucket, *lost);
            }
        }
    }
}

/// Adds `addend` to `side`; both are of `schema`. The first buckets of the addend that end at or
/// below `threshold` are left out, because the zero bucket has them.
pub(super) fn add_side(
    side: &mut Side<f64>,
    mut lost: Option<&mut Vec<f64>>,
    addend: Addend<'_>,
    schema: i32,
    threshold: f64,
) {
    let below = |index: &i32| {
        is_exponential_schema(schema) && bound_exponential(*index, schema) <= threshold
    };
    let skipped = indexes(&addend.side.spans).take_while(below).count();
    if let Some(lost) = &mut lost {
        lost.resize(side.buckets.len(), 0.0);
    }
    if skipped == 0 && side.spans == addend.side.spans {
        for (position, (_, count, count_lost)) in addend.iter(0).enumerate() {
            if let Some(bucket) = side.buckets.get_mut(position) {
                let lost = lost.as_mut().map(|lost| &mut lost[position]);
                add_to(bucket, lost, count, count_lost);
            }
        }
        return;
    }
    if add_in_place(side, lost.as_deref_mut(), addend, skipped) {
        return;
    }
    // New buckets come between: write both anew, merged by index.
    let mut spans = SpanWriter::default();
    let mut buckets = Vec::with_capacity(side.buckets.len() + addend.side.buckets.len());
    let mut buckets_lost = Vec::new();
    let mut push = |index: i32, count: f64, count_lost: f64| {
        if spans.ends_with(index) {
            let last = buckets.len() - 1;
            let lost = lost.is_some().then(|| &mut buckets_lost[last]);
            add_to(&mut buckets[last], lost, count, count_lost);
            return;
        }
        spans.push(index);
        buckets.push(count);
        buckets_lost.push(count_lost);
    };
    let mut added = addend.iter(skipped).peekable();
    for (position, (index, count)) in side.iter().enumerate() {
        while let Some((index, count, count_lost)) = added.next_if(|(added, ..)| *added < index) {
            push(index, count, count_lost);
        }
        push(index, count, lost.as_ref().map_or(0.0, |lost| lost[position]));
    }
    for (index, count, count_lost) in added {
        push(index, count, count_lost);
    }
    side.spans = spans.spans;
    side.buckets = buckets;
    if let Some(lost) = &mut lost {
        **lost = buckets_lost;
    }
}

/// Adds all of the addend if each of its buckets is there; false, and nothing done, if not.
fn add_in_place(
    side: &mut Side<f64>,
    mut lost: Option<&mut Vec<f64>>,
    addend: Addend<'_>,
    skipped: usize,
) -> bool {
    let mut own = indexes(&side.spans).take(side.buckets.len());
    if !addend.iter(skipped).all(|(index, ..)| own.any(|own| own == index)) {
        return false;
    }
    let mut own = indexes(&side.spans).enumerate();
    for (index, count, count_lost) in addend.iter(skipped) {
        let (position, _) = own.find(|(_, own)| *own == index).expect("it was found before");
        let lost = lost.as_mut().map(|lost| &mut lost[position]);
        add_to(&mut side.buckets[position], lost, count, count_lost);
    }
    true
}

/// The bounds that both lists have; both ascend.
pub(super) fn common_bounds(left: &[f64], right: &[f64]) -> Arc<[f64]> {
    let mut right = right.iter().copied().peekable();
    let common = left.iter().copied().filter(|bound| {
        while right.next_if(|r| r < bound).is_some() {}
        right.peek() == Some(bound)
    });
    common.collect()
}

/// Adds histograms whose custom bounds differ: both move to the bounds they have in common.
/// Buckets that come out empty are left out.
pub(super) fn add_custom_mismatched(
    histogram: &mut FloatHistogram,
    other: &FloatHistogram,
    negate: bool,
    lost: Option<&mut Vec<f64>>,
) {
    let bounds = common_bounds(&histogram.custom_bounds, &other.custom_bounds);
    let mut target = vec![(0.0, 0.0); bounds.len() + 1];
    let mut add = |target_index: usize, count: f64| {
        let (sum, c) = target[target_index];
        target[target_index] = kahan_inc(count, sum, c);
    };
    // Where a bucket of other bounds goes: the first common bound not below its own.
    let place = |index: i32, own_bounds: &[f64]| {
        let own = usize::try_from(index).ok().and_then(|index| own_bounds.get(index));
        own.map_or(bounds.len(), |own| bounds.partition_point(|bound| bound < own))
    };
    for (position, (index, count)) in histogram.positive.iter().enumerate() {
        let index = place(index, &histogram.custom_bounds);
        add(index, count);
        if let Some(lost) = lost.as_ref().and_then(|lost| lost.get(position)) {
            add(index, *lost);
        }
    }
    for (index, count) in other.positive.iter() {
        add(place(index, &other.custom_bounds), if negate { -count } else { count });
    }
    let mut spans = SpanWriter::default();
    histogram.positive.buckets.clear();
    let mut kept_lost = vec![];
    for (index, (count, count_lost)) in (0..).zip(target) {
        if count != 0.0 || count_lost != 0.0 {
            spans.push(index);
            histogram.positive.buckets.push(count);
            kept_lost.push(count_lost);
        }
    }
    histogram.positive.spans = spans.spans;
    histogram.custom_bounds = bounds;
    if let Some(lost) = lost {
        *lost = kept_lost;
    }
}
