//! `vultr_sd_configs`: instances of Vultr.
//!
//! Source: Prometheus `discovery/vultr/vultr.go`.

use engine::model::Labels;
use serde_json::Value;

use crate::config::VultrSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, host_port, items, one_group, query, text, text_at};

pub const API: &str = "https://api.vultr.com";

pub async fn refresh(
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
        targets.extend(items(&answer["instances"]).iter().map(|i| target(config, i)));
        cursor = text_at(&answer, "meta.links.next");
        if cursor.is_empty() {
            return Ok(one_group("Vultr", targets));
        }
    }
}

fn target(config: &VultrSdConfig, instance: &Value) -> Labels {
    let mut meta = Meta::new("__meta_vultr_instance_");
    meta.address(host_port(&text(&instance["main_ip"]), config.port))
        .set_list("features", &instance["features"], ",")
        .set_list("tags", &instance["tags"], ",")
        .copy(
            instance,
            &[
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
            ],
        );
    meta.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[test]
    fn instances() {
        check_provider::<VultrSdConfig>(
            "{}",
            &[
                (
                    "GET /v2/instances?per_page=100",
                    r#"{"instances":[{"id":"i","main_ip":"1.2.3.4","ram":512,"tags":["a","b"]}],
                    "meta":{"links":{"next":"c"}}}"#,
                ),
                (
                    "GET /v2/instances?per_page=100&cursor=c",
                    r#"{"instances":[],"meta":{"links":{"next":""}}}"#,
                ),
            ],
            refresh,
            r#"
Vultr {}
  {__address__="1.2.3.4:80", __meta_vultr_instance_id="i", __meta_vultr_instance_main_ip="1.2.3.4", __meta_vultr_instance_ram_mb="512", __meta_vultr_instance_tags=",a,b,"}"#,
        );
    }
}
