//! Native histograms of one series: one layout, then a column of floats for each number.
//!
//! ```text
//! layout    resets: 1 | schema: zigzag | zero threshold: 8
//!           | custom bounds: varint, 8 each | positive spans | negative spans
//!           | positive buckets: varint | negative buckets: varint
//! spans     count: varint | ( offset: zigzag, length: varint )*
//! columns   sum, count, zero count, each positive bucket, each negative bucket
//! column    codec + 16 · bytes: varint | bytes, as a column of floats
//! ```
//!
//! Counts are whole numbers that grow slowly, so the decimal codecs of floats hold them in a few
//! bits each; counts that are not whole go through the same door. Every number comes back bit for
//! bit. A staleness marker has a sum only: its other numbers repeat what stood before it.
//!
//! Source: when a histogram begins a new chunk, and what is known about resets afterwards, is as in
//! Prometheus `tsdb/chunkenc/histogram.go`; unlike there a changed list of buckets begins one, too.

use std::sync::Arc;

use super::floats::{self, FloatCodec};
use super::{CHUNK_COUNT_MAX, Columns, DecodeError};
use crate::mem::varint::{push_i64, push_u64, take_bytes, take_i64, take_u64};
use crate::model::histogram::{CounterReset, Side, Span};
use crate::model::{FloatHistogram, HistogramSample, is_stale_nan};

/// Most numbers in one chunk of more than one histogram: bounds what decoding allocates.
pub const HISTOGRAM_CELLS_MAX: usize = 1 << 20;

/// Numbers of a histogram beside its buckets.
const FIXED_COLUMNS: usize = 3;

const BROKEN: DecodeError = DecodeError::Values;

fn column_count(histogram: &FloatHistogram) -> usize {
    FIXED_COLUMNS + histogram.positive.buckets.len() + histogram.negative.buckets.len()
}

fn same_layout(one: &FloatHistogram, other: &FloatHistogram) -> bool {
    one.schema == other.schema
        && one.zero_threshold.to_bits() == other.zero_threshold.to_bits()
        && one.positive.spans == other.positive.spans
        && one.negative.spans == other.negative.spans
        && one.positive.buckets.len() == other.positive.buckets.len()
        && one.negative.buckets.len() == other.negative.buckets.len()
        && bounds_bits(one).eq(bounds_bits(other))
}

fn bounds_bits(histogram: &FloatHistogram) -> impl Iterator<Item = u64> + '_ {
    histogram.custom_bounds.iter().map(|bound| bound.to_bits())
}

/// Whether the counter was reset between two histograms, their own hints aside but for an explicit
/// reset.
fn is_reset(after: &FloatHistogram, before: &FloatHistogram) -> bool {
    match after.counter_reset {
        CounterReset::Reset => true,
        CounterReset::Gauge | CounterReset::NotReset => false,
        CounterReset::Unknown => after.detect_reset(before),
    }
}

/// How many of `samples`, from the first on, go into one chunk together, and what its header says
/// about resets. `before` is the histogram before them in the series' chunks, if there is one.
///
/// A chunk ends before a reset, a change of the layout, a change between counter and gauge or
/// between whole and other counts, and behind staleness markers. Cost: O(buckets looked at).
pub fn histogram_run(
    samples: &[HistogramSample],
    before: Option<&HistogramSample>,
) -> (usize, CounterReset) {
    let first = &samples[0];
    let is_stale = |sample: &HistogramSample| is_stale_nan(sample.histogram.sum);
    let resets = match (first.histogram.counter_reset, before) {
        (CounterReset::Gauge, _) => CounterReset::Gauge,
        (CounterReset::Reset, _) => CounterReset::Reset,
        (_, Some(before)) if !is_stale(before) && !is_stale(first) => {
            let comparable = before.histogram.counter_reset != CounterReset::Gauge
                && before.is_integer == first.is_integer;
            match (comparable, is_reset(&first.histogram, &before.histogram)) {
                (false, _) => CounterReset::Unknown,
                (true, true) => CounterReset::Reset,
                (true, false) => CounterReset::NotReset,
            }
        }
        _ => CounterReset::Unknown,
    };
    let gauge = |sample: &HistogramSample| sample.histogram.counter_reset == CounterReset::Gauge;
    let count_max = (HISTOGRAM_CELLS_MAX / column_count(&first.histogram)).max(1);
    let mut count = 1;
    for pair in samples.windows(2).take(count_max.min(CHUNK_COUNT_MAX) - 1) {
        let [previous, next] = pair else { break };
        let goes_on = if is_stale(next) {
            next.is_integer == first.is_integer
        } else {
            !is_stale(previous)
                && next.is_integer == first.is_integer
                && gauge(next) == gauge(first)
                && same_layout(&next.histogram, &first.histogram)
                && !is_reset(&next.histogram, &previous.histogram)
        };
        if !goes_on {
            break;
        }
        count += 1;
    }
    (count, resets)
}

