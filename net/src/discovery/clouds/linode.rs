//! `linode_sd_configs`: instances of Linode. The lists are read again when the account had an event
//! since, and in every tenth refresh: of what happens within a machine there is no event.
//!
//! Source: Prometheus `discovery/linode/linode.go`.

use std::time::Duration;

use engine::model::Labels;
use serde_json::Value;
use shards::runtime;

use crate::config::LinodeSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::json::int;
use crate::discovery::api::{Api, Meta, Request, host_port, items, one_group, text, texts};

pub const API: &str = "https://api.linode.com";

/// After so many refreshes without an event the lists are read anyway.
const QUIET_COUNT_MAX: i64 = 10;

/// For how long events are remembered; as good as for ever.
const EVENTS_LIFETIME: Duration = Duration::from_secs(365 * 86400);

pub async fn refresh(
    config: &LinodeSdConfig,
    api: &mut Api,
    base: &str,
    before: &[TargetGroup],
) -> Result<Vec<TargetGroup>, String> {
    let begun_seconds = runtime::unix_ms() / 1000;
    let is_quiet = !before.is_empty() && is_quiet(api, base).await?;
    let groups = if is_quiet {
        before.to_vec()
    } else {
        let read = read(config, api, base).await?;
        api.memory.put("quiet_count", 0, EVENTS_LIFETIME);
        read
    };
    api.memory.put("refreshed_seconds", begun_seconds, EVENTS_LIFETIME);
    Ok(groups)
}

/// Whether nothing happened since the refresh before. A token may not be allowed to know; then
/// nobody asks again.
async fn is_quiet(api: &mut Api, base: &str) -> Result<bool, String> {
    let known = |api: &Api, name: &str| api.memory.get(name).map_or(0, int);
    if known(api, "events_are_hidden") == 1 {
        return Ok(false);
    }
    let since = known(api, "refreshed_seconds");
    let since = jiff::Timestamp::from_second(since).unwrap_or_default();
    let filter = format!(r#"{{"created":{{"+gte":"{}"}}}}"#, since.strftime("%Y-%m-%dT%H:%M:%S"));
    let url = format!("{base}/v4/account/events?page=1&page_size=25");
    let reply = api.exchange(Request::get(url).with("x-filter", filter)).await?;
    if reply.status == 401 {
        api.memory.put("events_are_hidden", 1, EVENTS_LIFETIME);
        return Ok(false);
    }
    let answer = reply.accepted()?.json()?;
    let quiet_count = known(api, "quiet_count") + 1;
    api.memory.put("quiet_count", quiet_count, EVENTS_LIFETIME);
    Ok(items(&answer["data"]).is_empty() && quiet_count < QUIET_COUNT_MAX)
}

async fn read(
    config: &LinodeSdConfig,
    api: &mut Api,
    base: &str,
) -> Result<Vec<TargetGroup>, String> {
    let instances = list(config, api, base, "linode/instances").await?;
    let addresses = list(config, api, base, "networking/ips").await?;
    let ranges = list(config, api, base, "networking/ipv6/ranges").await?;
    let targets = instances.iter().filter_map(|i| target(config, i, &addresses, &ranges));
    Ok(one_group("Linode", targets.collect()))
}

/// All pages of a list.
async fn list(
    config: &LinodeSdConfig,
    api: &mut Api,
    base: &str,
    what: &str,
) -> Result<Vec<Value>, String> {
    let mut all = vec![];
    for page in 1.. {
        let mut request = Request::get(format!("{base}/v4/{what}?page={page}&page_size=500"));
        if !config.region.is_empty() {
            let filter = serde_json::json!({"region": config.region});
            request = request.with("x-filter", filter.to_string());
        }
        let answer = api.ask(request).await?;
        all.extend_from_slice(items(&answer["data"]));
        if answer["pages"].as_i64().unwrap_or(0) <= page {
            break;
        }
    }
    Ok(all)
}

/// None for a machine without an address.
fn target(
    config: &LinodeSdConfig,
    instance: &Value,
    addresses: &[Value],
    ranges: &[Value],
) -> Option<Labels> {
    let own: Vec<String> = texts(&instance["ipv4"]).collect();
    if own.is_empty() {
        return None;
    }
    let rdns = |address: &Value| text(&address["rdns"]).replace("null", "");
    let known =
        own.iter().flat_map(|ip| addresses.iter().filter(move |a| text(&a["address"]) == *ip));
    let (mut public, mut private): (Option<&Value>, Option<&Value>) = (None, None);
    let mut extra = vec![];
    for address in known {
        match address["public"] == true {
            true if public.is_none() => public = Some(address),
            false if private.is_none() => private = Some(address),
            _ => extra.push(text(&address["address"])),
        }
    }
    let slaac = text(&instance["ipv6"]);
    let slaac = slaac.split('/').next().unwrap_or("");
    let public6 = addresses.iter().rfind(|a| !slaac.is_empty() && text(&a["address"]) == slaac);
    let routed = |range: &&Value| !slaac.is_empty() && text(&range["route_target"]) == slaac;
    let ranges: Vec<String> = ranges
        .iter()
        .filter(routed)
        .map(|range| format!("{}/{}", text(&range["range"]), text(&range["prefix"])))
        .collect();
    let (specs, separator) = (&instance["specs"], &config.tag_separator);
    let bytes = |name: &str| (int(&specs[name]) << 20).to_string();
    let mut meta = Meta::new("__meta_linode_");
    for (kind, address) in
        [("public_ipv4", public), ("private_ipv4", private), ("public_ipv6", public6)]
    {
        if let Some(address) = address {
            meta.set(kind, text(&address["address"])).set(&format!("{kind}_rdns"), rdns(address));
        }
    }
    let address = public.map_or_else(String::new, |public| text(&public["address"]));
    meta.address(host_port(&address, config.port))
        .set("instance_id", int(&instance["id"]).to_string())
        .set("backups", if instance["backups"]["enabled"] == true { "enabled" } else { "disabled" })
        .set("gpus", int(&specs["gpus"]).to_string())
        .set("specs_disk_bytes", bytes("disk"))
        .set("specs_memory_bytes", bytes("memory"))
        .set("specs_vcpus", int(&specs["vcpus"]).to_string())
        .set("specs_transfer_bytes", bytes("transfer"))
        .copy(
            instance,
            &[
                ("instance_label", "label"),
                ("image", "image"),
                ("region", "region"),
                ("type", "type"),
                ("status", "status"),
                ("group", "group"),
                ("hypervisor", "hypervisor"),
            ],
        )
        .set_list("tags", &instance["tags"], separator)
        .set_joined("extra_ips", &extra, separator)
        .set_joined("ipv6_ranges", &ranges, separator);
    Some(meta.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[test]
    fn instances() {
        check_provider::<LinodeSdConfig>(
            "region: us",
            &[
                (
                    "GET /v4/linode/instances?page=1&page_size=500\nx-filter: {\"region\":\"us\"}",
                    r#"{"data":[{"id":7,"label":"n","ipv4":["1.1.1.1","10.0.0.1","2.2.2.2"],
                    "ipv6":"2600::1/128","image":null,"region":"us","type":"g6","status":"running",
                    "group":"","hypervisor":"kvm","tags":["a","b"],"backups":{"enabled":false},
                    "specs":{"disk":2,"memory":1,"vcpus":1,"transfer":3}}],"pages":2}"#,
                ),
                (
                    "GET /v4/linode/instances?page=2&page_size=500",
                    r#"{"data":[{"id":8,"ipv4":[]}],"pages":2}"#,
                ),
                (
                    "GET /v4/networking/ips?page=1&page_size=500",
                    r#"{"data":[{"address":"1.1.1.1","public":true,"rdns":"r.test"},{"address":
                    "10.0.0.1","public":false,"rdns":null},{"address":"2.2.2.2","public":true},
                    {"address":"2600::1","public":true,"rdns":"null"}],"pages":1}"#,
                ),
                (
                    "GET /v4/networking/ipv6/ranges?page=1&page_size=500",
                    r#"{"data":[{"range":"2600:1::","prefix":64,"route_target":"2600::1"},
                    {"range":"x","prefix":1,"route_target":"other"}],"pages":1}"#,
                ),
            ],
            read,
            r#"
