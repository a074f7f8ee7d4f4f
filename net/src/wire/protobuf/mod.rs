//! Pages of metrics in protobuf: `io.prometheus.client.MetricFamily` messages, each after its
//! length.
//!
//! [`Walk`] reads a page and gives what it says, family by family: type, help and unit first, then
//! a sample for every series that the text format would have had a line for, and native histograms
//! as one sample each.
//!
//! Source: Prometheus `model/textparse/protobufparse.go`, `prompb/io/prometheus/client`.

mod fields;
mod histogram;
#[cfg(test)]
mod tests;

use engine::model::labels::METRIC_NAME;
use engine::model::sample::normal_nan;
use engine::model::{HistogramSample, MetricType};

use super::float;
use super::names::NameValidation;
use fields::Fields;
use histogram::Histograms;

/// What to make of histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Take native histograms; without it only their classic parts are.
    pub native: bool,
    /// Take the classic parts beside a native histogram, or beside a converted one.
    pub always_classic: bool,
    /// Make native histograms out of classic ones.
    pub convert_classic: bool,
}

/// One thing that a page says.
#[derive(Debug)]
pub enum Event<'a> {
    Type { metric: &'a [u8], metric_type: MetricType },
    Help { metric: &'a [u8], help: &'a [u8] },
    Unit { metric: &'a [u8], unit: &'a [u8] },
    Sample(Sample<'a>),
}

#[derive(Clone, Debug)]
pub enum SampleValue {
    Float(f64),
    Histogram(Box<HistogramSample>),
}

#[derive(Debug)]
pub struct Sample<'a> {
    /// A text that is the same for the same series of every page, and for no other.
    pub key: &'a [u8],
    /// The name under `__name__`, then each label in the order of the page.
    pub labels: &'a [(&'a [u8], &'a [u8])],
    pub timestamp_ms: Option<i64>,
    /// When what it counts began; zero where unknown.
    pub start_ms: i64,
    pub value: SampleValue,
    pub exemplars: &'a [Exemplar<'a>],
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemplar<'a> {
    pub labels: Vec<(&'a [u8], &'a [u8])>,
    pub value: f64,
    pub timestamp_ms: Option<i64>,
}

/// Walks a page, a series at a time, so that whoever reads a large one can rest between two.
pub struct Walk<'a> {
    rest: Fields<'a>,
    options: Options,
    /// Its series are being given; the next one is this of them.
    family: Option<(Family<'a>, usize)>,
    key: Vec<u8>,
}

impl<'a> Walk<'a> {
    pub fn new(page: &'a [u8], options: Options) -> Walk<'a> {
        Walk { rest: Fields(page), options, family: None, key: vec![] }
    }

    /// Gives what the page says next to `on`: about a family, or the samples of one series. False at
    /// the end of the page.
    ///
    /// Errors: a page that is no such message, in Prometheus's words where it has any; or what `on`
    /// returned. The walk is spent then.
    pub fn next<E: From<String>>(
        &mut self,
        mut on: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        if let Some((family, at)) = &mut self.family {
            if let Some(message) = family.metrics.get(*at) {
                *at += 1;
                let mut series = Series { family, key: &mut self.key, on: &mut on };
                series.metric(Metric::read(message)?, self.options)?;
                return Ok(true);
            }
            self.family = None;
        }
        if self.rest.0.is_empty() {
            return Ok(false);
        }
        let whole = self.rest.0.len();
        let length =
            self.rest.varint().map_err(|_| "clientpb: invalid varint encountered".to_owned())?;
        if length > self.rest.0.len() as u64 {
            let needed = (whole - self.rest.0.len()) as u64 + length;
            return Err(E::from(format!(
                "clientpb: insufficient length of buffer, expected at least {needed} bytes, got \
                 {whole} bytes"
            )));
        }
        let family = Family::read(self.rest.take(length)?)?;
        if family.metrics.is_empty() {
            return Ok(true);
        }
        family.check()?;
        let metric = family.name;
        on(Event::Help { metric, help: family.help })?;
        if !family.unit.is_empty() {
            on(Event::Unit { metric, unit: family.unit })?;
        }
        on(Event::Type { metric, metric_type: family.metric_type()? })?;
        self.family = Some((family, 0));
        Ok(true)
    }
}

#[derive(Debug, Default)]
struct Family<'a> {
    name: &'a [u8],
    help: &'a [u8],
    unit: &'a [u8],
    kind: u64,
    metrics: Vec<&'a [u8]>,
}

const COUNTER: u64 = 0;
const GAUGE: u64 = 1;
const SUMMARY: u64 = 2;
const UNTYPED: u64 = 3;
const HISTOGRAM: u64 = 4;
const GAUGE_HISTOGRAM: u64 = 5;

