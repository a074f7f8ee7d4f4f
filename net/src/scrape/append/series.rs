//! Whose a sample of a page is: its series in the cache, or its labels and a new series.

use engine::model::labels::{METRIC_NAME, TYPE_LABEL, UNIT_LABEL};
use engine::model::sample::stale_nan;
use engine::model::{Labels, LabelsBuilder, LabelsRef, MetricType};

use super::{Family, PageReader};
use crate::scrape::cache::{EntryId, Form, Known, Pass, ScrapeCache, Stored};
use crate::scrape::mutate::add_target_labels;
use crate::scrape::page::{Page, PageError, Whose};
use crate::scrape::samples::{Line, ScrapeSamples};
use crate::wire::protobuf::SampleValue;
use crate::wire::text;

/// Most bytes of labels in one page's batch, whose offsets are 32 bits.
const LABEL_BYTES_MAX: usize = 1 << 31;

/// A sample of a page, before it is known whose it is.
pub(super) struct Found<'a> {
    pub key: &'a [u8],
    pub own_ms: Option<i64>,
    pub start_ms: i64,
    pub value: SampleValue,
    /// Exemplars follow it.
    pub has_exemplars: bool,
    /// Type in force, where its line alone tells all of its labels.
    pub told_by_line: Option<MetricType>,
}

/// Labels of a series that a cache knows.
pub enum Identity<'a> {
    Kept(LabelsRef<'a>),
    Made(Labels),
}

impl Identity<'_> {
    pub fn as_ref(&self) -> LabelsRef<'_> {
        match self {
            Identity::Kept(labels) => *labels,
            Identity::Made(labels) => labels.as_ref(),
        }
    }
}

/// Samples of a page.
impl PageReader {
    /// Takes a sample of a line that stood on the page before.
    #[inline]
    pub(super) fn known_line(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        (id, timestamp_ms, value): (EntryId, Option<i64>, f64),
        samples: &mut ScrapeSamples,
    ) {
        page.counts.scraped += 1;
        let own_ms = timestamp_ms.filter(|_| self.rules.honor_timestamps);
        if own_ms.is_none() && page.admits_all() {
            // What most lines are: one look at the cache.
            match cache.pass(id) {
                Pass::Dropped => return,
                Pass::Repeated => page.counts.duplicates += 1,
                Pass::Owned(owner) => {
                    samples.push_known(owner, Line::Entry(id), page.time_ms(), value);
                }
                Pass::Alone => self.push_by_labels(cache, id, (page.time_ms(), value), samples),
            }
            page.counts.added += 1;
            return;
        }
        let Known::Series { repeated, .. } = cache.see(id) else { return };
        page.counts.added += 1;
        if repeated && own_ms.is_none() {
            page.counts.duplicates += 1;
            return;
        }
        let Some(time_ms) = page.admit(own_ms) else { return };
        self.push_entry(cache, id, (time_ms, value), samples);
        if own_ms.is_none() || self.rules.track_timestamps_staleness {
            cache.track(id);
        }
    }

    /// Takes a sample: the cache's entry of its series, and the index of the series in the batch if
    /// it got there.
    pub(super) fn sample(
        &mut self,
        page: &mut Page,
        cache: &mut ScrapeCache,
        found: Found<'_>,
        labels: impl FnOnce(&mut LabelsBuilder) -> Result<(), Box<[u8]>>,
        samples: &mut ScrapeSamples,
    ) -> Result<(Option<EntryId>, Option<u32>), PageError> {
        page.counts.scraped += 1;
        let Found { key, start_ms, value, has_exemplars, told_by_line, .. } = found;
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
            let whose = Whose { owner, line: Line::Entry(id) };
            let push_series = |samples: &mut ScrapeSamples, line| {
                samples.push_series(line, (self.labels(cache, id).as_ref(), cache.hash(id)))
            };
            let taken = page.take(&self.rules, times, value, samples, whose, push_series)?;
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
            return Ok((cache.add(key, Form::Dropped, LabelsRef::EMPTY, 0), None));
        };
        page.counts.added += 1;
        if samples.batch.label_bytes().len() > LABEL_BYTES_MAX {
            let why = format!("labels of the page exceed {LABEL_BYTES_MAX} bytes");
            return Err(PageError::LabelLimit(why));
        }
        let hash = labels.as_ref().stable_hash();
        let identity = (labels.as_ref(), hash);
        let whose = Whose { owner: None, line: Line::Uncached };
        let push_series = |samples: &mut ScrapeSamples, line| samples.push_series(line, identity);
        let taken = page.take(&self.rules, times, value, samples, whose, push_series)?;
        let Some(series) = taken else {
            // What is not taken does not get into the cache: nothing of it can become stale.
            return Ok((None, None));
        };
        let form = match told_by_line {
            Some(metric_type) if !has_exemplars => Form::Made(metric_type),
            _ => Form::Kept,
        };
        let id: Option<EntryId> = cache.add(key, form, labels.as_ref(), hash);
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
}

