//! How hearth speaks HTTP to somebody: credentials, TLS, proxies, headers.
//!
//! Source: prometheus/common `config/http_config.go`, `config/headers.go`; prometheus/sigv4.

use std::collections::BTreeMap;

use super::units::Secret;
use super::value::{FilePath, Url};
use super::web::TlsVersion;
use super::yaml::{Yaml, section};

section! {
    /// The fields shared by everything that sends HTTP requests.
    pub struct HttpClientConfig("config.plain") check HttpClientConfig::validate;
    omit basic_auth: Option<BasicAuth>;
    omit authorization: Option<Authorization>;
    omit oauth2: Option<OAuth2>;
    /// Deprecated spelling of `authorization`; empty after loading.
    omit bearer_token: Secret;
    omit bearer_token_file: FilePath;
    omit tls_config: TlsConfig;
    keep follow_redirects: bool = true;
    keep enable_http2: bool = true;
    inline proxy: ProxyConfig = ProxyConfig::default();
    omit http_headers: Option<BTreeMap<String, Header>>,
        go "map[string]config.Header" => "config.Headers";
}

section! {
    pub struct BasicAuth("config.plain");
    omit username: String;
    omit username_file: FilePath;
    omit username_ref: String;
    omit password: Secret;
    omit password_file: FilePath;
    omit password_ref: String;
}

section! {
    pub struct Authorization("config.Authorization");
    /// The scheme before the credentials; `Bearer` unless written.
    omit kind as "type": String;
    omit credentials: Secret;
    omit credentials_file: FilePath;
    omit credentials_ref: String;
}

section! {
    pub struct OAuth2("config.plain") check OAuth2::validate_proxy;
    omit client_id: String;
    omit client_secret: Secret;
    omit client_secret_file: FilePath;
    omit client_secret_ref: String;
    omit client_certificate_key_id: String;
    omit client_certificate_key: Secret;
    omit client_certificate_key_file: String;
    omit client_certificate_key_ref: String;
    omit grant_type: String;
    omit signature_algorithm: String;
    omit iss: String;
    omit audience: String;
    /// Values of any shape.
    omit claims: BTreeMap<String, Yaml>;
    omit scopes: Vec<String>;
    omit token_url: String;
    omit endpoint_params: BTreeMap<String, String>;
    omit tls_config: TlsConfig;
    inline proxy: ProxyConfig = ProxyConfig::default();
}

section! {
    pub struct TlsConfig("config.plain") check TlsConfig::validate;
    omit ca: String;
    omit cert: String;
    omit key: Secret;
    omit ca_file: FilePath;
    omit cert_file: FilePath;
    omit key_file: FilePath;
    omit ca_ref: String;
    omit cert_ref: String;
    omit key_ref: String;
    omit server_name: String;
    keep insecure_skip_verify: bool;
    omit min_version: TlsVersion;
    omit max_version: TlsVersion;
}

section! {
    pub struct ProxyConfig("config.ProxyConfig");
    omit proxy_url: Option<Url>;
    omit no_proxy: String;
    omit proxy_from_environment: bool;
    omit proxy_connect_header: BTreeMap<String, Vec<Secret>>,
        go "map[string][]config.plain" => "config.ProxyHeader", "[]config.plain" => "[]config.Secret";
}

section! {
    /// Values of one request header, from the file itself or from files beside it.
    pub struct Header("config.Header");
    omit values: Vec<String>;
    omit secrets: Vec<Secret>;
    omit files: Vec<FilePath>;
}

section! {
    /// Signing for services of AWS.
    pub struct SigV4Config("sigv4.plain") check SigV4Config::validate;
    omit region: String;
    omit access_key: String;
    omit secret_key: Secret;
    omit profile: String;
    omit role_arn: String;
    omit external_id: String;
    omit use_fips_sts_endpoint: bool;
    omit service_name: String;
}

const GRANT_TYPE_JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Headers that `http_headers` may not set, in canonical spelling.
const RESERVED_HEADERS: [&str; 18] = [
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

/// Whether more than one of the alternatives is given.
fn several(given: &[bool]) -> bool {
    given.iter().filter(|given| **given).count() > 1
}

fn fail(text: &str) -> Result<(), String> {
    Err(text.to_owned())
}

impl HttpClientConfig {
    /// Checks what may not stand together and turns the deprecated token fields into
    /// `authorization`.
    pub fn validate(&mut self) -> Result<(), String> {
        let token = !self.bearer_token.is_empty();
        let token_file = !self.bearer_token_file.is_empty();
        if token && token_file {
            return fail("at most one of bearer_token & bearer_token_file must be configured");
        }
        if (self.basic_auth.is_some() || self.oauth2.is_some()) && (token || token_file) {
            return fail(
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be \
                 configured",
            );
        }
        if let Some(basic) = &self.basic_auth {
            basic.validate()?;
        }
        if self.authorization.is_some() {
            if token || token_file {
                return fail(
                    "authorization is not compatible with bearer_token & bearer_token_file",
                );
            }
            self.validate_authorization()?;
        } else if token || token_file {
            self.authorization = Some(Authorization {
                kind: "Bearer".to_owned(),
                credentials: std::mem::take(&mut self.bearer_token),
                credentials_file: std::mem::take(&mut self.bearer_token_file),
                credentials_ref: String::new(),
            });
        }
        if let Some(oauth2) = &self.oauth2 {
            if self.basic_auth.is_some() {
                return fail(
                    "at most one of basic_auth, oauth2 & authorization must be configured",
                );
            }
            oauth2.validate()?;
        }
        self.proxy.validate()?;
        for name in self.http_headers.iter().flat_map(BTreeMap::keys) {
            let name = canonical_header(name);
            if RESERVED_HEADERS.contains(&name.as_str()) {
                return Err(format!("setting header \"{name}\" is not allowed"));
            }
        }
        Ok(())
    }

    fn validate_authorization(&mut self) -> Result<(), String> {
        let others = self.basic_auth.is_some() || self.oauth2.is_some();
        let Some(authorization) = &mut self.authorization else { return Ok(()) };
        if several(&[
            !authorization.credentials.is_empty(),
            !authorization.credentials_file.is_empty(),
            !authorization.credentials_ref.is_empty(),
        ]) {
            return fail(
                "at most one of authorization credentials & credentials_file must be configured",
            );
        }
        let kind = authorization.kind.trim();
        authorization.kind = if kind.is_empty() { "Bearer" } else { kind }.to_owned();
        if authorization.kind.eq_ignore_ascii_case("basic") {
            return fail(
                "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
            );
        }
        if others {
            return fail("at most one of basic_auth, oauth2 & authorization must be configured");
        }
        Ok(())
    }
}

/// A header's name as HTTP libraries spell it: `x-amz-date` becomes `X-Amz-Date`.
fn canonical_header(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|c| {
            let c = if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            upper = c == '-';
            c
        })
        .collect()
}

