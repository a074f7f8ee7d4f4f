//! `docker_sd_configs` and `dockerswarm_sd_configs`: what a Docker engine runs.
//!
//! Source: Prometheus `discovery/moby`.

use std::collections::BTreeMap;

use engine::model::Labels;
use serde_json::{Value, json};

use crate::config::{ContainerFilter, DockerSdConfig, DockerSwarmSdConfig};
use crate::discovery::TargetGroup;
use crate::discovery::api::{Api, Meta, MetaByKey, host_port, items, one_group, text};
use crate::http::url::escape_query;

const DOCKER: &str = "__meta_docker_";
const SWARM: &str = "__meta_dockerswarm_";

/// The engine's oldest version of the API that has all that is read here.
const VERSION: &str = "v1.24";

/// Where an engine listens, and the filters of a request.
struct Engine<'a> {
    api: &'a mut Api,
    base: String,
    filters: String,
}

impl<'a> Engine<'a> {
    fn new(host: &str, filters: &[ContainerFilter], api: &'a mut Api) -> Result<Self, String> {
        let base = match host.split_once("://") {
            Some(("unix", path)) => {
                api.unix_socket = path.to_owned();
                "http://docker".to_owned()
            }
            Some(("tcp", address)) => format!("http://{address}"),
            Some(("http" | "https", _)) => host.trim_end_matches('/').to_owned(),
            _ => return Err(format!("unable to parse docker host `{host}`")),
        };
        let mut by_name: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
        for filter in filters {
            let values = by_name.entry(&filter.name).or_default();
            values.extend(filter.values.iter().map(|value| (value.as_str(), true)));
        }
        let filters = if by_name.is_empty() { String::new() } else { json!(by_name).to_string() };
        Ok(Engine { api, base, filters })
    }

    async fn list(&mut self, what: &str, filtered: bool) -> Result<Value, String> {
        let mut url = format!("{}/{VERSION}/{what}", self.base);
        if filtered && !self.filters.is_empty() {
            url.push_str(&format!("?filters={}", escape_query(&self.filters)));
        }
        self.api.json(&url).await
    }

    /// Labels of networks by their id.
    async fn networks(&mut self, prefix: &'static str) -> Result<MetaByKey, String> {
        let networks = self.list("networks", false).await?;
        let labels = |network: &Value| {
            let mut meta = Meta::new(prefix);
            meta.set("network_id", text(&network["Id"]))
                .set("network_name", text(&network["Name"]))
                .set("network_scope", text(&network["Scope"]))
                .set("network_internal", (network["Internal"] == true).to_string())
                .set("network_ingress", (network["Ingress"] == true).to_string())
                .set_all("network_label_", &network["Labels"]);
            (text(&network["Id"]), meta)
        };
        Ok(items(&networks).iter().map(labels).collect())
    }
}

pub async fn containers(
    config: &DockerSdConfig,
    api: &mut Api,
) -> Result<Vec<TargetGroup>, String> {
    let mut engine = Engine::new(&config.host, &config.filters, api)?;
    let containers = engine.list("containers/json", true).await;
    let containers = containers.map_err(|why| format!("error while listing containers: {why}"))?;
    let networks = engine.networks(DOCKER).await;
    let networks =
        networks.map_err(|why| format!("error while computing network labels: {why}"))?;
    let by_id: BTreeMap<String, &Value> =
        items(&containers).iter().map(|container| (text(&container["Id"]), container)).collect();
    let mut targets = vec![];
    for container in items(&containers) {
        container_targets(config, container, &by_id, &networks, &mut targets);
    }
    Ok(one_group("Docker", targets))
}

