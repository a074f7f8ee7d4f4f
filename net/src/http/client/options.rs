//! What a configuration says about requests, made ready: credentials, headers, TLS.
//!
//! Shared by all clients of a job. What stands in files is read for every request, so that a
//! renewed certificate or token counts at once; a file that did not change changes nothing.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue};
use shards::runtime;

use crate::config::{HttpClientConfig, ProxyConfig, TlsConfig};
use crate::http::encoding::base64;
use crate::http::tls::client::{Identity, client_config, versions};

use super::dials::{self, DialStats};
use super::oauth2::TokenSource;
use super::proxy::Proxies;

pub struct ClientOptions {
    config: HttpClientConfig,
    pub(super) proxies: Proxies,
    /// None where nothing stands in a file.
    fixed: Option<Arc<Material>>,
    tls: Mutex<Option<(Identity, Tls)>>,
    tokens: Option<TokenSource>,
    /// None where connections are not counted.
    dials: Option<Arc<DialStats>>,
}

pub(super) type Tls = Arc<rustls::ClientConfig>;

/// What requests carry, as it is now.
#[derive(Debug, Default)]
pub(super) struct Material {
    pub authorization: Option<HeaderValue>,
    pub headers: HeaderMap,
    identity: Identity,
}

/// Headers that stay with the host they were meant for when a redirect leads to another.
pub(super) const SENSITIVE: [&str; 6] = [
    "authorization",
    "www-authenticate",
    "cookie",
    "cookie2",
    "proxy-authorization",
    "proxy-authenticate",
];

impl ClientOptions {
    /// Errors: what no request could ever satisfy: a secret that nobody keeps, TLS versions that
    /// are not there, a proxy of an unknown kind. What stands in files is judged when it is used.
    ///
    /// Connections are counted under `name`.
    pub fn new(name: &str, config: &HttpClientConfig) -> Result<Arc<ClientOptions>, String> {
        Self::counted(config, Some(dials::of(name)))
    }

    fn counted(
        config: &HttpClientConfig,
        dials: Option<Arc<DialStats>>,
    ) -> Result<Arc<ClientOptions>, String> {
        refuse_references(config)?;
        versions(&config.tls_config.min_version.0, &config.tls_config.max_version.0)?;
        let tokens = config.oauth2.as_ref().map(TokenSource::new).transpose()?;
        let fixed = if has_files(config) { None } else { Some(Arc::new(Material::read(config)?)) };
        Ok(Arc::new(ClientOptions {
            proxies: Proxies::new(&config.proxy)?,
            config: config.clone(),
            fixed,
            tls: Mutex::new(None),
            tokens,
            dials,
        }))
    }

    /// No credentials, no proxy, the system's roots.
    pub fn plain() -> Arc<ClientOptions> {
        Arc::new(ClientOptions {
            config: HttpClientConfig { follow_redirects: true, ..HttpClientConfig::default() },
            proxies: Proxies::default(),
            fixed: Some(Arc::default()),
            tls: Mutex::new(None),
            tokens: None,
            dials: None,
        })
    }

    pub(super) fn follows_redirects(&self) -> bool {
        self.config.follow_redirects
    }

    /// What counts connections.
    pub(super) fn dials(&self) -> Option<&Arc<DialStats>> {
        self.dials.as_ref()
    }

    pub(super) fn server_name(&self) -> &str {
        &self.config.tls_config.server_name
    }

    pub(super) async fn material(&self) -> Result<Arc<Material>, String> {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        let config = self.config.clone();
        runtime::blocking(move || Material::read(&config)).await.map(Arc::new)
    }

    /// The `Authorization` header of requests to the host that was asked for first.
    pub(super) async fn authorization(
        &self,
        material: &Material,
    ) -> Result<Option<HeaderValue>, String> {
        match &self.tokens {
            // The source has a client of its own, which has no source.
            Some(tokens) => Box::pin(tokens.authorization()).await.map(Some),
            None => Ok(material.authorization.clone()),
        }
    }

    /// The same object as before unless certificates or key changed: connections of a former one
    /// are not used again.
    pub(super) fn tls(&self, material: &Material) -> Result<Tls, String> {
        let mut cached = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((identity, tls)) = &*cached
            && *identity == material.identity
        {
            return Ok(tls.clone());
        }
        let config = &self.config;
        let tls = client_config(&config.tls_config, &material.identity, config.enable_http2)?;
        *cached = Some((material.identity.clone(), tls.clone()));
        Ok(tls)
    }
}

