//! `ovhcloud_sd_configs`: virtual private and dedicated servers of OVHcloud.
//!
//! A server whose details cannot be read is left out with a warning.
//!
//! Source: Prometheus `discovery/ovhcloud`, OVHcloud's SDK for Go (signatures).

use std::net::IpAddr;
use std::time::Duration;

use engine::model::Labels;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::Value;
use shards::runtime;

use crate::config::OvhcloudSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::json::int;
use crate::discovery::api::{Api, Meta, Request, one_group, segment, text, texts};
use crate::log_warn;

/// Names of endpoints; anything else is a URL.
const ENDPOINTS: &[(&str, &str)] = &[
    ("ovh-eu", "https://eu.api.ovh.com/1.0"),
    ("ovh-ca", "https://ca.api.ovh.com/1.0"),
    ("ovh-us", "https://api.us.ovhcloud.com/1.0"),
    ("kimsufi-eu", "https://eu.api.kimsufi.com/1.0"),
    ("kimsufi-ca", "https://ca.api.kimsufi.com/1.0"),
    ("soyoustart-eu", "https://eu.api.soyoustart.com/1.0"),
    ("soyoustart-ca", "https://ca.api.soyoustart.com/1.0"),
];

/// How long the server's clock is taken to keep its distance to ours.
const CLOCK_LIFETIME: Duration = Duration::from_secs(3600);

pub async fn refresh(config: &OvhcloudSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    let named = ENDPOINTS.iter().find(|(name, _)| *name == config.endpoint);
    let base = match named {
        Some((_, url)) => *url,
        None if config.endpoint.contains('/') => config.endpoint.trim_end_matches('/'),
        None => {
            return Err(format!(
                "unknown endpoint '{}', consider checking 'Endpoints' list or using an URL",
                config.endpoint
            ));
        }
    };
    let (path, target): (_, fn(&Value, &[IpAddr]) -> Labels) = match config.service.as_str() {
        "vps" => ("/vps", vps),
        _ => ("/dedicated/server", dedicated),
    };
    let source = format!("ovhcloud_{}", config.service);
    let names = ask(config, api, base, path).await?;
    let mut targets = vec![];
    for name in texts(&names) {
        match details(config, api, base, &format!("{path}/{}", segment(&name))).await {
            Ok((server, addresses)) => targets.push(target(&server, &addresses)),
            Err(why) => {
                log_warn!(
                    "Could not get details of a server",
                    "source" = source,
                    "server" = name,
                    "err" = why
                );
            }
        }
    }
    Ok(one_group(&source, targets))
}

async fn details(
    config: &OvhcloudSdConfig,
    api: &mut Api,
    base: &str,
    path: &str,
) -> Result<(Value, Vec<IpAddr>), String> {
    let server = ask(config, api, base, path).await?;
    let addresses = ask(config, api, base, &format!("{path}/ips")).await?;
    Ok((server, parse_addresses(texts(&addresses))?))
}

/// A signed GET.
async fn ask(
    config: &OvhcloudSdConfig,
    api: &mut Api,
    base: &str,
    path: &str,
) -> Result<Value, String> {
    let skew = match api.memory.get("skew") {
        Some(skew) => int(skew),
        None => {
            let theirs = int(&api.json(&format!("{base}/auth/time")).await?);
            let skew = theirs - runtime::unix_ms() / 1000;
            api.memory.put("skew", skew, CLOCK_LIFETIME);
            skew
        }
    };
    let url = format!("{base}{path}");
    let time = (runtime::unix_ms() / 1000 + skew).to_string();
    let (secret, consumer) = (config.application_secret.reveal(), config.consumer_key.reveal());
    let request = Request::get(&url)
        .with("x-ovh-application", &config.application_key)
        .with("x-ovh-consumer", consumer)
        .with("x-ovh-signature", signature(secret, consumer, &url, &time))
        .with("x-ovh-timestamp", time);
    api.ask(request).await
}

