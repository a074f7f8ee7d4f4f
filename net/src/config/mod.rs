//! The configuration file: Prometheus's schema, its defaults, its checks, its error texts.
//!
//! ```text
//! yaml      text <-> fields, strict, with lines      (no section known here)
//! units     durations, sizes, secrets    value       paths, URLs, label sets, schemes
//! global scrape alerting remote storage  sd          the sections
//! load path files: the main one, scrape_config_files, patterns of paths     web    the web server's file
//! ```
//!
//! What is loaded is plain data, complete (every job carries what it inherits) and never changed
//! after; share it by `Arc`. A new one is built whole or not at all.
//!
//! Source: Prometheus `config/config.go`.

mod alerting;
mod checksum;
mod global;
mod http_client;
mod load;
mod path;
mod relabel;
mod remote;
pub mod rules;
mod scrape;
mod sd;
mod storage;
mod units;
mod value;
pub mod web;
pub mod yaml;

#[cfg(test)]
mod conformance_tests;
#[cfg(test)]
mod tests;

pub use alerting::{AlertingConfig, AlertmanagerConfig};
pub use checksum::checksum;
pub use global::{GlobalConfig, RuntimeConfig};
pub use http_client::{
    Authorization, BasicAuth, Header, HttpClientConfig, OAuth2, ProxyConfig, SigV4Config, TlsConfig,
};
pub use load::{ConfigError, EMBEDDED, LoadOptions, Loaded};
pub use path::{expand_rule_files, glob};
pub use remote::{
    AzureAdConfig, GoogleIamConfig, MESSAGE_V1, MESSAGE_V2, MetadataConfig, QueueConfig,
    RemoteReadConfig, RemoteWriteConfig,
};
pub use scrape::ScrapeConfig;
pub use sd::*;
pub use storage::{
    ChunkEncodingConfig, ExemplarsConfig, MAX_EXEMPLARS, OtlpConfig, RetentionConfig,
    StorageConfig, TracingConfig, TsdbConfig,
};
pub use units::{ByteSize, GoDuration, Millis, Secret};
pub use value::{FilePath, LabelSet, Url, ValidationScheme};

use yaml::{Field, section};

use crate::wire::quote::quoted;

section! {
    /// The whole file.
    pub struct Config("config.plain");
    keep global: GlobalConfig = GlobalConfig::unwritten();
    omit runtime: RuntimeConfig = RuntimeConfig::default();
    omit alerting: AlertingConfig = AlertingConfig::default();
    omit rule_files: Vec<FilePath>;
    omit scrape_config_files: Vec<FilePath>;
    /// The jobs of this file; [`Loaded::jobs`] has those of `scrape_config_files` too.
    omit scrape_configs: Vec<ScrapeConfig>, null "empty or null scrape config section",
        go "[]config.ScrapeConfig" => "[]*config.ScrapeConfig";
    omit storage: StorageConfig;
    omit tracing: TracingConfig = TracingConfig::zero();
    omit remote_write: Vec<RemoteWriteConfig>, null "empty or null remote write config section",
        go "[]config.plain" => "[]*config.RemoteWriteConfig";
    omit remote_read: Vec<RemoteReadConfig>, null "empty or null remote read config section",
        go "[]config.plain" => "[]*config.RemoteReadConfig";
    omit otlp: OtlpConfig = OtlpConfig::default();
}

/// `^[^*]*(\*[^/]*)?$`: a star may stand in the last part of a path only.
fn is_last_part_pattern(path: &str) -> bool {
    path.find('*').is_none_or(|at| !path[at..].contains('/'))
}

/// The second of two names that are equal; empty names do not count.
fn repeated<'a>(names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = Vec::new();
    names.into_iter().filter(|name| !name.is_empty()).find(|name| {
        let repeated = seen.contains(name);
        seen.push(*name);
        repeated
    })
}

impl Config {
    /// The configuration as `/api/v1/status/config` shows it: with defaults, without secrets.
    pub fn to_yaml_text(&self) -> String {
        yaml::print(self)
    }

    /// Hands defaults down and checks what goes beyond one section.
    fn fill(&mut self, options: &LoadOptions) -> Result<(), String> {
        self.global.fill_from(options);
        if self.runtime.is_empty() {
            self.runtime = RuntimeConfig::default();
        }
        let tsdb = self.storage.tsdb.get_or_insert_default();
        tsdb.retention.get_or_insert_with(|| options.retention.clone());
        for (paths, what) in
            [(&self.rule_files, "rule"), (&self.scrape_config_files, "scrape config")]
        {
            if let Some(path) = paths.iter().find(|path| !is_last_part_pattern(path)) {
                let path = quoted(path.as_bytes());
                return Err(format!("invalid {what} file path {path}"));
            }
        }
        for index in 0..self.scrape_configs.len() {
            let (before, job) = self.scrape_configs.split_at_mut(index);
            job[0].fill(&self.global)?;
            if before.iter().any(|other| other.job_name == job[0].job_name) {
                let name = quoted(job[0].job_name.as_bytes());
                return Err(format!("found multiple scrape configs with job name {name}"));
            }
        }
        let scheme = self.global.metric_name_validation_scheme;
        self.alerting.fill(scheme)?;
        if let Some(name) = repeated(self.remote_write.iter().map(|remote| &remote.name)) {
            let name = quoted(name.as_bytes());
            return Err(format!("found multiple remote write configs with job name {name}"));
        }
        self.remote_write.iter_mut().try_for_each(|remote| remote.fill(scheme))?;
        if let Some(name) = repeated(self.remote_read.iter().map(|remote| &remote.name)) {
            let name = quoted(name.as_bytes());
            return Err(format!("found multiple remote read configs with job name {name}"));
        }
        Ok(())
    }
}