fn container_targets(
    config: &DockerSdConfig,
    container: &Value,
    by_id: &BTreeMap<String, &Value>,
    network_labels: &MetaByKey,
    targets: &mut Vec<Labels>,
) {
    let Some(name) = items(&container["Names"]).first() else { return };
    let own_mode = text(&container["HostConfig"]["NetworkMode"]);
    let mut common = Meta::new(DOCKER);
    common
        .set("container_id", text(&container["Id"]))
        .set("container_name", text(name))
        .set("container_network_mode", &own_mode)
        .set("container_image", text(&container["Image"]))
        .set("container_image_id", text(&container["ImageID"]))
        .set_all("container_label_", &container["Labels"]);
    let networks = used_networks(container, by_id);
    let mut networks: Vec<(&String, &Value)> =
        networks.into_iter().flatten().filter(|(_, network)| !network.is_null()).collect();
    networks.sort_by_key(|(name, _)| *name);
    if config.match_first_network {
        networks.truncate(1);
    }
    for (_, network) in networks {
        let ip = match text(&network["IPAddress"]) {
            ip if ip.is_empty() => text(&network["GlobalIPv6Address"]),
            ip => ip,
        };
        let mut base = common.clone();
        base.set("network_ip", &ip);
        if let Some(labels) = network_labels.get(&text(&network["NetworkID"])) {
            base.merge(labels);
        }
        let ports = items(&container["Ports"]).iter().filter(|port| port["Type"] == "tcp");
        let mut has_ports = false;
        for port in ports {
            has_ports = true;
            let private = text(&port["PrivatePort"]);
            let mut meta = base.clone();
            meta.address(host_port(&ip, &private)).set("port_private", private);
            if port["PublicPort"].as_u64().is_some_and(|public| public > 0) {
                meta.set("port_public", text(&port["PublicPort"]));
                meta.set("port_public_ip", text(&port["IP"]));
            }
            targets.push(meta.finish());
        }
        if !has_ports {
            base.address(match own_mode.as_str() {
                "host" => config.host_networking_host.clone(),
                _ => host_port(&ip, config.port),
            });
            targets.push(base.finish());
        }
    }
}

/// A container's networks, or those of the container whose networks it shares.
fn used_networks<'a>(
    container: &'a Value,
    by_id: &BTreeMap<String, &'a Value>,
) -> Option<&'a serde_json::Map<String, Value>> {
    let mut current = container;
    // Sharing in a circle ends after as many steps as there are containers.
    for _ in 0..=by_id.len() {
        let networks = current["NetworkSettings"]["Networks"].as_object();
        if networks.is_some_and(|networks| !networks.is_empty()) {
            return networks;
        }
        let mode = text(&current["HostConfig"]["NetworkMode"]);
        current = by_id.get(mode.strip_prefix("container:")?)?;
    }
    None
}

pub async fn swarm(
    config: &DockerSwarmSdConfig,
    api: &mut Api,
) -> Result<Vec<TargetGroup>, String> {
    let mut engine = Engine::new(&config.host, &config.filters, api)?;
    let targets = match config.role.as_str() {
        "nodes" => swarm_nodes(config, &mut engine).await,
        "services" => swarm_services(config, &mut engine).await,
        _ => swarm_tasks(config, &mut engine).await,
    };
    let targets =
        targets.map_err(|why| format!("error while listing swarm {}: {why}", config.role))?;
    Ok(one_group("DockerSwarm", targets))
}

fn node_labels(node: &Value) -> Meta {
    let (spec, description, status) = (&node["Spec"], &node["Description"], &node["Status"]);
    let mut meta = Meta::new(SWARM);
    meta.set("node_id", text(&node["ID"]))
        .set("node_role", text(&spec["Role"]))
        .set("node_availability", text(&spec["Availability"]))
        .set("node_hostname", text(&description["Hostname"]))
        .set("node_platform_architecture", text(&description["Platform"]["Architecture"]))
        .set("node_platform_os", text(&description["Platform"]["OS"]))
        .set("node_status", text(&status["State"]))
        .set("node_address", text(&status["Addr"]))
        .set_all("node_label_", &spec["Labels"]);
    meta
}

async fn swarm_nodes(
    config: &DockerSwarmSdConfig,
    engine: &mut Engine<'_>,
) -> Result<Vec<Labels>, String> {
    let nodes = engine.list("nodes", true).await?;
    let target = |node: &Value| {
        let mut meta = node_labels(node);
        meta.set("node_engine_version", text(&node["Description"]["Engine"]["EngineVersion"]))
            .address(host_port(&text(&node["Status"]["Addr"]), config.port));
        let manager = &node["ManagerStatus"];
        if manager.is_object() {
            meta.set("node_manager_leader", (manager["Leader"] == true).to_string())
                .set("node_manager_reachability", text(&manager["Reachability"]))
                .set("node_manager_address", text(&manager["Addr"]));
        }
        meta.finish()
    };
    Ok(items(&nodes).iter().map(target).collect())
}