fn push_spans(out: &mut Vec<u8>, spans: &[Span]) {
    push_u64(out, spans.len() as u64);
    for span in spans {
        push_i64(out, i64::from(span.offset));
        push_u64(out, u64::from(span.length));
    }
}

fn take_spans(bytes: &mut &[u8]) -> Option<Vec<Span>> {
    let count = usize::try_from(take_u64(bytes)?).ok()?;
    // A span takes two bytes at least.
    if count > bytes.len() / 2 {
        return None;
    }
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let offset = i32::try_from(take_i64(bytes)?).ok()?;
        let length = u32::try_from(take_u64(bytes)?).ok()?;
        spans.push(Span { offset, length });
    }
    Some(spans)
}

/// Appends the histograms, as many as [`histogram_run`] said.
pub(super) fn push(
    out: &mut Vec<u8>,
    samples: &[HistogramSample],
    resets: CounterReset,
    work: &mut Columns,
) {
    let histograms = || samples.iter().map(|sample| &sample.histogram);
    let stale = FloatHistogram::default();
    let layout = histograms().find(|histogram| !is_stale_nan(histogram.sum)).unwrap_or(&stale);
    out.push(resets as u8);
    push_i64(out, i64::from(layout.schema));
    out.extend_from_slice(&layout.zero_threshold.to_bits().to_le_bytes());
    push_u64(out, layout.custom_bounds.len() as u64);
    for bits in bounds_bits(layout) {
        out.extend_from_slice(&bits.to_le_bytes());
    }
    push_spans(out, &layout.positive.spans);
    push_spans(out, &layout.negative.spans);
    let (positive, negative) = (layout.positive.buckets.len(), layout.negative.buckets.len());
    push_u64(out, positive as u64);
    push_u64(out, negative as u64);

    let mut cells = std::mem::take(&mut work.cells);
    let mut column_bytes = std::mem::take(&mut work.column_bytes);
    for column in 0..FIXED_COLUMNS + positive + negative {
        cells.clear();
        let mut previous = 0.0;
        cells.extend(histograms().map(|histogram| {
            if column == 0 {
                return histogram.sum;
            }
            if !is_stale_nan(histogram.sum) {
                previous = match column {
                    1 => histogram.count,
                    2 => histogram.zero_count,
                    _ if column < FIXED_COLUMNS + positive => {
                        histogram.positive.buckets[column - FIXED_COLUMNS]
                    }
                    _ => histogram.negative.buckets[column - FIXED_COLUMNS - positive],
                };
            }
            previous
        }));
        column_bytes.clear();
        let codec = floats::push_best(&mut column_bytes, &cells, work);
        push_u64(out, (column_bytes.len() as u64) << 4 | codec as u64);
        out.extend_from_slice(&column_bytes);
    }
    (work.cells, work.column_bytes) = (cells, column_bytes);
}

/// What the histograms `bytes`, as [`super::push_histograms`] wrote them, know about a reset before
/// the first of them.
pub fn resets(bytes: &[u8]) -> Option<CounterReset> {
    Some(match bytes.first()? {
        0 => CounterReset::Unknown,
        1 => CounterReset::Reset,
        2 => CounterReset::NotReset,
        3 => CounterReset::Gauge,
        _ => return None,
    })
}

