//! One job of the configuration, made ready for scraping.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue};

use crate::config::{BasicAuth, Header, HttpClientConfig, ScrapeConfig};
use crate::relabel::Rules;
use crate::wire::negotiation::{ScrapeProtocol, accept_header};

use super::append::PageRules;
use super::mutate::LabelLimits;

/// Most bytes of a decoded page where the configuration sets no limit.
const BODY_BYTES_MAX: usize = 1 << 30;

const AGENT: &str = concat!("hearth/", env!("CARGO_PKG_VERSION"));

/// A job and what its configuration was compiled to. Shared by the job's targets.
pub struct Job {
    pub config: ScrapeConfig,
    pub rules: Arc<PageRules>,
    pub relabel: Rules,
    /// Headers of every request but the one that tells the timeout.
    pub headers: HeaderMap,
    pub body_bytes_max: usize,
    pub fallback: Option<ScrapeProtocol>,
    /// Why no target of the job can be scraped, if so: credentials that cannot be read, or what is
    /// not built yet.
    refusal: Option<String>,
    /// Why no target may be scraped: there are too many.
    over_limit: Mutex<Option<String>>,
}

impl Job {
    /// Errors: a rule whose regex does not compile.
    pub fn build(config: &ScrapeConfig) -> Result<Job, String> {
        let rules = PageRules {
            honor_labels: config.honor_labels,
            honor_timestamps: config.honor_timestamps,
            track_timestamps_staleness: config.track_timestamps_staleness,
            sample_limit: config.sample_limit,
            label_limits: LabelLimits {
                label_count_max: config.label_limit,
                name_bytes_max: config.label_name_length_limit,
                value_bytes_max: config.label_value_length_limit,
            },
            metric_relabel: Rules::new(&config.metric_relabel_configs)?,
            name_validation: config.metric_name_validation_scheme.names(),
        };
        let mut headers = HeaderMap::new();
        let refusal = request_headers(config, &mut headers).err();
        let limit = usize::try_from(config.body_size_limit.0).unwrap_or(usize::MAX);
        Ok(Job {
            rules: Arc::new(rules),
            relabel: Rules::new(&config.relabel_configs)?,
            headers,
            body_bytes_max: if limit == 0 { BODY_BYTES_MAX } else { limit },
            fallback: config.fallback_protocol(),
            refusal,
            over_limit: Mutex::new(None),
            config: config.clone(),
        })
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

fn request_headers(config: &ScrapeConfig, headers: &mut HeaderMap) -> Result<(), String> {
    // What cannot be read is not asked for.
    let mut protocols = config.protocols();
    protocols.retain(|protocol| *protocol != ScrapeProtocol::PrometheusProto);
    let accept = accept_header(&protocols, config.escaping());
    insert(headers, ACCEPT, &accept)?;
    let encoding = if config.enable_compression { "gzip" } else { "identity" };
    insert(headers, ACCEPT_ENCODING, encoding)?;
    insert(headers, USER_AGENT, AGENT)?;
    let http = &config.http;
    for (name, header) in http.http_headers.iter().flatten() {
        let name: HeaderName = name.parse().map_err(|_| format!("invalid header name {name:?}"))?;
        for value in header_values(header)? {
            headers.append(&name, header_value(&value)?);
        }
    }
    if let Some(basic) = &http.basic_auth {
        insert(headers, AUTHORIZATION, &basic_authorization(basic)?)?;
    }
    if let Some(authorization) = &http.authorization {
        let secret = secret(
            authorization.credentials.reveal(),
            &authorization.credentials_file,
            "authorization credentials",
        )?;
        if !secret.is_empty() {
            insert(headers, AUTHORIZATION, &format!("{} {secret}", authorization.kind))?;
        }
    }
    refuse_unbuilt(http)
}

fn refuse_unbuilt(http: &HttpClientConfig) -> Result<(), String> {
    let has = if http.oauth2.is_some() {
        "oauth2"
    } else if http.proxy.proxy_url.is_some() || http.proxy.proxy_from_environment {
        "proxy_url"
    } else {
        return Ok(());
    };
    Err(format!("scraping with {has} is not supported yet"))
}

fn basic_authorization(basic: &BasicAuth) -> Result<String, String> {
    let username = secret(&basic.username, &basic.username_file, "basic auth username")?;
    let password = secret(basic.password.reveal(), &basic.password_file, "basic auth password")?;
    Ok(format!("Basic {}", base64(format!("{username}:{password}").as_bytes())))
}

/// The text in the configuration, or that of the file it names, blanks at the ends cut off.
fn secret(text: &str, file: &str, what: &str) -> Result<String, String> {
    if file.is_empty() {
        return Ok(text.to_owned());
    }
    let read = fs::read_to_string(file);
    read.map(|text| text.trim().to_owned())
        .map_err(|error| format!("unable to read {what} file {file}: {error}"))
}

fn header_values(header: &Header) -> Result<Vec<String>, String> {
    let mut values = header.values.clone();
    values.extend(header.secrets.iter().map(|secret| secret.reveal().to_owned()));
    for file in &header.files {
        values.push(secret("", file, "http header")?);
    }
    Ok(values)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), String> {
    headers.insert(name, header_value(value)?);
    Ok(())
}

fn header_value(value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value).map_err(|_| "invalid header value".to_owned())
}

/// Standard alphabet, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 3];
        padded[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            let is_padding = place > group.len();
            out.push(if is_padding { '=' } else { char::from(ALPHABET[sextet as usize]) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_pads() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("user:pass\u{ff}", "dXNlcjpwYXNzw78="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }
}
