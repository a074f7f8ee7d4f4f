//! One job of the configuration, made ready for scraping.

use std::sync::{Arc, Mutex, PoisonError};

use engine::model::histogram::{SCHEMA_MAX, SCHEMA_MIN};
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue};

use crate::config::{HttpClientConfig, ScrapeConfig};
use crate::http::client::{AGENT, ClientOptions};
use crate::relabel::Rules;
use crate::wire::negotiation::{ScrapeProtocol, accept_header};

use super::append::PageRules;
use super::failure_log::FailureLog;
use super::mutate::LabelLimits;

/// Most bytes of a decoded page where the configuration sets no limit.
const BODY_BYTES_MAX: usize = 1 << 30;

/// What flags say about pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeFeatures {
    pub exemplars: bool,
    /// Start timestamps.
    pub starts: bool,
    /// Labels of type and unit.
    pub type_and_unit: bool,
}

/// A job and what its configuration was compiled to. Shared by the job's targets.
pub struct Job {
    pub config: ScrapeConfig,
    pub rules: Arc<PageRules>,
    pub relabel: Rules,
    /// Credentials, TLS and proxies of its requests.
    pub client: Arc<ClientOptions>,
    /// Headers of every request but the one that tells the timeout.
    pub headers: HeaderMap,
    pub body_bytes_max: usize,
    pub fallback: Option<ScrapeProtocol>,
    /// Where scrapes that got no page are noted.
    pub failure_log: Option<FailureLog>,
    /// Why no target of the job can be scraped, if so.
    refusal: Option<String>,
    /// Why no target may be scraped: there are too many.
    over_limit: Mutex<Option<String>>,
}

impl Job {
    /// Errors: a rule whose regex does not compile, a log file that cannot be opened.
    pub fn build(config: &ScrapeConfig, features: ScrapeFeatures) -> Result<Job, String> {
        let rules = PageRules {
            honor_labels: config.honor_labels,
            honor_timestamps: config.honor_timestamps,
            track_timestamps_staleness: config.track_timestamps_staleness,
            sample_limit: config.sample_limit,
            bucket_limit: config.native_histogram_bucket_limit,
            schema_max: schema_max(config.native_histogram_min_bucket_factor),
            exemplars: features.exemplars,
            starts: features.starts,
            type_and_unit: features.type_and_unit,
            label_limits: LabelLimits {
                label_count_max: config.label_limit,
                name_bytes_max: config.label_name_length_limit,
                value_bytes_max: config.label_value_length_limit,
            },
            metric_relabel: Rules::new(&config.metric_relabel_configs)?,
            name_validation: config.metric_name_validation_scheme.names(),
        };
        let mut headers = HeaderMap::new();
        let mut refusal = request_headers(config, &mut headers).err();
        let client = ClientOptions::new(&config.job_name, &config.http).unwrap_or_else(|why| {
            refusal = Some(why);
            ClientOptions::plain()
        });
        let limit = usize::try_from(config.body_size_limit.0).unwrap_or(usize::MAX);
        Ok(Job {
            rules: Arc::new(rules),
            relabel: Rules::new(&config.relabel_configs)?,
            client,
            failure_log: FailureLog::open(&config.scrape_failure_log_file)?,
            headers,
            body_bytes_max: if limit == 0 { BODY_BYTES_MAX } else { limit },
            fallback: config.fallback_protocol(),
            refusal,
            over_limit: Mutex::new(None),
            config: config.clone(),
        })
    }

    /// A job that only looks at targets: no file is opened for it. Errors: as those of
    /// [`Job::build`].
    pub fn for_looking(config: &ScrapeConfig) -> Result<Job, String> {
        let mut config = config.clone();
        config.scrape_failure_log_file = Default::default();
        Job::build(&config, ScrapeFeatures::default())
    }

    pub fn name(&self) -> &str {
        &self.config.job_name
    }

    /// Why this job's targets are not scraped but count as failed.
    pub fn forced_error(&self) -> Option<String> {
        let over_limit = self.over_limit.lock().unwrap_or_else(PoisonError::into_inner).clone();
        over_limit.or_else(|| self.refusal.clone())
    }

    /// Judges the number of targets. True if it exceeds the limit.
    pub fn limit_targets(&self, count: usize) -> bool {
        let limit = self.config.target_limit;
        let exceeded = limit > 0 && count as u64 > limit;
        let text = exceeded
            .then(|| format!("target_limit exceeded (number of targets: {count}, limit: {limit})"));
        *self.over_limit.lock().unwrap_or_else(PoisonError::into_inner) = text;
        exceeded
    }

    /// Whether what a target's cache knows under `earlier` still holds under this configuration.
    pub fn can_reuse_cache(&self, earlier: &Job) -> bool {
        let relevant = |job: &Job| {
            let mut config = job.config.clone();
            config.scrape_interval = Default::default();
            config.scrape_timeout = Default::default();
            config.sample_limit = 0;
            config.http = HttpClientConfig::default();
            config
        };
        relevant(self) == relevant(earlier)
    }
}

/// The finest schema in which neighbouring bounds still differ by `factor`.
fn schema_max(factor: f64) -> i32 {
    if factor <= 1.0 {
        return SCHEMA_MAX;
    }
    let schema = (-factor.log2().log2()).floor();
    schema.clamp(f64::from(SCHEMA_MIN), f64::from(SCHEMA_MAX)) as i32
}

fn request_headers(config: &ScrapeConfig, headers: &mut HeaderMap) -> Result<(), String> {
    let accept = accept_header(&config.protocols(), config.escaping());
    insert(headers, ACCEPT, &accept)?;
    let encoding = if config.enable_compression { "gzip" } else { "identity" };
    insert(headers, ACCEPT_ENCODING, encoding)?;
    insert(headers, USER_AGENT, AGENT)?;
    Ok(())
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), String> {
    headers.insert(name, header_value(value)?);
    Ok(())
}

fn header_value(value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value).map_err(|_| "invalid header value".to_owned())
}
