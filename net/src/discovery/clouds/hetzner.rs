//! `hetzner_sd_configs`: servers of Hetzner, in its cloud and dedicated ones.
//!
//! Source: Prometheus `discovery/hetzner`.

use std::collections::BTreeMap;

use engine::model::Labels;
use serde_json::Value;

use crate::config::HetznerSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::json::whole;
use crate::discovery::api::{Api, Meta, host_port, items, one_group, pairs, query, text};

const PREFIX: &str = "__meta_hetzner_";

/// Where the API of a role is.
pub fn base(config: &HetznerSdConfig) -> &'static str {
    match config.role.as_str() {
        "robot" => "https://robot-ws.your-server.de",
        _ => "https://api.hetzner.cloud",
    }
}

pub async fn refresh(
    config: &HetznerSdConfig,
    api: &mut Api,
    base: &str,
) -> Result<Vec<TargetGroup>, String> {
    let targets = match config.role.as_str() {
        "robot" => robot(config, api, base).await?,
        _ => cloud(config, api, &format!("{base}/v1")).await?,
    };
    Ok(one_group("hetzner", targets))
}

/// All pages of a list.
async fn pages(
    api: &mut Api,
    base: &str,
    what: &str,
    selector: &str,
) -> Result<Vec<Value>, String> {
    let mut all = vec![];
    let mut page = "1".to_owned();
    while !page.is_empty() {
        let mut asked = vec![("page", page.as_str()), ("per_page", "50")];
        if !selector.is_empty() {
            asked.push(("label_selector", selector));
        }
        let answer = api.json(&format!("{base}/{what}{}", query(asked))).await?;
        all.extend_from_slice(items(&answer[what]));
        page = text(&answer["meta"]["pagination"]["next_page"]);
    }
    Ok(all)
}

async fn cloud(config: &HetznerSdConfig, api: &mut Api, base: &str) -> Result<Vec<Labels>, String> {
    let servers = pages(api, base, "servers", &config.label_selector).await?;
    let networks = pages(api, base, "networks", "").await?;
    let networks: BTreeMap<String, String> =
        networks.iter().map(|network| (text(&network["id"]), text(&network["name"]))).collect();
    let target = |server: &Value| {
        let kind = &server["server_type"];
        // Newer answers name the location itself, older ones that of the datacenter.
        let location = match &server["location"] {
            Value::Null => &server["datacenter"]["location"],
            location => location,
        };
        let ip = text(&server["public_net"]["ipv4"]["ip"]);
        let (name, zone) = (text(&location["name"]), text(&location["network_zone"]));
        let mut meta = Meta::new(PREFIX);
        meta.address(host_port(&ip, config.port))
            .set("role", "hcloud")
            .set("public_ipv4", &ip)
            .set("hcloud_location", &name)
            .set("hcloud_location_network_zone", &zone)
            .set("hcloud_datacenter_location", &name)
            .set("hcloud_datacenter_location_network_zone", &zone)
            .set("hcloud_memory_size_gb", whole(&kind["memory"]))
            .set("hcloud_disk_size_gb", whole(&kind["disk"]))
            .copy(
                kind,
                &[
                    ("hcloud_server_type", "name"),
                    ("hcloud_cpu_cores", "cores"),
                    ("hcloud_cpu_type", "cpu_type"),
                ],
            )
            .copy(
                server,
                &[
                    ("server_id", "id"),
                    ("server_name", "name"),
                    ("public_ipv6_network", "public_net.ipv6.ip"),
                    ("server_status", "status"),
                    ("hcloud_image_name", "image.name"),
                    ("hcloud_image_description", "image.description"),
                    ("hcloud_image_os_version", "image.os_version"),
                    ("hcloud_image_os_flavor", "image.os_flavor"),
                ],
            );
        for private in items(&server["private_net"]) {
            if let Some(network) = networks.get(&text(&private["network"])) {
                meta.set_free("hcloud_private_ipv4_", network, text(&private["ip"]));
            }
        }
        for (name, value) in pairs(&server["labels"]) {
            meta.set_free("hcloud_labelpresent_", name, "true");
            meta.set_free("hcloud_label_", name, value);
        }
        meta.finish()
    };
    Ok(servers.iter().map(target).collect())
}

