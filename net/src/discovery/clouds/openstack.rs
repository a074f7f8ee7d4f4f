//! `openstack_sd_configs`: hypervisors, instances and load balancers of one region of OpenStack.
//!
//! Source: Prometheus `discovery/openstack`; OpenStack's SDK for Go (endpoints, paging).

use std::collections::{BTreeMap, BTreeSet};

use engine::model::Labels;
use serde_json::Value;

use super::openstack_identity::{Session, authenticate};
use crate::config::{HttpClientConfig, OpenstackSdConfig};
use crate::discovery::TargetGroup;
use crate::discovery::api::json::int;
use crate::discovery::api::{Api, Meta, Request, host_port, items, one_group, text, texts};
use crate::{log_info, log_warn};

const PREFIX: &str = "__meta_openstack_";

pub fn http(config: &OpenstackSdConfig) -> HttpClientConfig {
    let tls_config = config.tls_config.clone();
    HttpClientConfig { tls_config, follow_redirects: true, ..HttpClientConfig::default() }
}

pub async fn refresh(
    config: &OpenstackSdConfig,
    api: &mut Api,
) -> Result<Vec<TargetGroup>, String> {
    let session = authenticate(config, api).await;
    let session = session.map_err(|why| format!("could not authenticate to OpenStack: {why}"))?;
    let mut cloud = Cloud { config, api, session };
    let targets = match config.role.as_str() {
        "hypervisor" => cloud.hypervisors().await?,
        "loadbalancer" => cloud.load_balancers().await?,
        _ => cloud.instances().await?,
    };
    Ok(one_group(&format!("OS_{}", config.region), targets))
}

struct Cloud<'a> {
    config: &'a OpenstackSdConfig,
    api: &'a mut Api,
    session: Session,
}

