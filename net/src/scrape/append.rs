//! From the bytes of a page to one batch.
//!
//! A page that breaks a rule is refused as a whole; its target then counts as failed, and every
//! series of the last page gets a staleness marker.
//!
//! Source: Prometheus `scrape/scrape.go` (`scrapeLoopAppender.append`).

use std::sync::Arc;

use engine::model::histogram::{self, SCHEMA_MIN};
use engine::model::labels::METRIC_NAME;
use engine::model::sample::stale_nan;
use engine::model::{Batch, Exemplar, FloatHistogram, Labels, LabelsBuilder, LabelsRef};

use crate::relabel::Rules;
use crate::wire::names::NameValidation;
use crate::wire::protobuf::{self, Event, SampleValue};
use crate::wire::text::{self, Entry, Format, Parser};

use super::cache::{EntryId, Known, ScrapeCache};
use super::collect::Collector;
use super::metadata::Field;
use super::mutate::{LabelLimits, add_target_labels};

/// Samples further ahead are refused: a clock is wrong somewhere.
pub const AHEAD_MS_MAX: i64 = 10 * 60 * 1000;

/// Most bytes of labels in one page's batch, whose offsets are 32 bits.
const LABEL_BYTES_MAX: usize = 1 << 31;

/// What a scrape configuration says about pages.
pub struct PageRules {
    pub honor_labels: bool,
    pub honor_timestamps: bool,
    pub track_timestamps_staleness: bool,
    /// Zero means none.
    pub sample_limit: u64,
    /// Most buckets of a native histogram; zero means any.
    pub bucket_limit: u64,
    /// Finest schema of a native histogram.
    pub schema_max: i32,
    /// Take exemplars.
    pub exemplars: bool,
    /// Take start timestamps.
    pub starts: bool,
    pub label_limits: LabelLimits,
    pub metric_relabel: Rules,
    pub name_validation: NameValidation,
}

/// Counts of one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// Samples on the page.
    pub scraped: u64,
    /// Those left after relabelling.
    pub added: u64,
    /// Series that the page before did not have.
    pub series_added: u64,
    /// Samples without a timestamp whose series stood on the page before, in the same scrape.
    pub duplicates: u64,
    /// Samples too far in the future.
    pub out_of_bounds: u64,
    /// New series that came with a timestamp of their own: the head may refuse them, and then
    /// they do not count as added.
    pub new_with_timestamp: u64,
}

/// Why a page is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageError {
    Parse(String),
    SampleLimit,
    BucketLimit,
    LabelLimit(String),
}

impl From<String> for PageError {
    fn from(message: String) -> PageError {
        PageError::Parse(message)
    }
}

impl std::fmt::Display for PageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PageError::Parse(message) | PageError::LabelLimit(message) => f.write_str(message),
            PageError::SampleLimit => f.write_str("sample limit exceeded"),
            PageError::BucketLimit => f.write_str("histogram bucket limit exceeded"),
        }
    }
}

/// Reads pages of one target. Reused, so that a page of known series allocates nothing.
pub struct PageReader {
    rules: Arc<PageRules>,
    histograms: protobuf::Options,
    target_labels: Labels,
    builder: LabelsBuilder,
    collector: Collector,
}

/// A sample of a page, before it is known whose it is.
struct Found<'a> {
    key: &'a [u8],
    own_ms: Option<i64>,
    start_ms: i64,
    value: SampleValue,
}

impl PageReader {
    pub fn new(
        rules: Arc<PageRules>,
        histograms: protobuf::Options,
        target_labels: Labels,
    ) -> PageReader {
        let (builder, collector) = Default::default();
        PageReader { rules, histograms, target_labels, builder, collector }
    }

    /// Reads `body` into `batch`, then adds staleness markers for what vanished.
    ///
    /// `time_ms` is the scrape's timestamp, `now_ms` the wall clock. The caller ends the cache's
    /// iteration. On an error the counts are those up to it, and `batch` holds a part of the page
    /// that is to be thrown away.
    pub fn read(
        &mut self,
        cache: &mut ScrapeCache,
        body: &[u8],
        format: Format,
        time_ms: i64,
        now_ms: i64,
        batch: &mut Batch,
    ) -> (PageCounts, Result<(), PageError>) {
        let mut page = Page {
            counts: PageCounts::default(),
            appended: 0,
            limit: self.rules.sample_limit,
            over_limit: false,
            over_buckets: false,
            time_ms,
            time_ms_max: now_ms.saturating_add(AHEAD_MS_MAX),
        };
        let read = match format {
            Format::Protobuf => self.events(&mut page, cache, body, batch),
            _ => self.entries(&mut page, cache, Parser::new(body, format), batch),
        };
        let read = read.and(page.judge());
        if read.is_ok() {
            push_stale(cache, time_ms, batch);
        }
        (page.counts, read)
    }

