//! Sections `remote_write` and `remote_read`.

use std::collections::BTreeMap;

use super::http_client::{HttpClientConfig, SigV4Config};
use super::scrape::check_relabel;
use super::units::{Millis, Secret};
use super::value::{LabelSet, Url, ValidationScheme};
use super::yaml::section;
use crate::relabel::RelabelConfig;

section! {
    pub struct RemoteWriteConfig("config.plain") check RemoteWriteConfig::check_alone;
    keep url: Option<Url>;
    omit remote_timeout: Millis = Millis::seconds(30);
    omit headers: BTreeMap<String, String>;
    omit write_relabel_configs: Vec<RelabelConfig>,
        null "empty or null relabeling rule in remote write config";
    omit name: String;
    omit send_exemplars: bool;
    omit send_native_histograms: bool;
    omit round_robin_dns: bool;
    /// Full name of the message: version 1 or 2 of the protocol.
    omit protobuf_message: String = MESSAGE_V1.to_owned();
    omit failed_request_logging: bool;
    inline http: HttpClientConfig =
        HttpClientConfig { enable_http2: false, ..HttpClientConfig::default() };
    omit queue_config: QueueConfig = QueueConfig::default();
    omit metadata_config: MetadataConfig = MetadataConfig::default();
    omit sigv4: Option<SigV4Config>;
    omit azuread: Option<AzureAdConfig>;
    omit google_iam: Option<GoogleIamConfig>;
}

pub const MESSAGE_V1: &str = "prometheus.WriteRequest";
pub const MESSAGE_V2: &str = "io.prometheus.write.v2.Request";

section! {
    /// The queue in front of one remote_write endpoint.
    pub struct QueueConfig("config.QueueConfig");
    /// Samples a sender holds before it blocks.
    omit capacity: i64 = 10_000;
    /// Senders at once, at most and at least.
    omit max_shards: i64 = 50;
    omit min_shards: i64 = 1;
    omit max_samples_per_send: i64 = 2000;
    omit batch_send_deadline: Millis = Millis::seconds(5);
    omit min_backoff: Millis = Millis(30);
    omit max_backoff: Millis = Millis::seconds(5);
    omit retry_on_http_429: bool;
    /// 0: samples of any age are sent.
    omit sample_age_limit: Millis;
}

section! {
    pub struct MetadataConfig("config.MetadataConfig");
    keep send: bool = true;
    keep send_interval: Millis = Millis::seconds(60);
    omit max_samples_per_send: i64 = 2000;
}

section! {
    pub struct GoogleIamConfig("googleiam.Config");
    omit credentials_file: String;
}

section! {
    pub struct AzureAdConfig("azuread.plain") check AzureAdConfig::check_alone;
    omit managed_identity: Option<AzureManagedIdentity>;
    omit workload_identity: Option<AzureWorkloadIdentity>;
    omit oauth: Option<AzureOAuth>;
    omit sdk: Option<AzureSdk>;
    omit certificate: Option<AzureCertificate>;
    /// `AzurePublic`, `AzureChina` or `AzureGovernment`.
    omit cloud: String;
    omit scope: String;
}

section! {
    pub struct AzureManagedIdentity("azuread.ManagedIdentityConfig");
    omit client_id: String;
}

section! {
    pub struct AzureWorkloadIdentity("azuread.WorkloadIdentityConfig");
    omit client_id: String;
    omit tenant_id: String;
    omit token_file_path: String;
}

section! {
    pub struct AzureOAuth("azuread.OAuthConfig");
    omit client_id: String;
    omit client_secret: Secret;
    omit tenant_id: String;
}

section! {
    pub struct AzureSdk("azuread.SDKConfig");
    omit tenant_id: String;
}

section! {
    pub struct AzureCertificate("azuread.CertificateConfig");
    omit client_id: String;
    omit tenant_id: String;
    omit certificate_path: String;
    omit certificate_key_path: String;
    omit certificate_password: Secret;
    omit send_certificate_chain: bool;
}

section! {
    pub struct RemoteReadConfig("config.plain") check RemoteReadConfig::check_alone;
    keep url: Option<Url>;
    omit remote_timeout: Millis = Millis::seconds(60);
    /// Largest frame of a streamed answer, in bytes.
    omit chunked_read_limit: u64 = 50_000_000;
    omit headers: BTreeMap<String, String>;
    omit read_recent: bool;
    omit name: String;
    inline http: HttpClientConfig = HttpClientConfig::default();
    /// Labels a selector must carry for this endpoint to be asked.
    omit required_matchers: LabelSet;
    omit filter_external_labels: bool = true;
}

