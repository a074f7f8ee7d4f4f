//! Section `alerting`: which Alertmanagers hear of alerts, and what they hear.

use super::http_client::{HttpClientConfig, SigV4Config};
use super::scrape::check_relabel;
use super::sd::DiscoveryConfigs;
use super::units::Millis;
use super::value::ValidationScheme;
use super::yaml::section;
use crate::relabel::RelabelConfig;

section! {
    pub struct AlertingConfig("config.plain");
    omit alert_relabel_configs: Vec<RelabelConfig>, null "empty or null alert relabeling rule";
    omit alertmanagers: Vec<AlertmanagerConfig>,
        null "empty or null alertmanager section in alerting config";
}

section! {
    pub struct AlertmanagerConfig("config.AlertmanagerConfig")
        check AlertmanagerConfig::check_alone;
    inline http: HttpClientConfig = HttpClientConfig::default();
    omit sigv4: Option<SigV4Config>;
    omit scheme: String = "http".to_owned();
    omit path_prefix: String;
    omit timeout: Millis = Millis::seconds(10);
    keep api_version: String = "v2".to_owned(), go "string" => "config.plain";
    omit relabel_configs: Vec<RelabelConfig>,
        null "empty or null Alertmanager target relabeling rule";
    omit alert_relabel_configs: Vec<RelabelConfig>,
        null "empty or null Alertmanager alert relabeling rule";
    inline discovery: DiscoveryConfigs = DiscoveryConfigs::default();
}

impl AlertingConfig {
    pub(super) fn fill(&mut self, scheme: ValidationScheme) -> Result<(), String> {
        check_relabel(&mut self.alert_relabel_configs, scheme)?;
        self.alertmanagers.iter_mut().try_for_each(|alertmanager| {
            check_relabel(&mut alertmanager.alert_relabel_configs, scheme)?;
            check_relabel(&mut alertmanager.relabel_configs, scheme)
        })
    }
}

impl AlertmanagerConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if self.api_version != "v2" {
            let version = &self.api_version;
            return Err(format!(
                "expected Alertmanager api version to be one of [v2] but got {version}"
            ));
        }
        self.http.validate()?;
        let http = &self.http;
        let has_auth =
            http.basic_auth.is_some() || http.authorization.is_some() || http.oauth2.is_some();
        if has_auth && self.sigv4.is_some() {
            return Err("at most one of basic_auth, authorization, oauth2, & sigv4 must be \
                        configured"
                .to_owned());
        }
        if self.relabel_configs.is_empty() {
            self.discovery.check_static_targets()?;
        }
        Ok(())
    }
}