fn signature(secret: &str, consumer: &str, url: &str, time: &str) -> String {
    let text = format!("{secret}+{consumer}+GET+{url}++{time}");
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("$1${hex}")
}

/// Addresses, and networks of one address (`/32`); other networks are passed over.
fn parse_addresses(texts: impl Iterator<Item = String>) -> Result<Vec<IpAddr>, String> {
    let unreadable = || "could not parse IP addresses from list".to_owned();
    let mut addresses = vec![];
    for text in texts {
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, bits.parse::<u8>().map_err(|_| unreadable())?),
            None => (text.as_str(), 32),
        };
        let ip: IpAddr = ip.parse().map_err(|_| unreadable())?;
        if bits == 32 && !ip.is_unspecified() {
            addresses.push(ip);
        }
    }
    if addresses.is_empty() { Err(unreadable()) } else { Ok(addresses) }
}

/// Labels of addresses: the last one of each version, IPv4 first.
fn set_addresses(meta: &mut Meta, addresses: &[IpAddr]) {
    let last = |is_wanted: fn(&IpAddr) -> bool| {
        let found = addresses.iter().rfind(|ip| is_wanted(ip));
        found.map_or_else(String::new, IpAddr::to_string)
    };
    let (ipv4, ipv6) = (last(IpAddr::is_ipv4), last(IpAddr::is_ipv6));
    meta.set("ipv4", &ipv4).set("ipv6", &ipv6);
    meta.address(if ipv4.is_empty() { ipv6 } else { ipv4 });
}

fn vps(server: &Value, addresses: &[IpAddr]) -> Labels {
    let mut meta = Meta::new("__meta_ovhcloud_vps_");
    set_addresses(&mut meta, addresses);
    let model = &server["model"];
    let datacenters: Vec<String> = texts(&model["datacenter"]).collect();
    meta.set_plain("instance", text(&server["name"]))
        .set("datacenter", format!("[{}]", datacenters.join(" ")))
        .set("maximum_additional_ip", int(&model["maximumAdditionnalIp"]).to_string())
        .set("model_vcore", int(&model["vcore"]).to_string())
        .set("disk", int(&model["disk"]).to_string())
        .set("memory", int(&model["memory"]).to_string())
        .set("memory_limit", int(&server["memoryLimit"]).to_string())
        .set("vcore", int(&server["vcore"]).to_string())
        .copy(
            server,
            &[
                ("offer", "model.offer"),
                ("version", "model.version"),
                ("model_name", "model.name"),
                ("zone", "zone"),
                ("display_name", "displayName"),
                ("cluster", "cluster"),
                ("state", "state"),
                ("name", "name"),
                ("netboot_mode", "netbootMode"),
                ("offer_type", "offerType"),
            ],
        );
    meta.finish()
}

