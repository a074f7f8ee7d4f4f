//! `oci_sd_configs`: instances of Oracle Cloud Infrastructure, in all compartments below a tenancy or
//! those that are named.
//!
//! Requests are signed with the key of a user, which may be under a passphrase, or with that of the
//! machine's session.
//!
//! ```text
//! here        compartments, instances, interfaces; signatures
//! regions     which servers a region has
//! principal   what a machine may do by itself
//! session     the key it makes for that
//! ```
//!
//! Source: Prometheus `discovery/oci/oci.go`; Oracle's documentation of request signatures.

mod principal;
mod regions;
mod session;

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
use crate::http::tls::locked_key::unlocked;
use crate::http::url::Url;
use crate::log_warn;

pub use principal::metadata_url;

/// After this many requests at once, each waits for its turn.
const BURST_COUNT: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// How often a request is made that the API is too busy for, and the longest wait between two.
const ATTEMPT_COUNT: u32 = 8;
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The servers that are spoken to.
pub struct Places {
    identity: String,
    /// Machines and networks.
    core: String,
    /// Where a machine gets tokens.
    auth: String,
    /// Before a request is made again for the first time; then twice as long each time.
    wait: Duration,
}

impl Places {
    pub fn of(region: &str) -> Places {
        let (service, identity) = match region.contains('.') {
            // The whole name of a domain.
            true => (region.to_owned(), region.to_owned()),
            false => {
                let domain = regions::domain(region);
                (format!("{region}.{domain}"), format!("{region}.oci.{domain}"))
            }
        };
        Places {
            identity: format!("https://identity.{identity}/20160918"),
            core: format!("https://iaas.{service}/20160918"),
            auth: format!("https://auth.{service}/v1/x509"),
            wait: Duration::from_secs(1),
        }
    }
}

/// Under which name and with which key requests are signed.
pub struct Signer {
    key_id: String,
    key_pem: String,
}

