//! Protocol 1: `prometheus.WriteRequest`.
//!
//! Labels stand as texts in every series. A series whose labels are no series' is left out and
//! counted, as Prometheus does.

use engine::model::MetricType;

use super::exemplar::exemplar_v1;
use super::histogram::histogram;
use super::known::{Keys, KnownSeries};
use super::proto::{Broken, Message, label, sample};
use super::{
    BY_LABELS, Decoded, Decoder, Knowledge, Metadata, MetadataOwner, Refusal, Span, Staged,
};

/// Tag of a series: field 1, length-delimited.
const TIMESERIES_TAG: u8 = 1 << 3 | 2;

impl Decoder {
    pub(super) fn decode_v1(
        &mut self,
        request: &[u8],
        knowledge: Knowledge<'_>,
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        let mut message = Message::new(request);
        loop {
            let span = match message.next_message(TIMESERIES_TAG) {
                Some(span) => span,
                None => match message.next_field()? {
                    Some(field) if field.number == 1 => field.bytes()?.span,
                    Some(field) if field.number == 3 => {
                        out.push_metadata(family_metadata(request, field.bytes()?.span)?)?;
                        continue;
                    }
                    Some(_) => continue,
                    None => break,
                },
            };
            let Knowledge::Used(known) = knowledge else {
                if knowledge.wants(out.ways.len()) {
                    let staged = Staged::guess(request, span, knowledge.keys());
                    self.series_v1(request, &staged, knowledge.keys(), out)?;
                }
                out.ways.push(BY_LABELS);
                continue;
            };
            if self.stage(Staged::guess(request, span, Some(&known.keys)), known) {
                self.settle_v1(request, known, out)?;
            }
        }
        match knowledge {
            Knowledge::Used(known) => self.settle_v1(request, known, out),
            _ => Ok(()),
        }
    }

    /// Decodes what is staged, whose rows have arrived by now.
    fn settle_v1(
        &mut self,
        request: &[u8],
        known: &KnownSeries,
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        for index in 0..self.staged.len() {
            let staged = self.staged[index];
            match self.owner_of(&staged, known) {
                Some(owner) => out.push_known(owner, staged.timestamp_ms, staged.value)?,
                None => {
                    self.series_v1(request, &staged, Some(&known.keys), out)?;
                    out.ways.push(BY_LABELS);
                }
            }
        }
        self.staged.clear();
        Ok(())
    }

    /// Decodes a series that is not known.
    #[inline]
    pub(super) fn series_v1(
        &mut self,
        request: &[u8],
        staged: &Staged,
        keys: Option<&Keys>,
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        match out.push_plain(request, staged)? {
            true => Ok(()),
            false => self.any_series_v1(request, staged.span, keys, out),
        }
    }

    fn any_series_v1(
        &mut self,
        request: &[u8],
        span: Span,
        keys: Option<&Keys>,
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        self.labels.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        let mut message = Message::within(request, span);
        let (mut labels_end, mut has_labels_first) = (span.start, true);
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => {
                    let span = field.bytes()?.span;
                    let (name, value) = label(request, span)?;
                    self.labels.push(name, value);
                    has_labels_first &= field.offset == labels_end as usize;
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
        let label_bytes = Span { start: span.start, end: labels_end }.of(request);
        let is_ascii = label_bytes.is_ascii();
        if self.labels.check(request, is_ascii, false).is_err() {
            out.invalid_labels_count += 1;
            return Ok(());
        }
        if self.samples.is_empty() && self.histograms.is_empty() && self.exemplars.is_empty() {
            return Ok(());
        }
        let key = keys.filter(|_| has_labels_first).map(|keys| keys.of(label_bytes));
        let (samples, histograms) = (&self.samples, &mut self.histograms);
        let series = out.push_series(&self.labels, request, key, samples, histograms)?;
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