async fn robot(config: &HetznerSdConfig, api: &mut Api, base: &str) -> Result<Vec<Labels>, String> {
    let servers = api.json(&format!("{base}/server")).await?;
    let target = |entry: &Value| {
        let server = &entry["server"];
        let ip = text(&server["server_ip"]);
        let center = text(&server["dc"]).to_lowercase();
        let mut meta = Meta::new(PREFIX);
        meta.address(host_port(&ip, config.port))
            .set("role", "robot")
            .set("datacenter", &center)
            .set("public_ipv4", &ip)
            .set("robot_datacenter", &center)
            .copy(
                server,
                &[
                    ("server_id", "server_number"),
                    ("server_name", "server_name"),
                    ("server_status", "status"),
                    ("robot_product", "product"),
                    ("robot_cancelled", "cancelled"),
                ],
            );
        let network = items(&server["subnet"]).iter().find(|net| text(&net["ip"]).contains(':'));
        if let Some(network) = network {
            let (ip, mask) = (text(&network["ip"]), text(&network["mask"]));
            meta.set("public_ipv6_network", format!("{ip}/{mask}"));
        }
        meta.finish()
    };
    Ok(items(&servers).iter().map(target).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[test]
    fn servers_of_the_cloud() {
        check_provider(
            "{role: hcloud, label_selector: 'a=b'}",
            &[
                (
                    "GET /v1/servers?page=1&per_page=50&label_selector=a%3Db",
                    r#"{"servers":[{"id":42,"name":"s","status":"running","public_net":{"ipv4":
                    {"ip":"1.2.3.4"},"ipv6":{"ip":"2001:db8::/64"}},"private_net":[{"network":7,
                    "ip":"10.0.0.2"}],"server_type":{"name":"cx11","cores":1,"cpu_type":"shared",
                    "memory":2.0,"disk":20},"datacenter":{"location":{"name":"fsn1","network_zone":
                    "eu"}},"image":{"name":"u"},"labels":{"k-k":"v"}}],
                    "meta":{"pagination":{"next_page":2}}}"#,
                ),
                (
                    "GET /v1/servers?page=2&per_page=50&label_selector=a%3Db",
                    r#"{"servers":[],"meta":{"pagination":{"next_page":null}}}"#,
                ),
                (
                    "GET /v1/networks?page=1&per_page=50",
                    r#"{"networks":[{"id":7,"name":"my net"}],"meta":{}}"#,
                ),
            ],
            refresh,
            r#"
hetzner {}
  {__address__="1.2.3.4:80", __meta_hetzner_hcloud_cpu_cores="1", __meta_hetzner_hcloud_cpu_type="shared", __meta_hetzner_hcloud_datacenter_location="fsn1", __meta_hetzner_hcloud_datacenter_location_network_zone="eu", __meta_hetzner_hcloud_disk_size_gb="20", __meta_hetzner_hcloud_image_name="u", __meta_hetzner_hcloud_label_k_k="v", __meta_hetzner_hcloud_labelpresent_k_k="true", __meta_hetzner_hcloud_location="fsn1", __meta_hetzner_hcloud_location_network_zone="eu", __meta_hetzner_hcloud_memory_size_gb="2", __meta_hetzner_hcloud_private_ipv4_my_net="10.0.0.2", __meta_hetzner_hcloud_server_type="cx11", __meta_hetzner_public_ipv4="1.2.3.4", __meta_hetzner_public_ipv6_network="2001:db8::/64", __meta_hetzner_role="hcloud", __meta_hetzner_server_id="42", __meta_hetzner_server_name="s", __meta_hetzner_server_status="running"}"#,
        );
    }

    #[test]
    fn dedicated_servers() {
        check_provider(
            "{role: robot}",
            &[(
                "GET /server",
                r#"[{"server":{"server_ip":"5.5.5.5","server_number":321,"server_name":"r",
                "product":"DS","dc":"NBG1-DC1","status":"ready","cancelled":false,
                "subnet":[{"ip":"2a01::","mask":"64"}]}}]"#,
            )],
            refresh,
            r#"
hetzner {}
  {__address__="5.5.5.5:80", __meta_hetzner_datacenter="nbg1-dc1", __meta_hetzner_public_ipv4="5.5.5.5", __meta_hetzner_public_ipv6_network="2a01::/64", __meta_hetzner_robot_cancelled="false", __meta_hetzner_robot_datacenter="nbg1-dc1", __meta_hetzner_robot_product="DS", __meta_hetzner_role="robot", __meta_hetzner_server_id="321", __meta_hetzner_server_name="r", __meta_hetzner_server_status="ready"}"#,
        );
    }
}
