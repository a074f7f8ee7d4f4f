//! Runs the providers that a configuration asks for and tells each user of targets what is there.
//!
//! ```text
//! sources ──> unique providers, one task each ──> found ──> users ──> updates
//! ```
//!
//! Sections that are equal share one provider, and a provider that the next configuration asks for
//! too runs on. What a provider found stays until it finds something else: a failed refresh
//! changes nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_channel::{Receiver, Sender};
use shards::runtime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::clusters::{kubernetes, zookeeper};
use super::file::Files;
use super::provider::{Polled, Run};
use super::stats::{ConfigStats, DiscoveryStats, ManagerStats, ProviderKey};
use super::{Source, TargetGroup, Update, static_groups};
use crate::config::{FileSdConfig, KubernetesSdConfig};
use crate::log_error;

/// How often files are looked at whose change the kernel may not tell of.
const FILE_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Findings that wait for the watch.
const FOUND_COUNT_MAX: usize = 64;

type Groups = Vec<Arc<TargetGroup>>;

#[derive(Clone, Debug, PartialEq)]
enum Provider {
    File(FileSdConfig),
    Kubernetes(Box<KubernetesSdConfig>),
    Zookeeper(zookeeper::Config),
    Polled(Polled),
}

impl Provider {
    fn of(source: &Source) -> Vec<Provider> {
        let configs = &source.configs;
        let files = configs.file_sd_configs.iter().cloned().map(Provider::File);
        let clusters = configs.kubernetes_sd_configs.iter().cloned();
        let clusters = clusters.map(|config| Provider::Kubernetes(Box::new(config)));
        let sets = configs.serverset_sd_configs.iter().cloned().map(zookeeper::Config::Serverset);
        let nerves = configs.nerve_sd_configs.iter().cloned().map(zookeeper::Config::Nerve);
        let keepers = sets.chain(nerves).map(Provider::Zookeeper);
        let polled = Polled::of(configs).into_iter().map(Provider::Polled);
        files.chain(clusters).chain(keepers).chain(polled).collect()
    }
}

/// A provider with its task, which ends with it.
struct Running {
    id: u64,
    key: ProviderKey,
    provider: Provider,
    /// None until it has found something or failed.
    groups: Option<Groups>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a provider found; none when it failed.
pub struct Found {
    id: u64,
    groups: Option<Groups>,
}

#[cfg(test)]
impl Found {
    pub fn groups(&self) -> Option<&[Arc<TargetGroup>]> {
        self.groups.as_deref()
    }
}

/// Where a provider tells what it found.
#[derive(Clone)]
pub struct Reporter {
    id: u64,
    sender: Sender<Found>,
    stats: Arc<DiscoveryStats>,
    /// Of the watch.
    manager: &'static str,
    key: ProviderKey,
}

impl Reporter {
    /// Errors when nobody listens any more.
    pub async fn found(&self, groups: Groups) -> Result<(), ()> {
        self.stats.counts().managers.entry(self.manager).or_default().received += 1;
        let found = Found { id: self.id, groups: Some(groups) };
        self.sender.send(found).await.map_err(drop)
    }

    pub async fn failed(&self, why: &str) -> Result<(), ()> {
        log_error!(
            "Unable to refresh target groups",
            "component" = format!("discovery manager {}", self.manager),
            "discovery" = self.key.0,
            "config" = self.key.1,
            "err" = why
        );
        {
            let mut counts = self.stats.counts();
            *counts.failures.entry(self.key.0).or_default() += 1;
            if let Some(stats) = counts.refreshes.get_mut(&self.key) {
                stats.failures += 1;
            }
        }
        self.sender.send(Found { id: self.id, groups: None }).await.map_err(drop)
    }

    /// A reporter without a watch, and what it reports.
    #[cfg(test)]
    pub fn for_tests(stats: Arc<DiscoveryStats>) -> (Reporter, Receiver<Found>) {
        let (sender, found) = async_channel::bounded(8);
        let key = ("test", "j".to_owned());
        (Reporter { id: 0, sender, stats, manager: "scrape", key }, found)
    }

    pub fn stats(&self) -> &DiscoveryStats {
        &self.stats
    }

