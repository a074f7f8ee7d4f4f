//! Chunks of native histograms, of whole counts and of float counts.
//!
//! ```text
//! count: u16 | resets: 2 bits of a byte | layout | first | ( next )*
//! resets: 2 bits, count: 14 | starts: 8 | …                  with start timestamps
//!
//! layout   zero threshold | schema | positive spans | negative spans | bounds, of schema -53
//! first    time, count, zero count, sum: 64, buckets
//! next     delta of delta of time, counts and buckets | sum as XOR     whole counts
//!          delta of delta of time | counts, sum and buckets as XOR      float counts
//! ```
//!
//! Buckets of whole counts are differences from bucket to bucket. A staleness marker has no buckets,
//! and only others of its kind stand behind it in a chunk.
//!
//! Source: Prometheus `tsdb/chunkenc/{histogram,histogram_meta,float_histogram}.go`, and `*_st.go`.

use std::sync::Arc;

use super::bits::{BitReader, BitWriter};
use super::floats::{Broken, Window};
use super::starts::{StartsReader, StartsWriter};
use crate::model::histogram::{
    CounterReset, FloatHistogram, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_RESERVED_MAX, Side, Span,
    is_known_schema,
};
use crate::model::sample::is_stale_nan;

/// With start timestamps, the count has so many bits.
const COUNT_MASK: u16 = 0x3fff;

/// Which of the four kinds of histogram chunks.
#[derive(Clone, Copy, Debug)]
pub(super) struct HistogramKind {
    pub is_integer: bool,
    pub has_starts: bool,
}

/// Bounds of custom buckets up to this are written in thousandths.
const BOUND_MAX: f64 = 33_554_430.0;

/// Schema, threshold, spans and bounds that all histograms of a chunk share.
struct Layout {
    schema: i32,
    zero_threshold: f64,
    spans: [Vec<Span>; 2],
    bounds: Arc<[f64]>,
}

impl Layout {
    fn take(bits: &mut BitReader<'_>) -> Result<Layout, Broken> {
        let zero_threshold = match bits.take(8) {
            0 => 0.0,
            255 => f64::from_bits(bits.take(64)),
            // A power of two; its exponent fits a double.
            exponent => f64::from_bits((exponent + 1023 - 244) << 52),
        };
        let schema = bits.take_signed() as i32;
        let mut spans = [vec![], vec![]];
        for side in &mut spans {
            let count = bits.take_unsigned();
            // A span takes two bits at least, and each of its buckets one.
            if count > bits.left() as u64 {
                return Err("spans");
            }
            let mut room = bits.left() as u64;
            for _ in 0..count {
                let length = bits.take_unsigned() as u32;
                let offset = bits.take_signed() as i32;
                room = room.checked_sub(u64::from(length)).ok_or("spans")?;
                side.push(Span { offset, length });
            }
        }
        let mut bounds = vec![];
        if schema == SCHEMA_CUSTOM {
            let count = bits.take_unsigned();
            if count > bits.left() as u64 {
                return Err("custom bounds");
            }
            for _ in 0..count {
                bounds.push(match bits.take_unsigned() {
                    0 => f64::from_bits(bits.take(64)),
                    thousandths => (thousandths - 1) as f64 / 1000.0,
                });
            }
        }
        if bits.is_over() || !is_known_schema(schema) {
            return Err("histogram layout");
        }
        Ok(Layout { schema, zero_threshold, spans, bounds: bounds.into() })
    }

    fn bucket_count(&self, side: usize) -> usize {
        self.spans[side].iter().map(|span| span.length as usize).sum()
    }

    fn histogram(&self, count: f64, zero_count: f64, sum: f64) -> FloatHistogram {
        let side = |side: usize| Side {
            spans: self.spans[side].clone(),
            buckets: Vec::with_capacity(self.bucket_count(side)),
        };
        FloatHistogram {
            counter_reset: CounterReset::Unknown,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count,
            count,
            sum,
            positive: side(0),
            negative: side(1),
            custom_bounds: self.bounds.clone(),
        }
    }
}