    /// Reads a page of text.
    fn entries(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        mut parser: Parser<'_>,
        batch: &mut Batch,
    ) -> Result<(), PageError> {
        let converts = self.histograms.convert_classic;
        self.collector = Collector::default();
        loop {
            let entry = parser.next_entry().map_err(|e| PageError::Parse(e.message))?;
            if converts && !matches!(entry, Some(Entry::Sample(_))) {
                self.converted(page, cache, batch)?;
            }
            match entry {
                None => break,
                Some(Entry::Sample(sample)) => {
                    if converts {
                        self.builder = LabelsBuilder::default();
                        parser.labels_into(&mut self.builder).map_err(not_unique)?;
                        let labels = self.builder.finish();
                        if !self.collector.is_same(&labels) {
                            self.converted(page, cache, batch)?;
                        }
                        let own_ms = sample.timestamp_ms;
                        let taken = self.collector.take(&labels, own_ms, sample.value);
                        if taken && !self.histograms.always_classic {
                            continue;
                        }
                    }
                    self.text_sample(page, cache, &parser, sample, batch)?;
                }
                Some(Entry::Type { metric, metric_type }) => {
                    self.collector.family(metric, metric_type);
                    cache.set_metadata(metric, Field::Type, metric_type.as_str().as_bytes());
                }
                Some(Entry::Help { metric, help }) => {
                    cache.set_metadata(metric, Field::Help, &help);
                }
                Some(Entry::Unit { metric, unit }) => {
                    cache.set_metadata(metric, Field::Unit, unit);
                }
                Some(Entry::Comment(_)) => {}
            }
        }
        Ok(())
    }

    fn text_sample(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        parser: &Parser<'_>,
        sample: text::Sample<'_>,
        batch: &mut Batch,
    ) -> Result<(), PageError> {
        let found = Found {
            key: sample.series,
            own_ms: sample.timestamp_ms,
            start_ms: 0,
            value: SampleValue::Float(sample.value),
        };
        let labels = |builder: &mut LabelsBuilder| parser.labels_into(builder);
        let series = self.sample(page, cache, found, labels, batch)?;
        if self.rules.exemplars
            && let (Some(series), Some(exemplar)) = (series, parser.exemplar())
        {
            let mut labels = LabelsBuilder::default();
            parser.exemplar_labels(|name, value| labels.set(name, value));
            let (labels, value) = (labels.finish(), exemplar.value);
            let timestamp_ms = exemplar.timestamp_ms;
            batch.push_exemplar(Exemplar { series, labels, value, timestamp_ms });
        }
        Ok(())
    }

    /// Takes the histogram that the collected parts make, if they make one.
    fn converted(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        batch: &mut Batch,
    ) -> Result<(), PageError> {
        let Some(converted) = self.collector.convert() else { return Ok(()) };
        let found = Found {
            key: &converted.key,
            own_ms: converted.own_ms,
            start_ms: 0,
            value: SampleValue::Histogram(Box::new(converted.sample)),
        };
        let labels = |builder: &mut LabelsBuilder| {
            converted.labels.iter().for_each(|(name, value)| builder.set(name, value));
            Ok(())
        };
        self.sample(page, cache, found, labels, batch).map(drop)
    }