pub async fn refresh(
    config: &OciSdConfig,
    api: &mut Api,
    metadata: &str,
    places: &dyn Fn(&str) -> Places,
) -> Result<Vec<TargetGroup>, String> {
    let session = match &*config.auth {
        // A machine's region is what it says itself, whatever the section says.
        "instance_principal" => principal::session(api, metadata, places).await?,
        _ => principal::Session {
            region: regions::region(&config.region),
            tenancy: config.tenancy.clone(),
            signer: user(config).await?,
        },
    };
    let places = places(&session.region);
    let mut cloud = Cloud { api, places: &places, session: &session, request_count: 0 };
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
            if instance["id"].is_null() || instance["compartmentId"].is_null() {
                let what = "OCI SD skipping instance with missing OCID fields";
                log_warn!(what, "compartment_id" = compartment);
                continue;
            }
            match cloud.interface(instance).await {
                Ok(interface) => {
                    targets.extend(target(config.port, &session.tenancy, instance, &interface));
                }
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

/// The user that the section names.
async fn user(config: &OciSdConfig) -> Result<Signer, String> {
    let key = secret("", &config.key_file, "OCI key")?;
    let (phrase, file) = (config.key_passphrase.reveal(), &config.key_passphrase_file);
    let phrase = match file.is_empty() {
        true => phrase.to_owned(),
        false => {
            let read = std::fs::read_to_string(&**file);
            let text =
                read.map_err(|error| format!("reading OCI key passphrase file {file:?}: {error}"))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    let (tenancy, user, print) = (&config.tenancy, &config.user, &config.fingerprint);
    Ok(Signer {
        key_id: format!("{tenancy}/{user}/{print}"),
        // A passphrase is stretched by many rounds of a digest.
        key_pem: runtime::blocking(move || unlocked(&key, &phrase)).await?,
    })
}

struct Failure {
    why: String,
    /// The same request may succeed later: the API is not reached, or overloaded.
    is_passing: bool,
}

struct Cloud<'a> {
    api: &'a mut Api,
    places: &'a Places,
    session: &'a principal::Session,
    request_count: u32,
}

impl Cloud<'_> {
    /// A request that the API is too busy for is made again, later and later.
    async fn get(&mut self, url: &str) -> Result<Reply, Failure> {
        let mut wait = self.places.wait;
        for _ in 1..ATTEMPT_COUNT {
            match self.attempt(url).await {
                Err(failure) if failure.is_passing => tokio::time::sleep(wait).await,
                got => return got,
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
        self.attempt(url).await
    }

    async fn attempt(&mut self, url: &str) -> Result<Reply, Failure> {
        self.request_count += 1;
        if self.request_count > BURST_COUNT {
            tokio::time::sleep(PAUSE).await;
        }
        let now_seconds = runtime::unix_ms() / 1000;
        let headers = "date (request-target) host";
        let signed = signed(Request::get(url), &self.session.signer, headers, &[], now_seconds);
        let request = signed.map_err(|why| Failure { why, is_passing: false })?;
        let reply = self.api.exchange(request).await;
        let reply = reply.map_err(|why| Failure { why, is_passing: true })?;
        if reply.status == 401 {
            principal::forget(&mut self.api.memory);
        }
        let is_passing = reply.status == 429 || (reply.status >= 500 && reply.status != 501);
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
        let mut queue = VecDeque::from([self.session.tenancy.clone()]);
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

/// A request with the signature of those headers: of `names`, which are known here, and of `body`,
/// which follow them.
fn signed(
    request: Request,
    signer: &Signer,
    names: &str,
    body: &[(&str, String)],
    now_seconds: i64,
) -> Result<Request, String> {
    let place = Url::parse(&request.url)?;
    let time = jiff::Timestamp::from_second(now_seconds).unwrap_or_default();
    let date = time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let method = request.method.as_str().to_lowercase();
    let known = names.split(' ').map(|name| match name {
        "date" => format!("date: {date}"),
        "host" => format!("host: {}", place.authority),
        _ => format!("(request-target): {method} {}", place.path_and_query()),
    });
    let lines: Vec<String> =
        known.chain(body.iter().map(|(name, value)| format!("{name}: {value}"))).collect();
    let text = lines.join("\n");
    let signature = base64(&rsa_signature(&signer.key_pem, &RSA_PKCS1_SHA256, text.as_bytes())?);
    let mut names = names.to_owned();
    for (name, _) in body {
        names.push(' ');
        names.push_str(name);
    }
    let key_id = &signer.key_id;
    let authorization = format!(
        "Signature version=\"1\",headers=\"{names}\",keyId=\"{key_id}\",\
         algorithm=\"rsa-sha256\",signature=\"{signature}\""
    );
    Ok(request.with("date", date).with("authorization", authorization))
}

/// None for a machine without an address.
fn target(port: i64, tenancy: &str, instance: &Value, interface: &Value) -> Option<Labels> {
    let mut ipv6: Vec<String> = texts(&interface["ipv6Addresses"]).collect();
    ipv6.sort();
    let own = [text(&interface["privateIp"]), text(&interface["publicIp"])];
    let address = own.iter().chain(&ipv6).find(|ip| !ip.is_empty())?;
    let mut meta = Meta::new("__meta_oci_");
    meta.address(host_port(address, port))
        .set("tenancy_id", tenancy)
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
        let places = |region: &str| Places {
            identity: format!("{base}/id"),
            core: format!("{base}/core"),
            auth: format!("{base}/{region}/v1/x509"),
            wait: Duration::ZERO,
        };
        refresh(config, api, &format!("{base}/md"), &places).await
    }

    #[test]
    fn places() {
        let check = |region, identity: &str, core: &str, auth: &str| {
            let places = Places::of(region);
            assert_eq!(places.identity, format!("https://{identity}/20160918"));
            assert_eq!(places.core, format!("https://{core}/20160918"));
            assert_eq!(places.auth, format!("https://{auth}/v1/x509"));
        };
        check(
            "us-luke-1",
            "identity.us-luke-1.oci.oraclegovcloud.com",
            "iaas.us-luke-1.oraclegovcloud.com",
            "auth.us-luke-1.oraclegovcloud.com",
        );
        check(
            "r.example.com",
            "identity.r.example.com",
            "iaas.r.example.com",
            "auth.r.example.com",
        );
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
        let instances = r#"[{"compartmentId":"c"},{"id":"i","compartmentId":"c"}]"#;
        let asked = "GET /core/instances?compartmentId=c&limit=100";
        let attachments = "GET /core/vnicAttachments?compartmentId=c&instanceId=i&limit=100";
        let text = text_of(", compartments: [c]");
        let mut exchanges = vec![(asked, instances)];
        exchanges.extend([(attachments, "429\nslow")].repeat(7));
        let mut late = exchanges.clone();
        exchanges.push((attachments, "503\nslow"));
        let refused = "server returned HTTP status 503 Service Unavailable: slow";
        check_provider(&text, &exchanges, refresh_at, refused);
        late.push((attachments, "[]"));
        check_provider(&text, &late, refresh_at, "OCI {}");
        check_provider(&text, &[(asked, instances), (attachments, "404")], refresh_at, "OCI {}");
    }

    #[test]
    fn the_signature_is_of_the_request() {
        let check = |request: Request, names: &str, body: &[(&str, String)], text: &str| {
            let key_pem = std::fs::read_to_string(KEY_FILE).unwrap();
            let signer = Signer { key_id: "K".to_owned(), key_pem };
            let request = signed(request, &signer, names, body, 0).unwrap();
            let header = |name| request.headers.iter().find(|(n, _)| *n == name).unwrap().1.clone();
            assert_eq!(header("date"), "Thu, 01 Jan 1970 00:00:00 GMT");
            let signature = rsa_signature(&signer.key_pem, &RSA_PKCS1_SHA256, text.as_bytes());
            let signature = base64(&signature.unwrap());
            let all: Vec<&str> =
                names.split(' ').chain(body.iter().map(|(name, _)| *name)).collect();
            let expected = format!(
                "Signature version=\"1\",headers=\"{}\",keyId=\"K\",algorithm=\"rsa-sha256\",\
                 signature=\"{signature}\"",
                all.join(" ")
            );
            assert_eq!(header("authorization"), expected);
        };
        let date = "date: Thu, 01 Jan 1970 00:00:00 GMT\n(request-target): ";
        check(
            Request::get("https://h/p?q=1"),
            "date (request-target) host",
            &[],
            &format!("{date}get /p?q=1\nhost: h"),
        );
        check(
            Request::post("https://h/p", "text/plain", "x"),
            "date (request-target)",
            &[("content-length", "1".to_owned()), ("x-content-sha256", "s".to_owned())],
            &format!("{date}post /p\ncontent-length: 1\nx-content-sha256: s"),
        );
    }

    #[test]
    fn a_key_under_a_passphrase() {
        let text = text_of(", key_passphrase: p");
        let config: OciSdConfig = section(&text);
        let signer = crate::http::testing::on_control(user(&config)).unwrap();
        assert_eq!(signer.key_id, "T/U/F");
        // A passphrase of a key that needs none is passed over.
        assert_eq!(signer.key_pem, std::fs::read_to_string(KEY_FILE).unwrap().trim());
    }

    /// A certificate of a machine, its key, a token that ends in a far year.
    fn machine(token_claims: &str) -> (String, String) {
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "opc-tenant:T");
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let token = format!("h.{}.s", crate::http::encoding::base64_url(token_claims.as_bytes()));
        (made.pem(), format!("{{\"token\":\"{token}\"}}"))
    }

    #[test]
    fn a_machine_gets_a_token() {
        let (certificate, token) = machine(r#"{"exp":99999999999}"#);
        let key = std::fs::read_to_string(KEY_FILE).unwrap();
        let as_text = |text: &str| format!("200\n{text}");
        let (certificate, key) = (as_text(&certificate), as_text(&key));
        check_provider(
            "{auth: instance_principal, region: r, compartments: [c]}",
            &[
                ("GET /md/instance/region\nauthorization: Bearer Oracle", "200\nfra"),
                ("GET /md/identity/cert.pem\nauthorization: Bearer Oracle", &certificate),
                ("GET /md/identity/key.pem", &key),
                ("GET /md/identity/intermediate.pem", &certificate),
                (
                    "POST /eu-frankfurt-1/v1/x509\nauthorization: Signature version=\"1\",\
                     headers=\"date (request-target) content-length content-type \
                     x-content-sha256\",keyId=\"T/fed-x509-sha256/\n\
                     content-type: application/json",
                    &token,
                ),
                (
                    "GET /core/instances?compartmentId=c&limit=100\nauthorization: Signature \
                     version=\"1\",headers=\"date (request-target) host\",keyId=\"ST$h.",
                    r#"[{"id":"i","compartmentId":"c"}]"#,
                ),
                (
                    "GET /core/vnicAttachments?compartmentId=c&instanceId=i&limit=100",
                    r#"[{"vnicId":"v","lifecycleState":"ATTACHED"}]"#,
                ),
                ("GET /core/vnics/v", r#"{"isPrimary":true,"privateIp":"10.0.0.1"}"#),
                // The second refresh still has the token.
                ("GET /core/instances?compartmentId=c&limit=100", "401\n{}"),
                // It was refused.
                ("GET /md/instance/region", "404"),
            ],
            async |config, api, base| {
                let found = refresh_at(config, api, base).await?;
                assert_eq!(
                    refresh_at(config, api, base).await.unwrap_err(),
                    "listing OCI instances in compartment c: server returned HTTP status 401 \
                     Unauthorized: {}"
                );
                let failed = refresh_at(config, api, base).await.unwrap_err();
                assert!(failed.contains("failed to get the region name: server returned"));
                Ok(found)
            },
            r#"
OCI {}
  {__address__="10.0.0.1:80", __meta_oci_compartment_id="c", __meta_oci_instance_id="i", __meta_oci_private_ip="10.0.0.1", __meta_oci_tenancy_id="T"}"#,
        );
    }

    #[test]
    fn a_token_must_say_when_it_ends() {
        for (claims, expected) in [("{}", "does not say when it ends"), ("x", "does not say")] {
            let (certificate, token) = machine(claims);
            let key = std::fs::read_to_string(KEY_FILE).unwrap();
            let (certificate, key) = (format!("200\n{certificate}"), format!("200\n{key}"));
            check_provider(
                "{auth: instance_principal, region: r}",
                &[
                    ("GET /md/instance/region", "200\nr"),
                    ("GET /md/identity/cert.pem", &certificate),
                    ("GET /md/identity/key.pem", &key),
                    ("GET /md/identity/intermediate.pem", &certificate),
                    ("POST /r/v1/x509", &token),
                ],
                async |config, api, base| {
                    let failed = refresh_at(config, api, base).await.unwrap_err();
                    assert!(failed.contains(expected), "{failed}");
                    Ok(vec![])
                },
                "",
            );
        }
    }
}