impl BasicAuth {
    fn validate(&self) -> Result<(), String> {
        if several(&[
            !self.username.is_empty(),
            !self.username_file.is_empty(),
            !self.username_ref.is_empty(),
        ]) {
            return fail(
                "at most one of basic_auth username, username_file & username_ref must be \
                 configured",
            );
        }
        if several(&[
            !self.password.is_empty(),
            !self.password_file.is_empty(),
            !self.password_ref.is_empty(),
        ]) {
            return fail(
                "at most one of basic_auth password, password_file & password_ref must be \
                 configured",
            );
        }
        Ok(())
    }
}

impl OAuth2 {
    fn validate_proxy(&mut self) -> Result<(), String> {
        self.proxy.validate()
    }

    fn validate(&self) -> Result<(), String> {
        if self.client_id.is_empty() {
            return fail("oauth2 client_id must be configured");
        }
        if self.token_url.is_empty() {
            return fail("oauth2 token_url must be configured");
        }
        if self.grant_type == GRANT_TYPE_JWT_BEARER {
            if several(&[
                !self.client_certificate_key.is_empty(),
                !self.client_certificate_key_file.is_empty(),
                !self.client_certificate_key_ref.is_empty(),
            ]) {
                return fail(
                    "at most one of oauth2 client_certificate_key, client_certificate_key_file & \
                     client_certificate_key_ref must be configured using \
                     grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
                );
            }
            if !matches!(self.signature_algorithm.as_str(), "" | "RS256" | "RS384" | "RS512") {
                return fail("valid signature algorithms are RS256, RS384 and RS512");
            }
        } else if several(&[
            !self.client_secret.is_empty(),
            !self.client_secret_file.is_empty(),
            !self.client_secret_ref.is_empty(),
        ]) {
            return fail(
                "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must \
                 be configured using grant-type=client_credentials",
            );
        }
        Ok(())
    }
}

impl TlsConfig {
    fn validate(&mut self) -> Result<(), String> {
        let ca = [!self.ca.is_empty(), !self.ca_file.is_empty(), !self.ca_ref.is_empty()];
        let cert = [!self.cert.is_empty(), !self.cert_file.is_empty(), !self.cert_ref.is_empty()];
        let key = [!self.key.is_empty(), !self.key_file.is_empty(), !self.key_ref.is_empty()];
        if several(&ca) {
            return fail("at most one of ca, ca_file & ca_ref must be configured");
        }
        if several(&cert) {
            return fail("at most one of cert, cert_file & cert_ref must be configured");
        }
        if several(&key) {
            return fail("at most one of key and key_file must be configured");
        }
        match (cert.contains(&true), key.contains(&true)) {
            (true, false) => fail(
                "exactly one of key or key_file must be configured when a client certificate is \
                 configured",
            ),
            (false, true) => fail(
                "exactly one of cert or cert_file must be configured when a client key is \
                 configured",
            ),
            _ => Ok(()),
        }
    }
}

impl ProxyConfig {
    fn validate(&self) -> Result<(), String> {
        let url = self.proxy_url.as_ref().is_some_and(|url| !url.as_str().is_empty());
        if !self.proxy_connect_header.is_empty() && !self.proxy_from_environment && !url {
            return fail(
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must \
                 also be configured",
            );
        }
        if self.proxy_from_environment && url {
            return fail(
                "if proxy_from_environment is configured, proxy_url must not be configured",
            );
        }
        if self.proxy_from_environment && !self.no_proxy.is_empty() {
            return fail(
                "if proxy_from_environment is configured, no_proxy must not be configured",
            );
        }
        if self.proxy_url.is_none() && !self.no_proxy.is_empty() {
            return fail("if no_proxy is configured, proxy_url must also be configured");
        }
        Ok(())
    }
}

impl SigV4Config {
    fn validate(&mut self) -> Result<(), String> {
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return fail(
                "must provide a AWS SigV4 Access key and Secret Key if credentials are specified \
                 in the SigV4 config",
            );
        }
        if !self.external_id.is_empty() && self.role_arn.is_empty() {
            return fail("external_id can only be used with role_arn");
        }
        Ok(())
    }
}
