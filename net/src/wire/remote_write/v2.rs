//! Protocol 2: `io.prometheus.write.v2.Request`.
//!
//! Texts stand once, in a table of symbols; series refer to them. So a symbol is judged once a
//! request, and the order of two names once for all series that have them side by side.
//!
//! Two walks over the request: one gathers the symbols (they stand first by custom, but need not),
//! one decodes the series. A request whose symbols came before may do without both, see `repeats`.

use super::exemplar::{self, ExemplarFields};
use super::histogram::histogram;
use super::known::{Key, Keys, KnownSeries, Sequence};
use super::labels::LabelFault;
use super::proto::{Broken, Field, Message, Sample, Text, Value, sample};
use super::repeats::{Rows, plain_series};
use super::v1::metric_type_of;
use super::{
    BY_LABELS, Decoded, Decoder, Knowledge, Metadata, MetadataOwner, Refusal, SYMBOL_COUNT_MAX,
    Span, Staged,
};

/// The tag of a series in a request.
const TIMESERIES_TAG: u8 = 5 << 3 | 2;

/// The request's texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Symbols {
    symbols: Vec<Symbol>,
    /// By symbol, if series are known by their symbols' keys.
    keys: Vec<Key>,
}

/// All of a symbol is looked at together, so it stands together: one cache line a reference.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    text: Text,
    /// A symbol that is known to come before this one by bytes; itself if none is known.
    before: u32,
    encoding: Encoding,
}

/// Whether a symbol is UTF-8: judged when a series that is not known refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Unjudged,
    Utf8,
    Other,
}

/// What a series' metadata message holds.
#[derive(Clone, Copy, Debug, Default)]
struct MetadataFields {
    metric_type: u64,
    help: u32,
    unit: u32,
}

impl Symbols {
    fn gather(&mut self, request: &[u8], keys: Option<&Keys>) -> Result<(), Refusal> {
        self.symbols.clear();
        self.keys.clear();
        let mut message = Message::new(request);
        while let Some(field) = message.next_field()? {
            if field.number != 4 {
                continue;
            }
            if self.symbols.len() == SYMBOL_COUNT_MAX {
                let message = format!("request holds more than {SYMBOL_COUNT_MAX} symbols");
                return Err(Refusal::new(400, message));
            }
            let text = field.bytes()?;
            let before = self.symbols.len() as u32;
            if let Some(keys) = keys {
                self.keys.push(keys.of(text.span.of(request)));
            }
            self.symbols.push(Symbol { text, before, encoding: Encoding::Unjudged });
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.symbols.len()
    }

    /// Whether a label's references are in the table; otherwise what to say.
    #[inline]
    fn check(&self, name: u32, value: u32) -> Result<(), String> {
        let count = self.count();
        if (name as usize) < count && (value as usize) < count {
            return Ok(());
        }
        Err(format!(
            "labelRefs {name} (name) = {value} (value) outside of symbols table (size {count})"
        ))
    }

    /// The key of a series by its references, and by its metadata, so that what changes in it is
    /// seen. `None` where keys are not wanted; the references are in the table.
    fn key(&self, references: &[u32], metadata: MetadataFields) -> Option<Key> {
        let mut sequence = Sequence::default();
        for pair in references.chunks_exact(2) {
            let key = |reference: u32| self.keys.get(reference as usize).copied();
            sequence.push(key(pair[0])?, key(pair[1])?);
        }
        self.finish_key(sequence, metadata)
    }

    #[inline]
    fn finish_key(&self, sequence: Sequence, metadata: MetadataFields) -> Option<Key> {
        let mut beside = Sequence::default();
        let metric_type = Key(u128::from(metadata.metric_type) * (1 << 64 | 1));
        let [help, unit] = [metadata.help, metadata.unit].map(|text| self.keys.get(text as usize));
        beside.push(metric_type, *help?);
        beside.push(*unit?, Key::default());
        Some(sequence.key().with_beside(beside.key()))
    }

    /// Reads a series message of labels, one float sample and perhaps metadata; `None`: it is
    /// another one, or broken.
    #[inline]
    fn stage(&self, request: &[u8], span: Span) -> Option<Staged> {
        let mut sequence = Sequence::default();
        let mut metadata = MetadataFields::default();
        let mut read: Option<Sample> = None;
        let mut message = Message::within(request, span);
        while let Some(field) = message.next_field().ok()? {
            match field.number {
                1 => {
                    let mut packed = Message::within(request, field.bytes().ok()?.span);
                    while let Some(name) = packed.next_packed().ok()? {
                        let value = packed.next_packed().ok()??;
                        let key = |reference| self.keys.get(usize::try_from(reference).ok()?);
                        sequence.push(*key(name)?, *key(value)?);
                    }
                }
                2 if read.is_none() => read = Some(sample(request, field.bytes().ok()?.span).ok()?),
                5 => read_metadata(request, field.bytes().ok()?.span, &mut metadata).ok()?,
                _ => return None,
            }
        }
        let Sample { timestamp_ms, value, start_ms: 0 } = read? else { return None };
        let key = self.finish_key(sequence, metadata);
        Some(Staged {
            span,
            key,
            label_bytes: 0,
            owner: None,
            is_sought: false,
            timestamp_ms,
            value,
        })
    }

    fn is_utf8(&mut self, request: &[u8], symbol: u32) -> bool {
        let Symbol { text, encoding, .. } = &mut self.symbols[symbol as usize];
        if *encoding == Encoding::Unjudged {
            let is_utf8 = simdutf8::basic::from_utf8(text.span.of(request)).is_ok();
            *encoding = if is_utf8 { Encoding::Utf8 } else { Encoding::Other };
        }
        *encoding == Encoding::Utf8
    }

    fn span(&self, symbol: u32) -> Span {
        self.symbols[symbol as usize].text.span
    }

    /// Whether `first` comes before `second` by bytes.
    #[inline]
    fn ascends(&mut self, request: &[u8], first: u32, second: u32) -> bool {
        let Symbol { text: b, before, .. } = self.symbols[second as usize];
        if before == first {
            return first != second;
        }
        let a = self.symbols[first as usize].text;
        let ascends = a.span.of(request) < b.span.of(request);
        if ascends {
            self.symbols[second as usize].before = first;
        }
        ascends
    }
}

impl Decoder {
    pub(super) fn decode_v2(
        &mut self,
        request: &[u8],
        knowledge: Knowledge<'_>,
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        self.symbols.gather(request, knowledge.keys())?;
        let mut message = Message::new(request);
        while let Some(field) = message.next_field()? {
            if field.number != 5 {
                continue;
            }
            let span = field.bytes()?.span;
            let Knowledge::Used(known) = knowledge else {
                if knowledge.wants(out.ways.len()) {
                    self.series_v2(request, span, out)?;
                }
                out.ways.push(BY_LABELS);
                continue;
            };
            if self.stage_v2(request, span, known) {
                self.settle_v2(request, known, None, out)?;
            }
        }
        match knowledge {
            Knowledge::Used(known) => self.settle_v2(request, known, None, out),
            _ => Ok(()),
        }
    }

