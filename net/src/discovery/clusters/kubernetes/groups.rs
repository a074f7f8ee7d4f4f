//! Objects of a cluster to groups of targets, a role each.
//!
//! Source: Prometheus `discovery/kubernetes/{node,pod,service,endpoints,endpointslice,ingress}.go`.

use std::collections::BTreeMap;

use engine::model::Labels;
use serde_json::Value;

use super::objects::{Kind, Objects, controller, join, key};
use crate::config::KubernetesAttachMetadata;
use crate::discovery::TargetGroup;
use crate::discovery::api::{Meta, group, host_port, items, pairs, text};

const PREFIX: &str = "__meta_kubernetes_";

/// What is known of the cluster, by kind.
#[derive(Default)]
pub struct Stores(BTreeMap<Kind, Objects>);

impl Stores {
    pub fn of(&self, kind: Kind) -> &Objects {
        static NONE: Objects = Objects::new();
        self.0.get(&kind).unwrap_or(&NONE)
    }

    pub fn of_mut(&mut self, kind: Kind) -> &mut Objects {
        self.0.entry(kind).or_default()
    }
}

/// Makes groups of one role; `attach` says what is told of other objects.
pub struct Maker<'a> {
    pub stores: &'a Stores,
    pub attach: &'a KubernetesAttachMetadata,
}