fn push_layout(bits: &mut BitWriter, histogram: &FloatHistogram) {
    let threshold = histogram.zero_threshold.to_bits();
    let exponent = (threshold >> 52) as i64 - 1023 + 244;
    let is_power = threshold & ((1 << 52) - 1) == 0 && (1..255).contains(&exponent);
    match threshold {
        0 => bits.push(0, 8),
        _ if histogram.zero_threshold == 0.0 => bits.push(0, 8),
        _ if is_power => bits.push(exponent as u64, 8),
        _ => {
            bits.push(255, 8);
            bits.push(threshold, 64);
        }
    }
    bits.push_signed(i64::from(histogram.schema));
    for side in [&histogram.positive, &histogram.negative] {
        bits.push_unsigned(side.spans.len() as u64);
        for span in &side.spans {
            bits.push_unsigned(u64::from(span.length));
            bits.push_signed(i64::from(span.offset));
        }
    }
    if histogram.schema == SCHEMA_CUSTOM {
        bits.push_unsigned(histogram.custom_bounds.len() as u64);
        for &bound in histogram.custom_bounds.iter() {
            let thousandths = (bound * 1000.0).round();
            let is_short = (0.0..=BOUND_MAX).contains(&(bound * 1000.0))
                && thousandths / 1000.0 == bound
                && bound.to_bits() != (-0.0f64).to_bits();
            if is_short {
                bits.push_unsigned(thousandths as u64 + 1);
            } else {
                bits.push(0, 1);
                bits.push(bound.to_bits(), 64);
            }
        }
    }
}

/// What a header says of resets.
fn resets(byte: u8) -> CounterReset {
    match byte >> 6 {
        0b10 => CounterReset::Reset,
        0b01 => CounterReset::NotReset,
        0b11 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    }
}

fn resets_byte(resets: CounterReset) -> u8 {
    match resets {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 0b10 << 6,
        CounterReset::NotReset => 0b01 << 6,
        CounterReset::Gauge => 0b11 << 6,
    }
}

/// A whole number that is written as the change of its change.
#[derive(Clone, Copy, Debug, Default)]
struct Steady {
    value: i64,
    delta: i64,
}

impl Steady {
    #[inline]
    fn take(&mut self, bits: &mut BitReader<'_>) -> i64 {
        self.delta = self.delta.wrapping_add(bits.take_signed());
        self.value = self.value.wrapping_add(self.delta);
        self.value
    }

    fn push(&mut self, bits: &mut BitWriter, value: i64) {
        let delta = value.wrapping_sub(self.value);
        bits.push_signed(delta.wrapping_sub(self.delta));
        *self = Steady { value, delta };
    }
}

/// A float that is written as the bits in which it differs.
#[derive(Clone, Copy, Debug)]
struct Xored {
    bits: u64,
    window: Window,
}

impl Xored {
    fn take_first(bits: &mut BitReader<'_>) -> Xored {
        Xored { bits: bits.take(64), window: Window::default() }
    }

    #[inline]
    fn take(&mut self, bits: &mut BitReader<'_>) -> f64 {
        self.bits ^= self.window.take_xor(bits);
        f64::from_bits(self.bits)
    }

    fn push_first(bits: &mut BitWriter, value: f64) -> Xored {
        bits.push(value.to_bits(), 64);
        Xored { bits: value.to_bits(), window: Window::NONE }
    }

    fn push(&mut self, bits: &mut BitWriter, value: f64) {
        self.window.push_xor(self.bits ^ value.to_bits(), bits);
        self.bits = value.to_bits();
    }
}

/// The columns that a chunk is read into.
pub(super) struct HistogramsOut<'o> {
    pub timestamps_ms: &'o mut Vec<i64>,
    pub histograms: &'o mut Vec<FloatHistogram>,
    pub starts_ms: &'o mut Vec<i64>,
}

/// Appends the histograms of a chunk, and a start for each of them if the chunk has any; whether it
/// has.
///
/// Cost: about 5 ns a bucket, and an allocation for each side of each histogram. Errors: the bytes
/// end early or say what no writer says; `out` may then hold some of them.
pub(super) fn decode_histograms(
    chunk: &[u8],
    kind: HistogramKind,
    out: HistogramsOut<'_>,
) -> Result<bool, Broken> {
    let (header, bytes) = chunk.split_first_chunk::<3>().ok_or("chunk header")?;
    let number = u16::from_be_bytes([header[0], header[1]]);
    let (count, resets, starts) = match kind.has_starts {
        true => (number & COUNT_MASK, resets(header[0]), header[2]),
        false => (number, resets(header[2]), 0),
    };
    let mut starts = StartsReader::new(starts);
    if count == 0 {
        return Ok(starts.has_any());
    }
    let mut bits = BitReader::new(bytes);
    let layout = Layout::take(&mut bits)?;
    if layout.bucket_count(0) + layout.bucket_count(1) > bits.left() {
        return Err("spans");
    }
    let mut numbers = Numbers::take_first(&mut bits, &layout, kind.is_integer);
    let mut before_ms = 0;
    for index in 0..usize::from(count) {
        let mut histogram = match index {
            0 => numbers.histogram(&layout),
            _ => numbers.take_next(&mut bits, &layout),
        };
        let time_ms = numbers.time.value;
        starts.take(&mut bits, index, time_ms, before_ms);
        if bits.is_over() {
            return Err("histograms");
        }
        if index > 0 && time_ms <= before_ms {
            return Err("timestamps");
        }
        before_ms = time_ms;
        if is_stale_nan(histogram.sum) {
            histogram = FloatHistogram { sum: histogram.sum, ..FloatHistogram::default() };
        } else {
            // Of the first it is not told, even where the header knows: what was before may be gone.
            histogram.counter_reset = match (resets, index) {
                (CounterReset::Gauge, _) => CounterReset::Gauge,
                (_, 0) => CounterReset::Unknown,
                _ => CounterReset::NotReset,
            };
            if (SCHEMA_MAX + 1..=SCHEMA_RESERVED_MAX).contains(&histogram.schema) {
                histogram.reduce_resolution(SCHEMA_MAX).map_err(|_| "histogram layout")?;
            }
        }
        out.timestamps_ms.push(time_ms);
        out.histograms.push(histogram);
        if starts.has_any() {
            out.starts_ms.push(starts.start_ms());
        }
    }
    Ok(starts.has_any())
}

