//! `lightsail_sd_configs`: instances of Lightsail. All pages are read; Prometheus reads the first.
//!
//! Source: Prometheus `discovery/aws/lightsail.go`; the Lightsail API.

use engine::model::Labels;
use serde_json::{Value, json};

use super::{Places, Service, access};
use crate::config::LightsailSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, host_port, items, one_group, text};

pub async fn refresh(
    config: &LightsailSdConfig,
    api: &mut Api,
) -> Result<Vec<TargetGroup>, String> {
    let mut service = Service::new("lightsail", &access!(config), api, &Places::default()).await?;
    let mut targets = vec![];
    let mut next = String::new();
    loop {
        let body = if next.is_empty() { json!({}) } else { json!({"pageToken": next}) };
        let answer = service.json("Lightsail_20161128.GetInstances", &body).await;
        let answer = answer.map_err(|why| format!("could not get instances: {why}"))?;
        let instances = items(&answer["instances"]).iter();
        targets.extend(instances.filter_map(|i| target(config, &service.region, i)));
        next = text(&answer["nextPageToken"]);
        if next.is_empty() {
            return Ok(one_group(&service.region, targets));
        }
    }
}

/// None for one without a private address.
fn target(config: &LightsailSdConfig, region: &str, instance: &Value) -> Option<Labels> {
    let address = instance["privateIpAddress"].as_str()?;
    let mut meta = Meta::new("__meta_lightsail_");
    meta.address(host_port(address, config.port))
        .set("region", region)
        .set_list("ipv6_addresses", &instance["ipv6Addresses"], ",")
        .set_tags("tag_", &instance["tags"], "key", "value")
        .copy(
            instance,
            &[
                ("private_ip", "privateIpAddress"),
                ("public_ip", "publicIpAddress"),
                ("availability_zone", "location.availabilityZone"),
                ("blueprint_id", "blueprintId"),
                ("bundle_id", "bundleId"),
                ("instance_name", "name"),
                ("instance_state", "state.name"),
                ("instance_support_code", "supportCode"),
            ],
        );
    Some(meta.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[test]
    fn instances() {
        check_provider::<LightsailSdConfig>(
            "{endpoint: SERVER, region: r1, access_key: id, secret_key: s}",
            &[
                (
                    "POST /\nx-amz-target: Lightsail_20161128.GetInstances\n\
                     authorization: AWS4-HMAC-SHA256 Credential=id/\n{}",
                    r#"{"instances":[{"name":"n","privateIpAddress":"10.0.0.1","publicIpAddress":
                    "5.5.5.5","ipv6Addresses":["2001::1"],"location":{"availabilityZone":"r1a"},
                    "blueprintId":"b","bundleId":"u","state":{"name":"running"},"supportCode":"c",
                    "tags":[{"key":"a-b","value":"c"},{"key":"only"}]},{"name":"none"}],
                    "nextPageToken":"t"}"#,
                ),
                ("POST /\n{\"pageToken\":\"t\"}", r#"{"instances":[]}"#),
            ],
            async |config, api, _| refresh(config, api).await,
            r#"
r1 {}
  {__address__="10.0.0.1:80", __meta_lightsail_availability_zone="r1a", __meta_lightsail_blueprint_id="b", __meta_lightsail_bundle_id="u", __meta_lightsail_instance_name="n", __meta_lightsail_instance_state="running", __meta_lightsail_instance_support_code="c", __meta_lightsail_ipv6_addresses=",2001::1,", __meta_lightsail_private_ip="10.0.0.1", __meta_lightsail_public_ip="5.5.5.5", __meta_lightsail_region="r1", __meta_lightsail_tag_a_b="c"}"#,
        );
    }
}