impl Maker<'_> {
    pub fn groups(&self, role: Kind) -> Vec<TargetGroup> {
        let objects = self.stores.of(role).values();
        match role {
            Kind::Node => objects.filter_map(node).collect(),
            Kind::Pod => objects.map(|pod| self.pod(pod)).collect(),
            Kind::Service => objects.map(|service| self.service(service)).collect(),
            Kind::Endpoints => objects.map(|endpoints| self.endpoints(endpoints)).collect(),
            Kind::EndpointSlice => objects.map(|slice| self.slice(slice)).collect(),
            _ => objects.map(|ingress| self.ingress(ingress)).collect(),
        }
    }

    fn add_namespace(&self, labels: &mut Meta, namespace: &str) {
        if self.attach.namespace
            && let Some(object) = self.stores.of(Kind::Namespace).get(namespace)
        {
            add_labels_and_annotations(labels, object, "namespace");
        }
    }

    fn add_node(&self, labels: &mut Meta, name: &str) {
        if self.attach.node
            && let Some(node) = self.stores.of(Kind::Node).get(name)
        {
            add_object(labels, node, "node");
        }
    }

    fn service(&self, service: &Value) -> TargetGroup {
        let (namespace, name) = (namespace_of(service), name_of(service));
        let mut labels = service_labels(service);
        self.add_namespace(&mut labels, &namespace);
        let spec = &service["spec"];
        let kind = text(&spec["type"]);
        let target = |port: &Value| {
            let number = text(&port["port"]);
            let mut meta = Meta::new(PREFIX);
            meta.address(host_port(&format!("{name}.{namespace}.svc"), &number))
                .set("service_port_name", text(&port["name"]))
                .set("service_port_number", number)
                .set("service_port_protocol", text(&port["protocol"]))
                .set("service_type", &kind);
            match kind.as_str() {
                "ExternalName" => meta.set("service_external_name", text(&spec["externalName"])),
                _ => meta.set("service_cluster_ip", text(&spec["clusterIP"])),
            };
            if kind == "LoadBalancer" {
                let ingress = items(&service["status"]["loadBalancer"]["ingress"]);
                let ips: Vec<String> =
                    ingress.iter().map(|i| text(&i["ip"])).filter(|ip| !ip.is_empty()).collect();
                meta.set(
                    "service_loadbalancer_ip",
                    match ips.is_empty() {
                        true => text(&spec["loadBalancerIP"]),
                        false => ips.join(","),
                    },
                );
            }
            meta.finish()
        };
        let targets = items(&spec["ports"]).iter().map(target).collect();
        group(format!("svc/{}", key(service)), labels.finish(), targets)
    }

    fn pod(&self, pod: &Value) -> TargetGroup {
        let source = format!("pod/{}", key(pod));
        let ip = text(&pod["status"]["podIP"]);
        let node = text(&pod["spec"]["nodeName"]);
        // A node that is not known was filtered out by a selector.
        let is_left_out = self.attach.node && !self.stores.of(Kind::Node).contains_key(&node);
        if ip.is_empty() || is_left_out {
            return group(source, Labels::default(), vec![]);
        }
        let namespace = namespace_of(pod);
        let mut labels = self.pod_labels(pod);
        labels.set("namespace", &namespace);
        self.add_node(&mut labels, &node);
        self.add_namespace(&mut labels, &namespace);
        let mut targets = vec![];
        for (container, is_init) in containers(pod) {
            let mut base = Meta::new(PREFIX);
            base.set("pod_container_name", text(&container["name"]))
                .set("pod_container_id", container_id(pod, &container["name"], is_init))
                .set("pod_container_image", text(&container["image"]))
                .set("pod_container_init", is_init.to_string());
            let ports = items(&container["ports"]);
            if ports.is_empty() {
                // The address lacks a port, for a rule to add.
                targets.push(base.address(&ip).finish());
            }
            for port in ports {
                let number = text(&port["containerPort"]);
                let mut meta = base.clone();
                meta.address(host_port(&ip, &number));
                add_container_port(&mut meta, port, &number, &text(&port["protocol"]));
                targets.push(meta.finish());
            }
        }
        group(source, labels.finish(), targets)
    }

    fn pod_labels(&self, pod: &Value) -> Meta {
        let (spec, status) = (&pod["spec"], &pod["status"]);
        let ready = items(&status["conditions"]).iter().find(|c| c["type"] == "Ready");
        let ready = ready.map_or("unknown".to_owned(), |c| text(&c["status"]).to_lowercase());
        let mut meta = Meta::new(PREFIX);
        meta.set("pod_ip", text(&status["podIP"]))
            .set("pod_ready", ready)
            .set("pod_phase", text(&status["phase"]))
            .set("pod_node_name", text(&spec["nodeName"]))
            .set("pod_host_ip", text(&status["hostIP"]))
            .set("pod_uid", text(&pod["metadata"]["uid"]));
        add_object(&mut meta, pod, "pod");
        let Some(owner) = controller(pod) else { return meta };
        let (kind, name) = (text(&owner["kind"]), text(&owner["name"]));
        meta.set("pod_controller_kind", &kind).set("pod_controller_name", &name);
        let grand_owner = |of: Kind, wanted: &str| {
            let object = self.stores.of(of).get(&join(&namespace_of(pod), &name))?;
            let owner = controller(object).filter(|owner| owner["kind"] == wanted)?;
            Some(text(&owner["name"]))
        };
        if kind == "ReplicaSet"
            && self.attach.deployment
            && let Some(deployment) = grand_owner(Kind::ReplicaSet, "Deployment")
        {
            meta.set("pod_deployment_name", deployment);
        }
        if kind == "Job" {
            if self.attach.job {
                meta.set("pod_job_name", &name);
            }
            if self.attach.cronjob
                && let Some(cronjob) = grand_owner(Kind::Job, "CronJob")
            {
                meta.set("pod_cronjob_name", cronjob);
            }
        }
        meta
    }

    fn endpoints(&self, endpoints: &Value) -> TargetGroup {
        let namespace = namespace_of(endpoints);
        let mut labels = Meta::new(PREFIX);
        labels.set("namespace", &namespace);
        if let Some(service) = self.stores.of(Kind::Service).get(&key(endpoints)) {
            labels.merge(&service_labels(service));
        }
        add_object(&mut labels, endpoints, "endpoints");
        self.add_namespace(&mut labels, &namespace);
        let mut made = Endpoints { maker: self, targets: vec![], pods: BTreeMap::new() };
        for subset in items(&endpoints["subsets"]) {
            for port in items(&subset["ports"]) {
                for (list, ready) in [("addresses", "true"), ("notReadyAddresses", "false")] {
                    for address in items(&subset[list]) {
                        let mut meta = Meta::new(PREFIX);
                        let reference = &address["targetRef"];
                        let node = text(&address["nodeName"]);
                        meta.address(host_port(&text(&address["ip"]), text(&port["port"])))
                            .set("endpoint_port_name", text(&port["name"]))
                            .set("endpoint_port_protocol", text(&port["protocol"]))
                            .set("endpoint_ready", ready)
                            .set("endpoint_address_target_kind", text(&reference["kind"]))
                            .set("endpoint_address_target_name", text(&reference["name"]))
                            .set("endpoint_node_name", &node)
                            .set("endpoint_hostname", text(&address["hostname"]));
                        match node.as_str() {
                            "" if reference["kind"] == "Node" => {
                                self.add_node(&mut meta, &text(&reference["name"]));
                            }
                            node => self.add_node(&mut meta, node),
                        }
                        made.push(meta, reference, port);
                    }
                }
            }
        }
        let targets = made.finish();
        group(format!("endpoints/{}", key(endpoints)), labels.finish(), targets)
    }

    fn slice(&self, slice: &Value) -> TargetGroup {
        let namespace = namespace_of(slice);
        let source = format!("endpointslice/{}", key(slice));
        let mut labels = Meta::new(PREFIX);
        let address_type = text(&slice["addressType"]);
        labels.set("namespace", &namespace).set("endpointslice_address_type", &address_type);
        add_object(&mut labels, slice, "endpointslice");
        let service_name = text(&slice["metadata"]["labels"]["kubernetes.io/service-name"]);
        let service = self.stores.of(Kind::Service).get(&join(&namespace, &service_name));
        if let Some(service) = service {
            labels.merge(&service_labels(service));
        }
        self.add_namespace(&mut labels, &namespace);
        if service.is_some_and(|service| is_other_family(service, &address_type)) {
            return group(source, labels.finish(), vec![]);
        }
        let mut made = Endpoints { maker: self, targets: vec![], pods: BTreeMap::new() };
        for endpoint in items(&slice["endpoints"]) {
            for port in items(&slice["ports"]) {
                for address in items(&endpoint["addresses"]) {
                    let meta = self.slice_target(endpoint, port, &text(address));
                    made.push(meta, &endpoint["targetRef"], port);
                }
            }
        }
        let targets = made.finish();
        group(source, labels.finish(), targets)
    }

    fn slice_target(&self, endpoint: &Value, port: &Value, address: &str) -> Meta {
        let number = text(&port["port"]);
        let (reference, conditions) = (&endpoint["targetRef"], &endpoint["conditions"]);
        let node = text(&endpoint["nodeName"]);
        let mut meta = Meta::new(PREFIX);
        match number.as_str() {
            "" => meta.address(address),
            number => meta.address(host_port(address, number)),
        };
        meta.set("endpointslice_port_name", text(&port["name"]))
            .set("endpointslice_port_protocol", text(&port["protocol"]))
            .set("endpointslice_port", number)
            .set("endpointslice_port_app_protocol", text(&port["appProtocol"]))
            .set("endpointslice_endpoint_hostname", text(&endpoint["hostname"]))
            .set("endpointslice_address_target_kind", text(&reference["kind"]))
            .set("endpointslice_address_target_name", text(&reference["name"]))
            .set("endpointslice_endpoint_node_name", &node)
            .set("endpointslice_endpoint_zone", text(&endpoint["zone"]));
        for condition in ["ready", "serving", "terminating"] {
            let name = format!("endpointslice_endpoint_conditions_{condition}");
            meta.set(&name, text(&conditions[condition]));
        }
        for (name, value) in pairs(&endpoint["deprecatedTopology"]) {
            meta.set_free("endpointslice_endpoint_topology_", name, value);
            meta.set_free("endpointslice_endpoint_topology_present_", name, "true");
        }
        match reference["kind"] == "Node" {
            true => self.add_node(&mut meta, &text(&reference["name"])),
            false => self.add_node(&mut meta, &node),
        }
        meta
    }

    fn ingress(&self, ingress: &Value) -> TargetGroup {
        let namespace = namespace_of(ingress);
        let spec = &ingress["spec"];
        let mut labels = Meta::new(PREFIX);
        labels
            .set("namespace", &namespace)
            .set("ingress_class_name", text(&spec["ingressClassName"]));
        add_object(&mut labels, ingress, "ingress");
        self.add_namespace(&mut labels, &namespace);
        let tls_hosts: Vec<String> =
            items(&spec["tls"]).iter().flat_map(|tls| items(&tls["hosts"])).map(text).collect();
        let mut targets = vec![];
        for rule in items(&spec["rules"]) {
            let host = text(&rule["host"]);
            let is_tls = tls_hosts.iter().any(|pattern| matches_host(pattern, &host));
            let mut paths: Vec<String> = match rule["http"]["paths"].as_array() {
                Some(paths) => paths.iter().map(|path| text(&path["path"])).collect(),
                None => vec![String::new()],
            };
            for path in &mut paths {
                if path.is_empty() {
                    path.push('/');
                }
                let mut meta = Meta::new(PREFIX);
                meta.address(&host)
                    .set("ingress_scheme", if is_tls { "https" } else { "http" })
                    .set("ingress_host", &host)
                    .set("ingress_path", path);
                targets.push(meta.finish());
            }
        }
        group(format!("ingress/{}", key(ingress)), labels.finish(), targets)
    }
}