fn service_labels(service: &Value) -> Meta {
    let spec = &service["Spec"];
    let mode = if spec["Mode"]["Global"].is_object() {
        "global"
    } else if spec["Mode"]["Replicated"].is_object() {
        "replicated"
    } else {
        ""
    };
    let mut meta = Meta::new(SWARM);
    meta.set("service_id", text(&service["ID"]))
        .set("service_name", text(&spec["Name"]))
        .set("service_mode", mode)
        .set_all("service_label_", &spec["Labels"]);
    meta
}

/// `10.0.0.1` of `10.0.0.1/24`.
fn ip_of(cidr: &Value) -> String {
    text(cidr).split('/').next().unwrap_or("").to_owned()
}

fn tcp_ports(ports: &Value) -> impl Iterator<Item = &Value> {
    items(ports).iter().filter(|port| port["Protocol"] == "tcp")
}

async fn swarm_services(
    config: &DockerSwarmSdConfig,
    engine: &mut Engine<'_>,
) -> Result<Vec<Labels>, String> {
    let services = engine.list("services", true).await?;
    let networks = engine.networks(SWARM).await?;
    let mut targets = vec![];
    for service in items(&services) {
        let container = &service["Spec"]["TaskTemplate"]["ContainerSpec"];
        let mut common = service_labels(service);
        common
            .set("service_task_container_hostname", text(&container["Hostname"]))
            .set("service_task_container_image", text(&container["Image"]))
            .set("service_updating_status", text(&service["UpdateStatus"]["State"]));
        for address in items(&service["Endpoint"]["VirtualIPs"]) {
            let mut base = common.clone();
            if let Some(labels) = networks.get(&text(&address["NetworkID"])) {
                base.merge(labels);
            }
            let ip = ip_of(&address["Addr"]);
            let before = targets.len();
            for port in tcp_ports(&service["Endpoint"]["Ports"]) {
                let mut meta = base.clone();
                meta.set("service_endpoint_port_name", text(&port["Name"]))
                    .set("service_endpoint_port_publish_mode", text(&port["PublishMode"]))
                    .address(host_port(&ip, port["PublishedPort"].as_u64().unwrap_or(0)));
                targets.push(meta.finish());
            }
            if targets.len() == before {
                targets.push(base.address(host_port(&ip, config.port)).finish());
            }
        }
    }
    Ok(targets)
}

