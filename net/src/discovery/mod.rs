//! Service discovery: which targets there are, before any relabelling.
//!
//! ```text
//! config::DiscoveryConfigs -> static groups ─┐
//!                             file     ──────┴-> Update (a job's groups) -> net::scrape
//! ```
//!
//! [`watch`] runs on the control thread and sends a job's groups whole, first at once and then
//! whenever they change. It is dropped and started again when the configuration changes.
//!
//! Not here: the other providers (their sections load; `config` warns of them), relabelling and
//! targets (`net::scrape`).
//!
//! Source: Prometheus `discovery/{manager,discovery}.go`, `discovery/targetgroup`,
//! `discovery/file/file.go`.

mod file;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_channel::Sender;
use engine::model::Labels;
use tokio::time::{Instant, sleep};

pub use file::FileStats;
use file::Files;

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

/// How often files are looked at; a changed file is known within this time.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

struct Watched {
    name: String,
    fixed: Vec<Arc<TargetGroup>>,
    /// Each with the time when it is read again even if nothing seems to have changed.
    files: Vec<(Files, Instant)>,
}

impl Watched {
    /// Looks at the files; the groups if any of them changed.
    fn poll(&mut self, now: Instant, stats: &FileStats) -> Option<Update> {
        let mut changed = false;
        for (files, reread_at) in &mut self.files {
            let reread = *reread_at <= now;
            if reread {
                *reread_at = now + files.refresh_interval();
            }
            changed |= files.refresh(reread, stats);
        }
        changed.then(|| self.update())
    }

    fn update(&self) -> Update {
        let found = self.files.iter().flat_map(|(files, _)| files.groups());
        Update {
            name: self.name.clone(),
            groups: self.fixed.iter().chain(found).cloned().collect(),
        }
    }
}

/// Sends the groups of every source, then those of each that changes, until nobody listens.
///
/// Runs on a tokio runtime with time. Files are read in the call: this belongs on the control
/// thread, where nothing waits for it.
pub async fn watch(sources: Vec<Source>, stats: Arc<FileStats>, updates: Sender<Update>) {
    let start = Instant::now();
    let mut watched: Vec<Watched> = sources
        .into_iter()
        .map(|source| Watched {
            fixed: static_groups(&source.configs.static_configs),
            files: source
                .configs
                .file_sd_configs
                .into_iter()
                .map(|config| (Files::new(config), start))
                .collect(),
            name: source.name,
        })
        .collect();
    for source in &mut watched {
        let first = source.poll(start, &stats).unwrap_or_else(|| source.update());
        if updates.send(first).await.is_err() {
            return;
        }
    }
    watched.retain(|source| !source.files.is_empty());
    loop {
        sleep(POLL_INTERVAL).await;
        if updates.is_closed() {
            return;
        }
        for source in &mut watched {
            if let Some(update) = source.poll(Instant::now(), &stats)
                && updates.send(update).await.is_err()
            {
                return;
            }
        }
    }
}
