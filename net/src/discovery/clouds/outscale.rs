//! `outscale_sd_configs`: virtual machines of one region of Outscale, whose requests are signed as
//! those of AWS.
//!
//! Source: Prometheus `discovery/outscale`, Outscale's SDK for Go (signatures).

use engine::model::Labels;
use serde_json::{Value, json};

use crate::config::OutscaleSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, Request, host_port, items, one_group, secret, text};
use crate::discovery::aws::sign;
use crate::http::sigv4::Credentials;

pub async fn refresh(config: &OutscaleSdConfig, api: &mut Api) -> Result<Vec<TargetGroup>, String> {
    let key = secret(config.secret_key.reveal(), &config.secret_key_file, "outscale secret key")?;
    let credentials =
        Credentials { id: config.access_key.clone(), secret: key, token: String::new() };
    let url = format!("{}/ReadVms", config.endpoint.trim_end_matches('/'));
    let mut targets = vec![];
    let mut next = String::new();
    loop {
        let body = match next.as_str() {
            "" => json!({}),
            next => json!({"NextPageToken": next}),
        };
        let request = sign(Request::post_json(&url, &body), &credentials, "oapi", &config.region)?;
        let answer = api.ask(request).await.map_err(|why| format!("outscale ReadVms: {why}"))?;
        targets.extend(items(&answer["Vms"]).iter().filter_map(|machine| target(config, machine)));
        next = text(&answer["NextPageToken"]);
        if next.is_empty() {
            return Ok(one_group(&config.region, targets));
        }
    }
}

/// None for a machine without an address.
fn target(config: &OutscaleSdConfig, machine: &Value) -> Option<Labels> {
    let addresses = [text(&machine["PrivateIp"]), text(&machine["PublicIp"])];
    let address = addresses.iter().find(|ip| !ip.is_empty())?;
    let mut meta = Meta::new("__meta_outscale_vm_");
    meta.address(host_port(address, config.port))
        .set("region", &config.region)
        .copy(
            machine,
            &[
                ("instance_id", "VmId"),
                ("state", "State"),
                ("subregion", "Placement.SubregionName"),
                ("private_ip", "PrivateIp"),
                ("public_ip", "PublicIp"),
            ],
        )
        .set_tags("tag_", &machine["Tags"], "Key", "Value");
    Some(meta.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[test]
    fn machines() {
        check_provider(
            "{endpoint: SERVER/api/v1, access_key: a, secret_key: s}",
            &[
                (
                    "POST /api/v1/ReadVms\nauthorization: AWS4-HMAC-SHA256 Credential=a/\n{}",
                    r#"{"Vms":[{"VmId":"i-1","State":"running","PrivateIp":"10.0.0.1","PublicIp":
                    "5.5.5.5","Placement":{"SubregionName":"eu-west-2a"},"Tags":[{"Key":"Na me",
                    "Value":"n"},{"Key":"x","Value":""}]}],"NextPageToken":"t"}"#,
                ),
                (
                    "POST /api/v1/ReadVms\n{\"NextPageToken\":\"t\"}",
                    r#"{"Vms":[{"VmId":"i-2","State":"stopped","PublicIp":"5.5.5.6"},
                    {"VmId":"none"}]}"#,
                ),
            ],
            async |config, api, _| refresh(config, api).await,
            r#"
eu-west-2 {}
  {__address__="10.0.0.1:80", __meta_outscale_vm_instance_id="i-1", __meta_outscale_vm_private_ip="10.0.0.1", __meta_outscale_vm_public_ip="5.5.5.5", __meta_outscale_vm_region="eu-west-2", __meta_outscale_vm_state="running", __meta_outscale_vm_subregion="eu-west-2a", __meta_outscale_vm_tag_Na_me="n"}
  {__address__="5.5.5.6:80", __meta_outscale_vm_instance_id="i-2", __meta_outscale_vm_public_ip="5.5.5.6", __meta_outscale_vm_region="eu-west-2", __meta_outscale_vm_state="stopped"}"#,
        );
    }
}