async fn swarm_tasks(
    config: &DockerSwarmSdConfig,
    engine: &mut Engine<'_>,
) -> Result<Vec<Labels>, String> {
    let tasks = engine.list("tasks", true).await?;
    let services = engine.list("services", false).await?;
    let services: BTreeMap<String, &Value> =
        items(&services).iter().map(|service| (text(&service["ID"]), service)).collect();
    let nodes = engine.list("nodes", false).await?;
    let nodes: MetaByKey =
        items(&nodes).iter().map(|node| (text(&node["ID"]), node_labels(node))).collect();
    let networks = engine.networks(SWARM).await?;
    let mut targets = vec![];
    for task in items(&tasks) {
        let mut common = Meta::new(SWARM);
        common
            .set("task_id", text(&task["ID"]))
            .set("task_desired_state", text(&task["DesiredState"]))
            .set("task_state", text(&task["Status"]["State"]))
            .set("task_slot", task["Slot"].as_i64().unwrap_or(0).to_string())
            .set("task_container_id", text(&task["Status"]["ContainerStatus"]["ContainerID"]))
            .set_all("container_label_", &task["Spec"]["ContainerSpec"]["Labels"]);
        let service = services.get(&text(&task["ServiceID"])).copied().unwrap_or(&Value::Null);
        if service.is_object() {
            common.merge(&service_labels(service));
        }
        let node = nodes.get(&text(&task["NodeID"]));
        if let Some(node) = node {
            common.merge(node);
        }
        let node_address = common.finish();
        let node_address = node_address.get(b"__meta_dockerswarm_node_address");
        let node_address = String::from_utf8_lossy(node_address).into_owned();
        let with_port = |base: &Meta, ip: &str, port: &Value| {
            let mut meta = base.clone();
            meta.set("task_port_publish_mode", text(&port["PublishMode"]))
                .address(host_port(ip, port["PublishedPort"].as_u64().unwrap_or(0)));
            meta.finish()
        };
        for port in tcp_ports(&task["Status"]["PortStatus"]["Ports"]) {
            targets.push(with_port(&common, &node_address, port));
        }
        for attachment in items(&task["NetworksAttachments"]) {
            let mut base = common.clone();
            if let Some(labels) = networks.get(&text(&attachment["Network"]["ID"])) {
                base.merge(labels);
            }
            for address in items(&attachment["Addresses"]) {
                let ip = ip_of(address);
                let before = targets.len();
                for port in tcp_ports(&service["Endpoint"]["Ports"]) {
                    targets.push(with_port(&base, &ip, port));
                }
                if targets.len() == before {
                    targets.push(base.clone().address(host_port(&ip, config.port)).finish());
                }
            }
        }
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;
    use crate::discovery::api::testing::check;
    use crate::http::testing::{Asked, FakeServer, Reply, reply_json, reply_status};
    use std::time::Duration;

    const NETWORKS: &str = r#"[{"Id":"n1","Name":"bridge","Scope":"local","Internal":false,
        "Ingress":false,"Labels":{"k":"v"}}]"#;

    fn engine(asked: &Asked) -> Reply {
        match asked.path() {
            "/v1.24/networks" => reply_json(NETWORKS),
            "/v1.24/containers/json" => reply_json(
                r#"[{"Id":"c1","Names":["/web"],"Image":"img","Labels":{"a.b":"1"},
                 "HostConfig":{"NetworkMode":"bridge"},
                 "NetworkSettings":{"Networks":{"bridge":{"NetworkID":"n1","IPAddress":"10.0.0.2"}}},
                 "Ports":[{"PrivatePort":80,"PublicPort":8080,"IP":"0.0.0.0","Type":"tcp"},
                          {"PrivatePort":53,"Type":"udp"}]},
                {"Id":"c2","Names":["/side"],"HostConfig":{"NetworkMode":"container:c1"},
                 "NetworkSettings":{"Networks":{}}},
                {"Id":"c3","Names":["/host"],"HostConfig":{"NetworkMode":"host"},
                 "NetworkSettings":{"Networks":{"host":{"NetworkID":"n9"}}}}]"#,
            ),
            "/v1.24/nodes" => reply_json(
                r#"[{"ID":"x","Spec":{"Role":"manager","Availability":"active"},
                "Description":{"Hostname":"h","Engine":{"EngineVersion":"1"}},
                "Status":{"State":"ready","Addr":"1.2.3.4"},
                "ManagerStatus":{"Leader":true,"Addr":"1.2.3.4:2377"}}]"#,
            ),
            "/v1.24/services" => reply_json(
                r#"[{"ID":"s","Spec":{"Name":"web","Mode":{"Global":{}},"TaskTemplate":{}},
                "Endpoint":{"Ports":[{"Name":"http","Protocol":"tcp","PublishedPort":80,
                "PublishMode":"ingress"}],"VirtualIPs":[{"NetworkID":"n1","Addr":"10.0.0.9/24"}]}}]"#,
            ),
            "/v1.24/tasks" => reply_json(
                r#"[{"ID":"t","ServiceID":"s","NodeID":"x","Slot":1,"DesiredState":"running",
                "Status":{"State":"running","ContainerStatus":{"ContainerID":"cc"},"PortStatus":{}},
                "NetworksAttachments":[{"Network":{"ID":"n1"},"Addresses":["10.0.0.7/24"]}]}]"#,
            ),
            _ => reply_status(404, ("a", "b")),
        }
    }

    #[test]
    fn docker() {
        let server = FakeServer::http(|asked| {
            assert!(
                !asked.path().contains("containers")
                    || asked.target.ends_with(
                        "?filters=%7B%22name%22%3A%7B%22a%22%3Atrue%2C%22b%22%3Atrue%7D%7D"
                    )
            );
            engine(asked)
        });
        let mut config = DockerSdConfig::default();
        let text =
            format!("host: tcp://{}\nfilters: [{{name: name, values: [a, b]}}]", server.address);
        yaml::decode(&text, &mut config).ok().unwrap();
        let mut api = Api::plain(Duration::from_secs(5));
        check(
            containers(&config, &mut api),
            r#"
Docker {}
  {__address__="10.0.0.2:80", __meta_docker_container_id="c1", __meta_docker_container_image="img", __meta_docker_container_label_a_b="1", __meta_docker_container_name="/web", __meta_docker_container_network_mode="bridge", __meta_docker_network_id="n1", __meta_docker_network_ingress="false", __meta_docker_network_internal="false", __meta_docker_network_ip="10.0.0.2", __meta_docker_network_label_k="v", __meta_docker_network_name="bridge", __meta_docker_network_scope="local", __meta_docker_port_private="80", __meta_docker_port_public="8080", __meta_docker_port_public_ip="0.0.0.0"}
  {__address__="10.0.0.2:80", __meta_docker_container_id="c2", __meta_docker_container_name="/side", __meta_docker_container_network_mode="container:c1", __meta_docker_network_id="n1", __meta_docker_network_ingress="false", __meta_docker_network_internal="false", __meta_docker_network_ip="10.0.0.2", __meta_docker_network_label_k="v", __meta_docker_network_name="bridge", __meta_docker_network_scope="local"}
  {__address__="localhost", __meta_docker_container_id="c3", __meta_docker_container_name="/host", __meta_docker_container_network_mode="host"}"#,
        );
    }

    #[track_caller]
    fn check_swarm(role: &str, expected: &str) {
        let server = FakeServer::http(engine);
        let mut config = DockerSwarmSdConfig::default();
        let text = format!("host: {}\nrole: {role}", server.url(""));
        yaml::decode(&text, &mut config).ok().unwrap();
        let mut api = Api::plain(Duration::from_secs(5));
        check(swarm(&config, &mut api), &format!("DockerSwarm {{}}\n  {expected}"));
    }

    #[test]
    fn dockerswarm() {
        check_swarm(
            "nodes",
            r#"{__address__="1.2.3.4:80", __meta_dockerswarm_node_address="1.2.3.4", __meta_dockerswarm_node_availability="active", __meta_dockerswarm_node_engine_version="1", __meta_dockerswarm_node_hostname="h", __meta_dockerswarm_node_id="x", __meta_dockerswarm_node_manager_address="1.2.3.4:2377", __meta_dockerswarm_node_manager_leader="true", __meta_dockerswarm_node_role="manager", __meta_dockerswarm_node_status="ready"}"#,
        );
        check_swarm(
            "services",
            r#"{__address__="10.0.0.9:80", __meta_dockerswarm_network_id="n1", __meta_dockerswarm_network_ingress="false", __meta_dockerswarm_network_internal="false", __meta_dockerswarm_network_label_k="v", __meta_dockerswarm_network_name="bridge", __meta_dockerswarm_network_scope="local", __meta_dockerswarm_service_endpoint_port_name="http", __meta_dockerswarm_service_endpoint_port_publish_mode="ingress", __meta_dockerswarm_service_id="s", __meta_dockerswarm_service_mode="global", __meta_dockerswarm_service_name="web"}"#,
        );
        check_swarm(
            "tasks",
            r#"{__address__="10.0.0.7:80", __meta_dockerswarm_network_id="n1", __meta_dockerswarm_network_ingress="false", __meta_dockerswarm_network_internal="false", __meta_dockerswarm_network_label_k="v", __meta_dockerswarm_network_name="bridge", __meta_dockerswarm_network_scope="local", __meta_dockerswarm_node_address="1.2.3.4", __meta_dockerswarm_node_availability="active", __meta_dockerswarm_node_hostname="h", __meta_dockerswarm_node_id="x", __meta_dockerswarm_node_role="manager", __meta_dockerswarm_node_status="ready", __meta_dockerswarm_service_id="s", __meta_dockerswarm_service_mode="global", __meta_dockerswarm_service_name="web", __meta_dockerswarm_task_container_id="cc", __meta_dockerswarm_task_desired_state="running", __meta_dockerswarm_task_id="t", __meta_dockerswarm_task_port_publish_mode="ingress", __meta_dockerswarm_task_slot="1", __meta_dockerswarm_task_state="running"}"#,
        );
    }
}
