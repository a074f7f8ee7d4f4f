//! One page on its way into a scrape's samples: what is taken, what is too much, and how it counts.
//!
//! Source: Prometheus `scrape/scrape.go` (`limitAppender`, `timeLimitAppender`, `bucketLimitAppender`,
//! `maxSchemaAppender`).

use engine::model::FloatHistogram;
use engine::model::histogram::{self, SCHEMA_MIN};
use shards::SeriesOwner;

use crate::relabel::Rules;
use crate::wire::names::NameValidation;
use crate::wire::protobuf::SampleValue;

use super::mutate::LabelLimits;
use super::samples::{Line, ScrapeSamples};

/// Samples further ahead are refused: a clock is wrong somewhere.
pub const AHEAD_MS_MAX: i64 = 10 * 60 * 1000;

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
    /// Give series labels of their type and unit.
    pub type_and_unit: bool,
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

/// Whose a sample is.
pub(super) struct Whose {
    /// Known only where the sample may go to it without labels.
    pub owner: Option<SeriesOwner>,
    pub line: Line,
}

/// One page on its way through.
pub(super) struct Page {
    pub counts: PageCounts,
    /// Samples that count against the limit.
    appended: u64,
    limit: u64,
    pub over_limit: bool,
    /// A histogram could not be made small enough.
    over_buckets: bool,
    time_ms: i64,
    time_ms_max: i64,
}

impl Page {
    /// Of a scrape at `time_ms`, while the wall clock shows `now_ms`.
    pub fn new(rules: &PageRules, time_ms: i64, now_ms: i64) -> Page {
        Page {
            counts: PageCounts::default(),
            appended: 0,
            limit: rules.sample_limit,
            over_limit: false,
            over_buckets: false,
            time_ms,
            time_ms_max: now_ms.saturating_add(AHEAD_MS_MAX),
        }
    }

    pub fn judge(&self) -> Result<(), PageError> {
        match self {
            Page { over_limit: true, .. } => Err(PageError::SampleLimit),
            Page { over_buckets: true, .. } => Err(PageError::BucketLimit),
            _ => Ok(()),
        }
    }

    /// Whether every sample of the scrape's own time is admitted: none need be.
    #[inline]
    pub fn admits_all(&self) -> bool {
        self.limit == 0 && self.time_ms <= self.time_ms_max
    }

    pub fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// The time of the next sample, unless that lies too far ahead or the sample over a limit.
    #[inline]
    pub fn admit(&mut self, own_ms: Option<i64>) -> Option<i64> {
        let time_ms = own_ms.unwrap_or(self.time_ms);
        self.appended += 1;
        if self.sample_limit_exceeded() {
            self.over_limit = true;
            return None;
        }
        if time_ms > self.time_ms_max {
            self.counts.out_of_bounds += 1;
            return None;
        }
        Some(time_ms)
    }

    /// Takes a sample, unless it is not admitted; the index of its series in the batch if it got
    /// there, and not to an owner that is known. `push_series` puts the series there.
    pub fn take(
        &mut self,
        rules: &PageRules,
        (own_ms, start_ms): (Option<i64>, i64),
        value: SampleValue,
        samples: &mut ScrapeSamples,
        Whose { owner, line }: Whose,
        push_series: impl FnOnce(&mut ScrapeSamples, Line) -> u32,
    ) -> Result<Option<Option<u32>>, PageError> {
        let Some(time_ms) = self.admit(own_ms) else { return Ok(None) };
        match value {
            SampleValue::Float(value) => {
                if let Some(owner) = owner.filter(|_| start_ms == 0) {
                    samples.push_known(owner, line, time_ms, value);
                    return Ok(Some(None));
                }
                let series = push_series(samples, line);
                samples.batch.push_sample(series, time_ms, value);
                samples.batch.set_start(start_ms);
                Ok(Some(Some(series)))
            }
            SampleValue::Histogram(mut sample) => {
                let limited = limit(&mut sample.histogram, rules);
                if !limited.map_err(|error| PageError::Parse(error.to_string()))? {
                    self.over_buckets = true;
                    return Ok(None);
                }
                let series = push_series(samples, line);
                samples.batch.push_histogram(series, time_ms, *sample);
                samples.batch.set_histogram_start(start_ms);
                Ok(Some(Some(series)))
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