Linode {}
  {__address__="1.1.1.1:80", __meta_linode_backups="disabled", __meta_linode_extra_ips=",2.2.2.2,", __meta_linode_gpus="0", __meta_linode_hypervisor="kvm", __meta_linode_instance_id="7", __meta_linode_instance_label="n", __meta_linode_ipv6_ranges=",2600:1::/64,", __meta_linode_private_ipv4="10.0.0.1", __meta_linode_public_ipv4="1.1.1.1", __meta_linode_public_ipv4_rdns="r.test", __meta_linode_public_ipv6="2600::1", __meta_linode_region="us", __meta_linode_specs_disk_bytes="2097152", __meta_linode_specs_memory_bytes="1048576", __meta_linode_specs_transfer_bytes="3145728", __meta_linode_specs_vcpus="1", __meta_linode_status="running", __meta_linode_tags=",a,b,", __meta_linode_type="g6"}"#,
        );
    }

    const EMPTY: &str = r#"{"data":[],"pages":1}"#;
    const LISTS: [(&str, &str); 3] = [
        ("GET /v4/linode/instances?page=1&page_size=500", EMPTY),
        ("GET /v4/networking/ips?page=1&page_size=500", EMPTY),
        ("GET /v4/networking/ipv6/ranges?page=1&page_size=500", EMPTY),
    ];
    const EVENTS: &str =
        "GET /v4/account/events?page=1&page_size=25\nx-filter: {\"created\":{\"+gte\":\"20";

    /// So many refreshes, one after the other.
    #[track_caller]
    fn check_refreshes(count: usize, exchanges: &[(&str, &str)]) {
        check_provider::<LinodeSdConfig>(
            "{}",
            exchanges,
            async |config, api, base| {
                let mut found = vec![];
                for _ in 0..count {
                    found = refresh(config, api, base, &found).await?;
                }
                Ok(found)
            },
            "Linode {}",
        );
    }

    #[test]
    fn lists_are_read_after_events() {
        let event = (EVENTS, r#"{"data":[{"id":1}],"pages":1}"#);
        check_refreshes(3, &[&LISTS[..], &[(EVENTS, EMPTY), event], &LISTS].concat());
        check_refreshes(3, &[&LISTS[..], &[(EVENTS, "401")], &LISTS, &LISTS].concat());
        let quiet = [(EVENTS, EMPTY); 10];
        check_refreshes(12, &[&LISTS[..], &quiet, &LISTS, &quiet[..1]].concat());
    }

    #[test]
    fn refusals() {
        check_provider::<LinodeSdConfig>(
            "{}",
            &[("GET /v4/linode/instances?page=1&page_size=500", "429\nslow down")],
            read,
            "server returned HTTP status 429 Too Many Requests: slow down",
        );
    }
}
