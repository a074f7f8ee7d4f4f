//! `vultr_sd_configs`: instances of Vultr.
//!
//! Source: Prometheus `discovery/vultr/vultr.go`.

use serde_json::Value;

use super::TargetGroup;
use super::api::{Api, Meta, host_port, items, joined, one_group, query, text};
use crate::config::VultrSdConfig;

pub async fn refresh(config: &VultrSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    refresh_at(config, api, "https://api.vultr.com").await
}

async fn refresh_at(
    config: &VultrSdConfig,
    api: &mut Api,
    base: &str,
) -> Result<Vec<TargetGroup>, String> {
    let mut targets = vec![];
    let mut cursor = String::new();
    loop {
        let mut pairs = vec![("per_page", "100")];
        if !cursor.is_empty() {
            pairs.push(("cursor", &cursor));
        }
        let answer = api.json(&format!("{base}/v2/instances{}", query(pairs))).await?;
        let instances = items(&answer["instances"]).iter();
        targets.extend(instances.map(|instance| target(config, instance).finish()));
        cursor = text(&answer["meta"]["links"]["next"]);
        if cursor.is_empty() {
            return Ok(one_group("Vultr", targets));
        }
    }
}

fn target(config: &VultrSdConfig, instance: &Value) -> Meta {
    let mut meta = Meta::new("__meta_vultr_instance_");
    meta.address(host_port(&text(&instance["main_ip"]), config.port));
    for (name, field) in [
        ("id", "id"),
        ("label", "label"),
        ("os", "os"),
        ("os_id", "os_id"),
        ("region", "region"),
        ("plan", "plan"),
        ("vcpu_count", "vcpu_count"),
        ("ram_mb", "ram"),
        ("allowed_bandwidth_gb", "allowed_bandwidth"),
        ("disk_gb", "disk"),
        ("main_ip", "main_ip"),
        ("main_ipv6", "v6_main_ip"),
        ("internal_ip", "internal_ip"),
        ("hostname", "hostname"),
        ("server_status", "server_status"),
    ] {
        meta.set(name, text(&instance[field]));
    }
    for name in ["features", "tags"] {
        let list = items(&instance[name]);
        if !list.is_empty() {
            meta.set(name, joined(list.iter().map(text), ","));
        }
    }
    meta
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check;
    use crate::http::testing::{FakeServer, reply_json};
    use std::time::Duration;

    #[test]
    fn instances() {
        let server = FakeServer::http(|asked| match asked.target.as_str() {
            "/v2/instances?per_page=100" => reply_json(
                r#"{"instances":[{"id":"i","main_ip":"1.2.3.4","ram":512,"tags":["a","b"]}],
                "meta":{"links":{"next":"c"}}}"#,
            ),
            _ => reply_json(r#"{"instances":[],"meta":{"links":{"next":""}}}"#),
        });
        let config = VultrSdConfig { port: 80, ..VultrSdConfig::default() };
        let mut api = Api::plain(Duration::from_secs(5));
        let url = server.url("");
        check(
            refresh_at(&config, &mut api, &url),
            r#"
Vultr {}
  {__address__="1.2.3.4:80", __meta_vultr_instance_id="i", __meta_vultr_instance_main_ip="1.2.3.4", __meta_vultr_instance_ram_mb="512", __meta_vultr_instance_tags=",a,b,"}"#,
        );
        assert_eq!(server.asked().len(), 2);
    }
}