fn dedicated(server: &Value, addresses: &[IpAddr]) -> Labels {
    let mut meta = Meta::new("__meta_ovhcloud_dedicated_server_");
    set_addresses(&mut meta, addresses);
    meta.set_plain("instance", text(&server["name"]))
        .set("link_speed", int(&server["linkSpeed"]).to_string())
        .set("no_intervention", (server["noIntervention"] == true).to_string())
        .set("server_id", int(&server["serverId"]).to_string())
        .copy(
            server,
            &[
                ("state", "state"),
                ("commercial_range", "commercialRange"),
                ("rack", "rack"),
                ("os", "os"),
                ("support_level", "supportLevel"),
                ("reverse", "reverse"),
                ("datacenter", "datacenter"),
                ("name", "name"),
            ],
        );
    meta.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[track_caller]
    fn check(service: &str, exchanges: &[(&str, &str)], expected: &str) {
        let section = format!(
            "{{endpoint: SERVER/1.0, application_key: a, application_secret: s, consumer_key: c, \
             service: {service}}}"
        );
        check_provider(
            &section,
            exchanges,
            async |config, api, _| refresh(config, api).await,
            expected,
        );
    }

    #[test]
    fn the_signature_of_the_documentation() {
        let secret = "EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF";
        let consumer = "MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1";
        let url = "https://eu.api.ovh.com/1.0/domains/";
        let signed = signature(secret, consumer, url, "1366560945");
        assert_eq!(signed, "$1$d3705e8afb27a0d2970a322b96550abfc67bb798");
    }

    #[test]
    fn virtual_servers() {
        check(
            "vps",
            &[
                ("GET /1.0/auth/time", "1700000000"),
                (
                    "GET /1.0/vps\nx-ovh-application: a\nx-ovh-consumer: c\nx-ovh-signature: $1$",
                    r#"["v/1","broken"]"#,
                ),
                (
                    "GET /1.0/vps/v%2F1",
                    r#"{"name":"v/1","zone":"z","state":"running","displayName":"d","cluster":"c",
                    "netbootMode":"local","memoryLimit":2048,"offerType":"ssd","vcore":1,"model":{
                    "offer":"SSD","datacenter":["a","b"],"vcore":1,"version":"2019","name":"m",
                    "disk":40,"memory":2048,"maximumAdditionnalIp":16}}"#,
                ),
                ("GET /1.0/vps/v%2F1/ips", r#"["1.2.3.4","2001::1","10.0.0.0/24"]"#),
                ("GET /1.0/vps/broken", "404\n{}"),
            ],
            r#"
ovhcloud_vps {}
  {__address__="1.2.3.4", __meta_ovhcloud_vps_cluster="c", __meta_ovhcloud_vps_datacenter="[a b]", __meta_ovhcloud_vps_disk="40", __meta_ovhcloud_vps_display_name="d", __meta_ovhcloud_vps_ipv4="1.2.3.4", __meta_ovhcloud_vps_ipv6="2001::1", __meta_ovhcloud_vps_maximum_additional_ip="16", __meta_ovhcloud_vps_memory="2048", __meta_ovhcloud_vps_memory_limit="2048", __meta_ovhcloud_vps_model_name="m", __meta_ovhcloud_vps_model_vcore="1", __meta_ovhcloud_vps_name="v/1", __meta_ovhcloud_vps_netboot_mode="local", __meta_ovhcloud_vps_offer="SSD", __meta_ovhcloud_vps_offer_type="ssd", __meta_ovhcloud_vps_state="running", __meta_ovhcloud_vps_vcore="1", __meta_ovhcloud_vps_version="2019", __meta_ovhcloud_vps_zone="z", instance="v/1"}"#,
        );
    }

    #[test]
    fn dedicated_servers() {
        check(
            "dedicated_server",
            &[
                ("GET /1.0/auth/time", "1700000000"),
                ("GET /1.0/dedicated/server", r#"["s"]"#),
                (
                    "GET /1.0/dedicated/server/s",
                    r#"{"name":"s","state":"ok","commercialRange":"A","linkSpeed":100,"rack":"r",
                    "noIntervention":false,"os":"debian11_64","supportLevel":"pro","serverId":123,
                    "reverse":"x.test","datacenter":"gra3"}"#,
                ),
                ("GET /1.0/dedicated/server/s/ips", r#"["1.2.3.5/32"]"#),
            ],
            r#"
ovhcloud_dedicated_server {}
  {__address__="1.2.3.5", __meta_ovhcloud_dedicated_server_commercial_range="A", __meta_ovhcloud_dedicated_server_datacenter="gra3", __meta_ovhcloud_dedicated_server_ipv4="1.2.3.5", __meta_ovhcloud_dedicated_server_link_speed="100", __meta_ovhcloud_dedicated_server_name="s", __meta_ovhcloud_dedicated_server_no_intervention="false", __meta_ovhcloud_dedicated_server_os="debian11_64", __meta_ovhcloud_dedicated_server_rack="r", __meta_ovhcloud_dedicated_server_reverse="x.test", __meta_ovhcloud_dedicated_server_server_id="123", __meta_ovhcloud_dedicated_server_state="ok", __meta_ovhcloud_dedicated_server_support_level="pro", instance="s"}"#,
        );
    }
}