    /// Decodes a request whose symbols came before, see `repeats`. False: they did not, or do not
    /// all stand first; then nothing was decoded.
    pub(super) fn decode_repeated(
        &mut self,
        request: &[u8],
        known: &mut KnownSeries,
        out: &mut Decoded,
    ) -> Result<bool, Refusal> {
        self.begin(request, out)?;
        let symbols_end = symbols_end(request);
        if symbols_end == 0 {
            return Ok(false);
        }
        let table = known.keys.of(&request[..symbols_end]);
        out.table = Some(table);
        let Some(mut rows) = known.repeats.take(table) else { return Ok(false) };
        let decoded = self.decode_by_rows(request, symbols_end, known, &mut rows, out);
        match decoded {
            Ok(false) => known.repeats.forget(table),
            _ => known.repeats.put(table, rows),
        }
        decoded
    }

    fn decode_by_rows(
        &mut self,
        request: &[u8],
        symbols_end: usize,
        known: &KnownSeries,
        rows: &mut Rows,
        out: &mut Decoded,
    ) -> Result<bool, Refusal> {
        // Rows are made of many series at a time. Later one that has none is settled at once, so
        // that samples of one series keep their order.
        let has_rows = !rows.is_empty();
        let mut has_symbols = false;
        let mut message = Message::from(request, symbols_end);
        loop {
            let span = match message.next_short(TIMESERIES_TAG) {
                Some(span) => span,
                None => {
                    let Some(field) = message.next_field()? else { break };
                    match field.number {
                        4 => return Ok(false),
                        5 => field.bytes()?.span,
                        _ => continue,
                    }
                }
            };
            if has_rows
                && let Some(plain) = plain_series(span.of(request))
                && let content = known.keys.content(plain.references, plain.rest)
                && let Some(owner) = rows.find(out.ways.len(), content)
            {
                out.push_known(owner, plain.timestamp_ms, plain.value)?;
                continue;
            }
            if !has_symbols {
                self.symbols.gather(request, Some(&known.keys))?;
                has_symbols = true;
            }
            if self.stage_v2(request, span, known) || has_rows {
                self.settle_v2(request, known, Some(rows), out)?;
            }
        }
        self.settle_v2(request, known, Some(rows), out)?;
        Ok(true)
    }

