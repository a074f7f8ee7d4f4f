//! Providers of AWS: machines (`ec2`, `lightsail`), containers (`ecs`), caches (`elasticache`), brokers
//! (`msk`) and databases (`rds`) of one region.
//!
//! ```text
//! credentials   who asks
//! signer        signatures for others than discovery
//! here          requests in the three forms that the services take: Query, JSON, REST
//! ```
//!
//! A service is asked one request at a time, whatever `request_concurrency` says: that stays below
//! every limit of AWS.
//!
//! Source: Prometheus `discovery/aws`; AWS's API references.

mod credentials;
mod ec2;
mod ecs;
mod elasticache;
mod lightsail;
mod msk;
mod rds;
mod rds_fields;
mod signer;

use serde_json::Value;
use shards::runtime;

pub use ec2::refresh as ec2;
pub use ecs::refresh as ecs;
pub use elasticache::refresh as elasticache;
pub use lightsail::refresh as lightsail;
pub use msk::refresh as msk;
pub use rds::refresh as rds;
pub use signer::Signer;

use self::credentials::{credentials, region};
use super::api::{Api, Request, query};
use super::xml::{self, Element};
use crate::http::sigv4::{Credentials, Scope, sign_request};
use crate::http::url::Url;

/// Signs a request, its headers included.
pub fn sign(
    mut request: Request,
    credentials: &Credentials,
    service: &str,
    region: &str,
) -> Result<Request, String> {
    let url = Url::parse(&request.url)?;
    let own: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let scope = Scope { service, region, now_seconds: runtime::unix_ms() / 1000 };
    let method = request.method.as_str();
    let added = sign_request(credentials, &scope, method, &url, &own, &request.body);
    request.headers.extend(added);
    Ok(request)
}

/// What all sections say about whom to ask, and as whom.
#[derive(Default)]
pub struct Access<'a> {
    pub region: &'a str,
    pub endpoint: &'a str,
    pub access_key: &'a str,
    pub secret_key: &'a str,
    pub profile: &'a str,
    pub role_arn: &'a str,
    pub external_id: &'a str,
}

/// [`Access`] of a section.
macro_rules! access {
    ($config:expr) => {
        $crate::discovery::aws::Access {
            region: &$config.region,
            endpoint: &$config.endpoint,
            access_key: &$config.access_key,
            secret_key: $config.secret_key.reveal(),
            profile: &$config.profile,
            role_arn: &$config.role_arn,
            external_id: &$config.external_id,
        }
    };
}
use access;

/// The servers that no section tells.
pub struct Places {
    /// Where a machine of AWS asks about itself.
    metadata: String,
    /// Instead of those of the region.
    sts: Option<String>,
    ec2: Option<String>,
}

impl Default for Places {
    fn default() -> Places {
        Places { metadata: "http://169.254.169.254".to_owned(), sts: None, ec2: None }
    }
}

/// The address of a service in a region.
fn host(service: &str, region: &str) -> String {
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://{service}.{region}.amazonaws.com{china}/")
}

/// A service of one region.
struct Service<'a> {
    api: &'a mut Api,
    /// As signatures name it.
    name: &'static str,
    region: String,
    credentials: Credentials,
    /// With a slash at its end.
    url: String,
    ec2: Option<String>,
}

impl<'a> Service<'a> {
    async fn new(
        name: &'static str,
        access: &Access<'_>,
        api: &'a mut Api,
        places: &Places,
    ) -> Result<Service<'a>, String> {
        let region = region(access, api, &places.metadata).await?;
        let credentials = credentials(access, &region, api, places).await?;
        let url = match access.endpoint {
            "" => host(name, &region),
            endpoint if endpoint.contains("://") => format!("{}/", endpoint.trim_end_matches('/')),
            endpoint => format!("https://{}/", endpoint.trim_end_matches('/')),
        };
        Ok(Service { api, name, region, credentials, url, ec2: places.ec2.clone() })
    }

    /// The same access to EC2, whose address the section does not tell.
    fn ec2(&mut self) -> Service<'_> {
        let url = self.ec2.clone().unwrap_or_else(|| host("ec2", &self.region));
        let (region, credentials) = (self.region.clone(), self.credentials.clone());
        Service { api: self.api, name: "ec2", region, credentials, url, ec2: None }
    }

    async fn send(&mut self, request: Request) -> Result<Vec<u8>, String> {
        let signed = sign(request, &self.credentials, self.name, &self.region)?;
        match self.api.send(signed).await {
            Ok(reply) => Ok(reply.body),
            Err(why) => {
                // Keys that were kept may be what is refused.
                self.api.memory.forget("credentials");
                Err(why)
            }
        }
    }

    /// The Query API: a form in, XML out.
    async fn query(
        &mut self,
        version: &str,
        action: &str,
        parameters: &[(String, String)],
    ) -> Result<Element, String> {
        let mut form = vec![("Action", action), ("Version", version)];
        form.extend(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let form = query(form).replace('+', "%20");
        let form = form.strip_prefix('?').unwrap_or("");
        let content_type = "application/x-www-form-urlencoded; charset=utf-8";
        let body = self.send(Request::post(&self.url, content_type, form)).await?;
        xml::parse(&String::from_utf8_lossy(&body))
    }

    /// The JSON protocol: `target` names the action.
    async fn json(&mut self, target: &str, body: &Value) -> Result<Value, String> {
        let content_type = "application/x-amz-json-1.1";
        let request = Request::post(&self.url, content_type, body.to_string());
        let answer = self.send(request.with("x-amz-target", target)).await?;
        super::api::parse(&answer)
    }

    async fn get(&mut self, path: &str, pairs: &[(&str, &str)]) -> Result<Value, String> {
        let asked = query(pairs.iter().copied()).replace('+', "%20");
        let answer = self.send(Request::get(format!("{}{path}{asked}", self.url))).await?;
        super::api::parse(&answer)
    }
}

/// `name=value` as parameters of the Query API.
fn parameters<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A time without the fraction of its second.
fn whole_seconds(time: &str) -> String {
    match (time.split_once('.'), time.ends_with('Z')) {
        (Some((whole, _)), true) => format!("{whole}Z"),
        _ => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_times() {
        assert_eq!(host("ec2", "eu-west-1"), "https://ec2.eu-west-1.amazonaws.com/");
        assert_eq!(host("rds", "cn-north-1"), "https://rds.cn-north-1.amazonaws.com.cn/");
        assert_eq!(whole_seconds("2024-01-02T03:04:05.678Z"), "2024-01-02T03:04:05Z");
        assert_eq!(whole_seconds("2024-01-02T03:04:05Z"), "2024-01-02T03:04:05Z");
    }
}