impl Material {
    fn read(config: &HttpClientConfig) -> Result<Material, String> {
        let mut material = Material { identity: identity(&config.tls_config)?, ..Self::default() };
        for (name, header) in config.http_headers.iter().flatten() {
            let bad = |what: &str| format!("invalid header {what} {name:?}");
            let name: HeaderName = name.parse().map_err(|_| bad("name"))?;
            let texts = header.values.iter().map(String::as_str);
            let mut values: Vec<String> =
                texts.chain(header.secrets.iter().map(|s| s.reveal())).map(str::to_owned).collect();
            for file in &header.files {
                values.push(secret("", file, "headers")?);
            }
            for value in values {
                let value = HeaderValue::from_str(&value).map_err(|_| bad("value of"))?;
                material.headers.append(&name, value);
            }
        }
        let authorization = if let Some(basic) = &config.basic_auth {
            let user = secret(&basic.username, &basic.username_file, "basic auth username")?;
            let password =
                secret(basic.password.reveal(), &basic.password_file, "basic auth password")?;
            Some(basic_authorization(&user, &password))
        } else if let Some(authorization) = &config.authorization {
            let credentials = secret(
                authorization.credentials.reveal(),
                &authorization.credentials_file,
                "authorization credentials",
            )?;
            Some(format!("{} {credentials}", authorization.kind))
        } else {
            None
        };
        if let Some(authorization) = authorization {
            let value = HeaderValue::from_str(&authorization);
            let mut value = value.map_err(|_| "credentials do not fit into a header".to_owned())?;
            value.set_sensitive(true);
            material.authorization = Some(value);
        }
        Ok(material)
    }
}

pub(super) fn basic_authorization(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

/// The text in the configuration, or that of the file it names, blanks at the ends cut off.
pub(super) fn secret(text: &str, file: &str, what: &str) -> Result<String, String> {
    if !text.is_empty() || file.is_empty() {
        return Ok(text.to_owned());
    }
    let read = fs::read_to_string(file);
    read.map(|text| text.trim().to_owned())
        .map_err(|error| format!("unable to read {what}: unable to read file {file}: {error}"))
}

fn identity(config: &TlsConfig) -> Result<Identity, String> {
    let part = |text: &str, file: &str, what| secret(text, file, what).map(String::into_bytes);
    Ok(Identity {
        ca: part(&config.ca, &config.ca_file, "CA cert")?,
        cert: part(&config.cert, &config.cert_file, "specified client cert")?,
        key: part(config.key.reveal(), &config.key_file, "specified client key")?,
    })
}

/// Every file that a request may need, empty ones too.
fn files(config: &HttpClientConfig) -> Vec<&str> {
    let tls = &config.tls_config;
    let mut files: Vec<&str> = vec![&tls.ca_file, &tls.cert_file, &tls.key_file];
    if let Some(basic) = &config.basic_auth {
        files.extend([&*basic.username_file, &*basic.password_file]);
    }
    if let Some(authorization) = &config.authorization {
        files.push(&authorization.credentials_file);
    }
    let headers = config.http_headers.iter().flat_map(|headers| headers.values());
    files.extend(headers.flat_map(|header| header.files.iter().map(|file| &**file)));
    files
}

fn has_files(config: &HttpClientConfig) -> bool {
    files(config).iter().any(|file| !file.is_empty())
}

/// References name secrets of a manager, and there is none, as in Prometheus.
fn refuse_references(config: &HttpClientConfig) -> Result<(), String> {
    let basic = config.basic_auth.as_ref();
    let oauth2 = config.oauth2.as_ref();
    let tls = &config.tls_config;
    let references: [(&str, Option<&str>); 8] = [
        ("credentials", config.authorization.as_ref().map(|a| &*a.credentials_ref)),
        ("username", basic.map(|basic| &*basic.username_ref)),
        ("password", basic.map(|basic| &*basic.password_ref)),
        ("client secret", oauth2.map(|oauth2| &*oauth2.client_secret_ref)),
        ("client certificate", oauth2.map(|oauth2| &*oauth2.client_certificate_key_ref)),
        ("CA cert", Some(&tls.ca_ref)),
        ("client cert", Some(&tls.cert_ref)),
        ("client key", Some(&tls.key_ref)),
    ];
    match references.iter().find(|(_, reference)| reference.is_some_and(|r| !r.is_empty())) {
        Some((what, _)) => {
            Err(format!("unable to use {what}: cannot use secret ref without manager"))
        }
        None => Ok(()),
    }
}

/// The options of whoever needs TLS and a proxy only.
pub(super) fn for_tls(tls: &TlsConfig, proxy: &ProxyConfig) -> Result<Arc<ClientOptions>, String> {
    let config = HttpClientConfig {
        tls_config: tls.clone(),
        proxy: proxy.clone(),
        follow_redirects: true,
        ..HttpClientConfig::default()
    };
    ClientOptions::counted(&config, None)
}
