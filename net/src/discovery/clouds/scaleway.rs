//! `scaleway_sd_configs`: servers of Scaleway, virtual (`instance`) and dedicated (`baremetal`).
//!
//! Source: Prometheus `discovery/scaleway`, Scaleway's SDK for Go (paging).

use std::collections::BTreeMap;

use engine::model::Labels;
use serde_json::Value;

use crate::config::ScalewaySdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{
    Api, Meta, Request, host_port, items, one_group, query, secret, text, text_at,
};

pub async fn refresh(config: &ScalewaySdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    let token = secret(config.secret_key.reveal(), &config.secret_key_file, "auth token")?;
    api.header("x-auth-token", &token)?;
    let targets = match config.role.as_str() {
        "baremetal" => baremetal(config, api).await?,
        _ => instances(config, api).await?,
    };
    Ok(one_group("scaleway", targets))
}

/// All pages of a list, as many as the first one's number of items and the total make.
async fn list(
    api: &mut Api,
    url: &str,
    key: &str,
    size_name: &str,
    parameters: &[(&str, &str)],
) -> Result<Vec<Value>, String> {
    let mut all = vec![];
    for page in 1.. {
        let page = page.to_string();
        let mut pairs = vec![("page", page.as_str()), (size_name, "100")];
        pairs.extend_from_slice(parameters);
        let reply = api.send(Request::get(format!("{url}{}", query(pairs)))).await?;
        let answer = reply.json()?;
        let total = reply.header("x-total-count").parse().ok();
        let total = total.or_else(|| answer["total_count"].as_u64()).unwrap_or(0);
        let found = items(&answer[key]);
        all.extend_from_slice(found);
        if found.is_empty() || all.len() as u64 >= total {
            break;
        }
    }
    Ok(all)
}

/// What the section filters servers by.
async fn servers(
    config: &ScalewaySdConfig,
    api: &mut Api,
    product: &str,
    size_name: &str,
) -> Result<Vec<Value>, String> {
    let tags = config.tags_filter.join(",");
    let mut parameters = vec![("name", config.name_filter.as_str()), ("tags", &tags)];
    parameters.retain(|(_, value)| !value.is_empty());
    let url = format!("{}/{product}/v1/zones/{}/servers", config.api_url, config.zone);
    list(api, &url, "servers", size_name, &parameters).await
}

/// `fr-par` of `fr-par-1`.
fn region(server: &Value) -> String {
    let zone = text(&server["zone"]);
    zone.rsplit_once('-').map_or_else(String::new, |(region, _)| region.to_owned())
}

async fn instances(config: &ScalewaySdConfig, api: &mut Api) -> Result<Vec<Labels>, String> {
    let servers = servers(config, api, "instance", "per_page").await?;
    let private = private_addresses(config, api, &servers).await?;
    Ok(servers.iter().filter_map(|server| instance(config, server, &private)).collect())
}

/// Addresses of private networks by the interface's id, for servers that have no other.
async fn private_addresses(
    config: &ScalewaySdConfig,
    api: &mut Api,
    servers: &[Value],
) -> Result<BTreeMap<String, String>, String> {
    let mut by_region: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for server in servers {
        if ["private_ip", "public_ip", "ipv6"].iter().any(|name| !server[name].is_null()) {
            continue;
        }
        for interface in items(&server["private_nics"]) {
            by_region.entry(region(server)).or_default().push(text(&interface["id"]));
        }
    }
    let mut addresses = BTreeMap::new();
    for (region, ids) in by_region {
        let url = format!("{}/ipam/v1/regions/{region}/ips", config.api_url);
        let mut pairs = vec![("resource_types", "instance_private_nic")];
        pairs.extend(ids.iter().map(|id| ("resource_ids", id.as_str())));
        for ip in list(api, &url, "ips", "page_size", &pairs).await? {
            if ip["is_ipv6"] != true && !ip["resource"].is_null() {
                let address = text(&ip["address"]);
                let address = address.split('/').next().unwrap_or("").to_owned();
                addresses.insert(text_at(&ip, "resource.id"), address);
            }
        }
    }
    Ok(addresses)
}

