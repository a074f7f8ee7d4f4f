//! One job of `scrape_configs`.
//!
//! Source: Prometheus `config/config.go`, `ScrapeConfig` and its `Validate`.

use std::collections::BTreeMap;

use super::global::GlobalConfig;
use super::http_client::HttpClientConfig;
use super::sd::DiscoveryConfigs;
use super::units::{ByteSize, Millis};
use super::value::{FilePath, ValidationScheme};
use super::yaml::section;
use crate::relabel::RelabelConfig;
use crate::wire::names::EscapingScheme;
use crate::wire::negotiation::ScrapeProtocol;
use crate::wire::quote::quoted;

section! {
    /// After loading, every `Option` but `fallback_scrape_protocol`'s absence is filled from
    /// `global`: a job needs no other section to be read.
    pub struct ScrapeConfig("config.ScrapeConfig") check ScrapeConfig::check_alone;
    keep job_name: String;
    omit honor_labels: bool;
    keep honor_timestamps: bool = true;
    keep track_timestamps_staleness: bool;
    omit params: BTreeMap<String, Vec<String>>, go "map[string][]string" => "url.Values";
    omit scrape_interval: Millis;
    /// Never above `scrape_interval`.
    omit scrape_timeout: Millis;
    /// Names as written; [`ScrapeConfig::protocols`] reads them.
    omit scrape_protocols: Option<Vec<String>>, go "[]string" => "[]config.ScrapeProtocol",
        "string" => "config.ScrapeProtocol";
    /// Name as written; [`ScrapeConfig::fallback_protocol`] reads it.
    omit fallback_scrape_protocol: String, go "string" => "config.ScrapeProtocol";
    omit scrape_native_histograms: Option<bool>;
    omit always_scrape_classic_histograms: Option<bool>;
    omit convert_classic_histograms_to_nhcb: Option<bool>;
    omit scrape_failure_log_file: FilePath;
    omit metrics_path: String = "/metrics".to_owned();
    omit scheme: String = "http".to_owned();
    keep enable_compression: bool = true;
    /// The limits: 0 is no limit.
    omit body_size_limit: ByteSize;
    omit sample_limit: u64;
    omit target_limit: u64;
    omit label_limit: u64;
    omit label_name_length_limit: u64;
    omit label_value_length_limit: u64;
    omit native_histogram_bucket_limit: u64;
    omit native_histogram_min_bucket_factor: f64;
    omit keep_dropped_targets: u64;
    omit metric_name_validation_scheme: ValidationScheme;
    /// Name as written; [`ScrapeConfig::escaping`] reads it.
    omit metric_name_escaping_scheme: String;
    omit extra_scrape_metrics: Option<bool>;
    inline http: HttpClientConfig = HttpClientConfig::default();
    omit relabel_configs: Vec<RelabelConfig>,
        null "empty or null target relabeling rule in scrape config";
    omit metric_relabel_configs: Vec<RelabelConfig>,
        null "empty or null metric relabeling rule in scrape config";
    inline discovery: DiscoveryConfigs = DiscoveryConfigs::default();
}

/// Checks a list of protocol names: known, not empty, none twice.
pub(super) fn check_protocols(names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Err("scrape_protocols cannot be empty".to_owned());
    }
    for (index, name) in names.iter().enumerate() {
        if names[..index].iter().any(|other| other.eq_ignore_ascii_case(name)) {
            let names = names.join(" ");
            return Err(format!("duplicated protocol in scrape_protocols, got [{names}]"));
        }
        ScrapeProtocol::from_text(name).map_err(|text| format!("scrape_protocols: {text}"))?;
    }
    Ok(())
}

pub(super) fn protocol_names(protocols: &[ScrapeProtocol]) -> Vec<String> {
    protocols.iter().map(|protocol| protocol.as_str().to_owned()).collect()
}

fn inherit<T: PartialEq + Clone>(value: &mut T, unset: T, global: &T) {
    if *value == unset {
        *value = global.clone();
    }
}

impl ScrapeConfig {
    pub fn scrape_interval_ms(&self) -> i64 {
        self.scrape_interval.ms()
    }

    pub fn scrape_timeout_ms(&self) -> i64 {
        self.scrape_timeout.ms()
    }

    /// What a scrape asks for, the most wanted first.
    pub fn protocols(&self) -> Vec<ScrapeProtocol> {
        let names = self.scrape_protocols.iter().flatten();
        names.filter_map(|name| ScrapeProtocol::from_text(name).ok()).collect()
    }

    pub fn fallback_protocol(&self) -> Option<ScrapeProtocol> {
        ScrapeProtocol::from_text(&self.fallback_scrape_protocol).ok()
    }

    pub fn escaping(&self) -> EscapingScheme {
        EscapingScheme::from_text(&self.metric_name_escaping_scheme).unwrap_or_default()
    }

    pub fn scrapes_native_histograms(&self) -> bool {
        self.scrape_native_histograms == Some(true)
    }

    pub fn always_scrapes_classic_histograms(&self) -> bool {
        self.always_scrape_classic_histograms == Some(true)
    }

    pub fn converts_classic_histograms(&self) -> bool {
        self.convert_classic_histograms_to_nhcb == Some(true)
    }

    pub fn adds_extra_metrics(&self) -> bool {
        self.extra_scrape_metrics == Some(true)
    }

