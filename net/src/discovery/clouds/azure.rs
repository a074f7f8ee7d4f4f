//! `azure_sd_configs`: virtual machines of a subscription of Azure, those of scale sets included.
//!
//! Interfaces are asked for one by one and remembered for ten refreshes.
//!
//! Source: Prometheus `discovery/azure/azure.go`; Azure Resource Manager's REST API.

use std::time::Duration;

use engine::model::Labels;
use serde_json::Value;

use super::azure_token::{Cloud, Places, token};
use crate::config::AzureSdConfig;
use crate::discovery::TargetGroup;
use crate::discovery::api::{
    Api, Meta, Request, at, group, host_port, items, segment, text, text_at,
};
use crate::discovery::stats::DiscoveryStats;
use crate::log_warn;

const COMPUTE_VERSION: &str = "2024-07-01";
const NETWORK_VERSION: &str = "2023-11-01";
/// Interfaces of scale sets are read by an older version.
const SCALE_SET_NETWORK_VERSION: &str = "2018-10-01";

/// For how many refreshes an interface is remembered.
const INTERFACE_REFRESH_COUNT: u32 = 10;

pub async fn refresh(
    config: &AzureSdConfig,
    api: &mut Api,
    stats: &DiscoveryStats,
) -> Result<Vec<TargetGroup>, String> {
    let failed = |why: String| format!("could not create Azure client: {why}");
    let cloud = Cloud::of(&config.environment).map_err(failed)?;
    refresh_at(config, api, stats, &cloud.places()).await
}

async fn refresh_at(
    config: &AzureSdConfig,
    api: &mut Api,
    stats: &DiscoveryStats,
    places: &Places,
) -> Result<Vec<TargetGroup>, String> {
    let token = token(config, api, places).await?;
    let mut manager = Manager { config, api, stats, base: &places.manager, token };
    let machines = manager.machines().await?;
    let mut targets = vec![];
    for machine in &machines {
        let target = manager.target(machine).await;
        let target =
            target.map_err(|why| format!("unable to complete Azure service discovery: {why}"))?;
        targets.extend(target);
    }
    Ok(vec![group("", Labels::default(), targets)])
}

/// A virtual machine, and the scale set it belongs to.
struct Machine {
    value: Value,
    scale_set: String,
}

struct Manager<'a> {
    config: &'a AzureSdConfig,
    api: &'a mut Api,
    stats: &'a DiscoveryStats,
    base: &'a str,
    token: String,
}

/// The resource group in `/subscriptions/s/resourceGroups/g/…`.
fn resource_group(id: &str) -> Result<&str, String> {
    let mut parts = id.split('/').skip_while(|part| !part.eq_ignore_ascii_case("resourceGroups"));
    parts.nth(1).ok_or_else(|| format!("invalid ID '{id}'"))
}

