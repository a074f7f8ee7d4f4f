//! From the bytes of a page to one batch.
//!
//! ```text
//! lines     text along the layout of the page before: what most pages are
//! entries   text where more than a sample's own line counts
//! events    protobuf
//! series    whose a sample is
//! ```
//!
//! A page that breaks a rule is refused as a whole; its target then counts as failed, and every
//! series of the last page gets a staleness marker. A large page is read in turns, between which
//! the thread's other targets have theirs.
//!
//! Source: Prometheus `scrape/scrape.go` (`scrapeLoopAppender.append`).

mod series;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use engine::model::{Exemplar, Labels, LabelsBuilder, MetricType};

use crate::wire::protobuf::{self, Event, SampleValue};
use crate::wire::text::layout::Walk;
use crate::wire::text::starts::Starts;
use crate::wire::text::{self, Entry, Format, Parser};

use super::cache::{EntryId, ScrapeCache, note_metadata};
use super::collect::Collector;
use super::metadata::Field;
use super::page::Page;
pub use super::page::{AHEAD_MS_MAX, PageCounts, PageError, PageRules};
use super::samples::ScrapeSamples;
use series::{Found, not_unique};

/// Known lines that are read in one turn: a fifth of a millisecond.
const TURN_LINES: usize = 8 << 10;

/// What an entry that the parser reads costs, in known lines.
const ENTRY_LINES: usize = 16;

/// Reads pages of one target. Reused, so that a page of known series allocates nothing.
pub struct PageReader {
    rules: Arc<PageRules>,
    histograms: protobuf::Options,
    target_labels: Labels,
    collector: Collector,
    family: Family,
}

/// What a page says about the samples that follow.
#[derive(Debug, Default)]
struct Family {
    name: Vec<u8>,
    /// Empty if it is not known.
    metric_type: Vec<u8>,
    unit: Vec<u8>,
    /// Of the sample at hand; zero if it has none.
    start_ms: i64,
}

impl Family {
    fn note(&mut self, field: Field, family: &[u8], text: &[u8]) {
        if self.name != family {
            *self = Family { name: family.to_vec(), ..Family::default() };
        }
        match field {
            Field::Type if text == MetricType::Unknown.as_str().as_bytes() => {
                self.metric_type.clear()
            }
            Field::Type => self.metric_type = text.to_vec(),
            Field::Unit => self.unit = text.to_vec(),
            Field::Help => {}
        }
    }
}

/// What is left of a turn, in known lines.
struct Turn(usize);

impl Turn {
    fn new() -> Turn {
        Turn(TURN_LINES)
    }

    /// True if the turn is over after `lines` more. A new one begins then.
    #[inline]
    fn is_over_after(&mut self, lines: usize) -> bool {
        let left = self.0.checked_sub(lines);
        self.0 = left.unwrap_or(TURN_LINES);
        left.is_none()
    }
}

impl PageReader {
    pub fn new(
        rules: Arc<PageRules>,
        histograms: protobuf::Options,
        target_labels: Labels,
    ) -> PageReader {
        let (collector, family) = Default::default();
        PageReader { rules, histograms, target_labels, collector, family }
    }

    /// Reads `body` into `samples`, then adds staleness markers for what vanished.
    ///
    /// `time_ms` is the scrape's timestamp, `now_ms` the wall clock. The caller ends the cache's
    /// iteration. On an error the counts are those up to it, and `samples` holds a part of the page
    /// that is to be thrown away.
    pub async fn read(
        &mut self,
        cache: &mut ScrapeCache,
        body: &[u8],
        format: Format,
        time_ms: i64,
        now_ms: i64,
        samples: &mut ScrapeSamples,
    ) -> (PageCounts, Result<(), PageError>) {
        let mut page = Page::new(&self.rules, time_ms, now_ms);
        let read = match format {
            Format::Protobuf => {
                cache.drop_layout();
                self.events(&mut page, cache, body, samples).await
            }
            // What is said elsewhere than in a sample's own line counts.
            _ if self.histograms.convert_classic
                || self.rules.type_and_unit
                || self.rules.starts && format == Format::OpenMetrics =>
            {
                cache.drop_layout();
                self.entries(&mut page, cache, (body, format), samples).await
            }
            _ => self.lines(&mut page, cache, (body, format), samples).await,
        };
        let read = read.and(page.judge());
        if read.is_ok() {
            self.push_stale(cache, time_ms, samples);
        }
        (page.counts, read)
    }