/// Samples of series that the cache knows.
impl PageReader {
    /// Adds a staleness marker for each series that the last page had and this one has not.
    pub fn push_stale(&self, cache: &ScrapeCache, time_ms: i64, samples: &mut ScrapeSamples) {
        cache.for_each_stale(|id| self.push_entry(cache, id, (time_ms, stale_nan()), samples));
    }

    /// Adds a sample of a series that the cache knows: by its owner or, if that is not known, by its
    /// labels.
    #[inline]
    fn push_entry(
        &self,
        cache: &ScrapeCache,
        id: EntryId,
        (time_ms, value): (i64, f64),
        samples: &mut ScrapeSamples,
    ) {
        match cache.owner(id) {
            Some(owner) => samples.push_known(owner, Line::Entry(id), time_ms, value),
            None => self.push_by_labels(cache, id, (time_ms, value), samples),
        }
    }

    /// Adds a sample by its labels.
    #[cold]
    pub fn push_by_labels(
        &self,
        cache: &ScrapeCache,
        id: EntryId,
        (time_ms, value): (i64, f64),
        samples: &mut ScrapeSamples,
    ) {
        let labels = self.labels(cache, id);
        let series = samples.push_series(Line::Entry(id), (labels.as_ref(), cache.hash(id)));
        samples.batch.push_sample(series, time_ms, value);
    }

    /// The labels of a series that the cache knows.
    fn labels<'c>(&self, cache: &'c ScrapeCache, id: EntryId) -> Identity<'c> {
        match cache.labels(id) {
            Stored::Labels(labels) => Identity::Kept(labels),
            Stored::Raw(series, metric_type) => {
                let labels =
                    |builder: &mut LabelsBuilder| text::series_labels(series, metric_type, builder);
                // What stands in a cache was taken under the same rules.
                Identity::Made(self.final_labels(labels).ok().flatten().unwrap_or_default())
            }
        }
    }
}

/// Labels as they are stored.
impl PageReader {
    /// Gives the labels at hand those of type and unit; what the page says in their place is lost.
    pub(super) fn add_type_and_unit(&self, builder: &mut LabelsBuilder) {
        let Family { metric_type, unit, .. } = &self.family;
        if self.rules.type_and_unit {
            for (name, value) in [(TYPE_LABEL, metric_type), (UNIT_LABEL, unit)] {
                if !value.is_empty() {
                    builder.set(name, value);
                }
            }
        }
    }

    /// The labels of a series as it is stored, or none if relabelling drops it; `labels` writes
    /// those of the page.
    fn final_labels(
        &self,
        labels: impl FnOnce(&mut LabelsBuilder) -> Result<(), Box<[u8]>>,
    ) -> Result<Option<Labels>, PageError> {
        let mut builder = LabelsBuilder::default();
        labels(&mut builder).map_err(not_unique)?;
        self.add_type_and_unit(&mut builder);
        let target = self.target_labels.as_ref();
        add_target_labels(&mut builder, target, self.rules.honor_labels);
        if !self.rules.metric_relabel.apply(&mut builder) {
            return Ok(None);
        }
        let labels = builder.finish();
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

pub(super) fn not_unique(name: Box<[u8]>) -> PageError {
    let name = String::from_utf8_lossy(&name).into_owned();
    PageError::Parse(format!("label name {name:?} is not unique: invalid sample"))
}