    /// See [`Decoder::stage`].
    fn stage_v2(&mut self, request: &[u8], span: Span, known: &KnownSeries) -> bool {
        let staged = self.symbols.stage(request, span).unwrap_or(Staged::other(span));
        self.stage(staged, known)
    }

    /// Decodes what is staged, whose rows have arrived by now, and notes in `rows` what was known.
    fn settle_v2(
        &mut self,
        request: &[u8],
        known: &KnownSeries,
        mut rows: Option<&mut Rows>,
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        for index in 0..self.staged.len() {
            let staged = self.staged[index];
            let Some(owner) = self.owner_of(&staged, known) else {
                self.series_v2(request, staged.span, out)?;
                out.ways.push(BY_LABELS);
                continue;
            };
            if let Some(rows) = &mut rows
                && let Some(plain) = plain_series(staged.span.of(request))
            {
                let content = known.keys.content(plain.references, plain.rest);
                rows.set(out.ways.len(), content, owner);
            }
            out.push_known(owner, staged.timestamp_ms, staged.value)?;
        }
        self.staged.clear();
        Ok(())
    }

    fn series_v2(&mut self, request: &[u8], span: Span, out: &mut Decoded) -> Result<(), Refusal> {
        let metadata = self.read_series_v2(request, span)?;
        let sample_count = self.samples.len() + self.histograms.len();
        let labels = match self.resolve_labels(request) {
            Ok(labels) => labels,
            Err(message) => {
                out.invalid_labels_count += sample_count;
                out.refuse_series(|| self.about_references("labels", &message));
                return Ok(());
            }
        };
        if let Some(message) = self.bad_metadata(metadata) {
            out.refuse_series(|| self.about_references("metadata", &message));
            return Ok(());
        }
        let checked = self.labels.check(request, labels.is_text, labels.is_sorted);
        if let Err(fault) = checked {
            out.invalid_labels_count += sample_count;
            out.refuse_series(|| self.about_labels(request, &fault));
            return Ok(());
        }
        if sample_count == 0 {
            out.refuse_series(|| {
                format!(
                    "TimeSeries must contain at least one sample or histogram for series {}",
                    self.labels.text(request)
                )
            });
            return Ok(());
        }
        let key = self.symbols.key(&self.references, metadata);
        let (samples, histograms) = (&self.samples, &mut self.histograms);
        let series = out.push_series(&self.labels, request, key, samples, histograms)?;
        self.push_series_metadata(series, metadata, out)?;
        out.admit_exemplars(self.exemplars.len())?;
        for index in 0..self.exemplars.len() {
            self.exemplar_v2(request, self.exemplars[index], series, out)?;
        }
        Ok(())
    }