/// Targets of an `Endpoints` or an `EndpointSlice`, and the pods behind them: ports of those pods
/// that no endpoint names become targets, too.
struct Endpoints<'a> {
    maker: &'a Maker<'a>,
    targets: Vec<Labels>,
    /// Pods by their keys, with the ports that are targets already.
    pods: BTreeMap<String, (&'a Value, Vec<i64>)>,
}

impl<'a> Endpoints<'a> {
    fn push(&mut self, mut meta: Meta, reference: &Value, port: &Value) {
        let pod_key = join(&text(&reference["namespace"]), &text(&reference["name"]));
        let pods = self.maker.stores.of(Kind::Pod);
        let pod = pods.get(&pod_key).filter(|_| reference["kind"] == "Pod");
        let Some(pod) = pod else {
            self.targets.push(meta.finish());
            return;
        };
        meta.merge(&self.maker.pod_labels(pod));
        let number = port["port"].as_i64();
        for (container, is_init) in containers(pod) {
            let ports = items(&container["ports"]).iter();
            let same = number.and_then(|number| {
                ports.clone().find(|port| port["containerPort"].as_i64() == Some(number))
            });
            if let Some(same) = same {
                add_container(&mut meta, container, is_init);
                let protocol = text(&port["protocol"]);
                add_container_port(&mut meta, same, &text(&port["port"]), &protocol);
            }
        }
        self.pods.entry(pod_key).or_insert((pod, vec![])).1.extend(number);
        self.targets.push(meta.finish());
    }

