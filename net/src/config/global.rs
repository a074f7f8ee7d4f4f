//! Sections `global` and `runtime`: what the other sections inherit.
//!
//! Source: Prometheus `config/config.go`, `GlobalConfig`.

use super::LoadOptions;
use super::scrape::{check_protocols, protocol_names};
use super::units::{ByteSize, Millis};
use super::value::{FilePath, LabelSet, ValidationScheme};
use super::yaml::{Section, section};
use crate::wire::negotiation::ScrapeProtocol;
use crate::wire::quote::quoted;

section! {
    /// [`GlobalConfig::default`] is the section before defaults; [`GlobalConfig::unwritten`] is
    /// what holds when the section is not there.
    pub struct GlobalConfig("config.plain") check GlobalConfig::check_alone;
    omit scrape_interval: Millis;
    /// Never above `scrape_interval`.
    omit scrape_timeout: Millis;
    /// Names as written; `None` lets each job choose by its histograms.
    omit scrape_protocols: Option<Vec<String>>, go "[]string" => "[]config.ScrapeProtocol",
        "string" => "config.ScrapeProtocol";
    omit evaluation_interval: Millis;
    omit rule_query_offset: Millis;
    omit query_log_file: FilePath;
    omit scrape_failure_log_file: FilePath;
    omit external_labels: LabelSet,
        go "model.LabelSet" => "map[string]string", "model.LabelValue" => "string";
    omit body_size_limit: ByteSize;
    omit sample_limit: u64;
    omit target_limit: u64;
    omit label_limit: u64;
    omit label_name_length_limit: u64;
    omit label_value_length_limit: u64;
    omit keep_dropped_targets: u64;
    omit metric_name_validation_scheme: ValidationScheme;
    omit metric_name_escaping_scheme: String;
    omit scrape_native_histograms: Option<bool>;
    omit convert_classic_histograms_to_nhcb: bool;
    omit always_scrape_classic_histograms: bool;
    omit extra_scrape_metrics: Option<bool>;
}

pub const SCRAPE_INTERVAL: Millis = Millis::seconds(60);
pub const SCRAPE_TIMEOUT: Millis = Millis::seconds(10);
pub const EVALUATION_INTERVAL: Millis = Millis::seconds(60);

impl GlobalConfig {
    /// The section of a file that does not write it, or writes it empty.
    pub fn unwritten() -> GlobalConfig {
        GlobalConfig {
            scrape_interval: SCRAPE_INTERVAL,
            scrape_timeout: SCRAPE_TIMEOUT,
            evaluation_interval: EVALUATION_INTERVAL,
            metric_name_validation_scheme: ValidationScheme::Utf8,
            metric_name_escaping_scheme: "allow-utf-8".to_owned(),
            ..GlobalConfig::default()
        }
    }

    /// What is still unset follows the command line.
    pub(super) fn fill_from(&mut self, options: &LoadOptions) {
        if self.is_unwritten() {
            *self = GlobalConfig::unwritten();
        }
        self.scrape_native_histograms.get_or_insert(false);
        self.extra_scrape_metrics.get_or_insert(options.extra_scrape_metrics);
        if options.proto_first {
            self.scrape_protocols
                .get_or_insert_with(|| protocol_names(&ScrapeProtocol::DEFAULT_PROTO_FIRST));
        }
    }

    fn is_unwritten(&self) -> bool {
        let mut unwritten = true;
        self.visit(&mut |_, _, field| unwritten &= field.is_empty());
        unwritten
    }

    fn check_alone(&mut self) -> Result<(), String> {
        if self.metric_name_validation_scheme == ValidationScheme::Unset {
            self.metric_name_validation_scheme = ValidationScheme::Utf8;
        }
        let names = self.metric_name_validation_scheme.names();
        for name in self.external_labels.keys() {
            if !names.is_valid_label_name(name.as_bytes()) {
                return Err(format!("{} is not a valid label name", quoted(name.as_bytes())));
            }
        }
        if self.scrape_interval == Millis(0) {
            self.scrape_interval = SCRAPE_INTERVAL;
        }
        if self.scrape_timeout > self.scrape_interval {
            return Err("global scrape timeout greater than scrape interval".to_owned());
        }
        if self.scrape_timeout == Millis(0) {
            self.scrape_timeout = SCRAPE_TIMEOUT.min(self.scrape_interval);
        }
        if self.evaluation_interval == Millis(0) {
            self.evaluation_interval = EVALUATION_INTERVAL;
        }
        match &self.scrape_protocols {
            Some(protocols) => {
                check_protocols(protocols).map_err(|text| format!("{text} for global config"))
            }
            None => Ok(()),
        }
    }
}

section! {
    pub struct RuntimeConfig("config.RuntimeConfig");
    /// Accepted for compatibility; hearth has no garbage collector to tune.
    omit gogc: i64 = gogc_default();
}

/// The environment's `GOGC` if it is a number or `off`, or Prometheus's 75.
fn gogc_default() -> i64 {
    match std::env::var("GOGC") {
        Ok(value) if value.eq_ignore_ascii_case("off") => -1,
        Ok(value) => value.parse().unwrap_or(75),
        Err(_) => 75,
    }
}
