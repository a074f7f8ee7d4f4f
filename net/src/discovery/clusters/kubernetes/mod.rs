//! `kubernetes_sd_configs`: objects of a cluster, listed once and then watched.
//!
//! ```text
//! access    where the API is, and who asks
//! exec      credentials that a command gives
//! reflect   one list of objects each: list, watch, list again when the watch lost its place
//! objects   kinds, and what is kept of an object
//! groups    objects -> groups, by role
//! ```
//!
//! Lists are kept as long as the provider lives; groups are made anew a moment after something
//! changed.
//!
//! Source: Prometheus `discovery/kubernetes/kubernetes.go`.

mod access;
mod exec;
mod groups;
mod objects;
mod reflect;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use self::access::Access;
use self::exec::Login;
use self::groups::{Maker, Stores};
use self::objects::Kind;
use self::reflect::{Reflector, Shared};
use crate::config::KubernetesSdConfig;
use crate::discovery::watch::Reporter;

/// How long changes are collected before groups are made of them.
const SETTLE: Duration = Duration::from_millis(500);

/// Runs until nobody listens.
pub async fn watch(config: KubernetesSdConfig, reporter: Reporter) {
    let access = match Access::of(&config) {
        Ok(access) => access,
        Err(why) => return reporter.cannot_begin(&why).await,
    };
    let role = role(&config);
    let shared = Rc::new(Shared {
        stores: RefCell::new(Stores::default()),
        changed: Notify::new(),
        unsynced: std::cell::Cell::new(0),
        role: config.role.clone(),
    });
    // The tasks end with this one.
    let mut tasks = JoinSet::new();
    for reflector in reflectors(&config, access, &shared) {
        shared.unsynced.set(shared.unsynced.get() + 1);
        tasks.spawn_local(reflector.run(reporter.clone()));
    }
    loop {
        shared.changed.notified().await;
        if shared.unsynced.get() > 0 {
            continue;
        }
        tokio::time::sleep(SETTLE).await;
        let groups = {
            let stores = shared.stores.borrow();
            Maker { stores: &stores, attach: &config.attach_metadata }.groups(role)
        };
        if reporter.found(groups.into_iter().map(Arc::new).collect()).await.is_err() {
            return;
        }
    }
}

fn role(config: &KubernetesSdConfig) -> Kind {
    match config.role.as_str() {
        "node" => Kind::Node,
        "pod" => Kind::Pod,
        "service" => Kind::Service,
        "endpoints" => Kind::Endpoints,
        "endpointslice" => Kind::EndpointSlice,
        _ => Kind::Ingress,
    }
}

/// The kinds that a role needs, those of attached metadata included.
fn kinds(config: &KubernetesSdConfig) -> Vec<Kind> {
    let (role, attach) = (role(config), &config.attach_metadata);
    let has_pods = matches!(role, Kind::Pod | Kind::Endpoints | Kind::EndpointSlice);
    let mut kinds = vec![role];
    if has_pods && role != Kind::Pod {
        kinds.extend([Kind::Service, Kind::Pod]);
    }
    for (kind, is_wanted) in [
        (Kind::Node, has_pods && attach.node),
        (Kind::Namespace, role != Kind::Node && attach.namespace),
        (Kind::ReplicaSet, has_pods && attach.deployment),
        (Kind::Job, has_pods && attach.cronjob),
    ] {
        if is_wanted {
            kinds.push(kind);
        }
    }
    kinds
}

fn reflectors(config: &KubernetesSdConfig, access: Access, shared: &Rc<Shared>) -> Vec<Reflector> {
    let mut namespaces = config.namespaces.names.clone();
    namespaces.extend(access.own_namespace);
    if namespaces.is_empty() {
        namespaces.push(String::new());
    }
    let login = Rc::new(Login::new(access.http, access.exec));
    let mut reflectors = vec![];
    for kind in kinds(config) {
        let selector = config.selectors.iter().find(|selector| selector.role == kind.as_str());
        let (label, field) = selector.map_or_else(Default::default, |selector| {
            (selector.label.clone(), selector.field.clone())
        });
        let of_kind = if kind.is_namespaced() { &namespaces[..] } else { &[String::new()] };
        for namespace in of_kind {
            reflectors.push(Reflector {
                kind,
                namespace: namespace.clone(),
                url: format!("{}{}", access.server, kind.path(namespace)),
                login: login.clone(),
                label_selector: label.clone(),
                field_selector: field.clone(),
                shared: shared.clone(),
            });
        }
    }
    reflectors
}