/// Appends the `count` histograms of the section `bytes` to `out`; on an error it may have appended
/// anything.
pub(super) fn decode(
    mut bytes: &[u8],
    count: usize,
    out: &mut Vec<FloatHistogram>,
) -> Result<(), DecodeError> {
    let layout = take_layout(&mut bytes).ok_or(BROKEN)?;
    let (positive, negative) = (layout.positive.buckets.len(), layout.negative.buckets.len());
    let columns = FIXED_COLUMNS + positive + negative;
    // Each column takes a byte at least.
    if columns > bytes.len() || (count > 1 && columns > HISTOGRAM_CELLS_MAX / count) {
        return Err(BROKEN);
    }
    let start = out.len();
    out.resize(start + count, FloatHistogram::default());
    let histograms = &mut out[start..];
    let mut cells = Vec::with_capacity(count);
    for column in 0..columns {
        let head = take_u64(&mut bytes).ok_or(BROKEN)?;
        let codec = FloatCodec::from_code((head & 15) as u8).ok_or(BROKEN)?;
        let column_bytes = usize::try_from(head >> 4).map_err(|_| BROKEN)?;
        let column_bytes = take_bytes(&mut bytes, column_bytes).ok_or(BROKEN)?;
        cells.clear();
        floats::decode(column_bytes, codec, count, &mut cells)?;
        for (index, (histogram, &cell)) in histograms.iter_mut().zip(&cells).enumerate() {
            if column == 0 {
                histogram.sum = cell;
                if !is_stale_nan(cell) {
                    copy_layout(histogram, &layout, index);
                }
            } else if !is_stale_nan(histogram.sum) {
                match column {
                    1 => histogram.count = cell,
                    2 => histogram.zero_count = cell,
                    _ if column < FIXED_COLUMNS + positive => {
                        histogram.positive.buckets.push(cell);
                    }
                    _ => histogram.negative.buckets.push(cell),
                }
            }
        }
    }
    if bytes.is_empty() { Ok(()) } else { Err(BROKEN) }
}

/// The layout as an empty histogram with as many zeros as there are buckets.
fn take_layout(bytes: &mut &[u8]) -> Option<FloatHistogram> {
    let counter_reset = resets(take_bytes(bytes, 1)?)?;
    let schema = i32::try_from(take_i64(bytes)?).ok()?;
    let take_float = |bytes: &mut &[u8]| {
        Some(f64::from_bits(u64::from_le_bytes(*take_bytes(bytes, 8)?.first_chunk()?)))
    };
    let zero_threshold = take_float(bytes)?;
    let bound_count = usize::try_from(take_u64(bytes)?).ok()?;
    if bound_count > bytes.len() / 8 {
        return None;
    }
    let custom_bounds: Option<Arc<[f64]>> = (0..bound_count).map(|_| take_float(bytes)).collect();
    let spans = [take_spans(bytes)?, take_spans(bytes)?];
    let counts = [take_u64(bytes)?, take_u64(bytes)?];
    if counts.iter().any(|&count| count > bytes.len() as u64) {
        return None;
    }
    let [positive, negative] = spans;
    let side = |spans, count: u64| Side { spans, buckets: vec![0.0; count as usize] };
    Some(FloatHistogram {
        counter_reset,
        schema,
        zero_threshold,
        positive: side(positive, counts[0]),
        negative: side(negative, counts[1]),
        custom_bounds: custom_bounds?,
        ..FloatHistogram::default()
    })
}

/// Gives a histogram that is none of the stale its layout, without buckets yet. Of a counter, the
/// first in a chunk knows nothing about resets, those behind it were none.
fn copy_layout(histogram: &mut FloatHistogram, layout: &FloatHistogram, index: usize) {
    histogram.counter_reset = match (layout.counter_reset, index) {
        (CounterReset::Gauge, _) => CounterReset::Gauge,
        (_, 0) => CounterReset::Unknown,
        _ => CounterReset::NotReset,
    };
    histogram.schema = layout.schema;
    histogram.zero_threshold = layout.zero_threshold;
    histogram.custom_bounds = Arc::clone(&layout.custom_bounds);
    for (side, layout) in
        [(&mut histogram.positive, &layout.positive), (&mut histogram.negative, &layout.negative)]
    {
        side.spans.clone_from(&layout.spans);
        side.buckets.reserve_exact(layout.buckets.len());
    }
}
