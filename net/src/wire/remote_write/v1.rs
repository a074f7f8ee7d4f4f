//! Protocol 1: `prometheus.WriteRequest`.
//!
//! Labels stand as texts in every series. A series whose labels are no series' is left out and
//! counted, as Prometheus does.

use engine::model::MetricType;

use super::exemplar::exemplar_v1;
use super::histogram::histogram;
use super::proto::{Broken, Message, label, sample};
use super::{Decoded, Decoder, Metadata, MetadataOwner, Refusal, Span};

impl Decoder {
    pub(super) fn decode_v1(&mut self, request: &[u8], out: &mut Decoded) -> Result<(), Refusal> {
        let mut message = Message::new(request);
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => self.series_v1(request, field.bytes()?.span, out)?,
                3 => out.push_metadata(family_metadata(request, field.bytes()?.span)?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn series_v1(&mut self, request: &[u8], span: Span, out: &mut Decoded) -> Result<(), Refusal> {
        self.labels.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        let mut message = Message::within(request, span);
        let mut labels_end = span.start;
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => {
                    let span = field.bytes()?.span;
                    let (name, value) = label(request, span)?;
                    self.labels.push(name, value);
                    labels_end = span.end;
                }
                2 => self.samples.push(sample(request, field.bytes()?.span)?),
                3 => self.exemplars.push(field.bytes()?.span),
                4 => {
                    let span = field.bytes()?.span;
                    self.histograms.push(histogram(request, span, &mut self.histogram_bytes)?);
                }
                _ => {}
            }
        }
        // One look at all labels with the tags and lengths between them: if no byte has its high
        // bit set, no text has one either.
        let is_ascii = Span { start: span.start, end: labels_end }.of(request).is_ascii();
        if self.labels.check(request, is_ascii, false).is_err() {
            out.invalid_labels_count += 1;
            return Ok(());
        }
        if self.samples.is_empty() && self.histograms.is_empty() && self.exemplars.is_empty() {
            return Ok(());
        }
        let series = out.push_series(&self.labels, request, &self.samples, &mut self.histograms)?;
        out.admit_exemplars(self.exemplars.len())?;
        for &span in &self.exemplars {
            exemplar_v1(request, span, series, out)?;
        }
        Ok(())
    }
}

fn family_metadata(request: &[u8], span: Span) -> Result<Metadata, Broken> {
    let (mut family, mut help, mut unit) = (Span::default(), Span::default(), Span::default());
    let mut metric_type = MetricType::Unknown;
    let mut message = Message::within(request, span);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => metric_type = metric_type_of(field.varint()?),
            2 => family = field.bytes()?.span,
            4 => help = field.bytes()?.span,
            5 => unit = field.bytes()?.span,
            _ => {}
        }
    }
    Ok(Metadata { owner: MetadataOwner::Family(family), metric_type, help, unit })
}

/// The numbering of types is the same in both protocols.
pub(super) fn metric_type_of(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}
