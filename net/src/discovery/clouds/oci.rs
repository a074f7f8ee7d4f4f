//! `oci_sd_configs`: instances of Oracle Cloud Infrastructure, in all compartments below a tenancy or
//! those that are named.
//!
//! Requests are signed with the key of a user. Not here: instance principals, which need a key made
//! anew for every session, and keys under a passphrase.
//!
//! Source: Prometheus `discovery/oci/oci.go`; Oracle's documentation of request signatures.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use engine::model::Labels;
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::Value;
use shards::runtime;

use crate::config::OciSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{
    Api, Meta, Reply, Request, host_port, items, joined, one_group, query, secret, segment, text,
    texts,
};
use crate::http::encoding::base64;
use crate::http::jwt::rsa_signature;
use crate::http::url::Url;
use crate::log_warn;

/// After this many requests at once, each waits for its turn.
const BURST_COUNT: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Regions of other realms than the commercial one, whose names end differently.
const REALMS: &[(&[&str], &str)] = &[
    (&["us-langley-1", "us-luke-1"], "oraclegovcloud.com"),
    (&["us-gov-ashburn-1", "us-gov-chicago-1", "us-gov-phoenix-1"], "oraclegovcloud.com"),
    (&["uk-gov-london-1", "uk-gov-cardiff-1"], "oraclegovcloud.uk"),
];

/// The servers that are spoken to.
pub struct Places {
    identity: String,
    /// Machines and networks.
    core: String,
}

impl Places {
    pub fn of(region: &str) -> Places {
        let realm = REALMS.iter().find(|(regions, _)| regions.contains(&region));
        let domain = realm.map_or("oraclecloud.com", |(_, domain)| domain);
        Places {
            identity: format!("https://identity.{region}.oci.{domain}/20160918"),
            core: format!("https://iaas.{region}.{domain}/20160918"),
        }
    }
}

pub async fn refresh(
    config: &OciSdConfig,
    api: &mut Api,
    places: &Places,
) -> Result<Vec<TargetGroup>, String> {
    let mut cloud = Cloud { config, api, places, key: key(config)?, request_count: 0 };
    let compartments = match config.compartments.is_empty() {
        true => cloud.compartments().await?,
        false => config.compartments.clone(),
    };
    let mut targets = vec![];
    for compartment in compartments {
        let pairs = [("compartmentId", compartment.as_str()), ("limit", "100")];
        let url = format!("{}/instances", places.core);
        let instances = cloud.list(&url, &pairs).await.map_err(|failure| {
            format!("listing OCI instances in compartment {compartment}: {}", failure.why)
        })?;
        for instance in &instances {
            match cloud.interface(instance).await {
                Ok(interface) => targets.extend(target(config, instance, &interface)),
                // Half of the targets are worse than those of before.
                Err(failure) if failure.is_passing => return Err(failure.why),
                Err(failure) => {
                    let id = text(&instance["id"]);
                    let what = "OCI SD failed to resolve VNIC IPs, skipping instance";
                    log_warn!(what, "instance_id" = id, "err" = failure.why);
                }
            }
        }
    }
    Ok(one_group("OCI", targets))
}

/// The key of the user, as PEM.
fn key(config: &OciSdConfig) -> Result<String, String> {
    if config.auth != "api_key" {
        return Err(format!("oci_sd: auth {} is not supported", config.auth));
    }
    let key = secret("", &config.key_file, "OCI key")?;
    let has_phrase = !config.key_passphrase.is_empty() || !config.key_passphrase_file.is_empty();
    if has_phrase || key.contains("ENCRYPTED") {
        return Err("oci_sd: a key_file under a passphrase is not supported".to_owned());
    }
    Ok(key)
}

struct Failure {
    why: String,
    /// The same request may succeed later: the API is not reached, or overloaded.
    is_passing: bool,
}

struct Cloud<'a> {
    config: &'a OciSdConfig,
    api: &'a mut Api,
    places: &'a Places,
    key: String,
    request_count: u32,
}

