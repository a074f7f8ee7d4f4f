//! Native histograms of a request: the message is the same in both protocols, but for the start
//! timestamp that only the second one has.

use std::sync::Arc;

use engine::model::HistogramSample;
use engine::model::histogram::{CounterReset, FloatHistogram, Side, Span as BucketSpan};

use super::proto::{Broken, Field, Message, Value};
use super::{HISTOGRAM_BYTES_MAX, Refusal, Span};

/// A histogram as it came.
#[derive(Clone, Debug)]
pub(super) struct ReadHistogram {
    pub timestamp_ms: i64,
    pub start_ms: i64,
    pub sample: HistogramSample,
}

/// The numbers of one side in either form; which one counts is known at the end.
#[derive(Default)]
struct ReadSide {
    spans: Vec<BucketSpan>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl ReadSide {
    fn finish(self, is_integer: bool) -> Side<f64> {
        let running = self.deltas.iter().scan(0i64, |count, delta| {
            *count = count.wrapping_add(*delta);
            Some(*count as f64)
        });
        let buckets = if is_integer { running.collect() } else { self.counts };
        Side { spans: self.spans, buckets }
    }
}

/// Reads a histogram message; `histogram_bytes` counts those of a request.
///
/// # Errors
///
/// The bytes are no such message, or the request holds more bytes of them than it may.
pub(super) fn histogram(
    request: &[u8],
    span: Span,
    histogram_bytes: &mut usize,
) -> Result<ReadHistogram, Refusal> {
    *histogram_bytes += span.of(request).len();
    if *histogram_bytes > HISTOGRAM_BYTES_MAX {
        let message = format!(
            "native histograms of the request exceed the {HISTOGRAM_BYTES_MAX} bytes limit"
        );
        return Err(Refusal::new(400, message));
    }
    let mut out = FloatHistogram::default();
    let (mut positive, mut negative) = (ReadSide::default(), ReadSide::default());
    let (mut bounds, mut is_integer) = (vec![], true);
    let (mut timestamp_ms, mut start_ms) = (0, 0);
    let (mut zero_count, mut zero_count_float) = (0, 0.0);
    let mut message = Message::within(request, span);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => (out.count, is_integer) = (field.varint()? as f64, true),
            2 => (out.count, is_integer) = (field.double()?, false),
            3 => out.sum = field.double()?,
            4 => out.schema = unfold(field.varint()?) as i32,
            5 => out.zero_threshold = field.double()?,
            // The one of a pair that came last is the one that is there.
            6 => (zero_count, zero_count_float) = (field.varint()?, 0.0),
            7 => (zero_count, zero_count_float) = (0, field.double()?),
            8 => negative.spans.push(bucket_span(request, field.bytes()?.span)?),
            9 => read_deltas(request, &field, &mut negative.deltas)?,
            10 => read_doubles(request, &field, &mut negative.counts)?,
            11 => positive.spans.push(bucket_span(request, field.bytes()?.span)?),
            12 => read_deltas(request, &field, &mut positive.deltas)?,
            13 => read_doubles(request, &field, &mut positive.counts)?,
            14 => out.counter_reset = counter_reset(field.varint()?),
            15 => timestamp_ms = field.varint()? as i64,
            16 => read_doubles(request, &field, &mut bounds)?,
            17 => start_ms = field.varint()? as i64,
            _ => {}
        }
    }
    out.zero_count = if is_integer { zero_count as f64 } else { zero_count_float };
    out.positive = positive.finish(is_integer);
    out.negative = negative.finish(is_integer);
    out.custom_bounds = if bounds.is_empty() { Arc::default() } else { bounds.into() };
    let mut sample = HistogramSample { histogram: out, is_integer };
    sample.reduce_to_known_schema();
    Ok(ReadHistogram { timestamp_ms, start_ms, sample })
}

fn counter_reset(number: u64) -> CounterReset {
    match number {
        1 => CounterReset::Reset,
        2 => CounterReset::NotReset,
        3 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    }
}

/// A number of type `sint`: zigzag.
fn unfold(folded: u64) -> i64 {
    (folded >> 1) as i64 ^ -((folded & 1) as i64)
}

fn bucket_span(request: &[u8], span: Span) -> Result<BucketSpan, Broken> {
    let mut out = BucketSpan::default();
    let mut message = Message::within(request, span);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => out.offset = unfold(field.varint()?) as i32,
            2 => out.length = field.varint()? as u32,
            _ => {}
        }
    }
    Ok(out)
}

/// Differences are packed by custom; one a field is allowed.
fn read_deltas(request: &[u8], field: &Field, out: &mut Vec<i64>) -> Result<(), Broken> {
    match field.value {
        Value::Varint(folded) => out.push(unfold(folded)),
        Value::Bytes(text) => {
            let mut packed = Message::within(request, text.span);
            while let Some(folded) = packed.next_packed()? {
                out.push(unfold(folded));
            }
        }
        _ => return Err(field.wrong_type()),
    }
    Ok(())
}

/// As [`read_deltas`], of doubles.
fn read_doubles(request: &[u8], field: &Field, out: &mut Vec<f64>) -> Result<(), Broken> {
    match field.value {
        Value::Fixed64(bits) => out.push(f64::from_bits(bits)),
        Value::Bytes(text) => {
            let (bits, rest) = text.span.of(request).as_chunks::<8>();
            if !rest.is_empty() {
                return Err(field.wrong_type());
            }
            out.extend(bits.iter().map(|&bits| f64::from_bits(u64::from_le_bytes(bits))));
        }
        _ => return Err(field.wrong_type()),
    }
    Ok(())
}
