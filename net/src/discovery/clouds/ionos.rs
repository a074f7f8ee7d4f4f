//! `ionos_sd_configs`: servers of one data centre of IONOS Cloud.
//!
//! Source: Prometheus `discovery/ionos`.

use std::collections::BTreeMap;

use engine::model::Labels;
use serde_json::Value;

use crate::config::IonosSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{
    Api, Meta, at, host_port, items, joined, one_group, segment, text, texts,
};

pub const API: &str = "https://api.ionos.com";

pub async fn refresh(
    config: &IonosSdConfig,
    api: &mut Api,
    base: &str,
) -> Result<Vec<TargetGroup>, String> {
    let id = segment(&config.datacenter_id);
    let servers = api.json(&format!("{base}/cloudapi/v6/datacenters/{id}/servers?depth=3")).await?;
    let list_id = text(&servers["id"]);
    let targets = items(&servers["items"]).iter().filter_map(|s| target(config, s, &list_id));
    Ok(one_group("ionos", targets.collect()))
}

/// None for a server without an address.
fn target(config: &IonosSdConfig, server: &Value, list_id: &str) -> Option<Labels> {
    let mut addresses = vec![];
    let mut by_interface: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    // Those of later interfaces stand first.
    for interface in items(at(server, "entities.nics.items")).iter().rev() {
        let properties = &interface["properties"];
        if properties.is_null() {
            continue;
        }
        let own: Vec<String> = texts(&properties["ips"]).collect();
        addresses.extend_from_slice(&own);
        by_interface
            .entry(properties["name"].as_str().unwrap_or("unnamed"))
            .or_default()
            .extend(own);
    }
    let mut meta = Meta::new("__meta_ionos_server_");
    meta.address(host_port(addresses.first()?, config.port))
        .set("ip", joined(&addresses, ","))
        .set("servers_id", list_id)
        .copy(
            server,
            &[
                ("id", "id"),
                ("lifecycle", "metadata.state"),
                ("availability_zone", "properties.availabilityZone"),
                ("cpu_family", "properties.cpuFamily"),
                ("name", "properties.name"),
                ("state", "properties.vmState"),
                ("type", "properties.type"),
                ("boot_cdrom_id", "properties.bootCdrom.id"),
                ("boot_volume_id", "properties.bootVolume.id"),
            ],
        );
    for (name, own) in by_interface {
        meta.set_free("nic_ip_", name, joined(&own, ","));
    }
    if let Some(volume) = items(at(server, "entities.volumes.items")).first() {
        meta.copy(volume, &[("boot_image_id", "properties.image")]);
    }
    Some(meta.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    #[test]
    fn servers() {
        check_provider(
            "datacenter_id: d",
            &[(
                "GET /cloudapi/v6/datacenters/d/servers?depth=3",
                r#"{"id":"d/servers","items":[{"id":"s","metadata":{"state":"AVAILABLE"},
                "properties":{"name":"n","availabilityZone":"ZONE_1","cpuFamily":"INTEL","vmState":
                "RUNNING","type":"CUBE","bootCdrom":null,"bootVolume":{"id":"v"}},"entities":{
                "volumes":{"items":[{"properties":{"image":"img"}}]},"nics":{"items":[
                {"properties":{"name":"first nic","ips":["10.0.0.1"]}},
                {"properties":{"ips":["10.0.0.2","10.0.0.3"]}},{}]}}},
                {"id":"without an address"}]}"#,
            )],
            refresh,
            r#"
ionos {}
  {__address__="10.0.0.2:80", __meta_ionos_server_availability_zone="ZONE_1", __meta_ionos_server_boot_image_id="img", __meta_ionos_server_boot_volume_id="v", __meta_ionos_server_cpu_family="INTEL", __meta_ionos_server_id="s", __meta_ionos_server_ip=",10.0.0.2,10.0.0.3,10.0.0.1,", __meta_ionos_server_lifecycle="AVAILABLE", __meta_ionos_server_name="n", __meta_ionos_server_nic_ip_first_nic=",10.0.0.1,", __meta_ionos_server_nic_ip_unnamed=",10.0.0.2,10.0.0.3,", __meta_ionos_server_servers_id="d/servers", __meta_ionos_server_state="RUNNING", __meta_ionos_server_type="CUBE"}"#,
        );
        check_provider(
            "datacenter_id: d",
            &[("GET /cloudapi/v6/datacenters/d/servers?depth=3", r#"{"id":"d/servers"}"#)],
            refresh,
            "ionos {}",
        );
    }
}
