//! From the bytes of a page to one batch.
//!
//! A page that breaks a rule is refused as a whole; its target then counts as failed, and every
//! series of the last page gets a staleness marker.
//!
//! Source: Prometheus `scrape/scrape.go` (`scrapeLoopAppender.append`).

use std::sync::Arc;

use engine::model::labels::METRIC_NAME;
use engine::model::sample::stale_nan;
use engine::model::{Batch, Labels, LabelsBuilder, LabelsRef};

use crate::relabel::Rules;
use crate::wire::names::NameValidation;
use crate::wire::text::{Entry, Format, Parser, Sample};

use super::cache::{EntryId, Known, ScrapeCache};
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
    LabelLimit(String),
}

impl std::fmt::Display for PageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PageError::Parse(message) | PageError::LabelLimit(message) => f.write_str(message),
            PageError::SampleLimit => f.write_str("sample limit exceeded"),
        }
    }
}

/// Reads pages of one target. Reused, so that a page of known series allocates nothing.
pub struct PageReader {
    rules: Arc<PageRules>,
    target_labels: Labels,
    builder: LabelsBuilder,
}

impl PageReader {
    pub fn new(rules: Arc<PageRules>, target_labels: Labels) -> PageReader {
        PageReader { rules, target_labels, builder: LabelsBuilder::default() }
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
            time_ms,
            time_ms_max: now_ms.saturating_add(AHEAD_MS_MAX),
        };
        let read = self.entries(&mut page, cache, Parser::new(body, format), batch);
        if read.is_ok() {
            push_stale(cache, time_ms, batch);
        }
        (page.counts, read)
    }

    fn entries(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        mut parser: Parser<'_>,
        batch: &mut Batch,
    ) -> Result<(), PageError> {
        loop {
            let entry = parser.next_entry().map_err(|e| PageError::Parse(e.message))?;
            match entry {
                None => break,
                Some(Entry::Sample(sample)) => {
                    self.sample(page, cache, &parser, sample, batch)?;
                }
                Some(Entry::Type { metric, metric_type }) => {
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
        if page.over_limit { Err(PageError::SampleLimit) } else { Ok(()) }
    }

    fn sample(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        parser: &Parser<'_>,
        sample: Sample<'_>,
        batch: &mut Batch,
    ) -> Result<(), PageError> {
        page.counts.scraped += 1;
        let own_ms = sample.timestamp_ms.filter(|_| self.rules.honor_timestamps);
        let known = match cache.find(sample.series) {
            Some(Known::Dropped) => return Ok(()),
            Some(Known::Series { id, repeated }) => Some((id, repeated)),
            None => None,
        };
        let is_tracked = own_ms.is_none() || self.rules.track_timestamps_staleness;
        if let Some((id, repeated)) = known {
            page.counts.added += 1;
            if repeated && own_ms.is_none() {
                page.counts.duplicates += 1;
            } else if page.take(own_ms, sample.value, batch, cache.labels(id)) && is_tracked {
                cache.track(id);
            }
            return Ok(());
        }
        let Some(labels) = self.final_labels(parser)? else {
            cache.add(sample.series, LabelsRef::EMPTY, 0);
            return Ok(());
        };
        page.counts.added += 1;
        if batch.label_bytes().len() > LABEL_BYTES_MAX {
            let why = format!("labels of the page exceed {LABEL_BYTES_MAX} bytes");
            return Err(PageError::LabelLimit(why));
        }
        let hash = labels.as_ref().stable_hash();
        // What is not taken does not get into the cache: nothing of it can become stale.
        if page.take(own_ms, sample.value, batch, (labels.as_ref(), hash)) {
            let id: Option<EntryId> = cache.add(sample.series, labels.as_ref(), hash);
            if let Some(id) = id.filter(|_| is_tracked) {
                cache.track(id);
            }
            if !page.over_limit {
                page.counts.series_added += 1;
                page.counts.new_with_timestamp += u64::from(own_ms.is_some());
            }
        }
        Ok(())
    }

    /// The labels of the series that the parser read last, or none if relabelling drops it.
    fn final_labels(&mut self, parser: &Parser<'_>) -> Result<Option<Labels>, PageError> {
        self.builder = LabelsBuilder::default();
        parser.labels_into(&mut self.builder).map_err(|name| {
            let name = String::from_utf8_lossy(&name).into_owned();
            PageError::Parse(format!("label name {name:?} is not unique: invalid sample"))
        })?;
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

/// One page on its way through.
struct Page {
    counts: PageCounts,
    /// Samples that count against the limit.
    appended: u64,
    limit: u64,
    over_limit: bool,
    time_ms: i64,
    time_ms_max: i64,
}

impl Page {
    /// Takes a sample into the batch, unless it lies too far ahead or over the limit.
    fn take(
        &mut self,
        own_ms: Option<i64>,
        value: f64,
        batch: &mut Batch,
        (labels, hash): (LabelsRef<'_>, u64),
    ) -> bool {
        let time_ms = own_ms.unwrap_or(self.time_ms);
        self.appended += 1;
        if self.sample_limit_exceeded() {
            self.over_limit = true;
            return false;
        }
        if time_ms > self.time_ms_max {
            self.counts.out_of_bounds += 1;
            return false;
        }
        let series = batch.push_series_hashed(labels, hash);
        batch.push_sample(series, time_ms, value);
        true
    }

    fn sample_limit_exceeded(&self) -> bool {
        self.limit > 0 && self.appended > self.limit
    }
}

/// Adds a staleness marker for each series that the last page had and this one has not.
pub fn push_stale(cache: &ScrapeCache, time_ms: i64, batch: &mut Batch) {
    cache.for_each_stale(|labels, hash| {
        let series = batch.push_series_hashed(labels, hash);
        batch.push_sample(series, time_ms, stale_nan());
    });
}