    /// A provider that cannot even begin: there is nothing to wait for.
    pub async fn cannot_begin(&self, why: &str) {
        self.stats.counts().managers.entry(self.manager).or_default().failed_configs += 1;
        let _ = self.failed(why).await;
    }
}

/// A job or a section of Alertmanagers.
struct User {
    name: String,
    fixed: Groups,
    /// Ids of its providers.
    providers: Vec<u64>,
    /// Whoever reads the updates knows its groups from a configuration before; an update that lacks
    /// some of them would end their targets.
    is_known: bool,
}

struct Watch {
    /// `scrape` or `notify`.
    name: &'static str,
    running: Vec<Running>,
    users: Vec<User>,
    next_id: u64,
    found: Sender<Found>,
    stats: Arc<DiscoveryStats>,
    updates: Sender<Update>,
}

/// Sends the groups of every source, then those of each that changes, until nobody listens. Each
/// list of `sources` replaces the one before. `name` tells this watch from others in metrics.
///
/// Runs on a tokio runtime with time and sockets, in a `LocalSet`.
pub async fn watch(
    name: &'static str,
    sources: Receiver<Vec<Source>>,
    stats: Arc<DiscoveryStats>,
    updates: Sender<Update>,
) {
    let (found, findings) = async_channel::bounded(FOUND_COUNT_MAX);
    let (running, users) = (vec![], vec![]);
    stats.counts().managers.entry(name).or_default();
    let mut watch = Watch { name, running, users, next_id: 0, found, stats, updates };
    loop {
        let sent = tokio::select! {
            sources = sources.recv() => match sources {
                Ok(sources) => watch.apply(sources).await,
                Err(_) => return,
            },
            Ok(found) = findings.recv() => watch.take(found).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

impl Watch {
    async fn apply(&mut self, sources: Vec<Source>) -> Result<(), ()> {
        let mut before = std::mem::take(&mut self.running);
        // Those that could not begin may do so now.
        before.retain(|running| !running.task.is_finished());
        self.manager(|stats| stats.failed_configs = 0);
        let known: Vec<String> = self.users.drain(..).map(|user| user.name).collect();
        for source in &sources {
            let mut providers = vec![];
            for provider in Provider::of(source) {
                let running = self.running.iter().find(|running| running.provider == provider);
                if let Some(running) = running {
                    providers.push(running.id);
                    continue;
                }
                let kept = before.iter().position(|running| running.provider == provider);
                let running = match kept {
                    Some(index) => before.swap_remove(index),
                    None => self.start(provider, &source.name),
                };
                providers.push(running.id);
                self.running.push(running);
            }
            self.users.push(User {
                fixed: static_groups(&source.configs.static_configs),
                is_known: known.contains(&source.name),
                name: source.name.clone(),
                providers,
            });
        }
        for ended in before {
            self.stats.counts().refreshes.remove(&ended.key);
        }
        let users = &self.users;
        self.manager(|stats| {
            stats.configs.retain(|name, _| users.iter().any(|user| user.name == *name));
        });
        for index in 0..self.users.len() {
            self.send(index).await?;
        }
        Ok(())
    }

    fn start(&mut self, provider: Provider, job: &str) -> Running {
        let id = self.next_id;
        self.next_id += 1;
        let mechanism = match &provider {
            Provider::File(_) => "file",
            Provider::Kubernetes(_) => "kubernetes",
            Provider::Zookeeper(config) => config.mechanism(),
            Provider::Polled(polled) => polled.mechanism(),
        };
        let (sender, stats, key) =
            (self.found.clone(), self.stats.clone(), (mechanism, job.to_owned()));
        let reporter = Reporter { id, sender, stats, manager: self.name, key: key.clone() };
        let mut groups = None;
        let task = match provider.clone() {
            Provider::File(config) => {
                let mut files = Files::new(config);
                // At once, so that a first update has them.
                files.refresh(true, &self.stats.file);
                groups = Some(files.groups().cloned().collect());
                tokio::task::spawn_local(watch_files(files, reporter, FILE_LOOK_INTERVAL))
            }
            Provider::Kubernetes(config) => {
                tokio::task::spawn_local(kubernetes::watch(*config, reporter))
            }
            Provider::Zookeeper(config) => {
                tokio::task::spawn_local(zookeeper::watch(config, reporter))
            }
            Provider::Polled(polled) => tokio::task::spawn_local(poll(polled, reporter)),
        };
        Running { id, key, provider, groups, task }
    }

    async fn take(&mut self, found: Found) -> Result<(), ()> {
        let running = self.running.iter_mut().find(|running| running.id == found.id);
        // A provider that was stopped meanwhile.
        let Some(running) = running else { return Ok(()) };
        match found.groups {
            Some(groups) if running.groups.as_ref() == Some(&groups) => return Ok(()),
            Some(groups) => running.groups = Some(groups),
            None if running.groups.is_some() => return Ok(()),
            None => running.groups = Some(vec![]),
        }
        for index in 0..self.users.len() {
            if self.users[index].providers.contains(&found.id) {
                self.send(index).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, index: usize) -> Result<(), ()> {
        let user = &mut self.users[index];
        let groups_of = |id: &u64| {
            let running = self.running.iter().find(|running| running.id == *id);
            running.and_then(|running| running.groups.as_ref())
        };
        let found: Vec<_> = user.providers.iter().map(groups_of).collect();
        if user.is_known && found.iter().any(Option::is_none) {
            return Ok(());
        }
        let mut groups = user.fixed.clone();
        groups.extend(found.into_iter().flatten().flatten().cloned());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let found = ConfigStats {
            target_count: groups.iter().map(|group| group.targets.len() as u64).sum(),
            last_update_seconds: now.as_secs_f64(),
        };
        let update = Update { name: user.name.clone(), groups };
        let must_wait = self.updates.is_full();
        self.manager(|stats| {
            stats.sent += 1;
            stats.delayed += u64::from(must_wait);
            stats.configs.insert(update.name.clone(), found);
        });
        self.updates.send(update).await.map_err(drop)
    }

    fn manager(&self, count: impl FnOnce(&mut ManagerStats)) {
        count(self.stats.counts().managers.entry(self.name).or_default());
    }
}

/// Reads files when the kernel tells of a change, when they look changed, and once an interval anyway.
async fn watch_files(mut files: Files, reporter: Reporter, look_interval: Duration) {
    let stats = reporter.stats.clone();
    let mut events = files.events(&stats.file);
    let mut reread_at = Instant::now() + files.refresh_interval();
    loop {
        tokio::select! {
            () = sleep(look_interval) => {}
            () = events.changed() => {}
        }
        events.watch_dirs(&stats.file);
        let reread = reread_at <= Instant::now();
        if reread {
            reread_at = Instant::now() + files.refresh_interval();
        }
        if files.refresh(reread, &stats.file)
            && reporter.found(files.groups().cloned().collect()).await.is_err()
        {
            return;
        }
    }
}

async fn poll(polled: Polled, reporter: Reporter) {
    let mut api = match polled.api() {
        Ok(api) => api,
        Err(why) => return reporter.cannot_begin(&why).await,
    };
    let (own, of_mechanism) = {
        let mut counts = reporter.stats.counts();
        let own = counts.refreshes.entry(reporter.key.clone()).or_default().durations.clone();
        (own, counts.durations.entry(reporter.key.0).or_default().clone())
    };
    let mut before: Vec<TargetGroup> = vec![];
    loop {
        let begun = Instant::now();
        let run = Run { api: &mut api, before: &before, stats: &reporter.stats };
        let refreshed = polled.refresh(run).await;
        for durations in [&own, &of_mechanism] {
            durations.add(runtime::now(), begun.elapsed().as_secs_f64());
        }
        let told = match refreshed {
            Ok(groups) => {
                before.clone_from(&groups);
                reporter.found(groups.into_iter().map(Arc::new).collect()).await
            }
            Err(why) => reporter.failed(&why).await,
        };
        if told.is_err() {
            return;
        }
        // An interval of zero asks without a pause in Prometheus; here it asks once a second.
        tokio::time::sleep_until(begun + polled.interval().max(Duration::from_secs(1))).await;
    }
}