impl<'a> Family<'a> {
    fn read(message: &'a [u8]) -> Result<Family<'a>, String> {
        let mut family = Family::default();
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => family.name = value.bytes()?,
                2 => family.help = value.bytes()?,
                3 => family.kind = value.varint()?,
                4 => family.metrics.push(value.bytes()?),
                5 => family.unit = value.bytes()?,
                _ => {}
            }
        }
        Ok(family)
    }

    fn check(&self) -> Result<(), String> {
        let name = String::from_utf8_lossy(self.name);
        if !NameValidation::Utf8.is_valid_metric_name(self.name) {
            return Err(format!("invalid metric name: {name}"));
        }
        if simdutf8::basic::from_utf8(self.help).is_err() {
            let help = String::from_utf8_lossy(self.help);
            return Err(format!("invalid help for metric {name:?}: {help}"));
        }
        Ok(())
    }

    fn metric_type(&self) -> Result<MetricType, String> {
        Ok(match self.kind {
            COUNTER => MetricType::Counter,
            GAUGE => MetricType::Gauge,
            SUMMARY => MetricType::Summary,
            UNTYPED => MetricType::Unknown,
            HISTOGRAM => MetricType::Histogram,
            GAUGE_HISTOGRAM => MetricType::GaugeHistogram,
            kind => {
                let name = String::from_utf8_lossy(self.name);
                return Err(format!("unknown metric type for metric {name:?}: {kind}"));
            }
        })
    }
}

/// One `Metric` message, its value still unread.
#[derive(Debug, Default)]
struct Metric<'a> {
    labels: Vec<(&'a [u8], &'a [u8])>,
    timestamp_ms: i64,
    /// By field number of `Metric`.
    values: [&'a [u8]; 8],
}

impl<'a> Metric<'a> {
    fn read(message: &'a [u8]) -> Result<Metric<'a>, String> {
        let mut metric = Metric::default();
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => metric.labels.push(label(value.bytes()?)?),
                6 => metric.timestamp_ms = value.varint()? as i64,
                2..=5 | 7 => metric.values[number as usize] = value.bytes()?,
                _ => {}
            }
        }
        Ok(metric)
    }

    fn value_of(&self, kind: u64) -> &'a [u8] {
        match kind {
            GAUGE => self.values[2],
            COUNTER => self.values[3],
            SUMMARY => self.values[4],
            UNTYPED => self.values[5],
            _ => self.values[7],
        }
    }
}

fn label(message: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let (mut name, mut text) = (&b""[..], &b""[..]);
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => name = value.bytes()?,
            2 => text = value.bytes()?,
            _ => {}
        }
    }
    if !NameValidation::Utf8.is_valid_label_name(name) {
        return Err(format!("invalid label name: {}", String::from_utf8_lossy(name)));
    }
    if simdutf8::basic::from_utf8(text).is_err() {
        return Err(format!("invalid label value: {}", String::from_utf8_lossy(text)));
    }
    Ok((name, text))
}

fn exemplar(message: &[u8]) -> Result<Exemplar<'_>, String> {
    let mut exemplar = Exemplar::default();
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => exemplar.labels.push(label(value.bytes()?)?),
            2 => exemplar.value = value.double()?,
            3 => exemplar.timestamp_ms = Some(timestamp_ms(value.bytes()?)?),
            _ => {}
        }
    }
    Ok(exemplar)
}

/// A `google.protobuf.Timestamp`.
fn timestamp_ms(message: &[u8]) -> Result<i64, String> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => seconds = value.varint()? as i64,
            2 => nanos = i64::from(value.varint()? as i32),
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}

/// Gives the series of one metric.
struct Series<'p, 'f, F> {
    family: &'f Family<'p>,
    key: &'f mut Vec<u8>,
    on: &'f mut F,
}

/// What all series of a metric have in common.
#[derive(Clone, Copy, Default)]
struct Times {
    timestamp_ms: Option<i64>,
    start_ms: i64,
}