    fn finish(mut self) -> Vec<Labels> {
        for (pod, seen) in self.pods.values() {
            let ip = text(&pod["status"]["podIP"]);
            if ip.is_empty() {
                continue;
            }
            for (container, is_init) in containers(pod) {
                for port in items(&container["ports"]) {
                    if port["containerPort"].as_i64().is_some_and(|number| seen.contains(&number)) {
                        continue;
                    }
                    let number = text(&port["containerPort"]);
                    let mut meta = Meta::new(PREFIX);
                    meta.address(host_port(&ip, &number));
                    add_container(&mut meta, container, is_init);
                    add_container_port(&mut meta, port, &number, &text(&port["protocol"]));
                    meta.merge(&self.maker.pod_labels(pod));
                    self.targets.push(meta.finish());
                }
            }
        }
        self.targets
    }
}

fn node(node: &Value) -> Option<TargetGroup> {
    let mut labels = Meta::new(PREFIX);
    labels.set("node_provider_id", text(&node["spec"]["providerID"]));
    for condition in items(&node["status"]["conditions"]) {
        let kind = text(&condition["type"]).to_lowercase();
        labels.set_free("node_condition_", &kind, text(&condition["status"]).to_lowercase());
    }
    add_object(&mut labels, node, "node");
    let addresses = items(&node["status"]["addresses"]);
    let first = |kind: &str| addresses.iter().find(|address| address["type"] == kind);
    let kinds =
        ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];
    let address = kinds.iter().find_map(|kind| first(kind))?;
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_i64().unwrap_or(0);
    let mut target = Meta::new(PREFIX);
    target.address(host_port(&text(&address["address"]), port));
    target.set_plain("instance", name_of(node));
    // The first of each kind counts.
    for address in addresses.iter().rev() {
        target.set_free("node_address_", &text(&address["type"]), text(&address["address"]));
    }
    Some(group(format!("node/{}", name_of(node)), labels.finish(), vec![target.finish()]))
}

