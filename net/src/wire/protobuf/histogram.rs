//! Histograms and summaries of a metric, classic and native.
//!
//! Source: Prometheus `model/textparse/protobufparse.go` (`Histogram`, `isNativeHistogram`,
//! `checkNativeHistogramConsistency`).

use engine::model::histogram::{CounterReset, SCHEMA_MAX, SCHEMA_RESERVED_MAX, Side, Span};
use engine::model::{FloatHistogram, Histogram, HistogramSample};

use super::fields::Fields;
use super::{Exemplar, exemplar, timestamp_ms};
use crate::wire::classic::Classic;

/// One `Histogram` message.
#[derive(Clone, Debug, Default)]
pub(super) struct Histograms<'a> {
    pub sample_count: u64,
    pub sample_count_float: f64,
    pub sample_sum: f64,
    pub buckets: Vec<Bucket<'a>>,
    pub start_ms: i64,
    pub exemplars: Vec<Exemplar<'a>>,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    positive: Sides,
    negative: Sides,
}

#[derive(Clone, Debug, Default)]
struct Sides {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Bucket<'a> {
    pub bound: f64,
    pub cumulative: f64,
    pub exemplar: Option<Exemplar<'a>>,
}

impl<'a> Histograms<'a> {
    pub fn read(message: &'a [u8]) -> Result<Histograms<'a>, String> {
        let mut read = Histograms::default();
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => read.sample_count = value.varint()?,
                2 => read.sample_sum = value.double()?,
                3 => read.buckets.push(Bucket::read(value.bytes()?)?),
                4 => read.sample_count_float = value.double()?,
                5 => read.schema = value.sint()? as i32,
                6 => read.zero_threshold = value.double()?,
                7 => read.zero_count = value.varint()?,
                8 => read.zero_count_float = value.double()?,
                9 => read.negative.spans.push(span(value.bytes()?)?),
                10 => value.push_sints(&mut read.negative.deltas)?,
                11 => value.push_doubles(&mut read.negative.counts)?,
                12 => read.positive.spans.push(span(value.bytes()?)?),
                13 => value.push_sints(&mut read.positive.deltas)?,
                14 => value.push_doubles(&mut read.positive.counts)?,
                15 => read.start_ms = timestamp_ms(value.bytes()?)?,
                16 => read.exemplars.push(exemplar(value.bytes()?)?),
                _ => {}
            }
        }
        Ok(read)
    }

    /// Observations, whether the sender counts in floats or not.
    pub fn count(&self) -> f64 {
        match self.sample_count_float {
            0.0 => self.sample_count as f64,
            count => count,
        }
    }

    /// A histogram without spans and without a zero bucket is a classic one.
    pub fn is_native(&self) -> bool {
        !self.positive.spans.is_empty()
            || !self.negative.spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero_count > 0
    }

    pub fn native(&mut self, is_gauge: bool) -> Result<HistogramSample, String> {
        let is_float = self.sample_count_float > 0.0 || self.zero_count_float > 0.0;
        let counter_reset = if is_gauge { CounterReset::Gauge } else { CounterReset::Unknown };
        let (positive, negative) =
            (std::mem::take(&mut self.positive), std::mem::take(&mut self.negative));
        let mut sample =
            HistogramSample { histogram: FloatHistogram::default(), is_integer: !is_float };
        if is_float {
            check_spans("positive", &positive.spans, positive.counts.len())?;
            check_spans("negative", &negative.spans, negative.counts.len())?;
            sample.histogram = FloatHistogram {
                counter_reset,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count_float,
                count: self.sample_count_float,
                sum: self.sample_sum,
                positive: Side { spans: positive.spans, buckets: positive.counts },
                negative: Side { spans: negative.spans, buckets: negative.counts },
                ..FloatHistogram::default()
            };
            sample.histogram.compact(0);
            if (SCHEMA_MAX + 1..=SCHEMA_RESERVED_MAX).contains(&sample.histogram.schema) {
                let reduced = sample.histogram.reduce_resolution(SCHEMA_MAX);
                reduced.map_err(|error| error.to_string())?;
            }
            sample.histogram.validate().map_err(|error| error.to_string())?;
            return Ok(sample);
        }
        check_spans("positive", &positive.spans, positive.deltas.len())?;
        check_spans("negative", &negative.spans, negative.deltas.len())?;
        let mut whole = Histogram {
            counter_reset,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.sample_count,
            sum: self.sample_sum,
            positive: Side { spans: positive.spans, buckets: positive.deltas },
            negative: Side { spans: negative.spans, buckets: negative.deltas },
            ..Histogram::default()
        };
        whole.compact(0);
        // Finer than anybody stores: taken all the same.
        if (SCHEMA_MAX + 1..=SCHEMA_RESERVED_MAX).contains(&whole.schema) {
            whole.reduce_resolution(SCHEMA_MAX).map_err(|error| error.to_string())?;
        }
        whole.validate().map_err(|error| error.to_string())?;
        whole.to_float(&mut sample.histogram);
        Ok(sample)
    }

    /// The native histogram with custom bounds that the classic parts make.
    pub fn converted(&self, is_gauge: bool) -> Result<HistogramSample, String> {
        let mut classic = Classic::default();
        classic.count(self.count());
        classic.sum(self.sample_sum);
        for bucket in &self.buckets {
            classic.bucket(bucket.bound, bucket.cumulative);
        }
        let mut sample = classic.convert()?;
        if is_gauge {
            sample.histogram.counter_reset = CounterReset::Gauge;
        }
        Ok(sample)
    }
}

impl<'a> Bucket<'a> {
    fn read(message: &'a [u8]) -> Result<Bucket<'a>, String> {
        let mut bucket = Bucket::default();
        let (mut whole, mut float) = (0, 0.0);
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => whole = value.varint()?,
                2 => bucket.bound = value.double()?,
                3 => bucket.exemplar = Some(exemplar(value.bytes()?)?),
                4 => float = value.double()?,
                _ => {}
            }
        }
        bucket.cumulative = if float == 0.0 { whole as f64 } else { float };
        Ok(bucket)
    }
}

fn span(message: &[u8]) -> Result<Span, String> {
    let mut span = Span::default();
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => span.offset = value.sint()? as i32,
            2 => span.length = value.varint()? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// Spans and numbers that do not fit together would be misread later.
fn check_spans(side: &str, spans: &[Span], bucket_count: usize) -> Result<(), String> {
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed == bucket_count as u64 {
        return Ok(());
    }
    Err(format!("{side} side: spans require {needed} buckets, have {bucket_count}"))
}