impl Cloud<'_> {
    /// Where a service is; its version is not part of it.
    fn endpoint(&self, service: &str, name: &str) -> Result<String, String> {
        let (region, interface) = (&self.config.region, &self.config.availability);
        let found = self.session.endpoint(service, interface, region);
        let found =
            found.map_err(|why| format!("could not create OpenStack {name} session: {why}"))?;
        Ok(found.trim_end_matches('/').to_owned())
    }

    fn network(&self) -> Result<String, String> {
        let found = self.endpoint("network", "network")?;
        Ok(format!("{}/v2.0", found.trim_end_matches("/v2.0")))
    }

    /// All pages of a list.
    async fn list(&mut self, url: String, key: &str) -> Result<Vec<Value>, String> {
        let links = format!("{key}_links");
        let (mut url, mut all) = (url, vec![]);
        while !url.is_empty() {
            let request = Request::get(&url).with("x-auth-token", &self.session.token);
            let mut answer = self.api.ask(request).await?;
            if let Some(found) = answer[key].as_array_mut() {
                all.append(found);
            }
            let next = items(&answer[&links]).iter().find(|link| link["rel"] == "next");
            url = next.map_or_else(String::new, |link| text(&link["href"]));
        }
        Ok(all)
    }

    async fn hypervisors(&mut self) -> Result<Vec<Labels>, String> {
        let compute = self.endpoint("compute", "compute")?;
        let found = self.list(format!("{compute}/os-hypervisors/detail"), "hypervisors").await?;
        let target = |hypervisor: &Value| {
            let mut meta = Meta::new(PREFIX);
            meta.address(host_port(&text(&hypervisor["host_ip"]), self.config.port)).copy(
                hypervisor,
                &[
                    ("hypervisor_id", "id"),
                    ("hypervisor_hostname", "hypervisor_hostname"),
                    ("hypervisor_host_ip", "host_ip"),
                    ("hypervisor_status", "status"),
                    ("hypervisor_state", "state"),
                    ("hypervisor_type", "hypervisor_type"),
                ],
            );
            meta.finish()
        };
        Ok(found.iter().map(target).collect())
    }

    async fn instances(&mut self) -> Result<Vec<Labels>, String> {
        let (compute, network) = (self.endpoint("compute", "compute")?, self.network()?);
        let ports = self.list(format!("{network}/ports"), "ports").await;
        let ports = ports.map_err(|why| format!("failed to list all ports: {why}"))?;
        let devices: BTreeMap<String, String> =
            ports.iter().map(|port| (text(&port["id"]), text(&port["device_id"]))).collect();
        let mut floating = Floating::default();
        for ip in self.list(format!("{network}/floatingips"), "floatingips").await? {
            floating.take(&ip, &devices);
        }
        let all = if self.config.all_tenants { "?all_tenants=true" } else { "" };
        let servers = self.list(format!("{compute}/servers/detail{all}"), "servers").await?;
        Ok(servers.iter().flat_map(|server| instance(self.config, server, &floating)).collect())
    }

    async fn load_balancers(&mut self) -> Result<Vec<Labels>, String> {
        let octavia = self.endpoint("load-balancer", "load balancer")?;
        let octavia = format!("{}/v2.0/lbaas", octavia.trim_end_matches("/v2.0"));
        let network = self.network()?;
        let balancers = self.list(format!("{octavia}/loadbalancers"), "loadbalancers").await;
        let balancers = balancers.map_err(|why| format!("failed to list load balancers: {why}"))?;
        let listeners = self.list(format!("{octavia}/listeners"), "listeners").await;
        let listeners = listeners.map_err(|why| format!("failed to list all listeners: {why}"))?;
        let floating = self.list(format!("{network}/floatingips"), "floatingips").await;
        let floating = floating.map_err(|why| format!("failed to list floating IPs: {why}"))?;
        // Ports of those that serve metrics; the first listener of a balancer counts.
        let mut ports: BTreeMap<String, i64> = BTreeMap::new();
        for listener in listeners.iter().filter(|listener| listener["protocol"] == "PROMETHEUS") {
            for balancer in items(&listener["loadbalancers"]) {
                ports.entry(text(&balancer["id"])).or_insert(int(&listener["protocol_port"]));
            }
        }
        let public: BTreeMap<String, String> = floating
            .iter()
            .map(|ip| (text(&ip["port_id"]), text(&ip["floating_ip_address"])))
            .filter(|(port, _)| !port.is_empty())
            .collect();
        let target = |balancer: &Value| {
            let port = ports.get(&text(&balancer["id"]))?;
            let tags: Vec<String> = texts(&balancer["tags"]).collect();
            let public = public.get(&text(&balancer["vip_port_id"]));
            let mut meta = Meta::new(PREFIX);
            meta.address(host_port(&text(&balancer["vip_address"]), port))
                .set("loadbalancer_tags", tags.join(","))
                .set("loadbalancer_floating_ip", public.map_or("", String::as_str))
                .copy(
                    balancer,
                    &[
                        ("loadbalancer_id", "id"),
                        ("loadbalancer_name", "name"),
                        ("loadbalancer_operating_status", "operating_status"),
                        ("loadbalancer_provisioning_status", "provisioning_status"),
                        ("loadbalancer_availability_zone", "availability_zone"),
                        ("loadbalancer_vip", "vip_address"),
                        ("loadbalancer_provider", "provider"),
                        ("project_id", "project_id"),
                    ],
                );
            Some(meta.finish())
        };
        Ok(balancers.iter().filter_map(target).collect())
    }
}

/// Floating addresses.
#[derive(Default)]
struct Floating {
    /// By device and the fixed address it stands for.
    of: BTreeMap<(String, String), String>,
    all: BTreeSet<String>,
}

impl Floating {
    fn take(&mut self, ip: &Value, devices: &BTreeMap<String, String>) {
        let [port, fixed, own] =
            ["port_id", "fixed_ip_address", "floating_ip_address"].map(|name| text(&ip[name]));
        if port.is_empty() || fixed.is_empty() {
            return;
        }
        match devices.get(&port) {
            Some(device) => {
                self.of.insert((device.clone(), fixed), own.clone());
                self.all.insert(own);
            }
            None => log_warn!("Floating IP PortID not found in portList", "PortID" = port),
        }
    }
}