fn name_of(object: &Value) -> String {
    text(&object["metadata"]["name"])
}

fn namespace_of(object: &Value) -> String {
    text(&object["metadata"]["namespace"])
}

fn add_object(labels: &mut Meta, object: &Value, role: &str) {
    labels.set(&format!("{role}_name"), name_of(object));
    add_labels_and_annotations(labels, object, role);
}

fn add_labels_and_annotations(labels: &mut Meta, object: &Value, role: &str) {
    for (field, word) in [("labels", "label"), ("annotations", "annotation")] {
        for (name, value) in pairs(&object["metadata"][field]) {
            labels.set_free(&format!("{role}_{word}_"), name, value);
            labels.set_free(&format!("{role}_{word}present_"), name, "true");
        }
    }
}

fn service_labels(service: &Value) -> Meta {
    let mut labels = Meta::new(PREFIX);
    labels.set("namespace", namespace_of(service));
    add_object(&mut labels, service, "service");
    labels
}

/// Containers of a pod, those that only prepare it last.
fn containers(pod: &Value) -> impl Iterator<Item = (&Value, bool)> {
    let spec = &pod["spec"];
    let of = |name: &str, is_init| items(&spec[name]).iter().map(move |c| (c, is_init));
    of("containers", false).chain(of("initContainers", true))
}

fn container_id(pod: &Value, name: &Value, is_init: bool) -> String {
    let list = if is_init { "initContainerStatuses" } else { "containerStatuses" };
    let status = items(&pod["status"][list]).iter().find(|status| status["name"] == *name);
    status.map_or_else(String::new, |status| text(&status["containerID"]))
}

fn add_container(meta: &mut Meta, container: &Value, is_init: bool) {
    meta.set("pod_container_name", text(&container["name"]))
        .set("pod_container_image", text(&container["image"]))
        .set("pod_container_init", is_init.to_string());
}

fn add_container_port(meta: &mut Meta, port: &Value, number: &str, protocol: &str) {
    meta.set("pod_container_port_number", number)
        .set("pod_container_port_name", text(&port["name"]))
        .set("pod_container_port_protocol", protocol);
}

/// Whether a slice repeats what another slice of the service says, in the service's second family
/// of addresses.
fn is_other_family(service: &Value, address_type: &str) -> bool {
    let spec = &service["spec"];
    let is_dual =
        spec["ipFamilyPolicy"] == "PreferDualStack" || spec["ipFamilyPolicy"] == "RequireDualStack";
    is_dual && items(&spec["ipFamilies"]).first().is_some_and(|first| *first != address_type)
}

/// Whether `*.a.b` or `a.b` covers `host`.
fn matches_host(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    let (Some(domain), Some((_, rest))) = (pattern.strip_prefix("*."), host.split_once('.')) else {
        return false;
    };
    domain == rest
}
