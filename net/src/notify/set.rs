//! The Alertmanagers of one section of the configuration: found, relabelled, each with its loop.
//!
//! Source: Prometheus `notifier/{alertmanager,alertmanagerset}.go`.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use engine::model::{Labels, LabelsBuilder};
use tokio::task::{JoinHandle, spawn_local};

use crate::config::AlertmanagerConfig;
use crate::discovery::{Signer, TargetGroup};
use crate::http::client::ClientOptions;
use crate::http::url::{Url, escape_path};
use crate::log_error;
use crate::relabel::Rules;

use super::NotifyOptions;
use super::notice::{Notice, relabel};
use super::send_loop::{Queue, SendLoop};
use super::stats::Alertmanagers;

const ADDRESS: &[u8] = b"__address__";
const SCHEME: &[u8] = b"__scheme__";
const PATH: &[u8] = b"__alerts_path__";

/// A section made ready: what may fail has not.
pub struct SetPlan {
    config: AlertmanagerConfig,
    relabel: Rules,
    alert_relabel: Rules,
    client: Arc<ClientOptions>,
}

impl SetPlan {
    pub fn new(config: &AlertmanagerConfig) -> Result<SetPlan, String> {
        Ok(SetPlan {
            relabel: Rules::new(&config.relabel_configs)?,
            alert_relabel: Rules::new(&config.alert_relabel_configs)?,
            client: ClientOptions::new("alertmanager", &config.http)?,
            config: config.clone(),
        })
    }
}

pub struct AlertmanagerSet {
    plan: SetPlan,
    options: NotifyOptions,
    active: Vec<String>,
    dropped: Vec<String>,
    loops: BTreeMap<String, Rc<Queue>>,
}

impl AlertmanagerSet {
    pub fn new(plan: SetPlan, options: NotifyOptions) -> AlertmanagerSet {
        let (active, dropped, loops) = Default::default();
        AlertmanagerSet { plan, options, active, dropped, loops }
    }

    /// Whether this set does what `plan` asks for.
    pub fn is_same(&self, plan: &SetPlan) -> bool {
        self.plan.config == plan.config
    }

    /// Starts loops for what was found anew, and stops those of what is gone. Returns the loops
    /// that were started.
    pub fn sync(&mut self, groups: &[Arc<TargetGroup>]) -> Vec<JoinHandle<()>> {
        self.active.clear();
        self.dropped.clear();
        let mut started = vec![];
        for group in groups {
            match self.found(group) {
                Ok((active, dropped)) => {
                    self.active.extend(active);
                    self.dropped.extend(dropped);
                }
                Err(why) => {
                    log_error!("Creating discovered Alertmanagers failed", "err" = why);
                }
            }
        }
        let mut seen: Vec<String> = vec![];
        self.active.retain(|url| {
            let is_new = !seen.contains(url);
            if is_new {
                seen.push(url.clone());
            }
            is_new
        });
        let active = &self.active;
        self.loops.retain(|url, queue| {
            let stays = active.contains(url);
            if !stays {
                queue.stop();
            }
            stays
        });
        for url in &self.active {
            if self.loops.contains_key(url) {
                continue;
            }
            let Ok(parsed) = Url::parse(url) else {
                log_error!("Alertmanager has no usable URL", "alertmanager" = url);
                continue;
            };
            let (queue, has_work) = Queue::new(url, self.options);
            let send_loop = SendLoop {
                queue: queue.clone(),
                has_work,
                url: parsed,
                client: self.plan.client.clone(),
                // It was made once before, of the same section.
                signer: self.plan.config.sigv4.as_ref().map(Signer::new),
                timeout: self.plan.config.timeout.duration(),
            };
            started.push(spawn_local(send_loop.run()));
            self.loops.insert(url.clone(), queue);
        }
        started
    }

    /// URLs of a group's Alertmanagers, and of those that relabelling drops.
    fn found(&self, group: &TargetGroup) -> Result<(Vec<String>, Vec<String>), String> {
        let (mut active, mut dropped) = (vec![], vec![]);
        let config = &self.plan.config;
        for target in &group.targets {
            let mut builder = LabelsBuilder::from_labels(target.as_ref());
            builder.set(SCHEME, config.scheme.as_bytes());
            builder.set(PATH, post_path(&config.path_prefix, &config.api_version).as_bytes());
            for (name, value) in group.labels.iter() {
                if target.get(name).is_empty() {
                    builder.set(name, value);
                }
            }
            let discovered = builder.clone().finish();
            if !self.plan.relabel.apply(&mut builder) {
                dropped.push(url(&discovered));
                continue;
            }
            let address = String::from_utf8_lossy(builder.get(ADDRESS)).into_owned();
            if address.contains('/') {
                return Err(format!("{address:?} is not a valid hostname"));
            }
            active.push(url(&builder.finish()));
        }
        Ok((active, dropped))
    }

    /// Queues notices for every Alertmanager of the set.
    pub fn send(&self, notices: &[Notice]) {
        let relabelled;
        let mut notices = notices;
        if !self.plan.alert_relabel.is_empty() {
            let none = Labels::default();
            relabelled = relabel(&self.plan.alert_relabel, &none, notices.to_vec());
            notices = &relabelled;
        }
        if !notices.is_empty() {
            self.loops.values().for_each(|queue| queue.add(notices));
        }
    }

    pub fn stop(&self) {
        self.loops.values().for_each(|queue| queue.stop());
    }

    pub fn show(&self, shown: &mut Alertmanagers) {
        shown.active.extend(self.active.iter().cloned());
        shown.dropped.extend(self.dropped.iter().cloned());
        shown.loops.extend(self.loops.values().map(|queue| queue.stats.clone()));
    }
}

fn post_path(prefix: &str, version: &str) -> String {
    let parts = prefix.split('/').chain(["api", version, "alerts"]);
    let mut clean: Vec<&str> = vec![];
    for part in parts {
        match part {
            "" | "." => {}
            ".." => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    format!("/{}", clean.join("/"))
}

fn url(labels: &Labels) -> String {
    let text = |name| String::from_utf8_lossy(labels.get(name)).into_owned();
    let path = escape_path(&text(PATH));
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    format!("{}://{}{slash}{path}", text(SCHEME), text(ADDRESS))
}