/// A target for each address that does not float.
fn instance(config: &OpenstackSdConfig, server: &Value, floating: &Floating) -> Vec<Labels> {
    let id = text(&server["id"]);
    let pools = server["addresses"].as_object();
    let Some(pools) = pools.filter(|pools| !pools.is_empty()) else {
        log_info!("Got no IP address", "instance" = id);
        return vec![];
    };
    let flavor = &server["flavor"];
    let Some(flavor) = flavor["original_name"].as_str().or_else(|| flavor["id"].as_str()) else {
        log_warn!("Invalid type for both flavor original_name and flavor id, expected string");
        return vec![];
    };
    let mut common = Meta::new(PREFIX);
    common.set("instance_flavor", flavor).set_all("tag_", &server["metadata"]).copy(
        server,
        &[
            ("instance_id", "id"),
            ("instance_status", "status"),
            ("instance_name", "name"),
            ("project_id", "tenant_id"),
            ("user_id", "user_id"),
            ("instance_image", "image.id"),
        ],
    );
    let mut targets = vec![];
    for (pool, addresses) in pools {
        for address in items(addresses).iter().filter_map(|address| address["addr"].as_str()) {
            if floating.all.contains(address) {
                continue;
            }
            let public = floating.of.get(&(id.clone(), address.to_owned()));
            let mut meta = common.clone();
            meta.address(host_port(address, config.port))
                .set("address_pool", pool)
                .set("private_ip", address)
                .set("public_ip", public.map_or("", String::as_str));
            targets.push(meta.finish());
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check_provider;

    const CATALOG: &str = r#"201 x-subject-token: tok
        {"token":{"catalog":[
        {"type":"compute","endpoints":[{"interface":"public","region_id":"R","url":"SERVER/c/"}]},
        {"type":"network","endpoints":[{"interface":"public","region_id":"R","url":"SERVER/n"}]},
        {"type":"load-balancer","endpoints":[{"interface":"public","region":"R","url":"SERVER/l"},
        {"interface":"public","region":"other","url":"x"}]}]}}"#;

    #[track_caller]
    fn check(role: &str, lists: &[(&str, &str)], expected: &str) {
        let section = format!(
            "{{identity_endpoint: SERVER/v3/, username: u, password: p, project_name: t, \
             domain_name: d, region: R, role: {role}}}"
        );
        let login = (
            "POST /v3/auth/tokens\n{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":\
             {\"user\":{\"name\":\"u\",\"domain\":{\"name\":\"d\"},\"password\":\"p\"}}},\"scope\":\
             {\"project\":{\"name\":\"t\",\"domain\":{\"name\":\"d\"}}}}}",
            CATALOG,
        );
        let exchanges: Vec<_> = [login].into_iter().chain(lists.iter().copied()).collect();
        check_provider(
            &section,
            &exchanges,
            async |config, api, _| refresh(config, api).await,
            expected,
        );
    }

    #[test]
    fn hypervisors() {
        check(
            "hypervisor",
            &[
                (
                    "GET /c/os-hypervisors/detail\nx-auth-token: tok",
                    r#"{"hypervisors":[{"id":1,"hypervisor_hostname":"h","host_ip":"1.2.3.4","status":
                    "enabled","state":"up","hypervisor_type":"QEMU"}],"hypervisors_links":[
                    {"rel":"next","href":"SERVER/c/more"}]}"#,
                ),
                ("GET /c/more", r#"{"hypervisors":[]}"#),
            ],
            r#"
OS_R {}
  {__address__="1.2.3.4:80", __meta_openstack_hypervisor_host_ip="1.2.3.4", __meta_openstack_hypervisor_hostname="h", __meta_openstack_hypervisor_id="1", __meta_openstack_hypervisor_state="up", __meta_openstack_hypervisor_status="enabled", __meta_openstack_hypervisor_type="QEMU"}"#,
        );
    }

    #[test]
    fn instances() {
        check(
            "instance",
            &[
                ("GET /n/v2.0/ports", r#"{"ports":[{"id":"port","device_id":"i"}]}"#),
                (
                    "GET /n/v2.0/floatingips",
                    r#"{"floatingips":[{"port_id":"port","fixed_ip_address":"10.0.0.1",
                    "floating_ip_address":"5.5.5.5"},{"port_id":null,"floating_ip_address":"6"},
                    {"port_id":"lost","fixed_ip_address":"1","floating_ip_address":"7"}]}"#,
                ),
                (
                    "GET /c/servers/detail",
                    r#"{"servers":[{"id":"i","name":"n","status":"ACTIVE","tenant_id":"t","user_id":"u",
                    "flavor":{"original_name":"m1","id":"1"},"image":{"id":"img"},"metadata":{"a-b":"c"},
                    "addresses":{"private":[{"addr":"10.0.0.1"},{"addr":"5.5.5.5"}],"z":[{"addr":
                    "fd00::1"}]}},{"id":"j","addresses":{}},{"id":"k","image":"","addresses":{"p":
                    [{"addr":"1.1.1.1"}]}}]}"#,
                ),
            ],
            r#"