/// Headers that the protocol or the connection sets, in lower case.
const RESERVED_HEADERS: [&str; 16] = [
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

/// Refuses reserved headers; `authorization` has a text of its own.
pub(super) fn check_headers(
    headers: &BTreeMap<String, String>,
    authorization: &str,
) -> Result<(), String> {
    for header in headers.keys() {
        let lower = header.to_lowercase();
        if lower == "authorization" {
            return Err(authorization.to_owned());
        }
        if RESERVED_HEADERS.contains(&lower.as_str()) {
            return Err(format!("{header} is a reserved header. It must not be changed"));
        }
    }
    Ok(())
}

const AUTHORIZATION_HEADER: &str = "authorization header must be changed via the basic_auth, \
     authorization, oauth2, sigv4, azuread or google_iam parameter";

impl RemoteWriteConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if self.url.is_none() {
            return Err("url for remote_write is empty".to_owned());
        }
        check_headers(&self.headers, AUTHORIZATION_HEADER)?;
        if ![MESSAGE_V1, MESSAGE_V2].contains(&self.protobuf_message.as_str()) {
            let message = &self.protobuf_message;
            return Err(format!(
                "invalid protobuf_message value: unknown type for remote write protobuf message \
                 {message}, supported: {MESSAGE_V1}, {MESSAGE_V2}"
            ));
        }
        self.http.validate()?;
        self.queue_config.validate()?;
        let given = [
            (self.http.basic_auth.is_some(), "basic_auth"),
            (self.http.authorization.is_some(), "authorization"),
            (self.http.oauth2.is_some(), "oauth2"),
            (self.sigv4.is_some(), "sigv4"),
            (self.azuread.is_some(), "azuread"),
            (self.google_iam.is_some(), "google_iam"),
        ];
        let given: Vec<_> =
            given.iter().filter(|(given, _)| *given).map(|(_, name)| *name).collect();
        if given.len() > 1 {
            return Err(format!(
                "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam \
                 must be configured. Currently configured: [{}]",
                given.join(" ")
            ));
        }
        Ok(())
    }

    pub(super) fn fill(&mut self, scheme: ValidationScheme) -> Result<(), String> {
        check_relabel(&mut self.write_relabel_configs, scheme)
    }
}

impl QueueConfig {
    fn validate(&self) -> Result<(), String> {
        let rules = [
            (self.max_shards > 0, "max_shards must be positive"),
            (self.min_shards > 0, "min_shards must be positive"),
            (self.min_shards <= self.max_shards, "min_shards must not be greater than max_shards"),
            (self.max_samples_per_send > 0, "max_samples_per_send must be positive"),
            (self.capacity > 0, "capacity must be positive"),
            (self.max_backoff >= self.min_backoff, "max_backoff must not be less than min_backoff"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, text)) => Err(format!("remote write queue {text}")),
            None => Ok(()),
        }
    }
}

impl RemoteReadConfig {
    fn check_alone(&mut self) -> Result<(), String> {
        if self.url.is_none() {
            return Err("url for remote_read is empty".to_owned());
        }
        check_headers(&self.headers, AUTHORIZATION_HEADER)?;
        self.http.validate()
    }
}

const WORKLOAD_TOKEN_PATH: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

impl AzureAdConfig {
    /// Source: Prometheus `storage/remote/azuread/azuread.go`.
    fn check_alone(&mut self) -> Result<(), String> {
        let fail = |text: &str| Err(text.to_owned());
        if self.cloud.is_empty() {
            self.cloud = "AzurePublic".to_owned();
        }
        if !["AzureChina", "AzureGovernment", "AzurePublic"].contains(&self.cloud.as_str()) {
            return fail("must provide a cloud in the Azure AD config");
        }
        let methods = [
            self.managed_identity.is_some(),
            self.workload_identity.is_some(),
            self.oauth.is_some(),
            self.sdk.is_some(),
            self.certificate.is_some(),
        ];
        match methods.iter().filter(|given| **given).count() {
            0 => {
                return fail(
                    "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, \
                     Azure Certificate or Azure SDK in the Azure AD config",
                );
            }
            1 => {}
            _ => {
                return fail(
                    "cannot provide multiple authentication methods in the Azure AD config",
                );
            }
        }
        if let Some(identity) = &self.managed_identity
            && !identity.client_id.is_empty()
        {
            require_uuid(&identity.client_id, "Managed Identity client_id")?;
        }
        if let Some(identity) = &mut self.workload_identity {
            require(&identity.client_id, "Workload Identity client_id")?;
            require(&identity.tenant_id, "Workload Identity tenant_id")?;
            require_uuid(&identity.client_id, "Workload Identity client_id")?;
            require_uuid(&identity.tenant_id, "Workload Identity tenant_id")?;
            if identity.token_file_path.is_empty() {
                let path = std::env::var("AZURE_FEDERATED_TOKEN_FILE").unwrap_or_default();
                identity.token_file_path =
                    if path.is_empty() { WORKLOAD_TOKEN_PATH.to_owned() } else { path };
            }
        }
        if let Some(oauth) = &self.oauth {
            require(&oauth.client_id, "OAuth client_id")?;
            require(oauth.client_secret.reveal(), "OAuth client_secret")?;
            require(&oauth.tenant_id, "OAuth tenant_id")?;
            require_uuid(&oauth.client_id, "OAuth client_id")?;
        }
        if let Some(certificate) = &self.certificate {
            require(&certificate.client_id, "Certificate client_id")?;
            require(&certificate.tenant_id, "Certificate tenant_id")?;
            require(&certificate.certificate_path, "Certificate certificate_path")?;
            require_uuid(&certificate.client_id, "Certificate client_id")?;
        }
        let in_scope = |c: char| c.is_ascii_alphanumeric() || "_ \t\n\r\x0c:/.-".contains(c);
        if !self.scope.chars().all(in_scope) {
            return fail("the provided scope contains invalid characters");
        }
        Ok(())
    }
}

fn require(value: &str, name: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err(format!("must provide an Azure {name} in the Azure AD config"));
    }
    Ok(())
}

/// 32 hexadecimal digits, with dashes after 8, 12, 16 and 20 of them or with none.
fn require_uuid(value: &str, name: &str) -> Result<(), String> {
    let digits = value.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes: Vec<usize> = value.match_indices('-').map(|(at, _)| at).collect();
    let shaped = dashes.is_empty() || dashes == [8, 13, 18, 23];
    if digits == 32 && shaped && digits + dashes.len() == value.len() {
        return Ok(());
    }
    Err(format!("the provided Azure {name} is invalid"))
}
