//! Sections `storage`, `otlp` and `tracing`.

use std::collections::BTreeMap;

use super::http_client::TlsConfig;
use super::remote::check_headers;
use super::units::{ByteSize, Millis};
use super::yaml::section;
use crate::wire::quote::quoted;

section! {
    pub struct StorageConfig("config.StorageConfig");
    omit tsdb: Option<TsdbConfig>;
    omit exemplars: Option<ExemplarsConfig>;
}

section! {
    pub struct TsdbConfig("config.plain") check TsdbConfig::check_alone;
    /// Milliseconds of the window below; Prometheus prints them under this key.
    keep outofordertimewindow: i64;
    /// How far behind the newest sample of its series a sample may lie.
    omit out_of_order_time_window: Millis;
    /// Share of stale series, 0 to 1, that starts their compaction; 0 is never.
    omit stale_series_compaction_threshold: f64;
    omit chunk_encoding: ChunkEncodingConfig;
    /// Always there after loading: what the command line says if it is not written.
    omit retention: Option<RetentionConfig>;
}

section! {
    pub struct ChunkEncodingConfig("config.ChunkEncodingConfig");
    /// `xor`, `xor2` or empty.
    omit floats: String;
}

section! {
    /// What is zero sets no bound.
    pub struct RetentionConfig("config.plain") check RetentionConfig::check_alone;
    omit time: Millis;
    omit size: ByteSize;
    /// Of the disk that holds the data, 0 to 100.
    omit percentage: f64;
}

section! {
    pub struct ExemplarsConfig("config.ExemplarsConfig");
    omit max_exemplars: i64, go "int" => "int64";
}

/// Exemplars kept when the section says nothing.
pub const MAX_EXEMPLARS: i64 = 100_000;

impl TsdbConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        let floats = &self.chunk_encoding.floats;
        if !matches!(floats.as_str(), "" | "xor" | "xor2") {
            return Err(format!(
                "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must \
                 be omitted entirely, got {}",
                quoted(floats.as_bytes())
            ));
        }
        self.outofordertimewindow = self.out_of_order_time_window.ms();
        Ok(())
    }
}

impl RetentionConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if self.size < ByteSize(0) {
            return Err(format!(
                "'storage.tsdb.retention.size' must be greater than or equal to 0, got {}",
                self.size
            ));
        }
        if !(0.0..=100.0).contains(&self.percentage) && !self.percentage.is_nan() {
            return Err(format!(
                "'storage.tsdb.retention.percentage' must be in the range [0, 100], got {}",
                self.percentage
            ));
        }
        Ok(())
    }
}

section! {
    pub struct OtlpConfig("config.plain") check OtlpConfig::check_alone;
    omit promote_all_resource_attributes: bool;
    omit promote_resource_attributes: Vec<String>;
    omit ignore_resource_attributes: Vec<String>;
    omit translation_strategy: String = "UnderscoreEscapingWithSuffixes".to_owned(),
        go "string" => "otlptranslator.TranslationStrategyOption";
    omit keep_identifying_resource_attributes: bool;
    omit convert_histograms_to_nhcb: bool;
    omit promote_scope_metadata: bool;
    omit label_name_underscore_sanitization: bool = true;
    omit label_name_preserve_multiple_underscores: bool = true;
}

impl OtlpConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if self.promote_all_resource_attributes {
            if !self.promote_resource_attributes.is_empty() {
                return Err("'promote_all_resource_attributes' and 'promote_resource_attributes' \
                            cannot be configured simultaneously"
                    .to_owned());
            }
            return trim_attributes(&mut self.ignore_resource_attributes, "ignored")
                .map_err(|text| format!("invalid 'ignore_resource_attributes': {text}"));
        }
        if !self.ignore_resource_attributes.is_empty() {
            return Err("'ignore_resource_attributes' cannot be configured unless \
                        'promote_all_resource_attributes' is true"
                .to_owned());
        }
        trim_attributes(&mut self.promote_resource_attributes, "promoted")
            .map_err(|text| format!("invalid 'promote_resource_attributes': {text}"))
    }

    /// Strategies that leave UTF-8 in names need a scheme that allows it.
    pub(super) fn check_strategy(&self, legacy_names: bool) -> Result<(), String> {
        let strategy = self.translation_strategy.as_str();
        match strategy {
            "" | "UnderscoreEscapingWithSuffixes" | "UnderscoreEscapingWithoutSuffixes" => Ok(()),
            "NoTranslation" | "NoUTF8EscapingWithSuffixes" if legacy_names => Err(format!(
                "OTLP translation strategy \"{strategy}\" is not allowed when UTF8 is disabled"
            )),
            "NoTranslation" | "NoUTF8EscapingWithSuffixes" => Ok(()),
            _ => Err(format!(
                "unsupported OTLP translation strategy {}",
                quoted(strategy.as_bytes())
            )),
        }
    }
}

/// Trims names and refuses empty and repeated ones, all faults in one text.
fn trim_attributes(attributes: &mut [String], adjective: &str) -> Result<(), String> {
    let mut faults = Vec::new();
    for index in 0..attributes.len() {
        let name = attributes[index].trim().to_owned();
        if name.is_empty() {
            faults.push(format!("empty {adjective} OTel resource attribute"));
        } else if attributes[..index].contains(&name) {
            let name = quoted(name.as_bytes());
            faults.push(format!("duplicated {adjective} OTel resource attribute {name}"));
        } else {
            attributes[index] = name;
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

section! {
    pub struct TracingConfig("config.plain") check TracingConfig::check_alone;
    /// `grpc` or `http`.
    omit client_type: String = "grpc".to_owned(), go "string" => "config.plain";
    omit endpoint: String;
    omit sampling_fraction: f64;
    omit insecure: bool;
    omit tls_config: TlsConfig;
    omit headers: BTreeMap<String, String>;
    omit compression: String;
    omit timeout: Millis;
}

impl TracingConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if !matches!(self.client_type.as_str(), "grpc" | "http") {
            return Err(format!(
                "expected tracing client type to be to be http or grpc, but got {}",
                self.client_type
            ));
        }
        check_headers(
            &self.headers,
            "custom authorization header configuration is not yet supported",
        )?;
        if self.endpoint.is_empty() {
            return Err("tracing endpoint must be set".to_owned());
        }
        if !matches!(self.compression.as_str(), "" | "gzip") {
            return Err(format!(
                "invalid compression type {} provided, valid options: gzip",
                self.compression
            ));
        }
        Ok(())
    }
}