impl Cloud<'_> {
    async fn get(&mut self, url: &str) -> Result<Reply, Failure> {
        self.request_count += 1;
        if self.request_count > BURST_COUNT {
            tokio::time::sleep(PAUSE).await;
        }
        let signed = sign(self.config, &self.key, url, runtime::unix_ms() / 1000);
        let request = signed.map_err(|why| Failure { why, is_passing: false })?;
        let reply = self.api.exchange(request).await;
        let reply = reply.map_err(|why| Failure { why, is_passing: true })?;
        let is_passing = reply.status == 429 || reply.status >= 500;
        reply.accepted().map_err(|why| Failure { why, is_passing })
    }

    /// All pages of a list.
    async fn list(&mut self, url: &str, pairs: &[(&str, &str)]) -> Result<Vec<Value>, Failure> {
        let (mut all, mut page) = (vec![], String::new());
        loop {
            let mut pairs = pairs.to_vec();
            if !page.is_empty() {
                pairs.push(("page", &page));
            }
            let reply = self.get(&format!("{url}{}", query(pairs))).await?;
            let found = reply.json().map_err(|why| Failure { why, is_passing: true })?;
            all.extend_from_slice(items(&found));
            page = reply.header("opc-next-page").to_owned();
            if page.is_empty() {
                return Ok(all);
            }
        }
    }

    /// The tenancy and all that is below it, level by level. What cannot be listed is left out.
    async fn compartments(&mut self) -> Result<Vec<String>, String> {
        let url = format!("{}/compartments", self.places.identity);
        let (mut all, mut seen) = (vec![], BTreeSet::new());
        let mut queue = VecDeque::from([self.config.tenancy.clone()]);
        while let Some(current) = queue.pop_front() {
            if !seen.insert(current.clone()) {
                continue;
            }
            let pairs = [
                ("compartmentId", current.as_str()),
                ("accessLevel", "ACCESSIBLE"),
                ("compartmentIdInSubtree", "false"),
                ("limit", "100"),
            ];
            match self.list(&url, &pairs).await {
                Ok(found) => {
                    let active = found.iter().filter(|found| found["lifecycleState"] == "ACTIVE");
                    queue
                        .extend(active.map(|found| text(&found["id"])).filter(|id| !id.is_empty()));
                }
                Err(failure) if failure.is_passing => {
                    return Err(format!("oci_sd: failed to list compartments: {}", failure.why));
                }
                Err(failure) => {
                    let what = "OCI SD failed to list child compartments, skipping subtree";
                    log_warn!(what, "compartment_id" = current, "err" = failure.why);
                }
            }
            all.push(current);
        }
        Ok(all)
    }

    /// The primary interface; null if there is none.
    async fn interface(&mut self, instance: &Value) -> Result<Value, Failure> {
        let (id, compartment) = (text(&instance["id"]), text(&instance["compartmentId"]));
        let pairs =
            [("compartmentId", compartment.as_str()), ("instanceId", &id), ("limit", "100")];
        let attachments =
            self.list(&format!("{}/vnicAttachments", self.places.core), &pairs).await?;
        for attachment in attachments.iter().filter(|a| a["lifecycleState"] == "ATTACHED") {
            let Some(id) = attachment["vnicId"].as_str() else { continue };
            let reply = self.get(&format!("{}/vnics/{}", self.places.core, segment(id))).await?;
            let interface = reply.json().map_err(|why| Failure { why, is_passing: true })?;
            if interface["isPrimary"] == true {
                return Ok(interface);
            }
        }
        Ok(Value::Null)
    }
}

/// A GET of `url` with its signature.
fn sign(config: &OciSdConfig, key: &str, url: &str, now_seconds: i64) -> Result<Request, String> {
    let place = Url::parse(url)?;
    let time = jiff::Timestamp::from_second(now_seconds).unwrap_or_default();
    let date = time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let target = place.path_and_query();
    let text = format!("date: {date}\n(request-target): get {target}\nhost: {}", place.authority);
    let signature = base64(&rsa_signature(key, &RSA_PKCS1_SHA256, text.as_bytes())?);
    let (tenancy, user, print) = (&config.tenancy, &config.user, &config.fingerprint);
    let authorization = format!(
        "Signature version=\"1\",headers=\"date (request-target) host\",\
         keyId=\"{tenancy}/{user}/{print}\",algorithm=\"rsa-sha256\",signature=\"{signature}\""
    );
    Ok(Request::get(url).with("date", date).with("authorization", authorization))
}

