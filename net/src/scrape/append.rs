//! From the bytes of a page to one batch.
//!
//! A page that breaks a rule is refused as a whole; its target then counts as failed, and every
//! series of the last page gets a staleness marker.
//!
//! Source: Prometheus `scrape/scrape.go` (`scrapeLoopAppender.append`).

use std::sync::Arc;

use engine::model::labels::METRIC_NAME;
use engine::model::sample::stale_nan;
use engine::model::{Exemplar, Labels, LabelsBuilder, LabelsRef, MetricType};

use crate::wire::protobuf::{self, Event, SampleValue};
use crate::wire::text::layout::{Item, Walk};
use crate::wire::text::starts::Starts;
use crate::wire::text::{self, Entry, Format, Parser};

use super::cache::{EntryId, Known, ScrapeCache, note_metadata};
use super::collect::Collector;
use super::metadata::Field;
use super::mutate::add_target_labels;
pub use super::page::{AHEAD_MS_MAX, PageCounts, PageError, PageRules};
use super::page::{Page, Whose};
use super::samples::{Line, ScrapeSamples};

/// Most bytes of labels in one page's batch, whose offsets are 32 bits.
const LABEL_BYTES_MAX: usize = 1 << 31;

const TYPE_LABEL: &[u8] = b"__type__";
const UNIT_LABEL: &[u8] = b"__unit__";

/// Reads pages of one target. Reused, so that a page of known series allocates nothing.
pub struct PageReader {
    rules: Arc<PageRules>,
    histograms: protobuf::Options,
    target_labels: Labels,
    builder: LabelsBuilder,
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

/// A sample of a page, before it is known whose it is.
struct Found<'a> {
    key: &'a [u8],
    own_ms: Option<i64>,
    start_ms: i64,
    value: SampleValue,
    /// Exemplars follow it.
    has_exemplars: bool,
}

impl PageReader {
    pub fn new(
        rules: Arc<PageRules>,
        histograms: protobuf::Options,
        target_labels: Labels,
    ) -> PageReader {
        let (builder, collector, family) = Default::default();
        PageReader { rules, histograms, target_labels, builder, collector, family }
    }