/// The numbers of the histogram read last.
struct Numbers {
    time: Steady,
    amounts: Amounts,
}

enum Amounts {
    Integer { count: Steady, zero_count: Steady, sum: Xored, buckets: Vec<Steady> },
    Float { count: Xored, zero_count: Xored, sum: Xored, buckets: Vec<Xored> },
}

impl Numbers {
    fn take_first(bits: &mut BitReader<'_>, layout: &Layout, is_integer: bool) -> Numbers {
        let bucket_count = layout.bucket_count(0) + layout.bucket_count(1);
        let first = |value: i64| Steady { value, delta: 0 };
        let time = first(bits.take_signed());
        let amounts = if is_integer {
            Amounts::Integer {
                count: first(bits.take_unsigned() as i64),
                zero_count: first(bits.take_unsigned() as i64),
                sum: Xored::take_first(bits),
                buckets: (0..bucket_count).map(|_| first(bits.take_signed())).collect(),
            }
        } else {
            Amounts::Float {
                count: Xored::take_first(bits),
                zero_count: Xored::take_first(bits),
                sum: Xored::take_first(bits),
                buckets: (0..bucket_count).map(|_| Xored::take_first(bits)).collect(),
            }
        };
        Numbers { time, amounts }
    }

    fn take_next(&mut self, bits: &mut BitReader<'_>, layout: &Layout) -> FloatHistogram {
        self.time.take(bits);
        match &mut self.amounts {
            Amounts::Integer { count, zero_count, sum, buckets } => {
                count.take(bits);
                zero_count.take(bits);
                if !is_stale_nan(sum.take(bits)) {
                    for bucket in buckets {
                        bucket.take(bits);
                    }
                }
            }
            Amounts::Float { count, zero_count, sum, buckets } => {
                count.take(bits);
                zero_count.take(bits);
                if !is_stale_nan(sum.take(bits)) {
                    for bucket in buckets {
                        bucket.take(bits);
                    }
                }
            }
        }
        self.histogram(layout)
    }

    fn histogram(&self, layout: &Layout) -> FloatHistogram {
        match &self.amounts {
            Amounts::Integer { count, zero_count, sum, buckets } => {
                let whole = |number: &Steady| number.value as u64 as f64;
                let sum = f64::from_bits(sum.bits);
                let mut histogram = layout.histogram(whole(count), whole(zero_count), sum);
                let (positive, negative) = buckets.split_at(layout.bucket_count(0));
                let sides =
                    [(positive, &mut histogram.positive), (negative, &mut histogram.negative)];
                for (buckets, side) in sides {
                    let counts = buckets.iter().scan(0i64, |count, difference| {
                        *count = count.wrapping_add(difference.value);
                        Some(*count as f64)
                    });
                    side.buckets.extend(counts);
                }
                histogram
            }
            Amounts::Float { count, zero_count, sum, buckets } => {
                let float = |number: &Xored| f64::from_bits(number.bits);
                let mut histogram = layout.histogram(float(count), float(zero_count), float(sum));
                let (positive, negative) = buckets.split_at(layout.bucket_count(0));
                histogram.positive.buckets.extend(positive.iter().map(float));
                histogram.negative.buckets.extend(negative.iter().map(float));
                histogram
            }
        }
    }
}

/// Bytes at which a chunk of histograms is full, if it holds enough of them.
const BYTES_GOOD: usize = 1024;
const COUNT_MIN: usize = 10;

