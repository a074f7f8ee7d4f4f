//! Service discovery: which targets there are, before any relabelling.
//!
//! ```text
//! config::DiscoveryConfigs -> static groups ──────────────┐
//!                             file                        │
//!                             kubernetes, serverset, nerve├-> watch -> Update (a job's groups)
//!                             provider    (asked again    │               -> net::scrape
//!                                          and again)  ───┘
//! ```
//!
//! [`watch`] runs on the control thread and sends a job's groups whole, first at once and then
//! whenever they change. A provider is one file in `aws`, `clouds` or `clusters`: what it asks its API,
//! and which labels it makes of the answer. `provider` is the table of them, `api` what they share.
//!
//! Not here: relabelling and targets (`net::scrape`).
//!
//! Source: Prometheus `discovery/{manager,discovery}.go`, `discovery/targetgroup`,
//! `discovery/file/file.go`.

mod api;
mod aws;
mod clouds;
mod clusters;
mod dns;
mod file;
mod file_events;
mod http;
mod provider;
pub mod stats;
#[cfg(test)]
mod tests;
mod watch;
mod xml;

use std::sync::Arc;

use engine::model::Labels;

pub use aws::Signer;
pub use file::check_file;
pub use stats::DiscoveryStats;
pub use watch::watch;

use crate::config::{DiscoveryConfigs, LabelSet, StaticConfig};

/// Targets that were found together and share labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// Tells this group from the others of its job: `0`, or `/path/file.json:3`.
    pub source: String,
    pub labels: Labels,
    /// Labels of each target, `__address__` among them; they win over those of the group.
    pub targets: Vec<Labels>,
}

impl TargetGroup {
    fn new(source: String, targets: &[String], labels: &LabelSet) -> TargetGroup {
        let address = |target: &String| Labels::from_pairs([("__address__", target)]);
        TargetGroup {
            source,
            labels: Labels::from_pairs(labels.iter()),
            targets: targets.iter().map(address).collect(),
        }
    }
}

/// What is to be watched for one user of targets: a job, or a section of Alertmanagers.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub configs: DiscoveryConfigs,
}

/// All groups that a source has now; they replace those of the update before.
#[derive(Clone, Debug)]
pub struct Update {
    pub name: String,
    pub groups: Vec<Arc<TargetGroup>>,
}

/// The groups written in the configuration, numbered in their order.
pub fn static_groups(configs: &[StaticConfig]) -> Vec<Arc<TargetGroup>> {
    let numbered = configs.iter().enumerate();
    let group = |(index, config): (usize, &StaticConfig)| {
        TargetGroup::new(index.to_string(), &config.targets, &config.labels)
    };
    numbered.map(group).map(Arc::new).collect()
}