    /// Reads a series message into the scratch columns; returns its metadata.
    fn read_series_v2(&mut self, request: &[u8], span: Span) -> Result<MetadataFields, Refusal> {
        self.references.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        let mut metadata = MetadataFields::default();
        let mut message = Message::within(request, span);
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => read_references(request, &field, &mut self.references)?,
                2 => self.samples.push(sample(request, field.bytes()?.span)?),
                3 => {
                    let span = field.bytes()?.span;
                    self.histograms.push(histogram(request, span, &mut self.histogram_bytes)?);
                }
                4 => self.exemplars.push(field.bytes()?.span),
                5 => read_metadata(request, field.bytes()?.span, &mut metadata)?,
                _ => {}
            }
        }
        Ok(metadata)
    }

    /// An exemplar whose labels are references; a broken one is reported by itself.
    fn exemplar_v2(
        &self,
        request: &[u8],
        span: Span,
        series: u32,
        out: &mut Decoded,
    ) -> Result<(), Broken> {
        let mut fields = ExemplarFields::default();
        let mut references = vec![];
        let mut message = Message::within(request, span);
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => read_references(request, &field, &mut references)?,
                _ => fields.read(&field)?,
            }
        }
        let checked = check_count(&references).and_then(|()| {
            references.chunks_exact(2).try_for_each(|pair| self.symbols.check(pair[0], pair[1]))
        });
        if let Err(message) = checked {
            out.refuse_series(|| {
                let labels = self.labels.text(request);
                format!("parsing exemplar for series {labels}: {message}")
            });
            return Ok(());
        }
        let span = |symbol| self.symbols.span(symbol);
        let labels = references.chunks_exact(2).map(|pair| (span(pair[0]), span(pair[1])));
        exemplar::push(request, labels, fields, series, out);
        Ok(())
    }

    /// Fills the label scratch from the references.
    fn resolve_labels(&mut self, request: &[u8]) -> Result<ResolvedLabels, String> {
        self.labels.clear();
        check_count(&self.references)?;
        let mut resolved = ResolvedLabels { is_text: true, is_sorted: true };
        let mut previous = None;
        for pair in self.references.chunks_exact(2) {
            let (name, value) = (pair[0], pair[1]);
            self.symbols.check(name, value)?;
            let table = &mut self.symbols;
            resolved.is_sorted &=
                previous.is_none_or(|previous| table.ascends(request, previous, name));
            previous = Some(name);
            resolved.is_text &= table.is_utf8(request, name) && table.is_utf8(request, value);
            let text = |symbol: u32| table.symbols[symbol as usize].text;
            self.labels.push(text(name), text(value));
        }
        Ok(resolved)
    }

    fn bad_metadata(&self, metadata: MetadataFields) -> Option<String> {
        let count = self.symbols.count();
        let (what, reference) = if metadata.unit as usize >= count {
            ("unit_ref", metadata.unit)
        } else if metadata.help as usize >= count {
            ("help_ref", metadata.help)
        } else {
            return None;
        };
        Some(format!("metadata {what} {reference} outside of symbols table (size {count})"))
    }

    fn push_series_metadata(
        &self,
        series: u32,
        metadata: MetadataFields,
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        let (help, unit) = (self.symbols.span(metadata.help), self.symbols.span(metadata.unit));
        let is_empty = help.start == help.end && unit.start == unit.end;
        if is_empty && metadata.metric_type == 0 {
            return Ok(());
        }
        let metric_type = metric_type_of(metadata.metric_type);
        out.push_metadata(Metadata {
            owner: MetadataOwner::Series(series),
            metric_type,
            help,
            unit,
        })
    }

    fn about_references(&self, what: &str, message: &str) -> String {
        let references: Vec<_> = self.references.iter().map(u32::to_string).collect();
        format!("parsing {what} for series [{}]: {message}", references.join(" "))
    }

    fn about_labels(&self, request: &[u8], fault: &LabelFault) -> String {
        match fault {
            LabelFault::Invalid => {
                format!("invalid metric name or labels, got {}", self.labels.text(request))
            }
            LabelFault::Duplicate(index) => format!(
                "invalid labels for series, labels {}, duplicated label {}",
                self.labels.text(request),
                self.labels.name_text(request, *index)
            ),
            LabelFault::TooLarge => format!(
                "invalid labels for series, {} labels of {} bytes exceed the limits of {} and {}",
                self.references.len() / 2,
                self.labels.canonical_bytes_max(),
                engine::limits::LABEL_COUNT_MAX,
                engine::limits::LABEL_SET_BYTES_MAX
            ),
        }
    }
}

/// Where the symbols that stand first end. What is broken is found by whoever reads on.
pub(super) fn symbols_end(request: &[u8]) -> usize {
    let mut message = Message::new(request);
    let mut end = 0;
    while let Ok(Some(field)) = message.next_field()
        && field.number == 4
        && let Ok(text) = field.bytes()
    {
        end = text.span.end as usize;
    }
    end
}

/// What is known of a series' labels from its symbols.
#[derive(Clone, Copy, Debug)]
struct ResolvedLabels {
    is_text: bool,
    is_sorted: bool,
}

fn check_count(references: &[u32]) -> Result<(), String> {
    if references.len().is_multiple_of(2) {
        return Ok(());
    }
    Err(format!("invalid labelRefs length {}", references.len()))
}

/// References are packed by custom; one a field is allowed.
fn read_references(request: &[u8], field: &Field, out: &mut Vec<u32>) -> Result<(), Broken> {
    match field.value {
        Value::Varint(reference) => out.push(reference as u32),
        Value::Bytes(text) => {
            let mut packed = Message::within(request, text.span);
            while let Some(reference) = packed.next_packed()? {
                out.push(reference as u32);
            }
        }
        _ => return Err(field.wrong_type()),
    }
    Ok(())
}

fn read_metadata(request: &[u8], span: Span, metadata: &mut MetadataFields) -> Result<(), Broken> {
    let mut message = Message::within(request, span);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => metadata.metric_type = field.varint()?,
            3 => metadata.help = field.varint()? as u32,
            4 => metadata.unit = field.varint()? as u32,
            _ => {}
        }
    }
    Ok(())
}