    fn check_alone(&mut self) -> Result<(), String> {
        if self.job_name.is_empty() {
            return Err("job_name is empty".to_owned());
        }
        self.http.validate()?;
        if self.relabel_configs.is_empty() {
            self.discovery.check_static_targets()?;
        }
        Ok(())
    }

    /// Fills what is unset from `global` and checks the result.
    pub(super) fn fill(&mut self, global: &GlobalConfig) -> Result<(), String> {
        let job = quoted(self.job_name.as_bytes());
        inherit(&mut self.scrape_interval, Millis(0), &global.scrape_interval);
        if self.scrape_timeout > self.scrape_interval {
            return Err(format!(
                "scrape timeout greater than scrape interval for scrape config with job name {job}"
            ));
        }
        let timeout = global.scrape_timeout.min(self.scrape_interval);
        inherit(&mut self.scrape_timeout, Millis(0), &timeout);
        inherit(&mut self.body_size_limit, ByteSize(0), &global.body_size_limit);
        inherit(&mut self.sample_limit, 0, &global.sample_limit);
        inherit(&mut self.target_limit, 0, &global.target_limit);
        inherit(&mut self.label_limit, 0, &global.label_limit);
        inherit(&mut self.label_name_length_limit, 0, &global.label_name_length_limit);
        inherit(&mut self.label_value_length_limit, 0, &global.label_value_length_limit);
        inherit(&mut self.keep_dropped_targets, 0, &global.keep_dropped_targets);
        let log_file = &global.scrape_failure_log_file;
        inherit(&mut self.scrape_failure_log_file, FilePath::default(), log_file);
        inherit(&mut self.scrape_native_histograms, None, &global.scrape_native_histograms);
        inherit(&mut self.extra_scrape_metrics, None, &global.extra_scrape_metrics);
        if self.scrape_protocols.is_none() {
            self.scrape_protocols = Some(match &global.scrape_protocols {
                Some(protocols) => protocols.clone(),
                None if self.scrapes_native_histograms() => {
                    protocol_names(&ScrapeProtocol::DEFAULT_PROTO_FIRST)
                }
                None => protocol_names(&ScrapeProtocol::DEFAULT),
            });
        }
        check_protocols(self.scrape_protocols.as_deref().unwrap_or_default())
            .map_err(|text| format!("{text} for scrape config with job name {job}"))?;
        if !self.fallback_scrape_protocol.is_empty() {
            ScrapeProtocol::from_text(&self.fallback_scrape_protocol).map_err(|text| {
                format!(
                    "invalid fallback_scrape_protocol for scrape config with job name {job}: {text}"
                )
            })?;
        }
        self.fill_name_schemes(global)?;
        self.convert_classic_histograms_to_nhcb
            .get_or_insert(global.convert_classic_histograms_to_nhcb);
        self.always_scrape_classic_histograms
            .get_or_insert(global.always_scrape_classic_histograms);
        let names = self.metric_name_validation_scheme;
        check_relabel(&mut self.relabel_configs, names)?;
        check_relabel(&mut self.metric_relabel_configs, names)
    }

    /// Validation and escaping of names: what is unset follows `global`, but a job that sets only
    /// its validation chooses the escaping that goes with it.
    fn fill_name_schemes(&mut self, global: &GlobalConfig) -> Result<(), String> {
        let unset = self.metric_name_validation_scheme == ValidationScheme::Unset;
        if unset {
            self.metric_name_validation_scheme = global.metric_name_validation_scheme;
        }
        let escaping_for = |scheme: ValidationScheme| match scheme {
            ValidationScheme::Legacy => EscapingScheme::Underscores.as_str(),
            ValidationScheme::Utf8 | ValidationScheme::Unset => EscapingScheme::AllowUtf8.as_str(),
        };
        let global_escaping = match global.metric_name_escaping_scheme.as_str() {
            "" => escaping_for(global.metric_name_validation_scheme),
            escaping => escaping,
        };
        check_escaping(global_escaping, "global")?;
        if self.metric_name_escaping_scheme.is_empty() {
            self.metric_name_escaping_scheme = if unset {
                global_escaping.to_owned()
            } else {
                escaping_for(self.metric_name_validation_scheme).to_owned()
            };
        }
        check_escaping(&self.metric_name_escaping_scheme, "scrape config")?;
        let utf8_wanted = self.metric_name_escaping_scheme == EscapingScheme::AllowUtf8.as_str();
        if utf8_wanted && self.metric_name_validation_scheme != ValidationScheme::Utf8 {
            return Err(
                "utf8 metric names requested but validation scheme is not set to UTF8".to_owned()
            );
        }
        Ok(())
    }
}

fn check_escaping(name: &str, level: &str) -> Result<(), String> {
    match EscapingScheme::from_text(name) {
        Some(_) => Ok(()),
        None => Err(format!(
            "unknown {level} name escaping method specified, must be one of 'allow-utf-8', \
             'underscores', 'dots', or 'values', got {}",
            quoted(name.as_bytes())
        )),
    }
}

/// Gives rules their scheme of names and judges them.
pub(super) fn check_relabel(
    rules: &mut [RelabelConfig],
    scheme: ValidationScheme,
) -> Result<(), String> {
    rules.iter_mut().try_for_each(|rule| {
        rule.name_validation = scheme.names();
        rule.validate()
    })
}