/// None for a machine without an address.
fn target(config: &OciSdConfig, instance: &Value, interface: &Value) -> Option<Labels> {
    let mut ipv6: Vec<String> = texts(&interface["ipv6Addresses"]).collect();
    ipv6.sort();
    let own = [text(&interface["privateIp"]), text(&interface["publicIp"])];
    let address = own.iter().chain(&ipv6).find(|ip| !ip.is_empty())?;
    let mut meta = Meta::new("__meta_oci_");
    meta.address(host_port(address, config.port))
        .set("tenancy_id", &config.tenancy)
        .set("ipv6_addresses", if ipv6.is_empty() { String::new() } else { joined(&ipv6, ",") })
        .copy(
            instance,
            &[
                ("instance_id", "id"),
                ("instance_name", "displayName"),
                ("instance_state", "lifecycleState"),
                ("instance_shape", "shape"),
                ("availability_domain", "availabilityDomain"),
                ("fault_domain", "faultDomain"),
                ("region", "region"),
                ("compartment_id", "compartmentId"),
                ("image_id", "imageId"),
            ],
        )
        .copy(
            interface,
            &[
                ("vnic_id", "id"),
                ("private_ip", "privateIp"),
                ("public_ip", "publicIp"),
                ("hostname_label", "hostnameLabel"),
            ],
        )
        .set_all("tag_", &instance["freeformTags"]);
    for (namespace, tags) in instance["definedTags"].as_object().into_iter().flatten() {
        let namespace = crate::discovery::api::meta::sanitized(namespace);
        meta.set_all(&format!("defined_tag_{namespace}_"), tags);
    }
    Some(meta.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::{check_provider, section};

    const KEY_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/client/rsa_test_key.pem");

    fn text_of(more: &str) -> String {
        format!("{{tenancy: T, user: U, fingerprint: F, key_file: {KEY_FILE}, region: r{more}}}")
    }

    async fn refresh_at(
        config: &OciSdConfig,
        api: &mut Api,
        base: &str,
    ) -> Result<Vec<TargetGroup>, String> {
        let places = Places { identity: format!("{base}/id"), core: format!("{base}/core") };
        refresh(config, api, &places).await
    }

    #[test]
    fn places() {
        let of = |region| Places::of(region).core;
        assert_eq!(of("eu-frankfurt-1"), "https://iaas.eu-frankfurt-1.oraclecloud.com/20160918");
        assert_eq!(of("us-luke-1"), "https://iaas.us-luke-1.oraclegovcloud.com/20160918");
    }

    #[test]
    fn instances() {
        check_provider(
            &text_of(""),
            &[
                (
                    "GET /id/compartments?compartmentId=T&accessLevel=ACCESSIBLE\
                     &compartmentIdInSubtree=false&limit=100\nauthorization: Signature version=\"1\",\
                     headers=\"date (request-target) host\",keyId=\"T/U/F\",algorithm=\"rsa-sha256\",",
                    r#"[{"id":"c","lifecycleState":"ACTIVE"},{"id":"d","lifecycleState":"DELETED"}]"#,
                ),
                (
                    "GET /id/compartments?compartmentId=c&accessLevel=ACCESSIBLE\
                     &compartmentIdInSubtree=false&limit=100",
                    "404\n{}",
                ),
                ("GET /core/instances?compartmentId=T&limit=100", "200 opc-next-page: p\n[]"),
                ("GET /core/instances?compartmentId=T&limit=100&page=p", "[]"),
                (
                    "GET /core/instances?compartmentId=c&limit=100",
                    r#"[{"id":"i","compartmentId":"c","displayName":"n","lifecycleState":"RUNNING",
                    "shape":"VM","availabilityDomain":"AD-1","faultDomain":"FD-1","region":"r",
                    "imageId":"img","freeformTags":{"a-b":"c"},"definedTags":{"Ope-ra":{"cost":1.5,
                    "on":true,"list":[1]}}}]"#,
                ),
                (
                    "GET /core/vnicAttachments?compartmentId=c&instanceId=i&limit=100",
                    r#"[{"vnicId":"v1","lifecycleState":"ATTACHED"},{"vnicId":"gone",
                    "lifecycleState":"DETACHED"},{"vnicId":"v2","lifecycleState":"ATTACHED"}]"#,
                ),
                ("GET /core/vnics/v1", r#"{"id":"v1","isPrimary":false}"#),
                (
                    "GET /core/vnics/v2",
                    r#"{"id":"v2","isPrimary":true,"privateIp":"10.0.0.1","publicIp":"5.5.5.5",
                    "hostnameLabel":"h","ipv6Addresses":["2001::2","2001::1"]}"#,
                ),
            ],
            refresh_at,
            r#"
OCI {}
  {__address__="10.0.0.1:80", __meta_oci_availability_domain="AD-1", __meta_oci_compartment_id="c", __meta_oci_defined_tag_Ope_ra_cost="1.5", __meta_oci_defined_tag_Ope_ra_on="true", __meta_oci_fault_domain="FD-1", __meta_oci_hostname_label="h", __meta_oci_image_id="img", __meta_oci_instance_id="i", __meta_oci_instance_name="n", __meta_oci_instance_shape="VM", __meta_oci_instance_state="RUNNING", __meta_oci_ipv6_addresses=",2001::1,2001::2,", __meta_oci_private_ip="10.0.0.1", __meta_oci_public_ip="5.5.5.5", __meta_oci_region="r", __meta_oci_tag_a_b="c", __meta_oci_tenancy_id="T", __meta_oci_vnic_id="v2"}"#,
        );
    }

    #[test]
    fn an_overloaded_api_changes_nothing() {
        let instances = r#"[{"id":"i","compartmentId":"c"}]"#;
        let asked = "GET /core/instances?compartmentId=c&limit=100";
        let attachments = "GET /core/vnicAttachments?compartmentId=c&instanceId=i&limit=100";
        let text = text_of(", compartments: [c]");
        check_provider(
            &text,
            &[(asked, instances), (attachments, "429\nslow")],
            refresh_at,
            "server returned HTTP status 429 Too Many Requests: slow",
        );
        check_provider(&text, &[(asked, instances), (attachments, "404")], refresh_at, "OCI {}");
    }

    #[test]
    fn the_signature_is_of_the_request() {
        let config: OciSdConfig = section(&text_of(""));
        let key = key(&config).unwrap();
        let request = sign(&config, &key, "https://h/p?q=1", 0).unwrap();
        assert_eq!(request.headers[0].1, "Thu, 01 Jan 1970 00:00:00 GMT");
        let text = b"date: Thu, 01 Jan 1970 00:00:00 GMT\n(request-target): get /p?q=1\nhost: h";
        let signature = base64(&rsa_signature(&key, &RSA_PKCS1_SHA256, text).unwrap());
        assert!(request.headers[1].1.ends_with(&format!("signature=\"{signature}\"")));
    }
}