impl Manager<'_> {
    async fn machines(&mut self) -> Result<Vec<Machine>, String> {
        let failed = |what: &'static str| move |why: String| format!("could not get {what}: {why}");
        let scope = match self.config.resource_group.as_str() {
            "" => String::new(),
            name => format!("/resourceGroups/{}", segment(name)),
        };
        let own = self.list(&format!("{scope}/providers/Microsoft.Compute/virtualMachines")).await;
        let own = own.map_err(failed("virtual machines"))?;
        let path = format!("{scope}/providers/Microsoft.Compute/virtualMachineScaleSets");
        let sets = self.list(&path).await.map_err(failed("virtual machine scale sets"))?;
        let single = |value| Machine { value, scale_set: String::new() };
        let mut machines: Vec<Machine> = own.into_iter().map(single).collect();
        for set in sets {
            let (id, name) = (text(&set["id"]), text(&set["name"]));
            let path = format!(
                "/resourceGroups/{}/providers/Microsoft.Compute/virtualMachineScaleSets/{}/virtualMachines",
                segment(resource_group(&id)?),
                segment(&name)
            );
            let found = self.list(&path).await;
            let found = found.map_err(failed("virtual machine scale set vms"))?;
            machines
                .extend(found.into_iter().map(|value| Machine { value, scale_set: name.clone() }));
        }
        Ok(machines)
    }

    fn url(&self, path: &str, version: &str) -> String {
        let subscription = segment(&self.config.subscription_id);
        format!("{}/subscriptions/{subscription}{path}?api-version={version}", self.base)
    }

    /// All pages of a list below the subscription.
    async fn list(&mut self, path: &str) -> Result<Vec<Value>, String> {
        let mut url = self.url(path, COMPUTE_VERSION);
        let mut all = vec![];
        while !url.is_empty() {
            let mut answer = self.api.ask(Request::get(&url).bearer(&self.token)).await?;
            if let Some(values) = answer["value"].as_array_mut() {
                all.append(values);
            }
            url = text(&answer["nextLink"]);
        }
        Ok(all)
    }

    /// None for a machine that has no interface or does not run.
    async fn target(&mut self, machine: &Machine) -> Result<Option<Labels>, String> {
        let value = &machine.value;
        let id = text(&value["id"]);
        let mut meta = Meta::new("__meta_azure_");
        meta.set("subscription_id", &self.config.subscription_id)
            .set("tenant_id", &self.config.tenant_id)
            .set("machine_resource_group", resource_group(&id)?)
            .set("machine_scale_set", &machine.scale_set)
            .set_all("machine_tag_", &value["tags"])
            .copy(
                value,
                &[
                    ("machine_id", "id"),
                    ("machine_name", "name"),
                    ("machine_computer_name", "properties.osProfile.computerName"),
                    ("machine_os_type", "properties.storageProfile.osDisk.osType"),
                    ("machine_location", "location"),
                    ("machine_size", "properties.hardwareProfile.vmSize"),
                ],
            );
        for reference in items(at(value, "properties.networkProfile.networkInterfaces")) {
            let id = text(&reference["id"]);
            let Some(interface) = self.interface(machine, &id).await? else {
                log_warn!("Network interface does not exist", "name" = id);
                return Ok(None);
            };
            let properties = &interface["properties"];
            match properties["primary"].as_bool() {
                None if properties.is_null() => continue,
                // A machine that was deallocated.
                None => return Ok(None),
                Some(false) => continue,
                Some(true) => {}
            }
            let Some(first) = items(&properties["ipConfigurations"]).first() else { continue };
            let private = text_at(first, "properties.privateIPAddress");
            if private.is_empty() {
                let name = text(&value["name"]);
                return Err(format!("unable to find a private IP for VM {name}"));
            }
            let public = text_at(first, "properties.publicIPAddress.properties.ipAddress");
            meta.set("machine_public_ip", public)
                .set("machine_private_ip", &private)
                .address(host_port(&private, self.config.port));
            return Ok(Some(meta.finish()));
        }
        Ok(None)
    }

    /// None if there is no such interface.
    async fn interface(&mut self, machine: &Machine, id: &str) -> Result<Option<Value>, String> {
        if let Some(known) = self.api.memory.get(id) {
            self.stats.counts().azure_cache_hits += 1;
            return Ok(Some(known.clone()));
        }
        let name = segment(id.rsplit('/').next().unwrap_or(""));
        let scope = format!("/resourceGroups/{}/providers", segment(resource_group(id)?));
        let url = if machine.scale_set.is_empty() {
            let path = format!("{scope}/Microsoft.Network/networkInterfaces/{name}");
            self.url(&path, NETWORK_VERSION)
        } else {
            let (set, instance) =
                (segment(&machine.scale_set), segment(&text(&machine.value["instanceId"])));
            let path = format!(
                "{scope}/microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines/{instance}\
                 /networkInterfaces/{name}"
            );
            self.url(&path, SCALE_SET_NETWORK_VERSION)
        };
        let url = format!("{url}&%24expand=IPConfigurations%2FPublicIPAddress");
        let failed = |why: String| format!("failed to retrieve Interface {id} with error: {why}");
        let reply = self.api.exchange(Request::get(url).bearer(&self.token)).await;
        let reply = reply.map_err(failed)?;
        if reply.status == 404 {
            return Ok(None);
        }
        let interface = reply.accepted().and_then(|reply| reply.json()).map_err(failed)?;
        // Not all at once: a part of them ends with every refresh.
        let spread = id.bytes().fold(0, |sum: u32, byte| sum.wrapping_add(u32::from(byte))) % 3;
        let lifetime: Duration = self.config.refresh_interval.duration();
        let lifetime = lifetime * (INTERFACE_REFRESH_COUNT + spread);
        self.api.memory.put(id, interface.clone(), lifetime);
        Ok(Some(interface))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    const SECTION: &str = "{subscription_id: S, tenant_id: T, client_id: C, client_secret: x}";

    async fn refresh_twice(
        config: &AzureSdConfig,
        api: &mut Api,
        base: &str,
    ) -> Result<Vec<TargetGroup>, String> {
        let stats = DiscoveryStats::default();
        let places = Places::for_tests(base);
        let first = refresh_at(config, api, &stats, &places).await?;
        assert_eq!(refresh_at(config, api, &stats, &places).await?, first);
        assert_eq!(stats.counts().azure_cache_hits, 2);
        Ok(first)
    }

    #[test]
    fn machines() {
        let id = "/subscriptions/S/resourceGroups/G/providers";
        let machine = r#"{"value":[{"id":"ID/Microsoft.Compute/virtualMachines/m","name":"m",
            "type":"t","location":"westeurope","tags":{"a-b":"c"},"properties":{"osProfile":
            {"computerName":"cn"},"storageProfile":{"osDisk":{"osType":"Linux"}},"hardwareProfile":
            {"vmSize":"B1"},"networkProfile":{"networkInterfaces":[{"id":
            "ID/Microsoft.Network/networkInterfaces/nic"}]}}}],"nextLink":"SERVER/more"}"#;
        let sets = r#"{"value":[{"id":"ID/Microsoft.Compute/virtualMachineScaleSets/set","name":
            "set"}]}"#;
        let in_set = r#"{"value":[{"id":"ID/Microsoft.Compute/virtualMachineScaleSets/set/virtualMachines/0",
            "name":"set_0","instanceId":"0","location":"l","properties":{"networkProfile":{
            "networkInterfaces":[{"id":"ID/x/networkInterfaces/nic2"}]}}}]}"#;
        let nic = r#"{"properties":{"primary":true,"ipConfigurations":[{"properties":{
            "privateIPAddress":"10.0.0.1","publicIPAddress":{"properties":{"ipAddress":"5.5.5.5"}}}}]}}"#;
        let nic2 = r#"{"properties":{"primary":true,"ipConfigurations":[{"properties":{
            "privateIPAddress":"10.0.0.2"}}]}}"#;
        let owned = [machine, sets, in_set].map(|answer| answer.replace("ID", id));
        let lists = [
            (
                "GET /subscriptions/S/providers/Microsoft.Compute/virtualMachines?api-version=2024-07-01\n\
                 authorization: Bearer tok",
                owned[0].as_str(),
            ),
            ("GET /more\nauthorization: Bearer tok", r#"{"value":[]}"#),
            (
                "GET /subscriptions/S/providers/Microsoft.Compute/virtualMachineScaleSets?api-version=2024-07-01",
                owned[1].as_str(),
            ),
            (
                "GET /subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachineScaleSets\
                 /set/virtualMachines?api-version=2024-07-01",
                owned[2].as_str(),
            ),
        ];
        let mut exchanges = vec![(
            "POST /T/oauth2/v2.0/token\n=grant_type=client_credentials&client_id=C&scope=\
             https%3A%2F%2Fmanagement.core.windows.net%2F%2F.default&client_secret=x",
            r#"{"access_token":"tok","expires_in":3600}"#,
        )];
        exchanges.extend(lists);
        exchanges.push((
            "GET /subscriptions/S/resourceGroups/G/providers/Microsoft.Network/networkInterfaces/nic\
             ?api-version=2023-11-01&%24expand=IPConfigurations%2FPublicIPAddress",
            nic,
        ));
        exchanges.push((
            "GET /subscriptions/S/resourceGroups/G/providers/microsoft.Compute/virtualMachineScaleSets\
             /set/virtualMachines/0/networkInterfaces/nic2?api-version=2018-10-01\
             &%24expand=IPConfigurations%2FPublicIPAddress",
            nic2,
        ));
        exchanges.extend(lists);
        check_provider(
            SECTION,
            &exchanges,
            refresh_twice,
            r#"
 {}
  {__address__="10.0.0.1:80", __meta_azure_machine_computer_name="cn", __meta_azure_machine_id="/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/m", __meta_azure_machine_location="westeurope", __meta_azure_machine_name="m", __meta_azure_machine_os_type="Linux", __meta_azure_machine_private_ip="10.0.0.1", __meta_azure_machine_public_ip="5.5.5.5", __meta_azure_machine_resource_group="G", __meta_azure_machine_size="B1", __meta_azure_machine_tag_a_b="c", __meta_azure_subscription_id="S", __meta_azure_tenant_id="T"}
  {__address__="10.0.0.2:80", __meta_azure_machine_id="/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachineScaleSets/set/virtualMachines/0", __meta_azure_machine_location="l", __meta_azure_machine_name="set_0", __meta_azure_machine_private_ip="10.0.0.2", __meta_azure_machine_resource_group="G", __meta_azure_machine_scale_set="set", __meta_azure_subscription_id="S", __meta_azure_tenant_id="T"}"#,
        );
    }

    #[test]
    fn machines_without_an_interface() {
        let machine = r#"{"value":[
            {"id":"/resourceGroups/G/x","properties":{"networkProfile":{"networkInterfaces":[
            {"id":"/resourceGroups/G/gone"}]}}},
            {"id":"/resourceGroups/G/y","properties":{"networkProfile":{"networkInterfaces":[
            {"id":"/resourceGroups/G/off"}]}}}]}"#;
        let nic = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/networkInterfaces";
        let asked = "?api-version=2023-11-01&%24expand=IPConfigurations%2FPublicIPAddress";
        let (gone, off) = (format!("GET {nic}/gone{asked}"), format!("GET {nic}/off{asked}"));
        check_provider(
            "{subscription_id: S, authentication_method: ManagedIdentity, client_id: C, resource_group: G}",
            &[
                (
                    "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=\
                     https%3A%2F%2Fmanagement.core.windows.net%2F&client_id=C\nmetadata: true",
                    r#"{"access_token":"tok","expires_in":"3600"}"#,
                ),
                (
                    "GET /subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines\
                     ?api-version=2024-07-01",
                    machine,
                ),
                (
                    "GET /subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachineScaleSets\
                     ?api-version=2024-07-01",
                    r#"{"value":[]}"#,
                ),
                (&gone, "404\n{}"),
                (&off, r#"{"properties":{"ipConfigurations":[]}}"#),
            ],
            async |config, api, base| {
                refresh_at(config, api, &DiscoveryStats::default(), &Places::for_tests(base)).await
            },
            " {}",
        );
    }
}