    /// Reads a page of protobuf.
    fn events(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        body: &[u8],
        batch: &mut Batch,
    ) -> Result<(), PageError> {
        protobuf::walk(body, self.histograms, |event| {
            match event {
                Event::Type { metric, metric_type } => {
                    cache.set_metadata(metric, Field::Type, metric_type.as_str().as_bytes());
                }
                Event::Help { metric, help } => cache.set_metadata(metric, Field::Help, help),
                Event::Unit { metric, unit } => cache.set_metadata(metric, Field::Unit, unit),
                Event::Sample(sample) => {
                    let found = Found {
                        key: sample.key,
                        own_ms: sample.timestamp_ms,
                        start_ms: sample.start_ms,
                        value: sample.value,
                    };
                    let labels = |builder: &mut LabelsBuilder| set_unique(builder, sample.labels);
                    let series = self.sample(page, cache, found, labels, batch)?;
                    let exemplars = sample.exemplars.iter().filter(|_| self.rules.exemplars);
                    for (series, exemplar) in series.into_iter().zip(exemplars) {
                        batch.push_exemplar(Exemplar {
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

    /// Takes a sample; the index of its series in the batch if it got there.
    fn sample(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        found: Found<'_>,
        labels: impl FnOnce(&mut LabelsBuilder) -> Result<(), Box<[u8]>>,
        batch: &mut Batch,
    ) -> Result<Option<u32>, PageError> {
        page.counts.scraped += 1;
        let Found { key, start_ms, value, .. } = found;
        let own_ms = found.own_ms.filter(|_| self.rules.honor_timestamps);
        let start_ms = if self.rules.starts { start_ms } else { 0 };
        let known = match cache.find(key) {
            Some(Known::Dropped) => return Ok(None),
            Some(Known::Series { id, repeated }) => Some((id, repeated)),
            None => None,
        };
        let is_tracked = own_ms.is_none() || self.rules.track_timestamps_staleness;
        if let Some((id, repeated)) = known {
            page.counts.added += 1;
            if repeated && own_ms.is_none() {
                page.counts.duplicates += 1;
                return Ok(None);
            }
            let times = (own_ms, start_ms);
            let taken = page.take(&self.rules, times, value, batch, cache.labels(id))?;
            if taken.is_some() && is_tracked {
                cache.track(id);
            }
            return Ok(taken);
        }
        let Some(labels) = self.final_labels(labels)? else {
            cache.add(key, LabelsRef::EMPTY, 0);
            return Ok(None);
        };
        page.counts.added += 1;
        if batch.label_bytes().len() > LABEL_BYTES_MAX {
            let why = format!("labels of the page exceed {LABEL_BYTES_MAX} bytes");
            return Err(PageError::LabelLimit(why));
        }
        let hash = labels.as_ref().stable_hash();
        let identity = (labels.as_ref(), hash);
        let taken = page.take(&self.rules, (own_ms, start_ms), value, batch, identity)?;
        // What is not taken does not get into the cache: nothing of it can become stale.
        if taken.is_some() {
            let id: Option<EntryId> = cache.add(key, labels.as_ref(), hash);
            if let Some(id) = id.filter(|_| is_tracked) {
                cache.track(id);
            }
            if !page.over_limit {
                page.counts.series_added += 1;
                page.counts.new_with_timestamp += u64::from(own_ms.is_some());
            }
        }
        Ok(taken)
    }

    /// The labels of a series as it is stored, or none if relabelling drops it; `labels` writes
    /// those of the page.
    fn final_labels(
        &mut self,
        labels: impl FnOnce(&mut LabelsBuilder) -> Result<(), Box<[u8]>>,
    ) -> Result<Option<Labels>, PageError> {
        self.builder = LabelsBuilder::default();
        labels(&mut self.builder).map_err(not_unique)?;
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

/// One page on its way through.
struct Page {
    counts: PageCounts,
    /// Samples that count against the limit.
    appended: u64,
    limit: u64,
    over_limit: bool,
    /// A histogram could not be made small enough.
    over_buckets: bool,
    time_ms: i64,
    time_ms_max: i64,
}

impl Page {
    fn judge(&self) -> Result<(), PageError> {
        match self {
            Page { over_limit: true, .. } => Err(PageError::SampleLimit),
            Page { over_buckets: true, .. } => Err(PageError::BucketLimit),
            _ => Ok(()),
        }
    }

    /// Takes a sample into the batch, unless it lies too far ahead or over a limit.
    fn take(
        &mut self,
        rules: &PageRules,
        (own_ms, start_ms): (Option<i64>, i64),
        value: SampleValue,
        batch: &mut Batch,
        (labels, hash): (LabelsRef<'_>, u64),
    ) -> Result<Option<u32>, PageError> {
        let time_ms = own_ms.unwrap_or(self.time_ms);
        self.appended += 1;
        if self.sample_limit_exceeded() {
            self.over_limit = true;
            return Ok(None);
        }
        if time_ms > self.time_ms_max {
            self.counts.out_of_bounds += 1;
            return Ok(None);
        }
        match value {
            SampleValue::Float(value) => {
                let series = batch.push_series_hashed(labels, hash);
                batch.push_sample(series, time_ms, value);
                batch.set_start(start_ms);
                Ok(Some(series))
            }
            SampleValue::Histogram(mut sample) => {
                let limited = limit(&mut sample.histogram, rules);
                if !limited.map_err(|error| PageError::Parse(error.to_string()))? {
                    self.over_buckets = true;
                    return Ok(None);
                }
                let series = batch.push_series_hashed(labels, hash);
                batch.push_histogram(series, time_ms, *sample);
                batch.set_histogram_start(start_ms);
                Ok(Some(series))
            }
        }
    }

    fn sample_limit_exceeded(&self) -> bool {
        self.limit > 0 && self.appended > self.limit
    }
}

/// Makes a histogram as coarse as the rules want it; false if it still has too many buckets.
fn limit(histogram: &mut FloatHistogram, rules: &PageRules) -> Result<bool, histogram::Error> {
    if histogram.uses_custom_bounds() {
        return Ok(rules.bucket_limit == 0 || bucket_count(histogram) <= rules.bucket_limit);
    }
    if histogram.schema > rules.schema_max {
        histogram.reduce_resolution(rules.schema_max)?;
    }
    while rules.bucket_limit > 0 && bucket_count(histogram) > rules.bucket_limit {
        if histogram.schema <= SCHEMA_MIN {
            return Ok(false);
        }
        histogram.reduce_resolution(histogram.schema - 1)?;
    }
    Ok(true)
}

fn bucket_count(histogram: &FloatHistogram) -> u64 {
    (histogram.positive.buckets.len() + histogram.negative.buckets.len()) as u64
}

/// Adds a staleness marker for each series that the last page had and this one has not.
pub fn push_stale(cache: &ScrapeCache, time_ms: i64, batch: &mut Batch) {
    cache.for_each_stale(|labels, hash| {
        let series = batch.push_series_hashed(labels, hash);
        batch.push_sample(series, time_ms, stale_nan());
    });
}