    /// Reads a page of text along the layout of the one before.
    async fn lines(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        (body, format): (&[u8], Format),
        samples: &mut ScrapeSamples,
    ) -> Result<(), PageError> {
        self.family = Family::default();
        let layout = cache.layout();
        let mut walk = Walk::new(body, format, &layout);
        let read = self.walk(page, cache, &mut walk, samples).await;
        let is_taken = read.is_ok() && page.judge().is_ok();
        if is_taken && let Some(fresh) = walk.finish() {
            cache.renew_layout(fresh);
        }
        read
    }

    async fn walk(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        walk: &mut Walk<'_, '_>,
        samples: &mut ScrapeSamples,
    ) -> Result<(), PageError> {
        let mut turn = Turn::new();
        loop {
            let count = walk.known_lines(TURN_LINES, |line, timestamp_ms, value| {
                self.known_line(page, cache, (EntryId(line), timestamp_ms, value), samples);
            });
            if turn.is_over_after(count + ENTRY_LINES) {
                tokio::task::yield_now().await;
            }
            if count == TURN_LINES {
                continue;
            }
            match walk.next_entry().map_err(|e| PageError::Parse(e.message))? {
                Some(Entry::Sample(sample)) => {
                    let told_by_line = Some(walk.metric_type());
                    let parser = walk.parser();
                    let line =
                        self.text_sample(page, cache, parser, sample, told_by_line, samples)?;
                    walk.note(line.map(|id| id.0));
                }
                // Read again when the page turns out to have another layout.
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// Reads a page of text entry by entry.
    async fn entries(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        (body, format): (&[u8], Format),
        samples: &mut ScrapeSamples,
    ) -> Result<(), PageError> {
        let mut parser = Parser::new(body, format);
        let converts = self.histograms.convert_classic;
        let mut starts = (self.rules.starts && format == Format::OpenMetrics).then(Starts::default);
        self.collector = Collector::default();
        self.family = Family::default();
        let mut turn = Turn::new();
        loop {
            if turn.is_over_after(ENTRY_LINES) {
                tokio::task::yield_now().await;
            }
            let entry = parser.next_entry().map_err(|e| PageError::Parse(e.message))?;
            if converts && !matches!(entry, Some(Entry::Sample(_))) {
                self.converted(page, cache, samples)?;
            }
            match entry {
                None => break,
                Some(Entry::Sample(sample)) => {
                    self.family.start_ms = 0;
                    if let Some(starts) = &mut starts {
                        if parser.is_created() {
                            continue;
                        }
                        self.family.start_ms = starts.of(&parser);
                    }
                    if converts && self.collect(page, cache, &parser, sample, samples)? {
                        continue;
                    }
                    self.text_sample(page, cache, &parser, sample, None, samples)?;
                }
                Some(entry) => {
                    if let Entry::Type { metric, metric_type } = entry {
                        self.collector.family(metric, metric_type);
                    }
                    note_metadata(&entry, |field, family, text| {
                        cache.set_metadata(family, field, text);
                        self.family.note(field, family, text);
                    });
                }
            }
        }
        Ok(())
    }

    /// Collects a part of a classic histogram; false if the sample is to be taken as it is, too.
    fn collect(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        parser: &Parser<'_>,
        sample: text::Sample<'_>,
        samples: &mut ScrapeSamples,
    ) -> Result<bool, PageError> {
        let mut builder = LabelsBuilder::default();
        parser.labels_into(&mut builder).map_err(not_unique)?;
        self.add_type_and_unit(&mut builder);
        let labels = builder.finish();
        if !self.collector.is_same(&labels) {
            self.converted(page, cache, samples)?;
        }
        let times = (sample.timestamp_ms, self.family.start_ms);
        let taken = self.collector.take(&labels, times, sample.value);
        Ok(taken && !self.histograms.always_classic)
    }

    /// Takes a sample that the parser gave last; the cache's entry of its line, if there is one.
    fn text_sample(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        parser: &Parser<'_>,
        sample: text::Sample<'_>,
        told_by_line: Option<MetricType>,
        samples: &mut ScrapeSamples,
    ) -> Result<Option<EntryId>, PageError> {
        let found = Found {
            key: sample.series,
            own_ms: sample.timestamp_ms,
            start_ms: self.family.start_ms,
            value: SampleValue::Float(sample.value),
            has_exemplars: self.rules.exemplars && parser.exemplar().is_some(),
            told_by_line,
        };
        let labels = |builder: &mut LabelsBuilder| parser.labels_into(builder);
        let (line, series) = self.sample(page, cache, found, labels, samples)?;
        if self.rules.exemplars
            && let (Some(series), Some(exemplar)) = (series, parser.exemplar())
        {
            let mut labels = LabelsBuilder::default();
            parser.exemplar_labels(|name, value| labels.set(name, value));
            let (labels, value) = (labels.finish(), exemplar.value);
            let timestamp_ms = exemplar.timestamp_ms;
            samples.batch.push_exemplar(Exemplar { series, labels, value, timestamp_ms });
        }
        Ok(line)
    }

    /// Takes the histogram that the collected parts make, if they make one.
    fn converted(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        samples: &mut ScrapeSamples,
    ) -> Result<(), PageError> {
        let Some(converted) = self.collector.convert() else { return Ok(()) };
        let found = Found {
            key: &converted.key,
            own_ms: converted.own_ms,
            start_ms: converted.start_ms,
            value: SampleValue::Histogram(Box::new(converted.sample)),
            has_exemplars: false,
            told_by_line: None,
        };
        let labels = |builder: &mut LabelsBuilder| {
            converted.labels.iter().for_each(|(name, value)| builder.set(name, value));
            Ok(())
        };
        self.sample(page, cache, found, labels, samples).map(drop)
    }

    /// Reads a page of protobuf.
    async fn events(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        body: &[u8],
        samples: &mut ScrapeSamples,
    ) -> Result<(), PageError> {
        self.family = Family::default();
        let mut walk = protobuf::Walk::new(body, self.histograms);
        let mut turn = Turn::new();
        while walk.next(|event| self.event(page, cache, event, samples))? {
            if turn.is_over_after(ENTRY_LINES) {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        event: Event<'_>,
        samples: &mut ScrapeSamples,
    ) -> Result<(), PageError> {
        let mut note = |field, family: &[u8], text: &[u8]| {
            cache.set_metadata(family, field, text);
            self.family.note(field, family, text);
        };
        match event {
            Event::Type { metric, metric_type } => {
                note(Field::Type, metric, metric_type.as_str().as_bytes());
            }
            Event::Help { metric, help } => note(Field::Help, metric, help),
            Event::Unit { metric, unit } => note(Field::Unit, metric, unit),
            Event::Sample(sample) => {
                let found = Found {
                    key: sample.key,
                    own_ms: sample.timestamp_ms,
                    start_ms: sample.start_ms,
                    value: sample.value,
                    has_exemplars: self.rules.exemplars && !sample.exemplars.is_empty(),
                    told_by_line: None,
                };
                let labels = |builder: &mut LabelsBuilder| set_unique(builder, sample.labels);
                let (_, series) = self.sample(page, cache, found, labels, samples)?;
                let exemplars = sample.exemplars.iter().filter(|_| self.rules.exemplars);
                for (series, exemplar) in series.into_iter().zip(exemplars) {
                    samples.batch.push_exemplar(Exemplar {
                        series,
                        labels: Labels::from_pairs(exemplar.labels.iter().copied()),
                        value: exemplar.value,
                        timestamp_ms: exemplar.timestamp_ms,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Adds labels of which none may come twice; the one that does.
fn set_unique(builder: &mut LabelsBuilder, labels: &[(&[u8], &[u8])]) -> Result<(), Box<[u8]>> {
    for (index, &(name, value)) in labels.iter().enumerate() {
        if labels[..index].iter().any(|(other, _)| *other == name) {
            return Err(name.into());
        }
        builder.set(name, value);
    }
    Ok(())
}