/// Writes a chunk of some histograms that go together, not none, until it is full; returns how many
/// it took. `starts_ms` is empty, or as long as `histograms`.
pub(super) fn encode_histograms<'h>(
    kind: HistogramKind,
    resets: CounterReset,
    timestamps_ms: &[i64],
    histograms: impl Iterator<Item = &'h FloatHistogram>,
    starts_ms: &[i64],
    bits: &mut BitWriter,
) -> usize {
    bits.begin(&[0; 3]);
    let mut starts = StartsWriter::default();
    let mut writer: Option<NumbersWriter> = None;
    let (mut count, mut before_ms) = (0, 0);
    for (&time_ms, histogram) in timestamps_ms.iter().zip(histograms) {
        if bits.bytes.len() >= BYTES_GOOD && count >= COUNT_MIN {
            break;
        }
        let marker;
        let is_stale = is_stale_nan(histogram.sum);
        let histogram = if is_stale {
            marker = FloatHistogram { sum: histogram.sum, ..FloatHistogram::default() };
            &marker
        } else {
            histogram
        };
        match &mut writer {
            None => {
                push_layout(bits, histogram);
                writer = Some(NumbersWriter::first(bits, time_ms, histogram, kind.is_integer));
            }
            Some(writer) => writer.next(bits, time_ms, histogram),
        }
        if kind.has_starts {
            starts.push(
                bits,
                count,
                time_ms,
                before_ms,
                starts_ms.get(count).copied().unwrap_or(0),
            );
        }
        before_ms = time_ms;
        count += 1;
    }
    let number = (count as u16).to_be_bytes();
    let resets = resets_byte(resets);
    bits.bytes[..3].copy_from_slice(&match kind.has_starts {
        true => [number[0] | resets, number[1], starts.header()],
        false => [number[0], number[1], resets],
    });
    count
}

/// The numbers of the histogram written last.
struct NumbersWriter {
    time: Steady,
    count: Steady,
    zero_count: Steady,
    buckets: Vec<Steady>,
    /// Sum; of float counts before it count and zero count, behind it the buckets.
    floats: Vec<Xored>,
    is_integer: bool,
}

/// Differences from bucket to bucket, first those of the positive side.
fn differences(histogram: &FloatHistogram) -> impl Iterator<Item = i64> + '_ {
    [&histogram.positive, &histogram.negative].into_iter().flat_map(|side| {
        side.buckets.iter().scan(0i64, |before, &bucket| {
            let difference = (bucket as i64).wrapping_sub(*before);
            *before = bucket as i64;
            Some(difference)
        })
    })
}

fn floats(histogram: &FloatHistogram) -> impl Iterator<Item = f64> + '_ {
    let buckets = histogram.positive.buckets.iter().chain(&histogram.negative.buckets);
    [histogram.count, histogram.zero_count, histogram.sum].into_iter().chain(buckets.copied())
}

impl NumbersWriter {
    fn first(
        bits: &mut BitWriter,
        time_ms: i64,
        histogram: &FloatHistogram,
        is_integer: bool,
    ) -> NumbersWriter {
        let first = |value: i64| Steady { value, delta: 0 };
        bits.push_signed(time_ms);
        let mut writer = NumbersWriter {
            time: first(time_ms),
            count: first(histogram.count as u64 as i64),
            zero_count: first(histogram.zero_count as u64 as i64),
            buckets: vec![],
            floats: vec![],
            is_integer,
        };
        if is_integer {
            bits.push_unsigned(histogram.count as u64);
            bits.push_unsigned(histogram.zero_count as u64);
            writer.floats.push(Xored::push_first(bits, histogram.sum));
            for difference in differences(histogram) {
                bits.push_signed(difference);
                writer.buckets.push(first(difference));
            }
        } else {
            writer.floats.extend(floats(histogram).map(|float| Xored::push_first(bits, float)));
        }
        writer
    }

    fn next(&mut self, bits: &mut BitWriter, time_ms: i64, histogram: &FloatHistogram) {
        self.time.push(bits, time_ms);
        // Behind a staleness marker stand only others.
        let is_stale = is_stale_nan(histogram.sum);
        if self.is_integer {
            if is_stale {
                bits.push(0, 2);
                self.floats[0].push(bits, histogram.sum);
                return;
            }
            self.count.push(bits, histogram.count as u64 as i64);
            self.zero_count.push(bits, histogram.zero_count as u64 as i64);
            self.floats[0].push(bits, histogram.sum);
            for (bucket, difference) in self.buckets.iter_mut().zip(differences(histogram)) {
                bucket.push(bits, difference);
            }
        } else {
            let written = if is_stale { 3 } else { self.floats.len() };
            for (float, value) in self.floats[..written].iter_mut().zip(floats(histogram)) {
                float.push(bits, value);
            }
        }
    }
}