/// None for a server without an address.
fn instance(
    config: &ScalewaySdConfig,
    server: &Value,
    private: &BTreeMap<String, String>,
) -> Option<Labels> {
    let mut meta = Meta::new("__meta_scaleway_instance_");
    meta.set("region", region(server)).set_list("tags", &server["tags"], ",").copy(
        server,
        &[
            ("boot_type", "boot_type"),
            ("hostname", "hostname"),
            ("id", "id"),
            ("name", "name"),
            ("organization_id", "organization"),
            ("project_id", "project"),
            ("status", "state"),
            ("type", "commercial_type"),
            ("zone", "zone"),
            ("image_arch", "image.arch"),
            ("image_id", "image.id"),
            ("image_name", "image.name"),
            ("location_cluster_id", "location.cluster_id"),
            ("location_hypervisor_id", "location.hypervisor_id"),
            ("location_node_id", "location.node_id"),
            ("security_group_id", "security_group.id"),
            ("security_group_name", "security_group.name"),
        ],
    );
    for (name, family) in [("public_ipv4_addresses", "inet"), ("public_ipv6_addresses", "inet6")] {
        let of_family = items(&server["public_ips"]).iter().filter(|ip| ip["family"] == family);
        let addresses: Vec<String> = of_family.map(|ip| text(&ip["address"])).collect();
        meta.set_joined(name, &addresses, ",");
    }
    // Later ones win: the private address is what a scraper reaches.
    let mut address = text_at(server, "ipv6.address");
    meta.set("public_ipv6", &address);
    let public = &server["public_ip"];
    if !public.is_null() {
        address = text(&public["address"]);
        if public["family"] != "inet6" {
            meta.set("public_ipv4", &address);
        }
    }
    let own = text(&server["private_ip"]);
    let of_interface = || {
        let ids = items(&server["private_nics"]).iter().map(|interface| text(&interface["id"]));
        ids.filter_map(|id| private.get(&id).cloned()).find(|ip| !ip.is_empty())
    };
    if !own.is_empty() {
        meta.set("private_ipv4", &own);
        address = own;
    } else if address.is_empty() {
        address = of_interface()?;
        meta.set("private_ipv4", &address);
    }
    meta.address(host_port(&address, config.port));
    Some(meta.finish())
}

async fn baremetal(config: &ScalewaySdConfig, api: &mut Api) -> Result<Vec<Labels>, String> {
    let servers = servers(config, api, "baremetal", "page_size").await?;
    let base = format!("{}/baremetal/v1/zones/{}", config.api_url, config.zone);
    let offers = list(api, &format!("{base}/offers"), "offers", "page_size", &[]).await?;
    let systems = list(api, &format!("{base}/os"), "os", "page_size", &[]).await?;
    servers.iter().map(|server| dedicated(config, server, &offers, &systems)).collect()
}

