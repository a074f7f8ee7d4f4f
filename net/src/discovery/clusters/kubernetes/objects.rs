//! Objects of a cluster as the API gives them, cut to what discovery reads: a cluster may have a
//! hundred thousand pods, and most of a pod's text is of no use here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::discovery::api::text;

/// Kinds of objects, with where the API has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Node,
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Ingress,
    Namespace,
    ReplicaSet,
    Job,
}

impl Kind {
    /// As roles of selectors and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Node => "node",
            Kind::Pod => "pod",
            Kind::Service => "service",
            Kind::Endpoints => "endpoints",
            Kind::EndpointSlice => "endpointslice",
            Kind::Ingress => "ingress",
            Kind::Namespace => "namespace",
            Kind::ReplicaSet => "replicaset",
            Kind::Job => "job",
        }
    }

    /// Path of the list; `namespace` is empty for all of them.
    pub fn path(self, namespace: &str) -> String {
        let (api, plural) = match self {
            Kind::Node => ("/api/v1", "nodes"),
            Kind::Namespace => ("/api/v1", "namespaces"),
            Kind::Pod => ("/api/v1", "pods"),
            Kind::Service => ("/api/v1", "services"),
            Kind::Endpoints => ("/api/v1", "endpoints"),
            Kind::EndpointSlice => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            Kind::Ingress => ("/apis/networking.k8s.io/v1", "ingresses"),
            Kind::ReplicaSet => ("/apis/apps/v1", "replicasets"),
            Kind::Job => ("/apis/batch/v1", "jobs"),
        };
        match namespace {
            "" => format!("{api}/{plural}"),
            namespace => format!("{api}/namespaces/{namespace}/{plural}"),
        }
    }

    /// Whether its objects stand in namespaces.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Kind::Node | Kind::Namespace)
    }
}

/// Objects of one kind by `namespace/name`, or by name where there is no namespace.
pub type Objects = BTreeMap<String, Value>;

pub fn key(object: &Value) -> String {
    let metadata = &object["metadata"];
    join(&text(&metadata["namespace"]), &text(&metadata["name"]))
}

pub fn join(namespace: &str, name: &str) -> String {
    match namespace {
        "" => name.to_owned(),
        namespace => format!("{namespace}/{name}"),
    }
}

/// What is read of an object.
pub fn cut(kind: Kind, mut object: Value) -> Value {
    let mut out = Map::new();
    let mut metadata = keep(
        &mut object["metadata"],
        &["name", "namespace", "uid", "labels", "annotations", "ownerReferences"],
    );
    let (spec, status) = (object["spec"].take(), object["status"].take());
    match kind {
        Kind::Pod => {
            let containers = |list: &mut Value| -> Value {
                let list = list.as_array_mut().map(std::mem::take).unwrap_or_default();
                list.into_iter().map(|mut c| keep(&mut c, &["name", "image", "ports"])).collect()
            };
            let mut spec = spec;
            let node_name = spec["nodeName"].take();
            let (containers, init) =
                (containers(&mut spec["containers"]), containers(&mut spec["initContainers"]));
            out.insert(
                "spec".to_owned(),
                serde_json::json!({
                    "nodeName": node_name, "containers": containers, "initContainers": init,
                }),
            );
            let mut status = status;
            let statuses = |list: &mut Value| -> Value {
                let list = list.as_array_mut().map(std::mem::take).unwrap_or_default();
                list.into_iter().map(|mut c| keep(&mut c, &["name", "containerID"])).collect()
            };
            let (of_containers, of_init) = (
                statuses(&mut status["containerStatuses"]),
                statuses(&mut status["initContainerStatuses"]),
            );
            let mut kept = keep(&mut status, &["podIP", "hostIP", "phase", "conditions"]);
            kept["containerStatuses"] = of_containers;
            kept["initContainerStatuses"] = of_init;
            out.insert("status".to_owned(), kept);
        }
        Kind::Node => {
            let mut status = status;
            let kept = keep(&mut status, &["addresses", "conditions", "daemonEndpoints"]);
            out.insert("status".to_owned(), kept);
            out.insert("spec".to_owned(), spec);
        }
        Kind::Service | Kind::Ingress => {
            out.insert("status".to_owned(), status);
            out.insert("spec".to_owned(), spec);
        }
        Kind::Endpoints => {
            out.insert("subsets".to_owned(), object["subsets"].take());
        }
        Kind::EndpointSlice => {
            for name in ["addressType", "endpoints", "ports"] {
                out.insert(name.to_owned(), object[name].take());
            }
        }
        Kind::Namespace => {}
        Kind::ReplicaSet | Kind::Job => {
            metadata = keep(&mut metadata, &["name", "namespace", "ownerReferences"]);
        }
    }
    out.insert("metadata".to_owned(), metadata);
    Value::Object(out)
}

/// The named fields of an object.
fn keep(object: &mut Value, names: &[&str]) -> Value {
    let mut out = Map::new();
    for name in names {
        if let Some(value) = object.get_mut(name) {
            out.insert((*name).to_owned(), value.take());
        }
    }
    Value::Object(out)
}

/// The owner that controls an object.
pub fn controller(object: &Value) -> Option<&Value> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)
}