    /// Reads `body` into `samples`, then adds staleness markers for what vanished.
    ///
    /// `time_ms` is the scrape's timestamp, `now_ms` the wall clock. The caller ends the cache's
    /// iteration. On an error the counts are those up to it, and `samples` holds a part of the page
    /// that is to be thrown away.
    pub fn read(
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
                self.events(&mut page, cache, body, samples)
            }
            // What is said elsewhere than in a sample's own line counts.
            _ if self.histograms.convert_classic
                || self.rules.type_and_unit
                || self.rules.starts && format == Format::OpenMetrics =>
            {
                cache.drop_layout();
                self.entries(&mut page, cache, (body, format), samples)
            }
            _ => self.lines(&mut page, cache, (body, format), samples),
        };
        let read = read.and(page.judge());
        if read.is_ok() {
            push_stale(cache, time_ms, samples);
        }
        (page.counts, read)
    }

    /// Reads a page of text along the layout of the one before.
    fn lines(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        (body, format): (&[u8], Format),
        samples: &mut ScrapeSamples,
    ) -> Result<(), PageError> {
        self.family = Family::default();
        let layout = cache.take_layout();
        let mut walk = Walk::new(body, format, &layout);
        let read = self.walk(page, cache, &mut walk, samples);
        let is_taken = read.is_ok() && page.judge().is_ok();
        let fresh = if is_taken { walk.finish() } else { None };
        match fresh {
            Some(fresh) => cache.renew_layout(fresh),
            None => cache.set_layout(layout),
        }
        read
    }

    fn walk(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        walk: &mut Walk<'_, '_>,
        samples: &mut ScrapeSamples,
    ) -> Result<(), PageError> {
        while let Some(item) = walk.next_item().map_err(|e| PageError::Parse(e.message))? {
            match item {
                Item::Known { line, timestamp_ms, value } => {
                    self.known_line(page, cache, (EntryId(line), timestamp_ms, value), samples);
                }
                Item::Entry(Entry::Sample(sample)) => {
                    let line = self.text_sample(page, cache, walk.parser(), sample, samples)?;
                    walk.note(line.map(|id| id.0));
                }
                // Read again when the page turns out to have another layout.
                Item::Entry(_) => {}
            }
        }
        Ok(())
    }

    /// Takes a sample of a line that stood on the page before.
    #[inline]
    fn known_line(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        (id, timestamp_ms, value): (EntryId, Option<i64>, f64),
        samples: &mut ScrapeSamples,
    ) {
        page.counts.scraped += 1;
        let Known::Series { repeated, .. } = cache.see(id) else { return };
        page.counts.added += 1;
        let own_ms = timestamp_ms.filter(|_| self.rules.honor_timestamps);
        if repeated && own_ms.is_none() {
            page.counts.duplicates += 1;
            return;
        }
        let Some(time_ms) = page.admit(own_ms) else { return };
        samples.push(cache.owner(id), Line::Entry(id), || cache.labels(id), time_ms, value);
        if own_ms.is_none() || self.rules.track_timestamps_staleness {
            cache.track(id);
        }
    }

    /// Reads a page of text entry by entry.
    fn entries(
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
        loop {
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
                    self.text_sample(page, cache, &parser, sample, samples)?;
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
        self.builder = LabelsBuilder::default();
        parser.labels_into(&mut self.builder).map_err(not_unique)?;
        self.add_type_and_unit();
        let labels = self.builder.finish();
        if !self.collector.is_same(&labels) {
            self.converted(page, cache, samples)?;
        }
        let times = (sample.timestamp_ms, self.family.start_ms);
        let taken = self.collector.take(&labels, times, sample.value);
        Ok(taken && !self.histograms.always_classic)
    }

    /// Gives the labels at hand those of type and unit; what the page says in their place is lost.
    fn add_type_and_unit(&mut self) {
        let Family { metric_type, unit, .. } = &self.family;
        if self.rules.type_and_unit {
            for (name, value) in [(TYPE_LABEL, metric_type), (UNIT_LABEL, unit)] {
                if !value.is_empty() {
                    self.builder.set(name, value);
                }
            }
        }
    }

    /// Takes a sample that the parser gave last; the cache's entry of its line, if there is one.
    fn text_sample(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        parser: &Parser<'_>,
        sample: text::Sample<'_>,
        samples: &mut ScrapeSamples,
    ) -> Result<Option<EntryId>, PageError> {
        let found = Found {
            key: sample.series,
            own_ms: sample.timestamp_ms,
            start_ms: self.family.start_ms,
            value: SampleValue::Float(sample.value),
            has_exemplars: self.rules.exemplars && parser.exemplar().is_some(),
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
        };
        let labels = |builder: &mut LabelsBuilder| {
            converted.labels.iter().for_each(|(name, value)| builder.set(name, value));
            Ok(())
        };
        self.sample(page, cache, found, labels, samples).map(drop)
    }

    /// Reads a page of protobuf.
    fn events(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        body: &[u8],
        samples: &mut ScrapeSamples,
    ) -> Result<(), PageError> {
        self.family = Family::default();
        protobuf::walk(body, self.histograms, |event| {
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
        })
    }

    /// Takes a sample: the cache's entry of its series, and the index of the series in the batch if
    /// it got there.
    fn sample(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        found: Found<'_>,
        labels: impl FnOnce(&mut LabelsBuilder) -> Result<(), Box<[u8]>>,
        samples: &mut ScrapeSamples,
    ) -> Result<(Option<EntryId>, Option<u32>), PageError> {
        page.counts.scraped += 1;
        let Found { key, start_ms, value, has_exemplars, .. } = found;
        let own_ms = found.own_ms.filter(|_| self.rules.honor_timestamps);
        let start_ms = if self.rules.starts { start_ms } else { 0 };
        let times = (own_ms, start_ms);
        let known = match cache.find(key) {
            Some(Known::Dropped) => return Ok((Some(cache.last()), None)),
            Some(Known::Series { id, repeated }) => Some((id, repeated)),
            None => None,
        };
        let is_tracked = own_ms.is_none() || self.rules.track_timestamps_staleness;
        if let Some((id, repeated)) = known {
            page.counts.added += 1;
            if repeated && own_ms.is_none() {
                page.counts.duplicates += 1;
                return Ok((Some(id), None));
            }
            let owner = cache.owner(id).filter(|_| !has_exemplars);
            let whose = Whose { owner, line: Line::Entry(id), identity: cache.labels(id) };
            let taken = page.take(&self.rules, times, value, samples, whose)?;
            if taken.is_some() && is_tracked {
                cache.track(id);
            }
            return Ok((Some(id), taken.flatten()));
        }
        if page.over_limit && self.rules.metric_relabel.is_empty() {
            // The page is refused; what is left of it is only counted.
            page.counts.added += 1;
            return Ok((None, None));
        }
        let Some(labels) = self.final_labels(labels)? else {
            return Ok((cache.add(key, LabelsRef::EMPTY, 0), None));
        };
        page.counts.added += 1;
        if samples.batch.label_bytes().len() > LABEL_BYTES_MAX {
            let why = format!("labels of the page exceed {LABEL_BYTES_MAX} bytes");
            return Err(PageError::LabelLimit(why));
        }
        let hash = labels.as_ref().stable_hash();
        let identity = (labels.as_ref(), hash);
        let whose = Whose { owner: None, line: Line::Uncached, identity };
        let Some(series) = page.take(&self.rules, times, value, samples, whose)? else {
            // What is not taken does not get into the cache: nothing of it can become stale.
            return Ok((None, None));
        };
        let id: Option<EntryId> = cache.add(key, labels.as_ref(), hash);
        if let Some(id) = id {
            samples.lines[series.expect("without an owner it is in the batch") as usize] =
                Line::Entry(id);
            if is_tracked {
                cache.track(id);
            }
        }
        if !page.over_limit {
            page.counts.series_added += 1;
            page.counts.new_with_timestamp += u64::from(own_ms.is_some());
        }
        Ok((id, series))
    }

    /// The labels of a series as it is stored, or none if relabelling drops it; `labels` writes
    /// those of the page.
    fn final_labels(
        &mut self,
        labels: impl FnOnce(&mut LabelsBuilder) -> Result<(), Box<[u8]>>,
    ) -> Result<Option<Labels>, PageError> {
        self.builder = LabelsBuilder::default();
        labels(&mut self.builder).map_err(not_unique)?;
        self.add_type_and_unit();
        let target = self.target_labels.as_ref();
        add_target_labels(&mut self.builder, target, self.rules.honor_labels);
        if !self.rules.metric_relabel.apply(&mut self.builder) {
            return Ok(None);
        }
        let labels = self.builder.finish();
        if labels.as_ref().is_empty() {
            return Ok(None);
        }
        if labels.get(METRIC_NAME).is_empty() {
            return Err(PageError::Parse("missing metric name (__name__ label)".into()));
        }
        if !self.is_valid(labels.as_ref()) {
            let why = format!("invalid metric name or label names: {labels}");
            return Err(PageError::Parse(why));
        }
        self.rules.label_limits.verify(labels.as_ref()).map_err(PageError::LabelLimit)?;
        Ok(Some(labels))
    }

    fn is_valid(&self, labels: LabelsRef<'_>) -> bool {
        let names = self.rules.name_validation;
        labels.iter().all(|(name, value)| {
            if name == METRIC_NAME {
                names.is_valid_metric_name(value)
            } else {
                names.is_valid_label_name(name) && simdutf8::basic::from_utf8(value).is_ok()
            }
        })
    }
}

fn not_unique(name: Box<[u8]>) -> PageError {
    let name = String::from_utf8_lossy(&name).into_owned();
    PageError::Parse(format!("label name {name:?} is not unique: invalid sample"))
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

/// Adds a staleness marker for each series that the last page had and this one has not.
pub fn push_stale(cache: &ScrapeCache, time_ms: i64, samples: &mut ScrapeSamples) {
    cache.for_each_stale(|id| {
        samples.push(cache.owner(id), Line::Entry(id), || cache.labels(id), time_ms, stale_nan());
    });
}