fn dedicated(
    config: &ScalewaySdConfig,
    server: &Value,
    offers: &[Value],
    systems: &[Value],
) -> Result<Labels, String> {
    let by_id = |list: &[Value], id: &Value| list.iter().find(|entry| entry["id"] == *id).cloned();
    let mut meta = Meta::new("__meta_scaleway_baremetal_");
    meta.copy(
        server,
        &[
            ("id", "id"),
            ("name", "name"),
            ("zone", "zone"),
            ("status", "status"),
            ("project_id", "project_id"),
        ],
    );
    meta.set_list("tags", &server["tags"], ",");
    if let Some(offer) = by_id(offers, &server["offer_id"]) {
        meta.set("type", text(&offer["name"]));
    }
    if let Some(system) = by_id(systems, &server["install"]["os_id"]) {
        meta.copy(&system, &[("os_name", "name"), ("os_version", "version")]);
    }
    // The first of each version; the address is IPv4 if there is one.
    let mut first: BTreeMap<&str, String> = BTreeMap::new();
    for ip in items(&server["ips"]) {
        match ip["version"].as_str().unwrap_or("") {
            version @ ("IPv4" | "IPv6") => {
                first.entry(version).or_insert_with(|| text(&ip["address"]));
            }
            version => return Err(format!("unknown IP version: {version}")),
        }
    }
    for (version, ip) in first.iter().rev() {
        meta.set(&format!("public_{}", version.to_lowercase()), ip);
        meta.address(host_port(ip, config.port));
    }
    Ok(meta.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[track_caller]
    fn check(role: &str, exchanges: &[(&str, &str)], expected: &str) {
        let section = format!(
            "{{role: {role}, project_id: p, api_url: SERVER, access_key: a, secret_key: s, \
             name_filter: n, tags_filter: [t, u]}}"
        );
        check_provider(
            &section,
            exchanges,
            async |config, api, _| refresh(config, api).await,
            expected,
        );
    }

    #[test]
    fn virtual_servers() {
        check(
            "instance",
            &[
                (
                    "GET /instance/v1/zones/fr-par-1/servers?page=1&per_page=100&name=n&tags=t%2Cu\n\
                     x-auth-token: s",
                    r#"200 x-total-count: 3
                    {"servers":[{"id":"1","name":"a","hostname":"h","zone":"fr-par-1","state":"running",
                    "boot_type":"local","organization":"o","project":"p","commercial_type":"DEV1",
                    "tags":["t"],"image":{"arch":"x86_64","id":"i","name":"Ubuntu"},"location":null,
                    "security_group":{"id":"g","name":"def"},"private_ip":"10.0.0.1","public_ip":
                    {"address":"5.5.5.5","family":"inet"},"ipv6":{"address":"2001::1"},
                    "public_ips":[{"address":"5.5.5.5","family":"inet"},{"address":"2001::1",
                    "family":"inet6"}]},{"id":"2","name":"none","zone":"fr-par-1"}]}"#,
                ),
                (
                    "GET /instance/v1/zones/fr-par-1/servers?page=2&per_page=100&name=n&tags=t%2Cu",
                    r#"200 x-total-count: 3
                    {"servers":[{"id":"3","zone":"fr-par-1","private_nics":[{"id":"nic"}]}]}"#,
                ),
                (
                    "GET /ipam/v1/regions/fr-par/ips?page=1&page_size=100\
                     &resource_types=instance_private_nic&resource_ids=nic",
                    r#"{"total_count":1,"ips":[{"address":"172.16.0.3/22","is_ipv6":false,
                    "resource":{"id":"nic"}}]}"#,
                ),
            ],
            r#"
scaleway {}
  {__address__="10.0.0.1:80", __meta_scaleway_instance_boot_type="local", __meta_scaleway_instance_hostname="h", __meta_scaleway_instance_id="1", __meta_scaleway_instance_image_arch="x86_64", __meta_scaleway_instance_image_id="i", __meta_scaleway_instance_image_name="Ubuntu", __meta_scaleway_instance_name="a", __meta_scaleway_instance_organization_id="o", __meta_scaleway_instance_private_ipv4="10.0.0.1", __meta_scaleway_instance_project_id="p", __meta_scaleway_instance_public_ipv4="5.5.5.5", __meta_scaleway_instance_public_ipv4_addresses=",5.5.5.5,", __meta_scaleway_instance_public_ipv6="2001::1", __meta_scaleway_instance_public_ipv6_addresses=",2001::1,", __meta_scaleway_instance_region="fr-par", __meta_scaleway_instance_security_group_id="g", __meta_scaleway_instance_security_group_name="def", __meta_scaleway_instance_status="running", __meta_scaleway_instance_tags=",t,", __meta_scaleway_instance_type="DEV1", __meta_scaleway_instance_zone="fr-par-1"}
  {__address__="172.16.0.3:80", __meta_scaleway_instance_id="3", __meta_scaleway_instance_private_ipv4="172.16.0.3", __meta_scaleway_instance_region="fr-par", __meta_scaleway_instance_zone="fr-par-1"}"#,
        );
    }

    #[test]
    fn dedicated_servers() {
        let lists = [
            (
                "GET /baremetal/v1/zones/fr-par-1/servers?page=1&page_size=100&name=n&tags=t%2Cu",
                r#"{"total_count":1,"servers":[{"id":"b","name":"n","zone":"fr-par-1","status":
                "ready","project_id":"p","offer_id":"o","install":{"os_id":"s"},"tags":["t"],
                "ips":[{"version":"IPv6","address":"2001::2"},{"version":"IPv4","address":
                "6.6.6.6"}]}]}"#,
            ),
            (
                "GET /baremetal/v1/zones/fr-par-1/offers?page=1&page_size=100",
                r#"{"total_count":1,"offers":[{"id":"o","name":"EM-A"}]}"#,
            ),
            (
                "GET /baremetal/v1/zones/fr-par-1/os?page=1&page_size=100",
                r#"{"total_count":1,"os":[{"id":"s","name":"Debian","version":"12"}]}"#,
            ),
        ];
        check(
            "baremetal",
            &lists,
            r#"
scaleway {}
  {__address__="6.6.6.6:80", __meta_scaleway_baremetal_id="b", __meta_scaleway_baremetal_name="n", __meta_scaleway_baremetal_os_name="Debian", __meta_scaleway_baremetal_os_version="12", __meta_scaleway_baremetal_project_id="p", __meta_scaleway_baremetal_public_ipv4="6.6.6.6", __meta_scaleway_baremetal_public_ipv6="2001::2", __meta_scaleway_baremetal_status="ready", __meta_scaleway_baremetal_tags=",t,", __meta_scaleway_baremetal_type="EM-A", __meta_scaleway_baremetal_zone="fr-par-1"}"#,
        );
    }
}