OS_R {}
  {__address__="10.0.0.1:80", __meta_openstack_address_pool="private", __meta_openstack_instance_flavor="m1", __meta_openstack_instance_id="i", __meta_openstack_instance_image="img", __meta_openstack_instance_name="n", __meta_openstack_instance_status="ACTIVE", __meta_openstack_private_ip="10.0.0.1", __meta_openstack_project_id="t", __meta_openstack_public_ip="5.5.5.5", __meta_openstack_tag_a_b="c", __meta_openstack_user_id="u"}
  {__address__="[fd00::1]:80", __meta_openstack_address_pool="z", __meta_openstack_instance_flavor="m1", __meta_openstack_instance_id="i", __meta_openstack_instance_image="img", __meta_openstack_instance_name="n", __meta_openstack_instance_status="ACTIVE", __meta_openstack_private_ip="fd00::1", __meta_openstack_project_id="t", __meta_openstack_tag_a_b="c", __meta_openstack_user_id="u"}"#,
        );
    }

    #[test]
    fn load_balancers() {
        check(
            "loadbalancer",
            &[
                (
                    "GET /l/v2.0/lbaas/loadbalancers",
                    r#"{"loadbalancers":[{"id":"b","name":"n","operating_status":"ONLINE",
                    "provisioning_status":"ACTIVE","availability_zone":"az","vip_address":"10.0.0.9",
                    "vip_port_id":"vp","provider":"amphora","project_id":"t","tags":["x","y"]},
                    {"id":"plain"}]}"#,
                ),
                (
                    "GET /l/v2.0/lbaas/listeners",
                    r#"{"listeners":[{"protocol":"HTTP","protocol_port":80,"loadbalancers":[{"id":
                    "plain"},{"id":"b"}]},{"protocol":"PROMETHEUS","protocol_port":8088,"loadbalancers":
                    [{"id":"b"}]}]}"#,
                ),
                (
                    "GET /n/v2.0/floatingips",
                    r#"{"floatingips":[{"port_id":"vp","floating_ip_address":"5.5.5.5"}]}"#,
                ),
            ],
            r#"
OS_R {}
  {__address__="10.0.0.9:8088", __meta_openstack_loadbalancer_availability_zone="az", __meta_openstack_loadbalancer_floating_ip="5.5.5.5", __meta_openstack_loadbalancer_id="b", __meta_openstack_loadbalancer_name="n", __meta_openstack_loadbalancer_operating_status="ONLINE", __meta_openstack_loadbalancer_provider="amphora", __meta_openstack_loadbalancer_provisioning_status="ACTIVE", __meta_openstack_loadbalancer_tags="x,y", __meta_openstack_loadbalancer_vip="10.0.0.9", __meta_openstack_project_id="t"}"#,
        );
    }

    #[test]
    fn refusals() {
        check(
            "hypervisor",
            &[("GET /c/os-hypervisors/detail", "401\nno")],
            "server returned HTTP status 401 Unauthorized: no",
        );
        check_provider(
            "{identity_endpoint: SERVER, application_credential_id: a, application_credential_secret: s, \
             region: R, role: instance, availability: internal}",
            &[(
                "POST /v3/auth/tokens\n{\"auth\":{\"identity\":{\"methods\":[\"application_credential\"],\
                 \"application_credential\":{\"secret\":\"s\",\"id\":\"a\"}}}}",
                CATALOG,
            )],
            async |config, api, _| refresh(config, api).await,
            "could not create OpenStack compute session: No suitable endpoint could be found in the \
             service catalog.",
        );
    }
}
