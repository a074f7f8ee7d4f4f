//! Signs requests of others than discovery, as a `sigv4` section says.
//!
//! Source: prometheus/sigv4 `sigv4.go`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::credentials::{credentials, region};
use super::{Access, Places, host};
use crate::config::SigV4Config;
use crate::discovery::api::Api;
use crate::http::sigv4::{Credentials, sign};
use crate::http::url::Url;

/// How long credentials and region are kept; a machine's role is renewed hours before it ends.
const KEPT: Duration = Duration::from_secs(300);

/// Longest question for credentials.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Managed Service for Prometheus.
const SERVICE: &str = "aps";

pub struct Signer {
    config: SigV4Config,
    known: Option<(Instant, Credentials, String)>,
}

impl Signer {
    pub fn new(config: &SigV4Config) -> Signer {
        Signer { config: config.clone(), known: None }
    }

    /// Headers, `content-type` among them, that make a POST of `body` a signed one.
    pub async fn headers(
        &mut self,
        url: &Url,
        content_type: &str,
        body: &[u8],
        now_seconds: i64,
    ) -> Result<HeaderMap, String> {
        if self.known.as_ref().is_none_or(|(since, ..)| since.elapsed() > KEPT) {
            let (config, mut api) = (&self.config, Api::plain(TIMEOUT));
            let access = Access {
                region: &config.region,
                endpoint: "",
                access_key: &config.access_key,
                secret_key: config.secret_key.reveal(),
                profile: &config.profile,
                role_arn: &config.role_arn,
                external_id: &config.external_id,
            };
            let mut places = Places::default();
            let region = region(&access, &mut api, &places.metadata).await.map_err(|_| {
                "region not configured in sigv4 or in default credentials chain".to_owned()
            })?;
            if config.use_fips_sts_endpoint {
                places.sts = Some(host("sts-fips", &region));
            }
            let found = credentials(&access, &region, &mut api, &places).await;
            let found = found.map_err(|why| format!("could not get SigV4 credentials: {why}"))?;
            self.known = Some((Instant::now(), found, region));
        }
        let mut headers = HeaderMap::new();
        if let Some((_, credentials, region)) = &self.known {
            let service = match self.config.service_name.as_str() {
                "" => SERVICE,
                service => service,
            };
            let signed = sign(credentials, url, service, region, content_type, body, now_seconds);
            for (name, value) in signed {
                let value = HeaderValue::from_str(&value)
                    .map_err(|_| format!("{name}: the value does not fit into a header"))?;
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        Ok(headers)
    }
}