impl<E: From<String>, F: FnMut(Event<'_>) -> Result<(), E>> Series<'_, '_, F> {
    fn metric(&mut self, metric: Metric<'_>, options: Options) -> Result<(), E> {
        let own_ms = Some(metric.timestamp_ms).filter(|ms| *ms != 0);
        let mut times = Times { timestamp_ms: own_ms, start_ms: 0 };
        let message = metric.value_of(self.family.kind);
        let labels = &metric.labels;
        match self.family.kind {
            SUMMARY => {
                let (mut count, mut sum, mut quantiles) = (0, 0.0, vec![]);
                let mut fields = Fields(message);
                while let Some((number, value)) = fields.next()? {
                    match number {
                        1 => count = value.varint()?,
                        2 => sum = value.double()?,
                        3 => quantiles.push(quantile(value.bytes()?)?),
                        4 => times.start_ms = timestamp_ms(value.bytes()?)?,
                        _ => {}
                    }
                }
                self.float(labels, "_count", None, count as f64, times, &[])?;
                self.float(labels, "_sum", None, sum, times, &[])?;
                for (quantile, value) in quantiles {
                    self.float(labels, "", Some(("quantile", quantile)), value, times, &[])?;
                }
                Ok(())
            }
            HISTOGRAM | GAUGE_HISTOGRAM => {
                let read = Histograms::read(message)?;
                times.start_ms = read.start_ms;
                self.histogram(labels, read, times, options)
            }
            _ => {
                let (mut number_value, mut exemplars) = (0.0, vec![]);
                let mut fields = Fields(message);
                while let Some((number, value)) = fields.next()? {
                    match number {
                        1 => number_value = value.double()?,
                        2 if self.family.kind == COUNTER => {
                            exemplars = vec![exemplar(value.bytes()?)?];
                        }
                        3 if self.family.kind == COUNTER => {
                            times.start_ms = timestamp_ms(value.bytes()?)?;
                        }
                        _ => {}
                    }
                }
                self.float(labels, "", None, number_value, times, &exemplars)
            }
        }
    }

    fn histogram(
        &mut self,
        labels: &[(&[u8], &[u8])],
        mut read: Histograms<'_>,
        times: Times,
        options: Options,
    ) -> Result<(), E> {
        let is_gauge = self.family.kind == GAUGE_HISTOGRAM;
        let in_family = |why: String| {
            format!("histogram {:?}: {why}", String::from_utf8_lossy(self.family.name))
        };
        let native = if options.native && read.is_native() {
            Some(read.native(is_gauge).map_err(in_family)?)
        } else if options.convert_classic {
            Some(read.converted(is_gauge)?)
        } else {
            None
        };
        let classic = native.is_none() || options.always_classic && !read.buckets.is_empty();
        if let Some(native) = native {
            let mut exemplars = std::mem::take(&mut read.exemplars);
            if exemplars.is_empty() {
                exemplars = read.buckets.iter().filter_map(|b| b.exemplar.clone()).collect();
            }
            // Without a time an exemplar cannot be told from its repetition.
            exemplars.retain(|exemplar| exemplar.timestamp_ms.is_some());
            let value = SampleValue::Histogram(Box::new(native));
            self.sample(labels, "", None, value, times, &exemplars)?;
        }
        if classic {
            self.classic(labels, &read, times)?;
        }
        Ok(())
    }

    fn classic(
        &mut self,
        labels: &[(&[u8], &[u8])],
        read: &Histograms<'_>,
        times: Times,
    ) -> Result<(), E> {
        self.float(labels, "_count", None, read.count(), times, &[])?;
        self.float(labels, "_sum", None, read.sample_sum, times, &[])?;
        let mut has_infinite = false;
        for bucket in &read.buckets {
            has_infinite |= bucket.bound == f64::INFINITY;
            let exemplars = bucket.exemplar.as_slice();
            let le = Some(("le", bucket.bound));
            self.float(labels, "_bucket", le, bucket.cumulative, times, exemplars)?;
        }
        if !has_infinite {
            let le = Some(("le", f64::INFINITY));
            self.float(labels, "_bucket", le, read.count(), times, &[])?;
        }
        Ok(())
    }

    fn float(
        &mut self,
        labels: &[(&[u8], &[u8])],
        suffix: &str,
        extra: Option<(&str, f64)>,
        value: f64,
        times: Times,
        exemplars: &[Exemplar<'_>],
    ) -> Result<(), E> {
        // The staleness marker cannot be sent.
        let value = SampleValue::Float(if value.is_nan() { normal_nan() } else { value });
        self.sample(labels, suffix, extra, value, times, exemplars)
    }

    fn sample(
        &mut self,
        labels: &[(&[u8], &[u8])],
        suffix: &str,
        extra: Option<(&str, f64)>,
        value: SampleValue,
        times: Times,
        exemplars: &[Exemplar<'_>],
    ) -> Result<(), E> {
        let name = [self.family.name, suffix.as_bytes()].concat();
        let bound = extra.map(|(label, bound)| {
            let mut text = vec![];
            float::push_openmetrics_float(&mut text, bound);
            (label.as_bytes(), text)
        });
        let mut all: Vec<(&[u8], &[u8])> = Vec::with_capacity(labels.len() + 2);
        all.push((METRIC_NAME, &name));
        all.extend_from_slice(labels);
        if let Some((label, text)) = &bound {
            all.push((label, text));
        }
        self.key.clear();
        for (name, value) in &all {
            // No byte of UTF-8 is 255.
            self.key.extend_from_slice(name);
            self.key.push(0xff);
            self.key.extend_from_slice(value);
            self.key.push(0xff);
        }
        (self.on)(Event::Sample(Sample {
            key: self.key,
            labels: &all,
            timestamp_ms: times.timestamp_ms,
            start_ms: times.start_ms,
            value,
            exemplars,
        }))
    }
}

fn quantile(message: &[u8]) -> Result<(f64, f64), String> {
    let (mut quantile, mut at) = (0.0, 0.0);
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => quantile = value.double()?,
            2 => at = value.double()?,
            _ => {}
        }
    }
    Ok((quantile, at))
}
